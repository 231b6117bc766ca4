//! Rows as text, and text as rows: what scenario files and tests are written in.
//!
//! ```text
//! symbol price:DECIMAL(18,4) ts        -- a header; types are needed only where no schema is given
//! +I A   1.10                59000
//! -D "a b" NULL              1000      -- quotes around text with blanks; NULL is bare
//! ---                                  -- a batch ends here
//!    A   2.00                60000     -- no kind: an insert
//! ```
//!
//! Values are exact: a decimal with more digits than its column's scale is a mistake, not rounded. A TIMESTAMP is ISO 8601
//! (`2024-01-31T10:00:00.5Z`), a time of 1970-01-01 (`10:00:05`), or epoch milliseconds. ARRAY, MAP and STRUCT are JSON, BYTES
//! are `0x…`. What [`print`] writes, [`parse`] reads.

mod columns;
mod show;
mod times;

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use serde_json::Value;

pub use show::{cell_text, print, value_text};

use self::columns::build;
use self::times::parse_iso8601;
use crate::batch::Batch;
use crate::decimal;
use crate::row_kind::{RowKind, RowKinds};
use crate::types;

/// A mistake in a text of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableTextError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for TableTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for TableTextError {}

/// One row as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRow {
    /// The line it is on, from 1.
    pub line: usize,
    /// Its kind, where one is written.
    pub kind: Option<RowKind>,
    /// Its values without their quotes; `None` is NULL.
    pub cells: Vec<Option<String>>,
    /// How many `---` lines came before it.
    pub batch: usize,
}

/// A line of column names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The line it is on, from 1.
    pub line: usize,
    /// Each column's name, and its type where one is written.
    pub columns: Vec<(String, Option<String>)>,
}

/// A text of rows, cut but not yet typed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextTable {
    /// The header, if there is one.
    pub header: Option<Header>,
    /// The rows in order.
    pub rows: Vec<TextRow>,
}

/// Rows of a given schema. Without a header the values stand in the schema's order; with one they are found by name, and
/// columns that it leaves out are NULL. A `---` line ends a batch.
pub fn parse(text: &str, schema: &SchemaRef) -> Result<Vec<Batch>, TableTextError> {
    let named = |name: &str| schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    let table = TextTable::cut(text, |cells| cells.iter().all(|(name, _)| named(name)))?;
    table.typed(schema)
}

/// Rows that bring their own types: `name:TYPE` in the header, else guessed from the values (BIGINT, DECIMAL, BOOLEAN,
/// TIMESTAMP, STRING). A first line that begins with a row kind is no header; the columns are then called `c1`, `c2`, …
pub fn parse_untyped(text: &str) -> Result<(SchemaRef, Vec<Batch>), TableTextError> {
    let table = TextTable::cut(text, |_| true)?;
    let schema = table.guess_schema()?;
    let batches = table.typed(&schema)?;
    Ok((schema, batches))
}

impl TextTable {
    /// Cuts a text into rows and values. The first line is the header if it has no row kind and `is_header` accepts its names
    /// and types.
    pub fn cut(
        text: &str,
        is_header: impl FnOnce(&[(String, Option<String>)]) -> bool,
    ) -> Result<Self, TableTextError> {
        let mut table = Self::default();
        let mut is_header = Some(is_header);
        let mut batch = 0;
        for (at, line) in text.lines().enumerate() {
            let line_number = at + 1;
            if line.trim() == "---" {
                batch += 1;
                is_header = None;
                continue;
            }
            let mut cells = cut_line(line).map_err(|message| TableTextError { line: line_number, message })?;
            if cells.is_empty() {
                continue;
            }
            let kind = cells[0].bare().and_then(RowKind::from_symbol);
            if kind.is_some() {
                cells.remove(0);
            } else if let Some(is_header) = is_header.take() {
                let names: Vec<_> = cells.iter().map(Cell::name_and_type).collect();
                if is_header(&names) {
                    table.header = Some(Header { line: line_number, columns: names });
                    continue;
                }
            }
            is_header = None;
            let cells = cells.into_iter().map(Cell::value).collect();
            table.rows.push(TextRow { line: line_number, kind, cells, batch });
        }
        Ok(table)
    }

    /// The rows as batches of `schema`.
    pub fn typed(&self, schema: &SchemaRef) -> Result<Vec<Batch>, TableTextError> {
        let places = self.places(schema)?;
        let mut batches = Vec::new();
        for rows in self.rows.chunk_by(|one, next| one.batch == next.batch) {
            batches.push(typed_batch(rows, schema, &places)?);
        }
        Ok(batches)
    }

