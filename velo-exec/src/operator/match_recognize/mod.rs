//! MATCH_RECOGNIZE: a row for each match of a pattern in the rows of a partition.
//!
//! Rows are held until the watermark has passed them, so that disorder does not show, and then come to their partitions in
//! order. A match comes out as soon as no other one could be preferred to it: when a row decides that, when the watermark
//! says that no row within WITHIN can come any more, or at the end. Its event time is that of its last row, so the watermark
//! waits for the earliest row that could still be the last one of a match.

mod search;
mod state;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use arrow_array::{ArrayRef, TimestampMicrosecondArray, UInt32Array};
use arrow_ord::sort::{SortColumn, lexsort_to_indices};
use arrow_schema::{SchemaRef, SortOptions};
use velo_core::batch::columns_of;
use velo_core::{Batch, Watermark, schema};
use velo_eventtime::late::for_row;
use velo_plan::plan::{MatchRecognize as Plan, MatchValue};

use super::grouping::times_of;
use super::late_rows::LateRows;
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::{StateReader, StateWriter};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;
use crate::row_pattern::{At, Conditions, Kept, MOST_THREADS, Matches, Partition, Program, Row, Scratch, Store, Tests};
use crate::row_window::held::Held;
use crate::state::{KeyTable, is_sparse, keep};
use crate::window::LateCounters;
use search::{Failure, Search};

/// What the operator is made from: a plan's node.
#[derive(Debug, Clone)]
pub struct MatchSpec {
    /// The pattern, its conditions and measures.
    pub matching: Plan,
    /// What comes out: the partition's columns, the measures, and the event time.
    pub output: SchemaRef,
    /// The stream, table or view whose statement it is, for errors and dead letters.
    pub statement: String,
}

/// Row pattern matching.
pub struct MatchRecognize {
    statement: String,
    late: LateRows,
    /// What is computed of each row when it comes: what is kept of it, then keys and order.
    computed: Vec<Evaluator>,
    /// What is computed, and the event time.
    inner: SchemaRef,
    /// How many of the columns are kept.
    kept: usize,
    keys: Vec<usize>,
    order: Vec<(usize, SortOptions)>,
    search: Search,
    held: Held,
    table: KeyTable,
    ids: Vec<u32>,
    /// Whether a partition without rows is nothing.
    forgets: bool,
    /// The partitions that a search is due in.
    waiting: Vec<u32>,
    /// When searches end because no row within WITHIN can come any more.
    deadlines: BinaryHeap<Reverse<(i64, u32)>>,
    /// What partitions hold the watermark back by, as far as it still is so.
    holds: BinaryHeap<Reverse<(i64, u32)>>,
    idle: usize,
    /// What can come out, and then the watermark.
    ready: VecDeque<Batch>,
    forward: Option<Watermark>,
}

