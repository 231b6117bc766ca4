//! Whether a row costs the same however many there are, and whether memory stays where it is.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use super::command::Bench;
use super::figures::median;
use super::timed::{self, Run, pinned};
use crate::generate::What;

const ROWS: [u64; 4] = [1_000_000, 5_000_000, 20_000_000, 50_000_000];
const RUNS: usize = 3;
const THREADS: usize = 2;

const SCRIPT: &str = "CREATE STREAM trades (symbol STRING, price DECIMAL(18, 4), quantity BIGINT, ts BIGINT, venue STRING, id BIGINT)
WITH (connector = 'file', path = 'INPUT', format = 'csv', 'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis');
CREATE SINK bars WITH (connector = 'file', path = 'OUTPUT', format = 'json');
INSERT INTO bars
SELECT symbol, _window_start AS minute, COUNT(*) AS trades, SUM(price) AS total FROM trades GROUP BY symbol WINDOW TUMBLING(LENGTHs);
";

/// The made-up rows span the same half hour however many there are: windows that shrink as rows grow give as many results a row.
const WINDOW_SECONDS_BY_ROWS: u64 = 300_000_000;

/// Runs the same script over ever larger inputs, in turn; what a run over one row takes is taken off.
pub fn measure(bench: &mut Bench) -> Result<()> {
    println!("\n== scale: cost of a row at {} rows", ROWS.map(|rows| rows.to_string()).join(", "));
    let one = bench.folder.join("one-row.csv");
    std::fs::write(&one, "symbol,price,quantity,ts,venue,id\nA,1.0000,1,1704067200000,X,1\n")
        .with_context(|| format!("cannot write {}", one.display()))?;
    let starts = (0..5).map(|_| Ok(run(bench, &one, 1)?.seconds)).collect::<Result<Vec<_>>>()?;
    let start = median(&starts);
    bench.figures.take("scale", "start_s", start, "s", &json!({}))?;

    let inputs = ROWS.map(|rows| bench.data.get(What::TradesCsv, rows));
    let inputs = inputs.into_iter().collect::<Result<Vec<_>>>()?;
    let mut runs: Vec<Vec<Run>> = inputs.iter().map(|_| Vec::new()).collect();
    // The first turn does not count: it brings the inputs into memory.
    for input in &inputs {
        run(bench, &input.path, input.rows)?;
    }
    for _ in 0..RUNS {
        for (input, runs) in inputs.iter().zip(&mut runs) {
            runs.push(run(bench, &input.path, input.rows)?);
        }
    }
    let (mut costs, mut peaks) = (Vec::new(), Vec::new());
    for (input, runs) in inputs.iter().zip(&runs) {
        let seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
        let cost = (median(&seconds) - start) / input.rows as f64 * 1e9;
        let peak = median(&runs.iter().map(|run| run.peak_mib).collect::<Vec<_>>());
        let more = json!({ "rows": input.rows, "runs": seconds, "peak_mib": peak.round() });
        bench.figures.take("scale", &format!("ns_a_row_at_{}", input.rows), cost, "ns", &more)?;
        costs.push(cost);
        peaks.push(peak);
    }
    bench.figures.take("scale", "cost_spread", spread(&costs), "times", &json!({ "aim": 1.15 }))?;
    bench.figures.take("scale", "memory_spread", spread(&peaks), "times", &json!({}))
}

fn run(bench: &Bench, input: &Path, rows: u64) -> Result<Run> {
    let (script, output) = (bench.folder.join("scale.sql"), bench.folder.join("scale.json"));
    let length = (WINDOW_SECONDS_BY_ROWS / rows).max(1).to_string();
    let text = SCRIPT.replace("INPUT", &input.to_string_lossy()).replace("OUTPUT", &output.to_string_lossy());
    let text = text.replace("LENGTH", &length);
    std::fs::write(&script, text).with_context(|| format!("cannot write {}", script.display()))?;
    let mut command = pinned(THREADS, &bench.velo);
    command.arg("run").arg(&script).args(["--threads", &THREADS.to_string(), "--quiet"]);
    Ok(timed::run(command)?.0)
}

/// The largest by the smallest.
fn spread(values: &[f64]) -> f64 {
    let (low, high) =
        values.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(*value), high.max(*value)));
    high / low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_largest_by_the_smallest() {
        assert_eq!(spread(&[2.0, 3.0, 2.5]), 1.5);
    }
}
