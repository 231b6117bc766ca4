//! Scripts that are right: printed, read again, and compared with golden files.

use crate::golden;
use std::fs;
use velo_sql::{format_script, parse_script, print_script, print_statement, render};

#[test]
fn good_scripts_print_and_read_back_as_the_same_trees() {
    for path in golden::files("good", "sql") {
        let text = fs::read_to_string(&path).unwrap();
        let parsed = parse_script(&text);
        assert!(parsed.diagnostics.is_empty(), "{}", render(&parsed.diagnostics, &path.display().to_string(), &text));
        for statement in &parsed.statements {
            let printed = print_statement(statement);
            let again = parse_script(&printed);
            assert!(again.diagnostics.is_empty(), "{}", render(&again.diagnostics, "printed", &printed));
            assert_eq!(again.statements.len(), 1, "{printed}");
            assert_eq!(again.statements[0].kind, statement.kind, "{printed}");
            assert_eq!(print_statement(&again.statements[0]), printed);
        }
        let printed = print_script(&parsed.statements);
        assert_eq!(parse_script(&printed).statements, parsed.statements);
        golden::check(&path.with_extension("printed"), &printed);
    }
}

#[test]
fn the_formatter_keeps_statements_and_comments_and_does_nothing_the_second_time() {
    for path in golden::files("good", "sql") {
        let text = fs::read_to_string(&path).unwrap();
        let formatted = format_script(&text).unwrap();
        assert_eq!(parse_script(&formatted).statements, parse_script(&text).statements, "{}", path.display());
        for line in text.lines().filter(|line| line.trim_start().starts_with("--")) {
            assert!(formatted.contains(line.trim()), "lost in {}: {line}", path.display());
        }
        assert_eq!(format_script(&formatted).unwrap(), formatted, "{}", path.display());
    }
}
