//! `cargo xtask tidy`: runs every rule over the workspace.

use anyhow::{Result, bail};

use super::finding::Finding;
use super::tree::Tree;
use super::{arrow, banned, headers, includes, layers, manifests, paths, size};
use crate::workspace::Workspace;

/// Check the rules of the house that no compiler checks: arrows between crates, file sizes, names, manifests.
#[derive(clap::Args)]
pub struct Args {}

/// Prints every finding; fails if there is one.
pub fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    let tree = Tree::read(&workspace.root)?;
    let findings = findings(workspace, &tree);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy: {} Rust files and {} crates keep the rules", tree.sources.len(), workspace.members.len()),
        count => bail!("tidy: {count} to put right; each line above says how"),
    }
    Ok(())
}

fn findings(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let mut findings = layers::check(&workspace.members);
    findings.extend(manifests::check(workspace));
    findings.extend(arrow::check(tree.text("Cargo.lock")));
    findings.extend(paths::check(tree));
    for source in &tree.sources {
        findings.extend(headers::check(source));
        findings.extend(size::check(source));
        findings.extend(banned::check(source));
        findings.extend(includes::check(source));
    }
    findings.sort();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let workspace = Workspace::here().unwrap();
        let tree = Tree::read(&workspace.root).unwrap();
        let lines: Vec<_> = findings(&workspace, &tree).iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "\n{}\n`cargo xtask tidy` prints this list", lines.join("\n"));
    }
}
