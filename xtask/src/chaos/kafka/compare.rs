//! What was found beside what was expected.

use std::collections::BTreeMap;
use std::fmt;

/// How two bags of lines differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Lines that ought to be there, or more often.
    missing: Vec<String>,
    /// Lines that are there more often than they ought to be: how often, and how often they ought to.
    repeated: Vec<(String, usize, usize)>,
    /// Lines that ought not to be there.
    unknown: Vec<String>,
}

fn counted(lines: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for line in lines {
        *times.entry(line).or_default() += 1;
    }
    times
}

impl Difference {
    /// Compares lines, each with how often it is there.
    pub(super) fn new(expected: impl IntoIterator<Item = String>, found: impl IntoIterator<Item = String>) -> Self {
        let mut found = counted(found);
        let mut difference = Self::default();
        for (line, expected) in counted(expected) {
            match found.remove(&line).unwrap_or(0) {
                found if found < expected => difference.missing.push(line),
                found if found > expected => difference.repeated.push((line, found, expected)),
                _ => {}
            }
        }
        difference.unknown.extend(found.into_keys());
        difference
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// So many lines of each kind are shown.
const SHOWN: usize = 20;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = |what: &str, lines: &[String]| -> fmt::Result {
            if lines.is_empty() {
                return Ok(());
            }
            writeln!(f, "  {} {what}:", lines.len())?;
            lines.iter().take(SHOWN).try_for_each(|line| writeln!(f, "    {line}"))?;
            if lines.len() > SHOWN { writeln!(f, "    …") } else { Ok(()) }
        };
        list("missing", &self.missing)?;
        let repeated =
            self.repeated.iter().map(|(line, found, expected)| format!("{found} times, not {expected}: {line}"));
        list("too often", &repeated.collect::<Vec<_>>())?;
        list("not expected", &self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(expected: &[&str], found: &[&str]) -> Difference {
        let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        Difference::new(owned(expected), owned(found))
    }

    #[test]
    fn the_order_does_not_matter() {
        assert!(compared(&["a", "b", "c"], &["c", "a", "b"]).is_none());
        assert!(compared(&[], &[]).is_none());
        assert!(compared(&["a", "a"], &["a", "a"]).is_none());
        assert_eq!(compared(&["a", "a"], &["a"]).to_string(), "  1 missing:\n    a\n");
    }

    #[test]
    fn what_differs_is_shown() {
        let difference = compared(&["a", "b", "c"], &["a", "c", "c", "c", "d"]);
        assert!(!difference.is_none());
        assert_eq!(
            difference.to_string(),
            "  1 missing:\n    b\n  1 too often:\n    3 times, not 1: c\n  1 not expected:\n    d\n"
        );
    }

    #[test]
    fn a_long_list_is_cut() {
        let lines: Vec<String> = (0..100).map(|line| line.to_string()).collect();
        let difference = Difference::new(lines, []);
        let shown = difference.to_string();
        assert!(shown.starts_with("  100 missing:\n") && shown.lines().count() == SHOWN + 2, "{shown}");
    }
}
