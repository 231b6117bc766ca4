//! How many keys a second one core looks up, what a row costs in memory, and what updates beside it cost the reader.
//!
//! Rates are by the time that the thread had a core to itself, where the system tells it: neighbours that take turns do not count.
//!
//! `cargo bench -p velo-tables`, or with the name of one part behind `--`: `lookups`, `load`, `grow`, `updates`; of the first also with what
//! the lines that are wanted say, as `lookups 'integer key, 1000000'`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and stops where it cannot go on")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::clock::Stopwatch;
use velo_core::lookup::{IndexId, Matches, TableReader, TableWriter};
use velo_core::{Batch, Clock, RowKind};
use velo_tables::{StoreSpec, Table, TableCounters, Writer, table};
use velo_testkit::Random;

const BATCH: u64 = 8_192;
const MILLION: u64 = 1_000_000;
const KEYS: [(&str, DataType); 2] = [("integer", DataType::Int64), ("13-byte string", DataType::Utf8)];

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let (wanted, only) = (arguments.next(), arguments.next().unwrap_or_default());
    let part = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    if part("lookups") {
        runtime.block_on(lookups(&only));
    }
    for (name, whole) in [("load", true), ("grow", false)].into_iter().filter(|(name, _)| part(name)) {
        if !only.is_empty() {
            runtime.block_on(load(&only, whole));
            continue;
        }
        // Each in a process of its own: what one gave back would count for the other.
        for (key, _) in KEYS {
            let own = std::env::current_exe().unwrap();
            assert!(std::process::Command::new(own).args([name, key]).status().unwrap().success());
        }
    }
    if part("updates") {
        runtime.block_on(updates());
    }
}

/// The time that this thread has run, in nanoseconds; that of the clock where the system does not tell.
#[derive(Debug)]
struct OnCore(Stopwatch);

impl OnCore {
    fn new() -> Self {
        Self(Stopwatch::start())
    }

    fn nanos(&self) -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let told = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
        told.unwrap_or_else(|| self.0.elapsed().as_nanos() as u64)
    }
}

/// A key of 13 bytes.
fn text(number: u64) -> String {
    format!("sym{number:010}")
}

fn schema(key: &DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", key.clone(), true),
        Field::new("name", DataType::Utf8, true),
        Field::new("price", DataType::Decimal128(18, 4), true),
        Field::new("quantity", DataType::Int64, true),
    ]))
}

fn keys(key: &DataType, numbers: impl Iterator<Item = u64>) -> ArrayRef {
    match key {
        DataType::Utf8 => Arc::new(StringArray::from_iter_values(numbers.map(text))),
        _ => Arc::new(Int64Array::from_iter_values(numbers.map(|number| number as i64))),
    }
}

