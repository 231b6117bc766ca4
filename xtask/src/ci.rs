//! `cargo xtask ci`: what `.ci/run` runs, and all it runs.

use anyhow::{Result, bail};

use crate::steps::{Reported, Steps};
use crate::workspace::Workspace;
use crate::{chaos, check, docs, integration, publish_check, test};

/// Run what CI runs: check, test, integration, docs --check, chaos kafka --rounds 5, publish-check; the last line is the total of the
/// tests.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the six commands, each timed, also after one failed.
pub fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    let mut totals = "0 passed, 0 failed".to_owned();
    let mut steps = Steps::default();
    steps.run("check", || check::run(workspace, &check::Args {}));
    steps.run("test", || {
        let report = test::execute(workspace, &test::Args::plain())?;
        totals = report.totals;
        match report.failure {
            Some(failure) => bail!("{failure}"),
            None => Ok(()),
        }
    });
    steps.run("integration", || integration::where_possible(workspace));
    steps.run("docs", || docs::run(workspace, &docs::Args::check()));
    steps.run("chaos kafka", || chaos::kafka_once(workspace));
    steps.run("publish-check", || publish_check::run(workspace, &publish_check::Args {}));
    let outcome = steps.finish("ci");
    if let Err(error) = &outcome {
        println!("{error}");
    }
    println!("{totals}");
    outcome.map_err(|_| Reported.into())
}
