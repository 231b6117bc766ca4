//! What is written is read back as the same values.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, SchemaRef};
use velo_core::row_kind::{RowKind, RowKinds};
use velo_core::types::{self, TIMESTAMP, decimal};
use velo_format::Encoder;
use velo_format::csv::{CsvEncodeOptions, CsvEncoder};
use velo_format::fuzz::Random;

use super::{Reading, properties, schema};

fn encoder(schema: &SchemaRef, pairs: &[(&str, &str)], changes: bool) -> CsvEncoder {
    let dialect = properties(pairs).1;
    CsvEncoder::new(schema.clone(), CsvEncodeOptions { dialect, changes, ..CsvEncodeOptions::default() }).unwrap()
}

fn write(batches: &[RecordBatch], pairs: &[(&str, &str)]) -> String {
    let mut encoder = encoder(&batches[0].schema(), pairs, false);
    let mut out = Vec::new();
    encoder.header(&mut out);
    for batch in batches {
        encoder.encode(batch, &mut out).unwrap();
    }
    encoder.footer(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn pair(numbers: Vec<Option<i64>>, texts: Vec<Option<&str>>) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(numbers)), Arc::new(StringArray::from(texts))];
    RecordBatch::try_new(schema(&[("n", DataType::Int64), ("s", DataType::Utf8)]), columns).unwrap()
}

#[test]
fn quotes_only_where_needed() {
    let batch = pair(
        vec![Some(1), None, Some(-3), Some(4), Some(5)],
        vec![Some("plain text"), None, Some(""), Some("a,\"b\"\n"), Some(" blanks ")],
    );
    assert_eq!(
        write(std::slice::from_ref(&batch), &[]),
        "n,s\n1,plain text\n,\n-3,\"\"\n4,\"a,\"\"b\"\"\n\"\n5, blanks \n"
    );
    let other = [("csv.delimiter", ";"), ("csv.escape", "\\"), ("csv.null", "NA"), ("csv.header", "false")];
    let batch = pair(vec![Some(1), None], vec![Some("NA"), Some("a\\\";")]);
    assert_eq!(write(&[batch], &other), "1;\"NA\"\nNA;\"a\\\\\\\";\"\n");
}

#[test]
fn kinds_come_first() {
    let batch = pair(vec![Some(1), Some(1), Some(2), Some(3)], vec![None, Some("b"), None, None]);
    let mut encoder = encoder(&batch.schema(), &[], true);
    let mut out = Vec::new();
    encoder.header(&mut out);
    let kinds = RowKinds::new(RowKind::ALL.to_vec());
    encoder.encode_changes(&batch, Some(&kinds), &mut out).unwrap();
    encoder.encode_changes(&batch.slice(0, 1), None, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "_op,n,s\n+I,1,\n-U,1,b\n+U,2,\n-D,3,\n+I,1,\n");
}

#[test]
fn what_would_not_be_read_back_is_an_error() {
    let off = [("csv.quote", "none")];
    let batch = pair(vec![Some(1)], vec![Some("a,b")]);
    let error = encoder(&batch.schema(), &off, false).encode(&batch, &mut Vec::new()).unwrap_err();
    assert!(error.message.contains("'s'") && error.message.contains("'a,b'"), "{error}");
    let one = pair(vec![None], vec![None]).project(&[0]).unwrap();
    let error = encoder(&one.schema(), &[], false).encode(&one, &mut Vec::new()).unwrap_err();
    assert!(error.message.contains("blank line"), "{error}");
    assert_eq!(write(&[one], &[("csv.null", "NULL")]), "n\nNULL\n");
}

#[test]
fn random_values_come_back() {
    let mut random = Random::new(3);
    let fields = schema(&[
        ("n", DataType::Int64),
        ("s", DataType::Utf8),
        ("d", decimal(18, 4)),
        ("f", DataType::Float64),
        ("t", TIMESTAMP),
        ("nanos", types::TIMESTAMP_NANOS),
        ("day", DataType::Date32),
        ("clock", types::TIME),
        ("b", DataType::Boolean),
        ("bytes", DataType::Binary),
        ("list", types::array(DataType::Utf8)),
    ]);
    let pieces = ["", "a", ",", ";", "\"", "\"\"", "\n", "\r", "\r\n", "\\", " ", "é", "NA", "#", "|"];
    for round in 0..300 {
        let dialects: [&[(&str, &str)]; 4] = [
            &[],
            &[("csv.delimiter", "|"), ("csv.escape", "\\")],
            &[("csv.null", "NA|1"), ("csv.comment", "#")],
            &[("csv.delimiter", "-"), ("csv.quote", "'"), ("csv.header", "false")],
        ];
        let pairs = dialects[round % 4];
        let mut rows = String::new();
        let quote = |text: String| format!("\"{}\"", text.replace('"', "\"\""));
        for _ in 0..random.below(20) {
            let mut text = String::new();
            for _ in 0..random.below(4) {
                text.push_str(pieces[random.below(pieces.len() as u64) as usize]);
            }
            let list = format!("[{:?},null]", "x,\"\u{e9}").replace("\\u{e9}", "é");
            let cells = [
                (random.next() as i64 >> random.below(64)).to_string(),
                quote(text),
                format!("{}.{}", random.below(1000) as i64 - 500, random.below(10_000)),
                format!("{:?}", f64::from_bits(random.next())),
                velo_core::time::iso8601(random.below(2_000_000_000_000_000) as i64),
                "2024-01-31T09:30:00.123456789Z".to_owned(),
                "1969-07-20".to_owned(),
                "23:59:59.000001".to_owned(),
                random.chance(50).to_string(),
                ["", "aGk=", "/+8="][random.below(3) as usize].to_owned(),
                quote(list),
            ];
            let cells = cells.into_iter().map(|cell| match random.chance(10) {
                true => String::new(),
                false if cell.is_empty() => "\"\"".to_owned(),
                false if cell.ends_with("inf") || cell == "NaN" => "1.5".to_owned(),
                false => cell,
            });
            rows.push_str(&(cells.collect::<Vec<_>>().join(",") + "\n"));
        }
        let plain = Reading::new(properties(&[("csv.header", "false")]).1, fields.clone());
        let chunks = plain.chunks(rows.as_bytes(), usize::MAX).unwrap();
        let shown = plain.lines(rows.as_bytes(), usize::MAX);
        assert!(shown.iter().all(|line| !line.contains("! ")), "{shown:?}");
        let batches =
            chunks.iter().flat_map(|chunk| &chunk.batches).map(|batch| batch.columns.clone()).collect::<Vec<_>>();
        if batches.is_empty() {
            continue;
        }
        let written = write(&batches, pairs);
        let again = Reading::new(properties(pairs).1, fields.clone()).chunks(written.as_bytes(), usize::MAX).unwrap();
        let again =
            again.iter().flat_map(|chunk| &chunk.batches).map(|batch| batch.columns.clone()).collect::<Vec<_>>();
        assert_eq!(again, batches, "{written}");
    }
}
