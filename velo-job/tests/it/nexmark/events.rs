//! The events of the generator one by one, for plain computations over them.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, StructArray};
use velo_core::Clock;
use velo_core::connector::{Connector, Fetch};
use velo_core::properties::Options;
use velo_source_gen::NexmarkConnector;

/// A bid.
#[derive(Debug, Clone)]
pub struct Bid {
    pub auction: i64,
    pub bidder: i64,
    pub price: i64,
    pub channel: String,
    pub url: String,
    /// Microseconds.
    pub at: i64,
    pub extra: String,
}

fn integer(of: &StructArray, name: &str, row: usize) -> i64 {
    of.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(row)
}

fn text(of: &StructArray, name: &str, row: usize) -> String {
    of.column_by_name(name).unwrap().as_string::<i32>().value(row).to_owned()
}

/// The bids among the events that `pairs` say, out of the table of all events.
pub async fn bids(pairs: &[(&str, &str)]) -> Vec<Bid> {
    let binding = NexmarkConnector.bind_source(&mut Options::from_pairs(pairs.iter().copied())).unwrap();
    let schema = binding.infer_schema().await.unwrap();
    let request = velo_testkit::source_request("nexmark", &schema, &Clock::manual(0));
    let mut source = binding.open(request).await.unwrap();
    let (mut reader, decoder) = (source.reader(0, None).await.unwrap(), source.decoder());
    let mut bids = Vec::new();
    // The events end, so that nothing but chunks comes before that.
    while let Fetch::Chunk(chunk) = reader.next().await.unwrap() {
        for batch in decoder.decode(&chunk).unwrap().batches {
            let kinds = batch.columns.column(0).as_primitive::<Int32Type>();
            let bid = batch.columns.column(3).as_struct();
            let times = bid.column_by_name("dateTime").unwrap().as_primitive::<TimestampMicrosecondType>();
            for row in (0..batch.rows()).filter(|row| kinds.value(*row) == 2) {
                assert!(bid.is_valid(row));
                bids.push(Bid {
                    auction: integer(bid, "auction", row),
                    bidder: integer(bid, "bidder", row),
                    price: integer(bid, "price", row),
                    channel: text(bid, "channel", row),
                    url: text(bid, "url", row),
                    at: times.value(row),
                    extra: text(bid, "extra", row),
                });
            }
        }
    }
    bids
}
