//! `cargo xtask integration`: the tests that need services, with those started for them.

use anyhow::{Result, bail};

use crate::process::cargo;
use crate::services::Postgres;
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

/// For CI: where a service can be neither found nor installed, its tests are left out, and that is said. What they compare with
/// is recorded, and the ordinary tests compare with the record.
pub fn where_possible(workspace: &Workspace) -> Result<()> {
    let server = Postgres::of(workspace)?;
    let ran = server.running()?.is_some();
    if let Err(error) = server.up() {
        println!("integration: not run, for PostgreSQL cannot be started here: {error:#}");
        return Ok(());
    }
    let outcome = execute(workspace, &Args::plain());
    if !ran {
        server.down()?;
    }
    match outcome?.failure {
        Some(failure) => bail!("{failure}"),
        None => Ok(()),
    }
}

/// Starts what is needed, runs the tests, and stops what was started here.
pub fn execute(workspace: &Workspace, args: &Args) -> Result<test::Report> {
    let server = Postgres::of(workspace)?;
    let ran = server.running()?.is_some();
    let url = server.up()?;
    println!("postgres: {url}");
    let mut command = cargo(
        &workspace.root,
        &["test", "--package", "velo-job", "--features", "integration", "--test", "integration", "--no-fail-fast"],
    );
    command.env("VELO_POSTGRES", &url);
    if args.record {
        command.env("VELO_RECORD", "1");
    }
    let report = test::counted(command);
    if !ran && !args.keep {
        server.down()?;
    }
    report
}
