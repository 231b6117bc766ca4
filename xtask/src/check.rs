//! `cargo xtask check`: everything that needs no test run.

use anyhow::Result;

use crate::process::{cargo, has_subcommand, run_step};
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{connectors, integration, tidy};

/// Check format, lints, tidy rules, licences, and that `velo` builds with no connector and with each one alone.
#[derive(clap::Args)]
pub struct Args {}

/// Runs every check, also after one failed.
pub fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    let root = &workspace.root;
    let mut steps = Steps::default();
    steps.run("tidy", || tidy::run(workspace, &tidy::Args {}));
    if has_subcommand(root, "fmt") {
        steps.run("fmt", || run_step(cargo(root, &["fmt", "--all", "--check"])));
    } else {
        steps.skip("fmt", "rustfmt is not installed: `rustup component add rustfmt`");
    }
    if has_subcommand(root, "clippy") {
        let args =
            ["clippy", "--workspace", "--all-targets", "--features", integration::FEATURES, "--", "-D", "warnings"];
        steps.run("clippy", || run_step(cargo(root, &args)));
    } else {
        steps.skip("clippy", "clippy is not installed: `rustup component add clippy`");
    }
    if has_subcommand(root, "deny") {
        steps.run("deny", || run_step(cargo(root, &["deny", "check", "bans", "licenses", "sources"])));
    } else {
        steps.skip("deny", "cargo-deny is not installed: `cargo install --locked cargo-deny`");
    }
    match workspace.member(connectors::BINARY) {
        Some(binary) => connectors::check(&mut steps, workspace, binary),
        None => steps.skip("connectors", "the workspace has no member `velo` yet"),
    }
    steps.finish("check")
}
