//! An operator between restarts: what comes out must be what comes out without them, in one task and in several.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::{RecordBatch, UInt32Array};
use velo_core::{Batch, RowKind, Watermark};
use velo_exec::checkpoint::state::task_of;
use velo_exec::checkpoint::{OperatorState, Share};
use velo_exec::operator::{Element, Operator};
use velo_exec::state::KeyGrouper;
use velo_exec::testing::{Harness, Random};

use super::cells;

/// What happens to an operator.
#[derive(Debug, Clone)]
pub enum Event {
    Batch(Batch),
    Watermark(i64),
    Clock(i64),
    Idle,
}

fn happen<O: Operator>(harness: &mut Harness<O>, event: &Event) {
    match event {
        Event::Batch(batch) => harness.batch(batch.clone()).unwrap(),
        Event::Watermark(time) => harness.watermark(Watermark(*time)).unwrap(),
        Event::Clock(time) => harness.clock(*time).unwrap(),
        Event::Idle => harness.idle().unwrap(),
    }
}

/// Rows with their kinds and, where these count, their times.
fn rows(batch: &Batch, timed: bool) -> Vec<(RowKind, String)> {
    let kinds = batch.kinds.as_ref().map(|kinds| kinds.as_slice());
    let kind = |row: usize| kinds.map_or(RowKind::Insert, |kinds| kinds[row]);
    let time = |row: usize| batch.event_times().map(|times| times.value(row)).unwrap_or_default();
    let late = |row: usize| batch.late_by.as_ref().map_or(0, |late| late.value(row));
    let times = |row: usize| if timed { format!(" {} {}", time(row), late(row)) } else { String::new() };
    let rows = cells(&batch.columns).into_iter().enumerate();
    rows.map(|(row, cells)| (kind(row), format!("{}{}", cells.join(" "), times(row)))).collect()
}

fn taken<O: Operator>(harness: &mut Harness<O>) -> Vec<String> {
    let mut told = Vec::new();
    for element in harness.take() {
        match element {
            Element::Batch(batch) => {
                let place = batch.origin.as_ref().map(|origin| origin.positions.clone());
                told.extend(rows(&batch, true).into_iter().map(|(kind, row)| format!("{} {row}", kind.symbol())));
                told.extend(place.map(|place| format!("from {place:?}")));
            }
            other => told.push(format!("{other:?}")),
        }
    }
    told.extend(harness.take_dead_letters().into_iter().map(|letter| letter.error));
    told
}

/// What comes out at each event and at the end, with a restart before those of some numbers; last how many rows were late.
pub fn told<O: Operator>(make: &dyn Fn() -> O, events: &[Event], restarts: &BTreeSet<usize>) -> Vec<Vec<String>> {
    let (mut harness, mut told) = (Harness::new(make()), Vec::new());
    for at in 0..=events.len() {
        if restarts.contains(&at) {
            if at == 0 {
                harness.load(vec![], Share::WHOLE).unwrap();
            }
            harness.restart(make()).unwrap();
        }
        match events.get(at) {
            Some(event) => happen(&mut harness, event),
            None => harness.end().unwrap(),
        }
        told.push(taken(&mut harness));
    }
    let late = harness.operator.late().map(|late| (late.rows(), late.windows()));
    told.push(vec![format!("{late:?}, {:?}", harness.forwarded())]);
    told
}

/// The numbers of the events before which there is a restart: all, the first, the end, and some at random.
pub fn points(events: usize, random: &mut Random) -> Vec<BTreeSet<usize>> {
    let mut some = || (0..3).map(|_| random.below(events as u64 + 1) as usize).collect();
    vec![(0..=events).collect(), BTreeSet::from([0]), BTreeSet::from([events]), some(), some()]
}

/// With restarts at any points the same comes out, element by element; with `unordered` of each event in any order.
pub fn goes_on<O: Operator>(make: &dyn Fn() -> O, events: &[Event], unordered: bool, seed: u64, context: &str) {
    let run = |restarts: &BTreeSet<usize>| {
        let mut told = told(make, events, restarts);
        told.iter_mut().filter(|_| unordered).for_each(|told| told.sort());
        told
    };
    let expected = run(&BTreeSet::new());
    for restarts in points(events.len(), &mut Random::new(seed + 1)) {
        let found = run(&restarts);
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "at {at} of {}, restarts {restarts:?}: {context}", events.len());
        }
    }
}

