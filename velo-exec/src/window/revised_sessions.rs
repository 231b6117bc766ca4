//! Sessions that can be revised: rows are taken back, which shrinks, splits or ends a session, and a session that has ended
//! still takes late rows for a while.
//!
//! What a session is, and which one a row joins, is as in [`super::session`], row by row: so it does not depend on how batches
//! are cut. Where rows can be taken back, the times of a session's rows are known, each with its number: a *slot*. A session
//! that is cut in two gets new groups, whose state is that of their slots.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use velo_core::Watermark;
use velo_core::time::iso8601;

use super::session::Ended;
use crate::error::{ExecError, Result};
use crate::state::{KeyTable, is_sparse};

/// A session of one key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub(crate) start: i64,
    /// Its last row.
    pub(crate) last: i64,
    pub(crate) group: u32,
    rows: u64,
    /// Start and end, as they were told.
    pub(crate) shown: Option<(i64, i64)>,
}

/// The rows of one time.
#[derive(Debug, Clone, Copy)]
struct Slot {
    number: u32,
    rows: u64,
}

/// What became of a group in a batch, where it is not there any more.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Its state goes to this group.
    Into(u32),
    /// It has no rows, or its slots have gone to new groups.
    Gone,
}

/// Where a row of a batch has been put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) row: u32,
    group: u32,
    /// The slot of its time; 0 where slots are not needed.
    pub(crate) slot: u32,
}

/// A session of a key by its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    pub(crate) key: u32,
    pub(crate) group: u32,
}

/// What a batch did.
#[derive(Debug, Default)]
pub(crate) struct Revision {
    /// The rows that count, with their places.
    pub(crate) placed: Vec<Placed>,
    /// Sessions that were told and are not there any more, with their bounds.
    pub(crate) lost: Vec<(Member, (i64, i64))>,
    /// Sessions that rows came to or went from, and those that came of them.
    touched: Vec<Member>,
    fates: HashMap<u32, Fate>,
    /// Groups whose state is that of their slots.
    rebuilt: HashSet<u32>,
    known: HashSet<Member>,
    /// Groups from here on are of this batch.
    first: u32,
}

impl Revision {
    fn touch(&mut self, key: u32, group: u32) {
        let member = Member { key, group };
        if self.known.insert(member) {
            self.touched.push(member);
        }
    }

    /// The group that has taken up another one's rows, unless its state is rebuilt or it is gone.
    fn resolve(&self, mut group: u32) -> Option<u32> {
        loop {
            match self.fates.get(&group) {
                Some(Fate::Into(other)) => group = *other,
                Some(Fate::Gone) => return None,
                None => return (!self.rebuilt.contains(&group)).then_some(group),
            }
        }
    }

    /// The group that a placed row changes, if its state is not rebuilt.
    pub(crate) fn group_of(&self, placed: &Placed) -> Option<u32> {
        self.resolve(placed.group)
    }

    /// Groups of earlier batches whose state goes to others, and to which.
    pub(crate) fn merged(&self) -> (Vec<u32>, Vec<u32>) {
        let into = |group: &u32| Some((*group, self.resolve(*group)?));
        let moved = self.fates.keys().filter(|group| **group < self.first).filter_map(into);
        let mut moved = moved.collect::<Vec<_>>();
        moved.sort_unstable();
        moved.into_iter().unzip()
    }

    /// The sessions that are there, of those that were touched.
    pub(crate) fn there(&self) -> impl Iterator<Item = Member> + '_ {
        self.touched.iter().copied().filter(|member| !self.fates.contains_key(&member.group))
    }

    /// Whether the state of a group is that of its slots.
    pub(crate) fn is_rebuilt(&self, group: u32) -> bool {
        self.rebuilt.contains(&group)
    }
}

const NEVER: i64 = i64::MAX;

/// The sessions of all keys that can still be revised.
#[derive(Debug)]
pub(crate) struct RevisedSessions {
    gap: i64,
    /// How long after its end a session still takes rows.
    slack: i64,
    /// By key number; those of one key lie in the order of time and do not overlap.
    keys: Vec<Vec<Session>>,
    /// By key number, where rows can be taken back: the times of the rows in its sessions.
    times: Option<Vec<BTreeMap<i64, Slot>>>,
    /// By key number: the earliest time in `deadlines` for it, [`NEVER`] if there is none.
    due: Vec<i64>,
    /// When there is something to do for a key; what is not that of `due` is left over.
    deadlines: BinaryHeap<Reverse<(i64, u32)>>,
    /// Numbers given out, and how many of them are there.
    groups: u32,
    live_groups: usize,
    slots: u32,
    live_slots: usize,
    /// Rows in the state of groups that are there, and of those that are not.
    rows: u64,
    dead_rows: u64,
}

