//! What leaves a node: orders become parcels, and parcels travel.

use std::collections::BTreeSet;

use ao_consensus::{RawHeader, To};
use ao_storage::Direction;
use ao_storage::schema::{self, FrameKey};
use ao_types::codec::Reader;
use ao_types::{Canonical as _, Chain, Id, Signer as _};
use bytes::Bytes;

use super::members::{member_of, wallet};
use super::parcel::{Parcel, gossip_id};
use super::{Cluster, Event, FORWARD_MS, SYNC_MS};
use crate::error::{Code, Rejection};
use crate::network::seam::{Arrival, Order, Way};
use crate::shell::frames;
use crate::sim::check::{Violation, blame};

/// Frames that answer one question.
const RANGE_MAX: u64 = 64;

impl Cluster {
    /// A node wants something of the net.
    pub(super) fn leave(&mut self, n: usize, order: Order) -> Result<(), Violation> {
        let from = self.hosts[n].peer();
        match order {
            Order::Publish(frame) => {
                let header = &frame.header;
                self.ledger.seen(header.id(), header);
                if self.hosts[n].is_honest() {
                    self.hosts[n].watch.publishes(header.chain, header.sequence, header.id()).map_err(|broken| broken.at(n))?;
                    if header.entry_count > 0 {
                        self.timing.on_published(header.chain, header.sequence, self.now);
                    }
                }
                let Some(bytes) = frame.to_wire() else { return Ok(()) };
                let gossip = gossip_id(1, &bytes);
                self.publish(n, Parcel::Frame { from, bytes, gossip: Some(gossip), way: Way::Gossip });
            }
            Order::Engine(to, bytes) => {
                if self.hosts[n].is_honest() {
                    let said = self.hosts[n].watch.leaves(&self.common.network, &bytes, &self.ledger);
                    said.map_err(|broken| broken.at(n))?;
                }
                match to {
                    To::All => {
                        let gossip = gossip_id(2, &bytes);
                        self.publish(n, Parcel::Engine { from, bytes, gossip: Some(gossip) });
                    }
                    To::Peer(peer) => self.post_to(n, member_of(&peer), &Parcel::Engine { from, bytes, gossip: None }),
                }
            }
            Order::Evidence(evidence) => {
                if self.hosts[n].is_honest() {
                    let now = self.now;
                    let honest = super::Honest { bad_keys: &self.common.bad_keys, bad_schedulers: &self.common.bad_schedulers };
                    self.blame.on_evidence(&evidence, now, &self.common.rosters, &honest).map_err(|broken| broken.at(n))?;
                    self.blame.on_stored(evidence.id(), n, now);
                }
                let bytes = Bytes::from(evidence.encode());
                let gossip = gossip_id(3, &bytes);
                self.publish(n, Parcel::Evidence { from, bytes, gossip: Some(gossip) });
            }
            Order::Fetch(fetch) => {
                let asker = self.hosts[n].asker(n);
                let whom = self.whom(n, &fetch.holders);
                let ask = Parcel::AskFrames { asker, chain: fetch.chain, from: fetch.from, to: fetch.to.0 };
                self.post_to(n, whom, &ask);
            }
            Order::Items { ids, .. } => ids.into_iter().for_each(|id| self.look_for(n, id)),
            Order::Forward { forward, to, load } => {
                let asker = self.hosts[n].asker(n);
                self.hosts[n].forwards.insert(forward);
                self.post_to(n, member_of(&to), &Parcel::Submission { asker, forward, load });
                self.after(FORWARD_MS, Event::GiveUp(asker, forward));
            }
            Order::Penalise(peer, offence) => {
                if self.hosts[n].is_honest() {
                    let why = self.hosts[n].world.faults.last().cloned().unwrap_or_default();
                    blame::on_blamed(&peer, self.is_honest_peer(&peer), offence, &why).map_err(|broken| broken.at(n))?;
                }
            }
            Order::Stored(_) | Order::TurnedBack { .. } | Order::Location(_) => {}
        }
        Ok(())
    }

    /// Everybody who can be reached is asked for an item: somebody gives it, or all have said that they lack it.
    fn look_for(&mut self, n: usize, id: Id) {
        let own = self.hosts[n].member;
        let asking = &self.hosts[n];
        let reached = |other: &usize| {
            let host = &self.hosts[*other];
            !asking.is_apart_from(host) && host.serves() && self.net.connects(own, host.member) && self.net.connects(host.member, own)
        };
        let others: Vec<usize> = (0..self.hosts.len()).filter(reached).collect();
        let has = |other: &usize| schema::ITEMS.contains(&*self.hosts[*other].world.store, &id).unwrap_or(false);
        let asker = self.hosts[n].asker(n);
        match others.iter().copied().find(has) {
            Some(other) => self.post(n, other, Parcel::AskItems { asker, ids: vec![id] }),
            None => {
                let denied: BTreeSet<_> = others.iter().map(|other| self.hosts[*other].peer()).collect();
                let answer = Parcel::Nobody { asker, item: id, denied: denied.into_iter().collect() };
                let ms = 2 * self.net.time(own, own.wrapping_add(1));
                self.after(ms, Event::Deliver(n, Box::new(answer)));
            }
        }
    }

