//! GROUP BY that is saved and goes on as other tasks, at any point of random input: what comes out is what would have come without,
//! and where the tasks are others, what brute force finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support;
use crate::support::changelog::{Folded, changelog, changes, emission, late_changelog};
use crate::support::group_tasks::{Layout, Saved, Tasks};
use crate::support::sim::{Turn, random_partitions, stamp, turns};
use crate::support::{Calls, Kind, Row, SECOND, cells, library_calls, many_calls, naive, spec, window};
use arrow_schema::{DataType, Field, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use velo_core::duration::Span;
use velo_core::{Batch, RowKind, Watermark};
use velo_eventtime::LateStrategy;
use velo_exec::checkpoint::{Chunk, OperatorState, Share};
use velo_exec::operator::{GroupSpec, aggregate};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{GroupingSet, Output, StateTtl, WindowKind, WindowSpec};

/// The kind of each row, its cells and its event time.
fn shown(batches: &[Batch]) -> Vec<(char, Vec<String>)> {
    let of_batch = |batch: &Batch| {
        let kind = |row: usize| batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]);
        let time = |row: usize| batch.event_times().map_or(0, |times| times.value(row));
        let rows = cells(&batch.columns).into_iter().enumerate();
        let with_time = |row: usize, cells: Vec<String>| [cells, vec![time(row).to_string()]].concat();
        rows.map(|(row, cells)| (kind(row).symbol().chars().last().unwrap(), with_time(row, cells))).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of_batch).collect()
}

/// When a run begins anew, and as which tasks.
struct Plan<'a> {
    random: Random,
    /// Of so many turns one is followed by a restart; 0: never.
    every: u64,
    layouts: &'a [Layout],
    /// Whether what was loaded is saved again, and is the same.
    same: bool,
}

impl Plan<'_> {
    fn never() -> Self {
        Self { random: Random::new(0), every: 0, layouts: &[], same: false }
    }

    fn restart(&mut self, tasks: &mut Tasks, now: i64) {
        let layout = self.layouts[self.random.below(self.layouts.len() as u64) as usize];
        let saved = tasks.restart(layout, now);
        if self.same {
            assert_same(&saved, &tasks.save());
        }
    }

    fn perhaps(&mut self, tasks: &mut Tasks, now: i64) {
        if self.every > 0 && self.random.below(self.every) == 0 {
            self.restart(tasks, now);
        }
    }

    /// The first tasks of a run, and perhaps others before anything has come.
    fn start(&mut self, spec: &GroupSpec, exchanged: &[usize], partitions: usize) -> Tasks {
        let layout = self.layouts.first().copied().unwrap_or(Layout::One(1));
        let mut tasks = Tasks::new(spec, layout, exchanged, partitions);
        self.perhaps(&mut tasks, 0);
        tasks
    }

    /// Directly before the end.
    fn end(&mut self, tasks: &mut Tasks, now: i64) {
        if self.every > 0 {
            self.restart(tasks, now);
        }
        tasks.end();
    }
}

/// What was saved before and after a restart is the same, also in how it is ordered.
fn assert_same(before: &Saved, after: &Saved) {
    for (before, after) in before.tasks.iter().zip(&after.tasks) {
        let rows = |state: &OperatorState| {
            let of =
                |chunks: &Vec<Chunk>| chunks.iter().map(|chunk| chunk.here().unwrap().unwrap()).collect::<Vec<_>>();
            state.tables.iter().map(|(name, chunks)| (name.clone(), of(chunks))).collect::<Vec<_>>()
        };
        assert_eq!(rows(before), rows(after));
        assert_eq!(before.values, after.values);
        assert_eq!(before.reached, after.reached);
    }
}

fn run(spec: &GroupSpec, input: &[Vec<Row>], bound: i64, size: usize, seed: u64, plan: &mut Plan<'_>) -> Tasks {
    let mut tasks = plan.start(spec, &[0], input.len());
    for Turn { partition, rows, own, watermark } in turns(input, bound, size, seed) {
        tasks.batch(partition, &support::batch(rows));
        plan.perhaps(&mut tasks, 0);
        tasks.watermark(partition, own, watermark);
        plan.perhaps(&mut tasks, 0);
    }
    plan.end(&mut tasks, 0);
    tasks
}

