//! Tables kept up to date: increments, whole loads as differences, and the last good rows whatever happens.

use std::sync::Arc;

use arrow_array::RecordBatch;
use velo_core::connector::CheckpointId;
use velo_core::duration::Span;
use velo_core::lookup::{SavedTable, TableReader};
use velo_core::{Clock, Watermark};
use velo_tables::{Condition, TableNumber, TableState};
use velo_testkit::drive;
use velo_testkit::loads::LoadStep::{Breaks, Fails, Lost, Takes};
use velo_testkit::loads::ScriptedLoads;

use super::feeds::{SECOND, content, empty, fed, from_source, give, seconds, until};

#[tokio::test]
async fn what_came_since_is_asked_for_regularly() {
    let clock = Clock::manual(0);
    let mut fed = fed("t", &clock, |script| {
        script
            .whole([Takes(seconds(2)), give("+I 1 1\n+I 2 2")])
            .after([Takes(seconds(1)), give("+I 3 3"), give("+U 1 10\n-D 2 2")])
            .after([])
    })
    .refreshed(10);
    fed.feed.upkeep.max_out_of_orderness = Span(4 * SECOND);
    let (table, tables) = fed.start(&clock);
    until(&clock, 3 * SECOND).await;
    assert_eq!(content(&*table), "1=1 2=2");
    assert_eq!(table.version().watermark(), Watermark(-4 * SECOND), "the start of the load, less what may be late");
    assert!(!table.version().is_last());
    until(&clock, 10 * SECOND + 5).await;
    assert_eq!(content(&*table), "1=1 2=2", "a refresh that is not complete is not seen");
    until(&clock, 12 * SECOND).await;
    assert_eq!(content(&*table), "1=10 3=3");
    assert_eq!(table.version().watermark(), Watermark(6 * SECOND));
    let number = table.version().number();
    until(&clock, 45 * SECOND).await;
    assert_eq!((table.version().number(), table.version().watermark()), (number, Watermark(36 * SECOND)));
    let health = tables.health().remove(0);
    assert_eq!((health.condition, health.refreshes), (Condition::Healthy, 5));
    assert_eq!((health.fresh_as_of, health.next_refresh), (Some(40 * SECOND), Some(50 * SECOND)));
}

#[tokio::test]
async fn a_refresh_that_fails_keeps_the_last_good_rows() {
    let clock = Clock::manual(0);
    let down = || [give("+I 7 7"), Breaks("the line is down".to_owned())];
    let fed = fed("t", &clock, |script| {
        script
            .whole([give("+I 1 1")])
            .after(down())
            .after(down())
            .after([Fails("odd".to_owned())])
            .after([give("+I 2 2")])
    })
    .refreshed(10);
    let (table, tables) = fed.start(&clock);
    for (at, failed, error) in [(10_200, 1, "the line is down"), (11_100, 2, "the line is down"), (13_100, 3, "odd")] {
        until(&clock, at * 1_000).await;
        let health = tables.health().remove(0);
        assert_eq!((content(&*table).as_str(), health.condition), ("1=1", Condition::Stale), "at {at}");
        assert_eq!((health.failed_refreshes, health.refreshes), (failed, 1), "at {at}");
        assert!(health.refresh_error.unwrap().contains(error), "at {at}");
        assert_eq!(health.fresh_as_of, Some(0));
        assert_eq!(tables.status()[0].state, TableState::Ready, "queries go on");
        assert_eq!(table.version().watermark(), Watermark(0));
    }
    until(&clock, 18 * SECOND).await;
    let health = tables.health().remove(0);
    assert_eq!((content(&*table).as_str(), health.condition), ("1=1 2=2", Condition::Healthy));
    assert_eq!((health.failed_refreshes, health.refresh_error), (0, None));
    assert!(table.version().watermark() > Watermark(13 * SECOND));
}

#[tokio::test]
async fn a_whole_load_again_finds_what_is_gone() {
    let clock = Clock::manual(0);
    let mut fed = fed("t", &clock, |script| {
        script
            .whole([give("+I 1 1\n+I 2 2\n+I 3 3")])
            .whole([give("+I 3 30\n+I 1 1"), Takes(seconds(1)), Breaks("half-way".to_owned())])
            .whole([give("+I 3 30\n+I 1 1"), Takes(seconds(1)), give("+I 4 4")])
            .after([give("+I 5 5")])
            .after([])
    })
    .refreshed(30);
    fed.feed.upkeep.reload = Some(Span(60 * SECOND));
    let (table, _tables) = fed.start(&clock);
    until(&clock, 31 * SECOND).await;
    assert_eq!(content(&*table), "1=1 2=2 3=3 5=5");
    until(&clock, 62 * SECOND).await;
    assert_eq!(content(&*table), "1=1 2=2 3=3 5=5", "half of a new content is none");
    until(&clock, 65 * SECOND).await;
    assert_eq!(content(&*table), "1=1 3=30 4=4");
}

