//! Columns to text.

use std::fmt::Write as _;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_schema::{DataType, TimeUnit};
use serde_json::Value;

use crate::batch::Batch;
use crate::row_kind::RowKind;
use crate::{decimal, time};

fn push_interval(out: &mut String, value: IntervalMonthDayNano) {
    out.push('P');
    for (amount, unit) in [(value.months / 12, 'Y'), (value.months % 12, 'M'), (value.days, 'D')] {
        if amount != 0 {
            out.push_str(&format!("{amount}{unit}"));
        }
    }
    if value.nanoseconds != 0 || out.ends_with('P') {
        out.push('T');
        let (hours, rest) = (value.nanoseconds / 3_600_000_000_000, value.nanoseconds % 3_600_000_000_000);
        let (minutes, rest) = (rest / 60_000_000_000, rest % 60_000_000_000);
        for (amount, unit) in [(hours, 'H'), (minutes, 'M')] {
            if amount != 0 {
                out.push_str(&format!("{amount}{unit}"));
            }
        }
        if rest != 0 || out.ends_with('T') {
            let seconds = decimal::to_text_i128(i128::from(rest), 9);
            out.push_str(seconds.trim_end_matches('0').trim_end_matches('.'));
            out.push('S');
        }
    }
}

/// The text of one value, without quotes around it; `None` is NULL.
pub fn value_text(column: &dyn Array, row: usize) -> Option<String> {
    if column.data_type() == &DataType::Null || column.is_null(row) {
        return None;
    }
    let mut out = String::new();
    push_value(&mut out, column, row);
    Some(out)
}

fn push_value(out: &mut String, column: &dyn Array, row: usize) {
    macro_rules! number {
        ($type:ty, $pattern:literal) => {
            // Writing to a String cannot fail.
            drop(write!(out, $pattern, column.as_primitive::<$type>().value(row)))
        };
    }
    let mut bytes = Vec::new();
    match column.data_type() {
        DataType::Null => out.push_str("NULL"),
        DataType::Boolean => out.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int8 => number!(Int8Type, "{}"),
        DataType::Int16 => number!(Int16Type, "{}"),
        DataType::Int32 => number!(Int32Type, "{}"),
        DataType::Int64 => number!(Int64Type, "{}"),
        DataType::UInt8 => number!(UInt8Type, "{}"),
        DataType::UInt16 => number!(UInt16Type, "{}"),
        DataType::UInt32 => number!(UInt32Type, "{}"),
        DataType::UInt64 => number!(UInt64Type, "{}"),
        DataType::Float32 => number!(Float32Type, "{:?}"),
        DataType::Float64 => number!(Float64Type, "{:?}"),
        DataType::Decimal128(_, scale) => {
            decimal::push_i128(&mut bytes, column.as_primitive::<Decimal128Type>().value(row), *scale);
        }
        DataType::Decimal256(_, scale) => {
            decimal::push_i256(&mut bytes, column.as_primitive::<Decimal256Type>().value(row), *scale);
        }
        DataType::Utf8 => out.push_str(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => out.push_str(column.as_string::<i64>().value(row)),
        DataType::Utf8View => out.push_str(column.as_string_view().value(row)),
        DataType::Binary => push_hex(out, column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => push_hex(out, column.as_binary::<i64>().value(row)),
        DataType::BinaryView => push_hex(out, column.as_binary_view().value(row)),
        DataType::Date32 => time::push_date(&mut bytes, i64::from(column.as_primitive::<Date32Type>().value(row))),
        DataType::Time64(TimeUnit::Microsecond) => {
            time::push_time_of_day(&mut bytes, column.as_primitive::<Time64MicrosecondType>().value(row) * 1_000);
        }
        DataType::Timestamp(TimeUnit::Second, _) => {
            let seconds = column.as_primitive::<TimestampSecondType>().value(row);
            time::push_iso8601(&mut bytes, seconds.saturating_mul(1_000_000));
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let millis = column.as_primitive::<TimestampMillisecondType>().value(row);
            time::push_iso8601(&mut bytes, millis.saturating_mul(1_000));
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            time::push_iso8601(&mut bytes, column.as_primitive::<TimestampMicrosecondType>().value(row));
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            time::push_iso8601_nanos(&mut bytes, column.as_primitive::<TimestampNanosecondType>().value(row));
        }
        DataType::Interval(arrow_schema::IntervalUnit::MonthDayNano) => {
            push_interval(out, column.as_primitive::<IntervalMonthDayNanoType>().value(row));
        }
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => push_json(out, column, row),
        other => out.push_str(&format!("<{other}>")),
    }
    out.push_str(&String::from_utf8_lossy(&bytes));
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    out.push_str("0x");
    for byte in bytes {
        out.push_str(&format!("{byte:02x}"));
    }
}

fn push_json(out: &mut String, column: &dyn Array, row: usize) {
    if column.data_type() == &DataType::Null || column.is_null(row) {
        out.push_str("null");
        return;
    }
    match column.data_type() {
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                out.push_str(if item > 0 { "," } else { "" });
                push_json(out, &items, item);
            }
            out.push(']');
        }
        DataType::Struct(fields) => {
            out.push('{');
            for (at, (field, values)) in fields.iter().zip(column.as_struct().columns()).enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                push_string(out, field.name());
                out.push(':');
                push_json(out, values, row);
            }
            out.push('}');
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            out.push('{');
            for entry in 0..entries.len() {
                out.push_str(if entry > 0 { "," } else { "" });
                push_string(out, &value_text(entries.column(0), entry).unwrap_or_default());
                out.push(':');
                push_json(out, entries.column(1), entry);
            }
            out.push('}');
        }
        DataType::Float32 | DataType::Float64 => {
            let text = value_text(column, row).unwrap_or_default();
            if text.contains(['N', 'i']) { push_string(out, &text) } else { out.push_str(&text) }
        }
        other if other == &DataType::Boolean || other.is_integer() || other.is_decimal() => {
            push_value(out, column, row)
        }
        _ => push_string(out, &value_text(column, row).unwrap_or_default()),
    }
}

