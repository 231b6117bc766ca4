//! What values of each kind become in columns of each type, and what is said where they cannot.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use velo_core::connector::{DecodeColumn, Decoded};
use velo_core::place::Positions;
use velo_core::table_text::value_text;
use velo_core::types;
use velo_format::fuzz::origin;
use velo_format::json::{JsonDecodeOptions, JsonDecoder, Layout};
use velo_format::value::{EpochUnit, TimestampFormat, ValueFormats};

fn column(name: &str, data_type: DataType) -> DecodeColumn {
    let path = name.split('.').map(str::to_owned).collect();
    DecodeColumn { field: Arc::new(Field::new(name, data_type, true)), path, exact: false, raw: false }
}

fn exact(column: DecodeColumn) -> DecodeColumn {
    DecodeColumn { exact: true, ..column }
}

fn decode_by(columns: Vec<DecodeColumn>, formats: ValueFormats, text: &str) -> Decoded {
    let options = JsonDecodeOptions { columns, declared: None, batch_rows: 8192, keep_bytes: false, formats };
    let decoder = JsonDecoder::new(options).unwrap();
    decoder.decode_bytes(&Bytes::copy_from_slice(text.as_bytes()), &origin(1), Layout::Lines).unwrap()
}

fn decode(columns: Vec<DecodeColumn>, text: &str) -> Decoded {
    decode_by(columns, ValueFormats::default(), text)
}

/// Rows and errors in order, as text.
fn show(decoded: &Decoded) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in &decoded.batches {
        for row in 0..batch.rows() {
            let values = batch.columns.columns().iter();
            let values = values.map(|column| value_text(column.as_ref(), row).unwrap_or_else(|| "NULL".to_owned()));
            rows.push(values.collect::<Vec<_>>().join(" | "));
        }
    }
    for (added, error) in decoded.errors.iter().enumerate() {
        rows.insert(error.after_rows + added, format!("{:?}: {}", error.field.as_deref().unwrap_or(""), error.message));
    }
    rows
}

fn one(data_type: DataType, value: &str) -> String {
    let rows = show(&decode(vec![column("x", data_type.clone())], &format!("{{\"x\":{value}}}")));
    assert_eq!(rows.len(), 1);
    // The same behind the first record, whose shape was learned, and near the end of the text as far from it.
    let twice = format!("{{\"x\":{value}}}\n").repeat(20);
    let again = show(&decode(vec![column("x", data_type)], &twice));
    assert!(again.iter().all(|row| *row == rows[0]), "{again:?}");
    rows[0].strip_prefix("\"x\": ").unwrap_or(&rows[0]).to_owned()
}

#[test]
fn numbers_keep_their_digits() {
    let columns = || {
        vec![
            column("px", types::decimal(18, 4)),
            column("qty", DataType::Int64),
            column("amt", types::decimal(38, 2)),
            DecodeColumn {
                field: Arc::new(types::json_field("doc", true)),
                path: vec!["doc".to_owned()],
                exact: false,
                raw: false,
            },
        ]
    };
    let text = r#"{"px":0.1,"qty":9007199254740993,"amt":123456789012345678901234567890.12,"doc":1.10e0}
{"px":10,"qty":"7","amt":1e2,"doc": { "a" : [1.0, 2] } }
{"px":1e2,"qty":1.0,"amt":-0.005,"doc":"12"}
{"px":"0.1","qty":1e2,"amt":null,"doc":null}
{"px":0.1,"qty":9223372036854775808}
{"px":0.1,"qty":-9223372036854775808}"#;
    assert_eq!(
        show(&decode(columns(), text)),
        [
            "0.1000 | 9007199254740993 | 123456789012345678901234567890.12 | 1.10e0",
            r#"10.0000 | 7 | 100.00 | { "a" : [1.0, 2] }"#,
            r#"100.0000 | 1 | -0.01 | "12""#,
            "0.1000 | 100 | NULL | NULL",
            "\"qty\": '9223372036854775808' is out of range for BIGINT",
            "0.1000 | -9223372036854775808 | NULL | NULL",
        ]
    );
}

