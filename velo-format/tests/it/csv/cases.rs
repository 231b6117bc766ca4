//! The cases of the specification.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use velo_core::connector::DecodeColumn;
use velo_core::types::{self, TIMESTAMP, decimal};
use velo_format::csv::{CsvFramer, Dialect};
use velo_format::framing::Framer;

use super::{Reading, properties, read, schema, texts, wanted};

fn events() -> arrow_schema::SchemaRef {
    schema(&[("id", DataType::Int64), ("txt", DataType::Utf8), ("ts", TIMESTAMP)])
}

/// BC-35.
#[test]
fn quotes_separators_line_breaks_and_blanks() {
    let file = "id,txt,ts\n1,\"x, y\",2024-01-01 00:00:00\n2,\"say \"\"hi\"\"\", 2024-01-01 00:00:01\n\
                3,\"a\nb\",2024-01-01 00:00:02\n4,,\n5,\"\",2024-01-01 00:00:04\nx,,\n";
    let expected = [
        "2: 1 | \"x, y\" | 2024-01-01T00:00:00Z",
        "3: 2 | \"say \\\"hi\\\"\" | 2024-01-01T00:00:01Z",
        "4: 3 | \"a\\nb\" | 2024-01-01T00:00:02Z",
        "6: 4 | NULL | NULL",
        "7: 5 | \"\" | 2024-01-01T00:00:04Z",
        "8! id: 'x' is no BIGINT",
    ];
    assert_eq!(read(file.as_bytes(), &[], Some(events())), expected);

    let off = "id,txt,ts\n6,\"z,2024-01-01 00:00:05\n";
    let rows = read(off.as_bytes(), &[("csv.quote", "none")], Some(events()));
    assert_eq!(rows, ["2: 6 | \"\\\"z\" | 2024-01-01T00:00:05Z"]);

    let windows = format!("\u{feff}{}", file.trim_end().replace('\n', "\r\n"));
    let rows = read(windows.as_bytes(), &[], Some(events()));
    assert_eq!(rows[2], "4: 3 | \"a\\r\\nb\" | 2024-01-01T00:00:02Z");
    assert_eq!([&rows[..2], &rows[3..]].concat(), [&expected[..2], &expected[3..]].concat());
}

/// BC-35: wherever reading stops, it goes on between records with the same rows.
#[test]
fn every_record_end_can_be_resumed() {
    let file = b"id,txt,ts\n1,\"a\n,\"\"\n\",2024-01-01 00:00:00\n\n2,b,\r\n3,\"\n\",";
    let reading = Reading::new(Dialect::default(), events());
    let whole = reading.lines(file, usize::MAX);
    assert_eq!(whole.len(), 3);
    for shown in 1..=file.len() {
        // What a reader saves: the end of the last record it got.
        let mut framer = CsvFramer::new(Dialect::default());
        let cut = framer.cut(&file[..shown], shown == file.len()).unwrap();
        let (at, lines) = (cut.total(), cut.total_lines());
        let mut resumed = CsvFramer::new(Dialect::default());
        let _ = resumed.cut(file, true).unwrap();
        resumed.resume();
        assert!(resumed.header().is_some());
        let rest = resumed.cut(&file[at..], true).unwrap();
        assert_eq!((rest.skip, rest.bytes), (0, file.len() - at));
        let decoder = reading.decoder().unwrap();
        let mut rows = Vec::new();
        let parts = [(&file[cut.skip..at], cut.skip_lines + 1), (&file[at..], lines + 1)];
        for (bytes, line) in parts.into_iter().filter(|(bytes, _)| !bytes.is_empty() && cut.total() > 0) {
            let chunk = velo_core::connector::Chunk {
                partition: 0,
                number: 0,
                bytes: bytes::Bytes::copy_from_slice(bytes),
                origin: velo_format::fuzz::origin(line),
                end: velo_core::offset::Position::Row(0),
                frames: resumed.frames(),
            };
            rows.extend(super::lines(&velo_core::connector::ChunkDecoder::decode(&decoder, &chunk).unwrap()));
        }
        if cut.total() > 0 {
            assert_eq!(rows, whole, "cut at {at}");
        }
    }
}

