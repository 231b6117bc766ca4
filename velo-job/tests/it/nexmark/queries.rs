//! Each query of bids alone of the scenarios in `scenarios/nexmark/`, computed in the plainest way.

use std::collections::{BTreeMap, BTreeSet};

use velo_core::decimal::to_text_i128;
use velo_core::time::iso8601;

use super::events::Bid;

/// Computes the rows of a query.
pub type Plainly = fn(&[Bid]) -> Vec<String>;

/// A query's name in the scenarios, and its rows.
pub const QUERIES: &[(&str, Plainly)] = &[
    ("q0", q0),
    ("q1", q1),
    ("q2", q2),
    ("q5", q5),
    ("q7", q7),
    ("q10", q10),
    ("q11", q11),
    ("q12", q12),
    ("q14", q14),
    ("q15", q15),
    ("q16", q16),
    ("q17", q17),
    ("q18", q18),
    ("q19", q19),
    ("q21", q21),
    ("q22", q22),
];

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// The text of a row.
macro_rules! row {
    ($($cell:expr),+ $(,)?) => { [$($cell.to_string()),+].join("|") };
}
pub(super) use row;

fn q0(bids: &[Bid]) -> Vec<String> {
    bids.iter().map(|bid| row![bid.auction, bid.bidder, bid.price, iso8601(bid.at), bid.extra]).collect()
}

/// 0.908 of a price.
fn euros(price: i64) -> String {
    to_text_i128(i128::from(price) * 908, 3)
}

fn q1(bids: &[Bid]) -> Vec<String> {
    bids.iter().map(|bid| row![bid.auction, bid.bidder, euros(bid.price), iso8601(bid.at)]).collect()
}

fn q2(bids: &[Bid]) -> Vec<String> {
    bids.iter().filter(|bid| bid.auction % 123 == 0).map(|bid| row![bid.auction, bid.price]).collect()
}

