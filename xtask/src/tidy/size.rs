//! No file holds more than 600 lines of logic: comments, blank lines and test modules do not count.

use super::finding::Finding;
use super::source::Source;

const LIMIT: usize = 600;

/// A line that starts so, followed by the reason, exempts a long table.
const TABLE: &str = "// tidy: table";

/// Counts the lines that hold code.
pub fn check(source: &Source) -> Option<Finding> {
    if let Some((line, reason)) = table_mark(&source.raw) {
        let silent = reason.is_empty();
        return silent
            .then(|| Finding::line(&source.path, line, "say after `// tidy: table` why this is one long table"));
    }
    let lines = source.code_without_tests().lines().filter(|line| !line.trim().is_empty()).count();
    (lines > LIMIT).then(|| {
        let advice = "split it by what it is about; a pure table may carry a line `// tidy: table: REASON`";
        Finding::file(&source.path, format!("{lines} lines of logic, {LIMIT} is the limit: {advice}"))
    })
}

fn table_mark(text: &str) -> Option<(usize, &str)> {
    text.lines().enumerate().find_map(|(index, line)| {
        let reason = line.trim_start().strip_prefix(TABLE)?;
        Some((index + 1, reason.trim_matches(|sign: char| !sign.is_alphanumeric())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: usize, tail: &str) -> Option<Finding> {
        check(&Source::new("a.rs", format!("{}{tail}", "let a = 1;\n".repeat(lines))))
    }

    #[test]
    fn six_hundred_lines_are_enough() {
        assert!(of(600, "").is_none());
        let finding = of(601, "").unwrap();
        assert!(finding.message.starts_with("601 lines"), "{finding}");
    }

    #[test]
    fn comments_blanks_and_tests_do_not_count() {
        let tail = format!("{}{}", "// a\n\n/* b */\n".repeat(50), "#[cfg(test)]\nmod tests {\nfn b() {}\n}\n");
        assert!(of(600, &tail).is_none());
    }

    #[test]
    fn lines_of_strings_count() {
        assert!(of(590, &format!("let b = \"{}\";", "text\n".repeat(12))).is_some());
    }

    #[test]
    fn a_table_needs_a_reason() {
        assert!(of(700, "// tidy: table: one keyword a line\n").is_none());
        assert!(of(700, "// tidy: table\n").unwrap().message.contains("say after"));
    }
}
