//! Each row with what a table has under its key: as the table is when the row comes, or as it was at the row's event time.
//!
//! Rows that the table lacks meet its policy; those that wait are kept here, hold the watermark back, and are looked up again at
//! each new version and when their time has come. Rows that can be taken back remember what was made of them, unless the table
//! cannot change: then the same look-up finds the same.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::UInt32Array;
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::duration::Span;
use velo_core::lookup::{AsOfReader, TableReader, TableVersion};
use velo_core::{Batch, RowKind, RowKinds, Watermark, schema};
use velo_eventtime::late::for_row;
use velo_plan::plan::{self, JoinKind, StateTtl};

use super::late_rows::LateRows;
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::{StateReader, StateWriter};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::lookup::{
    Candidates, Fate, Given, Held, Made, MissingCounters, PAIRS, Pairs, Probe, ProbeSpec, Waiting, fate,
};
use crate::state::KeyTable;
use crate::window::LateCounters;

/// What the operator is made of.
pub struct LookupSpec {
    /// The join.
    pub join: plan::LookupJoin,
    /// The table.
    pub table: Arc<dyn TableReader>,
    /// The names of the table's columns that are looked up.
    pub key_names: Vec<String>,
    /// The place in the table of the column that a membership compares.
    pub member: Option<usize>,
    /// Whether the table cannot change once it is ready.
    pub settled: bool,
    /// Whether the table is loaded from outside, and goes on while the streams of the job do not.
    pub loaded: bool,
    /// Whether input rows can be taken back.
    pub retracts: bool,
    /// When what was made of rows that can be taken back is forgotten.
    pub ttl: Option<StateTtl>,
    /// The places of the input's columns by which its rows were shared out among tasks: what it keeps goes with them. None where
    /// it runs as one task.
    pub shared_by: Vec<usize>,
    /// The columns that come in.
    pub input: SchemaRef,
    /// The columns that come out.
    pub output: SchemaRef,
    /// The statement, for errors.
    pub statement: String,
}

/// The operator.
pub struct LookupJoin {
    probe: Probe,
    table: Arc<dyn TableReader>,
    kind: JoinKind,
    missing: Option<plan::Missing>,
    /// Where it stands, if it asks for rows as of their times.
    as_of: Option<Arc<AsOfReader>>,
    input: SchemaRef,
    output: SchemaRef,
    late: LateRows,
    counters: Arc<MissingCounters>,
    /// What was made of rows that can be taken back.
    given: Option<Given>,
    /// The keys of rows that wait, where what follows them must wait too, with how many there are of each.
    blocked: Option<Blocked>,
    waiting: Waiting,
    /// See [`LookupSpec::loaded`].
    loaded: bool,
    shared_by: Vec<usize>,
    /// The version in which the waiting rows were looked up last.
    seen: u64,
    /// How many rows are joined at once, where it is not known how many pairs they have.
    at_once: usize,
    work: VecDeque<Work>,
    watermark: Watermark,
    forwarded: Watermark,
    ending: bool,
    /// When the barrier came that is saved at.
    barrier_at: i64,
}

/// Keys of rows that wait.
struct Blocked {
    keys: KeyTable,
    key: Vec<crate::expr::Evaluator>,
    rows: Vec<u32>,
}

/// Rows to be joined.
struct Work {
    batch: Batch,
    /// The first row that was not joined yet.
    at: usize,
    version: Arc<dyn TableVersion>,
    /// What becomes of rows that the table lacks.
    fate: Fate,
    tries: u32,
    due: i64,
}

/// Rows that are joined at once at first, where it is not known how many pairs they have, and at most.
const AT_ONCE: [usize; 2] = [256, 65_536];

