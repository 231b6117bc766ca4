//! Who uses one connector compiles that one alone: `velo` builds with no connector and with each, and `cargo tree` proves
//! that the heavy client libraries of the others stay out.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::process::{capture, cargo, run_step};
use crate::steps::Steps;
use crate::workspace::{Member, Workspace, dependencies};

/// The crate whose features choose connectors.
pub const BINARY: &str = "velo";

/// Each connector and the client libraries that only it may bring.
const HEAVY: &[(&str, &[&str])] = &[
    ("kafka", &["rdkafka"]),
    ("sql", &["sqlx"]),
    ("s3", &["aws-sdk-s3"]),
    ("file", &["notify"]),
    ("http", &[]),
    ("gen", &[]),
];

/// Adds a step for the declaration, and one for each way to choose connectors.
pub fn check(steps: &mut Steps, workspace: &Workspace, binary: &Member) {
    let mut connectors = Vec::new();
    steps.run("connectors: declaration", || {
        connectors = declared(&binary.manifest)?;
        println!("connectors of {BINARY}: {}", connectors.join(", "));
        Ok(())
    });
    steps.run("connectors: none", || prove(&workspace.root, None));
    for connector in &connectors {
        steps.run(&format!("connectors: {connector} alone"), || prove(&workspace.root, Some(connector)));
    }
}

/// The connectors that velo/Cargo.toml lists; each is a feature, has a row in `HEAVY`, and none is forgotten.
fn declared(manifest: &Table) -> Result<Vec<String>> {
    let metadata = manifest.get("package").and_then(|package| package.get("metadata")?.get("velo")?.get("connectors"));
    let listed = metadata.and_then(Value::as_array);
    let listed = listed.context(
        "velo/Cargo.toml: list the connector features, as in `[package.metadata.velo] connectors = [\"file\"]`",
    )?;
    let names: Vec<String> = listed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    for name in &names {
        if manifest.get("features").and_then(|features| features.get(name)).is_none() {
            bail!(
                "velo/Cargo.toml lists the connector {name}: add the feature `{name} = [\"dep:velo-source-{name}\"]`"
            );
        }
        if !HEAVY.iter().any(|(connector, _)| connector == name) {
            bail!("connector {name} has no row in xtask/src/connectors.rs: say there which library only it may bring");
        }
    }
    let optional = dependencies(manifest);
    let optional = optional.iter().filter(|found| found.get("optional").and_then(Value::as_bool) == Some(true));
    for name in optional.filter_map(|found| found.name.strip_prefix("velo-source-")) {
        if !names.iter().any(|listed| listed == name) {
            bail!("velo/Cargo.toml: add \"{name}\" to `[package.metadata.velo] connectors`");
        }
    }
    Ok(names)
}

fn prove(root: &Path, chosen: Option<&str>) -> Result<()> {
    let mut choice = vec!["-p", BINARY, "--no-default-features"];
    choice.extend(chosen.into_iter().flat_map(|name| ["--features", name]));
    let mut tree = vec!["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    tree.extend(&choice);
    let tree = capture(cargo(root, &tree))?;
    let crates = crates(&tree);
    println!("{}", compare(&crates, chosen)?);
    let mut check = vec!["check"];
    check.extend(&choice);
    run_step(cargo(root, &check))
}

/// The names in the output of `cargo tree --prefix none`.
fn crates(tree: &str) -> BTreeSet<&str> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

/// Says what was proved, or which library is there without having been chosen.
fn compare(crates: &BTreeSet<&str>, chosen: Option<&str>) -> Result<String> {
    let others = HEAVY.iter().filter(|(connector, _)| Some(*connector) != chosen).flat_map(|(_, heavy)| *heavy);
    let others: Vec<_> = others.copied().collect();
    let choice = chosen.map_or_else(String::new, |name| format!(" --features {name}"));
    if let Some(found) = others.iter().find(|heavy| crates.contains(*heavy)) {
        bail!(
            "{found} is compiled although its connector was not chosen: `cargo tree -p {BINARY} --no-default-features{choice} \
             --invert {found}` shows the way it comes in; make that dependency optional"
        );
    }
    let own = HEAVY.iter().filter(|(connector, _)| Some(*connector) == chosen).flat_map(|(_, heavy)| *heavy);
    let unused: Vec<_> = own.filter(|heavy| !crates.contains(*heavy)).copied().collect();
    let note = if unused.is_empty() { String::new() } else { format!(" (nor does it use {})", unused.join(", ")) };
    Ok(format!("{} crates, none of them {}{note}", crates.len(), others.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(manifest: &str) -> Result<Vec<String>> {
        declared(&manifest.parse().unwrap())
    }

    #[test]
    fn connectors_are_read_from_the_manifest() {
        let manifest = "[package.metadata.velo]\nconnectors = ['file']\n[features]\nfile = ['dep:velo-source-file']\n\
                        [dependencies]\nvelo-source-file = { workspace = true, optional = true }";
        assert_eq!(names(manifest).unwrap(), ["file"]);
        let forgotten = manifest.replace("['file']\n[f", "[]\n[f");
        assert!(names(&forgotten).unwrap_err().to_string().contains("add \"file\""));
    }

    #[test]
    fn a_wrong_list_says_what_to_write() {
        assert!(names("").unwrap_err().to_string().contains("list the connector features"));
        let metadata = "[package.metadata.velo]\nconnectors = ['pigeon']\n";
        assert!(names(metadata).unwrap_err().to_string().contains("add the feature"));
        let feature = format!("{metadata}[features]\npigeon = []");
        assert!(names(&feature).unwrap_err().to_string().contains("has no row"));
    }

    #[test]
    fn what_was_not_chosen_is_absent() {
        let tree = "velo v0.1.0 (/x/velo)\nnotify v8.2.2\nserde v1.0.0\nserde v1.0.0 (*)\n";
        let crates = crates(tree);
        assert_eq!(crates.len(), 3);
        assert_eq!(compare(&crates, Some("file")).unwrap(), "3 crates, none of them rdkafka, sqlx, aws-sdk-s3");
        let error = compare(&crates, Some("kafka")).unwrap_err().to_string();
        assert!(error.starts_with("notify is compiled although its connector was not chosen"), "{error}");
        assert!(compare(&crates, None).is_err());
    }
}
