//! Joins with a table that are saved and taken up by others, which find the table loaded anew.

use velo_core::duration::Span;
use velo_core::lookup::TableWriter;
use velo_core::{Batch, RowKind, Watermark};
use velo_exec::operator::{LookupJoin, Operator};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::JoinKind::{Anti, Inner, Left};
use velo_plan::plan::MissingStrategy::{EmitWithNulls, FailFast, SkipRecord, UseDefaults};
use velo_plan::plan::{JoinKind, StateTtl};

use super::lookup_join::with_kinds;
use crate::support::changelog::{Folded, changes};
use crate::support::joins::texts;
use crate::support::lookups::{KEY, Lookup, Store, mark, random_row};
use crate::support::tasks::{Target, Tasks, check_damaged};
use crate::support::{Row, SECOND, batch};

fn at(key: &str, second: i64, note: &str) -> Row {
    Row { note: Some(note.to_owned()), ..Row::at(key, second * SECOND, "1") }
}

const KEYS: [&[usize]; 2] = [&[KEY], &[KEY]];

/// Some of what happens to a look-up.
enum Step {
    /// The table has these rows from now on.
    Table(Vec<Row>),
    Clock(i64),
    Watermark(i64),
    Rows(Vec<(RowKind, Row)>),
}

/// What happens, one after the other; the rows of the table have different keys where it is `keyed`.
fn steps(random: &mut Random, count: usize, retracts: bool, keyed: bool) -> Vec<Step> {
    let (mut table, mut live): (Vec<Row>, Vec<Row>) = (Vec::new(), Vec::new());
    let (mut position, mut now) = (0, 0);
    let mut steps = Vec::new();
    for _ in 0..count {
        steps.push(match random.below(6) {
            0 => {
                if random.below(3) == 0 && !table.is_empty() {
                    table.swap_remove(random.below(table.len() as u64) as usize);
                } else {
                    let row = random_row(random, 1_000 + steps.len(), 0);
                    let row = Row { key: row.key.or(Some("k0".to_owned())), ..row };
                    if keyed {
                        table.retain(|other| other.key != row.key);
                    }
                    table.push(row);
                }
                Step::Table(table.clone())
            }
            1 => {
                now += 1;
                Step::Clock(now)
            }
            2 => Step::Watermark(position as i64 * SECOND),
            _ => {
                let mut log = Vec::new();
                for _ in 0..1 + random.below(5) {
                    position += 1;
                    if retracts && random.below(3) == 0 && !live.is_empty() {
                        let row = live.swap_remove(random.below(live.len() as u64) as usize);
                        log.push((RowKind::Delete, Row { time: position as i64 * SECOND, ..row }));
                    } else {
                        // Some rows come more than once.
                        let row = random_row(random, position, position as i64);
                        let row = Row { note: row.note.filter(|_| position % 3 > 0), ..row };
                        live.push(row);
                        log.push((RowKind::Insert, live.last().unwrap().clone()));
                    }
                }
                Step::Rows(log)
            }
        });
    }
    steps
}

/// A table that has these rows, loaded anew: in another order, so that they have other numbers.
fn loaded(rows: &[Row], keyed: bool) -> Store {
    let mut store = Store::by_key(keyed);
    store.insert(&rows.iter().rev().cloned().collect::<Vec<_>>());
    store
}

/// What comes of it: all batches, and how many rows were missing. Each `Table` is a restart, with `restarts`, or a new version.
fn run(lookup: &Lookup, steps: &[Step], keyed: bool, seed: u64, restarts: bool) -> (Vec<Batch>, [u64; 2]) {
    let mut random = Random::new(seed);
    let mut store = Store::by_key(keyed);
    let mut table: Vec<Row> = Vec::new();
    let mut tasks = Tasks::new(1, KEYS, || lookup.operator(&Store::by_key(keyed)));
    let first = lookup.operator(&store);
    tasks.all = vec![Harness::new(first)];
    let mut found = Vec::new();
    for step in steps {
        match step {
            Step::Table(rows) => {
                let gone = table.iter().filter(|row| !rows.contains(row)).map(|row| (RowKind::Delete, row.clone()));
                let new = rows.iter().filter(|row| !table.contains(row)).map(|row| (RowKind::Insert, row.clone()));
                store.apply(changes(&gone.chain(new).collect::<Vec<_>>()));
                table.clone_from(rows);
                tasks.tables_changed();
            }
            Step::Clock(now) => tasks.clock(*now),
            Step::Watermark(watermark) => tasks.watermark(Watermark(*watermark)),
            Step::Rows(log) => tasks.batch_at(0, changes(log)),
        }
        if restarts && random.below(4) == 0 {
            // Later changes go to the table that was loaded anew.
            store = loaded(&table, keyed);
            let stored = store.table.clone();
            let lookup = lookup.clone();
            tasks.makes(move || lookup.operator_of(stored.clone()));
            tasks.restart(1 + random.below(3) as usize);
        }
        found.extend(tasks.take_batches());
    }
    tasks.end();
    found.extend(tasks.take_batches());
    let missing = |of: fn(&velo_exec::MissingCounters) -> u64| tasks.sum(|operator| of(&operator.missing().unwrap()));
    assert_eq!(missing(|missing| missing.waiting()), 0);
    (found, [missing(|missing| missing.skipped()), missing(|missing| missing.filled())])
}

