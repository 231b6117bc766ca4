//! Tables with a key, against a map.

use velo_core::lookup::{TableReader, TableRow, TableVersion, TableWriter};
use velo_tables::table;
use velo_testkit::Random;

use super::rows::{KEYS, Key, Naive, changes, check_lookups, keyed, rows_of, scan};

fn check(key: Key, version: &dyn TableVersion, naive: &Naive, keys: u64) {
    let expected: Vec<_> = naive.by_place.values().cloned().collect();
    assert_eq!(scan(version), expected, "{key:?}");
    assert_eq!(version.rows(), expected.len() as u64);
    let mut all = Vec::new();
    version.all(&mut all);
    assert_eq!(all.len(), expected.len());
    assert!(all.is_sorted() && all.iter().all(|row| row.is_some()));
    check_lookups(key, version, &expected, keys);
}

#[tokio::test]
async fn any_key_under_any_size_of_batches() {
    for (seed, key) in KEYS.into_iter().enumerate() {
        for (size, batches) in [(1, 60), (2, 60), (700, 12), (8_192, 3)] {
            let mut random = Random::new(seed as u64 * 10 + size as u64);
            let keys = key.distinct(if size == 700 { 2_000 } else { 90 });
            let (reader, mut writer) = table(keyed(key, false)).unwrap();
            let mut naive = Naive::default();
            for round in 0..batches {
                let made = naive.change(&mut random, keys, size);
                writer.apply(&changes(key, &made)).unwrap();
                if round % 3 == 2 {
                    let before = reader.version().number();
                    writer.publish().await.unwrap();
                    assert_eq!(reader.version().number(), before + 1);
                    check(key, reader.version().as_ref(), &naive, keys);
                }
            }
            let counts = reader.counters().counts();
            assert_eq!((counts.replaced, counts.absent), (naive.replaced, naive.absent));
            assert_eq!(counts.rows, naive.by_place.len() as u64);
            assert_eq!(counts.versions, batches / 3);
        }
    }
}

#[tokio::test]
async fn rows_that_nobody_needs_are_taken_out_while_others_change() {
    let key = Key::Text;
    let mut random = Random::new(5);
    let (reader, mut writer) = table(keyed(key, false)).unwrap();
    let mut naive = Naive::default();
    let keys = 9_000;
    for round in 0..60 {
        // Of each four rounds one touches few keys, so that what stays lies in all segments.
        let made = naive.change(&mut random, if round % 4 == 0 { keys } else { 500 }, 8_192);
        writer.apply(&changes(key, &made)).unwrap();
        writer.publish().await.unwrap();
        if round % 20 == 19 {
            check(key, reader.version().as_ref(), &naive, keys);
        }
    }
    let (kept, number) = (reader.version(), reader.version().number());
    writer.settle().await.unwrap();
    assert_eq!(reader.version().number(), number);
    check(key, reader.version().as_ref(), &naive, keys);
    // The tail stays as it is: at most one segment of rows that were replaced.
    assert!(reader.version().memory() < 8_000_000, "{}", reader.version().memory());
    check(key, kept.as_ref(), &naive, keys);
    for _ in 0..10 {
        let made = naive.change(&mut random, keys, 8_192);
        writer.apply(&changes(key, &made)).unwrap();
        writer.publish().await.unwrap();
    }
    check(key, reader.version().as_ref(), &naive, keys);
}

#[tokio::test]
async fn an_empty_table_finds_nothing() {
    let (reader, mut writer) = table(keyed(Key::Long, true)).unwrap();
    for finished in [false, true] {
        let version = reader.version();
        check(Key::Long, version.as_ref(), &Naive::default(), 10);
        let mut found = Vec::new();
        version.find_as_of(&Key::Long.columns(&[1, 2]), &[1, 2], &mut found).unwrap();
        assert_eq!(found, [TableRow::NONE; 2]);
        assert_eq!(version.take(&found, &[0, 3]).unwrap()[1].null_count(), 2);
        assert_eq!(version.is_last(), finished);
        writer.finish().await.unwrap();
    }
}

#[tokio::test]
async fn no_reader_sees_what_was_not_published() {
    let (reader, mut writer) = table(keyed(Key::Long, false)).unwrap();
    let mut naive = Naive::default();
    let mut random = Random::new(1);
    let mut versions = Vec::new();
    for _ in 0..40 {
        let made = naive.change(&mut random, 300, 100);
        writer.apply(&changes(Key::Long, &made)).unwrap();
        let before: Vec<_> = reader.version().scan().flat_map(|batch| rows_of(&batch)).collect();
        assert_eq!(versions.last().map_or(Vec::new(), |(_, rows): &(_, Vec<_>)| rows.clone()), before);
        writer.publish().await.unwrap();
        versions.push((reader.version(), naive.by_place.values().cloned().collect::<Vec<_>>()));
    }
    // Old versions are as they were.
    for (version, rows) in &versions {
        assert_eq!(&scan(version.as_ref()), rows);
        check_lookups(Key::Long, version.as_ref(), rows, 300);
    }
}
