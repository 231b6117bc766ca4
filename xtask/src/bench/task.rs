//! Reading a file, grouping it and writing the result, beside DuckDB: one thread against one, two against two.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::command::Bench;
use super::duckdb::DuckDb;
use super::figures::{median, rounded};
use super::output;
use super::timed::{self, Run, load_average, pinned};
use crate::generate::What;

/// One task: the same question as a script and as a statement of DuckDB.
pub struct Task {
    pub name: &'static str,
    input: What,
    rows: u64,
    /// What tells rows of the result apart.
    keys: &'static [&'static str],
    /// With `INPUT` and `OUTPUT` for the paths.
    script: &'static str,
    duckdb: &'static str,
}

/// One-minute windows over trades, in JSON and in CSV, and the one-billion-row task with fifty million.
pub const ALL: [Task; 3] = [
    Task {
        name: "json",
        input: What::Trades,
        rows: 5_000_000,
        keys: &["symbol", "minute"],
        script: "CREATE STREAM trades (symbol STRING, price DECIMAL(18, 4), quantity BIGINT, ts BIGINT, venue STRING, id BIGINT)
WITH (connector = 'file', path = 'INPUT', format = 'json', 'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis');
CREATE SINK bars WITH (connector = 'file', path = 'OUTPUT', format = 'json');
INSERT INTO bars
SELECT symbol, _window_start AS minute, COUNT(*) AS trades, SUM(price) AS total, AVG(price) AS mean, MIN(price) AS low, MAX(price) AS high
FROM trades GROUP BY symbol WINDOW TUMBLING(1m);
",
        duckdb: "COPY (
  SELECT symbol, strftime(epoch_ms(minute * 60000), '%Y-%m-%dT%H:%M:%SZ') AS minute,
    trades, CAST(total AS VARCHAR) AS total, mean, CAST(low AS VARCHAR) AS low, CAST(high AS VARCHAR) AS high
  FROM (
    SELECT symbol, ts // 60000 AS minute, COUNT(*) AS trades, SUM(price) AS total, AVG(price) AS mean, MIN(price) AS low, MAX(price) AS high
    FROM read_json('INPUT', format = 'newline_delimited', columns = {symbol: 'VARCHAR', price: 'DECIMAL(18, 4)',
      quantity: 'BIGINT', ts: 'BIGINT', venue: 'VARCHAR', id: 'BIGINT'})
    GROUP BY ALL
  )
) TO 'OUTPUT' (FORMAT json)",
    },
    Task {
        name: "csv",
        input: What::TradesCsv,
        rows: 5_000_000,
        keys: &["symbol", "minute"],
        script: "CREATE STREAM trades (symbol STRING, price DECIMAL(18, 4), quantity BIGINT, ts BIGINT, venue STRING, id BIGINT)
WITH (connector = 'file', path = 'INPUT', format = 'csv', 'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis');
CREATE SINK bars WITH (connector = 'file', path = 'OUTPUT', format = 'json');
INSERT INTO bars
SELECT symbol, _window_start AS minute, COUNT(*) AS trades, SUM(price) AS total, AVG(price) AS mean, MIN(price) AS low, MAX(price) AS high
FROM trades GROUP BY symbol WINDOW TUMBLING(1m);
",
        duckdb: "COPY (
  SELECT symbol, strftime(epoch_ms(minute * 60000), '%Y-%m-%dT%H:%M:%SZ') AS minute,
    trades, CAST(total AS VARCHAR) AS total, mean, CAST(low AS VARCHAR) AS low, CAST(high AS VARCHAR) AS high
  FROM (
    SELECT symbol, ts // 60000 AS minute, COUNT(*) AS trades, SUM(price) AS total, AVG(price) AS mean, MIN(price) AS low, MAX(price) AS high
    FROM read_csv('INPUT', header = true, columns = {symbol: 'VARCHAR', price: 'DECIMAL(18, 4)',
      quantity: 'BIGINT', ts: 'BIGINT', venue: 'VARCHAR', id: 'BIGINT'})
    GROUP BY ALL
  )
) TO 'OUTPUT' (FORMAT json)",
    },
    Task {
        name: "stations",
        input: What::Stations,
        rows: 50_000_000,
        keys: &["station"],
        script: "CREATE STREAM stations (station STRING, temperature DECIMAL(3, 1))
WITH (connector = 'file', path = 'INPUT', format = 'csv', 'csv.delimiter' = ';', 'csv.header' = false);
CREATE SINK climate WITH (connector = 'file', path = 'OUTPUT', format = 'json');
INSERT INTO climate
SELECT station, MIN(temperature) AS low, AVG(temperature) AS mean, MAX(temperature) AS high FROM stations GROUP BY station;
",
        duckdb: "COPY (
  SELECT station, CAST(MIN(temperature) AS VARCHAR) AS low, AVG(temperature) AS mean, CAST(MAX(temperature) AS VARCHAR) AS high
  FROM read_csv('INPUT', header = false, delim = ';', columns = {station: 'VARCHAR', temperature: 'DECIMAL(3, 1)'})
  GROUP BY ALL
) TO 'OUTPUT' (FORMAT json)",
    },
];

