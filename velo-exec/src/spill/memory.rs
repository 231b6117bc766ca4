//! How much memory the operators of a job may take, and who has to give some back.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::SpillFolder;
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::lookup::MemoryBudget;

use crate::error::{ExecError, Result};

/// The memory of a job's state.
#[derive(Debug)]
pub struct MemoryPool {
    /// Bytes; none: there is no bound, and nothing is counted.
    limit: Option<usize>,
    /// Whether whatever can lies on disk, whatever there is: for tests.
    forced: bool,
    used: AtomicUsize,
    /// Operators that keep more than a trifle.
    keepers: AtomicUsize,
    folder: SpillFolder,
}

/// An operator that keeps less than this takes part in no sharing out.
const TRIFLE: usize = 64 << 10;

impl MemoryPool {
    /// Without a bound.
    pub fn unbounded() -> Arc<Self> {
        Arc::new(Self::of(None, false, SpillFolder::temporary()))
    }

    /// With a bound in bytes; what does not fit goes below `folder`, or below the system's folder for temporary files.
    pub fn bounded(limit: usize, folder: Option<&Path>) -> Arc<Self> {
        Arc::new(Self::of(Some(limit), false, folder.map_or_else(SpillFolder::temporary, SpillFolder::below)))
    }

    /// Whatever can lies on disk whenever it is not looked at: so results can be compared with those of a job that has memory.
    pub fn forced() -> Arc<Self> {
        Arc::new(Self::of(Some(0), true, SpillFolder::temporary()))
    }

    fn of(limit: Option<usize>, forced: bool, folder: SpillFolder) -> Self {
        Self { limit, forced, used: AtomicUsize::new(0), keepers: AtomicUsize::new(0), folder }
    }

    /// Whether anything is counted.
    pub fn is_bounded(&self) -> bool {
        self.limit.is_some()
    }

    /// Bytes that all operators keep, as far as they have told.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The share of a table; none where nothing is counted.
    pub fn of_table(self: &Arc<Self>, table: &str) -> Option<Arc<dyn MemoryBudget>> {
        let memory = || Arc::new(TableMemory(Mutex::new(MemoryUse::new(self, table))));
        self.is_bounded().then(|| memory() as Arc<dyn MemoryBudget>)
    }

    /// Where to spill.
    pub(crate) fn folder(&self) -> &SpillFolder {
        &self.folder
    }

    /// Whether something of so many bytes that is only handed over goes by way of the disk.
    pub(crate) fn goes_by_disk(&self, bytes: usize) -> bool {
        self.forced || bytes > self.part(5)
    }

    pub(super) fn is_forced(&self) -> bool {
        self.forced
    }

    /// So many hundredths of the bound, in bytes.
    pub(crate) fn part(&self, hundredths: usize) -> usize {
        self.limit.map_or(usize::MAX, |limit| limit / 100 * hundredths)
    }

    /// Whether more than so many hundredths of the bound are in use, counting `more` bytes.
    pub(super) fn is_over(&self, hundredths: usize, more: usize) -> bool {
        self.used().saturating_add(more) > self.part(hundredths)
    }
}

/// What one operator tells the pool.
#[derive(Debug)]
pub struct MemoryUse {
    pool: Arc<MemoryPool>,
    statement: String,
    used: usize,
    /// Rows since memory was looked at last.
    unseen: usize,
}

/// Memory is looked at after so many rows, which take a thousandth of the bound or less where that is small: to add it up takes time.
const UNSEEN_ROWS: usize = 16_384;

impl MemoryUse {
    /// Of an operator of this statement.
    pub fn new(pool: &Arc<MemoryPool>, statement: &str) -> Self {
        Self { pool: Arc::clone(pool), statement: statement.to_owned(), used: 0, unseen: 0 }
    }

    /// The pool.
    pub fn pool(&self) -> &Arc<MemoryPool> {
        &self.pool
    }

    /// So many rows have come; whether it is time to tell how much is kept.
    pub fn sees(&mut self, rows: usize) -> bool {
        self.unseen += rows;
        let rows = self.pool.limit.map_or(UNSEEN_ROWS, |limit| UNSEEN_ROWS.min(limit >> 10));
        let is_time = self.unseen > 0 && self.unseen >= rows;
        if is_time {
            self.unseen = 0;
        }
        is_time
    }

