//! How long to leave somebody alone who did not answer.
//!
//! Half a second, doubling to a minute, shortened by chance down to its half so that many nodes do not come back at once. Chance is an
//! argument: this module draws none and reads no clock.

use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX};

/// Milliseconds to wait after `failures` failures in a row (1 after the first). `chance` is any number, better an even one.
pub fn pause_ms(failures: u32, chance: u32) -> u64 {
    let (first, max) = (BACKOFF_FIRST.as_millis() as u64, BACKOFF_MAX.as_millis() as u64);
    let whole = first.checked_shl(failures.saturating_sub(1)).map_or(max, |doubled| doubled.clamp(first, max));
    whole / 2 + u64::from(chance) * (whole - whole / 2) / u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_minute_and_lie_between_half_and_whole() {
        let whole: Vec<_> = (0..10).map(|failures| pause_ms(failures, u32::MAX)).collect();
        assert_eq!(whole, [500, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        for failures in [1, 5, 9, 63, 64, 65, u32::MAX] {
            let (least, most) = (pause_ms(failures, 0), pause_ms(failures, u32::MAX));
            assert!(least == most / 2 && most <= 60_000, "{failures}: {least} {most}");
            assert!((least..=most).contains(&pause_ms(failures, u32::MAX / 3)));
        }
    }
}