fn rows(schema: &SchemaRef, numbers: &[u64], salt: u64) -> RecordBatch {
    let price = Decimal128Array::from_iter_values(numbers.iter().map(|number| i128::from(number * 100 + salt)));
    let columns: Vec<ArrayRef> = vec![
        keys(schema.field(0).data_type(), numbers.iter().copied()),
        Arc::new(StringArray::from_iter_values(numbers.iter().map(|number| format!("name {number}")))),
        Arc::new(price.with_precision_and_scale(18, 4).unwrap()),
        Arc::new(Int64Array::from_iter_values(numbers.iter().map(|number| (number % 1_000) as i64))),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

fn empty(schema: &SchemaRef) -> (Arc<Table>, Writer) {
    table(StoreSpec {
        name: "t".to_owned(),
        schema: Arc::clone(schema),
        key: vec![0],
        indexes: vec![vec![0]],
        null_keys: false,
        keeps_versions: false,
        counters: Arc::new(TableCounters::default()),
        budget: None,
    })
    .unwrap()
}

async fn filled(schema: &SchemaRef, count: u64) -> (Arc<Table>, Writer) {
    let (reader, mut writer) = empty(schema);
    for from in (0..count).step_by(BATCH as usize) {
        let numbers: Vec<_> = (from..count.min(from + BATCH)).collect();
        writer.apply(&Batch::new(rows(schema, &numbers, 0))).unwrap();
    }
    writer.ready().await.unwrap();
    (reader, writer)
}

/// Batches of keys, of which one in `miss` is not there (none, where that is 0).
fn sought(key: &DataType, count: u64, miss: u64) -> Vec<ArrayRef> {
    let mut random = Random::new(9);
    (0..64)
        .map(|_| {
            let number = |random: &mut Random| {
                let number = random.below(count);
                if miss > 0 && random.chance(1, miss) { number + count } else { number }
            };
            keys(key, (0..BATCH).map(|_| number(&mut random)).collect::<Vec<_>>().into_iter())
        })
        .collect()
}

async fn lookups(only: &str) {
    let core = OnCore::new();
    for (name, key) in KEYS {
        for count in [10_000, MILLION] {
            let (reader, _writer) = filled(&schema(&key), count).await;
            let version = reader.version();
            let report = |what: &str, miss: u64, work: &mut dyn FnMut(&ArrayRef)| {
                let what = format!("{name} key, {count} rows, {what}");
                if !what.contains(only) {
                    return;
                }
                let batches = sought(&key, count, miss);
                let mut best = f64::MAX;
                for _ in 0..5 {
                    // The system's account is not finer than some milliseconds.
                    let before = core.nanos();
                    (0..8).for_each(|_| batches.iter().for_each(&mut *work));
                    best = best.min((core.nanos() - before) as f64 / 8e9);
                }
                let rate = batches.len() as f64 * BATCH as f64 / best / 1e6;
                println!("{what}: {rate:.1} million a second");
            };
            let mut found = Vec::new();
            for (what, miss) in [("find_one", 0), ("find_one, half of them absent", 2)] {
                report(what, miss, &mut |keys| {
                    version.find_one(IndexId(0), std::slice::from_ref(keys), &mut found).unwrap();
                });
            }
            if key == DataType::Int64 {
                let memory = Memory::new(count);
                let mut sum = 0;
                report("memory alone: a line and a word for each key", 0, &mut |keys| {
                    let keys = keys.as_any().downcast_ref::<Int64Array>().unwrap();
                    sum ^= memory.read(keys.values());
                });
                std::hint::black_box(sum);
            }
            let mut matches = Matches::default();
            report("find", 0, &mut |keys| {
                version.find(IndexId(0), std::slice::from_ref(keys), &mut matches).unwrap();
            });
            report("find_one and take of two columns", 0, &mut |keys| {
                version.find_one(IndexId(0), std::slice::from_ref(keys), &mut found).unwrap();
                std::hint::black_box(version.take(&found, &[1, 2]).unwrap());
            });
        }
    }
}

/// What any index must read of memory: a line of slots, then a value of the column that it names. Its rate is the machine's, and
/// that of lookups is to be seen beside it.
struct Memory {
    lines: Vec<[u64; 8]>,
    words: Vec<u64>,
}

impl Memory {
    fn new(count: u64) -> Self {
        let mut random = Random::new(1);
        // Between two and three slots a key.
        Self { lines: (0..count * 9 / 32).map(|_| [random.below(count); 8]).collect(), words: (0..count).collect() }
    }

    fn read(&self, keys: &[i64]) -> u64 {
        let (mut sum, mut rows) = (0, Vec::with_capacity(128));
        for keys in keys.chunks(128) {
            rows.clear();
            rows.extend(keys.iter().map(|key| {
                let mixed = (*key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let line = ((u128::from(mixed) * self.lines.len() as u128) >> 64) as usize;
                self.lines[line][*key as usize % 8]
            }));
            sum ^= rows.iter().fold(0, |sum, row| sum ^ self.words[*row as usize]);
        }
        sum
    }
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0_u64) * 4_096
}

/// Ten million rows: the whole content of a source, which is shown when it is there, or rows that are shown as they come.
async fn load(only: &str, whole: bool) {
    const ROWS: u64 = 10 * MILLION;
    let core = OnCore::new();
    for (name, key) in KEYS.into_iter().filter(|(name, _)| *name == only) {
        let schema = schema(&key);
        let before = resident();
        let (reader, mut writer) = empty(&schema);
        let (mut seconds, mut arrow, mut peak, mut worst) = (0.0, 0, 0, 0.0_f64);
        if whole {
            writer.begin_reload().unwrap();
        }
        for from in (0..ROWS).step_by(BATCH as usize) {
            let numbers: Vec<_> = (from..ROWS.min(from + BATCH)).collect();
            let made = rows(&schema, &numbers, 0);
            arrow +=
                made.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap()).sum::<usize>();
            let batch = Batch::new(made);
            let began = core.nanos();
            writer.apply(&batch).unwrap();
            if !whole && from / BATCH % 64 == 63 {
                writer.publish().await.unwrap();
            }
            let took = (core.nanos() - began) as f64 / 1e9;
            (seconds, worst) = (seconds + took, worst.max(took));
            drop(batch);
            if (from / BATCH).is_multiple_of(16) {
                peak = peak.max(resident() - before);
            }
        }
        if whole {
            // It is not only this thread that works here.
            let began = Stopwatch::start();
            writer.commit_reload().await.unwrap();
            seconds += began.elapsed().as_secs_f64();
            peak = peak.max(resident() - before);
        }
        writer.finish().await.unwrap();
        drop(writer);
        let (memory, rest) = (reader.version().memory(), resident() - before);
        let of = |bytes: f64| format!("{:.0} bytes a row", bytes / ROWS as f64);
        println!(
            "{} of 10 million rows, {name} key: {:.2} million rows a second, slowest batch {:.1} ms; Arrow {}, counted {}, \
             resident {}, at the peak {}; allowed at rest {}, at the peak {}",
            if whole { "load" } else { "growth" },
            ROWS as f64 / seconds / 1e6,
            worst * 1e3,
            of(arrow as f64),
            of(memory as f64),
            of(rest as f64),
            of(peak as f64),
            of(1.3 * arrow as f64 + 24.0 * ROWS as f64),
            of(1.6 * arrow as f64 + 24.0 * ROWS as f64),
        );
    }
}

/// Looks keys up until told to stop, and counts them.
fn look_up(reader: &Table, batches: &[ArrayRef], stop: &AtomicBool, count: &AtomicU64, nanos: &AtomicU64) {
    let mut found = Vec::new();
    let core = OnCore::new();
    for (round, keys) in batches.iter().cycle().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if round % 16 == 0 {
            nanos.store(core.nanos(), Ordering::Relaxed);
        }
        let version = reader.version();
        version.find_one(IndexId(0), std::slice::from_ref(keys), &mut found).unwrap();
        count.fetch_add(BATCH, Ordering::Relaxed);
    }
}

