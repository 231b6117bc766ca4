//! What a sink got beside what was expected of it.
//!
//! Rows are a set; order counts only within a key, and only where a changelog takes rows back. A value is compared as it is
//! printed, so a decimal has its scale's digits; a time may be written in any of the ways that an input may; DOUBLE and REAL
//! are compared to nine digits. In a file of expected values decimals are compared by value.

use std::collections::BTreeMap;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::table_text::{Header, TextRow, TextTable, cell_text};
use velo_core::{Batch, RowKind};

/// Differences beyond these are only counted.
const SHOWN: usize = 20;

/// One row of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its kind.
    pub kind: RowKind,
    /// Its values as they are compared.
    pub cells: Vec<String>,
    /// Its values as they are shown.
    pub shown: Vec<String>,
}

impl Row {
    fn text(&self) -> String {
        let mut text = self.kind.symbol().to_owned();
        for cell in &self.shown {
            text.push(' ');
            text.push_str(cell);
        }
        text
    }
}

/// The rows of batches.
pub fn rows_of(batches: &[Batch]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        let fields = batch.schema();
        for row in 0..batch.rows() {
            let kind = batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]);
            let shown: Vec<String> = batch.columns.columns().iter().map(|column| cell_text(column, row)).collect();
            let cells = shown.iter().zip(fields.fields()).map(|(text, field)| compared(text, field)).collect();
            rows.push(Row { kind, cells, shown });
        }
    }
    rows
}

/// Rows as the text of a block, aligned, below a header.
pub fn as_text(schema: &SchemaRef, rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header = std::iter::once(String::new()).chain(schema.fields().iter().map(|field| field.name().clone()));
    let mut lines: Vec<Vec<String>> = vec![header.collect()];
    lines.extend(
        rows.iter().map(|row| std::iter::once(row.kind.symbol().to_owned()).chain(row.shown.iter().cloned()).collect()),
    );
    let width = |at: usize| lines.iter().map(|cells| cells[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=schema.fields().len()).map(width).collect();
    let mut text = String::new();
    for cells in &lines {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(padded.collect::<Vec<_>>().join(" ").trim_end());
        text.push('\n');
    }
    text
}

/// A value as it is compared.
fn compared(text: &str, field: &Field) -> String {
    match text.parse::<f64>() {
        Ok(value) if field.data_type().is_floating() => format!("{value:.8e}"),
        _ => text.to_owned(),
    }
}

/// The rows that a block or a file of rows expects; a mistake has its line in it.
pub fn expected(text: &str, schema: &SchemaRef) -> Result<Vec<Row>, (usize, String)> {
    let with_kinds = text
        .lines()
        .any(|line| line.split_whitespace().next().is_some_and(|first| RowKind::from_symbol(first).is_some()));
    let named = |name: &str| schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    let table = TextTable::cut(text, |cells| with_kinds || cells.iter().all(|(name, _)| named(name)));
    let table = table.map_err(|error| (error.line, error.message))?;
    typed(&table, schema, false)
}

/// The rows of a CSV file with a header; columns are found by name, an empty value is NULL.
pub fn expected_csv(text: &str, schema: &SchemaRef) -> Result<Vec<Row>, (usize, String)> {
    let mut table = TextTable::default();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let cells = cut_csv(line).ok_or_else(|| (at + 1, "a quote has no end".to_owned()))?;
        if table.header.is_none() {
            let columns = cells.into_iter().map(|name| (name.unwrap_or_default(), None)).collect();
            table.header = Some(Header { line: at + 1, columns });
        } else {
            table.rows.push(TextRow { line: at + 1, kind: None, cells, batch: 0 });
        }
    }
    typed(&table, schema, true)
}

fn cut_csv(line: &str) -> Option<Vec<Option<String>>> {
    let (mut cells, mut rest) = (Vec::new(), line);
    loop {
        let (cell, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut text = String::new();
            let mut left = quoted;
            loop {
                let at = left.find('"')?;
                text.push_str(&left[..at]);
                left = &left[at + 1..];
                let Some(more) = left.strip_prefix('"') else { break };
                text.push('"');
                left = more;
            }
            (Some(text), left)
        } else {
            let at = rest.find(',').unwrap_or(rest.len());
            (Some(rest[..at].to_owned()).filter(|text| !text.is_empty()), &rest[at..])
        };
        cells.push(cell);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Some(cells),
        }
    }
}

fn typed(table: &TextTable, schema: &SchemaRef, by_value: bool) -> Result<Vec<Row>, (usize, String)> {
    check_header(table, schema, by_value)?;
    let nullable = |field: &std::sync::Arc<Field>| field.as_ref().clone().with_nullable(true);
    let schema: SchemaRef = std::sync::Arc::new(Schema::new(schema.fields().iter().map(nullable).collect::<Vec<_>>()));
    let batches = table.typed(&schema).map_err(|error| (error.line, error.message))?;
    let mut rows = rows_of(&batches);
    if by_value {
        return Ok(rows);
    }
    for (row, written) in rows.iter_mut().zip(&table.rows) {
        for (at, field) in schema.fields().iter().enumerate() {
            let decimal = matches!(field.data_type(), DataType::Decimal128(..) | DataType::Decimal256(..));
            if decimal && let Some(Some(text)) = written.cells.get(at) {
                row.cells[at].clone_from(text);
                row.shown[at].clone_from(text);
            }
        }
    }
    Ok(rows)
}

