//! What goes by a clock: changes that are held for an interval, quiet windows that close, state that is forgotten.

use std::collections::BTreeMap;

use crate::support::sim::{Boxed, random_partitions};
use crate::support::{Calls, Kind, Row, SECOND, batch, cells, rows_at, schema, spec, window};
use velo_core::duration::Span;
use velo_core::{Batch, RowKind, RowKinds, Watermark};
use velo_exec::operator::{
    Element, EmitInterval, GroupChanges, GroupSpec, IdleClose, LatestByKey, Operator, aggregate,
};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{Emission, StateTtl, WindowKind};

fn early() -> Emission {
    Emission { early: true, ..Emission::default() }
}

fn kinds_of(batch: &Batch) -> Vec<RowKind> {
    let all = || vec![RowKind::Insert; batch.rows()];
    batch.kinds.as_ref().map_or_else(all, |kinds| kinds.as_slice().to_vec())
}

/// Rows with their kinds, as text.
fn shown<O: Operator>(harness: &mut Harness<O>) -> Vec<String> {
    let rows = harness.take_batches().into_iter().flat_map(|batch| {
        let rows = kinds_of(&batch).into_iter().zip(cells(&batch.columns));
        rows.map(|(kind, row)| format!("{} {}", kind.symbol(), row.join(" "))).collect::<Vec<_>>()
    });
    rows.collect()
}

/// Adds changes to what they fold to.
fn fold(into: &mut BTreeMap<Vec<String>, i64>, batch: &Batch, context: &str) {
    for (kind, row) in kinds_of(batch).into_iter().zip(cells(&batch.columns)) {
        let count = into.entry(row.clone()).or_insert(0);
        *count += if kind.retracts() { -1 } else { 1 };
        assert!((0..2).contains(count), "{} {row:?} comes out of order: {context}", kind.symbol());
    }
    into.retain(|_, count| *count > 0);
}

/// A changelog of rows of a few keys.
fn changelog(random: &mut Random, changes: usize) -> Vec<(RowKind, Row)> {
    let rows = random_partitions(random, 1, changes, 0, false).remove(0);
    let (mut log, mut live): (Vec<(RowKind, Row)>, Vec<Row>) = (Vec::new(), Vec::new());
    for row in rows {
        if !live.is_empty() && random.below(3) == 0 {
            log.push((RowKind::Delete, live.swap_remove(random.below(live.len() as u64) as usize)));
        }
        live.push(row.clone());
        log.push((RowKind::Insert, row));
    }
    log
}