impl RevisedSessions {
    /// Sessions with this gap that take rows for `slack` after their end; `retracts`: rows can be taken back.
    pub(crate) fn new(gap: i64, slack: i64, retracts: bool) -> Self {
        Self {
            gap,
            slack,
            keys: Vec::new(),
            times: retracts.then(Vec::new),
            due: Vec::new(),
            deadlines: BinaryHeap::new(),
            groups: 0,
            live_groups: 0,
            slots: 0,
            live_slots: 0,
            rows: 0,
            dead_rows: 0,
        }
    }

    /// The number of groups, dead ones included.
    pub(crate) fn groups(&self) -> usize {
        self.groups as usize
    }

    /// The number of slots, dead ones included.
    pub(crate) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// Puts the rows of a batch into sessions, or takes them out. `measured` is the watermark for a row.
    pub(crate) fn place(
        &mut self,
        ids: &[u32],
        times: &[i64],
        taken: impl Fn(usize) -> bool,
        measured: impl Fn(usize) -> Watermark,
    ) -> Result<Revision> {
        let keys = ids.iter().max().map_or(0, |id| *id as usize + 1).max(self.keys.len());
        self.keys.resize_with(keys, Vec::new);
        self.due.resize(keys, NEVER);
        if let Some(times) = &mut self.times {
            times.resize_with(keys, BTreeMap::new);
        }
        let mut revision = Revision { first: self.groups, ..Revision::default() };
        let mut row = 0;
        while row < ids.len() {
            let (id, time, watermark) = (ids[row], times[row], measured(row).0);
            let replaced = taken(row)
                && ids.get(row + 1) == Some(&id)
                && times.get(row + 1) == Some(&time)
                && !taken(row + 1)
                && measured(row + 1).0 == watermark;
            if replaced && let Some((group, slot)) = self.replaceable(id, time, watermark) {
                // Both halves of an update of a row that stays where it is.
                revision.touch(id, group);
                revision.placed.extend([row, row + 1].map(|row| Placed { row: row as u32, group, slot }));
                row += 2;
                continue;
            }
            if taken(row) {
                // A row that did not come, or came too late, cannot go.
                if let Some((group, slot)) = self.take(id, time, &mut revision)? {
                    revision.placed.push(Placed { row: row as u32, group, slot });
                }
            } else {
                let group = self.add(id, time, watermark, &mut revision)?;
                let slot = self.slot(id, time);
                revision.placed.push(Placed { row: row as u32, group, slot });
            }
            row += 1;
        }
        Ok(revision)
    }

    fn end_of(&self, session: &Session) -> i64 {
        session.last.saturating_add(self.gap)
    }

    fn new_group(&mut self) -> Result<u32> {
        let group = self.groups;
        self.groups = group.checked_add(1).ok_or_else(|| ExecError::Internal("too many sessions".to_owned()))?;
        self.live_groups += 1;
        Ok(group)
    }

    /// Counts a row of a time in its slot.
    fn slot(&mut self, id: u32, time: i64) -> u32 {
        let Some(times) = &mut self.times else { return 0 };
        let (next, live) = (&mut self.slots, &mut self.live_slots);
        let slot = times[id as usize].entry(time).or_insert_with(|| {
            let number = *next;
            *next += 1;
            *live += 1;
            Slot { number, rows: 0 }
        });
        slot.rows += 1;
        slot.number
    }

    /// The sessions of a key that a row joins, by place.
    fn joined(&self, id: u32, time: i64, watermark: i64) -> std::ops::Range<usize> {
        let sessions = &self.keys[id as usize];
        // Sessions that begin at most the gap behind the row; of them, those that end at most the gap before it.
        let to = sessions.partition_point(|session| session.start <= time.saturating_add(self.gap));
        let joins = |session: &&Session| {
            let end = self.end_of(session);
            end >= time && end.saturating_add(self.slack) >= watermark
        };
        to - sessions[..to].iter().rev().take_while(joins).count()..to
    }

