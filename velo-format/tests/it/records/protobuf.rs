//! Protocol buffers: what a field is that comes late, twice or not at all, and what is said where something does not fit.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use velo_core::connector::DecodeColumn;
use velo_core::types;
use velo_format::protobuf::{
    ProtoDecodeOptions, ProtoDecoder, ProtoEncoder, ProtoSchema, ProtoSource, proto_of_columns,
    proto_version_of_columns,
};
use velo_format::records::{RecordDecoder, RecordEncoder, RegisteredSchema, SchemaKind, Schemas};

use super::protobuf_files::decoder;
use super::{batch_of, column, columns_of, encode, names, not_null, raw, rows};

const SHOP: &str = r#"syntax = "proto3"; package shop;
import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto"; import "confluent/type/decimal.proto";
message Order {
  int64 id = 1; optional string note = 2; repeated int32 sizes = 3; map<string, int64> counts = 4; Customer customer = 5;
  oneof pay { string card = 6; Cash cash = 7; } Side side = 8; uint64 big = 9; fixed32 small = 10; bool flag = 11;
  google.protobuf.Timestamp at = 12; google.protobuf.Duration took = 13; google.protobuf.Int64Value maybe = 14;
  confluent.type.Decimal price = 15; google.protobuf.Struct doc = 16; repeated Customer others = 17; sint64 delta = 1000;
  message Inner { int32 x = 1; }
}
message Customer { string name = 1; int32 age = 2; repeated string tags = 3; Customer friend = 4; }
message Cash { double amount = 1; }
enum Side { BUY = 0; SELL = 1; }"#;

fn shop() -> MessageDescriptor {
    ProtoSchema::parse(SHOP, &[]).unwrap().message(Some("shop.Order")).unwrap()
}

/// A message that its JSON describes, as another program writes it.
fn message(json: &str) -> Vec<u8> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    DynamicMessage::deserialize(shop(), &mut deserializer).unwrap().encode_to_vec()
}

fn one(bytes: &[u8], columns: Vec<DecodeColumn>) -> String {
    let found = rows(&decoder(&shop(), columns), &[bytes]);
    assert_eq!(found.len(), 1);
    found[0].strip_prefix("100 ").unwrap_or(&found[0]).to_owned()
}

fn read(bytes: &[u8], name: &str, ty: DataType) -> String {
    one(bytes, vec![column(name, ty)])
}

#[test]
fn columns_of_a_message() {
    assert_eq!(
        names(&ProtoSchema::columns(&shop())),
        "id BIGINT, note STRING, sizes ARRAY<INT>, counts MAP<STRING, BIGINT>, \
         customer STRUCT<name STRING, age INT, tags ARRAY<STRING>, friend JSON>, card STRING, cash STRUCT<amount DOUBLE>, side STRING, \
         big DECIMAL(20,0), small BIGINT, flag BOOLEAN, at TIMESTAMP(9), took INTERVAL, maybe BIGINT, price DECIMAL(38,18), doc JSON, \
         others ARRAY<STRUCT<name STRING, age INT, tags ARRAY<STRING>, friend JSON>>, delta BIGINT"
    );
}

