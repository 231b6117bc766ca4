//! The search for matches in the rows of partitions, which goes on where it stopped when rows come.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::ArrayRef;
use velo_core::Watermark;
use velo_plan::plan::MatchSkip;

use crate::error::{ExecError, Result};
use crate::row_pattern::{
    At, Conditions, Found, Matches, Partition, Program, Request, Row, Run, Scratch, Store, Tests,
};

/// The rows of all partitions, and what is looked for in them.
pub(super) struct Search {
    pub(super) program: Program,
    pub(super) tests: Tests,
    pub(super) conditions: Conditions,
    pub(super) skip: MatchSkip,
    pub(super) within: Option<i64>,
    pub(super) shortest: u64,
    /// How many rows behind a row, and before it, its conditions and measures look at.
    pub(super) ahead: u64,
    pub(super) back: u64,
    pub(super) store: Store,
    pub(super) partitions: Vec<Partition>,
    pub(super) matches: Matches,
    pub(super) watermark: Watermark,
    pub(super) ended: bool,
    pub(super) requests: Vec<Request>,
    pub(super) slots: Vec<u32>,
    pub(super) labels: Vec<u8>,
    pub(super) scratch: Scratch,
    /// Searches that are over, for the next ones.
    #[expect(
        clippy::vec_box,
        reason = "a partition without a search is to be small, and they move between here and there"
    )]
    pub(super) spare: Vec<Box<Run>>,
}

/// How many searches that are over are kept for the next ones.
const SPARE: usize = 64;

/// Why a search fails.
pub(super) enum Failure {
    Execution(ExecError),
    TooManyThreads,
    Endless,
    Nowhere,
}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Self {
        Self::Execution(error)
    }
}

impl Search {
    /// Finds out what rows can be by themselves; `columns` are the kept columns of these rows, where they lie together.
    pub(super) fn test(&mut self, rows: &[(u32, u64)], columns: Option<&[ArrayRef]>) -> Result<()> {
        let mut values = Vec::with_capacity(self.tests.columns.len());
        for beside in &self.tests.columns {
            let own = columns.filter(|_| beside.offset == 0).and_then(|columns| columns.get(beside.column));
            values.push(match own {
                Some(column) => Arc::clone(column),
                None => {
                    let places =
                        rows.iter().map(|(key, row)| self.partitions[*key as usize].beside(*row, beside.offset));
                    self.store.gather(beside.column, &places.collect::<Vec<_>>())?
                }
            });
        }
        let holds = self.tests.of(values, rows.len())?;
        for ((key, row), holds) in rows.iter().zip(holds) {
            let partition = &mut self.partitions[*key as usize];
            partition.tested = row + 1;
            if let Some(row) = partition.row_mut(*row) {
                row.holds = holds;
            }
        }
        Ok(())
    }

    /// As [`Self::test`], for rows whose successors have come.
    pub(super) fn test_those_with_neighbours(&mut self, keys: &[u32]) -> Result<()> {
        let mut rows = Vec::new();
        for key in keys {
            let partition = &self.partitions[*key as usize];
            let end = if self.ended { partition.end() } else { partition.end().saturating_sub(self.ahead) };
            rows.extend((partition.tested..end).map(|row| (*key, row)));
        }
        if rows.is_empty() { Ok(()) } else { self.test(&rows, None) }
    }

    /// Searches a partition as far as its rows go; true: requests were added, whose answers it needs to go on. `answers` are
    /// those of the requests that it added before.
    pub(super) fn run(&mut self, key: u32, answers: &[(bool, u32)]) -> Result<bool, Failure> {
        let mut answers = (!answers.is_empty()).then_some(answers);
        loop {
            let partition = &mut self.partitions[key as usize];
            if partition.run.is_none() {
                while let Some(row) = partition.row(partition.start).filter(|_| partition.start < partition.tested)
                    && row.holds & self.program.begins == 0
                {
                    partition.start += 1;
                }
                let Some(row) = partition.row(partition.start).filter(|_| partition.start < partition.tested) else {
                    break;
                };
                let mut run = self.spare.pop().unwrap_or_default();
                run.begin(&self.program, partition.start, row.time);
                partition.run = Some(run);
            }
            let Some(run) = &mut partition.run else { break };
            let (next, deadline) = (run.next, self.within.map(|within| run.time.saturating_add(within)));
            let out_of_time = |time: i64| deadline.is_some_and(|deadline| time >= deadline);
            let number = next.checked_sub(partition.first).and_then(|at| usize::try_from(at).ok());
            let row = number.and_then(|at| partition.rows.get(at)).copied();
            let over = match &row {
                _ if run.is_decided() => Some(Over::Decided),
                Some(row) if out_of_time(row.time) => Some(Over::OutOfTime),
                Some(_) if next < partition.tested => None,
                // It waits for a row behind it.
                Some(_) => break,
                None if self.ended => Some(Over::Decided),
                None if out_of_time(self.watermark.0) => Some(Over::OutOfTime),
                None => break,
            };
            if let Some(over) = over {
                self.decide(key, over)?;
                continue;
            }
            let Some(row) = row else { break };
            if self.step(key, &row, &mut answers)? {
                return Ok(true);
            }
        }
        self.drop_rows(key);
        Ok(false)
    }

