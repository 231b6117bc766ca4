//! Row patterns step by step: when a match comes out, what it holds back until then, and what is kept.

use crate::support::patterns::{Condition, Measure, Query, Value, plan};
use crate::support::{Row, SECOND, batch, schema};
use velo_core::Watermark;
use velo_exec::operator::{MatchRecognize, Operator};
use velo_exec::testing::Harness;
use velo_plan::plan::{MatchSkip, RowPattern};

/// A query over quantities: A is below 10, B from 10 to below 20, C from 20 on.
pub fn simple(pattern: RowPattern, within: Option<i64>) -> Query {
    let quantity = Value::Row(u64::MAX, true, 0, 0);
    let is = |op: &'static str, than: i64| Condition { left: quantity, op, right: Value::Is(than) };
    Query {
        pattern,
        conditions: vec![vec![is("<", 10)], vec![is(">=", 10), is("<", 20)], vec![is(">=", 20)], vec![]],
        skip: MatchSkip::PastLastRow,
        within: within.map(|seconds| seconds * SECOND),
        measures: vec![
            Measure::Value(Value::Row(u64::MAX, false, 0, 0)),
            Measure::Value(Value::Row(u64::MAX, true, 0, 0)),
            Measure::Value(Value::Count(u64::MAX)),
        ],
    }
}

const A: RowPattern = RowPattern::Variable(0);
const B: RowPattern = RowPattern::Variable(1);
const C: RowPattern = RowPattern::Variable(2);

fn plus(inner: RowPattern) -> RowPattern {
    RowPattern::Repeat { pattern: Box::new(inner), min: 1, max: None, greedy: true }
}

struct Steps {
    harness: Harness<MatchRecognize>,
    position: u64,
}

impl Steps {
    fn new(query: &Query) -> Self {
        Self { harness: Harness::new(MatchRecognize::new(&plan(query), &schema()).unwrap()), position: 0 }
    }

    fn rows(&mut self, key: &str, rows: &[(i64, i64)]) -> &mut Self {
        let rows = rows.iter().enumerate().map(|(at, (time, quantity))| Row {
            quantity: Some(*quantity),
            position: self.position + at as u64,
            ..Row::at(key, time * SECOND, "1")
        });
        let rows = rows.collect::<Vec<_>>();
        self.position += rows.len() as u64;
        self.harness.batch(batch(&rows)).unwrap();
        self
    }

    /// What comes out when the watermark stands there, and the watermark that is forwarded.
    fn watermark(&mut self, seconds: i64) -> (Vec<String>, i64) {
        self.harness.watermark(Watermark(seconds * SECOND)).unwrap();
        (self.harness.take_rows(), self.harness.forwarded().0 / SECOND)
    }

    fn end(&mut self) -> Vec<String> {
        self.harness.end().unwrap();
        self.harness.take_rows()
    }
}

fn out(rows: &[&str], forwarded: i64) -> (Vec<String>, i64) {
    (rows.iter().map(|row| (*row).to_owned()).collect(), forwarded)
}

#[test]
fn a_match_comes_out_when_nothing_preferred_can_come() {
    let mut steps = Steps::new(&simple(RowPattern::Sequence(vec![A, B]), None));
    steps.rows("x", &[(1, 1), (2, 10)]);
    // The row of 2 is not known to be the second before the watermark has passed it.
    assert_eq!(steps.watermark(2), out(&[], 2));
    assert_eq!(steps.watermark(3), out(&["x, 1, 10, 2"], 3));
    let mut steps = Steps::new(&simple(RowPattern::Sequence(vec![A, plus(B)]), None));
    steps.rows("x", &[(1, 1), (2, 10), (3, 11)]);
    // A third B could come, so this match, whose last row is that of 3, is to come yet.
    assert_eq!(steps.watermark(4), out(&[], 3));
    steps.rows("x", &[(6, 20)]);
    assert_eq!(steps.watermark(5), out(&[], 3));
    assert_eq!(steps.watermark(7), out(&["x, 1, 11, 3"], 7));
    assert_eq!(steps.end(), Vec::<String>::new());
}

