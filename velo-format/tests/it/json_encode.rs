//! What is written reads back as it was, and is what serde_json would write.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use serde_json::Value;
use velo_core::connector::DecodeColumn;
use velo_core::row_kind::{RowKind, RowKinds};
use velo_core::table_text::value_text;
use velo_core::types;
use velo_format::encode::Encoder;
use velo_format::fuzz::{Random, origin};
use velo_format::json::{JsonDecodeOptions, JsonDecoder, JsonEncodeOptions, JsonEncoder, Layout};
use velo_format::properties::{DecimalFormat, JsonLayout};
use velo_format::value::{Column, EpochUnit, TimestampFormat, ValueFormats};

fn fields() -> Vec<Field> {
    let pair =
        DataType::Struct(vec![Field::new("a", DataType::Int32, true), Field::new("b \"", DataType::Utf8, true)].into());
    vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("int8", DataType::Int8, true),
        Field::new("int64", DataType::Int64, true),
        Field::new("uint64", DataType::UInt64, true),
        Field::new("real", DataType::Float32, true),
        Field::new("double", DataType::Float64, true),
        Field::new("decimal with a long name", types::decimal(18, 4), true),
        Field::new("wide", types::decimal(60, 7), true),
        Field::new("truth", DataType::Boolean, true),
        Field::new("bytes", DataType::Binary, true),
        Field::new("date", DataType::Date32, true),
        Field::new("time", types::TIME, true),
        Field::new("ts", types::TIMESTAMP, true),
        Field::new("nanos", types::TIMESTAMP_NANOS, true),
        Field::new("interval", types::INTERVAL, true),
        types::json_field("json", true),
        Field::new("list", types::array(types::array(DataType::Int64)), true),
        Field::new("map", types::map(DataType::Utf8, types::decimal(9, 2)), true),
        Field::new("struct", pair, true),
    ]
}

/// A random value of a column, as the text that makes it.
fn text(random: &mut Random, at: usize) -> String {
    let micros = random.below(8_000_000_000_000_000) as i64 - 4_000_000_000_000_000;
    let time = velo_core::time::iso8601(micros - if random.chance(50) { micros % 1_000_000 } else { 0 });
    match at {
        0 => ["", "plain", "q\"uote", "back\\slash", "\n\t\u{1}\u{7f}", "größer €😀", "0123456789abcdef\"0123456789"]
            [random.below(7) as usize]
            .to_owned(),
        1 => (random.next() as i8).to_string(),
        2 => (random.next() as i64 >> random.below(64)).to_string(),
        3 => (random.next() >> random.below(64)).to_string(),
        4 => f32::from_bits(random.next() as u32).to_string(),
        5 => [f64::from_bits(random.next()).to_string(), (random.below(1000) as f64 / 8.0).to_string()]
            [random.below(2) as usize]
            .clone(),
        6 => format!("{}.{:04}", random.next() as i64 >> (24 + random.below(40)), random.below(10_000)),
        7 => format!("{}{:019}.{}", random.next() as i64, random.next() >> 2, random.below(10_000)),
        8 => random.chance(50).to_string(),
        9 => ["", "AA==", "/+8=", "AAEC", "AAECAwQF"][random.below(5) as usize].to_owned(),
        10 => time[..10].to_owned(),
        11 => time[11..].trim_end_matches('Z').to_owned(),
        12 | 13 => time,
        14 => ["PT0S", "P1Y2M3DT4H5M6.5S", "P-1D", "PT-0.000000001S"][random.below(4) as usize].to_owned(),
        15 => ["1.50", "{ \"a\" : [1, \"x\\n\"] }", "\"s\"", "[]", "true"][random.below(5) as usize].to_owned(),
        16 => ["[]", "[[1,2],[],null]", "[null]"][random.below(3) as usize].to_owned(),
        17 => ["{}", "{\"a\":1.25,\"b \\\"\":null}"][random.below(2) as usize].to_owned(),
        _ => ["{}", "{\"a\":1}", "{\"a\":-5,\"b \\\"\":\"x\\\"\"}"][random.below(3) as usize].to_owned(),
    }
}

