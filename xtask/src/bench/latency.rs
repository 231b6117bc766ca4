//! One-row latency: from a line appended to a followed file to the row in the output file.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::command::Bench;

/// Between two lines.
const EVERY: Duration = Duration::from_millis(100);
/// How often the output is looked at; latencies are exact to this.
const LOOK: Duration = Duration::from_micros(200);
/// A row that is not there by then is lost.
const LOST: Duration = Duration::from_secs(10);
/// Lines before the first that counts: the job has to be up.
const WARM: usize = 10;

const SCRIPT: &str = "CREATE STREAM ticks (n BIGINT, ts BIGINT, price DECIMAL(18, 4))
WITH (connector = 'file', path = 'INPUT', format = 'json', watch = true, 'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis');
CREATE SINK seen WITH (connector = 'file', path = 'OUTPUT', format = 'json', 'delivery.guarantee' = 'at_least_once');
INSERT INTO seen SELECT n, price FROM ticks WHERE price > 1;
";

/// Appends a line ten times a second and waits for each.
pub fn measure(bench: &mut Bench, seconds: u64) -> Result<()> {
    println!("\n== latency: ten lines a second for {seconds} s, followed file to file");
    let input = bench.folder.join("latency-in.jsonl");
    let (script, path) = (bench.folder.join("latency.sql"), bench.folder.join("latency-out.jsonl"));
    let text = SCRIPT.replace("INPUT", &input.to_string_lossy()).replace("OUTPUT", &path.to_string_lossy());
    std::fs::write(&script, text).with_context(|| format!("cannot write {}", script.display()))?;
    File::create(&input).context("cannot make the input")?;
    File::create(&path).context("cannot make the output")?;
    let mut command = Command::new(&bench.velo);
    command.arg("run").arg(&script).arg("--quiet").stdin(Stdio::null()).stderr(Stdio::null());
    let mut velo = Running(command.spawn().context("cannot start velo")?);

    let mut lines = OpenOptions::new().append(true).open(&input).context("cannot append to the input")?;
    let mut output = None;
    let mut taken = Vec::new();
    let count = WARM + usize::try_from(seconds * 10).unwrap_or(usize::MAX);
    for n in 0..count {
        let next = Instant::now() + EVERY;
        let line = format!("{{\"n\":{n},\"ts\":{},\"price\":\"2.5000\"}}\n", 1_704_067_200_000_u64 + n as u64 * 100);
        lines.write_all(line.as_bytes()).context("cannot append to the input")?;
        let start = Instant::now();
        // The sink may replace the output when it starts, so it is opened when the first row is waited for.
        let waited = match &mut output {
            Some(output) => wait_for(output, start)?,
            None => {
                let mut opened = wait_for_first(&path, start, &mut velo)?;
                opened.read_to_end(&mut Vec::new())?;
                output = Some(opened);
                start.elapsed()
            }
        };
        if n >= WARM {
            taken.push(waited.as_secs_f64() * 1e3);
        }
        sleep(next.saturating_duration_since(Instant::now()));
    }
    drop(velo);
    taken.sort_by(f64::total_cmp);
    for (name, part) in [("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0)] {
        bench.figures.take("latency", name, quantile(&taken, part), "ms", &json!({ "rows": taken.len() }))?;
    }
    Ok(())
}

/// Waits until the output has anything in it.
fn wait_for_first(path: &std::path::Path, start: Instant, velo: &mut Running) -> Result<File> {
    while start.elapsed() < LOST {
        if let Some(status) = velo.0.try_wait()? {
            bail!("velo ended ({status}) instead of following the file");
        }
        let file = File::open(path).ok();
        if let Some(file) = file.filter(|file| file.metadata().is_ok_and(|of| of.len() > 0)) {
            return Ok(file);
        }
        sleep(LOOK);
    }
    bail!("no row within {} s", LOST.as_secs())
}

/// Waits until the output has grown by whole lines.
fn wait_for(output: &mut File, start: Instant) -> Result<Duration> {
    let mut bytes = Vec::new();
    while start.elapsed() < LOST {
        output.read_to_end(&mut bytes).context("cannot read the output")?;
        if bytes.ends_with(b"\n") {
            return Ok(start.elapsed());
        }
        sleep(LOOK);
    }
    bail!("a row was lost: nothing within {} s", LOST.as_secs())
}

/// The value below which `part` of the sorted values lie.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// A job that ends with the measurement, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_few_and_many() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|part| quantile(&values, part)), [100.0, 198.0, 200.0]);
        assert_eq!(quantile(&[7.0], 0.5), 7.0);
    }
}
