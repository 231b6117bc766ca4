//! Loads that fail: what may pass is tried again, nothing of a failed attempt is seen, and what is given up says why.

use std::sync::Arc;

use velo_core::Clock;
use velo_core::duration::Span;
use velo_core::lookup::TableReader;
use velo_core::resilience::{BreakerState, CircuitBreakerProperties, Connection};
use velo_tables::{Condition, TableNumber, TableState, described};
use velo_testkit::Gate;
use velo_testkit::drive;
use velo_testkit::loads::LoadStep::{Breaks, Fails, Hold, Takes};

use super::feeds::{SECOND, content, fed, give, seconds, start, until};

#[tokio::test]
async fn an_attempt_that_fails_half_way_leaves_nothing() {
    let clock = Clock::manual(0);
    let fed = fed("t", &clock, |script| {
        script
            .whole([give("+I 1 1\n+I 2 2\n+I 9 9\n+I 9 8"), Takes(seconds(1)), Breaks("the line is down".to_owned())])
            .whole([give("+I 1 10"), Takes(seconds(5)), give("+I 2 20")])
    });
    let (table, tables) = fed.start(&clock);
    until(&clock, SECOND + 1).await;
    let status = tables.status().remove(0);
    let TableState::Retrying { error, failed: 1, at } = &status.state else { panic!("{status:?}") };
    assert!(error.contains("the line is down"));
    assert!((SECOND + SECOND / 2..=2 * SECOND).contains(at), "after half of a second to a second: {at}");
    let line = described(&status);
    assert!(line.starts_with("'t': to be tried again after 1 failure; 4 records and "), "{line}");
    assert!(line.ends_with(" bytes so far: reading the script: the line is down"), "{line}");
    until(&clock, 6 * SECOND).await;
    assert_eq!((content(&*table), table.version().number()), (String::new(), 0), "nothing of either attempt is seen");
    drive(&clock, tables.settled()).await;
    assert_eq!((content(&*table).as_str(), table.version().is_last()), ("1=10 2=20", true));
    assert_eq!(table.version().watermark(), velo_core::Watermark::END);
    assert_eq!((tables.status()[0].records, tables.health()[0].delivered), (2, 2), "only what counts is counted");
    let counts = table.counters().counts();
    assert_eq!((counts.rows, counts.replaced, counts.versions), (2, 0, 2), "and the end is a version of its own");
}

#[tokio::test]
async fn what_fails_too_often_fails_for_good_and_blocks_others() {
    let clock = Clock::manual(0);
    let broken = fed("a", &clock, |script| script.whole([Breaks("the line is down".to_owned())]));
    let next = fed("b", &clock, |script| script.whole([give("+I 1 1")]));
    let last = fed("c", &clock, |script| script.whole([give("+I 1 1")]));
    let (first, third) = (Arc::clone(&broken.reader), Arc::clone(&last.reader));
    let tables = start(vec![broken.spec("a", &[]), next.spec("b", &[0]), last.spec("c", &[1])], &clock);
    drive(&clock, tables.settled()).await;
    let [a, b, c] = &tables.status()[..] else { panic!() };
    let TableState::Failed { error } = &a.state else { panic!("{a:?}") };
    assert_eq!(
        error,
        "reading the script: the line is down (all 4 attempts failed; this was the last)\n  \
         help: start again when the source can be reached, or have Velo try more often: 'retry.attempts'"
    );
    assert_eq!(b.state, TableState::Blocked { by: "a".to_owned() });
    assert_eq!(c.state, TableState::Blocked { by: "b".to_owned() });
    assert!((b.started, c.started) == (None, None), "they never begin");
    assert_eq!(tables.health()[1].condition, Condition::Unhealthy);
    assert!(first.ready().await.unwrap_err().to_string().contains("all 4 attempts failed"));
    assert!(third.ready().await.unwrap_err().to_string().contains("'c' is blocked by 'b'"));
    let error = tables.gate().wait_for(&[TableNumber(2)], None).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "table 'c' is not ready\n  \
         'c': blocked by 'b', which will never be ready\n  \
         'a': failed; 0 records and 0 bytes so far: reading the script: the line is down \
         (all 4 attempts failed; this was the last)\n      \
         help: start again when the source can be reached, or have Velo try more often: 'retry.attempts'\n  \
         'b': blocked by 'a', which will never be ready\n  \
         help: correct what the error of 'a' says, and start again"
    );
}

