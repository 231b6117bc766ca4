//! Avro files of other programs, record by record, against what an independent reader found in them (`EXPECTED.json`).

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use velo_core::types;
use velo_format::avro::{AvroDecodeOptions, AvroDecoder, AvroSchema, AvroSource};
use velo_format::json::row_text;

use super::{batch, column, columns_of, decode, names, rows};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/avro"))
}

/// The schema that stands in a container file, and its records, each as it would be in a message.
pub(crate) fn container(name: &str) -> (String, Vec<Vec<u8>>) {
    let bytes = std::fs::read(folder().join(name)).unwrap();
    let reader = apache_avro::Reader::new(&bytes[..]).unwrap();
    let schema = reader.writer_schema().clone();
    let records = reader.map(|value| datum(&schema, value.unwrap())).collect();
    (schema_text(&bytes), records)
}

/// A value as another program writes it in a message.
pub(crate) fn datum(schema: &apache_avro::Schema, value: apache_avro::types::Value) -> Vec<u8> {
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(schema).build().unwrap();
    writer.write_value_to_vec(value).unwrap()
}

/// The text of the schema in a file's header, which is a map behind four bytes.
fn schema_text(bytes: &[u8]) -> String {
    let mut at = 4;
    let mut take = |length: Option<usize>| {
        let start = at;
        match length {
            Some(length) => {
                at += length;
                (0, &bytes[start..at])
            }
            None => {
                let (mut value, mut shift) = (0_u64, 0);
                while bytes[at] >= 0x80 {
                    value |= u64::from(bytes[at] & 0x7F) << shift;
                    (shift, at) = (shift + 7, at + 1);
                }
                value |= u64::from(bytes[at]) << shift;
                at += 1;
                ((value >> 1) as i64 ^ -((value & 1) as i64), &bytes[start..at])
            }
        }
    };
    loop {
        let (count, _) = take(None);
        assert!(count != 0, "the header has a schema");
        if count < 0 {
            take(None);
        }
        for _ in 0..count.abs() {
            let (length, _) = take(None);
            let (_, key) = take(Some(length as usize));
            let (length, _) = take(None);
            let (_, value) = take(Some(length as usize));
            if key == b"avro.schema" {
                return String::from_utf8(value.to_vec()).unwrap();
            }
        }
    }
}

pub(crate) fn decoder(schema: &Arc<AvroSchema>, columns: Vec<velo_core::connector::DecodeColumn>) -> AvroDecoder {
    let options = AvroDecodeOptions {
        columns,
        declared: None,
        batch_rows: 8192,
        keep_bytes: true,
        formats: Default::default(),
        source: AvroSource::File(Arc::clone(schema)),
        changes: false,
    };
    AvroDecoder::new(options).unwrap()
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("EXPECTED.json")).unwrap()).unwrap()
}

/// Whether our value is the one that was found, as far as its text in the record of that goes.
fn same(expected: &Value, ours: &Value) -> bool {
    match (expected, ours) {
        (Value::Array(expected), Value::Array(ours)) => {
            expected.len() == ours.len() && expected.iter().zip(ours).all(|(expected, ours)| same(expected, ours))
        }
        (Value::Object(expected), Value::Object(ours)) => {
            expected.iter().all(|(key, value)| ours.get(key).is_some_and(|ours| same(value, ours)))
        }
        (Value::String(expected), Value::String(ours)) => match expected.strip_prefix("hex:") {
            Some(digits) => {
                // The bytes of a duration.
                let months = digits.starts_with("010000000f000000f4010000") && ours == "P1M15DT0.5S";
                months || base64(digits) == *ours
            }
            // `2009-03-01 00:00:00+00:00` is `2009-03-01T00:00:00Z`.
            None => expected == ours || expected.replace("+00:00", "").replace(' ', "T") == ours.trim_end_matches('Z'),
        },
        (Value::String(expected), Value::Number(ours)) => {
            let number = |text: &str| text.parse::<f64>().unwrap();
            number(expected) as f32 == number(&ours.to_string()) as f32
        }
        // Its reader gives nanoseconds as the number that was sent.
        (Value::Number(expected), Value::String(ours)) => {
            expected.as_i64() == Some(0) && ours == "1970-01-01T00:00:00Z"
        }
        (expected, ours) => expected == ours,
    }
}

fn base64(digits: &str) -> String {
    let bytes: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let word = part.iter().chain([0, 0].iter()).take(3).fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        for at in 0..4 {
            let letter = letters[(word >> (18 - 6 * at) & 63) as usize] as char;
            out.push(if at <= part.len() { letter } else { '=' });
        }
    }
    out
}

#[test]
fn every_file_has_the_rows_that_were_found_in_it() {
    let expected = expected();
    let files = expected["avro"].as_object().unwrap();
    assert_eq!(files.len(), 29);
    for (name, expected) in files {
        let (text, records) = container(name);
        assert_eq!(records.len() as u64, expected["rows"].as_u64().unwrap(), "{name}");
        let schema = Arc::new(AvroSchema::parse(&text, &[]).unwrap());
        let rows = batch(&decode(&decoder(&schema, columns_of(&schema.columns())), &records));
        let first: Value = serde_json::from_str(&row_text(&rows.schema(), &rows, 0).unwrap()).unwrap();
        assert!(same(&expected["first_row"], &first), "{name}: {} and {first}", expected["first_row"]);
    }
}

