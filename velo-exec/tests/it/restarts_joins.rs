//! Joins of two inputs that are saved and taken up by others, at any place and by any number of tasks, give what they give
//! without that.

use datafusion_expr::{Expr, col};
use velo_core::duration::Span;
use velo_core::{Batch, RowKind, RowKinds, Watermark};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{ChangelogJoin, Operator};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::MissingStrategy::{FailFast, SkipRecord, UseDefaults};
use velo_plan::plan::{AsOfJoin as AsOf, Join, JoinKey, JoinKind, StateTtl};

use super::{as_of_join, changelog_join, interval_join, window_join};
use crate::support::changelog::{Folded, changes, late_changelog};
use crate::support::joins::{
    Way, condition, feed, join, later, meets, naive, on_time, random_sides, renamed, same_key, side_batch, texts,
};
use crate::support::tasks::{Target, Tasks, check_damaged};
use crate::support::{Row, SECOND};

/// `key`, on either side.
const KEY: [&[usize]; 2] = [&[0], &[0]];

fn late<O: Operator>(tasks: &Tasks<'_, O>) -> u64 {
    tasks.sum(|operator| operator.late().unwrap().rows())
}

fn held<O: Operator>(tasks: &Tasks<'_, O>) -> u64 {
    tasks.sum(Operator::held)
}

/// What a join gives, sorted, with restarts or without; and how many rows came late.
fn fed<'a, O: Operator + 'a>(
    sides: &[Vec<Vec<Row>>; 2],
    batch: impl Fn(usize, &[Row]) -> Batch,
    way: Way,
    restarts: bool,
    make: impl Fn() -> O + 'a,
) -> (Vec<Vec<String>>, u64) {
    let mut random = Random::new(way.seed);
    let mut tasks = Tasks::new(if restarts { 1 + random.below(3) as usize } else { 1 }, KEY, make);
    let mut found = Vec::new();
    if restarts {
        // Nothing has come.
        tasks.restart(2);
    }
    feed(&mut tasks, sides, batch, way, |tasks| {
        if restarts {
            tasks.perhaps(&mut random);
        }
        found.extend(texts(&tasks.take_batches()));
    });
    if restarts {
        // Everything has gone.
        tasks.restart(3);
    }
    assert_eq!((held(&tasks), tasks.forwarded()), (0, Watermark::END));
    found.extend(texts(&tasks.take_batches()));
    found.sort();
    (found, late(&tasks))
}

#[test]
fn interval_joins_go_on() {
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let disorder = random.between(0, 12);
        let rows = 1 + random.below(120) as usize;
        let sides = random_sides(&mut random, rows, disorder);
        let lower = random.between(-30, 20);
        let upper = lower + random.between(0, 40);
        for kind in interval_join::KINDS {
            for with_condition in [false, true] {
                for size in [1, 5] {
                    let way = Way { bound: disorder * SECOND, size, seed: seed * 7 + size as u64 };
                    let make = || interval_join::made(kind.clone(), with_condition, lower, upper);
                    let [expected, found] = [false, true].map(|restarts| fed(&sides, side_batch, way, restarts, make));
                    assert_eq!(found, expected, "{kind:?} {lower}..{upper}, size {size}, seed {seed}");
                }
            }
        }
        let partners = |left: &Row, right: &Row| {
            let apart = right.time - left.time;
            same_key(left, right) && (lower * SECOND..=upper * SECOND).contains(&apart) && meets(left, right)
        };
        let (left, right) = (on_time(&sides[0]), on_time(&sides[1]));
        let way = Way { bound: disorder * SECOND, size: 3, seed };
        let make = || interval_join::made(JoinKind::Full, true, lower, upper);
        let expected = naive(&JoinKind::Full, &left, &right, partners, later);
        assert_eq!(fed(&sides, side_batch, way, true, make).0, expected, "seed {seed}");
    }
}

