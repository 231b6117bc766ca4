//! The minimum over partitions of a source, or over inputs of a task.

use velo_core::Watermark;

/// The least watermark of the active inputs.
///
/// It never goes back. An input that has ended no longer counts; when all have ended it is +∞. Where no input is active and
/// not all have ended, it stays where it is and counts as idle itself; so does a merge without inputs.
#[derive(Debug, Clone)]
pub struct Merge {
    inputs: Vec<Input>,
    current: Watermark,
    idle: bool,
}

#[derive(Debug, Clone, Copy)]
struct Input {
    watermark: Watermark,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    Idle,
    Away,
    Ended,
}

/// What a call changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "what changed is to be forwarded"]
pub struct Change {
    /// The new watermark, where it advanced.
    pub watermark: Option<Watermark>,
    /// Whether the whole is idle now, where that changed.
    pub idle: Option<bool>,
}

impl Merge {
    /// `inputs` active inputs, of which nothing is known.
    pub fn new(inputs: usize) -> Self {
        Self {
            inputs: vec![Input { watermark: Watermark::NONE, state: State::Active }; inputs],
            current: Watermark::NONE,
            idle: inputs == 0,
        }
    }

    /// Takes up the watermark of a checkpoint, so that it does not go back.
    pub fn restore(&mut self, current: Watermark) {
        self.current = self.current.max(current);
    }

    /// Adds an active input (a partition that was found while running) and returns its number. It holds the watermark back
    /// until it has one of its own.
    pub fn add_input(&mut self) -> (usize, Change) {
        self.inputs.push(Input { watermark: Watermark::NONE, state: State::Active });
        (self.inputs.len() - 1, self.settle())
    }

    /// The number of inputs, ended ones included.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// An input's watermark. It makes an idle input active; one that has ended stays so.
    pub fn update(&mut self, input: usize, watermark: Watermark) -> Change {
        let Some(slot) = self.inputs.get_mut(input).filter(|slot| slot.state != State::Ended) else {
            return Change::default();
        };
        let before = slot.watermark;
        slot.watermark = before.max(watermark);
        let was_idle = std::mem::replace(&mut slot.state, State::Active) == State::Idle;
        // An input that was ahead already does not decide the minimum.
        if !was_idle && (before > self.current || slot.watermark == before) {
            return Change::default();
        }
        self.settle()
    }

    /// Marks an input as idle, or as active again.
    pub fn set_idle(&mut self, input: usize, idle: bool) -> Change {
        let wanted = if idle { State::Idle } else { State::Active };
        match self.inputs.get_mut(input) {
            Some(slot) if slot.state != State::Ended && slot.state != wanted => slot.state = wanted,
            _ => return Change::default(),
        }
        self.settle()
    }

    /// Marks inputs as such that are not read now, since they have not begun, or have ended and others follow them; or, all together,
    /// as active again. Such a one does not count, and all have not ended while there is one.
    pub fn set_away(&mut self, inputs: &[usize], away: bool) -> Change {
        let wanted = if away { State::Away } else { State::Active };
        for input in inputs {
            match self.inputs.get_mut(*input) {
                Some(slot) if slot.state != State::Ended && (slot.state == State::Away) != away => slot.state = wanted,
                _ => {}
            }
        }
        self.settle()
    }

    /// An input has ended.
    pub fn end(&mut self, input: usize) -> Change {
        match self.inputs.get_mut(input) {
            Some(slot) => *slot = Input { watermark: Watermark::END, state: State::Ended },
            None => return Change::default(),
        }
        self.settle()
    }

    /// The watermark now.
    pub fn current(&self) -> Watermark {
        self.current
    }

    /// The least watermark of the active inputs as they are now, which may be behind that of the whole; none where no input is
    /// active.
    pub fn slowest(&self) -> Option<Watermark> {
        self.inputs.iter().filter(|slot| slot.state == State::Active).map(|slot| slot.watermark).min()
    }

    /// Whether no input is active while some have not ended.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// Whether this input is idle.
    pub fn is_input_idle(&self, input: usize) -> bool {
        self.inputs.get(input).is_some_and(|slot| slot.state == State::Idle)
    }

    /// Whether all inputs have ended, of which there is at least one.
    pub fn has_ended(&self) -> bool {
        !self.inputs.is_empty() && self.inputs.iter().all(|slot| slot.state == State::Ended)
    }

