//! Catching up: whom to ask for the blocks that this node missed.
//!
//! A node that missed a decision never gets it from votes: others are at a later height and say nothing more about that one. So members
//! announce how far they are, a vote of a later height says the same of its sender, and whoever is behind asks one of those ahead for
//! the blocks in between. Owns whom to ask and when to give up on them. Refuses to check blocks: what comes back carries certificates.
//!
//! A tip is an unproven claim. Who does not answer is asked again after others, for requests get lost; who never does is forgotten, and
//! that costs it.

use std::collections::BTreeMap;

use ao_consensus::Timestamp;
use ao_types::committee::PeerId;

use crate::context::Height;
use crate::limits::{SILENCES_MAX, TIPS_MAX};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    peer: PeerId,
    from: Height,
    until: Timestamp,
}

/// Who is how far, and who was asked.
#[derive(Debug, Default)]
pub struct Sync {
    /// How far each is, and how often in a row it has not answered.
    tips: BTreeMap<PeerId, (Height, u32)>,
    asked: Option<Asked>,
    /// Where the search for the next peer begins, so that not always the same one is asked.
    turn: usize,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask this peer for blocks from this height on.
    Ask(PeerId, Height),
    /// This peer claimed to be ahead and did not answer.
    Silent(PeerId),
}

impl Sync {
    /// `peer` claims to have decided `height`. Claims of more than [`TIPS_MAX`] peers: the lowest is forgotten.
    pub fn note(&mut self, peer: PeerId, height: Height) {
        let (known, _) = self.tips.entry(peer).or_default();
        *known = height.max(*known);
        if self.tips.len() > TIPS_MAX {
            let lowest = self.tips.iter().min_by_key(|(_, (height, _))| *height).map(|(peer, _)| peer.clone());
            lowest.map(|peer| self.tips.remove(&peer));
        }
    }

    /// Nothing more is expected of `peer`.
    pub fn forget(&mut self, peer: &PeerId) {
        self.tips.remove(peer);
        self.asked.take_if(|asked| asked.peer == *peer);
    }

    /// Whether an answer of `peer` that begins at `from` was asked for. It can be given once.
    pub fn answered(&mut self, peer: &PeerId, from: Height) -> bool {
        let answered = self.asked.take_if(|asked| asked.peer == *peer && asked.from == from).is_some();
        if answered && let Some((_, silences)) = self.tips.get_mut(peer) {
            *silences = 0;
        }
        answered
    }

    /// Whether somebody claims to be ahead of `tip`.
    pub fn is_behind(&self, tip: Height) -> bool {
        self.tips.values().any(|(height, _)| *height > tip)
    }

    /// What to do now that this node has decided `tip`.
    pub fn step(&mut self, now: Timestamp, tip: Height, timeout_ms: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(late) = self.asked.take_if(|asked| asked.until <= now) {
            // Decided meanwhile without it: no harm done.
            if late.from > tip
                && let Some((_, silences)) = self.tips.get_mut(&late.peer)
            {
                *silences += 1;
                if *silences >= SILENCES_MAX {
                    self.tips.remove(&late.peer);
                    steps.push(Step::Silent(late.peer));
                }
            }
        }
        // Who is not ahead tells nothing new.
        self.tips.retain(|_, (height, _)| *height > tip);
        if self.asked.is_none() && !self.tips.is_empty() {
            self.turn = (self.turn + 1) % self.tips.len();
            if let Some(peer) = self.tips.keys().nth(self.turn).cloned() {
                let from = Height(tip.0.saturating_add(1));
                self.asked = Some(Asked { peer: peer.clone(), from, until: now.plus_ms(timeout_ms) });
                steps.push(Step::Ask(peer, from));
            }
        }
        steps
    }

    /// When the one who was asked is given up on.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.asked.as_ref().map(|asked| asked.until)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn peer(number: u8) -> PeerId {
        PeerId(Bytes::copy_from_slice(&[number]))
    }

    #[test]
    fn one_of_those_ahead_is_asked_at_a_time_and_then_the_next() {
        let mut sync = Sync::default();
        sync.note(peer(1), Height(5));
        sync.note(peer(2), Height(9));
        sync.note(peer(3), Height(2));
        let first = sync.step(Timestamp(0), Height(3), 100);
        let [Step::Ask(asked, Height(4))] = &first[..] else { panic!("{first:?}") };
        assert_ne!(*asked, peer(3), "it is not ahead");
        assert_eq!(sync.step(Timestamp(99), Height(3), 100), [], "one at a time");
        assert!(!sync.answered(&peer(7), Height(4)), "somebody else was asked");
        let second = sync.step(Timestamp(100), Height(3), 100);
        let [Step::Ask(other, Height(4))] = &second[..] else { panic!("{second:?}") };
        assert_ne!(other, asked);
        assert!(sync.answered(other, Height(4)) && !sync.answered(other, Height(4)), "once");
    }

    #[test]
    fn who_claims_and_never_answers_is_forgotten_and_who_answers_now_and_then_is_not() {
        let mut sync = Sync::default();
        sync.note(peer(1), Height(u64::MAX));
        sync.note(peer(2), Height(u64::MAX));
        let (mut silent, mut now) = (Vec::new(), 0);
        for _ in 0..10 * SILENCES_MAX {
            for step in sync.step(Timestamp(now), Height(3), 100) {
                match step {
                    Step::Ask(asked, from) if asked == peer(2) && now % 300 == 0 => assert!(sync.answered(&asked, from)),
                    Step::Ask(..) => {}
                    Step::Silent(peer) => silent.push(peer),
                }
            }
            now += 100;
        }
        assert_eq!(silent, [peer(1)]);
    }

    #[test]
    fn an_answer_that_votes_overtook_is_nobody_s_fault() {
        let mut sync = Sync::default();
        sync.note(peer(1), Height(5));
        assert_eq!(sync.step(Timestamp(0), Height(3), 100), [Step::Ask(peer(1), Height(4))]);
        assert_eq!(sync.step(Timestamp(100), Height(5), 100), []);
        assert_eq!(sync.next_deadline(), None);
    }

    #[test]
    fn claims_are_bounded() {
        let mut sync = Sync::default();
        for number in 0..TIPS_MAX as u64 + 10 {
            sync.note(PeerId(Bytes::copy_from_slice(&number.to_be_bytes())), Height(number + 1));
        }
        assert_eq!(sync.tips.len(), TIPS_MAX);
        assert!(sync.tips.values().all(|(height, _)| height.0 > 10), "the lowest went");
    }
}
