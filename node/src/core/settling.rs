//! How long own frames take to be settled, and how much farther apart they are closed while that is far longer than it could be.
//!
//! What a frame costs however few messages it holds (checks of certificates, requests, synced writes, a turn of each process, at every
//! node) is most of what a message costs while frames are small. A network with time to spare buys latency with it. One without falls
//! behind with every frame, and gains nothing by closing more of them. The scheduler sees which it is: distance and disks make every
//! certificate late, a queue makes some later than others. So the usual time is compared with the shortest lately.

use std::collections::VecDeque;

use ao_consensus::Timestamp;

use crate::limits::{FRAMES_SETTLING_MAX, SETTLED_LATE, SETTLED_MS_MIN, STRETCH_MAX};

/// Fractions of a millisecond that are kept.
const SCALE: u64 = 1 << 10;
/// The usual time follows the last eight or so frames.
const USUAL: u64 = 8;
/// The shortest time grows towards what is seen, within some thousands of frames: disks and neighbours change.
const SHORTEST: u64 = 1 << 12;

/// See the module documentation. Of the own chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settling {
    /// Frames that are closed and not settled.
    open: VecDeque<(u64, Timestamp)>,
    usual: u64,
    shortest: u64,
}

impl Settling {
    /// A frame was closed.
    pub fn closed(&mut self, now: Timestamp, sequence: u64) {
        if self.open.len() >= FRAMES_SETTLING_MAX {
            self.open.pop_front();
        }
        self.open.push_back((sequence, now));
    }

    /// Every frame up to this one is certified, or confirmed where that is one. What was settled before changes nothing.
    pub fn settled(&mut self, now: Timestamp, through: u64) {
        let mut newest = None;
        while let Some((_, at)) = self.open.pop_front_if(|(sequence, _)| *sequence <= through) {
            newest = Some(at);
        }
        let Some(at) = newest else { return };
        let sample = now.since_ms(at).max(SETTLED_MS_MIN).saturating_mul(SCALE);
        if self.shortest == 0 {
            (self.usual, self.shortest) = (sample, sample);
            return;
        }
        self.usual = self.usual - self.usual / USUAL + sample / USUAL;
        self.shortest = sample.min(self.shortest + sample.saturating_sub(self.shortest) / SHORTEST);
    }

    /// The interval while frames are settled as late as they usually are now.
    pub fn stretched(&self, interval_ms: u64) -> u64 {
        let late = self.usual.saturating_mul(SCALE) / self.shortest.saturating_mul(SETTLED_LATE).max(1);
        interval_ms.saturating_mul(late.clamp(SCALE, STRETCH_MAX * SCALE)) / SCALE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames closed every `apart` ms, each settled after `late` ms.
    fn run(settling: &mut Settling, from: u64, frames: u64, late: u64) {
        for n in from..from + frames {
            settling.closed(Timestamp(n * 1_000), n);
            settling.settled(Timestamp(n * 1_000 + late), n);
        }
    }

    #[test]
    fn distance_stretches_nothing_and_a_queue_does() {
        let mut settling = Settling::default();
        assert_eq!(settling.stretched(20), 20, "nothing is known yet");
        for late in [1, 10, 300] {
            let mut settling = Settling::default();
            run(&mut settling, 0, 200, late);
            assert_eq!(settling.stretched(20), 20, "{late}");
        }
        run(&mut settling, 0, 50, 10);
        run(&mut settling, 50, 50, 25);
        assert_eq!(settling.stretched(20), 20, "a little late");
        run(&mut settling, 100, 100, 90);
        let stretched = settling.stretched(20);
        assert!((46..=60).contains(&stretched), "three times as late as counts: {stretched}");
        run(&mut settling, 200, 100, 5_000);
        assert_eq!(settling.stretched(20), 20 * STRETCH_MAX);
        run(&mut settling, 300, 100, 10);
        assert_eq!(settling.stretched(20), 20, "and it passes");
        // What is always slow is no queue.
        run(&mut settling, 400, 6 * SHORTEST, 90);
        assert_eq!(settling.stretched(20), 20);
    }

    #[test]
    fn a_certificate_settles_what_is_before_it_and_nothing_twice() {
        let mut settling = Settling::default();
        (0..3).for_each(|n| settling.closed(Timestamp(n * 20), n));
        settling.settled(Timestamp(70), 2);
        let after = settling.clone();
        assert_eq!((after.open.len(), after.usual), (0, 30 * SCALE), "the newest counts");
        settling.settled(Timestamp(9_000), 2);
        assert_eq!(settling, after);
        for n in 3..FRAMES_SETTLING_MAX as u64 + 10 {
            settling.closed(Timestamp(n), n);
        }
        assert_eq!(settling.open.len(), FRAMES_SETTLING_MAX);
    }
}
