//! `cargo xtask test`: every test of the workspace, with one line at the end that says how many ran.

use std::process::Command;

use anyhow::Result;

use crate::process::{cargo, run_heard};
use crate::services;
use crate::steps::Reported;
use crate::test_output::TestOutput;
use crate::workspace::Workspace;

/// Run every test; the last line is `N passed, N failed`.
#[derive(clap::Args)]
pub struct Args {
    /// Run each scenario in every mode, not in a seeded choice (sets VELO_ALL_MODES=1)
    #[arg(long)]
    all_modes: bool,
}

impl Args {
    /// As CI runs them.
    pub fn plain() -> Self {
        Self { all_modes: false }
    }
}

/// Runs the tests; the totals are the last line, whatever happens.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let report = execute(workspace, args)?;
    if let Some(failure) = &report.failure {
        println!("{failure}");
    }
    println!("{}", report.totals);
    if report.failure.is_some() { Err(Reported.into()) } else { Ok(()) }
}

/// How a run ended.
pub struct Report {
    /// `N passed, N failed`.
    pub totals: String,
    /// What went wrong, if anything did.
    pub failure: Option<String>,
}

/// Runs the tests, passing their output through, and adds up.
pub fn execute(workspace: &Workspace, args: &Args) -> Result<Report> {
    services::libraries()?;
    let mut command = cargo(&workspace.root, &["test", "--workspace", "--no-fail-fast"]);
    if args.all_modes {
        command.env("VELO_ALL_MODES", "1");
    }
    counted(command)
}

/// Runs a `cargo test`, passing its output through, and adds up.
pub fn counted(mut command: Command) -> Result<Report> {
    command.env("CARGO_TERM_COLOR", "never");
    let mut output = TestOutput::default();
    let status = run_heard(command, |line| output.read(line))?;
    print!("{}", output.slowest(10));
    let failure = output.failure(status.success(), &status.to_string());
    Ok(Report { totals: output.totals(status.success()), failure })
}
