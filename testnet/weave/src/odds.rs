//! Chance from a seed. Whether something happens depends on the seed, what it is and to whom, not on what was asked before: threads may
//! come in any order and a run still replays.

use ao_types::hash::sha256;

/// Certain.
pub const ALWAYS: u32 = 1_000_000;

/// A number from a seed.
pub fn draw(seed: u64, what: &str, whom: &[&[u8]]) -> u64 {
    let mut pieces: Vec<&[u8]> = Vec::with_capacity(whom.len() + 3);
    let seed = seed.to_be_bytes();
    pieces.extend([&seed[..], what.as_bytes(), &[0]]);
    pieces.extend(whom);
    let hash = sha256(&pieces);
    hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Whether it happens, so many times in a million.
pub fn happens(seed: u64, what: &str, whom: &[&[u8]], per_million: u32) -> bool {
    draw(seed, what, whom) % u64::from(ALWAYS) < u64::from(per_million)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_are_kept_and_repeat() {
        let of = |seed, per_million| (0u32..10_000).filter(|n| happens(seed, "x", &[&n.to_be_bytes()], per_million)).count();
        assert_eq!(of(1, 0), 0);
        assert_eq!(of(1, ALWAYS), 10_000);
        assert!((2_800..3_200).contains(&of(1, 300_000)), "{}", of(1, 300_000));
        assert_eq!(of(1, 300_000), of(1, 300_000));
        assert_ne!(draw(1, "x", &[b"a"]), draw(2, "x", &[b"a"]));
        assert_ne!(draw(1, "x", &[b"a"]), draw(1, "y", &[b"a"]));
    }
}
