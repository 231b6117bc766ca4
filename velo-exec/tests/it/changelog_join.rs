//! Joins of changing inputs equal joins by brute force of the rows that are left.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use datafusion_expr::{Expr, col};
use velo_core::duration::Span;
use velo_core::{Batch, RowKind, Watermark};
use velo_exec::operator::{ChangelogJoin, JoinSpec, Operator};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{ChangelogJoin as Plan, Join, JoinKey, JoinKind, Mark, StateTtl};

use crate::support::changelog::{Folded, changes};
use crate::support::joins::{join, renamed, shown, spec};
use crate::support::{Row, SECOND, batch};

pub type Log = Vec<(RowKind, Row)>;

/// `note <= r_note`.
pub fn condition() -> Expr {
    col("note").lt_eq(col("r_note"))
}

fn meets(left: &Row, right: &Row) -> bool {
    left.note.as_ref().zip(right.note.as_ref()).is_some_and(|(left, right)| left <= right)
}

/// A row of few different ones.
fn row(random: &mut Random, position: usize) -> Row {
    let mut one_of = |values: &[&str]| {
        let at = random.below(values.len() as u64 + 1) as usize;
        values.get(at).map(|value| (*value).to_owned())
    };
    let (key, note, quantity) = (one_of(&["a", "b", "c"]), one_of(&["x", "y"]), one_of(&["1", "2", "3"]));
    Row {
        key,
        note,
        quantity: quantity.map(|text| text.parse().unwrap()),
        ..Row::at("", position as i64 * SECOND, "1")
    }
}

/// A changelog, and the rows that are left of it. With `single` there is at most one row of a key at a time.
pub fn log(random: &mut Random, count: usize, retracts: bool, single: bool) -> (Log, Vec<Row>) {
    let (mut log, mut live): (Log, Vec<Row>) = (Log::new(), Vec::new());
    while log.len() < count {
        let new = row(random, log.len());
        let taken = if single { live.iter().position(|row| row.key == new.key) } else { None };
        let some = random.below(live.len().max(1) as u64) as usize;
        match random.below(4) {
            0 if retracts && !live.is_empty() => log.push((RowKind::Delete, live.swap_remove(some))),
            1 if retracts && !live.is_empty() && !single => {
                log.push((RowKind::UpdateBefore, live.swap_remove(some)));
                log.push((RowKind::UpdateAfter, new.clone()));
                live.push(new);
            }
            _ => {
                if let Some(taken) = taken {
                    if !retracts {
                        continue;
                    }
                    log.push((RowKind::Delete, live.swap_remove(taken)));
                }
                log.push((RowKind::Insert, new.clone()));
                live.push(new);
            }
        }
    }
    (log, live)
}

pub fn part(side: usize, log: &[(RowKind, Row)], retracts: bool) -> Batch {
    let rows = log.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>();
    renamed(side, if retracts { changes(log) } else { batch(&rows) })
}

/// What a left row gives, given the right rows: pairs, itself, or itself with a truth.
fn of_left(join: &Join, with_condition: bool, left: &Row, right: &[Row]) -> Vec<Vec<String>> {
    let values =
        |row: &Row, at: usize| if at == 0 { row.key.clone() } else { row.quantity.map(|value| value.to_string()) };
    // The equality of each key: true, false or nobody knows.
    let equal = |right: &Row, at: usize| values(left, at).zip(values(right, at)).map(|(left, right)| left == right);
    let places = join.keys.iter().map(|key| usize::from(key.left == col("quantity"))).collect::<Vec<_>>();
    let others = |right: &Row, but: Option<usize>| {
        let mut keys = places.iter().enumerate().filter(|(at, _)| Some(*at) != but);
        keys.all(|(_, place)| equal(right, *place) == Some(true)) && (!with_condition || meets(left, right))
    };
    let partners = right.iter().filter(|right| others(right, None)).collect::<Vec<_>>();
    let own = shown(Some(left));
    let pair = |right: Option<&Row>| [own.clone(), shown(right)].concat();
    match &join.kind {
        JoinKind::Semi => partners.first().map(|_| own).into_iter().collect(),
        JoinKind::Anti => {
            if partners.is_empty() {
                vec![own]
            } else {
                vec![]
            }
        }
        JoinKind::Mark(mark) => {
            let unknown = mark.membership.is_some_and(|member| {
                right.iter().any(|right| others(right, Some(member)) && equal(right, places[member]).is_none())
            });
            let truth = if !partners.is_empty() {
                "true"
            } else if unknown {
                "null"
            } else {
                "false"
            };
            vec![[own, vec![truth.to_owned()]].concat()]
        }
        kind if partners.is_empty() && kind.keeps_left() => vec![pair(None)],
        _ => partners.into_iter().map(|right| pair(Some(right))).collect(),
    }
}

