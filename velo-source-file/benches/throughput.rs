//! How fast files are read in chunks, before any decoding, and written by the sinks: neither should ever be what limits a job.
//!
//! `cargo bench -p velo-source-file`; sizes are those of trades of about a hundred bytes.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and stops where it cannot go on")]

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use velo_core::clock::Stopwatch;
use velo_core::connector::{
    ChangelogMode, CheckpointId, Connector, DecodeColumn, Fetch, Guarantee, SinkRequest, SourceRequest,
};
use velo_core::progress::Progress;
use velo_core::properties::Options;
use velo_core::{Batch, Clock, types};
use velo_format::{Encoder, JsonEncodeOptions, JsonEncoder};
use velo_source_file::FileConnector;

const SIZE: usize = 512 << 20;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trades.jsonl").to_string_lossy().into_owned();
        let line = "{\"symbol\":\"BTCUSD\",\"price\":43250.1250,\"quantity\":17,\"venue\":\"X1\",\"ts\":1704067200000,\"id\":123}\n";
        std::fs::write(&path, line.repeat(SIZE / line.len())).unwrap();
        for watch in ["false", "true"] {
            best(&format!("read, watch = {watch}"), SIZE, async || read(&path, watch).await).await;
        }
        best("read a line appended to a watched file", 0, async || latency(&path).await).await;
        let (size, elapsed) = encode();
        report("encode alone", size, elapsed);
        let out = folder.path().join("out.jsonl").to_string_lossy().into_owned();
        for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
            let elapsed = write(&out, guarantee).await;
            let size = std::fs::metadata(&out).unwrap().len() as usize;
            report(&format!("write, {guarantee:?}"), size, elapsed);
        }
    });
}

async fn best(name: &str, bytes: usize, mut run: impl AsyncFnMut() -> Duration) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        best = best.min(run().await);
    }
    report(name, bytes, best);
}

fn report(name: &str, bytes: usize, elapsed: Duration) {
    match bytes {
        0 => println!("{name}: {elapsed:?}"),
        bytes => println!("{name}: {:.2} GB/s", bytes as f64 / elapsed.as_secs_f64() / 1e9),
    }
}

fn request() -> SourceRequest {
    let field = Arc::new(Field::new("id", DataType::Int64, true));
    SourceRequest {
        name: "trades".to_owned(),
        ordinal: 0,
        columns: vec![DecodeColumn::of(&field)],
        declared: Arc::new(Schema::new(vec![field])),
        batch_rows: 8_192,
        keep_bytes: false,
        clock: Clock::system(),
        progress: Arc::new(Progress::new()),
    }
}

async fn read(path: &str, watch: &str) -> Duration {
    let binding = FileConnector.bind_source(&mut Options::from_pairs([("path", path), ("watch", watch)])).unwrap();
    let mut source = binding.open(request()).await.unwrap();
    let mut reader = source.reader(0, None).await.unwrap();
    let watch = Stopwatch::start();
    let (mut read, size) = (0, std::fs::metadata(path).unwrap().len() as usize);
    while read < size {
        match reader.next().await.unwrap() {
            Fetch::Chunk(chunk) => read += chunk.bytes.len(),
            Fetch::CaughtUp => {}
            Fetch::End => break,
        }
    }
    watch.elapsed()
}

async fn latency(beside: &str) -> Duration {
    use std::io::Write;
    let path = format!("{beside}.small");
    std::fs::write(&path, "").unwrap();
    let binding =
        FileConnector.bind_source(&mut Options::from_pairs([("path", &*path), ("watch", "true"), ("format", "json")]));
    let mut source = binding.unwrap().open(request()).await.unwrap();
    let mut reader = source.reader(0, None).await.unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let mut worst = Duration::ZERO;
    for _ in 0..200 {
        let watch = Stopwatch::start();
        file.write_all(b"{\"id\":1}\n").unwrap();
        reader.next().await.unwrap();
        worst = worst.max(watch.elapsed());
    }
    worst
}

const BATCHES: usize = 1_000;

fn batch() -> Batch {
    let rows = 8_192;
    let schema = Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8, true),
        Field::new("price", types::decimal(18, 4), true),
        Field::new("quantity", DataType::Int64, true),
    ]));
    let price = Decimal128Array::from_iter_values((0..rows).map(|at| at * 10_007));
    let columns = RecordBatch::try_new(
        schema,
        vec![
            Arc::new(StringArray::from_iter_values((0..rows).map(|at| format!("SYMBOL{}", at % 100)))),
            Arc::new(price.with_precision_and_scale(18, 4).unwrap()),
            Arc::new(Int64Array::from_iter_values(0..rows as i64)),
        ],
    );
    Batch::new(columns.unwrap())
}

/// What the encoder takes, to which writing should add nothing.
fn encode() -> (usize, Duration) {
    let batch = batch();
    let mut encoder = JsonEncoder::new(batch.schema(), JsonEncodeOptions::default()).unwrap();
    let watch = Stopwatch::start();
    let (mut out, mut size) = (Vec::new(), 0);
    for _ in 0..BATCHES {
        out.clear();
        encoder.encode(&batch.columns, &mut out).unwrap();
        size += out.len();
    }
    (size, watch.elapsed())
}

async fn write(path: &str, guarantee: Guarantee) -> Duration {
    let batch = batch();
    let request = SinkRequest {
        name: "out".to_owned(),
        schema: batch.schema(),
        key: Vec::new(),
        mode: ChangelogMode::Append,
        guarantee,
        bounded: true,
        after: None,
        transactions: None,
        clock: Clock::system(),
        progress: Arc::new(Progress::new()),
    };
    let binding = FileConnector.bind_sink(&mut Options::from_pairs([("path", path)])).unwrap();
    let mut sink = binding.open(request).await.unwrap();
    let watch = Stopwatch::start();
    for _ in 0..BATCHES {
        sink.write(batch.clone()).await.unwrap();
    }
    // Without the commit, which waits for the disk.
    let elapsed = watch.elapsed();
    sink.end().await.unwrap();
    let prepared = sink.prepare(CheckpointId(1)).await.unwrap();
    sink.commit(prepared).await.unwrap();
    elapsed
}
