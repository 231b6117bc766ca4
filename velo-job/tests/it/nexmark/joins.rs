//! Each query of the scenarios in `scenarios/nexmark/joins.md`, computed in the plainest way: every row with every other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use velo_core::decimal::to_text_i128;
use velo_core::time::iso8601;

use super::events::{Auction, Bid, Events};
use super::queries::row;

/// Computes the rows of a query.
pub type Plainly = fn(&Events) -> Vec<String>;

/// A query's name in the scenarios, and its rows.
pub const JOINS: &[(&str, Plainly)] = &[
    ("q3", q3),
    ("q4", q4),
    ("q6", q6),
    ("q6 within a bound", q6),
    ("q8", q8),
    ("q9", q9),
    ("q13", q13),
    ("q20", q20),
    ("q23", q23),
    ("q23 with tables", q23),
];

const SECOND: i64 = 1_000_000;

fn q3(events: &Events) -> Vec<String> {
    let mut rows = Vec::new();
    for auction in events.auctions.iter().filter(|auction| auction.category == 10) {
        let sellers = events.persons.iter().filter(|person| person.id == auction.seller);
        for person in sellers.filter(|person| ["OR", "ID", "CA"].contains(&person.state.as_str())) {
            rows.push(row![person.name, person.city, person.state, auction.id]);
        }
    }
    rows
}

/// Each auction that was sold, with the bid that won: the highest, of these the first, of these the one by the lowest bidder.
fn sold(events: &Events) -> Vec<(&Auction, &Bid)> {
    let won = |auction: &Auction| {
        let in_time = |bid: &&Bid| bid.auction == auction.id && (auction.at..=auction.expires).contains(&bid.at);
        events.bids.iter().filter(in_time).min_by_key(|bid| (-bid.price, bid.at, bid.bidder))
    };
    events.auctions.iter().filter_map(|auction| Some((auction, won(auction)?))).collect()
}

/// The average of numbers with 16 digits, half away from zero.
fn average(of: &[i64]) -> String {
    let (sum, count) = (of.iter().map(|value| i128::from(*value)).sum::<i128>(), of.len() as i128);
    let scaled = sum * 10_i128.pow(16);
    to_text_i128((2 * scaled + count) / (2 * count), 16)
}

fn q4(events: &Events) -> Vec<String> {
    let mut prices: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    sold(events).iter().for_each(|(auction, bid)| prices.entry(auction.category).or_default().push(bid.price));
    prices.into_iter().map(|(category, prices)| row![category, average(&prices)]).collect()
}

fn q6(events: &Events) -> Vec<String> {
    let mut sellers: BTreeMap<i64, Vec<(&Auction, &Bid)>> = BTreeMap::new();
    sold(events).into_iter().for_each(|sale| sellers.entry(sale.0.seller).or_default().push(sale));
    let mut rows = Vec::new();
    for (seller, mut sales) in sellers {
        sales.sort_by_key(|(auction, bid)| (bid.at, auction.id));
        let prices: Vec<i64> = sales.iter().map(|(_, bid)| bid.price).collect();
        for (at, (auction, _)) in sales.iter().enumerate() {
            rows.push(row![seller, auction.id, average(&prices[at.saturating_sub(9)..=at])]);
        }
    }
    rows
}

fn q8(events: &Events) -> Vec<String> {
    let window = |at: i64| at.div_euclid(10 * SECOND) * 10 * SECOND;
    let sellers: BTreeSet<(i64, i64)> =
        events.auctions.iter().map(|auction| (auction.seller, window(auction.at))).collect();
    let sold = events.persons.iter().filter(|person| sellers.contains(&(person.id, window(person.at))));
    sold.map(|person| row![person.id, person.name, iso8601(window(person.at))]).collect()
}

fn q9(events: &Events) -> Vec<String> {
    let of = |(auction, bid): (&Auction, &Bid)| {
        row![auction.id, auction.item, auction.seller, auction.category, bid.bidder, bid.price, iso8601(bid.at)]
    };
    sold(events).into_iter().map(of).collect()
}

fn q13(events: &Events) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/data/nexmark_side_input.csv");
    let side = std::fs::read_to_string(file).unwrap();
    let side: BTreeMap<i64, &str> = side
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').unwrap())
        .map(|(key, value)| (key.parse().unwrap(), value))
        .collect();
    let of = |bid: &Bid| {
        let value = side.get(&(bid.auction % 100))?;
        Some(row![bid.auction, bid.bidder, bid.price, iso8601(bid.at), value])
    };
    events.bids.iter().filter_map(of).collect()
}

fn q20(events: &Events) -> Vec<String> {
    let mut rows = Vec::new();
    for bid in &events.bids {
        for auction in events.auctions.iter().filter(|auction| auction.id == bid.auction && auction.category == 10) {
            let (at, opens, expires) = (iso8601(bid.at), iso8601(auction.at), iso8601(auction.expires));
            let (price, channel, item) = (bid.price, &bid.channel, &auction.item);
            let (initial, reserve, seller) = (auction.initial, auction.reserve, auction.seller);
            rows.push(row![
                bid.auction,
                bid.bidder,
                price,
                channel,
                at,
                item,
                initial,
                reserve,
                opens,
                expires,
                seller
            ]);
        }
    }
    rows
}

fn q23(events: &Events) -> Vec<String> {
    let mut rows = Vec::new();
    for bid in &events.bids {
        for auction in events.auctions.iter().filter(|auction| auction.id == bid.auction && auction.category > 12) {
            for person in events.persons.iter().filter(|person| person.id == auction.seller) {
                let (item, name, state) = (&auction.item, &person.name, &person.state);
                rows.push(row![bid.auction, bid.bidder, bid.price, item, auction.seller, name, state]);
            }
        }
    }
    rows
}