#[test]
fn names_that_differ_in_case() {
    let text = "{\"id\":1,\"ID\":2,\"Id\":3}\n{\"Id\":3,\"ID\":2,\"id\":1}";
    let int = |name: &str| column(name, DataType::Int32);
    let all = vec![int("id"), exact(int("ID")), exact(int("Id"))];
    assert_eq!(show(&decode(all.clone(), text)), ["1 | 2 | 3", "1 | 2 | 3"]);
    assert_eq!(show(&decode(vec![exact(int("id"))], text)), ["1", "1"]);
    assert_eq!(show(&decode(all, "{\"ID\":2}")), ["NULL | 2 | NULL"]);
    // One by case; the exact one wins wherever it stands; the same twice is an error.
    assert_eq!(show(&decode(vec![int("id")], "{\"ID\":2}\n{\"ID\":2,\"id\":1}\n{\"id\":1,\"ID\":2}")), ["2", "1", "1"]);
    let twice = "\"id\": the field 'id' occurs twice";
    assert_eq!(show(&decode(vec![int("id")], "{\"id\":1,\"id\":2}")), [twice]);
    assert_eq!(show(&decode(vec![int("id")], "{\"id\":1}\n{\"id\":1,\"id\":2}\n{\"id\":3}")), ["1", twice, "3"]);
    assert_eq!(show(&decode(vec![int("id")], "{\"ID\":1,\"Id\":2}")), [twice]);
    assert_eq!(show(&decode(vec![exact(int("id"))], "{\"ID\":1}")), ["NULL"]);
    // Fields that nothing wants may repeat.
    assert_eq!(show(&decode(vec![int("id")], "{\"x\":1,\"id\":1,\"x\":2}")), ["1"]);
    assert_eq!(show(&decode(vec![int("größe")], "{\"GRÖSSE\":1,\"GRÖßE\":2}")), ["2"]);
    assert_eq!(show(&decode(vec![int("id")], "{\"\\u0069d\":4}")), ["4"]);
}

#[test]
fn each_type() {
    use DataType::{Boolean, Date32, Float32, Float64, Int8, Int64, UInt8, UInt64, Utf8};
    for (data_type, value, expected) in [
        (Int64, "1.5", "'1.5' is no BIGINT: it has a fraction"),
        (Int64, "\"1.5\"", "'1.5' is no BIGINT: it has a fraction"),
        (Int64, "true", "'true' is no BIGINT"),
        (Int64, "\"\"", "'' is no BIGINT"),
        (Int64, "\"abc\"", "'abc' is no BIGINT"),
        (Int64, "[1]", "'[1]' is no BIGINT"),
        (Int64, "-0", "0"),
        (Int8, "127", "127"),
        (Int8, "128", "'128' is out of range for TINYINT"),
        (UInt8, "-1", "'-1' is out of range for TINYINT UNSIGNED"),
        (UInt64, "18446744073709551615", "18446744073709551615"),
        (Float64, "0.1", "0.1"),
        (Float64, "\"NaN\"", "NaN"),
        (Float64, "1e400", "'1e400' is out of range for DOUBLE"),
        (Float64, "123456.789", "123456.789"),
        (Float32, "16777217", "16777216.0"),
        (Boolean, "true", "true"),
        (Boolean, "\"FALSE\"", "false"),
        (Boolean, "1", "'1' is no BOOLEAN (true or false)"),
        (Utf8, "\"text\"", "text"),
        (Utf8, "1.50", "1.50"),
        (Utf8, "true", "true"),
        (Utf8, "null", "NULL"),
        (Utf8, "{\"a\":1}", "'{\"a\":1}' is no STRING"),
        (types::decimal(5, 2), "999.995", "'999.995' is out of range for DECIMAL(5,2)"),
        (types::decimal(5, 2), "-0.005", "-0.01"),
        (types::decimal(5, 2), "\"1,5\"", "'1,5' is no DECIMAL(5,2)"),
        (types::decimal(60, 1), "1e50", "100000000000000000000000000000000000000000000000000.0"),
        (types::TIMESTAMP, "\"2024-01-31 10:00:00.1234567+01:00\"", "2024-01-31T09:00:00.123456Z"),
        (types::TIMESTAMP, "1706691600000", "'1706691600000' is no TIMESTAMP (such as 2024-01-31T09:30:00Z)"),
        (types::TIMESTAMP, "\"1706691600000\"", "'1706691600000' is no TIMESTAMP (such as 2024-01-31T09:30:00Z)"),
        (types::TIMESTAMP_NANOS, "\"2024-01-31T09:00:00.123456789Z\"", "2024-01-31T09:00:00.123456789Z"),
        (Date32, "\"2024-02-29\"", "2024-02-29"),
        (Date32, "20240229", "'20240229' is no DATE (such as 2024-01-31)"),
        (types::TIME, "\"09:30\"", "09:30:00"),
        (types::INTERVAL, "\"P1DT2H\"", "P1DT2H"),
        (DataType::Binary, "\"AQI=\"", "0x0102"),
        (DataType::Binary, "\"AQI*\"", "'AQI*' is no BYTES (base64)"),
        (types::array(Int64), "[1,\"2\",null]", "[1,2,null]"),
        (types::array(Int64), "[]", "[]"),
        (types::array(Int64), "1", "'1' is no ARRAY<BIGINT>"),
        (types::map(Utf8, Int64), "{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":2}"),
    ] {
        assert_eq!(one(data_type.clone(), value), expected, "{value} as {data_type}");
    }
    let long = format!("\"{}\"", "x".repeat(300));
    assert_eq!(one(Int64, &long), format!("'{}…' is no BIGINT", "x".repeat(200)));
}

