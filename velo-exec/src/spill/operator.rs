//! An operator by key that is cut into shards when memory is short.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::ArrayRef;
use velo_core::{Batch, Watermark};

use super::counters::Counters;
use super::queue::Event;
use super::shards::Shards;
use super::{MemoryPool, MemoryUse, SpillTables};
use crate::MissingCounters;
use crate::checkpoint::{Reached, StateReader, StateWriter};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;
use crate::operator::{Flow, InputId, Operator, Outbox};
use crate::state::KeyGrouper;
use crate::window::LateCounters;

/// The key of each row of an input: that by whose groups the operator saves what it keeps.
#[derive(Debug)]
pub enum KeysOf {
    /// Columns at these places.
    Places(Vec<usize>),
    /// What these expressions give.
    Exprs(Vec<Evaluator>),
}

impl KeysOf {
    fn columns(&self, batch: &Batch) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Places(places) => Ok(places.iter().map(|place| Arc::clone(batch.columns.column(*place))).collect()),
            Self::Exprs(exprs) => exprs.iter().map(|expr| expr.evaluate(batch)).collect(),
        }
    }
}

/// Finds the key groups of the rows of each input.
#[derive(Debug)]
pub(super) struct Groups {
    inputs: Vec<KeysOf>,
    grouper: KeyGrouper,
}

impl Groups {
    pub(super) fn of(&mut self, input: InputId, batch: &Batch, groups: &mut Vec<u8>) -> Result<()> {
        let keys = self.inputs.get(input.0);
        let keys = keys.ok_or_else(|| ExecError::Internal(format!("the keys of input {} are not known", input.0)))?;
        self.grouper.key_groups(&keys.columns(batch)?, batch.rows(), groups)
    }
}

/// Makes an operator that keeps nothing yet.
pub type Make = Box<dyn Fn() -> Result<Box<dyn Operator>> + Send>;

/// An operator that goes by key, and gives memory back when the job has not enough of it.
///
/// It is one operator as long as there is room. Then it is cut into shards: what follows is what [`super`] says. Results are the
/// same, and in the same order within a key; those of shards on disk come later, and so does the watermark: at the latest after
/// a second, or four times as long as the last time took when all had their turn.
pub struct Spilling {
    mode: Mode,
    groups: Groups,
    memory: MemoryUse,
    counters: Counters,
    /// Nothing comes of rows before the end.
    at_end: bool,
    told: Watermark,
    /// When the whole operator asked to be called.
    timer: Option<i64>,
    /// Rows that came since it last had no more to say.
    unseen: usize,
    buffer: Vec<u8>,
    sweep: Sweep,
}

enum Mode {
    Whole(Box<dyn Operator>, Make),
    Shards(Shards),
    /// In between, or after an error.
    Broken,
}

/// When all shards on disk have their turn.
#[derive(Debug, Default)]
struct Sweep {
    /// When the next one begins, by the clock.
    at: Option<i64>,
    /// The one that goes on began then.
    began: Option<i64>,
    /// What the last one took.
    took: i64,
    /// Also those for which nothing waits.
    all: bool,
    /// Watermarks that came.
    told: u64,
}

impl Sweep {
    /// Where all lies on disk, all have their turn at many a watermark: at each of the first ones, and now and then later, for it takes
    /// time.
    fn is_forced(&mut self, pool: &MemoryPool) -> bool {
        self.told += 1;
        pool.is_forced() && (self.told.is_power_of_two() || self.told.is_multiple_of(FORCED_EVERY))
    }
}

/// See [`Sweep::is_forced`].
const FORCED_EVERY: u64 = 256;

/// What waits for a shard on disk does so for a second, in microseconds, or for so many times as long as a turn of all takes.
const WAIT: i64 = 1_000_000;
const WAIT_FACTOR: i64 = 4;

impl Spilling {
    /// Of the operator that `make` makes, which saves what it keeps by the groups of these keys of its inputs.
    pub fn new(make: Make, inputs: Vec<KeysOf>, memory: MemoryUse) -> Result<Self> {
        let whole = make()?;
        Ok(Self {
            counters: Counters::of(whole.as_ref()),
            at_end: whole.speaks_at_end(),
            mode: Mode::Whole(whole, make),
            groups: Groups { inputs, grouper: KeyGrouper::new() },
            memory,
            told: Watermark::NONE,
            timer: None,
            unseen: 0,
            buffer: Vec::new(),
            sweep: Sweep::default(),
        })
    }

    /// How often a shard has gone to disk.
    pub fn spilled(&self) -> u64 {
        match &self.mode {
            Mode::Shards(shards) => shards.spilled,
            _ => 0,
        }
    }

