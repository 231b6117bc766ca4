//! Damaged records: each is a value or a bad record, and nothing else happens.

use std::sync::Arc;

use bytes::Bytes;
use velo_core::connector::Decoded;
use velo_format::avro::AvroSchema;
use velo_format::fuzz::Random;
use velo_format::protobuf::{ProtoDecodeOptions, ProtoDecoder, ProtoSchema, ProtoSource};
use velo_format::records::RecordDecoder;

use super::avro_files::{container, decoder};
use super::{columns_of, decode, origin};

fn check(decoder: &dyn RecordDecoder, record: &[u8]) -> Decoded {
    let bytes = Bytes::copy_from_slice(record);
    let decoded = decoder.decode_records(&bytes, &origin(), &mut [(0..record.len(), 100)].into_iter()).unwrap();
    let rows: usize = decoded.batches.iter().map(|batch| batch.rows()).sum();
    assert_eq!(rows + decoded.errors.len(), 1, "{record:?}");
    decoded
}

/// Every truncation, every bit of every byte turned, and some noise.
fn damage(decoder: &dyn RecordDecoder, record: &[u8], random: &mut Random) -> usize {
    let mut bad = 0;
    for end in 0..record.len() {
        bad += check(decoder, &record[..end]).errors.len();
    }
    for at in 0..record.len() {
        for bit in 0..8 {
            let mut turned = record.to_vec();
            turned[at] ^= 1 << bit;
            bad += check(decoder, &turned).errors.len();
        }
        let mut noise = record.to_vec();
        for byte in &mut noise[at..] {
            *byte = random.next() as u8;
        }
        bad += check(decoder, &noise).errors.len();
    }
    bad
}

#[test]
fn avro() {
    let mut random = Random::new(17);
    let names = [
        "nullable.impala.avro",
        "nested_records.avro",
        "timestamp_logical_types.avro",
        "with_union.avro",
        "duration_uuid.avro",
        "simple_enum.avro",
        "fixed_length_decimal.avro",
        "alltypes_plain.avro",
    ];
    for name in names {
        let (text, records) = container(name);
        let schema = Arc::new(AvroSchema::parse(&text, &[]).unwrap());
        let all = decoder(&schema, columns_of(&schema.columns()));
        // Without columns everything is skipped.
        let none = decoder(&schema, vec![]);
        for record in records.iter().take(3) {
            assert!(damage(&all, record, &mut random) > 0, "{name}");
            assert!(damage(&none, record, &mut random) > 0, "{name}");
        }
        // A bad record does not disturb its neighbours.
        let good = decode(&all, &records);
        let mut mixed: Vec<Vec<u8>> = Vec::new();
        for record in &records {
            mixed.push(record.clone());
            mixed.push(record[..record.len() - 1].to_vec());
        }
        let decoded = decode(&all, &mixed);
        assert_eq!(decoded.errors.len(), records.len(), "{name}");
        assert_eq!(decoded.batches[0].columns.columns(), good.batches[0].columns.columns(), "{name}");
    }
}

#[test]
fn claims_of_many_items_take_no_memory() {
    let schema = |items: &str| {
        let text = format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{{"type":"array","items":{items}}}}}]}}"#
        );
        Arc::new(AvroSchema::parse(&text, &[]).unwrap())
    };
    // 2^40 items in a block.
    let mut claim = vec![0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
    claim.push(0);
    for items in ["\"null\"", "\"long\"", "\"string\"", r#"{"type":"record","name":"E","fields":[]}"#] {
        let schema = schema(items);
        for columns in [columns_of(&schema.columns()), vec![]] {
            let decoded = check(&decoder(&schema, columns), &claim);
            assert!(
                decoded.errors[0].message.ends_with("are more than the record has bytes for"),
                "{:?}",
                decoded.errors
            );
        }
    }
}

#[test]
fn protobuf() {
    let text = r#"syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
        message Order { int64 id = 1; string note = 2; repeated sint32 numbers = 3; map<string, Item> items = 4;
          google.protobuf.Timestamp at = 5; oneof what { double price = 6; bytes blob = 7; } Side side = 8;
          google.protobuf.Int32Value maybe = 9; Item item = 300; }
        message Item { string name = 1; repeated Item parts = 2; fixed64 count = 3; }
        enum Side { BUY = 0; SELL = 1; }"#;
    let schema = ProtoSchema::parse(text, &[]).unwrap();
    let message = schema.message(Some("Order")).unwrap();
    let decoder = |columns| {
        ProtoDecoder::new(ProtoDecodeOptions {
            columns,
            declared: None,
            batch_rows: 8192,
            keep_bytes: true,
            formats: Default::default(),
            source: ProtoSource::File(message.clone()),
        })
        .unwrap()
    };
    let json = r#"{"id":"5","note":"text","numbers":[1,-2,300],"items":{"k":{"name":"n","parts":[{"count":"7"}]}},
        "at":"2024-01-31T09:30:00.5Z","price":"2.5","side":"SELL","maybe":4,"item":{"name":"z"}}"#;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let made = prost_reflect::DynamicMessage::deserialize(message.clone(), &mut deserializer).unwrap();
    let record = prost_reflect::prost::Message::encode_to_vec(&made);
    let mut random = Random::new(23);
    let all = decoder(columns_of(&ProtoSchema::columns(&message)));
    assert!(damage(&all, &record, &mut random) > 0);
    assert!(damage(&decoder(vec![]), &record, &mut random) > 0);
    // An empty message is one of defaults; noise alone is mostly none.
    assert_eq!(check(&all, b"").errors.len(), 0);
    for _ in 0..2_000 {
        let noise: Vec<u8> = (0..random.below(30)).map(|_| random.next() as u8).collect();
        check(&all, &noise);
    }
}