/// With any interval the changes fold to what they fold to without it, after every pause of an interval and at the end; and
/// of a key without a window there is one change in an interval at most.
#[test]
fn an_interval_changes_nothing_but_the_number_of_changes() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let calls = || Calls::new().count_all().add(Kind::Sum, "quantity").add(Kind::Max, "price");
        for window in [
            None,
            Some(window("tumbling", 10, 0, 0)),
            Some(window("sliding", 10, 5, 0)),
            Some(window("session", 3, 0, 0)),
        ] {
            let session = window.as_ref().is_some_and(|window| matches!(window.kind, WindowKind::Session { .. }));
            let query = GroupSpec { emission: early(), retracts: !session, ..spec(&["key"], calls(), window.clone()) };
            let mut log = changelog(&mut random, 80);
            if session {
                log.retain(|(kind, _)| *kind == RowKind::Insert);
            }
            let interval = random.between(1, 10);
            let context = format!("{window:?}, seed {seed}, interval {interval}");
            let mut key = vec![0];
            key.extend(window.is_some().then_some([4, 5]).into_iter().flatten());
            let held = EmitInterval::new(Span(interval), key, window.is_some(), query.output.clone()).unwrap();
            let mut source = Harness::new(Boxed(aggregate(&query, &schema()).unwrap()));
            let mut held = Harness::new(held);
            let (mut plain, mut paced) = (BTreeMap::new(), BTreeMap::new());
            let (mut clock, mut last) = (0, BTreeMap::new());
            let (mut given, mut changes) = (0, 0);
            let mut rest = log.as_slice();
            let mut latest = i64::MIN;
            loop {
                let size = (1 + random.below(4) as usize).min(rest.len());
                let (now, later) = rest.split_at(size);
                rest = later;
                if now.is_empty() {
                    source.end().unwrap();
                } else {
                    let rows = now.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>();
                    latest = rows.iter().map(|row| row.time).fold(latest, i64::max);
                    let kinds = RowKinds::new(now.iter().map(|(kind, _)| *kind).collect());
                    source.batch(Batch { kinds: Some(kinds), origin: None, ..batch(&rows) }).unwrap();
                    // Rows are taken back of windows that must still be open.
                    if session {
                        source.watermark(Watermark(latest)).unwrap();
                    }
                }
                for element in source.take() {
                    match element {
                        Element::Batch(batch) => {
                            given += batch.rows();
                            fold(&mut plain, &batch, &context);
                            held.batch(batch).unwrap();
                        }
                        Element::Watermark(watermark) => held.watermark(watermark).unwrap(),
                        _ => {}
                    }
                }
                if now.is_empty() {
                    held.end().unwrap();
                }
                let out = held.take_batches();
                for batch in &out {
                    changes += batch.rows();
                    fold(&mut paced, batch, &context);
                    if window.is_none() && !now.is_empty() {
                        for (kind, row) in kinds_of(batch).into_iter().zip(cells(&batch.columns)) {
                            if kind != RowKind::UpdateAfter {
                                let before = last.insert(row[0].clone(), clock);
                                assert!(before.is_none_or(|before| clock >= before + interval), "{context}");
                            }
                        }
                    }
                }
                if now.is_empty() {
                    break;
                }
                let by = random.between(0, 2 * interval);
                for _ in 0..by {
                    clock += 1;
                    held.clock(clock).unwrap();
                    for batch in held.take_batches() {
                        changes += batch.rows();
                        fold(&mut paced, &batch, &context);
                        if window.is_none() {
                            last.extend(cells(&batch.columns).into_iter().map(|row| (row[0].clone(), clock)));
                        }
                    }
                }
                if by >= interval {
                    assert_eq!(paced, plain, "{context}");
                }
            }
            assert_eq!(paced, plain, "{context}");
            assert_eq!(held.forwarded(), Watermark::END);
            assert!(changes <= given, "{context}");
        }
    }
}

fn counted(retracts: bool) -> GroupSpec {
    GroupSpec { emission: early(), retracts, ..spec(&["key"], Calls::new().count_all(), None) }
}

#[test]
fn what_is_held_goes_out_when_the_interval_has_passed_or_the_job_is_stopped() {
    let query = counted(false);
    let mut source = Harness::new(Boxed(aggregate(&query, &schema()).unwrap()));
    let mut held = Harness::new(EmitInterval::new(Span(10), vec![0], false, query.output.clone()).unwrap());
    let mut add = |held: &mut Harness<EmitInterval>, key: &str| {
        source.batch(rows_at(&[(key, 1.0, "1")])).unwrap();
        source.take_batches().into_iter().for_each(|batch| held.batch(batch).unwrap());
    };
    held.clock(100).unwrap();
    add(&mut held, "a");
    assert_eq!(shown(&mut held), ["+I a 1"], "a change after a pause goes out at once");
    held.clock(103).unwrap();
    add(&mut held, "a");
    add(&mut held, "b");
    add(&mut held, "a");
    assert_eq!((shown(&mut held), held.timer()), (Vec::new(), Some(110)));
    held.clock(110).unwrap();
    assert_eq!(shown(&mut held), ["-U a 1", "+U a 3", "+I b 1"]);
    held.clock(112).unwrap();
    add(&mut held, "b");
    held.stop().unwrap();
    assert_eq!((shown(&mut held), held.timer()), (vec!["-U b 1".to_owned(), "+U b 2".to_owned()], None));
    assert!(held.operator.memory() < 100_000);
}