impl MatchRecognize {
    /// The operator of a node of pattern matching; `input` is the schema of its input.
    pub fn new(spec: &MatchSpec, input: &SchemaRef) -> Result<Self> {
        let plan = &spec.matching;
        let mut kept = Kept::new(input, &spec.statement)?;
        let program = Program::new(&plan.pattern);
        let tests = Tests::new(plan, &mut kept, &spec.statement)?;
        let conditions = Conditions::new(plan, &program, &mut kept, &spec.statement)?;
        let matches = Matches::new(plan, Arc::clone(&spec.output), &mut kept, &spec.statement)?;
        let stored: SchemaRef = Arc::new(kept.schema());
        let keys = plan.partition_by.iter().map(|key| kept.place(&key.expr)).collect::<Result<Vec<_>>>()?;
        let order = plan.order_by.iter().map(|key| {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            Ok((kept.place(&key.expr)?, options))
        });
        let order = order.collect::<Result<Vec<_>>>()?;
        let inner = schema::with_event_time(&kept.schema());
        let types = keys.iter().map(|at| inner.field(*at).data_type().clone()).collect::<Vec<_>>();
        let offsets = plan.columns.iter().filter_map(|column| match &column.value {
            MatchValue::Row { offset, .. } => Some(i64::from(*offset)),
            _ => None,
        });
        let (back, ahead) = offsets.fold((0, 0), |(back, ahead), offset| (back.max(-offset), ahead.max(offset)));
        let numbers = plan.columns.iter().any(|column| column.value == MatchValue::MatchNumber);
        Ok(Self {
            statement: spec.statement.clone(),
            late: LateRows::new(plan.late, &spec.statement),
            computed: kept.evaluators(),
            kept: stored.fields().len(),
            keys,
            order,
            held: Held::new(Arc::clone(&inner)),
            inner,
            table: KeyTable::new(&types)?,
            ids: Vec::new(),
            forgets: back == 0 && !numbers,
            search: Search {
                shortest: plan.pattern.min_rows(),
                program,
                tests,
                conditions,
                skip: plan.after_match,
                within: plan.within.map(|within| within.micros()),
                ahead: ahead.unsigned_abs(),
                back: back.unsigned_abs(),
                store: Store::new(stored),
                partitions: Vec::new(),
                matches,
                watermark: Watermark::NONE,
                ended: false,
                requests: Vec::new(),
                slots: Vec::new(),
                labels: Vec::new(),
                scratch: Scratch::default(),
                spare: Vec::new(),
            },
            waiting: Vec::new(),
            deadlines: BinaryHeap::new(),
            holds: BinaryHeap::new(),
            idle: 0,
            ready: VecDeque::new(),
            forward: None,
        })
    }

    /// What is computed of the rows of a batch, and their times.
    fn compute(&self, batch: &Batch) -> Result<Batch> {
        let mut columns = self.computed.iter().map(|one| one.evaluate(batch)).collect::<Result<Vec<_>>>()?;
        let times = schema::event_time_index(batch.columns.schema_ref());
        columns.extend(times.map(|at| Arc::clone(batch.columns.column(at))));
        Ok(batch.with_columns(columns_of(&self.inner, columns, batch.rows())?))
    }

    /// Rows in the order of their times come to their partitions.
    fn take_in(&mut self, rows: &Batch) -> Result<()> {
        let rows = self.ordered(rows)?;
        let count = rows.rows();
        let keys = self.keys.iter().map(|at| Arc::clone(rows.columns.column(*at))).collect::<Vec<_>>();
        self.table.intern(&keys, count, &mut self.ids)?;
        let known = self.search.partitions.len();
        self.search.partitions.resize_with(self.table.len(), Partition::default);
        for partition in &mut self.search.partitions[known..] {
            (partition.idle, partition.hold) = (true, i64::MAX);
            self.idle += 1;
        }
        let times = times_of(&rows)?;
        let columns = rows.columns.project(&(0..self.kept).collect::<Vec<_>>())?;
        let columns = columns_of(self.search.store.schema(), columns.columns().to_vec(), count)?;
        let chunk = self.search.store.add(columns.clone());
        let mut numbers = Vec::with_capacity(count);
        for (row, (key, time)) in self.ids.iter().zip(times).enumerate() {
            let partition = &mut self.search.partitions[*key as usize];
            if std::mem::take(&mut partition.idle) {
                self.idle -= 1;
            }
            if !std::mem::replace(&mut partition.waiting, true) {
                self.waiting.push(*key);
            }
            numbers.push(partition.end());
            let at = At { chunk, row: row as u32 };
            partition.rows.push_back(Row { at, time: *time, holds: 0, dead: 0 });
        }
        if self.search.ahead == 0 {
            let rows = self.ids.iter().copied().zip(numbers).collect::<Vec<_>>();
            self.search.test(&rows, Some(columns.columns()))?;
        }
        Ok(())
    }