#[test]
fn window_joins_go_on() {
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let disorder = random.between(0, 12);
        let rows = 1 + random.below(120) as usize;
        let sides = random_sides(&mut random, rows, disorder);
        for kind in interval_join::KINDS {
            let with_condition = random.below(2) == 0;
            for size in [1, 5] {
                let way = Way { bound: disorder * SECOND, size, seed: seed * 7 + size as u64 };
                let make = || window_join::made(kind.clone(), with_condition, LateStrategy::Drop, false);
                let batch = window_join::window_batch;
                let [expected, found] = [false, true].map(|restarts| fed(&sides, batch, way, restarts, make));
                assert_eq!(found, expected, "{kind:?}, size {size}, seed {seed}");
            }
        }
    }
}

/// Rows that are taken back before their window closes, also across a restart.
#[test]
fn window_joins_of_rows_that_go_go_on() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let logs = [0, 1].map(|_| late_changelog(&mut random, 80, 200, true, false));
        let run = |restarts: bool| {
            let mut random = Random::new(seed);
            let make = || window_join::made(JoinKind::Full, true, LateStrategy::Drop, true);
            let mut tasks = Tasks::new(1, KEY, make);
            let mut found = Vec::new();
            for at in 0..logs[0].len().max(logs[1].len()) {
                for (side, log) in logs.iter().enumerate() {
                    let Some((kind, row)) = log.get(at) else { continue };
                    let batch = window_join::window_batch(side, std::slice::from_ref(row));
                    let kind = if kind.retracts() { RowKind::Delete } else { RowKind::Insert };
                    tasks.batch_at(side, Batch { kinds: Some(RowKinds::new(vec![kind])), ..batch });
                }
                if at == 60 {
                    tasks.watermark(Watermark(20 * SECOND));
                }
                if restarts {
                    tasks.perhaps(&mut random);
                }
                found.extend(texts(&tasks.take_batches()));
            }
            tasks.end();
            found.extend(texts(&tasks.take_batches()));
            found.sort();
            found
        };
        let expected = run(false);
        assert!(!expected.is_empty());
        assert_eq!(run(true), expected, "seed {seed}");
    }
}

#[test]
fn as_of_joins_go_on() {
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let disorder = random.between(0, 12);
        let rows = 1 + random.below(150) as usize;
        let sides = random_sides(&mut random, rows, disorder);
        let (left, right) = (on_time(&sides[0]), on_time(&sides[1]));
        for direction in as_of_join::DIRECTIONS {
            for (kind, with_condition) in [(JoinKind::Inner, false), (JoinKind::Left, true)] {
                let plan = AsOf {
                    join: join(kind.clone(), with_condition.then(condition)),
                    inclusive: random.below(2) == 0,
                    tolerance: (random.below(2) == 0).then(|| random.between(0, 20) * SECOND),
                    ..as_of_join::plan(kind.clone(), direction)
                };
                let expected = as_of_join::naive(&plan, &left, &right);
                for size in [1, 2, 30] {
                    let way = Way { bound: disorder * SECOND, size, seed: seed * 3 + size as u64 };
                    let make = || as_of_join::made(&plan, [false; 2]);
                    let [plain, found] = [false, true].map(|restarts| fed(&sides, side_batch, way, restarts, make));
                    let context = format!("{direction:?} {kind:?}, size {size}, seed {seed}");
                    assert_eq!(plain.0, expected, "{context}");
                    assert_eq!(found, plain, "{context}");
                }
            }
        }
    }
}

