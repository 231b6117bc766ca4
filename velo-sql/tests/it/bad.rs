//! Statements that are wrong, side by side with their reports.

use crate::golden;
use std::fs;
use velo_sql::{parse_script, render};

const REPORT: &str = "----";
const NEXT: &str = "====";

#[test]
fn bad_statements_are_reported_as_the_golden_files_say() {
    let mut count = 0;
    let mut accepted = String::new();
    for path in golden::files("bad", "txt") {
        let text = fs::read_to_string(&path).unwrap();
        let mut actual = String::new();
        for case in text.split(&format!("{NEXT}\n")).filter(|case| !case.trim().is_empty()) {
            let input = case.split(&format!("{REPORT}\n")).next().unwrap();
            let parsed = parse_script(input);
            if parsed.diagnostics.is_empty() {
                accepted += input;
            }
            let report = render(&parsed.diagnostics, "script.sql", input);
            actual += &format!("{input}{REPORT}\n{report}{NEXT}\n");
            count += 1;
        }
        golden::check(&path, &actual);
    }
    assert_eq!(accepted, "", "no mistake is found in these");
    assert!(count >= 150, "{count}");
}
