//! Readers on other threads beside a writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::FutureExt;
use velo_core::RowKind;
use velo_core::lookup::{TableReader, TableWriter};
use velo_core::time::Watermark;
use velo_tables::table;
use velo_testkit::Random;

use super::rows::{BY_KEY, Key, Row, batch, changes, keyed, scan};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_one_version_whole() {
    const KEYS: u64 = 3_000;
    const EACH: i64 = 100;
    let key = Key::Text;
    let (reader, mut writer) = table(keyed(key, false)).unwrap();
    let row = |key, value| Row { key, value, group: Some(value), time: 0 };
    let all: Vec<_> = (0..KEYS).map(|key| row(key, EACH)).collect();
    writer.apply(&velo_core::Batch::new(batch(key, &all))).unwrap();
    writer.publish().await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (reader, done) = (Arc::clone(&reader), Arc::clone(&done));
            std::thread::spawn(move || {
                let numbers = key.columns(&(0..KEYS).collect::<Vec<_>>());
                let (mut found, mut versions, mut number) = (Vec::new(), 0, 0);
                while !done.load(Ordering::Acquire) {
                    let version = reader.version();
                    assert!(version.number() >= number);
                    versions += u64::from(version.number() > number);
                    number = version.number();
                    version.find_one(BY_KEY, &numbers, &mut found).unwrap();
                    assert!(found.iter().all(|row| row.is_some()));
                    let sum: i64 =
                        version.take(&found, &[2]).unwrap()[0].as_primitive::<Int64Type>().values().iter().sum();
                    // Every change moves something from one row to another.
                    assert_eq!(sum, KEYS as i64 * EACH, "version {number}");
                    assert_eq!(version.rows(), KEYS);
                }
                versions
            })
        })
        .collect();
    let mut random = Random::new(4);
    let mut values = vec![EACH; KEYS as usize];
    for _ in 0..600 {
        let mut made = Vec::new();
        for _ in 0..50 {
            let (from, to) = (random.below(KEYS) as usize, random.below(KEYS) as usize);
            values[from] -= 1;
            values[to] += 1;
            for key in [from, to] {
                made.push((RowKind::UpdateAfter, row(key as u64, values[key])));
            }
        }
        writer.apply(&changes(key, &made)).unwrap();
        writer.publish().await.unwrap();
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
    writer.finish().await.unwrap();
    assert_eq!(scan(reader.version().as_ref()).len() as u64, KEYS);
}

#[tokio::test]
async fn news_wake_who_waits_and_only_them() {
    let (reader, mut writer) = table(keyed(Key::Long, false)).unwrap();
    let row = Row { key: 1, value: 1, group: None, time: 5 };
    let at = reader.version().number();
    let mut waits = reader.changed(at, Watermark::NONE);
    assert!(waits.as_mut().now_or_never().is_none());
    writer.publish().await.unwrap();
    writer.apply(&changes(Key::Long, &[(RowKind::Insert, row)])).unwrap();
    assert!(waits.as_mut().now_or_never().is_none());
    writer.publish().await.unwrap();
    waits.now_or_never().unwrap();
    // Who asks about an older version is answered at once.
    reader.changed(at, Watermark::NONE).now_or_never().unwrap();
    let at = reader.version();
    let mut waits = reader.changed(at.number(), Watermark(7));
    writer.advance(Watermark(7));
    assert!(waits.as_mut().now_or_never().is_none());
    writer.advance(Watermark(3));
    assert_eq!(at.watermark(), Watermark(7));
    writer.advance(Watermark(8));
    waits.now_or_never().unwrap();
    assert_eq!((at.number(), at.watermark()), (reader.version().number(), Watermark(8)));
    // A version that was replaced knows nothing of later watermarks.
    writer.apply(&changes(Key::Long, &[(RowKind::Delete, Row { key: 1, value: 1, group: None, time: 9 })])).unwrap();
    writer.publish().await.unwrap();
    writer.advance(Watermark(20));
    assert_eq!((at.watermark(), reader.version().watermark()), (Watermark(8), Watermark(20)));
    let mut ready = reader.ready();
    assert!(ready.as_mut().now_or_never().is_none());
    writer.finish().await.unwrap();
    ready.now_or_never().unwrap().unwrap();
    let last = reader.version();
    assert!(last.is_last() && last.watermark() == Watermark::END);
    assert!(reader.changed(last.number(), Watermark::END).now_or_never().is_none());
}

#[tokio::test]
async fn who_waits_for_a_table_that_fails_is_told() {
    let (reader, mut writer) = table(keyed(Key::Long, false)).unwrap();
    let mut changes = reader.follow();
    writer.fail("file `x.csv` is not there".to_owned());
    assert_eq!(reader.ready().await.unwrap_err().message, "file `x.csv` is not there");
    assert_eq!(changes.next().await.unwrap_err().message, "file `x.csv` is not there");
    assert_eq!(reader.follow().next().await.unwrap_err().message, "file `x.csv` is not there");
    // One that was ready stays so; who follows it is told that nothing more comes.
    let (reader, mut writer) = table(keyed(Key::Long, false)).unwrap();
    writer.ready().await.unwrap();
    drop(writer);
    reader.ready().await.unwrap();
    let mut changes = reader.follow();
    assert!(matches!(changes.next().await, Ok(velo_core::lookup::TableChange::CaughtUp)));
    assert_eq!(changes.next().await.unwrap_err().message, "what writes table `t` has stopped");
}
