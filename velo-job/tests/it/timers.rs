//! Whole scripts by a clock that stands still until a test moves it: `emit.interval`, `emit.idle_close`, `state.ttl`, EXPIRE.

use std::collections::BTreeMap;
use std::time::Duration;

use velo_testkit::Gate;
use velo_testkit::collecting::Collected;
use velo_testkit::scripted::{Script as Rows, Step};

use crate::support::{Scripted, rows};

const STREAM: &str = "CREATE STREAM t (k STRING, ts BIGINT) WITH (connector = 'scripted', script = 't',
  'event.time.field' = 'ts', 'watermark.max_out_of_orderness' = '5s');\n";

/// A batch of rows of a key and a second each.
fn step(text: &[(&str, i64)]) -> Step {
    let lines: Vec<String> = text.iter().map(|(key, second)| format!("{key} {}", second * 1000)).collect();
    let table = rows(&format!("k:STRING ts:BIGINT\n{}\n", lines.join("\n")));
    Step::Rows(table.batches.into_iter().next().unwrap())
}

fn source(partitions: Vec<Vec<Step>>) -> Rows {
    let schema = rows("k:STRING ts:BIGINT\na 1\n").schema;
    partitions.into_iter().fold(Rows::new(&schema), Rows::partition).endless()
}

