//! What an operator is: elements in, elements out, no clock, no channel, no I/O.

mod as_of_join;
mod as_of_result;
mod changed_windows;
mod changelog_join;
mod distinct_on;
mod emit_interval;
mod filter_project;
mod fold;
mod fold_by_time;
mod gives_up;
mod group_aggregate;
mod group_changes;
mod group_steps;
mod group_store;
mod grouping;
mod idle_close;
mod interval_join;
mod late_rows;
mod latest_by_key;
mod limit;
mod lookup_join;
mod match_recognize;
mod over;
mod ranked_rows;
mod row_rank;
mod row_table;
mod series;
mod session_aggregate;
mod session_revisions;
mod session_rows;
mod set_operation;
mod sort;
mod top_n;
mod unnest;
mod window_aggregate;
mod window_assign;
mod window_join;
mod window_limit;

use std::collections::VecDeque;
use std::sync::Arc;

pub use crate::join::JoinSpec;
pub use as_of_join::AsOfJoin;
pub use changelog_join::ChangelogJoin;
pub use distinct_on::DistinctOn;
pub use emit_interval::EmitInterval;
pub use filter_project::FilterProject;
pub use fold::Fold;
pub use fold_by_time::FoldByTime;
pub use gives_up::GivesUp;
pub use group_aggregate::GroupAggregate;
pub use group_changes::GroupChanges;
pub use group_steps::{GroupFinal, GroupPartial};
pub(crate) use grouping::shared_keys;
pub use grouping::{GroupSpec, aggregate};
pub use idle_close::IdleClose;
pub use interval_join::IntervalJoin;
pub use latest_by_key::LatestByKey;
pub use limit::Limit;
pub use lookup_join::{LookupJoin, LookupSpec};
pub use match_recognize::{MatchRecognize, MatchSpec};
pub(crate) use over::shared_partition;
pub use over::{Over, OverSpec};
pub(crate) use row_table::RowTable;
pub use session_aggregate::SessionAggregate;
pub use session_revisions::SessionRevisions;
pub use set_operation::SetOperation;
pub use sort::Sort;
pub use top_n::{TopN, TopNSpec};
pub use unnest::Unnest;
pub use window_aggregate::{WindowAggregate, WindowFinal, WindowPartial};
pub use window_assign::WindowAssign;
pub use window_join::WindowJoin;
pub use window_limit::WindowLimit;

use velo_core::connector::CheckpointId;
use velo_core::dead_letter::DeadLetter;
use velo_core::{Batch, Watermark};

use crate::checkpoint::{StateReader, StateWriter};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::lookup::MissingCounters;
use crate::spill::MemoryUse;
use crate::state::Ttl;
use crate::window::LateCounters;

/// The number of an operator's input, from 0: the left side of a join is 0, its right side 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputId(pub usize);

/// What flows between operators.
#[derive(Debug, Clone)]
pub enum Element {
    /// Rows.
    Batch(Batch),
    /// No more rows with an event time below this.
    Watermark(Watermark),
    /// The same of one input of an operator that has several; told to it, and never passed on.
    InputWatermark(Watermark),
    /// Everything that was there when the job started has gone before: what a table waits for until it is ready.
    CaughtUp,
    /// Nothing active until the next batch.
    Idle,
    /// The boundary of a checkpoint.
    Barrier(CheckpointId),
    /// The job was asked to stop: everything that was read has gone before, and nothing that is open closes.
    Stop,
    /// The end of the input.
    End,
}

/// Whether an operator has more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Everything that follows from the input is in the outbox.
    Done,
    /// The outbox is full: [`Operator::resume`] goes on.
    More,
}

/// Where an operator puts what it emits.
#[derive(Debug)]
pub struct Outbox {
    elements: VecDeque<Element>,
    /// The last watermark that was emitted.
    sent: Watermark,
    batches: usize,
    dead_letters: Vec<DeadLetter>,
    timer: Option<i64>,
    now: i64,
}

