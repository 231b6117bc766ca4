//! `emit.idle_close`: the watermark of a windowed query goes on by the clock, past windows to which nothing comes any more.
//!
//! It stands before the windows and passes everything. For each stretch of the clock it knows the earliest event time that came;
//! what lies before the earliest of the last stretches, as many as `emit.idle_close` says, is quiet. So windows close in their
//! order, and one stays open while rows come to it or to an earlier one. Rows that come to a closed window afterwards are late
//! for it, as they are behind any other watermark.

use std::collections::VecDeque;

use arrow_array::Int64Array;
use serde::{Deserialize, Serialize};
use velo_core::duration::Span;
use velo_core::{Batch, Watermark};
use velo_plan::plan::{WindowKind, WindowSpec};

use super::grouping::times_of;
use super::{Element, Flow, InputId, Operator, Outbox};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::window::Windows;

/// Lets the watermark pass quiet windows.
pub struct IdleClose {
    after: i64,
    ends: Ends,
    seen: Seen,
}

/// What came, and how far the watermark is. It is saved as it is: there is one task.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    /// By the clock: the earliest event time that came until then and is not undercut by a later one. Both ascend.
    recent: VecDeque<Recent>,
    /// The latest time to which a window reaches whose rows are no longer among those.
    old_until: i64,
    /// The latest time to which any window reaches.
    open_until: i64,
    watermark: Watermark,
    /// No input is active.
    idle: bool,
    /// When it was saved.
    saved: i64,
}

const SEEN: &str = "seen";

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Recent {
    /// When the first of it came, and the last.
    begun: i64,
    clock: i64,
    earliest: i64,
    /// The latest time to which a window of what came reaches.
    until: i64,
}

/// The watermark behind which the windows of a row have closed.
#[derive(Debug)]
enum Ends {
    Windows(Windows),
    Session(Span),
}

/// Rows that come within this part of `emit.idle_close` count as one, so that a fast stream keeps few entries.
const PARTS: i64 = 64;

impl Ends {
    /// When the last window of a row closes; none: it has none.
    fn of(&self, time: i64) -> Option<i64> {
        match self {
            Self::Windows(windows) => windows.start(windows.last_end(windows.slice_of(time).ok()?)?),
            // A session fires behind its end.
            Self::Session(gap) => time.checked_add(gap.micros())?.checked_add(1),
        }
    }

    /// The last end of a window that is not behind `time`.
    fn before(&self, time: i64) -> i64 {
        match self {
            Self::Windows(windows) => windows.start(windows.closed_by(time)).unwrap_or(i64::MIN),
            Self::Session(_) => time,
        }
    }
}

impl IdleClose {
    /// Closes `windows` that have been quiet for `after`.
    pub fn new(after: Span, window: &WindowSpec) -> Result<Self> {
        let ends = match window.kind {
            WindowKind::Session { gap } => Ends::Session(gap),
            _ => Ends::Windows(Windows::new(window)?),
        };
        Ok(Self {
            after: after.micros(),
            ends,
            seen: Seen {
                recent: VecDeque::new(),
                old_until: i64::MIN,
                open_until: i64::MIN,
                watermark: Watermark::NONE,
                idle: false,
                saved: 0,
            },
        })
    }

    fn see(&mut self, times: &[i64], now: i64) {
        let (mut earliest, mut latest) = (i64::MAX, i64::MIN);
        for time in times {
            earliest = earliest.min(*time);
            latest = latest.max(*time);
        }
        if earliest < self.seen.watermark.0 {
            // What is late for all its windows keeps none open.
            let counts = |time: &&i64| self.ends.of(**time).is_some_and(|end| end > self.seen.watermark.0);
            earliest = times.iter().filter(counts).min().copied().unwrap_or(i64::MAX);
        }
        // Between two windows a row has none.
        let until = self.ends.of(latest).or_else(|| times.iter().filter_map(|time| self.ends.of(*time)).max());
        let Some(until) = until.filter(|until| *until > self.seen.watermark.0 && earliest < i64::MAX) else { return };
        self.seen.open_until = self.seen.open_until.max(until);
        let mut new = Recent { begun: now, clock: now, earliest, until };
        while let Some(last) = self.seen.recent.back().filter(|last| last.earliest >= earliest) {
            new.until = new.until.max(last.until);
            self.seen.recent.pop_back();
        }
        match self.seen.recent.back_mut() {
            Some(last) if now.saturating_sub(last.begun) < self.after / PARTS => {
                (last.clock, last.until) = (now, last.until.max(new.until));
            }
            _ => self.seen.recent.push_back(new),
        }
    }

