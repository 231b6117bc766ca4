//! JSON, CSV, Debezium's JSON and raw bytes, a record at a time.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::connector::DecodeColumn;
use velo_core::row_kind::{RowKind, RowKinds};
use velo_core::types;
use velo_format::csv::{CsvDecodeOptions, CsvDecoder, CsvEncodeOptions, CsvEncoder, Dialect};
use velo_format::debezium::{DebeziumDecoder, DebeziumEncoder};
use velo_format::json::{JsonDecodeOptions, JsonDecoder, JsonEncodeOptions, JsonEncoder};
use velo_format::records::{RawDecoder, RawEncoder, RecordDecoder, RecordEncoder};

use super::{batch, batch_of, column, columns_of, cut, decode, encode, raw, rows, show};

fn json_options(columns: Vec<DecodeColumn>) -> JsonDecodeOptions {
    JsonDecodeOptions { columns, declared: None, batch_rows: 8192, keep_bytes: true, formats: Default::default() }
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, ty)| Field::new(*name, ty.clone(), true)).collect::<Vec<_>>()))
}

fn csv(declared: &SchemaRef, columns: Vec<DecodeColumn>, batch_rows: usize) -> CsvDecoder {
    let options = CsvDecodeOptions {
        dialect: Dialect::default().without_header(),
        formats: Default::default(),
        declared: declared.clone(),
        columns,
        batch_rows,
        keep_bytes: true,
    };
    CsvDecoder::new(options).unwrap()
}

#[test]
fn json_records_have_their_offsets() {
    let decoder =
        JsonDecoder::new(json_options(vec![column("a", DataType::Int64), column("b", DataType::Utf8)])).unwrap();
    let decoder: &dyn RecordDecoder = &decoder;
    let found = rows(
        decoder,
        &["{\"a\":1,\n\"b\":\"x\"}", "", "{\"a\":\"z\"}", " {\"b\":null,\"a\":2} ", "{\"a\":3} {}", "[1]"],
    );
    assert_eq!(found[0], "100 1 x");
    assert!(found[1].starts_with("101: : "), "{found:?}");
    assert_eq!(found[2], "102: a: 'z' is no BIGINT");
    assert_eq!(found[3], "103 2 NULL");
    assert!(found[4].starts_with("104: : not valid JSON: expected the end behind the record"), "{found:?}");
    assert_eq!(found[5], "105: : a record must be a JSON object, found '[1]'");
    assert_eq!(decoder.fields_of(b"{\"a\":1,\"c\":{}}"), ["a", "c"]);
    assert_eq!(decoder.fields_of(b"nope"), <[String; 0]>::default());
}

#[test]
fn csv_records_are_single_lines() {
    let declared = schema(&[("id", DataType::Int64), ("note", DataType::Utf8), ("price", types::decimal(10, 2))]);
    let records: [&[u8]; 11] = [
        b"1,plain,2.5",
        b"2,\"two\nlines, \"\"quoted\"\"\",",
        b"x,bad,1",
        b"3,few",
        b"4,a,1\n5,b,2",
        b"6,\"open,1",
        b"7,c,3\r\n",
        b"",
        b"8,\"a\"b,1",
        b"9,\xff,1",
        b"10,#last,1.005",
    ];
    let expected = [
        "100 1 plain 2.50",
        "101 2 two\nlines, \"quoted\" NULL",
        "102: id: 'x' is no BIGINT",
        "103: : the record has 2 fields, expected 3: '3,few'",
        "104: : text follows the line end of the record: one record is expected, with line breaks in quotes alone: '4,a,1\\n5,b,2'",
        "105: note: the quote of field 2 is never closed: '6,\"open,1'",
        "106 7 c 3.00",
        "107: : the record has 1 field, expected 3: ''",
        "108: note: text follows the closing quote of field 2: '8,\"a\"b,1'",
        "109: note: '\u{fffd}' is not UTF-8; set csv.encoding to the file's encoding",
        "110 10 #last 1.01",
    ];
    for batch_rows in [1, 2, 3, 8192] {
        let decoder = csv(&declared, columns_of(declared.fields()), batch_rows);
        let decoded = decode(&decoder, &records);
        assert_eq!(show(&decoded), expected, "{batch_rows}");
        assert_eq!(decoded.row_bytes.len(), 4);
        assert!(decoded.batches.iter().all(|batch| batch.rows() <= batch_rows));
        assert_eq!(decoded.errors[4].bytes.as_deref(), Some(&b""[..]));
    }
    let one = csv(&declared, vec![column("NOTE", DataType::Utf8)], 10);
    assert_eq!(rows(&one, &["1,x,2"]), ["100 x"]);
    assert_eq!(RecordDecoder::fields_of(&one, b""), ["id", "note", "price"]);
}

