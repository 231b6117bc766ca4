//! Queries of Nexmark over bids that are made up on the fly, and over the same bids in a JSON file; the results only count.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::command::Bench;
use super::figures::{median, rounded};
use super::timed::{self, load_average, pinned};

/// Events, of which 46 in 50 are bids.
const EVENTS: u64 = 5_000_000;

/// What is read: every bid and nothing else.
const MADE: &str = "CREATE STREAM bid (auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, dateTime TIMESTAMP, extra STRING)
WITH (connector = 'nexmark', 'nexmark.table' = 'bid', events = 'EVENTS', 'event.time.field' = 'dateTime', 'watermark.max_out_of_orderness' = '4s');
";

const READ: &str = "CREATE STREAM bid (auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, dateTime TIMESTAMP, extra STRING)
WITH (connector = 'file', path = 'INPUT', format = 'json', 'event.time.field' = 'dateTime', 'watermark.max_out_of_orderness' = '4s');
";

/// The queries by their names in the benchmark.
const QUERIES: [(&str, &str); 5] = [
    ("q0", "SELECT auction, bidder, price, dateTime, extra FROM bid"),
    ("q1", "SELECT auction, bidder, 0.908 * price AS price, dateTime, extra FROM bid"),
    ("q2", "SELECT auction, price FROM bid WHERE auction % 123 = 0"),
    (
        "q5",
        "SELECT auction, num, starttime FROM (
  SELECT auction, num, starttime, ROW_NUMBER() OVER (PARTITION BY starttime ORDER BY num DESC) AS place FROM (
    SELECT auction, COUNT(*) AS num, _window_start AS starttime FROM bid GROUP BY auction WINDOW SLIDING(10s, 2s)))
WHERE place <= 1",
    ),
    (
        "q7",
        "SELECT auction, price, bidder, dateTime FROM (
  SELECT auction, price, bidder, dateTime, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS place
  FROM TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
WHERE place <= 1",
    ),
];

/// Measures each query on one core.
pub fn measure(bench: &mut Bench, quick: bool) -> Result<()> {
    let events = if quick { EVENTS / 100 } else { EVENTS };
    let (made, bids) = (MADE.replace("EVENTS", &events.to_string()), events * 46 / 50);
    println!("\n== nexmark: {bids} bids, one core");
    let file = bench.folder.join(format!("data/bids-{bids}.jsonl"));
    if !file.exists() {
        let partial = file.with_extension("partial");
        let write = format!(
            "{made}CREATE SINK bids WITH (connector = 'file', path = '{}', format = 'json');\nINSERT INTO bids SELECT * FROM bid;\n",
            partial.display()
        );
        run(bench, &bench.velo, "write", &write)?;
        std::fs::rename(&partial, &file).with_context(|| format!("cannot name {}", file.display()))?;
    }
    let read = READ.replace("INPUT", &file.to_string_lossy());
    for (name, query) in QUERIES {
        for (input, source) in [("made", &made), ("json", &read)] {
            let script =
                format!("{source}CREATE SINK nowhere WITH (connector = 'blackhole');\nINSERT INTO nowhere {query};\n");
            let mut sides: Vec<(&str, PathBuf, Vec<f64>)> = vec![("velo", bench.velo.clone(), Vec::new())];
            sides.extend(bench.base.clone().map(|base| ("base", base, Vec::new())));
            // The first turn does not count.
            for turn in 0..=bench.runs {
                for (_, program, seconds) in &mut sides {
                    let took = run(bench, program, name, &script)?;
                    if turn > 0 {
                        seconds.push(took);
                    }
                }
            }
            let ours = median(&sides[0].2);
            for (side, _, seconds) in &sides[1..] {
                let times = median(seconds) / ours;
                bench.figures.take(
                    &format!("nexmark_{name}_{input}"),
                    &format!("times_{side}"),
                    times,
                    "times",
                    &json!({}),
                )?;
            }
            let more = json!({ "seconds": rounded(ours), "rows": bids, "load": load_average() });
            bench.figures.take(
                &format!("nexmark_{name}_{input}"),
                "velo_rows_per_s",
                bids as f64 / ours,
                "rows/s",
                &more,
            )?;
        }
    }
    Ok(())
}

fn run(bench: &Bench, program: &Path, name: &str, script: &str) -> Result<f64> {
    let path = bench.folder.join(format!("nexmark-{name}.sql"));
    std::fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = pinned(1, program);
    command.arg("run").arg(&path).args(["--threads", "1", "--quiet"]);
    Ok(timed::run(command)?.0.seconds)
}