    fn ask(&self, out: &mut Outbox) {
        if let Some(first) = self.seen.recent.front() {
            out.timer_at(first.clock.saturating_add(self.after));
        }
    }

    /// Rows that are behind the watermark now are late, as much as those that were behind that of their partition.
    fn stamped(&self, batch: Batch) -> Result<Batch> {
        let times = times_of(&batch)?;
        if times.iter().all(|time| *time >= self.seen.watermark.0) {
            return Ok(batch);
        }
        let known = batch.late_by.as_ref();
        let late_by = times.iter().enumerate().map(|(row, time)| {
            let behind = self.seen.watermark.0.saturating_sub(*time);
            known.map_or(0, |known| known.value(row)).max(behind).max(0)
        });
        let late_by = Some(Int64Array::from_iter_values(late_by));
        Ok(Batch { late_by, ..batch })
    }

    /// Closes what is quiet, and asks to be called when the next can be.
    fn look(&mut self, out: &mut Outbox) {
        if self.seen.open_until <= self.seen.watermark.0 {
            self.seen.recent.clear();
            return;
        }
        let now = out.now();
        let due = |recent: &Recent| recent.clock.saturating_add(self.after);
        while let Some(first) = self.seen.recent.front().filter(|first| due(first) <= now) {
            self.seen.old_until = self.seen.old_until.max(first.until);
            self.seen.recent.pop_front();
        }
        let before = self.seen.recent.front().map_or(i64::MAX, |first| self.ends.before(first.earliest));
        let quiet = before.min(self.seen.old_until);
        self.ask(out);
        if quiet > self.seen.watermark.0 {
            self.seen.watermark = Watermark(quiet);
            out.watermark(self.seen.watermark);
            if self.seen.idle {
                // A watermark makes an input active.
                out.push(Element::Idle);
            }
        }
    }
}

impl Operator for IdleClose {
    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        self.seen.idle = false;
        if batch.is_empty() {
            return Ok(Flow::Done);
        }
        // First, so that what was quiet until now is closed also where the timer comes late.
        self.look(out);
        self.see(times_of(&batch)?, out.now());
        out.batch(self.stamped(batch)?);
        self.ask(out);
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.seen.idle = false;
        self.seen.watermark = self.seen.watermark.max(watermark);
        out.watermark(self.seen.watermark);
        Ok(Flow::Done)
    }

    fn on_idle(&mut self, _out: &mut Outbox) -> Result<Flow> {
        self.seen.idle = true;
        Ok(Flow::Done)
    }

    fn on_timer(&mut self, _now: i64, out: &mut Outbox) -> Result<Flow> {
        self.look(out);
        Ok(Flow::Done)
    }

    fn on_barrier(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.seen.saved = out.now();
        Ok(Flow::Done)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        state.value(SEEN, &self.seen)
    }

    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        if let Some(seen) = state.value(SEEN)? {
            self.seen = seen;
            // While the job did not run nothing could come, so that time does not count.
            let pause = out.now().saturating_sub(self.seen.saved).max(0);
            for recent in &mut self.seen.recent {
                recent.begun = recent.begun.saturating_add(pause);
                recent.clock = recent.clock.saturating_add(pause);
            }
            self.ask(out);
        }
        Ok(())
    }
}