impl LookupJoin {
    /// The operator.
    pub fn new(spec: LookupSpec) -> Result<Self> {
        let LookupSpec {
            join,
            table,
            key_names,
            member,
            settled,
            loaded,
            retracts,
            ttl,
            shared_by,
            input,
            output,
            statement,
        } = spec;
        let probe = Probe::new(&ProbeSpec {
            join: &join,
            table: table.name(),
            key_names,
            input: &input,
            output: &output,
            statement: &statement,
        })?;
        let waits = join.missing.as_ref().is_some_and(plan::Missing::waits);
        let blocked = match waits && retracts {
            true => {
                let key = join.keys.iter().map(|key| crate::expr::Evaluator::new(key, &input, &statement));
                let key = key.collect::<Result<Vec<_>>>()?;
                let types = key.iter().map(|key| key.data_type(&input)).collect::<Result<Vec<_>>>()?;
                Some(Blocked { keys: KeyTable::new(&types)?, key, rows: Vec::new() })
            }
            false => None,
        };
        let given = (retracts && !(settled && !join.as_of && !waits)).then(|| Given::new(Arc::clone(&input), ttl));
        Ok(Self {
            probe: probe.with_member(member),
            kind: join.kind.clone(),
            missing: join.missing.clone(),
            as_of: join.as_of.then(|| table.as_of_reader()),
            late: LateRows::new(join.late, &statement),
            counters: Arc::default(),
            given: given.transpose()?,
            blocked,
            waiting: Waiting::default(),
            loaded,
            shared_by,
            seen: 0,
            at_once: AT_ONCE[0],
            work: VecDeque::new(),
            watermark: Watermark::NONE,
            forwarded: Watermark::NONE,
            ending: false,
            barrier_at: 0,
            table,
            input,
            output,
        })
    }

    fn fate(&self, last: bool) -> Fate {
        // What the table lacks as of a time that its watermark has passed will never come.
        fate(&self.kind, self.missing.as_ref(), last || self.as_of.is_some())
    }

    /// Joins what is to be joined, until the outbox is full.
    fn run(&mut self, out: &mut Outbox) -> Result<Flow> {
        while let Some(mut work) = self.work.pop_front() {
            while work.at < work.batch.rows() {
                if out.is_full() {
                    self.work.push_front(work);
                    return Ok(Flow::More);
                }
                self.step(&mut work, out)?;
            }
        }
        if let Some(given) = &mut self.given {
            given.compact()?;
            given.ask(out);
        }
        // Of rows that wait for their time nothing is known to be missing.
        if self.as_of.is_none() {
            self.counters.set_waiting(self.waiting.rows());
            if let Some(due) = self.waiting.due() {
                out.timer_at(due);
            }
        }
        self.forward(out);
        Ok(Flow::Done)
    }

    /// Joins some rows.
    fn step(&mut self, work: &mut Work, out: &mut Outbox) -> Result<()> {
        let version = Arc::clone(&work.version);
        let version = version.as_ref();
        let most = self.probe.rows_at_once(version);
        let rows = most.unwrap_or(self.at_once).min(work.batch.rows() - work.at);
        let mut part = work.batch.slice(work.at, rows);
        // What is taken back is what was given; only the others are looked up. Where all are, there are no places.
        let mut asked = part.clone();
        let mut places = None;
        if let (Some(_), Some(kinds)) = (&self.given, &part.kinds) {
            let comes: Vec<bool> = kinds.as_slice().iter().map(|kind| !kind.retracts()).collect();
            places = Some((0..part.rows() as u32).filter(|row| comes[*row as usize]).collect::<Vec<_>>());
            asked = part.filter(&comes.into())?;
        }
        let mut candidates = self.probe.candidates(&asked, version)?;
        if let Candidates::Many(matches) = &mut candidates {
            let pairs = matches.keys.len();
            if pairs > PAIRS {
                let cut = matches.keys[PAIRS].max(1);
                let kept = matches.keys.partition_point(|row| *row < cut);
                matches.keys.truncate(kept);
                matches.rows.truncate(kept);
                let cut = cut as usize;
                if cut < asked.rows() {
                    asked = asked.slice(0, cut);
                    let before = places.as_ref().map_or(cut, |places| places[cut] as usize);
                    part = part.slice(0, before);
                    places.iter_mut().for_each(|places| places.truncate(cut));
                }
            }
            if most.is_none() {
                // Behind a cut everything is looked up once more: few rows are to meet that.
                self.at_once = match pairs {
                    pairs if pairs > PAIRS => part.rows().max(1),
                    pairs if pairs < PAIRS / 4 => (self.at_once * 2).min(AT_ONCE[1]),
                    _ => self.at_once,
                };
            }
        }
        work.at += part.rows();
        let pairs = self.probe.pairs(&asked, version, candidates, work.fate)?;
        match self.given.is_some() {
            true => self.changes(&part, (&asked, places), &pairs, work, out),
            false => self.plain(&part, &pairs, work, out),
        }
    }

