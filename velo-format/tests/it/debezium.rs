//! Debezium's envelopes: which rows of which kinds come of them, how values are read, and what is said where none can.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use velo_core::connector::{DecodeColumn, Decoded};
use velo_core::table_text::value_text;
use velo_core::{RowKind, types};
use velo_format::debezium::{DebeziumDecoder, infer_debezium};
use velo_format::fuzz::{Random, origin};
use velo_format::infer::Sample;
use velo_format::json::{JsonDecodeOptions, Layout};
use velo_format::properties::JsonLayout;
use velo_format::value::{EpochUnit, TimestampFormat, ValueFormats};

fn column(name: &str, data_type: DataType) -> DecodeColumn {
    let path = name.split('.').map(str::to_owned).collect();
    DecodeColumn { field: Arc::new(Field::new(name, data_type, true)), path, exact: false, raw: false }
}

fn raw(name: &str) -> DecodeColumn {
    DecodeColumn { raw: true, ..column(name, DataType::Utf8) }
}

fn options(columns: Vec<DecodeColumn>) -> JsonDecodeOptions {
    let formats = ValueFormats::default();
    JsonDecodeOptions { columns, declared: None, batch_rows: 8192, keep_bytes: true, formats }
}

fn decode_by(options: JsonDecodeOptions, text: &str, layout: Layout) -> Decoded {
    let decoder = DebeziumDecoder::new(options).unwrap();
    decoder.decode_bytes(&Bytes::copy_from_slice(text.as_bytes()), &origin(1), layout).unwrap()
}

/// Rows with their kinds and lines, and errors, in order.
fn show(decoded: &Decoded) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in &decoded.batches {
        for row in 0..batch.rows() {
            let kind = batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]);
            let values = batch.columns.columns().iter();
            let values = values.map(|column| value_text(column.as_ref(), row).unwrap_or_else(|| "NULL".to_owned()));
            let line = batch.origin.as_ref().unwrap().position(row);
            rows.push(format!("{line} {} {}", kind.symbol(), values.collect::<Vec<_>>().join(" ")));
        }
    }
    assert_eq!(decoded.row_bytes.len(), rows.len(), "the bytes of every row");
    for (added, error) in decoded.errors.iter().enumerate() {
        let field = error.field.as_deref().unwrap_or("");
        rows.insert(error.after_rows + added, format!("{}: {field}: {}", error.place, error.message));
    }
    rows
}

fn rows(columns: Vec<DecodeColumn>, text: &str) -> Vec<String> {
    show(&decode_by(options(columns), text, Layout::Lines))
}

fn two() -> Vec<DecodeColumn> {
    vec![column("id", DataType::Int64), column("name", DataType::Utf8)]
}

/// The only line's only error.
fn error(columns: Vec<DecodeColumn>, text: &str) -> String {
    let rows = rows(columns, text);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].strip_prefix("fuzz.jsonl:1: ").unwrap_or(&rows[0]).to_owned()
}