#[test]
fn a_csv_record_means_the_same_as_in_a_file() {
    let declared = schema(&[("a", DataType::Utf8), ("b", DataType::Utf8)]);
    let mut random = velo_format::fuzz::Random::new(7);
    let letters = b"ab,\"\"\n x";
    for _ in 0..300 {
        let record = |random: &mut velo_format::fuzz::Random| {
            let length = random.below(12);
            (0..length).map(|_| letters[random.below(letters.len() as u64) as usize]).collect::<Vec<u8>>()
        };
        let records: Vec<Vec<u8>> = (0..3).map(|_| record(&mut random)).collect();
        let together = rows(&csv(&declared, columns_of(declared.fields()), 10), &records);
        let alone = records.iter().enumerate().flat_map(|(at, record)| {
            let found = rows(&csv(&declared, columns_of(declared.fields()), 10), std::slice::from_ref(record));
            found.into_iter().map(move |row| row.replacen("100", &(100 + at).to_string(), 1)).collect::<Vec<_>>()
        });
        assert_eq!(together, alone.collect::<Vec<_>>(), "{records:?}");
    }
}

#[test]
fn raw_records_are_one_column() {
    let text = schema(&[("body", DataType::Utf8)]);
    let decoder = RawDecoder::new(&text, columns_of(text.fields()), 2, true).unwrap();
    let found = rows(&decoder, &[&b"one"[..], b"", b"\xffno", b"two\nlines"]);
    let expected =
        ["100 one", "101 ", "102: body: '\u{fffd}no' is no STRING: its bytes are not UTF-8", "103 two\nlines"];
    assert_eq!(found, expected);
    let bytes = schema(&[("body", DataType::Binary)]);
    let decoder = RawDecoder::new(&bytes, columns_of(bytes.fields()), 9, false).unwrap();
    let decoded = batch(&decode(&decoder, &[&b"\xff\x00"[..], b"x"]));
    assert_eq!(encode(&mut RawEncoder::new(&bytes).unwrap(), &decoded), [b"\xff\x00".to_vec(), b"x".to_vec()]);
    assert_eq!(decoder.fields_of(b"x"), ["body"]);
    let event_time = RawDecoder::new(&text, vec![raw("body")], 9, false).unwrap();
    assert_eq!(rows(&event_time, &["17"]), ["100 17"]);

    let two = schema(&[("a", DataType::Utf8), ("b", DataType::Utf8)]);
    let error = RawDecoder::new(&two, vec![], 9, false).unwrap_err();
    assert_eq!(error.message, "a raw record is one column of type STRING or BYTES; there are 2");
    let error = RawEncoder::new(&schema(&[("a", DataType::Int64)])).unwrap_err();
    assert_eq!(error.message, "a raw record is one column of type STRING or BYTES; 'a' is BIGINT");
    let error = RawDecoder::new(&text, vec![column("body.x", DataType::Utf8)], 9, false).unwrap_err();
    assert!(error.message.contains("no field 'body.x'"), "{error}");
    let null = batch_of(&text, &["{\"body\":null}"]);
    let error = RawEncoder::new(&text).unwrap().encode_records(&null, &mut Vec::new(), &mut Vec::new()).unwrap_err();
    assert!(error.message.contains("'body' is NULL"), "{error}");
}

#[test]
fn records_are_written_without_line_ends() {
    let schema = schema(&[("a", DataType::Int64), ("b", DataType::Utf8)]);
    let rows = batch_of(&schema, &["{\"a\":1,\"b\":\"x\\ny\"}", "{\"a\":null,\"b\":\"q\\\"\"}"]);
    let json = encode(&mut JsonEncoder::new(schema.clone(), JsonEncodeOptions::default()).unwrap(), &rows);
    assert_eq!(json, [&b"{\"a\":1,\"b\":\"x\\ny\"}"[..], b"{\"a\":null,\"b\":\"q\\\"\"}"]);
    let dialect = Dialect::default().without_header();
    let options = CsvEncodeOptions { dialect, ..CsvEncodeOptions::default() };
    let csv = encode(&mut CsvEncoder::new(schema.clone(), options).unwrap(), &rows);
    assert_eq!(csv, [&b"1,\"x\ny\""[..], b",\"q\"\"\""]);
    // More than fits in the writer's block.
    let many: Vec<String> =
        (0..2000).map(|row| format!("{{\"a\":{row},\"b\":\"{}\"}}", "z".repeat(row % 40))).collect();
    let texts: Vec<&str> = many.iter().map(String::as_str).collect();
    let json = encode(
        &mut JsonEncoder::new(schema.clone(), JsonEncodeOptions::default()).unwrap(),
        &batch_of(&schema, &texts),
    );
    assert!(json.iter().zip(&many).all(|(record, text)| record == text.as_bytes()));
}

