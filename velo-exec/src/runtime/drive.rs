//! How every task drives its chain: one element in, or a timer, and what comes of it out, a bounded amount of work at a time.
//!
//! A stop that is asked for in the middle of an element does not cut it short, for what was read reaches the sinks. Only what an
//! operator makes up itself, and could go on with for days, ends there: [`crate::operator::Operator::cut`].
//!
//! What drives a source also answers the coordinator of checkpoints: it sends barriers through, reports what its operators keep,
//! and stays behind the end of its input until the job is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use velo_core::connector::CheckpointId;
use velo_core::lookup::TableReader;
use velo_core::{Clock, Watermark};

use super::chain::Step;
use super::{Chain, Letter, Outputs, Stop, StopRequest, TableWatch};
use crate::checkpoint::{Line, Next, OperatorState, Report, Resumed, Share, SourceState, StateReader};
use crate::error::Result;
use crate::operator::{Element, InputId};

/// A chain with its consumers.
pub struct Drive {
    chain: Chain,
    outputs: Outputs,
    clock: Clock,
    stop: Stop,
    held: Arc<AtomicU64>,
    line: Line,
    tables: TableWatch,
    /// One of them has changed, and the operators do not know it yet.
    changed: bool,
}

/// What the operators of a chain kept in a checkpoint, by their names ([`Chain::names`]).
#[derive(Debug)]
pub struct Kept(BTreeMap<String, StateReader>);

impl Kept {
    /// Bytes that all of it takes in memory, or would take there.
    pub fn bytes(&self) -> u64 {
        self.0.values().map(StateReader::bytes).sum()
    }
}

/// So often operators work without anything coming out, at most, before others get their turn.
const SILENT_STEPS: u32 = 8;

impl Drive {
    /// `chain` for `outputs`; what its windows hold when it is stopped is added to `held`.
    pub fn new(chain: Chain, outputs: Outputs, clock: Clock, stop: Stop, held: Arc<AtomicU64>) -> Self {
        let (line, tables) = (Line::none(), TableWatch::default());
        Self { chain, outputs, clock, stop, held, line, tables, changed: false }
    }

    /// With the tables that the operators read.
    #[must_use]
    pub fn with_tables(mut self, tables: Vec<Arc<dyn TableReader>>) -> Self {
        self.tables = TableWatch::new(tables);
        self
    }

    /// With a coordinator of checkpoints that is told what the operators keep at barriers.
    #[must_use]
    pub fn with_line(mut self, line: Line) -> Self {
        if line.saves() {
            self.chain.save_states();
        }
        self.line = line;
        self
    }

    /// Its end of the line, for who asks it what to do next.
    pub fn line(&self) -> Line {
        self.line.clone()
    }

    /// What its operators kept in a checkpoint, for [`Drive::load`].
    pub fn kept(&self, resumed: &mut Resumed, share: Share) -> Kept {
        Kept(self.chain.names().map(|name| (name.to_owned(), resumed.operator(name, share))).collect())
    }

    /// Has the operators take up what they kept. [`Drive::start`] follows when their tables are ready.
    pub fn load(&mut self, Kept(mut kept): Kept) -> Result<()> {
        self.chain.set_now(self.clock.now());
        self.changed = true;
        // An operator that the checkpoint does not know begins empty.
        self.chain.load(|name| kept.remove(name).unwrap_or_default())
    }

    /// Hands on what taking up a state made, and lets the operators look at their tables.
    pub async fn start(&mut self) -> Result<()> {
        self.drain().await?;
        self.fire().await
    }

    /// Ends the epoch of a checkpoint: sends the barrier through, and reports what is kept. `source` is how far the source was read
    /// that this drives.
    pub async fn barrier(&mut self, checkpoint: CheckpointId, source: Option<(String, SourceState)>) -> Result<()> {
        self.barrier_with(checkpoint, source, None).await
    }

    /// The same where the source keeps something itself, under this name.
    pub async fn barrier_with(
        &mut self,
        checkpoint: CheckpointId,
        source: Option<(String, SourceState)>,
        kept: Option<(String, Vec<OperatorState>)>,
    ) -> Result<()> {
        self.chain.set_now(self.clock.now());
        self.chain.offer(InputId(0), Element::Barrier(checkpoint))?;
        self.drain().await?;
        self.line.given(checkpoint);
        let operators = self.chain.take_saved().into_iter().chain(kept).collect();
        self.line.saved(checkpoint, operators, source);
        Ok(())
    }

