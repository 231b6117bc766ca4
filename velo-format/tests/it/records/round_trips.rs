//! Random rows of all types, written and read again by each format.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use velo_core::types;
use velo_format::avro::{AvroDecodeOptions, AvroDecoder, AvroEncoder, AvroSchema, AvroSource, schema_of_columns};
use velo_format::csv::{CsvDecodeOptions, CsvDecoder, CsvEncodeOptions, CsvEncoder, Dialect};
use velo_format::fuzz::Random;
use velo_format::json::{JsonDecodeOptions, JsonDecoder, JsonEncodeOptions, JsonEncoder};
use velo_format::protobuf::{
    ProtoDecodeOptions, ProtoDecoder, ProtoEncoder, ProtoSchema, ProtoSource, proto_of_columns,
};
use velo_format::records::{RecordDecoder, RecordEncoder};

use super::{batch, batch_of, columns_of, decode, encode};

fn structure() -> DataType {
    let inner = Fields::from(vec![Field::new("c", DataType::Utf8, true), Field::new("d", types::decimal(12, 3), true)]);
    DataType::Struct(
        vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::List(Arc::new(Field::new("item", DataType::Struct(inner), true))), true),
        ]
        .into(),
    )
}

fn schema() -> SchemaRef {
    let mut fields: Vec<Field> = [
        ("bool", DataType::Boolean),
        ("tiny", DataType::Int8),
        ("small", DataType::Int16),
        ("int", DataType::Int32),
        ("big", DataType::Int64),
        ("u8", DataType::UInt8),
        ("u16", DataType::UInt16),
        ("u32", DataType::UInt32),
        ("u64", DataType::UInt64),
        ("real", DataType::Float32),
        ("double", DataType::Float64),
        ("money", types::decimal(18, 4)),
        ("wide", types::decimal(50, 10)),
        ("text", DataType::Utf8),
        ("blob", DataType::Binary),
        ("day", DataType::Date32),
        ("clock", types::TIME),
        ("at", types::TIMESTAMP),
        ("at_nanos", types::TIMESTAMP_NANOS),
        ("span", types::INTERVAL),
        ("list", types::array(DataType::Int64)),
        ("map", types::map(DataType::Utf8, DataType::Float64)),
        ("pairs", types::map(DataType::Int32, DataType::Utf8)),
        ("inner", structure()),
    ]
    .into_iter()
    .map(|(name, ty)| Field::new(name, ty, true))
    .collect();
    fields.push(types::json_field("doc", true));
    fields.push(Field::new("id", DataType::Int64, false));
    Arc::new(Schema::new(fields))
}

/// A value in JSON. `nulls` says how many of a hundred are NULL, `inside` whether those in lists and maps can be.
fn value(field: &Field, random: &mut Random, nulls: u64, inside: bool) -> String {
    let whole = |random: &mut Random, bits: u32| {
        (random.next() as i64 >> (64 - bits) >> random.below(u64::from(bits))).to_string()
    };
    let unsigned =
        |random: &mut Random, bits: u32| (random.next() >> (64 - bits) >> random.below(u64::from(bits))).to_string();
    let is_list = matches!(field.data_type(), DataType::List(_) | DataType::Map(..));
    if field.is_nullable() && random.chance(if is_list && !inside { 0 } else { nulls }) {
        return "null".to_owned();
    }
    let item_nulls = if inside { nulls } else { 0 };
    let time = |random: &mut Random| random.below(4_000_000_000_000_000) as i64 - 1_000_000_000_000_000;
    match field.data_type() {
        DataType::Boolean => random.chance(50).to_string(),
        DataType::Int8 => whole(random, 8),
        DataType::Int16 => whole(random, 16),
        DataType::Int32 => whole(random, 32),
        DataType::Int64 => whole(random, 64),
        DataType::UInt8 => unsigned(random, 8),
        DataType::UInt16 => unsigned(random, 16),
        DataType::UInt32 => unsigned(random, 32),
        DataType::UInt64 => unsigned(random, 64),
        DataType::Float32 => (random.next() as i32 as f32 / 1024.0).to_string(),
        DataType::Float64 => (random.next() as i64 as f64 / 4096.0).to_string(),
        DataType::Decimal128(18, _) => format!("\"{}.{:04}\"", random.next() as i32, random.below(10_000)),
        DataType::Decimal128(..) => format!("\"-{}.{:03}\"", random.below(1_000_000), random.below(1_000)),
        DataType::Decimal256(..) => format!("\"-{}{}.{:010}\"", random.next(), random.next(), random.next() as u32),
        DataType::Utf8 if types::is_json(field) => {
            ["{\"a\":[1,null]}", "[]", "\"t\"", "1.50", "true"][random.below(5) as usize].to_owned()
        }
        DataType::Utf8 => {
            let mut text = String::new();
            for _ in 0..random.below(20) {
                text.push_str(["a", "é", "\\n", "\\\"", ",", "x y", "\\u0001"][random.below(7) as usize]);
            }
            format!("\"{text}\"")
        }
        DataType::Binary => format!("\"{}\"", ["", "AA==", "/w==", "AQIDBA=="][random.below(4) as usize]),
        DataType::Date32 => format!("\"{}\"", &velo_core::time::iso8601(time(random))[..10]),
        DataType::Time64(_) => format!("\"{}\"", &velo_core::time::iso8601(time(random))[11..19]),
        DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, _) => {
            format!("\"{}\"", velo_core::time::iso8601(time(random)))
        }
        DataType::Timestamp(..) => {
            let second = velo_core::time::iso8601(time(random) / 1_000_000 * 1_000_000);
            format!("\"{}.{:09}Z\"", second.trim_end_matches('Z'), random.below(1_000_000_000))
        }
        DataType::Interval(_) => format!("\"P{}M{}DT{}.5S\"", random.below(30), random.below(40), random.below(1000)),
        DataType::List(item) => {
            let items: Vec<String> = (0..random.below(4)).map(|_| value(item, random, item_nulls, inside)).collect();
            format!("[{}]", items.join(","))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(halves) = entries.data_type() else { panic!("a map has entries") };
            let entries =
                (0..random.below(4)).map(|at| format!("\"{at}\":{}", value(&halves[1], random, item_nulls, inside)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        DataType::Struct(fields) => object(fields, random, nulls, inside),
        other => panic!("{other}"),
    }
}

fn object(fields: &Fields, random: &mut Random, nulls: u64, inside: bool) -> String {
    let mut text = String::from("{");
    for (at, field) in fields.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}\"{}\":{}", field.name(), value(field, random, nulls, inside));
    }
    text + "}"
}