#[test]
fn changes_become_envelopes_and_rows_again() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let schema = schema(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    let texts = [
        "{\"id\":1,\"name\":\"a\"}",
        "{\"id\":1,\"name\":\"a\"}",
        "{\"id\":1,\"name\":\"b\"}",
        "{\"id\":1}",
        "{\"id\":2}",
    ];
    let rows = batch_of(&schema, &texts);
    let mut encoder = DebeziumEncoder::new(schema.clone(), JsonEncodeOptions::default()).unwrap();
    let kinds = RowKinds::new(vec![Insert, UpdateBefore, UpdateAfter, Delete, UpdateAfter]);
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    encoder.encode_changes(&rows, Some(&kinds), &mut out, &mut ends).unwrap();
    let records = cut(&out, 0, &ends);
    let texts: Vec<String> = records.iter().map(|record| String::from_utf8(record.clone()).unwrap()).collect();
    let expected = [
        r#"{"before":null,"after":{"id":1,"name":"a"},"op":"c"}"#,
        "",
        r#"{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}"#,
        r#"{"before":{"id":1,"name":null},"after":null,"op":"d"}"#,
        r#"{"before":null,"after":{"id":2,"name":null},"op":"c"}"#,
    ];
    assert_eq!(texts, expected);
    let decoder = DebeziumDecoder::new(json_options(columns_of(schema.fields()))).unwrap();
    let written: Vec<&Vec<u8>> = records.iter().filter(|record| !record.is_empty()).collect();
    let found = super::rows(&decoder, &written);
    assert_eq!(found, ["100 +I 1 a", "101 -U 1 a", "101 +U 1 b", "102 -D 1 NULL", "103 +I 2 NULL"]);
    assert_eq!(decoder.fields_of(&records[0]), ["id", "name", "op"]);
    let bad = super::rows(&decoder, &["{\"op\":\"u\",\"after\":{\"id\":1}}", "{\"id\":1}", "x"]);
    assert!(bad[0].starts_with("100: before: an update without the row as it was"), "{bad:?}");
    assert!(bad[1].starts_with("101: op: it is missing: the record is no envelope"), "{bad:?}");
    assert_eq!(bad.len(), 3);
    // A format that has no place for kinds takes inserts alone.
    let mut json = JsonEncoder::new(schema, JsonEncodeOptions::default()).unwrap();
    let error = json.encode_changes(&rows, Some(&kinds), &mut out, &mut ends).unwrap_err();
    assert!(error.message.contains("no place for the kind"), "{error}");
}

/// A file of envelopes, and the rows that its lines are as records.
fn change_file(name: &str) -> (Vec<String>, Vec<String>) {
    let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/debezium")).join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let sample = velo_format::infer::Sample { bytes: text.as_bytes(), complete: true, records: 1000 };
    let layout = velo_format::properties::JsonLayout::Lines;
    let columns = match velo_format::debezium::infer_debezium(sample, layout, &Default::default()) {
        Ok(schema) => columns_of(schema.fields()),
        Err(_) => vec![column("id", DataType::Int64)],
    };
    let micros = velo_format::value::TimestampFormat::Epoch(velo_format::value::EpochUnit::Micros);
    let formats = velo_format::value::ValueFormats { timestamp: micros };
    let decoder = DebeziumDecoder::new(JsonDecodeOptions { formats, ..json_options(columns) }).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let one_by_one = rows(&decoder, &lines);
    let bytes = bytes::Bytes::from(text.clone());
    let origin = velo_core::place::Origin {
        positions: velo_core::place::Positions::Consecutive { first: 100 },
        ..super::origin()
    };
    let whole = show(&decoder.decode_bytes(&bytes, &origin, velo_format::json::Layout::Lines).unwrap());
    (one_by_one, whole)
}

#[test]
fn files_of_changes_are_the_same_record_by_record() {
    let mut counts = Vec::new();
    for name in [
        "mysql_all_types.jsonl",
        "debezium_mysql_all_types_numeric_decimal.jsonl",
        "flink_cdc_debezium-json.jsonl",
        "flink_cdc_debezium-json-with-schema.jsonl",
        "flink_cdc_canal-json.jsonl",
    ] {
        let (one_by_one, whole) = change_file(name);
        assert_eq!(one_by_one, whole, "{name}");
        let bad = one_by_one.iter().filter(|row| row.split_once(' ').is_some_and(|(offset, _)| offset.ends_with(':')));
        let bad = bad.count();
        counts.push((one_by_one.len() - bad, bad));
    }
    // The file with schemas says that an id is a number, and has text there.
    assert_eq!(counts, [(0, 2), (3, 0), (24, 0), (24, 0), (0, 20)]);
}
