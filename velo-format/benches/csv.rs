//! Records per second and core of reading and writing CSV: one JSON line per figure.
#![expect(clippy::print_stdout, reason = "the figures are what a bench prints")]

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema};
use bytes::Bytes;
use velo_core::clock::Stopwatch;
use velo_core::connector::{Chunk, ChunkDecoder, DecodeColumn};
use velo_core::error::ConnectorError;
use velo_core::offset::Position;
use velo_core::types::{TIMESTAMP, decimal};
use velo_format::Encoder;
use velo_format::csv::{CsvDecodeOptions, CsvDecoder, CsvEncodeOptions, CsvEncoder, CsvFramer, Dialect, Header};
use velo_format::framing::Framer;
use velo_format::fuzz::{Random, origin};
use velo_format::value::ValueFormats;

/// A chunk has about a mebibyte.
const RECORDS: usize = 15_000;

fn fields() -> Vec<FieldRef> {
    [
        ("trade_id", DataType::Int64),
        ("ts", TIMESTAMP),
        ("symbol", DataType::Utf8),
        ("price", decimal(18, 8)),
        ("quantity", decimal(18, 8)),
        ("buyer_is_maker", DataType::Boolean),
    ]
    .into_iter()
    .map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)))
    .collect()
}

/// Trades; `quoted` puts every field in quotes, `epoch` writes the time as milliseconds.
fn trades(quoted: bool, epoch: bool) -> Bytes {
    let mut random = Random::new(7);
    let mut text = String::new();
    let symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT"];
    let quote = if quoted { "\"" } else { "" };
    let mut micros = 1_723_161_255_342_000_i64;
    for record in 0..RECORDS {
        micros += random.below(400_000) as i64 / 1_000 * 1_000;
        let ts = if epoch { (micros / 1_000).to_string() } else { velo_core::time::iso8601(micros) };
        let symbol = symbols[random.below(4) as usize];
        let (whole, cents) = (50_000 + random.below(20_000), random.below(100));
        let quantity = random.below(100_000_000);
        let maker = random.chance(50);
        let fields = [
            (3_735_683_259 + record).to_string(),
            ts,
            symbol.to_owned(),
            format!("{whole}.{cents:02}000000"),
            format!("{}.{:08}", random.below(3), quantity),
            maker.to_string(),
        ];
        for (at, field) in fields.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}{quote}{field}{quote}", if at == 0 { "" } else { "," });
        }
        text.push('\n');
    }
    Bytes::from(text)
}

fn chunk(bytes: Bytes, header: Option<Arc<Header>>) -> Chunk {
    let frames = header.map(|header| header as Arc<dyn std::any::Any + Send + Sync>);
    Chunk { partition: 0, number: 0, bytes, origin: origin(2), end: Position::Row(0), frames }
}

/// Runs for at least 500 ms and takes the best pass. A word on the command line chooses the figures that have it.
fn measure(name: &str, bytes: usize, mut pass: impl FnMut()) {
    if std::env::args().skip(1).any(|word| !word.starts_with('-') && !name.contains(&word)) {
        return;
    }
    pass();
    let whole = Stopwatch::start();
    let mut best = f64::INFINITY;
    while whole.elapsed().as_millis() < 500 {
        let one = Stopwatch::start();
        pass();
        best = best.min(one.elapsed().as_secs_f64());
    }
    let (records, megabytes) = (RECORDS as f64 / best, bytes as f64 / best / 1e6);
    println!("{{\"bench\":\"csv/{name}\",\"records_per_s\":{records:.0},\"mb_per_s\":{megabytes:.0}}}");
}

fn decode(name: &str, bytes: Bytes, wanted: &[&str], formats: ValueFormats) -> Result<(), ConnectorError> {
    let all = fields();
    let header = Header { names: all.iter().map(|field| field.name().clone()).collect(), line: 1 };
    let columns = all.iter().filter(|field| wanted.is_empty() || wanted.contains(&field.name().as_str()));
    let columns = columns.map(|field| DecodeColumn {
        field: field.clone(),
        path: vec![field.name().clone()],
        exact: false,
        raw: false,
    });
    let decoder = CsvDecoder::new(CsvDecodeOptions {
        dialect: Dialect::default(),
        formats,
        declared: Arc::new(Schema::new(all.clone())),
        columns: columns.collect(),
        batch_rows: 8192,
        keep_bytes: false,
    })?;
    let size = bytes.len();
    let chunk = chunk(bytes, Some(Arc::new(header)));
    let decoded = decoder.decode(&chunk)?;
    let rows: usize = decoded.batches.iter().map(|batch| batch.rows()).sum();
    if let Some(error) = decoded.errors.first() {
        println!("{{\"bench\":\"csv/{name}\",\"error\":{:?}}}", error.message);
    }
    assert_eq!(rows, RECORDS, "every record is a row");
    measure(name, size, || {
        black_box(decoder.decode(black_box(&chunk)).is_ok());
    });
    Ok(())
}

fn main() -> Result<(), ConnectorError> {
    let iso = ValueFormats::default;
    let epoch = ValueFormats { timestamp: velo_format::TimestampFormat::Epoch(velo_format::value::EpochUnit::Millis) };
    decode("decode_trades", trades(false, false), &[], iso())?;
    decode("decode_trades_epoch", trades(false, true), &[], epoch)?;
    decode("decode_trades_two_columns", trades(false, false), &["symbol", "price"], iso())?;
    decode("decode_trades_quoted", trades(true, false), &[], iso())?;
    for (name, quoted) in [("frame_trades", false), ("frame_trades_quoted", true)] {
        let bytes = trades(quoted, false);
        measure(name, bytes.len(), || {
            let mut framer = CsvFramer::new(Dialect::default());
            framer.resume();
            black_box(framer.cut(black_box(&bytes), false).is_ok());
        });
    }
    let bytes = trades(false, false);
    let size = bytes.len();
    let all = fields();
    let schema = Arc::new(Schema::new(all.clone()));
    let columns = all.iter().map(|field| DecodeColumn {
        field: field.clone(),
        path: vec![field.name().clone()],
        exact: false,
        raw: false,
    });
    let dialect = CsvEncodeOptions::default().dialect;
    let header = Header { names: all.iter().map(|field| field.name().clone()).collect(), line: 1 };
    let decoder = CsvDecoder::new(CsvDecodeOptions {
        dialect,
        formats: iso(),
        declared: schema.clone(),
        columns: columns.collect(),
        batch_rows: 8192,
        keep_bytes: false,
    })?;
    let decoded = decoder.decode(&chunk(bytes, Some(Arc::new(header))))?;
    let mut encoder = CsvEncoder::new(schema, CsvEncodeOptions::default())?;
    let mut out = Vec::with_capacity(size * 2);
    measure("encode_trades", size, || {
        out.clear();
        for batch in &decoded.batches {
            black_box(encoder.encode(&batch.columns, &mut out).is_ok());
        }
    });
    Ok(())
}
