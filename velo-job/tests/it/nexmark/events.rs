//! The events of the generator one by one, for plain computations over them.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, StructArray};
use velo_core::Clock;
use velo_core::connector::{Connector, Fetch};
use velo_core::properties::Options;
use velo_source_gen::NexmarkConnector;

/// A person who registers.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: i64,
    pub name: String,
    pub city: String,
    pub state: String,
    /// Microseconds.
    pub at: i64,
}

/// An auction that opens.
#[derive(Debug, Clone)]
pub struct Auction {
    pub id: i64,
    pub item: String,
    pub initial: i64,
    pub reserve: i64,
    /// Microseconds.
    pub at: i64,
    /// Microseconds; a bid at this time is in time.
    pub expires: i64,
    pub seller: i64,
    pub category: i64,
}

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

/// All events of one run, each kind in the order in which it comes.
#[derive(Debug, Default)]
pub struct Events {
    pub persons: Vec<Person>,
    pub auctions: Vec<Auction>,
    pub bids: Vec<Bid>,
}

fn integer(of: &StructArray, name: &str, row: usize) -> i64 {
    of.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(row)
}

fn text(of: &StructArray, name: &str, row: usize) -> String {
    of.column_by_name(name).unwrap().as_string::<i32>().value(row).to_owned()
}

fn time(of: &StructArray, name: &str, row: usize) -> i64 {
    of.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>().value(row)
}

fn person(of: &StructArray, row: usize) -> Person {
    Person {
        id: integer(of, "id", row),
        name: text(of, "name", row),
        city: text(of, "city", row),
        state: text(of, "state", row),
        at: time(of, "dateTime", row),
    }
}

fn auction(of: &StructArray, row: usize) -> Auction {
    Auction {
        id: integer(of, "id", row),
        item: text(of, "itemName", row),
        initial: integer(of, "initialBid", row),
        reserve: integer(of, "reserve", row),
        at: time(of, "dateTime", row),
        expires: time(of, "expires", row),
        seller: integer(of, "seller", row),
        category: integer(of, "category", row),
    }
}

fn bid(of: &StructArray, row: usize) -> Bid {
    Bid {
        auction: integer(of, "auction", row),
        bidder: integer(of, "bidder", row),
        price: integer(of, "price", row),
        channel: text(of, "channel", row),
        url: text(of, "url", row),
        at: time(of, "dateTime", row),
        extra: text(of, "extra", row),
    }
}

/// The events that `pairs` say, out of the table of all events.
pub async fn events(pairs: &[(&str, &str)]) -> Events {
    let binding = NexmarkConnector.bind_source(&mut Options::from_pairs(pairs.iter().copied())).unwrap();
    let schema = binding.infer_schema().await.unwrap();
    let request = velo_testkit::source_request("nexmark", &schema, &Clock::manual(0));
    let mut source = binding.open(request).await.unwrap();
    let (mut reader, decoder) = (source.reader(0, None).await.unwrap(), source.decoder());
    let mut events = Events::default();
    // The events end, so that nothing but chunks comes before that.
    while let Fetch::Chunk(chunk) = reader.next().await.unwrap() {
        for batch in decoder.decode(&chunk).unwrap().batches {
            let kinds = batch.columns.column(0).as_primitive::<Int32Type>();
            for row in 0..batch.rows() {
                let kind = kinds.value(row);
                let of = batch.columns.column(1 + kind as usize).as_struct();
                assert!(of.is_valid(row));
                match kind {
                    0 => events.persons.push(person(of, row)),
                    1 => events.auctions.push(auction(of, row)),
                    _ => events.bids.push(bid(of, row)),
                }
            }
        }
    }
    events
}
