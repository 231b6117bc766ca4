//! How many rows a second one core makes: what a query over a generator can be fed with.
//!
//! `cargo bench -p velo-source-gen`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and stops where it cannot go on")]

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::Clock;
use velo_core::clock::Stopwatch;
use velo_core::connector::{Connector, Fetch};
use velo_core::properties::Options;
use velo_core::types::{TIMESTAMP, decimal};
use velo_source_gen::{DatagenConnector, NexmarkConnector};

const EVENTS: &str = "5000000";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let of = |table: &'static str| [("events", EVENTS), ("nexmark.table", table)];
    nexmark("all events, all columns", &of("all"), None).await;
    nexmark("all events, bids without texts", &of("all"), Some(&["bid"])).await;
    nexmark("bids alone, all columns", &of("bid"), None).await;
    nexmark("bids alone, numbers", &of("bid"), Some(&["auction", "bidder", "price", "dateTime"])).await;
    nexmark("auctions alone, all columns", &of("auction"), None).await;
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("symbol", DataType::Utf8, true),
        Field::new("price", decimal(18, 4), true),
        Field::new("quantity", DataType::Int32, true),
        Field::new("ts", TIMESTAMP, true),
    ]));
    let pairs = [
        ("number.of.rows", EVENTS),
        ("fields.id.kind", "sequence"),
        ("fields.symbol.values", "AAPL, MSFT, IBM, GOOG"),
        ("fields.price.kind", "walk"),
        ("fields.price.step", "0.05"),
        ("fields.quantity.min", "1"),
        ("fields.quantity.max", "1000"),
    ];
    measure("datagen: sequence, choice, walk, range, time", &DatagenConnector, &pairs, schema).await;
}

async fn nexmark(name: &str, pairs: &[(&str, &str)], only: Option<&[&str]>) {
    let binding = NexmarkConnector.bind_source(&mut Options::from_pairs(pairs.iter().copied())).unwrap();
    let schema = binding.infer_schema().await.unwrap();
    let fields = schema.fields().iter().filter(|field| only.is_none_or(|only| only.contains(&field.name().as_str())));
    let fields: Vec<_> = fields
        .map(|field| match field.data_type() {
            DataType::Struct(inner) if only.is_some() => {
                let numbers = inner.iter().filter(|field| *field.data_type() != DataType::Utf8).cloned().collect();
                Arc::new(Field::new(field.name(), DataType::Struct(numbers), true))
            }
            _ => Arc::clone(field),
        })
        .collect();
    measure(&format!("nexmark: {name}"), &NexmarkConnector, pairs, Arc::new(Schema::new(fields))).await;
}

async fn measure(name: &str, connector: &dyn Connector, pairs: &[(&str, &str)], schema: SchemaRef) {
    let binding = connector.bind_source(&mut Options::from_pairs(pairs.iter().copied())).unwrap();
    let request = velo_testkit::source_request("rows", &schema, &Clock::system());
    let mut source = binding.open(request).await.unwrap();
    let decoder = source.decoder();
    let mut best = f64::MAX;
    let (mut rows, mut bytes) = (0, 0);
    for _ in 0..3 {
        let mut reader = source.reader(0, None).await.unwrap();
        (rows, bytes) = (0, 0);
        let watch = Stopwatch::start();
        while let Fetch::Chunk(chunk) = reader.next().await.unwrap() {
            for batch in decoder.decode(&chunk).unwrap().batches {
                rows += batch.rows();
                bytes += batch.memory();
            }
        }
        best = best.min(watch.elapsed().as_secs_f64());
    }
    let (million, rate) = (rows as f64 / best / 1e6, bytes as f64 / best / 1e9);
    println!("{name}: {million:.1} million rows a second, {rate:.2} GB/s");
}
