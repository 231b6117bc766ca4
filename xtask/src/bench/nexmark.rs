//! Queries of Nexmark over events that are made up on the fly, and over the same events in JSON files; the results only count.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::command::Bench;
use super::figures::{median, rounded};
use super::timed::{self, load_average, pinned};

/// Events, of which 46 in 50 are bids.
const EVENTS: u64 = 5_000_000;

/// What is read of the events, one stream for each kind: the kind, how many in 50 events are of it, and its columns.
const KINDS: [(&str, u64, &str); 3] = [
    ("person", 1, "id BIGINT, name STRING, city STRING, state STRING, dateTime TIMESTAMP"),
    ("auction", 3, "id BIGINT, seller BIGINT, category BIGINT, dateTime TIMESTAMP, expires TIMESTAMP"),
    (
        "bid",
        46,
        "auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, dateTime TIMESTAMP, extra STRING",
    ),
];

/// How event time goes, wherever events come from.
const TIMES: &str = "'event.time.field' = 'dateTime', 'watermark.max_out_of_orderness' = '4s'";

/// The queries: the name in the benchmark, the kinds of events that are read, and the text.
const QUERIES: [(&str, &[&str], &str); 8] = [
    ("q0", &["bid"], "SELECT auction, bidder, price, dateTime, extra FROM bid"),
    ("q1", &["bid"], "SELECT auction, bidder, 0.908 * price AS price, dateTime, extra FROM bid"),
    ("q2", &["bid"], "SELECT auction, price FROM bid WHERE auction % 123 = 0"),
    (
        "q3",
        &["person", "auction"],
        "SELECT P.name, P.city, P.state, A.id FROM auction A JOIN person P ON A.seller = P.id
WHERE A.category = 10 AND (P.state = 'OR' OR P.state = 'ID' OR P.state = 'CA')",
    ),
    (
        "q4",
        &["auction", "bid"],
        "SELECT category, AVG(final) AS average FROM (
  SELECT MAX(B.price) AS final, A.category FROM auction A, bid B
  WHERE A.id = B.auction AND B.dateTime BETWEEN A.dateTime AND A.expires GROUP BY A.id, A.category)
GROUP BY category",
    ),
    (
        "q5",
        &["bid"],
        "SELECT auction, num, starttime FROM (
  SELECT auction, num, starttime, ROW_NUMBER() OVER (PARTITION BY starttime ORDER BY num DESC) AS place FROM (
    SELECT auction, COUNT(*) AS num, _window_start AS starttime FROM bid GROUP BY auction WINDOW SLIDING(10s, 2s)))
WHERE place <= 1",
    ),
    (
        "q6",
        &["auction", "bid"],
        "SELECT seller, AVG(final) OVER (PARTITION BY seller ORDER BY dateTime ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) AS average
FROM (
  SELECT A.seller, B.price AS final, B.dateTime, ROW_NUMBER() OVER (PARTITION BY A.id ORDER BY B.price DESC, B.dateTime) AS place
  FROM auction A, bid B WHERE A.id = B.auction AND B.dateTime BETWEEN A.dateTime AND A.expires)
WHERE place <= 1",
    ),
    (
        "q7",
        &["bid"],
        "SELECT auction, price, bidder, dateTime FROM (
  SELECT auction, price, bidder, dateTime, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS place
  FROM TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
WHERE place <= 1",
    ),
];

/// Measures each query on one core.
pub fn measure(bench: &mut Bench, quick: bool) -> Result<()> {
    let events = if quick { EVENTS / 100 } else { EVENTS };
    let of = |kind: &str| {
        KINDS.iter().filter(|(name, ..)| kind == *name).map(|(_, in_50, _)| events * in_50 / 50).sum::<u64>()
    };
    println!("\n== nexmark: {events} events, {} of them bids, one core", of("bid"));
    let (mut made, mut read) = (String::new(), String::new());
    for (kind, in_50, columns) in KINDS {
        let stream = format!("CREATE STREAM {kind} ({columns})\nWITH (connector = ");
        let generated = format!("{stream}'nexmark', 'nexmark.table' = '{kind}', events = '{events}', {TIMES});\n");
        let file = bench.folder.join(format!("data/{kind}s-{}.jsonl", events * in_50 / 50));
        if !file.exists() {
            let partial = file.with_extension("partial");
            let write = format!(
                "{generated}CREATE SINK written WITH (connector = 'file', path = '{}', format = 'json');\n\
                 INSERT INTO written SELECT * FROM {kind};\n",
                partial.display()
            );
            run(bench, &bench.velo, "write", &write)?;
            std::fs::rename(&partial, &file).with_context(|| format!("cannot name {}", file.display()))?;
        }
        made.push_str(&generated);
        read.push_str(&format!("{stream}'file', path = '{}', format = 'json', {TIMES});\n", file.display()));
    }
    for (name, kinds, query) in QUERIES {
        let rows: u64 = kinds.iter().map(|kind| of(kind)).sum();
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
            let more = json!({ "seconds": rounded(ours), "rows": rows, "load": load_average() });
            bench.figures.take(
                &format!("nexmark_{name}_{input}"),
                "velo_rows_per_s",
                rows as f64 / ours,
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