/// BC-29.
#[test]
fn a_header_binds_exact_names_first() {
    let file = b"id,ID\n1,2\n";
    assert_eq!(read(file, &[], Some(texts(&["ID", "id"]))), ["2: \"2\" | \"1\""]);
    assert_eq!(read(file, &[], Some(texts(&["id"]))), ["2: \"1\""]);
    let refused = read(file, &[], Some(texts(&["Id"])));
    assert_eq!(refused, ["refused: the column 'Id' could be 'id' or 'ID' of the header; write one of them in quotes"]);
    assert_eq!(read(b"Price\n1\n", &[], Some(texts(&["price"]))), ["2: \"1\""]);
    let refused = read(b"id,prize\n1,2\n", &[], Some(texts(&["price"])));
    assert_eq!(refused, ["refused: the header has no column 'price'; it has id, prize; did you mean 'prize'?"]);
    let refused = read(b"a,b,a\n", &[], Some(texts(&["b"])));
    assert!(refused[0].contains("'a' twice, as columns 1 and 3"), "{refused:?}");
    let mut exact = Reading::new(Dialect::default(), texts(&["price"]));
    exact.columns[0].exact = true;
    assert!(exact.lines(b"Price\n1\n", 100)[0].starts_with("refused: the header has no column 'price'"));
}

#[test]
fn columns_by_place_and_only_those_asked_for() {
    let (_, dialect) = properties(&[("csv.header", "false")]);
    let declared = schema(&[("a", DataType::Int64), ("b", DataType::Int64), ("c", DataType::Utf8)]);
    let mut reading = Reading::new(dialect, declared.clone());
    reading.columns = vec![wanted(&declared.fields()[2]), wanted(&declared.fields()[0])];
    // The bad value of b is not looked at; the form of every record is.
    let rows = reading.lines(b"1,bad,x\n2,\n3,4,\"y\"\n", 4);
    assert_eq!(rows, ["1: \"x\" | 1", "2! the record has 2 fields, expected 3: '2,'", "3: \"y\" | 3"]);
    reading.columns = vec![];
    assert_eq!(reading.lines(b"1,bad,x\n2,\n", 100).len(), 2);
}

#[test]
fn nested_paths_are_refused_at_once() {
    let mut reading = Reading::new(Dialect::default(), texts(&["payload"]));
    reading.columns[0].path = vec!["payload".to_owned(), "ts".to_owned()];
    let error = reading.decoder().unwrap_err();
    assert!(error.message.contains("there is no 'payload.ts'"), "{error}");
}

#[test]
fn all_types() {
    let array = types::array(DataType::Int64);
    let all = [
        ("b", DataType::Boolean),
        ("i", DataType::Int8),
        ("u", DataType::UInt64),
        ("d", decimal(18, 4)),
        ("w", decimal(60, 2)),
        ("f", DataType::Float64),
        ("t", TIMESTAMP),
        ("n", types::TIMESTAMP_NANOS),
        ("day", DataType::Date32),
        ("clock", types::TIME),
        ("bytes", DataType::Binary),
        ("list", array),
    ];
    let header = all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let file = format!(
        "{header}\ntrue;-128;18446744073709551615;0.1;123456789012345678901234567890.12;1e3;2024-05-06T07:08:09.123456789Z;\
         2024-05-06 09:08:09.123456789+02:00;2024-01-31;09:30;aGk=;[1,2]\n\
         F;128;1;1;1;1;;;;;;\n\
         1; +7 ;\"5\"; 1.00005 ;;NaN;2024-05-06;;;;\"\";[\n\
         no;;;;;;;;;;;\"[ 1 ]\"\n\
         maybe;;;;;;;;;;;\n\
         \"\";\" \"; ;\"\";\"\";\"\";\"\";\"\";\"\";\"\";\"\";\"\"\n"
    );
    let rows = read(file.as_bytes(), &[("csv.delimiter", ";")], Some(schema(&all)));
    let expected = expect_test::expect![[r#"
        2: true | -128 | 18446744073709551615 | 0.1000 | 123456789012345678901234567890.12 | 1000.0 | 2024-05-06T07:08:09.123456Z | 2024-05-06T07:08:09.123456789Z | 2024-01-31 | 09:30:00 | 0x6869 | [1,2]
        3! i: '128' is out of range for TINYINT
        4! list: '[' is no ARRAY<BIGINT>
        5: false | NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | [1]
        6! b: 'maybe' is no BOOLEAN (true or false)
        7: NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | 0x | NULL
    "#]];
    expected.assert_eq(&(rows.join("\n") + "\n"));
}

#[test]
fn raw_columns_keep_the_text_and_json_is_checked() {
    let field = |name: &str| Arc::new(Field::new(name, DataType::Utf8, true));
    let mut reading = Reading::new(Dialect::default(), texts(&["ts", "doc"]));
    reading.columns =
        vec![DecodeColumn { raw: true, ..wanted(&field("ts")) }, wanted(&Arc::new(types::json_field("doc", true)))];
    let rows = reading.lines(b"ts,doc\n 0012,\"{\"\"a\"\": 1.50}\"\n\"1,5\",{\n", 100);
    assert_eq!(rows[0], "2: \" 0012\" | \"{\\\"a\\\": 1.50}\"");
    assert!(rows[1].starts_with("3! doc: "), "{rows:?}");
}

#[test]
fn not_null_columns_and_null_texts() {
    let (_, dialect) = properties(&[("csv.null", "NA|-1")]);
    let declared = Arc::new(arrow_schema::Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("s", DataType::Utf8, true),
    ]));
    let reading = Reading::new(dialect, declared);
    let rows = reading.lines(b"n,s\n1,NA\nNA,x\n2,\"NA\"\n-1,y\n\"-1\",z\n,\n", 100);
    assert_eq!(
        rows,
        [
            "2: 1 | NULL",
            "3! n: the value is NULL or missing, and the column 'n' is NOT NULL",
            "4: 2 | \"NA\"",
            "5! n: the value is NULL or missing, and the column 'n' is NOT NULL",
            "6: -1 | \"z\"",
            "7! n: the value is NULL or missing, and the column 'n' is NOT NULL",
        ]
    );
}