/// Left rows that come and go, right rows that change, and what is shown early of neither.
#[test]
fn as_of_joins_of_rows_that_go_go_on() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let logs = [0, 1].map(|_| late_changelog(&mut random, 60, 8, true, seed % 2 == 0));
        let retracts = [true, seed % 3 > 0];
        let logs = [0, 1].map(|side| {
            let log = logs[side].clone();
            log.into_iter().filter(|(kind, _)| retracts[side] || !kind.retracts()).collect::<Vec<_>>()
        });
        for direction in as_of_join::DIRECTIONS {
            let plan = as_of_join::plan(if seed % 5 == 0 { JoinKind::Inner } else { JoinKind::Left }, direction);
            let run = |restarts: bool| {
                let mut random = Random::new(seed);
                let mut tasks = Tasks::new(1, KEY, || as_of_join::made(&plan, retracts));
                let context = format!("{direction:?}, seed {seed}, restarts {restarts}");
                let (mut next, mut folded, mut steps) = ([0, 0], Folded::default(), Random::new(seed + 1));
                let mut highest = [i64::MIN; 2];
                while next[0] < logs[0].len() || next[1] < logs[1].len() {
                    let side = steps.below(2) as usize;
                    let to = logs[side].len().min(next[side] + 1 + steps.below(6) as usize);
                    if to > next[side] {
                        let rows = &logs[side][next[side]..to];
                        let highest = &mut highest[side];
                        *highest = rows.iter().map(|(_, row)| row.time).max().unwrap().max(*highest);
                        let batch = Batch { late_by: None, ..changes(rows) };
                        // Only on the right a row's kind can be missing.
                        let batch = if retracts[side] { batch } else { Batch { kinds: None, ..batch } };
                        tasks.batch_at(side, renamed(side, batch));
                        next[side] = to;
                        // None of the rows that come is so far behind.
                        tasks.input_watermark(side, Watermark(*highest - 100 * SECOND));
                    }
                    if restarts {
                        tasks.perhaps(&mut random);
                    }
                    folded.add(&tasks.take_batches(), 0, &context);
                }
                tasks.input_watermark(1, Watermark(40 * SECOND));
                if restarts {
                    tasks.restart(2);
                }
                // Some is shown now, and taken back behind a restart.
                let gone = logs[0].iter().filter(|(kind, row)| !kind.retracts() && row.time < 40 * SECOND).count();
                folded.add(&tasks.take_batches(), 0, &context);
                let last = logs[0].iter().rev().find(|(kind, _)| !kind.retracts());
                if let Some((_, row)) = last.filter(|_| gone > 0) {
                    tasks.batch_at(0, changes(&[(RowKind::Delete, row.clone()), (RowKind::Insert, row.clone())]));
                }
                if restarts {
                    tasks.restart(3);
                }
                tasks.end();
                folded.add(&tasks.take_batches(), 0, &context);
                assert_eq!((held(&tasks), tasks.sum(|operator| operator.versions() as u64)), (0, 0), "{context}");
                (folded.rows(), late(&tasks))
            };
            assert_eq!(run(true), run(false), "{direction:?}, seed {seed}");
        }
    }
}

#[test]
fn an_as_of_join_counts_on() {
    for (strategy, expected) in [(SkipRecord, [2, 0]), (UseDefaults, [0, 2])] {
        let plan = as_of_join::with_missing(JoinKind::Left, strategy, FailFast);
        let mut tasks = Tasks::new(2, KEY, || as_of_join::made(&plan, [false; 2]));
        for time in [1, 2] {
            let row = |key: &str| Row::at(key, time * SECOND, "1");
            tasks.batch_at(1, side_batch(1, &[row("k")]));
            tasks.batch_at(0, side_batch(0, &[row("k"), row("other")]));
            tasks.watermark(Watermark((time + 1) * SECOND));
            tasks.restart(4 - time as usize);
        }
        let counters =
            |of: fn(&velo_exec::MissingCounters) -> u64| tasks.sum(|operator| of(&operator.missing().unwrap()));
        assert_eq!([counters(|missing| missing.skipped()), counters(|missing| missing.filled())], expected);
    }
}

