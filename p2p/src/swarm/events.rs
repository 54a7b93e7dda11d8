//! What the network does.

use libp2p::core::ConnectedPoint;
use libp2p::metrics::Recorder;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, Message, OutboundFailure};
use libp2p::swarm::{ConnectionId, DialError, ListenError, SwarmEvent};
use libp2p::{Multiaddr, gossipsub, identify, kad, mdns, ping};

use super::{Line, Link, Task};
use crate::behaviour::{BehaviourEvent, LIFE};
use crate::error::Failure;
use crate::event::{Direction, Event, Verdict};
use crate::gossip::{Noticed, Waiting};
use crate::identity::{self, KnownPeer, NetAddress, PeerId};
use crate::limits::{ADDRESSES_PER_PEER, AGENT_CHARS_MAX, BAN_MIN, PING_FAILURES_MAX};
use crate::metrics::{Outcome, Shed};
use crate::peers::{BanReason, Offence};
use crate::requests::{Exchange, Exchanged, Turned, bad_frame};
use crate::wire::{Kind, Status};

type Exchange_ = request_response::Event<(Kind, bytes::Bytes), (Status, bytes::Bytes)>;

impl Task {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        self.libp2p_metrics.record(&event);
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                if let Some(link) = self.links.get_mut(&peer_id) {
                    link.lines.remove(&connection_id);
                }
                if num_established == 0
                    && let Some(link) = self.links.remove(&peer_id)
                    && link.identified
                {
                    self.sink.push(Event::Disconnected(link.peer));
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                let denied = matches!(error, ListenError::Denied { .. });
                self.counts.connection(Direction::In, if denied { Outcome::Denied } else { Outcome::Failed });
                tracing::debug!(event = "connection_refused", %error, "somebody could not connect");
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                if matches!(error, DialError::DialPeerConditionFalse(_)) {
                    return;
                }
                let denied = matches!(error, DialError::Denied { .. });
                self.counts.connection(Direction::Out, if denied { Outcome::Denied } else { Outcome::Failed });
                tracing::debug!(event = "dial_failed", peer = ?peer_id, %error, "a dial failed");
                let now = self.now();
                if let Some(peer) = peer_id.and_then(|peer| PeerId::from_libp2p(&peer)) {
                    self.book.dial_failed(peer, now);
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                if let Some(address) = NetAddress::from_libp2p(address) {
                    tracing::info!(event = "p2p_listening", %address, "listening for peers");
                    self.sink.push(Event::Listening(address));
                }
            }
            SwarmEvent::ExternalAddrConfirmed { address } => {
                if let Some(address) = NetAddress::from_libp2p(address) {
                    self.sink.push(Event::Reachable(address));
                }
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                let mut relayed = false;
                for (_, listener) in &mut self.circuits {
                    if *listener == Some(listener_id) {
                        (*listener, relayed) = (None, true);
                    }
                }
                // a circuit is asked for again by upkeep; anything else is for the operator
                if let (Err(reason), false) = (reason, relayed) {
                    let address = addresses.into_iter().next().and_then(NetAddress::from_libp2p);
                    self.sink.push(Event::ListenFailed { address, reason: reason.to_string() });
                }
            }
            SwarmEvent::NewExternalAddrOfPeer { peer_id, address } => self.hint(peer_id, [address]),
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(Noticed::Gossip(event)) => {
                self.libp2p_metrics.record(&event);
                self.on_gossip(event);
            }
            BehaviourEvent::Gossip(Noticed::Offence { peer, offence, times })
            | BehaviourEvent::Exchange(Exchanged::Offence { peer, offence, times }) => {
                self.offend(peer, offence, times);
                if offence == Offence::Broken {
                    // nothing more can come by that stream; the peer may begin anew, and pay again
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
            BehaviourEvent::Exchange(Exchanged::Event(event)) => self.on_exchange(event),
            BehaviourEvent::Identify(event) => {
                self.libp2p_metrics.record(&event);
                if let identify::Event::Received { peer_id, info, .. } = event {
                    self.on_identified(peer_id, info);
                }
            }
            BehaviourEvent::Ping(event) => {
                self.libp2p_metrics.record(&event);
                self.on_ping(&event);
            }
            BehaviourEvent::Kad(event) => {
                self.libp2p_metrics.record(&event);
                if let kad::Event::OutboundQueryProgressed { result: kad::QueryResult::GetClosestPeers(Ok(found)), .. } = event {
                    for info in found.peers {
                        self.hint(info.peer_id, info.addrs);
                    }
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    self.hint(peer, [address]);
                }
            }
            BehaviourEvent::RelayServer(event) => self.libp2p_metrics.record(&event),
            BehaviourEvent::Dcutr(event) => self.libp2p_metrics.record(&event),
            _ => {}
        }
    }

    fn on_established(&mut self, id: libp2p::PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let (direction, address) = match endpoint {
            ConnectedPoint::Dialer { address, .. } => (Direction::Out, address),
            ConnectedPoint::Listener { send_back_addr, .. } => (Direction::In, send_back_addr),
        };
        self.counts.connection(direction, Outcome::Established);
        let (Some(peer), Some(line)) = (PeerId::from_libp2p(&id), NetAddress::from_libp2p(address.clone())) else {
            // admission lets no such peer in; an address this long is nobody's honest one
            let _ = self.swarm.disconnect_peer_id(id);
            return;
        };
        let transport = transport(address);
        let since = self.now().uptime;
        let link = self.links.entry(id).or_insert_with(|| Link {
            peer,
            lines: Default::default(),
            since,
            identified: false,
            agent: String::new(),
            life: None,
            round_trip: None,
            ping_failures: 0,
        });
        link.lines.insert(connection, Line { direction, address: line, transport });
        self.book.connected(peer);
        let score = self.book.gossip_score(peer, self.now()).score;
        self.swarm.behaviour_mut().gossip.inner_mut().set_application_score(&id, score);
    }

    /// A peer says who it is. Only now it enters the table of distant peers, and the layer above hears of it.
    fn on_identified(&mut self, id: libp2p::PeerId, info: identify::Info) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let (peer, now) = (link.peer, self.started.elapsed());
        let spoken = self.names.protocol("node");
        if info.protocol_version != spoken {
            let theirs: String = info.protocol_version.chars().filter(|c| !c.is_control()).take(64).collect();
            let direction = link.lines.values().next().map_or(Direction::In, |line| line.direction);
            if let Some(version) = theirs.strip_prefix(spoken.trim_end_matches(|c: char| c.is_ascii_digit())) {
                return self.other_version(id, peer, version, direction);
            }
            let now = self.now();
            if let Some(ban) = self.book.ban(peer, BanReason::OtherNetwork, BAN_MIN, now) {
                self.enforce(ban);
            }
            return;
        }
        let said: String = info.agent_version.chars().filter(|c| !c.is_control()).take(AGENT_CHARS_MAX).collect();
        let (agent, life) = said.split_once(LIFE).unwrap_or((&said, ""));
        let before = link.life.replace(life.to_owned());
        if before.is_some_and(|before| before != life) {
            // It ended without a word and began anew, knowing nothing of the old connections and what was agreed on them. They would take
            // long to time out: all are closed, the new one too, and both begin anew.
            tracing::debug!(event = "peer_began_anew", %peer, "a peer was started again: it is met anew");
            let _ = self.swarm.disconnect_peer_id(id);
            return;
        }
        link.agent = agent.to_owned();
        // Dialled more than once, by several of its addresses: the first one does. Who dialled closes, so that not both close another one.
        let dialled = link.lines.iter().filter(|(_, line)| line.direction == Direction::Out && line.transport != RELAY);
        for (spare, _) in dialled.skip(1) {
            self.swarm.close_connection(*spare);
        }
        let seen = link.lines.values().next().map(|line| (line.direction, line.address.clone()));
        let first = !std::mem::replace(&mut link.identified, true);
        tracing::debug!(event = "peer_identified", %peer, agent = %link.agent, uptime = ?now, "a peer of this network");
        let local = seen.as_ref().and_then(|(_, address)| address.ip()).is_some_and(|ip| ip.is_loopback());
        let addresses: Vec<_> =
            info.listen_addrs.into_iter().filter(|address| worth_telling(address, local)).take(ADDRESSES_PER_PEER).collect();
        if info.protocols.iter().any(|protocol| protocol.as_ref() == self.names.protocol("kad")) {
            for address in &addresses {
                self.swarm.behaviour_mut().kad.add_address(&id, address.clone());
            }
        }
        self.hint(id, addresses);
        if let (true, Some((direction, address))) = (first, seen) {
            self.sink.push(Event::Connected { peer, direction, address });
        }
    }