    /// The rows of one time in the order that is written behind it.
    fn ordered(&self, rows: &Batch) -> Result<Batch> {
        if self.order.is_empty() {
            return Ok(rows.clone());
        }
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times_of(rows)?.to_vec()));
        let mut columns = vec![SortColumn { values: times, options: None }];
        for (at, options) in &self.order {
            columns.push(SortColumn { values: Arc::clone(rows.columns.column(*at)), options: Some(*options) });
        }
        let places = UInt32Array::from_iter_values(0..rows.rows() as u32);
        columns.push(SortColumn { values: Arc::new(places), options: None });
        Ok(rows.take(&lexsort_to_indices(&columns, None)?)?)
    }

    /// The partitions whose time has run out are to be searched.
    fn expire(&mut self) {
        while let Some(Reverse((time, key))) = self.deadlines.peek().copied()
            && time <= self.search.watermark.0
        {
            self.deadlines.pop();
            let partition = &mut self.search.partitions[key as usize];
            partition.queued = false;
            if !std::mem::replace(&mut partition.waiting, true) {
                self.waiting.push(key);
            }
        }
    }

    /// Searches where something can be found.
    fn advance(&mut self) -> Result<()> {
        if self.search.ended {
            for (key, partition) in self.search.partitions.iter_mut().enumerate() {
                if !partition.rows.is_empty() && !std::mem::replace(&mut partition.waiting, true) {
                    self.waiting.push(key as u32);
                }
            }
        }
        let mut active = std::mem::take(&mut self.waiting);
        if self.search.ahead > 0 {
            self.search.test_those_with_neighbours(&active)?;
        }
        for key in &active {
            self.search.partitions[*key as usize].waiting = false;
        }
        let searched = active.clone();
        let mut answers: Vec<(bool, u32)> = Vec::new();
        let mut asked: Vec<usize> = vec![0; active.len()];
        while !active.is_empty() {
            self.search.requests.clear();
            self.search.slots.clear();
            let mut next = Vec::with_capacity(active.len());
            let mut next_asked = Vec::with_capacity(active.len());
            let mut from = 0;
            for (key, count) in active.iter().zip(&asked) {
                let own = &answers[from..from + count];
                from += count;
                let before = self.search.requests.len();
                let more = self.search.run(*key, own).map_err(|failure| self.failed(failure))?;
                if more {
                    next.push(*key);
                    next_asked.push(self.search.requests.len() - before);
                }
                if self.search.matches.len() >= OUTPUT_ROWS {
                    self.flush()?;
                }
            }
            (active, asked) = (next, next_asked);
            answers = self.search.answer()?;
        }
        self.flush()?;
        for key in searched {
            self.settle(key);
        }
        self.search.store.sweep();
        self.search.compact()?;
        self.forget();
        Ok(())
    }

    fn failed(&self, failure: Failure) -> ExecError {
        let message = match failure {
            Failure::Execution(error) => return error,
            Failure::TooManyThreads => format!(
                "a match has more than {MOST_THREADS} ways to go on: its conditions over aggregates tell them all apart; WITHIN, or conditions that rule each other out, leave fewer"
            ),
            Failure::Endless => {
                "AFTER MATCH SKIP goes to the first row of the match, and the same match would be found again for ever"
                    .to_owned()
            }
            Failure::Nowhere => "AFTER MATCH SKIP goes to a variable of which the match has no row".to_owned(),
        };
        ExecError::Compute { statement: self.statement.clone(), message, place: None }
    }

    fn flush(&mut self) -> Result<()> {
        let found = self.search.matches.take(&mut self.search.store, &self.table)?;
        self.ready.extend(found);
        Ok(())
    }

    /// What a partition waits for, now that it has been searched.
    fn settle(&mut self, key: u32) {
        let search = &mut self.search;
        let partition = &mut search.partitions[key as usize];
        if partition.rows.is_empty() && !std::mem::replace(&mut partition.idle, true) {
            self.idle += 1;
        }
        if let (Some(within), Some(run)) = (search.within, &partition.run)
            && !std::mem::replace(&mut partition.queued, true)
        {
            self.deadlines.push(Reverse((run.time.saturating_add(within), key)));
        }
        let hold = partition.earliest(search.shortest);
        if std::mem::replace(&mut partition.hold, hold) != hold && hold != i64::MAX {
            self.holds.push(Reverse((hold, key)));
        }
    }

    /// Partitions of which nothing is kept are forgotten.
    fn forget(&mut self) {
        let all = self.search.partitions.len();
        if !self.forgets || !is_sparse(all - self.idle, all) {
            return;
        }
        let live = self.search.partitions.iter().map(|partition| !partition.idle).collect::<Vec<_>>();
        let numbers = self.table.retain(&live);
        keep(&mut self.search.partitions, &live);
        self.idle = 0;
        let renumbered = |heap: &mut BinaryHeap<Reverse<(i64, u32)>>| {
            let entries = std::mem::take(heap).into_iter().filter_map(|Reverse((time, key))| {
                let number = numbers.get(key as usize).copied().unwrap_or(KeyTable::DEAD);
                (number != KeyTable::DEAD).then_some(Reverse((time, number)))
            });
            *heap = entries.collect();
        };
        renumbered(&mut self.deadlines);
        renumbered(&mut self.holds);
    }

    /// Up to where no row of this operator comes out any more.
    fn promised(&mut self) -> Watermark {
        while let Some(Reverse((time, key))) = self.holds.peek() {
            if self.search.partitions[*key as usize].hold == *time {
                return self.search.watermark.min(Watermark(*time));
            }
            self.holds.pop();
        }
        self.search.watermark
    }

    fn release(&mut self) -> Result<()> {
        if let Some(rows) = self.held.release(self.search.watermark)? {
            self.take_in(&Batch { origin: None, ..rows })?;
        }
        self.expire();
        self.advance()
    }

    fn drive(&mut self, out: &mut Outbox) -> Flow {
        while let Some(batch) = self.ready.pop_front() {
            if out.is_full() {
                self.ready.push_front(batch);
                return Flow::More;
            }
            out.batch(batch);
        }
        if let Some(watermark) = self.forward.take() {
            out.watermark(watermark);
        }
        Flow::Done
    }
}