    /// Counts rows that the table lacks; without a policy none is missing.
    fn count(&self, fate: Fate, pairs: &Pairs) {
        if self.missing.is_some() {
            self.counters.count(fate, pairs.missing);
        }
    }

    /// Rows that are joined, and forgotten.
    fn plain(&mut self, part: &Batch, pairs: &Pairs, work: &Work, out: &mut Outbox) -> Result<()> {
        self.count(work.fate, pairs);
        if pairs.len() > 0 {
            let mut batch = self.probe.output(part, work.version.as_ref(), pairs)?;
            batch.kinds = batch.kinds.map(|kinds| kinds.unpaired());
            out.batch(batch);
        }
        if !pairs.waits.is_empty() {
            self.waiting.push(part.take(&UInt32Array::from(pairs.waits.clone()))?, work.tries, work.due);
        }
        Ok(())
    }

    /// Rows that come and are taken back: what comes of them is remembered, and taken back as it was. `asked` are those that
    /// come, and their places in `part`.
    fn changes(
        &mut self,
        part: &Batch,
        (asked, places): (&Batch, Option<Vec<u32>>),
        pairs: &Pairs,
        work: &Work,
        out: &mut Outbox,
    ) -> Result<()> {
        self.count(work.fate, pairs);
        let Some(given) = &mut self.given else {
            return Err(ExecError::Internal("nothing is remembered".to_owned()));
        };
        let mut waits = vec![false; part.rows()];
        for row in &pairs.waits {
            waits[places.as_ref().map_or(*row, |places| places[*row as usize]) as usize] = true;
        }
        if let Some(blocked) = &mut self.blocked {
            blocked.follow(part, &mut waits)?;
        }
        let kept = given.keep(&self.probe.output(asked, work.version.as_ref(), pairs)?.columns);
        let ids = given.intern(part)?;
        let times = given.times(part, out.now());
        // What comes out: the row that it comes of, its kind, and where its columns are.
        let (mut of, mut out_kinds, mut from) = (Vec::new(), Vec::new(), Vec::new());
        let mut sources: Vec<u32> = Vec::new();
        let kinds = part.kinds.as_ref().map(RowKinds::as_slice);
        let (mut nth, mut at) = (0_u32, 0_usize);
        for row in 0..part.rows() {
            let retracts = kinds.is_some_and(|kinds| kinds[row].retracts());
            let begin = at;
            if !retracts {
                match &pairs.left {
                    Some(left) => {
                        while left.get(at) == Some(&nth) {
                            at += 1;
                        }
                    }
                    None => at += 1,
                }
                nth += 1;
            }
            if waits[row] {
                continue;
            }
            if let Some(times) = &times {
                given.touch(ids[row], times(row));
            }
            let (kind, made) = match retracts {
                false => {
                    let made = Made { batch: kept, from: begin as u32, rows: (at - begin) as u32 };
                    given.give(ids[row], made);
                    (RowKind::Insert, Some(made))
                }
                true => (RowKind::Delete, given.take_back(ids[row])),
            };
            for made in made.into_iter().filter(|made| made.rows > 0) {
                let source = given.place(made.batch, &mut sources);
                for place in made.from..made.from + made.rows {
                    of.push(row as u32);
                    out_kinds.push(kind);
                    from.push((source, place as usize));
                }
            }
        }
        if !of.is_empty() {
            let batches = sources.iter().filter_map(|source| given.batch(*source)).collect::<Vec<_>>();
            let batches: Vec<_> = batches.iter().map(AsRef::as_ref).collect();
            let columns = arrow_select::interleave::interleave_record_batch(&batches, &from)?;
            let rows = part.take(&UInt32Array::from(of))?;
            let mut columns: Vec<_> = columns.columns().to_vec();
            // A row is taken back at the time of the one that does so.
            if let (Some(place), Some(time)) = (
                schema::event_time_index(&self.output),
                schema::event_time_index(&self.input).map(|at| Arc::clone(rows.columns.column(at))),
            ) {
                columns[place] = time;
            }
            let columns = columns_of(&self.output, columns, rows.rows())?;
            let mut batch = rows.with_columns(columns);
            let kinds = RowKinds::new(out_kinds);
            batch.kinds = (!kinds.all_inserts()).then_some(kinds);
            out.batch(batch);
        }
        let waits: Vec<u32> = (0..part.rows() as u32).filter(|row| waits[*row as usize]).collect();
        if !waits.is_empty() {
            self.waiting.push(part.take(&UInt32Array::from(waits))?, work.tries, work.due);
        }
        Ok(())
    }