/// A header names all columns; in a file they may be in any order.
fn check_header(table: &TextTable, schema: &SchemaRef, any_order: bool) -> Result<(), (usize, String)> {
    let Some(header) = &table.header else { return Ok(()) };
    let mut written: Vec<&str> = header.columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut actual: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let message = format!("the columns are called {}, and not {}", actual.join(" "), written.join(" "));
    if any_order {
        written.sort_unstable();
        actual.sort_unstable();
    }
    if written == actual { Ok(()) } else { Err((header.line, message)) }
}

/// How rows are compared.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// The places of the key's columns; without one a changelog's key is its first column.
    pub key: Vec<usize>,
    /// Compares what changelogs fold to.
    pub folded: bool,
}

impl Comparison {
    /// What differs, as text; `None` where nothing does.
    pub fn differences(&self, expected: &[Row], actual: &[Row]) -> Option<String> {
        let is_changelog = |rows: &[Row]| rows.iter().any(|row| row.kind != RowKind::Insert);
        if !is_changelog(expected) && !is_changelog(actual) && self.key.is_empty() {
            return as_sets(expected, actual);
        }
        if self.folded {
            return as_sets(&fold(expected), &fold(actual));
        }
        self.by_key(expected, actual)
    }

    fn by_key(&self, expected: &[Row], actual: &[Row]) -> Option<String> {
        let places = if self.key.is_empty() { &[0][..] } else { &self.key };
        let group = |rows: &[Row]| {
            let mut groups: BTreeMap<Vec<String>, Vec<Row>> = BTreeMap::new();
            for row in rows {
                let key = places.iter().filter_map(|at| row.cells.get(*at).cloned()).collect();
                groups.entry(key).or_default().push(row.clone());
            }
            groups
        };
        let (mut want, mut have) = (group(expected), group(actual));
        let mut lines = Vec::new();
        for key in want.keys().chain(have.keys()).cloned().collect::<std::collections::BTreeSet<_>>() {
            let (want, have) = (want.remove(&key).unwrap_or_default(), have.remove(&key).unwrap_or_default());
            let same = |row: &Row| (row.kind, row.cells.clone());
            if want.iter().map(same).eq(have.iter().map(same)) {
                continue;
            }
            lines.push(format!("  of {}, in order:", key.join(" ")));
            lines.extend(want.iter().map(|row| format!("  - {}", row.text())));
            lines.extend(have.iter().map(|row| format!("  + {}", row.text())));
        }
        (!lines.is_empty()).then(|| limited(&lines))
    }
}

/// What is left when changes are applied: rows with how often they are there, all as inserts.
fn fold(rows: &[Row]) -> Vec<Row> {
    let mut counts: BTreeMap<Vec<String>, (i64, &Row)> = BTreeMap::new();
    for row in rows {
        let entry = counts.entry(row.cells.clone()).or_insert((0, row));
        entry.0 += if row.kind.retracts() { -1 } else { 1 };
    }
    let mut folded = Vec::new();
    for (count, row) in counts.into_values() {
        let kind = if count < 0 { RowKind::Delete } else { RowKind::Insert };
        folded.extend((0..count.unsigned_abs()).map(|_| Row { kind, ..row.clone() }));
    }
    folded
}

fn as_sets(expected: &[Row], actual: &[Row]) -> Option<String> {
    let mut counts: BTreeMap<(&str, &[String]), i64> = BTreeMap::new();
    for row in actual {
        *counts.entry((row.kind.symbol(), &row.cells)).or_default() += 1;
    }
    let mut lines = Vec::new();
    for row in expected {
        let count = counts.entry((row.kind.symbol(), &row.cells)).or_default();
        *count -= 1;
        if *count < 0 {
            lines.push(format!("  - {}", row.text()));
        }
    }
    for row in actual.iter().rev() {
        let count = counts.entry((row.kind.symbol(), &row.cells)).or_default();
        if *count > 0 {
            *count -= 1;
            lines.push(format!("  + {}", row.text()));
        }
    }
    if lines.is_empty() {
        return None;
    }
    let summary = format!("  {} rows were expected and {} came (- expected, + came)", expected.len(), actual.len());
    lines.insert(0, summary);
    Some(limited(&lines))
}

/// The lines of a text that should be another, marked.
pub fn text_differences(expected: &str, actual: &str) -> Option<String> {
    let cut = |text: &str| -> Vec<String> { text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect() };
    let (want, have) = (cut(expected), cut(actual));
    if want == have {
        return None;
    }
    let before = want.iter().zip(&have).take_while(|(one, other)| one == other).count();
    let behind = want[before..].iter().rev().zip(have[before..].iter().rev());
    let after = behind.take_while(|(one, other)| one == other).count();
    let mut lines: Vec<String> = want[..before].iter().map(|line| format!("    {line}")).collect();
    lines.extend(want[before..want.len() - after].iter().map(|line| format!("  - {line}")));
    lines.extend(have[before..have.len() - after].iter().map(|line| format!("  + {line}")));
    lines.extend(have[have.len() - after..].iter().map(|line| format!("    {line}")));
    Some(limited(&lines))
}