pub fn windows() -> Vec<WindowSpec> {
    vec![
        window("tumbling", 10, 0, 0),
        window("tumbling", 7, 0, -3),
        window("sliding", 10, 4, 1),
        window("sliding", 30, 1, 0),
        window("sliding", 3, 5, 0),
        window("cumulate", 12, 3, 2),
        window("session", 3, 0, 0),
    ]
}

pub fn is_session(window: &WindowSpec) -> bool {
    matches!(window.kind, WindowKind::Session { .. })
}

/// One task that goes on as one task gives the same rows in the same order, to the last digit of every float.
#[test]
fn windows_go_on_as_they_were() {
    for seed in 0..3 {
        for window in windows() {
            for late in [LateStrategy::Drop, LateStrategy::IncludeInNextWindow, LateStrategy::DeadLetter] {
                if is_session(&window) && late == LateStrategy::IncludeInNextWindow {
                    continue;
                }
                let mut random = Random::new(seed);
                let (partitions, disorder) = (1 + random.below(3) as usize, random.between(0, 20));
                let mut input = random_partitions(&mut random, partitions, 60, disorder, true);
                stamp(&mut input, disorder * SECOND);
                let spec = GroupSpec { late, ..spec(&["key"], many_calls(), Some(window.clone())) };
                for size in [1, 7] {
                    let context = format!("{window}, seed {seed}, {late:?}, batches of {size}");
                    let mut wanted = run(&spec, &input, disorder * SECOND, size, seed, &mut Plan::never());
                    let layouts = [Layout::One(1)];
                    let mut plan = Plan { random: Random::new(seed), every: 4, layouts: &layouts, same: true };
                    let mut found = run(&spec, &input, disorder * SECOND, size, seed, &mut plan);
                    let (mut rows, mut expected) = (shown(&found.take()), shown(&wanted.take()));
                    if is_session(&window) {
                        // Sessions with the same bounds come in the order in which their keys were numbered.
                        rows.sort();
                        expected.sort();
                    }
                    assert_eq!(rows, expected, "{context}");
                    assert_eq!(found.late(), wanted.late(), "{context}");
                    let letters = |tasks: &mut Tasks| {
                        let letters = tasks.take_dead_letters().into_iter();
                        letters.map(|letter| (letter.error, letter.bytes)).collect::<Vec<_>>()
                    };
                    assert_eq!(letters(&mut found), letters(&mut wanted), "{context}");
                }
            }
        }
    }
}

/// Other tasks, in one step or in two, take up what some have left.
#[test]
fn windows_go_on_as_other_tasks() {
    let layouts = [Layout::One(1), Layout::Two(1), Layout::Two(2), Layout::Two(3)];
    for seed in 100..103 {
        for window in windows().into_iter().filter(|window| !is_session(window)) {
            for late in [LateStrategy::Drop, LateStrategy::IncludeInNextWindow] {
                let mut random = Random::new(seed);
                let (partitions, disorder) = (1 + random.below(3) as usize, random.between(0, 20));
                let mut input = random_partitions(&mut random, partitions, 60, disorder, true);
                stamp(&mut input, disorder * SECOND);
                let calls = if seed % 3 == 0 { library_calls() } else { many_calls() };
                let spec = GroupSpec { late, ..spec(&["key"], calls, Some(window.clone())) };
                let expected = naive::results(&spec.aggregates, &naive::windowed(&window, &input, late));
                for size in [1, 7] {
                    let wanted = run(&spec, &input, disorder * SECOND, size, seed, &mut Plan::never());
                    let mut plan = Plan { random: Random::new(seed), every: 5, layouts: &layouts, same: false };
                    let mut found = run(&spec, &input, disorder * SECOND, size, seed, &mut plan);
                    let context = format!("{window}, seed {seed}, {late:?}, batches of {size}");
                    let rows = found.take().iter().flat_map(|batch| cells(&batch.columns)).collect();
                    naive::assert_equal(rows, &expected, &context);
                    assert_eq!(found.late(), wanted.late(), "{context}");
                }
            }
        }
    }
}

