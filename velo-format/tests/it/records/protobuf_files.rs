//! Feeds of public transport, against what the bindings of their makers found in them (`EXPECTED.json` beside the Avro files).

use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, StructArray};
use arrow_schema::DataType;
use serde_json::Value;
use velo_format::protobuf::{ProtoDecodeOptions, ProtoDecoder, ProtoSchema, ProtoSource};

use super::{batch, column, columns_of, decode};

fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).to_owned()
}

pub(crate) fn decoder(
    message: &prost_reflect::MessageDescriptor,
    columns: Vec<velo_core::connector::DecodeColumn>,
) -> ProtoDecoder {
    let options = ProtoDecodeOptions {
        columns,
        declared: None,
        batch_rows: 8192,
        keep_bytes: true,
        formats: Default::default(),
        source: ProtoSource::File(message.clone()),
    };
    ProtoDecoder::new(options).unwrap()
}

fn part<'a>(of: &'a StructArray, path: &[&str]) -> &'a dyn Array {
    let (first, rest) = path.split_first().unwrap();
    let found = of.column_by_name(first).unwrap_or_else(|| panic!("there is no {first}"));
    if rest.is_empty() { found.as_ref() } else { part(found.as_struct(), rest) }
}

#[test]
fn every_feed_has_what_was_found_in_it() {
    let expected: Value = serde_json::from_slice(&std::fs::read(folder().join("avro/EXPECTED.json")).unwrap()).unwrap();
    let schema = ProtoSchema::open(&folder().join("protobuf/gtfs-realtime.proto")).unwrap();
    let files = expected["protobuf"].as_object().unwrap();
    assert_eq!(files.len(), 3);
    for (name, expected) in files {
        let message = schema.message(expected["message"].as_str()).unwrap();
        let bytes = std::fs::read(folder().join("protobuf").join(name)).unwrap();
        let rows = batch(&decode(&decoder(&message, columns_of(&ProtoSchema::columns(&message))), &[bytes]));
        let number = |key: &str| expected[key].as_u64().unwrap() as usize;
        let header = rows.column_by_name("header").unwrap().as_struct();
        let version = part(header, &["gtfs_realtime_version"]).as_string::<i32>().value(0);
        assert_eq!(version, expected["gtfs_realtime_version"].as_str().unwrap(), "{name}");
        let at = part(header, &["timestamp"]).as_primitive::<arrow_array::types::Decimal128Type>().value(0);
        let at = velo_core::time::iso8601(at as i64 * 1_000_000);
        assert_eq!(at.replace('Z', "+00:00"), expected["header_timestamp"].as_str().unwrap());
        let entities = rows.column_by_name("entity").unwrap().as_list::<i32>().value(0);
        let entities = entities.as_struct();
        assert_eq!(entities.len(), number("entities"), "{name}");
        assert_eq!(part(entities, &["id"]).as_string::<i32>().value(0), expected["first_entity_id"].as_str().unwrap());
        let updates = part(entities, &["trip_update"]);
        assert_eq!(updates.len() - updates.null_count(), number("trip_updates"), "{name}");
        let vehicles = part(entities, &["vehicle"]);
        assert_eq!(vehicles.len() - vehicles.null_count(), number("vehicles"), "{name}");
        let stops = part(entities, &["trip_update", "stop_time_update"]).as_list::<i32>();
        let stops = stops.values().as_struct();
        assert_eq!(stops.len(), number("stop_time_updates"), "{name}");
        let arrivals = part(stops, &["arrival", "time"]).as_primitive::<Int64Type>();
        let sum: i64 = arrivals.iter().flatten().sum();
        assert_eq!(sum as u64, expected["sum_of_arrival_times"].as_u64().unwrap(), "{name}");
        let routes = part(entities, &["trip_update", "trip", "route_id"]).as_string::<i32>();
        let routes: std::collections::BTreeSet<&str> = routes.iter().flatten().collect();
        assert_eq!(routes.len(), number("routes"), "{name}");
    }
}

#[test]
fn one_column_of_a_feed() {
    let schema = ProtoSchema::open(&folder().join("protobuf/gtfs-realtime.proto")).unwrap();
    let message = schema.message(Some("transit_realtime.FeedMessage")).unwrap();
    let bytes = std::fs::read(folder().join("protobuf/nyct_trips_vehicles_2024-01-12T0646.pb")).unwrap();
    let columns = vec![
        column("header.incrementality", DataType::Utf8),
        column("header.timestamp", DataType::Int64),
        column("HEADER.gtfs_realtime_version", DataType::Utf8),
    ];
    let found = super::rows(&decoder(&message, columns), &[bytes]);
    assert_eq!(found, ["100 FULL_DATASET 1705060002 1.0"]);
}
