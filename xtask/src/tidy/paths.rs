//! Paths in ARCHITECTURE.md and in CONTRIBUTING.md's table exist, so that a newcomer who follows them arrives.

use super::finding::Finding;
use super::tree::Tree;

/// Endings by which a name with a `/` in backticks is surely a path.
const ENDINGS: [&str; 8] = [".rs", ".md", ".toml", ".sql", ".yaml", ".yml", ".json", ".sh"];

/// Checks all of one page, and the table rows of the other.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = check_page(tree, "ARCHITECTURE.md", |_| true);
    findings.extend(check_page(tree, "CONTRIBUTING.md", |line| line.trim_start().starts_with('|')));
    findings
}

fn check_page(tree: &Tree, page: &str, wanted: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (index, line) in tree.text(page).lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced || !wanted(line) {
            continue;
        }
        let missing = in_backticks(line).flat_map(expand).filter(|path| is_missing(tree, path));
        findings.extend(missing.map(|path| {
            let message = format!("`{path}` does not exist: correct it; paths are written from the repository's root");
            Finding::line(page, index + 1, message)
        }));
    }
    findings
}

fn in_backticks(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// `a/{b,c}.rs` is two paths.
fn expand(text: &str) -> Vec<String> {
    let parts =
        text.split_once('{').and_then(|(head, rest)| rest.split_once('}').map(|(inner, tail)| (head, inner, tail)));
    let Some((head, inner, tail)) = parts else { return vec![text.to_owned()] };
    inner.split(',').flat_map(|choice| expand(&format!("{head}{}{tail}", choice.trim()))).collect()
}

fn is_missing(tree: &Tree, text: &str) -> bool {
    if !is_path(tree, text) {
        return false;
    }
    if let Some(name) = text.strip_suffix(".rs").filter(|name| !name.contains('/')) {
        return !is_placeholder(name) && !tree.paths.iter().any(|path| path.rsplit('/').next() == Some(text));
    }
    let known: Vec<&str> = text.trim_end_matches('/').split('/').take_while(|part| !is_placeholder(part)).collect();
    let known = known.join("/");
    !known.is_empty() && !tree.paths.contains(&known)
}

fn is_path(tree: &Tree, text: &str) -> bool {
    let odd = text.starts_with(['/', '-', '$', '~']) || text.contains("::") || text.contains("://");
    if odd || text.contains(char::is_whitespace) {
        return false;
    }
    let Some((first, _)) = text.split_once('/') else { return text.ends_with(".rs") };
    ENDINGS.iter().any(|ending| text.ends_with(ending)) || first.starts_with("velo-") || tree.paths.contains(first)
}

/// `NAME.rs`, `<issue>-<slug>.md`, `*.md`, `NNNN-*.md`: the reader fills it in.
fn is_placeholder(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default();
    ["NAME", "NNNN"].contains(&stem) || part.contains(['<', '*', '…'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: &[&str] =
        &["velo-sql", "velo-sql/src", "velo-sql/src/lib.rs", "velo-sql/src/parse", "docs", ".ci", ".ci/run"];

    fn found(page: &str, text: &str) -> Vec<String> {
        check(&Tree::of(PATHS, &[(page, text)])).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn what_exists_is_fine() {
        let text =
            "`velo-sql/src/lib.rs` `velo-sql/src/parse/` `velo-sql/src/parse/NAME.rs` `lib.rs` `.ci/run` `docs/*.md`";
        assert!(found("ARCHITECTURE.md", text).is_empty());
    }

    #[test]
    fn what_is_no_path_is_left_alone() {
        let text =
            "`integer / integer` `velo_core::Clock` `/health/tables` `text/csv` `https://x.org/a.rs` `CREATE TABLE`";
        assert!(found("ARCHITECTURE.md", text).is_empty());
    }

    #[test]
    fn what_is_missing_is_found_also_within_braces() {
        let lines = found("ARCHITECTURE.md", "a\n`velo-sql/src/{lib,gone}.rs` and `velo-old/src` and `nowhere.rs`");
        let names: Vec<_> = lines.iter().filter_map(|line| line.split('`').nth(1)).collect();
        assert_eq!(names, ["velo-sql/src/gone.rs", "velo-old/src", "nowhere.rs"]);
        assert!(lines.iter().all(|line| line.starts_with("ARCHITECTURE.md:2: ")));
    }

    #[test]
    fn only_the_table_of_the_other_page_counts() {
        assert!(found("CONTRIBUTING.md", "see `velo-sql/src/gone.rs`").is_empty());
        assert_eq!(found("CONTRIBUTING.md", "| property | `velo-sql/src/gone.rs` |").len(), 1);
    }
}
