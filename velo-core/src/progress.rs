//! Counters that a running source, table or sink keeps, and anyone may read at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What one source or sink has done so far. Counters only grow; reading them never blocks the writer.
#[derive(Debug, Default)]
pub struct Progress {
    /// Records read, good and bad.
    pub records: AtomicU64,
    /// Bytes read or written.
    pub bytes: AtomicU64,
    /// Bytes in all, where known (0 where not).
    pub total_bytes: AtomicU64,
    /// Rows delivered to the plan, or written by a sink.
    pub delivered: AtomicU64,
    /// Records left out under `skip`.
    pub skipped: AtomicU64,
    /// Records that went to the dead letters.
    pub dead_letters: AtomicU64,
    /// Records whose event time was too far ahead of the clock to move the watermark.
    pub future: AtomicU64,
    /// Rows of a history from the time on at which what comes live begins, and rows that come live from before it.
    pub overlap: AtomicU64,
    /// Fields that the schema lacks.
    pub unknown_fields: AtomicU64,
    /// How often this process found a followed file cut or rewritten: what was written to it since the look before, and is in no copy,
    /// nobody has read.
    pub rewritten: AtomicU64,
    /// The source's watermark in microseconds; `i64::MIN` before the first.
    pub watermark: AtomicI64,
    /// How far it is behind what is there, where its system says that.
    pub lag: Lag,
}

/// For each partition how many records are there that were not read yet, as its system said last.
#[derive(Debug, Default)]
pub struct Lag(Mutex<BTreeMap<String, u64>>);

impl Lag {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        // Each number is whole by itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many records of a partition were not read.
    pub fn set(&self, partition: &str, records: u64) {
        self.known().insert(partition.to_owned(), records);
    }

    /// By the names of the partitions.
    pub fn each(&self) -> BTreeMap<String, u64> {
        self.known().clone()
    }

    /// Of all partitions; none where nothing is known.
    pub fn total(&self) -> Option<u64> {
        let known = self.known();
        (!known.is_empty()).then(|| known.values().sum())
    }
}

impl Progress {
    /// Counters at zero, no watermark.
    pub fn new() -> Self {
        Self { watermark: AtomicI64::new(i64::MIN), ..Self::default() }
    }

    /// What was counted, by what it counts: for a checkpoint.
    pub fn counted(&self) -> BTreeMap<String, u64> {
        self.counters().map(|(name, counter)| (name.to_owned(), Self::get(counter))).into_iter().collect()
    }

    /// Counts on from what was counted up to a checkpoint, and forgets what came after it.
    pub fn count_from(&self, counted: &BTreeMap<String, u64>) {
        for (name, counter) in self.counters() {
            counter.store(counted.get(name).copied().unwrap_or(0), Ordering::Relaxed);
        }
    }

    fn counters(&self) -> [(&'static str, &AtomicU64); 8] {
        [
            ("records", &self.records),
            ("bytes", &self.bytes),
            ("delivered", &self.delivered),
            ("skipped", &self.skipped),
            ("dead_letters", &self.dead_letters),
            ("future", &self.future),
            ("overlap", &self.overlap),
            ("unknown_fields", &self.unknown_fields),
        ]
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
