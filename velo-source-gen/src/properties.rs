//! The properties of the generators and of `print`.

use velo_core::duration::Span;
use velo_core::properties::PropertyValue;
use velo_core::{properties, property_choices, time};
use velo_eventtime::{Zone, parse_timestamp};

properties! {
    /// How many rows are made, how fast, and when they happen. The rule of each column is in [`FieldProperties`].
    pub struct DatagenProperties {
        /// Rows a second, by the clock. Without it they come as fast as they are taken.
        "rows.per.second" | "rows-per-second" => rows_per_second: Option<u64>,
        /// How many rows there are. Without it, and without a sequence that ends, they do not end.
        "number.of.rows" | "number-of-rows" => number_of_rows: Option<u64>,
        /// Another seed gives other rows; the same one gives the same.
        "seed" => seed: u64,
        /// The time of the first row: that of columns of the kind `time`, and of `event.time.source` = `record`.
        "time.start" => time_start: Instant = Instant(1_704_067_200_000_000),
        /// The time from one row to the next; by default what `rows.per.second` says, else one second.
        "time.interval" => time_interval: Option<Span>,
        /// Each row's time is later than its turn by up to this much.
        "time.jitter" => time_jitter: Span,
        /// Each row's time is earlier than its turn by up to this much, so rows are out of order if it is longer than the interval.
        "time.out_of_orderness" | "time.out-of-orderness" => time_out_of_orderness: Span,
    }
}

properties! {
    /// The rule of the column NAME.
    pub struct FieldProperties {
        /// How its values are made. `time` (the default of a TIMESTAMP) is the row's simulated time; `range`, or `random`, is the
        /// default of all others: any value from `min` to `max`.
        "fields.NAME.kind" => kind: Option<Kind>,
        /// The first value of a sequence or walk. A walk begins in the middle of its limits, or at 0.
        "fields.NAME.start" => start: Option<String>,
        /// The last value of a sequence; the source ends there.
        "fields.NAME.end" => end: Option<String>,
        /// From one value of a sequence to the next, or the longest step of a walk in both directions: 1, or one second or day.
        "fields.NAME.step" => step: Option<String>,
        /// The smallest value of a range, or where a walk turns. By default the type's own.
        "fields.NAME.min" => min: Option<String>,
        /// The largest value of a range, or where a walk turns. By default the type's own.
        "fields.NAME.max" => max: Option<String>,
        /// The values of a choice, separated by commas.
        "fields.NAME.values" => values: Option<String>,
        /// How often each value of a choice comes beside the others, separated by commas; by default all come as often.
        "fields.NAME.weights" => weights: Option<String>,
        /// The length of a random text.
        "fields.NAME.length" => length: Option<usize>,
        /// The share of NULLs, from 0 to 1.
        "fields.NAME.null.rate" | "fields.NAME.null-rate" => null_rate: Option<Share>,
    }
}

properties! {
    /// Which events of the benchmark are made, how many, and how fast.
    pub struct NexmarkProperties {
        /// What a row is: any event (`all`, with the columns `event_type`, `person`, `auction` and `bid`), or those of one kind alone
        /// as plain columns.
        "nexmark.table" | "table" => table: Table = Table::All,
        /// How many events there are in all; a single kind has its share of them. Without it they do not end.
        "events" | "events.num" | "number.of.rows" => events: Option<u64>,
        /// Events a second, by the clock. Without it they come as fast as they are taken.
        "rows.per.second" => rows_per_second: Option<u64>,
        /// Events a second of their own time.
        "event.rate" | "first-event.rate" | "tps" => event_rate: u64 = 10_000,
        /// Another seed gives other events; the same one gives the same.
        "seed" => seed: u64,
        /// The time of the first event.
        "time.start" => time_start: Instant = Instant(1_436_918_400_000_000),
        /// Of the sum of the three proportions, so many events are persons.
        "person.proportion" => person_proportion: u64 = 1,
        /// Of the sum of the three proportions, so many events are auctions.
        "auction.proportion" => auction_proportion: u64 = 3,
        /// Of the sum of the three proportions, so many events are bids.
        "bid.proportion" => bid_proportion: u64 = 46,
        /// One of so many bids is for any auction; the others are for the hot one of the moment.
        "bid.hot.ratio.auctions" | "bid.hot-ratio.auctions" => hot_auctions: u64 = 2,
        /// One of so many bids is by any person; the others are by the hot bidder of the moment.
        "bid.hot.ratio.bidders" | "bid.hot-ratio.bidders" => hot_bidders: u64 = 4,
        /// One of so many auctions is by any person; the others are by the hot seller of the moment.
        "auction.hot.ratio.sellers" | "auction.hot-ratio.sellers" => hot_sellers: u64 = 4,
        /// Bytes of a person, about: `extra` fills them up.
        "person.avg.size" | "person.avg-size" => person_size: usize = 200,
        /// Bytes of an auction, about: `extra` fills them up.
        "auction.avg.size" | "auction.avg-size" => auction_size: usize = 500,
        /// Bytes of a bid, about: `extra` fills them up.
        "bid.avg.size" | "bid.avg-size" => bid_size: usize = 100,
        /// How many auctions are open at a time.
        "auctions.in.flight" => auctions_in_flight: u64 = 100,
        /// How many persons bid and sell at a time.
        "people.active" => people_active: u64 = 1_000,
        /// Events come in groups of this size, and in a group out of order.
        "out.of.order.group.size" | "out-of-order-group-size" => group_size: u64 = 1,
    }
}

properties! {
    /// Where rows are printed.
    pub struct PrintProperties {
        /// Standard output (`stdout`) or standard error (`stderr`).
        "print.to" => to: PrintTo = PrintTo::Stdout,
        /// What stands before each row; the sink's name by default, nothing if empty.
        "print.identifier" | "print-identifier" => identifier: Option<String>,
    }
}

/// How the values of a column are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One after the other.
    Sequence,
    /// Any from one to another.
    Range,
    /// One of a list.
    Choice,
    /// A step up or down from the one before.
    Walk,
    /// The simulated time of the row.
    Time,
}

property_choices!(Kind {
    Sequence = "sequence",
    Range = "range" | "random",
    Choice = "choice",
    Walk = "walk",
    Time = "time"
});

/// The rows of the Nexmark generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Events of all kinds.
    All,
    /// Persons who register.
    Person,
    /// Auctions that open.
    Auction,
    /// Bids.
    Bid,
}

property_choices!(Table { All = "all", Person = "person", Auction = "auction", Bid = "bid" });

/// Where rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrintTo {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

property_choices!(PrintTo { Stdout = "stdout", Stderr = "stderr" });

/// A time, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant(pub i64);

impl PropertyValue for Instant {
    fn parse(text: &str) -> Result<Self, String> {
        let micros = parse_timestamp(text.trim(), Zone::UTC);
        micros.map(Self).map_err(|_| format!("'{text}' is no time such as 2024-01-31T10:00:00Z"))
    }

    fn kind() -> String {
        "time".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(time::iso8601(self.0))
    }
}

/// A share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(pub f64);

impl PropertyValue for Share {
    fn parse(text: &str) -> Result<Self, String> {
        let share = text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or_else(|| format!("'{text}' is no number from 0 to 1"))
    }

    fn kind() -> String {
        "number from 0 to 1".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}
