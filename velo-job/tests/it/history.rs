//! A stream that reads its history to the end, and then what comes live: through the seam, and killed on either side of it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use velo_core::offset::Position;
use velo_exec::checkpoint::{Folder as CheckpointFolder, Manifest};
use velo_job::OnCheckpoint;
use velo_testkit::collecting::Collected;
use velo_testkit::scripted::{Script as Rows, Step};
use velo_testkit::{Gate, Table};

use crate::checkpoints::{Job, Ran, lines, trades};
use crate::support::{Scripted, at_rest};

const BARS: &str = "
    CREATE STREAM trades (symbol STRING, price DECIMAL(18, 4), ts BIGINT) WITH (
        connector = 'file', path = '@/trades.jsonl', format = 'json', HISTORY
        'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis', 'watermark.max_out_of_orderness' = '2s'
    );
    CREATE SINK bars WITH (connector = 'file', path = '@/bars.jsonl', format = 'json');
    INSERT INTO bars
    SELECT symbol, _window_start AS window_start, MIN(price) AS low, MAX(price) AS high, FIRST(price) AS open, COUNT(*) AS n
    FROM trades WINDOW TUMBLING(10s) GROUP BY symbol;
    CREATE SINK copies WITH (connector = 'file', path = '@/copies.jsonl', format = 'json');
    INSERT INTO copies SELECT symbol, price, ts FROM trades;
";

/// What comes of these rows from one file.
fn from_one_file(rows: u64) -> [String; 2] {
    let job = Job::new(&BARS.replace("HISTORY", ""));
    job.write("trades.jsonl", &trades(0..rows));
    job.finish();
    ["bars.jsonl", "copies.jsonl"].map(|name| job.read(name))
}

/// Whether a checkpoint says that the history was read to its end.
fn is_over(manifest: &Manifest) -> bool {
    let partitions = &manifest.sources["trades"].partitions;
    partitions.iter().any(|(name, state)| name.starts_with("history:") && state.position == Some(Position::Finished))
}

/// Killed at every few checkpoints, on either side of the seam, with a history that is removed once it was read: the results are
/// those of one file. With a time to go over at, both files have rows from around it, and each row counts once.
#[test]
fn killed_on_either_side_of_the_seam_each_row_is_there_once() {
    const ROWS: u64 = 80_000;
    const SEAM: u64 = 45_000;
    let history = "'history.connector' = 'file', 'history.path' = '@/old.jsonl', 'history.format' = 'json',";
    // No row before that one has this time or a later one. A few behind it are earlier still, and in both files.
    let time = 1_700_000_000_000 + SEAM * 130;
    let until =
        format!("{history} 'history.then.live' = 'timestamp:{}',", velo_core::time::iso8601(time as i64 * 1_000));
    let expected = from_one_file(ROWS);
    assert!(expected[0].lines().count() > 100);
    for (history, old, live) in [(history, 0..SEAM, SEAM..ROWS), (until.as_str(), 0..SEAM + 2_000, SEAM - 3_000..ROWS)]
    {
        let mut job = Job::new(&BARS.replace("HISTORY", history));
        job.write("old.jsonl", &trades(old));
        job.write("trades.jsonl", &trades(live));
        let (mut kills, mut over, mut begun) = (0, false, false);
        loop {
            match job.run(Some(1 + kills % 3), |_| {}) {
                Ran::Killed => kills += 1,
                Ran::Ended(result) => break result.unwrap(),
            }
            assert!(kills < 200);
            job.parallelism = 1 + kills as usize % 3;
            let is_over = is_over(&job.newest());
            begun |= !is_over;
            if is_over && !over {
                over = true;
                std::fs::remove_file(job.path("old.jsonl")).unwrap();
            }
        }
        assert!(begun && over, "it was killed on both sides of the seam: {kills} times");
        for (name, expected) in ["bars.jsonl", "copies.jsonl"].iter().zip(&expected) {
            let got = job.read(name);
            let (got, expected) = (lines(&got), lines(expected));
            assert!(got == expected, "{name}: {} lines, and {} were expected", got.len(), expected.len());
        }
    }
}

/// A file that is not there when the job begins is told, and nothing is left out.
#[test]
fn a_history_that_is_not_there_is_told() {
    let history = "'history.connector' = 'file', 'history.path' = '@/old.jsonl', 'history.format' = 'json',";
    let job = Job::new(&BARS.replace("HISTORY", history));
    job.write("trades.jsonl", &trades(0..10));
    match job.run(None, |_| {}) {
        Ran::Ended(Err(error)) => assert!(error.to_string().contains("old.jsonl"), "{error}"),
        other => panic!("{other:?}"),
    }
}

const SCRIPT: &str = "CREATE STREAM t (p STRING, ts BIGINT) WITH (connector = 'scripted', script = 'live',
  'history.connector' = 'scripted', 'history.script' = 'old', 'event.time.field' = 'ts',
  'watermark.max_out_of_orderness' = '0s', 'watermark.idle_timeout' = '1s');
SELECT p, ts FROM t;";

/// One batch per second, from `first` to `last`.
fn seconds(partition: &str, first: i64, last: i64) -> Vec<Step> {
    let rows: Vec<String> = (first..=last).map(|second| format!("{partition} {}", second * 1000)).collect();
    let table = Table::untyped(&format!("p:STRING ts:BIGINT\n{}\n", rows.join("\n---\n")));
    table.batches.into_iter().map(Step::Rows).collect()
}

