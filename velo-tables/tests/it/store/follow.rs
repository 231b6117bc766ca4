//! Following a table: content and changes, folded, are the version.

use std::collections::BTreeMap;

use futures::FutureExt;
use velo_core::lookup::{TableChange, TableChanges, TableReader, TableWriter};
use velo_core::time::Watermark;
use velo_core::{Batch, RowKind};
use velo_tables::{StoreSpec, table};
use velo_testkit::Random;

use super::rows::{Key, Naive, Row, batch, changes, keyed, keyless, rows_of, scan};
use super::versions::{History, check_as_of};

/// What one who follows a table has of it.
#[derive(Debug, Default)]
struct Folded {
    rows: BTreeMap<Row, u64>,
    history: History,
    watermark: Option<Watermark>,
    caught_up: bool,
    ended: bool,
    largest: usize,
}

impl Folded {
    /// Takes all that there is now.
    fn drain(&mut self, changes: &mut dyn TableChanges) {
        while !self.ended
            && let Some(change) = changes.next().now_or_never()
        {
            match change.unwrap() {
                TableChange::Rows(batch) => self.fold(&batch),
                TableChange::Watermark(watermark) => {
                    assert!(self.watermark < Some(watermark));
                    self.watermark = Some(watermark);
                }
                TableChange::CaughtUp => {
                    assert!(!std::mem::replace(&mut self.caught_up, true));
                }
                TableChange::End => self.ended = true,
                TableChange::Barrier(checkpoint) => panic!("nobody asked for barrier {checkpoint}"),
            }
        }
    }

    fn fold(&mut self, batch: &Batch) {
        self.largest = self.largest.max(batch.rows());
        let rows = rows_of(&batch.columns);
        let kinds: Vec<_> = match &batch.kinds {
            Some(kinds) => {
                assert_eq!(kinds.paired(), *kinds, "halves stand together");
                kinds.as_slice().to_vec()
            }
            None => vec![RowKind::Insert; rows.len()],
        };
        for (kind, row) in kinds.into_iter().zip(rows) {
            match kind {
                RowKind::Delete => drop(self.history.insert((row.key, row.time), None)),
                RowKind::UpdateBefore => {}
                _ => drop(self.history.insert((row.key, row.time), Some(row.value))),
            }
            // The event time of a delete is its own.
            let row = Row { time: 0, ..row };
            if kind.retracts() {
                let count = self.rows.get_mut(&row).expect("what goes was there");
                *count -= 1;
                if *count == 0 {
                    self.rows.remove(&row);
                }
            } else {
                *self.rows.entry(row).or_default() += 1;
            }
        }
    }

    fn check(&self, rows: Vec<Row>) {
        let mut expected = BTreeMap::new();
        for row in rows {
            *expected.entry(Row { time: 0, ..row }).or_default() += 1;
        }
        assert_eq!(self.rows, expected);
    }
}

#[tokio::test]
async fn content_and_changes_are_the_version() {
    let key = Key::Text;
    let specs: [fn(Key) -> StoreSpec; 2] = [|key| keyed(key, false), keyless];
    for spec in specs {
        for (size, rounds) in [(1, 120), (7, 100), (3_000, 16)] {
            let mut random = Random::new(size as u64);
            let (reader, mut writer) = table(spec(key)).unwrap();
            let (mut naive, mut following) = (Naive::default(), Vec::new());
            for round in 0..rounds {
                if random.chance(1, 4) {
                    following.push((reader.follow(), Folded::default()));
                }
                // A retraction names the row that is there, so it fits a table without a key too.
                let made = naive.change(&mut random, 400, size);
                writer.apply(&changes(key, &made)).unwrap();
                if random.chance(1, 2) {
                    following.push((reader.follow(), Folded::default()));
                    writer.publish().await.unwrap();
                }
                if round == rounds / 2 {
                    assert!(following.iter().all(|(_, folded)| !folded.caught_up));
                    writer.ready().await.unwrap();
                }
                let at = random.below(following.len().max(1) as u64) as usize;
                if let Some((changes, folded)) = following.get_mut(at) {
                    folded.drain(changes.as_mut());
                    assert_eq!(folded.caught_up, round >= rounds / 2);
                }
                for (changes, folded) in &mut following {
                    // So that the writer never waits here.
                    if random.chance(1, 8) {
                        folded.drain(changes.as_mut());
                    }
                    if random.chance(1, 200) {
                        folded.ended = true;
                    }
                }
                following.retain(|(_, folded)| !folded.ended);
                for (changes, folded) in &mut following {
                    if round % 30 == 29 {
                        folded.drain(changes.as_mut());
                    }
                }
            }
            writer.finish().await.unwrap();
            following.push((reader.follow(), Folded::default()));
            assert!(following.len() > 3);
            for (mut changes, mut folded) in following {
                folded.drain(changes.as_mut());
                assert!(folded.ended && folded.caught_up && folded.watermark == Some(Watermark::END));
                assert!(folded.largest <= 8_193);
                folded.check(scan(reader.version().as_ref()));
                assert!(matches!(changes.next().await, Ok(TableChange::End)));
            }
        }
    }
}