#[test]
fn within_lets_a_match_go_when_the_watermark_says_so() {
    let mut steps = Steps::new(&simple(RowPattern::Sequence(vec![A, plus(B)]), Some(10)));
    steps.rows("x", &[(1, 1), (2, 10), (3, 11)]);
    assert_eq!(steps.watermark(10), out(&[], 3));
    assert_eq!(steps.watermark(11), out(&["x, 1, 11, 3"], 11));
    // What found nothing in time goes, and holds nothing up.
    steps.rows("x", &[(12, 1)]);
    assert_eq!(steps.watermark(13), out(&[], 13));
    assert_eq!(steps.harness.operator.held(), 1);
    assert_eq!(steps.watermark(22), out(&[], 22));
    assert_eq!(steps.harness.operator.held(), 0);
}

#[test]
fn an_open_match_without_an_end_holds_up_only_what_others_can_be() {
    let mut steps = Steps::new(&simple(RowPattern::Sequence(vec![A, plus(B), C]), None));
    steps.rows("x", &[(1, 1), (2, 10)]).rows("y", &[(3, 1)]);
    // A match that ends must have a C, which comes behind the watermark.
    assert_eq!(steps.watermark(9), out(&[], 9));
    steps.rows("x", &[(10, 20)]);
    assert_eq!(steps.watermark(11), out(&["x, 1, 20, 3"], 11));
    steps.rows("y", &[(12, 1), (12, 10), (13, 10)]);
    assert_eq!(steps.watermark(14), out(&[], 14));
    // The one that begins at 12 could not end before its third row.
    assert_eq!(steps.rows("y", &[(15, 10), (16, 10)]).watermark(20), out(&[], 15));
    assert_eq!(steps.end(), Vec::<String>::new());
}

#[test]
fn the_row_behind_is_waited_for() {
    let mut query = simple(RowPattern::Sequence(vec![A, B]), Some(5));
    query.measures.push(Measure::Value(Value::Row(u64::MAX, true, 0, 1)));
    let mut steps = Steps::new(&query);
    steps.rows("x", &[(1, 1), (2, 10)]);
    assert_eq!(steps.watermark(3), out(&[], 2));
    assert_eq!(steps.watermark(30), out(&[], 2));
    steps.rows("x", &[(31, 7)]);
    // A match that begins at 31 has a second row.
    assert_eq!(steps.watermark(32), out(&["x, 1, 10, 2, 7"], 32));
    assert_eq!(steps.end(), Vec::<String>::new());
}

#[test]
fn long_matches_that_come_to_nothing_are_not_searched_again_and_again() {
    // A search from each row to the end would take ten billion steps.
    let mut steps = Steps::new(&simple(RowPattern::Sequence(vec![plus(A), plus(A), C]), None));
    for part in 0..20 {
        let rows = (0..8_000).map(|at| (part * 8_000 + at, 1)).collect::<Vec<_>>();
        steps.rows("x", &rows).watermark((part + 1) * 8_000);
    }
    steps.rows("x", &[(160_000, 10), (160_001, 1), (160_002, 1), (160_003, 20)]);
    assert_eq!(steps.watermark(160_004), out(&["x, 1, 20, 3"], 160_004));
}

#[test]
fn running_sums_over_many_rows() {
    let mut query = simple(plus(A), None);
    query.conditions[0] = vec![Condition { left: Value::Sum(1), op: "<=", right: Value::Is(10) }];
    let mut steps = Steps::new(&query);
    let mut found = Vec::new();
    for part in 0..3 {
        // Rows of other keys, whose sums are open over all parts.
        for key in ["a", "b", "c"] {
            steps.rows(key, &[(part * 8_000, 4)]);
        }
        let rows = (0..8_000).map(|at| (part * 8_000 + at, 1)).collect::<Vec<_>>();
        found.extend(steps.rows("x", &rows).watermark((part + 1) * 8_000).0);
    }
    found.extend(steps.end());
    assert_eq!(found.iter().filter(|row| *row == "x, 1, 1, 10").count(), 2_400);
    for key in ["a", "b", "c"] {
        let own = found.iter().filter(|row| row.starts_with(key)).cloned().collect::<Vec<_>>();
        assert_eq!(own, [format!("{key}, 4, 4, 2"), format!("{key}, 4, 4, 1")]);
    }
    assert_eq!(found.len(), 2_406);
}

