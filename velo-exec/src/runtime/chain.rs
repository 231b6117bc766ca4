//! Operators without an exchange between them, fused: elements in, elements out, a bounded amount of work at a time.
//!
//! The chain is driven from its end: whoever takes an element out makes the operators before it work just enough to have one.
//! So a watermark that closes ten million groups gives them batch by batch, and nothing piles up between two operators.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use velo_core::{Batch, Watermark};

use super::Guard;
use super::outputs::{Letter, LetterSinks};
use crate::checkpoint::{OperatorState, Reached, StateReader, StateWriter};
use crate::error::Result;
use crate::operator::{Element, Flow, InputId, Operator, Outbox};
use crate::spill::MemoryUse;

/// Operators one behind the other.
#[derive(Default)]
pub struct Chain {
    stages: Vec<Stage>,
    /// What goes through where there is no operator.
    direct: VecDeque<Element>,
}

/// What a chain did.
#[derive(Debug)]
pub enum Step {
    /// This comes out.
    Out(Element),
    /// An operator has worked, and there is more to do.
    Worked,
    /// The chain needs input.
    Done,
}

/// An operator on its way into a chain.
pub struct Member {
    /// What it does, for messages.
    pub description: String,
    /// The name under which a checkpoint keeps its state; none for one that keeps nothing of its own.
    pub name: Option<String>,
    /// The name of another state that it takes up too: that of the first of two steps, where it does both.
    pub absorbs: Option<String>,
    /// The operator.
    pub operator: Box<dyn Operator>,
    /// Counts the rows that come out of it.
    pub rows: Arc<AtomicU64>,
    /// Where it tells how much memory it takes; none for one that does so itself, or where there is no bound.
    pub memory: Option<MemoryUse>,
    /// Where the rows go that it gives up.
    pub letters: LetterSinks,
}

struct Stage {
    /// See [`Member::name`].
    name: Option<String>,
    /// See [`Member::absorbs`].
    absorbs: Option<String>,
    operator: Box<dyn Operator>,
    /// Rows that have come out.
    rows: Arc<AtomicU64>,
    /// See [`Member::letters`].
    letters: LetterSinks,
    /// Watches its promises; none in a release build.
    guard: Option<Guard>,
    out: Outbox,
    /// The operator has more to say.
    more: bool,
    /// What is passed on when there is no more to say: the end, a stop, a barrier, that nothing is active, or that what was there has
    /// come.
    last: Option<Element>,
    /// The watermark that it was told last.
    told: Watermark,
    /// Whether its state goes into checkpoints.
    saves: bool,
    /// What it kept at the barrier that came last.
    saved: Vec<OperatorState>,
    /// When the clock is to call the operator.
    timer: Option<i64>,
    /// The end has come, or a stop.
    ended: bool,
    /// See [`Member::memory`].
    memory: Option<MemoryUse>,
    /// It keeps too much, which becomes less while no rows come.
    full: bool,
}

impl Chain {
    /// A chain of `operators`, the first taking what comes in.
    pub fn new(operators: Vec<Box<dyn Operator>>) -> Self {
        let member = |(at, operator)| {
            let description = format!("operator {at}");
            Member {
                name: Some(description.clone()),
                absorbs: None,
                description,
                operator,
                rows: Arc::default(),
                memory: None,
                letters: LetterSinks::default(),
            }
        };
        Self::of(operators.into_iter().enumerate().map(member).collect())
    }

    /// The same with names for the operators, counting the rows that come out of each.
    pub fn of(members: Vec<Member>) -> Self {
        let guard = |description| cfg!(debug_assertions).then(|| Guard::new(description));
        let stages = members
            .into_iter()
            .map(|member| Stage {
                guard: guard(member.description),
                name: member.name,
                absorbs: member.absorbs,
                operator: member.operator,
                rows: member.rows,
                letters: member.letters,
                told: Watermark::NONE,
                saves: false,
                saved: Vec::new(),
                out: Outbox::new(),
                more: false,
                last: None,
                timer: None,
                ended: false,
                memory: member.memory,
                full: false,
            })
            .collect();
        Self { stages, direct: VecDeque::new() }
    }

