//! A partition whose reader or whose pipeline is held up is not idle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use velo_job::RunOptions;
use velo_testkit::collecting::Collected;
use velo_testkit::scripted::{Script as Rows, Step};
use velo_testkit::{Gate, Table};

use crate::support::{Scripted, at_rest, open};

const SCRIPT: &str =
    "CREATE STREAM t (p STRING, ts BIGINT) WITH (connector = 'scripted', script = 't', 'event.time.field' = 'ts',
  'watermark.max_out_of_orderness' = '0s', 'watermark.idle_timeout' = '1s');
SELECT p FROM t;
SELECT _window_start AS opened, COUNT(*) AS n FROM t WINDOW TUMBLING(10s);";

/// One batch per second, from `first` to `last`.
fn seconds(partition: &str, first: i64, last: i64) -> Vec<Step> {
    let rows: Vec<String> = (first..=last).map(|second| format!("{partition} {}", second * 1000)).collect();
    let table = Table::untyped(&format!("p:STRING ts:BIGINT\n{}\n", rows.join("\n---\n")));
    table.batches.into_iter().map(Step::Rows).collect()
}

/// BC-02. The sink of the rows is blocked, so the source is, and P1 has nothing until its reader goes on: all of P1 counts.
/// Then it really is silent, while nothing is blocked, and windows close without it.
#[tokio::test]
async fn bc_02_a_blocked_sink_makes_no_partition_idle() {
    let (reader, sink, more) = (Gate::closed(), Gate::closed(), Gate::closed());
    let then = |gate: &Gate| [Step::Hold(gate.clone())];
    let rows = Rows::new(&Table::untyped("p:STRING ts:BIGINT\na 1\n").schema)
        .partition(seconds("a", 1, 60).into_iter().chain(then(&more)).chain(seconds("a", 100, 120)))
        .partition(then(&reader).into_iter().chain(seconds("b", 1, 60)))
        .endless();
    let Scripted { script, progress, clock, stop, .. } = Scripted::new(SCRIPT, vec![("t", rows)]).await;
    let (plain, windows) = (Collected::new(), Collected::new());
    let terminals = BTreeMap::from([
        (0, open(&plain, Some(sink.clone()), &script, 0, &clock).await),
        (1, open(&windows, None, &script, 1, &clock).await),
    ]);
    let options = RunOptions { clock: clock.clone(), terminals, stop: stop.clone(), ..RunOptions::new(1) };
    let source = Arc::clone(&progress.sources[0]);
    let job = async { script.run(options, &progress).await.unwrap() };
    let test = async {
        // The sink has a batch, channels are full, and the source is held with the next.
        assert!(at_rest(&source.delivered).await >= 6);
        clock.advance(Duration::from_secs(15));
        sink.open();
        plain.wait_for(60).await;
        // P1 has been asked since; less than the time-out has gone by since nothing was blocked.
        clock.advance(Duration::from_millis(900));
        reader.open();
        plain.wait_for(120).await;
        windows.wait_for(6).await;
        assert_eq!(
            windows.text().replace("1970-01-01T", ""),
            "   opened               n\n+I 00:00:00Z 18\n+I 00:00:10Z 20\n+I 00:00:20Z 20\n+I 00:00:30Z 20\n+I 00:00:40Z 20\n+I 00:00:50Z 20\n"
        );
        assert_eq!(progress.late_rows(script.graph()), BTreeMap::new());
        // Now both are silent for a second in which nothing is blocked, and only P0 goes on: windows close on it alone.
        clock.advance(Duration::from_secs(1));
        more.open();
        windows.wait_for(9).await;
        stop.stop();
    };
    tokio::join!(job, test);
}

/// A partition that is found while the source runs is read though the others never pause.
#[tokio::test]
async fn a_partition_that_is_found_later_is_read_beside_those_that_never_pause() {
    let schema = Table::untyped("p:STRING ts:BIGINT\na 1\n").schema;
    let rows = Rows::new(&schema).partition(seconds("a", 1, 300)).partition_later(seconds("b", 1, 3));
    let scripted = Scripted::new(
        "CREATE STREAM t (p STRING, ts BIGINT) WITH (connector = 'scripted', script = 't'); SELECT p FROM t;",
        vec![("t", rows)],
    )
    .await;
    let collected = Collected::new();
    scripted.run(&collected, None).await;
    let text = collected.text();
    assert_eq!((text.matches("+I a").count(), text.matches("+I b").count()), (300, 3));
}
