//! Whether the disk is slow (`faults.md` F6): the slowest hundredth of the last synced writes.
//!
//! A disk that fails grows slow first, and everything that is acknowledged waits for it. Decides only when the operator is told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::{SYNC_SLOW_MS, SYNC_TOLD_EVERY, SYNCS_LEAST, SYNCS_REMEMBERED};

/// See the module documentation.
#[derive(Debug, Default)]
pub struct SlowDisk {
    /// How long the last ones took.
    last: VecDeque<Duration>,
    told: Option<Instant>,
}

impl SlowDisk {
    /// A synced write took so long. What 99 in a hundred stay below, if that is too much and was not said lately.
    pub fn took(&mut self, time: Duration, now: Instant) -> Option<Duration> {
        if self.last.len() == SYNCS_REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(time);
        let slow = Duration::from_millis(SYNC_SLOW_MS);
        // Cheap where all is well: nothing is looked at behind a write that was fast.
        let silent = self.told.is_some_and(|told| now.saturating_duration_since(told) < SYNC_TOLD_EVERY);
        if time <= slow || silent || self.last.len() < SYNCS_LEAST {
            return None;
        }
        let mut times: Vec<Duration> = self.last.iter().copied().collect();
        times.sort_unstable();
        let p99 = times.get(times.len() * 99 / 100).copied().filter(|p99| *p99 > slow)?;
        // One in so few is no hundredth.
        let many = times.iter().filter(|time| **time > slow).count() > 1;
        if many {
            self.told = Some(now);
        }
        many.then_some(p99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_write_is_chance_and_several_are_told_once_in_a_while() {
        let (fast, slow, mut now) = (Duration::from_millis(2), Duration::from_millis(2 * SYNC_SLOW_MS), Instant::now());
        let mut disk = SlowDisk::default();
        for _ in 0..SYNCS_REMEMBERED {
            assert_eq!(disk.took(fast, now), None);
        }
        assert_eq!([disk.took(slow, now), disk.took(slow, now)], [None, None], "less than a hundredth of the last {SYNCS_REMEMBERED}");
        let told = (0..SYNCS_REMEMBERED).filter(|_| disk.took(slow, now).is_some()).count();
        assert_eq!(told, 1);
        now += SYNC_TOLD_EVERY;
        assert_eq!(disk.took(slow, now), Some(slow));
        assert_eq!(disk.last.len(), SYNCS_REMEMBERED);
        now += SYNC_TOLD_EVERY;
        assert_eq!(disk.took(fast, now), None, "it is fast again");
    }

    #[test]
    fn the_first_few_say_nothing() {
        let (slow, now, mut disk) = (Duration::from_secs(2), Instant::now(), SlowDisk::default());
        let told: Vec<bool> = (0..SYNCS_LEAST).map(|_| disk.took(slow, now).is_some()).collect();
        assert_eq!(told.iter().position(|told| *told), Some(SYNCS_LEAST - 1));
    }
}
