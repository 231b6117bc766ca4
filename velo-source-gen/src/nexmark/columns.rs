//! The columns of persons, auctions and bids: their names and types, and each one's values.

use std::sync::{Arc, LazyLock};

use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray, StringArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields};
use velo_core::types::TIMESTAMP;

use super::config::{Course, FIRST_ID, Kind};
use super::text::{CITIES, Channels, FIRST_NAMES, LAST_NAMES, STATES, extra, word};
use crate::random::{Bits, below};

const CATEGORIES: u64 = 5;
const FIRST_CATEGORY: u64 = 10;

/// Bytes of a bid's four numbers, as the benchmark counts them.
const BID_NUMBERS: usize = 32;
/// Bytes of an auction's six numbers.
const AUCTION_NUMBERS: usize = 48;
/// Bytes of a person's number.
const PERSON_NUMBERS: usize = 8;

/// Steps of the table of prices.
const PRICES: usize = 1024;

/// A column of one kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    PersonId,
    PersonName,
    EmailAddress,
    CreditCard,
    City,
    State,
    DateTime,
    PersonExtra,
    AuctionId,
    ItemName,
    Description,
    InitialBid,
    Reserve,
    Expires,
    Seller,
    Category,
    AuctionExtra,
    BidAuction,
    Bidder,
    Price,
    Channel,
    Url,
    BidExtra,
}

use Column::{
    AuctionExtra, AuctionId, BidAuction, BidExtra, Bidder, Category, Channel, City, CreditCard, DateTime, Description,
    EmailAddress, Expires, InitialBid, ItemName, PersonExtra, PersonId, PersonName, Price, Reserve, Seller, State, Url,
};

/// The columns of a kind with their names, in the benchmark's order.
pub(super) fn columns(kind: Kind) -> &'static [(&'static str, Column)] {
    match kind {
        Kind::Person => &[
            ("id", PersonId),
            ("name", PersonName),
            ("emailAddress", EmailAddress),
            ("creditCard", CreditCard),
            ("city", City),
            ("state", State),
            ("dateTime", DateTime),
            ("extra", PersonExtra),
        ],
        Kind::Auction => &[
            ("id", AuctionId),
            ("itemName", ItemName),
            ("description", Description),
            ("initialBid", InitialBid),
            ("reserve", Reserve),
            ("dateTime", DateTime),
            ("expires", Expires),
            ("seller", Seller),
            ("category", Category),
            ("extra", AuctionExtra),
        ],
        Kind::Bid => &[
            ("auction", BidAuction),
            ("bidder", Bidder),
            ("price", Price),
            ("channel", Channel),
            ("url", Url),
            ("dateTime", DateTime),
            ("extra", BidExtra),
        ],
    }
}

impl Column {
    /// Its type.
    pub(super) fn data_type(self) -> DataType {
        match self {
            PersonName | EmailAddress | CreditCard | City | State | PersonExtra | ItemName | Description
            | AuctionExtra | Channel | Url | BidExtra => DataType::Utf8,
            DateTime | Expires => TIMESTAMP,
            PersonId | AuctionId | InitialBid | Reserve | Seller | Category | BidAuction | Bidder | Price => {
                DataType::Int64
            }
        }
    }
}

/// The fields of a kind.
pub(super) fn fields(kind: Kind) -> Fields {
    columns(kind).iter().map(|(name, column)| Field::new(*name, column.data_type(), true)).collect()
}

/// The events of one kind, each at its row.
#[derive(Debug)]
pub(super) struct Events {
    /// How many rows there are.
    pub(super) rows: usize,
    /// Row and event, ascending by row.
    pub(super) at: Vec<(usize, u64)>,
    /// Where the other rows are NULL.
    pub(super) nulls: Option<NullBuffer>,
}

/// The price at each step, without the rounding of a library's power function: prices are the same on every machine.
static PRICE_STEPS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    // 10 ^ (6 / 1024)
    const FACTOR: f64 = 1.013_583_133_334_065_7;
    std::iter::successors(Some(100.0), |price| Some(price * FACTOR)).take(PRICES + 2).collect()
});

/// A price: 1.00 to a million, in hundredths, all magnitudes as often.
#[inline]
fn price(steps: &[f64], bits: u64) -> i64 {
    let place = crate::random::unit(bits) * PRICES as f64;
    let step = place as usize;
    let (low, high) = (steps[step], steps[step + 1]);
    (low + (high - low) * (place - step as f64)).round() as i64
}

