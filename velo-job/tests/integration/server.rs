//! PostgreSQL's side, through its own client.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::postgres::{Answer, Case};

const SETTINGS: &str =
    "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'iso_8601'; SET client_encoding = 'UTF8';
SET client_min_messages = error;\n";
/// The rows of the sample as PostgreSQL has them.
const TABLE: &str = "CREATE TEMPORARY TABLE sample (id INT, b1 BOOLEAN, n2 SMALLINT, n4 INT, n8 BIGINT, f8 DOUBLE PRECISION, \
     d4 NUMERIC(18,4), d2 NUMERIC(10,2), s1 TEXT, s2 TEXT, dy DATE, ts TIMESTAMP, ia INT[], js JSONB);
INSERT INTO sample VALUES
 (1, true, 12, 4711, 123456789012, 2.5, 1234.5678, 99.95, 'Hello World', 'abc', '2024-02-29', '2024-02-29 12:34:56.789012', ARRAY[3, 1, 2], '{\"a\": {\"b\": [10, \"x\"]}, \"n\": 1.50}'),
 (2, false, -7, -250, -9876543210, -0.125, -0.0050, -12.50, 'a_b%c', '', '1969-12-31', '1969-12-31 23:59:59.999999', ARRAY[7], '[1, 2.0, null]'),
 (3, NULL, 0, 0, 0, 0, 0.0000, 0.00, '', 'Äpfel ß', '1600-03-01', '1600-02-29 00:00:00', ARRAY[NULL, 5]::INT[], '\"text\"'),
 (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
";

/// Between the columns, and behind each answer.
const COLUMN: char = '\u{1f}';
const ROW: char = '\u{1e}';

/// What the server at `VELO_POSTGRES` (a connection string) says to each case.
pub fn answers(cases: &[Case]) -> Vec<(Case, Answer)> {
    let server = std::env::var("VELO_POSTGRES").expect("VELO_POSTGRES: `cargo xtask integration` sets it");
    let mut script = format!("{SETTINGS}{TABLE}");
    for case in cases {
        let Case { row, expression } = case;
        let _ = writeln!(
            script,
            "SELECT pg_typeof(v), v IS NULL, v FROM (SELECT ({expression}) AS v FROM sample WHERE id = {row}) q;\n\\echo :SQLSTATE{ROW}"
        );
    }
    let mut client = Command::new("psql");
    let separator = format!("--field-separator={COLUMN}");
    client.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]).args([separator, server]);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = client.spawn().expect("psql, which comes with the server");
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(script.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let mut parts = output.split(ROW);
    let answers: Vec<(Case, Answer)> = cases
        .iter()
        .map(|case| (case.clone(), answer(&mut parts).unwrap_or_else(|| panic!("no answer to {}", case.expression))))
        .collect();
    assert_eq!(parts.map(str::trim).collect::<String>(), "", "more answers than questions");
    answers
}

/// A row, or none after an error, and behind it the state in a line of its own.
fn answer<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<Answer> {
    let part = parts.next()?;
    let part = part.strip_prefix('\n').unwrap_or(part);
    let Some((row, _)) = part.rsplit_once('\n') else { return Some(Answer::Error(part.to_owned())) };
    let (kind, rest) = row.split_once(COLUMN)?;
    let (null, text) = rest.split_once(COLUMN)?;
    Some(Answer::Value(kind.to_owned(), (null == "f").then(|| text.to_owned())))
}
