//! Every file of csv-spectrum equals its expected records; every dirty file of DuckDB's tests is read rightly or reported with
//! its line. What comes of each is in `data/dirty_csv.txt`.

use std::fmt::Write;
use std::path::PathBuf;

use arrow_schema::SchemaRef;
use expect_test::expect_file;
use serde_json::Value;

use super::{read, texts};

fn data(path: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn csv_spectrum_equals_its_expected_records() {
    for name in [
        "comma_in_quotes",
        "empty",
        "empty_crlf",
        "escaped_quotes",
        "json",
        "location_coordinates",
        "newlines",
        "newlines_crlf",
        "quotes_and_newlines",
        "simple",
        "simple_crlf",
        "utf8",
    ] {
        let mut file = data(&format!("csv-spectrum/{name}.csv"));
        let mut expected: Value = serde_json::from_slice(&data(&format!("csv-spectrum/{name}.json"))).unwrap();
        if name.ends_with("_crlf") && !file.contains(&b'\r') {
            // The repository keeps them with line feeds only.
            file = String::from_utf8(file).unwrap().replace('\n', "\r\n").into_bytes();
        }
        if name == "location_coordinates" {
            // Its expected record is no list, and has another telephone number than the file.
            expected["Contact Phone Number"] = "2095257564".into();
            expected = Value::Array(vec![expected]);
        }
        let records = expected.as_array().unwrap();
        let columns = records[0].as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
        let rows = read(&file, &[], Some(texts(&columns)));
        let rows = rows.iter().map(|row| row.split_once(": ").unwrap().1).collect::<Vec<_>>();
        let expected = records.iter().map(|record| {
            let values = columns.iter().map(|column| format!("{:?}", record[column].as_str().unwrap()));
            values.collect::<Vec<_>>().join(" | ")
        });
        assert_eq!(rows, expected.collect::<Vec<_>>(), "{name}");
    }
}

type Case = (&'static str, &'static [(&'static str, &'static str)], Option<SchemaRef>);

fn cases() -> Vec<Case> {
    const NO_HEADER: (&str, &str) = ("csv.header", "false");
    const SEMICOLON: (&str, &str) = ("csv.delimiter", ";");
    const PIPE: (&str, &str) = ("csv.delimiter", "|");
    const HASH: (&str, &str) = ("csv.comment", "#");
    vec![
        ("15473_timestamp", &[], None),
        ("15473_timestamp", &[], Some(super::schema(&[("a", velo_core::types::TIMESTAMP)]))),
        ("auto__backslash_escape", &[NO_HEADER, PIPE, ("csv.escape", "\\")], None),
        ("auto__backslash_escape", &[NO_HEADER, PIPE], None),
        ("auto__duplicate_header_collision", &[], None),
        ("auto__duplicate_header_columns", &[], None),
        ("auto__empty_header", &[], None),
        ("auto__missing_header_col", &[], None),
        ("auto__missing_many_col", &[], None),
        ("auto__multi_column_string_r", &[NO_HEADER, PIPE], Some(texts(&["a", "b", "c", "d"]))),
        ("auto__multi_column_string_r_n", &[NO_HEADER, PIPE], None),
        ("auto__pipe_delim_quote", &[NO_HEADER, PIPE], None),
        ("auto__semicolon_escape", &[NO_HEADER, SEMICOLON], None),
        ("auto__semicolon_quote", &[NO_HEADER, SEMICOLON], None),
        ("auto__tab_single_quote", &[NO_HEADER, ("csv.delimiter", "\\t"), ("csv.quote", "'")], None),
        ("auto__time_date_timestamp", &[], None),
        ("auto__time_date_timestamp_dd-mm-yyyy", &[], None),
        ("auto__time_date_timestamp_mm-dd-yyyy", &[], None),
        ("auto__time_date_timestamp_yyyy.mm.dd", &[], None),
        ("auto__utf8bom", &[], None),
        ("comma_decimal_null", &[], None),
        ("comments__invalid_rows", &[HASH, SEMICOLON, ("csv.skip_lines", "5")], None),
        ("comments__mid_line_quote", &[HASH, SEMICOLON], None),
        ("comments__simple", &[HASH, SEMICOLON], None),
        ("conflict_timestamp", &[SEMICOLON], None),
        ("csv_quoted_newline_odd", &[], None),
        ("dates_special_format", &[NO_HEADER], None),
        ("decimal_separators__decimal_separators", &[SEMICOLON], None),
        ("encodings__latin1", &[("csv.encoding", "latin1")], None),
        ("encodings__latin1", &[], Some(texts(&["name", "age"]))),
        ("encodings__shift_jis", &[("csv.encoding", "shift_jis")], None),
        ("encodings__utf16", &[("csv.encoding", "utf-16")], None),
        ("encodings__utf16", &[], None),
        ("error__banklist", &[("csv.encoding", "windows-1252")], None),
        ("error__banklist", &[], None),
        ("error__mid_null", &[SEMICOLON], None),
        ("error__quotednewlines_cut", &[], None),
        ("null__multiple_nulls", &[("csv.null", "null|none")], None),
        ("null__multiple_nulls", &[], None),
        ("nullbyte", &[PIPE], None),
        ("nullpadding_header", &[("csv.skip_lines", "1")], None),
        ("rejects__dr_who", &[], None),
        (
            "rejects__frankstein__nightmare",
            &[],
            Some(super::schema(&[
                ("a", arrow_schema::DataType::Int64),
                ("b", arrow_schema::DataType::Int64),
                ("c", arrow_schema::DataType::Utf8),
            ])),
        ),
        ("rejects__incorrect_columns__mix_columns", &[], None),
        ("rejects__multiple_errors__cast_and_less_col", &[], None),
        ("rejects__multiple_errors__invalid_utf_cast", &[], None),
        ("rejects__multiple_errors__multiple_errors", &[], None),
        ("rejects__unquoted__basic", &[], None),
        ("rejects__unquoted__unquoted_new_line", &[], None),
        ("test__force_not_null", &[NO_HEADER], None),
        ("thousands_separator__multi_column_quote", &[], None),
    ]
}

#[test]
fn every_dirty_file_is_read_or_reported() {
    let mut out = String::from(
        "For each file and its options: the columns (inferred, or declared), then each row with its line;\n",
    );
    out.push_str("a bad record is line!, the field, what is wrong.\n");
    let mut seen = Vec::new();
    for (name, pairs, declared) in cases() {
        let shown = pairs.iter().map(|(key, value)| format!(" {key}={value}")).collect::<String>();
        let how = if declared.is_some() { ", declared columns" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n== {name}{shown}{how}");
        let rows = read(&data(&format!("duckdb/{name}.csv")), pairs, declared);
        let (head, tail) = if rows.len() > 60 { (8, 4) } else { (rows.len(), 0) };
        let errors = rows
            .iter()
            .skip(head)
            .take(rows.len() - head - tail)
            .filter(|row| row.split(' ').next().is_some_and(|line| line.ends_with('!')));
        let errors = errors.cloned().collect::<Vec<_>>();
        for row in &rows[..head] {
            let _ = writeln!(out, "{row}");
        }
        if tail > 0 {
            let _ = writeln!(out, "… {} more, {} of them bad:", rows.len() - head - tail, errors.len());
            for row in errors.iter().take(6).chain(&rows[rows.len() - tail..]) {
                let _ = writeln!(out, "{row}");
            }
        }
        seen.push(name.to_owned());
    }
    expect_file!["../../data/dirty_csv.txt"].assert_eq(&out);
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/duckdb");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".csv") {
            assert!(seen.iter().any(|other| other == name), "no case for {name}");
        }
    }
}
