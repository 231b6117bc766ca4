//! How many records of each partition are there that were not read yet, for whoever watches the job.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use velo_core::progress::Progress;

use crate::properties::Isolation;

/// The ends of partitions as the cluster said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Behind the last record.
    pub(crate) last: i64,
    /// Behind the last one that no open transaction can take back.
    pub(crate) stable: i64,
}

/// A topic and the number of a partition.
pub(crate) type Place = (String, i32);

/// How far the partitions of a stream are read.
pub(crate) struct Lags {
    progress: Arc<Progress>,
    isolation: Isolation,
    read: Mutex<BTreeMap<Place, Arc<AtomicI64>>>,
}

impl Lags {
    /// Of a stream that nothing is known of yet.
    pub(crate) fn new(progress: Arc<Progress>, isolation: Isolation) -> Self {
        Self { progress, isolation, read: Mutex::default() }
    }

    /// The offset of the next record that is read of a partition, which is `from` now; its reader keeps it.
    pub(crate) fn of(&self, topic: &str, partition: i32, from: i64) -> Arc<AtomicI64> {
        let next = Arc::new(AtomicI64::new(from));
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert((topic.to_owned(), partition), Arc::clone(&next));
        next
    }

    /// Compares with what is there.
    pub(crate) fn compare(&self, ends: &BTreeMap<Place, Ends>) {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        for ((topic, partition), next) in read.iter() {
            let Some(ends) = ends.get(&(topic.clone(), *partition)) else { continue };
            let end = match self.isolation {
                Isolation::Committed => ends.stable,
                Isolation::Uncommitted => ends.last,
            };
            // One that was not asked for yet has no end.
            if let Ok(end) = u64::try_from(end) {
                let next = u64::try_from(next.load(Ordering::Relaxed)).unwrap_or(0);
                self.progress.lag.set(&format!("{topic}/{partition}"), end.saturating_sub(next));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_was_not_read_counts() {
        let ends = BTreeMap::from([
            (("t".to_owned(), 0), Ends { last: 12, stable: 10 }),
            (("t".to_owned(), 1), Ends { last: -1, stable: -1 }),
        ]);
        for (isolation, expected) in [(Isolation::Committed, 3), (Isolation::Uncommitted, 5)] {
            let progress = Arc::new(Progress::new());
            let lags = Lags::new(Arc::clone(&progress), isolation);
            let next = lags.of("t", 0, 2);
            let _ = (lags.of("t", 1, 0), lags.of("u", 0, 0));
            assert_eq!(progress.lag.total(), None);
            next.store(7, Ordering::Relaxed);
            lags.compare(&ends);
            assert_eq!(progress.lag.each(), BTreeMap::from([("t/0".to_owned(), expected)]));
            // What was read since the cluster was asked is not behind.
            next.store(20, Ordering::Relaxed);
            lags.compare(&ends);
            assert_eq!(progress.lag.total(), Some(0));
        }
    }
}