/// What goes out before the watermark is what lies behind it, and no more.
#[test]
fn a_window_that_closes_does_not_wait_for_the_interval() {
    let query =
        GroupSpec { emission: early(), ..spec(&["key"], Calls::new().count_all(), Some(window("tumbling", 10, 0, 0))) };
    let mut source = Harness::new(Boxed(aggregate(&query, &schema()).unwrap()));
    let mut held = Harness::new(EmitInterval::new(Span(1_000), vec![0, 2, 3], true, query.output.clone()).unwrap());
    let pass = |held: &mut Harness<EmitInterval>, source: &mut Harness<Boxed>| {
        for element in source.take() {
            match element {
                Element::Batch(batch) => held.batch(batch).unwrap(),
                Element::Watermark(watermark) => held.watermark(watermark).unwrap(),
                _ => {}
            }
        }
    };
    source.batch(rows_at(&[("a", 1.0, "1")])).unwrap();
    pass(&mut held, &mut source);
    source.batch(rows_at(&[("a", 2.0, "1"), ("a", 12.0, "1"), ("b", 13.0, "1")])).unwrap();
    pass(&mut held, &mut source);
    let at = |second: u32| format!("1970-01-01T00:00:{second:02}");
    let window = |from: u32| format!("{} {}", at(from), at(from + 10));
    assert_eq!(shown(&mut held), [format!("+I a 1 {}", window(0))]);
    source.watermark(Watermark(10 * SECOND)).unwrap();
    pass(&mut held, &mut source);
    assert_eq!(shown(&mut held), [format!("-U a 1 {}", window(0)), format!("+U a 2 {}", window(0))]);
    source.watermark(Watermark(11 * SECOND)).unwrap();
    source.end().unwrap();
    pass(&mut held, &mut source);
    assert_eq!(shown(&mut held), [format!("+I a 1 {}", window(10)), format!("+I b 1 {}", window(10))]);
}

fn at(times: &[i64]) -> Batch {
    batch(&times.iter().map(|time| Row::at("a", *time, "1")).collect::<Vec<_>>())
}

/// The watermarks among what came out.
fn watermarks(harness: &mut Harness<IdleClose>) -> Vec<i64> {
    let elements = harness.take().into_iter();
    elements
        .filter_map(|element| if let Element::Watermark(Watermark(at)) = element { Some(at) } else { None })
        .collect()
}

#[test]
fn a_quiet_window_closes_by_the_clock() {
    let mut close = Harness::new(IdleClose::new(Span(10), &window("tumbling", 60, 0, 0)).unwrap());
    close.batch(at(&[SECOND, 59 * SECOND])).unwrap();
    close.clock(9).unwrap();
    assert_eq!(watermarks(&mut close), [0_i64; 0]);
    // A row of the next window keeps that one open, and not the first.
    close.batch(at(&[61 * SECOND])).unwrap();
    close.clock(10).unwrap();
    assert_eq!(watermarks(&mut close), [60 * SECOND]);
    // The watermark of the input does not lead back, and a late row keeps nothing open.
    close.watermark(Watermark(50 * SECOND)).unwrap();
    close.batch(at(&[10 * SECOND])).unwrap();
    close.clock(19).unwrap();
    assert_eq!(watermarks(&mut close), [60 * SECOND, 120 * SECOND]);
    assert_eq!(close.timer(), None, "nothing is open any more");
    // A row of an earlier window keeps a later one open.
    close.batch(at(&[190 * SECOND])).unwrap();
    close.clock(25).unwrap();
    close.batch(at(&[130 * SECOND])).unwrap();
    close.clock(34).unwrap();
    assert_eq!(watermarks(&mut close), [0_i64; 0]);
    close.clock(35).unwrap();
    assert_eq!(watermarks(&mut close), [240 * SECOND]);
}

