//! A partition that is far ahead of the slowest one waits for it, and for nobody who is silent or has ended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use velo_exec::checkpoint::Folder as CheckpointFolder;
use velo_job::OnCheckpoint;
use velo_testkit::collecting::Collected;
use velo_testkit::scripted::{Script as Rows, Step};
use velo_testkit::{Gate, Table};

use crate::support::{Scripted, at_rest};

const SCRIPT: &str =
    "CREATE STREAM t (p STRING, ts BIGINT) WITH (connector = 'scripted', script = 't', 'event.time.field' = 'ts',
  'watermark.max_out_of_orderness' = '0s', 'watermark.idle_timeout' = '1s', 'watermark.alignment.max_drift' = '20s');
SELECT p, _window_start AS opened, COUNT(*) AS n FROM t GROUP BY p WINDOW TUMBLING(10s);";

/// One batch per second, from `first` to `last`.
fn seconds(partition: &str, first: i64, last: i64) -> Vec<Step> {
    let rows: Vec<String> = (first..=last).map(|second| format!("{partition} {}", second * 1000)).collect();
    let table = Table::untyped(&format!("p:STRING ts:BIGINT\n{}\n", rows.join("\n---\n")));
    table.batches.into_iter().map(Step::Rows).collect()
}

/// The partition `a` has five minutes, and so has `b`, which gives the first ten seconds of them and then waits for the gate.
fn fast_and_slow(gate: &Gate) -> Rows {
    let slow = seconds("b", 1, 10).into_iter().chain([Step::Hold(gate.clone())]).chain(seconds("b", 11, 300));
    Rows::new(&Table::untyped("p:STRING ts:BIGINT\na 1\n").schema).partition(seconds("a", 1, 300)).partition(slow)
}

/// Rows of results without the header, in order.
fn sorted(collected: &[&Collected]) -> Vec<String> {
    let mut lines: Vec<String> = collected
        .iter()
        .flat_map(|collected| {
            collected.text().lines().filter(|line| line.starts_with('+')).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    lines.sort();
    lines
}

/// What comes of `fast_and_slow` where no partition waits for another.
async fn without_alignment() -> Vec<String> {
    let gate = Gate::closed();
    gate.open();
    let sql = SCRIPT.replace(", 'watermark.alignment.max_drift' = '20s'", "");
    let scripted = Scripted::new(&sql, vec![("t", fast_and_slow(&gate))]).await;
    let collected = Collected::new();
    scripted.run(&collected, None).await;
    sorted(&[&collected])
}

/// The slow partition stands at 10, so the fast one gives what brings it to 31, the first that is more than 20 ahead, and no more.
/// It is not silent meanwhile. Then they go on together, to the same results as without waiting.
#[tokio::test]
async fn a_fast_partition_waits_for_the_slowest() {
    let gate = Gate::closed();
    let scripted = Scripted::new(SCRIPT, vec![("t", fast_and_slow(&gate))]).await;
    let collected = Collected::new();
    let delivered = &scripted.progress.sources[0].delivered;
    let test = async {
        assert_eq!(at_rest(delivered).await, 31 + 10);
        gate.open();
    };
    tokio::join!(scripted.run(&collected, None), test);
    assert_eq!(sorted(&[&collected]), without_alignment().await);
    assert_eq!(sorted(&[&collected]).len(), 2 * 31, "each partition has 31 windows");
}

/// A partition is waited for until it is idle, and one that comes back is waited for again.
#[tokio::test]
async fn an_idle_partition_is_not_waited_for() {
    let (gate, more) = (Gate::closed(), Gate::closed());
    let rows = Rows::new(&Table::untyped("p:STRING ts:BIGINT\na 1\n").schema)
        .partition(seconds("a", 1, 300).into_iter().chain([Step::Hold(more.clone())]).chain(seconds("a", 301, 900)))
        .partition([Step::Hold(gate.clone())].into_iter().chain(seconds("b", 400, 410)))
        .endless();
    let scripted = Scripted::new(SCRIPT, vec![("t", rows)]).await;
    let collected = Collected::new();
    let delivered = &scripted.progress.sources[0].delivered;
    let test = async {
        assert_eq!(at_rest(delivered).await, 1, "nothing is known of the other");
        scripted.clock.advance(Duration::from_secs(1));
        assert_eq!(at_rest(delivered).await, 300);
        gate.open();
        assert_eq!(at_rest(delivered).await, 301, "now it is the one that is ahead, and the first is not silent yet");
        more.open();
        assert_eq!(at_rest(delivered).await, 431 + 11, "the other one stands at 410");
        scripted.clock.advance(Duration::from_secs(1));
        assert_eq!(at_rest(delivered).await, 900 + 11);
        scripted.stop.stop();
    };
    tokio::join!(scripted.run(&collected, None), test);
}

/// A stop and barriers pass a partition that waits. Killed there and started again it waits from the first on, though nothing of the
/// slow one has come yet.
#[tokio::test]
async fn it_waits_again_after_a_restart() {
    let checkpoints = CheckpointFolder::in_memory();
    let made = Arc::new(Mutex::new(0));
    let attempt = async |gate: &Gate, collected: &Collected, last: bool| {
        // However long the clock goes on until there is a checkpoint, nobody becomes idle.
        let sql = SCRIPT.replace("'1s'", "'0'");
        let scripted = Scripted::new(&sql, vec![("t", fast_and_slow(gate))]).await;
        let told = Arc::clone(&made);
        let on_checkpoint: OnCheckpoint = Arc::new(move |_| *told.lock().unwrap() += 1);
        let options = scripted.checkpointed(collected, &checkpoints, on_checkpoint).await;
        let test = async {
            assert_eq!(at_rest(&scripted.progress.sources[0].delivered).await, 31 + 10);
            let before = *made.lock().unwrap();
            while *made.lock().unwrap() < before + 2 {
                scripted.clock.advance(Duration::from_millis(100));
                tokio::task::yield_now().await;
            }
            if last {
                gate.open();
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = test => {}
            ran = scripted.script.run(options, &scripted.progress) => ran.unwrap(),
        }
    };
    let (first, second) = (Collected::new(), Collected::new());
    attempt(&Gate::closed(), &first, false).await;
    attempt(&Gate::closed(), &second, true).await;
    assert_eq!(sorted(&[&first, &second]), without_alignment().await);
}