fn lines(collected: &Collected) -> Vec<String> {
    let text = collected.text().replace("1970-01-01T00:", "");
    text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn changes_come_once_in_an_interval() {
    for parallelism in [1, 2] {
        let (second, third) = (Gate::closed(), Gate::closed());
        let steps = vec![
            step(&[("a", 1)]),
            Step::Hold(second.clone()),
            step(&[("a", 2), ("b", 2)]),
            step(&[("a", 3)]),
            Step::Hold(third.clone()),
            step(&[("b", 4)]),
        ];
        let sql = format!(
            "{STREAM}SELECT k, COUNT(*) AS n FROM t GROUP BY k WITH ('emit.interval' = '1s', 'state.ttl' = '1d');"
        );
        let scripted = Scripted::new(&sql, vec![("t", source(vec![steps]))]).await.parallel(parallelism);
        let collected = Collected::new();
        let test = async {
            collected.wait_for(1).await;
            second.open();
            scripted.read(4).await;
            if parallelism == 1 {
                assert_eq!(collected.rows(), 1, "the interval has not passed");
            }
            scripted.until(&collected, 4).await;
            // What is held when the job is stopped is not lost.
            third.open();
            scripted.read(5).await;
            scripted.stop.stop();
        };
        tokio::join!(scripted.run(&collected, None), test);
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for line in lines(&collected) {
            let words: Vec<&str> = line.split(' ').collect();
            if words[0] != "-U" {
                found.insert(words[1].to_owned(), words[2].to_owned());
            }
        }
        let expected = [("a", "3"), ("b", "2")].map(|(key, count)| (key.to_owned(), count.to_owned()));
        assert_eq!(found, BTreeMap::from(expected), "{:?}", lines(&collected));
        if parallelism == 1 {
            assert_eq!(lines(&collected)[..4], ["+I a 1", "-U a 1", "+U a 3", "+I b 1"]);
        }
    }
}

/// P1 never gives anything. Ten seconds of that make it idle, though a timer comes every three; and not one second less, though the
/// machine's clock is set.
#[tokio::test]
async fn timers_do_not_make_a_partition_less_silent() {
    let gates: Vec<Gate> = (0..4).map(|_| Gate::closed()).collect();
    let mut steps = vec![step(&[("a", 1)]), step(&[("a", 2)])];
    for (at, gate) in gates.iter().enumerate() {
        steps.push(Step::Hold(gate.clone()));
        steps.push(step(&if at == 3 { vec![("a", 6), ("a", 21)] } else { vec![("a", 3)] }));
    }
    let sql = STREAM.replace("'5s'", "'0s', 'watermark.idle_timeout' = '10s'")
        + "SELECT k, COUNT(*) AS n FROM t GROUP BY k WINDOW TUMBLING(10s) EMIT CHANGES WITH ('emit.interval' = '3s');";
    let silent = vec![Step::Hold(Gate::closed())];
    let scripted = Scripted::new(&sql, vec![("t", source(vec![steps, silent]))]).await;
    let collected = Collected::new();
    let test = async {
        scripted.read(2).await;
        for (at, gate) in gates.iter().take(3).enumerate() {
            assert_eq!(collected.rows(), 1 + 2 * at);
            scripted.clock.set_wall([3_600, -3_600, 86_400][at] * 1_000_000);
            scripted.clock.advance(seconds(3));
            collected.wait_for(3 + 2 * at).await;
            gate.open();
            scripted.read(3 + at as u64).await;
        }
        gates[3].open();
        scripted.read(7).await;
        assert_eq!(collected.rows(), 7);
        // The tenth second: the window of the first rows closes, and what is held of it does not wait for the twelfth.
        scripted.clock.advance(seconds(1));
        collected.wait_for(9).await;
        assert_eq!(lines(&collected)[7..], ["-U a 4", "+U a 6"]);
        scripted.stop.stop();
    };
    tokio::join!(scripted.run(&collected, None), test);
}

#[tokio::test]
async fn a_quiet_window_closes_and_what_follows_is_late() {
    for (parallelism, idle) in [(1, "0"), (2, "0"), (2, "5s")] {
        let more = Gate::closed();
        let steps = vec![step(&[("a", 1), ("b", 2), ("a", 3)]), Step::Hold(more.clone()), step(&[("a", 4), ("a", 12)])];
        let sql = STREAM.replace("'5s'", &format!("'5s', 'watermark.idle_timeout' = '{idle}'"))
            + "SELECT k, COUNT(*) AS n, _window_start AS s FROM t GROUP BY k WINDOW TUMBLING(10s) WITH ('emit.idle_close' = '30s');";
        let scripted = Scripted::new(&sql, vec![("t", source(vec![steps]))]).await.parallel(parallelism);
        let collected = Collected::new();
        let test = async {
            scripted.read(3).await;
            scripted.clock.advance(seconds(29));
            tokio::task::yield_now().await;
            assert_eq!(collected.rows(), 0);
            scripted.clock.advance(seconds(1));
            collected.wait_for(2).await;
            more.open();
            scripted.read(5).await;
            scripted.stop.finish();
        };
        tokio::join!(scripted.run(&collected, None), test);
        let mut found = lines(&collected);
        found.sort();
        assert_eq!(found, ["+I a 1 00:10Z", "+I a 2 00:00Z", "+I b 1 00:00Z"], "{parallelism} tasks, idle {idle}");
        let late = scripted.progress.late_rows(scripted.script.graph());
        assert_eq!(late.into_values().sum::<u64>(), 1);
    }
}

/// A session of one source and one of another: neither holds up the other, as both are quiet.
#[tokio::test]
async fn quiet_sessions_of_two_sources_close() {
    let sql = STREAM.to_owned()
        + &STREAM.replace("STREAM t ", "STREAM u ").replace("script = 't'", "script = 'u'")
        + "SELECT k, COUNT(*) AS n FROM (SELECT * FROM t UNION ALL SELECT * FROM u) AS both
           GROUP BY k WINDOW SESSION(3s) WITH ('emit.idle_close' = '30s');";
    let sources =
        vec![("t", source(vec![vec![step(&[("a", 1), ("a", 2)])]])), ("u", source(vec![vec![step(&[("b", 100)])]]))];
    for parallelism in [1, 2] {
        let scripted = Scripted::new(&sql, sources.clone()).await.parallel(parallelism);
        let collected = Collected::new();
        let test = async {
            scripted.read(2).await;
            scripted.until(&collected, 2).await;
            scripted.stop.stop();
        };
        tokio::join!(scripted.run(&collected, None), test);
        let mut found = lines(&collected);
        found.sort();
        assert_eq!(found, ["+I a 2", "+I b 1"]);
    }
}

#[tokio::test]
async fn groups_and_buffers_are_forgotten_by_the_clock() {
    let plain = "CREATE STREAM t (k STRING, ts BIGINT) WITH (connector = 'scripted', script = 't');\n";
    let grouped = "SELECT k, COUNT(*) AS n FROM t GROUP BY k WITH ('state.ttl' = '10s');";
    let distinct = "SELECT DISTINCT k FROM t WITH ('state.ttl' = '10s');";
    let buffered = "SELECT k, COUNT(*) OVER (ROWS WINDOW BUFFER 5 ROWS PARTITION BY k
        EXPIRE AFTER INTERVAL '9' SECOND INACTIVITY) AS n FROM t;";
    for (query, expected) in [
        (grouped, vec!["+I a 2", "+I a 1"]),
        (distinct, vec!["+I a", "+I a"]),
        (buffered, vec!["+I a 1", "+I a 2", "+I a 1"]),
    ] {
        let more = Gate::closed();
        let steps = vec![step(&[("a", 1), ("a", 2)]), Step::Hold(more.clone()), step(&[("a", 3)])];
        let scripted = Scripted::new(&format!("{plain}{query}"), vec![("t", source(vec![steps]))]).await;
        let collected = Collected::new();
        let test = async {
            scripted.read(2).await;
            scripted.clock.advance(seconds(10));
            more.open();
            collected.wait_for(expected.len()).await;
            scripted.stop.stop();
        };
        tokio::join!(scripted.run(&collected, None), test);
        assert_eq!(lines(&collected), expected, "{query}");
    }
}
