//! The course of the benchmark: which event has which kind, time and number, as Nexmark's own generator has it.

use velo_core::properties::{Options, PropertyError};

use crate::properties::NexmarkProperties;

/// The number of the first person and auction.
pub(super) const FIRST_ID: u64 = 1_000;

/// Persons and auctions so many numbers ahead of the newest are bid and sold by and for, too.
const LEAD: u64 = 10;

/// A hot auction, seller or bidder is one of so many.
const HOT_OF: u64 = 100;

/// A prime, by which a group of events is put out of order.
const SHUFFLE: u64 = 953;

/// The largest number of what is counted again for each event, or written out for one.
const LARGEST: u64 = 100_000;

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Person,
    Auction,
    Bid,
}

/// The course of the events.
#[derive(Debug, Clone)]
pub(super) struct Course {
    pub(super) properties: NexmarkProperties,
    /// Events of all kinds that come round and round.
    round: u64,
}

impl Course {
    /// The course that `properties` say; what is impossible is noted in `options`.
    pub(super) fn new(properties: NexmarkProperties, options: &mut Options) -> Self {
        let mut least = |key: &str, value: u64, least: u64, why: &str| {
            if value < least {
                options.error(PropertyError {
                    key: key.to_owned(),
                    origin: None,
                    message: format!("'{key}' is {value}, and must be {least} or more: {why}"),
                    help: None,
                });
            }
        };
        least("person.proportion", properties.person_proportion, 1, "every auction and bid is by a person");
        least("auction.proportion", properties.auction_proportion, 1, "every bid is for an auction");
        least("bid.hot.ratio.auctions", properties.hot_auctions, 1, "1 has no hot auctions");
        least("bid.hot.ratio.bidders", properties.hot_bidders, 1, "1 has no hot bidders");
        least("auction.hot.ratio.sellers", properties.hot_sellers, 1, "1 has no hot sellers");
        least("event.rate", properties.event_rate, 1, "time must go on");
        least("rows.per.second", properties.rows_per_second.unwrap_or(1), 1, "rows must come");
        least("out.of.order.group.size", properties.group_size, 1, "1 leaves events in order");
        let largest = [
            ("person.proportion", properties.person_proportion),
            ("auction.proportion", properties.auction_proportion),
            ("bid.proportion", properties.bid_proportion),
            ("out.of.order.group.size", properties.group_size),
            ("auctions.in.flight", properties.auctions_in_flight),
            ("people.active", properties.people_active),
            ("person.avg.size", properties.person_size as u64),
            ("auction.avg.size", properties.auction_size as u64),
            ("bid.avg.size", properties.bid_size as u64),
        ];
        for (key, value) in largest {
            if value > LARGEST {
                options.error(PropertyError {
                    key: key.to_owned(),
                    origin: None,
                    message: format!("'{key}' is {value}, and can be {LARGEST} at most"),
                    help: None,
                });
            }
        }
        if properties.group_size.is_multiple_of(SHUFFLE) {
            options.error(PropertyError {
                key: "out.of.order.group.size".to_owned(),
                origin: None,
                message: format!(
                    "'out.of.order.group.size' cannot be a multiple of {SHUFFLE}, by which a group is shuffled"
                ),
                help: Some(format!("write {}", properties.group_size + 1)),
            });
        }
        let round = properties.person_proportion + properties.auction_proportion + properties.bid_proportion;
        Self { properties, round }
    }

    /// The event that comes at `turn`: another one only where events come out of order.
    #[inline]
    pub(super) fn event(&self, turn: u64) -> u64 {
        let size = self.properties.group_size;
        if size <= 1 {
            return turn;
        }
        let first = turn - turn % size;
        first + (turn % size) * SHUFFLE % size
    }

    /// The kind of an event.
    #[inline]
    pub(super) fn kind(&self, event: u64) -> Kind {
        let at = event % self.round;
        if at < self.properties.person_proportion {
            Kind::Person
        } else if at < self.properties.person_proportion + self.properties.auction_proportion {
            Kind::Auction
        } else {
            Kind::Bid
        }
    }

    /// How many of the first `turns` events are of `kind`.
    pub(super) fn count(&self, kind: Kind, turns: u64) -> u64 {
        let (persons, auctions) = (self.properties.person_proportion, self.properties.auction_proportion);
        let (from, to) = match kind {
            Kind::Person => (0, persons),
            Kind::Auction => (persons, persons + auctions),
            Kind::Bid => (persons + auctions, self.round),
        };
        let whole = turns - turns % self.properties.group_size.max(1);
        let ordered = whole / self.round * (to - from) + (whole % self.round).clamp(from, to) - from;
        let rest = (whole..turns).filter(|turn| self.kind(self.event(*turn)) == kind).count();
        ordered + rest as u64
    }

