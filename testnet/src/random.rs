//! Choices of a test, repeatable by the seed it prints.

/// A small generator (SplitMix64): one seed, one sequence, on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From `AONODE_SEED` if set, else from the clock; prints the seed under the test's name.
    ///
    /// # Panics
    /// `AONODE_SEED` is set and no number.
    pub fn announced(test: &str) -> Self {
        let seed = match std::env::var("AONODE_SEED") {
            Ok(text) => text.parse().expect("AONODE_SEED is a number"),
            Err(_) => std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64),
        };
        crate::say(format_args!("{test}: AONODE_SEED={seed}"));
        Self(seed)
    }

    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below zero");
        self.next_u64() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn one_seed_one_sequence() {
        // the first outputs of SplitMix64 from seed 1234567, as published with it
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }
}