fn rows() -> Rows {
    Rows::new(&Table::untyped("p:STRING ts:BIGINT\na 1\n").schema)
}

/// Two partitions are read first, of which one waits at the gate. Of what comes live one partition is found later, and none is read
/// before. Nor does it hold the watermark, which stays where the history has left it until the live partitions have passed that.
#[tokio::test]
async fn what_comes_live_waits_for_the_history_and_goes_on_with_its_watermark() {
    let (gate, more) = (Gate::closed(), Gate::closed());
    let hold = |gate: &Gate| [Step::Hold(gate.clone())];
    let old = rows()
        .partition(seconds("a", 1, 100))
        .partition(seconds("b", 1, 40).into_iter().chain(hold(&gate)).chain(seconds("b", 41, 90)));
    let live = rows()
        .partition(seconds("x", 50, 60).into_iter().chain(hold(&more)).chain(seconds("x", 61, 96)))
        .partition(seconds("y", 70, 120))
        .partition_later(seconds("z", 105, 130))
        .endless();
    let scripted = Scripted::new(SCRIPT, vec![("old", old), ("live", live)]).await;
    let (progress, collected) = (&scripted.progress.sources[0], Collected::new());
    let watermark = || progress.watermark.load(Ordering::Relaxed) / 1_000_000;
    let test = async {
        assert_eq!(at_rest(&progress.delivered).await, 100 + 40);
        assert_eq!(watermark(), 40, "the first has ended, and is not waited for");
        gate.open();
        assert_eq!(at_rest(&progress.delivered).await, 100 + 90 + 11 + 51 + 26);
        assert_eq!(watermark(), 90, "what comes live is at 60");
        more.open();
        assert_eq!(at_rest(&progress.delivered).await, 100 + 90 + 47 + 51 + 26);
        assert_eq!(watermark(), 96);
        scripted.stop.stop();
    };
    tokio::join!(scripted.run(&collected, None), test);
    let text = collected.text();
    let first_live = ["+I x", "+I y", "+I z"].map(|row| text.find(row).unwrap()).into_iter().min();
    let last_of_history = ["+I a", "+I b"].map(|row| text.rfind(row).unwrap()).into_iter().max();
    assert!(last_of_history < first_live, "{text}");
}

/// The checkpoints of the history know the live partitions; a run that goes on from one goes on in the history, and one behind the seam
/// does not read it again.
#[tokio::test]
async fn a_checkpoint_knows_on_which_side_of_the_seam_it_is() {
    let checkpoints = CheckpointFolder::in_memory();
    let newest = Arc::new(Mutex::new((0, None)));
    let attempt = async |gate: &Gate, delivered: u64, collected: &Collected| {
        let old = rows()
            .partition(seconds("a", 1, 5).into_iter().chain([Step::Hold(gate.clone())]).chain(seconds("a", 6, 9)));
        let live = rows().partition(seconds("x", 1, 3)).partition(seconds("y", 1, 4)).endless();
        let sql = SCRIPT.replace("'1s'", "'0'");
        let scripted = Scripted::new(&sql, vec![("old", old), ("live", live)]).await;
        let told = Arc::clone(&newest);
        let on_checkpoint: OnCheckpoint = Arc::new(move |manifest| {
            let mut newest = told.lock().unwrap();
            *newest = (newest.0 + 1, Some(manifest.sources["t"].clone()));
        });
        let options = scripted.checkpointed(collected, &checkpoints, on_checkpoint).await;
        let test = async {
            assert_eq!(at_rest(&scripted.progress.sources[0].delivered).await, delivered);
            let before = newest.lock().unwrap().0;
            while newest.lock().unwrap().0 < before + 2 {
                scripted.clock.advance(std::time::Duration::from_millis(100));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = test => {}
            ran = scripted.script.run(options, &scripted.progress) => panic!("{ran:?}"),
        }
        newest.lock().unwrap().1.clone().unwrap()
    };
    let position = |state: &velo_exec::checkpoint::SourceState, name: &str| state.partitions[name].position.clone();
    let opened = Gate::closed();
    opened.open();
    let [first, second, third] = [(); 3].map(|()| Collected::new());
    let state = attempt(&Gate::closed(), 5, &first).await;
    assert_eq!(state.partitions.keys().map(String::as_str).collect::<Vec<_>>(), ["0", "1", "history:0"]);
    assert_eq!((position(&state, "history:0"), position(&state, "0")), (Some(Position::Row(5)), None));
    let state = attempt(&opened, 9 + 3 + 4, &second).await;
    assert_eq!(
        (position(&state, "history:0"), position(&state, "1")),
        (Some(Position::Finished), Some(Position::Row(4)))
    );
    assert_eq!(state.watermark.0, 9_000_000);
    // Nothing of either is read again, and the next checkpoint still says that the history is over.
    let state = attempt(&Gate::closed(), 16, &third).await;
    assert_eq!(position(&state, "history:0"), Some(Position::Finished));
    assert_eq!([&first, &second, &third].map(Collected::rows), [5, 4 + 3 + 4, 0]);
}
