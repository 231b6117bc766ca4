//! ORDER BY and LIMIT of the rows of each window: they are held until the watermark has passed the window, then ordered, and the
//! first of them given.
//!
//! Of a limited window little more than the rows that can still pass is held. Equal rows are ordered by their values, so that the
//! answer does not depend on the order in which they come.

use std::collections::BTreeMap;

use arrow_array::UInt32Array;
use arrow_schema::SchemaRef;
use velo_core::{Batch, Watermark};
use velo_plan::plan::SortKey;

use super::grouping::times_of;
use super::row_rank::RowRank;
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::rows::{pack, unpack};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;

/// Orders and limits windows.
pub struct WindowLimit {
    rank: RowRank,
    schema: SchemaRef,
    skip: usize,
    /// Rows of a window that can pass, those that are skipped included.
    keep: Option<usize>,
    /// By the event time of their rows.
    windows: BTreeMap<i64, Held>,
    /// The window that is being given, and its next row.
    giving: Option<(Batch, usize)>,
    watermark: Watermark,
}

/// The table of the rows that are held, window by window.
const ROWS: &str = "rows";

#[derive(Default)]
struct Held {
    batches: Vec<Batch>,
    rows: usize,
    /// Cut down when there are this many.
    cut_at: usize,
}

impl WindowLimit {
    /// Lets `count` rows of each window pass after the first `skip`, all of them without a count.
    pub fn new(order: &[SortKey], skip: u64, count: Option<u64>, schema: SchemaRef, owner: &str) -> Result<Self> {
        let whole = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        Ok(Self {
            rank: RowRank::new(order, None, &schema, owner)?,
            schema,
            skip: whole(skip),
            keep: count.map(|count| whole(count.saturating_add(skip))),
            windows: BTreeMap::new(),
            giving: None,
            watermark: Watermark::NONE,
        })
    }

    /// Holds the rows of a batch, those of a window together.
    fn hold_all(&mut self, batch: &Batch) -> Result<()> {
        // Rows of a window come together, so their times are runs.
        let times = times_of(batch)?;
        let mut from = 0;
        for run in times.chunk_by(|left, right| left == right) {
            self.hold(run[0], batch.slice(from, run.len()))?;
            from += run.len();
        }
        Ok(())
    }

    fn hold(&mut self, time: i64, batch: Batch) -> Result<()> {
        let held = self.windows.entry(time).or_default();
        held.rows += batch.rows();
        held.batches.push(batch);
        let Some(keep) = self.keep else { return Ok(()) };
        if held.rows > held.cut_at.max(keep.saturating_mul(2)).max(OUTPUT_ROWS) {
            let cut = cut(&mut self.rank, &self.schema, std::mem::take(&mut held.batches), Some(keep))?;
            held.rows = cut.rows();
            held.cut_at = held.rows.saturating_mul(2);
            held.batches = vec![cut];
        }
        Ok(())
    }
}

/// The rows in their order, the first `keep` of them.
fn cut(rank: &mut RowRank, schema: &SchemaRef, batches: Vec<Batch>, keep: Option<usize>) -> Result<Batch> {
    let all = Batch::concat(schema, &batches)?;
    let ranks = rank.of(&all, &[])?;
    let mut order = (0..all.rows() as u32).collect::<Vec<_>>();
    let compare = |left: &u32, right: &u32| ranks.row(*left as usize).cmp(&ranks.row(*right as usize));
    if let Some(keep) = keep.filter(|keep| *keep < order.len()) {
        if keep > 0 {
            order.select_nth_unstable_by(keep - 1, compare);
        }
        order.truncate(keep);
    }
    order.sort_unstable_by(compare);
    Ok(all.take(&UInt32Array::from(order))?)
}

impl Operator for WindowLimit {
    fn memory(&self) -> usize {
        let held = self.windows.values().flat_map(|held| &held.batches);
        held.chain(self.giving.iter().map(|(batch, _)| batch)).map(Batch::memory).sum()
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, _out: &mut Outbox) -> Result<Flow> {
        self.hold_all(&batch)?;
        Ok(Flow::Done)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.rank.check(batch)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        loop {
            if let Some((rows, next)) = &mut self.giving {
                while *next < rows.rows() {
                    if out.is_full() {
                        return Ok(Flow::More);
                    }
                    let length = OUTPUT_ROWS.min(rows.rows() - *next);
                    out.batch(rows.slice(*next, length));
                    *next += length;
                }
                self.giving = None;
            }
            // The time of a window's rows is its last microsecond.
            let Some(window) = self.windows.first_entry().filter(|window| *window.key() < self.watermark.0) else {
                break;
            };
            let cut = cut(&mut self.rank, &self.schema, window.remove().batches, self.keep)?;
            self.giving = Some((cut, self.skip));
        }
        out.watermark(self.watermark);
        Ok(Flow::Done)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        for held in self.windows.values() {
            state.rows(ROWS, pack(&Batch::concat(&self.schema, &held.batches)?)?);
        }
        Ok(())
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.watermark = state.watermark();
        for saved in state.rows(ROWS)? {
            unpack(&saved, &self.schema)?.iter().try_for_each(|batch| self.hold_all(batch))?;
        }
        Ok(())
    }
}
