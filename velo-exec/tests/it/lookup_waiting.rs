//! Rows that wait for their table: for a row that it lacks, or until it is known as of their time; and what is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use velo_core::duration::Span;
use velo_core::lookup::TableWriter;
use velo_core::{RowKind, Watermark};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{LookupJoin, Operator};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::JoinKind::{Inner, Left};
use velo_plan::plan::MissingStrategy::{EmitWithNulls, FailFast, SkipRecord, UseDefaults};
use velo_plan::plan::StateTtl;

use super::lookup_join::with_kinds;
use crate::support::changelog::{Folded, changes};
use crate::support::joins::{pair, texts};
use crate::support::lookups::{KEY, Lookup, Store, random_row, random_rows};
use crate::support::{Row, SECOND, batch};

fn at(key: &str, second: i64, note: &str) -> Row {
    Row { note: Some(note.to_owned()), ..Row::at(key, second * SECOND, "1") }
}

fn waiting(harness: &Harness<LookupJoin>) -> u64 {
    let waiting = harness.operator.missing().unwrap().waiting();
    assert_eq!(waiting, harness.operator.held());
    waiting
}

#[test]
fn waiting_rows_are_found_in_the_next_version() {
    let mut store = Store::by_key(true);
    store.insert(&[at("a", 0, "gold")]);
    let mut harness = Lookup::new(Inner).waits(3, SECOND, FailFast).harness(&store);
    harness.batch(batch(&[at("b", 5, "waits"), at("a", 6, "passes"), at("b", 7, "too")])).unwrap();
    assert_eq!(harness.take_rows(), ["a, 1, passes, a, 1, gold"]);
    harness.watermark(Watermark(8 * SECOND)).unwrap();
    assert_eq!((waiting(&harness), harness.forwarded()), (2, Watermark(5 * SECOND)));
    harness.tables_changed().unwrap();
    assert_eq!(waiting(&harness), 2, "another version, but not its row");
    store.insert(&[at("b", 0, "tin")]);
    harness.tables_changed().unwrap();
    assert_eq!(harness.take_rows(), ["b, 1, waits, b, 1, tin", "b, 1, too, b, 1, tin"]);
    assert_eq!((waiting(&harness), harness.forwarded()), (0, Watermark(8 * SECOND)));
    assert_eq!(harness.operator.missing().unwrap().rows(), 0, "none was missing in the end");
}

#[test]
fn waiting_ends_after_the_last_retry() {
    let store = Store::by_key(true);
    for (then, rows, counts) in [
        (SkipRecord, vec![], (1, 0)),
        (EmitWithNulls, vec!["b, 1, x, null, null, null"], (0, 1)),
        (UseDefaults, vec!["b, 1, x, null, null, none"], (0, 1)),
    ] {
        let mut harness = Lookup::new(Inner).waits(3, SECOND, then).harness(&store);
        harness.clock(SECOND).unwrap();
        harness.batch(batch(&[at("b", 5, "x")])).unwrap();
        harness.watermark(Watermark(9 * SECOND)).unwrap();
        assert_eq!(harness.timer(), Some(2 * SECOND));
        harness.clock(4 * SECOND - 1).unwrap();
        assert_eq!((waiting(&harness), harness.timer()), (1, Some(4 * SECOND)));
        harness.clock(4 * SECOND).unwrap();
        assert_eq!(harness.take_rows(), rows);
        assert_eq!((waiting(&harness), harness.forwarded()), (0, Watermark(9 * SECOND)));
        assert_eq!(harness.timer(), None);
        let missing = harness.operator.missing().unwrap();
        assert_eq!((missing.skipped(), missing.filled()), counts);
    }
    let mut harness = Lookup::new(Inner).waits(1, SECOND, FailFast).harness(&store);
    harness.batch(batch(&[at("b", 5, "x")])).unwrap();
    let error = harness.clock(SECOND).unwrap_err().to_string();
    assert!(error.contains("no row with key = 'b'"), "{error}");
}

