//! How far this node's clock is from the others' (`faults.md` F7).
//!
//! Peers say what time it is for them whenever they say how far they are. What a message takes on its way is far below what matters here, so
//! one word is a measurement. The offset is the median over the validators that are connected: less than half of them cannot move it,
//! and strangers, who cost nothing, are not asked. With an even number the smaller of the two in the middle counts, so that one other node alone
//! convinces nobody against a second one. Refuses to correct any clock, and to say what follows from an offset.

use std::collections::{BTreeMap, BTreeSet};

use ao_consensus::Timestamp;
use ao_p2p::PeerId;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Clocks {
    validators: BTreeSet<PeerId>,
    /// How much this node's clock was ahead of each peer's, milliseconds.
    ahead_ms: BTreeMap<PeerId, i64>,
}

impl Clocks {
    /// Believes these.
    pub fn of(validators: impl IntoIterator<Item = PeerId>) -> Self {
        Self { validators: validators.into_iter().collect(), ahead_ms: BTreeMap::new() }
    }

    /// A peer's clock shows this.
    pub fn heard(&mut self, peer: PeerId, theirs: Timestamp, ours: Timestamp) {
        if self.validators.contains(&peer) {
            let ahead = i128::from(ours.0) - i128::from(theirs.0);
            self.ahead_ms.insert(peer, ahead.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
        }
    }

    /// It is not connected any more.
    pub fn gone(&mut self, peer: &PeerId) {
        self.ahead_ms.remove(peer);
    }

    /// How much this node's clock is ahead of the others'; `None` while no validator has said what time it is.
    pub fn ahead_ms(&self) -> Option<i64> {
        let mut offsets: Vec<i64> = self.ahead_ms.values().copied().collect();
        offsets.sort_unstable();
        let middle = [offsets.len().checked_sub(1)? / 2, offsets.len() / 2];
        middle.into_iter().filter_map(|at| offsets.get(at).copied()).min_by_key(|offset| offset.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(seed: u8) -> PeerId {
        ao_p2p::NodeKey::from_seed(&mut [seed; 32]).unwrap().peer_id().unwrap()
    }

    fn offset(of: &[i64], strangers: &[i64]) -> Option<i64> {
        let validators = (0..of.len()).map(|n| peer(n as u8));
        let mut clocks = Clocks::of(validators);
        for (n, ahead) in of.iter().chain(strangers).enumerate() {
            clocks.heard(peer(n as u8), Timestamp(1_000_000_u64.saturating_add_signed(-ahead)), Timestamp(1_000_000));
        }
        clocks.ahead_ms()
    }

    #[test]
    fn less_than_half_of_the_validators_move_nothing() {
        assert_eq!(offset(&[], &[]), None);
        assert_eq!(offset(&[0, 1, 90_000], &[]), Some(1));
        assert_eq!(offset(&[-70_000, -70_001, 5], &[]), Some(-70_000));
        assert_eq!(offset(&[0, 90_000], &[]), Some(0), "the smaller of two");
        assert_eq!(offset(&[3], &[90_000; 50]), Some(3), "strangers are not heard");
        assert_eq!(offset(&[], &[7, 8, 9]), None, "also where no validator is");
    }

    #[test]
    fn who_leaves_is_forgotten_and_strangers_take_no_room() {
        let mut clocks = Clocks::of([peer(200), peer(201)]);
        (0..100).for_each(|n| clocks.heard(peer(n), Timestamp(0), Timestamp(5)));
        assert_eq!(clocks.ahead_ms.len(), 0);
        clocks.heard(peer(200), Timestamp(u64::MAX), Timestamp(0));
        assert_eq!(clocks.ahead_ms(), Some(i64::MIN));
        clocks.heard(peer(201), Timestamp(0), Timestamp(5));
        clocks.gone(&peer(200));
        assert_eq!(clocks.ahead_ms(), Some(5));
    }
}