/// Makes the values of columns.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) course: Course,
    channels: Channels,
    name: Bits,
    email: Bits,
    card: Bits,
    city: Bits,
    state: Bits,
    person_extra: Bits,
    item: Bits,
    description: Bits,
    initial: Bits,
    reserve: Bits,
    expires: Bits,
    seller: Bits,
    category: Bits,
    auction_extra: Bits,
    auction: Bits,
    bidder: Bits,
    price: Bits,
    bid_extra: Bits,
}

impl Values {
    /// The values along `course`.
    pub(super) fn new(course: Course) -> Self {
        let bits = |name: &str| Bits::new(course.properties.seed, name);
        Self {
            channels: Channels::new(course.properties.seed),
            name: bits("person.name"),
            email: bits("person.emailAddress"),
            card: bits("person.creditCard"),
            city: bits("person.city"),
            state: bits("person.state"),
            person_extra: bits("person.extra"),
            item: bits("auction.itemName"),
            description: bits("auction.description"),
            initial: bits("auction.initialBid"),
            reserve: bits("auction.reserve"),
            expires: bits("auction.expires"),
            seller: bits("auction.seller"),
            category: bits("auction.category"),
            auction_extra: bits("auction.extra"),
            auction: bits("bid.auction"),
            bidder: bits("bid.bidder"),
            price: bits("bid.price"),
            bid_extra: bits("bid.extra"),
            course,
        }
    }

    /// The values of `column` for `events`.
    pub(super) fn column(&self, column: Column, events: &Events) -> Result<ArrayRef, ArrowError> {
        let course = &self.course;
        let steps = PRICE_STEPS.as_slice();
        match column {
            DateTime => Ok(numbers::<TimestampMicrosecondType>(events, |event| course.micros(event))),
            Expires => Ok(numbers::<TimestampMicrosecondType>(events, |event| {
                let length = 1 + below(self.expires.of(event), course.longest_auction(event));
                course.micros(event).saturating_add((length * 1_000) as i64)
            })),
            PersonId => Ok(ids(events, |event| course.newest_person(event))),
            AuctionId => Ok(ids(events, |event| course.newest_auction(event))),
            InitialBid => Ok(numbers::<Int64Type>(events, |event| price(steps, self.initial.of(event)))),
            Reserve => Ok(numbers::<Int64Type>(events, |event| {
                price(steps, self.initial.of(event)) + price(steps, self.reserve.of(event))
            })),
            Seller => Ok(ids(events, |event| {
                let hot = course.hot_person(event);
                self.person(self.seller, course.properties.hot_sellers, hot, event)
            })),
            Bidder => Ok(ids(events, |event| {
                // Another one than the hot seller.
                let hot = course.hot_person(event) + 1;
                self.person(self.bidder, course.properties.hot_bidders, hot, event)
            })),
            Category => {
                let category = |event| (FIRST_CATEGORY + below(self.category.of(event), CATEGORIES)) as i64;
                Ok(numbers::<Int64Type>(events, category))
            }
            BidAuction => Ok(ids(events, |event| {
                let mut draws = self.auction.draws(event);
                if draws.below(course.properties.hot_auctions) > 0 {
                    return course.hot_auction(event);
                }
                let (oldest, count) = course.open_auctions(event);
                oldest + draws.below(count)
            })),
            Price => Ok(numbers::<Int64Type>(events, |event| price(steps, self.price.of(event)))),
            Channel => texts(events, |event, out| out.extend_from_slice(self.channels.name(event))),
            Url => texts(events, |event, out| out.extend_from_slice(self.channels.address(event))),
            BidExtra => texts(events, |event, out| {
                extra(&mut self.bid_extra.draws(event), BID_NUMBERS, course.properties.bid_size, out);
            }),
            PersonName | EmailAddress | CreditCard | City | State | ItemName | Description => {
                texts(events, |event, out| self.text(column, event, out))
            }
            PersonExtra => self.extras(
                events,
                self.person_extra,
                PERSON_NUMBERS,
                course.properties.person_size,
                &[PersonName, EmailAddress, CreditCard, City, State],
            ),
            AuctionExtra => self.extras(
                events,
                self.auction_extra,
                AUCTION_NUMBERS,
                course.properties.auction_size,
                &[ItemName, Description],
            ),
        }
    }

    /// The hot person, but for one of `ratio` cases any active one.
    #[inline]
    fn person(&self, bits: Bits, ratio: u64, hot: u64, event: u64) -> u64 {
        let mut draws = bits.draws(event);
        if draws.below(ratio) > 0 {
            return hot;
        }
        let (oldest, count) = self.course.active_people(event);
        oldest + draws.below(count)
    }

