//! Diagnostics as text for people: message, place, the lines with carets under them, help.

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::span::{SourceText, Span};
use std::fmt::Write;

/// Longer lines are cut around the caret.
const MAX_WIDTH: usize = 120;

/// Of longer lines only this many bytes before and after the caret are looked at, so that many mistakes on one long line are quickly told.
const WINDOW: usize = 1_000;

/// All diagnostics, with a blank line between two; ends with a line break unless there are none.
pub fn render(diagnostics: &[Diagnostic], file_name: &str, text: &str) -> String {
    let source = SourceText::new(text);
    let mut out = String::new();
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        one(&mut out, diagnostic, file_name, &source);
    }
    out
}

/// A label on one line, in columns of the terminal.
struct Mark<'a> {
    line: usize,
    /// The part of the line that is looked at.
    shown: &'a str,
    from: usize,
    width: usize,
    primary: bool,
    text: &'a str,
}

/// The part of a line around a place, and the offset at which the part begins.
fn window<'a>(source: &SourceText<'a>, line: usize, anchor: u32) -> (&'a str, usize) {
    let text = source.line(line);
    let start = source.line_start(line) as usize;
    let at = (anchor as usize).saturating_sub(start).min(text.len());
    let (mut from, mut to) = (at.saturating_sub(WINDOW), (at + WINDOW).min(text.len()));
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    while !text.is_char_boundary(to) {
        to += 1;
    }
    (&text[from..to], start + from)
}

fn one(out: &mut String, diagnostic: &Diagnostic, file_name: &str, source: &SourceText<'_>) {
    let severity = match diagnostic.severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let place = source.place(diagnostic.primary.span.start);
    let labels = diagnostic.secondary.iter().map(|label| (label, false)).chain([(&diagnostic.primary, true)]);
    let mut marks: Vec<Mark<'_>> = labels
        .map(|(label, primary)| {
            let line = source.place(label.span.start).line;
            let anchor = if line == place.line { diagnostic.primary.span.start } else { label.span.start };
            mark(label, primary, line, window(source, line, anchor))
        })
        .collect();
    marks.sort_by_key(|mark| (mark.line, mark.from));
    let gutter = marks.iter().map(|mark| mark.line.to_string().len()).max().unwrap_or(1).max(4);
    // Writing to a String does not fail.
    let _ = writeln!(out, "{severity}[{}]: {}", diagnostic.code, diagnostic.message);
    let _ = writeln!(out, "{:indent$}--> {file_name}:{}:{}", "", place.line, place.column, indent = gutter - 2);
    let mut last = 0;
    for (index, mark) in marks.iter().enumerate() {
        if mark.line != last {
            if last != 0 && mark.line > last + 1 {
                let _ = writeln!(out, "{:>gutter$}", "...");
            }
            last = mark.line;
            let end = marks[index..].iter().take_while(|other| other.line == mark.line);
            lines(out, gutter, &end.collect::<Vec<_>>());
        }
    }
    for help in &diagnostic.help {
        let _ = writeln!(out, "{:indent$}= help: {help}", "", indent = gutter - 1);
    }
}

/// The part of a label on its first line; a span over several lines is marked to the end of the first.
fn mark<'a>(label: &'a Label, primary: bool, line: usize, (text, line_start): (&'a str, usize)) -> Mark<'a> {
    let Span { start, end } = label.span;
    let inside = |offset: u32| {
        let mut at = (offset as usize).saturating_sub(line_start).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (from, to) = (inside(start), inside(end.max(start)));
    let mut width = text_width(&text[from..to]);
    if start as usize > line_start + text.len() {
        width = 1;
    }
    Mark { line, shown: text, from: text_width(&text[..from]), width: width.max(1), primary, text: &label.text }
}

/// One line of the script and, below it, one line of carets and words per mark.
fn lines(out: &mut String, gutter: usize, marks: &[&Mark<'_>]) {
    let Some(first) = marks.first() else { return };
    let (shown, cut) = visible(first.shown, first.from);
    let _ = writeln!(out, "{:>gutter$} | {}", first.line, shown.trim_end());
    for mark in marks {
        let from = mark.from.saturating_sub(cut);
        let width = mark.width.min(MAX_WIDTH.saturating_sub(from)).max(1);
        let sign = if mark.primary { "^" } else { "-" };
        let line = format!("{:>gutter$} | {:from$}{} {}", "", "", sign.repeat(width), mark.text);
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// The part of a line that is shown, and how many columns are cut off before it.
fn visible(line: &str, caret: usize) -> (String, usize) {
    let mut expanded = String::new();
    for c in line.chars() {
        match c {
            '\t' => expanded.push_str("    "),
            c if c.is_control() => expanded.push('\u{fffd}'),
            c => expanded.push(c),
        }
    }
    if text_width(&expanded) <= MAX_WIDTH {
        return (expanded, 0);
    }
    let skip = if caret < MAX_WIDTH * 2 / 3 { 0 } else { caret - MAX_WIDTH / 3 };
    let mut column = 0;
    let mut cut = 0;
    let mut shown = String::new();
    for c in expanded.chars() {
        let width = char_width(c);
        if column < skip {
            cut = column + width;
        } else if column + width <= cut + MAX_WIDTH {
            shown.push(c);
        }
        column += width;
    }
    if cut == 0 {
        return (shown + "...", 0);
    }
    ("...".to_owned() + &shown + if column > cut + MAX_WIDTH { "..." } else { "" }, cut - 3)
}

fn text_width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Columns of a terminal that a character takes: the wide and the combining blocks, as far as scripts and data have them.
fn char_width(c: char) -> usize {
    match c as u32 {
        0x09 => 4,
        0x300..=0x36f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f | 0xfeff => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::{Code, Diagnostic, render};
    use crate::span::Span;
    use expect_test::expect;

    #[test]
    fn carets_mind_wide_characters() {
        let text = "SELECT '日本' x y FROM t\n  WHERE a";
        let at = text.find(" y").unwrap() as u32 + 1;
        let diagnostic = Diagnostic::error(Code::SYNTAX, Span::new(at, at + 1), "expected `,`")
            .label("not this")
            .also(Span::new(7, 15), "after this")
            .help("remove it");
        expect![[r#"
            error[syntax]: expected `,`
              --> a.sql:1:15
               1 | SELECT '日本' x y FROM t
                 |        ------ after this
                 |                 ^ not this
               = help: remove it
        "#]]
        .assert_eq(&render(&[diagnostic], "a.sql", text));
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let text = format!("SELECT {} oops, {}", "a, ".repeat(100), "b, ".repeat(100));
        let at = text.find("oops").unwrap() as u32;
        let shown = render(&[Diagnostic::error(Code::SYNTAX, Span::new(at, at + 4), "m")], "a.sql", &text);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[2].find("oops"), lines[3].find("^^^^"), "{shown}");
        assert!(lines[2].len() < 140);
    }
}
