//! An earlier revision, built beside this one so that the two can run in turn.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{capture, cargo, run};

/// Checks `revision` out below `folder` and builds its velo into a target folder of its own.
pub fn build(root: &Path, folder: &Path, revision: &str) -> Result<PathBuf> {
    let mut resolve = git(root);
    resolve.args(["rev-parse", "--verify", &format!("{revision}^{{commit}}")]);
    let commit = capture(resolve)?.trim().to_owned();
    let (tree, target) = (folder.join("base"), folder.join("base-target"));
    if tree.exists() {
        let mut checkout = git(&tree);
        checkout.args(["checkout", "--quiet", "--force", "--detach", &commit]);
        run(checkout)?;
    } else {
        let mut add = git(root);
        add.args(["worktree", "add", "--quiet", "--force", "--detach"]).arg(&tree).arg(&commit);
        run(add)?;
    }
    let mut command = cargo(&tree, &["build", "--release", "--package", "velo", "--bin", "velo"]);
    command.env("CARGO_TARGET_DIR", &target);
    run(command).with_context(|| format!("building the base {revision}"))?;
    Ok(target.join("release/velo"))
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder);
    command
}
