//! The decoder alone, beside what the whole program reaches: how much of the time is decoding.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::command::Bench;
use crate::process::{capture, cargo, display};

/// The decoder's bench that makes the columns which the task `json` uses.
const BENCH: &str = "json/decode_trades_3_columns";

/// Runs the JSON bench of velo-format; where the task `json` has been measured, also the ratio of the two.
pub fn measure(root: &Path, bench: &mut Bench) -> Result<()> {
    println!("\n== decoder: the JSON decoder alone, one core");
    let command =
        cargo(root, &["bench", "--quiet", "--package", "velo-format", "--bench", "json", "--", "decode_trades"]);
    println!("$ {}", display(&command));
    let output = capture(command)?;
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let figure: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        let name = figure.get("bench").and_then(Value::as_str).unwrap_or_default();
        let Some(rate) = figure.get("records_per_s").and_then(Value::as_f64) else { continue };
        bench.figures.take("decoder", name, rate, "rows/s", &json!({}))?;
    }
    let (whole, decoder) = (bench.figures.get("json_1", "velo_rows_per_s"), bench.figures.get("decoder", BENCH));
    if let (Some(whole), Some(decoder)) = (whole, decoder) {
        bench.figures.take("json_1", "of_decoder", whole / decoder, "times", &json!({ "decoder": BENCH }))?;
    }
    Ok(())
}