/// How many batches an outbox holds before it is full.
const OUTBOX_BATCHES: usize = 4;

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self {
            elements: VecDeque::new(),
            sent: Watermark::NONE,
            batches: 0,
            dead_letters: Vec::new(),
            timer: None,
            now: 0,
        }
    }

    /// An empty outbox of an operator that has forwarded this watermark before.
    pub(crate) fn behind(sent: Watermark) -> Self {
        Self { sent, ..Self::new() }
    }

    /// Emits rows; an empty batch is dropped.
    pub fn batch(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.batches += 1;
            self.elements.push_back(Element::Batch(batch));
        }
    }

    /// Forwards a watermark.
    pub fn watermark(&mut self, watermark: Watermark) {
        self.sent = watermark;
        self.elements.push_back(Element::Watermark(watermark));
    }

    /// Emits any other element.
    pub fn push(&mut self, element: Element) {
        match element {
            Element::Batch(batch) => self.batch(batch),
            Element::Watermark(watermark) => self.watermark(watermark),
            other => self.elements.push_back(other),
        }
    }

    /// The watermark that was emitted last.
    pub(crate) fn sent(&self) -> Watermark {
        self.sent
    }

    /// Whether an operator should stop and answer [`Flow::More`].
    pub fn is_full(&self) -> bool {
        self.batches >= OUTBOX_BATCHES
    }

    /// How many batches there are.
    pub(crate) fn batches(&self) -> usize {
        self.batches
    }

    /// Takes the oldest element out.
    pub fn pop(&mut self) -> Option<Element> {
        let element = self.elements.pop_front();
        if let Some(Element::Batch(_)) = element {
            self.batches -= 1;
        }
        element
    }

    /// Gives up a row.
    pub fn dead_letter(&mut self, letter: DeadLetter) {
        self.dead_letters.push(letter);
    }

    /// Takes the rows that were given up.
    pub fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.dead_letters)
    }

    /// What the clock showed when the operator was called, in microseconds: operators have no clock of their own.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Tells what the clock shows.
    pub fn set_now(&mut self, micros: i64) {
        self.now = micros;
    }

    /// Asks for [`Operator::on_timer`] at a time of the clock, in microseconds; the earliest request counts. It is forgotten
    /// when the input ends or the job is stopped.
    pub fn timer_at(&mut self, micros: i64) {
        self.timer = Some(self.timer.map_or(micros, |at| at.min(micros)));
    }

    /// What `state.ttl` forgets at a time; the operator is called when more could be.
    pub(crate) fn expired(&mut self, ttl: &mut Option<Ttl>, time: i64) -> Vec<u32> {
        let Some(ttl) = ttl else { return Vec::new() };
        let gone = ttl.expired(time);
        if let Some(next) = ttl.next() {
            self.timer_at(next);
        }
        gone
    }

    /// The request for a timer.
    pub(crate) fn asked(&self) -> Option<i64> {
        self.timer
    }

    /// Takes the request for a timer.
    pub fn take_timer(&mut self) -> Option<i64> {
        self.timer.take()
    }
}

fn unsaved() -> ExecError {
    ExecError::Internal("an operator that no checkpoint can hold".to_owned())
}

/// One step of a dataflow.
///
/// After [`Flow::More`] nothing but [`Operator::resume`] is called until it answers [`Flow::Done`].
pub trait Operator: Send {
    /// Takes rows.
    fn on_batch(&mut self, input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow>;

    /// Takes the operator's watermark: the minimum over its active inputs. The default forwards it.
    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        out.watermark(watermark);
        Ok(Flow::Done)
    }

