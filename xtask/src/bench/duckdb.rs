//! DuckDB through its Python package, in a virtual environment of its own: the yardstick for reading and grouping.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::timed::{self, Run, pinned};
use crate::process::capture;
use crate::services::python_with;

/// Runs one statement and says how long it took: the statement alone, without the start of Python and the connection.
const DRIVER: &str = r#"
import json, sys, time
import duckdb
threads, statement = int(sys.argv[1]), sys.argv[2]
connection = duckdb.connect()
connection.execute(f"SET threads = {threads}")
start = time.perf_counter()
connection.execute(statement)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "version": duckdb.__version__}))
"#;

/// An installed DuckDB.
pub struct DuckDb {
    python: PathBuf,
    driver: PathBuf,
    pub version: String,
}

impl DuckDb {
    /// Installs DuckDB below `folder` unless it is there.
    pub fn install(folder: &Path) -> Result<Self> {
        let driver = folder.join("duckdb_driver.py");
        let python = python_with(folder, &[("duckdb", "duckdb")])?;
        std::fs::write(&driver, DRIVER).with_context(|| format!("cannot write {}", driver.display()))?;
        let mut ask = Command::new(&python);
        ask.args(["-c", "import duckdb; print(duckdb.__version__)"]);
        let version = capture(ask)?.trim().to_owned();
        Ok(Self { python, driver, version })
    }

    /// Runs a statement; with one thread on one core.
    pub fn run(&self, threads: usize, statement: &str) -> Result<Run> {
        let mut command = pinned(threads, &self.python);
        command.arg(&self.driver).arg(threads.to_string()).arg(statement);
        let (run, output) = timed::run(command)?;
        let answer: Value = serde_json::from_str(output.trim()).context("the driver printed no JSON")?;
        match answer.get("seconds").and_then(Value::as_f64) {
            Some(seconds) => Ok(Run { seconds, ..run }),
            None => bail!("the driver printed no time: {output}"),
        }
    }
}