    /// A peer of this network that one cannot talk to. It did nothing wrong, and one day one of the two is upgraded: it is sent away, and
    /// dialled again after a while. Both hear the other's version, so both operators read why.
    fn other_version(&mut self, id: libp2p::PeerId, peer: PeerId, theirs: &str, direction: Direction) {
        let (now, spoken) = (self.now(), self.names.protocol("node"));
        let ours = spoken.rsplit('/').next().unwrap_or_default();
        self.counts.connection(direction, Outcome::Version);
        if self.book.other_version(peer, now) {
            tracing::warn!(
                event = "peer_version", %peer, theirs, ours,
                "this peer of our network speaks another version of the protocol and is sent away: upgrade the older of the two nodes"
            );
        }
        let _ = self.swarm.disconnect_peer_id(id);
    }

    fn hint(&mut self, id: libp2p::PeerId, addresses: impl IntoIterator<Item = Multiaddr>) {
        let addresses: Vec<_> = addresses.into_iter().take(ADDRESSES_PER_PEER).filter_map(NetAddress::from_libp2p).collect();
        if let (Some(peer), false) = (PeerId::from_libp2p(&id), addresses.is_empty()) {
            let now = self.now();
            self.told(&KnownPeer { peer, addresses }, false, now);
        }
    }