/// No retry, the end of the input, and a table that cannot change: nothing to wait for.
#[test]
fn waiting_ends_where_it_cannot_help() {
    let row = || batch(&[at("b", 5, "x"), Row { key: None, ..at("", 5, "y") }]);
    let filled = ["b, 1, x, null, null, null", "null, 1, y, null, null, null"];
    let mut store = Store::by_key(true);
    let mut harness = Lookup::new(Inner).waits(0, SECOND, EmitWithNulls).harness(&store);
    harness.batch(row()).unwrap();
    assert_eq!((harness.take_rows(), harness.timer()), (filled.map(str::to_owned).to_vec(), None));

    let waits = Lookup::new(Inner).waits(10, SECOND, EmitWithNulls);
    let mut harness = waits.harness(&store);
    harness.batch(row()).unwrap();
    harness.watermark(Watermark(7 * SECOND)).unwrap();
    assert_eq!((harness.take_rows().len(), waiting(&harness), harness.forwarded()), (0, 2, Watermark(5 * SECOND)));
    harness.end().unwrap();
    assert_eq!((harness.take_rows(), waiting(&harness)), (filled.map(str::to_owned).to_vec(), 0));
    assert_eq!(harness.forwarded(), Watermark::END);

    let mut harness = waits.harness(&store);
    harness.batch(row()).unwrap();
    store.finish();
    harness.tables_changed().unwrap();
    assert_eq!(harness.take_rows(), filled);
    harness.batch(row()).unwrap();
    assert_eq!(harness.take_rows(), filled);
    assert_eq!(waiting(&harness), 0);
}

/// Over a changelog rows of a key that waits queue behind it, whatever the table has by then.
#[test]
fn rows_of_a_waiting_key_keep_their_order() {
    let mut store = Store::by_key(true);
    let mut harness = Lookup::new(Inner).waits(9, SECOND, FailFast).retracts().harness(&store);
    harness
        .batch(changes(&[
            (RowKind::Insert, at("b", 1, "one")),
            (RowKind::Insert, at("c", 1, "stays")),
            (RowKind::UpdateBefore, at("b", 1, "one")),
            (RowKind::UpdateAfter, at("b", 2, "two")),
        ]))
        .unwrap();
    harness.batch(changes(&[(RowKind::Delete, at("b", 3, "two"))])).unwrap();
    assert_eq!((harness.take_rows().len(), waiting(&harness)), (0, 5));
    store.insert(&[at("b", 0, "tin")]);
    harness.batch(changes(&[(RowKind::Insert, at("b", 4, "three"))])).unwrap();
    assert_eq!(
        with_kinds(&harness.take_batches()),
        [
            "+I b, 1, one, b, 1, tin",
            "-D b, 1, one, b, 1, tin",
            "+I b, 1, two, b, 1, tin",
            "-D b, 1, two, b, 1, tin",
            "+I b, 1, three, b, 1, tin"
        ]
    );
    assert_eq!(waiting(&harness), 1);
    // A row that waits is taken back before it ever came out.
    harness.batch(changes(&[(RowKind::Delete, at("c", 5, "stays"))])).unwrap();
    assert_eq!(waiting(&harness), 2);
    store.insert(&[at("c", 0, "tin")]);
    harness.tables_changed().unwrap();
    assert_eq!(with_kinds(&harness.take_batches()), ["+I c, 1, stays, c, 1, tin", "-D c, 1, stays, c, 1, tin"]);
}

/// A row that waits, one by one.
struct Naive {
    lookup: Lookup,
    queue: Vec<(RowKind, Row, u32, i64)>,
    given: BTreeMap<String, Vec<Vec<Vec<String>>>>,
    out: Vec<Vec<String>>,
}

