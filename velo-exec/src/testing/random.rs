//! Numbers from a seed, so that a failing test can be repeated.

/// The xorshift64* generator: small, fast and good enough for test input.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Numbers from `seed`; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next_u64() >> 11) % limit.max(1)
    }

    /// A number in `[from, to)`.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from).max(1).unsigned_abs()) as i64
    }
}
