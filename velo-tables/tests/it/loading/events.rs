//! What is told while tables load: states, rates, per cent, estimates.

use std::time::Duration;

use velo_core::Clock;
use velo_core::connector::SizeHint;
use velo_tables::{Events, LoadSettings, TableEvent, TableState, Tables};
use velo_testkit::drive;
use velo_testkit::loads::LoadStep::{Fails, Takes};

use super::feeds::{SECOND, fed, give, seconds, until};

/// All events so far, as short words; each must survive being sent as JSON.
async fn told(events: &mut Events) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = futures::FutureExt::now_or_never(events.next()).flatten() {
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<TableEvent>(&json).unwrap(), event, "{json}");
        told.push(match event {
            TableEvent::InitialSnapshot { tables, summary, .. } => {
                format!("snapshot {} {}", tables.len(), summary.ready)
            }
            TableEvent::TableUpdate { table, .. } => match table.state {
                TableState::Loading => format!("{} loading {}", table.name, table.records),
                TableState::Waiting { .. } => format!("{} waits", table.name),
                other => format!("{} {other:?}", table.name),
            },
            TableEvent::SummaryUpdate { summary, .. } => {
                format!("{}+{}+{}+{}", summary.ready, summary.loading, summary.waiting, summary.lost)
            }
            TableEvent::TableCompleted { table, .. } => format!("{} completed", table.name),
            TableEvent::TableFailed { table, error, .. } => format!("{} failed: {error}", table.name),
            TableEvent::KeepAlive { .. } => "alive".to_owned(),
        });
    }
    told
}

#[tokio::test]
async fn the_course_of_two_tables() {
    let clock = Clock::manual(0);
    let first = fed("a", &clock, |script| {
        script.whole([Takes(Duration::from_millis(1_500)), give("+I 1 1"), Takes(seconds(2))])
    });
    let next = fed("b", &clock, |script| script.whole([Fails("gone".to_owned())]));
    let specs = vec![first.spec("a", &[]), next.spec("b", &[0])];
    let settings = LoadSettings { keep_alive: 3, ..LoadSettings::default() };
    let tables = Tables::start(specs, settings, clock.clone()).unwrap();
    let mut events = tables.subscribe();
    assert_eq!(told(&mut events).await, ["snapshot 2 0"]);
    until(&clock, 2 * SECOND + SECOND / 2).await;
    assert_eq!(
        told(&mut events).await,
        ["b waits", "0+0+2+0", "a Opening", "0+1+1+0", "a loading 0", "0+1+1+0", "a loading 1", "0+1+1+0"]
    );
    drive(&clock, tables.settled()).await;
    let rest = told(&mut events).await;
    assert_eq!(
        rest,
        [
            "a completed",
            "1+0+1+0",
            "b Opening",
            "1+1+0+0",
            "b loading 0",
            "1+1+0+0",
            "b failed: reading the script: gone",
            "1+0+0+1"
        ]
    );
    until(&clock, 20 * SECOND).await;
    let quiet = told(&mut events).await;
    assert!(!quiet.is_empty() && quiet.iter().all(|event| event == "alive"), "{quiet:?}");
    assert_eq!(told(&mut tables.subscribe()).await, ["snapshot 2 1"]);
    drop(tables);
    until(&clock, 21 * SECOND).await;
    assert!(events.next().await.is_none(), "there is nothing more to tell");
}

#[tokio::test]
async fn a_reader_that_is_too_slow_gets_a_snapshot() {
    let clock = Clock::manual(0);
    let script = (0..2_000).flat_map(|at| [give(&format!("+I {at} 1")), Takes(seconds(1))]);
    let (_, tables) = fed("t", &clock, |loads| loads.whole(script)).start(&clock);
    let mut events = tables.subscribe();
    drive(&clock, tables.settled()).await;
    let told = told(&mut events).await;
    assert_eq!(told, ["snapshot 1 0", "snapshot 1 1"], "what was missed is in it");
}

#[tokio::test]
async fn rates_per_cent_and_estimate() {
    let clock = Clock::manual(0);
    let script = (0..10).flat_map(|at| [Takes(seconds(1)), give(&format!("+I {at} 1\n+I {} 2", at + 100))]);
    let size = SizeHint { rows: Some(40), bytes: None };
    let (_, tables) = fed("t", &clock, |loads| loads.whole(script).sized(size)).start(&clock);
    until(&clock, 8 * SECOND + 1).await;
    let now = tables.status().remove(0);
    assert_eq!((now.records, now.total_records, now.percent), (16, Some(40), Some(40.0)));
    assert!((now.records_rate - 2.0).abs() < 0.5 && (now.records_rate_overall - 2.0).abs() < 0.01, "{now:?}");
    let end = now.estimated_completion.unwrap();
    assert!((17 * SECOND..23 * SECOND).contains(&end), "24 more at about 2 a second: {end}");
    drive(&clock, tables.settled()).await;
    let done = tables.status().remove(0);
    assert_eq!((done.percent, done.estimated_completion, done.finished), (Some(100.0), None, Some(10 * SECOND)));
}