    /// The source that this drives was stopped at `source`: gives barriers up to the last one, so that what was read is in a checkpoint,
    /// and then the stop.
    pub async fn stopped(&mut self, source: Option<(String, SourceState)>) -> Result<()> {
        while self.line.saves() {
            match self.line.next().await {
                Next::Over => break,
                Next::Barrier { checkpoint, last } => {
                    self.barrier(checkpoint, source.clone()).await?;
                    if last {
                        break;
                    }
                }
            }
        }
        self.offer(InputId(0), Element::Stop).await
    }

    /// The source that this drives has ended at `source`: closes what is open, and gives barriers until the job is over.
    pub async fn ended(&mut self, source: Option<(String, SourceState)>) -> Result<()> {
        self.offer(InputId(0), Element::Watermark(Watermark::END)).await?;
        self.offer(InputId(0), Element::End).await?;
        let mut line = self.line();
        let mut told = false;
        loop {
            let (stop, waits) = (self.stop.clone(), self.chain.waits());
            // The last barrier comes behind all ends, and one may still wait for a table.
            if !waits && !std::mem::replace(&mut told, true) {
                line.report(Report::Ended);
            }
            tokio::select! {
                biased;
                () = self.due(), if waits => self.fire().await?,
                _ = stop.asked(), if waits => self.give_up().await?,
                next = line.next() => match next {
                    Next::Over => return Ok(()),
                    Next::Barrier { checkpoint, .. } => {
                        self.barrier(checkpoint, source.clone()).await?;
                        line.given(checkpoint);
                    }
                },
            }
        }
    }

    /// Whether no rows are to be offered before [`Drive::due`]: what waits for tables leaves no room for them. Who stops offers what there
    /// is.
    pub fn is_full(&self) -> bool {
        self.chain.is_full() && self.stop.requested() == StopRequest::Run
    }

    /// Waits until rows may be offered.
    pub async fn room(&mut self) -> Result<()> {
        while self.is_full() {
            let stop = self.stop.clone();
            tokio::select! {
                () = self.due() => self.fire().await?,
                _ = stop.asked() => {}
            }
        }
        Ok(())
    }

    /// Whether the end of the input is in, and operators wait for their tables before they pass it on.
    pub fn waits(&self) -> bool {
        self.chain.waits()
    }

    /// Passes a stop on in the place of ends that wait for tables.
    pub async fn give_up(&mut self) -> Result<()> {
        self.held.fetch_add(self.chain.held(), Ordering::Relaxed);
        self.chain.give_up();
        self.drain().await
    }

    /// Hands an element in and everything that comes of it on. Rows that are given up go out before what follows them.
    pub async fn offer(&mut self, input: InputId, element: Element) -> Result<()> {
        if let Element::Stop = element {
            self.held.fetch_add(self.chain.held(), Ordering::Relaxed);
        }
        self.chain.set_now(self.clock.now());
        self.chain.offer(input, element)?;
        self.drain().await
    }

    /// Waits until a timer of an operator is due, or a table that one reads has changed: [`Drive::fire`] is to be called then.
    /// Dropping the future loses nothing.
    pub async fn due(&mut self) {
        let timer = self.chain.timer();
        tokio::select! {
            biased;
            () = wait_until(&self.clock, timer) => {}
            () = self.tables.changed() => self.changed = true,
        }
    }

    /// Calls the operators whose timers are due, each once, and all where a table has changed, and hands on what comes of it.
    pub async fn fire(&mut self) -> Result<()> {
        let now = self.clock.now();
        self.chain.set_now(now);
        if std::mem::take(&mut self.changed) {
            self.tables_changed().await?;
        }
        let mut from = 0;
        while let Some(next) = self.chain.fire(from, now)? {
            self.drain().await?;
            from = next;
        }
        Ok(())
    }

    async fn tables_changed(&mut self) -> Result<()> {
        let mut from = 0;
        while let Some(next) = self.chain.tables_changed(from)? {
            self.drain().await?;
            from = next;
        }
        Ok(())
    }

    /// Hands rows on that were given up before they came to the chain.
    pub async fn dead_letters(&mut self, letters: Vec<Letter>) -> Result<()> {
        self.outputs.dead_letters(letters).await
    }

    /// Whether a consumer was behind, so that this had to wait, since it was last asked.
    pub fn has_waited(&self) -> bool {
        self.outputs.has_waited()
    }

    /// Whether a stop was asked for that leaves open what is open.
    pub fn is_stopping(&self) -> bool {
        self.stop.requested() == StopRequest::Stop
    }

