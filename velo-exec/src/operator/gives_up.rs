//! Around an operator whose statement says that rows on which an expression fails are given up: they never come to the operator.
//!
//! What an operator computes of each row by itself is computed before it takes the batch, and the rows that fail are left out. One
//! that fails before it has done anything is simply tried. What it computes of several rows together, such as the condition of a
//! pair, it has to give up itself; an aggregate that overflows is the matter of no row, and fails the job.

use std::collections::VecDeque;
use std::sync::Arc;

use velo_core::{Batch, Watermark};

use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::{StateReader, StateWriter};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::lookup::MissingCounters;
use crate::spill::MemoryUse;
use crate::window::LateCounters;

/// An operator to which no row comes that fails.
pub struct GivesUp {
    inner: Box<dyn Operator>,
    errors: Arc<ComputeErrors>,
    /// Rows that do not fail, and that the operator has no room for yet.
    waiting: VecDeque<(InputId, Batch)>,
}

impl GivesUp {
    /// `inner` without rows that fail; `keeps`: they go to the dead letters.
    pub fn new(mut inner: Box<dyn Operator>, keeps: bool) -> Self {
        let errors = Arc::new(ComputeErrors::new(keeps));
        inner.give_up(&errors);
        Self { inner, errors, waiting: VecDeque::new() }
    }

    /// The same where rows that fail are given up, with whether they go to the dead letters; else the operator as it is.
    pub fn around(inner: Box<dyn Operator>, gives_up: Option<bool>) -> Box<dyn Operator> {
        match gives_up {
            Some(keeps) => Box::new(Self::new(inner, keeps)),
            None => inner,
        }
    }

    /// The rows of a batch on which nothing fails.
    fn screen(&self, input: InputId, batch: &Batch) -> Result<Option<Vec<Batch>>> {
        match self.inner.check(input, batch) {
            Ok(()) => Ok(None),
            Err(ExecError::Row { .. }) => self.errors.screen(batch, |rows| self.inner.check(input, rows)).map(Some),
            Err(other) => Err(other),
        }
    }

    fn take(&mut self, input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        if !self.inner.fails_first() {
            return match self.screen(input, &batch)? {
                None => self.inner.on_batch(input, batch, out),
                Some(good) => self.begin(input, good, out),
            };
        }
        let error = match self.inner.on_batch(input, batch.clone(), out) {
            Err(error @ ExecError::Row { .. }) => error,
            flow => return flow,
        };
        // Nothing has been done with the batch yet.
        match self.screen(input, &batch)? {
            Some(good) => self.begin(input, good, out),
            None => Err(error),
        }
    }

    fn begin(&mut self, input: InputId, good: Vec<Batch>, out: &mut Outbox) -> Result<Flow> {
        self.waiting.extend(good.into_iter().map(|batch| (input, batch)));
        self.go_on(out)
    }

    fn go_on(&mut self, out: &mut Outbox) -> Result<Flow> {
        while let Some((input, batch)) = self.waiting.pop_front() {
            if out.is_full() {
                self.waiting.push_front((input, batch));
                return Ok(Flow::More);
            }
            if self.inner.on_batch(input, batch, out)? == Flow::More {
                return Ok(Flow::More);
            }
        }
        Ok(Flow::Done)
    }

    /// Has the operator do something, and hands on what it has given up itself.
    fn with<T>(
        &mut self,
        out: &mut Outbox,
        work: impl FnOnce(&mut dyn Operator, &mut Outbox) -> Result<T>,
    ) -> Result<T> {
        let done = work(self.inner.as_mut(), out);
        self.hand_on(out);
        done.map_err(of_no_row)
    }

    fn hand_on(&self, out: &mut Outbox) {
        self.errors.take_letters().into_iter().for_each(|letter| out.dead_letter(letter));
    }
}

/// An error that came although rows that fail are given up.
fn of_no_row(error: ExecError) -> ExecError {
    match error.without_choice() {
        ExecError::Compute { statement, message, place } => ExecError::Compute {
            statement,
            message: format!("{message} (no single row fails here that 'on.compute.error' could give up)"),
            place,
        },
        other => other,
    }
}

impl Operator for GivesUp {
    fn on_batch(&mut self, input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        let flow = self.take(input, batch, out);
        self.hand_on(out);
        flow.map_err(of_no_row)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.with(out, |inner, out| inner.on_watermark(watermark, out))
    }

    fn on_input_watermark(&mut self, input: InputId, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.with(out, |inner, out| inner.on_input_watermark(input, watermark, out))
    }

    fn on_tables(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.with(out, |inner, out| inner.on_tables(out))
    }

    fn on_idle(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.with(out, |inner, out| inner.on_idle(out))
    }

    fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
        self.with(out, |inner, out| inner.on_timer(now, out))
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.with(out, |inner, out| inner.on_end(out))
    }

    fn on_stop(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.with(out, |inner, out| inner.on_stop(out))
    }

    fn cut(&mut self) {
        self.inner.cut();
    }

    fn held(&self) -> u64 {
        self.inner.held()
    }

    fn memory(&self) -> usize {
        self.inner.memory() + self.waiting.iter().map(|(_, batch)| batch.memory()).sum::<usize>()
    }

    fn gives_back(&self) -> bool {
        self.inner.gives_back()
    }

    fn speaks_at_end(&self) -> bool {
        self.inner.speaks_at_end()
    }

    fn bound(&mut self, memory: MemoryUse) -> Option<MemoryUse> {
        self.inner.bound(memory)
    }

    fn waits(&self) -> bool {
        self.inner.waits()
    }

    fn missing(&self) -> Option<Arc<MissingCounters>> {
        self.inner.missing()
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        self.inner.late()
    }

    fn compute_errors(&self) -> Option<Arc<ComputeErrors>> {
        Some(Arc::clone(&self.errors))
    }

    fn on_barrier(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.with(out, |inner, out| inner.on_barrier(out))
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.errors.save(state)?;
        self.inner.save(state)
    }

    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        self.errors.load(state)?;
        // Rows that are kept may be looked at anew.
        let (inner, errors) = (&mut self.inner, &self.errors);
        errors.met_again(|| inner.load(state, out)).map_err(of_no_row)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.with(out, |inner, out| inner.resume(out)).and_then(|flow| match flow {
            Flow::More => Ok(Flow::More),
            Flow::Done => {
                let flow = self.go_on(out);
                self.hand_on(out);
                flow.map_err(of_no_row)
            }
        })
    }
}