    /// An input's own watermark, for the checkpoint; +∞ once it has ended.
    pub fn input(&self, input: usize) -> Watermark {
        self.inputs.get(input).map_or(Watermark::NONE, |slot| slot.watermark)
    }

    fn settle(&mut self) -> Change {
        let least = if self.has_ended() { Some(Watermark::END) } else { self.slowest() };
        let idle = least.is_none();
        let mut change = Change::default();
        if let Some(least) = least.filter(|least| *least > self.current) {
            self.current = least;
            change.watermark = Some(least);
        }
        if idle != self.idle {
            self.idle = idle;
            change.idle = Some(idle);
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advanced(change: Change) -> Option<i64> {
        assert_eq!(change.idle, None);
        change.watermark.map(|watermark| watermark.0)
    }

    #[test]
    fn the_slowest_active_input_decides() {
        let mut merge = Merge::new(2);
        assert_eq!(advanced(merge.update(0, Watermark(10))), None);
        assert_eq!(advanced(merge.update(1, Watermark(7))), Some(7));
        assert_eq!(advanced(merge.update(1, Watermark(5))), None, "an input does not go back");
        assert_eq!(advanced(merge.update(1, Watermark(12))), Some(10));
        assert_eq!(advanced(merge.set_idle(0, true)), Some(12));
        assert_eq!(advanced(merge.update(0, Watermark(11))), None, "back again, and the whole does not go back");
        assert!(!merge.is_input_idle(0));
        assert_eq!((merge.slowest(), merge.current()), (Some(Watermark(11)), Watermark(12)));
        assert_eq!(advanced(merge.update(1, Watermark(20))), None);
        assert_eq!(advanced(merge.end(0)), Some(20));
        assert_eq!(advanced(merge.end(1)), Some(i64::MAX));
        assert!(merge.has_ended());
    }

    #[test]
    fn all_idle_stays_where_it_is() {
        let mut merge = Merge::new(2);
        let _ = merge.update(0, Watermark(5));
        let _ = merge.update(1, Watermark(9));
        assert_eq!(merge.set_idle(0, true), Change { watermark: Some(Watermark(9)), idle: None });
        assert_eq!(merge.set_idle(1, true), Change { watermark: None, idle: Some(true) });
        assert_eq!(merge.current(), Watermark(9));
        assert_eq!(merge.set_idle(1, false), Change { watermark: None, idle: Some(false) });
        assert_eq!(
            merge.end(1),
            Change { watermark: None, idle: Some(true) },
            "the other is idle, so the end is not reached"
        );
        assert_eq!(merge.end(0), Change { watermark: Some(Watermark::END), idle: Some(false) });
    }

    #[test]
    fn inputs_that_follow_go_on_where_the_first_left_the_whole() {
        let mut merge = Merge::new(2);
        assert_eq!(merge.set_away(&[1], true), Change::default());
        assert_eq!(advanced(merge.update(0, Watermark(50))), Some(50), "it is not held back by one that has not begun");
        assert_eq!(merge.set_away(&[1], false), Change::default(), "it begins before the first is away");
        assert_eq!(merge.set_away(&[0], true), Change::default(), "the whole stays where it is");
        assert_eq!(merge.current(), Watermark(50));
        assert_eq!(advanced(merge.update(1, Watermark(20))), None);
        assert_eq!(advanced(merge.update(1, Watermark(60))), Some(60));
        assert_eq!(merge.end(1), Change { watermark: None, idle: Some(true) }, "others may follow");
        assert!(!merge.has_ended());
    }

    #[test]
    fn a_new_input_holds_back_until_it_has_a_watermark() {
        let mut merge = Merge::new(0);
        assert!(merge.is_idle());
        let (first, change) = merge.add_input();
        assert_eq!(change, Change { watermark: None, idle: Some(false) });
        assert_eq!(advanced(merge.update(first, Watermark(3))), Some(3));
        let (second, _) = merge.add_input();
        assert_eq!(advanced(merge.update(first, Watermark(9))), None);
        assert_eq!(advanced(merge.update(second, Watermark(1))), None);
        assert_eq!(advanced(merge.update(second, Watermark(4))), Some(4));
    }

    #[test]
    fn restored_it_does_not_go_back() {
        let mut merge = Merge::new(1);
        merge.restore(Watermark(100));
        assert_eq!(advanced(merge.update(0, Watermark(50))), None);
        assert_eq!(merge.current(), Watermark(100));
        assert_eq!(advanced(merge.update(0, Watermark(101))), Some(101));
    }
}