#[tokio::test]
async fn a_source_without_increments_is_loaded_again() {
    let clock = Clock::manual(0);
    let fed =
        fed("t", &clock, |script| script.whole([give("+I 1 1\n+I 2 2")]).whole([give("+I 2 2\n+I 3 3")])).refreshed(5);
    let (table, _tables) = fed.start(&clock);
    until(&clock, SECOND).await;
    let before = table.version();
    until(&clock, 6 * SECOND).await;
    assert_eq!(content(&*table), "2=2 3=3");
    assert_eq!(before.rows(), 2, "a version that somebody holds stays as it was");
    let number = table.version().number();
    until(&clock, 60 * SECOND).await;
    assert_eq!(table.version().number(), number, "nothing differs, so nothing is published");
}

#[tokio::test]
async fn a_position_that_is_lost_is_a_whole_load() {
    let clock = Clock::manual(0);
    let fed = fed("t", &clock, |script| {
        script.whole([give("+I 1 1\n+I 2 2")]).whole([give("+I 2 20")]).after([give("+I 9 9"), Lost]).after([])
    })
    .refreshed(5);
    let (table, tables) = fed.start(&clock);
    until(&clock, 6 * SECOND).await;
    assert_eq!(content(&*table), "2=20");
    assert_eq!(tables.health()[0].condition, Condition::Healthy);
}

#[tokio::test]
async fn a_source_that_does_not_end_is_followed() {
    let clock = Clock::manual(0);
    let mut fed = fed("t", &clock, |script| script.whole([give("+I 1 1")]).after([give("+I 2 2")]).after([]));
    fed.feed.upkeep.bounded = false;
    let (table, _tables) = fed.start(&clock);
    until(&clock, 2 * SECOND).await;
    assert_eq!((content(&*table).as_str(), table.version().is_last()), ("1=1 2=2", false));
}

#[tokio::test]
async fn latest_begins_empty() {
    let clock = Clock::manual(0);
    let mut fed =
        fed("t", &clock, |script| script.whole([give("+I 1 1")]).after([give("+I 2 2")]).after([])).refreshed(5);
    fed.feed.upkeep.from_latest = true;
    let (table, tables) = fed.start(&clock);
    until(&clock, 1).await;
    assert_eq!((tables.status()[0].state.clone(), content(&*table)), (TableState::Ready, String::new()));
    until(&clock, 6 * SECOND).await;
    assert_eq!(content(&*table), "2=2");

    let mut cannot = super::feeds::fed("t", &clock, |script| script.whole([give("+I 1 1")])).refreshed(5);
    cannot.feed.upkeep.from_latest = true;
    let (_, tables) = cannot.start(&clock);
    drive(&clock, tables.settled()).await;
    let TableState::Failed { error } = &tables.status()[0].state else { panic!() };
    assert!(error.contains("its source cannot tell what came after a position"), "{error}");
    assert!(error.contains("'auto.offset.reset' = 'earliest'"), "{error}");
}

/// A table is saved, and started again from that: only what came after is loaded, and it is ready when that is there.
#[tokio::test]
async fn a_restart_loads_what_came_after() {
    let clock = Clock::manual(0);
    let fed = fed("t", &clock, |script| script.whole([give("+I 1 1\n+I 2 2")]).after([give("+U 2 20")]).after([]))
        .refreshed(5);
    let (table, tables) = fed.start(&clock);
    let loaded = tables.for_checkpoints(TableNumber(0), Arc::clone(&table));
    assert!(loaded.barrier(CheckpointId(1)).await.unwrap().is_none(), "nothing is loaded yet");
    until(&clock, 6 * SECOND).await;
    let snapshot = loaded.barrier(CheckpointId(2)).await.unwrap().unwrap();
    let saved = snapshot.save().unwrap();
    assert_eq!(saved.head.offset, Some(ScriptedLoads::offset(2)));
    drop(tables);

    for lost in [false, true] {
        let (reader, mut writer) = empty("t");
        writer.restore(saved.clone()).unwrap();
        let progress = Arc::new(velo_core::progress::Progress::new());
        let source = ScriptedLoads::new(&clock, &progress).whole([give("+I 2 21")]);
        let source = source.after(if lost { vec![Lost] } else { vec![Takes(seconds(1)), give("+I 3 3")] });
        let mut again = from_source("t", &clock, velo_tables::TableSource::Open(Arc::new(source.clone())), progress);
        again.feed.reader = Arc::clone(&reader) as Arc<dyn TableReader>;
        again.feed.writer = Box::new(writer);
        again.feed.saved = saved.head.offset.clone();
        let (_, tables) = again.start(&clock);
        // A checkpoint before anything was loaded keeps what the one before kept.
        let loaded = tables.for_checkpoints(TableNumber(0), Arc::clone(&reader));
        let once_more = loaded.barrier(CheckpointId(3)).await.unwrap().unwrap().save().unwrap();
        let rows = |saved: &SavedTable| saved.rows.iter().map(RecordBatch::num_rows).sum::<usize>();
        assert_eq!((&once_more.head, rows(&once_more)), (&saved.head, rows(&saved)));
        until(&clock, clock.now() + 1).await;
        if !lost {
            assert!(!tables.gate().is_open(&[TableNumber(0)]), "restored content alone is not ready");
        }
        drive(&clock, tables.settled()).await;
        assert_eq!(content(&*reader), if lost { "2=21" } else { "1=1 2=20 3=3" });
        let calls: Vec<String> = source.calls().into_iter().map(|(_, what)| what).collect();
        assert_eq!(calls, if lost { vec!["after 2", "whole"] } else { vec!["after 2"] });
    }
}
