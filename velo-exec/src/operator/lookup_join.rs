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
use velo_core::lookup::{TableReader, TableVersion};
use velo_core::{Batch, RowKind, RowKinds, Watermark, schema};
use velo_eventtime::late::for_row;
use velo_plan::plan::{self, JoinKind, MissingStrategy, StateTtl};

use super::late_rows::LateRows;
use super::{Flow, InputId, Operator, Outbox};
use crate::error::{ExecError, Result};
use crate::lookup::{Candidates, Fate, Given, Made, MissingCounters, Probe, ProbeSpec, Waiting, fate};
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
    /// Whether input rows can be taken back.
    pub retracts: bool,
    /// When what was made of rows that can be taken back is forgotten.
    pub ttl: Option<StateTtl>,
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
    as_of: bool,
    input: SchemaRef,
    output: SchemaRef,
    late: LateRows,
    counters: Arc<MissingCounters>,
    /// What was made of rows that can be taken back.
    given: Option<Given>,
    /// The keys of rows that wait, where what follows them must wait too, with how many there are of each.
    blocked: Option<Blocked>,
    waiting: Waiting,
    /// The version in which the waiting rows were looked up last.
    seen: u64,
    work: VecDeque<Work>,
    watermark: Watermark,
    forwarded: Watermark,
    ending: bool,
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

/// Pairs of one step at most, but for those of a single row.
const PAIRS: usize = 65_536;

