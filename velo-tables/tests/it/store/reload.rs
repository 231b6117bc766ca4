//! A table loaded again: the old content or the new one, and the difference for those who follow it.

use futures::FutureExt;
use velo_core::lookup::{TableChange, TableChanges, TableReader, TableWriter};
use velo_core::time::Watermark;
use velo_core::{Batch, RowKind};
use velo_tables::table;
use velo_testkit::Random;

use super::rows::{
    BY_KEY, KEYS, Key, Naive, Row, batch, changes, check_lookups, keyed, keyless, random_row, rows_of, scan,
};
use super::versions::{History, check_as_of};

fn drain(changes: &mut dyn TableChanges) -> Vec<(RowKind, Row)> {
    let mut all = Vec::new();
    while let Some(change) = changes.next().now_or_never() {
        if let TableChange::Rows(batch) = change.unwrap() {
            let rows = rows_of(&batch.columns);
            let kind = |at: usize| batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[at]);
            all.extend(rows.into_iter().enumerate().map(|(at, row)| (kind(at), row)));
        }
    }
    all
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

fn random_content(random: &mut Random, keys: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    for key in 0..keys {
        if random.chance(3, 4) {
            rows.push(Row { key, value: random.below(3) as i64, group: Some(0), time: 7 });
        }
    }
    random.shuffle(&mut rows);
    rows
}

#[tokio::test]
async fn the_difference_by_key_is_the_next_version() {
    for key in [Key::Long, Key::Text, Key::Struct] {
        let mut random = Random::new(2);
        let (reader, mut writer) = table(keyed(key, false)).unwrap();
        writer.ready().await.unwrap();
        let mut following = reader.follow();
        let mut before: Vec<Row> = Vec::new();
        for round in 0..12 {
            let content = random_content(&mut random, 300);
            let version = reader.version();
            writer.begin_reload().unwrap();
            for part in content.chunks(70) {
                writer.apply(&Batch::new(batch(key, part))).unwrap();
                writer.publish().await.unwrap();
                assert_eq!(reader.version().number(), version.number());
            }
            if round % 4 == 3 {
                writer.abort_reload();
                writer.publish().await.unwrap();
                assert_eq!(reader.version().number(), version.number());
                assert!(writer.commit_reload().await.is_err());
                assert_eq!(drain(following.as_mut()), []);
                continue;
            }
            writer.commit_reload().await.unwrap();
            assert_eq!(reader.version().number(), version.number() + 1);
            let now = scan(reader.version().as_ref());
            assert_eq!(sorted(now.clone()), sorted(content.clone()));
            check_lookups(key, reader.version().as_ref(), &now, 300);
            let told = drain(following.as_mut());
            let old = |key: u64| before.iter().find(|row| row.key == key);
            let new = |key: u64| content.iter().find(|row| row.key == key);
            let mut expected: Vec<(RowKind, Row)> = Vec::new();
            for key in 0..300 {
                match (old(key), new(key)) {
                    (Some(old), Some(new)) if old != new => {
                        expected.extend([(RowKind::UpdateBefore, old.clone()), (RowKind::UpdateAfter, new.clone())]);
                    }
                    (Some(old), None) => expected.push((RowKind::Delete, old.clone())),
                    (None, Some(new)) => expected.push((RowKind::Insert, new.clone())),
                    _ => {}
                }
            }
            let mut by_key = told.clone();
            by_key.sort_by_key(|(_, row)| row.key);
            assert_eq!(by_key, expected);
            before = content;
        }
        // The same again is no change; another event time alone is none either.
        let number = reader.version().number();
        let later: Vec<_> = before.iter().map(|row| Row { time: 100, ..row.clone() }).collect();
        writer.begin_reload().unwrap();
        writer.apply(&Batch::new(batch(key, &later))).unwrap();
        writer.commit_reload().await.unwrap();
        assert_eq!(reader.version().number(), number);
        assert_eq!(reader.counters().counts().replaced, 0);
    }
}

