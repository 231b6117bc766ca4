//! Early results of sessions: a session that grows, or joins another, takes back what was said of it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;
use velo_core::{Batch, RowKind, schema};

use super::Outbox;
use crate::aggregate::AggregateSet;
use crate::changes::{rows_of_both, unchanged};
use crate::error::Result;
use crate::state::KeyTable;
use crate::window::session::Sessions;

/// The results that are out: by group, the bounds of the session as they were shown.
#[derive(Debug, Default)]
pub(super) struct ShownSessions {
    bounds: HashMap<u32, (i64, i64)>,
}

/// The sessions that a batch touches.
#[derive(Debug, Default)]
pub(super) struct TouchedSessions {
    /// Keys and groups, each group once: those that are there afterwards, then those that went into others.
    sessions: Vec<(u32, u32)>,
    /// How many are there afterwards.
    stay: usize,
    /// Places in `sessions` of those that were shown.
    shown: Vec<u32>,
    before: Vec<ArrayRef>,
}

impl ShownSessions {
    /// What is out of the sessions that rows of these keys and groups touch; `merged` are groups that go into others.
    pub(super) fn touch(
        &self,
        ids: &[u32],
        groups: &[u32],
        merged: (&[u32], &[u32]),
        set: &mut AggregateSet,
    ) -> Result<TouchedSessions> {
        let mut keys: HashMap<u32, u32> = HashMap::new();
        let mut sessions = Vec::new();
        for (id, group) in ids.iter().zip(groups) {
            if keys.insert(*group, *id).is_none() {
                sessions.push((*id, *group));
            }
        }
        let stay = sessions.len();
        // What went into another session has that one's key.
        sessions.extend(merged.0.iter().zip(merged.1).filter_map(|(from, into)| Some((*keys.get(into)?, *from))));
        let is_shown = |place: &u32| self.bounds.contains_key(&sessions[*place as usize].1);
        let shown: Vec<u32> = (0..sessions.len() as u32).filter(is_shown).collect();
        let known: Vec<u32> = shown.iter().map(|place| sessions[*place as usize].1).collect();
        let before = set.evaluate(&known, false)?;
        Ok(TouchedSessions { sessions, stay, shown, before })
    }

    /// Emits what changed of the touched sessions.
    pub(super) fn tell(
        &mut self,
        touched: &TouchedSessions,
        sessions: &Sessions,
        keys: &KeyTable,
        set: &mut AggregateSet,
        output: &SchemaRef,
        out: &mut Outbox,
    ) -> Result<()> {
        let TouchedSessions { sessions: all, stay, shown, before } = touched;
        let groups: Vec<u32> = all[..*stay].iter().map(|(_, group)| *group).collect();
        let after = set.evaluate(&groups, false)?;
        // Of the sessions that stay and were shown: is the result the same?
        let staying: Vec<u32> = shown.iter().copied().take_while(|place| (*place as usize) < *stay).collect();
        let same = unchanged(before, &after, &staying)?;
        let mut rows = ChangedRows::default();
        let offset = shown.len() as u32;
        // First what is taken back of sessions that are no more, then what is.
        for (at, place) in shown.iter().enumerate().skip(staying.len()) {
            let (key, group) = all[*place as usize];
            if let Some(bounds) = self.bounds.remove(&group) {
                rows.push(RowKind::Delete, key, at as u32, bounds);
            }
        }
        let mut next = staying.iter().enumerate().peekable();
        for (place, (key, group)) in all[..*stay].iter().enumerate() {
            let Some(bounds) = sessions.bounds(*key, *group) else { continue };
            let new = offset + place as u32;
            let known = next.next_if(|(_, shown)| **shown as usize == place).map(|(at, _)| at);
            match known.and_then(|at| Some((at, self.bounds.get(group).copied()?))) {
                Some((at, was)) if was == bounds => {
                    if !same.value(at) {
                        rows.push(RowKind::UpdateBefore, *key, at as u32, was);
                        rows.push(RowKind::UpdateAfter, *key, new, bounds);
                    }
                }
                Some((at, was)) => {
                    rows.push(RowKind::Delete, *key, at as u32, was);
                    rows.push(RowKind::Insert, *key, new, bounds);
                }
                None => rows.push(RowKind::Insert, *key, new, bounds),
            }
            self.bounds.insert(*group, bounds);
        }
        rows.write(keys, (before, &after), output, out)
    }

    /// A session has ended: what was said of it stays.
    pub(super) fn ended(&mut self, group: u32) {
        self.bounds.remove(&group);
    }

    /// The groups have new numbers, the places in `groups`.
    pub(super) fn renumber(&mut self, groups: &[u32]) {
        let old = std::mem::take(&mut self.bounds);
        let kept = groups.iter().enumerate();
        self.bounds = kept.filter_map(|(new, group)| Some((new as u32, *old.get(group)?))).collect();
    }
}

/// Rows of a changelog of sessions on their way out.
#[derive(Debug, Default)]
pub(super) struct ChangedRows {
    kinds: Vec<RowKind>,
    keys: Vec<u32>,
    /// Places in the results before, then after.
    results: Vec<u32>,
    bounds: Vec<(i64, i64)>,
}

impl ChangedRows {
    /// A row of a key, with a place in the results before and, counting on, in those after.
    pub(super) fn push(&mut self, kind: RowKind, key: u32, result: u32, bounds: (i64, i64)) {
        self.kinds.push(kind);
        self.keys.push(key);
        self.results.push(result);
        self.bounds.push(bounds);
    }

    /// Puts others behind these.
    pub(super) fn append(&mut self, others: Self) {
        self.kinds.extend(others.kinds);
        self.keys.extend(others.keys);
        self.results.extend(others.results);
        self.bounds.extend(others.bounds);
    }

    /// Emits the rows, if there are any.
    pub(super) fn write(
        self,
        keys: &KeyTable,
        (before, after): (&[ArrayRef], &[ArrayRef]),
        output: &SchemaRef,
        out: &mut Outbox,
    ) -> Result<()> {
        if self.kinds.is_empty() {
            return Ok(());
        }
        let mut columns = keys.keys(&self.keys)?;
        columns.extend(rows_of_both(before, after, self.results)?);
        let times = |of: fn(&(i64, i64)) -> i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_iter_values(self.bounds.iter().map(of)))
        };
        columns.extend([times(|bounds| bounds.0), times(|bounds| bounds.1)]);
        if schema::event_time_index(output).is_some() {
            columns.push(times(|bounds| bounds.1 - 1));
        }
        out.batch(Batch::changes(RecordBatch::try_new(Arc::clone(output), columns)?, self.kinds));
        Ok(())
    }
}