#[test]
fn rows_that_are_kept_stay_what_they_are_when_others_go() {
    let mut steps = Steps::new(&simple(RowPattern::Sequence(vec![A, B, C]), None));
    for part in 0..6 {
        steps.rows(&format!("k{part}"), &[(part * 8_000, part)]);
        let rows = (0..8_000).map(|at| (part * 8_000 + at, 30)).collect::<Vec<_>>();
        steps.rows("noise", &rows).watermark((part + 1) * 8_000);
    }
    assert_eq!(steps.harness.operator.held(), 6);
    assert!(steps.harness.operator.memory() < 2_000_000, "{}", steps.harness.operator.memory());
    for part in 0..6 {
        steps.rows(&format!("k{part}"), &[(50_000, 10 + part), (50_001, 20 + part)]);
    }
    let found = steps.watermark(50_002).0;
    assert_eq!(found, (0..6).map(|part| format!("k{part}, {part}, {}, 3", 20 + part)).collect::<Vec<_>>());
}

#[test]
fn rows_that_come_one_by_one_are_kept_together() {
    let mut steps = Steps::new(&simple(RowPattern::Sequence(vec![plus(A), B]), None));
    for at in 0..3_000 {
        steps.rows(if at % 2 == 0 { "x" } else { "y" }, &[(at, at % 9)]).watermark(at + 1);
    }
    steps.rows("x", &[(3_000, 10)]).rows("y", &[(3_000, 11)]);
    let mut found = steps.watermark(3_001).0;
    found.sort();
    assert_eq!(found, ["x, 0, 10, 1501", "y, 1, 11, 1501"]);
    assert_eq!(steps.harness.operator.held(), 0);
}

#[test]
fn keys_of_which_nothing_is_kept_are_forgotten() {
    let mut steps = Steps::new(&simple(RowPattern::Sequence(vec![A, B]), None));
    let mut last = 0;
    for part in 0..40 {
        let rows = (0..1_000).map(|at| Row {
            quantity: Some(10),
            position: part * 1_000 + at,
            ..Row::at(&format!("key {part} {at}"), part as i64 * SECOND, "1")
        });
        steps.harness.batch(batch(&rows.collect::<Vec<_>>())).unwrap();
        steps.watermark(part as i64 + 1);
        if part == 10 {
            last = steps.harness.operator.memory();
        }
    }
    assert!(steps.harness.operator.memory() <= last * 2, "{} and {last}", steps.harness.operator.memory());
    // A key that is open all along is still itself.
    steps.rows("open", &[(50, 1)]).watermark(51);
    for part in 0..4 {
        let rows = (0..1_000).map(|at| Row {
            quantity: Some(10),
            position: 100_000 + part * 1_000 + at,
            ..Row::at(&format!("other {part} {at}"), (60 + part as i64) * SECOND, "1")
        });
        steps.harness.batch(batch(&rows.collect::<Vec<_>>())).unwrap();
        steps.watermark(61 + part as i64);
    }
    steps.rows("open", &[(70, 12)]);
    assert_eq!(steps.watermark(71), out(&["open, 1, 12, 2"], 71));
}

#[test]
fn too_many_ways_to_go_on_are_an_error() {
    // Which rows are A and which are B is all that tells ways apart, and the sum of A asks for it.
    let either = plus(RowPattern::Alternatives(vec![A, B]));
    let mut query = simple(RowPattern::Sequence(vec![either, C]), None);
    query.conditions =
        vec![vec![], vec![], vec![Condition { left: Value::Sum(1), op: "=", right: Value::Is(-1) }], vec![]];
    let mut steps = Steps::new(&query);
    steps.rows("x", &(0..20).map(|at| (at, 1 << at)).collect::<Vec<_>>());
    let failed = steps.harness.watermark(Watermark(30 * SECOND)).unwrap_err().to_string();
    assert!(failed.contains("more than 10000 ways to go on"), "{failed}");
}