    /// For each column of the schema the place of its values in a row.
    fn places(&self, schema: &Schema) -> Result<Vec<Option<usize>>, TableTextError> {
        let Some(Header { line, columns: names }) = &self.header else {
            return Ok((0..schema.fields().len()).map(Some).collect());
        };
        let mut places = vec![None; schema.fields().len()];
        for (at, (name, _)) in names.iter().enumerate() {
            let column = schema
                .fields()
                .iter()
                .position(|field| field.name() == name)
                .or_else(|| schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name)));
            let Some(column) = column else {
                return Err(TableTextError { line: *line, message: format!("there is no column '{name}'") });
            };
            if places[column].replace(at).is_some() {
                return Err(TableTextError { line: *line, message: format!("the column '{name}' is named twice") });
            }
        }
        Ok(places)
    }

    fn guess_schema(&self) -> Result<SchemaRef, TableTextError> {
        let width = match (&self.header, self.rows.first()) {
            (Some(header), _) => header.columns.len(),
            (None, first) => first.map_or(0, |row| row.cells.len()),
        };
        let mut fields = Vec::with_capacity(width);
        for at in 0..width {
            let (name, written) = match &self.header {
                Some(header) => header.columns[at].clone(),
                None => (format!("c{}", at + 1), None),
            };
            let line = self.header.as_ref().map_or(1, |header| header.line);
            fields.push(match written {
                Some(text) => parse_type(&text)
                    .map(|(data_type, json)| field_of(&name, data_type, json))
                    .map_err(|message| TableTextError { line, message })?,
                None => {
                    let values = self.rows.iter().filter_map(|row| row.cells.get(at)?.as_deref());
                    Field::new(name, guess_type(values), true)
                }
            });
        }
        Ok(Arc::new(Schema::new(fields)))
    }
}

fn typed_batch(rows: &[TextRow], schema: &SchemaRef, places: &[Option<usize>]) -> Result<Batch, TableTextError> {
    let width = places.iter().flatten().count();
    for row in rows {
        if row.cells.len() != width {
            let message = format!("{width} values were expected, and there are {}", row.cells.len());
            return Err(TableTextError { line: row.line, message });
        }
    }
    let mut columns = Vec::with_capacity(places.len());
    for (field, place) in schema.fields().iter().zip(places) {
        let cells: Vec<Option<String>> =
            rows.iter().map(|row| place.and_then(|place| row.cells[place].clone())).collect();
        let column = build(field, &cells).map_err(|(row, message)| TableTextError {
            line: rows.get(row).map_or(0, |row| row.line),
            message: format!("column '{}': {message}", field.name()),
        })?;
        columns.push(column);
    }
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let columns = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| TableTextError { line: rows.first().map_or(0, |row| row.line), message: error.to_string() })?;
    let mut batch = Batch::new(columns);
    if rows.iter().any(|row| row.kind.is_some_and(|kind| kind != RowKind::Insert)) {
        batch.kinds = Some(RowKinds::new(rows.iter().map(|row| row.kind.unwrap_or(RowKind::Insert)).collect()));
    }
    Ok(batch)
}

/// A value of a line, with or without its quotes.
enum Cell {
    Bare(String),
    Quoted(String),
}

impl Cell {
    fn bare(&self) -> Option<&str> {
        match self {
            Self::Bare(text) => Some(text),
            Self::Quoted(_) => None,
        }
    }

    fn value(self) -> Option<String> {
        match self {
            Self::Bare(text) if text == "NULL" => None,
            Self::Bare(text) | Self::Quoted(text) => Some(text),
        }
    }

    fn name_and_type(&self) -> (String, Option<String>) {
        let (Self::Bare(text) | Self::Quoted(text)) = self;
        match text.split_once(':') {
            Some((name, written)) => (name.to_owned(), Some(written.to_owned())),
            None => (text.clone(), None),
        }
    }
}

fn cut_line(line: &str) -> Result<Vec<Cell>, String> {
    let mut cells = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with("--") {
        let (cell, length) = match rest.as_bytes()[0] {
            b'"' => {
                let (text, length) = cut_quoted(rest)?;
                (Cell::Quoted(text), length)
            }
            b'[' | b'{' => {
                let length = json_length(rest)?;
                (Cell::Bare(rest[..length].to_owned()), length)
            }
            _ => {
                let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (Cell::Bare(rest[..length].to_owned()), length)
            }
        };
        rest = &rest[length..];
        if rest.starts_with(|next: char| !next.is_whitespace()) {
            return Err(format!("a blank is missing before '{rest}'"));
        }
        cells.push(cell);
        rest = rest.trim_start();
    }
    Ok(cells)
}