#[test]
fn sessions_go_on_as_other_tasks() {
    let layouts = [Layout::One(1), Layout::One(2), Layout::One(3)];
    for seed in 200..206 {
        for gap in [1, 3, 9] {
            let mut random = Random::new(seed);
            let disorder = random.between(0, 20);
            let mut input = random_partitions(&mut random, 1, 100, disorder, true);
            stamp(&mut input, disorder * SECOND);
            let calls = if seed % 3 == 0 { library_calls() } else { many_calls() };
            let spec = spec(&["key"], calls, Some(window("session", gap, 0, 0)));
            let expected = naive::results(&spec.aggregates, &naive::sessions(gap * SECOND, &input[0]));
            for size in [1, 7] {
                let wanted = run(&spec, &input, disorder * SECOND, size, seed, &mut Plan::never());
                let mut plan = Plan { random: Random::new(seed), every: 4, layouts: &layouts, same: false };
                let mut found = run(&spec, &input, disorder * SECOND, size, seed, &mut plan);
                let context = format!("gap {gap}, seed {seed}, batches of {size}");
                let rows = found.take().iter().flat_map(|batch| cells(&batch.columns)).collect();
                naive::assert_equal(rows, &expected, &context);
                assert_eq!(found.late(), wanted.late(), "{context}");
            }
        }
    }
}

/// Groups without a window, whose results come at the end.
#[test]
fn groups_go_on_as_other_tasks() {
    let layouts = [Layout::One(1), Layout::Two(1), Layout::Two(2), Layout::Two(3)];
    for seed in 300..303 {
        let mut input = random_partitions(&mut Random::new(seed), 3, 60, 10, true);
        stamp(&mut input, 0);
        for calls in [many_calls(), library_calls()] {
            for sets in [false, true] {
                let spec = spec(&["key"], calls.clone(), None);
                let spec = if sets { in_sets(spec, &[(true, 0), (false, 1)]) } else { spec };
                let sorted = |tasks: &mut Tasks| {
                    // The comparison wants two cells behind the results; the first is the event time.
                    let rows = shown(&tasks.take()).into_iter().map(|(_, row)| [row, vec![String::new()]].concat());
                    let mut rows = rows.collect::<Vec<_>>();
                    rows.sort();
                    rows
                };
                let expected = sorted(&mut run(&spec, &input, 0, 64, seed, &mut Plan::never()));
                let expected = floats(&spec, expected);
                for size in [1, 9] {
                    let context = format!("seed {seed}, sets {sets}, batches of {size}");
                    let one = [Layout::One(1)];
                    let mut plan = Plan { random: Random::new(seed), every: 5, layouts: &one, same: !sets };
                    plan.same = plan.same && calls.0.len() > 10;
                    let mut found = run(&spec, &input, 0, size, seed, &mut plan);
                    naive::assert_equal(sorted(&mut found), &expected, &context);
                    let mut plan = Plan { random: Random::new(seed), every: 5, layouts: &layouts, same: false };
                    let mut found = run(&spec, &input, 0, size, seed, &mut plan);
                    naive::assert_equal(sorted(&mut found), &expected, &format!("{context}, other tasks"));
                }
            }
        }
    }
}

/// Marks the cells of floats, which are compared but for their last digits.
fn floats(spec: &GroupSpec, mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    for (at, field) in spec.output.fields().iter().enumerate() {
        if field.data_type() == &DataType::Float64 {
            rows.iter_mut().filter(|row| row[at] != "null").for_each(|row| row[at].insert(0, '~'));
        }
    }
    rows
}