    fn add(&mut self, id: u32, time: i64, watermark: i64, revision: &mut Revision) -> Result<u32> {
        let end = time.checked_add(self.gap).filter(|end| *end < NEVER && time > i64::MIN);
        end.ok_or_else(|| ExecError::Compute {
            statement: "window".to_owned(),
            message: format!("the session of {} ends outside the range of times", iso8601(time)),
            place: None,
        })?;
        self.rows += 1;
        let joined = self.joined(id, time, watermark);
        if joined.is_empty() {
            let group = self.new_group()?;
            let session = Session { start: time, last: time, group, rows: 1, shown: None };
            self.keys[id as usize].insert(joined.start, session);
            revision.touch(id, group);
            return Ok(group);
        }
        let sessions = &mut self.keys[id as usize];
        let all = &sessions[joined.clone()];
        // A group that is rebuilt takes up the others, else the oldest does, so that groups of this batch go into those with state.
        let rebuilt = all.iter().find(|session| revision.rebuilt.contains(&session.group));
        let oldest = all.iter().min_by_key(|session| session.group);
        let Some(into) = rebuilt.or(oldest).copied() else { return Err(ExecError::Internal("no session".to_owned())) };
        let fate = if rebuilt.is_some() { Fate::Gone } else { Fate::Into(into.group) };
        for other in all.iter().filter(|other| other.group != into.group) {
            revision.touch(id, other.group);
            revision.fates.insert(other.group, fate);
            revision.rebuilt.remove(&other.group);
            revision.lost.extend(other.shown.map(|bounds| (Member { key: id, group: other.group }, bounds)));
            self.live_groups -= 1;
            self.dead_rows += other.rows;
        }
        revision.touch(id, into.group);
        let session = Session {
            start: all.iter().map(|session| session.start).min().unwrap_or(time).min(time),
            last: all.iter().map(|session| session.last).max().unwrap_or(time).max(time),
            rows: all.iter().map(|session| session.rows).sum::<u64>() + 1,
            ..into
        };
        sessions.splice(joined, [session]);
        Ok(into.group)
    }

    /// The place of a session of a key that holds a time.
    fn holding(&self, id: u32, time: i64) -> Option<usize> {
        let sessions = self.keys.get(id as usize)?;
        let at = sessions.partition_point(|session| session.start <= time).checked_sub(1)?;
        (sessions[at].last >= time).then_some(at)
    }

    /// Group and slot of a row that is replaced by one of the same time, where taking and adding it would leave all sessions as
    /// they are.
    fn replaceable(&self, id: u32, time: i64, watermark: i64) -> Option<(u32, u32)> {
        let times = &self.times.as_ref()?[id as usize];
        let slot = times.get(&time)?;
        let at = self.holding(id, time)?;
        let session = self.keys[id as usize][at];
        if self.joined(id, time, watermark) != (at..at + 1) {
            return None;
        }
        // What lies before it must still be open, so that the row would find it again.
        let before = times.range(session.start..time).next_back().filter(|_| slot.rows == 1);
        let closed = |before: i64| before.saturating_add(self.gap).saturating_add(self.slack) < watermark;
        (!before.is_some_and(|(before, _)| closed(*before))).then_some((session.group, slot.number))
    }

    /// Takes a row out: its group before that, and its slot.
    fn take(&mut self, id: u32, time: i64, revision: &mut Revision) -> Result<Option<(u32, u32)>> {
        let Some(at) = self.holding(id, time) else { return Ok(None) };
        let wrong = || ExecError::Internal("a row is taken back where none can be".to_owned());
        let times = &mut self.times.as_mut().ok_or_else(wrong)?[id as usize];
        let Some(slot) = times.get_mut(&time) else { return Ok(None) };
        slot.rows -= 1;
        let taken = *slot;
        let session = &mut self.keys[id as usize][at];
        session.rows -= 1;
        self.rows -= 1;
        let before = *session;
        let answer = Some((before.group, taken.number));
        revision.touch(id, before.group);
        if taken.rows > 0 {
            return Ok(answer);
        }
        times.remove(&time);
        self.live_slots -= 1;
        let earlier = times.range(before.start..time).next_back().map(|(time, _)| *time);
        let later = times.range(time..=before.last).next().map(|(time, _)| *time);
        let right_rows = match (earlier, later) {
            (None, None) => 0,
            (None, Some(later)) => {
                session.start = later;
                return Ok(answer);
            }
            (Some(earlier), None) => {
                session.last = earlier;
                return Ok(answer);
            }
            (Some(earlier), Some(later)) if later - earlier <= self.gap => return Ok(answer),
            (Some(_), Some(later)) => times.range(later..=before.last).map(|(_, slot)| slot.rows).sum::<u64>(),
        };
        // The group ends here: what is left of its rows goes to new ones.
        revision.fates.insert(before.group, Fate::Gone);
        revision.rebuilt.remove(&before.group);
        revision.lost.extend(before.shown.map(|bounds| (Member { key: id, group: before.group }, bounds)));
        self.live_groups -= 1;
        self.dead_rows += before.rows;
        let mut parts = Vec::with_capacity(2);
        if let (Some(last), Some(start)) = (earlier, later) {
            let bounds = [(before.start, last, before.rows - right_rows), (start, before.last, right_rows)];
            for (start, last, rows) in bounds {
                let group = self.new_group()?;
                revision.rebuilt.insert(group);
                revision.touch(id, group);
                parts.push(Session { start, last, group, rows, shown: None });
            }
        }
        self.keys[id as usize].splice(at..=at, parts);
        Ok(answer)
    }