fn cut_quoted(text: &str) -> Result<(String, usize), String> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, next)) = chars.next() {
        match next {
            '"' => return Ok((out, at + 1)),
            '\\' => out.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                Some((_, 'r')) => '\r',
                Some((_, other)) => other,
                None => break,
            }),
            other => out.push(other),
        }
    }
    Err(format!("{text} has no closing quote"))
}

/// Where the JSON value at the start of `text` ends.
fn json_length(text: &str) -> Result<usize, String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(_)) => Ok(values.byte_offset()),
        Some(Err(error)) => Err(format!("'{text}' is no JSON: {error}")),
        None => Err(format!("'{text}' is no JSON")),
    }
}

// Types.

fn field_of(name: &str, data_type: DataType, json: bool) -> Field {
    if json { types::json_field(name, true) } else { Field::new(name, data_type, true) }
}

/// The narrowest type that holds all values.
fn guess_type<'a>(values: impl Iterator<Item = &'a str> + Clone) -> DataType {
    let all = |test: fn(&str) -> bool| values.clone().all(test);
    if values.clone().next().is_none() {
        return DataType::Utf8;
    }
    if all(|text| text.parse::<i64>().is_ok()) {
        return DataType::Int64;
    }
    if all(|text| decimal::parse_i128(text.as_bytes(), 38, 18).is_ok() && !text.contains(['e', 'E'])) {
        let scale = values.map(|text| text.split_once('.').map_or(0, |(_, digits)| digits.len())).max().unwrap_or(0);
        return types::decimal(38, scale.min(18) as i8);
    }
    if all(|text| matches!(text, "true" | "false")) {
        return DataType::Boolean;
    }
    if all(|text| text.len() > 10 && parse_iso8601(text).is_some()) {
        return types::TIMESTAMP;
    }
    DataType::Utf8
}

/// The type that SQL writes so, and whether it is JSON.
fn parse_type(text: &str) -> Result<(DataType, bool), String> {
    let wrong = || format!("'{text}' is no type");
    let upper = text.trim().to_ascii_uppercase();
    let (name, arguments) = match upper.find(['(', '<']) {
        Some(at) => {
            let inner = text.trim()[at + 1..].strip_suffix([')', '>']).ok_or_else(wrong)?;
            (upper[..at].trim(), Some(inner))
        }
        None => (upper.as_str(), None),
    };
    let plain = match (name, arguments) {
        ("BOOLEAN", None) => DataType::Boolean,
        ("TINYINT", None) => DataType::Int8,
        ("SMALLINT", None) => DataType::Int16,
        ("INT" | "INTEGER", None) => DataType::Int32,
        ("BIGINT", None) => DataType::Int64,
        ("TINYINT UNSIGNED", None) => DataType::UInt8,
        ("SMALLINT UNSIGNED", None) => DataType::UInt16,
        ("INT UNSIGNED", None) => DataType::UInt32,
        ("BIGINT UNSIGNED", None) => DataType::UInt64,
        ("REAL", None) => DataType::Float32,
        ("DOUBLE", None) => DataType::Float64,
        ("STRING" | "TEXT" | "VARCHAR", _) => DataType::Utf8,
        ("BYTES", None) => DataType::Binary,
        ("DATE", None) => DataType::Date32,
        ("TIME", None) => types::TIME,
        ("TIMESTAMP", None) => types::TIMESTAMP,
        ("TIMESTAMP", Some("9")) => types::TIMESTAMP_NANOS,
        ("INTERVAL", None) => types::INTERVAL,
        ("JSON", None) => return Ok((DataType::Utf8, true)),
        ("DECIMAL", Some(arguments)) => {
            let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
            let precision = precision.trim().parse().map_err(|_| wrong())?;
            types::decimal(precision, scale.trim().parse().map_err(|_| wrong())?)
        }
        ("ARRAY", Some(element)) => types::array(parse_type(element)?.0),
        ("MAP", Some(arguments)) => match split_arguments(arguments).as_slice() {
            [key, value] => types::map(parse_type(key)?.0, parse_type(value)?.0),
            _ => return Err(wrong()),
        },
        ("STRUCT", Some(arguments)) => {
            let field = |part: &&str| {
                let (name, of) = part.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
                parse_type(of).map(|(data_type, json)| field_of(name, data_type, json))
            };
            DataType::Struct(split_arguments(arguments).iter().map(field).collect::<Result<Fields, _>>()?)
        }
        _ => return Err(wrong()),
    };
    Ok((plain, false))
}

