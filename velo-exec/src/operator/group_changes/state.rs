//! Groups whose results change in a checkpoint.
//!
//! The table `groups` has the keys, `$rows` (rows that are in the group), `$latest` (the latest event time that went in), `$shown`
//! (the event time of the result that is out, or NULL), `$touched` (for `state.ttl`, in microseconds), under windows `$start` and
//! `$end`, and the states of the aggregates. What is out of a group is not there a second time: the state gives it again, as it
//! does before every batch. A window has closed if the watermark has passed it, so that need not be saved.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, TimestampMicrosecondArray};
use arrow_schema::DataType;
use velo_core::Watermark;
use velo_core::types::TIMESTAMP;

use super::{ChangedWindows, GroupChanges, NOT_OUT, count};
use crate::aggregate::{GroupRows, GroupTable, SAVED_ROWS};
use crate::ahead::ahead;
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::state::{KeyTable, Ttl, valid};

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

    /// Those groups of a stretch that rows can still come to; also those without rows, which may know of some that were taken before
    /// they came.
    fn kept(&self, stretch: Range<u32>) -> Vec<u32> {
        let all = stretch.clone().collect::<Vec<_>>();
        if self.ttl.is_none() && self.windows.is_none() {
            return all;
        }
        let touched = self.ttl.as_ref().map(|ttl| ttl.saved(&all));
        let stays = |group: &u32| {
            let at = *group as usize;
            // A key that was forgotten begins anew, and its number stands for nothing.
            let forgotten = touched.as_ref().is_some_and(|touched| touched.is_null((*group - stretch.start) as usize))
                && self.live[at] == 0
                && self.shown[at] == NOT_OUT;
            !forgotten && (self.windows.is_none() || self.bounds_of(*group).is_some())
        };
        all.into_iter().filter(stays).collect()
    }

    pub(super) fn save_groups(&mut self, state: &mut StateWriter) -> Result<()> {
        let total = self.keys.len() as u32;
        // What is missing of all groups takes no memory for each of them.
        let none = Int64Array::new_null(SAVED_ROWS);
        for from in (0..total).step_by(SAVED_ROWS) {
            let groups = self.kept(from..total.min(from + SAVED_ROWS as u32));
            let states = self.set.state(&groups, false)?;
            let keys = if self.keyless { Vec::new() } else { self.keys.keys(&groups)? };
            let rows = groups.iter().map(|group| self.live[*group as usize]);
            let touched = match &self.ttl {
                Some(ttl) => ttl.saved(&groups),
                None => none.slice(0, groups.len()),
            };
            let times_of = |times: &[i64], missing: i64| -> Result<ArrayRef> {
                let some = valid(groups.len(), |at| times[groups[at] as usize] != missing);
                if some.as_ref().is_some_and(|some| some.null_count() == groups.len()) {
                    return Ok(Arc::new(none.slice(0, groups.len()).reinterpret_cast::<TimestampMicrosecondType>()));
                }
                let times = groups.iter().map(|group| times[*group as usize]).collect::<Vec<_>>();
                Ok(Arc::new(TimestampMicrosecondArray::try_new(times.into(), some)?))
            };
            let mut beside: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from_iter_values(rows)),
                times_of(&self.times, i64::MIN)?,
                times_of(&self.shown, NOT_OUT)?,
                Arc::new(touched),
            ];
            if self.windows.is_some() {
                let bounds = |of: fn((i64, i64)) -> i64| -> ArrayRef {
                    let bounds = groups.iter().map(|group| self.bounds_of(*group).map(of));
                    Arc::new(bounds.collect::<TimestampMicrosecondArray>())
                };
                beside.push(bounds(|(start, _)| start));
                beside.push(bounds(|(_, end)| end));
            }
            self.table()?.write(state, groups.len(), keys, beside, states)?;
        }
        Ok(())
    }

    pub(super) fn load_groups(&mut self, state: &mut StateReader) -> Result<()> {
        let saved = self.table()?.read(state);
        let about = saved.about();
        self.keys.reserve(about);
        let Self { keys, windows, set, ttl, live, times, shown, seen, alive, .. } = self;
        let mut numbering =
            Numbering { keys, windows, keyless: self.keyless, totals: self.totals, watermark: self.watermark };
        let numbered = saved.map(|saved| {
            let saved = saved?;
            let ids = numbering.numbers_of(&saved)?;
            Ok((saved, ids, numbering.keys.len()))
        });
        // The numbers of the next groups are found while these are filled.
        ahead(about, numbered, |(saved, ids, total)| {
            live.resize(total, 0);
            times.resize(total, i64::MIN);
            shown.resize(total, NOT_OUT);
            seen.resize(total, false);
            let (rows, latest, out) = (saved.numbers(ROWS)?, saved.times(LATEST)?, saved.times(SHOWN)?);
            if rows.null_count() > 0 {
                return Err(saved.damaged("a count is missing"));
            }
            set.merge(&ids, total, &saved.states)?;
            for (row, id) in ids.iter().enumerate() {
                let at = *id as usize;
                count(&mut live[at], alive, rows.value(row));
                times[at] = if latest.is_valid(row) { latest.value(row) } else { i64::MIN };
                shown[at] = if out.is_valid(row) { out.value(row) } else { NOT_OUT };
            }
            let touched = saved.numbers(TOUCHED)?;
            ttl.iter_mut().for_each(|ttl: &mut Ttl| ttl.restore(&ids, touched));
            Ok(())
        })
    }
}

/// Numbers for saved groups.
struct Numbering<'a> {
    keys: &'a mut KeyTable,
    windows: &'a mut Option<ChangedWindows>,
    keyless: bool,
    totals: usize,
    watermark: Watermark,
}

impl Numbering<'_> {
    /// Numbers for the groups of a batch of the table, and for their windows.
    fn numbers_of(&mut self, saved: &GroupRows) -> Result<Vec<u32>> {
        let mut owners = None;
        if let Some(windows) = self.windows {
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
                if let (Some(windows), Some(owners)) = (&mut *self.windows, &owners) {
                    windows.joins(owners[row], *id);
                }
            } else if *id as usize >= self.totals {
                return Err(saved.damaged("a group is there twice"));
            }
        }
        Ok(ids)
    }
}
