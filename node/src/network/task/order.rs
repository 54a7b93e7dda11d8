//! What the core wants.

use std::sync::Arc;

use ao_consensus::limits::UPLOADS_MAX;
use ao_consensus::{Evidence, Offence as Fault, To};
use ao_p2p::limits::{DIRECT_BYTES_MAX, GOSSIP_BYTES_MAX};
use ao_p2p::{Command, Kind, Offence, PeerId, Shard, Topic};
use ao_types::Chain;
use ao_types::codec::Canonical;
use bytes::Bytes;

use super::{Asking, Task, forward, names};
use crate::network::items::Purpose;
use crate::network::limits::TELL_MAX;
use crate::network::message::{Direct, Gossip, HEAD_BYTES, Place, Tip};
use crate::network::seam::{Held, Order, Published};

/// What an offence that the core found costs.
fn offence(fault: Fault) -> Offence {
    match fault {
        Fault::Malformed => Offence::Malformed,
        Fault::BadSignature | Fault::Unlawful => Offence::Invalid,
        // Honest nodes that lag behind an epoch say such things for a while.
        Fault::Foreign => Offence::Replay,
        Fault::Conflict => Offence::Fault,
        Fault::Flood => Offence::Flood,
        Fault::Withheld => Offence::Timeout,
    }
}

/// The topic of a chain's frames.
pub(in crate::network) fn topic(chain: &Chain) -> Topic {
    Topic::Frames(Shard::of(&chain.scheduler.encode()))
}

impl Task {
    pub(super) fn on_order(&mut self, order: Order) {
        let now = (self.clock)();
        match order {
            Order::Publish(frame) => self.publish(&frame),
            Order::Stored(held) => self.stored(held),
            Order::TurnedBack { chain, next, last } => {
                self.sync.turned_back(now, Tip { chain, next, last });
                self.due = true;
            }
            Order::Engine(To::Peer(peer), bytes) => {
                if let Some(peer) = names::from_types(&peer).filter(|peer| *peer != self.network.peer_id()) {
                    self.tell(peer, Direct::Engine(bytes).encode());
                }
            }
            Order::Engine(To::All, bytes) => self.tell_kind(bytes),
            Order::Fetch(fetch) => {
                let holders: Vec<PeerId> = fetch.holders.iter().filter_map(names::from_types).collect();
                self.sync.fetch(now, &fetch, &holders);
                self.due = true;
            }
            Order::Items { ids, holders } => {
                let holders: Vec<PeerId> = holders.iter().filter_map(names::from_types).collect();
                for id in ids {
                    // Those without room are asked for again by the node.
                    self.items.want(now, id, &holders, Purpose::Lacked);
                }
                self.due = true;
            }
            Order::Evidence(evidence) => self.evidence(&evidence),
            Order::Location(item) => {
                let location = Direct::Location(item).encode();
                self.location = Some(location.clone());
                self.tell_connected(&location);
            }
            Order::Penalise(peer, fault) => {
                if let Some(peer) = names::from_types(&peer) {
                    self.send(Command::Penalise { peer, offence: offence(fault) });
                }
            }
            Order::Forward { forward, to, load } => match names::from_types(&to) {
                Some(peer) => match self.forwards.begin(forward, load) {
                    Ok(data) => self.ask(peer, Kind::Forward, data, Asking::Forward(forward)),
                    Err(why) => self.arrive_surely(forward::refused(forward, why)),
                },
                None => self.arrive_surely(forward::refused(forward, "the process's scheduler has no node that can be reached")),
            },
        }
    }

    /// Small frames go as they are; of larger ones the header, and the body is ready to be asked for.
    fn publish(&mut self, frame: &Arc<Published>) {
        let now = (self.clock)();
        let (header, Some(raw)) = (&frame.header, frame.header.to_raw()) else { return };
        let (chain, next) = (header.chain, header.sequence + 1);
        self.sync.local(now, Tip { chain, next, last: header.id() });
        let whole = frame.to_wire().filter(|bytes| bytes.len() + HEAD_BYTES <= GOSSIP_BYTES_MAX);
        let gossip = match whole {
            Some(bytes) => Gossip::Frame(bytes),
            None => {
                self.servers.server.prepare(header.id(), frame.payload.clone());
                Gossip::Header { header: Box::new(raw), holder: self.network.peer_id() }
            }
        };
        self.send(Command::Publish { topic: topic(&chain), data: gossip.encode() });
    }

    /// A frame of others is durable here. If its body had to be pulled, others that may still look for it are told: unless the scheduler's
    /// node can serve everybody at once, and nobody looks for another holder. Each word costs both ends a stream, for each frame; where a
    /// holder fails, whoever is connected is asked, and the tips that all tell each other every second say who has the frame.
    fn stored(&mut self, held: Held) {
        let Held { chain, sequence, frame } = held;
        let now = (self.clock)();
        self.sync.local(now, Tip { chain, next: sequence + 1, last: frame });
        self.spread.done(&frame);
        self.due = true;
        if let Some(at) = self.large.iter().position(|pulled| *pulled == frame) {
            self.large.remove(at);
            if self.connected.len() <= UPLOADS_MAX {
                return;
            }
            let have = Direct::Have(Place { chain, sequence, frame }).encode();
            // Which peers: other ones for each frame, the same way on every run.
            let mut peers: Vec<PeerId> = self.connected.iter().copied().collect();
            peers.sort_by_cached_key(|peer| ao_types::hash::sha256(&[&frame.0, &peer.key()]));
            peers.into_iter().take(TELL_MAX).for_each(|peer| self.tell(peer, have.clone()));
        }
    }

    /// An engine repeats what may have been lost: the wire was cut, a peer was away. Gossip carries equal bytes only once, so what is said
    /// again goes to every connected peer by itself.
    fn tell_kind(&mut self, bytes: Bytes) {
        if self.said.insert(&bytes) {
            return self.tell_all(Topic::Votes, bytes, Gossip::Engine, Direct::Engine);
        }
        if bytes.len() + HEAD_BYTES <= DIRECT_BYTES_MAX {
            self.tell_connected(&Direct::Engine(bytes).encode());
        }
    }

    pub(super) fn tell_connected(&mut self, data: &Bytes) {
        let peers: Vec<PeerId> = self.connected.iter().copied().collect();
        peers.into_iter().for_each(|peer| self.tell(peer, data.clone()));
    }

    fn evidence(&mut self, evidence: &Evidence) {
        self.tell_all(Topic::Evidence, evidence.encode().into(), Gossip::Evidence, Direct::Evidence);
    }

    /// By gossip if it fits, else to every connected peer.
    fn tell_all(&mut self, topic: Topic, bytes: Bytes, gossip: fn(Bytes) -> Gossip, direct: fn(Bytes) -> Direct) {
        if bytes.len() + HEAD_BYTES <= GOSSIP_BYTES_MAX {
            self.send(Command::Publish { topic, data: gossip(bytes).encode() });
        } else if bytes.len() + HEAD_BYTES <= DIRECT_BYTES_MAX {
            self.tell_connected(&direct(bytes).encode());
        } else {
            tracing::error!(
                event = "message_oversize",
                topic = topic.as_str(),
                bytes = bytes.len(),
                "a message for all nodes is above {DIRECT_BYTES_MAX} bytes and stays here"
            );
        }
    }
}