#[test]
fn problems_name_the_field() {
    let inner =
        DataType::Struct(vec![Field::new("n", DataType::Int64, false), Field::new("t", DataType::Utf8, true)].into());
    let columns = || {
        vec![
            column("a.b", DataType::Int64),
            column("s", inner.clone()),
            column("l", types::array(types::array(DataType::Int64))),
        ]
    };
    let text = r#"{"a":{"b":1},"s":{"N":5,"x":[]},"l":[[1],[]]}
{"a":{"b":"x"}}
{"a":5}
{"a":null,"s":null}
{"s":{"t":"x"}}
{"s":{"n":1,"n":2}}
{"s":{"n":"q"}}
{"s":[]}
{"l":[[1],[2,"z"]]}
{"l":[[1],7]}
{"l":[1
{"a":{"b":1,"b":2}}
{"a":{"b":1},"a":{"b":2}}"#;
    assert_eq!(
        show(&decode(columns(), text)),
        [
            "1 | {\"n\":5,\"t\":null} | [[1],[]]",
            "\"a.b\": 'x' is no BIGINT",
            "\"a\": '5' is no object, and the field 'b' of it is wanted",
            "NULL | NULL | NULL",
            "\"s.n\": the value is NULL or missing, and the column 'n' is NOT NULL",
            "\"s.n\": the field 'n' occurs twice",
            "\"s.n\": 'q' is no BIGINT",
            "\"s\": '[]' is no STRUCT<n BIGINT, t STRING>",
            "\"l[1][1]\": 'z' is no BIGINT",
            "\"l[1]\": '7' is no ARRAY<BIGINT>",
            "\"l[0]\": '1' is no ARRAY<BIGINT>",
            "\"a.b\": the field 'b' occurs twice",
            "\"a\": the field 'a' occurs twice",
        ]
    );
}

#[test]
fn not_null() {
    let mut id = column("id", DataType::Int64);
    id.field = Arc::new(Field::new("id", DataType::Int64, false));
    let message = "\"id\": the value is NULL or missing, and the column 'id' is NOT NULL";
    assert_eq!(show(&decode(vec![id], "{\"id\":1}\n{}\n{\"id\":null}\n{\"id\":2}")), ["1", message, message, "2"]);
}

#[test]
fn own_text_for_event_times() {
    let raw = |name: &str| DecodeColumn { raw: true, ..column(name, DataType::Utf8) };
    let text = r#"{"ts":1704067200123,"x":1}
{"ts":"2024-01-01T00:00:00Z","x":2}
{"ts":"a\u0062c","x":3}
{"ts":[1, 2],"x":4}
{"ts":true,"x":5}
{"x":6}
{"ts":-1.5e3,"x":7}"#;
    let rows = show(&decode(vec![raw("ts"), column("ts", DataType::Utf8), column("x", DataType::Int8)], text));
    assert_eq!(
        rows,
        [
            "1704067200123 | 1704067200123 | 1",
            "2024-01-01T00:00:00Z | 2024-01-01T00:00:00Z | 2",
            "abc | abc | 3",
            "\"ts\": '[1, 2]' is no STRING",
            "true | true | 5",
            "NULL | NULL | 6",
            "-1.5e3 | -1.5e3 | 7",
        ]
    );
    // One field as text and as its type at once.
    let both = vec![raw("ts"), column("ts", DataType::Int64)];
    let rows = show(&decode(both, "{\"ts\":12}\n{\"ts\":13}\n{\"ts\":\"14\"}\n{\"ts\":[]}"));
    assert_eq!(rows, ["12 | 12", "13 | 13", "14 | 14", "\"ts\": '[]' is no BIGINT"]);
    // An object's own text beside a field of it.
    let json = DecodeColumn { field: Arc::new(types::json_field("o", true)), ..column("o", DataType::Utf8) };
    let rows =
        show(&decode(vec![json, column("o.p", DataType::Int64)], "{\"o\":{\"p\":1}}\n{\"o\":{ }}\n{\"o\":null}"));
    assert_eq!(rows, ["{\"p\":1} | 1", "{ } | NULL", "NULL | NULL"]);
}

#[test]
fn epochs() {
    let millis = ValueFormats { timestamp: TimestampFormat::Epoch(EpochUnit::Millis) };
    let text = "{\"t\":-1}\n{\"t\":\"1500\"}\n{\"t\":0.5}\n{\"t\":-9223372036854775808}\n{\"t\":\"2024-01-01\"}";
    assert_eq!(
        show(&decode_by(vec![column("t", types::TIMESTAMP)], millis, text)),
        [
            "1969-12-31T23:59:59.999Z",
            "1970-01-01T00:00:01.500Z",
            "1970-01-01T00:00:00.000500Z",
            "\"t\": '-9223372036854775808' is out of range for TIMESTAMP (such as 2024-01-31T09:30:00Z)",
            "\"t\": '2024-01-01' is no TIMESTAMP (such as 2024-01-31T09:30:00Z)",
        ]
    );
}

#[test]
fn syntax_is_told_with_its_place() {
    let columns = || vec![column("a", DataType::Int64)];
    let text = "{\"a\":1}\n\n  {\"a\":2,}\n{\"a\":3} x\n{\"a\":01}\n{\"b\":\"\\q\"}\n{\"a\":4";
    let decoded = decode(columns(), text);
    let messages: Vec<_> = decoded.errors.iter().map(|error| format!("{} {}", error.place, error.message)).collect();
    assert_eq!(
        messages,
        [
            "fuzz.jsonl:3 not valid JSON: expected a field name in quotes at byte 8, found '}'",
            "fuzz.jsonl:4 not valid JSON: expected the end of the line behind the record at byte 9, found 'x'",
            "fuzz.jsonl:5 not valid JSON: expected ',' or '}' at byte 7, found '1}'",
            "fuzz.jsonl:6 not valid JSON: an unknown escape at byte 7",
            "fuzz.jsonl:7 not valid JSON: expected ',' or '}' at byte 7, found the end of the line",
        ]
    );
}

#[test]
fn positions_and_unknown_fields() {
    let decoded =
        decode(vec![column("a", DataType::Int64)], "{\"a\":1,\"x\":1,\"y\":{\"a\":2}}\n{\"a\":2,\"x\":1}\n{\"a\":3}");
    assert_eq!(decoded.unknown_fields, 3);
    assert_eq!(decoded.batches[0].origin.as_ref().unwrap().positions, Positions::Consecutive { first: 1 });
    let declared = Schema::new(vec![Field::new("A", DataType::Int64, true), Field::new("x", DataType::Int64, true)]);
    let options = JsonDecodeOptions {
        columns: vec![],
        declared: Some(Arc::new(declared)),
        batch_rows: 8192,
        keep_bytes: false,
        formats: ValueFormats::default(),
    };
    let decoder = JsonDecoder::new(options).unwrap();
    let text = Bytes::from_static(b"{\"a\":\"no number\",\"x\":1,\"y\":1}\n\n{\"y\":1}");
    let decoded = decoder.decode_bytes(&text, &origin(10), Layout::Lines).unwrap();
    assert_eq!((decoded.unknown_fields, decoded.batches[0].rows(), decoded.errors.len()), (2, 2, 0));
    let places: Vec<_> = (0..2).map(|row| decoded.batches[0].origin.as_ref().unwrap().position(row)).collect();
    assert_eq!(places, [10, 12]);
}

#[test]
fn system_columns_are_added_behind() {
    let mut decoded = decode(vec![column("a", DataType::Int64)], "{\"a\":1}\n\n{\"a\":2}");
    let field = Arc::new(Field::new("_line", DataType::Int64, false));
    velo_format::append_columns(&mut decoded, &[field], |batch| {
        let origin = batch.origin.as_ref().unwrap();
        let lines = (0..batch.rows()).map(|row| origin.position(row) as i64);
        vec![Arc::new(arrow_array::Int64Array::from_iter_values(lines))]
    })
    .unwrap();
    assert_eq!(show(&decoded), ["1 | 1", "2 | 3"]);
}
