//! What travels between nodes of a run.

use ao_types::hash::sha256;
use ao_types::{Chain, Id, PeerId};
use bytes::Bytes;

use crate::error::Rejection;
use crate::handle::Accepted;
use crate::network::seam::{ForwardId, Load, Way};

/// Names gossip by its content, as the network does.
pub type GossipId = [u8; 16];

/// The name of these bytes.
pub fn gossip_id(kind: u8, bytes: &[u8]) -> GossipId {
    let hash = sha256(&[&[kind], bytes]);
    hash.first_chunk().copied().unwrap_or_default()
}

/// Which node, and which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asker {
    /// Its place among all.
    pub host: usize,
    /// Answers to an earlier life are nobody's.
    pub life: u64,
}

/// One thing on its way. `gossip`: it is handed on by who finds it right, once.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// A whole frame. `way`: also when it arrives twice, what its sender knew of it.
    Frame { from: PeerId, bytes: Bytes, gossip: Option<GossipId>, way: Way },
    /// Bytes of an engine.
    Engine { from: PeerId, bytes: Bytes, gossip: Option<GossipId> },
    /// Evidence.
    Evidence { from: PeerId, bytes: Bytes, gossip: Option<GossipId> },
    /// An item that was asked for.
    Item { from: PeerId, bytes: Bytes },
    /// A client's item for another scheduler.
    Submission { asker: Asker, forward: ForwardId, load: Load },
    /// What became of it.
    Forwarded { asker: Asker, forward: ForwardId, answer: Result<Accepted, Rejection> },
    /// "Give me these frames."
    AskFrames { asker: Asker, chain: Chain, from: u64, to: u64 },
    /// "Give me these items."
    AskItems { asker: Asker, ids: Vec<Id> },
    /// "Nobody has it", as all said who could be asked.
    Nobody { asker: Asker, item: Id, denied: Vec<PeerId> },
    /// "This is where I am in each chain: give me what follows."
    Tips { asker: Asker, next: Vec<(Chain, u64)> },
}

impl Parcel {
    /// Its name, if it is gossip.
    pub fn gossip(&self) -> Option<GossipId> {
        match self {
            Self::Frame { gossip, .. } | Self::Engine { gossip, .. } | Self::Evidence { gossip, .. } => *gossip,
            _ => None,
        }
    }

    /// The same from somebody else, or as if it were no gossip.
    pub fn handed_on(&self, by: PeerId, keep: bool) -> Self {
        let mut copy = self.clone();
        if let Self::Frame { from, gossip, .. } | Self::Engine { from, gossip, .. } | Self::Evidence { from, gossip, .. } = &mut copy {
            *from = by;
            *gossip = gossip.filter(|_| keep);
        }
        copy
    }

    /// For the trace: what kind, and how long.
    pub fn mark(&self) -> (u8, u64) {
        match self {
            Self::Frame { bytes, .. } => (1, bytes.len() as u64),
            Self::Engine { bytes, .. } => (2, bytes.len() as u64),
            Self::Evidence { bytes, .. } => (3, bytes.len() as u64),
            Self::Item { bytes, .. } => (4, bytes.len() as u64),
            Self::Submission { load, .. } => (5, load.weight() as u64),
            Self::Forwarded { answer, .. } => (6, answer.is_ok().into()),
            Self::AskFrames { from, .. } => (7, *from),
            Self::AskItems { ids, .. } => (8, ids.len() as u64),
            Self::Nobody { denied, .. } => (10, denied.len() as u64),
            Self::Tips { next, .. } => (9, next.len() as u64),
        }
    }
}