/// Splits at commas that stand outside brackets.
fn split_arguments(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'<' => depth += 1,
            b')' | b'>' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::StringArray;

    #[test]
    fn rows_by_schema() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("symbol", DataType::Utf8, true),
            Field::new("price", types::decimal(18, 4), true),
            Field::new("ts", types::TIMESTAMP, true),
        ]));
        let text = "TS price symbol -- any order\n59000 1.10 A\n-D 00:01:00.5 NULL \"a b\"\n---\n2024-01-31T10:00:00+01:00 -0.05 NULL";
        let batches = parse(text, &schema).unwrap();
        assert_eq!(
            print(&batches),
            "   symbol price   ts\n\
             +I A      1.1000  1970-01-01T00:00:59Z\n\
             -D \"a b\"  NULL    1970-01-01T00:01:00.500Z\n\
             ---\n\
             +I NULL   -0.0500 2024-01-31T09:00:00Z\n"
        );
        let again = parse(&print(&batches), &schema).unwrap();
        assert_eq!(again.len(), 2);
        assert!(again.iter().zip(&batches).all(|(a, b)| a.columns == b.columns && a.kinds == b.kinds));
        let plain = parse("+I A 1.1500 59000\nts 2 1", &schema).unwrap();
        assert_eq!(plain[0].rows(), 2);
    }

    #[test]
    fn rows_with_their_own_types() {
        let (schema, batches) = parse_untyped(
            "id n:DECIMAL(40,1) flag at tags:ARRAY<BIGINT> doc:JSON \"who:STRUCT<name STRING, ages MAP<STRING,INT>>\" b:BYTES i:INTERVAL\n\
             1 2.5 true 2024-01-31T10:00:00Z [1, null] {\"a\": 1.50} {\"name\":\"x y\",\"ages\":{\"k\":3}} 0x00ff P1Y2DT1.5S\n\
             NULL NULL NULL NULL NULL NULL NULL NULL NULL\n",
        )
        .unwrap();
        let names: Vec<_> = schema.fields().iter().map(|field| types::sql_name_of(field)).collect();
        assert_eq!(
            names,
            [
                "BIGINT",
                "DECIMAL(40,1)",
                "BOOLEAN",
                "TIMESTAMP",
                "ARRAY<BIGINT>",
                "JSON",
                "STRUCT<name STRING, ages MAP<STRING, INT>>",
                "BYTES",
                "INTERVAL"
            ]
        );
        let printed = print(&batches);
        assert!(printed.contains(r#"{"name":"x y","ages":{"k":3}}"#), "{printed}");
        assert!(printed.contains("P1Y2DT1.5S"), "{printed}");
        let again = parse(&printed, &schema).unwrap();
        assert_eq!(again[0].columns, batches[0].columns);
    }

    #[test]
    fn kinds_without_a_header() {
        let (schema, batches) = parse_untyped("+I a 1\n-U a 1.5\n+U a 2").unwrap();
        assert_eq!(schema.field(0).name(), "c1");
        assert_eq!(print(&batches), "   c1 c2\n+I a  1.0\n-U a  1.5\n+U a  2.0\n");
    }

    #[test]
    fn text_that_needs_quotes() {
        let values = ["", "NULL", "+I", "--x", "a\"b\\", "tab\there", "line\nend", "[1]", "a--b", "-5"];
        let array = StringArray::from(values.to_vec());
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, true)]));
        let batch = Batch::new(RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(array)]).unwrap());
        let again = parse(&print(std::slice::from_ref(&batch)), &schema).unwrap();
        assert_eq!(again[0].columns, batch.columns);
    }

    #[test]
    fn mistakes_have_their_line() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("price", types::decimal(6, 2), true),
            Field::new("day", DataType::Date32, true),
        ]));
        let message = |text: &str| parse(text, &schema).unwrap_err().to_string();
        assert_eq!(
            message("1.50 2024-01-31\n\n1.505 2024-01-31"),
            "line 3: column 'price': '1.505' has more than 2 digits behind the point"
        );
        assert_eq!(message("1 2024-02-30"), "line 1: column 'day': '2024-02-30' is no date such as 2024-01-31");
        assert_eq!(message("1"), "line 1: 2 values were expected, and there are 1");
        assert_eq!(message("price cost\n1 1"), "line 1: column 'price': 'price' is no DECIMAL(6,2)");
        assert!(message("99999 2024-01-01").contains("does not fit"));
        assert!(message("\"1 2").contains("no closing quote"));
    }
}
