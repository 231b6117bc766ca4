//! Every example of the reference of functions gives what the reference says.

use std::fmt::Write as _;
use std::path::Path;

use velo_core::table_text;
use velo_job::scenario::parse::parse;
use velo_job::scenario::{Mode, Update};
use velo_plan::functions::{Functions, Kind};

use crate::postgres::velo::Velo;

/// The rows of the aggregates' examples, which the reference shows.
const ROWS: &str = "k x d s\na 1 1.50 p\na 2 2.25 q\na 2 0.25 r\na 5 4.00 NULL\n";

#[tokio::test]
async fn examples_give_what_they_say() {
    let functions = Functions::new();
    let velo = Velo::new().await;
    let mut actual = Vec::new();
    for entry in functions.reference().iter().filter(|entry| entry.kind != Kind::Aggregate) {
        for (example, expected) in &entry.examples {
            let value = match velo.evaluate(1, example).await {
                Ok(value) => table_text::value_text(value.as_ref(), 0).unwrap_or_else(|| "NULL".to_owned()),
                Err(error) => format!("error: {error}"),
            };
            actual.push((*example, *expected, value));
        }
    }
    for (example, expected) in functions
        .reference()
        .iter()
        .filter(|entry| entry.kind == Kind::Aggregate)
        .flat_map(|entry| entry.examples.iter().copied())
    {
        actual.push((example, expected, aggregate(example).await));
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../velo-plan/src/functions/reference.txt");
        let mut text = std::fs::read_to_string(&path).unwrap();
        for (example, expected, value) in &actual {
            text = text.replace(&format!("  {example} => {expected}\n"), &format!("  {example} => {value}\n"));
        }
        std::fs::write(&path, text).unwrap();
        return;
    }
    let mut wrong = String::new();
    for (example, expected, value) in actual.iter().filter(|(_, expected, value)| expected != value) {
        let _ = writeln!(wrong, "{example}\n    should be {expected}\n    and is    {value}");
    }
    assert!(wrong.is_empty(), "UPDATE_EXPECT=1 writes them anew:\n{wrong}");
}

/// What an aggregate gives over the rows.
async fn aggregate(example: &str) -> String {
    let scenario = format!(
        "## One\n```sql\nCREATE STREAM t (k STRING, x BIGINT, d DECIMAL(10,2), s STRING) WITH (connector = 'file', path = 't.jsonl');\n\
         CREATE SINK out WITH (connector = 'file', path = 'out.jsonl');\n\
         INSERT INTO out SELECT {example} AS v FROM t GROUP BY k;\n```\n```input t\n{ROWS}```\n```output out\n```\n"
    );
    let file = match parse(Path::new("t.md"), scenario) {
        Ok(file) => file,
        Err(error) => return format!("error: {error}"),
    };
    let verdict = crate::runner().run(&file, &file.scenarios[0], &Mode::default()).await;
    match verdict.updates.as_slice() {
        [Update::Block(_, text)] => {
            let row = text.lines().nth(1).unwrap_or_default().trim_start_matches("+I").trim();
            let cell = table_text::TextTable::cut(row, |_| false);
            match cell.ok().and_then(|table| table.rows.into_iter().next()) {
                Some(row) => row.cells.first().cloned().flatten().unwrap_or_else(|| "NULL".to_owned()),
                None => row.to_owned(),
            }
        }
        _ => format!("error: {:?}", verdict.failures),
    }
}