#[tokio::test]
async fn what_would_come_again_is_not_tried_again() {
    let clock = Clock::manual(0);
    let fed = fed("t", &clock, |script| script.whole([Fails("no such file".to_owned())]).whole([give("+I 1 1")]));
    let (_, tables) = fed.start(&clock);
    drive(&clock, tables.settled()).await;
    assert!(matches!(&tables.status()[0].state, TableState::Failed { error } if error.contains("no such file")));
    assert_eq!(clock.now(), 0, "nobody waited");
}

#[tokio::test]
async fn a_connection_that_keeps_failing_is_left_alone() {
    let clock = Clock::manual(0);
    let settings = CircuitBreakerProperties {
        failure_threshold: 2,
        success_threshold: 1,
        timeout: Span(60 * SECOND),
        ..CircuitBreakerProperties::default()
    };
    let connection = Arc::new(Connection::new("db", settings, clock.clone()));
    let down = || Breaks("the line is down".to_owned());
    let mut first = fed("a", &clock, |script| script.whole([down()]).whole([down()]).whole([give("+I 1 1")]));
    // It comes into a connection that is open already.
    let mut second = fed("b", &clock, |script| script.whole([give("+I 1 1")]));
    first.feed.connection = Arc::clone(&connection);
    second.feed.connection = Arc::clone(&connection);
    let gate = Gate::closed();
    let before = fed("c", &clock, |script| script.whole([Hold(gate.clone()), give("+I 1 1")]));
    let tables = start(vec![first.spec("a", &[]), second.spec("b", &[2]), before.spec("c", &[])], &clock);
    until(&clock, 10 * SECOND).await;
    assert_eq!(connection.health().state, BreakerState::Open);
    gate.open();
    until(&clock, 50 * SECOND).await;
    assert_eq!(tables.summary().ready, 1, "both wait: {:?}", tables.status());
    assert_eq!(tables.status()[1].state, TableState::Opening);
    drive(&clock, tables.settled()).await;
    assert_eq!(tables.summary().ready, 3);
    assert!(clock.now() >= 60 * SECOND && clock.now() < 63 * SECOND, "{}", clock.now());
    let health = tables.health()[0].connection.clone().unwrap();
    assert_eq!((health.state, health.failures), (BreakerState::Closed, 2));
}

#[tokio::test]
async fn an_empty_source_is_a_table_without_rows() {
    let clock = Clock::manual(0);
    let (table, tables) = fed("t", &clock, |script| script.whole([])).start(&clock);
    drive(&clock, tables.settled()).await;
    assert_eq!(tables.status()[0].state, TableState::Ready);
    assert_eq!((table.version().rows(), table.version().is_last()), (0, true));
    table.ready().await.unwrap();
}

#[tokio::test]
async fn a_loader_that_stops_unexpectedly_is_a_failed_table() {
    let clock = Clock::manual(0);
    let mut fed = fed("t", &clock, |script| script.whole([give("+I 1 1")]));
    fed.feed.prepare = Arc::new(|_| panic!("a mistake of ours"));
    let next = super::feeds::fed("u", &clock, |script| script.whole([give("+I 1 1")]));
    let table = Arc::clone(&fed.reader);
    let tables = start(vec![fed.spec("t", &[]), next.spec("u", &[0])], &clock);
    drive(&clock, tables.settled()).await;
    let states = tables.status();
    assert!(
        matches!(&states[0].state, TableState::Failed { error } if error.contains("stopped unexpectedly")),
        "{states:?}"
    );
    assert_eq!(states[1].state, TableState::Blocked { by: "t".to_owned() });
    assert!(table.ready().await.is_err(), "nobody waits for it for ever");
}

#[tokio::test]
async fn tables_that_are_dropped_load_no_more() {
    let clock = Clock::manual(0);
    let fed = fed("t", &clock, |script| script.whole([Takes(seconds(5)), give("+I 1 1")])).refreshed(1);
    let (table, tables) = fed.start(&clock);
    until(&clock, SECOND).await;
    drop(tables);
    until(&clock, 60 * SECOND).await;
    assert_eq!(content(&*table), "");
    assert!(table.ready().await.is_err());
}