/// The lines of files, whose order does not count.
pub fn line_differences(expected: &str, actual: &str) -> Option<String> {
    let sorted = |text: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    let (want, have) = (sorted(expected), sorted(actual));
    (want != have).then(|| text_differences(&want, &have)).flatten()
}

fn limited(lines: &[String]) -> String {
    let mut text = lines.iter().take(2 * SHOWN).cloned().collect::<Vec<_>>().join("\n");
    if lines.len() > 2 * SHOWN {
        text.push_str(&format!("\n  … and {} more lines", lines.len() - 2 * SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use velo_core::types;

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("k", DataType::Utf8, false),
            Field::new("d", types::decimal(10, 2), true),
            Field::new("f", DataType::Float64, true),
        ]))
    }

    fn rows(text: &str) -> Vec<Row> {
        expected(text, &schema()).unwrap()
    }

    fn differ(one: &str, other: &str, comparison: &Comparison) -> Option<String> {
        comparison.differences(&rows(one), &rows(other))
    }

    #[test]
    fn inserts_are_a_set() {
        let plain = Comparison::default();
        assert_eq!(differ("a 1.00 1\nb 2.00 2\n", "+I b 2.00 2\n+I a 1.00 1\n", &plain), None);
        let missing = differ("a 1.00 1\na 1.00 1\n", "a 1.00 1\n", &plain).unwrap();
        assert_eq!(missing, "  2 rows were expected and 1 came (- expected, + came)\n  - +I a 1.00 1.0");
        assert!(differ("a 1.00 1\n", "a 1.00 2\n", &plain).unwrap().contains("  + +I a 1.00 2.0"));
        assert!(differ("", "a 1.00 1\n", &plain).unwrap().contains("+I a"));
    }

    #[test]
    fn decimals_as_printed_and_floats_to_nine_digits() {
        let plain = Comparison::default();
        assert!(differ("a 1.0 1\n", "a 1.00 1\n", &plain).is_some());
        assert_eq!(differ("a 1.00 0.1\n", "a 1.00 0.10000000000000002\n", &plain), None);
        assert!(differ("a 1.00 0.1\n", "a 1.00 0.1000001\n", &plain).is_some());
        let by_value = expected_csv("d,f,k\n1,0.5,a\n", &schema()).unwrap();
        assert_eq!(plain.differences(&by_value, &rows("a 1.00 0.5\n")), None);
    }

    #[test]
    fn changelogs_go_by_key_and_fold() {
        let one = "+I a 1.00 1\n-U a 1.00 1\n+U a 2.00 1\n+I b 1.00 1\n";
        let other = "+I b 1.00 1\n+I a 1.00 1\n-U a 1.00 1\n+U a 2.00 1\n";
        assert_eq!(differ(one, other, &Comparison::default()), None);
        let short = "+I a 2.00 1\n+I b 1.00 1\n";
        assert!(differ(one, short, &Comparison::default()).is_some());
        assert_eq!(differ(one, short, &Comparison { folded: true, ..Comparison::default() }), None);
        let turned = "-U a 1.00 1\n+I a 1.00 1\n+U a 2.00 1\n+I b 1.00 1\n";
        assert!(differ(one, turned, &Comparison::default()).is_some());
        let deleted = "-D a 1.00 1\n";
        assert!(differ("", deleted, &Comparison { folded: true, ..Comparison::default() }).is_some());
    }

    #[test]
    fn headers_name_the_columns() {
        assert_eq!(rows("k d f\n+I a 1.00 1\n").len(), 1);
        assert_eq!(rows("k d f\n").len(), 0);
        let (line, message) = expected("k x f\n+I a 1.00 1\n", &schema()).unwrap_err();
        assert_eq!((line, message.as_str()), (1, "the columns are called k d f, and not k x f"));
        assert!(expected("+I a 1.00\n", &schema()).is_err());
    }

    #[test]
    fn csv_cells() {
        assert_eq!(
            cut_csv("a,,\"x, \"\"y\"\"\",").unwrap(),
            [Some("a".to_owned()), None, Some("x, \"y\"".to_owned()), None]
        );
        assert_eq!(cut_csv("\"a"), None);
    }

    #[test]
    fn texts_show_where_they_differ() {
        assert_eq!(text_differences("a\nb\n", "a\nb \n\n"), None);
        assert_eq!(text_differences("a\nb\nc\n", "a\nx\nc\n").unwrap(), "    a\n  - b\n  + x\n    c");
        assert_eq!(line_differences("a\nb\n", "b\na\n"), None);
        assert!(line_differences("a\nb\n", "b\nb\n").is_some());
    }
}