#[test]
fn an_unclosed_quote_costs_its_line_and_is_reported_with_it() {
    let rows = read(b"a,b\n1,x\n2,\"open\n3,y\n4,z\n", &[], Some(texts(&["a", "b"])));
    let unclosed = "3! b: the quote of field 2, which opened on line 3, is never closed: '2,\"open'";
    assert_eq!(rows, ["2: \"1\" | \"x\"", unclosed, "4: \"3\" | \"y\"", "5: \"4\" | \"z\""]);
    // A limit does the same before the end of the file.
    let mut reading = Reading::new(Dialect::default(), texts(&["a", "b"]));
    reading.limit = 16;
    let text = "a,b\n1,\"open\n2,a\n3,b\n4,c\n5,d\n6,e\n7,f\n";
    assert_eq!(reading.lines(text.as_bytes(), 5).len(), 7);
}

#[test]
fn bytes_of_records_on_request() {
    let mut reading = Reading::new(Dialect::default(), schema(&[("a", DataType::Int64), ("b", DataType::Utf8)]));
    reading.keep_bytes = true;
    reading.batch_rows = 2;
    let text = b"a,b\n1,x\r\nbad,\"y\n\"\r\n2,\"z\n\"\n3\n4,\n5,";
    let chunks = reading.chunks(text, usize::MAX).unwrap();
    let [decoded] = &chunks[..] else { panic!("one chunk") };
    let records = &text[4..];
    let shown = decoded.row_bytes.iter().map(|range| String::from_utf8_lossy(&records[range.clone()]).into_owned());
    assert_eq!(shown.collect::<Vec<_>>(), ["1,x", "2,\"z\n\"", "4,", "5,"]);
    let errors = decoded.errors.iter().map(|error| (error.after_rows, error.bytes.clone().unwrap()));
    assert_eq!(errors.collect::<Vec<_>>(), [(1, "bad,\"y\n\"".into()), (2, "3".into())]);
    assert_eq!(decoded.batches.iter().map(|batch| batch.rows()).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn all_cuts_of_a_text_give_the_same_rows() {
    let text = "x\n1,\"a\"\"\n\",3\n#c\"\n\r\n\"q\"r,2,3\n,,\n\"\",\"\n\n\",é\n7,8\n";
    let (_, dialect) = properties(&[("csv.comment", "#"), ("csv.skip_lines", "1"), ("csv.header", "false")]);
    let reading = Reading::new(dialect, texts(&["a", "b", "c"]));
    let whole = reading.lines(text.as_bytes(), usize::MAX);
    assert_eq!(whole.len(), 5, "{whole:?}");
    for step in 1..text.len() {
        assert_eq!(reading.lines(text.as_bytes(), step), whole, "{step}");
    }
}
