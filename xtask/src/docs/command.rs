//! `cargo xtask docs`: writes the pages that come from the binary, or checks that they are what it says.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::page::Velo;
use super::{codes, reference, scripts};
use crate::binary;
use crate::workspace::Workspace;

/// Write docs/reference and the outputs of the guide's scripts from the binary.
#[derive(clap::Args)]
pub struct Args {
    /// Change nothing; fail where a page is not what the binary says
    #[arg(long)]
    check: bool,
}

impl Args {
    /// As CI runs it.
    pub fn check() -> Self {
        Self { check: true }
    }
}

/// Builds velo with everything in it, asks it, and writes or compares.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    // Features as the tests have them, so that nothing is compiled twice.
    let program = binary::build(&workspace.root, binary::Members::All, &[])?;
    let velo = Velo { program, root: workspace.root.clone() };
    codes::check(&workspace.root, &velo.list("errors")?)?;
    let mut wrong = Vec::new();
    let mut pages = 0;
    for (name, text) in reference::pages(&velo)?.into_iter().chain(scripts::pages(&velo)?) {
        pages += 1;
        if let Some(line) = settle(&workspace.root.join(&name), &text, args.check)? {
            wrong.push(format!("{name}:{line}"));
        }
    }
    if wrong.is_empty() {
        println!("docs: {pages} pages are what the binary says");
        return Ok(());
    }
    bail!("docs: not what the binary says from here on: {}; `cargo xtask docs` writes them", wrong.join(", "))
}

/// Writes a page, or says from which line on it differs.
fn settle(path: &Path, text: &str, check: bool) -> Result<Option<usize>> {
    let old = std::fs::read_to_string(path).unwrap_or_default();
    if old == text {
        return Ok(None);
    }
    if check {
        return Ok(Some(first_difference(&old, text)));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(None)
}

fn first_difference(old: &str, new: &str) -> usize {
    old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_or_told() {
        let folder = std::env::temp_dir().join(format!("velo-docs-{}", std::process::id()));
        let path = folder.join("a/page.md");
        assert_eq!(settle(&path, "one\ntwo\n", true).unwrap(), Some(1));
        assert_eq!(settle(&path, "one\ntwo\n", false).unwrap(), None);
        assert_eq!(settle(&path, "one\ntwo\n", true).unwrap(), None);
        assert_eq!(settle(&path, "one\n2\n", true).unwrap(), Some(2));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