impl LookupJoin {
    /// The operator.
    pub fn new(spec: LookupSpec) -> Result<Self> {
        let LookupSpec { join, table, key_names, member, settled, retracts, ttl, input, output, statement } = spec;
        let probe = Probe::new(&ProbeSpec {
            join: &join,
            table: table.name(),
            key_names,
            input: &input,
            output: &output,
            statement: &statement,
        })?;
        let waits = join.missing.as_ref().is_some_and(|missing| missing.strategy == MissingStrategy::WaitAndRetry);
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
            as_of: join.as_of,
            late: LateRows::new(join.late, &statement),
            counters: Arc::default(),
            given: given.transpose()?,
            blocked,
            waiting: Waiting::default(),
            seen: 0,
            work: VecDeque::new(),
            watermark: Watermark::NONE,
            forwarded: Watermark::NONE,
            ending: false,
            table,
            input,
            output,
        })
    }

    fn fate(&self, last: bool) -> Fate {
        // What the table lacks as of a time that its watermark has passed will never come.
        fate(&self.kind, self.missing.as_ref(), last || self.as_of)
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
            given.compact();
        }
        self.counters.set_waiting(self.waiting.rows());
        if !self.as_of
            && let Some(due) = self.waiting.due()
        {
            out.timer_at(due);
        }
        self.forward(out);
        Ok(Flow::Done)
    }

    /// Joins some rows.
    fn step(&mut self, work: &mut Work, out: &mut Outbox) -> Result<()> {
        let version = Arc::clone(&work.version);
        let version = version.as_ref();
        let rows = self.probe.rows_at_once(version).min(work.batch.rows() - work.at);
        let mut part = work.batch.slice(work.at, rows);
        let mut candidates = self.probe.candidates(&part, version)?;
        if let Candidates::Many(matches) = &mut candidates
            && matches.keys.len() > PAIRS
        {
            let cut = matches.keys[PAIRS].max(1);
            let kept = matches.keys.partition_point(|row| *row < cut);
            matches.keys.truncate(kept);
            matches.rows.truncate(kept);
            part = part.slice(0, cut as usize);
        }
        work.at += part.rows();
        match self.given.is_some() {
            true => self.changes(part, version, candidates, work, out),
            false => self.plain(part, version, candidates, work, out),
        }
    }

    /// Rows that are joined, and forgotten.
    fn plain(
        &mut self,
        part: Batch,
        version: &dyn TableVersion,
        candidates: Candidates,
        work: &Work,
        out: &mut Outbox,
    ) -> Result<()> {
        let pairs = self.probe.pairs(&part, version, candidates, work.fate)?;
        self.counters.count(work.fate, pairs.missing);
        if pairs.len() > 0 {
            let mut batch = self.probe.output(&part, version, &pairs)?;
            batch.kinds = batch.kinds.map(|kinds| kinds.unpaired());
            out.batch(batch);
        }
        if !pairs.waits.is_empty() {
            self.waiting.push(part.take(&UInt32Array::from(pairs.waits))?, work.tries, work.due);
        }
        Ok(())
    }

    /// Rows that come and are taken back: what comes of them is remembered, and taken back as it was.
    fn changes(
        &mut self,
        part: Batch,
        version: &dyn TableVersion,
        candidates: Candidates,
        work: &Work,
        out: &mut Outbox,
    ) -> Result<()> {
        let pairs = self.probe.pairs(&part, version, candidates, work.fate)?;
        let Some(given) = &mut self.given else {
            return Err(ExecError::Internal("nothing is remembered".to_owned()));
        };
        let kinds = part.kinds.as_ref().map(RowKinds::as_slice);
        let retracts = |row: usize| kinds.is_some_and(|kinds| kinds[row].retracts());
        let mut waits = vec![false; part.rows()];
        for row in pairs.waits.iter().filter(|row| !retracts(**row as usize)) {
            waits[*row as usize] = true;
        }
        if let Some(blocked) = &mut self.blocked {
            blocked.follow(&part, &mut waits)?;
        }
        let made = self.probe.output(&part, version, &pairs)?.columns;
        let kept = given.keep(&made);
        let ids = given.intern(&part, out.now())?;
        // What comes out: the row that it comes of, its kind, and where its columns are.
        let (mut of, mut out_kinds, mut from) = (Vec::new(), Vec::new(), Vec::new());
        let mut sources: Vec<u32> = vec![kept];
        let mut at = 0_usize;
        let mut missing = pairs.missing;
        for row in 0..part.rows() {
            let begin = at;
            match &pairs.left {
                Some(left) => {
                    while left.get(at) == Some(&(row as u32)) {
                        at += 1;
                    }
                }
                None => at += 1,
            }
            if waits[row] {
                continue;
            }
            let (kind, made) = match retracts(row) {
                false => {
                    let made = Made { batch: kept, from: begin as u32, rows: (at - begin) as u32 };
                    given.give(ids[row], made);
                    (RowKind::Insert, Some(made))
                }
                true => {
                    // What is taken back was counted when it came.
                    missing = missing.saturating_sub(usize::from(at == begin));
                    (RowKind::Delete, given.take_back(ids[row]))
                }
            };
            for made in made.into_iter().filter(|made| made.rows > 0) {
                let source = sources.iter().position(|source| *source == made.batch).unwrap_or_else(|| {
                    sources.push(made.batch);
                    sources.len() - 1
                });
                for place in made.from..made.from + made.rows {
                    of.push(row as u32);
                    out_kinds.push(kind);
                    from.push((source, place as usize));
                }
            }
        }
        self.counters.count(work.fate, missing);
        let batches = sources.iter().filter_map(|source| given.batch(*source)).collect::<Vec<_>>();
        if !of.is_empty() {
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
    fn take_in(&mut self, batch: Batch, now: i64) {
        let (due, _) = self.next_try(now);
        let version = self.table.version();
        let fate = self.fate(version.is_last() || self.ending);
        self.work.push_back(Work { batch, at: 0, version, fate, tries: 0, due });
    }

    /// When a row that is looked up now is looked up again, and how often it may be.
    fn next_try(&self, now: i64) -> (i64, u32) {
        let missing = self.missing.as_ref();
        let delay = missing.map_or(Span(0), |missing| missing.delay);
        (now.saturating_add(delay.micros()), missing.map_or(0, |missing| missing.retries))
    }

    /// Looks the waiting rows up again; `timed`: those whose time has come have tried once more.
    fn retry(&mut self, now: i64, timed: bool) {
        if self.waiting.is_empty() || self.as_of {
            return;
        }
        let version = self.table.version();
        self.seen = version.number();
        if let Some(blocked) = &mut self.blocked {
            blocked.clear();
        }
        let (next, most) = self.next_try(now);
        for held in self.waiting.take() {
            let tried = timed && held.due <= now;
            let tries = held.tries + u32::from(tried);
            let fate = self.fate(version.is_last() || self.ending || tries >= most);
            let due = if tried { next } else { held.due };
            self.work.push_back(Work { batch: held.batch, at: 0, version: Arc::clone(&version), fate, tries, due });
        }
    }

    /// Lets go of the rows as of whose time the table is known.
    fn release(&mut self) -> Result<()> {
        let version = self.table.version();
        let known = version.watermark();
        let fate = self.fate(true);
        for held in self.waiting.take_before(known.0) {
            let times = held.batch.event_times();
            let ready = times.map(|times| times.iter().map(|time| time.is_some_and(|time| time < known.0)).collect());
            let ready: Vec<bool> = ready.unwrap_or_default();
            let batch = match ready.iter().all(|ready| *ready) {
                true => held.batch,
                false => {
                    let later = ready.iter().map(|ready| Some(!ready)).collect();
                    self.waiting.push(held.batch.filter(&later)?, 0, i64::MAX);
                    held.batch.filter(&ready.into())?
                }
            };
            let version = Arc::clone(&version);
            self.work.push_back(Work { batch, at: 0, version, fate, tries: 0, due: i64::MAX });
        }
        Ok(())
    }

    /// Forwards the watermark as far as no row that waits will come out behind it.
    fn forward(&mut self, out: &mut Outbox) {
        let held_back = self.watermark.min(Watermark(self.waiting.oldest()));
        if held_back > self.forwarded {
            self.forwarded = held_back;
            out.watermark(held_back);
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
    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        if let Some(given) = &mut self.given {
            given.on_clock(out);
        }
        if self.as_of {
            let batch = self.late.leave_out(batch, self.watermark, "a join as of its time", for_row, out)?;
            self.waiting.push(batch, 0, i64::MAX);
            self.release()?;
            return self.run(out);
        }
        // Rows of one key come out in their order: those that wait are looked up in the version that a new one is.
        if self.table.version().number() != self.seen {
            self.retry(out.now(), false);
        }
        self.take_in(batch, out.now());
        self.run(out)
    }

    fn on_tables(&mut self, out: &mut Outbox) -> Result<Flow> {
        match self.as_of {
            true => self.release()?,
            false => self.retry(out.now(), false),
        }
        self.run(out)
    }

    fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
        if let Some(given) = &mut self.given {
            given.on_clock(out);
        }
        self.retry(now, true);
        self.run(out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        if let Some(given) = &mut self.given {
            given.on_watermark(watermark, out);
        }
        // The end of the input is the end of waiting, and its watermark comes before it.
        if watermark == Watermark::END && !self.as_of {
            self.ending = true;
            self.retry(out.now(), false);
            return self.run(out);
        }
        self.forward(out);
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.ending = true;
        match self.as_of {
            true => self.release()?,
            false => self.retry(out.now(), false),
        }
        self.run(out)
    }

    fn held(&self) -> u64 {
        self.waiting.rows() as u64
    }

    /// The table is not known yet as of the time of rows that wait.
    fn waits(&self) -> bool {
        self.as_of && self.ending && !self.waiting.is_empty()
    }

    fn missing(&self) -> Option<Arc<MissingCounters>> {
        Some(Arc::clone(&self.counters))
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        self.as_of.then(|| Arc::clone(&self.late.counters))
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.run(out)
    }
}