impl Naive {
    /// Goes through all rows that wait; `last`: for these waiting is over.
    fn go(&mut self, table: &[Row], last: bool) {
        let mut blocked = BTreeSet::new();
        for (kind, row, tries, due) in std::mem::take(&mut self.queue) {
            let missing = self.lookup.plan.missing.as_ref().unwrap();
            let over = last || tries >= missing.retries;
            let waits = !kind.retracts() && !over && self.lookup.lacks(&row, table);
            if waits || self.lookup.retracts && blocked.contains(&row.key) {
                blocked.insert(row.key.clone());
                self.queue.push((kind, row, tries, due));
                continue;
            }
            let known = format!("{:?}", Row { time: 0, position: 0, ..row.clone() });
            let given = self.given.entry(known).or_default();
            if kind.retracts() {
                given.pop().unwrap();
            } else {
                let then = self.lookup.clone().missing(missing.then);
                let rows = then.naive(&row, table).unwrap();
                self.out.extend(rows.clone());
                given.push(rows);
            }
        }
    }

    /// Those whose time has come have tried once more.
    fn clock(&mut self, now: i64, delay: i64) -> bool {
        let mut tried = false;
        for (_, _, tries, due) in self.queue.iter_mut().filter(|row| row.3 <= now) {
            (*tries, *due, tried) = (*tries + 1, now + delay, true);
        }
        tried
    }
}

#[test]
fn waiting_equals_the_same_row_by_row() {
    for seed in 0..120 {
        let mut random = Random::new(seed);
        let retracts = seed % 2 == 0;
        let then = [SkipRecord, EmitWithNulls, UseDefaults][random.below(3) as usize];
        let retries = random.below(4) as u32;
        let delay = [1, 3][random.below(2) as usize];
        let mut lookup = Lookup::new(if random.below(2) == 0 { Inner } else { Left }).waits(retries, delay, then);
        lookup.retracts = retracts;
        let mut store = Store::by_key(true);
        let mut table: Vec<Row> = Vec::new();
        let mut harness = lookup.harness(&store);
        let mut naive = Naive { lookup, queue: vec![], given: BTreeMap::new(), out: vec![] };
        let (mut folded, mut found) = (Folded::default(), Vec::new());
        let (mut live, mut now, mut position, mut watermark) = (Vec::<Row>::new(), 0_i64, 0, Watermark::NONE);
        let context = format!("retracts {retracts}, {then:?}, {retries} retries, every {delay}, seed {seed}");
        for _ in 0..100 {
            match random.below(6) {
                0 => {
                    let row = random_row(&mut random, position, 0);
                    let row = Row { key: row.key.or(Some("k0".to_owned())), ..row };
                    let there = table.iter().position(|other| other.key == row.key);
                    match there {
                        Some(at) if random.below(2) == 0 => {
                            store.apply(changes(&[(RowKind::Delete, table.remove(at))]));
                        }
                        _ => {
                            table.retain(|other| other.key != row.key);
                            store.insert(std::slice::from_ref(&row));
                            table.push(row);
                        }
                    }
                    harness.tables_changed().unwrap();
                }
                1 => {
                    // Each time at which it is called counts by itself.
                    for time in now + 1..=now + 2 {
                        harness.clock(time).unwrap();
                        if naive.clock(time, delay) {
                            naive.go(&table, false);
                        }
                    }
                    now += 2;
                }
                2 => {
                    watermark = Watermark(watermark.0.max(position as i64 * SECOND));
                    harness.watermark(watermark).unwrap();
                }
                _ => {
                    let mut log = Vec::new();
                    for _ in 0..1 + random.below(4) {
                        position += 1;
                        if retracts && random.below(3) == 0 && !live.is_empty() {
                            let row = live.swap_remove(random.below(live.len() as u64) as usize);
                            log.push((RowKind::Delete, Row { time: position as i64 * SECOND, ..row }));
                        } else {
                            live.push(random_row(&mut random, position, position as i64));
                            log.push((RowKind::Insert, live.last().unwrap().clone()));
                        }
                    }
                    naive.queue.extend(log.iter().map(|(kind, row)| (*kind, row.clone(), 0, now + delay)));
                    harness.batch(changes(&log)).unwrap();
                }
            }
            naive.go(&table, false);
            let batches = harness.take_batches();
            if retracts {
                folded.add(&batches, 0, &context);
            } else {
                found.extend(texts(&batches));
            }
            assert_eq!(waiting(&harness), naive.queue.len() as u64, "{context}");
            let oldest = naive.queue.iter().map(|(_, row, ..)| row.time).min().unwrap_or(i64::MAX);
            if retracts {
                assert!(harness.forwarded().0 <= oldest, "{context}");
            }
            let due = naive.queue.iter().map(|row| row.3).min();
            assert!(due.is_none() || harness.timer().is_some_and(|timer| Some(timer) <= due), "{context}");
        }
        harness.end().unwrap();
        naive.go(&table, true);
        assert_eq!((waiting(&harness), harness.forwarded()), (0, Watermark::END));
        if retracts {
            folded.add(&harness.take_batches(), 0, &context);
            let mut expected = naive.given.into_values().flatten().flatten().collect::<Vec<_>>();
            expected.iter_mut().for_each(|row| drop(row.pop()));
            expected.sort();
            assert_eq!(folded.rows(), expected, "{context}");
        } else {
            found.extend(texts(&harness.take_batches()));
            found.sort();
            naive.out.sort();
            assert_eq!(found, naive.out, "{context}");
        }
    }
}

