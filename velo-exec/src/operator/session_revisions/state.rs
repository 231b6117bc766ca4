//! Revised sessions in a checkpoint.
//!
//! The table `sessions` has a session a row: its keys, `$start` and `$last` (its first and last row in time), `$rows`, the bounds
//! under which it was told (`$shown_start`, `$shown_end`, or NULL), and the states of its aggregates. Where rows can be taken
//! back, `slots` has the rows of each time: the keys, `$time`, `$rows` and the states. The state of a session is not made anew of
//! its slots, because a sum of floats would not come out the same, and what was told could not be taken back.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow_schema::DataType;
use velo_core::types::TIMESTAMP;

use super::SessionRevisions;
use crate::aggregate::{AggregatePlan, GroupTable, SAVED_ROWS, SavedKeys};
use crate::checkpoint::state::damaged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};

const SESSIONS: &str = "sessions";
const SLOTS: &str = "slots";

fn sessions<'a>(keys: &'a SavedKeys, plan: &AggregatePlan) -> Result<GroupTable<'a>> {
    let beside = [
        ("$start", TIMESTAMP),
        ("$last", TIMESTAMP),
        ("$rows", DataType::Int64),
        ("$shown_start", TIMESTAMP),
        ("$shown_end", TIMESTAMP),
    ];
    GroupTable::new(SESSIONS, keys, &beside, plan)
}

fn slots<'a>(keys: &'a SavedKeys, plan: &AggregatePlan) -> Result<GroupTable<'a>> {
    GroupTable::new(SLOTS, keys, &[("$time", TIMESTAMP), ("$rows", DataType::Int64)], plan)
}

fn times(times: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(times.collect::<TimestampMicrosecondArray>())
}

fn counts(counts: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX))))
}

impl SessionRevisions {
    pub(super) fn save_sessions(&mut self, state: &mut StateWriter) -> Result<()> {
        let table = sessions(&self.saved, &self.grouping.plan)?;
        let all = self.sessions.all().collect::<Vec<_>>();
        for part in all.chunks(SAVED_ROWS) {
            let keys = self.keys.keys(&part.iter().map(|(key, ..)| *key).collect::<Vec<_>>())?;
            let groups = part.iter().map(|(_, session, _)| session.group).collect::<Vec<_>>();
            let beside = vec![
                times(part.iter().map(|(_, session, _)| Some(session.start))),
                times(part.iter().map(|(_, session, _)| Some(session.last))),
                counts(part.iter().map(|(_, _, rows)| *rows)),
                times(part.iter().map(|(_, session, _)| session.shown.map(|bounds| bounds.0))),
                times(part.iter().map(|(_, session, _)| session.shown.map(|bounds| bounds.1))),
            ];
            table.write(state, part.len(), keys, beside, self.set.state(&groups, false)?)?;
        }
        Ok(())
    }

    pub(super) fn save_slots(&mut self, state: &mut StateWriter) -> Result<()> {
        let Some(set) = &mut self.slots else { return Ok(()) };
        let table = slots(&self.saved, &self.grouping.plan)?;
        let all = self.sessions.all_slots().collect::<Vec<_>>();
        for part in all.chunks(SAVED_ROWS) {
            let keys = self.keys.keys(&part.iter().map(|(key, ..)| *key).collect::<Vec<_>>())?;
            let numbers = part.iter().map(|(_, _, number, _)| *number).collect::<Vec<_>>();
            let beside =
                vec![times(part.iter().map(|(_, time, ..)| Some(*time))), counts(part.iter().map(|(.., rows)| *rows))];
            table.write(state, part.len(), keys, beside, set.state(&numbers, false)?)?;
        }
        Ok(())
    }

    pub(super) fn load_sessions(&mut self, state: &mut StateReader) -> Result<()> {
        for saved in sessions(&self.saved, &self.grouping.plan)?.read(state) {
            let saved = saved?;
            let (starts, lasts, rows) = (saved.all_times(0)?, saved.all_times(1)?, saved.counts(2)?);
            let (shown_starts, shown_ends) = (saved.times(3)?, saved.times(4)?);
            self.keys.intern(&saved.keys, saved.rows, &mut self.ids)?;
            let mut groups = Vec::with_capacity(saved.rows);
            for (row, key) in self.ids.iter().enumerate() {
                let bounds = (starts.value(row), lasts.value(row));
                let shown = match (shown_starts.is_valid(row), shown_ends.is_valid(row)) {
                    (true, true) => Some((shown_starts.value(row), shown_ends.value(row))),
                    (false, false) => None,
                    _ => return Err(saved.damaged("a session was told with one of its bounds")),
                };
                let group = self.sessions.restore(*key, bounds, rows.value(row).unsigned_abs(), shown);
                groups.push(group.ok_or_else(|| saved.damaged("two sessions of one key overlap"))?);
            }
            self.set.merge(&groups, self.sessions.groups(), &saved.states)?;
        }
        self.load_slots(state)?;
        match self.sessions.restored() {
            true => Ok(()),
            false => Err(damaged(SLOTS, "it has other rows than the sessions")),
        }
    }

    fn load_slots(&mut self, state: &mut StateReader) -> Result<()> {
        let Some(set) = &mut self.slots else { return Ok(()) };
        for saved in slots(&self.saved, &self.grouping.plan)?.read(state) {
            let saved = saved?;
            let (times, rows) = (saved.all_times(0)?, saved.counts(1)?);
            self.keys.intern(&saved.keys, saved.rows, &mut self.ids)?;
            let slot = |(row, key): (usize, &u32)| {
                let number = self.sessions.restore_slot(*key, times.value(row), rows.value(row).unsigned_abs());
                number.ok_or_else(|| saved.damaged("rows of a time are in no session, or there twice"))
            };
            let numbers = self.ids.iter().enumerate().map(slot).collect::<Result<Vec<_>, ExecError>>()?;
            set.merge(&numbers, self.sessions.slots(), &saved.states)?;
        }
        Ok(())
    }
}