/// A program that takes its turn.
struct Side<'a> {
    name: &'static str,
    run: Box<dyn Fn(usize) -> Result<Run> + 'a>,
    output: PathBuf,
    runs: Vec<Run>,
}

impl Task {
    /// Measures the task with one thread and with two.
    pub fn measure(&self, bench: &mut Bench, duckdb: &DuckDb) -> Result<()> {
        let input = bench.data.get(self.input, self.rows)?;
        println!("\n== {}: {} rows, DuckDB {}", self.name, input.rows, duckdb.version);
        for threads in [1, 2] {
            let mut sides = vec![self.velo(bench, "velo", &bench.velo, &input.path)?];
            let output = bench.folder.join(format!("{}-duckdb.json", self.name));
            let statement = filled(self.duckdb, &input.path, &output);
            sides.push(Side {
                name: "duckdb",
                run: Box::new(move |threads| duckdb.run(threads, &statement)),
                output,
                runs: Vec::new(),
            });
            if let Some(base) = &bench.base {
                sides.push(self.velo(bench, "base", base, &input.path)?);
            }
            // The first turn does not count: it brings the input into memory, and its results are compared.
            for side in &sides {
                (side.run)(threads).with_context(|| format!("{} with {}", self.name, side.name))?;
            }
            let (ours, others) = sides.split_first().context("there is velo")?;
            for other in others {
                let rows = output::compare(&ours.output, &other.output, self.keys)
                    .with_context(|| format!("velo and {}", other.name))?;
                println!("{threads} thread(s): {rows} rows equal those of {}", other.name);
            }
            for _ in 0..bench.runs {
                for side in &mut sides {
                    side.runs.push((side.run)(threads)?);
                }
            }
            let measured: Vec<_> = sides.into_iter().map(|side| (side.name, side.runs)).collect();
            self.tell(bench, threads, input.rows, &measured)?;
        }
        Ok(())
    }

    fn velo<'a>(&self, bench: &Bench, name: &'static str, program: &Path, input: &Path) -> Result<Side<'a>> {
        let script = bench.folder.join(format!("{}-{name}.sql", self.name));
        let output = bench.folder.join(format!("{}-{name}.json", self.name));
        std::fs::write(&script, filled(self.script, input, &output))
            .with_context(|| format!("cannot write {}", script.display()))?;
        let program = program.to_owned();
        let run = move |threads: usize| {
            let mut command = pinned(threads, &program);
            command.arg("run").arg(&script).args(["--threads", &threads.to_string(), "--quiet"]);
            Ok(timed::run(command)?.0)
        };
        Ok(Side { name, run: Box::new(run), output, runs: Vec::new() })
    }

    fn tell(&self, bench: &mut Bench, threads: usize, rows: u64, sides: &[(&str, Vec<Run>)]) -> Result<()> {
        let name = format!("{}_{threads}", self.name);
        let seconds = |runs: &[Run]| runs.iter().map(|run| run.seconds).collect::<Vec<_>>();
        let best = |seconds: &[f64]| seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let (ours, quickest) =
            sides.first().map_or((f64::NAN, f64::NAN), |(_, runs)| (median(&seconds(runs)), best(&seconds(runs))));
        for (other, runs) in sides.iter().skip(1) {
            let theirs = median(&seconds(runs));
            // Of the quickest runs, which other work on the machine has slowed the least.
            let more =
                json!({ "velo_s": ours, "other_s": theirs, "of_quickest": rounded(best(&seconds(runs)) / quickest) });
            bench.figures.take(&name, &format!("times_{other}"), theirs / ours, "times", &more)?;
        }
        for (side, runs) in sides {
            let all: Vec<f64> = seconds(runs).iter().map(|seconds| (seconds * 1e4).round() / 1e4).collect();
            let peak = runs.iter().map(|run| run.peak_mib).fold(0.0, f64::max);
            let more = json!({ "runs": all, "peak_mib": peak.round(), "rows": rows, "load": load_average() });
            bench.figures.take(&name, &format!("{side}_s"), median(&all), "s", &more)?;
        }
        bench.figures.take(&name, "velo_rows_per_s", rows as f64 / ours, "rows/s", &json!({}))
    }
}

fn filled(text: &str, input: &Path, output: &Path) -> String {
    text.replace("INPUT", &input.to_string_lossy()).replace("OUTPUT", &output.to_string_lossy())
}