    fn on_ping(&mut self, event: &ping::Event) {
        let Some(link) = self.links.get_mut(&event.peer) else { return };
        match &event.result {
            Ok(round_trip) => {
                link.round_trip = Some(*round_trip);
                link.ping_failures = 0;
            }
            Err(ping::Failure::Unsupported) => {}
            Err(_) => {
                link.ping_failures += 1;
                if link.ping_failures >= PING_FAILURES_MAX {
                    self.swarm.close_connection(event.connection);
                }
            }
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source: from, message_id, message } => {
                self.delivered += 1;
                let (Some(peer), Some(topic)) = (PeerId::from_libp2p(&from), self.names.topic(&message.topic)) else {
                    // subscriptions are to topics of this network only, so this cannot happen; it is answered all the same
                    let ignored = gossipsub::MessageAcceptance::Ignore;
                    self.swarm.behaviour_mut().gossip.inner_mut().report_message_validation_result(&message_id, &from, ignored);
                    return;
                };
                self.counts.bytes(Direction::In, "gossip", message.data.len());
                let waiting = Waiting { message: message_id, from, topic };
                let shed = if self.sink.has_room() {
                    match self.verdicts.open(waiting.clone(), self.started.elapsed()) {
                        Some(id) => return self.sink.push(Event::Gossip { id, from: peer, topic, data: message.data.into() }),
                        None => Shed::Verdict,
                    }
                } else {
                    Shed::Gossip
                };
                self.counts.shed(shed);
                self.report(&waiting, Verdict::Ignore);
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => self.offend(peer_id, Offence::Slow, 1),
            _ => {}
        }
    }

    fn on_exchange(&mut self, event: Exchange_) {
        match event {
            request_response::Event::Message { peer, message: Message::Request { request: (kind, data), channel, .. }, .. } => {
                let Some(from) = PeerId::from_libp2p(&peer) else { return };
                self.counts.bytes(Direction::In, "request", data.len());
                let now = self.started.elapsed();
                let admitted = self.inbound.count(from, now).and_then(|()| self.inbound.admit(from));
                if admitted == Err(Turned::Flood) {
                    self.offend(peer, Offence::Flood, 1);
                }
                if admitted.is_err() || !self.sink.has_room() {
                    self.counts.shed(Shed::Request);
                    let busy = (Status::Busy, bytes::Bytes::new());
                    let _ = self.swarm.behaviour_mut().exchange.inner_mut().send_response(channel, busy);
                } else if kind == Kind::Direct {
                    let receipt = (Status::Ok, bytes::Bytes::new());
                    let _ = self.swarm.behaviour_mut().exchange.inner_mut().send_response(channel, receipt);
                    self.sink.push(Event::Direct { from, data });
                } else {
                    let id = self.inbound.opened(from, kind, channel, now);
                    self.sink.push(Event::Request { id, from, kind, data });
                }
            }
            request_response::Event::Message { message: Message::Response { request_id, response: (status, data) }, .. } => {
                self.counts.bytes(Direction::In, "request", data.len());
                let result = match status {
                    Status::Ok => Ok(data),
                    Status::NotFound => Err(Failure::NotFound),
                    Status::Busy => Err(Failure::Busy),
                    Status::Refused => Err(Failure::Refused),
                };
                if let Some(asked) = self.outbound.closed(&request_id) {
                    self.sink.push(Event::Answered { id: asked.id, peer: asked.peer, result });
                }
            }
            request_response::Event::OutboundFailure { peer, request_id, error, .. } => {
                let (failure, offence) = failed(&error);
                if let Some(asked) = self.outbound.closed(&request_id) {
                    self.sink.push(Event::Answered { id: asked.id, peer: asked.peer, result: Err(failure) });
                }
                if let Some(offence) = offence {
                    self.offend(peer, offence, 1);
                }
            }
            // the way back is gone; the table forgets it when the answer comes or is overdue
            request_response::Event::InboundFailure { .. } | request_response::Event::ResponseSent { .. } => {}
        }
    }
}