async fn updates() {
    const ROWS: u64 = 10 * MILLION;
    const EACH: u64 = 1_000;
    let clock = Clock::system();
    for (name, key) in KEYS {
        let schema = schema(&key);
        let (reader, mut writer) = filled(&schema, ROWS).await;
        let stop = Arc::new(AtomicBool::new(false));
        let (count, nanos) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let looking = {
            let (reader, stop) = (Arc::clone(&reader), Arc::clone(&stop));
            let (count, nanos) = (Arc::clone(&count), Arc::clone(&nanos));
            let batches = sought(&key, ROWS, 0);
            std::thread::spawn(move || look_up(&reader, &batches, &stop, &count, &nanos))
        };
        let mut random = Random::new(3);
        let (mut alone, mut beside, mut busy) = (0.0, 0.0, Duration::ZERO);
        // In turns, so that neighbours of the machine are there for both.
        for turn in 0..8_u64 {
            let updating = turn % 2 == 1;
            let now = || (count.load(Ordering::Relaxed), nanos.load(Ordering::Relaxed));
            let (watch, before) = (Stopwatch::start(), now());
            for round in 0..10 {
                if updating {
                    let work = Stopwatch::start();
                    let numbers: Vec<_> = (0..EACH).map(|_| random.below(ROWS)).collect();
                    let kinds = vec![RowKind::UpdateAfter; EACH as usize];
                    writer.apply(&Batch::changes(rows(&schema, &numbers, turn), kinds)).unwrap();
                    writer.publish().await.unwrap();
                    busy += work.elapsed();
                }
                let until = Duration::from_millis(100 * (round + 1));
                clock.sleep(until.saturating_sub(watch.elapsed())).await;
            }
            let after = now();
            let rate = (after.0 - before.0) as f64 * 1e3 / (after.1 - before.1) as f64;
            if updating { beside += rate / 4.0 } else { alone += rate / 4.0 }
        }
        stop.store(true, Ordering::Relaxed);
        looking.join().unwrap();
        println!(
            "{name} key, 10 million rows: {alone:.1} million lookups a second alone, {beside:.1} beside 10,000 updates a second \
             ({:.0} %); the writer was busy for {:.1} ms of each 100",
            100.0 * beside / alone,
            busy.as_secs_f64() * 1e3 / 40.0,
        );
        // Every eighth row updated: what is merged in the background, and what a lookup costs meanwhile.
        let before = reader.version().memory();
        for turn in 0..200 {
            let numbers: Vec<_> = (0..BATCH).map(|_| random.below(ROWS)).collect();
            let kinds = vec![RowKind::UpdateAfter; BATCH as usize];
            writer.apply(&Batch::changes(rows(&schema, &numbers, turn), kinds)).unwrap();
            writer.publish().await.unwrap();
        }
        let unsettled = reader.version().memory();
        let watch = Stopwatch::start();
        writer.settle().await.unwrap();
        println!(
            "{name} key, 1.6 million more updates: {} MB, then {} MB, settled {} MB after {:.1} s",
            before / 1_000_000,
            unsettled / 1_000_000,
            reader.version().memory() / 1_000_000,
            watch.elapsed().as_secs_f64()
        );
    }
}