    /// A session by its key and group.
    pub(crate) fn session(&mut self, member: Member) -> Option<&mut Session> {
        self.keys.get_mut(member.key as usize)?.iter_mut().find(|session| session.group == member.group)
    }

    /// Start and end of a session.
    pub(crate) fn bounds(&self, session: &Session) -> (i64, i64) {
        (session.start, self.end_of(session))
    }

    /// The slots of a session.
    pub(crate) fn slots_of(&self, key: u32, session: &Session) -> Vec<u32> {
        let times = self.times.as_ref().and_then(|times| times.get(key as usize));
        let slots = times.into_iter().flat_map(|times| times.range(session.start..=session.last));
        slots.map(|(_, slot)| slot.number).collect()
    }

    /// Notes when there is something to do for a key next: a session that was not told ends, one that was can go.
    pub(crate) fn schedule(&mut self, key: u32) {
        let deadline = |session: &Session| {
            let end = self.end_of(session);
            if session.shown.is_some() { end.saturating_add(self.slack) } else { end }
        };
        let next = self.keys.get(key as usize).and_then(|sessions| sessions.iter().map(deadline).min());
        if let Some(next) = next.filter(|next| *next < self.due[key as usize]) {
            self.due[key as usize] = next;
            self.deadlines.push(Reverse((next, key)));
        }
    }

    /// Sessions that end before the watermark and were not told, in the order of their ends; they count as told now. What can
    /// no longer be revised goes.
    pub(crate) fn pass(&mut self, watermark: Watermark) -> Vec<Ended> {
        let mut passed = Vec::new();
        while let Some(Reverse((at, key))) = self.deadlines.peek().copied().filter(|Reverse((at, _))| *at < watermark.0)
        {
            self.deadlines.pop();
            if self.due[key as usize] != at {
                continue;
            }
            let (gap, slack) = (self.gap, self.slack);
            let mut sessions = std::mem::take(&mut self.keys[key as usize]);
            sessions.retain_mut(|session| {
                let end = session.last.saturating_add(gap);
                if end < watermark.0 && session.shown.is_none() {
                    session.shown = Some((session.start, end));
                    passed.push(Ended { end, start: session.start, key, group: session.group });
                }
                let stays = end.saturating_add(slack) >= watermark.0;
                if !stays {
                    self.rows -= session.rows;
                    self.dead_rows += session.rows;
                    self.live_groups -= 1;
                    if let Some(times) = &mut self.times {
                        // Those of one key go in the order of time.
                        let later = times[key as usize].split_off(&session.last.saturating_add(1));
                        let gone = std::mem::replace(&mut times[key as usize], later);
                        self.live_slots -= gone.len();
                    }
                }
                stays
            });
            self.keys[key as usize] = sessions;
            self.due[key as usize] = NEVER;
            self.schedule(key);
        }
        passed.sort_unstable();
        passed
    }

    /// Rows in the sessions that were not told.
    pub(crate) fn held(&self) -> u64 {
        self.keys.iter().flatten().filter(|session| session.shown.is_none()).map(|session| session.rows).sum()
    }

    /// Whether it is worth while to renumber groups, slots and keys: most are dead.
    pub(crate) fn is_sparse(&self) -> bool {
        const MANY: u64 = 8_192;
        is_sparse(self.live_groups, self.groups as usize)
            || is_sparse(self.live_slots, self.slots as usize)
            || self.dead_rows > 2 * self.rows + MANY
    }

