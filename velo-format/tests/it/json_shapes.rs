//! Records of any shape give what each of their fields gives: whatever shape was learned from others makes no difference.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use bytes::Bytes;
use velo_core::connector::{DecodeColumn, Decoded};
use velo_core::table_text::value_text;
use velo_core::types;
use velo_format::fuzz::{Random, json_lines, origin};
use velo_format::json::{JsonDecodeOptions, JsonDecoder, Layout};
use velo_format::value::ValueFormats;

/// A value as JSON, and as the text that its column then has.
type Made = (String, Option<String>);

fn string(random: &mut Random) -> Made {
    let parts = ["a", "b\"c", "\\", "é", "€", "😀", "\n", "0123456789", " ", "x", "/", "\u{1}"];
    let text: String = (0..random.below(6)).map(|_| parts[random.below(parts.len() as u64) as usize]).collect();
    let json = match random.below(3) {
        // Every character as an escape.
        0 => {
            let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            format!("\"{units}\"")
        }
        _ => serde_json::to_string(&text).unwrap(),
    };
    (json, Some(text))
}

fn plain(random: &mut Random) -> Made {
    let text = format!("SYM{:04}", random.below(1000));
    (format!("\"{text}\""), Some(text))
}

fn decimal(random: &mut Random) -> Made {
    let digits = random.below(9) as u32 + 1;
    let whole = random.below(10_u64.pow(digits));
    let sign = if whole > 0 && random.chance(20) { "-" } else { "" };
    let (text, expected) = match random.below(4) {
        0 => (format!("{sign}{whole}"), format!("{sign}{whole}.0000")),
        1 => {
            let fraction = random.below(10_000);
            (format!("{sign}{whole}.{fraction:04}"), format!("{sign}{whole}.{fraction:04}"))
        }
        2 => (format!("{sign}{whole}.5"), format!("{sign}{whole}.5000")),
        _ => (format!("{sign}{whole}e1"), format!("{sign}{}.0000", u128::from(whole) * 10)),
    };
    let expected = if expected == "-0.0000" { "0.0000".to_owned() } else { expected };
    if random.chance(50) { (format!("\"{text}\""), Some(expected)) } else { (text, Some(expected)) }
}

fn whole(random: &mut Random) -> Made {
    let value = random.next() as i64 >> random.below(64);
    let json = match random.below(4) {
        0 => format!("\"{value}\""),
        1 => format!("{value}.0"),
        _ => value.to_string(),
    };
    (json, Some(value.to_string()))
}

fn timestamp(random: &mut Random) -> Made {
    let micros = random.below(4_000_000_000_000_000) as i64 - 1_000_000_000_000_000;
    let text = velo_core::time::iso8601(micros - if random.chance(50) { micros % 1_000_000 } else { 0 });
    let json = if random.chance(20) { text.replace('Z', "+00:00") } else { text.clone() };
    (format!("\"{json}\""), Some(text))
}

fn truth(random: &mut Random) -> Made {
    let value = random.chance(50).to_string();
    (value.clone(), Some(value))
}

fn unknown(random: &mut Random) -> String {
    ["1", "\"text\"", "[1,{\"price\":\"x\"}]", "{\"id\":[]}", "null", "-1.5e3"][random.below(6) as usize].to_owned()
}

/// What makes a random value.
type Make = fn(&mut Random) -> Made;

const FIELDS: [(&str, Make); 8] = [
    ("symbol", plain),
    ("price", decimal),
    ("id", whole),
    ("text", string),
    ("ts", timestamp),
    ("ok", truth),
    ("inner.price", decimal),
    ("inner.deep.text", string),
];

fn columns(wanted: &[usize]) -> Vec<DecodeColumn> {
    let types = [
        DataType::Utf8,
        types::decimal(38, 4),
        DataType::Int64,
        DataType::Utf8,
        types::TIMESTAMP,
        DataType::Boolean,
        types::decimal(38, 4),
        DataType::Utf8,
    ];
    let column = |at: usize| DecodeColumn {
        field: Arc::new(Field::new(format!("c{at}"), types[at].clone(), true)),
        path: FIELDS[at].0.split('.').map(str::to_owned).collect(),
        exact: false,
        raw: false,
    };
    wanted.iter().map(|at| column(*at)).collect()
}

