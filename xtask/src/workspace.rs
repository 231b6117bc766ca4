//! The workspace as the commands see it: its root, its members and their manifests, read from the Cargo.toml files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::{Table, Value};

/// The members that stay here: everyone else is published, and `cargo xtask publish-check` packages them.
pub const UNPUBLISHED: [&str; 2] = ["velo-testkit", "xtask"];

/// The workspace's root manifest and its members, in the order in which the root lists them.
pub struct Workspace {
    pub root: PathBuf,
    pub manifest: Table,
    pub members: Vec<Member>,
}

/// One crate of ours.
pub struct Member {
    pub name: String,
    /// Its folder, relative to the root and with `/` between the parts.
    pub dir: String,
    pub manifest: Table,
}

impl Workspace {
    /// The workspace in which this was started: cargo says where xtask lies, else the current folder does. A path fixed when
    /// this program was built would not do, because clones may share a target folder.
    pub fn here() -> Result<Self> {
        let start = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(std::env::current_dir, |dir| Ok(dir.into()))?;
        let root = start.ancestors().find(|dir| dir.join("xtask/Cargo.toml").is_file());
        Self::read(root.context("not in a clone of Velo: start this as `cargo xtask` within it")?)
    }

    fn read(root: &Path) -> Result<Self> {
        let manifest = read_toml(&root.join("Cargo.toml"))?;
        let listed = manifest.get("workspace").and_then(|workspace| workspace.get("members")).and_then(Value::as_array);
        let listed = listed.context("Cargo.toml has no [workspace] members: list the crates there")?;
        let dirs = listed.iter().filter_map(Value::as_str);
        let members = dirs.map(|dir| Member::read(root, dir)).collect::<Result<Vec<_>>>()?;
        Ok(Self { root: root.to_owned(), manifest, members })
    }

    /// The member of this name, if the workspace has one.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

impl Member {
    fn read(root: &Path, dir: &str) -> Result<Self> {
        let path = root.join(dir).join("Cargo.toml");
        Self::parse(dir, read_toml(&path)?).with_context(|| format!("in {}", path.display()))
    }

    /// A member from its manifest; `dir` is its folder relative to the root.
    pub fn parse(dir: &str, manifest: Table) -> Result<Self> {
        let name = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
        let name = name.context("no package.name: every member is a package")?.to_owned();
        Ok(Self { name, dir: dir.to_owned(), manifest })
    }
}

/// One entry of a dependency table.
pub struct Dependency<'a> {
    /// The package's name, also where the manifest renames it.
    pub name: &'a str,
    pub dev: bool,
    pub value: &'a Value,
}

impl Dependency<'_> {
    /// What the entry says under this key: `path`, `version`, `workspace`, `optional`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.value.get(key)
    }

    /// Whether the entry takes its version from the root.
    pub fn inherits(&self) -> bool {
        self.get("workspace").and_then(Value::as_bool) == Some(true)
    }
}

/// Every dependency of a manifest: normal, for tests, for builds, and those of single targets.
pub fn dependencies(manifest: &Table) -> Vec<Dependency<'_>> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    std::iter::once(manifest).chain(targets).flat_map(tables).collect()
}

fn tables(manifest: &Table) -> impl Iterator<Item = Dependency<'_>> {
    [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)].into_iter().flat_map(
        move |(key, dev)| {
            let table = manifest.get(key).and_then(Value::as_table);
            table.into_iter().flatten().map(move |(name, value)| {
                let package = value.get("package").and_then(Value::as_str);
                Dependency { name: package.unwrap_or(name), dev, value }
            })
        },
    )
}

/// Reads and parses one TOML file.
pub fn read_toml(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is not TOML", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_every_table_are_found_under_their_package_name() {
        let manifest = "[dependencies]\na = '1'\n[dev-dependencies]\nb = { package = 'c', version = '1' }\n\
                        [target.'cfg(unix)'.build-dependencies]\nd.workspace = true";
        let manifest: Table = manifest.parse().unwrap();
        let found: Vec<_> =
            dependencies(&manifest).iter().map(|found| (found.name.to_owned(), found.dev, found.inherits())).collect();
        let expected = [("a", false, false), ("c", true, false), ("d", false, true)];
        assert_eq!(found, expected.map(|(name, dev, inherits)| (name.to_owned(), dev, inherits)));
    }

    #[test]
    fn this_workspace_is_read_with_its_members() {
        let workspace = Workspace::here().unwrap();
        assert!(workspace.member("xtask").is_some());
        assert!(workspace.member("velo-core").is_some_and(|core| core.dir == "velo-core"));
    }
}
