//! Manifests: our crates name each other through the root alone, and each can be published.

use toml::{Table, Value};

use super::finding::Finding;
use crate::workspace::{Dependency, Member, UNPUBLISHED, Workspace, dependencies};

/// Used in tests only, never published, so a version of it must stand nowhere: cargo then leaves it out of packages.
const TESTKIT: &str = "velo-testkit";

/// Checks the root's table of our crates and each member.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = check_root(workspace);
    for member in &workspace.members {
        findings.extend(check_package(member));
        findings.extend(check_dependencies(member, workspace));
    }
    findings
}

fn check_root(workspace: &Workspace) -> Vec<Finding> {
    let version = workspace_table(workspace, "package").and_then(|package| package.get("version"));
    let members = workspace.members.iter();
    members.filter_map(|member| check_root_entry(member, root_entry(workspace, &member.name)?, version)).collect()
}

fn check_root_entry(member: &Member, entry: &Value, version: Option<&Value>) -> Option<Finding> {
    let name = &member.name;
    let expected = if UNPUBLISHED.contains(&name.as_str()) { None } else { version };
    let path = entry.get("path").and_then(Value::as_str);
    if path == Some(&member.dir) && entry.get("version") == expected {
        return None;
    }
    let line = match expected.and_then(Value::as_str) {
        Some(version) => format!("{name} = {{ path = \"{}\", version = \"{version}\" }}", member.dir),
        None => format!("{name} = {{ path = \"{}\" }}", member.dir),
    };
    Some(Finding::file("Cargo.toml", format!("write in [workspace.dependencies]: {line}")))
}

fn check_package(member: &Member) -> Vec<Finding> {
    let file = format!("{}/Cargo.toml", member.dir);
    let package = member.manifest.get("package").and_then(Value::as_table);
    let says = |key: &str| package.and_then(|package| package.get(key)).is_some_and(|value| value.as_str() != Some(""));
    let mut findings = Vec::new();
    if !says("description") {
        findings.push(Finding::file(&file, "add `description`: the reason this crate exists, in one line"));
    }
    if !says("license") {
        findings.push(Finding::file(&file, "add `license.workspace = true`"));
    }
    if member.manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) != Some(true) {
        findings.push(Finding::file(&file, "add `[lints] workspace = true`, else the root's lints do not hold here"));
    }
    let unpublished = package.and_then(|package| package.get("publish")).and_then(Value::as_bool) == Some(false);
    match (unpublished, UNPUBLISHED.contains(&member.name.as_str())) {
        (true, false) => {
            findings.push(Finding::file(&file, "remove `publish = false`: every crate of ours is published"))
        }
        (false, true) => {
            findings.push(Finding::file(&file, "add `publish = false`: this crate is for development only"))
        }
        _ => {}
    }
    findings
}

fn check_dependencies(member: &Member, workspace: &Workspace) -> Vec<Finding> {
    let found = dependencies(&member.manifest);
    let ours = found.iter().filter(|dependency| workspace.member(dependency.name).is_some());
    let advice = ours.filter_map(|dependency| advice(dependency, root_entry(workspace, dependency.name)));
    advice.map(|advice| Finding::file(&format!("{}/Cargo.toml", member.dir), advice)).collect()
}

fn advice(dependency: &Dependency<'_>, root: Option<&Value>) -> Option<String> {
    let name = dependency.name;
    if name == TESTKIT {
        let by_path = dependency.get("path").is_some() && dependency.get("version").is_none();
        let good = by_path || (dependency.inherits() && root.is_some());
        return (!good).then(|| format!("write `{name} = {{ path = \"../{name}\" }}`, without a version"));
    }
    if !dependency.inherits() {
        return Some(format!(
            "write `{name}.workspace = true`: path and version of our crates stand in the root alone"
        ));
    }
    root.is_none().then(|| format!("add {name} with path and version to the root's [workspace.dependencies]"))
}

fn root_entry<'a>(workspace: &'a Workspace, name: &str) -> Option<&'a Value> {
    workspace_table(workspace, "dependencies")?.get(name)
}

fn workspace_table<'a>(workspace: &'a Workspace, key: &str) -> Option<&'a Table> {
    workspace.manifest.get("workspace")?.get(key)?.as_table()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGE: &str = "description = 'x'\nlicense.workspace = true\n[lints]\nworkspace = true\n";

    fn findings(root: &str, members: &[(&str, &str)]) -> Vec<String> {
        let members = members.iter().map(|(name, text)| {
            let manifest = format!("[package]\nname = '{name}'\n{text}").parse().unwrap();
            Member::parse(name, manifest).unwrap()
        });
        let root = format!("[workspace.package]\nversion = '0.1.0'\n[workspace.dependencies]\n{root}").parse().unwrap();
        let workspace = Workspace { root: "".into(), manifest: root, members: members.collect() };
        check(&workspace).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn through_the_root_with_path_and_version() {
        let root = "velo-core = { path = 'velo-core', version = '0.1.0' }";
        let sql = format!("{PACKAGE}[dependencies]\nvelo-core.workspace = true\nserde = '1'");
        assert_eq!(findings(root, &[("velo-core", PACKAGE), ("velo-sql", &sql)]), <[String; 0]>::default());
    }

    #[test]
    fn not_past_the_root() {
        let sql = format!("{PACKAGE}[dependencies]\nvelo-core = {{ path = '../velo-core' }}");
        let found = findings("", &[("velo-core", PACKAGE), ("velo-sql", &sql)]);
        let expected = "velo-sql/Cargo.toml: write `velo-core.workspace = true`: path and version of our crates stand in the \
                        root alone";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn the_root_names_the_version_of_the_workspace() {
        for root in ["velo-core = { path = 'velo-core' }", "velo-core = { path = 'velo-core', version = '0.2.0' }"] {
            let found = findings(root, &[("velo-core", PACKAGE)]);
            assert_eq!(
                found,
                [
                    "Cargo.toml: write in [workspace.dependencies]: velo-core = { path = \"velo-core\", version = \"0.1.0\" }"
                ]
            );
        }
    }

    #[test]
    fn the_testkit_has_no_version() {
        let testkit = "publish = false\n".to_owned() + PACKAGE;
        let by_path = format!("{PACKAGE}[dev-dependencies]\nvelo-testkit = {{ path = '../velo-testkit' }}");
        assert_eq!(findings("", &[("velo-sql", &by_path), ("velo-testkit", &testkit)]), <[String; 0]>::default());
        let versioned = by_path.replace("'../velo-testkit'", "'../velo-testkit', version = '0.1.0'");
        let found = findings("", &[("velo-sql", &versioned), ("velo-testkit", &testkit)]);
        assert_eq!(
            found,
            ["velo-sql/Cargo.toml: write `velo-testkit = { path = \"../velo-testkit\" }`, without a version"]
        );
    }

    #[test]
    fn packages_can_be_published() {
        let found = findings("", &[("velo-core", "description = ''\npublish = false")]);
        assert_eq!(found.len(), 4, "{found:?}");
    }
}