fn q5(bids: &[Bid]) -> Vec<String> {
    let mut counts: BTreeMap<(i64, i64), u64> = BTreeMap::new();
    for bid in bids {
        let last = bid.at.div_euclid(2 * SECOND) * 2 * SECOND;
        for back in 0..5 {
            *counts.entry((bid.auction, last - back * 2 * SECOND)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<i64, (i64, u64)> = BTreeMap::new();
    // Auctions come in the order of their numbers.
    for ((auction, from), count) in counts {
        let of = most.entry(from).or_insert((auction, count));
        if count > of.1 {
            *of = (auction, count);
        }
    }
    let of =
        |(from, (auction, count)): (i64, (i64, u64))| row![auction, count, iso8601(from), iso8601(from + 10 * SECOND)];
    most.into_iter().map(of).collect()
}

fn q7(bids: &[Bid]) -> Vec<String> {
    let mut highest: BTreeMap<i64, &Bid> = BTreeMap::new();
    for bid in bids {
        let of = highest.entry(bid.at.div_euclid(10 * SECOND)).or_insert(bid);
        if bid.price > of.price {
            *of = bid;
        }
    }
    let end = |window: i64| iso8601((window + 1) * 10 * SECOND);
    highest.into_iter().map(|(window, bid)| row![bid.auction, bid.price, bid.bidder, end(window)]).collect()
}

fn day(bid: &Bid) -> String {
    iso8601(bid.at)[..10].to_owned()
}

fn minute(bid: &Bid) -> String {
    iso8601(bid.at)[11..16].to_owned()
}

fn q10(bids: &[Bid]) -> Vec<String> {
    let of = |bid: &Bid| row![bid.auction, bid.bidder, bid.price, iso8601(bid.at), day(bid), minute(bid)];
    bids.iter().map(of).collect()
}

fn q11(bids: &[Bid]) -> Vec<String> {
    let mut times: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    bids.iter().for_each(|bid| times.entry(bid.bidder).or_default().push(bid.at));
    let mut rows = Vec::new();
    for (bidder, mut times) in times {
        times.sort_unstable();
        for session in times.chunk_by(|one, next| next - one <= 10 * SECOND) {
            let (first, last) = (session[0], session[session.len() - 1]);
            rows.push(row![bidder, session.len(), iso8601(first), iso8601(last + 10 * SECOND)]);
        }
    }
    rows
}

/// All bids arrive while the clock stands at `super::ARRIVAL`.
fn q12(bids: &[Bid]) -> Vec<String> {
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    bids.iter().for_each(|bid| *counts.entry(bid.bidder).or_default() += 1);
    let from = super::ARRIVAL.div_euclid(10 * SECOND) * 10 * SECOND;
    let (from, to) = (iso8601(from), iso8601(from + 10 * SECOND));
    counts.into_iter().map(|(bidder, count)| row![bidder, count, from, to]).collect()
}

fn q14(bids: &[Bid]) -> Vec<String> {
    let within = |bid: &&Bid| (1_000_000_001..50_000_000_000).contains(&(bid.price * 908));
    let of = |bid: &Bid| {
        let kind = match bid.at.rem_euclid(DAY) / (3_600 * SECOND) {
            8..=17 => "dayTime",
            0..=6 | 20..=23 => "nightTime",
            _ => "otherTime",
        };
        let letters = bid.extra.matches('c').count();
        row![bid.auction, bid.bidder, euros(bid.price), kind, iso8601(bid.at), letters]
    };
    bids.iter().filter(within).map(of).collect()
}

/// The rank of a price: below 10,000, below a million, or above.
fn rank(price: i64) -> usize {
    match price {
        ..10_000 => 0,
        10_000..1_000_000 => 1,
        _ => 2,
    }
}

/// Bids of each rank and in all, then so for different bidders and for different auctions; all is first.
fn ranks(bids: &[&Bid]) -> String {
    let mut cells = vec![bids.len().to_string()];
    cells.extend((0..3).map(|at| bids.iter().filter(|bid| rank(bid.price) == at).count().to_string()));
    for key in [|bid: &Bid| bid.bidder, |bid: &Bid| bid.auction] {
        let different = |keep: &dyn Fn(i64) -> bool| {
            bids.iter().filter(|bid| keep(bid.price)).map(|bid| key(bid)).collect::<BTreeSet<_>>().len().to_string()
        };
        cells.push(different(&|_| true));
        cells.extend((0..3).map(|at| different(&|price| rank(price) == at)));
    }
    cells.join("|")
}

fn grouped<K: Ord>(bids: &[Bid], key: impl Fn(&Bid) -> K) -> BTreeMap<K, Vec<&Bid>> {
    let mut groups: BTreeMap<K, Vec<&Bid>> = BTreeMap::new();
    bids.iter().for_each(|bid| groups.entry(key(bid)).or_default().push(bid));
    groups
}

fn q15(bids: &[Bid]) -> Vec<String> {
    grouped(bids, day).into_iter().map(|(day, bids)| row![day, ranks(&bids)]).collect()
}

fn q16(bids: &[Bid]) -> Vec<String> {
    let groups = grouped(bids, |bid| (bid.channel.clone(), day(bid)));
    let of = |((channel, day), bids): ((String, String), Vec<&Bid>)| {
        let minute = bids.iter().map(|bid| minute(bid)).max().unwrap();
        row![channel, day, minute, ranks(&bids)]
    };
    groups.into_iter().map(of).collect()
}

fn q17(bids: &[Bid]) -> Vec<String> {
    let groups = grouped(bids, |bid| (bid.auction, day(bid)));
    let of = |((auction, day), bids): ((i64, String), Vec<&Bid>)| {
        let counts: Vec<usize> = (0..3).map(|at| bids.iter().filter(|bid| rank(bid.price) == at).count()).collect();
        let prices = || bids.iter().map(|bid| bid.price);
        let (sum, count) = (i128::from(prices().sum::<i64>()), bids.len() as i128);
        // To sixteen digits, half away from zero.
        let mean = to_text_i128((sum * 10_i128.pow(16) * 2 + count) / (count * 2), 16);
        let (min, max) = (prices().min().unwrap(), prices().max().unwrap());
        row![auction, day, bids.len(), counts[0], counts[1], counts[2], min, max, mean, sum]
    };
    groups.into_iter().map(of).collect()
}

fn q18(bids: &[Bid]) -> Vec<String> {
    let of = |bids: Vec<&Bid>| {
        // The last of those with the latest time.
        let last = bids.into_iter().max_by_key(|bid| bid.at).unwrap();
        row![last.auction, last.bidder, last.price, last.channel, iso8601(last.at)]
    };
    grouped(bids, |bid| (bid.bidder, bid.auction)).into_values().map(of).collect()
}

fn q19(bids: &[Bid]) -> Vec<String> {
    let of = |mut bids: Vec<&Bid>| {
        bids.sort_by_key(|bid| (-bid.price, bid.at));
        bids.truncate(10);
        let row = |(at, bid): (usize, &Bid)| row![bid.auction, bid.bidder, bid.price, iso8601(bid.at), at + 1];
        bids.into_iter().enumerate().map(row).collect::<Vec<_>>()
    };
    grouped(bids, |bid| bid.auction).into_values().flat_map(of).collect()
}

fn q21(bids: &[Bid]) -> Vec<String> {
    let of = |bid: &Bid| {
        let hot = ["Apple", "Google", "Facebook", "Baidu"].iter().position(|hot| *hot == bid.channel);
        let id = match hot {
            Some(at) => at.to_string(),
            None => bid.url.split_once("&channel_id=")?.1.to_owned(),
        };
        Some(row![bid.auction, bid.bidder, bid.price, bid.channel, id])
    };
    bids.iter().filter_map(of).collect()
}

fn q22(bids: &[Bid]) -> Vec<String> {
    let of = |bid: &Bid| {
        let parts: Vec<&str> = bid.url.split('/').collect();
        row![bid.auction, bid.bidder, bid.price, bid.channel, parts[3], parts[4], parts[5]]
    };
    bids.iter().map(of).collect()
}