/// A table that keeps its versions, and what it was as of a time.
fn versions(random: &mut Random, count: usize) -> Vec<(RowKind, Row)> {
    let row = |random: &mut Random, position: usize| {
        let row = random_row(random, position, 0);
        // Times tell versions apart.
        Row {
            key: Some(row.key.unwrap_or("k0".to_owned())),
            time: random.between(0, 60) * SECOND + position as i64,
            ..row
        }
    };
    (0..count)
        .map(|position| {
            let kind = if random.below(4) == 0 { RowKind::Delete } else { RowKind::Insert };
            (kind, row(random, position))
        })
        .collect()
}

/// The row of a left one's key as of its time.
fn as_of<'a>(left: &Row, log: &'a [(RowKind, Row)]) -> Option<&'a Row> {
    let of_key = log.iter().filter(|(_, row)| left.key.is_some() && row.key == left.key && row.time <= left.time);
    let (kind, row) = of_key.max_by_key(|(_, row)| row.time)?;
    (!kind.retracts()).then_some(row)
}

#[test]
fn as_of_equals_a_search_among_versions() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let log = versions(&mut random, 40);
        let left: Vec<Row> = (0..80)
            .map(|position| {
                let row = random_row(&mut random, position, 0);
                let time = (position as i64 * 3 / 4 + random.between(0, 6)) * SECOND;
                Row { time, ..row }
            })
            .collect();
        for (kind, size) in [(Inner, 1), (Left, 2), (Left, 8_192)] {
            let mut store = Store::new(&[KEY], &[&[KEY]], true);
            let mut harness = Lookup::new(kind.clone()).at_event_time().harness(&store);
            let mut versions = log.clone();
            versions.sort_by_key(|(_, row)| row.time);
            let (mut next, mut known, mut watermark) = (0, 0, 0);
            let (mut came, mut found): (Vec<Row>, _) = (Vec::new(), Vec::new());
            let mut batches = left.chunks(size);
            let mut ended = false;
            while !ended || known < 70 {
                if random.below(2) == 0 || ended {
                    known += random.between(0, 9);
                    let to = versions.partition_point(|(_, row)| row.time < known * SECOND);
                    if to > next {
                        store.apply(changes(&versions[next..to]));
                        next = to;
                    }
                    store.writer.advance(Watermark(known * SECOND));
                    harness.tables_changed().unwrap();
                } else if let Some(rows) = batches.next() {
                    came.extend_from_slice(rows);
                    harness.batch(batch(rows)).unwrap();
                    watermark = rows.iter().map(|row| row.time - 6 * SECOND).max().unwrap().max(watermark);
                    harness.watermark(Watermark(watermark)).unwrap();
                } else {
                    harness.end().unwrap();
                    (ended, watermark) = (true, i64::MAX);
                }
                found.extend(texts(&harness.take_batches()));
                let open: Vec<i64> = came.iter().map(|row| row.time).filter(|time| *time >= known * SECOND).collect();
                let context = format!("{kind:?}, size {size}, seed {seed}, known {known}");
                assert_eq!(harness.operator.held(), open.len() as u64, "released in time: {context}");
                assert_eq!(harness.operator.waits(), ended && !open.is_empty(), "{context}");
                assert_eq!(
                    harness.operator.missing().unwrap().waiting(),
                    0,
                    "nothing is known to be missing: {context}"
                );
                let oldest = open.iter().min().copied().unwrap_or(i64::MAX);
                assert!(
                    harness.forwarded().0 <= oldest
                        && (watermark == 0 || harness.forwarded().0 == oldest.min(watermark)),
                    "{context}"
                );
            }
            let rows = came.iter().filter_map(|row| {
                let found = as_of(row, &log);
                (found.is_some() || kind == Left).then(|| pair(Some(row), found, row.time))
            });
            let mut expected = rows.collect::<Vec<_>>();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{kind:?}, size {size}, seed {seed}");
            assert_eq!(harness.forwarded(), Watermark::END);
            let missing = harness.operator.missing().unwrap();
            assert_eq!(missing.rows(), 0, "without a strategy none is missing");
        }
    }
}