    /// Takes rows in to be joined with the version that stands.
    fn take_in(&mut self, batch: Batch, version: Arc<dyn TableVersion>, now: i64) {
        let (due, most) = self.next_try(now);
        let fate = self.fate(version.is_last() || self.ending || most == 0);
        self.work.push_back(Work { batch, at: 0, version, fate, tries: 0, due });
    }

    /// When a row that is looked up now is looked up again, and how often it may be.
    fn next_try(&self, now: i64) -> (i64, u32) {
        let missing = self.missing.as_ref();
        let delay = missing.map_or(Span(0), |missing| missing.delay);
        (now.saturating_add(delay.micros()), missing.map_or(0, |missing| missing.retries))
    }

    /// Looks the waiting rows up again, in this version.
    fn look_again(&mut self, version: &Arc<dyn TableVersion>) {
        self.seen = version.number();
        if let Some(blocked) = &mut self.blocked {
            blocked.clear();
        }
        let (_, most) = self.next_try(0);
        let held = self.waiting.take();
        self.again(held, version, most);
    }

    fn again(&mut self, held: impl IntoIterator<Item = Held>, version: &Arc<dyn TableVersion>, most: u32) {
        for Held { batch, tries, due, .. } in held {
            let fate = self.fate(version.is_last() || self.ending || tries >= most);
            self.work.push_back(Work { batch, at: 0, version: Arc::clone(version), fate, tries, due });
        }
    }

    /// Waiting rows whose time has come have tried once more. In the same version that finds nothing, so that only those are
    /// looked up for which waiting is over; over a changelog what waits behind them too.
    fn try_again(&mut self, now: i64) {
        let (next, most) = self.next_try(now);
        let version = self.table.version();
        let over = match self.blocked {
            Some(_) if self.waiting.tried_in_order(now, next, most) => return self.look_again(&version),
            Some(_) => Vec::new(),
            None => self.waiting.tried(now, next, most),
        };
        match version.number() == self.seen {
            true => self.again(over, &version, most),
            false => {
                self.again(over, &version, most);
                self.look_again(&version);
            }
        }
    }

    /// Lets go of the rows as of whose time the table is known.
    fn release(&mut self) -> Result<()> {
        let version = self.table.version();
        let fate = self.fate(true);
        for batch in self.waiting.take_before(version.watermark().0)? {
            let version = Arc::clone(&version);
            self.work.push_back(Work { batch, at: 0, version, fate, tries: 0, due: i64::MAX });
        }
        Ok(())
    }

    /// Rows wait until the table is known as of their time. One that is taken back does not go before it has come out.
    fn hold(&mut self, batch: Batch) {
        let times = batch.event_times().map(|times| times.values().to_vec());
        let mut until = times.unwrap_or_default();
        if let (Some(_), Some(kinds)) = (&self.given, &batch.kinds) {
            let mut latest = self.waiting.latest().unwrap_or(i64::MIN);
            for (until, kind) in until.iter_mut().zip(kinds.as_slice()) {
                if kind.retracts() {
                    *until = latest.max(*until);
                }
                latest = latest.max(*until);
            }
        }
        self.waiting.push_until(batch, until);
    }

    /// How many different rows it can take back.
    pub fn remembered(&self) -> usize {
        self.given.as_ref().map_or(0, Given::rows)
    }

    /// Forwards the watermark as far as no row that waits will come out behind it.
    fn forward(&mut self, out: &mut Outbox) {
        let held_back = self.watermark.min(Watermark(self.waiting.oldest()));
        if held_back > self.forwarded {
            self.forwarded = held_back;
            out.watermark(held_back);
            if let Some(reader) = &self.as_of {
                reader.advance(held_back);
            }
        }
    }
}