#[test]
fn what_happened_becomes_rows() {
    let text = r#"{"before":null,"after":{"id":1,"name":"a"},"source":{"ts_ms":5,"db":"x"},"op":"c","ts_ms":7}
{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}

null
{"op":"r","after":{"name":"r","id":2}}
{"schema":null,"payload":null}
{"payload":{"before":{"id":1,"name":"b"},"after":null,"op":"d"}}
"#;
    let expected = ["1 +I 1 a", "2 -U 1 a", "2 +U 1 b", "5 +I 2 r", "7 -D 1 b"];
    assert_eq!(rows(two(), text), expected);
    // The elements of an array, over any lines.
    let elements = text.trim().lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(",");
    let decoded = decode_by(options(two()), &elements, Layout::Elements);
    assert_eq!(show(&decoded), ["1 +I 1 a", "1 -U 1 a", "1 +U 1 b", "1 +I 2 r", "1 -D 1 b"]);
    assert_eq!(decoded.row_bytes[1], decoded.row_bytes[2], "both halves come from one record");
    assert!(elements[decoded.row_bytes[1].clone()].starts_with(r#"{"before":{"id":1"#));
}

#[test]
fn both_halves_of_an_update_are_in_one_batch() {
    let update = r#"{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}"#;
    let insert = r#"{"after":{"id":2,"name":"c"},"op":"c"}"#;
    let text = format!("{insert}\n{update}\n{update}\n{insert}\n{insert}\n{update}\n");
    let whole = rows(two(), &text);
    for batch_rows in [1, 2, 3, 4] {
        let decoded = decode_by(JsonDecodeOptions { batch_rows, ..options(two()) }, &text, Layout::Lines);
        assert_eq!(show(&decoded), whole, "{batch_rows}");
        for batch in &decoded.batches {
            assert!(batch.rows() <= batch_rows.max(2), "{} of {batch_rows}", batch.rows());
            if let Some(kinds) = &batch.kinds {
                assert_eq!(kinds, &kinds.paired(), "{batch_rows}");
            }
        }
    }
}

#[test]
fn an_update_with_a_bad_half_is_no_row_at_all() {
    let text = r#"{"before":{"id":1,"name":"a"},"after":{"id":"x","name":"b"},"op":"u"}
{"after":{"id":2,"name":"c"},"op":"c"}
{"before":{"id":1.5,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}
"#;
    let found = rows(two(), text);
    let expected = [
        "fuzz.jsonl:1: after.id: 'x' is no BIGINT",
        "2 +I 2 c",
        "fuzz.jsonl:3: before.id: '1.5' is no BIGINT: it has a fraction",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    let cases = [
        (r#"{"id":1}"#, "op: it is missing: the record is no envelope of Debezium; is 'format' = 'json' meant?"),
        (r#"{"payload":{"id":1}}"#, "op: it is missing: the record is no envelope"),
        (r#"{"after":{"id":1}}"#, "op: it is missing or null"),
        (
            r#"{"before":null,"after":{"id":1},"op":"u"}"#,
            "before: an update without the row as it was cannot be applied",
        ),
        (r#"{"before":null,"after":{"id":1},"op":"u"}"#, "REPLICA IDENTITY FULL"),
        (r#"{"before":null,"op":"d"}"#, "before: a delete without the row as it was"),
        (r#"{"before":null,"after":null,"op":"c"}"#, "after: the row as it is now is missing"),
        (r#"{"before":{"id":1},"after":null,"op":"u"}"#, "after: the row as it is now is missing"),
        (r#"{"before":null,"after":null,"op":"t"}"#, "op: the table was emptied (TRUNCATE)"),
        (r#"{"op":"m","message":{"content":"aGk="}}"#, "op: 'm' is a message of an application"),
        (r#"{"op":"x","after":{"id":1}}"#, "op: 'x' is none of c, r, u, d, t"),
        (r#"{"op":5,"after":{"id":1}}"#, "op: '5' is not a text"),
        (r#"{"op":"c","after":[1]}"#, "after: '[1]' is not an object or null"),
        (r#"{"op":"c","op":"d","after":{"id":1}}"#, "op: the field 'op' occurs twice"),
        (r#"{"op":"c","after":{"id":1,"id":2}}"#, "after.id: the field 'id' occurs twice"),
        (
            r#"{"op":"c","after":{"id":1}"#,
            ": not valid JSON: expected ',' or '}' at byte 27, found the end of the line",
        ),
        (r#"[{"op":"c"}]"#, "a record must be a JSON object"),
        ("5", "a record must be a JSON object"),
        ("nul", "not valid JSON: expected a value"),
        (
            r#"{"op":"c","after":{"id":1,"name":"__debezium_unavailable_value"}}"#,
            "after.name: the database did not send the value",
        ),
    ];
    for (text, expected) in cases {
        let found = error(two(), text);
        assert!(found.contains(expected), "{text}: {found}");
    }
    // What no column needs may be missing.
    let only = rows(
        vec![column("id", DataType::Int64)],
        r#"{"op":"c","after":{"id":1,"name":"__debezium_unavailable_value"}}"#,
    );
    assert_eq!(only, ["1 +I 1"]);
    let times = |data_type| error(vec![column("t", data_type)], r#"{"op":"c","after":{"t":1595008822123}}"#);
    assert!(times(types::TIMESTAMP).ends_with("'timestamp.format' = 'epoch_micros' (or epoch_millis, epoch_nanos)"));
    assert!(times(types::TIME).contains("say what numbers are"));
    let base64 = error(vec![column("d", types::decimal(10, 2))], r#"{"op":"c","after":{"d":"EtaH"}}"#);
    assert!(base64.contains("decimal.handling.mode"), "{base64}");
    let path = DebeziumDecoder::new(options(vec![raw("after.at")])).unwrap_err();
    assert!(path.to_string().contains("write 'at'"), "{path}");
}

#[test]
fn times_by_the_unit_that_is_set() {
    let columns = || {
        vec![
            column("d", DataType::Date32),
            column("t", types::TIME),
            column("ts", types::TIMESTAMP),
            column("z", types::TIMESTAMP),
            column("j", DataType::Utf8),
        ]
    };
    let text =
        r#"{"op":"c","after":{"d":-1,"t":64822000000,"ts":1595008822123456,"z":"2020-07-17T18:00:22Z","j":null}}"#;
    let formats = ValueFormats { timestamp: TimestampFormat::Epoch(EpochUnit::Micros) };
    let decoded = decode_by(JsonDecodeOptions { formats, ..options(columns()) }, text, Layout::Lines);
    let expected = "1 +I 1969-12-31 18:00:22 2020-07-17T18:00:22.123456Z 2020-07-17T18:00:22Z NULL";
    assert_eq!(show(&decoded), [expected]);
    let late = r#"{"op":"c","after":{"t":86400000000}}"#;
    let formats = ValueFormats { timestamp: TimestampFormat::Epoch(EpochUnit::Micros) };
    let decoded =
        decode_by(JsonDecodeOptions { formats, ..options(vec![column("t", types::TIME)]) }, late, Layout::Lines);
    assert!(show(&decoded)[0].contains("out of range"), "no TIME is a whole day");
}

#[test]
fn the_schema_says_what_values_are() {
    let text = include_str!("../data/debezium/mysql_all_types.jsonl");
    let columns = vec![
        column("decimal_c", types::decimal(18, 2)),
        column("numeric_c", types::decimal(6, 0)),
        column("date_c", DataType::Date32),
        column("time_c", types::TIME),
        column("datetime3_c", types::TIMESTAMP),
        column("datetime6_c", types::TIMESTAMP),
        column("timestamp_c", types::TIMESTAMP),
        DecodeColumn { field: Arc::new(types::json_field("json_c", true)), ..column("json_c", DataType::Utf8) },
        column("file_uuid", DataType::Binary),
    ];
    // The vendor's own reading of the row, from the same record without base64: 123.4567, 346, 2020-07-17, 18:00:22 …
    let row =
        "123.46 346 2020-07-17 18:00:22 2020-07-17T18:00:22.123Z 2020-07-17T18:00:22.123456Z 2020-07-17T18:00:22Z";
    let found = rows(columns.clone(), text);
    assert_eq!(found.len(), 3);
    // The update is one of the last time.
    let updated = row.replace("T18:00:22Z", "T18:33:22Z");
    for (found, (kind, row)) in found.iter().zip([("1 +I", row), ("2 -U", row), ("2 +U", updated.as_str())]) {
        assert!(found.starts_with(&format!("{kind} {row} {{\"key1\":")), "{found}");
        assert!(found.ends_with("} 0x651aed08390f4893b2f136923e7b7400"), "{found}");
    }
    // Behind a record with a schema comes one without.
    let bare = r#"{"op":"c","after":{"decimal_c":"7.125","datetime3_c":1}}"#;
    let mixed = format!("{text}{bare}\n{}", text.lines().next().unwrap());
    let found = rows(columns[..1].to_vec(), &mixed);
    assert_eq!(found, ["1 +I 123.46", "2 -U 123.46", "2 +U 123.46", "3 +I 7.13", "4 +I 123.46"]);
    assert!(rows(columns[4..5].to_vec(), bare)[0].contains("say what numbers are"));
}

#[test]
fn decimals_with_a_scale_of_their_own() {
    let schema = r#"{"type":"struct","fields":[{"field":"after","type":"struct","fields":[
        {"field":"v","type":"struct","name":"io.debezium.data.VariableScaleDecimal"}]}]}"#
        .replace('\n', "");
    let record = |value: &str| format!(r#"{{"schema":{schema},"payload":{{"op":"c","after":{{"v":{value}}}}}}}"#);
    let text = [r#"{"scale":3,"value":"EtaH"}"#, r#"{"value":"/w==","scale":0}"#, "null", r#"{"value":"AQ=="}"#];
    let text = text.map(record).join("\n");
    let found = rows(vec![column("v", types::decimal(18, 3))], &text);
    assert_eq!(found[..3], ["1 +I 1234.567", "2 +I -1.000", "3 +I NULL"]);
    assert!(found[3].starts_with("fuzz.jsonl:4: after.v:"), "{found:?}");
}

#[test]
fn fields_of_the_envelope() {
    let text = r#"{"before":{"id":1},"after":{"id":2},"source":{"ts_ms":5,"db":"x"},"op":"u","ts_ms":7}
{"payload":{"after":{"id":3},"source":{"db":"y"},"op":"c","ts_ms":8}}
{"after":{"id":4},"source":null,"op":"c"}
"#;
    let columns = vec![column("id", DataType::Int64), raw("source.ts_ms"), raw("ts_ms"), raw("payload.source.db")];
    let expected = ["1 -U 1 5 7 x", "1 +U 2 5 7 x", "2 +I 3 NULL 8 y", "3 +I 4 NULL NULL NULL"];
    assert_eq!(rows(columns.clone(), text), expected);
    // A column that is declared under such a name is one of the row.
    let declared = Arc::new(Schema::new(vec![Field::new("ts_ms", DataType::Int64, true)]));
    let own = JsonDecodeOptions { declared: Some(declared), ..options(vec![raw("ts_ms")]) };
    let decoded = decode_by(own, r#"{"after":{"ts_ms":1},"op":"c","ts_ms":7}"#, Layout::Lines);
    assert_eq!(show(&decoded), ["1 +I 1"]);
    let bad = error(columns, r#"{"after":{"id":4},"source":3,"op":"c"}"#);
    assert!(bad.starts_with("source: '3' is no object"), "{bad}");
}

#[test]
fn columns_by_inference() {
    let infer = |text: &str| {
        let sample = Sample { bytes: text.as_bytes(), complete: true, records: 100 };
        let schema = infer_debezium(sample, JsonLayout::Auto, &ValueFormats::default());
        schema.map(|schema| {
            let fields = schema.fields().iter();
            fields.map(|field| format!("{} {}", field.name(), types::sql_name_of(field))).collect::<Vec<_>>().join(", ")
        })
    };
    let bare = "{\"before\":null,\"after\":{\"id\":1,\"p\":1.25},\"op\":\"c\"}\nnull\n\
                {\"payload\":{\"before\":{\"id\":1,\"p\":1.5,\"s\":\"x\"},\"op\":\"d\"}}\n{\"x\":1}\nbad\n";
    assert_eq!(infer(bare).unwrap(), "id BIGINT, p DECIMAL(38,2), s STRING");
    let array = "[{\"after\":{\"id\":1},\"op\":\"c\"},\n {\"before\":{\"id\":\"x\"},\"op\":\"d\"}]";
    assert_eq!(infer(array).unwrap(), "id STRING");
    assert!(infer("{\"id\":1}\n").unwrap_err().to_string().contains("no row in an envelope"));
    let schema = infer(include_str!("../data/debezium/mysql_all_types.jsonl")).unwrap();
    for column in [
        "id INT",
        "tiny_c SMALLINT",
        "big_c BIGINT",
        "real_c REAL",
        "decimal_c DECIMAL(8,4)",
        "date_c DATE",
        "time_c TIME",
        "datetime3_c TIMESTAMP",
        "timestamp_c TIMESTAMP",
        "file_uuid BYTES",
        "text_c STRING",
    ] {
        assert!(schema.contains(column), "{column}: {schema}");
    }
}

#[test]
fn any_batches_and_any_neighbours_give_the_same() {
    let mut random = Random::new(11);
    for _ in 0..60 {
        let image = |random: &mut Random| {
            let mut fields = vec![format!("\"id\":{}", random.below(9)), format!("\"name\":\"n{}\"", random.below(3))];
            if random.chance(10) {
                fields.swap(0, 1);
            }
            if random.chance(10) {
                fields.push("\"more\":[1,{\"a\":2}]".to_owned());
            }
            if random.chance(5) {
                fields.remove(0);
            }
            match random.below(20) {
                0 => "null".to_owned(),
                1 => "{\"id\":\"bad\"}".to_owned(),
                _ => format!("{{{}}}", fields.join(",")),
            }
        };
        let lines: Vec<String> = (0..random.below(40))
            .map(|_| {
                let op = ["c", "u", "d", "r", "t", "u"][random.below(6) as usize];
                let (before, after) = (image(&mut random), image(&mut random));
                let time = random.below(100);
                let envelope = format!(
                    "{{\"before\":{before},\"after\":{after},\"source\":{{\"ts_ms\":{time}}},\"op\":\"{op}\"}}"
                );
                if random.chance(20) { format!("{{\"payload\":{envelope}}}") } else { envelope }
            })
            .collect();
        let columns = || vec![column("id", DataType::Int64), raw("source.ts_ms"), column("name", DataType::Utf8)];
        let whole = rows(columns(), &lines.join("\n"));
        let small =
            decode_by(JsonDecodeOptions { batch_rows: 2, ..options(columns()) }, &lines.join("\n"), Layout::Lines);
        assert_eq!(show(&small), whole);
        // Each line alone, without a shape that was learned from others.
        let alone: Vec<String> = lines
            .iter()
            .enumerate()
            .flat_map(|(at, line)| {
                let decoder = DebeziumDecoder::new(options(columns())).unwrap();
                let bytes = Bytes::copy_from_slice(line.as_bytes());
                show(&decoder.decode_bytes(&bytes, &origin(at as u64 + 1), Layout::Lines).unwrap())
            })
            .collect();
        assert_eq!(alone, whole);
    }
}
