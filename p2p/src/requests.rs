//! Requests: what is open in both directions, and the rules for opening more.
//!
//! Out: one outstanding request for each thing (a chunk is asked of one peer at a time), so many per peer and in all; beyond that the caller
//! hears [`Failure::TooMany`] at once and turns to another peer: back-pressure, not a queue. In: so many per peer and in all, at a rate;
//! beyond that "busy" is answered at once. Every request of others is answered: by the layer above, or "busy" when it takes too long.
//! The tables decide; the swarm's task carries out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use sha2::{Digest, Sha256};

use crate::error::Failure;
use crate::event::{Answer, InboundId, RequestId};
use crate::identity::PeerId;
use crate::limits::{DIRECT_PER_PEER, INBOUND_MAX, INBOUND_PER_PEER, REQUESTS_MAX, REQUESTS_PER_PEER};
use crate::rate::Bucket;
use crate::wire::{BadFrame, Kind, Status};

mod guard;

pub(crate) use guard::{Exchange, Exchanged, Guard};

/// What is wrong with a stream's bytes, if that is what an error says.
pub(crate) fn bad_frame(error: &io::Error) -> Option<BadFrame> {
    error.get_ref().and_then(|inner| inner.downcast_ref()).copied()
}

/// A request of ours.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: RequestId,
    pub(crate) peer: PeerId,
    pub(crate) kind: Kind,
    key: Option<[u8; 32]>,
}

/// Requests of ours that are open. Generic over libp2p's name for one, which libp2p alone can make.
pub(crate) struct Outbound<K = OutboundRequestId> {
    open: HashMap<K, Asked>,
    /// What is being asked for, over all peers.
    keys: HashSet<[u8; 32]>,
    /// Per peer: questions, direct messages.
    counts: BTreeMap<PeerId, (usize, usize)>,
}

impl<K: Hash + Eq> Outbound<K> {
    pub(crate) fn new() -> Self {
        Self { open: HashMap::new(), keys: HashSet::new(), counts: BTreeMap::new() }
    }

    /// Whether this may be asked now; [`Self::opened`] must follow at once.
    pub(crate) fn admit(&self, id: RequestId, peer: PeerId, kind: Kind, data: &[u8]) -> Result<Asked, Failure> {
        if data.len() > kind.request_bytes_max() {
            return Err(Failure::Oversize);
        }
        // engines send the same words to many; what is fetched is fetched from one
        let key = match kind {
            Kind::Direct => None,
            kind => {
                let mut hash = Sha256::new();
                hash.update([kind as u8]);
                hash.update(data);
                Some(hash.finalize().into())
            }
        };
        if key.is_some_and(|key| self.keys.contains(&key)) {
            return Err(Failure::Duplicate);
        }
        let (questions, directs) = self.counts.get(&peer).copied().unwrap_or_default();
        let full = if kind == Kind::Direct { directs >= DIRECT_PER_PEER } else { questions >= REQUESTS_PER_PEER };
        if full || self.open.len() >= REQUESTS_MAX {
            return Err(Failure::TooMany);
        }
        Ok(Asked { id, peer, kind, key })
    }

    /// It is on its way.
    pub(crate) fn opened(&mut self, request: K, asked: Asked) {
        if let Some(key) = asked.key {
            self.keys.insert(key);
        }
        let (questions, directs) = self.counts.entry(asked.peer).or_default();
        *if asked.kind == Kind::Direct { directs } else { questions } += 1;
        self.open.insert(request, asked);
    }

    /// It is over.
    pub(crate) fn closed(&mut self, request: &K) -> Option<Asked> {
        let asked = self.open.remove(request)?;
        if let Some(key) = asked.key {
            self.keys.remove(&key);
        }
        if let Some((questions, directs)) = self.counts.get_mut(&asked.peer) {
            let count = if asked.kind == Kind::Direct { &mut *directs } else { &mut *questions };
            *count = count.saturating_sub(1);
            if (*questions, *directs) == (0, 0) {
                self.counts.remove(&asked.peer);
            }
        }
        Some(asked)
    }
}