    /// Has the operators put what they keep into checkpoints: a barrier that goes through takes it with it, and a stop leaves what
    /// is held in the last of them.
    pub fn save_states(&mut self) {
        self.stages.iter_mut().for_each(|stage| stage.saves = true);
    }

    /// The names under which its operators take up what they kept ([`Chain::load`]).
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let named = self.stages.iter().filter(|stage| stage.name.is_some());
        named.flat_map(|stage| [stage.name.as_deref(), stage.absorbs.as_deref()]).flatten()
    }

    /// Has the operators take up what they kept; `saved` gives that of each name. Before anything else.
    pub fn load(&mut self, mut saved: impl FnMut(&str) -> StateReader) -> Result<()> {
        for stage in &mut self.stages {
            let Some(mut state) = stage.name.as_deref().map(&mut saved) else { continue };
            if let Some(absorbed) = stage.absorbs.as_deref().map(&mut saved) {
                state.absorb(absorbed);
            }
            let reached = state.reached();
            stage.told = reached.told;
            stage.ended = reached.ended;
            // Also of one that had ended, which still has its counters.
            stage.operator.load(&mut state, &mut stage.out)?;
            stage.timer = stage.out.take_timer().filter(|_| !reached.ended);
            // Whoever comes behind may not be told for long what it knew already.
            if reached.sent > Watermark::NONE {
                stage.out.watermark(reached.sent);
            }
        }
        Ok(())
    }

    /// Takes what the operators kept at the barrier that came out last.
    pub fn take_saved(&mut self) -> Vec<(String, Vec<OperatorState>)> {
        let saved = |stage: &mut Stage| Some((stage.name.clone()?, std::mem::take(&mut stage.saved)));
        self.stages.iter_mut().filter_map(saved).filter(|(_, states)| !states.is_empty()).collect()
    }

    /// Takes the counts of rows that tables lacked out of the operators that have some, in their order.
    pub(super) fn take_missing(&mut self) -> Vec<[u64; 2]> {
        self.stages.iter().filter_map(|stage| stage.operator.missing()).map(|counters| counters.take()).collect()
    }

    /// The same of rows that they gave up because an expression failed on them.
    pub(super) fn take_compute_errors(&mut self) -> Vec<u64> {
        self.stages.iter().filter_map(|stage| stage.operator.compute_errors()).map(|errors| errors.take()).collect()
    }

    /// Whether no rows are to be offered before a table has changed or a timer was due: one of the operators has no room for them.
    pub fn is_full(&self) -> bool {
        self.stages.iter().any(|stage| stage.full)
    }

    /// Whether everything goes through as it comes.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Hands an element in. Only when [`Chain::take`] has given `None`.
    pub fn offer(&mut self, input: InputId, element: Element) -> Result<()> {
        match self.stages.first_mut() {
            Some(first) => first.take(input, element),
            None => {
                self.direct.push_back(element);
                Ok(())
            }
        }
    }

    /// The next element that comes out; `None` when the chain needs input.
    pub fn take(&mut self) -> Result<Option<Element>> {
        loop {
            match self.step()? {
                Step::Out(element) => return Ok(Some(element)),
                Step::Worked => {}
                Step::Done => return Ok(None),
            }
        }
    }

    /// Lets one operator work once, or gives what comes out.
    pub fn step(&mut self) -> Result<Step> {
        let Some(last) = self.stages.len().checked_sub(1) else {
            return Ok(self.direct.pop_front().map_or(Step::Done, Step::Out));
        };
        if let Some(element) = self.stages[last].pop()? {
            return Ok(Step::Out(element));
        }
        Ok(if self.work(last)? { Step::Worked } else { Step::Done })
    }

    /// Ends what operators make up themselves; see [`Operator::cut`].
    pub fn cut(&mut self) {
        self.stages.iter_mut().for_each(|stage| stage.operator.cut());
    }

    /// Tells the operators what the clock shows, for the calls from now on.
    pub fn set_now(&mut self, micros: i64) {
        self.stages.iter_mut().for_each(|stage| stage.out.set_now(micros));
    }

    /// The earliest time for which an operator has asked.
    pub fn timer(&self) -> Option<i64> {
        self.stages.iter().filter_map(|stage| stage.timer).min()
    }

    /// Calls the first operator from the place `from` on whose time has come, and gives the place behind it; `None`: there is no
    /// such operator. Only when [`Chain::take`] has given `None`.
    pub fn fire(&mut self, from: usize, now: i64) -> Result<Option<usize>> {
        let due = |stage: &Stage| !stage.more && stage.timer.is_some_and(|at| at <= now);
        let Some((at, stage)) = self.stages.iter_mut().enumerate().skip(from).find(|(_, stage)| due(stage)) else {
            return Ok(None);
        };
        stage.timer = None;
        let flow = stage.operator.on_timer(now, &mut stage.out)?;
        stage.settle(flow)?;
        Ok(Some(at + 1))
    }

    /// Tells the first operator from the place `from` on that has more to come that its tables have changed, as
    /// [`Chain::fire`] does with the time.
    pub fn tables_changed(&mut self, from: usize) -> Result<Option<usize>> {
        let open = |stage: &Stage| !stage.more && !stage.ended;
        let Some((at, stage)) = self.stages.iter_mut().enumerate().skip(from).find(|(_, stage)| open(stage)) else {
            return Ok(None);
        };
        let flow = stage.operator.on_tables(&mut stage.out)?;
        stage.settle(flow)?;
        Ok(Some(at + 1))
    }

    /// Passes a stop on in the place of the ends that wait.
    pub fn give_up(&mut self) {
        for stage in self.stages.iter_mut().filter(|stage| stage.waits()) {
            stage.last = None;
            stage.ended = true;
            stage.out.push(Element::Stop);
        }
    }

    /// Whether the end of the input is in, and an operator waits for a table before it passes it on.
    pub fn waits(&self) -> bool {
        self.stages.iter().any(Stage::waits)
    }

    /// Rows in windows of the operators that have not fired.
    pub fn held(&self) -> u64 {
        self.stages.iter().map(|stage| stage.operator.held()).sum()
    }

    /// The rows that the operators have given up since the last call, each with its sink.
    pub fn take_dead_letters(&mut self) -> Vec<Letter> {
        let mut letters = Vec::new();
        for stage in &mut self.stages {
            let sinks = stage.letters;
            letters.extend(stage.out.take_dead_letters().into_iter().map(|letter| sinks.address(letter)));
        }
        letters
    }

    /// Makes the operator nearest to the end that can work do so; false where none can.
    fn work(&mut self, last: usize) -> Result<bool> {
        for at in (0..=last).rev() {
            let stage = &mut self.stages[at];
            if stage.more {
                stage.resume()?;
                return Ok(true);
            }
            if at > 0
                && let Some(element) = self.stages[at - 1].pop()?
            {
                self.stages[at].take(InputId(0), element)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Stage {
    fn pop(&mut self) -> Result<Option<Element>> {
        let element = self.out.pop();
        if let (Some(guard), Some(element)) = (&mut self.guard, &element) {
            guard.check(element)?;
        }
        if let Some(Element::Batch(batch)) = &element {
            self.rows.fetch_add(batch.rows() as u64, Ordering::Relaxed);
        }
        Ok(element)
    }

    fn take(&mut self, input: InputId, element: Element) -> Result<()> {
        let flow = match element {
            Element::Batch(batch) => self.take_rows(input, batch)?,
            // After a restart the inputs say again what they said before.
            Element::Watermark(watermark) if watermark <= self.told => return Ok(()),
            Element::Watermark(watermark) => {
                self.told = watermark;
                self.operator.on_watermark(watermark, &mut self.out)?
            }
            Element::InputWatermark(watermark) => self.operator.on_input_watermark(input, watermark, &mut self.out)?,
            Element::End => {
                self.last = Some(Element::End);
                // One that had ended before a restart has said what there was to say.
                if self.ended { Flow::Done } else { self.operator.on_end(&mut self.out)? }
            }
            Element::Idle => {
                self.last = Some(Element::Idle);
                self.operator.on_idle(&mut self.out)?
            }
            Element::Stop => {
                self.last = Some(Element::Stop);
                // What it holds is in the last checkpoint, and comes when the job goes on.
                if self.saves { Flow::Done } else { self.operator.on_stop(&mut self.out)? }
            }
            // Its end waits for a table, and the barrier does not.
            Element::Barrier(_) if self.last.is_some() => {
                self.save()?;
                self.out.push(element);
                return Ok(());
            }
            Element::Barrier(_) => {
                self.last = Some(element);
                if self.ended { Flow::Done } else { self.operator.on_barrier(&mut self.out)? }
            }
            Element::CaughtUp => {
                self.last = Some(Element::CaughtUp);
                self.operator.on_caught_up(&mut self.out)?
            }
        };
        self.settle(flow)
    }

    fn take_rows(&mut self, input: InputId, batch: Batch) -> Result<Flow> {
        let rows = batch.rows();
        let mut flow = self.operator.on_batch(input, batch, &mut self.out)?;
        let Some(memory) = &mut self.memory else { return Ok(flow) };
        if flow == Flow::Done && memory.sees(rows) {
            memory.set(self.operator.memory());
            if memory.is_to_spill() {
                // What the next operator can put on disk is better there.
                flow = self.operator.on_barrier(&mut self.out)?;
            }
            if flow == Flow::Done {
                self.look()?;
            }
        }
        Ok(flow)
    }

    /// Looks how much it keeps: too much is an error, unless it becomes less while no rows come.
    fn look(&mut self) -> Result<()> {
        let Some(memory) = &mut self.memory else { return Ok(()) };
        memory.set(self.operator.memory());
        self.full = self.operator.gives_back() && memory.is_full();
        if self.full { Ok(()) } else { memory.check() }
    }

    /// Whether its end waits for a table.
    fn waits(&self) -> bool {
        matches!(self.last, Some(Element::End)) && self.operator.waits()
    }

    fn resume(&mut self) -> Result<()> {
        let flow = self.operator.resume(&mut self.out)?;
        self.settle(flow)
    }

    /// Keeps what a checkpoint needs of it.
    fn save(&mut self) -> Result<()> {
        if !self.saves || self.name.is_none() {
            return Ok(());
        }
        let mut state = StateWriter::new();
        self.operator.save(&mut state)?;
        self.saved = state.finish(Reached { told: self.told, sent: self.out.sent(), ended: self.ended })?;
        Ok(())
    }

    fn settle(&mut self, flow: Flow) -> Result<()> {
        self.more = flow == Flow::More;
        let asked = self.out.take_timer();
        let ending = matches!(self.last, Some(Element::End | Element::Stop));
        self.timer = [self.timer, asked].into_iter().flatten().min().filter(|_| !ending);
        if self.full && !self.more {
            self.look()?;
        }
        if self.more || self.waits() {
            return Ok(());
        }
        self.ended |= ending;
        if let Some(last) = self.last.take() {
            if matches!(last, Element::Barrier(_)) {
                self.save()?;
            }
            self.out.push(last);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int64Array, RecordBatch};
    use arrow_schema::{DataType, Field, Schema};
    use velo_core::{Batch, Watermark};

    use super::*;

    fn batch(value: i64) -> Batch {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        Batch::new(RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![value]))]).unwrap())
    }

    /// Gives `left` batches, one per call, for a watermark or the end.
    struct Countdown {
        left: i64,
    }

    impl Countdown {
        fn one(&mut self, out: &mut Outbox) -> Result<Flow> {
            if self.left == 0 {
                return Ok(Flow::Done);
            }
            out.batch(batch(self.left));
            self.left -= 1;
            Ok(Flow::More)
        }
    }

    impl Operator for Countdown {
        fn on_batch(&mut self, _: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
            out.batch(batch);
            Ok(Flow::Done)
        }

        fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
            self.one(out)
        }

        fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
            self.one(out)
        }
    }

    #[test]
    fn the_end_comes_after_everything_said_at_the_end() {
        let mut chain = Chain::new(vec![Box::new(Countdown { left: 3 }), Box::new(Countdown { left: 2 })]);
        chain.offer(InputId(0), Element::Watermark(Watermark(7))).unwrap();
        assert!(matches!(chain.take().unwrap(), Some(Element::Watermark(Watermark(7)))));
        assert!(chain.take().unwrap().is_none());
        chain.offer(InputId(0), Element::End).unwrap();
        let mut batches = 0;
        loop {
            match chain.take().unwrap() {
                Some(Element::Batch(_)) => batches += 1,
                Some(Element::End) => break,
                other => panic!("unexpected {other:?}"),
            }
        }
        assert_eq!(batches, 5);
        assert!(chain.take().unwrap().is_none());
    }

    /// Wants to be called five after each row, and then gives what the clock shows, twice.
    #[derive(Default)]
    struct Alarm {
        again: Option<i64>,
    }

    impl Operator for Alarm {
        fn on_batch(&mut self, _: InputId, _: Batch, out: &mut Outbox) -> Result<Flow> {
            out.timer_at(out.now() + 5);
            Ok(Flow::Done)
        }

        fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
            out.batch(batch(now));
            self.again = Some(now);
            Ok(Flow::More)
        }

        fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
            self.again.take().into_iter().for_each(|now| out.batch(batch(now)));
            Ok(Flow::Done)
        }
    }

    fn given(chain: &mut Chain) -> usize {
        std::iter::from_fn(|| chain.take().unwrap()).filter(|element| matches!(element, Element::Batch(_))).count()
    }

    #[test]
    fn timers_are_called_when_they_are_due() {
        let mut chain = Chain::new(vec![Box::<Alarm>::default(), Box::new(Countdown { left: 0 })]);
        for now in [10, 12] {
            chain.set_now(now);
            chain.offer(InputId(0), Element::Batch(batch(1))).unwrap();
            assert_eq!(given(&mut chain), 0);
        }
        assert_eq!(chain.timer(), Some(15), "the earliest counts");
        assert_eq!(chain.fire(0, 14).unwrap(), None);
        assert_eq!(chain.fire(0, 15).unwrap(), Some(1));
        // It has more to say, and is left alone until it has said it.
        chain.stages[0].timer = Some(15);
        assert_eq!(chain.fire(0, 15).unwrap(), None);
        assert_eq!(given(&mut chain), 2);
        assert_eq!(chain.fire(1, 15).unwrap(), None, "it stands before the first place that is asked");
        assert_eq!(chain.fire(0, 15).unwrap(), Some(1));
        assert_eq!((given(&mut chain), chain.timer()), (2, None));
    }

    #[test]
    fn no_timer_outlives_the_end() {
        for last in [Element::End, Element::Stop] {
            let mut chain = Chain::new(vec![Box::<Alarm>::default()]);
            chain.offer(InputId(0), Element::Batch(batch(1))).unwrap();
            assert_eq!(chain.timer(), Some(5));
            chain.offer(InputId(0), last).unwrap();
            assert_eq!((given(&mut chain), chain.timer()), (0, None));
        }
    }

    #[test]
    fn without_operators_everything_goes_through() {
        let mut chain = Chain::new(vec![]);
        chain.offer(InputId(0), Element::End).unwrap();
        assert!(matches!(chain.take().unwrap(), Some(Element::End)));
        assert!(chain.take().unwrap().is_none());
    }
}
