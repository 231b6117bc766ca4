//! `include_str!` and its kin stay within their crate: what lies outside is not in the package.

use super::finding::Finding;
use super::source::Source;

const MACROS: [&str; 3] = ["include_str!", "include_bytes!", "include!"];

/// Resolves the path of each macro against its file, or against the crate for `CARGO_MANIFEST_DIR`.
pub fn check(source: &Source) -> Vec<Finding> {
    let places = MACROS.iter().flat_map(|name| source.find_word(name).map(move |at| (*name, at)));
    places.filter_map(|(name, at)| check_macro(source, name, at)).collect()
}

fn check_macro(source: &Source, name: &str, at: usize) -> Option<Finding> {
    let argument = source.raw.get(at + name.len()..)?;
    let statement = argument.split(';').next()?;
    let crate_dir = source.path.split('/').next()?;
    let (path, base) = match statement.split_once("CARGO_MANIFEST_DIR") {
        Some((_, rest)) => (literal(rest.strip_prefix('"')?)?.trim_start_matches('/'), crate_dir),
        None => (literal(statement)?, source.path.rsplit_once('/')?.0),
    };
    let inside = !path.starts_with('/') && resolve(base, path).is_some_and(|found| found == crate_dir);
    (!inside).then(|| {
        let message = format!(
            "{name} of {path} leaves its crate, and is missing from its package: move the file into {crate_dir}"
        );
        Finding::line(&source.path, source.line_at(at), message)
    })
}

/// The first string literal.
fn literal(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('"')?;
    Some(rest.split_once('"')?.0)
}

/// The top folder in which `path` ends when read from `base`; none if it leaves the workspace.
fn resolve<'a>(base: &'a str, path: &'a str) -> Option<&'a str> {
    let mut parts: Vec<&str> = base.split('/').collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    parts.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str) -> usize {
        check(&Source::new("velo-sql/src/lex/mod.rs", code)).len()
    }

    #[test]
    fn within_the_crate() {
        assert_eq!(found(r#"include_str!("words.txt")"#), 0);
        assert_eq!(found(r#"include_bytes!("../../data/words.bin")"#), 0);
        assert_eq!(found(r#"include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))"#), 0);
        assert_eq!(found(r#"// include_str!("../../../x")"#), 0);
    }

    #[test]
    fn not_beyond_it() {
        assert_eq!(found(r#"include_str!("../../../docs/a.md")"#), 1);
        assert_eq!(found(r#"include!("../../../../x.rs")"#), 1);
        assert_eq!(found(r#"include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../LICENSE"))"#), 1);
        assert_eq!(found(r#"include_str!("/etc/hosts")"#), 1);
    }
}