#[test]
fn values_become_the_columns_that_are_declared() {
    let bytes = message(
        r#"{"id":"-7","note":"n","sizes":[1,2,300],"counts":{"a":"5"},"customer":{"name":"ann","tags":["x"],"friend":{"name":"bob"}},
        "cash":{"amount":"2.5"},"side":"SELL","big":"18446744073709551615","small":4000000000,"flag":true,"at":"1969-12-31T23:59:58.5Z",
        "took":"3.25s","maybe":"0","price":{"value":"BNI=","scale":2},"doc":{"k":[1,null]},"delta":"-12"}"#,
    );
    assert_eq!(read(&bytes, "id", DataType::Int8), "-7");
    assert_eq!(read(&bytes, "id", types::decimal(10, 2)), "-7.00");
    assert_eq!(read(&bytes, "ID", DataType::Utf8), "-7");
    assert_eq!(read(&bytes, "sizes", types::array(DataType::Int64)), "[1,2,300]");
    assert_eq!(read(&bytes, "counts", types::map(DataType::Utf8, DataType::Int64)), "{\"a\":5}");
    assert_eq!(read(&bytes, "customer.friend.name", DataType::Utf8), "bob");
    assert_eq!(read(&bytes, "cash.amount", DataType::Float64), "2.5");
    assert_eq!(read(&bytes, "card", DataType::Utf8), "NULL");
    assert_eq!(read(&bytes, "side", DataType::Utf8), "SELL");
    assert_eq!(read(&bytes, "side", DataType::Int32), "1");
    assert_eq!(read(&bytes, "big", types::decimal(20, 0)), "18446744073709551615");
    assert_eq!(read(&bytes, "big", DataType::UInt64), "18446744073709551615");
    assert_eq!(read(&bytes, "big", DataType::Int64), "100: big: '18446744073709551615' is out of range for BIGINT");
    assert_eq!(read(&bytes, "small", DataType::Int64), "4000000000");
    assert_eq!(read(&bytes, "at", types::TIMESTAMP), "1969-12-31T23:59:58.500Z");
    assert_eq!(read(&bytes, "took", types::INTERVAL), "PT3.25S");
    assert_eq!(read(&bytes, "maybe", DataType::Int64), "0");
    assert_eq!(read(&bytes, "price", types::decimal(10, 2)), "12.34");
    assert_eq!(read(&bytes, "delta", DataType::Int16), "-12");
    let json =
        |name: &str| DecodeColumn { field: Arc::new(types::json_field(name, true)), ..column(name, DataType::Utf8) };
    assert_eq!(one(&bytes, vec![json("doc")]), "{\"k\":[1.0,null]}");
    assert_eq!(one(&bytes, vec![json("customer")]), r#"{"name":"ann","tags":["x"],"friend":{"name":"bob"}}"#);
    assert_eq!(one(&bytes, vec![json("sizes")]), "[1,2,300]");
    // An event time is given as it is, a number without a sign as a BIGINT.
    assert_eq!(one(&message(r#"{"big":"17"}"#), vec![raw("big"), raw("at")]), "17 NULL");
}

#[test]
fn what_does_not_come_is_null_or_a_default() {
    let all = columns_of(&ProtoSchema::columns(&shop()));
    let expected = "0 NULL [] {} NULL NULL NULL BUY 0 0 false NULL NULL NULL NULL NULL [] 0";
    assert_eq!(one(b"", all), expected);
    let error = one(b"", vec![not_null(column("note", DataType::Utf8))]);
    assert!(error.starts_with("100: note: the value is NULL or missing"), "{error}");
    assert_eq!(one(b"", vec![column("customer.name", DataType::Utf8)]), "NULL");
    assert_eq!(one(&message(r#"{"customer":{}}"#), vec![column("customer.name", DataType::Utf8)]), "");
    // A proto2 file says what its defaults are.
    let text = r#"syntax = "proto2"; message M { required int32 a = 1; optional int32 b = 2 [default = 7]; optional string c = 3 [default = "x"];
        optional E e = 4 [default = TWO]; optional int32 f = 5; enum E { ONE = 1; TWO = 2; } optional group G = 6 { optional int32 g = 1; } }"#;
    let message = ProtoSchema::parse(text, &[]).unwrap().message(None).unwrap();
    let decoder = decoder(&message, columns_of(&ProtoSchema::columns(&message)));
    assert_eq!(
        rows(&decoder, &[&b"\x08\x05"[..], b"\x28\x01\x33\x08\x09\x34"]),
        ["100 5 7 x TWO NULL NULL", "101 NULL 7 x TWO 1 {\"g\":9}"]
    );
    assert_eq!(
        rows(&decoder, &[&b"\x33\x08\x09"[..]])[0],
        "100: g: the message ends within it: it is cut off, or of another type"
    );
}

#[test]
fn fields_come_in_any_order_and_twice() {
    let first =
        message(r#"{"id":"1","sizes":[1],"customer":{"name":"ann","tags":["x"]},"card":"c","counts":{"a":"1"}}"#);
    let second = message(
        r#"{"id":"2","sizes":[2,3],"customer":{"age":9,"tags":["y"]},"cash":{"amount":"1"},"counts":{"b":"2"}}"#,
    );
    let both = [first.clone(), second.clone()].concat();
    let customer = vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("age", DataType::Int32, true),
        Field::new("tags", types::array(DataType::Utf8), true),
    ];
    let columns = || {
        vec![
            column("id", DataType::Int64),
            column("sizes", types::array(DataType::Int32)),
            column("customer", DataType::Struct(customer.clone().into())),
            column("customer.tags", types::array(DataType::Utf8)),
            column("card", DataType::Utf8),
            column("cash.amount", DataType::Float64),
            column("counts", types::map(DataType::Utf8, DataType::Int64)),
        ]
    };
    // The last value counts, lists are longer, messages are merged, and of a oneof the last one is there.
    assert_eq!(
        one(&both, columns()),
        r#"2 [1,2,3] {"name":"ann","age":9,"tags":["x","y"]} ["x","y"] NULL 1.0 {"a":1,"b":2}"#
    );
    let turned = [second, first.clone()].concat();
    assert_eq!(
        one(&turned, columns()),
        r#"1 [2,3,1] {"name":"ann","age":9,"tags":["y","x"]} ["y","x"] c NULL {"b":2,"a":1}"#
    );
    // Repeated values one by one, which proto3 packs.
    let apart = b"\x18\x01\x18\x02\x1a\x01\x03";
    assert_eq!(read(apart, "sizes", types::array(DataType::Int32)), "[1,2,3]");
    let twice = [first.clone(), first].concat();
    assert_eq!(read(&twice, "counts", types::map(DataType::Utf8, DataType::Int64)), "100: counts: a key comes twice");
    // Fields that the schema lacks are gone past, and counted where columns are declared.
    let unknown = [&b"\xa2\x06\x02hi\x08\x05\x95\x06\x01\x02\x03\x04"[..]].concat();
    let options = ProtoDecodeOptions {
        columns: vec![column("id", DataType::Int64)],
        declared: Some(vec!["ID".to_owned()]),
        batch_rows: 10,
        keep_bytes: false,
        formats: Default::default(),
        source: ProtoSource::File(shop()),
    };
    let decoded = super::decode(&ProtoDecoder::new(options).unwrap(), &[unknown]);
    assert_eq!((decoded.unknown_fields, decoded.batches[0].rows()), (2, 1));
    // An enum's number without a name.
    assert_eq!(read(b"\x40\x09", "side", DataType::Utf8), "9");
}

#[test]
fn what_is_wrong_is_said_with_the_field() {
    let cases: [(&[u8], &str); 7] = [
        (b"\x08", "id: the message ends within it: it is cut off, or of another type"),
        (b"\x0a\x01x", "id: its value is laid out as Bytes, which its type is not: the message is of another schema"),
        (b"\x2a\x03\x0a\x05x", "customer.name: the message ends within it: it is cut off, or of another type"),
        (b"\x12\x01\xff", "note: '\u{fffd}' is no STRING: its bytes are not UTF-8"),
        (b"\x00", ": 0 is no number of a field"),
        (b"\x0f", ": the field 1 has the wire type 7, which there is not"),
        (b"\x0c", ": a group ends that did not begin"),
    ];
    for (bytes, expected) in cases {
        let all = columns_of(&ProtoSchema::columns(&shop()));
        assert_eq!(one(bytes, all), format!("100: {expected}"), "{bytes:?}");
    }
    let refused = |columns: Vec<DecodeColumn>| {
        let source = ProtoSource::File(shop());
        let options = ProtoDecodeOptions {
            columns,
            declared: None,
            batch_rows: 1,
            keep_bytes: false,
            formats: Default::default(),
            source,
        };
        ProtoDecoder::new(options).unwrap_err().message
    };
    let begin = "the columns do not fit the Protobuf schema: ";
    let error = |name: &str, ty: DataType| refused(vec![column(name, ty)]);
    assert_eq!(error("id", DataType::Boolean), format!("{begin}'id' is int64 and declared BOOLEAN"));
    assert_eq!(error("sizes", DataType::Int64), format!("{begin}'sizes' is repeated int32 and declared BIGINT"));
    assert_eq!(
        error("counts", DataType::Utf8),
        format!("{begin}'counts' is map of string and int64 and declared STRING")
    );
    assert_eq!(
        error("customer", DataType::Utf8),
        format!("{begin}'customer' is message shop.Customer and declared STRING")
    );
    assert_eq!(
        error("noe", DataType::Utf8),
        format!("{begin}there is no 'noe' in the message shop.Order (did you mean 'note'?)")
    );
    assert_eq!(error("id.x", DataType::Utf8), format!("{begin}there is no 'id.x': 'id' is int64"));
}

#[test]
fn the_registry_says_which_message_it_is() {
    let schemas = Schemas::new();
    let shared = (
        "shared.proto".to_owned(),
        "syntax = \"proto3\"; package shared; message Money { int64 cents = 1; }".to_owned(),
    );
    let text = r#"syntax = "proto3"; import "shared.proto"; message A { int32 x = 1; message In { int32 y = 1; shared.Money z = 2; } } message B { int32 x = 5; }"#;
    schemas.put(RegisteredSchema {
        id: 1,
        kind: SchemaKind::Protobuf,
        text: text.to_owned(),
        references: vec![shared],
    });
    let source = ProtoSource::Registry(Arc::new(schemas), None);
    let columns = vec![column("x", DataType::Int64), column("z.cents", DataType::Int64)];
    let options = ProtoDecodeOptions {
        columns,
        declared: None,
        batch_rows: 10,
        keep_bytes: false,
        formats: Default::default(),
        source,
    };
    let decoder = ProtoDecoder::new(options).unwrap();
    let records: [&[u8]; 8] = [
        b"\0\0\0\0\x01\0\x08\x05",
        b"\0\0\0\0\x01\x02\x02\x28\x06",
        b"\0\0\0\0\x01\x04\0\0\x12\x02\x08\x07",
        b"\0\0\0\0\x01\x02\x08\x08\x05",
        b"\0\0\0\0\x01",
        b"\0\0\0\0\x02\0",
        b"\x08\x05",
        b"\0\0\0\0\x01\0\x08\x05",
    ];
    let found = rows(&decoder, &records);
    assert_eq!(found[..3], ["100 5 NULL", "101 6 NULL", "102 NULL 7"]);
    assert_eq!(
        found[3],
        "103: : the record was written by the schema 1: it has no message at [4], which the record says it is"
    );
    assert!(
        found[4].starts_with("104: : behind the id of its schema the record does not say which message it is"),
        "{found:?}"
    );
    assert_eq!(found[5], "105: : the schema 2, which the record names, was not asked for");
    assert!(found[6].starts_with("106: : the record does not begin with a zero byte"), "{found:?}");
    assert_eq!(found[7], "107 5 NULL");
    assert_eq!(decoder.fields_of(records[2]), ["y", "z"]);
}

#[test]
fn rows_are_written_as_messages() {
    let fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("note", DataType::Utf8, true),
        Field::new("sizes", types::array(DataType::Int32), true),
        Field::new("counts", types::map(DataType::Utf8, DataType::Int64), true),
        Field::new("customer", DataType::Struct(vec![Field::new("name", DataType::Utf8, true)].into()), true),
        Field::new("side", DataType::Utf8, true),
        Field::new("at", types::TIMESTAMP, true),
        Field::new("took", types::INTERVAL, true),
        Field::new("maybe", DataType::Int32, true),
        Field::new("price", types::decimal(12, 2), true),
        Field::new("big", types::decimal(20, 0), true),
        Field::new("delta", DataType::Int32, true),
    ];
    let schema = Arc::new(Schema::new(fields));
    let long = "n".repeat(200);
    let texts = [
        format!(
            r#"{{"id":-1,"note":"","sizes":[1,-2],"counts":{{"k":1}},"customer":{{"name":"{long}"}},"side":"SELL","at":"1969-12-31T23:59:58.5Z",
            "took":"-PT1.5S","maybe":0,"price":"-12.34","big":"18446744073709551615","delta":-3}}"#
        ),
        "{}".to_owned(),
    ];
    let rows_in = batch_of(&schema, &[&texts[0], &texts[1]]);
    let mut encoder = ProtoEncoder::new(&schema, &shop(), None).unwrap();
    let records = encode(&mut encoder, &rows_in);
    assert_eq!(records[1], b"");
    // The library reads what was written.
    let theirs = DynamicMessage::decode(shop(), records[0].as_slice()).unwrap();
    assert_eq!(theirs.fields().count(), 12);
    assert!(theirs.has_field_by_name("note"), "the empty text is there");
    let found = rows(&decoder(&shop(), columns_of(schema.fields())), &records);
    let row = format!(
        "100 -1  [1,-2] {{\"k\":1}} {{\"name\":\"{long}\"}} SELL 1969-12-31T23:59:58.500Z PT-1.5S 0 -12.34 18446744073709551615 -3"
    );
    assert_eq!(found, [row.as_str(), "101 0 NULL [] {} NULL BUY NULL NULL NULL NULL 0 0"]);
    let mut error = |text: &str| {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        encoder.encode_records(&batch_of(&schema, &[text]), &mut out, &mut ends).unwrap_err().message
    };
    assert_eq!(error(r#"{"side":"HOLD"}"#), "the column 'side': 'HOLD' is none of BUY, SELL");
    assert_eq!(error(r#"{"big":-1}"#), "the column 'big': -1 is out of range for 64 bits without a sign");
    assert_eq!(error(r#"{"took":"P1D"}"#), "the column 'took': a duration of Protocol buffers has no months and days");
    assert_eq!(
        error(r#"{"sizes":[1,null]}"#),
        "the column 'sizes': an item of it is NULL, which a repeated field cannot hold"
    );
    let wrong = Schema::new(vec![Field::new("nope", DataType::Int64, true)]);
    let error = ProtoEncoder::new(&wrong, &shop(), None).unwrap_err().message;
    assert!(error.contains("'nope' is no field of shop.Order"), "{error}");
    let inner = shop().child_messages().find(|message| message.name() == "Inner").unwrap();
    let x = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]));
    let records = encode(&mut ProtoEncoder::new(&x, &inner, Some(9)).unwrap(), &batch_of(&x, &["{\"x\":1}"]));
    let indexes = shop().child_messages().position(|message| message.name() == "Inner").unwrap() as u8 * 2;
    assert_eq!(records, [[&b"\0\0\0\0\x09\x04\0"[..], &[indexes], b"\x08\x01"].concat()]);
}

#[test]
fn schemas_that_are_none_are_explained() {
    let error = ProtoSchema::parse("syntax = \"proto3\"; message A { itn32 x = 1; }", &[]).unwrap_err().message;
    assert!(error.contains("itn32"), "{error}");
    let error = ProtoSchema::parse("syntax = \"proto3\"; import \"gone.proto\";", &[]).unwrap_err().message;
    assert!(error.contains("gone.proto"), "{error}");
    let two = ProtoSchema::parse("syntax = \"proto3\"; package p; message A {} message B {}", &[]).unwrap();
    assert_eq!(two.message(None).unwrap_err().message, "there are several messages in the schema: p.A, p.B");
    let error = two.message(Some("p.C")).unwrap_err().message;
    assert!(error.starts_with("there is no message 'p.C' in the schema"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.bin");
    let mut compiler = protox::Compiler::new([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/protobuf")]).unwrap();
    compiler.include_imports(true).open_file("gtfs-realtime.proto").unwrap();
    std::fs::write(&path, compiler.encode_file_descriptor_set()).unwrap();
    let set = ProtoSchema::open(&path).unwrap();
    assert_eq!(set.message(Some("transit_realtime.FeedMessage")).unwrap().name(), "FeedMessage");
    std::fs::write(&path, "no descriptors").unwrap();
    assert!(ProtoSchema::open(&path).unwrap_err().message.contains("is no descriptor set"));
}

/// Records name fields by their numbers alone, so that these stay what they were, whatever the order of the columns is.
#[test]
fn a_new_version_keeps_the_numbers_of_its_fields() {
    let side = |names: &[&str]| {
        let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
        Field::new("side", DataType::Struct(fields.into()), true)
    };
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let first = Schema::new(vec![Field::new("id", DataType::Int64, true), text("name"), side(&["a", "b"])]);
    let version = proto_of_columns("shop.Order", first.fields()).unwrap();
    let before = ProtoSchema::parse(&version, &[]).unwrap().message(None).unwrap();
    assert_eq!(proto_version_of_columns(&before, first.fields()).unwrap(), version);
    let second = Schema::new(vec![text("tier"), side(&["c", "a"]), Field::new("id", DataType::Int64, true)]);
    let version = proto_version_of_columns(&before, second.fields()).unwrap();
    let expected = "syntax = \"proto3\";
package shop;
message Order {
  message Type3 {
    reserved 2;
    reserved \"b\";
    optional int64 c = 3;
    optional int64 a = 1;
  }
  reserved 2;
  reserved \"name\";
  optional string tier = 4;
  optional Type3 side = 3;
  optional int64 id = 1;
}
";
    assert_eq!(version, expected);
    // A field that comes again is another one.
    let before = ProtoSchema::parse(&version, &[]).unwrap().message(None).unwrap();
    let third = Schema::new(vec![text("name"), text("tier")]);
    let version = proto_version_of_columns(&before, third.fields()).unwrap();
    assert!(version.contains("  reserved 2, 1, 3;\n  reserved \"id\", \"side\";\n"), "{version}");
    assert!(version.contains("name = 5;\n  optional string tier = 4;\n"), "{version}");
    ProtoSchema::parse(&version, &[]).unwrap();
    // What the protocol keeps for itself is not taken.
    let late = "syntax = \"proto3\"; message M { int64 id = 18999; }";
    let before = ProtoSchema::parse(late, &[]).unwrap().message(None).unwrap();
    let version = proto_version_of_columns(&before, third.fields()).unwrap();
    assert!(version.contains("name = 20000;\n  optional string tier = 20001;\n"), "{version}");
}
