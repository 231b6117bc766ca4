//! `cargo xtask demo`: from a clone to bars that somebody else's agree with.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::bars::Bars;
use super::compare::Comparison;
use crate::binary::{self, Members};
use crate::process::{capture, display};
use crate::workspace::Workspace;

const SCRIPT: &str = "docs/demo/bars.sql";
const VENDOR: &str = "docs/demo/data/eurusd-vendor-bars.csv";

/// Build velo, make one-minute bars from an hour of real ticks, and compare them with the vendor's own.
#[derive(clap::Args)]
pub struct Args {}

/// Fails if one bar differs, is missing, or should not be there.
pub fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    let start = Instant::now();
    let velo = binary::build(
        &workspace.root,
        Members::Alone,
        &["--profile", "demo", "--no-default-features", "--features", "file"],
    )?;
    let built = start.elapsed();

    let start = Instant::now();
    let ours = Bars::parse(&made(&workspace.root, &velo)?, "minute").context("in the output of velo")?;
    let ran = start.elapsed();

    let vendor = workspace.root.join(VENDOR);
    let vendor = std::fs::read_to_string(&vendor).with_context(|| format!("cannot read {}", vendor.display()))?;
    let vendor = Bars::parse(&vendor, "ts").with_context(|| format!("in {VENDOR}"))?;

    let comparison = Comparison::new(&ours, &vendor);
    print!("\n{comparison}");
    println!("built in {:.0} s, ran in {:.2} s", built.as_secs_f64(), ran.as_secs_f64());
    if !comparison.agrees() {
        bail!("the bars differ; the lines marked above say where");
    }
    Ok(())
}

/// What the script prints, as CSV.
fn made(root: &Path, velo: &Path) -> Result<String> {
    let mut command = Command::new(velo);
    command.current_dir(root).args(["run", SCRIPT, "--output", "csv"]);
    println!("$ {}", display(&command));
    capture(command)
}
