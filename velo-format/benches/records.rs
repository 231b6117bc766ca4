//! Records per second and core of the formats of messages, over the same rows: one JSON line per figure.
#![expect(clippy::print_stdout, reason = "the figures are what a bench prints")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot begin has nothing to say")]

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use prost_reflect::DynamicMessage;
use velo_core::clock::Stopwatch;
use velo_core::connector::DecodeColumn;
use velo_core::types;
use velo_format::avro::{
    AvroDecodeOptions, AvroDecoder, AvroEncoder, AvroSchema, AvroSource, DebeziumAvroEncoder, envelope_schema,
    schema_of_columns,
};
use velo_format::csv::{CsvDecodeOptions, CsvDecoder, CsvEncodeOptions, CsvEncoder, Dialect};
use velo_format::debezium::{DebeziumDecoder, DebeziumEncoder};
use velo_format::fuzz::{Random, origin};
use velo_format::json::{JsonDecodeOptions, JsonDecoder, JsonEncodeOptions, JsonEncoder};
use velo_format::protobuf::{
    ProtoDecodeOptions, ProtoDecoder, ProtoEncoder, ProtoSchema, ProtoSource, proto_of_columns,
};
use velo_format::records::{RecordDecoder, RecordEncoder};

const ROWS: usize = 8192;

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("symbol", DataType::Utf8),
        field("price", types::decimal(18, 4)),
        field("quantity", DataType::Int64),
        field("ts", types::TIMESTAMP),
        field("venue", DataType::Utf8),
        field("id", DataType::Int64),
    ]))
}

/// Trades, one record of JSON each.
fn texts() -> Vec<String> {
    let mut random = Random::new(42);
    let record = |id: usize| {
        format!(
            "{{\"symbol\":\"SYM{:04}\",\"price\":\"{}.{:04}\",\"quantity\":{},\"ts\":\"{}\",\"venue\":\"{}\",\"id\":{}}}",
            random.below(1000),
            100 + random.below(900),
            random.below(10_000),
            1 + random.below(5000),
            velo_core::time::iso8601((1_704_067_200_000 + id as i64 * 7) * 1000),
            ["XNAS", "XNYS", "XLON", "XETR"][random.below(4) as usize],
            100_000 + id
        )
    };
    (0..ROWS).map(record).collect()
}

/// Records behind each other, and where each is.
struct Records {
    bytes: Bytes,
    places: Vec<(Range<usize>, u64)>,
}

fn records(encoder: &mut dyn RecordEncoder, batch: &RecordBatch) -> Records {
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    encoder.encode_records(batch, &mut out, &mut ends).unwrap();
    let mut start = 0;
    let places = ends.iter().enumerate().map(|(at, end)| (std::mem::replace(&mut start, *end)..*end, at as u64));
    let places = places.collect();
    Records { bytes: Bytes::from(out), places }
}

/// `cargo bench --bench records -- NAME…` takes those with a NAME in theirs.
fn is_wanted(name: &str) -> bool {
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    wanted.peek().is_none() || wanted.any(|wanted| name.contains(&wanted))
}

/// The best of the passes of at least a second.
fn measure(name: &str, bytes: usize, mut pass: impl FnMut()) {
    if !is_wanted(name) {
        return;
    }
    pass();
    let whole = Stopwatch::start();
    let mut best = f64::INFINITY;
    while whole.elapsed().as_millis() < 1000 {
        let one = Stopwatch::start();
        pass();
        best = best.min(one.elapsed().as_secs_f64());
    }
    let (rate, volume) = (ROWS as f64 / best, bytes as f64 / best / 1e6);
    println!("{{\"bench\":\"records/{name}\",\"records_per_s\":{rate:.0},\"mb_per_s\":{volume:.0}}}");
}

