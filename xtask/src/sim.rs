//! `cargo xtask sim`: the scenarios in simulation.

use anyhow::Result;

use crate::binary::{self, Members};
use crate::process;
use crate::workspace::Workspace;

/// Run scenarios whose jobs are killed and fail at random, one run for each seed: every output must be as it is written.
#[derive(clap::Args)]
pub struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them; chosen by the time, and printed, where it is not given.
    #[arg(long)]
    from: Option<u64>,
}

/// Builds velo, and runs it.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let velo = binary::build(&workspace.root, Members::Alone, &[])?;
    let mut command = std::process::Command::new(velo);
    command.current_dir(&workspace.root).args(["test", "scenarios", "--simulate", &args.seeds.to_string()]);
    if let Some(from) = args.from {
        command.args(["--seed", &from.to_string()]);
    }
    process::run(command)
}
