//! `cargo xtask publish-check`: each crate packages and builds from its package alone, in the order of their dependencies.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::process::{cargo, run as run_program};
use crate::workspace::{UNPUBLISHED, Workspace};

/// Package every published crate and build it from its package, as a user of the registry would.
#[derive(clap::Args)]
pub struct Args {}

/// Cargo takes a package of a registry for unchanging, and knows ours by their versions: what an earlier run built from other
/// sources of the same version would be taken for this one's.
fn forget_builds(workspace: &Workspace) -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.root.join("target"), PathBuf::from);
    let fingerprints = target.join("debug/.fingerprint");
    let Ok(entries) = fs::read_dir(&fingerprints) else { return Ok(()) };
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", fingerprints.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name.rsplit_once('-').is_some_and(|(name, _)| workspace.member(name).is_some());
        if ours && !UNPUBLISHED.iter().any(|other| name.starts_with(other)) {
            fs::remove_dir_all(entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Packages and builds; nothing is uploaded.
pub fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    forget_builds(workspace)?;
    let excluded = UNPUBLISHED.iter().filter(|name| workspace.member(name).is_some());
    let mut args = vec!["package", "--workspace", "--allow-dirty"];
    args.extend(excluded.flat_map(|name| ["--exclude", name]));
    run_program(cargo(&workspace.root, &args))?;
    let members = workspace.members.iter().map(|member| member.name.as_str());
    let published: Vec<_> = members.filter(|name| !UNPUBLISHED.contains(name)).collect();
    println!("{} crates package and build alone: {}", published.len(), published.join(", "));
    Ok(())
}