/// Rows behind the watermark are dropped, or go to the dead letters.
#[test]
fn late_rows_are_not_joined_as_of_their_time() {
    let mut store = Store::new(&[KEY], &[&[KEY]], true);
    store.insert(&[at("a", 0, "gold")]);
    store.finish();
    for (late, letters) in [(LateStrategy::Drop, 0), (LateStrategy::DeadLetter, 2)] {
        let mut lookup = Lookup::new(Left).at_event_time();
        lookup.plan.late = late;
        let mut harness = lookup.harness(&store);
        harness
            .batch(batch(&[at("a", 5, "in time"), Row { late_by: SECOND, ..at("a", 4, "by its partition") }]))
            .unwrap();
        harness.watermark(Watermark(6 * SECOND)).unwrap();
        harness.batch(batch(&[at("a", 6, "in time"), at("a", 5, "by all")])).unwrap();
        assert_eq!(harness.take_rows(), ["a, 1, in time, a, 1, gold", "a, 1, in time, a, 1, gold"]);
        assert_eq!(harness.operator.late().unwrap().rows(), 2);
        let found = harness.take_dead_letters();
        assert_eq!(found.len(), letters);
        assert!(found.iter().all(|letter| letter.error.contains("came late for a join as of its time")));
    }
}

/// Rows of a changelog that wait for different times of the table go in the order in which they came.
#[test]
fn as_of_keeps_the_order_of_a_changelog() {
    let mut store = Store::new(&[KEY], &[&[KEY]], true);
    store.insert(&[at("a", 0, "gold")]);
    let mut harness = Lookup::new(Left).at_event_time().retracts().harness(&store);
    let x = |second| at("a", second, "x");
    harness.batch(changes(&[(RowKind::Insert, at("a", 1, "first")), (RowKind::Insert, x(10))])).unwrap();
    harness.batch(changes(&[(RowKind::Delete, x(10))])).unwrap();
    // One that goes before the time at which it came.
    harness.batch(changes(&[(RowKind::Insert, at("a", 12, "y")), (RowKind::Delete, at("a", 8, "y"))])).unwrap();
    let mut folded = Folded::default();
    for second in [5, 9, 11, 20] {
        store.writer.advance(Watermark(second * SECOND));
        harness.tables_changed().unwrap();
        folded.add(&harness.take_batches(), 0, "as of");
    }
    assert_eq!(harness.operator.held(), 0);
    assert_eq!(folded.rows(), [["a", "1", "first", "a", "1", "gold"]]);
}