    /// Has the search of a partition take a row, its next; true: requests were added, whose answers it needs first.
    fn step(&mut self, key: u32, row: &Row, answers: &mut Option<&[(bool, u32)]>) -> Result<bool, Failure> {
        let partition = &mut self.partitions[key as usize];
        let Some(run) = &mut partition.run else { return Ok(false) };
        if !self.conditions.is_simple() && answers.is_none() {
            let before = self.requests.len();
            let (start, next, number) = (run.start, run.next, partition.matches + 1);
            let requests = &mut self.requests;
            run.ask(&self.conditions, &self.program, row, &mut self.slots, &mut self.scratch, |variable, group| {
                requests.push(Request {
                    partition: key,
                    row: next,
                    start,
                    time: row.time,
                    at: row.at,
                    variable,
                    number,
                    group,
                });
            });
            if self.requests.len() > before {
                return Ok(true);
            }
        }
        let own = answers.take().unwrap_or_default().iter().copied();
        run.step(&self.conditions, &self.program, row, own, &mut self.scratch).map_err(|_| Failure::TooManyThreads)?;
        Ok(false)
    }

    /// Searches again from where a partition's match can begin, up to the row before `to`, as it was searched before a
    /// checkpoint: nothing comes out. The answer as that of [`Self::run`].
    pub(super) fn run_again(&mut self, key: u32, to: u64, answers: &[(bool, u32)]) -> Result<bool, Failure> {
        let mut answers = (!answers.is_empty()).then_some(answers);
        let partition = &mut self.partitions[key as usize];
        if partition.run.is_none()
            && let Some(row) = partition.row(partition.start)
        {
            let mut run = self.spare.pop().unwrap_or_default();
            run.begin(&self.program, partition.start, row.time);
            partition.run = Some(run);
        }
        loop {
            let partition = &self.partitions[key as usize];
            let next = partition.run.as_ref().map(|run| run.next).filter(|next| *next < to);
            let Some(row) = next.and_then(|next| partition.row(next)).copied() else { return Ok(false) };
            if self.step(key, &row, &mut answers)? {
                return Ok(true);
            }
        }
    }

    /// A search is over: what it found comes out, and the next one begins where it says.
    fn decide(&mut self, key: u32, over: Over) -> Result<(), Failure> {
        let partition = &mut self.partitions[key as usize];
        let Some(run) = partition.run.take() else { return Ok(()) };
        match run.candidate.filter(|candidate| !candidate.is_empty()) {
            Some(candidate) => {
                partition.matches += 1;
                run.labels(candidate, &mut self.labels);
                let found = Found { key, partition, start: run.start, labels: &self.labels };
                let next = match self.skip {
                    MatchSkip::PastLastRow => Some(candidate.end + 1),
                    MatchSkip::ToNextRow => Some(run.start + 1),
                    MatchSkip::ToFirst(of) => found.pick(of, false, 0),
                    MatchSkip::ToLast(of) => found.pick(of, true, 0),
                };
                self.matches.push(&found);
                let next = next.ok_or(Failure::Nowhere)?;
                if next == run.start {
                    return Err(Failure::Endless);
                }
                partition.start = next;
            }
            None => {
                if run.candidate.is_none() && over == Over::Decided && self.conditions.remembers_failures() {
                    for (at, tried) in run.tried().iter().enumerate() {
                        if let Some(row) = partition.row_mut(run.start + at as u64) {
                            row.dead |= tried;
                        }
                    }
                }
                partition.start = run.start + 1;
            }
        }
        if self.spare.len() < SPARE {
            self.spare.push(run);
        }
        Ok(())
    }

    /// Drops the rows that no match and no condition can need.
    pub(super) fn drop_rows(&mut self, key: u32) {
        let partition = &mut self.partitions[key as usize];
        let from = partition.start.saturating_sub(self.back);
        while partition.first < from
            && let Some(row) = partition.rows.pop_front()
        {
            partition.first += 1;
            self.store.release(row.at);
        }
        if partition.rows.is_empty() {
            partition.rows = VecDeque::new();
        }
    }

    /// The answers to all requests.
    pub(super) fn answer(&mut self) -> Result<Vec<(bool, u32)>> {
        if self.requests.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = self.conditions.answer(&mut self.store, &self.partitions, &self.requests, &self.slots)?;
        if let Some(running) = self.conditions.crowded() {
            let mut alive = Vec::new();
            for partition in &self.partitions {
                partition.run.iter().for_each(|run| run.groups(&mut alive));
            }
            alive.extend(answers.iter().filter(|(holds, _)| *holds).map(|(_, group)| *group));
            alive.sort_unstable();
            alive.dedup();
            running.keep(&alive)?;
            for run in self.partitions.iter_mut().filter_map(|partition| partition.run.as_mut()) {
                run.renumber(&alive);
            }
            for (_, group) in answers.iter_mut().filter(|(holds, _)| *holds) {
                *group = alive.binary_search(group).map_or(*group, |number| number as u32);
            }
        }
        Ok(answers)
    }

    /// Copies the kept rows together where that is worth while.
    pub(super) fn compact(&mut self) -> Result<()> {
        if !self.store.is_scattered() {
            return Ok(());
        }
        let kept = self.partitions.iter().flat_map(|partition| partition.rows.iter().map(|row| Some(row.at)));
        let kept = kept.collect::<Vec<_>>();
        let chunk = self.store.keep(&kept)?;
        let rows = self.partitions.iter_mut().flat_map(|partition| partition.rows.iter_mut());
        for (at, row) in rows.enumerate() {
            row.at = At { chunk, row: at as u32 };
        }
        Ok(())
    }
}

/// Why a search is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The rows decide, or there are no more.
    Decided,
    /// WITHIN: what was still open can not be any more, and from a later row it could.
    OutOfTime,
}
