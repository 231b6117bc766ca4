//! Every Rust file starts with `//!` and what it is for.

use super::finding::Finding;
use super::source::Source;

/// Looks at the first line.
pub fn check(source: &Source) -> Option<Finding> {
    let first = source.raw.lines().next().unwrap_or_default();
    let text = first.strip_prefix("//!").map(str::trim);
    if text.is_some_and(|text| !text.is_empty()) {
        return None;
    }
    Some(Finding::line(&source.path, 1, "start the file with `//!` and one sentence: what it is for"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_first() {
        assert!(check(&Source::new("a.rs", "//! Offsets of a source.\nfn a() {}")).is_none());
        for bad in ["fn a() {}", "//!\nfn a() {}", "// Offsets.\n", "", "\n//! Late.\n"] {
            assert!(check(&Source::new("a.rs", bad)).is_some(), "{bad:?}");
        }
    }
}
