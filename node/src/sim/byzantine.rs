//! Members that do not keep the rules, one file each. They own their keys and speak at the seam: real frames, real votes.
//!
//! Two kinds are *twins*: a second node with one of the keys of the first, which does not know of it. Each keeps every rule; together
//! they sign what excludes one another. Honest nodes are on one side or the other of the twins, and hand on to both sides what they hear.

use std::sync::Arc;

use ao_consensus::{Consensus, SignedHeader, Timestamp};
use ao_types::PeerId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::network::seam::Order;

mod double_voter;
mod equivocator;
mod liar;
mod mute;
mod stale;
mod withholder;

/// How a member breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Signs two frames for one place of its chain.
    Equivocator,
    /// Attests, votes and proposes twice.
    DoubleVoter,
    /// Says nothing.
    Mute,
    /// Says everything late, and old things again.
    Stale,
    /// Schedules, and gives its frames to nobody.
    Withholder,
    /// Signs what it does not have, and gives nothing.
    Liar,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Equivocator, Self::DoubleVoter, Self::Mute, Self::Stale, Self::Withholder, Self::Liar];

    /// The keys of its nodes: one, or two for twins.
    pub fn keys(self) -> &'static [Keys] {
        match self {
            Self::Equivocator => equivocator::KEYS,
            Self::DoubleVoter => double_voter::KEYS,
            Self::Liar => liar::KEYS,
            Self::Mute | Self::Stale | Self::Withholder => &[Keys { scheduler: true, attestor: true }],
        }
    }

    /// What stands between a node and the net. `engine`: one with the member's key that is in no node, for who needs it.
    pub fn manner(self, engine: impl FnOnce() -> Result<Box<dyn Consensus>, String>) -> Result<Box<dyn Manner>, String> {
        Ok(match self {
            Self::Equivocator => Box::new(equivocator::Equivocator),
            Self::DoubleVoter => Box::new(double_voter::DoubleVoter),
            Self::Mute => Box::new(mute::Mute),
            Self::Stale => Box::new(stale::Stale::default()),
            Self::Withholder => Box::new(withholder::Withholder),
            Self::Liar => Box::new(liar::Liar::with(engine()?)),
        })
    }
}

/// Which of a member's keys a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Its wallet: it schedules the member's chain.
    pub scheduler: bool,
    /// Its BLS key: it attests.
    pub attestor: bool,
}

/// What reaches a node.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A frame's header, whatever came with it.
    Header(Arc<SignedHeader>, PeerId),
    /// Bytes for its engine.
    Engine(PeerId, Bytes),
    /// The deadline.
    Time,
}

/// What leaves, and when.
pub struct Leaving {
    /// What.
    pub order: Order,
    /// So much later, milliseconds.
    pub after_ms: u64,
}

impl Leaving {
    /// At once.
    pub fn now(order: Order) -> Self {
        Self { order, after_ms: 0 }
    }
}

/// Stands between a node and the net. Made once for each node; survives its crashes.
pub trait Manner: Send {
    /// What leaves instead of this.
    fn leaves(&mut self, order: Order) -> Vec<Leaving>;

    /// Whether it gives frames and items to who asks, and answers for others' clients.
    fn serves(&self) -> bool;

    /// Something reached the node, or its time has come; what leaves for it. The node hears the same.
    fn hears(&mut self, _now: Timestamp, _what: Heard) -> Vec<Leaving> {
        Vec::new()
    }

    /// When [`Heard::Time`] is due.
    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}
