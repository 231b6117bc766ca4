//! Scripts with one mistake each, side by side with their reports.

use std::collections::BTreeSet;
use std::fs;

use velo_sql::{Diagnostic, Span, render};

use crate::{golden, world};

#[test]
fn mistakes_are_reported_as_the_golden_files_say() {
    let mut count = 0;
    let mut accepted = String::new();
    let mut met = BTreeSet::new();
    for path in golden::files("bad", "txt") {
        let text = fs::read_to_string(&path).unwrap();
        let (prelude, cases) = golden::cases(&text);
        let mut actual = prelude.map(|prelude| format!("{prelude}====\n")).unwrap_or_default();
        for input in cases {
            let script = format!("{}{input}", prelude.unwrap_or_default());
            let diagnostics = world::plan(&script, true).diagnostics;
            if diagnostics.is_empty() {
                accepted += input;
            }
            for diagnostic in &diagnostics {
                met.insert(diagnostic.code.as_str());
                let Span { start, end } = diagnostic.primary.span;
                assert!(start < end && end as usize <= script.len(), "{diagnostic:?} stands nowhere\n{input}");
                let place = diagnostic.primary.span.text(&script);
                assert_eq!(place.trim(), place, "{diagnostic:?} stands at blanks\n{input}");
            }
            for word in ["issue", "later"] {
                assert!(!diagnostics.iter().any(|diagnostic| says(diagnostic, word)), "\"{word}\"\n{input}");
            }
            actual += &format!("{input}----\n{}====\n", report(diagnostics, prelude.unwrap_or_default(), input));
            count += 1;
        }
        golden::check(&path, &actual);
    }
    assert_eq!(accepted, "", "no mistake is found in these");
    assert!(count >= 340, "{count}");
    let missing: Vec<_> = CODES.iter().filter(|code| !met.contains(code.as_str())).collect();
    assert!(missing.is_empty(), "no script has a mistake with these codes: {missing:?}");
}

/// Whether a report speaks of something.
fn says(diagnostic: &Diagnostic, word: &str) -> bool {
    diagnostic.help.iter().chain([&diagnostic.message]).any(|text| text.split([' ', ',']).any(|part| part == word))
}

/// The report with places counted from the case's own first line, unless one of them is in the declarations before it.
fn report(mut diagnostics: Vec<Diagnostic>, prelude: &str, input: &str) -> String {
    let before = prelude.len() as u32;
    let inside = |diagnostic: &Diagnostic| {
        diagnostic.secondary.iter().chain([&diagnostic.primary]).all(|label| label.span.start >= before)
    };
    if !diagnostics.iter().all(inside) {
        return render(&diagnostics, "script.sql", &format!("{prelude}{input}"));
    }
    for diagnostic in &mut diagnostics {
        for label in diagnostic.secondary.iter_mut().chain([&mut diagnostic.primary]) {
            label.span = Span::new(label.span.start - before, label.span.end - before);
        }
    }
    render(&diagnostics, "script.sql", input)
}

/// All codes of planning.
const CODES: &[velo_sql::Code] = {
    use velo_plan::codes::*;
    &[
        NOT_SUPPORTED,
        UNKNOWN_RELATION,
        UNKNOWN_COLUMN,
        AMBIGUOUS_COLUMN,
        UNKNOWN_FUNCTION,
        DUPLICATE_NAME,
        TYPE_MISMATCH,
        ARGUMENTS,
        NOT_GROUPED,
        MISPLACED_AGGREGATE,
        PROPERTY,
        UNKNOWN_CONNECTOR,
        CONNECTOR,
        EVENT_TIME_MISSING,
        NOT_EVENT_TIME,
        WINDOW,
        UNBOUNDED,
        SINK,
        CONFLICT,
        LITERAL,
        KEPT_STATE,
        EVERY_PAIR,
        INTEGER_DIVISION,
    ]
};
