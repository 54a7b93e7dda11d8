//! What the layer above asks for.

use std::collections::HashMap;

use bytes::Bytes;
use libp2p::gossipsub::{MessageAcceptance, PublishError};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};

use super::Task;
use crate::error::Failure;
use crate::event::{Answer, Command, Direction, Event, InboundId, PeerInfo, RequestId, Verdict};
use crate::gossip;
use crate::identity::{KnownPeer, PeerId};
use crate::limits::PUBLISH_RETRIES_MAX;
use crate::metrics::Shed;
use crate::peers::{BanReason, Offence};
use crate::topic::Topic;
use crate::wire::Kind;

impl Task {
    pub(super) fn on_command(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Publish { topic, data } => self.publish(topic, data),
            Command::Verdict { id, verdict } => {
                if let Some(waiting) = self.verdicts.close(id) {
                    self.report(&waiting, verdict);
                    if verdict == Verdict::Reject {
                        self.offend(waiting.from, Offence::Invalid, 1);
                    }
                }
            }
            Command::Request { id, peer, kind, data } => self.ask(id, peer, kind, data),
            Command::Respond { id, answer } => self.respond(id, answer),
            Command::Subscribe(topic) => {
                let subscribed = self.swarm.behaviour_mut().gossip.inner_mut().subscribe(self.names.ident(topic));
                if let Err(error) = subscribed {
                    tracing::error!(event = "subscribe_failed", topic = topic.as_str(), %error, "a topic of this network was refused");
                }
                self.config.topics.insert(topic);
            }
            Command::Unsubscribe(topic) => {
                self.swarm.behaviour_mut().gossip.inner_mut().unsubscribe(self.names.ident(topic));
                self.config.topics.remove(&topic);
            }
            Command::Want(known) => {
                self.swarm.behaviour_mut().admission.trust(known.peer.to_libp2p());
                self.told(&known, true, now);
                if !self.links.contains_key(&known.peer.to_libp2p()) {
                    self.dial(&known);
                }
            }
            Command::Unwant(peer) => {
                self.book.unwant(peer);
                self.swarm.behaviour_mut().admission.distrust(&peer.to_libp2p());
                if self.config.trusted_only {
                    self.disconnect(peer);
                }
            }
            Command::Hint(known) => self.told(&known, false, now),
            Command::Disconnect(peer) => self.disconnect(peer),
            Command::Ban { peer, length } => {
                if let Some(ban) = self.book.ban(peer, BanReason::COMMAND, length, now) {
                    self.enforce(ban);
                }
            }
            Command::Unban(peer) => {
                if self.book.unban(peer) {
                    self.lift(peer);
                }
            }
            Command::Penalise { peer, offence } => self.offend(peer.to_libp2p(), offence, 1),
            // whoever asked may have left: then nobody wants the answer
            Command::Peers(answer) => drop(answer.send(self.peers())),
            Command::Bans(answer) => drop(answer.send(self.book.bans().copied().collect())),
        }
    }

    pub(super) fn publish(&mut self, topic: Topic, data: Bytes) {
        let hash = self.names.hash(topic).clone();
        match self.swarm.behaviour_mut().gossip.inner_mut().publish(hash, data.to_vec()) {
            Ok(_) => self.counts.bytes(Direction::Out, "gossip", data.len()),
            Err(PublishError::NoPeersSubscribedToTopic) => {
                if self.unsent.len() >= PUBLISH_RETRIES_MAX {
                    self.unsent.pop_front();
                    self.counts.shed(Shed::Publish);
                }
                self.unsent.push_back((self.now().uptime, topic, data));
            }
            // it is in libp2p's memory now: peers are told that it exists, and those with room ask for it
            Err(PublishError::AllQueuesFull(_)) => self.counts.shed(Shed::Publish),
            Err(PublishError::Duplicate) => {}
            Err(error) => {
                tracing::error!(event = "publish_failed", topic = topic.as_str(), bytes = data.len(), %error, "a message of ours cannot be gossiped");
            }
        }
    }

    /// Tells gossipsub what to do with a message. Every message comes through here once.
    pub(super) fn report(&mut self, waiting: &gossip::Waiting, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        self.counts.verdict(waiting.topic, verdict);
        let gossip = self.swarm.behaviour_mut().gossip.inner_mut();
        gossip.report_message_validation_result(&waiting.message, &waiting.from, acceptance);
    }

    fn ask(&mut self, id: RequestId, peer: PeerId, kind: Kind, data: Bytes) {
        if self.book.is_banned(peer) || peer.to_libp2p() == *self.swarm.local_peer_id() {
            return self.sink.push(Event::Answered { id, peer, result: Err(Failure::Unreachable) });
        }
        match self.outbound.admit(id, peer, kind, &data) {
            Ok(asked) => {
                self.counts.bytes(Direction::Out, "request", data.len());
                let addresses = self.book.addresses(peer).iter().map(|address| address.as_libp2p().clone()).collect();
                let exchange = self.swarm.behaviour_mut().exchange.inner_mut();
                let request = exchange.send_request_with_addresses(&peer.to_libp2p(), (kind, data), addresses);
                self.outbound.opened(request, asked);
            }
            Err(failure) => self.sink.push(Event::Answered { id, peer, result: Err(failure) }),
        }
    }

    pub(super) fn respond(&mut self, id: InboundId, answer: Answer) {
        if let Some((channel, written)) = self.inbound.answer(id, answer) {
            self.counts.bytes(Direction::Out, "request", written.1.len());
            // an error means that the one who asked has left
            let _ = self.swarm.behaviour_mut().exchange.inner_mut().send_response(channel, written);
        }
    }

    pub(super) fn dial(&mut self, known: &KnownPeer) {
        let addresses = known.addresses.iter().map(|address| address.as_libp2p().clone()).collect();
        let options =
            DialOpts::peer_id(known.peer.to_libp2p()).addresses(addresses).condition(PeerCondition::DisconnectedAndNotDialing).build();
        if let Err(error) = self.swarm.dial(options) {
            tracing::debug!(event = "dial_refused", peer = %known.peer, %error, "a dial was not started");
        }
    }

    pub(super) fn disconnect(&mut self, peer: PeerId) {
        // an error means that it is not connected
        let _ = self.swarm.disconnect_peer_id(peer.to_libp2p());
    }

    pub(super) fn lift(&mut self, peer: PeerId) {
        self.swarm.behaviour_mut().banned.unblock_peer(peer.to_libp2p());
        self.sink.push(Event::Unbanned(peer));
    }

    fn peers(&mut self) -> Vec<PeerInfo> {
        let now = self.now();
        let gossip = self.swarm.behaviour().gossip.inner();
        let mut meshes: HashMap<libp2p::PeerId, u32> = HashMap::new();
        for peer in self.names.hashes().flat_map(|hash| gossip.mesh_peers(hash)) {
            *meshes.entry(*peer).or_default() += 1;
        }
        let mut peers: Vec<_> = self
            .links
            .iter()
            .filter_map(|(id, link)| {
                let line = link.lines.values().next()?;
                Some(PeerInfo {
                    peer: link.peer,
                    direction: line.direction,
                    address: line.address.clone(),
                    connections: u32::try_from(link.lines.len()).unwrap_or(u32::MAX),
                    score: self.book.score(link.peer, now),
                    gossip_score: gossip.peer_score(id).unwrap_or(0.0),
                    round_trip: link.round_trip,
                    agent: link.agent.clone(),
                    since: now.uptime.saturating_sub(link.since),
                    wanted: self.book.is_wanted(link.peer),
                    meshes: meshes.get(id).copied().unwrap_or(0),
                })
            })
            .collect();
        peers.sort_by_key(|info| info.peer);
        peers
    }
}