/// The query grouped by sets of its keys; the number of each set says which keys it has.
fn in_sets(mut spec: GroupSpec, sets: &[(bool, i64)]) -> GroupSpec {
    let keys = spec.keys.len();
    let set = Arc::new(Field::new("$set", DataType::Int64, false));
    spec.keys.push(Output { expr: Expr::Literal(ScalarValue::Int64(Some(0)), None), field: Arc::clone(&set) });
    let mut fields = spec.output.fields().to_vec();
    fields.insert(keys, set);
    spec.output = Arc::new(Schema::new(fields));
    // All but the last key are in all sets.
    let of_set = |(last, number): &(bool, i64)| GroupingSet {
        keys: (0..keys).map(|at| at + 1 < keys || *last).collect(),
        number: *number,
    };
    spec.sets = sets.iter().map(of_set).collect();
    spec
}

/// A changelog of results over rows that only come.
fn fold(tasks: &mut Tasks, keys: usize, context: &str) -> Vec<Vec<String>> {
    let mut folded = Folded::default();
    folded.add(&tasks.take(), keys, context);
    folded.rows()
}

#[test]
fn changing_windows_go_on() {
    let (one, others) = ([Layout::One(1)], [Layout::One(1), Layout::One(2), Layout::One(3)]);
    for seed in 401..404 {
        for window in [window("tumbling", 10, 0, 0), window("sliding", 10, 4, 1), window("cumulate", 12, 3, 2)] {
            let mut random = Random::new(seed);
            let disorder = random.between(0, 20);
            let mut input = random_partitions(&mut random, 2, 50, disorder, true);
            stamp(&mut input, disorder * SECOND);
            let calls = if seed % 4 == 3 { library_calls() } else { many_calls() };
            for (allowed, early, per_record) in [
                (None, true, false),
                (None, true, true),
                (Some(0), false, false),
                (Some(15), false, false),
                (Some(1_000), true, false),
            ] {
                let late = if allowed.is_some() { LateStrategy::UpdatePrevious } else { LateStrategy::Drop };
                let emission = emission(early, per_record, allowed);
                let query = GroupSpec { emission, late, ..spec(&["key"], calls.clone(), Some(window.clone())) };
                for size in [1, 7] {
                    let context = format!("{window}, seed {seed}, allowed {allowed:?}, early {early}, {size}");
                    let mut wanted = run(&query, &input, disorder * SECOND, size, seed, &mut Plan::never());
                    let late = wanted.late();
                    let expected = shown(&wanted.take());
                    if seed % 4 != 3 {
                        let mut plan = Plan { random: Random::new(seed), every: 4, layouts: &one, same: true };
                        let mut found = run(&query, &input, disorder * SECOND, size, seed, &mut plan);
                        assert_eq!(shown(&found.take()), expected, "{context}");
                        assert_eq!(found.late(), late, "{context}");
                    }
                    let mut counted = input.clone();
                    for row in counted.iter_mut().flatten() {
                        row.late_by = (row.late_by - allowed.unwrap_or(0) * SECOND).max(0);
                    }
                    let groups = naive::windowed(&window, &counted, LateStrategy::Drop);
                    let mut plan = Plan { random: Random::new(seed), every: 4, layouts: &others, same: false };
                    let mut found = run(&query, &input, disorder * SECOND, size, seed, &mut plan);
                    let rows = fold(&mut found, 1, &context);
                    naive::assert_equal(rows, &naive::results(&query.aggregates, &groups), &context);
                    assert_eq!(found.late(), late, "{context}");
                }
            }
        }
    }
}

/// Runs a query over a changelog of one partition.
fn run_changes(
    query: &GroupSpec,
    log: &[(RowKind, Row)],
    exchanged: &[usize],
    (bound, size): (i64, usize),
    plan: &mut Plan<'_>,
) -> Tasks {
    let mut tasks = plan.start(query, exchanged, 1);
    let mut highest = i64::MIN;
    for part in log.chunks(size) {
        let batch = changes(part);
        tasks.batch(0, &if query.retracts { batch } else { Batch { kinds: None, ..batch } });
        plan.perhaps(&mut tasks, 0);
        highest = part.iter().map(|(_, row)| row.time).max().unwrap().max(highest);
        if query.window.is_some() && bound >= 0 {
            tasks.watermark(0, Watermark(highest - bound), Watermark(highest - bound));
            plan.perhaps(&mut tasks, 0);
        }
    }
    plan.end(&mut tasks, 0);
    tasks
}

