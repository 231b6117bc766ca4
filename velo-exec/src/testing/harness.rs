//! Drives one operator: elements in, output as text.

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use velo_core::dead_letter::DeadLetter;
use velo_core::{Batch, Watermark, schema};

use crate::checkpoint::{OperatorState, Reached, Share, StateReader, StateWriter};
use crate::error::Result;
use crate::operator::{Element, Flow, InputId, Operator, Outbox};

/// An operator, what came out of it so far, and checks that every operator must pass.
pub struct Harness<O> {
    /// The operator.
    pub operator: O,
    outbox: Outbox,
    output: Vec<Element>,
    watermark: Watermark,
    /// What the operator was told.
    told: Watermark,
    letters: Vec<DeadLetter>,
    timer: Option<i64>,
    fullest: usize,
}

impl<O: Operator> Harness<O> {
    /// Drives `operator`.
    pub fn new(operator: O) -> Self {
        let (output, letters) = (Vec::new(), Vec::new());
        Self {
            operator,
            outbox: Outbox::new(),
            output,
            watermark: Watermark::NONE,
            told: Watermark::NONE,
            letters,
            timer: None,
            fullest: 0,
        }
    }

    /// Hands in rows at the first input.
    pub fn batch(&mut self, batch: Batch) -> Result<()> {
        let flow = self.operator.on_batch(InputId(0), batch, &mut self.outbox)?;
        self.drain(flow)
    }

    /// Hands in rows at any input.
    pub fn batch_at(&mut self, input: usize, batch: Batch) -> Result<()> {
        let flow = self.operator.on_batch(InputId(input), batch, &mut self.outbox)?;
        self.drain(flow)
    }

    /// Hands in the watermark of one of several inputs.
    pub fn input_watermark(&mut self, input: usize, watermark: Watermark) -> Result<()> {
        let flow = self.operator.on_input_watermark(InputId(input), watermark, &mut self.outbox)?;
        self.drain(flow)
    }

    /// Hands in a watermark.
    pub fn watermark(&mut self, watermark: Watermark) -> Result<()> {
        self.told = watermark;
        let flow = self.operator.on_watermark(watermark, &mut self.outbox)?;
        self.drain(flow)
    }

    /// Tells that a table has changed.
    pub fn tables_changed(&mut self) -> Result<()> {
        let flow = self.operator.on_tables(&mut self.outbox)?;
        self.drain(flow)
    }

    /// Tells that all inputs are idle.
    pub fn idle(&mut self) -> Result<()> {
        let flow = self.operator.on_idle(&mut self.outbox)?;
        self.drain(flow)
    }

    /// Moves the clock to `micros`, by way of the times at which the operator asked to be called.
    pub fn clock(&mut self, micros: i64) -> Result<()> {
        while let Some(at) = self.timer.take_if(|at| *at <= micros) {
            let now = at.max(self.outbox.now());
            self.outbox.set_now(now);
            let flow = self.operator.on_timer(now, &mut self.outbox)?;
            self.drain(flow)?;
        }
        self.outbox.set_now(micros);
        Ok(())
    }

    /// When the operator is called next, if the clock comes so far.
    pub fn timer(&self) -> Option<i64> {
        self.timer
    }

    /// What an operator without shards puts into a checkpoint; what it hands on before that is among its output.
    pub fn save(&mut self) -> Result<OperatorState> {
        let mut saved = self.save_all()?;
        assert_eq!(saved.len(), 1, "an operator with shards saves more than one state");
        Ok(saved.remove(0))
    }

    /// What the operator and its shards put into a checkpoint.
    pub fn save_all(&mut self) -> Result<Vec<OperatorState>> {
        let flow = self.operator.on_barrier(&mut self.outbox)?;
        self.drain(flow)?;
        let mut state = StateWriter::new();
        self.operator.save(&mut state)?;
        state.finish(Reached { told: self.told, sent: self.watermark, ended: false })
    }