fn push_string(out: &mut String, text: &str) {
    out.push_str(&Value::from(text).to_string());
}

/// A value as a cell of a line: quoted where it would else be read as something other than itself.
pub fn cell_text(column: &dyn Array, row: usize) -> String {
    let Some(text) = value_text(column, row) else { return "NULL".to_owned() };
    if column.data_type().is_nested() {
        return text;
    }
    let plain = !text.is_empty()
        && text != "NULL"
        && RowKind::from_symbol(&text).is_none()
        && !text.starts_with(['"', '[', '{'])
        && !text.starts_with("--")
        && !text.contains(|next: char| next.is_whitespace());
    if plain {
        return text;
    }
    let mut quoted = String::from("\"");
    for next in text.chars() {
        match next {
            '"' | '\\' => quoted.extend(['\\', next]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The batches as aligned text with a header of names, a kind before each row, and `---` between batches.
pub fn print(batches: &[Batch]) -> String {
    let Some(first) = batches.first() else { return String::new() };
    let mut header = vec![String::new()];
    header.extend(first.schema().fields().iter().map(|field| field.name().clone()));
    let mut lines = vec![Some(header)];
    for (at, batch) in batches.iter().enumerate() {
        if at > 0 {
            lines.push(None);
        }
        for row in 0..batch.rows() {
            let kind = batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]);
            let mut cells = vec![kind.symbol().to_owned()];
            cells.extend(batch.columns.columns().iter().map(|column| cell_text(column, row)));
            lines.push(Some(cells));
        }
    }
    align(&lines)
}

fn align(lines: &[Option<Vec<String>>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for cells in lines.iter().flatten() {
        widths.resize(widths.len().max(cells.len()), 0);
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in lines {
        let Some(cells) = line else {
            out.push_str("---\n");
            continue;
        };
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            text.push_str(&format!("{cell:width$} "));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}
