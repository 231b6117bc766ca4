//! What was made of rows that can be taken back: a retraction takes back exactly that, whatever the table says by then.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use velo_core::{Batch, Watermark};
use velo_plan::plan::StateTtl;

use crate::error::Result;
use crate::operator::{Outbox, RowTable};
use crate::state::{KeyTable, Ttl, is_sparse, keep};

/// Some rows that came out, all of one row that went in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    /// The number of the batch that they are in.
    pub(crate) batch: u32,
    pub(crate) from: u32,
    pub(crate) rows: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    made: Made,
    below: u32,
}

/// Nothing below.
const BOTTOM: u32 = u32::MAX;

/// Rows that went in, each with what came out as often as it is there.
pub(crate) struct Given {
    rows: RowTable,
    /// By row: the last entry of its stack.
    last: Vec<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// What came out, with how many of its rows can still be taken back.
    batches: Vec<Option<(Arc<RecordBatch>, usize)>>,
    unused: Vec<u32>,
    /// Rows with an entry.
    alive: usize,
    ttl: Option<Ttl>,
}

impl Given {
    /// Nothing of rows of `input` yet; `ttl` says when they are forgotten.
    pub(crate) fn new(input: SchemaRef, ttl: Option<StateTtl>) -> Result<Self> {
        Ok(Self {
            rows: RowTable::new(input)?,
            last: Vec::new(),
            entries: Vec::new(),
            free: Vec::new(),
            batches: Vec::new(),
            unused: Vec::new(),
            alive: 0,
            ttl: ttl.map(Ttl::new),
        })
    }

    /// The number of each row of a batch; `now` is the clock's time.
    pub(crate) fn intern(&mut self, batch: &Batch, now: i64) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(batch.rows());
        self.rows.intern(batch, &mut ids)?;
        self.last.resize(self.rows.len(), BOTTOM);
        if let Some(ttl) = &mut self.ttl {
            let times = ttl.times(batch, now);
            ids.iter().enumerate().for_each(|(row, id)| ttl.touch(*id, times(row)));
        }
        Ok(ids)
    }

    /// Keeps a batch that came out.
    pub(crate) fn keep(&mut self, batch: &RecordBatch) -> u32 {
        let kept = Some((Arc::new(batch.clone()), 0));
        match self.unused.pop() {
            Some(number) => {
                self.batches[number as usize] = kept;
                number
            }
            None => {
                self.batches.push(kept);
                (self.batches.len() - 1) as u32
            }
        }
    }

    /// A batch that came out.
    pub(crate) fn batch(&self, number: u32) -> Option<Arc<RecordBatch>> {
        self.batches.get(number as usize)?.as_ref().map(|(batch, _)| Arc::clone(batch))
    }

    /// The row came once more, and this came out.
    pub(crate) fn give(&mut self, row: u32, made: Made) {
        let below = std::mem::replace(&mut self.last[row as usize], BOTTOM);
        let entry = Entry { made, below };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.last[row as usize] = at;
        self.alive += usize::from(below == BOTTOM);
        if let Some(Some((_, uses))) = self.batches.get_mut(made.batch as usize) {
            *uses += made.rows as usize;
        }
    }

    /// The row is taken back once: what came out of it the last time. Nothing where it never came, or is forgotten.
    pub(crate) fn take_back(&mut self, row: u32) -> Option<Made> {
        let at = self.last[row as usize];
        let Entry { made, below } = *self.entries.get(at as usize)?;
        self.last[row as usize] = below;
        self.alive -= usize::from(below == BOTTOM);
        self.free.push(at);
        if let Some(Some((_, uses))) = self.batches.get_mut(made.batch as usize) {
            *uses -= made.rows as usize;
        }
        Some(made)
    }

    /// Lets go of batches of which nothing can be taken back, and of rows that are not there.
    pub(crate) fn compact(&mut self) {
        for (number, batch) in self.batches.iter_mut().enumerate() {
            if matches!(batch, Some((_, 0))) {
                *batch = None;
                self.unused.push(number as u32);
            }
        }
        if !is_sparse(self.alive, self.rows.len()) {
            return;
        }
        let stays: Vec<bool> = self.last.iter().map(|last| *last != BOTTOM).collect();
        let numbers = self.rows.retain(&stays);
        keep(&mut self.last, &stays);
        if let Some(ttl) = &mut self.ttl {
            ttl.renumber(&numbers);
        }
        debug_assert!(numbers.iter().all(|number| *number == KeyTable::DEAD || (*number as usize) < self.last.len()));
    }

    /// Forgets rows that were not touched for too long when the watermark has come to this.
    pub(crate) fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) {
        if let Some(time) = self.ttl.as_ref().and_then(|ttl| ttl.watermark(watermark)) {
            self.expire(time, out);
        }
    }

    /// Forgets rows that were not touched for too long by the clock, and asks to be called again.
    pub(crate) fn on_clock(&mut self, out: &mut Outbox) {
        if let Some(time) = self.ttl.as_ref().and_then(|ttl| ttl.clock(out.now())) {
            self.expire(time, out);
        }
    }

    fn expire(&mut self, time: i64, out: &mut Outbox) {
        for row in out.expired(&mut self.ttl, time) {
            while self.take_back(row).is_some() {}
        }
        self.compact();
    }
}
