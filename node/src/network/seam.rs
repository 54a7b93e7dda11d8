//! Where the node and its network meet: orders go out, arrivals come in. Both ways are bounded.
//!
//! ```text
//!   core ─▶ shell ─▶ Orders ─────────▶ network shell (owns the p2p handle) ─▶ peers
//!   core ◀─ shell ◀─ Doorway::offer ◀─ network shell                       ◀─ peers
//! ```
//!
//! The network shell reads the store itself for what others ask: frames with their bodies, tips from the table of
//! frames, items. It decides nothing about what is lawful; the node decides nothing about who is asked, when and how often.
//!
//! **Promises.** *The node*: what it publishes or says that it holds is durable; an order that finds no room is dropped and counted, except
//! that a dropped [`Order::Forward`] is answered at once. *The network*: every [`Order::Forward`] is answered exactly once by
//! [`Arrival::Forwarded`], with a refusal that may be tried again if the peer does not answer in time; frames, items and engine messages
//! may be lost, repeated and reordered. An arrival that finds no room comes back from [`Doorway::offer`]: gossip is then ignored, requests
//! are answered "busy", and a range is offered again later.

use std::fmt;
use std::sync::Arc;

use ao_consensus::{Evidence, Fetch, FrameId, Offence, SignedHeader, To};
use ao_types::{Chain, Id, PeerId};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::message::StateQuestion;
use crate::error::Rejection;
use crate::handle::{Accepted, AssignRequest};

/// Orders that wait for the network. One publication per frame interval, a share for each frame of each chain, and what peers lack.
pub const ORDERS_MAX: usize = 4096;

/// A submission that another node was asked to take. Unique in one run of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForwardId(pub u64);

/// What another scheduler's node is asked to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// Raw ANS-104 bytes.
    Item(Bytes),
    /// An item that is stored, for a process.
    Assign(AssignRequest),
}

impl Load {
    /// Bytes it has room for.
    pub fn weight(&self) -> usize {
        match self {
            Self::Item(bytes) => bytes.len(),
            Self::Assign(assign) => assign.exclude.iter().map(String::len).sum(),
        }
    }
}

/// What the node wants of the network.
#[derive(Debug)]
pub enum Order {
    /// A frame of this node's own chain is durable: everybody must get it.
    Publish(Arc<Published>),
    /// A frame of another chain is durable here with its body: others may be told that this node has it.
    Stored(Held),
    /// Frames of this chain from `next` on were dropped, since others than those are confirmed: this node lacks them.
    TurnedBack {
        /// Which chain.
        chain: Chain,
        /// The first sequence that is lacking.
        next: u64,
        /// The frame before it, or the chain's id.
        last: FrameId,
    },
    /// Bytes of the engine for its kind on other nodes.
    Engine(To, Bytes),
    /// Frames that the engine or the core lacks. Answered with [`Arrival::Frame`], in order as far as possible.
    Fetch(Fetch),
    /// Items that are named and not here: bodies of frames, modules. Answered with [`Arrival::Item`] or [`Arrival::Nobody`]. Asked again
    /// while they lack.
    Items {
        /// Which.
        ids: Vec<Id>,
        /// Who most likely has them, best first; then anybody.
        holders: Vec<PeerId>,
    },
    /// A fault that was shown: to be gossiped. It is stored.
    Evidence(Arc<Evidence>),
    /// Where this node's scheduler is reached: every peer is told, now and whenever one connects.
    Location(Bytes),
    /// A peer did what honest ones do not.
    Penalise(PeerId, Offence),
    /// Something for a process that this peer schedules, checked. Answered by [`Arrival::Forwarded`].
    Forward {
        /// Comes back with the answer.
        forward: ForwardId,
        /// The scheduler's node.
        to: PeerId,
        /// What.
        load: Load,
    },
}

/// A frame as it leaves its scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Signed by this node's scheduler wallet.
    pub header: SignedHeader,
    /// Canonical bytes of its body.
    pub payload: Bytes,
}

impl Published {
    /// What travels: signed header, then body; read by [`ao_consensus::frame::WireFrame`]. `None` on a network of one.
    pub fn to_wire(&self) -> Option<Bytes> {
        use ao_types::codec::Canonical;
        let mut bytes = self.header.to_raw()?.encode();
        bytes.extend_from_slice(&self.payload);
        Some(bytes.into())
    }
}

/// A frame that this node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its chain.
    pub chain: Chain,
    /// Its place.
    pub sequence: u64,
    /// Which.
    pub frame: FrameId,
}