pub fn naive(join: &Join, with_condition: bool, left: &[Row], right: &[Row]) -> Vec<Vec<String>> {
    let mut rows = left.iter().flat_map(|row| of_left(join, with_condition, row, right)).collect::<Vec<_>>();
    if join.kind.keeps_right() {
        let alone = |row: &&Row| {
            let is_partner =
                |left: &Row| left.key.is_some() && left.key == row.key && (!with_condition || meets(left, row));
            !left.iter().any(is_partner)
        };
        rows.extend(right.iter().filter(alone).map(|row| [shown(None), shown(Some(row))].concat()));
    }
    rows.sort();
    rows
}

fn harness(join: &Join, retracts: [bool; 2], ttl: Option<StateTtl>) -> Harness<ChangelogJoin> {
    Harness::new(made(join, retracts, ttl))
}

pub fn made(join: &Join, retracts: [bool; 2], ttl: Option<StateTtl>) -> ChangelogJoin {
    let spec = JoinSpec { retracts, ttl, ..spec(Plan { join: join.clone() }, join) };
    ChangelogJoin::new(&spec).unwrap()
}

/// Runs a join over two changelogs, in batches, and folds what comes out.
fn fold(join: &Join, logs: [&Log; 2], retracts: [bool; 2], size: usize, seed: u64, context: &str) -> Vec<Vec<String>> {
    let mut random = Random::new(seed);
    let (mut harness, mut folded) = (harness(join, retracts, None), Folded::default());
    let mut next = [0, 0];
    let appends = retracts == [false; 2] && matches!(join.kind, JoinKind::Inner | JoinKind::Semi);
    while next[0] < logs[0].len() || next[1] < logs[1].len() {
        let side = random.below(2) as usize;
        let to = logs[side].len().min(next[side] + 1 + random.below(size as u64) as usize);
        if to > next[side] {
            harness.batch_at(side, part(side, &logs[side][next[side]..to], retracts[side])).unwrap();
            next[side] = to;
        }
        if random.below(3) == 0 {
            harness.watermark(Watermark(next.into_iter().min().unwrap() as i64 * SECOND / 2)).unwrap();
        }
        let batches = harness.take_batches();
        assert!(!appends || batches.iter().all(|batch| batch.kinds.is_none()), "{context}");
        folded.add(&batches, 0, context);
    }
    harness.end().unwrap();
    folded.add(&harness.take_batches(), 0, context);
    let mut rows = folded.rows();
    rows.sort();
    rows
}

pub fn mark(membership: Option<usize>) -> JoinKind {
    JoinKind::Mark(Mark { column: Arc::new(Field::new("mark", DataType::Boolean, true)), membership })
}

fn check(join: &Join, with_condition: bool, seed: u64, rows: usize) {
    let mut random = Random::new(seed);
    let retracts = [random.below(3) > 0, random.below(3) > 0];
    let single = join.kind == JoinKind::Single;
    let (left, left_over) = log(&mut random, rows, retracts[0], false);
    let (right, right_over) = log(&mut random, if single { rows.min(3) } else { rows }, retracts[1], single);
    let expected = naive(join, with_condition, &left_over, &right_over);
    for size in [1, 2, 50] {
        let context = format!("{:?}, condition {with_condition}, {retracts:?}, size {size}, seed {seed}", join.kind);
        let found = fold(join, [&left, &right], retracts, size, seed + size as u64, &context);
        assert_eq!(found, expected, "{context}");
    }
}

#[test]
fn equal_the_join_of_the_rows_that_are_left() {
    let kinds = [
        JoinKind::Inner,
        JoinKind::Left,
        JoinKind::Right,
        JoinKind::Full,
        JoinKind::Semi,
        JoinKind::Anti,
        JoinKind::Single,
        mark(None),
    ];
    for kind in kinds {
        for with_condition in [false, true] {
            let join = join(kind.clone(), with_condition.then(condition));
            for seed in 0..40 {
                check(&join, with_condition, seed, 3 + (seed as usize * 7) % 90);
            }
        }
    }
}

