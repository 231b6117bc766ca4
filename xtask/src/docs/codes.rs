//! No code without a page: every `Code::new("…")` in the sources is among those that `velo errors` explains.

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::Value;

use super::page::member;
use crate::tidy::Tree;

/// Fails with the codes that have no page.
pub fn check(root: &Path, pages: &[Value]) -> Result<()> {
    let tree = Tree::read(root)?;
    let mut missing: Vec<String> = Vec::new();
    for source in tree.sources.iter().filter(|source| source.path.contains("/src/")) {
        let found = codes(&source.code_without_tests(), &source.raw).into_iter();
        let found = found.filter(|code| !pages.iter().any(|page| member(page, "code") == *code));
        missing.extend(found.map(|code| format!("{code} ({})", source.path)));
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("no page for {}: describe it in velo/src/error_pages.rs, or beside the code", missing.join(", "))
}

/// The texts in `Code::new("text")`: found in the code, where the insides of strings are blanked, and read in the raw file.
fn codes<'a>(code: &str, raw: &'a str) -> Vec<&'a str> {
    const CALL: &str = "Code::new(\"";
    let places = code.match_indices(CALL).filter_map(|(at, _)| raw.get(at + CALL.len()..));
    places.filter_map(|rest| rest.split_once('"')).map(|(text, _)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::Source;

    #[test]
    fn codes_are_read_from_sources() {
        let raw = "const A: Code = Code::new(\"a-b\"); Code::new(text); // Code::new(\"no\")\nconst B: Code = Code::new(\"c\");";
        let source = Source::new("a.rs", raw);
        assert_eq!(codes(&source.code_without_tests(), raw), ["a-b", "c"]);
    }
}
