//! Tables saved at barriers and taken up again, and those who follow them over that.

use velo_core::connector::CheckpointId;
use velo_core::lookup::{SavedTable, TableChange, TableReader, TableWriter};
use velo_core::time::Watermark;
use velo_core::{Batch, RowKind};
use velo_tables::{StoreSpec, table};
use velo_testkit::Random;

use super::rows::{KEYS, Key, Naive, Row, batch, changes, check_lookups, keyed, keyless, rows_of, scan};
use super::versions::{History, as_of, check_as_of};

async fn saved(spec: StoreSpec, key: Key, made: &[(RowKind, Row)]) -> (SavedTable, Vec<Row>) {
    let (reader, mut writer) = table(spec).unwrap();
    for part in made.chunks(500) {
        writer.apply(&changes(key, part)).unwrap();
    }
    writer.advance(Watermark(77));
    let snapshot = writer.barrier(CheckpointId(1)).await.unwrap();
    // The table goes on, and what was saved stays as it is.
    let rows = scan(reader.version().as_ref());
    writer.apply(&Batch::new(batch(key, &[Row { key: 9_999, value: 1, group: None, time: 4 }]))).unwrap();
    writer.publish().await.unwrap();
    assert_eq!(snapshot.rows(), rows.len() as u64);
    (snapshot.save().unwrap(), rows)
}

#[tokio::test]
async fn what_was_saved_is_loaded() {
    for (seed, key) in KEYS.into_iter().enumerate() {
        let mut naive = Naive::default();
        let keys = key.distinct(4_000);
        let made = naive.change(&mut Random::new(seed as u64), keys, 10_000);
        let (saved, rows) = saved(keyed(key, false), key, &made).await;
        let (reader, mut writer) = table(keyed(key, false)).unwrap();
        assert_eq!((&saved.head.offset, saved.head.replaced), (&None, naive.replaced));
        writer.restore(saved).unwrap();
        assert_eq!(reader.version().watermark(), Watermark(77));
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
        let (saved, rows) = saved(keyless(key), key, &made).await;
        let (reader, mut writer) = table(keyless(key)).unwrap();
        writer.restore(saved).unwrap();
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
        let saved = writer.barrier(CheckpointId(1)).await.unwrap().save().unwrap();
        let rows = scan(reader.version().as_ref());
        let (reader, mut writer) = table(keyed(key, true)).unwrap();
        writer.restore(saved).unwrap();
        assert_eq!(scan(reader.version().as_ref()), rows);
        check_lookups(key, reader.version().as_ref(), &rows, 40);
        check_as_of(key, reader.version().as_ref(), &history, 40, 60..101);
        assert!((0..40).any(|key| as_of(&history, key, 80) != as_of(&history, key, 61)));
    }
}

/// Who asks for rows as of event times can be sent back to the last barrier: what it could ask for there stays.
#[tokio::test]
async fn versions_are_kept_for_who_is_sent_back_to_the_last_barrier() {
    let key = Key::Long;
    let (reader, mut writer) = table(keyed(key, true)).unwrap();
    reader.keep_for_checkpoints();
    let asking = reader.as_of_reader();
    let row = |time| (RowKind::UpdateAfter, Row { key: 1, value: time, group: None, time });
    writer.apply(&changes(key, &[row(10), row(20), row(30)])).unwrap();
    writer.publish().await.unwrap();
    let mut history = History::new();
    for time in [10, 20, 30, 40] {
        history.insert((1, time), Some(time));
    }
    asking.advance(Watermark(15));
    asking.saved();
    asking.advance(Watermark(35));
    writer.apply(&changes(key, &[row(40)])).unwrap();
    let saved = writer.barrier(CheckpointId(1)).await.unwrap().save().unwrap();
    let (again, mut writer) = table(keyed(key, true)).unwrap();
    writer.restore(saved).unwrap();
    check_as_of(key, again.version().as_ref(), &history, 2, 15..50);
}

/// The rows of a batch as text, with their kinds.
fn told(batch: &Batch) -> Vec<String> {
    let kinds = |row: usize| batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]);
    let rows = rows_of(&batch.columns);
    rows.iter().enumerate().map(|(at, row)| format!("{} {}={}", kinds(at).symbol(), row.key, row.value)).collect()
}

#[tokio::test]
async fn a_barrier_stands_between_the_changes_before_it_and_those_behind() {
    let key = Key::Long;
    let row = |value| (RowKind::UpdateAfter, Row { key: 1, value, group: None, time: value });
    let (reader, mut writer) = table(keyed(key, false)).unwrap();
    writer.barrier(CheckpointId(6)).await.unwrap();
    writer.apply(&changes(key, &[row(1)])).unwrap();
    writer.ready().await.unwrap();
    let mut follower = reader.follow();
    assert_eq!(follower.begun_behind(), CheckpointId(6));
    writer.apply(&changes(key, &[row(2)])).unwrap();
    // What was applied belongs to the checkpoint, published or not.
    let saved = writer.barrier(CheckpointId(7)).await.unwrap().save().unwrap();
    writer.apply(&changes(key, &[row(3)])).unwrap();
    writer.publish().await.unwrap();
    let mut all = Vec::new();
    for _ in 0..5 {
        match follower.next().await.unwrap() {
            TableChange::Rows(batch) => all.extend(told(&batch)),
            TableChange::CaughtUp => all.push("caught up".to_owned()),
            TableChange::Barrier(checkpoint) => all.push(format!("barrier {checkpoint}")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(all, ["+I 1=1", "caught up", "-U 1=1", "+U 1=2", "barrier 7", "-U 1=2", "+U 1=3"]);
    // Who was told of all that is not told again.
    let (reader, mut writer) = table(keyed(key, false)).unwrap();
    writer.restore(saved).unwrap();
    let mut follower = reader.follow_on();
    writer.apply(&changes(key, &[row(3)])).unwrap();
    writer.ready().await.unwrap();
    let TableChange::Rows(batch) = follower.next().await.unwrap() else { panic!("no rows") };
    assert_eq!(told(&batch), ["-U 1=2", "+U 1=3"]);
    assert!(matches!(follower.next().await.unwrap(), TableChange::CaughtUp));
}

#[tokio::test]
async fn what_is_of_another_table_is_refused() {
    let key = Key::Text;
    let made = [(RowKind::Insert, Row { key: 1, value: 1, group: None, time: 0 })];
    let (saved, _) = saved(keyed(key, false), key, &made).await;
    for other in [keyed(Key::Long, false), keyed(key, true)] {
        let (_, mut writer) = table(other).unwrap();
        let error = writer.restore(saved.clone()).unwrap_err();
        assert!(error.message.contains("what was saved of table `t` has other columns"), "{error}");
    }
    let (_, mut writer) = table(keyed(key, false)).unwrap();
    writer.apply(&changes(key, &made)).unwrap();
    assert!(writer.restore(saved).unwrap_err().message.contains("has rows already"));
}