/// IN and NOT IN with NULLs on either side, with and without another key.
#[test]
fn membership_is_that_of_sql() {
    for with_condition in [false, true] {
        let member = || JoinKey { left: col("quantity"), right: col("r_quantity") };
        let mut alone = join(mark(Some(0)), with_condition.then(condition));
        alone.keys = vec![member()];
        let mut correlated = join(mark(Some(1)), with_condition.then(condition));
        correlated.keys.push(member());
        for seed in 0..60 {
            check(&alone, with_condition, seed, 2 + (seed as usize * 3) % 40);
            check(&correlated, with_condition, seed, 2 + (seed as usize * 3) % 40);
        }
    }
}

/// A join without keys: every row is a candidate.
#[test]
fn without_keys_all_rows_are_candidates() {
    for kind in [JoinKind::Inner, JoinKind::Left, JoinKind::Semi, JoinKind::Anti] {
        let mut join = join(kind, Some(condition()));
        join.keys.clear();
        for seed in 0..20 {
            check(&join, true, seed, 20);
        }
    }
}

fn simple(key: &str, note: &str, time: i64) -> Row {
    Row { note: Some(note.to_owned()), ..Row::at(key, time * SECOND, "1") }
}

fn changed(harness: &mut Harness<ChangelogJoin>) -> Vec<String> {
    let batches = harness.take_batches();
    let rows = batches.iter().flat_map(|batch| {
        let kinds = batch.kinds.clone().map_or(vec![RowKind::Insert; batch.rows()], |kinds| kinds.as_slice().to_vec());
        let rows = velo_exec::testing::rows_as_text(&batch.columns);
        kinds.into_iter().zip(rows).map(|(kind, row)| format!("{} {row}", kind.symbol())).collect::<Vec<_>>()
    });
    rows.collect()
}

#[test]
fn padded_rows_come_and_go_with_the_partners() {
    let join = join(JoinKind::Left, None);
    let mut harness = harness(&join, [true; 2], None);
    let give = |harness: &mut Harness<ChangelogJoin>, side: usize, kind: RowKind, note: &str| {
        harness.batch_at(side, part(side, &[(kind, simple("k", note, 0))], true)).unwrap();
        changed(harness)
    };
    assert_eq!(give(&mut harness, 0, RowKind::Insert, "l"), ["+I k, 1, l, null, null, null"]);
    assert_eq!(give(&mut harness, 1, RowKind::Insert, "r"), ["-D k, 1, l, null, null, null", "+I k, 1, l, k, 1, r"]);
    assert_eq!(give(&mut harness, 1, RowKind::Insert, "s"), ["+I k, 1, l, k, 1, s"]);
    assert_eq!(give(&mut harness, 1, RowKind::Delete, "r"), ["-D k, 1, l, k, 1, r"]);
    assert_eq!(give(&mut harness, 1, RowKind::Delete, "s"), ["-D k, 1, l, k, 1, s", "+I k, 1, l, null, null, null"]);
    assert_eq!(give(&mut harness, 0, RowKind::Delete, "l"), ["-D k, 1, l, null, null, null"]);
    assert_eq!(harness.operator.rows(), 0);
}

#[test]
fn a_row_may_be_taken_before_it_comes() {
    let join = join(JoinKind::Full, None);
    let mut harness = harness(&join, [true; 2], None);
    for side in [0, 1] {
        harness.batch_at(side, part(side, &[(RowKind::Delete, simple("k", "early", 0))], true)).unwrap();
    }
    harness.batch_at(0, part(0, &[(RowKind::Insert, simple("k", "l", 1))], true)).unwrap();
    assert_eq!(changed(&mut harness), ["+I k, 1, l, null, null, null"]);
    for side in [0, 1] {
        harness.batch_at(side, part(side, &[(RowKind::Insert, simple("k", "early", 2))], true)).unwrap();
    }
    assert!(changed(&mut harness).is_empty());
    assert_eq!(harness.operator.rows(), 1);
}

