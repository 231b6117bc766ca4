//! Which session a row belongs to, which sessions it joins, and which have ended.
//!
//! Two rows of a key are in one session if and only if a chain of rows at most the gap apart connects them. A session whose
//! end (its last row plus the gap) lies before the watermark of a row's partition at that row's place is closed for the row,
//! also where it has not fired yet: so the result does not depend on how batches are cut.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use velo_core::Watermark;
use velo_core::time::iso8601;

use crate::error::{ExecError, Result};
use crate::state::{KeyTable, is_sparse};

/// An open session of one key.
#[derive(Debug, Clone, Copy)]
struct Session {
    start: i64,
    last: i64,
    group: u32,
    rows: u32,
}

/// A session that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ended {
    /// Its last row plus the gap.
    pub(crate) end: i64,
    /// Its first row.
    pub(crate) start: i64,
    pub(crate) key: u32,
    pub(crate) group: u32,
}

/// An open session as a checkpoint holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) key: u32,
    pub(crate) group: u32,
    /// Its first row.
    pub(crate) start: i64,
    /// Its last row.
    pub(crate) last: i64,
    pub(crate) rows: u64,
}

/// The open sessions of all keys.
#[derive(Debug)]
pub(crate) struct Sessions {
    gap: i64,
    /// By key number; those of one key lie in the order of time and do not overlap.
    keys: Vec<Vec<Session>>,
    /// By key number: the earliest time in `ends` for it, [`NEVER`] if there is none.
    due: Vec<i64>,
    /// At or before the end of the earliest session of each key that has one. A session that grows leaves its entry behind,
    /// which is put right when it comes up.
    ends: BinaryHeap<Reverse<(i64, u32)>>,
    /// The number of groups given out.
    groups: u32,
    /// How many of them an open session has.
    live: u32,
    /// Rows in the open sessions.
    held: u64,
    /// In this batch: group to the group that it went into.
    merged: HashMap<u32, u32>,
}

const NEVER: i64 = i64::MAX;

impl Sessions {
    pub(crate) fn new(gap: i64) -> Self {
        Self {
            gap,
            keys: Vec::new(),
            due: Vec::new(),
            ends: BinaryHeap::new(),
            groups: 0,
            live: 0,
            held: 0,
            merged: HashMap::new(),
        }
    }

    /// The number of groups, dead ones included.
    pub(crate) fn groups(&self) -> usize {
        self.groups as usize
    }

    /// Puts the rows of a batch into sessions: the group of each into `groups`. `closed` has each row's watermark where that is
    /// above its time. Groups of earlier batches that a row has joined are in [`Self::take_merged`] afterwards.
    pub(crate) fn place(
        &mut self,
        ids: &[u32],
        times: &[i64],
        closed: impl Fn(usize) -> Watermark,
        groups: &mut Vec<u32>,
    ) -> Result<()> {
        groups.clear();
        groups.reserve(ids.len());
        let keys = ids.iter().max().map_or(0, |id| *id as usize + 1).max(self.keys.len());
        self.keys.resize_with(keys, Vec::new);
        self.due.resize(keys, NEVER);
        for (row, (id, time)) in ids.iter().zip(times).enumerate() {
            let watermark = closed(row).0;
            if let [only] = self.keys[*id as usize].as_mut_slice()
                && *time <= only.last.saturating_add(self.gap)
                && *time >= only.start.saturating_sub(self.gap)
                && only.last.saturating_add(self.gap) >= watermark
            {
                only.start = only.start.min(*time);
                only.last = only.last.max(*time);
                only.rows = only.rows.saturating_add(1);
                groups.push(only.group);
            } else {
                groups.push(self.join(*id, *time, watermark)?);
            }
        }
        self.held += ids.len() as u64;
        if !self.merged.is_empty() {
            for group in groups {
                *group = self.resolve(*group);
            }
        }
        Ok(())
    }

    /// The general case: no session, or several.
    fn join(&mut self, id: u32, time: i64, watermark: i64) -> Result<u32> {
        let end = time.checked_add(self.gap).filter(|end| *end < NEVER && time > i64::MIN);
        let end = end.ok_or_else(|| ExecError::Compute {
            statement: "window".to_owned(),
            message: format!("the session of {} ends outside the range of times", iso8601(time)),
            place: None,
        })?;
        let (gap, sessions) = (self.gap, &mut self.keys[id as usize]);
        // Sessions that begin at most the gap behind the row; of them, those that end at most the gap before it.
        let to = sessions.partition_point(|session| session.start <= time.saturating_add(gap));
        let joins = |session: &Session| {
            let session_end = session.last.saturating_add(gap);
            session_end >= time && session_end >= watermark
        };
        let from = to - sessions[..to].iter().rev().take_while(|session| joins(session)).count();
        if from == to {
            let group = self.groups;
            self.groups = group.checked_add(1).ok_or_else(|| ExecError::Internal("too many sessions".to_owned()))?;
            self.live += 1;
            sessions.insert(to, Session { start: time, last: time, group, rows: 1 });
            if end < self.due[id as usize] {
                self.due[id as usize] = end;
                self.ends.push(Reverse((end, id)));
            }
            return Ok(group);
        }
        let joined = &sessions[from..to];
        // The oldest group stays, so that groups of this batch go into those with state.
        let group = joined.iter().map(|session| session.group).min().unwrap_or_default();
        let session = Session {
            start: joined.iter().map(|session| session.start).min().unwrap_or(time).min(time),
            last: joined.iter().map(|session| session.last).max().unwrap_or(time).max(time),
            group,
            rows: joined.iter().fold(1, |rows, session| session.rows.saturating_add(rows)),
        };
        for other in joined.iter().filter(|other| other.group != group) {
            self.merged.insert(other.group, group);
            self.live -= 1;
        }
        sessions.splice(from..to, [session]);
        Ok(group)
    }