/// Rows that come one by one, much faster than windows close, are counted together, and windows close all the same.
#[test]
fn windows_of_a_fast_stream_close() {
    let mut close = Harness::new(IdleClose::new(Span(6_400), &window("tumbling", 10, 0, 0)).unwrap());
    let mut said = i64::MIN;
    for step in 0..3_000_i64 {
        close.clock(step * 10).unwrap();
        close.batch(at(&[step * SECOND])).unwrap();
        said = watermarks(&mut close).into_iter().last().unwrap_or(said);
        // A row a second: what came 640 steps ago is quiet.
        let quiet = (step - 639) * SECOND;
        assert!(said <= quiet, "step {step}: {said}");
        assert!(step < 700 || said >= quiet - 21 * SECOND, "step {step}: {said}");
    }
}

#[test]
fn an_idle_input_stays_idle() {
    let mut close = Harness::new(IdleClose::new(Span(10), &window("session", 5, 0, 0)).unwrap());
    close.batch(at(&[SECOND])).unwrap();
    close.idle().unwrap();
    close.take();
    close.clock(10).unwrap();
    let elements = close.take();
    let closed = Watermark(6 * SECOND + 1);
    assert!(matches!(elements.as_slice(), [Element::Watermark(at), Element::Idle] if *at == closed), "{elements:?}");
}

/// A window with rows is closed when, and only when, the watermark has passed it, or no row of it or of an earlier one came for so
/// long. Of one without rows the same is true, where what came before reaches as far; that it is closed too is not promised.
#[test]
fn quiet_windows_equal_a_search() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let sliding = random.below(2) == 0;
        let (size, advance) = if sliding { (10, 4) } else { (10, 10) };
        let kind = if sliding { window("sliding", size, advance, 0) } else { window("tumbling", size, 0, 0) };
        let after = random.between(1, 30);
        let mut close = Harness::new(IdleClose::new(Span(after), &kind).unwrap());
        let (mut rows, mut clock, mut said): (Vec<(i64, i64)>, i64, i64) = (Vec::new(), 0, i64::MIN);
        let (mut must, mut may) = (i64::MIN, i64::MIN);
        for step in 0..60_i64 {
            let times = (0..random.below(3)).map(|_| step + random.between(0, 25)).collect::<Vec<_>>();
            let last_end = |time: i64| (time.div_euclid(advance) * advance + size) * SECOND;
            if !times.is_empty() {
                // What is late for all its windows counts for nothing.
                rows.extend(times.iter().filter(|time| last_end(**time) > said).map(|time| (clock, *time)));
                close.batch(at(&times.iter().map(|time| time * SECOND).collect::<Vec<_>>())).unwrap();
            }
            if random.below(4) == 0 {
                close.watermark(Watermark((step - 10) * SECOND)).unwrap();
                let closed = ((step - 10 - size).div_euclid(advance) * advance + size) * SECOND;
                (must, may) = (must.max(closed), may.max(closed));
                said = watermarks(&mut close).into_iter().last().unwrap_or(said);
            }
            let target = clock + random.between(0, after);
            while clock < target {
                clock += 1;
                close.clock(clock).unwrap();
                let old = rows.iter().filter(|(when, _)| when + after <= clock).map(|(_, time)| last_end(*time)).max();
                for end in (-10..40).map(|number| number * advance + size) {
                    let quiet = rows.iter().filter(|(_, time)| *time < end).all(|(when, _)| when + after <= clock);
                    let came = rows.iter().any(|(_, time)| (end - size..end).contains(time));
                    if quiet && came {
                        must = must.max(end * SECOND);
                    }
                    if quiet && old.is_some_and(|old| end * SECOND <= old) {
                        may = may.max(end * SECOND);
                    }
                }
                said = watermarks(&mut close).into_iter().last().unwrap_or(said);
                // A time between two ends closes what the first does.
                let said = (said != i64::MIN).then(|| (said / SECOND - size).div_euclid(advance) * advance + size);
                let said = said.map_or(i64::MIN, |end| end * SECOND);
                let context = format!("seed {seed}, {kind} quiet for {after}, clock {clock}, rows {rows:?}");
                assert!((must..=may).contains(&said), "{said} is not from {must} to {may}: {context}");
            }
        }
    }
}

fn by_event_time(after: i64) -> Option<StateTtl> {
    Some(StateTtl { after: Span(after), by_clock: false })
}

