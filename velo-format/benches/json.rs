//! Records per second and core of the JSON decoder and writer: one JSON line per figure.
#![expect(clippy::print_stdout, reason = "the figures are what a bench prints")]

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use velo_core::clock::Stopwatch;
use velo_core::connector::{DecodeColumn, Decoded};
use velo_core::types;
use velo_format::encode::Encoder;
use velo_format::fuzz::{Random, origin};
use velo_format::json::{JsonDecodeOptions, JsonDecoder, JsonEncodeOptions, JsonEncoder, Layout};
use velo_format::value::ValueFormats;

/// About the chunk that a reader cuts.
const CHUNK: usize = 1 << 20;
const CHUNKS: usize = 16;

/// How often a record differs from the plain one, in percent.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    escapes: u64,
    unknown: u64,
    missing: u64,
    shuffled: u64,
    bad: u64,
    iso: bool,
}

fn record(random: &mut Random, id: u64, shape: Shape, out: &mut String) {
    let note = if random.chance(shape.escapes) { "\\n" } else { "" };
    let ts = 1_704_067_200_000 + id as i64 * 7;
    let ts = if shape.iso { format!("\"{}\"", velo_core::time::iso8601(ts * 1000)) } else { ts.to_string() };
    let mut members = vec![
        format!("\"symbol\":\"SYM{:04}{note}\"", random.below(1000)),
        format!("\"price\":\"{}.{:04}\"", 100 + random.below(900), random.below(10_000)),
        format!("\"quantity\":{}", 1 + random.below(5000)),
        format!("\"ts\":{ts}"),
        format!("\"venue\":\"{}\"", ["XNAS", "XNYS", "XLON", "XETR"][random.below(4) as usize]),
        format!("\"id\":{}", 100_000 + id % 900_000),
    ];
    if random.chance(shape.missing) {
        members.remove(random.below(6) as usize);
    }
    if random.chance(shape.unknown) {
        members.insert(random.below(6) as usize, "\"comment\":\"no column\"".to_owned());
    }
    if random.chance(shape.shuffled) {
        for at in 1..members.len() {
            members.swap(at, random.below(at as u64 + 1) as usize);
        }
    }
    let end = if random.chance(shape.bad) { "" } else { "}" };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{{{}{end}", members.join(","));
}

fn nested(random: &mut Random, id: u64, out: &mut String) {
    let (a, b) = (random.below(1000), random.below(100_000));
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{{\"id\":{id},\"order\":{{\"side\":\"buy\",\"price\":\"{a}.25\",\"quantity\":{b},\"tags\":[\"x\",\"y\"],\"account\":{{\"name\":\"ACC{a}\",\
         \"desk\":\"D{a}\",\"region\":\"EU\"}}}},\"meta\":{{\"ts\":{},\"source\":\"feed\",\"seq\":{id},\"flags\":{{\"a\":true,\"b\":false}}}}}}",
        1_704_067_200_000 + id
    );
}

fn chunks(mut make: impl FnMut(&mut Random, u64, &mut String)) -> (Vec<Bytes>, usize) {
    let mut random = Random::new(42);
    let mut id = 0;
    let chunks = (0..CHUNKS).map(|_| {
        let mut text = String::with_capacity(CHUNK + 1000);
        while text.len() < CHUNK {
            make(&mut random, id, &mut text);
            id += 1;
        }
        Bytes::from(text)
    });
    (chunks.collect(), id as usize)
}

fn column(name: &str, data_type: DataType) -> DecodeColumn {
    let path = name.split('.').map(str::to_owned).collect();
    DecodeColumn { field: Arc::new(Field::new(name, data_type, true)), path, exact: false, raw: false }
}

fn trades(iso: bool) -> Vec<DecodeColumn> {
    vec![
        column("symbol", DataType::Utf8),
        column("price", types::decimal(18, 4)),
        column("quantity", DataType::Int64),
        column("ts", if iso { types::TIMESTAMP } else { DataType::Int64 }),
        column("venue", DataType::Utf8),
        column("id", DataType::Int64),
    ]
}

/// `cargo bench --bench json -- NAME…` takes those with a NAME in theirs.
fn is_wanted(name: &str) -> bool {
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    wanted.peek().is_none() || wanted.any(|wanted| name.contains(&wanted))
}

/// The best of the passes of at least a second.
fn measure(name: &str, records: usize, bytes: usize, mut pass: impl FnMut()) {
    pass();
    let whole = Stopwatch::start();
    let mut best = f64::INFINITY;
    while whole.elapsed().as_millis() < 1000 {
        let one = Stopwatch::start();
        pass();
        best = best.min(one.elapsed().as_secs_f64());
    }
    let (rate, volume) = (records as f64 / best, bytes as f64 / best / 1e6);
    println!("{{\"bench\":\"json/{name}\",\"records_per_s\":{rate:.0},\"mb_per_s\":{volume:.0}}}");
}

fn decoder(columns: Vec<DecodeColumn>) -> Option<JsonDecoder> {
    let options = JsonDecodeOptions {
        columns,
        declared: None,
        batch_rows: 8192,
        keep_bytes: false,
        formats: ValueFormats::default(),
    };
    JsonDecoder::new(options).ok()
}

fn decode(name: &str, columns: Vec<DecodeColumn>, make: impl FnMut(&mut Random, u64, &mut String)) {
    let Some(decoder) = decoder(columns).filter(|_| is_wanted(name)) else { return };
    let (chunks, records) = chunks(make);
    let bytes = chunks.iter().map(Bytes::len).sum();
    measure(name, records, bytes, || {
        for chunk in &chunks {
            black_box(decoder.decode_bytes(black_box(chunk), &origin(1), Layout::Lines).ok());
        }
    });
}

fn encode() {
    let Some(decoder) = decoder(trades(true)).filter(|_| is_wanted("encode_trades")) else { return };
    let (chunks, records) = chunks(|random, id, out| record(random, id, Shape { iso: true, ..Shape::default() }, out));
    let bytes = chunks.iter().map(Bytes::len).sum();
    let decoded: Vec<Decoded> =
        chunks.iter().filter_map(|chunk| decoder.decode_bytes(chunk, &origin(1), Layout::Lines).ok()).collect();
    let fields: Vec<_> = trades(true).into_iter().map(|column| column.field).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let Ok(mut encoder) = JsonEncoder::new(schema, JsonEncodeOptions::default()) else { return };
    let mut out = Vec::new();
    measure("encode_trades", records, bytes, || {
        for batch in decoded.iter().flat_map(|decoded| &decoded.batches) {
            out.clear();
            black_box(encoder.encode(&batch.columns, &mut out).ok());
        }
    });
}

fn main() {
    let plain = Shape::default();
    let of = |shape: Shape| move |random: &mut Random, id: u64, out: &mut String| record(random, id, shape, out);
    let some =
        |names: &[&str]| trades(false).into_iter().filter(|c| names.contains(&c.path[0].as_str())).collect::<Vec<_>>();
    decode("decode_trades", trades(false), of(plain));
    decode("decode_trades_3_columns", some(&["symbol", "price", "ts"]), of(plain));
    decode("decode_trades_0_columns", vec![], of(plain));
    let mut raw = trades(false);
    raw.push(DecodeColumn { raw: true, ..column("ts", DataType::Utf8) });
    decode("decode_trades_and_raw_time", raw, of(plain));
    decode("decode_trades_iso8601", trades(true), of(Shape { iso: true, ..plain }));
    decode("decode_escapes_10", trades(false), of(Shape { escapes: 10, ..plain }));
    decode("decode_unknown_30", trades(false), of(Shape { unknown: 30, ..plain }));
    decode("decode_missing_30", trades(false), of(Shape { missing: 30, ..plain }));
    decode("decode_random_order", trades(false), of(Shape { shuffled: 100, ..plain }));
    decode("decode_bad_1", trades(false), of(Shape { bad: 1, ..plain }));
    let leaves = [
        ("id", DataType::Int64),
        ("order.side", DataType::Utf8),
        ("order.price", types::decimal(18, 4)),
        ("order.quantity", DataType::Int64),
        ("order.tags", types::array(DataType::Utf8)),
        ("order.account.name", DataType::Utf8),
        ("order.account.desk", DataType::Utf8),
        ("order.account.region", DataType::Utf8),
        ("meta.ts", DataType::Int64),
        ("meta.source", DataType::Utf8),
        ("meta.seq", DataType::Int64),
        ("meta.flags.a", DataType::Boolean),
        ("meta.flags.b", DataType::Boolean),
    ];
    decode("decode_nested_13", leaves.map(|(path, data_type)| column(path, data_type)).to_vec(), nested);
    encode();
}