fn both(name: &str, encoder: &mut dyn RecordEncoder, decoder: &dyn RecordDecoder, batch: &RecordBatch) {
    let Records { bytes, places } = records(encoder, batch);
    let decoded = decoder.decode_records(&bytes, &origin(1), &mut places.iter().cloned()).unwrap();
    assert!(decoded.errors.is_empty(), "{:?}", decoded.errors.first());
    assert_eq!(decoded.batches[0].columns, *batch, "{name}");
    measure(&format!("decode_{name}"), bytes.len(), || {
        black_box(decoder.decode_records(&bytes, &origin(1), &mut places.iter().cloned()).ok());
    });
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    measure(&format!("encode_{name}"), bytes.len(), || {
        out.clear();
        ends.clear();
        black_box(encoder.encode_records(batch, &mut out, &mut ends).ok());
    });
}

fn main() {
    let schema = schema();
    let columns: Vec<DecodeColumn> = schema.fields().iter().map(DecodeColumn::of).collect();
    let (batch_rows, keep_bytes, formats) = (ROWS, false, velo_format::value::ValueFormats::default());
    let json = || JsonDecodeOptions {
        columns: columns.clone(),
        declared: None,
        batch_rows,
        keep_bytes,
        formats: formats.clone(),
    };
    let decoder = JsonDecoder::new(json()).unwrap();
    let (mut text, mut places) = (String::new(), Vec::new());
    for (at, record) in texts().iter().enumerate() {
        places.push((text.len()..text.len() + record.len(), at as u64));
        text.push_str(record);
    }
    let bytes = Bytes::from(text);
    let decoded = decoder.decode_records(&bytes, &origin(1), places).unwrap();
    let batch = &decoded.batches[0].columns;
    both("json", &mut JsonEncoder::new(schema.clone(), JsonEncodeOptions::default()).unwrap(), &decoder, batch);

    let dialect = Dialect::default().without_header();
    let options = CsvDecodeOptions {
        dialect: dialect.clone(),
        formats: formats.clone(),
        declared: schema.clone(),
        columns: columns.clone(),
        batch_rows,
        keep_bytes,
    };
    let encode_options = CsvEncodeOptions { dialect, ..CsvEncodeOptions::default() };
    let mut encoder = CsvEncoder::new(schema.clone(), encode_options).unwrap();
    both("csv", &mut encoder, &CsvDecoder::new(options).unwrap(), batch);

    let avro = |text: &str, changes| {
        let target = Arc::new(AvroSchema::parse(text, &[]).unwrap());
        let options = AvroDecodeOptions {
            columns: columns.clone(),
            declared: None,
            batch_rows,
            keep_bytes,
            formats: formats.clone(),
            source: AvroSource::File(target.clone()),
            changes,
        };
        (AvroDecoder::new(options).unwrap(), target)
    };
    let (decoder, target) = avro(&schema_of_columns("Trade", schema.fields()).unwrap(), false);
    both("avro", &mut AvroEncoder::new(&schema, &target, None).unwrap(), &decoder, batch);

    let (decoder, target) = avro(&envelope_schema("Trade", schema.fields()).unwrap(), true);
    both("debezium_avro", &mut DebeziumAvroEncoder::new(&schema, &target, None).unwrap(), &decoder, batch);
    let mut encoder = DebeziumEncoder::new(schema.clone(), JsonEncodeOptions::default()).unwrap();
    both("debezium_json", &mut encoder, &DebeziumDecoder::new(json()).unwrap(), batch);

    let text = proto_of_columns("Trade", schema.fields()).unwrap();
    let message = ProtoSchema::parse(&text, &[]).unwrap().message(None).unwrap();
    let source = ProtoSource::File(message.clone());
    let options = ProtoDecodeOptions { columns, declared: None, batch_rows, keep_bytes, formats, source };
    let mut encoder = ProtoEncoder::new(&schema, &message, None).unwrap();
    both("protobuf", &mut encoder, &ProtoDecoder::new(options).unwrap(), batch);
    // The same messages as objects of the library, which would be the first half of the way into columns.
    let Records { bytes, places } = records(&mut encoder, batch);
    measure("reflect_protobuf", bytes.len(), || {
        for (place, _) in &places {
            black_box(DynamicMessage::decode(message.clone(), &bytes[place.clone()]).ok());
        }
    });
}
