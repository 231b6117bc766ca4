//! One arrow in the tree: a second version would be a second, incompatible `RecordBatch`.

use toml::{Table, Value};

use super::finding::Finding;

const CRATE: &str = "arrow-array";

/// Counts the versions of arrow-array in the lock file.
pub fn check(lock: &str) -> Option<Finding> {
    let versions = versions(lock);
    let found = match versions.len() {
        1 => return None,
        0 => format!("no {CRATE} here: commit the lock file that `cargo build` writes"),
        _ => format!(
            "{CRATE} in versions {}: `cargo tree --invert {CRATE}@VERSION` names who brings the second; use the version in \
             the root's [workspace.dependencies]",
            versions.join(" and ")
        ),
    };
    Some(Finding::file("Cargo.lock", found))
}

fn versions(lock: &str) -> Vec<String> {
    let lock: Table = lock.parse().unwrap_or_default();
    let packages = lock.get("package").and_then(Value::as_array);
    let ours =
        packages.into_iter().flatten().filter(|package| package.get("name").and_then(Value::as_str) == Some(CRATE));
    ours.filter_map(|package| package.get("version")?.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one() {
        let one =
            "[[package]]\nname = 'arrow-array'\nversion = '59.3.2'\n[[package]]\nname = 'bytes'\nversion = '1.0.0'\n";
        assert_eq!(check(one), None);
        let two = format!("{one}[[package]]\nname = 'arrow-array'\nversion = '60.0.0'\n");
        assert!(check(&two).unwrap().message.contains("59.3.2 and 60.0.0"));
        assert!(check("").unwrap().message.contains("commit the lock file"));
    }
}