    /// Puts another operator in the place of this one, as a restart does: it takes up what this one saved.
    pub fn restart(&mut self, operator: O) -> Result<()> {
        let saved = self.save_all()?;
        self.operator = operator;
        self.load(saved, Share::WHOLE)
    }

    /// Has the operator take up its share of what several saved, before anything else.
    pub fn load(&mut self, saved: Vec<OperatorState>, share: Share) -> Result<()> {
        let mut state = StateReader::new(saved, share);
        self.told = state.watermark();
        self.watermark = self.watermark.max(state.reached().sent);
        self.timer = None;
        self.operator.load(&mut state, &mut self.outbox)?;
        self.drain(Flow::Done)
    }

    /// Stops the job.
    pub fn stop(&mut self) -> Result<()> {
        let flow = self.operator.on_stop(&mut self.outbox)?;
        self.drain(flow)?;
        self.timer = None;
        Ok(())
    }

    /// Ends the input: the last watermark, then the end.
    pub fn end(&mut self) -> Result<()> {
        self.watermark(Watermark::END)?;
        let flow = self.operator.on_end(&mut self.outbox)?;
        self.drain(flow)?;
        self.timer = None;
        Ok(())
    }

    /// Takes what is in the outbox, and resumes the operator until it is done.
    fn drain(&mut self, mut flow: Flow) -> Result<()> {
        loop {
            self.fullest = self.fullest.max(self.outbox.batches());
            while let Some(element) = self.outbox.pop() {
                self.check(&element);
                self.output.push(element);
            }
            self.letters.extend(self.outbox.take_dead_letters());
            self.timer = [self.timer, self.outbox.take_timer()].into_iter().flatten().min();
            if flow == Flow::Done {
                return Ok(());
            }
            flow = self.operator.resume(&mut self.outbox)?;
        }
    }

    /// No row of the operator's own comes out behind its watermark, and that never goes back.
    fn check(&mut self, element: &Element) {
        match element {
            Element::Batch(batch) => {
                // A late row that is only passed on is nobody's own.
                let late = |row: usize| batch.late_by.as_ref().is_some_and(|late_by| late_by.value(row) > 0);
                for (row, time) in batch.event_times().iter().flat_map(|times| times.values()).enumerate() {
                    assert!(
                        *time >= self.watermark.0 || late(row),
                        "a row at {time} came out behind the watermark {:?}",
                        self.watermark
                    );
                }
            }
            Element::Watermark(watermark) => {
                assert!(
                    *watermark >= self.watermark,
                    "the watermark went back from {:?} to {watermark:?}",
                    self.watermark
                );
                self.watermark = *watermark;
            }
            _ => {}
        }
    }

    /// The most batches that there were in the outbox at once.
    pub fn fullest(&self) -> usize {
        self.fullest
    }

    /// The watermark that was forwarded last.
    pub fn forwarded(&self) -> Watermark {
        self.watermark
    }

    /// Takes what came out since the last call.
    pub fn take(&mut self) -> Vec<Element> {
        std::mem::take(&mut self.output)
    }

    /// Takes the batches that came out since the last call.
    pub fn take_batches(&mut self) -> Vec<Batch> {
        let batches = self.take().into_iter().filter_map(|element| match element {
            Element::Batch(batch) => Some(batch),
            _ => None,
        });
        batches.collect()
    }

    /// Takes the rows that came out since the last call as text: the visible columns, `, ` between them.
    pub fn take_rows(&mut self) -> Vec<String> {
        self.take_batches().iter().flat_map(|batch| rows_as_text(&batch.columns)).collect()
    }

    /// Takes the rows that the operator gave up.
    pub fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.letters)
    }
}

/// The rows of a batch as text, without the hidden event time.
pub fn rows_as_text(columns: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("null").with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"));
    let visible = columns.schema_ref().fields().iter().zip(columns.columns());
    let visible = visible.filter(|(field, _)| field.name() != schema::EVENT_TIME);
    let formatters = visible
        .map(|(_, column)| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()
        .unwrap_or_default();
    let row = |row: usize| formatters.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(", ");
    (0..columns.num_rows()).map(row).collect()
}