/// How records differ from each other.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    missing: u64,
    nulls: u64,
    unknown: u64,
    shuffled: u64,
    blanks: u64,
}

fn members(random: &mut Random, shape: Shape, prefix: &str, row: &mut [Option<String>]) -> String {
    let mut members: Vec<(String, String)> = Vec::new();
    for (at, (path, make)) in FIELDS.iter().enumerate() {
        let Some(name) = path.strip_prefix(prefix) else { continue };
        if let Some((object, _)) = name.split_once('.') {
            if members.iter().all(|(name, _)| name != object) && !random.chance(shape.missing) {
                let inner = members_of(random, shape, &format!("{prefix}{object}."), row);
                members.push((object.to_owned(), inner));
            }
            continue;
        }
        if random.chance(shape.missing) {
            continue;
        }
        if random.chance(shape.nulls) {
            members.push((name.to_owned(), "null".to_owned()));
            continue;
        }
        let (json, text) = make(random);
        row[at] = text;
        members.push((name.to_owned(), json));
    }
    if random.chance(shape.unknown) {
        members.push((format!("u{}", random.below(3)), unknown(random)));
    }
    if random.chance(shape.shuffled) {
        for at in 1..members.len() {
            members.swap(at, random.below(at as u64 + 1) as usize);
        }
    }
    let gap = if random.chance(shape.blanks) { " " } else { "" };
    let members: Vec<_> = members.iter().map(|(name, json)| format!("\"{name}\"{gap}:{gap}{json}")).collect();
    format!("{{{gap}{}{gap}}}", members.join(&format!("{gap},{gap}")))
}

fn members_of(random: &mut Random, shape: Shape, prefix: &str, row: &mut [Option<String>]) -> String {
    members(random, shape, prefix, row)
}

fn decode(text: &str, columns: Vec<DecodeColumn>, layout: Layout) -> Decoded {
    let options = JsonDecodeOptions {
        columns,
        declared: None,
        batch_rows: 100,
        keep_bytes: true,
        formats: ValueFormats::default(),
    };
    let decoder = JsonDecoder::new(options).unwrap();
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    // A second time with what was learned by the first.
    let first = decoder.decode_bytes(&bytes, &origin(1), layout).unwrap();
    let second = decoder.decode_bytes(&bytes, &origin(1), layout).unwrap();
    assert_eq!(rows(&first), rows(&second));
    assert_eq!(first.errors, second.errors);
    assert_eq!(first.unknown_fields, second.unknown_fields);
    second
}

fn rows(decoded: &Decoded) -> Vec<Vec<Option<String>>> {
    let mut rows = Vec::new();
    for batch in &decoded.batches {
        let columns = batch.columns.columns();
        rows.extend(
            (0..batch.rows()).map(|row| columns.iter().map(|column| value_text(column.as_ref(), row)).collect()),
        );
    }
    rows
}

