//! The simulated time of a row: its turn, moved by as much as was asked for.

use crate::random::{Bits, below};

/// When rows happen.
#[derive(Debug, Clone)]
pub(super) struct Simulated {
    start: i64,
    /// Rows in `per` microseconds.
    rows: u64,
    per: u64,
    jitter: u64,
    early: u64,
    jitter_bits: Bits,
    early_bits: Bits,
}

impl Default for Simulated {
    fn default() -> Self {
        Self::new(0, (1, 1_000_000), 0, 0, 0)
    }
}

impl Simulated {
    /// From `start` on, so many rows in so many microseconds, each moved on and back by up to `jitter` and `early` microseconds.
    pub(super) fn new(start: i64, (rows, per): (u64, u64), jitter: u64, early: u64, seed: u64) -> Self {
        let (jitter_bits, early_bits) = (Bits::new(seed, "time.jitter"), Bits::new(seed, "time.out_of_orderness"));
        Self { start, rows: rows.max(1), per, jitter, early, jitter_bits, early_bits }
    }

    /// The time of a row in microseconds.
    #[inline]
    pub(super) fn at(&self, number: u64) -> i64 {
        let turn = u128::from(number) * u128::from(self.per) / u128::from(self.rows);
        let mut at = self.start.saturating_add(i64::try_from(turn).unwrap_or(i64::MAX));
        if self.jitter > 0 {
            at = at.saturating_add(below(self.jitter_bits.of(number), self.jitter + 1) as i64);
        }
        if self.early > 0 {
            at = at.saturating_sub(below(self.early_bits.of(number), self.early + 1) as i64);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stay_within_their_bounds() {
        let times = Simulated::new(100, (3, 1_000_000), 0, 0, 0);
        assert_eq!([0, 1, 2, 3].map(|number| times.at(number)), [100, 333_433, 666_766, 1_000_100]);
        let moved = Simulated::new(0, (1, 1_000), 300, 5_000, 1);
        let mut back = 0;
        for number in 0..1_000 {
            let by = moved.at(number) - number as i64 * 1_000;
            assert!((-5_000..=300).contains(&by), "{by}");
            back += u64::from(number > 0 && moved.at(number) < moved.at(number - 1));
        }
        assert!(back > 300, "{back} rows are earlier than the one before");
    }
}
