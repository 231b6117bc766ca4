//! Random patterns over random rows equal a search by hand: a backtracking matcher over the sorted rows of each partition, with
//! every way to go on after a match, any batch size, disorder and late rows.

use std::collections::BTreeMap;

use crate::support::patterns::{Condition, Measure, NAMES, Query, Value, plan};
use crate::support::sim::{Turn, random_partitions, stamp, turns};
use crate::support::{Row, SECOND, batch, cells, schema};
use velo_exec::operator::{MatchRecognize, Operator};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{MatchSkip, RowPattern, VariableSet};

/// Labelled rows: what a condition or a measure sees.
struct Seen<'a> {
    rows: &'a [Row],
    start: usize,
    labels: &'a [usize],
    number: i64,
}

impl Seen<'_> {
    fn of(&self, set: u64) -> Vec<usize> {
        let counts = |(_, label): &(usize, &usize)| set & (1 << **label) != 0;
        self.labels.iter().enumerate().filter(counts).map(|(at, _)| self.start + at).collect()
    }

    fn row(&self, set: u64, last: bool, nth: u32, beside: i32) -> Option<&Row> {
        let mut rows = self.of(set);
        if last {
            rows.reverse();
        }
        let at = *rows.get(nth as usize)? as i64 + i64::from(beside);
        self.rows.get(usize::try_from(at).ok()?)
    }

    fn value(&self, value: Value) -> Option<i64> {
        let quantities = |set: u64| self.of(set).into_iter().filter_map(|at| self.rows[at].quantity);
        match value {
            Value::Row(set, last, nth, beside) => self.row(set, last, nth, beside)?.quantity,
            Value::Sum(set) => quantities(set).reduce(|left, right| left + right),
            Value::Count(set) => Some(self.of(set).len() as i64),
            Value::Min(set) => quantities(set).min(),
            Value::Number => Some(self.number),
            Value::Is(value) => Some(value),
        }
    }

    fn holds(&self, condition: &Condition) -> bool {
        let (Some(left), Some(right)) = (self.value(condition.left), self.value(condition.right)) else { return false };
        match condition.op {
            "<" => left < right,
            "<=" => left <= right,
            ">" => left > right,
            ">=" => left >= right,
            _ => left == right,
        }
    }

    fn measure(&self, measure: &Measure) -> String {
        let null = || "null".to_owned();
        match measure {
            Measure::Note(set, last, nth, beside) => {
                self.row(*set, *last, *nth, *beside).map_or_else(null, |row| row.note.clone().unwrap_or_else(null))
            }
            Measure::Value(value) => self.value(*value).map_or_else(null, |value| value.to_string()),
            Measure::Classifier => NAMES[*self.labels.last().unwrap()].to_owned(),
        }
    }
}

/// A search by hand: tries everything in the order of preference.
struct ByHand<'a> {
    query: &'a Query,
    rows: &'a [Row],
    start: usize,
    number: i64,
    labels: Vec<usize>,
    /// How much it may still try.
    left: u64,
}

impl ByHand<'_> {
    fn matches(&mut self, pattern: &RowPattern, then: &mut dyn FnMut(&mut Self) -> bool) -> bool {
        if self.left == 0 {
            return true;
        }
        self.left -= 1;
        match pattern {
            RowPattern::Variable(variable) => {
                let at = self.start + self.labels.len();
                let Some(row) = self.rows.get(at) else { return false };
                if self.query.within.is_some_and(|within| row.time - self.rows[self.start].time >= within) {
                    return false;
                }
                self.labels.push(*variable);
                let seen = Seen { rows: self.rows, start: self.start, labels: &self.labels, number: self.number };
                let holds = self.query.conditions[*variable].iter().all(|condition| seen.holds(condition));
                if holds && then(self) {
                    return true;
                }
                self.labels.pop();
                false
            }
            RowPattern::Sequence(all) => match all.split_first() {
                None => then(self),
                Some((first, rest)) => {
                    let rest = RowPattern::Sequence(rest.to_vec());
                    self.matches(first, &mut |search| search.matches(&rest, then))
                }
            },
            RowPattern::Alternatives(all) => all.iter().any(|one| self.matches(one, then)),
            RowPattern::Repeat { pattern: inner, min, max, greedy } => {
                let again = max.is_none_or(|max| max > 0);
                let more = RowPattern::Repeat {
                    pattern: inner.clone(),
                    min: min.saturating_sub(1),
                    max: max.map(|max| max.saturating_sub(1)),
                    greedy: *greedy,
                };
                let round = |search: &mut Self, then: &mut dyn FnMut(&mut Self) -> bool| {
                    again && search.matches(inner, &mut |search| search.matches(&more, then))
                };
                if *min > 0 {
                    return round(self, then);
                }
                let first = *greedy && round(self, then);
                first || then(self) || (!*greedy && round(self, then))
            }
        }
    }
}

