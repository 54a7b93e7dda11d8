//! A scheduler that signed two logs: which of them this node keeps.
//!
//! The first frame for a place that is stored stays, and the second is evidence. If the network certifies or decides the second one, what
//! is stored from that place on can never be confirmed ([`ao_consensus::Effect::Forked`]). Then this life of the core ends between two
//! batches, the rows of those frames are taken out of the store (`shell/rewind.rs`), and the next life follows the other log. There is one
//! way to begin, here too. If neither is ever certified, both stay where they are, nothing behind them is confirmed, and the evidence says
//! why.
//!
//! A scheduler that signs two logs again and again would make this node begin anew as often: per chain the waits between two turns double.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::{Chain, Contents, Evidence, Facts, FrameId, Given, SignedHeader, Timestamp};
use ao_types::PeerId;

use super::effect::Effect;
use super::{Core, Mode};
use crate::error::{Code, Rejection};
use crate::limits::{FORK_WAIT_MS_MAX, FORK_WAIT_MS_MIN};
use crate::network::seam::Order;

/// Chains whose stored frames must make room for others. Outlives a life of the core: what is certified stays so.
#[derive(Debug, Default)]
pub struct Forks {
    of: BTreeMap<Chain, Fork>,
    /// The chain whose rows are being taken out.
    pub turning: Option<Chain>,
}

#[derive(Debug)]
struct Fork {
    /// The place, and the frame that belongs there.
    place: (u64, FrameId),
    /// The rows behind it are still to be taken out; not before this time.
    due: Option<Timestamp>,
    /// The wait after that.
    wait_ms: u64,
}

impl Forks {
    /// Whether another frame belongs in this place.
    pub fn excludes(&self, header: &SignedHeader) -> Option<FrameId> {
        let (sequence, frame) = self.of.get(&header.chain)?.place;
        (sequence == header.sequence && frame != header.id()).then_some(frame)
    }

    /// When the next one is due.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.of.values().filter_map(|fork| fork.due).min()
    }

    fn due(&mut self, now: Timestamp) -> Option<(Chain, u64)> {
        let (chain, fork) = self.of.iter_mut().find(|(_, fork)| fork.due.is_some_and(|due| due <= now))?;
        fork.due = None;
        Some((*chain, fork.place.0))
    }
}

impl Core {
    /// A second header for a place that is taken here. The engine alone can tell which of the two has a future.
    pub(super) fn on_other(
        &mut self,
        now: Timestamp,
        from: PeerId,
        header: SignedHeader,
        evidence: Option<Arc<Evidence>>,
        out: &mut Vec<Effect>,
    ) {
        if self.mode != Mode::Running {
            return;
        }
        if let Some(evidence) = evidence {
            self.on_evidence(evidence, out);
        }
        let facts = Facts { contents: Contents::Unknown, durable: false };
        let given = Given { header: Arc::new(header), facts, from: Some(from) };
        self.engine_input(now, ao_consensus::Input::Frame(Box::new(given)), out);
    }

    /// The engine says which frame belongs in a place where another one is stored.
    pub(super) fn on_forked(&mut self, now: Timestamp, chain: Chain, place: (u64, FrameId), out: &mut Vec<Effect>) {
        // Somebody else signs with this node's wallet, and others believed it first. Nothing can be mended here: whatever this chain says
        // next is a fault. An operator opens another tenure.
        if chain == self.chain.chain {
            return out.push(Effect::Fault { kind: "own-chain-forked", id: place.1.0 });
        }
        let stored = self.unconfirmed.get(&(chain, place.0)).is_some_and(|stored| stored.frame.header.id() != place.1);
        let before = self.forks.of.get(&chain);
        let wait_ms = before.map_or(FORK_WAIT_MS_MIN, |fork| (fork.wait_ms * 2).min(FORK_WAIT_MS_MAX));
        let wait = before.map_or(0, |fork| fork.wait_ms);
        let due = stored.then(|| now.plus_ms(wait));
        self.forks.of.insert(chain, Fork { place, due, wait_ms });
    }

    /// Between two batches: ends this life of the core if stored frames must make room. True if it did.
    pub(super) fn turn_back(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> bool {
        let Some((chain, from)) = self.forks.due(now) else { return false };
        self.forks.turning = Some(chain);
        let text =
            "a scheduler signed two logs, and this node begins again with the one that others confirm; nothing of this counts, try again";
        self.begin_anew(&Rejection::retry(Code::Unavailable, text, 2), Some((chain, from)), out);
        true
    }

    /// The network hears from where on frames of that chain are lacking.
    pub(super) fn turned_back(&mut self, out: &mut Vec<Effect>) {
        let Some(chain) = self.forks.turning.take() else { return };
        if let Some(following) = self.others.get(&chain) {
            let (next, last) = (following.tip.next_sequence, following.tip.parent);
            out.push(Effect::Order(Box::new(Order::TurnedBack { chain, next, last })));
        }
    }
}