fn batch(seed: u64, rows: usize, nulls: u64) -> (SchemaRef, RecordBatch) {
    let mut random = Random::new(seed);
    let fields: Vec<FieldRef> = fields().into_iter().map(Arc::new).collect();
    let arrays = fields.iter().enumerate().map(|(at, field)| {
        let mut column = Column::new(field, &ValueFormats::default(), rows).unwrap();
        for _ in 0..rows {
            if random.chance(nulls) {
                column.push_null();
            } else {
                let text = text(&mut random, at);
                column.push_text(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            }
        }
        column.finish().unwrap()
    });
    let arrays: Vec<ArrayRef> = arrays.collect();
    let schema = Arc::new(Schema::new(fields));
    (schema.clone(), RecordBatch::try_new(schema, arrays).unwrap())
}

fn encode(schema: &SchemaRef, batch: &RecordBatch, options: JsonEncodeOptions) -> String {
    let mut encoder = JsonEncoder::new(schema.clone(), options).unwrap();
    let mut out = Vec::new();
    encoder.header(&mut out);
    encoder.encode(batch, &mut out).unwrap();
    encoder.footer(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn decode(schema: &SchemaRef, text: &str, formats: ValueFormats) -> RecordBatch {
    let columns = schema.fields().iter().map(|field| DecodeColumn {
        field: field.clone(),
        path: vec![field.name().clone()],
        exact: true,
        raw: false,
    });
    let options = JsonDecodeOptions {
        columns: columns.collect(),
        declared: None,
        batch_rows: 100_000,
        keep_bytes: false,
        formats,
    };
    let decoder = JsonDecoder::new(options).unwrap();
    let decoded = decoder.decode_bytes(&Bytes::copy_from_slice(text.as_bytes()), &origin(1), Layout::Lines).unwrap();
    assert_eq!(decoded.errors, vec![]);
    assert_eq!(decoded.unknown_fields, 0);
    decoded.batches[0].columns.clone()
}

/// NaN is not equal to itself, so values are compared as text.
fn assert_same(left: &RecordBatch, right: &RecordBatch) {
    assert_eq!(left.num_rows(), right.num_rows());
    for (a, b) in left.columns().iter().zip(right.columns()) {
        assert_eq!(a.data_type(), b.data_type());
        for row in 0..a.len() {
            assert_eq!(value_text(a.as_ref(), row), value_text(b.as_ref(), row));
        }
    }
}

#[test]
fn round_trip() {
    for (seed, nulls) in [(1, 0), (2, 20), (3, 100)] {
        let (schema, batch) = batch(seed, 500, nulls);
        let text = encode(&schema, &batch, JsonEncodeOptions::default());
        assert_same(&decode(&schema, &text, ValueFormats::default()), &batch);
        // Decimals as text, and a slice.
        let slice = batch.slice(100, 200);
        let options = JsonEncodeOptions { decimal: DecimalFormat::String, ..JsonEncodeOptions::default() };
        let text = encode(&schema, &slice, options);
        assert_same(&decode(&schema, &text, ValueFormats::default()), &slice);
    }
}

#[test]
fn epochs_round_trip() {
    let (schema, batch) = batch(4, 200, 10);
    for unit in [EpochUnit::Seconds, EpochUnit::Millis, EpochUnit::Micros, EpochUnit::Nanos] {
        let timestamp = TimestampFormat::Epoch(unit);
        let text =
            encode(&schema, &batch, JsonEncodeOptions { timestamp: timestamp.clone(), ..JsonEncodeOptions::default() });
        assert_same(&decode(&schema, &text, ValueFormats { timestamp }), &batch);
    }
}

/// A value as serde_json writes it.
fn naive(field: &Field, column: &dyn Array, row: usize) -> String {
    let Some(text) = value_text(column, row) else { return "null".to_owned() };
    match field.data_type() {
        DataType::Utf8 if types::is_json(field) => text,
        DataType::Float32 | DataType::Float64 if text.parse::<f64>().is_ok_and(f64::is_finite) => {
            let array = column.as_any();
            // Another shortest form than serde_json's, and the same number.
            match array.downcast_ref::<arrow_array::Float64Array>() {
                Some(doubles) => format!("{:?}", doubles.value(row)),
                None => format!("{:?}", array.downcast_ref::<arrow_array::Float32Array>().unwrap().value(row)),
            }
        }
        DataType::Float32 | DataType::Float64 => match text.as_str() {
            "NaN" => "\"NaN\"".to_owned(),
            text if text.starts_with('-') => "\"-Infinity\"".to_owned(),
            _ => "\"Infinity\"".to_owned(),
        },
        DataType::Boolean | DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => text,
        data_type if data_type.is_numeric() => text,
        DataType::Binary => {
            let bytes = column.as_any().downcast_ref::<arrow_array::BinaryArray>().unwrap().value(row);
            let texts = [
                ("", &[][..]),
                ("AA==", &[0]),
                ("/+8=", &[255, 239]),
                ("AAEC", &[0, 1, 2]),
                ("AAECAwQF", &[0, 1, 2, 3, 4, 5]),
            ];
            format!("\"{}\"", texts.iter().find(|(_, known)| *known == bytes).unwrap().0)
        }
        _ => serde_json::to_string(&text).unwrap(),
    }
}

#[test]
fn byte_for_byte() {
    let (schema, batch) = batch(5, 1000, 10);
    let text = encode(&schema, &batch, JsonEncodeOptions::default());
    for (row, line) in text.lines().enumerate() {
        let members = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            format!("{}:{}", serde_json::to_string(field.name()).unwrap(), naive(field, column.as_ref(), row))
        });
        assert_eq!(line, format!("{{{}}}", members.collect::<Vec<_>>().join(",")));
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

fn small() -> (SchemaRef, RecordBatch) {
    let schema =
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]));
    let text = "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":null}\n";
    let batch = decode(&schema, text, ValueFormats::default());
    (schema, batch)
}

