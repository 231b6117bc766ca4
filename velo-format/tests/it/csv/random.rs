//! Random content: the decoder against a reader that goes byte by byte.

use arrow_schema::DataType;
use velo_core::types::{TIMESTAMP, decimal};
use velo_format::csv::Dialect;
use velo_format::fuzz::Random;

use super::{Reading, properties, schema, texts};

/// A record's line and its fields with whether they were quoted, or `None` for a bad one.
type Record = (u64, Option<Vec<(String, bool)>>);

/// A naive reader of records.
fn naive(text: &[u8], delimiter: u8, escape: Option<u8>) -> Vec<Record> {
    let (mut out, mut at, mut line) = (Vec::new(), 0, 1);
    let end_at = |at: usize| {
        at >= text.len() || text[at] == b'\n' || (text[at] == b'\r' && (at + 1 == text.len() || text[at + 1] == b'\n'))
    };
    while at < text.len() {
        let start = line;
        if end_at(at) {
            at += if text[at] == b'\r' { 2 } else { 1 };
            line += 1;
            continue;
        }
        let (mut fields, mut bad) = (Vec::new(), false);
        loop {
            let mut field = Vec::new();
            let quoted = text.get(at) == Some(&b'"');
            if quoted {
                at += 1;
                loop {
                    let (Some(byte), next) = (text.get(at).copied(), text.get(at + 1).copied()) else {
                        bad = true;
                        break;
                    };
                    if Some(byte) == escape && (next == Some(b'"') || next == escape) {
                        field.extend(next);
                        at += 2;
                    } else if byte == b'"' && next == Some(b'"') {
                        field.push(b'"');
                        at += 2;
                    } else if byte == b'"' {
                        at += 1;
                        break;
                    } else {
                        line += u64::from(byte == b'\n');
                        field.push(byte);
                        at += 1;
                    }
                }
                bad |= !end_at(at) && text[at] != delimiter;
            }
            while at < text.len() && text[at] != delimiter && text[at] != b'\n' {
                if !end_at(at) {
                    field.push(text[at]);
                }
                at += 1;
            }
            fields.push((String::from_utf8_lossy(&field).into_owned(), quoted));
            if at >= text.len() || text[at] == b'\n' {
                break;
            }
            at += 1;
        }
        at += 1;
        line += 1;
        out.push((start, (!bad).then_some(fields)));
    }
    out
}

#[test]
fn random_quoted_content_equals_a_naive_reader() {
    let mut random = Random::new(42);
    let pieces =
        ["a", "bc", "\"", "\"\"", ",", "\n", "\r\n", "\\", "\\\"", " ", "é", "0123456789012345678", "\",\"", "\"\n\""];
    for round in 0..3000 {
        let escape = (round % 3 == 0).then_some(b'\\');
        let mut text = String::new();
        for _ in 0..random.below(60) {
            text.push_str(pieces[random.below(pieces.len() as u64) as usize]);
        }
        // A quote left open is cut off by line; the naive reader does not know that rule.
        let records = naive(text.as_bytes(), b',', escape);
        let open = velo_format::csv::Cutter::new(&dialect(escape), 1 << 20).cut(text.as_bytes(), true);
        let whole = matches!(open, velo_format::csv::RecordCut::Records(end) if end == text.len());
        if !whole || records.last().is_some_and(|(_, fields)| fields.is_none()) {
            continue;
        }
        let expected = records.iter().map(|(line, fields)| match fields {
            Some(fields) if fields.len() == 2 => {
                let shown = fields.iter().map(|(text, quoted)| match text.is_empty() && !quoted {
                    true => "NULL".to_owned(),
                    false => format!("{text:?}"),
                });
                format!("{line}: {}", shown.collect::<Vec<_>>().join(" | "))
            }
            _ => format!("{line}!"),
        });
        let expected = expected.collect::<Vec<_>>();
        let mut reading = Reading::new(dialect(escape), texts(&["a", "b"]));
        reading.batch_rows = 1 + random.below(5) as usize;
        for step in [usize::MAX, 1, 1 + random.below(30) as usize] {
            let found = reading.lines(text.as_bytes(), step);
            let found = found.iter().map(|line| match line.split_once("! ") {
                Some((line, _)) if line.bytes().all(|byte| byte.is_ascii_digit()) => format!("{line}!"),
                _ => line.clone(),
            });
            assert_eq!(found.collect::<Vec<_>>(), expected, "{text:?} in steps of {step}");
        }
    }
}

fn dialect(escape: Option<u8>) -> Dialect {
    let escape = if escape.is_some() { "\\" } else { "none" };
    properties(&[("csv.header", "false"), ("csv.escape", escape)]).1
}