/// Under `state.ttl` a row that was not touched for so long is not taken back any more, however the batches are cut.
#[test]
fn state_ttl_forgets_what_was_given() {
    let mut store = Store::by_key(true);
    store.insert(&[at("a", 0, "gold")]);
    let log = [
        (RowKind::Insert, at("a", 1, "old")),
        (RowKind::Insert, at("a", 1, "new")),
        (RowKind::Delete, at("a", 10, "new")),
        (RowKind::Delete, at("a", 11, "old")),
        (RowKind::Insert, at("a", 12, "old")),
        (RowKind::Delete, at("a", 13, "old")),
    ];
    let expected = [
        "+I a, 1, old, a, 1, gold",
        "+I a, 1, new, a, 1, gold",
        "-D a, 1, new, a, 1, gold",
        "+I a, 1, old, a, 1, gold",
        "-D a, 1, old, a, 1, gold",
    ];
    for (size, with_watermarks) in [(1, false), (2, true), (6, false)] {
        let ttl = Some(StateTtl { after: Span(10 * SECOND), by_clock: false });
        let mut harness = Lookup { ttl, ..Lookup::new(Left).retracts() }.harness(&store);
        for log in log.chunks(size) {
            if with_watermarks {
                harness.watermark(Watermark(log[0].1.time)).unwrap();
            }
            harness.batch(changes(log)).unwrap();
        }
        assert_eq!(with_kinds(&harness.take_batches()), expected, "size {size}");
    }
    let ttl = Some(StateTtl { after: Span(10 * SECOND), by_clock: true });
    let mut harness = Lookup { ttl, ..Lookup::new(Left).retracts() }.harness(&store);
    harness.clock(SECOND).unwrap();
    harness.batch(changes(&log[..2])).unwrap();
    assert_eq!(harness.timer(), Some(11 * SECOND), "it is called when something is forgotten");
    harness.clock(10 * SECOND).unwrap();
    harness.batch(changes(&log[2..3])).unwrap();
    harness.clock(11 * SECOND).unwrap();
    assert_eq!(harness.operator.remembered(), 0);
    harness.batch(changes(&log[3..])).unwrap();
    assert_eq!(with_kinds(&harness.take_batches()), expected);
}

/// What is remembered follows the rows that are there, also where one of each batch stays for ever.
#[test]
fn memory_follows_the_rows_that_are_there() {
    let mut store = Store::by_key(true);
    store.insert(&[at("a", 0, "gold")]);
    let mut harness = Lookup::new(Left).retracts().harness(&store);
    let mut most = [0, 0];
    for round in 0..300 {
        let rows = (0..200).map(|n| at("a", round, &format!("{round} {n}"))).collect::<Vec<_>>();
        let came: Vec<_> = rows.iter().map(|row| (RowKind::Insert, row.clone())).collect();
        harness.batch(changes(&came)).unwrap();
        let gone: Vec<_> = rows[1..].iter().map(|row| (RowKind::Delete, row.clone())).collect();
        harness.batch(changes(&gone)).unwrap();
        assert_eq!(harness.operator.remembered(), round as usize + 1);
        let most = &mut most[usize::from(round >= 100)];
        *most = harness.operator.memory().max(*most);
    }
    assert!(most[1] < most[0] * 3, "{most:?} bytes for 100 rows, and for 300");
    let rows = harness.take_rows().len();
    assert_eq!(rows, 300 * 399);
    let stay: Vec<_> = (0..300).map(|round| (RowKind::Delete, at("a", round, &format!("{round} 0")))).collect();
    harness.batch(changes(&stay)).unwrap();
    let rows = with_kinds(&harness.take_batches());
    let expected: Vec<_> = (0..300).map(|round| format!("-D a, 1, {round} 0, a, 1, gold")).collect();
    assert_eq!((rows, harness.operator.remembered()), (expected, 0));
}

/// Many rows wait for long: a batch, a timer or a watermark does not go through all of them.
#[test]
fn rows_wait_in_batches() {
    let store = Store::by_key(true);
    let mut harness = Lookup::new(Inner).waits(1_000, SECOND, FailFast).harness(&store);
    let rows = random_rows(&mut Random::new(1), 10);
    for step in 0..5_000 {
        harness.clock(step * 100).unwrap();
        harness.batch(batch(&rows)).unwrap();
    }
    assert_eq!(waiting(&harness), 50_000);
    for step in 0..20 {
        harness.clock((step + 2) * SECOND).unwrap();
    }
    assert_eq!(waiting(&harness), 50_000);
}