/// The rows that came out, sorted; or, of changes, those that are left.
fn rows_of(batches: &[Batch], retracts: bool, context: &str) -> Vec<Vec<String>> {
    if retracts {
        let mut folded = Folded::default();
        folded.add(batches, 0, context);
        return folded.rows();
    }
    let mut rows = texts(batches);
    rows.sort();
    rows
}

fn check(lookup: &Lookup, keyed: bool, seed: u64, context: &str) {
    let mut random = Random::new(seed);
    let steps = steps(&mut random, 120, lookup.retracts, keyed);
    let of = |restarts| {
        let (batches, missing) = run(lookup, &steps, keyed, seed, restarts);
        (rows_of(&batches, lookup.retracts, context), missing)
    };
    assert_eq!(of(true), of(false), "{context}, keyed {keyed}, {:?}, seed {seed}", lookup.plan.kind);
}

#[test]
fn rows_that_wait_go_on_waiting() {
    for seed in 0..80 {
        let mut random = Random::new(seed + 1_000);
        let then = [SkipRecord, EmitWithNulls, UseDefaults][random.below(3) as usize];
        let (retries, delay) = (random.below(5) as u32, [1, 3][random.below(2) as usize]);
        let kind = [Inner, Left][random.below(2) as usize].clone();
        let mut lookup = Lookup::new(kind).waits(retries, delay, then);
        lookup.retracts = seed % 2 == 0;
        check(&lookup, true, seed, &format!("{then:?}, {retries} retries, every {delay}"));
    }
}

#[test]
fn what_was_given_is_taken_back() {
    for seed in 0..30 {
        for (keyed, kind) in [(true, Inner), (true, Left), (false, Left), (false, Anti), (false, mark(false))] {
            let mut lookup = Lookup::new(kind.clone()).retracts();
            check(&lookup, keyed, seed, "given");
            if let Inner | Left = kind {
                lookup = lookup.missing(UseDefaults);
                check(&lookup, keyed, seed, "given, with defaults");
            }
        }
    }
}

/// A row that waited when it was saved is looked up at once in the table that was loaded anew, and tries as often as before.
#[test]
fn a_restart_looks_up_at_once() {
    let lookup = Lookup::new(Inner).waits(3, 10 * SECOND, EmitWithNulls);
    let empty = Store::by_key(true);
    let mut harness = lookup.harness(&empty);
    harness.clock(SECOND).unwrap();
    harness.batch(batch(&[at("a", 5, "found"), at("b", 6, "tries on")])).unwrap();
    harness.watermark(Watermark(9 * SECOND)).unwrap();
    harness.clock(12 * SECOND).unwrap();
    assert_eq!((harness.operator.held(), harness.timer()), (2, Some(21 * SECOND)));
    let mut store = Store::by_key(true);
    store.insert(&[at("a", 0, "gold")]);
    harness.restart(lookup.operator(&store)).unwrap();
    assert_eq!(harness.operator.missing().unwrap().waiting(), 2);
    assert_eq!(harness.timer(), Some(12 * SECOND));
    harness.clock(12 * SECOND).unwrap();
    assert_eq!(harness.take_rows(), ["a, 1, found, a, 1, gold"]);
    assert_eq!((harness.forwarded(), harness.timer()), (Watermark(6 * SECOND), Some(21 * SECOND)));
    // It was down for long, which is no part of the delay: what was left of it passes, and then the whole of it before the last try.
    let saved = harness.save().unwrap();
    let mut later = Harness::new(lookup.operator(&store));
    later.clock(100 * SECOND).unwrap();
    later.load(vec![saved], velo_exec::checkpoint::Share::WHOLE).unwrap();
    later.clock(100 * SECOND).unwrap();
    assert_eq!((later.take_rows().len(), later.timer()), (0, Some(109 * SECOND)));
    later.clock(109 * SECOND).unwrap();
    assert_eq!((later.take_rows().len(), later.timer()), (0, Some(119 * SECOND)));
    later.clock(119 * SECOND).unwrap();
    assert_eq!(later.take_rows(), ["b, 1, tries on, null, null, null"]);
    assert_eq!((later.forwarded(), later.operator.missing().unwrap().filled()), (Watermark(9 * SECOND), 1));
}