/// The fast forms agree with the general ones: each value alone, and as quoted text with a blank before it, which only the
/// general way reads.
#[test]
fn values_do_not_depend_on_their_form() {
    let mut random = Random::new(5);
    let mut values: Vec<String> = [
        "0",
        "-0",
        "00",
        "7",
        "-7",
        "+7",
        "007",
        "1.",
        ".5",
        "-.5",
        "1.5",
        "-1.50",
        "0.00000001",
        "12345678",
        "123456789",
        "12345678.12345678",
        "123456789.1",
        "1.123456789",
        "1.12345678901",
        "99999999.99999999",
        "1e3",
        "1.5e-3",
        "1..5",
        "1.5.5",
        "--1",
        "-",
        ".",
        "123456789012345678",
        "1234567890123456789",
        "9223372036854775807",
        "9223372036854775808",
        "true",
        "false",
        "TRUE",
        "tru",
        "falsey",
        "t",
        "0.1",
        "NaN",
        "2024-01-31T09:30:00Z",
        "2024-01-31 09:30:00",
        "2024-02-30T09:30:00Z",
        "2024-01-31T24:00:00Z",
        "2024-01-31T23:60:00Z",
        "2024-01-31T23:59:60Z",
        "2024-01-31T23:59:59.5Z",
        "2024-01-31T23:59:59.123456Z",
        "2024-01-31T23:59:59.1234567Z",
        "2024-01-31T23:59:59.123456789Z",
        "2024-01-31T23:59:59.",
        "2024-01-31T23:59:59ZZ",
        "2024-01-31T23:59:59+02:00",
        "2024-01-31",
        "1969-12-31T23:59:59.999999Z",
        "2024-01-31t09:30:00z",
        "2024-01-31T09-30-00Z",
        "2024/01/31T09:30:00Z",
        "20a4-01-31T09:30:00Z",
        "2024-01-31T0a:30:00Z",
        "1706693400000",
        "x",
    ]
    .map(str::to_owned)
    .to_vec();
    for _ in 0..2000 {
        let mut text = String::new();
        for _ in 0..=random.below(20) {
            text.push(b"0123456789012345678901234567890.-:TZe"[random.below(37) as usize] as char);
        }
        values.push(text);
    }
    let types = [
        DataType::Int64,
        decimal(18, 4),
        decimal(38, 10),
        decimal(5, 2),
        DataType::Float64,
        DataType::Boolean,
        TIMESTAMP,
        DataType::Utf8,
    ];
    let (_, dialect) = properties(&[("csv.header", "false")]);
    for data_type in types {
        let reading = Reading::new(dialect.clone(), schema(&[("v", data_type.clone()), ("w", data_type.clone())]));
        for value in &values {
            // In front, at the end of the record, and at the end of the text.
            let plain = format!("{value},{value}\n{value},\"{value}\"\r\n\"{value}\",{value}");
            let blank = if data_type == DataType::Utf8 { "" } else { " " };
            let general = format!("\"{blank}{value}\",\"{blank}{value}\"\n").repeat(3);
            let tail = |lines: Vec<String>| {
                let cut = lines.iter().map(|line| line.replace(&format!("'{blank}{value}"), &format!("'{value}")));
                cut.collect::<Vec<_>>()
            };
            let expected = tail(reading.lines(general.as_bytes(), usize::MAX));
            assert_eq!(tail(reading.lines(plain.as_bytes(), usize::MAX)), expected, "{value} as {data_type}");
            let far = format!("{plain}\n,\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n");
            assert_eq!(tail(reading.lines(far.as_bytes(), usize::MAX))[..3], expected[..], "{value} as {data_type}");
        }
    }
}

/// Blocks, batches and bad rows in any mixture.
#[test]
fn many_rows_with_some_bad_ones() {
    let mut random = Random::new(9);
    let (_, dialect) = properties(&[("csv.header", "false")]);
    for batch_rows in [1, 100, 1024, 5000] {
        let mut reading = Reading::new(dialect.clone(), schema(&[("a", DataType::Int64), ("b", DataType::Utf8)]));
        reading.batch_rows = batch_rows;
        let (mut text, mut expected) = (String::new(), Vec::new());
        let mut line = 1;
        for row in 0..4000 {
            match random.below(20) {
                0 => {
                    text.push_str("x,y\n");
                    expected.push(format!("{line}! a: 'x' is no BIGINT"));
                }
                1 => {
                    text.push_str("1,2,3\n");
                    expected.push(format!("{line}! the record has 3 fields, expected 2: '1,2,3'"));
                }
                2 => {
                    text.push_str("5,\"u\nv\"\n");
                    expected.push(format!("{line}: 5 | \"u\\nv\""));
                    line += 1;
                }
                3 => text.push('\n'),
                _ => {
                    text.push_str(&format!("{row},t{row}\n"));
                    expected.push(format!("{line}: {row} | \"t{row}\""));
                }
            }
            line += 1;
        }
        for step in [usize::MAX, 1000, 77] {
            assert_eq!(reading.lines(text.as_bytes(), step), expected);
        }
    }
}
