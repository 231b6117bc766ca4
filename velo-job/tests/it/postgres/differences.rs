//! What differs from PostgreSQL on purpose: each expression under a reason, which docs/reference/postgres-differences.md explains.

use std::collections::BTreeMap;

use super::Case;

const LISTED: &str = include_str!("differences.txt");

/// The reason by the case: a line `# reason`, then its cases, each a row and an expression.
pub fn listed() -> BTreeMap<(usize, &'static str), &'static str> {
    let mut reason = "";
    let mut all = BTreeMap::new();
    for line in LISTED.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("# ") {
            Some(heading) => reason = heading,
            None => {
                let (row, expression) = line.split_once(' ').unwrap();
                all.insert((row.parse().unwrap(), expression), reason);
            }
        }
    }
    all
}

/// The reason of one case.
pub fn reason(listed: &BTreeMap<(usize, &'static str), &'static str>, case: &Case) -> Option<&'static str> {
    listed.get(&(case.row, case.expression.as_str())).copied()
}