#[test]
fn rows_taken_back_behind_a_restart() {
    let (one, others) = ([Layout::One(1)], [Layout::One(1), Layout::One(2), Layout::One(3)]);
    for seed in 500..503 {
        let (log, live) = changelog(&mut Random::new(seed), 100);
        for calls in [many_calls(), library_calls()] {
            for window in [None, Some(window("tumbling", 10, 0, 0)), Some(window("sliding", 10, 5, 0))] {
                for (early, per_record) in [(false, false), (true, false), (true, true)] {
                    let query = spec(&["key"], calls.clone(), window.clone());
                    let query = GroupSpec { emission: emission(early, per_record, None), retracts: true, ..query };
                    let mut groups = BTreeMap::new();
                    match &window {
                        Some(window) => {
                            groups = naive::windowed(window, std::slice::from_ref(&live), LateStrategy::Drop);
                        }
                        None => live.iter().for_each(|row| {
                            groups.entry((0, 0, row.key.clone())).or_insert_with(Vec::new).push(row.clone());
                        }),
                    }
                    let mut expected = naive::results(&query.aggregates, &groups);
                    if window.is_none() {
                        expected.iter_mut().for_each(|row| row.truncate(row.len() - 2));
                        expected.iter_mut().for_each(|row| row.extend([String::new(), String::new()]));
                    }
                    for size in [1, 9] {
                        let context = format!("{window:?}, seed {seed}, early {early} {per_record}, batches of {size}");
                        let mut wanted = run_changes(&query, &log, &[0], (-1, size), &mut Plan::never());
                        let mut plan = Plan { random: Random::new(seed), every: 4, layouts: &one, same: true };
                        let mut found = run_changes(&query, &log, &[0], (-1, size), &mut plan);
                        assert_eq!(shown(&found.take()), shown(&wanted.take()), "{context}");
                        let mut plan = Plan { random: Random::new(seed), every: 4, layouts: &others, same: false };
                        let mut found = run_changes(&query, &log, &[0], (-1, size), &mut plan);
                        let mut rows = fold(&mut found, 1, &context);
                        if window.is_none() {
                            rows.iter_mut().for_each(|row| row.extend([String::new(), String::new()]));
                        }
                        naive::assert_equal(rows, &expected, &context);
                    }
                }
            }
        }
    }
}

#[test]
fn revised_sessions_go_on() {
    let (one, others) = ([Layout::One(1)], [Layout::One(1), Layout::One(2), Layout::One(3)]);
    for seed in 600..603 {
        for (gap, allowed, retracts) in
            [(2, None, true), (3, Some(1), true), (4, Some(20), true), (3, Some(15), false), (5, Some(1_000), false)]
        {
            for (early, per_record) in [(false, false), (true, false), (true, true)] {
                let mut random = Random::new(seed);
                let calls = if seed % 4 == 1 { library_calls() } else { many_calls() };
                let disorder = random.between(0, 12);
                let log = late_changelog(&mut random, 90, disorder, retracts, true);
                let late = if allowed.is_some() { LateStrategy::UpdatePrevious } else { LateStrategy::Drop };
                let emission = emission(early, per_record, allowed);
                let query = spec(&["key"], calls, Some(window("session", gap, 0, 0)));
                let query = GroupSpec { emission, late, retracts, ..query };
                let groups = naive::revised_sessions(gap * SECOND, allowed.unwrap_or(0) * SECOND, &log);
                let expected = naive::results(&query.aggregates, &groups);
                for size in [1, 7] {
                    let context = format!("gap {gap}, {allowed:?}, seed {seed}, {early} {per_record}, {size}");
                    let bound = disorder * SECOND;
                    let mut wanted = run_changes(&query, &log, &[0], (bound, size), &mut Plan::never());
                    let late = wanted.late();
                    if seed % 4 != 1 {
                        let mut plan = Plan { random: Random::new(seed), every: 4, layouts: &one, same: true };
                        let mut found = run_changes(&query, &log, &[0], (bound, size), &mut plan);
                        let (mut rows, mut wanted) = (shown(&found.take()), shown(&wanted.take()));
                        // Sessions with the same bounds come in the order in which their keys were numbered.
                        rows.sort();
                        wanted.sort();
                        assert_eq!(rows, wanted, "{context}");
                    }
                    let mut plan = Plan { random: Random::new(seed), every: 4, layouts: &others, same: false };
                    let mut found = run_changes(&query, &log, &[0], (bound, size), &mut plan);
                    naive::assert_equal(fold(&mut found, 1, &context), &expected, &context);
                    assert_eq!(found.late(), late, "{context}");
                }
            }
        }
    }
}