fn by_clock(after: i64) -> Option<StateTtl> {
    Some(StateTtl { after: Span(after), by_clock: true })
}

/// What was shown last of each key.
fn latest(into: &mut BTreeMap<String, Vec<String>>, batches: &[Batch]) {
    for batch in batches {
        for (kind, row) in kinds_of(batch).into_iter().zip(cells(&batch.columns)) {
            match kind {
                RowKind::Delete => drop(into.remove(&row[0])),
                RowKind::UpdateBefore => {}
                RowKind::Insert | RowKind::UpdateAfter => drop(into.insert(row[0].clone(), row[1..].to_vec())),
            }
        }
    }
}

/// A group begins anew with a row that comes `state.ttl` or more behind the last one, however batches are cut.
#[test]
fn forgotten_groups_equal_a_computation_row_by_row() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let (ttl, disorder) = (random.between(1, 12), random.between(0, 3));
        let rows = random_partitions(&mut random, 1, 150, disorder, false).remove(0);
        let calls = Calls::new().count_all().add(Kind::Sum, "quantity").add(Kind::Max, "quantity");
        for keys in [&["key"][..], &[]] {
            let mut naive: BTreeMap<String, (i64, Vec<i64>, usize)> = BTreeMap::new();
            for row in &rows {
                let key = if keys.is_empty() { None } else { row.key.clone() };
                let key = key.unwrap_or_else(|| "null".to_owned());
                let (last, quantities, count) = naive.entry(key).or_insert((row.time, vec![], 0));
                if row.time >= *last + ttl * SECOND {
                    (*quantities, *count) = (vec![], 0);
                }
                *last = row.time.max(*last);
                quantities.extend(row.quantity);
                *count += 1;
            }
            let cell = |value: Option<i64>| value.map_or("null".to_owned(), |value| value.to_string());
            let expected = naive.into_iter().map(|(key, (_, quantities, count))| {
                let sum = (!quantities.is_empty()).then(|| quantities.iter().sum());
                let results = vec![count.to_string(), cell(sum), cell(quantities.iter().max().copied())];
                if keys.is_empty() { (results[0].clone(), results[1..].to_vec()) } else { (key, results) }
            });
            let expected = expected.collect::<BTreeMap<_, _>>();
            for (size, per_record) in [(1, false), (2, false), (9, false), (9, true), (8_192, false), (8_192, true)] {
                let query = GroupSpec {
                    emission: Emission { per_record, ..early() },
                    ttl: by_event_time(ttl * SECOND),
                    ..spec(keys, calls.clone(), None)
                };
                let mut harness = Harness::new(GroupChanges::new(&query, &schema()).unwrap());
                let (mut found, mut highest) = (BTreeMap::new(), i64::MIN);
                for rows in rows.chunks(size) {
                    harness.batch(batch(rows)).unwrap();
                    highest = rows.iter().map(|row| row.time).fold(highest, i64::max);
                    harness.watermark(Watermark(highest - disorder * SECOND)).unwrap();
                    let batches = harness.take_batches();
                    if !keys.is_empty() {
                        latest(&mut found, &batches);
                    } else if let Some(row) = batches.last().and_then(|batch| cells(&batch.columns).pop()) {
                        found = BTreeMap::from([(row[0].clone(), row[1..].to_vec())]);
                    }
                }
                assert_eq!(found, expected, "seed {seed}, ttl {ttl}, keys {keys:?}, batches of {size}, {per_record}");
            }
        }
    }
}

#[test]
fn forgotten_by_the_clock() {
    let query = GroupSpec { ttl: by_clock(10), ..counted(false) };
    let mut harness = Harness::new(GroupChanges::new(&query, &schema()).unwrap());
    let one = |key: &str| rows_at(&[(key, 1.0, "1")]);
    harness.batch(one("a")).unwrap();
    harness.clock(6).unwrap();
    harness.batch(one("a")).unwrap();
    harness.batch(one("b")).unwrap();
    harness.take();
    harness.clock(15).unwrap();
    harness.batch(one("a")).unwrap();
    assert_eq!(shown(&mut harness), ["-U a 2", "+U a 3"]);
    harness.clock(16).unwrap();
    assert_eq!(shown(&mut harness), [""; 0], "what was shown is not taken back");
    harness.batch(one("b")).unwrap();
    harness.batch(one("a")).unwrap();
    assert_eq!(shown(&mut harness), ["+I b 1", "-U a 3", "+U a 4"]);
}

