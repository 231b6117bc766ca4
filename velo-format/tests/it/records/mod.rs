//! Records that stand one by one, in all their formats.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod avro;
mod avro_files;
mod damage;
mod debezium_avro;
mod formats;
mod protobuf;
mod protobuf_files;
#[cfg(feature = "registry")]
mod registry;
mod round_trips;
mod texts;

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, FieldRef, Fields, SchemaRef};
use bytes::Bytes;
use velo_core::RowKind;
use velo_core::connector::{DecodeColumn, Decoded};
use velo_core::place::{Origin, Positions, Resource};
use velo_core::table_text::value_text;
use velo_format::records::{RecordDecoder, RecordEncoder};

pub(crate) fn column(name: &str, data_type: DataType) -> DecodeColumn {
    let path = name.split('.').map(str::to_owned).collect();
    DecodeColumn { field: Arc::new(Field::new(name, data_type, true)), path, exact: false, raw: false }
}

pub(crate) fn columns_of(fields: &Fields) -> Vec<DecodeColumn> {
    fields.iter().map(DecodeColumn::of).collect()
}

pub(crate) fn not_null(column: DecodeColumn) -> DecodeColumn {
    let field = column.field.as_ref().clone().with_nullable(false);
    DecodeColumn { field: Arc::new(field), ..column }
}

pub(crate) fn raw(name: &str) -> DecodeColumn {
    DecodeColumn { raw: true, ..column(name, DataType::Utf8) }
}

/// Offsets from 100 on of a partition.
pub(crate) fn origin() -> Origin {
    let positions = Positions::Consecutive { first: 100 };
    Origin { source: 0, partition: 3, base: 0, resource: Resource::Topic("orders".into(), 3), positions }
}

/// The records behind each other, and where each is with its offset.
pub(crate) fn chunk<R: AsRef<[u8]>>(records: &[R]) -> (Bytes, Vec<(Range<usize>, u64)>) {
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    for (at, record) in records.iter().enumerate() {
        let start = bytes.len();
        bytes.extend_from_slice(record.as_ref());
        places.push((start..bytes.len(), 100 + at as u64));
        // What lies between records is not theirs.
        bytes.extend_from_slice(b"\x7f\"");
    }
    (Bytes::from(bytes), places)
}

pub(crate) fn decode<R: AsRef<[u8]>>(decoder: &dyn RecordDecoder, records: &[R]) -> Decoded {
    let (bytes, places) = chunk(records);
    decoder.decode_records(&bytes, &origin(), &mut places.into_iter()).unwrap()
}

/// Rows with their offsets (and kinds, where there are some), and errors, in order.
pub(crate) fn show(decoded: &Decoded) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in &decoded.batches {
        for row in 0..batch.rows() {
            let values = batch.columns.columns().iter();
            let values = values.map(|column| value_text(column.as_ref(), row).unwrap_or_else(|| "NULL".to_owned()));
            let offset = batch.origin.as_ref().unwrap().position(row);
            let kind = batch.kinds.as_ref().map(|kinds| kinds.as_slice()[row]);
            let kind = kind.map_or_else(String::new, |kind: RowKind| format!("{} ", kind.symbol()));
            rows.push(format!("{offset} {kind}{}", values.collect::<Vec<_>>().join(" ")));
        }
    }
    for (added, error) in decoded.errors.iter().enumerate() {
        let field = error.field.as_deref().unwrap_or("");
        let place = error.place.to_string().replace("topic orders, partition 3, offset ", "");
        rows.insert(error.after_rows + added, format!("{place}: {field}: {}", error.message));
    }
    rows
}

pub(crate) fn rows<R: AsRef<[u8]>>(decoder: &dyn RecordDecoder, records: &[R]) -> Vec<String> {
    show(&decode(decoder, records))
}

/// All rows as one batch.
pub(crate) fn batch(decoded: &Decoded) -> RecordBatch {
    assert_eq!(decoded.errors, []);
    let [only] = decoded.batches.as_slice() else { panic!("{} batches", decoded.batches.len()) };
    only.columns.clone()
}

/// The records of a batch.
pub(crate) fn encode(encoder: &mut dyn RecordEncoder, batch: &RecordBatch) -> Vec<Vec<u8>> {
    let (mut out, mut ends) = (b"before".to_vec(), Vec::new());
    encoder.encode_records(batch, &mut out, &mut ends).unwrap();
    cut(&out, 6, &ends)
}

pub(crate) fn cut(out: &[u8], mut start: usize, ends: &[usize]) -> Vec<Vec<u8>> {
    let records = ends.iter().map(|end| {
        let record = out[start..*end].to_vec();
        start = *end;
        record
    });
    records.collect()
}

pub(crate) fn names(fields: &Fields) -> String {
    let text = |field: &FieldRef| format!("{} {}", field.name(), velo_core::types::sql_name_of(field));
    fields.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// A batch of rows that JSON writes.
pub(crate) fn batch_of(schema: &SchemaRef, rows: &[&str]) -> RecordBatch {
    use velo_format::json::{JsonDecodeOptions, JsonDecoder};
    let options = JsonDecodeOptions {
        columns: columns_of(schema.fields()),
        declared: None,
        batch_rows: rows.len(),
        keep_bytes: false,
        formats: Default::default(),
    };
    batch(&decode(&JsonDecoder::new(options).unwrap(), rows))
}