impl Blocked {
    /// Rows behind a waiting one of their key wait too.
    fn follow(&mut self, part: &Batch, waits: &mut [bool]) -> Result<()> {
        if self.keys.is_empty() && !waits.contains(&true) {
            return Ok(());
        }
        let keys = self.key.iter().map(|key| key.evaluate(part)).collect::<Result<Vec<_>>>()?;
        let mut ids = Vec::with_capacity(part.rows());
        self.keys.intern(&keys, part.rows(), &mut ids)?;
        self.rows.resize(self.keys.len(), 0);
        for (waits, id) in waits.iter_mut().zip(ids) {
            let rows = &mut self.rows[id as usize];
            *waits |= *rows > 0;
            *rows += u32::from(*waits);
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.rows.clear();
    }
}

impl Operator for LookupJoin {
    fn memory(&self) -> usize {
        self.given.as_ref().map_or(0, Given::memory) + self.waiting.memory()
    }

    fn gives_back(&self) -> bool {
        self.loaded && !self.waiting.is_empty()
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        if let Some(given) = &mut self.given {
            given.on_clock(out)?;
        }
        if self.as_of.is_some() {
            let batch = self.late.leave_out(batch, self.watermark, "a join as of its time", for_row, out)?;
            self.hold(batch);
            self.release()?;
            return self.run(out);
        }
        // Rows of one key come out in their order: those that wait are looked up in the version that a new one is.
        let version = self.table.version();
        if version.number() != self.seen {
            self.look_again(&version);
        }
        self.take_in(batch, version, out.now());
        self.run(out)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.probe.check(batch)
    }

    fn give_up(&mut self, errors: &Arc<ComputeErrors>) {
        self.probe.give_up(errors);
    }

    fn on_tables(&mut self, out: &mut Outbox) -> Result<Flow> {
        let version = self.table.version();
        match self.as_of.is_some() {
            true => self.release()?,
            false if version.number() != self.seen => self.look_again(&version),
            // Only its watermark has moved.
            false => {}
        }
        self.run(out)
    }

    fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
        if let Some(given) = &mut self.given {
            given.on_clock(out)?;
        }
        match self.as_of.is_some() {
            true => self.release()?,
            false => self.try_again(now),
        }
        self.run(out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        if let Some(given) = &mut self.given {
            given.on_watermark(watermark, out)?;
        }
        // The end of the input is the end of waiting, and its watermark comes before it.
        if watermark == Watermark::END && self.as_of.is_none() {
            self.ending = true;
            let version = self.table.version();
            self.look_again(&version);
            return self.run(out);
        }
        self.forward(out);
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.ending = true;
        match self.as_of.is_some() {
            true => self.release()?,
            false => {
                let version = self.table.version();
                self.look_again(&version);
            }
        }
        self.run(out)
    }

    fn held(&self) -> u64 {
        self.waiting.rows() as u64
    }

    /// The table is not known yet as of the time of rows that wait.
    fn waits(&self) -> bool {
        self.as_of.is_some() && self.ending && !self.waiting.is_empty()
    }

    fn missing(&self) -> Option<Arc<MissingCounters>> {
        Some(Arc::clone(&self.counters))
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        self.as_of.as_ref().map(|_| Arc::clone(&self.late.counters))
    }

    fn on_barrier(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.barrier_at = out.now();
        Ok(Flow::Done)
    }

    /// Rows that wait, and what was made of rows that can be taken back.
    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.late.counters.save(state)?;
        self.counters.save(state)?;
        self.waiting.save(state, &self.shared_by, self.barrier_at)?;
        if let Some(reader) = &self.as_of {
            reader.saved();
        }
        self.given.as_ref().map_or(Ok(()), |given| given.save(state, &self.shared_by))
    }

    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        let reached = state.reached();
        (self.watermark, self.forwarded) = (reached.told, reached.sent);
        self.late.counters.load(state)?;
        self.counters.load(state)?;
        // Over a changelog what waits behind a row of its key is due at any time.
        self.waiting.load(state, &self.input, out.now(), self.as_of.is_none() && self.blocked.is_none())?;
        if let Some(given) = &mut self.given {
            given.load(state, &self.output)?;
            given.ask(out);
        }
        match &self.as_of {
            Some(reader) => {
                reader.advance(self.forwarded);
                reader.saved();
            }
            None => {
                self.counters.set_waiting(self.waiting.rows());
                self.ending = self.watermark == Watermark::END;
            }
        }
        // The versions of a table that is loaded anew have other numbers. So rows that wait are looked up before any that
        // come, which also finds again what has to wait behind them.
        self.seen = u64::MAX;
        if !self.waiting.is_empty() {
            out.timer_at(out.now());
        }
        Ok(())
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.run(out)
    }
}