#[test]
fn decimals_are_exact() {
    for name in ["int32_decimal.avro", "int64_decimal.avro", "int128_decimal.avro", "fixed_length_decimal.avro"] {
        let (text, records) = container(name);
        let schema = Arc::new(AvroSchema::parse(&text, &[]).unwrap());
        let found = rows(&decoder(&schema, columns_of(&schema.columns())), &records);
        let expected: Vec<String> = (0..24).map(|row| format!("{} {}.00", 100 + row, row + 1)).collect();
        assert_eq!(found, expected, "{name}");
        // Another scale is rounded to, half away from zero; text has all digits.
        let found = rows(&decoder(&schema, vec![column("value", types::decimal(30, 5))]), &records[..1]);
        assert_eq!(found, ["100 1.00000"]);
    }
}

#[test]
fn columns_of_files() {
    let columns = |name: &str| names(&AvroSchema::parse(&container(name).0, &[]).unwrap().columns());
    assert_eq!(
        columns("timestamp_logical_types.avro"),
        "id INT, ts_millis TIMESTAMP, ts_micros TIMESTAMP, ts_nanos TIMESTAMP(9), local_ts_millis TIMESTAMP, \
         local_ts_micros TIMESTAMP, local_ts_nanos TIMESTAMP(9)"
    );
    assert_eq!(columns("duration_uuid.avro"), "duration_field INTERVAL, uuid_field STRING");
    assert_eq!(columns("fixed_length_decimal.avro"), "value DECIMAL(25,2)");
    assert_eq!(columns("with_union.avro"), "data1 JSON, data2 STRUCT<d1 JSON>");
    assert_eq!(columns("simple_enum.avro"), "f1 STRING, f2 STRING, f3 STRING");
    assert_eq!(columns("nulls.snappy.avro"), "b_struct STRUCT<b_c_int INT>");
    assert_eq!(columns("list_columns.avro"), "int64_list ARRAY<BIGINT>, utf8_list ARRAY<STRING>");
    let interop = std::fs::read_to_string(folder().join("interop.avsc")).unwrap();
    assert_eq!(
        names(&AvroSchema::parse(&interop, &[]).unwrap().columns()),
        "intField INT, longField BIGINT, stringField STRING, boolField BOOLEAN, floatField REAL, doubleField DOUBLE, \
         bytesField BYTES, nullField STRING, arrayField ARRAY<DOUBLE>, mapField MAP<STRING, STRUCT<label STRING>>, \
         unionField JSON, enumField STRING, fixedField BYTES, recordField STRUCT<label STRING, children ARRAY<JSON>>"
    );
}

#[test]
fn unions_are_json_or_what_fits() {
    let (text, records) = container("with_union.avro");
    let schema = Arc::new(AvroSchema::parse(&text, &[]).unwrap());
    let found = rows(&decoder(&schema, columns_of(&schema.columns())), &records);
    let as_text = rows(&decoder(&schema, vec![column("data1", arrow_schema::DataType::Utf8)]), &records);
    assert_eq!(found.len(), 3);
    assert_eq!(as_text[0], "100 textValue");
    assert!(found[0].starts_with("100 \"textValue\""), "{found:?}");
    // A text that is no number is a bad record of its field.
    let as_number = rows(&decoder(&schema, vec![column("data1", arrow_schema::DataType::Int64)]), &records);
    assert_eq!(as_number[0], "100: data1: 'textValue' is no BIGINT");
}

#[test]
fn a_message_of_the_avro_project() {
    let text = std::fs::read_to_string(folder().join("single_object_message_v1.avsc")).unwrap();
    let bytes = std::fs::read(folder().join("single_object_message_v1.bin")).unwrap();
    let schema = Arc::new(AvroSchema::parse(&text, &[]).unwrap());
    // Single-object encoding has two bytes and a fingerprint of eight before the record.
    assert_eq!(bytes[..2], [0xC3, 0x01]);
    let rows = batch(&decode(&decoder(&schema, columns_of(&schema.columns())), &[&bytes[10..]]));
    assert_eq!(rows.num_rows(), 1);
    // The weather of the project, in text and in Avro.
    let lines = std::fs::read_to_string(folder().join("weather.json")).unwrap();
    let (text, records) = container("weather.avro");
    let schema = Arc::new(AvroSchema::parse(&text, &[]).unwrap());
    let rows = batch(&decode(&decoder(&schema, columns_of(&schema.columns())), &records));
    for (row, line) in lines.lines().enumerate() {
        let ours: Value = serde_json::from_str(&row_text(&rows.schema(), &rows, row).unwrap()).unwrap();
        assert_eq!(ours, serde_json::from_str::<Value>(line).unwrap());
    }
}