/// What comes out: rows, or that the search would not end; `None`: it takes too long by hand.
fn expected(query: &Query, rows: &[Row]) -> Option<Result<Vec<Vec<String>>, ()>> {
    let mut partitions: BTreeMap<Option<String>, Vec<Row>> = BTreeMap::new();
    for row in rows {
        partitions.entry(row.key.clone()).or_default().push(row.clone());
    }
    let mut found = Vec::new();
    let mut left = 400_000;
    for (key, rows) in &partitions {
        let (mut start, mut number) = (0, 0);
        while start < rows.len() {
            let mut search = ByHand { query, rows, start, number: number + 1, labels: vec![], left };
            let matched = search.matches(&query.pattern, &mut |_| true);
            left = search.left;
            if left == 0 {
                return None;
            }
            let labels = search.labels;
            if !matched || labels.is_empty() {
                start += 1;
                continue;
            }
            number += 1;
            let seen = Seen { rows, start, labels: &labels, number };
            let mut cells = vec![key.clone().unwrap_or_else(|| "null".to_owned())];
            cells.extend(query.measures.iter().map(|measure| seen.measure(measure)));
            found.push(cells);
            let next = match query.skip {
                MatchSkip::PastLastRow => Some(start + labels.len()),
                MatchSkip::ToNextRow => Some(start + 1),
                MatchSkip::ToFirst(set) => seen.of(set.0).first().copied(),
                MatchSkip::ToLast(set) => seen.of(set.0).last().copied(),
            };
            match next {
                Some(next) if next > start => start = next,
                _ => return Some(Err(())),
            }
        }
    }
    found.sort();
    Some(Ok(found))
}

/// Runs the operator over stamped partitions, which come in any turn.
fn run(query: &Query, partitions: &[Vec<Row>], bound: i64, size: usize, seed: u64) -> Result<Vec<Vec<String>>, ()> {
    let mut harness = Harness::new(MatchRecognize::new(&plan(query), &schema()).unwrap());
    for Turn { rows, watermark, .. } in turns(partitions, bound, size, seed) {
        harness.batch(batch(rows)).map_err(|_| ())?;
        harness.watermark(watermark).map_err(|_| ())?;
    }
    harness.end().map_err(|_| ())?;
    assert_eq!(harness.operator.held(), 0);
    let mut found = harness.take_batches().iter().flat_map(|batch| cells(&batch.columns)).collect::<Vec<_>>();
    found.sort();
    Ok(found)
}

/// A pattern that takes at least one row, of so many levels.
fn pattern(random: &mut Random, depth: u32) -> RowPattern {
    let some = |random: &mut Random| (0..2 + random.below(2)).map(|_| pattern(random, depth - 1)).collect::<Vec<_>>();
    match random.below(if depth == 0 { 1 } else { 6 }) {
        0 | 1 => RowPattern::Variable(random.below(4) as usize),
        2 => RowPattern::Alternatives(some(random)),
        3 | 4 => {
            let mut parts = some(random);
            // Parts that need not be there, beside one that must.
            let at = random.below(parts.len() as u64) as usize;
            for (number, part) in parts.iter_mut().enumerate() {
                if number != at && random.below(2) == 0 {
                    *part = repeat(part.clone(), 0, [Some(1), Some(3), None][random.below(3) as usize], random);
                }
            }
            RowPattern::Sequence(parts)
        }
        _ => {
            let inner = pattern(random, depth - 1);
            let min = 1 + random.below(2) as u32;
            repeat(inner, min, [None, Some(min), Some(min + 2)][random.below(3) as usize], random)
        }
    }
}

fn repeat(inner: RowPattern, min: u32, max: Option<u32>, random: &mut Random) -> RowPattern {
    RowPattern::Repeat { pattern: Box::new(inner), min, max, greedy: random.below(2) == 0 }
}

fn set(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => u64::MAX,
        1 => 0b0110,
        _ => 1 << random.below(4),
    }
}

/// A condition on a row and those beside it.
fn beside(random: &mut Random, variable: usize) -> Condition {
    let own = if random.below(2) == 0 { u64::MAX } else { 1 << variable };
    let far = [0, 0, -1, -2, 1][random.below(5) as usize];
    let op = ["<", "<=", ">", ">=", "="][random.below(5) as usize];
    match far {
        0 => Condition {
            left: Value::Row(own, true, 0, 0),
            op: ["<=", ">="][random.below(2) as usize],
            right: Value::Is(random.between(-1, 3)),
        },
        far => Condition { left: Value::Row(own, true, 0, 0), op, right: Value::Row(own, true, 0, far) },
    }
}

