//! `cargo xtask integration`: the tests that need services, with those started for them.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::process::cargo;
use crate::services::{Postgres, python_with};
use crate::steps::Reported;
use crate::test;
use crate::workspace::Workspace;

/// Start the services that tests need, and run those tests; the last line is `N passed, N failed`.
#[derive(clap::Args)]
pub struct Args {
    /// Write PostgreSQL's answers down anew, for the tests that run without it
    #[arg(long)]
    record: bool,
    /// Leave the services running
    #[arg(long)]
    keep: bool,
}

impl Args {
    /// As CI runs them.
    pub fn plain() -> Self {
        Self { record: false, keep: false }
    }
}

/// Runs them; the totals are the last line, whatever happens.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let report = execute(workspace, args)?;
    if let Some(failure) = &report.failure {
        println!("{failure}");
    }
    println!("{}", report.totals);
    if report.failure.is_some() { Err(Reported.into()) } else { Ok(()) }
}

/// What the tests need, as far as it is there.
struct Services {
    postgres: Option<(Postgres, String, bool)>,
    python: Option<PathBuf>,
}

impl Services {
    /// The tests that can run.
    fn tests(&self) -> Vec<&'static str> {
        let postgres = self.postgres.is_some().then_some("velo_agrees_with_a_server");
        postgres.into_iter().chain(self.python.is_some().then_some("state_files")).collect()
    }

    /// Stops what was started here.
    fn down(&self) -> Result<()> {
        match &self.postgres {
            Some((server, _, false)) => server.down().map(drop),
            _ => Ok(()),
        }
    }
}

/// PostgreSQL, where it listens, and whether it ran before.
fn postgres(workspace: &Workspace) -> Result<(Postgres, String, bool)> {
    let server = Postgres::of(workspace)?;
    let ran = server.running()?.is_some();
    let url = server.up()?;
    println!("postgres: {url}");
    Ok((server, url, ran))
}

fn python(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.root.join("target/services/python");
    std::fs::create_dir_all(&folder)?;
    python_with(&folder, &["duckdb", "pyarrow"])
}

/// For CI: where a service can be neither found nor installed, its tests are left out, and that is said. What they compare with
/// is recorded where it can be, and the ordinary tests compare with the record.
pub fn where_possible(workspace: &Workspace) -> Result<()> {
    let left_out = |what: &str, error: &anyhow::Error| {
        println!("integration: not run, for {what} is not to be had here: {error:#}")
    };
    let services = Services {
        postgres: postgres(workspace).inspect_err(|error| left_out("PostgreSQL", error)).ok(),
        python: python(workspace).inspect_err(|error| left_out("Python with DuckDB and pyarrow", error)).ok(),
    };
    if services.tests().is_empty() {
        return Ok(());
    }
    let outcome = with(workspace, &services, &Args::plain());
    services.down()?;
    match outcome?.failure {
        Some(failure) => bail!("{failure}"),
        None => Ok(()),
    }
}

/// Starts what is needed, runs the tests, and stops what was started here.
pub fn execute(workspace: &Workspace, args: &Args) -> Result<test::Report> {
    let services = Services { postgres: Some(postgres(workspace)?), python: Some(python(workspace)?) };
    let report = with(workspace, &services, args);
    if !args.keep {
        services.down()?;
    }
    report
}

fn with(workspace: &Workspace, services: &Services, args: &Args) -> Result<test::Report> {
    let mut command = cargo(
        &workspace.root,
        &[
            "test",
            "--package",
            "velo-job",
            "--features",
            "integration",
            "--test",
            "integration",
            "--no-fail-fast",
            "--",
        ],
    );
    command.args(services.tests());
    if let Some((_, url, _)) = &services.postgres {
        command.env("VELO_POSTGRES", url);
    }
    if let Some(python) = &services.python {
        command.env("VELO_PYTHON", python);
    }
    if args.record {
        command.env("VELO_RECORD", "1");
    }
    test::counted(command)
}
