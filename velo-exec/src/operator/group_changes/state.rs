//! Groups whose results change in a checkpoint.
//!
//! The table `groups` has the keys, `$rows` (rows that are in the group), `$latest` (the latest event time that went in), `$shown`
//! (the event time of the result that is out, or NULL), `$touched` (for `state.ttl`, in microseconds), under windows `$start` and
//! `$end`, and the states of the aggregates. What is out of a group is not there a second time: the state gives it again, as it
//! does before every batch. A window has closed if the watermark has passed it, so that need not be saved.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, TimestampMicrosecondArray};
use arrow_schema::DataType;
use velo_core::types::TIMESTAMP;

use super::GroupChanges;
use crate::aggregate::{GroupRows, GroupTable, SAVED_ROWS};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::state::Ttl;

const ROWS: usize = 0;
const LATEST: usize = 1;
const SHOWN: usize = 2;
const TOUCHED: usize = 3;
const START: usize = 4;
const END: usize = 5;

impl GroupChanges {
    fn table(&self) -> Result<GroupTable<'_>> {
        let mut beside = vec![
            ("$rows", DataType::Int64),
            ("$latest", TIMESTAMP),
            ("$shown", TIMESTAMP),
            ("$touched", DataType::Int64),
        ];
        if self.windows.is_some() {
            beside.extend([("$start", TIMESTAMP), ("$end", TIMESTAMP)]);
        }
        GroupTable::new("groups", &self.saved, &beside, &self.grouping.plan)
    }

    /// The bounds of the window of a group, while rows can still change it.
    fn bounds_of(&self, group: u32) -> Option<(i64, i64)> {
        self.windows.as_ref().and_then(|windows| windows.bounds_of(self.keys.owner(group)))
    }

    /// The groups that rows can still come to; also those without rows, which may know of some that were taken before they came.
    fn kept(&self) -> Vec<u32> {
        let all = (0..self.keys.len() as u32).collect::<Vec<_>>();
        let touched = self.ttl.as_ref().map(|ttl| ttl.saved(&all));
        let stays = |group: &u32| {
            let at = *group as usize;
            // A key that was forgotten begins anew, and its number stands for nothing.
            let forgotten = touched.as_ref().is_some_and(|touched| touched.is_null(at))
                && self.live[at] == 0
                && self.shown[at].is_none();
            !forgotten && (self.windows.is_none() || self.bounds_of(*group).is_some())
        };
        all.iter().copied().filter(stays).collect()
    }

    pub(super) fn save_groups(&mut self, state: &mut StateWriter) -> Result<()> {
        for groups in self.kept().chunks(SAVED_ROWS) {
            let states = self.set.state(groups, false)?;
            let keys = if self.keyless { Vec::new() } else { self.keys.keys(groups)? };
            let times = |of: &dyn Fn(u32) -> Option<i64>| -> ArrayRef {
                Arc::new(groups.iter().map(|group| of(*group)).collect::<TimestampMicrosecondArray>())
            };
            let rows = groups.iter().map(|group| self.live[*group as usize]);
            let touched = match &self.ttl {
                Some(ttl) => ttl.saved(groups),
                None => Int64Array::new_null(groups.len()),
            };
            let mut beside: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from_iter_values(rows)),
                times(&|group| Some(self.times[group as usize]).filter(|time| *time != i64::MIN)),
                times(&|group| self.shown[group as usize]),
                Arc::new(touched),
            ];
            if self.windows.is_some() {
                beside.push(times(&|group| self.bounds_of(group).map(|bounds| bounds.0)));
                beside.push(times(&|group| self.bounds_of(group).map(|bounds| bounds.1)));
            }
            self.table()?.write(state, groups.len(), keys, beside, states)?;
        }
        Ok(())
    }

    pub(super) fn load_groups(&mut self, state: &mut StateReader) -> Result<()> {
        for saved in self.table()?.read(state)? {
            let ids = self.numbers_of(&saved)?;
            self.make_room();
            let (rows, latest, shown) = (saved.numbers(ROWS)?, saved.times(LATEST)?, saved.times(SHOWN)?);
            if rows.null_count() > 0 {
                return Err(saved.damaged("a count is missing"));
            }
            self.set.merge(&ids, self.keys.len(), &saved.states)?;
            for (row, id) in ids.iter().enumerate() {
                self.count(*id, rows.value(row));
                let at = *id as usize;
                self.times[at] = if latest.is_valid(row) { latest.value(row) } else { i64::MIN };
                self.shown[at] = shown.is_valid(row).then(|| shown.value(row));
            }
            let touched = saved.numbers(TOUCHED)?;
            self.ttl.iter_mut().for_each(|ttl: &mut Ttl| ttl.restore(&ids, touched));
        }
        Ok(())
    }

    /// Numbers for the groups of a table, and for their windows.
    fn numbers_of(&mut self, saved: &GroupRows) -> Result<Vec<u32>> {
        let mut owners = None;
        if let Some(windows) = &mut self.windows {
            let (starts, ends) = (saved.all_times(START)?.values(), saved.all_times(END)?.values());
            let number = |(start, end): (&i64, &i64)| {
                let number = windows.restore(*start, *end, self.watermark);
                number.ok_or_else(|| saved.damaged("it is of other windows than the statement has"))
            };
            owners = Some(starts.iter().zip(ends).map(number).collect::<Result<Vec<_>>>()?);
        }
        let constant: ArrayRef = Arc::new(BooleanArray::from(vec![false; saved.rows]));
        let keys = if self.keyless { std::slice::from_ref(&constant) } else { saved.keys.as_slice() };
        let (mut ids, mut next) = (Vec::new(), self.keys.len());
        self.keys.intern_of(keys, saved.rows, owners.as_deref(), &mut ids)?;
        for (row, id) in ids.iter().enumerate() {
            // The groups that are there without rows have their numbers already.
            if *id as usize == next {
                next += 1;
                if let (Some(windows), Some(owners)) = (&mut self.windows, &owners) {
                    windows.joins(owners[row], *id);
                }
            } else if *id as usize >= self.totals {
                return Err(saved.damaged("a group is there twice"));
            }
        }
        Ok(ids)
    }
}
