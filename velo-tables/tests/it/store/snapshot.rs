//! Tables saved and loaded, and snapshots that are damaged.

use std::collections::BTreeMap;

use velo_core::lookup::{TableReader, TableWriter};
use velo_core::offset::{Position, SourceOffset};
use velo_core::time::Watermark;
use velo_core::{Batch, RowKind};
use velo_tables::{StoreSpec, load, save, table};
use velo_testkit::Random;

use super::rows::{KEYS, Key, Naive, Row, batch, changes, check_lookups, keyed, keyless, scan};
use super::versions::{History, as_of, check_as_of};

fn offset() -> SourceOffset {
    SourceOffset { partitions: BTreeMap::from([("0".to_owned(), Position::Offset(42))]) }
}

async fn saved(spec: StoreSpec, key: Key, made: &[(RowKind, Row)]) -> (Vec<u8>, Vec<Row>) {
    let (reader, mut writer) = table(spec).unwrap();
    for part in made.chunks(500) {
        writer.apply(&changes(key, part)).unwrap();
        writer.publish().await.unwrap();
    }
    writer.advance(Watermark(77));
    let mut bytes = Vec::new();
    save(&reader, &offset(), &mut bytes).unwrap();
    (bytes, scan(reader.version().as_ref()))
}

#[tokio::test]
async fn what_was_saved_is_loaded() {
    for (seed, key) in KEYS.into_iter().enumerate() {
        let mut naive = Naive::default();
        let keys = key.distinct(4_000);
        let made = naive.change(&mut Random::new(seed as u64), keys, 10_000);
        let (bytes, rows) = saved(keyed(key, false), key, &made).await;
        let (reader, mut writer) = table(keyed(key, false)).unwrap();
        let head = load(&mut writer, &mut bytes.as_slice()).unwrap();
        assert_eq!((head.offset, head.watermark), (offset(), Watermark(77)));
        assert_eq!((head.counts.replaced, head.counts.rows), (naive.replaced, rows.len() as u64));
        assert_eq!(scan(reader.version().as_ref()), []);
        writer.ready().await.unwrap();
        assert_eq!(scan(reader.version().as_ref()), rows);
        check_lookups(key, reader.version().as_ref(), &rows, keys);
        assert_eq!(reader.counters().counts().replaced, naive.replaced);
        // It goes on as the one that was saved would.
        let more = naive.change(&mut Random::new(99), keys, 500);
        writer.apply(&changes(key, &more)).unwrap();
        writer.publish().await.unwrap();
        let rows: Vec<_> = naive.by_place.values().cloned().collect();
        assert_eq!(scan(reader.version().as_ref()), rows);
    }
}

#[tokio::test]
async fn rows_without_a_key_and_no_rows_at_all() {
    let key = Key::Text;
    let row = |key| (RowKind::Insert, Row { key, value: 1, group: None, time: 4 });
    for made in [vec![], vec![row(1), row(1), row(2)]] {
        let (bytes, rows) = saved(keyless(key), key, &made).await;
        let (reader, mut writer) = table(keyless(key)).unwrap();
        load(&mut writer, &mut bytes.as_slice()).unwrap();
        writer.publish().await.unwrap();
        assert_eq!(scan(reader.version().as_ref()), rows);
    }
}

#[tokio::test]
async fn versions_are_saved_too() {
    for (seed, key) in [Key::Long, Key::LongAndText, Key::Bytes].into_iter().enumerate() {
        let mut random = Random::new(seed as u64 + 50);
        let (mut naive, mut history) = (Naive::default(), History::new());
        let (reader, mut writer) = table(keyed(key, true)).unwrap();
        let mut made = naive.change(&mut random, 40, 2_000);
        for (kind, row) in &mut made {
            if *kind == RowKind::Delete {
                row.time = random.below(100) as i64;
            }
        }
        for (kind, row) in &made {
            match kind {
                RowKind::UpdateBefore => {}
                RowKind::Delete => drop(history.insert((row.key, row.time), None)),
                _ => drop(history.insert((row.key, row.time), Some(row.value))),
            }
        }
        writer.apply(&changes(key, &made)).unwrap();
        // What was forgotten is not saved, and what stands is, however old.
        let asking = reader.as_of_reader();
        asking.advance(Watermark(60));
        writer.publish().await.unwrap();
        let mut bytes = Vec::new();
        save(&reader, &offset(), &mut bytes).unwrap();
        let rows = scan(reader.version().as_ref());
        let (reader, mut writer) = table(keyed(key, true)).unwrap();
        load(&mut writer, &mut bytes.as_slice()).unwrap();
        writer.publish().await.unwrap();
        assert_eq!(scan(reader.version().as_ref()), rows);
        check_lookups(key, reader.version().as_ref(), &rows, 40);
        check_as_of(key, reader.version().as_ref(), &history, 40, 60..101);
        assert!((0..40).any(|key| as_of(&history, key, 80) != as_of(&history, key, 61)));
    }
}

#[tokio::test]
async fn a_damaged_snapshot_is_an_error() {
    let key = Key::Text;
    let mut random = Random::new(1);
    let made = Naive::default().change(&mut random, 200, 400);
    let (bytes, _) = saved(keyed(key, false), key, &made).await;
    let try_load = |bytes: &[u8]| {
        let (_, mut writer) = table(keyed(key, false)).unwrap();
        load(&mut writer, &mut &*bytes)
    };
    try_load(&bytes).unwrap();
    for _ in 0..400 {
        let mut damaged = bytes.clone();
        let at = random.below(bytes.len() as u64) as usize;
        damaged[at] ^= 1 << random.below(8);
        let error = try_load(&damaged).unwrap_err();
        assert!(error.message.contains("the snapshot of table `t`"), "{error}");
        let cut = random.below(bytes.len() as u64) as usize;
        let error = try_load(&bytes[..cut]).unwrap_err();
        assert!(error.message.contains("cut off") || error.message.contains("cannot be read"), "{error}");
    }
    let mut later = bytes.clone();
    later[6] = 9;
    let error = try_load(&later).unwrap_err().to_string();
    assert!(error.contains("format 9") && error.contains("delete it"), "{error}");
    // Of another table, or into one that has rows.
    let (_, mut writer) = table(keyed(Key::Long, false)).unwrap();
    let error = load(&mut writer, &mut bytes.as_slice()).unwrap_err();
    assert!(error.message.contains("other columns"), "{error}");
    let (_, mut writer) = table(StoreSpec { name: "u".to_owned(), ..keyed(key, false) }).unwrap();
    assert!(load(&mut writer, &mut bytes.as_slice()).unwrap_err().message.contains("another table"));
    let (_, mut writer) = table(keyed(key, false)).unwrap();
    writer.apply(&Batch::new(batch(key, &[Row { key: 1, value: 1, group: None, time: 0 }]))).unwrap();
    assert!(load(&mut writer, &mut bytes.as_slice()).unwrap_err().message.contains("has rows already"));
}
