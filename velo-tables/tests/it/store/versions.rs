//! Rows as of an event time, whatever the order in which they came.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef};
use velo_core::lookup::{TableReader, TableVersion, TableWriter};
use velo_core::{RowKind, Watermark};
use velo_tables::table;
use velo_testkit::Random;

use super::rows::{KEYS, Key, Naive, Row, changes, check_lookups, keyed, random_row, scan};

/// By key and time the value, or nothing from there on; of equal times the one that came last.
pub type History = BTreeMap<(u64, i64), Option<i64>>;

pub fn as_of(history: &History, key: u64, time: i64) -> Option<i64> {
    let (_, value) = history.range((key, i64::MIN)..=(key, time)).next_back()?;
    *value
}

pub fn check_as_of(key: Key, version: &dyn TableVersion, history: &History, keys: u64, times: std::ops::Range<i64>) {
    let (mut numbers, mut at) = (Vec::new(), Vec::new());
    for number in 0..key.distinct(keys + 2) {
        for time in times.clone() {
            numbers.push(number);
            at.push(time);
        }
    }
    let mut found = Vec::new();
    version.find_as_of(&key.columns(&numbers), &at, &mut found).unwrap();
    let column = key.columns(&[0]).len() + 1;
    let values: ArrayRef = version.take(&found, &[column]).unwrap().remove(0);
    let values = values.as_primitive::<Int64Type>();
    for (row, (number, time)) in numbers.iter().zip(&at).enumerate() {
        let value = values.is_valid(row).then(|| values.value(row));
        let expected = if key.is_null(*number) { None } else { as_of(history, *number, *time) };
        assert_eq!(value, expected, "{key:?} {number} as of {time}");
    }
}

fn note(history: &mut History, made: &[(RowKind, Row)]) {
    for (kind, row) in made {
        match kind {
            RowKind::UpdateBefore => {}
            RowKind::Delete => drop(history.insert((row.key, row.time), None)),
            _ => drop(history.insert((row.key, row.time), Some(row.value))),
        }
    }
}

/// Changes with any event times: nothing here comes in its order.
fn random_changes(random: &mut Random, keys: u64, count: usize, from: i64) -> Vec<(RowKind, Row)> {
    (0..count)
        .map(|_| {
            let kind = if random.chance(1, 4) { RowKind::Delete } else { RowKind::Insert };
            let row = random_row(random, keys);
            (kind, Row { time: from + row.time, ..row })
        })
        .collect()
}

#[tokio::test]
async fn the_newest_row_of_each_time_is_found() {
    for (seed, key) in KEYS.into_iter().enumerate() {
        for (size, batches) in [(1, 80), (2, 60), (500, 4)] {
            let mut random = Random::new(seed as u64 * 13 + size as u64);
            let keys = key.distinct(12);
            let (reader, mut writer) = table(keyed(key, true)).unwrap();
            let (mut naive, mut history) = (Naive::default(), History::new());
            for round in 0..batches {
                let made = random_changes(&mut random, keys, size, 0);
                note(&mut history, &made);
                made.iter().for_each(|(kind, row)| naive.apply(*kind, row));
                writer.apply(&changes(key, &made)).unwrap();
                if round % 4 == 3 {
                    writer.publish().await.unwrap();
                    let version = reader.version();
                    check_as_of(key, version.as_ref(), &history, keys, -1..101);
                    // As it is, a table has the rows that came last.
                    let rows: Vec<_> = naive.by_place.values().cloned().collect();
                    assert_eq!(scan(version.as_ref()), rows);
                    check_lookups(key, version.as_ref(), &rows, keys);
                }
            }
        }
    }
}

#[tokio::test]
async fn what_nobody_asks_for_is_forgotten() {
    let key = Key::Text;
    let mut random = Random::new(3);
    let keys = 2_000;
    let (reader, mut writer) = table(keyed(key, true)).unwrap();
    let mut history = History::new();
    let mut largest = 0;
    let (asking, slower) = (reader.as_of_reader(), reader.as_of_reader());
    for round in 0..40_i64 {
        // Two rounds overlap in time, so that rows come out of their order around what is forgotten.
        let made = random_changes(&mut random, keys, 8_192, round * 50);
        note(&mut history, &made);
        writer.apply(&changes(key, &made)).unwrap();
        writer.publish().await.unwrap();
        let asked = round * 50;
        asking.advance(Watermark(asked));
        // The slowest counts.
        slower.advance(Watermark(asked - 10));
        writer.apply(&changes(key, &[(RowKind::Insert, Row { time: asked + 99, ..made[0].1.clone() })])).unwrap();
        note(&mut history, &[(RowKind::Insert, Row { time: asked + 99, ..made[0].1.clone() })]);
        writer.publish().await.unwrap();
        writer.settle().await.unwrap();
        if round % 8 == 7 {
            check_as_of(key, reader.version().as_ref(), &history, 300, asked - 10..asked + 110);
        }
        if round == 19 {
            largest = reader.version().memory();
        }
    }
    // It does not grow with the number of changes, but for the marks of positions that are used up.
    assert!(reader.version().memory() < largest * 5 / 4, "{} after {largest}", reader.version().memory());
    // Everything goes but the newest of each key, and keys that were deleted go altogether.
    drop(slower);
    asking.advance(Watermark(10_000));
    writer.apply(&changes(key, &[(RowKind::Insert, Row { key: 0, value: 1, group: None, time: 9_999 })])).unwrap();
    note(&mut history, &[(RowKind::Insert, Row { key: 0, value: 1, group: None, time: 9_999 })]);
    writer.publish().await.unwrap();
    check_as_of(key, reader.version().as_ref(), &history, keys, 10_000..10_001);
}
