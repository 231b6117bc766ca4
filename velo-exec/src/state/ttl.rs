//! `state.ttl`: what was not touched for so long that it is forgotten.
//!
//! Each number stands at most once among those that come up next, at a time that may be too early and is put right then. So a
//! number is looked at once in that time, however often it is touched, and nobody ever looks at all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow_array::Int64Array;
use velo_core::{Batch, Watermark};
use velo_plan::plan::StateTtl;

use super::KeyTable;

/// When each of many numbered things was touched last: by event time, or by the clock.
#[derive(Debug)]
pub(crate) struct Ttl {
    after: i64,
    by_clock: bool,
    /// By number; [`NEVER`] for what is forgotten.
    touched: Vec<i64>,
    /// By number: whether it stands in `due`.
    queued: Vec<bool>,
    due: BinaryHeap<Reverse<(i64, u32)>>,
}

const NEVER: i64 = i64::MIN;

impl Ttl {
    pub(crate) fn new(ttl: StateTtl) -> Self {
        Self {
            after: ttl.after.micros(),
            by_clock: ttl.by_clock,
            touched: Vec::new(),
            queued: Vec::new(),
            due: BinaryHeap::new(),
        }
    }

    /// The clock's time, where it goes by that.
    pub(crate) fn clock(&self, now: i64) -> Option<i64> {
        self.by_clock.then_some(now)
    }

    /// The watermark's time, where it goes by that; at the end nothing is forgotten.
    pub(crate) fn watermark(&self, watermark: Watermark) -> Option<i64> {
        (!self.by_clock && watermark != Watermark::END).then_some(watermark.0)
    }

    /// The time at which each row of a batch touches what it belongs to; `now` is the clock's.
    pub(crate) fn times<'a>(&self, batch: &'a Batch, now: i64) -> impl Fn(usize) -> i64 + use<'a> {
        let times = batch.event_times().filter(|_| !self.by_clock).map(|times| times.values().as_ref());
        move |row: usize| times.map_or(now, |times: &[i64]| times[row])
    }

    /// A row of this time touches it.
    pub(crate) fn touch(&mut self, number: u32, time: i64) {
        let at = number as usize;
        if at >= self.touched.len() {
            self.touched.resize(at + 1, NEVER);
            self.queued.resize(at + 1, false);
        }
        self.touched[at] = self.touched[at].max(time);
        if !std::mem::replace(&mut self.queued[at], true) {
            self.due.push(Reverse((time, number)));
        }
    }

    /// Whether a row of this time finds nothing there any more: it was forgotten, or is as good as that, also where the
    /// watermark has not come so far. So it depends on the rows of a key alone, and not on how batches are cut.
    pub(crate) fn is_over(&self, number: u32, time: i64) -> bool {
        let touched = self.touched.get(number as usize);
        touched.is_some_and(|touched| *touched == NEVER || time >= touched.saturating_add(self.after))
    }

    /// It is forgotten.
    pub(crate) fn forget(&mut self, number: u32) {
        if let Some(touched) = self.touched.get_mut(number as usize) {
            *touched = NEVER;
        }
    }

    /// What is forgotten when the watermark, or the clock, has come to `time`.
    pub(crate) fn expired(&mut self, time: i64) -> Vec<u32> {
        let mut gone = Vec::new();
        while let Some(Reverse((at, number))) = self.due.peek().copied()
            && at.saturating_add(self.after) <= time
        {
            self.due.pop();
            let touched = &mut self.touched[number as usize];
            if *touched > at {
                self.due.push(Reverse((*touched, number)));
                continue;
            }
            self.queued[number as usize] = false;
            if std::mem::replace(touched, NEVER) != NEVER {
                gone.push(number);
            }
        }
        gone
    }

    /// When it is worth while to ask again what is forgotten, where that goes by the clock.
    pub(crate) fn next(&self) -> Option<i64> {
        self.due.peek().filter(|_| self.by_clock).map(|Reverse((at, _))| at.saturating_add(self.after))
    }

    /// The numbers are others now: `numbers` has the new one of each, or [`KeyTable::DEAD`].
    pub(crate) fn renumber(&mut self, numbers: &[u32]) {
        let kept = |number: usize| numbers.get(number).copied().filter(|new| *new != KeyTable::DEAD);
        let old = (std::mem::take(&mut self.touched), std::mem::take(&mut self.queued));
        for (number, (touched, queued)) in old.0.into_iter().zip(old.1).enumerate() {
            if kept(number).is_some() {
                self.touched.push(touched);
                self.queued.push(queued);
            }
        }
        let due = std::mem::take(&mut self.due).into_iter();
        self.due = due.filter_map(|Reverse((at, number))| Some(Reverse((at, kept(number as usize)?)))).collect();
    }

    /// For a checkpoint: when each of `numbers` was touched last; NULL for what is forgotten, or never was.
    pub(crate) fn saved(&self, numbers: &[u32]) -> Int64Array {
        let touched = |number: &u32| self.touched.get(*number as usize).copied().filter(|touched| *touched != NEVER);
        numbers.iter().map(touched).collect()
    }

    /// Takes up what was saved of these numbers; whoever goes by the clock asks [`Ttl::next`] afterwards.
    pub(crate) fn restore(&mut self, numbers: &[u32], touched: &Int64Array) {
        for (number, touched) in numbers.iter().zip(touched) {
            if let Some(touched) = touched {
                self.touch(*number, touched);
            }
        }
    }

    /// The same where each of these numbers was touched once, so that NULL is what is forgotten: no row finds anything there.
    pub(crate) fn restore_all(&mut self, numbers: &[u32], touched: &Int64Array) {
        let known = numbers.iter().max().map_or(0, |last| *last as usize + 1);
        if known > self.touched.len() {
            self.touched.resize(known, NEVER);
            self.queued.resize(known, false);
        }
        self.restore(numbers, touched);
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.touched.capacity() * 9 + self.due.capacity() * 16
    }
}

#[cfg(test)]
mod tests {
    use velo_core::duration::Span;

    use super::*;

    fn ttl() -> Ttl {
        Ttl::new(StateTtl { after: Span(10), by_clock: true })
    }

    #[test]
    fn what_is_touched_again_stays() {
        let mut ttl = ttl();
        ttl.touch(0, 0);
        ttl.touch(1, 3);
        ttl.touch(0, 8);
        assert_eq!(ttl.next(), Some(10));
        assert!(ttl.expired(12).is_empty());
        assert!(!ttl.is_over(1, 12) && ttl.is_over(1, 13));
        assert_eq!(ttl.expired(13), [1]);
        assert_eq!(ttl.next(), Some(18));
        assert!(ttl.is_over(1, 0), "what is forgotten is not there for an earlier row either");
        ttl.touch(1, 14);
        assert_eq!(ttl.expired(30), [0, 1]);
        assert!(!ttl.is_over(2, 30), "what never came is not over");
    }

    #[test]
    fn each_stands_once_among_those_that_come_up() {
        let mut ttl = ttl();
        for time in 0..100 {
            ttl.touch(0, time);
            ttl.forget(0);
            ttl.touch(0, time);
        }
        assert_eq!(ttl.due.len(), 1);
        ttl.touch(1, 0);
        ttl.forget(0);
        ttl.renumber(&[KeyTable::DEAD, 0]);
        assert_eq!((ttl.expired(10), ttl.due.len()), (vec![0], 0));
    }
}