/// Runs a join over two changelogs with restarts or without, and gives all that came out.
fn changelog_of(
    join: &Join,
    logs: [&changelog_join::Log; 2],
    retracts: [bool; 2],
    ttl: Option<StateTtl>,
    keys: [&[usize]; 2],
    (restarts, seed): (bool, u64),
) -> (Vec<Batch>, u64) {
    let (mut random, mut steps) = (Random::new(seed), Random::new(seed + 1));
    let rescales = !keys[0].is_empty();
    let mut tasks = Tasks::new(1, keys, || changelog_join::made(join, retracts, ttl));
    let (mut next, mut found) = ([0, 0], Vec::new());
    while next[0] < logs[0].len() || next[1] < logs[1].len() {
        let side = steps.below(2) as usize;
        let to = logs[side].len().min(next[side] + 1 + steps.below(5) as usize);
        tasks.clock((next[0] + next[1]) as i64 * SECOND);
        if to > next[side] {
            tasks.batch_at(side, changelog_join::part(side, &logs[side][next[side]..to], retracts[side]));
            next[side] = to;
        }
        if steps.below(3) == 0 {
            tasks.watermark(Watermark(next.into_iter().min().unwrap() as i64 * SECOND / 2));
        }
        match (restarts, rescales) {
            (true, true) => tasks.perhaps(&mut random),
            (true, false) if random.below(5) == 0 => tasks.restart(1),
            _ => {}
        }
        found.extend(tasks.take_batches());
    }
    if restarts {
        tasks.restart(1 + usize::from(rescales));
    }
    tasks.end();
    found.extend(tasks.take_batches());
    (found, tasks.sum(|operator| operator.rows() as u64))
}

fn check_changelog(join: &Join, with_condition: bool, keys: [&[usize]; 2], seed: u64, rows: usize) {
    let mut random = Random::new(seed);
    let retracts = [random.below(3) > 0, random.below(3) > 0];
    let single = join.kind == JoinKind::Single;
    let (left, left_over) = changelog_join::log(&mut random, rows, retracts[0], false);
    let (right, right_over) =
        changelog_join::log(&mut random, if single { rows.min(3) } else { rows }, retracts[1], single);
    let context = format!("{:?}, condition {with_condition}, {retracts:?}, seed {seed}", join.kind);
    let run = |restarts| {
        let (batches, rows) = changelog_of(join, [&left, &right], retracts, None, keys, (restarts, seed));
        let mut folded = Folded::default();
        folded.add(&batches, 0, &context);
        (folded.rows(), rows)
    };
    let found = run(true);
    assert_eq!(found, run(false), "{context}");
    assert_eq!(found.0, changelog_join::naive(join, with_condition, &left_over, &right_over), "{context}");
}

#[test]
fn changelog_joins_go_on() {
    let mut kinds = interval_join::KINDS.to_vec();
    kinds.extend([JoinKind::Single, changelog_join::mark(None)]);
    for kind in kinds {
        for with_condition in [false, true] {
            let join = join(kind.clone(), with_condition.then(changelog_join::condition));
            for seed in 0..25 {
                check_changelog(&join, with_condition, KEY, seed, 3 + (seed as usize * 7) % 90);
            }
        }
    }
}

/// A membership is exchanged by the other keys; without another one, and without keys, there is one task.
#[test]
fn memberships_and_joins_without_keys_go_on() {
    for with_condition in [false, true] {
        let member = || JoinKey { left: col("quantity"), right: col("r_quantity") };
        let condition = || -> Option<Expr> { with_condition.then(changelog_join::condition) };
        let mut alone = join(changelog_join::mark(Some(0)), condition());
        alone.keys = vec![member()];
        let mut correlated = join(changelog_join::mark(Some(1)), condition());
        correlated.keys.push(member());
        let mut crossed = join(JoinKind::Left, Some(changelog_join::condition()));
        crossed.keys.clear();
        for seed in 0..30 {
            check_changelog(&alone, with_condition, [&[], &[]], seed, 2 + (seed as usize * 3) % 40);
            check_changelog(&correlated, with_condition, KEY, seed, 2 + (seed as usize * 3) % 40);
            check_changelog(&crossed, true, [&[], &[]], seed, 15);
        }
    }
}