impl Operator for MatchRecognize {
    fn memory(&self) -> usize {
        let partition = |partition: &Partition| {
            size_of::<Partition>()
                + partition.rows.capacity() * size_of::<Row>()
                + partition.run.as_ref().map_or(0, |run| run.memory())
        };
        self.held.memory()
            + self.search.store.memory()
            + self.search.conditions.memory()
            + self.table.memory()
            + self.search.partitions.iter().map(partition).sum::<usize>()
    }

    fn held(&self) -> u64 {
        let open = self.search.partitions.iter().map(|partition| partition.end().saturating_sub(partition.start));
        self.held.rows() as u64 + open.sum::<u64>()
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        Some(Arc::clone(&self.late.counters))
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        if batch.kinds.as_ref().is_some_and(|kinds| kinds.as_slice().iter().any(|kind| kind.retracts())) {
            return Err(ExecError::Internal("a row pattern over append-only rows got a retraction".to_owned()));
        }
        let on_time = self.late.leave_out(batch, self.search.watermark, "a row pattern", for_row, out)?;
        if on_time.is_empty() {
            return Ok(Flow::Done);
        }
        let batch = self.compute(&Batch { late_by: None, ..on_time })?;
        self.held.push(batch)?;
        Ok(Flow::Done)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.computed.iter().try_for_each(|one| one.evaluate(batch).map(drop))
    }

    fn give_up(&mut self, errors: &Arc<ComputeErrors>) {
        self.search.tests.give_up(errors);
        self.search.matches.give_up(errors);
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.search.watermark = self.search.watermark.max(watermark);
        self.search.ended |= self.search.watermark == Watermark::END;
        self.release()?;
        self.forward = Some(self.promised());
        Ok(self.drive(out))
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        Ok(self.drive(out))
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.save_all(state)
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.load_all(state)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        Ok(self.drive(out))
    }
}