    /// Bytes that it has told.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Tells how many bytes it keeps now.
    pub fn set(&mut self, used: usize) {
        let (before, pool) = (std::mem::replace(&mut self.used, used), &self.pool);
        if used >= before {
            pool.used.fetch_add(used - before, Ordering::Relaxed);
        } else {
            pool.used.fetch_sub(before - used, Ordering::Relaxed);
        }
        match (before >= TRIFLE, used >= TRIFLE) {
            (false, true) => drop(pool.keepers.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(pool.keepers.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// Whether it has its share of the bound, or more: who is above it gives memory back first.
    fn has_its_share(&self, hundredths: usize) -> bool {
        let keepers = self.pool.keepers.load(Ordering::Relaxed).max(1);
        self.used >= self.pool.part(hundredths) / keepers
    }

    /// Whether it is to put some of what it keeps on disk.
    pub(crate) fn is_to_spill(&self) -> bool {
        let pool = &self.pool;
        if pool.forced {
            return true;
        }
        // Above the second line it does not matter whose fault it is.
        (pool.is_over(SPILL, 0) && self.has_its_share(SPILL)) || pool.is_over(SPILL_ALL, 0)
    }

    /// Whether it would be if it kept so many bytes more.
    pub(super) fn would_spill(&self, more: usize) -> bool {
        self.pool.forced || self.pool.is_over(SPILL, more.saturating_mul(2))
    }

    /// Whether it is to get no more rows until it keeps less. What is on disk because a test wants it there does not count.
    pub(crate) fn is_full(&self) -> bool {
        !self.pool.forced && self.pool.is_over(SPILL_ALL, 0) && self.has_its_share(SPILL_ALL)
    }

    /// That it keeps what it cannot put on disk is an error above the bound.
    ///
    /// # Errors
    ///
    /// [`ExecError::Memory`] where the bound is passed, and this operator keeps its share or more, or the others had time enough to
    /// give theirs back.
    pub fn check(&self) -> Result<()> {
        let pool = &self.pool;
        let Some(limit) = pool.limit.filter(|_| !pool.forced) else { return Ok(()) };
        if (pool.used() > limit && self.has_its_share(100)) || pool.used() > limit + limit / 2 {
            return Err(self.too_much());
        }
        Ok(())
    }

    /// The error of an operator that keeps too much.
    pub(super) fn too_much(&self) -> ExecError {
        let [keeps, all, limit] = self.megabytes();
        ExecError::Memory { statement: self.statement.clone(), keeps, all, limit }
    }

    /// What it keeps, what all do, and the bound, in MiB.
    fn megabytes(&self) -> [u64; 3] {
        [self.used, self.pool.used(), self.pool.limit.unwrap_or_default()].map(|bytes| bytes.div_ceil(1 << 20) as u64)
    }
}

/// What one table tells the pool.
#[derive(Debug)]
struct TableMemory(Mutex<MemoryUse>);

impl MemoryBudget for TableMemory {
    fn keeps(&self, bytes: usize) -> Result<(), ConnectorError> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.set(bytes);
        memory.check().map_err(|_| {
            let ([keeps, all, limit], table) = (memory.megabytes(), &memory.statement);
            let message = format!(
                "table `{table}` does not fit into 'max.memory.mb' ({limit} MiB): it takes {keeps} MiB, all state of the job {all} MiB, and a table is not put on disk"
            );
            ConnectorError::new(ErrorKind::Memory, "keeping a table", message)
                .advise("raise 'max.memory.mb', or load fewer rows or columns into the table")
        })
    }
}

/// Above so many hundredths of the bound whoever has more than its share spills, and above so many everyone.
pub(super) const SPILL: usize = 70;
const SPILL_ALL: usize = 85;

impl Drop for MemoryUse {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_more_than_its_share_gives_back_first() {
        let pool = MemoryPool::bounded(100 << 20, None);
        let (mut large, mut small) = (MemoryUse::new(&pool, "large"), MemoryUse::new(&pool, "small"));
        large.set(60 << 20);
        small.set(5 << 20);
        assert!(!large.is_to_spill() && !small.is_to_spill());
        small.set(15 << 20);
        assert!(large.is_to_spill() && !small.is_to_spill(), "{}", pool.used());
        small.set(30 << 20);
        assert!(large.is_to_spill() && small.is_to_spill());
        assert!(small.check().is_ok());
        small.set(45 << 20);
        assert!(small.check().is_ok(), "the other one has more");
        let error = large.check().unwrap_err().to_string();
        assert!(error.contains("large") && error.contains("60 MiB") && error.contains("105 MiB"), "{error}");
        drop(large);
        assert_eq!(pool.used(), 45 << 20);
    }
}