    fn broken() -> ExecError {
        ExecError::Internal("an operator was called after an error".to_owned())
    }

    /// Calls the operator while it is one.
    fn whole(
        &mut self,
        out: &mut Outbox,
        rows: usize,
        call: impl FnOnce(&mut dyn Operator, &mut Outbox) -> Result<Flow>,
    ) -> Result<Flow> {
        let Mode::Whole(operator, _) = &mut self.mode else { return Err(Self::broken()) };
        let flow = call(operator.as_mut(), out)?;
        self.timer = [self.timer, out.asked()].into_iter().flatten().min();
        self.unseen += rows;
        if flow == Flow::Done && self.memory.sees(std::mem::take(&mut self.unseen)) {
            self.memory.set(operator.memory());
            if self.memory.is_to_spill() {
                self.cut_up(out)?;
                return self.run(out);
            }
        }
        Ok(flow)
    }

    /// Puts what the operator keeps on disk, shared out among shards.
    fn cut_up(&mut self, out: &Outbox) -> Result<()> {
        let Mode::Whole(mut operator, make) = std::mem::replace(&mut self.mode, Mode::Broken) else {
            return Err(Self::broken());
        };
        // What was counted stays here, and is no shard's.
        let counted = self.counters.take();
        let mut state = StateWriter::spilling(SpillTables::new(self.memory.pool(), &Shards::first_owners()));
        operator.save(&mut state)?;
        self.counters.add(&counted);
        drop(operator);
        let (tables, values) = state.finish_shards()?;
        let reached = Reached { told: self.told, sent: out.sent(), ended: false };
        let shards = Shards::new(make, tables, &[values], reached, self.timer);
        tracing::debug!(bytes = self.memory.used(), "state goes to disk");
        self.memory.set(0);
        self.mode = Mode::Shards(shards);
        Ok(())
    }

    fn run(&mut self, out: &mut Outbox) -> Result<Flow> {
        let Mode::Shards(shards) = &mut self.mode else { return Err(Self::broken()) };
        let flow = shards.run(&mut self.memory, &mut self.groups, &self.counters, out)?;
        if flow == Flow::More {
            return Ok(flow);
        }
        let now = out.now();
        let sweep = &mut self.sweep;
        if let Some(began) = sweep.began.take() {
            sweep.took = now - began;
        }
        let (here, on_disk) = shards.timers();
        if sweep.at.is_none() {
            let next = now + (sweep.took * WAIT_FACTOR).max(WAIT);
            sweep.at = match (shards.waits() && !self.at_end, on_disk) {
                (true, _) => Some(next),
                (false, Some(timer)) => Some(timer.max(next)),
                (false, None) => None,
            };
        }
        if sweep.all {
            sweep.at = Some(now);
        }
        [here, sweep.at].into_iter().flatten().for_each(|at| out.timer_at(at));
        Ok(flow)
    }

    /// Lets all that wait have their turn now.
    fn sweep_now(&mut self, out: &mut Outbox) -> Result<Flow> {
        if let Mode::Shards(shards) = &mut self.mode {
            let sweep = &mut self.sweep;
            sweep.began = Some(out.now());
            sweep.at = None;
            shards.sweep(out.now(), std::mem::take(&mut sweep.all));
        }
        self.run(out)
    }

    /// Tells all shards something.
    fn tell(&mut self, now: i64, event: impl Fn() -> Event) {
        if let Mode::Shards(shards) = &mut self.mode {
            shards.tell(now, event);
        }
    }
}

impl Operator for Spilling {
    fn on_batch(&mut self, input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        match &mut self.mode {
            Mode::Shards(shards) => {
                self.groups.of(input, &batch, &mut self.buffer)?;
                shards.rows(out.now(), input, &batch, &self.buffer)?;
                self.run(out)
            }
            _ => {
                let rows = batch.rows();
                self.whole(out, rows, |operator, out| operator.on_batch(input, batch, out))
            }
        }
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.told = self.told.max(watermark);
        if let Mode::Whole(..) = &self.mode {
            return self.whole(out, 0, |operator, out| operator.on_watermark(watermark, out));
        }
        let ends = watermark == Watermark::END;
        if self.at_end && !ends {
            return Ok(Flow::Done);
        }
        self.tell(out.now(), || Event::Told(watermark));
        // At the end of an operator that speaks then each shard has one turn, and not two.
        let sweeps = (ends && !self.at_end) || self.sweep.is_forced(self.memory.pool());
        if sweeps { self.sweep_now(out) } else { self.run(out) }
    }