    async fn drain(&mut self) -> Result<()> {
        let mut silent = 0;
        loop {
            // Where the job goes on later, what was cut would be missing.
            if self.is_stopping() && !self.line.saves() {
                self.chain.cut();
            }
            let step = self.chain.step()?;
            self.outputs.dead_letters(self.chain.take_dead_letters()).await?;
            match step {
                Step::Out(element) => self.outputs.send(element).await?,
                Step::Worked if silent < SILENT_STEPS => {
                    silent += 1;
                    continue;
                }
                Step::Worked => {}
                Step::Done => return Ok(()),
            }
            silent = 0;
            // A few batches' work: others of this thread get their turn.
            tokio::task::yield_now().await;
            self.chain.set_now(self.clock.now());
        }
    }
}

/// Waits until the clock shows `at`; for ever where there is no such time.
pub(super) async fn wait_until(clock: &Clock, at: Option<i64>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int64Array, RecordBatch};
    use arrow_schema::{DataType, Field, Schema};
    use tokio::sync::mpsc;
    use velo_core::Batch;
    use velo_core::dead_letter::{DeadLetter, Stage};

    use super::*;
    use crate::operator::{Flow, Operator, Outbox};

    fn batch(value: i64) -> Batch {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        Batch::new(RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![value]))]).unwrap())
    }

    /// Goes on for ever with every row, until it is cut.
    #[derive(Default)]
    struct Endless {
        on: bool,
        /// Whether anything comes of it.
        silent: bool,
    }

    impl Operator for Endless {
        fn on_batch(&mut self, _: InputId, _: Batch, out: &mut Outbox) -> Result<Flow> {
            self.on = true;
            self.resume(out)
        }

        fn cut(&mut self) {
            self.on = false;
        }

        fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
            if !self.silent {
                out.batch(batch(1));
            }
            Ok(if self.on { Flow::More } else { Flow::Done })
        }
    }

    /// Gives a row up, and then itself on.
    struct GivesUp;

    impl Operator for GivesUp {
        fn on_batch(&mut self, _: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
            out.dead_letter(DeadLetter {
                stage: Stage::Late,
                source: "s".to_owned(),
                bytes: Default::default(),
                error: "late".to_owned(),
                code: "late-data",
                place: None,
                attributes: None,
            });
            out.batch(batch);
            Ok(Flow::Done)
        }
    }

    fn drive(operator: impl Operator + 'static, depth: usize) -> (Drive, mpsc::Receiver<Element>, Stop) {
        let (sender, receiver) = mpsc::channel(depth);
        let mut outputs = Outputs::new();
        outputs.forward(sender);
        let stop = Stop::new();
        let chain = Chain::new(vec![Box::new(operator)]);
        (Drive::new(chain, outputs, Clock::manual(0), stop.clone(), Arc::default()), receiver, stop)
    }

    #[tokio::test]
    async fn a_stop_ends_what_goes_on_for_ever() {
        let (mut drive, mut receiver, stop) = drive(Endless::default(), 1);
        let job = async {
            drive.offer(InputId(0), Element::Batch(batch(0))).await.unwrap();
            drive.offer(InputId(0), Element::Stop).await.unwrap();
        };
        let test = async {
            for _ in 0..3 {
                assert!(matches!(receiver.recv().await, Some(Element::Batch(_))));
            }
            stop.stop();
            loop {
                match receiver.recv().await {
                    Some(Element::Batch(_)) => {}
                    Some(Element::Stop) => return,
                    other => panic!("unexpected {other:?}"),
                }
            }
        };
        tokio::join!(job, test);
    }

    #[tokio::test]
    async fn a_stop_is_seen_where_nothing_comes_out() {
        let (mut drive, _receiver, stop) = drive(Endless { silent: true, ..Endless::default() }, 1);
        let job = drive.offer(InputId(0), Element::Batch(batch(0)));
        let test = async {
            tokio::task::yield_now().await;
            stop.stop();
        };
        assert!(tokio::join!(job, test).0.is_ok());
    }

    #[tokio::test]
    async fn dead_letters_go_out_before_what_follows_them() {
        let (sender, mut receiver) = mpsc::channel(8);
        let mut outputs = Outputs::new();
        outputs.forward(sender.clone());
        outputs.dead_letters_to(None, sender);
        let chain = Chain::new(vec![Box::new(GivesUp)]);
        let mut drive = Drive::new(chain, outputs, Clock::manual(0), Stop::new(), Arc::default());
        drive.offer(InputId(0), Element::Batch(batch(0))).await.unwrap();
        let columns = |element| match element {
            Some(Element::Batch(batch)) => batch.columns.num_columns(),
            other => panic!("unexpected {other:?}"),
        };
        assert!(columns(receiver.recv().await) > 1, "the letter comes first");
        assert_eq!(columns(receiver.recv().await), 1);
    }
}