/// A first content whose index is made at the end is the table that it would be, had its rows gone in one by one.
#[tokio::test]
async fn a_first_content_is_what_its_rows_make() {
    for (seed, key) in KEYS.into_iter().enumerate() {
        let mut random = Random::new(seed as u64);
        for (keys, rows, changes_from) in [(300, 0, 0), (40, 3_000, 3_000), (4_000, 5_000, 5_000), (500, 2_000, 1_200)]
        {
            let keys = key.distinct(keys);
            let mut naive = Naive::default();
            let (reader, mut writer) = table(keyed(key, false)).unwrap();
            let mut following = reader.follow();
            // Given up half-way, it leaves nothing.
            writer.begin_reload().unwrap();
            writer.apply(&Batch::new(batch(key, &[random_row(&mut random, keys)]))).unwrap();
            writer.begin_reload().unwrap();
            for from in (0..rows).step_by(400) {
                let made: Vec<_> = match from < changes_from {
                    true => (0..400).map(|_| (RowKind::Insert, random_row(&mut random, keys))).collect(),
                    false => naive.change(&mut random, keys, 400),
                };
                if from < changes_from {
                    made.iter().for_each(|(kind, row)| naive.apply(*kind, row));
                }
                writer.apply(&changes(key, &made)).unwrap();
            }
            writer.commit_reload().await.unwrap();
            writer.ready().await.unwrap();
            let expected: Vec<_> = naive.by_place.values().cloned().collect();
            assert_eq!(scan(reader.version().as_ref()), expected, "{key:?}");
            check_lookups(key, reader.version().as_ref(), &expected, keys);
            let counts = reader.counters().counts();
            assert_eq!((counts.rows, counts.replaced), (expected.len() as u64, naive.replaced), "{key:?}");
            // Whoever follows it has the same rows.
            let mut followed = Naive::default();
            drain(following.as_mut()).iter().for_each(|(kind, row)| followed.apply(*kind, row));
            assert_eq!(followed.by_place.into_values().collect::<Vec<_>>(), expected, "{key:?}");
            // It goes on as any other table.
            let made = naive.change(&mut random, keys, 500);
            writer.apply(&changes(key, &made)).unwrap();
            writer.publish().await.unwrap();
            let expected: Vec<_> = naive.by_place.values().cloned().collect();
            assert_eq!(scan(reader.version().as_ref()), expected, "{key:?}");
            check_lookups(key, reader.version().as_ref(), &expected, keys);
        }
    }
}

#[tokio::test]
async fn the_difference_by_rows_keeps_what_is_equal() {
    let key = Key::Text;
    let mut random = Random::new(6);
    let (reader, mut writer) = table(keyless(key)).unwrap();
    writer.ready().await.unwrap();
    let mut following = reader.follow();
    let mut before: Vec<Row> = Vec::new();
    for _ in 0..8 {
        // Few values, so that many rows are equal.
        let content: Vec<_> = (0..400).map(|_| Row { value: 1, time: 3, ..random_row(&mut random, 12) }).collect();
        writer.begin_reload().unwrap();
        for part in content.chunks(150) {
            writer.apply(&Batch::new(batch(key, part))).unwrap();
        }
        writer.commit_reload().await.unwrap();
        let now = scan(reader.version().as_ref());
        assert_eq!(sorted(now.clone()), sorted(content.clone()));
        check_lookups(key, reader.version().as_ref(), &now, 12);
        let (mut gone, mut came) = (sorted(before.clone()), sorted(content.clone()));
        gone.retain(|row| match came.binary_search(row) {
            Ok(at) => {
                came.remove(at);
                false
            }
            Err(_) => true,
        });
        let told = drain(following.as_mut());
        let of = |wanted: RowKind| {
            sorted(told.iter().filter(|(kind, _)| *kind == wanted).map(|(_, row)| row.clone()).collect())
        };
        assert_eq!((of(RowKind::Delete), of(RowKind::Insert)), (gone, came));
        before = content;
    }
}

#[tokio::test]
async fn a_row_that_is_gone_ends_at_the_watermark() {
    let key = Key::Long;
    let (reader, mut writer) = table(keyed(key, true)).unwrap();
    let row = |key, value, time| Row { key, value, group: None, time };
    writer.apply(&Batch::new(batch(key, &[row(1, 10, 5), row(2, 20, 5), row(3, 30, 5)]))).unwrap();
    writer.ready().await.unwrap();
    writer.advance(Watermark(40));
    writer.begin_reload().unwrap();
    writer.apply(&Batch::new(batch(key, &[row(1, 10, 60), row(2, 21, 60)]))).unwrap();
    writer.commit_reload().await.unwrap();
    let history = History::from([
        ((1, 5), Some(10)),
        ((2, 5), Some(20)),
        ((2, 60), Some(21)),
        ((3, 5), Some(30)),
        ((3, 40), None),
    ]);
    check_as_of(key, reader.version().as_ref(), &history, 4, 0..70);
    let mut found = Vec::new();
    reader.version().find_one(BY_KEY, &key.columns(&[3]), &mut found).unwrap();
    assert!(!found[0].is_some());
}