    fn on_input_watermark(&mut self, input: InputId, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        if let Mode::Whole(..) = &self.mode {
            return self.whole(out, 0, |operator, out| operator.on_input_watermark(input, watermark, out));
        }
        self.tell(out.now(), || Event::InputTold(input, watermark));
        self.run(out)
    }

    fn on_idle(&mut self, out: &mut Outbox) -> Result<Flow> {
        if let Mode::Whole(..) = &self.mode {
            return self.whole(out, 0, |operator, out| operator.on_idle(out));
        }
        if self.at_end {
            return Ok(Flow::Done);
        }
        self.tell(out.now(), || Event::Idle);
        self.sweep_now(out)
    }

    fn on_caught_up(&mut self, out: &mut Outbox) -> Result<Flow> {
        match &self.mode {
            Mode::Shards(_) if !self.at_end => self.sweep_now(out),
            _ => Ok(Flow::Done),
        }
    }

    fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
        self.timer.take_if(|timer| *timer <= now);
        match &mut self.mode {
            Mode::Shards(shards) => {
                shards.fire(now);
                let is_due = self.sweep.at.is_some_and(|at| at <= now);
                if is_due { self.sweep_now(out) } else { self.run(out) }
            }
            _ => self.whole(out, 0, |operator, out| operator.on_timer(now, out)),
        }
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        if let Mode::Whole(..) = &self.mode {
            return self.whole(out, 0, |operator, out| operator.on_end(out));
        }
        self.tell(out.now(), || Event::End);
        self.sweep_now(out)
    }

    fn on_stop(&mut self, out: &mut Outbox) -> Result<Flow> {
        if let Mode::Whole(..) = &self.mode {
            return self.whole(out, 0, |operator, out| operator.on_stop(out));
        }
        self.tell(out.now(), || Event::Stop);
        self.sweep_now(out)
    }

    fn on_barrier(&mut self, out: &mut Outbox) -> Result<Flow> {
        if let Mode::Whole(..) = &self.mode {
            return self.whole(out, 0, |operator, out| operator.on_barrier(out));
        }
        // What waits is no part of what is saved.
        self.sweep_now(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        if let Mode::Whole(..) = &self.mode {
            return self.whole(out, 0, |operator, out| operator.resume(out));
        }
        self.run(out)
    }

    fn cut(&mut self) {
        match &mut self.mode {
            Mode::Whole(operator, _) => operator.cut(),
            Mode::Shards(shards) => shards.cut(),
            Mode::Broken => {}
        }
    }

    fn held(&self) -> u64 {
        match &self.mode {
            Mode::Whole(operator, _) => operator.held(),
            Mode::Shards(shards) => shards.held(),
            Mode::Broken => 0,
        }
    }

    fn memory(&self) -> usize {
        self.memory.used()
    }

    fn missing(&self) -> Option<Arc<MissingCounters>> {
        self.counters.missing.clone()
    }

    fn compute_errors(&self) -> Option<Arc<ComputeErrors>> {
        self.counters.errors.clone()
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        self.counters.late.clone()
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        match &mut self.mode {
            Mode::Whole(operator, _) => {
                // The copy would take as much again.
                if self.memory.pool().goes_by_disk(operator.memory()) {
                    state.spill(SpillTables::whole(self.memory.pool()));
                }
                operator.save(state)
            }
            Mode::Shards(shards) => {
                self.counters.save(state)?;
                shards.save(&self.memory, state)
            }
            Mode::Broken => Err(Self::broken()),
        }
    }

    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        let reached = state.reached();
        self.told = reached.told;
        let Mode::Whole(mut operator, make) = std::mem::replace(&mut self.mode, Mode::Broken) else {
            return Err(Self::broken());
        };
        let bytes = usize::try_from(state.bytes()).unwrap_or(usize::MAX);
        let fits = reached.ended || !(self.memory.pool().goes_by_disk(bytes) && self.memory.would_spill(bytes));
        if fits {
            operator.load(state, out)?;
            self.timer = out.asked();
            self.memory.set(operator.memory());
            self.mode = Mode::Whole(operator, make);
            return Ok(());
        }
        self.counters.load(state)?;
        let mut tables = SpillTables::new(self.memory.pool(), &Shards::first_owners());
        let values = std::mem::take(state).into_rows(|table, rows| tables.take(table, rows))?;
        let values = values.into_iter().filter(|values| !values.is_empty()).collect::<Vec<BTreeMap<_, _>>>();
        self.mode = Mode::Shards(Shards::new(make, tables.finish()?, &values, reached, None));
        // When they want to be called each tells as it is loaded.
        self.sweep.all = true;
        out.timer_at(out.now());
        self.sweep.at = Some(out.now());
        Ok(())
    }
}
