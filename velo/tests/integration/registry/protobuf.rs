//! Protobuf with a registry: schemas that are registered, found, and that develop.

use serde_json::json;

use super::{Place, developed_while_read, with_id};

const PROTOBUF: &str = "format = 'protobuf'";

const COLUMNS: &str = "id BIGINT, px DECIMAL(18, 4), at TIMESTAMP, nano TIMESTAMP(9), day DATE, who STRING, flag BOOLEAN, ratio DOUBLE, \
                       raw BYTES, small INT, tags ARRAY<STRING>, side STRUCT<a INT, b STRING>";

const LINES: [&str; 3] = [
    r#"{"id":1,"px":0.1000,"at":"2024-01-31T09:30:00.123456Z","nano":"2024-01-31T09:30:00.123456789Z","day":"2024-01-31","who":"x","flag":true,"ratio":0.5,"raw":"AP+A","small":-7,"tags":["a","é"],"side":{"a":1,"b":null}}"#,
    r#"{"id":-9223372036854775808,"px":-99999999999999.9999,"at":"1969-12-31T23:59:59.999999Z","nano":"1969-12-31T23:59:59.999999999Z","day":"1969-12-31","who":"","flag":false,"ratio":0.0,"raw":"","small":0,"tags":[],"side":{"a":null,"b":"x"}}"#,
    r#"{"id":9007199254740993,"px":null,"at":null,"nano":null,"day":null,"who":null,"flag":null,"ratio":null,"raw":null,"small":null,"tags":[],"side":null}"#,
];

#[test]
fn a_sink_registers_its_schema_and_a_source_reads_by_it() {
    let place = Place::new();
    place.write(COLUMNS, PROTOBUF, &LINES);
    let latest = place.registry.latest(&place.subject());
    assert_eq!((&latest["schemaType"], &latest["version"]), (&json!("PROTOBUF"), &json!(1)));
    let values = place.values();
    assert!(values.iter().all(|(id, _)| *id == latest["id"]), "{values:?}");
    // It is the first message of its schema, and its first field is the number 1.
    assert_eq!(values[0].1[..3], [0, 0x08, 1]);
    assert_eq!(place.read(&format!("({COLUMNS})"), PROTOBUF), LINES);
    // By the schema alone, prices and dates are the text that they are there.
    let text = LINES[0].replace("0.1000", "\"0.1000\"");
    assert_eq!(place.read("", PROTOBUF)[0], text);
    place.write(COLUMNS, PROTOBUF, &LINES[..1]);
    assert_eq!(place.registry.versions(&place.subject()), json!([1]));
    assert_eq!(place.read("(id BIGINT)", PROTOBUF).len(), 4);
}

/// A second version has a field more, wherever its column stands: the fields that were there keep their numbers, so that records of both
/// are read by either.
#[test]
fn a_schema_develops_while_it_is_read() {
    let place = developed_while_read(PROTOBUF);
    // 1 and 2 are what they were.
    let values = place.values();
    assert_eq!(values[0].1, [b"\0\x08\x01\x12\x03".as_slice(), b"old"].concat());
    let second = &values[1].1;
    for field in [b"\x08\x02".as_slice(), b"\x12\x03new", b"\x1a\x04gold"] {
        assert!(second.windows(field.len()).any(|part| part == field), "{second:?}");
    }
    // The job of before writes by the version that is the latest now.
    place.write("id BIGINT, name STRING", PROTOBUF, &[r#"{"id":3,"name":"late"}"#]);
    assert_eq!(place.registry.versions(&place.subject()), json!([1, 2]));
    let expected = [
        r#"{"id":1,"name":"old","tier":null}"#,
        r#"{"id":2,"name":"new","tier":"gold"}"#,
        r#"{"id":3,"name":"late","tier":null}"#,
    ];
    assert_eq!(place.read("(id BIGINT, name STRING, tier STRING)", PROTOBUF), expected);
}

/// A schema that imports another one, with several messages of which the record says which it is.
#[test]
fn imports_are_found_and_the_message_is_the_one_that_the_record_says() {
    let place = Place::new();
    let own = format!("{}-side", place.topic);
    let side = "syntax = \"proto3\"; package shop; enum Side { BUY = 0; SELL = 1; } message Fee { string currency = 1; int64 units = 2; }";
    place.registry.register(&own, "PROTOBUF", side, &json!([]));
    let trade = "syntax = \"proto3\"; package shop; import \"shop/side.proto\"; import \"google/protobuf/timestamp.proto\"; \
                 message Trade { int64 id = 1; Side side = 2; Fee fee = 3; google.protobuf.Timestamp at = 4; message Leg { int64 id = 7; } } \
                 message Cancel { string why = 2; int64 id = 5; }";
    let references = json!([{"name": "shop/side.proto", "subject": own, "version": 1}]);
    let id = place.registry.register(&place.subject(), "PROTOBUF", trade, &references);
    let records: [&[u8]; 3] = [
        // The first message: 1, SELL, a fee of EUR and 5, a second after 1970.
        b"\0\x08\x01\x10\x01\x1a\x07\x0a\x03EUR\x10\x05\x22\x02\x08\x01",
        // The second message, as one index.
        b"\x02\x02\x12\x04gone\x28\x02",
        // The first within the first, as two.
        b"\x04\0\0\x38\x03",
    ];
    place.broker.put_bytes(&place.topic, &records.map(|record| (None, Some(with_id(id, record)))));
    let found = place.read("", PROTOBUF);
    assert_eq!(found[0], r#"{"id":1,"side":"SELL","fee":{"currency":"EUR","units":5},"at":"1970-01-01T00:00:01Z"}"#);
    // Of the other messages there is what has the same name.
    assert_eq!(found[1], r#"{"id":2,"side":null,"fee":null,"at":null}"#);
    assert_eq!(found[2], r#"{"id":3,"side":null,"fee":null,"at":null}"#);
    // What is written by that schema is its first message, or the one that is named.
    place.write("id BIGINT, side STRING", PROTOBUF, &[r#"{"id":4,"side":"SELL"}"#]);
    let cancel = "format = 'protobuf', 'protobuf.message' = 'shop.Cancel'";
    place.write("id BIGINT, why STRING", cancel, &[r#"{"id":5,"why":"late"}"#]);
    let values = place.values();
    assert_eq!(values[3], (id, b"\0\x08\x04\x10\x01".to_vec()));
    assert_eq!(values[4].0, id);
    assert_eq!(values[4].1[..2], [2, 2]);
    assert_eq!(place.registry.versions(&place.subject()), json!([1]));
    let both = place.read("(id BIGINT, why STRING)", cancel);
    assert_eq!(both[4], r#"{"id":5,"why":"late"}"#);
}