    /// One of those who most likely have it, or anybody.
    fn whom(&mut self, n: usize, holders: &[ao_types::PeerId]) -> Option<usize> {
        let own = self.hosts[n].member;
        let likely = holders.get(self.dice.below(holders.len())).and_then(member_of).filter(|member| *member != own);
        if likely.is_some() && self.dice.chance(60) {
            return likely;
        }
        let other = self.dice.below(self.plan.nodes().saturating_sub(1));
        Some(if other >= own { other + 1 } else { other })
    }

    /// Its own gossip.
    fn publish(&mut self, n: usize, parcel: Parcel) {
        if let Some(id) = parcel.gossip() {
            self.hosts[n].says(id);
        }
        self.spread(n, &parcel);
    }

    /// To everybody.
    pub(super) fn spread(&mut self, n: usize, parcel: &Parcel) {
        for other in 0..self.hosts.len() {
            self.post(n, other, parcel.clone());
        }
    }

    /// To a member: to all its nodes.
    fn post_to(&mut self, n: usize, member: Option<usize>, parcel: &Parcel) {
        let Some(member) = member else { return };
        let hosts: Vec<usize> = self.hosts_of(member).collect();
        hosts.into_iter().for_each(|other| self.post(n, other, parcel.clone()));
    }

    /// From one node to another, as far as the net lets it.
    pub(super) fn post(&mut self, from: usize, to: usize, parcel: Parcel) {
        let (Some(sender), Some(receiver)) = (self.hosts.get(from), self.hosts.get(to)) else { return };
        if sender.is_apart_from(receiver) {
            return;
        }
        let (kind, about) = parcel.mark();
        match &parcel {
            Parcel::Engine { bytes, .. } => self.timing.on_parcel(true, bytes.len()),
            Parcel::Frame { bytes, .. } => self.timing.on_parcel(false, bytes.len()),
            _ => {}
        }
        let [first, second] = self.net.journeys(sender.member, receiver.member);
        self.trace.add(self.now, from, kind, about);
        if let Some(ms) = second {
            self.after(ms, Event::Deliver(to, Box::new(parcel.handed_on(self.hosts[from].peer(), false))));
        }
        if let Some(ms) = first {
            self.after(ms, Event::Deliver(to, Box::new(parcel)));
        }
    }

    /// Where a node is in each chain, told to one other.
    pub(super) fn on_sync(&mut self, n: usize) {
        self.after(SYNC_MS, Event::Sync(n));
        if !self.hosts[n].up || self.plan.nodes() < 2 {
            return;
        }
        let mut next = Vec::new();
        for scheduler in 0..self.plan.schedulers {
            let chain = Chain { scheduler: wallet(scheduler).address(), tenure: 0 };
            if self.hosts[n].schedules(&chain) {
                continue;
            }
            let key = |sequence| FrameKey { scheduler: chain.scheduler, tenure: chain.tenure, sequence };
            let last = schema::FRAMES.range(&*self.hosts[n].world.store, &key(0), &key(u64::MAX), Direction::Backward, 1);
            let Ok(last) = last else { return };
            next.push((chain, last.first().map_or(0, |(key, _)| key.sequence + 1)));
        }
        let (asker, whom) = (self.hosts[n].asker(n), self.whom(n, &[]));
        self.post_to(n, whom, &Parcel::Tips { asker, next });
    }

    /// Frames that another node lacks.
    pub(super) fn give_frames(&mut self, n: usize, to: usize, chain: Chain, range: (u64, u64)) {
        for sequence in range.0..=range.1.min(range.0.saturating_add(RANGE_MAX - 1)) {
            let key = FrameKey { scheduler: chain.scheduler, tenure: chain.tenure, sequence };
            let Ok(Some(bytes)) = frames::whole(&*self.hosts[n].world.store, &key) else { return };
            // Whoever does not publish its frames, or late, may still give them.
            if let Ok(raw) = RawHeader::read(&mut Reader::new(&bytes)) {
                self.ledger.seen(raw.header.id(), &raw.header);
            }
            let from = self.hosts[n].peer();
            self.post(n, to, Parcel::Frame { from, bytes, gossip: None, way: Way::Asked });
        }
    }

    /// The network waits no longer for another node's answer.
    pub(super) fn on_give_up(&mut self, asker: super::Asker, forward: crate::network::seam::ForwardId) -> Result<(), Violation> {
        let Some(host) = self.hosts.get_mut(asker.host).filter(|host| host.up && host.life == asker.life) else { return Ok(()) };
        if host.forwards.remove(&forward) {
            let answer = Err(Rejection::retry(Code::TimedOut, "the scheduler's node did not answer", 1));
            host.world.arrive(Arrival::Forwarded { forward, answer });
            return self.stepped(asker.host);
        }
        Ok(())
    }
}