#[test]
fn two_rows_of_a_scalar_sub_query_are_an_error() {
    let join = join(JoinKind::Single, None);
    let mut left_first = harness(&join, [false; 2], None);
    left_first.batch_at(0, part(0, &[(RowKind::Insert, simple("k", "l", 0))], false)).unwrap();
    let two = [(RowKind::Insert, simple("k", "r", 0)), (RowKind::Insert, simple("k", "s", 0))];
    let error = left_first.batch_at(1, part(1, &two, false)).unwrap_err().to_string();
    assert!(error.starts_with("result: the sub-query gives more than one row"), "{error}");
    let mut right_first = harness(&join, [false; 2], None);
    right_first.batch_at(1, part(1, &two, false)).unwrap();
    assert!(right_first.batch_at(0, part(0, &[(RowKind::Insert, simple("k", "l", 0))], false)).is_err());
    // Within a batch one may take the other's place.
    let mut replaced = harness(&join, [true; 2], None);
    replaced.batch_at(0, part(0, &[(RowKind::Insert, simple("k", "l", 0))], true)).unwrap();
    replaced.batch_at(1, part(1, &two[..1], true)).unwrap();
    let swap = [two[1].clone(), (RowKind::Delete, two[0].1.clone())];
    replaced.batch_at(1, part(1, &swap, true)).unwrap();
    let mut folded = Folded::default();
    folded.add(&replaced.take_batches(), 0, "a swap");
    assert_eq!(folded.rows(), [["k", "1", "l", "k", "1", "s"]]);
}

#[test]
fn state_ttl_forgets_rows_and_leaves_what_was_shown() {
    for by_clock in [false, true] {
        let ttl = Some(StateTtl { after: Span(10 * SECOND), by_clock });
        let join = join(JoinKind::Left, None);
        let mut harness = harness(&join, [true; 2], ttl);
        let at = |harness: &mut Harness<ChangelogJoin>, second: i64| {
            if by_clock {
                harness.clock(second * SECOND).unwrap();
            } else {
                harness.watermark(Watermark(second * SECOND)).unwrap();
            }
        };
        let give = |harness: &mut Harness<ChangelogJoin>, side: usize, kind: RowKind, note: &str, time: i64| {
            harness.batch_at(side, part(side, &[(kind, simple("k", note, time))], true)).unwrap();
            changed(harness)
        };
        give(&mut harness, 1, RowKind::Insert, "r", 0);
        assert_eq!(give(&mut harness, 0, RowKind::Insert, "l", 0), ["+I k, 1, l, k, 1, r"]);
        at(&mut harness, 5);
        assert_eq!(give(&mut harness, 0, RowKind::Insert, "m", 5), ["+I k, 1, m, k, 1, r"]);
        at(&mut harness, 12);
        assert_eq!(harness.operator.rows(), 1, "of both sides the first rows are forgotten");
        assert_eq!(give(&mut harness, 0, RowKind::Insert, "n", 12), ["+I k, 1, n, null, null, null"]);
        assert!(give(&mut harness, 1, RowKind::Delete, "r", 12).is_empty(), "what was shown stays");
        at(&mut harness, 30);
        assert_eq!(harness.operator.rows(), 0);
        assert!(changed(&mut harness).is_empty());
    }
}

/// Many pairs of one key come in batches of no more than 8,192 rows, and rows that go leave no state.
#[test]
fn many_pairs_come_piece_by_piece() {
    let join = join(JoinKind::Full, Some(condition()));
    let mut harness = harness(&join, [true; 2], None);
    let rows = |kind: RowKind, count: usize| -> Log {
        (0..count).map(|at| (kind, Row { quantity: Some(at as i64), ..simple("hot", "x", at as i64) })).collect()
    };
    let mut pairs = 0;
    let mut count = |harness: &mut Harness<ChangelogJoin>| {
        for batch in harness.take_batches() {
            assert!(batch.rows() <= 8_192);
            pairs += batch.rows();
        }
    };
    harness.batch_at(0, part(0, &rows(RowKind::Insert, 3_000), true)).unwrap();
    harness.batch_at(1, part(1, &rows(RowKind::Insert, 100), true)).unwrap();
    harness.batch_at(0, part(0, &rows(RowKind::Delete, 3_000), true)).unwrap();
    harness.batch_at(1, part(1, &rows(RowKind::Delete, 100), true)).unwrap();
    count(&mut harness);
    assert!(harness.fullest() <= 6, "about a full outbox");
    // Left rows come padded and go as such; right ones are padded in between.
    assert_eq!(pairs, 3_000 + 3_000 + 300_000 + 300_000 + 100 + 100);
    assert_eq!(harness.operator.rows(), 0);
}

