//! Golden files: read, compared, and rewritten where `UPDATE_EXPECT` is set.

use std::fs;
use std::path::{Path, PathBuf};

/// The files of a golden folder with this extension, by name.
pub fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(folder);
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// Compares with what a file holds, or writes it.
pub fn check(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected != actual {
        let difference = expected.lines().zip(actual.lines()).position(|(left, right)| left != right);
        let line = difference.unwrap_or(expected.lines().count().min(actual.lines().count())) + 1;
        let around: String =
            actual.lines().skip(line.saturating_sub(6)).take(14).map(|line| format!("{line}\n")).collect();
        panic!("{} differs at line {line}; UPDATE_EXPECT=1 rewrites it. Now:\n{around}", path.display());
    }
}

/// The blocks of a file of cases: what stands before `----` in each, up to `====`.
///
/// A first block that begins with `-- before each:` is the declarations that every script of the file begins with.
pub fn cases(text: &str) -> (Option<&str>, Vec<&str>) {
    let mut prelude = None;
    let mut cases = Vec::new();
    for (at, block) in text.split("====\n").filter(|block| !block.trim().is_empty()).enumerate() {
        let input = block.split("----\n").next().unwrap_or_default();
        match at {
            0 if input.starts_with("-- before each:\n") => prelude = Some(input),
            _ => cases.push(input),
        }
    }
    (prelude, cases)
}