/// What the network hands to the node.
#[derive(Debug)]
pub enum Arrival {
    /// A whole frame, gossiped or fetched: canonical bytes of [`ao_consensus::frame::WireFrame`], at most a header and a payload of the
    /// greatest size; or its header. Hostile.
    Frame {
        /// Who handed it on.
        from: PeerId,
        /// The bytes.
        bytes: Bytes,
        /// How it came.
        way: Way,
        /// Where the verdict goes, if gossip waits for one.
        judge: Judge,
    },
    /// An item that was asked for. Hostile.
    Item {
        /// Who sent it.
        from: PeerId,
        /// Raw ANS-104 bytes.
        bytes: Bytes,
    },
    /// An item that was asked for is nowhere: everybody who is connected said so, or nobody is connected. It is not asked for any more.
    Nobody {
        /// Which.
        item: Id,
        /// Who said so.
        denied: Vec<PeerId>,
    },
    /// Bytes for the engine. Hostile.
    Engine {
        /// Who sent them, or handed them on.
        from: PeerId,
        /// The bytes.
        bytes: Bytes,
        /// Where the verdict goes, if gossip waits for one: "reject" if the engine penalises `from` for them, else "accept". Bytes that
        /// went on unseen would make honest nodes pay for what others wrote.
        judge: Judge,
    },
    /// Evidence of a fault: canonical bytes of [`Evidence`]. Hostile.
    Evidence {
        /// Who handed it on.
        from: PeerId,
        /// The bytes.
        bytes: Bytes,
        /// Where the verdict goes.
        judge: Judge,
    },
    /// Where the sender's scheduler is reached: a Scheduler-Location item. Hostile.
    Location {
        /// Who sent it.
        from: PeerId,
        /// Raw ANS-104 bytes.
        bytes: Bytes,
    },
    /// Another node's client sent this, and this node schedules the process. It is never forwarded again. Hostile.
    Submission {
        /// Who forwarded it.
        from: PeerId,
        /// What.
        load: Load,
        /// Where the answer goes.
        reply: Replier,
    },
    /// What became of an [`Order::Forward`].
    Forwarded {
        /// Which.
        forward: ForwardId,
        /// The other node's answer, or why there is none.
        answer: Result<Accepted, Rejection>,
    },
}

/// Whether gossip goes on to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Right and new.
    Accept,
    /// Neither right nor wrong for this node.
    Ignore,
    /// Wrong, and whoever forwarded it could have known.
    Reject,
}

/// How a frame came, and so what whoever it came from knew of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It was asked for: whoever gave it keeps it, and so has found it lawful.
    Asked,
    /// It was handed on when its signatures held, before anybody judged it.
    Gossip,
    /// The same, its header alone, because the place is taken: it may be another one.
    Header,
}

/// Takes one verdict. Dropped without one, it says [`Verdict::Ignore`].
pub struct Judge(Option<Box<dyn FnOnce(Verdict) + Send>>);

impl Judge {
    /// Calls this.
    pub fn new(tell: impl FnOnce(Verdict) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    /// Nobody waits for the verdict: what came was asked for.
    pub fn nobody() -> Self {
        Self(None)
    }

    /// The verdict.
    pub fn say(mut self, verdict: Verdict) {
        if let Some(tell) = self.0.take() {
            tell(verdict);
        }
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(Verdict::Ignore);
        }
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Judge(waits)" } else { "Judge(nobody)" })
    }
}

/// Takes the answer to a submission. Must be used; dropped, the asking node hears nothing and tries again later.
pub struct Replier(Box<dyn FnOnce(Result<Accepted, Rejection>) + Send>);

impl Replier {
    /// Calls this.
    pub fn new(tell: impl FnOnce(Result<Accepted, Rejection>) + Send + 'static) -> Self {
        Self(Box::new(tell))
    }

    /// The answer.
    pub fn answer(self, answer: Result<Accepted, Rejection>) {
        (self.0)(answer);
    }
}

impl fmt::Debug for Replier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replier")
    }
}

/// The node's end: where orders go.
#[derive(Clone, Debug)]
pub struct Orders(mpsc::Sender<Order>);

impl Orders {
    /// A pair: for the node, and for the network's task.
    pub fn channel() -> (Self, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel(ORDERS_MAX);
        (Self(sender), receiver)
    }

    /// Hands an order over; gives it back if there is no room, or no network any more.
    pub fn give(&self, order: Order) -> Result<(), Box<Order>> {
        self.0.try_send(order).map_err(|refused| Box::new(refused.into_inner()))
    }
}

/// Answers what peers ask about states; a node does. Called on threads that may wait for the disk.
pub trait States: Send + Sync {
    /// The answer; bounded by [`ao_p2p::Kind::answer_bytes_max`].
    fn answer(&self, from: &ao_p2p::PeerId, question: &StateQuestion) -> ao_p2p::Answer;
}

/// Knows of no state.
#[derive(Clone, Copy, Debug)]
pub struct NoStates;

impl States for NoStates {
    fn answer(&self, _from: &ao_p2p::PeerId, _question: &StateQuestion) -> ao_p2p::Answer {
        ao_p2p::Answer::NotFound
    }
}

/// The network's end: where arrivals go. A [`crate::Node`] is one.
pub trait Doorway: Send + Sync {
    /// Takes an arrival in; gives it back if there is no room.
    fn offer(&self, arrival: Arrival) -> Result<(), Box<Arrival>>;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    #[test]
    fn a_judge_speaks_once_and_a_dropped_one_ignores() {
        let heard = Arc::new(AtomicU8::new(0));
        let judge = |heard: &Arc<AtomicU8>| {
            let heard = heard.clone();
            Judge::new(move |verdict| {
                heard.fetch_add(1 + 10 * u8::from(verdict == Verdict::Ignore), Ordering::Relaxed);
            })
        };
        judge(&heard).say(Verdict::Reject);
        assert_eq!(heard.load(Ordering::Relaxed), 1);
        drop(judge(&heard));
        assert_eq!(heard.load(Ordering::Relaxed), 12);
        drop(Judge::nobody());
    }

    #[test]
    fn orders_beyond_the_bound_come_back() {
        let (orders, mut network) = Orders::channel();
        let order = |n: usize| Order::Items { ids: vec![Id([n as u8; 32])], holders: Vec::new() };
        (0..ORDERS_MAX).for_each(|n| orders.give(order(n)).unwrap());
        assert!(orders.give(order(0)).is_err());
        assert!(network.try_recv().is_ok());
        assert!(orders.give(order(0)).is_ok());
    }
}