/// Rows of several tasks that become one are tried when each of them is due.
#[test]
fn rows_of_several_tasks_are_tried_in_time() {
    let store = Store::by_key(true);
    let lookup = Lookup::new(Inner).waits(2, 10 * SECOND, SkipRecord);
    let mut tasks = Tasks::new(3, KEYS, || lookup.operator(&store));
    for second in 0..9 {
        tasks.clock(second * SECOND);
        let row = |n: i64| at(&format!("{second} {n}"), 5, "x");
        tasks.batch_at(0, batch(&(0..20).map(row).collect::<Vec<_>>()));
        tasks.restart(1 + second as usize % 3);
    }
    tasks.restart(1);
    for second in 9..=28 {
        tasks.clock(second * SECOND);
        let waiting = 180 - 20 * (second - 19).clamp(0, 9) as u64;
        assert_eq!(tasks.sum(|operator| operator.held()), waiting, "at {second}");
        tasks.restart(1);
    }
    assert_eq!(tasks.sum(|operator| operator.missing().unwrap().skipped()), 180);
}

#[test]
fn as_of_rows_go_on_waiting() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let retracts = seed % 2 == 0;
        let mut versions: Vec<(RowKind, Row)> = (0..40)
            .map(|position| {
                let row = random_row(&mut random, position, 0);
                let time = random.between(0, 60) * SECOND + position as i64;
                let kind = if random.below(4) == 0 { RowKind::Delete } else { RowKind::Insert };
                (kind, Row { key: Some(row.key.unwrap_or("k0".to_owned())), time, ..row })
            })
            .collect();
        versions.sort_by_key(|(_, row)| row.time);
        let mut log: Vec<(RowKind, Row)> = Vec::new();
        let mut live: Vec<Row> = Vec::new();
        for position in 0..80 {
            let time = (position as i64 * 3 / 4 + random.between(0, 6)) * SECOND;
            if retracts && random.below(3) == 0 && !live.is_empty() {
                let row = live.swap_remove(random.below(live.len() as u64) as usize);
                log.push((RowKind::Delete, Row { time, ..row }));
            } else {
                live.push(Row { time, ..random_row(&mut random, position, 0) });
                log.push((RowKind::Insert, live.last().unwrap().clone()));
            }
        }
        let mut lookup = Lookup::new(Left).at_event_time().missing(UseDefaults);
        lookup.retracts = retracts;
        let run = |restarts: bool| {
            let mut store = Store::new(&[KEY], &[&[KEY]], true);
            let table = store.table.clone();
            let lookup = lookup.clone();
            let mut tasks = Tasks::new(1, KEYS, move || lookup.operator_of(table.clone()));
            let (mut random, mut steps) = (Random::new(seed), Random::new(seed + 1));
            let (mut known, mut next, mut found) = (0, 0, Vec::new());
            let mut rows = log.chunks(3);
            let mut ended = false;
            while !ended || known < 80 {
                if steps.below(2) == 0 || ended {
                    known += steps.between(0, 9);
                    let to = versions.partition_point(|(_, row)| row.time < known * SECOND);
                    if to > next {
                        store.apply(changes(&versions[next..to]));
                        next = to;
                    }
                    store.writer.advance(Watermark(known * SECOND));
                    tasks.tables_changed();
                } else if let Some(rows) = rows.next() {
                    tasks.batch_at(0, changes(rows));
                } else {
                    tasks.end();
                    ended = true;
                }
                if restarts && !ended {
                    tasks.perhaps(&mut random);
                }
                found.extend(tasks.take_batches());
            }
            assert_eq!(tasks.sum(|operator| operator.held()), 0);
            let missing = tasks.sum(|operator| operator.missing().unwrap().filled());
            (rows_of(&found, retracts, "as of"), missing, tasks.forwarded())
        };
        assert_eq!(run(true), run(false), "seed {seed}");
    }
}

