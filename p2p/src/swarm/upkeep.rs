//! What is due from time to time: late verdicts and answers, bans that end, scores, dials, relays, anchors, and gauges.

use std::time::Duration;

use libp2p::multiaddr::Protocol;

use super::Task;
use crate::admission::Subnet;
use crate::event::{Answer, Direction, Event, Verdict};
use crate::gossip::GOSSIP_BAN_AT;
use crate::identity::KnownPeer;
use crate::limits::{ANCHORS_EVERY, DIALS_PER_ROUND, EXPLORE_EVERY, EXPLORE_FIRST, PUBLISH_RETRY_FOR, ROTATE_EVERY};
use crate::metrics::{Shed, Unread};
use crate::peers::{BanReason, View};
use crate::topic::{Shard, Topic};

/// When what was done last.
#[derive(Default)]
pub(super) struct Rounds {
    round: u64,
    explored: Option<Duration>,
    explore_pause: Duration,
    rotated: Duration,
    anchored: Duration,
    circled: Option<Duration>,
    anchors: Vec<KnownPeer>,
}

fn due(last: Option<Duration>, every: Duration, now: Duration) -> bool {
    last.is_none_or(|last| now >= last + every)
}

impl Task {
    pub(super) fn upkeep(&mut self) {
        self.rounds.round += 1;
        self.overdue();
        self.retry();
        self.judge();
        self.meet();
        self.circle();
        self.keep_anchors();
        self.gauge();
    }

    /// Everything is answered, late or not.
    fn overdue(&mut self) {
        let now = self.now();
        while let Some(waiting) = self.verdicts.overdue(now.uptime) {
            self.counts.shed(Shed::Verdict);
            self.report(&waiting, Verdict::Ignore);
        }
        while let Some(id) = self.inbound.overdue(now.uptime) {
            self.counts.shed(Shed::Request);
            self.respond(id, Answer::Busy);
        }
        self.inbound.tidy(now.uptime);
        for peer in self.book.expired(now) {
            self.lift(peer);
        }
    }

    /// Messages of ours that nobody took get another try, in their order.
    fn retry(&mut self) {
        let now = self.now().uptime;
        for (since, topic, data) in std::mem::take(&mut self.unsent) {
            if now >= since + PUBLISH_RETRY_FOR {
                self.counts.shed(Shed::Publish);
                continue;
            }
            let had = self.unsent.len();
            self.publish(topic, data);
            // kept again: it is as old as before
            if self.unsent.len() > had
                && let Some(kept) = self.unsent.back_mut()
            {
                kept.0 = since;
            }
        }
    }

    /// Own points go into gossipsub's score, and its score can end a connection too.
    fn judge(&mut self) {
        let now = self.now();
        let mut scores = Vec::with_capacity(self.links.len());
        let mut fallen = Vec::new();
        for (id, link) in &self.links {
            let own = self.book.gossip_score(link.peer, now);
            let gossip = self.swarm.behaviour_mut().gossip.inner_mut();
            gossip.set_application_score(id, own.score);
            let score = gossip.peer_score(id).unwrap_or(own.score);
            if score - own.delays <= GOSSIP_BAN_AT {
                fallen.push(link.peer);
            }
            scores.push(score);
        }
        self.scores.set(scores);
        for peer in fallen {
            if let Some(ban) = self.book.ban_by_score(peer, BanReason::Gossip, now) {
                self.enforce(ban);
            }
        }
    }

    /// Dials whom this node wants, and strangers until enough connections are its own.
    fn meet(&mut self) {
        let now = self.now();
        let missing = usize::try_from(self.config.min_out).unwrap_or(usize::MAX).saturating_sub(self.dialled().count());
        let strangers = !self.config.trusted_only;
        for known in self.candidates(missing, DIALS_PER_ROUND) {
            self.dial(&known);
        }
        if self.links.is_empty() {
            self.rounds.explore_pause = Duration::ZERO;
        } else if strangers && missing > 0 && due(self.rounds.explored, self.rounds.explore_pause, now.uptime) {
            self.rounds.explored = Some(now.uptime);
            self.rounds.explore_pause = (self.rounds.explore_pause * 2).clamp(EXPLORE_FIRST, EXPLORE_EVERY);
            let kad = &mut self.swarm.behaviour_mut().kad;
            kad.get_closest_peers(libp2p::PeerId::random());
            // an error means that the table is empty: then nobody is connected either, and the dials above are what helps
            let _ = kad.bootstrap();
        }
        if strangers && missing == 0 && due(Some(self.rounds.rotated), ROTATE_EVERY, now.uptime) {
            self.rounds.rotated = now.uptime;
            self.rotate();
        }
    }

