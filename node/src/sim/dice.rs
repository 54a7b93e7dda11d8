//! Chance: all of it from one seed, and the same everywhere.

use ao_types::hash::sha256;

/// xorshift64*: enough to choose. Each purpose has dice of its own, so that one more throw for one thing changes nothing else.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// For one purpose of a run.
    pub fn of(seed: u64, purpose: &str) -> Self {
        let hash = sha256(&[b"simulation", &seed.to_be_bytes(), purpose.as_bytes()]);
        Self(hash.first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes)) | 1)
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() >> 33) as usize % end.max(1)
    }

    /// From `low` up to and with `high`.
    pub fn within(&mut self, (low, high): (u64, u64)) -> u64 {
        low + (self.draw() >> 16) % (high.saturating_sub(low) + 1)
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.within((0, 99)) < percent
    }
}
