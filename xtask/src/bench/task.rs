//! Reading a file, joining it with a table or not, grouping it and writing the result, beside DuckDB: one thread against one, two
//! against two.

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
    /// A table beside it, and its rows.
    table: Option<(What, u64)>,
    /// What tells rows of the result apart.
    keys: &'static [&'static str],
    /// With `INPUT`, `REFERENCE` and `OUTPUT` for the paths.
    script: &'static str,
    duckdb: &'static str,
}

/// One-minute windows over trades, in JSON and in CSV; the one-billion-row task with fifty million; orders in JSON joined with ten
/// thousand customers and with a million.
pub const ALL: [Task; 5] = [
    Task {
        name: "json",
        input: What::Trades,
        rows: 5_000_000,
        table: None,
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
        table: None,
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
        table: None,
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
    Task {
        name: "join",
        input: What::Orders(10_000),
        rows: 5_000_000,
        table: Some((What::Customers, 10_000)),
        keys: &["tier"],
        script: JOIN,
        duckdb: DUCKDB_JOIN,
    },
    Task {
        name: "join_large",
        input: What::Orders(1_000_000),
        rows: 5_000_000,
        table: Some((What::Customers, 1_000_000)),
        keys: &["tier"],
        script: JOIN,
        duckdb: DUCKDB_JOIN,
    },
];

const JOIN: &str = "CREATE STREAM orders (id BIGINT, customer BIGINT, amount DECIMAL(18, 2), ts BIGINT)
WITH (connector = 'file', path = 'INPUT', format = 'json', 'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis');
CREATE TABLE customers (id BIGINT PRIMARY KEY, name STRING, tier STRING, credit BIGINT)
WITH (connector = 'file', path = 'REFERENCE', format = 'csv');
CREATE SINK tiers WITH (connector = 'file', path = 'OUTPUT', format = 'json');
INSERT INTO tiers
SELECT c.tier, COUNT(*) AS orders, SUM(o.amount) AS total, SUM(c.credit) AS credit
FROM orders o JOIN customers c ON o.customer = c.id GROUP BY c.tier;
";

const DUCKDB_JOIN: &str = "COPY (
  SELECT c.tier, COUNT(*) AS orders, CAST(SUM(o.amount) AS VARCHAR) AS total, CAST(SUM(c.credit) AS BIGINT) AS credit
  FROM read_json('INPUT', format = 'newline_delimited', columns = {id: 'BIGINT', customer: 'BIGINT', amount: 'DECIMAL(18, 2)',
    ts: 'BIGINT'}) o
  JOIN read_csv('REFERENCE', header = true, columns = {id: 'BIGINT', name: 'VARCHAR', tier: 'VARCHAR', credit: 'BIGINT'}) c
  ON o.customer = c.id
  GROUP BY ALL
) TO 'OUTPUT' (FORMAT json)";

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
        let table = self.table.map(|(what, rows)| bench.data.get(what, rows)).transpose()?;
        let filled = |text: &str, output: &Path| {
            let table = table.as_ref().map(|table| table.path.to_string_lossy()).unwrap_or_default();
            text.replace("INPUT", &input.path.to_string_lossy())
                .replace("REFERENCE", &table)
                .replace("OUTPUT", &output.to_string_lossy())
        };
        println!("\n== {}: {} rows, DuckDB {}", self.name, input.rows, duckdb.version);
        for threads in [1, 2] {
            let mut sides = vec![self.velo(bench, "velo", &bench.velo, filled)?];
            let output = bench.folder.join(format!("{}-duckdb.json", self.name));
            let statement = filled(self.duckdb, &output);
            sides.push(Side {
                name: "duckdb",
                run: Box::new(move |threads| duckdb.run(threads, &statement)),
                output,
                runs: Vec::new(),
            });
            if let Some(base) = &bench.base {
                sides.push(self.velo(bench, "base", base, filled)?);
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

    fn velo<'a>(
        &self,
        bench: &Bench,
        name: &'static str,
        program: &Path,
        filled: impl Fn(&str, &Path) -> String,
    ) -> Result<Side<'a>> {
        let script = bench.folder.join(format!("{}-{name}.sql", self.name));
        let output = bench.folder.join(format!("{}-{name}.json", self.name));
        std::fs::write(&script, filled(self.script, &output))
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