    /// When an event happens: microseconds, whole milliseconds.
    #[inline]
    pub(super) fn micros(&self, event: u64) -> i64 {
        self.properties.time_start.0.saturating_add(self.millis(event).saturating_mul(1_000))
    }

    /// Milliseconds from the start to an event.
    #[inline]
    pub(super) fn millis(&self, event: u64) -> i64 {
        (event.saturating_mul(1_000) / self.properties.event_rate.max(1)) as i64
    }

    /// The newest person when an event happens, counted from 0.
    #[inline]
    pub(super) fn newest_person(&self, event: u64) -> u64 {
        let persons = self.properties.person_proportion;
        event / self.round * persons + (event % self.round).min(persons - 1)
    }

    /// The newest auction when an event happens, counted from 0.
    #[inline]
    pub(super) fn newest_auction(&self, event: u64) -> u64 {
        let (persons, auctions) = (self.properties.person_proportion, self.properties.auction_proportion);
        let (round, at) = (event / self.round, event % self.round);
        if at < persons {
            return (round * auctions).saturating_sub(1);
        }
        round * auctions + (at - persons).min(auctions - 1)
    }

    /// The seller or bidder that was hot lately, counted from 0.
    #[inline]
    pub(super) fn hot_person(&self, event: u64) -> u64 {
        self.newest_person(event) / HOT_OF * HOT_OF
    }

    /// The auction that was hot lately, counted from 0.
    #[inline]
    pub(super) fn hot_auction(&self, event: u64) -> u64 {
        self.newest_auction(event) / HOT_OF * HOT_OF
    }

    /// Any person of those that are active, and how many there are to choose from.
    #[inline]
    pub(super) fn active_people(&self, event: u64) -> (u64, u64) {
        let people = self.newest_person(event) + 1;
        let active = people.min(self.properties.people_active);
        (people - active, active + LEAD)
    }

    /// The oldest auction that is open, and how many there are to choose from.
    #[inline]
    pub(super) fn open_auctions(&self, event: u64) -> (u64, u64) {
        let newest = self.newest_auction(event);
        let oldest = newest.saturating_sub(self.properties.auctions_in_flight);
        (oldest, newest - oldest + 1 + LEAD)
    }

    /// Milliseconds that an auction can last from an event on, at most.
    pub(super) fn longest_auction(&self, event: u64) -> u64 {
        let events = self.properties.auctions_in_flight * self.round / self.properties.auction_proportion.max(1);
        let horizon = self.millis(event.saturating_add(events)) - self.millis(event);
        (horizon.unsigned_abs() * 2).max(1)
    }
}

#[cfg(test)]
mod tests {
    use velo_core::properties::Properties;

    use super::*;

    fn course(pairs: &[(&str, &str)]) -> Course {
        let mut options = Options::from_pairs(pairs.iter().copied());
        let properties = NexmarkProperties::read(&mut options);
        let course = Course::new(properties, &mut options);
        assert!(!options.has_errors());
        course
    }

    #[test]
    fn of_fifty_events_one_is_a_person_and_three_are_auctions() {
        let course = course(&[]);
        let kinds: Vec<Kind> = (0..50).map(|event| course.kind(event)).collect();
        assert_eq!(kinds[0], Kind::Person);
        assert_eq!(kinds[1..4], [Kind::Auction; 3]);
        assert!(kinds[4..].iter().all(|kind| *kind == Kind::Bid));
        assert_eq!((course.newest_person(0), course.newest_person(49), course.newest_person(50)), (0, 0, 1));
        assert_eq!([1, 3, 4, 49, 50, 51].map(|event| course.newest_auction(event)), [0, 2, 2, 2, 2, 3]);
        assert_eq!(course.millis(10_000), 1_000);
    }

    #[test]
    fn kinds_are_counted_also_where_events_are_out_of_order() {
        for group in ["1", "2", "7", "50", "64", "1000"] {
            let course = course(&[("out.of.order.group.size", group)]);
            for kind in [Kind::Person, Kind::Auction, Kind::Bid] {
                let mut counted = 0;
                for turn in 0..3_000 {
                    assert_eq!(course.count(kind, turn), counted, "{kind:?} of {turn} in groups of {group}");
                    counted += u64::from(course.kind(course.event(turn)) == kind);
                }
            }
            let whole = 3 * course.properties.group_size;
            let mut events: Vec<u64> = (0..whole).map(|turn| course.event(turn)).collect();
            events.sort_unstable();
            assert_eq!(events, (0..whole).collect::<Vec<_>>(), "each event comes once");
        }
    }

    #[test]
    fn what_is_impossible_is_said() {
        let mut options = Options::from_pairs([
            ("out.of.order.group.size", "953"),
            ("person.proportion", "0"),
            ("bid.avg.size", "99999999999"),
        ]);
        let properties = NexmarkProperties::read(&mut options);
        Course::new(properties, &mut options);
        assert_eq!(options.take_errors().len(), 3);
    }
}
