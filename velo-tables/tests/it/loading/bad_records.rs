//! Records that cannot be used: fail, skip, dead letters; and rows that do not fit their table.

use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use velo_core::dead_letter::{DeadLetter, Stage};
use velo_core::{Clock, Place};
use velo_tables::{OnBad, Prepared, TableState, Tables};
use velo_testkit::drive;
use velo_testkit::loads::LoadStep::{self, Bad, Breaks};

use super::feeds::{Fed, content, fed, give};

fn bad(clock: &Clock, policy: OnBad) -> Fed {
    let mut fed = fed("t", clock, |script| {
        let head = || vec![give("+I 1 1\n+I 2 -2"), Bad("no number".to_owned()), give("+I 3 -3\n+I 4 4")];
        let broken = head().into_iter().chain([Breaks("half-way".to_owned())]);
        script.whole(broken).whole(head())
    });
    fed.feed.on_bad = policy;
    fed
}

/// Refuses negative values, as a preparation refuses rows without an event time.
fn refuse_negative(fed: &mut Fed, policy: OnBad) {
    fed.feed.on_refused = policy;
    fed.feed.prepare = Arc::new(|rows| {
        let values = rows.columns.column(1).as_primitive::<Int64Type>().clone();
        let keep: BooleanArray = values.iter().map(|value| Some(value >= Some(0))).collect();
        let letter = |value: i64| DeadLetter {
            stage: Stage::EventTime,
            source: "t".to_owned(),
            bytes: value.to_string().into(),
            error: format!("{value} is no time"),
            code: "event-time",
            place: Some(Place::Row { source: "script".to_owned(), row: value.unsigned_abs() }),
            attributes: None,
        };
        let refused = values.iter().flatten().filter(|value| *value < 0).map(letter).collect();
        Ok(Prepared { rows: rows.filter(&keep).unwrap(), refused })
    });
}

fn failure(tables: &Tables) -> String {
    match tables.status().remove(0).state {
        TableState::Failed { error } => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn fail_says_where() {
    let clock = Clock::manual(0);
    let (_, tables) = bad(&clock, OnBad::Fail).start(&clock);
    drive(&clock, tables.settled()).await;
    assert_eq!(
        failure(&tables),
        "decoding a record: no number (at script, row 3)\n  help: correct the record, or set 'on.error' = 'skip' \
         (such records are left out and counted) or 'dead_letter' (they are kept)"
    );
    let mut fed = bad(&clock, OnBad::Skip);
    refuse_negative(&mut fed, OnBad::Fail);
    let (_, tables) = fed.start(&clock);
    drive(&clock, tables.settled()).await;
    let error = failure(&tables);
    assert!(error.starts_with("taking a row: -2 is no time (at script, row 2)\n"), "{error}");
    assert!(error.contains("'event.time.on.error' = 'skip'"), "{error}");
}

#[tokio::test]
async fn what_is_left_out_is_counted_once() {
    for (decoding, refusing, letters) in [
        (OnBad::Skip, OnBad::Skip, vec![]),
        (OnBad::DeadLetter, OnBad::Skip, vec!["decode no number"]),
        (OnBad::DeadLetter, OnBad::DeadLetter, vec!["event_time -2", "decode no number", "event_time -3"]),
    ] {
        let clock = Clock::manual(0);
        let mut fed = bad(&clock, decoding);
        refuse_negative(&mut fed, refusing);
        let taken = Arc::clone(&fed.letters);
        let (table, tables) = fed.start(&clock);
        drive(&clock, tables.settled()).await;
        assert_eq!(content(&*table), "1=1 4=4");
        let taken = taken.0.lock().unwrap();
        let text = |letter: &DeadLetter| format!("{} {}", letter.stage.name(), String::from_utf8_lossy(&letter.bytes));
        assert_eq!(taken.iter().map(text).collect::<Vec<_>>(), letters, "once, though there were two attempts");
        let health = tables.health().remove(0);
        let dead = letters.len() as u64;
        assert_eq!((health.delivered, health.skipped, health.dead_letters), (2, 3 - dead, dead));
        assert_eq!(tables.status()[0].records, 5, "read = delivered + skipped + dead letters");
    }
}

#[tokio::test]
async fn rows_without_the_key_column_are_refused() {
    let clock = Clock::manual(0);
    let other = velo_testkit::table!("v:BIGINT\n+I 1").batch();
    let (table, tables) = fed("t", &clock, |script| script.whole([LoadStep::Rows(other)])).start(&clock);
    drive(&clock, tables.settled()).await;
    let error = failure(&tables);
    assert!(error.contains("columns"), "{error}");
    assert_eq!(content(&*table), "");
}