/// The way back for an answer.
pub(crate) type Channel = ResponseChannel<(Status, Bytes)>;

/// Why a request of others is answered "busy" at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Too many are open.
    Full,
    /// They come too fast: an offence.
    Flood,
}

/// A request of others that waits. Generic over the way back, which libp2p alone can make.
struct Waiting<C> {
    channel: C,
    peer: PeerId,
    kind: Kind,
    due: Duration,
}

/// Requests of others that wait for an answer.
pub(crate) struct Inbound<C = Channel> {
    next: u64,
    within: Duration,
    /// Requests per second that one peer may make.
    rate: u32,
    /// Names grow with time, so the first row is the oldest.
    waiting: BTreeMap<InboundId, Waiting<C>>,
    per_peer: BTreeMap<PeerId, usize>,
    rates: BTreeMap<PeerId, Bucket>,
}

impl<C> Inbound<C> {
    /// Answers are due `within` this; a peer may ask at this `rate` per second.
    pub(crate) fn new(within: Duration, rate: u32) -> Self {
        Self { next: 0, within, rate, waiting: BTreeMap::new(), per_peer: BTreeMap::new(), rates: BTreeMap::new() }
    }

    /// Counts a request against its peer's rate. Direct messages are counted here and nowhere else: they are answered at once.
    pub(crate) fn count(&mut self, peer: PeerId, now: Duration) -> Result<(), Turned> {
        let per_second = self.rate;
        let rate = self.rates.entry(peer).or_insert_with(|| Bucket::new(per_second.saturating_mul(2), per_second, now));
        if rate.take(now) { Ok(()) } else { Err(Turned::Flood) }
    }

    /// Whether another request of this peer may wait.
    pub(crate) fn admit(&self, peer: PeerId) -> Result<(), Turned> {
        let of_peer = self.per_peer.get(&peer).copied().unwrap_or(0);
        if of_peer >= INBOUND_PER_PEER || self.waiting.len() >= INBOUND_MAX { Err(Turned::Full) } else { Ok(()) }
    }

    /// It waits from now on.
    pub(crate) fn opened(&mut self, peer: PeerId, kind: Kind, channel: C, now: Duration) -> InboundId {
        let id = InboundId(self.next);
        self.next += 1;
        *self.per_peer.entry(peer).or_default() += 1;
        self.waiting.insert(id, Waiting { channel, peer, kind, due: now + self.within });
        id
    }

    /// The way back for an answer, and what to write; `None` if it was answered already.
    pub(crate) fn answer(&mut self, id: InboundId, answer: Answer) -> Option<(C, (Status, Bytes))> {
        let Waiting { channel, peer, kind, .. } = self.waiting.remove(&id)?;
        if let Some(count) = self.per_peer.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&peer);
            }
        }
        let written = match answer {
            Answer::Found(data) if data.len() > kind.answer_bytes_max() => {
                tracing::error!(event = "answer_oversize", kind = ?kind, bytes = data.len(), "an answer of ours is above its cap");
                (Status::Refused, Bytes::new())
            }
            Answer::Found(data) => (Status::Ok, data),
            Answer::NotFound => (Status::NotFound, Bytes::new()),
            Answer::Busy => (Status::Busy, Bytes::new()),
            Answer::Refused => (Status::Refused, Bytes::new()),
        };
        Some((channel, written))
    }

    /// A request whose answer is overdue.
    pub(crate) fn overdue(&self, now: Duration) -> Option<InboundId> {
        self.waiting.first_key_value().filter(|(_, waiting)| now >= waiting.due).map(|(id, _)| *id)
    }

    /// Forgets the rates of peers that are long quiet.
    pub(crate) fn tidy(&mut self, now: Duration) {
        self.rates.retain(|_, rate| !rate.is_full(now));
    }
}

#[cfg(test)]
mod tests;
