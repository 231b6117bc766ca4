//! The files of the workspace, read once for all rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirEntry, read_dir, read_to_string};
use std::path::Path;

use anyhow::{Context, Result};

use super::source::Source;

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 3] = [".git", "target", "node_modules"];

/// Pages whose paths are checked, and the lock file.
const TEXTS: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "Cargo.lock"];

/// All paths, every Rust file, and those other files that a rule reads.
#[derive(Default)]
pub struct Tree {
    /// Files and folders, relative to the root, `/` between the parts.
    pub paths: BTreeSet<String>,
    pub sources: Vec<Source>,
    texts: BTreeMap<String, String>,
}

impl Tree {
    /// Walks the workspace.
    pub fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.walk(root, "")?;
        Ok(tree)
    }

    /// A tree for tests of rules: these paths and these texts.
    #[cfg(test)]
    pub fn of(paths: &[&str], texts: &[(&str, &str)]) -> Self {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Self { paths, sources: Vec::new(), texts }
    }

    /// The text of one of `TEXTS`; empty where the file is missing.
    pub fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    fn walk(&mut self, dir: &Path, prefix: &str) -> Result<()> {
        let entries = read_dir(dir).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let mut entries = entries.with_context(|| format!("cannot list {}", dir.display()))?;
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                if !FOREIGN.contains(&name.as_str()) {
                    self.walk(&entry.path(), &format!("{path}/"))?;
                    self.paths.insert(path);
                }
                continue;
            }
            self.add_file(path, &entry.path())?;
        }
        Ok(())
    }

    fn add_file(&mut self, path: String, file: &Path) -> Result<()> {
        let read = || read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
        if path.ends_with(".rs") {
            self.sources.push(Source::new(&path, read()?));
        } else if TEXTS.contains(&path.as_str()) {
            self.texts.insert(path.clone(), read()?);
        }
        self.paths.insert(path);
        Ok(())
    }
}