    fn resolve(&self, mut group: u32) -> u32 {
        while let Some(into) = self.merged.get(&group) {
            group = *into;
        }
        group
    }

    /// The groups below `before` that went into others in this batch, and where they are now.
    pub(crate) fn take_merged(&mut self, before: usize) -> (Vec<u32>, Vec<u32>) {
        let mut from = self.merged.keys().copied().filter(|group| (*group as usize) < before).collect::<Vec<_>>();
        from.sort_unstable();
        let into = from.iter().map(|group| self.resolve(*group)).collect();
        self.merged.clear();
        (from, into)
    }

    /// Takes out the sessions that end before the watermark, in the order of their ends.
    pub(crate) fn ended(&mut self, watermark: Watermark) -> Vec<Ended> {
        let mut ended = Vec::new();
        while let Some(Reverse((end, key))) = self.ends.peek().copied().filter(|Reverse((end, _))| *end < watermark.0) {
            self.ends.pop();
            if self.due[key as usize] != end {
                continue;
            }
            let gap = self.gap;
            let sessions = &mut self.keys[key as usize];
            sessions.retain(|session| {
                let end = session.last.saturating_add(gap);
                let open = end >= watermark.0;
                if !open {
                    self.held -= u64::from(session.rows);
                    ended.push(Ended { end, start: session.start, key, group: session.group });
                }
                open
            });
            self.due[key as usize] = match sessions.first() {
                Some(earliest) => {
                    let end = earliest.last.saturating_add(gap);
                    self.ends.push(Reverse((end, key)));
                    end
                }
                None => NEVER,
            };
        }
        self.live -= ended.len() as u32;
        ended.sort_unstable();
        ended
    }

    /// Whether it is worth while to renumber groups and keys: most are dead.
    pub(crate) fn is_sparse(&self) -> bool {
        is_sparse(self.live as usize, self.groups as usize)
    }

    /// Numbers the open sessions anew, and their keys: the old groups in the order of the new ones.
    pub(crate) fn compact(&mut self, table: &mut KeyTable) -> Vec<u32> {
        let live = self.keys.iter().map(|sessions| !sessions.is_empty()).collect::<Vec<_>>();
        table.retain(&live);
        // `retain` keeps the order, and so does this.
        self.keys.retain(|sessions| !sessions.is_empty());
        let mut groups = Vec::with_capacity(self.live as usize);
        self.ends.clear();
        self.due.clear();
        for (key, sessions) in self.keys.iter_mut().enumerate() {
            for session in sessions.iter_mut() {
                groups.push(session.group);
                session.group = groups.len() as u32 - 1;
            }
            // Every list that is left has a session.
            let end = sessions.first().map_or(NEVER, |session| session.last.saturating_add(self.gap));
            self.ends.push(Reverse((end, key as u32)));
            self.due.push(end);
        }
        self.groups = groups.len() as u32;
        groups
    }

    /// The open sessions, by key and within one in the order of time.
    pub(crate) fn open(&self) -> Vec<Open> {
        let of_key = |(key, sessions): (usize, &Vec<Session>)| {
            let open = |session: &Session| Open {
                key: key as u32,
                group: session.group,
                start: session.start,
                last: session.last,
                rows: u64::from(session.rows),
            };
            sessions.iter().map(open).collect::<Vec<_>>()
        };
        self.keys.iter().enumerate().flat_map(of_key).collect()
    }

    /// Takes up an open session of a key, behind its earlier ones: the group of it. None where it overlaps one of those, or ends
    /// outside the range of times.
    pub(crate) fn restore(&mut self, key: u32, start: i64, last: i64, rows: u64) -> Option<u32> {
        let keys = (key as usize + 1).max(self.keys.len());
        self.keys.resize_with(keys, Vec::new);
        self.due.resize(keys, NEVER);
        let sessions = &mut self.keys[key as usize];
        let end = last.checked_add(self.gap).filter(|end| *end < NEVER && start <= last)?;
        if sessions.last().is_some_and(|earlier| earlier.last >= start) {
            return None;
        }
        let group = self.groups;
        self.groups = group.checked_add(1)?;
        self.live += 1;
        self.held = self.held.saturating_add(rows);
        if sessions.is_empty() {
            self.due[key as usize] = end;
            self.ends.push(Reverse((end, key)));
        }
        sessions.push(Session { start, last, group, rows: u32::try_from(rows).unwrap_or(u32::MAX) });
        Some(group)
    }

    /// Rows in the open sessions.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let sessions = self.keys.iter().map(|sessions| sessions.capacity() * size_of::<Session>()).sum::<usize>();
        sessions + self.keys.capacity() * 24 + self.due.capacity() * 8 + self.ends.capacity() * 16
    }
}