    /// Takes the watermark of one of several inputs; that of all of them holds for each of them too, also where one is idle.
    fn on_input_watermark(&mut self, _input: InputId, _watermark: Watermark, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    /// A table that the operator reads has a new version, or its watermark has moved. Never while the operator has more to say,
    /// nor after the end.
    fn on_tables(&mut self, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    /// All inputs are idle. The task emits the sign itself afterwards; an operator that holds rows back which a later one
    /// must not miss lets them go here.
    fn on_idle(&mut self, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    /// All that was there when the job started has come. The task emits the sign itself afterwards; an operator that has not given
    /// what comes of it, for want of memory, does so here.
    fn on_caught_up(&mut self, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    /// The clock has reached a time that was asked for. Never while the operator has more to say, nor after the end.
    fn on_timer(&mut self, _now: i64, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    /// All inputs have ended. The task emits the end itself.
    fn on_end(&mut self, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    /// The job is stopped: everything that was read has come, nothing that is open closes, and what waits for a timer only goes
    /// out here. The task emits the sign itself.
    fn on_stop(&mut self, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    /// The job was asked to stop: what this operator makes up itself and could go on with for very long, such as a series of
    /// numbers, ends soon. Whatever comes of rows that were read still comes.
    fn cut(&mut self) {}

    /// Rows in windows that have not fired, for the last words of a job that is stopped.
    fn held(&self) -> u64 {
        0
    }

    /// Bytes of memory of what it keeps, about: what a bound for the memory of the job counts.
    fn memory(&self) -> usize {
        0
    }

    /// Whether what it keeps becomes less while no rows come, such as rows that wait for a table that is loaded elsewhere: where memory
    /// is short it gets none until then.
    fn gives_back(&self) -> bool {
        false
    }

    /// Tells it that the memory of the job is bounded. One that puts what it keeps on disk by itself tells how much it keeps, and
    /// takes `memory` for that; of others the task tells it.
    fn bound(&mut self, memory: MemoryUse) -> Option<MemoryUse> {
        Some(memory)
    }

    /// Whether nothing comes of rows before the input ends.
    fn speaks_at_end(&self) -> bool {
        false
    }

    /// Its input has ended, and it waits for a table before its own end: [`Operator::on_tables`] goes on.
    fn waits(&self) -> bool {
        false
    }

    /// Its counters of rows that a table lacked.
    fn missing(&self) -> Option<Arc<MissingCounters>> {
        None
    }

    /// Its counters of late rows, where it goes by event time.
    fn late(&self) -> Option<Arc<LateCounters>> {
        None
    }

    /// Computes what the operator computes of each row of a batch by itself, and does nothing with it: an error is that of a row, which
    /// can be left out. What comes to [`Operator::on_batch`] afterwards cannot fail so.
    fn check(&self, _input: InputId, _batch: &Batch) -> Result<()> {
        Ok(())
    }

    /// Whether [`Operator::on_batch`] computes all of that before it does anything, so that a batch may simply be tried.
    fn fails_first(&self) -> bool {
        false
    }

    /// Rows on which an expression fails are given up: what [`Operator::check`] cannot know, the operator is to do itself.
    fn give_up(&mut self, _errors: &Arc<ComputeErrors>) {}

    /// Its counter of rows that it gives up because an expression fails on them.
    fn compute_errors(&self) -> Option<Arc<ComputeErrors>> {
        None
    }

    /// A barrier has come, or memory is short: an operator that would rather hand something on than save it does so here. At a barrier
    /// the task saves it when there is no more to say, and emits the barrier itself.
    fn on_barrier(&mut self, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    /// Puts all that it keeps into a checkpoint. Only when it has no more to say; nothing that it keeps changes, and it goes on
    /// afterwards as if it had not been called. One that keeps nothing says so by saving nothing.
    fn save(&mut self, _state: &mut StateWriter) -> Result<()> {
        Err(unsaved())
    }

    /// Takes up what [`Operator::save`] put into a checkpoint, before anything else is called. The tasks that share the keys may
    /// be others: `state` gives each the rows of its keys. Asks for its timers anew.
    fn load(&mut self, _state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        Err(unsaved())
    }

    /// Goes on where the outbox was full.
    fn resume(&mut self, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }
}
