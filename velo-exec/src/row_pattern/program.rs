//! A pattern with its repetitions written out: places for a row, and what can come behind each, the preferred first.

use velo_plan::plan::RowPattern;

/// What can come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A row at this place.
    Row(u32),
    /// The end of the match.
    Accept,
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Program {
    /// The variable of each place.
    pub(crate) variables: Vec<u8>,
    /// How a match can begin.
    pub(crate) first: Vec<Next>,
    /// What can come behind each place.
    pub(crate) follow: Vec<Vec<Next>>,
    /// The variables that a match can begin with, as bits.
    pub(crate) begins: u64,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A row at a place, then another step.
    Row {
        place: u32,
        then: usize,
    },
    /// The first step, else the second.
    Either(usize, usize),
    Accept,
}

#[derive(Default)]
struct Writer {
    steps: Vec<Step>,
    variables: Vec<u8>,
}

impl Writer {
    fn push(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }

    /// Writes a pattern in front of a step; the answer is where it begins.
    fn write(&mut self, pattern: &RowPattern, then: usize) -> usize {
        match pattern {
            RowPattern::Variable(variable) => {
                let place = self.variables.len() as u32;
                // A pattern has 64 variables at most.
                self.variables.push(*variable as u8);
                self.push(Step::Row { place, then })
            }
            RowPattern::Sequence(all) => all.iter().rev().fold(then, |then, one| self.write(one, then)),
            RowPattern::Alternatives(all) => {
                let mut entries = all.iter().rev().map(|one| self.write(one, then)).collect::<Vec<_>>().into_iter();
                let last = entries.next().unwrap_or(then);
                entries.fold(last, |rest, one| self.push(Step::Either(one, rest)))
            }
            RowPattern::Repeat { pattern, min, max, greedy } => {
                let either = |body, rest| if *greedy { Step::Either(body, rest) } else { Step::Either(rest, body) };
                let mut entry = then;
                match max {
                    Some(max) => {
                        for _ in *min..*max {
                            let body = self.write(pattern, entry);
                            entry = self.push(either(body, then));
                        }
                    }
                    None => {
                        let again = self.push(Step::Accept);
                        let body = self.write(pattern, again);
                        self.steps[again] = either(body, then);
                        entry = if *min == 0 { again } else { body };
                    }
                }
                let written = u32::from(max.is_none() && *min > 0);
                (written..*min).fold(entry, |entry, _| self.write(pattern, entry))
            }
        }
    }

    /// The places that can come at a step, in the order of preference, up to where the match ends.
    fn reached(&self, from: usize) -> Vec<Next> {
        let mut seen = vec![false; self.steps.len()];
        let mut found = Vec::new();
        let mut waiting = vec![from];
        while let Some(at) = waiting.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            match self.steps[at] {
                Step::Row { place, .. } => found.push(Next::Row(place)),
                Step::Either(first, second) => waiting.extend([second, first]),
                Step::Accept => {
                    // Whatever else there is, this is preferred.
                    found.push(Next::Accept);
                    break;
                }
            }
        }
        found
    }
}

impl Program {
    pub(crate) fn new(pattern: &RowPattern) -> Self {
        let mut writer = Writer::default();
        let accept = writer.push(Step::Accept);
        let entry = writer.write(pattern, accept);
        let mut follow = vec![Vec::new(); writer.variables.len()];
        for step in &writer.steps {
            if let Step::Row { place, then } = step {
                follow[*place as usize] = writer.reached(*then);
            }
        }
        let first = writer.reached(entry);
        let begins = first.iter().fold(0, |bits, next| match next {
            Next::Row(place) => bits | (1 << writer.variables[*place as usize]),
            Next::Accept => bits,
        });
        Self { first, follow, begins, variables: writer.variables }
    }

    /// The number of places.
    pub(crate) fn places(&self) -> usize {
        self.variables.len()
    }

    /// The places that a thread at one can still come to, itself among them.
    pub(crate) fn reachable(&self, from: usize) -> Vec<bool> {
        let mut found = vec![false; self.places()];
        let mut waiting = vec![from];
        while let Some(at) = waiting.pop() {
            if std::mem::replace(&mut found[at], true) {
                continue;
            }
            waiting.extend(self.follow[at].iter().filter_map(|next| match next {
                Next::Row(place) => Some(*place as usize),
                Next::Accept => None,
            }));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeat(pattern: RowPattern, min: u32, max: Option<u32>, greedy: bool) -> RowPattern {
        RowPattern::Repeat { pattern: Box::new(pattern), min, max, greedy }
    }

    #[test]
    fn what_is_preferred_comes_first() {
        use RowPattern::{Sequence, Variable};
        let pattern = Sequence(vec![Variable(0), repeat(Variable(1), 1, None, false), Variable(2)]);
        let program = Program::new(&pattern);
        let text = |all: &[Next]| {
            let name = |next: &Next| match next {
                Next::Row(place) => ["A", "B", "C"][program.variables[*place as usize] as usize],
                Next::Accept => "end",
            };
            all.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text(&program.first), "A");
        let after = |variable: u8| {
            let place = program.variables.iter().position(|of| *of == variable).unwrap();
            text(&program.follow[place])
        };
        assert_eq!((after(0), after(1), after(2)), ("B".to_owned(), "C B".to_owned(), "end".to_owned()));
    }

    #[test]
    fn nothing_behind_an_end_that_is_preferred() {
        let pattern = repeat(RowPattern::Variable(0), 1, None, false);
        let program = Program::new(&pattern);
        assert_eq!(program.follow, [vec![Next::Accept]]);
        let program = Program::new(&repeat(RowPattern::Variable(0), 2, Some(4), true));
        assert_eq!(program.places(), 4);
        assert_eq!(program.begins, 1);
    }
}