    fn candidates(&mut self, missing: usize, most: usize) -> Vec<KnownPeer> {
        let (now, dice) = (self.now(), self.roll(self.rounds.round));
        let links = &self.links;
        let view = View {
            connected: &|peer| links.contains_key(&peer.to_libp2p()),
            subnets: self.swarm.behaviour().admission.counts(),
            dice: &dice,
            strangers: !self.config.trusted_only,
        };
        self.book.choose(&view, missing, most, now)
    }

    /// The outbound peer with the lowest score makes room for somebody else, if there is anybody.
    fn rotate(&mut self) {
        let gossip = self.swarm.behaviour().gossip.inner();
        let dice = self.roll(self.rounds.round);
        let worst = self
            .dialled()
            .filter(|link| !self.book.is_wanted(link.peer))
            .map(|link| (gossip.peer_score(&link.peer.to_libp2p()).unwrap_or(0.0), dice(link.peer), link.peer))
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
            .map(|(_, _, peer)| peer);
        if let (Some(peer), Some(known)) = (worst, self.candidates(1, 1).pop()) {
            tracing::debug!(event = "peer_rotated", %peer, next = %known.peer, "an outbound peer makes room for another");
            self.disconnect(peer);
            self.dial(&known);
        }
    }

    /// Asks the configured relays to be reached through them, again and again.
    fn circle(&mut self) {
        let now = self.now().uptime;
        if self.circuits.iter().all(|(_, listener)| listener.is_some()) || !due(self.rounds.circled, EXPLORE_EVERY, now) {
            return;
        }
        self.rounds.circled = Some(now);
        for (relay, listener) in self.circuits.iter_mut().filter(|(_, listener)| listener.is_none()) {
            match self.swarm.listen_on(relay.as_libp2p().clone().with(Protocol::P2pCircuit)) {
                Ok(id) => *listener = Some(id),
                Err(error) => tracing::warn!(event = "relay_unusable", %relay, %error, "this address is no relay's: correct p2p.relays"),
            }
        }
    }

    fn keep_anchors(&mut self) {
        let now = self.now().uptime;
        if !due(Some(self.rounds.anchored), ANCHORS_EVERY.min(self.config.upkeep * 60), now) {
            return;
        }
        self.rounds.anchored = now;
        let mut dialled: Vec<_> = self.dialled().filter(|link| link.identified).map(|link| (link.since, link.peer, subnet(link))).collect();
        dialled.sort();
        let candidates: Vec<_> = dialled.into_iter().map(|(_, peer, subnet)| (peer, subnet)).collect();
        let anchors = self.book.anchors(&candidates);
        if anchors != self.rounds.anchors && !anchors.is_empty() {
            self.rounds.anchors.clone_from(&anchors);
            self.sink.push(Event::Anchors(anchors));
        }
    }

    fn gauge(&mut self) {
        let tally = self.gate.tally();
        self.counts.unread(Unread::Oversize, tally.oversize);
        self.counts.unread(Unread::Malformed, tally.malformed);
        let known = std::mem::take(&mut self.delivered) + tally.oversize + tally.malformed;
        self.counts.unread(Unread::Duplicate, tally.messages.saturating_sub(known));
        self.counts.peers(self.lines().map(|line| (line.direction, line.transport)));
        let wide: std::collections::BTreeSet<_> = self.lines().filter_map(|line| line.address.ip()).map(Subnet::wide).collect();
        self.counts.subnets.set(i64::try_from(wide.len()).unwrap_or(i64::MAX));
        self.counts.exchange_bytes.set(i64::try_from(self.budget.used()).unwrap_or(i64::MAX));
        let gossip = self.swarm.behaviour().gossip.inner();
        let in_mesh = |topic| gossip.mesh_peers(self.names.hash(topic)).count();
        let shards = Shard::all().map(Topic::Frames).filter(|topic| self.config.topics.contains(topic));
        self.counts.mesh("frames", shards.map(in_mesh).min().unwrap_or(0));
        for topic in [Topic::Certificates, Topic::Votes, Topic::Evidence, Topic::Tips] {
            self.counts.mesh(topic.as_str(), in_mesh(topic));
        }
    }
}

/// Where an outbound connection goes: loopback is no subnet.
fn subnet(link: &super::Link) -> Option<Subnet> {
    let line = link.lines.values().find(|line| line.direction == Direction::Out)?;
    line.address.ip().filter(|ip| !ip.is_loopback()).map(Subnet::of)
}
