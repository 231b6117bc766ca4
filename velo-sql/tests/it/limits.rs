//! Input that is too deep or too long: an error, never a stack overflow, never a wait.

use velo_sql::diagnostic::Code;
use velo_sql::{format_script, parse_expression, parse_script, print_expression};

fn codes(text: &str) -> Vec<&'static str> {
    parse_script(text).diagnostics.iter().map(|diagnostic| diagnostic.code.as_str()).collect()
}

fn is_too_deep(text: &str) {
    assert_eq!(codes(text), [Code::NESTING_TOO_DEEP.as_str()], "{}", &text[..text.len().min(60)]);
}

#[test]
fn what_is_just_deep_enough_is_read_printed_and_dropped() {
    for (open, inner, close) in [
        ("(", "1", ")"),
        ("f(", "1", ")"),
        ("- ", "1", ""),
        ("NOT ", "a", ""),
        ("CASE WHEN a THEN ", "1", " END"),
        ("a[", "1", "]"),
        ("(SELECT ", "1", ")"),
        ("EXISTS (SELECT ", "1", ")"),
        ("a IN (", "1", ")"),
        ("CAST(", "1", " AS INT)"),
        ("a + (", "1", ")"),
    ] {
        let depth = if open.contains("SELECT") { 20 } else { 30 };
        let text = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
        let expr = parse_expression(&text).unwrap_or_else(|found| panic!("{open}: {found:?}"));
        assert_eq!(parse_expression(&print_expression(&expr)).unwrap(), expr);
    }
    let chain = format!("1{}", " + 1".repeat(200));
    let expr = parse_expression(&chain).unwrap();
    assert_eq!(print_expression(&expr), chain);
    let deepest = format!("SELECT {}1{}", "(".repeat(60), ")".repeat(60));
    assert!(codes(&deepest).is_empty());
    let selects = format!("{}1{}", "SELECT (".repeat(20), ")".repeat(20));
    assert!(codes(&selects).is_empty());
    let from = format!("{}SELECT 1{}", "SELECT * FROM (".repeat(30), ")".repeat(30));
    assert!(codes(&from).is_empty());
}

#[test]
fn a_megabyte_of_brackets_ends_in_an_error() {
    for open in
        ["(", "[", "f(", "a[", "CASE ", "NOT ", "-", "(SELECT ", "a IN (", "ARRAY[", "CAST(", "a = ANY (", "TRIM("]
    {
        let many = open.repeat(100_000 / open.len());
        let found = parse_script(&format!("SELECT {many}"));
        assert_eq!(found.diagnostics.len(), 1, "{open}");
    }
    is_too_deep(&format!("SELECT {}1{}", "(".repeat(500_000), ")".repeat(500_000)));
    is_too_deep(&format!("{}SELECT 1{}", "(".repeat(500_000), ")".repeat(500_000)));
    is_too_deep(&format!("SELECT * FROM {}t{}", "(".repeat(500_000), ")".repeat(500_000)));
    is_too_deep(&format!("SELECT * FROM {}1{}", "(SELECT * FROM ".repeat(20_000), ")".repeat(20_000)));
    is_too_deep(&format!("SELECT a::{}INT{}", "ARRAY<".repeat(20_000), ">".repeat(20_000)));
    is_too_deep(&format!("SELECT a::INT{}", "[]".repeat(20_000)));
    is_too_deep(&format!(
        "SELECT * FROM t MATCH_RECOGNIZE (PATTERN ({}A{}) DEFINE A AS a)",
        "(".repeat(20_000),
        ")".repeat(20_000)
    ));
    is_too_deep(&format!("SELECT {}1", "- ".repeat(500_000)));
    is_too_deep(&format!("SELECT {}1", "NOT ".repeat(200_000)));
}

#[test]
fn long_chains_are_errors_and_long_lists_are_not() {
    is_too_deep(&format!("SELECT 1{}", " + 1".repeat(20_000)));
    is_too_deep(&format!("SELECT a{}", "[1]".repeat(20_000)));
    is_too_deep(&format!("SELECT a{}", "::INT".repeat(20_000)));
    is_too_deep(&format!("SELECT (a){}", ".b".repeat(20_000)));
    is_too_deep(&format!("SELECT a{}", " IS NULL".repeat(20_000)));
    is_too_deep(&format!("SELECT a{}", " AT TIME ZONE 'UTC'".repeat(20_000)));
    is_too_deep(&format!("SELECT 1{}", " UNION SELECT 1".repeat(20_000)));
    is_too_deep(&format!("SELECT 1{}", " INTERSECT SELECT 1".repeat(20_000)));
    // Nested chains: each is short, together they are deep.
    let mut nested = "1".to_owned();
    for _ in 0..20 {
        nested = format!("({nested}){}", " + 1".repeat(100));
    }
    is_too_deep(&format!("SELECT {nested}"));
    for long in [
        format!("SELECT a{}", " AND a".repeat(20_000)),
        format!("SELECT a{}", " OR a".repeat(20_000)),
        format!("SELECT a IN (1{})", ", 1".repeat(20_000)),
        format!("SELECT 1{}", ", 1".repeat(20_000)),
        format!("SELECT a{}", ".b".repeat(20_000)),
        format!("SELECT * FROM t{}", " CROSS JOIN t".repeat(20_000)),
        format!("VALUES (1){}", ", (1)".repeat(20_000)),
        format!("SELECT CASE{} END", " WHEN a THEN 1".repeat(20_000)),
        "SELECT 1;".repeat(5_000),
    ] {
        assert!(codes(&long).is_empty(), "{}", &long[..40]);
    }
}

#[test]
fn a_thousand_bad_statements_give_a_thousand_reports() {
    let text = "SELECT FROM t;\n".repeat(1_000);
    assert_eq!(codes(&text).len(), 1_000);
    assert_eq!(format_script(&text).unwrap_err().len(), 1_000);
}