/// What is forgotten is forgotten at the same time, by the watermark or the clock.
#[test]
fn changelog_joins_forget_as_before() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let retracts = [random.below(3) > 0, random.below(3) > 0];
        let [left, right] = [0, 1].map(|side| changelog_join::log(&mut random, 70, retracts[side], false).0);
        for kind in [JoinKind::Inner, JoinKind::Full, JoinKind::Anti] {
            let join = join(kind, None);
            for by_clock in [false, true] {
                let ttl = Some(StateTtl { after: Span(6 * SECOND), by_clock });
                let run = |restarts| {
                    let (batches, rows) = changelog_of(&join, [&left, &right], retracts, ttl, KEY, (restarts, seed));
                    let mut all = Vec::new();
                    for batch in &batches {
                        let kinds = batch.kinds.clone().unwrap_or(RowKinds::new(vec![RowKind::Insert; batch.rows()]));
                        let kinds = kinds.as_slice().iter().map(|kind| kind.retracts());
                        all.extend(kinds.zip(texts(std::slice::from_ref(batch))));
                    }
                    all.sort();
                    (all, rows)
                };
                assert_eq!(run(true), run(false), "{:?}, by clock {by_clock}, seed {seed}", join.kind);
            }
        }
    }
}

/// A timer that was asked for is asked for again.
#[test]
fn timers_are_asked_for_again() {
    let join = join(JoinKind::Left, None);
    let ttl = Some(StateTtl { after: Span(10 * SECOND), by_clock: true });
    let make = || changelog_join::made(&join, [true; 2], ttl);
    let mut harness: Harness<ChangelogJoin> = Harness::new(make());
    harness.clock(3 * SECOND).unwrap();
    let row = (RowKind::Insert, Row::at("k", 0, "1"));
    harness.batch_at(0, changelog_join::part(0, &[row], true)).unwrap();
    let before = harness.timer();
    harness.restart(make()).unwrap();
    assert_eq!((harness.timer(), before), (Some(13 * SECOND), Some(13 * SECOND)));
    harness.clock(13 * SECOND).unwrap();
    assert_eq!(harness.operator.rows(), 0);
}

#[test]
fn a_state_of_another_form_is_an_error() {
    let rows = (0..20).map(|at| Row::at(["a", "b"][at % 2], at as i64 * SECOND, "1")).collect::<Vec<_>>();
    let log = rows.iter().map(|row| (RowKind::Insert, row.clone())).collect::<Vec<_>>();
    fn check<O: Operator>(make: impl Fn() -> O + Copy, batch: impl Fn(usize) -> Batch) {
        let mut tasks = Tasks::new(1, KEY, make);
        (0..2).for_each(|side| tasks.batch_at(side, batch(side)));
        tasks.watermark(Watermark(4 * SECOND));
        check_damaged(&tasks.save(), make);
    }
    check(|| interval_join::made(JoinKind::Left, true, -5, 5), |side| side_batch(side, &rows));
    check(
        || window_join::made(JoinKind::Left, true, LateStrategy::Drop, false),
        |side| window_join::window_batch(side, &rows),
    );
    for direction in as_of_join::DIRECTIONS {
        let plan = as_of_join::plan(JoinKind::Left, direction);
        check(|| as_of_join::made(&plan, [false; 2]), |side| side_batch(side, &rows));
        check(|| as_of_join::made(&plan, [true; 2]), |side| renamed(side, changes(&log)));
    }
    let join = join(JoinKind::Left, None);
    for retracts in [[false; 2], [true; 2]] {
        let make = || changelog_join::made(&join, retracts, None);
        check(make, |side| changelog_join::part(side, &log, retracts[side]));
    }
}