/// A condition on the match so far.
fn so_far(random: &mut Random, variable: usize) -> Condition {
    let own = Value::Row(1 << variable, true, 0, 0);
    let of = set(random);
    let (left, right) = match random.below(7) {
        0 => (own, Value::Row(of, true, random.below(2) as u32, 0)),
        1 => (own, Value::Row(of, false, random.below(2) as u32, 0)),
        2 => (own, Value::Row(of, true, 0, [-1, 1][random.below(2) as usize])),
        3 => (Value::Sum(of), Value::Is(random.between(0, 6))),
        4 => (Value::Count(of), Value::Is(random.between(1, 5))),
        5 => (own, Value::Min(of)),
        _ => (Value::Number, Value::Is(random.between(1, 4))),
    };
    Condition { left, op: ["<", "<=", ">", ">="][random.below(4) as usize], right }
}

pub fn query(random: &mut Random, deep: bool) -> Query {
    let mut conditions = Vec::new();
    for variable in 0..4 {
        let mut all = (0..random.below(3)).map(|_| beside(random, variable)).collect::<Vec<_>>();
        if deep && random.below(2) == 0 {
            all.push(so_far(random, variable));
        }
        conditions.push(all);
    }
    let skip = match random.below(6) {
        0 | 1 => MatchSkip::PastLastRow,
        2 | 3 => MatchSkip::ToNextRow,
        4 => MatchSkip::ToFirst(VariableSet(set(random))),
        _ => MatchSkip::ToLast(VariableSet(set(random))),
    };
    let mut measures = vec![
        Measure::Note(u64::MAX, false, 0, 0),
        Measure::Note(u64::MAX, true, 0, 0),
        Measure::Value(Value::Count(u64::MAX)),
        Measure::Value(Value::Number),
        Measure::Classifier,
    ];
    for variable in 0..4 {
        measures.push(Measure::Value(Value::Count(1 << variable)));
        measures.push(Measure::Note(1 << variable, random.below(2) == 0, random.below(2) as u32, 0));
    }
    let of = set(random);
    measures.push(Measure::Value(Value::Sum(of)));
    measures.push(Measure::Value(Value::Min(of)));
    measures.push(Measure::Note(of, true, 0, [-2, -1, 0, 1][random.below(4) as usize]));
    Query {
        pattern: pattern(random, 3),
        conditions,
        skip,
        within: (random.below(3) == 0).then(|| random.between(2, 20) * SECOND),
        measures,
    }
}

/// Rows that their notes tell apart.
pub fn input(random: &mut Random, rows: usize, disorder: i64, far: bool) -> Vec<Vec<Row>> {
    let count = 1 + random.below(3) as usize;
    let mut partitions = random_partitions(random, count, rows, disorder, far);
    for (number, rows) in partitions.iter_mut().enumerate() {
        for (position, row) in rows.iter_mut().enumerate() {
            row.note = Some(format!("{number}:{position:05}"));
        }
    }
    partitions
}

fn check(seeds: std::ops::Range<u64>, deep: bool, far: bool, sizes: &[usize]) {
    let (mut compared, mut matched, mut all) = (0, 0, 0);
    for seed in seeds {
        let mut random = Random::new(seed + 1);
        let disorder = random.between(0, 10);
        let mut partitions = input(&mut random, 24, disorder, far);
        let bound = disorder * SECOND;
        stamp(&mut partitions, bound);
        let mut rows = partitions.iter().flatten().filter(|row| row.late_by <= 0).cloned().collect::<Vec<_>>();
        rows.sort_by_key(|row| (row.time, row.partition, row.position));
        for number in 0..12 {
            let query = query(&mut random, deep);
            all += 1;
            let Some(wanted) = expected(&query, &rows) else { continue };
            compared += 1;
            matched += usize::from(wanted.as_ref().is_ok_and(|rows| !rows.is_empty()));
            for size in sizes {
                let found = run(&query, &partitions, bound, *size, seed * 31 + *size as u64);
                assert_eq!(found, wanted, "seed {seed}, query {number}, batches of {size}\n{query:#?}");
            }
        }
    }
    assert!(compared * 10 > all * 8, "only {compared} of {all} could be searched by hand");
    assert!(matched * 3 > all, "only {matched} of {all} had matches");
}

#[test]
fn conditions_on_rows_and_their_neighbours() {
    check(0..60, false, false, &[1, 7, 8_192]);
}

#[test]
fn conditions_on_the_match_so_far() {
    check(100..160, true, false, &[1, 5, 8_192]);
}

#[test]
fn late_rows_are_left_out() {
    check(200..220, true, true, &[1, 3, 8_192]);
}
