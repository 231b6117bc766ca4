//! `cargo xtask publish-check`: each crate packages and builds from its package alone, in the order of their dependencies.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::{cargo, run_step};
use crate::workspace::{UNPUBLISHED, Workspace};

/// Package every published crate and build it from its package, as a user of the registry would.
#[derive(clap::Args)]
pub struct Args {}

/// Cargo takes a package of a registry for unchanging, and knows ours by their versions: what an earlier run unpacked and built
/// from other sources of the same version would be taken for this one's.
fn forget_builds(workspace: &Workspace) -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.root.join("target"), PathBuf::from);
    forget(workspace, &target.join("debug/.fingerprint"))?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let Some(unpacked) = home.map(|home| home.join("registry/src")) else { return Ok(()) };
    // Registries that are folders have no host, and their names begin with the dash before the hash.
    let registries = entries(&unpacked)?.into_iter().filter(|(name, _)| name.starts_with('-'));
    registries.into_iter().try_for_each(|(_, registry)| forget(workspace, &registry))
}

/// Removes what a folder has of published crates: `NAME-HASH` or `NAME-VERSION`.
fn forget(workspace: &Workspace, folder: &Path) -> Result<()> {
    for (name, path) in entries(folder)? {
        let ours = name.rsplit_once('-').is_some_and(|(name, _)| workspace.member(name).is_some());
        if ours && !UNPUBLISHED.iter().any(|other| name.starts_with(other)) {
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// What is in a folder, by name; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
    };
    entries.map(entry).collect::<std::io::Result<_>>().with_context(|| format!("reading {}", folder.display()))
}

/// Packages and builds; nothing is uploaded.
pub fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    forget_builds(workspace)?;
    let excluded = UNPUBLISHED.iter().filter(|name| workspace.member(name).is_some());
    let mut args = vec!["package", "--workspace", "--allow-dirty"];
    args.extend(excluded.flat_map(|name| ["--exclude", name]));
    run_step(cargo(&workspace.root, &args))?;
    let members = workspace.members.iter().map(|member| member.name.as_str());
    let published: Vec<_> = members.filter(|name| !UNPUBLISHED.contains(name)).collect();
    println!("{} crates package and build alone: {}", published.len(), published.join(", "));
    Ok(())
}
