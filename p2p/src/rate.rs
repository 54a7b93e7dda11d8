//! A bucket of tokens: so many at once, so many per second for long. Time is an argument.

use std::time::Duration;

/// Tokens that refill with time. Counted in thousandths, so that slow rates are exact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    burst: u64,
    per_second: u64,
    left: u64,
    at: Duration,
}

impl Bucket {
    pub(crate) fn new(burst: u32, per_second: u32, now: Duration) -> Self {
        let burst = u64::from(burst) * 1000;
        Self { burst, per_second: u64::from(per_second), left: burst, at: now }
    }

    /// Takes one token; `false` when there is none. `now` is time since any fixed point and never runs backwards (if it does, nothing
    /// refills).
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        let passed = u64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(u64::MAX);
        if passed > 0 {
            self.left = self.left.saturating_add(passed.saturating_mul(self.per_second)).min(self.burst);
            self.at = now;
        }
        match self.left.checked_sub(1000) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Whether it is as full as when it was made.
    pub(crate) fn is_full(&self, now: Duration) -> bool {
        let passed = u64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(u64::MAX);
        self.left.saturating_add(passed.saturating_mul(self.per_second)) >= self.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let second = Duration::from_secs(1);
        let mut bucket = Bucket::new(3, 2, second);
        assert_eq!([second; 4].map(|now| bucket.take(now)), [true, true, true, false]);
        let half = second + Duration::from_millis(500);
        assert_eq!([half; 2].map(|now| bucket.take(now)), [true, false]);
        assert!(!bucket.is_full(half) && bucket.is_full(half + 2 * second));
        // a long rest fills it once, not more
        assert_eq!([100 * second; 4].map(|now| bucket.take(now)), [true, true, true, false]);
        assert!(!bucket.take(second), "time that runs backwards refills nothing");
    }
}
