//! The rows of one key of an ASOF join's right side in the order of their times, and which of them is nearest to a time.

use std::cmp::Ordering;

use velo_plan::plan::AsOfDirection;

use super::kept::RowRef;

/// A row, valid from its time on until it is taken back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version {
    pub(crate) time: i64,
    /// The order among equal times: source and partition, then position.
    pub(crate) place: (u64, u64),
    pub(crate) row: RowRef,
    /// From when on it is there no more.
    pub(crate) until: i64,
    /// The number of the whole row, where rows can be taken back.
    pub(crate) identity: u32,
}

/// It was not taken back.
pub(crate) const FOREVER: i64 = i64::MAX;

/// What an ASOF join looks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nearest {
    pub(crate) direction: AsOfDirection,
    /// Whether a row of the very same time counts.
    pub(crate) inclusive: bool,
    /// How far away an earlier row may be, and a later one.
    pub(crate) back: Option<i64>,
    pub(crate) ahead: Option<i64>,
}

/// What is known of a row's partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It is this one, or none.
    Is(Option<RowRef>),
    /// The right side's watermark must pass this time first.
    Waits(i64),
}

/// The versions of a key.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    all: Vec<Version>,
}

impl Versions {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them, in their order.
    pub(crate) fn all(&self) -> &[Version] {
        &self.all
    }

    /// Puts a version in its place; `values` compares two rows that nothing else tells apart.
    pub(crate) fn insert(&mut self, new: Version, values: impl Fn(RowRef, RowRef) -> Ordering) {
        let is_before = |known: &Version| {
            let order = (known.time, known.place).cmp(&(new.time, new.place));
            let order = if order == Ordering::Equal { values(known.row, new.row) } else { order };
            order != Ordering::Greater
        };
        if self.all.last().is_none_or(is_before) {
            self.all.push(new);
            return;
        }
        let at = self.all.partition_point(is_before);
        self.all.insert(at, new);
    }

    /// Puts versions of ascending places among the others, moving each once.
    pub(crate) fn merge(
        &mut self,
        new: impl DoubleEndedIterator<Item = Version> + ExactSizeIterator,
        values: impl Fn(RowRef, RowRef) -> Ordering,
    ) {
        let mut read = self.all.len();
        let mut write = read + new.len();
        let filler = Version { time: 0, place: (0, 0), row: RowRef::NONE, until: FOREVER, identity: 0 };
        self.all.resize(write, filler);
        for new in new.rev() {
            while let Some(known) = read.checked_sub(1).map(|at| self.all[at]) {
                let order = (known.time, known.place).cmp(&(new.time, new.place));
                let order = if order == Ordering::Equal { values(known.row, new.row) } else { order };
                if order != Ordering::Greater {
                    break;
                }
                read -= 1;
                write -= 1;
                self.all[write] = known;
            }
            write -= 1;
            self.all[write] = new;
        }
    }

    /// A whole row is taken back from a time on: rather the version of this very time, else the newest. The row of a version
    /// that was never there.
    pub(crate) fn take_back(&mut self, identity: u32, own: i64, from: i64) -> Option<RowRef> {
        let is = |version: &Version| version.identity == identity && version.until == FOREVER;
        let own = self.all.iter().rposition(|version| is(version) && version.time == own);
        let at = own.or_else(|| self.all.iter().rposition(is))?;
        if from <= self.all[at].time {
            return Some(self.all.remove(at).row);
        }
        self.all[at].until = from;
        None
    }

    /// The partner of a row of a time, as far as the right side's watermark tells.
    pub(crate) fn choose(&self, time: i64, nearest: Nearest, watermark: i64) -> Choice {
        let is_over = watermark == i64::MAX;
        let known = |limit: i64| is_over || watermark > limit;
        let [back, ahead] = [nearest.back, nearest.ahead].map(|reach| reach.unwrap_or(i64::MAX));
        // All that is at or before the row, or only what is before it.
        let last = if nearest.inclusive { time } else { time.saturating_sub(1) };
        let earlier = || {
            let count = self.all.partition_point(|version| version.time <= last);
            let found = self.all[..count].iter().rev().find(|version| version.until > time);
            found.filter(|version| time.saturating_sub(version.time) <= back)
        };
        let later = || {
            let first = if nearest.inclusive { time } else { time.saturating_add(1) };
            let from = self.all.partition_point(|version| version.time < first);
            let found = self.all.get(from)?;
            let of_time = self.all[from..].partition_point(|version| version.time == found.time);
            self.all.get(from + of_time - 1).filter(|version| version.time.saturating_sub(time) <= ahead)
        };
        let row = |version: Option<&Version>| Choice::Is(version.map(|version| version.row));
        let far = time.saturating_add(ahead);
        match nearest.direction {
            AsOfDirection::Backward if known(last) => row(earlier()),
            AsOfDirection::Backward => Choice::Waits(last),
            AsOfDirection::Forward => {
                let later = later();
                let limit = later.map_or(far, |later| later.time);
                if known(limit) { row(later) } else { Choice::Waits(limit) }
            }
            AsOfDirection::Nearest if !known(last) => Choice::Waits(last),
            AsOfDirection::Nearest => {
                let (earlier, later) = (earlier(), later());
                // A later row is nearer only before this time.
                let equally_far = earlier
                    .map_or(far, |earlier| time.saturating_add(time.saturating_sub(earlier.time)).saturating_sub(1));
                let limit = later.map_or(equally_far, |later| later.time.min(equally_far)).min(far);
                if !known(limit) {
                    return Choice::Waits(limit);
                }
                match (earlier, later) {
                    (Some(earlier), Some(later))
                        if later.time.saturating_sub(time) < time.saturating_sub(earlier.time) =>
                    {
                        row(Some(later))
                    }
                    (None, later) => row(later),
                    (earlier, _) => row(earlier),
                }
            }
        }
    }

    /// Drops versions that no row of at least this time can need; `gone` is told of each.
    pub(crate) fn evict(&mut self, time: i64, nearest: Nearest, mut gone: impl FnMut(RowRef)) {
        let count = match (nearest.direction, nearest.back) {
            (AsOfDirection::Forward, _) => self.all.partition_point(|version| version.time < time),
            (_, back) => {
                let last = if nearest.inclusive { time } else { time.saturating_sub(1) };
                let there = self.all.partition_point(|version| version.time <= last);
                // The newest that nothing takes back stays, and what is there before that ends.
                let newest = self.all[..there].iter().rposition(|version| version.until == FOREVER).unwrap_or(0);
                let reach = back.map_or(i64::MIN, |back| time.saturating_sub(back));
                newest.max(self.all.partition_point(|version| version.time < reach))
            }
        };
        self.all.drain(..count).for_each(|version| gone(version.row));
    }

    /// Drops all versions, and gives their rows.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = RowRef> {
        std::mem::take(&mut self.all).into_iter().map(|version| version.row)
    }

    /// A row lies elsewhere now.
    pub(crate) fn moved(&mut self, time: i64, from: RowRef, to: RowRef) {
        let first = self.all.partition_point(|version| version.time < time);
        let same = self.all[first..].iter_mut().take_while(|version| version.time == time);
        if let Some(version) = same.into_iter().find(|version| version.row == from) {
            version.row = to;
        }
    }

    /// The numbers of whole rows are others now.
    pub(crate) fn identities_mut(&mut self) -> impl Iterator<Item = &mut u32> {
        self.all.iter_mut().map(|version| &mut version.identity)
    }

    /// Bytes of memory beside its own.
    pub(crate) fn memory(&self) -> usize {
        self.all.capacity() * size_of::<Version>()
    }
}
