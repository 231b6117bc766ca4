//! A row as JSON, for dead letters.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use bytes::Bytes;
use velo_core::schema::EVENT_TIME;
use velo_core::{Batch, RowKind};

use crate::error::Result;

/// The visible columns of one row as a JSON object: numbers and booleans plain, nulls as null, everything else as text.
pub(crate) fn row_as_json(columns: &RecordBatch, row: usize) -> Result<Bytes> {
    as_json(columns, row, String::from("{"))
}

/// The same with what the row does, where it is no insert, first: `_op`, as a source of changes reads it.
pub(crate) fn change_as_json(batch: &Batch, row: usize) -> Result<Bytes> {
    let kind = batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]);
    let begin = match kind {
        RowKind::Insert => String::from("{"),
        other => format!("{{\"_op\":\"{}\"", other.symbol()),
    };
    as_json(&batch.columns, row, begin)
}

fn as_json(columns: &RecordBatch, row: usize, mut out: String) -> Result<Bytes> {
    let options = FormatOptions::new().with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.fZ"));
    for (field, column) in columns.schema_ref().fields().iter().zip(columns.columns()) {
        if field.name() == EVENT_TIME {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        push_text(&mut out, field.name());
        out.push(':');
        if column.is_null(row) {
            out.push_str("null");
        } else if let Some(text) = column.as_string_opt::<i32>() {
            push_text(&mut out, text.value(row));
        } else {
            let text = ArrayFormatter::try_new(column.as_ref(), &options)?.value(row).try_to_string()?;
            let plain = *column.data_type() == DataType::Boolean || column.data_type().is_numeric();
            // NaN and the infinities are no JSON numbers.
            if plain && !text.contains(['N', 'i']) { out.push_str(&text) } else { push_text(&mut out, &text) }
        }
    }
    out.push('}');
    Ok(Bytes::from(out))
}

fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}