/// Of grouping sets rows are exchanged by the keys that all have.
#[test]
fn grouping_sets_go_on_as_other_tasks() {
    let (whole, others) = ([Layout::One(1)], [Layout::One(1), Layout::One(2), Layout::One(3)]);
    for seed in 700..702 {
        for (sets, keys, layouts) in [
            (vec![(true, 0), (false, 1)], vec!["key", "quantity"], &others[..]),
            (vec![(true, 0), (false, 1)], vec!["key"], &whole[..]),
        ] {
            for window in [None, Some(window("tumbling", 10, 0, 0)), Some(window("session", 3, 0, 0))] {
                for retracts in [false, true] {
                    let log = match retracts {
                        true => changelog(&mut Random::new(seed), 80).0,
                        false => late_changelog(&mut Random::new(seed), 80, 5, false, true),
                    };
                    let query = in_sets(spec(&keys, many_calls(), window.clone()), &sets);
                    let query = GroupSpec { emission: emission(true, false, None), retracts, ..query };
                    for size in [1, 9] {
                        let context = format!("{window:?}, seed {seed}, {keys:?}, retracts {retracts}, {size}");
                        let bound = if retracts { -1 } else { 5 * SECOND };
                        let mut wanted = run_changes(&query, &log, &[0], (bound, size), &mut Plan::never());
                        let wanted = fold(&mut wanted, keys.len() + 1, &context);
                        let mut plan = Plan { random: Random::new(seed), every: 4, layouts, same: false };
                        let mut found = run_changes(&query, &log, &[0], (bound, size), &mut plan);
                        assert_eq!(fold(&mut found, keys.len() + 1, &context), wanted, "{context}");
                    }
                }
            }
        }
    }
}

/// Rows that only come, in sessions of grouping sets.
#[test]
fn sessions_of_grouping_sets_go_on() {
    let layouts = [Layout::One(1), Layout::One(2), Layout::One(3)];
    for seed in 720..724 {
        let mut input = random_partitions(&mut Random::new(seed), 1, 100, 5, true);
        stamp(&mut input, 5 * SECOND);
        let query = spec(&["key", "quantity"], many_calls(), Some(window("session", 3, 0, 0)));
        let query = in_sets(query, &[(true, 0), (false, 1)]);
        let sorted = |mut tasks: Tasks| {
            let mut rows = shown(&tasks.take());
            rows.sort();
            rows
        };
        let wanted = sorted(run(&query, &input, 5 * SECOND, 7, seed, &mut Plan::never()));
        let mut plan = Plan { random: Random::new(seed), every: 4, layouts: &layouts, same: false };
        assert_eq!(sorted(run(&query, &input, 5 * SECOND, 7, seed, &mut plan)), wanted, "seed {seed}");
    }
}