    /// Numbers sessions, slots and keys anew: the old groups and the old slots in the order of the new ones.
    pub(crate) fn compact(&mut self, table: &mut KeyTable) -> (Vec<u32>, Vec<u32>) {
        let live = self.keys.iter().map(|sessions| !sessions.is_empty()).collect::<Vec<_>>();
        table.retain(&live);
        // `retain` keeps the order, and so does this.
        self.keys.retain(|sessions| !sessions.is_empty());
        if let Some(times) = &mut self.times {
            crate::state::keep(times, &live);
        }
        let (mut groups, mut slots) = (Vec::with_capacity(self.live_groups), Vec::with_capacity(self.live_slots));
        for session in self.keys.iter_mut().flatten() {
            groups.push(session.group);
            session.group = groups.len() as u32 - 1;
        }
        for slot in self.times.iter_mut().flatten().flat_map(BTreeMap::values_mut) {
            slots.push(slot.number);
            slot.number = slots.len() as u32 - 1;
        }
        (self.groups, self.slots, self.dead_rows) = (groups.len() as u32, slots.len() as u32, 0);
        self.deadlines.clear();
        self.due = vec![NEVER; self.keys.len()];
        (0..self.keys.len() as u32).for_each(|key| self.schedule(key));
        (groups, slots)
    }

    /// All sessions with their keys and rows, by key and within one in the order of time.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &Session, u64)> {
        let keys = self.keys.iter().enumerate();
        keys.flat_map(|(key, sessions)| sessions.iter().map(move |session| (key as u32, session, session.rows)))
    }

    /// All slots: key, time, number and rows.
    pub(crate) fn all_slots(&self) -> impl Iterator<Item = (u32, i64, u32, u64)> {
        let keys = self.times.iter().flatten().enumerate();
        keys.flat_map(|(key, times)| times.iter().map(move |(time, slot)| (key as u32, *time, slot.number, slot.rows)))
    }

    /// Takes up a session of a key, behind its earlier ones: the group of it. None where it overlaps one of those, or ends outside
    /// the range of times. [`Self::restored`] follows.
    pub(crate) fn restore(
        &mut self,
        key: u32,
        (start, last): (i64, i64),
        rows: u64,
        shown: Option<(i64, i64)>,
    ) -> Option<u32> {
        let keys = (key as usize + 1).max(self.keys.len());
        self.keys.resize_with(keys, Vec::new);
        self.due.resize(keys, NEVER);
        if let Some(times) = &mut self.times {
            times.resize_with(keys, BTreeMap::new);
        }
        let sessions = &mut self.keys[key as usize];
        last.checked_add(self.gap).filter(|end| *end < NEVER && start <= last)?;
        if sessions.last().is_some_and(|earlier| earlier.last >= start) {
            return None;
        }
        let group = self.groups;
        self.groups = group.checked_add(1)?;
        self.live_groups += 1;
        self.rows = self.rows.saturating_add(rows);
        sessions.push(Session { start, last, group, rows, shown });
        Some(group)
    }

    /// Takes up the rows of one time of a key whose sessions are there: the number of the slot. None where no session holds it,
    /// or it is there already.
    pub(crate) fn restore_slot(&mut self, key: u32, time: i64, rows: u64) -> Option<u32> {
        self.holding(key, time)?;
        let times = self.times.as_mut()?.get_mut(key as usize)?;
        let number = self.slots;
        if times.insert(time, Slot { number, rows }).is_some() {
            return None;
        }
        self.slots = number.checked_add(1)?;
        self.live_slots += 1;
        Some(number)
    }

    /// All sessions and slots are there again. False where the slots have other rows than the sessions.
    pub(crate) fn restored(&mut self) -> bool {
        (0..self.keys.len() as u32).for_each(|key| self.schedule(key));
        let rows = self.all_slots().fold(0_u64, |sum, (.., rows)| sum.saturating_add(rows));
        self.times.is_none() || rows == self.rows
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let sessions = self.keys.iter().map(|sessions| sessions.capacity() * size_of::<Session>()).sum::<usize>();
        let slots = self.live_slots * (size_of::<Slot>() + size_of::<i64>()) * 2;
        sessions + slots + self.keys.capacity() * 24 + self.due.capacity() * 8 + self.deadlines.capacity() * 16
    }
}
