//! Which window fires next.

use velo_core::Watermark;

use super::slice::SliceState;
use super::sliding::Node;
use super::store::{Fired, WindowStore};
use crate::error::{ExecError, Result};

impl WindowStore {
    /// The earliest window with rows that the watermark has passed and that has not fired: it fires. None when there is no
    /// more; then all windows up to the watermark count as fired.
    pub fn fire_next(&mut self, watermark: Watermark) -> Result<Option<Fired>> {
        let Some(end) = self.next_end() else {
            self.fired_to = self.fired_to.max(self.windows.closed_by(watermark.0));
            return Ok(None);
        };
        // Every window of a slice was checked when its first row came.
        let bounds =
            self.windows.bounds(end).ok_or_else(|| ExecError::Internal(format!("window {end} has no time")))?;
        if bounds.1 > watermark.0 {
            self.fired_to = self.fired_to.max(self.windows.closed_by(watermark.0));
            return Ok(None);
        }
        let state = self.take(end)?;
        self.fired_to = end;
        Ok(Some(Fired { start: bounds.0, end: bounds.1, state }))
    }

    /// The earliest end of a window with rows that has not fired. Windows without rows are passed over.
    fn next_end(&mut self) -> Option<i64> {
        let of_slices = loop {
            let Some(first) = self.live.first().copied() else { break None };
            match self.windows.next_end(first, self.fired_to) {
                // A later slice's next window is never earlier than this one.
                Some(end) => break Some(end),
                None => {
                    self.live.remove(&first);
                    self.open.remove(&first);
                    self.tree.drop_before(first + 1);
                }
            }
        };
        let of_extras = self.extras.first_key_value().map(|(end, _)| *end);
        match (of_slices, of_extras) {
            (Some(slice), Some(extra)) => Some(slice.min(extra)),
            (slice, extra) => slice.or(extra),
        }
    }

    /// The state of the window that ends at `end`, and of it alone.
    fn take(&mut self, end: i64) -> Result<SliceState> {
        let extra = self.extras.remove(&end);
        let first = self.windows.first_slice(end);
        if self.windows.single() && extra.is_none() {
            self.live.remove(&first);
            let slice = self.open.remove(&first);
            return slice.ok_or_else(|| ExecError::Internal(format!("window {end} has no rows")));
        }
        let keys = self.keys.len();
        while let Some(entry) = self.open.first_entry().filter(|entry| *entry.key() < end) {
            let (number, slice) = entry.remove_entry();
            let rows = slice.rows();
            let (keys, state) = slice.seal()?;
            self.tree.insert(number, Node { keys, state, rows });
        }
        self.tree.seal_to(end, keys, &self.plan)?;
        let mut merged = match extra {
            Some(extra) => extra,
            None => SliceState::new(&self.plan)?,
        };
        for node in self.tree.cover(first, end) {
            merged.merge(&node.keys, keys, &node.state, node.rows)?;
        }
        // What lies before the first window that is still to come is read no more.
        if let Some(next) = self.windows.end_behind(end) {
            let start = self.windows.first_slice(next);
            self.tree.drop_before(start);
            while self.live.first().is_some_and(|slice| *slice < start) {
                self.live.pop_first();
            }
        }
        Ok(merged)
    }

    /// The next slice (or single window, for late rows) whose earliest window the watermark has passed, to be sent to the
    /// second step: its number, whether it is a window, its state, and the time at which it was due.
    pub fn seal_next(&mut self, watermark: Watermark) -> Result<Option<(i64, bool, SliceState, i64)>> {
        let of_slices = self.open.first_key_value().map(|(slice, _)| *slice).map(|slice| {
            let end = self.windows.next_end(slice, i64::MIN).unwrap_or(i64::MAX);
            (end, slice, false)
        });
        let of_extras = self.extras.first_key_value().map(|(end, _)| (*end, *end, true));
        let next = [of_slices, of_extras].into_iter().flatten().min();
        let due = next.and_then(|(end, number, window)| Some((number, window, self.windows.start(end)?)));
        let Some((number, window, due)) = due.filter(|(_, _, due)| *due <= watermark.0) else {
            self.fired_to = self.fired_to.max(self.windows.closed_by(watermark.0));
            return Ok(None);
        };
        let state = if window {
            self.extras.remove(&number)
        } else {
            self.live.remove(&number);
            self.open.remove(&number)
        };
        Ok(state.map(|state| (number, window, state, due)))
    }
}
