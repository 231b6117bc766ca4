//! `cargo xtask publish-check`: each crate packages and builds from its package alone, in the order of their dependencies.

use anyhow::Result;

use crate::process::{cargo, run as run_program};
use crate::workspace::{UNPUBLISHED, Workspace};

/// Package every published crate and build it from its package, as a user of the registry would.
#[derive(clap::Args)]
pub struct Args {}

/// Packages and builds; nothing is uploaded.
pub fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    let excluded = UNPUBLISHED.iter().filter(|name| workspace.member(name).is_some());
    let mut args = vec!["package", "--workspace", "--allow-dirty"];
    args.extend(excluded.flat_map(|name| ["--exclude", name]));
    run_program(cargo(&workspace.root, &args))?;
    let members = workspace.members.iter().map(|member| member.name.as_str());
    let published: Vec<_> = members.filter(|name| !UNPUBLISHED.contains(name)).collect();
    println!("{} crates package and build alone: {}", published.len(), published.join(", "));
    Ok(())
}