/// Without a row that comes, too, a row goes out that waited for what the table knows by now.
#[test]
fn as_of_rows_go_when_the_table_is_loaded() {
    let lookup = Lookup::new(Left).at_event_time();
    let waits = Store::new(&[KEY], &[&[KEY]], true);
    let mut harness = lookup.harness(&waits);
    harness.batch(batch(&[Row { late_by: SECOND, ..at("a", 4, "late") }, at("a", 5, "x")])).unwrap();
    let mut store = Store::new(&[KEY], &[&[KEY]], true);
    store.insert(&[at("a", 0, "gold")]);
    store.finish();
    harness.restart(lookup.operator(&store)).unwrap();
    harness.clock(1).unwrap();
    assert_eq!(harness.take_rows(), ["a, 1, x, a, 1, gold"]);
    assert_eq!(harness.operator.late().unwrap().rows(), 1);
}

#[test]
fn what_is_forgotten_stays_forgotten() {
    let mut store = Store::by_key(true);
    store.insert(&[at("a", 0, "gold")]);
    for by_clock in [false, true] {
        let ttl = Some(StateTtl { after: Span(10 * SECOND), by_clock });
        let lookup = Lookup { ttl, ..Lookup::new(Left).retracts() };
        let mut harness = lookup.harness(&store);
        let give = |harness: &mut Harness<LookupJoin>, second: i64, kind: RowKind, note: &str| {
            harness.clock(second * SECOND).unwrap();
            harness.watermark(Watermark(second * SECOND)).unwrap();
            harness.batch(changes(&[(kind, at("a", second, note))])).unwrap();
            harness.restart(lookup.operator(&store)).unwrap();
            with_kinds(&harness.take_batches())
        };
        assert_eq!(give(&mut harness, 1, RowKind::Insert, "old"), ["+I a, 1, old, a, 1, gold"]);
        assert_eq!(give(&mut harness, 2, RowKind::Insert, "new"), ["+I a, 1, new, a, 1, gold"]);
        assert_eq!(give(&mut harness, 10, RowKind::Delete, "new"), ["-D a, 1, new, a, 1, gold"]);
        assert_eq!(harness.timer(), by_clock.then_some(11 * SECOND));
        assert!(give(&mut harness, 11, RowKind::Delete, "old").is_empty());
        assert_eq!(harness.operator.remembered(), 0);
    }
}

#[test]
fn a_state_of_another_form_is_an_error() {
    let mut store = Store::by_key(true);
    store.insert(&[at("a", 0, "gold")]);
    let rows = [("a", "x"), ("b", "y"), ("a", "z")].map(|(key, note)| (RowKind::Insert, at(key, 1, note)));
    for retracts in [false, true] {
        let mut lookup = Lookup::new(Left).waits(3, SECOND, FailFast);
        lookup.retracts = retracts;
        let mut harness = lookup.harness(&store);
        harness.batch(changes(&rows)).unwrap();
        let saved = harness.save().unwrap();
        assert_eq!(
            saved.tables.keys().collect::<Vec<_>>(),
            if retracts { vec!["given", "given_rows", "waiting"] } else { vec!["waiting"] }
        );
        check_damaged(std::slice::from_ref(&saved), || lookup.operator(&store));
        if retracts {
            let mut less = saved.clone();
            less.tables.remove("given_rows");
            assert!(harness.load(vec![less], velo_exec::checkpoint::Share::WHOLE).is_err());
            let mut more = saved;
            more.tables.remove("given");
            assert!(lookup.harness(&store).load(vec![more], velo_exec::checkpoint::Share::WHOLE).is_err());
        }
    }
}

/// A look-up that goes by the row keeps nothing but its counters.
#[test]
fn a_table_that_cannot_change_needs_no_state() {
    let mut store = Store::by_key(true);
    store.insert(&[at("a", 0, "gold")]);
    store.finish();
    let kind: JoinKind = Left;
    let lookup = Lookup { settled: true, ..Lookup::new(kind).missing(UseDefaults).retracts() };
    let mut harness = lookup.harness(&store);
    harness.batch(changes(&[(RowKind::Insert, at("b", 1, "x"))])).unwrap();
    harness.restart(lookup.operator(&store)).unwrap();
    harness.batch(changes(&[(RowKind::Delete, at("b", 1, "x"))])).unwrap();
    assert_eq!(with_kinds(&harness.take_batches()), ["+I b, 1, x, null, null, none", "-D b, 1, x, null, null, none"]);
    assert_eq!(harness.operator.missing().unwrap().filled(), 1);
    let saved = harness.save().unwrap();
    assert_eq!(saved.tables.keys().collect::<Vec<_>>(), ["missing"]);
}