/// Many keys that come once do not pile up.
#[test]
fn forgotten_groups_leave_no_memory_behind() {
    for ttl in [by_event_time(10 * SECOND), by_clock(10)] {
        let query = GroupSpec { ttl, ..counted(false) };
        let mut harness = Harness::new(GroupChanges::new(&query, &schema()).unwrap());
        let mut most = 0;
        for step in 0..300_i64 {
            let rows = (0..100).map(|n| Row::at(&format!("{step} {n}"), step * SECOND, "1"));
            harness.batch(batch(&rows.collect::<Vec<_>>())).unwrap();
            harness.watermark(Watermark(step * SECOND)).unwrap();
            harness.clock(step).unwrap();
            if step == 100 {
                most = harness.operator.memory();
            }
        }
        assert!(harness.operator.memory() <= most, "{} after {most}", harness.operator.memory());
    }
}

/// A row that is taken back of a group that was forgotten is not there.
#[test]
fn what_was_forgotten_cannot_be_taken_back() {
    let query = GroupSpec { ttl: by_event_time(10 * SECOND), ..counted(true) };
    let mut harness = Harness::new(GroupChanges::new(&query, &schema()).unwrap());
    let mut change = |changes: &[(RowKind, i64)]| {
        let rows = changes.iter().map(|(_, second)| Row::at("a", second * SECOND, "1")).collect::<Vec<_>>();
        let kinds = RowKinds::new(changes.iter().map(|(kind, _)| *kind).collect());
        harness.batch(Batch { kinds: Some(kinds), origin: None, ..batch(&rows) }).unwrap();
        shown(&mut harness)
    };
    assert_eq!(change(&[(RowKind::Insert, 1), (RowKind::Insert, 2)]), ["+I a 2"]);
    assert_eq!(change(&[(RowKind::Delete, 12)]), [""; 0]);
    assert_eq!(change(&[(RowKind::Insert, 13), (RowKind::Delete, 13), (RowKind::Delete, 13)]), [""; 0]);
    assert_eq!(change(&[(RowKind::Insert, 14)]), ["+I a 1"]);
}

#[test]
fn rows_under_a_key_are_forgotten() {
    let key = ["note".to_owned()];
    for ttl in [by_event_time(10 * SECOND), by_clock(10)] {
        let mut harness = Harness::new(LatestByKey::new(&key, ttl, schema()).unwrap());
        let mut change = |second: i64, kind: RowKind, key: &str| {
            harness.clock(second).unwrap();
            let row = batch(&[Row::at(key, second * SECOND, "1")]);
            harness.batch(Batch { kinds: Some(RowKinds::new(vec![kind])), origin: None, ..row }).unwrap();
            let rows = harness.take_batches();
            let rows = rows.iter().flat_map(|batch| {
                kinds_of(batch)
                    .into_iter()
                    .zip(cells(&batch.columns))
                    .map(|(kind, row)| format!("{} {}", kind.symbol(), row[0]))
                    .collect::<Vec<_>>()
            });
            rows.collect::<Vec<_>>()
        };
        assert_eq!(change(0, RowKind::Insert, "a"), ["+I a"]);
        assert_eq!(change(9, RowKind::Insert, "b"), ["-U a", "+U b"]);
        assert_eq!(change(18, RowKind::Delete, "b"), ["-U b", "+U a"], "what lies below was touched with it");
        assert_eq!(change(28, RowKind::Insert, "c"), ["+I c"]);
        assert_eq!(change(29, RowKind::Delete, "c"), ["-D c"], "nothing is below");
    }
}