/// What a failure means for the caller, and what it costs the peer.
fn failed(error: &OutboundFailure) -> (Failure, Option<Offence>) {
    match error {
        OutboundFailure::DialFailure => (Failure::Unreachable, None),
        OutboundFailure::Timeout => (Failure::Timeout, Some(Offence::Timeout)),
        OutboundFailure::ConnectionClosed => (Failure::Closed, None),
        OutboundFailure::UnsupportedProtocols => (Failure::Unsupported, None),
        OutboundFailure::Io(error) if error.kind() == std::io::ErrorKind::OutOfMemory => (Failure::TooMany, None),
        OutboundFailure::Io(error) => match bad_frame(error) {
            Some(bad) => (Failure::Malformed, Some(Exchange::offence(bad))),
            None => (Failure::Closed, None),
        },
    }
}

/// A connection that another node carries.
const RELAY: &str = "relay";

fn transport(address: &Multiaddr) -> &'static str {
    let mut found = "tcp";
    for part in address {
        match part {
            Protocol::P2pCircuit => return RELAY,
            Protocol::QuicV1 => found = "quic",
            _ => {}
        }
    }
    found
}

/// Whether an address that a peer says it listens on can be one: loopback only if it is seen on loopback, nothing unspecified.
fn worth_telling(address: &Multiaddr, local: bool) -> bool {
    let circuit = address.iter().any(|part| part == Protocol::P2pCircuit);
    match identity::ip(address) {
        Some(ip) if ip.is_unspecified() || ip.is_multicast() => false,
        Some(ip) => !ip.is_loopback() || local,
        None => circuit || address.iter().any(|part| matches!(part, Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_addresses_are_places_one_could_dial() {
        let worth = |text: &str, local| worth_telling(&text.parse().unwrap(), local);
        assert!(worth("/ip4/192.0.2.1/tcp/1", false) && worth("/dns4/example.org/tcp/1", false));
        assert!(!worth("/ip4/127.0.0.1/tcp/1", false) && worth("/ip4/127.0.0.1/tcp/1", true));
        assert!(!worth("/ip4/0.0.0.0/tcp/1", true) && !worth("/ip4/224.0.0.1/udp/1/quic-v1", true) && !worth("/memory/7", true));
    }

    #[test]
    fn transports_have_names() {
        let name = |text: &str| transport(&text.parse().unwrap());
        assert_eq!(name("/ip4/192.0.2.1/tcp/1"), "tcp");
        assert_eq!(name("/ip4/192.0.2.1/udp/1/quic-v1"), "quic");
        let relay = libp2p::PeerId::random();
        assert_eq!(name(&format!("/ip4/192.0.2.1/udp/1/quic-v1/p2p/{relay}/p2p-circuit")), "relay");
    }

    #[test]
    fn what_a_failure_costs() {
        let io = |error: std::io::Error| failed(&OutboundFailure::Io(error));
        assert_eq!(failed(&OutboundFailure::Timeout), (Failure::Timeout, Some(Offence::Timeout)));
        assert_eq!(io(std::io::ErrorKind::OutOfMemory.into()), (Failure::TooMany, None));
        assert_eq!(io(std::io::ErrorKind::ConnectionReset.into()), (Failure::Closed, None));
        let oversize = crate::wire::BadFrame::Oversize { max: 1, found: 2 };
        assert_eq!(io(oversize.into()), (Failure::Malformed, Some(Offence::Oversize)));
        let version = crate::wire::BadFrame::Version { found: 2 };
        assert_eq!(io(version.into()), (Failure::Malformed, Some(Offence::Malformed)));
    }
}