    /// What fills an event up to its size, beside its numbers and `texts`.
    fn extras(
        &self,
        events: &Events,
        bits: Bits,
        numbers: usize,
        wanted: usize,
        others: &[Column],
    ) -> Result<ArrayRef, ArrowError> {
        let mut beside = Vec::new();
        texts(events, |event, out| {
            beside.clear();
            others.iter().for_each(|column| self.text(*column, event, &mut beside));
            extra(&mut bits.draws(event), numbers + beside.len(), wanted, out);
        })
    }

    /// The text of one event.
    fn text(&self, column: Column, event: u64, out: &mut Vec<u8>) {
        let pick = |from: &[&'static str], bits: u64| from[below(bits, from.len() as u64) as usize].as_bytes();
        match column {
            PersonName => {
                let mut draws = self.name.draws(event);
                out.extend_from_slice(pick(&FIRST_NAMES, draws.bits()));
                out.push(b' ');
                out.extend_from_slice(pick(&LAST_NAMES, draws.bits()));
            }
            EmailAddress => {
                let mut draws = self.email.draws(event);
                word(&mut draws, 7, b' ', out);
                out.push(b'@');
                word(&mut draws, 5, b' ', out);
                out.extend_from_slice(b".com");
            }
            CreditCard => {
                let mut draws = self.card.draws(event);
                for group in 0..4 {
                    if group > 0 {
                        out.push(b' ');
                    }
                    out.extend_from_slice(format!("{:04}", draws.below(10_000)).as_bytes());
                }
            }
            City => out.extend_from_slice(pick(&CITIES, self.city.of(event))),
            State => out.extend_from_slice(pick(&STATES, self.state.of(event))),
            ItemName => word(&mut self.item.draws(event), 20, b' ', out),
            Description => word(&mut self.description.draws(event), 100, b' ', out),
            _ => {}
        }
    }
}

/// What kind of event each row has: 0 is a person, 1 an auction, 2 a bid.
pub(super) fn event_types(kinds: impl Iterator<Item = Kind>) -> ArrayRef {
    let number = |kind| match kind {
        Kind::Person => 0,
        Kind::Auction => 1,
        Kind::Bid => 2,
    };
    Arc::new(PrimitiveArray::<Int32Type>::from_iter_values(kinds.map(number)))
}

/// Several columns as one of structs.
pub(super) fn structs(fields: Fields, columns: Vec<ArrayRef>, events: &Events) -> Result<ArrayRef, ArrowError> {
    if columns.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(events.rows, events.nulls.clone())));
    }
    Ok(Arc::new(StructArray::try_new(fields, columns, events.nulls.clone())?))
}

fn numbers<T: ArrowPrimitiveType>(events: &Events, value: impl Fn(u64) -> T::Native) -> ArrayRef {
    let mut values = vec![T::Native::default(); events.rows];
    for (row, event) in &events.at {
        values[*row] = value(*event);
    }
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), events.nulls.clone()))
}

fn ids(events: &Events, counted: impl Fn(u64) -> u64) -> ArrayRef {
    numbers::<Int64Type>(events, |event| (FIRST_ID + counted(event)) as i64)
}

fn texts(events: &Events, mut add: impl FnMut(u64, &mut Vec<u8>)) -> Result<ArrayRef, ArrowError> {
    let mut bytes = Vec::with_capacity(events.at.len() * 64);
    let mut offsets: Vec<i32> = Vec::with_capacity(events.rows + 1);
    for (row, event) in &events.at {
        // Rows of other kinds are empty.
        offsets.resize(row + 1, offset(bytes.len())?);
        add(*event, &mut bytes);
    }
    offsets.resize(events.rows + 1, offset(bytes.len())?);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(StringArray::try_new(offsets, bytes.into(), events.nulls.clone())?))
}

fn offset(bytes: usize) -> Result<i32, ArrowError> {
    i32::try_from(bytes).map_err(|_| ArrowError::OffsetOverflowError(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_have_all_magnitudes() {
        let steps = PRICE_STEPS.as_slice();
        assert_eq!((price(steps, 0), price(steps, u64::MAX)), (100, 100_000_000));
        assert_eq!(price(steps, 1 << 63), 100_000);
        assert!(((steps[PRICES] / 1e8) - 1.0).abs() < 1e-9, "{}", steps[PRICES]);
    }
}