#[test]
fn kinds_come_first() {
    let (schema, batch) = small();
    let mut encoder = JsonEncoder::new(schema, JsonEncodeOptions::default()).unwrap();
    let mut out = Vec::new();
    let kinds = RowKinds::new(vec![RowKind::UpdateBefore, RowKind::Delete]);
    encoder.encode_changes(&batch, Some(&kinds), &mut out).unwrap();
    encoder.encode_changes(&batch.slice(0, 1), None, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"_op\":\"-U\",\"a\":1,\"b\":\"x\"}\n{\"_op\":\"-D\",\"a\":2,\"b\":null}\n{\"_op\":\"+I\",\"a\":1,\"b\":\"x\"}\n"
    );
}

#[test]
fn one_array() {
    let (schema, batch) = small();
    let options = JsonEncodeOptions { layout: JsonLayout::Array, ..JsonEncodeOptions::default() };
    let text = encode(&schema, &batch, options.clone());
    assert_eq!(text, "[\n{\"a\":1,\"b\":\"x\"},\n{\"a\":2,\"b\":null}\n]\n");
    assert_eq!(encode(&schema, &batch.slice(0, 0), options), "[\n]\n");
}

#[test]
fn line_breaks_in_json_columns_become_blanks() {
    let schema = Arc::new(Schema::new(vec![types::json_field("j", true)]));
    let mut column = Column::new(&schema.fields()[0], &ValueFormats::default(), 1).unwrap();
    column.push_text(b"{\n\"a\": 1\r\n}").unwrap();
    let batch = RecordBatch::try_new(schema.clone(), vec![column.finish().unwrap()]).unwrap();
    assert_eq!(encode(&schema, &batch, JsonEncodeOptions::default()), "{\"j\":{ \"a\": 1  }}\n");
    assert!(column.push_text(b"{").is_err() && column.is_empty());
}

#[test]
fn types_without_a_form_are_refused() {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let schema = Arc::new(Schema::new(vec![Field::new("d", dictionary, true)]));
    let error = JsonEncoder::new(schema, JsonEncodeOptions::default()).unwrap_err();
    assert!(error.message.contains("'d'"), "{error}");
}