/// Random rows; `lists` says whether lists and maps can be NULL, and what is in them.
fn random_rows(schema: &SchemaRef, count: usize, seed: u64, lists: bool) -> RecordBatch {
    let mut random = Random::new(seed);
    let mut texts = Vec::new();
    for row in 0..count {
        let nulls = if row % 3 == 0 { 0 } else { 25 };
        let mut text = String::from("{");
        for (at, field) in schema.fields().iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}\"{}\":{}", field.name(), value(field, &mut random, nulls, lists));
        }
        texts.push(text + "}");
    }
    batch_of(schema, &texts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn check(encoder: &mut dyn RecordEncoder, decoder: &dyn RecordDecoder, rows: &RecordBatch) {
    let records = encode(encoder, rows);
    assert_eq!(records.len(), rows.num_rows());
    let read = batch(&decode(decoder, &records));
    for (at, field) in rows.schema().fields().iter().enumerate() {
        assert!(
            read.column(at) == rows.column(at),
            "{}: {:?} and {:?}",
            field.name(),
            read.column(at),
            rows.column(at)
        );
    }
}

#[test]
fn avro() {
    let schema = schema();
    let text = schema_of_columns("com.shop.Order", schema.fields()).unwrap();
    // It is one for others, too.
    apache_avro::Schema::parse_str(&text).unwrap();
    let target = Arc::new(AvroSchema::parse(&text, &[]).unwrap());
    for seed in 0..20 {
        let rows = random_rows(&schema, 50, seed, true);
        let mut encoder = AvroEncoder::new(&schema, &target, None).unwrap();
        let options = AvroDecodeOptions {
            columns: columns_of(schema.fields()),
            declared: None,
            batch_rows: 8192,
            keep_bytes: false,
            formats: Default::default(),
            source: AvroSource::File(target.clone()),
            changes: false,
        };
        check(&mut encoder, &AvroDecoder::new(options).unwrap(), &rows);
    }
}

#[test]
fn what_is_written_in_avro_others_read() {
    let schema = schema();
    let text = schema_of_columns("Order", schema.fields()).unwrap();
    let theirs = apache_avro::Schema::parse_str(&text).unwrap();
    let rows = random_rows(&schema, 50, 99, true);
    let target = AvroSchema::parse(&text, &[]).unwrap();
    for record in encode(&mut AvroEncoder::new(&schema, &target, None).unwrap(), &rows) {
        let mut rest = record.as_slice();
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(&theirs).build().unwrap();
        let value = reader.read_value(&mut rest).unwrap();
        assert!(rest.is_empty());
        assert!(value.validate(&theirs));
    }
}

#[test]
fn protobuf() {
    let schema = schema();
    let text = proto_of_columns("com.shop.Order", schema.fields()).unwrap();
    let message = ProtoSchema::parse(&text, &[]).unwrap().message(Some("com.shop.Order")).unwrap();
    for seed in 0..20 {
        // NULL lists are empty ones there, and nothing in a list can be NULL.
        let rows = random_rows(&schema, 50, seed, false);
        let mut encoder = ProtoEncoder::new(&schema, &message, None).unwrap();
        let options = ProtoDecodeOptions {
            columns: columns_of(schema.fields()),
            declared: None,
            batch_rows: 8192,
            keep_bytes: false,
            formats: Default::default(),
            source: ProtoSource::File(message.clone()),
        };
        let decoder = ProtoDecoder::new(options).unwrap();
        for record in encode(&mut encoder, &rows) {
            prost_reflect::DynamicMessage::decode(message.clone(), record.as_slice()).unwrap();
        }
        check(&mut encoder, &decoder, &rows);
    }
}

#[test]
fn json_and_csv() {
    let schema = schema();
    for seed in 0..5 {
        let rows = random_rows(&schema, 50, seed, true);
        let options = JsonDecodeOptions {
            columns: columns_of(schema.fields()),
            declared: None,
            batch_rows: 8192,
            keep_bytes: false,
            formats: Default::default(),
        };
        let mut encoder = JsonEncoder::new(schema.clone(), JsonEncodeOptions::default()).unwrap();
        check(&mut encoder, &JsonDecoder::new(options).unwrap(), &rows);
        let dialect = Dialect::default().without_header();
        let options = CsvDecodeOptions {
            dialect: dialect.clone(),
            formats: Default::default(),
            declared: schema.clone(),
            columns: columns_of(schema.fields()),
            batch_rows: 8192,
            keep_bytes: false,
        };
        let encode_options = CsvEncodeOptions { dialect, ..CsvEncodeOptions::default() };
        let mut encoder = CsvEncoder::new(schema.clone(), encode_options).unwrap();
        check(&mut encoder, &CsvDecoder::new(options).unwrap(), &rows);
    }
}