/// What `state.ttl` forgets is forgotten when it would have been, by event time and by the clock.
#[test]
fn forgotten_groups_stay_forgotten() {
    let (one, others) = ([Layout::One(1)], [Layout::One(1), Layout::One(2), Layout::One(3)]);
    for seed in 800..806 {
        for (by_clock, keys, retracts) in [
            (false, vec!["key"], false),
            (true, vec!["key"], false),
            (true, vec!["key"], true),
            (false, vec!["key"], true),
            (true, vec![], false),
            (false, vec![], true),
        ] {
            let log = match retracts {
                true => changelog(&mut Random::new(seed), 120).0,
                false => late_changelog(&mut Random::new(seed), 120, 2, false, true),
            };
            let ttl = Some(StateTtl { after: Span(Random::new(seed).between(1, 8) * SECOND), by_clock });
            let calls = Calls::new().count_all().add(Kind::Sum, "quantity").add(Kind::Max, "quantity");
            let query = spec(&keys, calls, None);
            let query = GroupSpec { emission: emission(true, false, None), retracts, ttl, ..query };
            let run = |plan: &mut Plan<'_>, size: usize| {
                let mut tasks = plan.start(&query, &[0], 1);
                let (mut steps, mut now, mut highest) = (Random::new(seed), 0, i64::MIN);
                for part in log.chunks(size) {
                    let batch = changes(part);
                    tasks.batch(0, &if retracts { batch } else { Batch { kinds: None, ..batch } });
                    plan.perhaps(&mut tasks, now);
                    highest = part.iter().map(|(_, row)| row.time).max().unwrap().max(highest);
                    tasks.watermark(0, Watermark(highest), Watermark(highest));
                    plan.perhaps(&mut tasks, now);
                    now += steps.between(0, 3) * SECOND;
                    tasks.clock(now);
                }
                plan.end(&mut tasks, now);
                shown(&tasks.take())
            };
            for size in [1, 5] {
                let context = format!("seed {seed}, {ttl:?}, keys {keys:?}, retracts {retracts}, {size}");
                let wanted = run(&mut Plan::never(), size);
                let mut plan = Plan { random: Random::new(seed), every: 3, layouts: &one, same: true };
                assert_eq!(run(&mut plan, size), wanted, "{context}");
                // How a batch of several keys is cut where one is forgotten depends on which keys come to a task together.
                if !keys.is_empty() && size == 1 {
                    let mut plan = Plan { random: Random::new(seed), every: 3, layouts: &others, same: false };
                    let by_key = |mut rows: Vec<(char, Vec<String>)>| {
                        // The rows of one key stay in their order.
                        rows.sort_by(|left, right| left.1[0].cmp(&right.1[0]));
                        rows
                    };
                    assert_eq!(by_key(run(&mut plan, size)), by_key(wanted), "{context}");
                }
            }
        }
    }
}

/// Kept rows are counted on, and what was not late before is not after.
#[test]
fn what_is_held_is_counted_on() {
    for (window, layout) in [
        (Some(window("tumbling", 10, 0, 0)), Layout::One(1)),
        (Some(window("session", 3, 0, 0)), Layout::One(2)),
        (None, Layout::One(1)),
    ] {
        let input = random_partitions(&mut Random::new(1), 1, 50, 3, false);
        let query = spec(&["key"], many_calls(), window);
        let mut tasks = Tasks::new(&query, layout, &[0], 1);
        tasks.batch(0, &support::batch(&input[0]));
        assert_eq!(tasks.held(), 50);
        tasks.restart(layout, 0);
        assert_eq!(tasks.held(), 50);
    }
}

/// An operator that has ended says nothing again.
#[test]
fn what_has_ended_stays_ended() {
    for (retracts, keys) in [(false, vec![]), (false, vec!["key"]), (true, vec!["key"]), (true, vec![])] {
        let query = GroupSpec { retracts, ..spec(&keys, many_calls(), None) };
        let new = || Harness::new(support::sim::Boxed(aggregate(&query, &support::schema()).unwrap()));
        let mut harness = new();
        harness.batch(support::batch(&random_partitions(&mut Random::new(2), 1, 20, 3, false)[0])).unwrap();
        harness.end().unwrap();
        assert!(!harness.take_batches().is_empty());
        let mut saved = harness.save().unwrap();
        saved.reached.ended = true;
        let mut other = new();
        other.load(vec![saved], Share::WHOLE).unwrap();
        other.end().unwrap();
        assert!(other.take_batches().is_empty());
    }
}
