//! Which of our crates may depend on which: arrows point down only.

use super::finding::Finding;
use crate::workspace::{Member, dependencies};

const SOURCE: &[&str] = &["velo-core", "velo-eventtime", "velo-format"];

/// Each crate, and all of ours that it may name. ARCHITECTURE.md says why; a new crate needs its row here.
const ARROWS: &[(&str, &[&str])] = &[
    ("velo-core", &[]),
    ("velo-sql", &[]),
    ("xtask", &[]),
    ("velo-eventtime", &["velo-core"]),
    ("velo-format", &["velo-core", "velo-eventtime"]),
    ("velo-tables", &["velo-core"]),
    ("velo-testkit", &["velo-core"]),
    ("velo-plan", &["velo-core", "velo-sql", "velo-eventtime"]),
    ("velo-exec", &["velo-core", "velo-plan", "velo-eventtime"]),
    ("velo-source-file", SOURCE),
    ("velo-source-gen", SOURCE),
    ("velo-source-http", SOURCE),
    ("velo-source-kafka", SOURCE),
    ("velo-source-s3", SOURCE),
    ("velo-source-sql", SOURCE),
    ("velo-job", &["velo-core", "velo-sql", "velo-plan", "velo-exec", "velo-tables"]),
    ("velo-flink", &["velo-sql", "velo-plan"]),
    ("velo-server", &["velo-job", "velo-core", "velo-sql", "velo-plan"]),
    (
        "velo",
        &[
            "velo-core",
            "velo-eventtime",
            "velo-exec",
            "velo-flink",
            "velo-format",
            "velo-job",
            "velo-plan",
            "velo-server",
            "velo-source-file",
            "velo-source-gen",
            "velo-source-http",
            "velo-source-kafka",
            "velo-source-s3",
            "velo-source-sql",
            "velo-sql",
            "velo-tables",
        ],
    ),
];

/// Tests of every crate may use it, by path alone (`manifests.rs` checks how).
const TESTKIT: &str = "velo-testkit";

/// What tests alone may use beside that: the scenarios read files and generators, tables are loaded from files that change, and
/// joins look rows up in tables as they are kept.
const FOR_TESTS: &[(&str, &str)] = &[
    ("velo-exec", "velo-tables"),
    ("velo-job", "velo-source-file"),
    ("velo-job", "velo-source-gen"),
    ("velo-job", "velo-source-kafka"),
    ("velo-tables", "velo-source-file"),
];

/// Compares every dependency on one of ours with the table.
pub fn check(members: &[Member]) -> Vec<Finding> {
    members.iter().flat_map(|member| check_member(member, members)).collect()
}

fn check_member(member: &Member, members: &[Member]) -> Vec<Finding> {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == member.name) else {
        let message =
            format!("{} has no row in xtask/src/tidy/layers.rs: say there which of ours it may use", member.name);
        return vec![Finding::file(&manifest(member), message)];
    };
    let ours = dependencies(&member.manifest);
    let ours = ours.into_iter().filter(|dependency| members.iter().any(|other| other.name == dependency.name));
    let for_tests = |name: &str| name == TESTKIT || FOR_TESTS.contains(&(member.name.as_str(), name));
    let bad = ours.filter(|found| !(allowed.contains(&found.name) || found.dev && for_tests(found.name)));
    bad.map(|found| Finding::file(&manifest(member), advice(&member.name, found.name, allowed))).collect()
}

fn advice(from: &str, to: &str, allowed: &[&str]) -> String {
    let may = if allowed.is_empty() { "none of our crates".to_owned() } else { allowed.join(", ") };
    format!("{from} must not depend on {to}, it may use {may}: move what both need down, or pass it in from above")
}

fn manifest(member: &Member) -> String {
    format!("{}/Cargo.toml", member.dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, tables: &str) -> Member {
        let manifest = format!("[package]\nname = '{name}'\n{tables}").parse().unwrap();
        Member::parse(name, manifest).unwrap()
    }

    fn messages(members: &[Member]) -> Vec<String> {
        check(members).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn arrows_down_are_fine() {
        let plan = member("velo-plan", "[dependencies]\nvelo-sql.workspace = true\nserde = '1'");
        let sql = member("velo-sql", "[dev-dependencies]\nvelo-testkit = { path = '../velo-testkit' }");
        assert_eq!(messages(&[plan, sql, member("velo-testkit", "")]), <[String; 0]>::default());
    }

    #[test]
    fn arrows_up_are_not_even_for_tests_or_one_target() {
        let sql = "[dev-dependencies]\nvelo-plan.workspace = true\n[target.'cfg(unix)'.dependencies]\nvelo-core = '1'";
        let found = messages(&[member("velo-sql", sql), member("velo-plan", ""), member("velo-core", "")]);
        assert_eq!(found.len(), 2);
        assert!(
            found.iter().any(|line| line.starts_with("velo-sql/Cargo.toml: velo-sql must not depend on velo-plan"))
        );
    }

    #[test]
    fn the_testkit_is_for_tests_only() {
        let core = member("velo-core", "[dependencies]\nvelo-testkit = { path = '../velo-testkit' }");
        assert_eq!(messages(&[core, member("velo-testkit", "")]).len(), 1);
    }

    #[test]
    fn some_arrows_are_for_tests_only() {
        let file = member("velo-source-file", "");
        let job = member("velo-job", "[dev-dependencies]\nvelo-source-file.workspace = true");
        assert_eq!(messages(&[job, file]), <[String; 0]>::default());
        let file = member("velo-source-file", "");
        let job = member("velo-job", "[dependencies]\nvelo-source-file.workspace = true");
        assert_eq!(messages(&[job, file]).len(), 1);
    }

    #[test]
    fn a_new_crate_needs_its_row() {
        assert!(messages(&[member("velo-new", "")]).iter().any(|line| line.contains("has no row")));
    }

    #[test]
    fn the_table_has_no_cycle() {
        for (index, (name, allowed)) in ARROWS.iter().enumerate() {
            let below: Vec<_> = ARROWS.iter().take(index).map(|(name, _)| *name).collect();
            let above: Vec<_> = allowed.iter().filter(|arrow| !below.contains(arrow)).collect();
            assert!(above.is_empty(), "{name} stands before {above:?}: keep the rows in the order of layers");
        }
    }
}
