//! The core's time: never back, never still (`faults.md` F7).
//!
//! The machine's clock may be set back, by an operator or after a bad moment of its source. Engines are promised that time does not fall,
//! and waits must end. So until the machine's clock has caught up, the core's goes on at half the speed of time that truly passes.

use ao_consensus::Timestamp;

/// See the module documentation.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    shown: Timestamp,
    /// What is left of a half millisecond.
    rest_ms: u64,
}

impl Steady {
    /// Begins with what the clock shows.
    pub fn at(clock: Timestamp) -> Self {
        Self { shown: clock, rest_ms: 0 }
    }

    /// What time it was at the last call.
    pub fn shown(&self) -> Timestamp {
        self.shown
    }

    /// What time it is, if the machine's clock shows this and so many milliseconds have truly passed since the last call.
    pub fn now(&mut self, clock: Timestamp, passed_ms: u64) -> Timestamp {
        if clock >= self.shown {
            (self.shown, self.rest_ms) = (clock, 0);
        } else {
            let passed = passed_ms.saturating_add(self.rest_ms);
            self.shown = self.shown.plus_ms(passed / 2);
            self.rest_ms = passed % 2;
        }
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_right_is_believed() {
        let mut steady = Steady::at(Timestamp(100));
        assert_eq!([100, 101, 5_000].map(|ms| steady.now(Timestamp(ms), 1).0), [100, 101, 5_000]);
    }

    #[test]
    fn after_a_step_back_time_goes_on_and_the_clock_catches_up() {
        let mut steady = Steady::at(Timestamp(10_000));
        let (mut clock, mut last) = (6_000, 10_000);
        for _ in 0..8_000 {
            clock += 1;
            let now = steady.now(Timestamp(clock), 1).0;
            assert!(now >= last && now - last <= 1, "{now} after {last}");
            last = now;
        }
        assert_eq!((clock, last), (14_000, 14_000), "at half speed, a step of 4 s is made good after 8 s");
        assert_eq!(steady.now(Timestamp(14_500), 500).0, 14_500);
    }
}
