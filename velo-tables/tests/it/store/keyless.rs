//! Tables without a key: rows are added, and taken back whole.

use std::collections::{BTreeMap, HashSet};

use velo_core::RowKind;
use velo_core::lookup::{TableReader, TableWriter};
use velo_tables::table;
use velo_testkit::Random;

use super::rows::{KEYS, Key, Row, changes, check_lookups, keyless, random_row, scan};

/// Rows in their order; a retraction takes the first that is equal but for its event time.
#[derive(Debug, Default)]
struct Naive {
    rows: BTreeMap<u64, Row>,
    next: u64,
    absent: u64,
}

impl Naive {
    fn apply(&mut self, kind: RowKind, row: &Row) {
        if !kind.retracts() {
            self.rows.insert(self.next, row.clone());
            self.next += 1;
            return;
        }
        let equal = |other: &Row| Row { time: row.time, ..other.clone() } == *row;
        match self.rows.iter().find(|(_, other)| equal(other)).map(|(place, _)| *place) {
            Some(place) => drop(self.rows.remove(&place)),
            None => self.absent += 1,
        }
    }

    /// Few values, so that rows are equal.
    fn change(&mut self, random: &mut Random, keys: u64, count: usize, retracts: bool) -> Vec<(RowKind, Row)> {
        let mut made = Vec::new();
        while made.len() < count {
            let row = |random: &mut Random| Row { value: random.below(3) as i64, ..random_row(random, keys) };
            let known = (!self.rows.is_empty()).then(|| {
                let places: Vec<_> = self.rows.keys().copied().collect();
                self.rows[random.pick(&places)].clone()
            });
            let change = match (random.below(10), known) {
                (0..=2, Some(known)) if retracts => vec![(RowKind::Delete, known)],
                (3..=4, Some(known)) if retracts => {
                    vec![(RowKind::UpdateBefore, known), (RowKind::UpdateAfter, row(random))]
                }
                (5, _) if retracts => vec![(RowKind::Delete, row(random))],
                _ => vec![(RowKind::Insert, row(random))],
            };
            for (kind, row) in &change {
                self.apply(*kind, row);
            }
            made.extend(change);
        }
        made
    }
}

#[tokio::test]
async fn rows_are_added_and_taken_back() {
    for (seed, key) in KEYS.into_iter().enumerate() {
        for (size, batches) in [(1, 60), (2, 60), (300, 8)] {
            let mut random = Random::new(seed as u64 * 7 + size as u64);
            let keys = key.distinct(20);
            let (reader, mut writer) = table(keyless(key)).unwrap();
            let mut naive = Naive::default();
            for round in 0..batches {
                // The first rows are only added, so that the index by all columns is made over rows that are there.
                let made = naive.change(&mut random, keys, size, round > 2);
                writer.apply(&changes(key, &made)).unwrap();
                if round % 4 == 3 {
                    writer.publish().await.unwrap();
                    let rows: Vec<_> = naive.rows.values().cloned().collect();
                    let version = reader.version();
                    assert_eq!(scan(version.as_ref()), rows, "{key:?}");
                    check_lookups(key, version.as_ref(), &rows, keys);
                }
            }
            assert_eq!(reader.counters().counts().absent, naive.absent);
        }
    }
}

#[tokio::test]
async fn one_key_may_have_most_of_the_rows() {
    let key = Key::Text;
    let mut random = Random::new(11);
    let (reader, mut writer) = table(keyless(key)).unwrap();
    let mut rows = Vec::new();
    for round in 0..12 {
        let made: Vec<_> = (0..8_192)
            .map(|at| {
                let key = if at % 10 < 8 { 7 } else { random.below(500) };
                let value = round * 8_192 + at;
                Row { key, value, ..random_row(&mut random, 20) }
            })
            .collect();
        rows.extend(made.iter().cloned());
        writer.apply(&changes(key, &made.into_iter().map(|row| (RowKind::Insert, row)).collect::<Vec<_>>())).unwrap();
        writer.publish().await.unwrap();
    }
    check_lookups(key, reader.version().as_ref(), &rows, 500);
    // Half of them go again, in another order than that in which they came.
    let mut gone = rows.clone();
    random.shuffle(&mut gone);
    gone.truncate(rows.len() / 2);
    for part in gone.chunks(8_192) {
        let made: Vec<_> = part.iter().map(|row| (RowKind::Delete, row.clone())).collect();
        writer.apply(&changes(key, &made)).unwrap();
    }
    writer.publish().await.unwrap();
    writer.settle().await.unwrap();
    let gone: HashSet<i64> = gone.into_iter().map(|row| row.value).collect();
    let expected: Vec<_> = rows.into_iter().filter(|row| !gone.contains(&row.value)).collect();
    assert_eq!(scan(reader.version().as_ref()), expected);
    check_lookups(key, reader.version().as_ref(), &expected, 500);
    assert_eq!(reader.counters().counts().absent, 0);
}
