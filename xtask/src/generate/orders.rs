//! Orders as JSON lines, and as CSV the customers that they name.

use super::digits::{push_decimal, push_number, push_padded};
use super::random::Random;

const TIERS: [&str; 6] = ["basic", "bronze", "silver", "gold", "platinum", "internal"];

/// 2024-01-01T00:00:00Z.
const START_MILLIS: u64 = 1_704_067_200_000;

/// Appends one order after the other, each of any customer.
pub struct Orders {
    random: Random,
    customers: u32,
    next: u64,
}

impl Orders {
    /// Orders of so many customers, whose numbers begin with 0.
    pub fn new(customers: u32, seed: u64) -> Self {
        Self { random: Random::new(seed), customers, next: 0 }
    }

    /// Appends the next row.
    pub fn push(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"id":"#);
        push_number(out, self.next);
        out.extend_from_slice(br#","customer":"#);
        push_number(out, u64::from(self.random.below(self.customers)));
        out.extend_from_slice(br#","amount":""#);
        push_decimal(out, u64::from(self.random.below(100_000)), 2);
        out.extend_from_slice(br#"","ts":"#);
        push_number(out, START_MILLIS + self.next);
        out.extend_from_slice(b"}\n");
        self.next += 1;
    }
}

/// Appends one customer after the other, in no order of their numbers.
pub struct Customers {
    random: Random,
    customers: u64,
    next: u64,
}

impl Customers {
    /// The first line of the file.
    pub const HEADER: &str = "id,name,tier,credit\n";

    /// So many customers: each number below that once, if it has no divisor but 2 and 5.
    pub fn new(customers: u64, seed: u64) -> Self {
        Self { random: Random::new(seed), customers: customers.max(1), next: 0 }
    }

    /// Appends the next row.
    pub fn push(&mut self, out: &mut Vec<u8>) {
        // The step is a prime.
        let id = self.next * 611_953 % self.customers;
        push_number(out, id);
        out.extend_from_slice(b",Customer ");
        push_padded(out, id, 7);
        out.push(b',');
        let tier = self.random.below(TIERS.len() as u32) as usize;
        out.extend_from_slice(TIERS.get(tier).copied().unwrap_or_default().as_bytes());
        out.push(b',');
        push_number(out, u64::from(self.random.below(10_000)));
        out.push(b'\n');
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_seed_means_these_rows() {
        let mut out = Vec::new();
        let mut orders = Orders::new(1_000, 1);
        (0..2).for_each(|_| orders.push(&mut out));
        let mut customers = Customers::new(1_000, 1);
        (0..2).for_each(|_| customers.push(&mut out));
        let text = String::from_utf8(out).unwrap();
        let json = r#"{"id":0,"customer":566,"amount":"745.78","ts":1704067200000}
{"id":1,"customer":971,"amount":"444.35","ts":1704067200001}
"#;
        assert_eq!(text, format!("{json}0,Customer 0000000,gold,7457\n953,Customer 0000953,internal,4443\n"));
    }

    #[test]
    fn every_customer_is_there_once() {
        for count in [1, 100, 10_000] {
            let (mut customers, mut out) = (Customers::new(count, 1), Vec::new());
            (0..count).for_each(|_| customers.push(&mut out));
            let text = String::from_utf8(out).unwrap();
            let ids: HashSet<_> = text.lines().filter_map(|line| line.split(',').next()).collect();
            assert_eq!(ids.len() as u64, count);
        }
    }
}