/// Keys, rows and numbers that are gone are forgotten.
#[test]
fn state_is_that_of_the_rows_that_are_there() {
    let join = join(JoinKind::Inner, None);
    let mut harness = harness(&join, [true; 2], None);
    let mut most = [0, 0];
    for round in 0..200 {
        for kind in [RowKind::Insert, RowKind::Delete] {
            let row = |at: i64| (kind, simple(&format!("key {}", round * 100 + at), "some text that is not short", at));
            let log = (0..100).map(row).collect::<Vec<_>>();
            for side in [0, 1] {
                harness.batch_at(side, part(side, &log, true)).unwrap();
            }
        }
        let most = &mut most[usize::from(round >= 60)];
        *most = harness.operator.memory().max(*most);
    }
    assert!(most[1] < most[0] + most[0] / 2, "{most:?} bytes in 60 rounds and in the others");
}

#[test]
fn bc_13_null_keys_of_a_left_join_of_joins() {
    let row = |key: Option<&str>, quantity: i64| Row {
        key: key.map(str::to_owned),
        quantity: Some(quantity),
        note: None,
        ..Row::at("", 0, "1")
    };
    let left = [row(Some("1"), 5), row(Some("2"), 7), row(None, 8)];
    let right = [row(Some("1"), 9), row(None, 2), row(Some("3"), 4)];
    let run = |kind: JoinKind| {
        let join = join(kind, None);
        let mut harness = harness(&join, [false; 2], None);
        harness.batch_at(0, batch(&left)).unwrap();
        harness.batch_at(1, renamed(1, batch(&right))).unwrap();
        let mut folded = Folded::default();
        folded.add(&harness.take_batches(), 0, "BC-13");
        folded.rows().into_iter().map(|row| row.join(", ")).collect::<Vec<_>>()
    };
    assert_eq!(
        run(JoinKind::Left),
        ["1, 5, null, 1, 9, null", "2, 7, null, null, null, null", "null, 8, null, null, null, null"]
    );
    assert_eq!(run(JoinKind::Inner), ["1, 5, null, 1, 9, null"]);
}

/// A delete takes back what was shown, whatever the other side has become since.
#[test]
fn bc_19_a_delete_takes_back_what_was_shown() {
    for kind in [JoinKind::Inner, JoinKind::Left] {
        let join = join(kind, None);
        let mut harness = harness(&join, [true; 2], None);
        let mut folded = Folded::default();
        let steps = [
            (0, RowKind::Insert, simple("4", "d", 0)),
            (1, RowKind::Insert, simple("4", "Fay", 1)),
            (0, RowKind::Delete, simple("4", "d", 2)),
            (1, RowKind::Insert, simple("5", "Ann", 3)),
            (0, RowKind::Insert, simple("5", "e", 4)),
            (1, RowKind::Delete, simple("5", "Ann", 5)),
            (1, RowKind::Insert, simple("5", "Bea", 5)),
            (0, RowKind::Delete, simple("5", "e", 6)),
        ];
        for (side, kind, row) in steps {
            harness.batch_at(side, part(side, &[(kind, row)], true)).unwrap();
            // It fails where a row is taken back that is not there.
            folded.add(&harness.take_batches(), 0, "BC-19");
        }
        assert!(folded.rows().is_empty());
    }
}

#[test]
fn bc_20_a_condition_on_left_columns_keeps_left_rows() {
    let join = join(JoinKind::Left, Some(col("quantity").gt(datafusion_expr::lit(100_i64))));
    let mut harness = harness(&join, [false; 2], None);
    let order = |key: &str, amount: i64| Row { quantity: Some(amount), note: None, ..Row::at(key, 0, "1") };
    harness.batch_at(1, renamed(1, batch(&[simple("c1", "gold", 0)]))).unwrap();
    harness.batch_at(0, batch(&[order("c1", 50), order("c1", 200), order("c9", 300)])).unwrap();
    assert_eq!(
        harness.take_rows(),
        ["c1, 50, null, null, null, null", "c1, 200, null, c1, 1, gold", "c9, 300, null, null, null, null"]
    );
}
