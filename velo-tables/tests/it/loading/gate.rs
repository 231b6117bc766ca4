//! The wait for tables: counted from the last progress, and its error says for what.

use velo_core::Clock;
use velo_core::duration::Span;
use velo_tables::TableNumber;
use velo_testkit::loads::LoadStep::{self, Breaks, Hold, Takes};
use velo_testkit::{Gate, drive};

use super::feeds::{SECOND, fed, give, seconds, start};

const MINUTE: Option<Span> = Some(Span(60 * SECOND));

#[tokio::test]
async fn as_long_as_something_comes_it_waits() {
    let clock = Clock::manual(0);
    let slow =
        |most: u64| (0..most).flat_map(|at| [Takes(seconds(50)), give(&format!("+I {at} 1"))]).collect::<Vec<_>>();
    let first = fed("a", &clock, |script| script.whole(slow(5)));
    let next = fed("b", &clock, |script| script.whole(slow(3)));
    let tables = start(vec![first.spec("a", &[]), next.spec("b", &[0])], &clock);
    let gate = tables.gate();
    assert!(!gate.is_open(&[TableNumber(1)]));
    drive(&clock, gate.wait_for(&[TableNumber(1)], MINUTE)).await.unwrap();
    assert_eq!(clock.now(), 400 * SECOND, "what an awaited table needs is progress too");
    assert!(gate.is_open(&[TableNumber(0), TableNumber(1)]));
    gate.wait_for(&[], MINUTE).await.unwrap();
}

async fn wait(tables: &velo_tables::Tables, clock: &Clock, awaited: &[usize]) -> (i64, String) {
    let numbers: Vec<TableNumber> = awaited.iter().copied().map(TableNumber).collect();
    let error = drive(clock, tables.gate().wait_for(&numbers, MINUTE)).await.unwrap_err();
    (clock.now() / SECOND, error.to_string())
}

#[tokio::test]
async fn a_table_that_stands_still() {
    let clock = Clock::manual(0);
    let size = velo_core::connector::SizeHint { rows: Some(8), bytes: None };
    let stuck = fed("quotes", &clock, |script| {
        script.whole([Takes(seconds(30)), give("+I 1 1\n+I 2 2"), Hold(Gate::closed())]).sized(size)
    });
    let bytes = super::feeds::rows("+I 1 1\n+I 2 2").memory();
    let next = fed("next", &clock, |script| script.whole([]));
    let tables = start(vec![stuck.spec("quotes", &[]), next.spec("next", &[0])], &clock);
    let (at, error) = wait(&tables, &clock, &[1]).await;
    assert!((90..=91).contains(&at), "a minute after the rows came, which is seen within a second: {at}");
    assert_eq!(
        error,
        format!(
            "table 'next' is not ready, and nothing has come for 1m\n  'next': waits for 'quotes'\n  \
             'quotes': loading; 2 records and {bytes} bytes so far, 25 %\n  \
             help: see why nothing comes for 'quotes', or wait longer: 'table.wait.timeout' = '5m'"
        )
    );
}

#[tokio::test]
async fn tables_that_wait_for_their_turn_and_that_fail_again_and_again() {
    let clock = Clock::manual(0);
    let stuck = |at: usize| fed(&format!("t{at}"), &clock, |script| script.whole([Hold(Gate::closed())]));
    let mut specs: Vec<_> = (0..3).map(|at| stuck(at).spec(&format!("t{at}"), &[])).collect();
    let mut failing = fed("flaky", &clock, |script| script.whole([LoadStep::Breaks("the line is down".to_owned())]));
    failing.feed.retry.attempts = None;
    specs.push(failing.spec("flaky", &[]));
    specs.push(stuck(4).spec("late", &[]));
    let tables = start(specs, &clock);
    let (at, error) = wait(&tables, &clock, &[3, 4]).await;
    assert_eq!(at, 60, "failing is no progress");
    assert!(error.starts_with("tables 'flaky', 'late' are not ready, and nothing has come for 1m\n"), "{error}");
    assert!(error.contains("'flaky': to be tried again after "), "{error}");
    assert!(error.contains("the line is down"), "{error}");
    assert!(error.contains("'late': waits for its turn\n"), "{error}");
    assert!(error.contains("help: correct what the error of 'flaky' says\n"), "{error}");
    assert!(error.contains("'table.load.parallelism'"), "{error}");
}

#[tokio::test]
async fn a_source_that_is_not_opened() {
    let clock = Clock::manual(0);
    let mut fed = fed("t", &clock, |script| script.whole([Breaks("down".to_owned())]));
    fed.feed.retry.attempts = None;
    fed.feed.connection = std::sync::Arc::new(velo_core::resilience::Connection::new(
        "db",
        velo_core::resilience::CircuitBreakerProperties { failure_threshold: 1, ..Default::default() },
        clock.clone(),
    ));
    let held = fed.feed.connection.clone();
    let permit = held.permit().await;
    permit.failed(&velo_core::ConnectorError::new(velo_core::error::ErrorKind::Unavailable, "asking", "x").temporary());
    let (_, tables) = fed.start(&clock);
    let error = drive(&clock, tables.gate().wait_for(&[TableNumber(0)], Some(Span(20 * SECOND)))).await.unwrap_err();
    assert_eq!(clock.now(), 20 * SECOND);
    let text = error.to_string();
    assert!(text.contains("'t': waits for its source; 0 records and 0 bytes so far\n"), "{text}");
    assert!(text.contains("help: check that the source of 't' is there and can be reached"), "{text}");
}