#[tokio::test]
async fn a_table_that_keeps_versions_gives_them_all_by_time() {
    let key = Key::Long;
    let mut random = Random::new(8);
    let (reader, mut writer) = table(keyed(key, true)).unwrap();
    let mut naive = Naive::default();
    let mut made = Vec::new();
    for round in 0..20 {
        let mut round_made = naive.change(&mut random, 12, 40);
        // A delete ends its row at a time of its own.
        for (kind, row) in &mut round_made {
            if *kind == RowKind::Delete {
                row.time = random.below(100) as i64;
            }
        }
        writer.apply(&changes(key, &round_made)).unwrap();
        writer.publish().await.unwrap();
        made.extend(round_made);
        let mut following = reader.follow();
        let mut folded = Folded::default();
        folded.drain(following.as_mut());
        let mut history = History::new();
        for (kind, row) in &made {
            match kind {
                RowKind::UpdateBefore => {}
                RowKind::Delete => drop(history.insert((row.key, row.time), None)),
                _ => drop(history.insert((row.key, row.time), Some(row.value))),
            }
        }
        if round % 5 == 4 {
            check_as_of(key, reader.version().as_ref(), &history, 12, -1..101);
            check_as_of(key, reader.version().as_ref(), &folded.history, 12, -1..101);
        }
        let mut again = reader.follow();
        let mut times = Vec::new();
        while let Some(Ok(TableChange::Rows(batch))) = again.next().now_or_never() {
            let kinds = batch.kinds.clone();
            let kind = |at: usize| kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[at]);
            let rows = rows_of(&batch.columns).into_iter().enumerate();
            times.extend(rows.filter(|(at, _)| kind(*at) != RowKind::UpdateBefore).map(|(_, row)| row.time));
        }
        assert!(!times.is_empty() && times.is_sorted());
    }
}

#[tokio::test]
async fn the_writer_waits_for_who_is_too_far_behind() {
    let key = Key::Long;
    let (reader, mut writer) = table(keyed(key, false)).unwrap();
    let mut slow = reader.follow();
    let row = |value| Row { key: 1, value, group: None, time: 0 };
    for value in 0..64 {
        writer.apply(&Batch::new(batch(key, &[row(value)]))).unwrap();
        writer.publish().now_or_never().unwrap().unwrap();
        // Watermarks take no room.
        writer.advance(Watermark(value));
    }
    writer.apply(&Batch::new(batch(key, &[row(64)]))).unwrap();
    assert!(writer.publish().now_or_never().is_none());
    // Nothing was published while it waits, and nothing is lost by giving up.
    assert_eq!(scan(reader.version().as_ref()), [row(63)]);
    assert!(matches!(slow.next().await, Ok(TableChange::Rows(batch)) if rows_of(&batch.columns) == [row(0)]));
    let mut folded = Folded::default();
    folded.fold(&Batch::new(batch(key, &[row(0)])));
    writer.publish().now_or_never().unwrap().unwrap();
    writer.apply(&Batch::new(batch(key, &[row(65)]))).unwrap();
    let mut publish = Box::pin(writer.publish());
    assert!(publish.as_mut().now_or_never().is_none());
    folded.drain(slow.as_mut());
    publish.now_or_never().unwrap().unwrap();
    folded.drain(slow.as_mut());
    folded.check(vec![row(65)]);
    // One who has left holds nobody back.
    for value in 66..130 {
        writer.apply(&Batch::new(batch(key, &[row(value)]))).unwrap();
        writer.publish().now_or_never().unwrap().unwrap();
    }
    writer.apply(&Batch::new(batch(key, &[row(130)]))).unwrap();
    let mut publish = Box::pin(writer.publish());
    assert!(publish.as_mut().now_or_never().is_none());
    drop(slow);
    publish.now_or_never().unwrap().unwrap();
}