/// What comes out of several tasks that share the rows by some columns, and are others, as many, from each of some points on:
/// what it folds to, and how many rows were late.
fn folded<O: Operator>(
    make: &dyn Fn() -> O,
    events: &[Event],
    key: &[usize],
    tasks: &BTreeMap<usize, usize>,
    timed: bool,
    context: &str,
) -> (BTreeMap<String, i64>, (u64, u64), Vec<String>) {
    let (mut harnesses, mut folded, mut letters) = (vec![Harness::new(make())], BTreeMap::<String, i64>::new(), vec![]);
    let mut now = 0;
    for at in 0..=events.len() {
        if let Some(tasks) = tasks.get(&at) {
            let saved = harnesses.iter_mut().map(|harness| harness.save().unwrap()).collect::<Vec<_>>();
            harnesses = (0..*tasks).map(|_| Harness::new(make())).collect();
            for (task, harness) in harnesses.iter_mut().enumerate() {
                harness.clock(now).unwrap();
                harness.load(saved.clone(), Share { task, tasks: *tasks }).unwrap();
            }
        }
        match events.get(at) {
            Some(Event::Batch(batch)) => {
                let keys = key.iter().map(|at| batch.columns.column(*at).clone()).collect::<Vec<_>>();
                let mut groups = Vec::new();
                KeyGrouper::new().key_groups(&keys, batch.rows(), &mut groups).unwrap();
                let count = harnesses.len();
                for (task, harness) in harnesses.iter_mut().enumerate() {
                    let of_task = (0..batch.rows() as u32).filter(|row| task_of(groups[*row as usize], count) == task);
                    let part = batch.take(&UInt32Array::from_iter_values(of_task)).unwrap();
                    if !part.is_empty() {
                        harness.batch(part).unwrap();
                    }
                }
            }
            Some(event) => harnesses.iter_mut().for_each(|harness| happen(harness, event)),
            None => harnesses.iter_mut().for_each(|harness| harness.end().unwrap()),
        }
        if let Some(Event::Clock(time)) = events.get(at) {
            now = *time;
        }
        for harness in &mut harnesses {
            for (kind, row) in harness.take_batches().iter().flat_map(|batch| rows(batch, timed)) {
                let count = folded.entry(row).or_default();
                *count += if kind.retracts() { -1 } else { 1 };
            }
            letters.extend(harness.take_dead_letters().into_iter().map(|letter| letter.error));
        }
        assert!(folded.values().all(|count| *count >= 0), "at {at} of {tasks:?}: {context}");
    }
    folded.retain(|_, count| *count > 0);
    letters.sort();
    let late = harnesses.iter().filter_map(|harness| harness.operator.late());
    let late = late.fold((0, 0), |(rows, windows), late| (rows + late.rows(), windows + late.windows()));
    (folded, late, letters)
}

/// With one, two and three tasks by turns the same comes out as with one.
pub fn goes_on_in_other_tasks<O: Operator>(
    make: &dyn Fn() -> O,
    events: &[Event],
    key: &[usize],
    seed: u64,
    context: &str,
) {
    by_turns(make, events, key, true, seed, context);
}

/// The same where what is taken back can have another event time than when it came.
pub fn goes_on_in_other_tasks_untimed<O: Operator>(
    make: &dyn Fn() -> O,
    events: &[Event],
    key: &[usize],
    seed: u64,
    context: &str,
) {
    by_turns(make, events, key, false, seed, context);
}

fn by_turns<O: Operator>(make: &dyn Fn() -> O, events: &[Event], key: &[usize], timed: bool, seed: u64, context: &str) {
    let mut random = Random::new(seed + 2);
    let expected = folded(make, events, key, &BTreeMap::new(), timed, context);
    for (first, second) in [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2), (3, 3)] {
        let at = random.below(events.len() as u64 + 1) as usize;
        let tasks = BTreeMap::from([(0, first), (at.max(1), second)]);
        assert_eq!(folded(make, events, key, &tasks, timed, context), expected, "{tasks:?}: {context}");
    }
    let often = (0..=events.len()).step_by(1 + events.len() / 8);
    let tasks = often.map(|at| (at, 1 + random.below(3) as usize)).collect();
    assert_eq!(folded(make, events, key, &tasks, timed, context), expected, "{tasks:?}: {context}");
}

/// What an operator has saved behind these events.
pub fn saved<O: Operator>(make: &dyn Fn() -> O, events: &[Event]) -> OperatorState {
    let mut harness = Harness::new(make());
    events.iter().for_each(|event| happen(&mut harness, event));
    harness.save().unwrap()
}

/// A state that has another form is an error, each table and each value of it.
pub fn refuses_what_is_damaged<O: Operator>(make: &dyn Fn() -> O, events: &[Event]) {
    let good = saved(make, events);
    assert!(!good.tables.is_empty() || !good.values.is_empty());
    let load = |state: OperatorState| Harness::new(make()).load(vec![state], Share::WHOLE);
    load(good.clone()).unwrap();
    let narrow = |rows: &RecordBatch| rows.project(&(1..rows.num_columns()).collect::<Vec<_>>()).unwrap();
    for table in good.tables.keys() {
        let mut bad = good.clone();
        bad.tables
            .get_mut(table)
            .unwrap()
            .iter_mut()
            .for_each(|rows| *rows = narrow(&rows.here().unwrap().unwrap()).into());
        assert!(load(bad).is_err(), "{table}");
    }
    for value in good.values.keys() {
        let mut bad = good.clone();
        bad.values.insert(value.clone(), serde_json::Value::Bool(true));
        assert!(load(bad).is_err(), "{value}");
    }
}

/// Each table and each value that is saved is needed: without it another thing comes out at some restart.
pub fn misses_what_is_lost<O: Operator>(make: &dyn Fn() -> O, events: &[Event]) {
    let expected = told(make, events, &BTreeSet::new());
    let all = saved(make, events);
    let mut unnoticed: BTreeSet<String> = all.tables.keys().chain(all.values.keys()).cloned().collect();
    for at in 0..=events.len() {
        let state = saved(make, &events[..at]);
        unnoticed.retain(|name| {
            let mut state = state.clone();
            state.tables.remove(name);
            state.values.remove(name);
            let mut harness = Harness::new(make());
            let now =
                events[..at].iter().rev().find_map(|event| if let Event::Clock(at) = event { Some(*at) } else { None });
            harness.clock(now.unwrap_or_default()).unwrap();
            if harness.load(vec![state], Share::WHOLE).is_err() {
                return false;
            }
            let mut told = Vec::new();
            for event in &events[at..] {
                happen(&mut harness, event);
                told.push(taken(&mut harness));
            }
            harness.end().unwrap();
            told.push(taken(&mut harness));
            let late = harness.operator.late().map(|late| (late.rows(), late.windows()));
            told.push(vec![format!("{late:?}, {:?}", harness.forwarded())]);
            told == expected[at..]
        });
    }
    assert!(unnoticed.is_empty(), "{unnoticed:?} could be lost");
}
