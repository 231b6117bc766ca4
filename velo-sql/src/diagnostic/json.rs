//! Diagnostics as JSON, for editors and `--output json`.

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::span::{SourceText, Span};
use serde_json::{Value, json};

/// An array with one object per diagnostic; places as byte offsets and as line and column (from 1, in characters).
pub fn to_json(diagnostics: &[Diagnostic], file_name: &str, text: &str) -> Value {
    let source = SourceText::new(text);
    diagnostics.iter().map(|diagnostic| object(diagnostic, file_name, &source)).collect()
}

fn object(diagnostic: &Diagnostic, file_name: &str, source: &SourceText<'_>) -> Value {
    let severity = match diagnostic.severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    json!({
        "code": diagnostic.code.as_str(),
        "severity": severity,
        "message": diagnostic.message,
        "file": file_name,
        "primary": label(&diagnostic.primary, source),
        "secondary": diagnostic.secondary.iter().map(|other| label(other, source)).collect::<Value>(),
        "help": diagnostic.help,
    })
}

fn label(label: &Label, source: &SourceText<'_>) -> Value {
    let place = |offset| {
        let place = source.place(offset);
        json!({ "offset": offset, "line": place.line, "column": place.column })
    };
    let Span { start, end } = label.span;
    json!({ "start": place(start), "end": place(end), "text": label.text })
}