#[test]
fn any_shape_gives_the_same_values() {
    let shapes = [
        Shape::default(),
        Shape { missing: 10, ..Shape::default() },
        Shape { nulls: 10, ..Shape::default() },
        Shape { unknown: 30, ..Shape::default() },
        Shape { shuffled: 100, ..Shape::default() },
        Shape { blanks: 20, ..Shape::default() },
        Shape { missing: 5, nulls: 5, unknown: 20, shuffled: 5, blanks: 5 },
        Shape { missing: 50, nulls: 30, unknown: 50, shuffled: 50, blanks: 50 },
    ];
    let wanted: [&[usize]; 6] = [&[0, 1, 2, 3, 4, 5, 6, 7], &[1], &[2, 0], &[6], &[7, 5], &[]];
    for (seed, shape) in shapes.into_iter().enumerate() {
        for wanted in wanted {
            let mut random = Random::new(seed as u64 + 1);
            let mut expected = Vec::new();
            let mut lines = Vec::new();
            for _ in 0..700 {
                let mut row = vec![None; FIELDS.len()];
                lines.push(members(&mut random, shape, "", &mut row));
                expected.push(wanted.iter().map(|at| row[*at].clone()).collect::<Vec<_>>());
            }
            let text = lines.join("\n");
            let decoded = decode(&text, columns(wanted), Layout::Lines);
            assert_eq!(decoded.errors, vec![]);
            assert_eq!(rows(&decoded), expected, "{shape:?}");
            for (row, range) in decoded.row_bytes.iter().enumerate() {
                assert_eq!(text[range.clone()].trim(), lines[row].trim());
            }
            let array = decode(&lines.join(",\n"), columns(wanted), Layout::Elements);
            assert_eq!(rows(&array), expected, "{shape:?}");
        }
    }
}

#[test]
fn bad_records_cost_only_themselves() {
    let mut random = Random::new(99);
    let (mut expected, mut lines, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for line in 0..3000 {
        let mut row = vec![None; FIELDS.len()];
        let shape = Shape { missing: 3, unknown: 3, ..Shape::default() };
        let mut text = members(&mut random, shape, "", &mut row);
        if random.chance(5) {
            let at = random.below(text.len() as u64) as usize;
            text = text.chars().take(at).collect();
            if text.is_empty() {
                text.push('x');
            }
            bad.push((line + 1, text.clone(), expected.len()));
        } else if random.chance(2) {
            text.clear();
        } else {
            expected.push(row);
        }
        lines.push(text);
    }
    let decoded = decode(&lines.join("\r\n"), columns(&[0, 1, 2, 3, 4, 5, 6, 7]), Layout::Lines);
    assert_eq!(rows(&decoded), expected);
    let errors: Vec<_> = decoded
        .errors
        .iter()
        .map(|error| {
            let line = error.place.to_string().rsplit(':').next().unwrap().parse::<u64>().unwrap();
            (line, String::from_utf8(error.bytes.as_ref().unwrap().to_vec()).unwrap(), error.after_rows)
        })
        .collect();
    assert_eq!(errors, bad);
    // Each row's place is its line.
    let places: Vec<u64> = decoded
        .batches
        .iter()
        .flat_map(|batch| (0..batch.rows()).map(|row| batch.origin.as_ref().unwrap().position(row)))
        .collect();
    let good: Vec<u64> = (1..=3000)
        .filter(|line| !lines[*line as usize - 1].is_empty() && bad.iter().all(|(bad, ..)| bad != line))
        .collect();
    assert_eq!(places, good);
}

#[test]
fn each_line_is_as_it_is_alone() {
    let mut random = Random::new(5);
    let seeds = [
        r#"{"a":"x","b":12,"c":"1.25","d":1.5,"e":"2024-01-01T00:00:00Z","f":[1,2],"g":{"h":true},"i":{"k":"v"},"j":{"x":[1]}}"#,
        r#"{"a":"y","b":13,"c":7,"d":-2,"e":null,"z":1}"#,
        r#"{"B":1,"b":2,"A":"q"}"#,
    ];
    let letters = b"\"\\{}[]:,.e-019 \ttn\x80/\nabgB";
    for _ in 0..300 {
        let mut text = Vec::new();
        for _ in 0..30 {
            let mut line = seeds[if random.chance(70) { 0 } else { random.below(3) as usize }].as_bytes().to_vec();
            if random.chance(30) {
                let at = random.below(line.len() as u64) as usize;
                let letter = letters[random.below(letters.len() as u64) as usize];
                match random.below(3) {
                    0 => line[at] = letter,
                    1 => line.insert(at, letter),
                    _ => drop(line.remove(at)),
                }
            }
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        json_lines(&text);
    }
}
