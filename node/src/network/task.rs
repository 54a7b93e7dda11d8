//! The task that owns the network below: what happens there becomes inputs of the state machines and arrivals at the core; what they and
//! the core want becomes commands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ao_consensus::Timestamp;
use ao_p2p::{Command, Event, Events, Failure, Kind, Network, Offence, PeerId, RequestId};
use ao_types::codec::Canonical;
use ao_types::{Chain, FrameId, NetworkId};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::clocks::Clocks;
use super::items::{self, Items};
use super::limits::{ARRIVALS_MAX, CLOCK_AHEAD_TOLD_MS, CLOCK_TOLD_EVERY, HEARD_MAX, LARGE_REMEMBERED, TICK, TIPS_EVERY, TIPS_EVERY_MAX};
use super::message::{Direct, Tip};
use super::peers::PeersFile;
use super::said::Said;
use super::seam::{Arrival, Doorway, ForwardId, Judge, Load, Order, Verdict, Way};
use super::servers::Servers;
use super::spread::{self, Spread};
use super::sync::{self, Sync};
use super::{Counts, Inquiry, Settings, names};
use crate::shell::Now;

mod arrive;
mod forward;
mod order;

use forward::Forwards;
#[cfg(test)]
pub(super) use order::topic;

/// What a request of ours is about.
#[derive(Clone, Copy, Debug)]
enum Asking {
    Range(u64),
    Chunk(u64),
    Item(u64),
    Forward(ForwardId),
    /// About a state.
    State(u64),
    /// A message that wants no answer.
    Message,
}

/// What the core said about a frame that was fetched.
#[derive(Clone, Copy, Debug)]
struct Refused {
    peer: PeerId,
    chain: Chain,
}

/// See the module documentation.
pub(super) struct Task {
    network: Network,
    id: NetworkId,
    door: Arc<dyn Doorway>,
    clock: Now,
    counts: Arc<Counts>,
    servers: Servers,
    file: PeersFile,
    stop: CancellationToken,
    chains: BTreeSet<Chain>,
    sync: Sync,
    spread: Spread,
    items: Items,
    forwards: Forwards,
    /// Who waits for answers about states.
    inquiries: BTreeMap<u64, oneshot::Sender<Result<Bytes, Failure>>>,
    /// Requests that the network below carries, by the name they have there.
    open: BTreeMap<u64, Asking>,
    next_request: u64,
    /// Requests that the network below did not take: failures to be told.
    unsent: VecDeque<Asking>,
    /// Arrivals that found no room and must not be lost lightly, oldest first.
    backlog: VecDeque<Arrival>,
    connected: BTreeSet<PeerId>,
    /// What engines had gossiped.
    said: Said,
    /// Frames whose body was pulled: once they are stored, others are told.
    large: VecDeque<FrameId>,
    refused: (mpsc::Sender<Refused>, mpsc::Receiver<Refused>),
    /// Where this node's scheduler is reached, as peers are told.
    location: Option<Bytes>,
    clocks: Clocks,
    /// When the operator was told last that the clock is wrong.
    clock_told: Option<Instant>,
    /// What peers were told last, and when.
    told: (Vec<Tip>, Instant),
    /// Whether others are given what they ask for. A node does.
    serves: bool,
    /// Something happened that the state machines may want to act on. Most gossip and most messages of engines are nothing to them.
    due: bool,
}

impl Task {
    #[expect(clippy::too_many_arguments, reason = "parts that are made in one place and owned here")]
    pub(super) fn new(
        settings: &Settings,
        network: Network,
        door: Arc<dyn Doorway>,
        servers: Servers,
        counts: Arc<Counts>,
        file: PeersFile,
        tips: Vec<Tip>,
        stop: CancellationToken,
    ) -> Self {
        let now = (settings.clock)();
        let mut sync = Sync::new(settings.network);
        tips.into_iter().for_each(|tip| sync.local(now, tip));
        Self {
            spread: Spread::new(network.peer_id()),
            network,
            id: settings.network,
            door,
            clock: settings.clock.clone(),
            counts,
            servers,
            file,
            stop,
            chains: settings.chains.iter().copied().collect(),
            sync,
            items: Items::default(),
            forwards: Forwards::default(),
            inquiries: BTreeMap::new(),
            open: BTreeMap::new(),
            next_request: 0,
            unsent: VecDeque::new(),
            backlog: VecDeque::new(),
            connected: BTreeSet::new(),
            said: Said::default(),
            large: VecDeque::new(),
            refused: mpsc::channel(HEARD_MAX),
            location: None,
            clocks: Clocks::of(settings.validators.iter().copied()),
            clock_told: None,
            told: (Vec::new(), Instant::now()),
            serves: true,
            due: true,
        }
    }

    /// Refuses whatever others ask for: for nodes that misbehave in tests.
    pub(super) fn that_serves_nobody(self) -> Self {
        Self { serves: false, ..self }
    }

    /// Runs until it is told to stop, or the node or the network below ends.
    pub(super) async fn run(mut self, mut events: Events, mut orders: mpsc::Receiver<Order>, mut inquiries: mpsc::Receiver<Inquiry>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = events.recv() => match event {
                    Some(event) => self.on_event(event),
                    None => break,
                },
                order = orders.recv() => match order {
                    Some(order) => self.on_order(order),
                    None => break,
                },
                Some(Refused { peer, chain }) = self.refused.1.recv() => {
                    let now = (self.clock)();
                    self.sync.refused(now, peer, chain);
                    self.due = true;
                }
                Some(inquiry) = inquiries.recv() => self.on_inquiry(inquiry),
                _ = tick.tick() => self.on_tick(),
            }
            self.turn();
        }
        orders.close();
        let late = std::iter::from_fn(|| orders.try_recv().ok());
        let late = late.filter_map(|order| if let Order::Forward { forward, .. } = order { Some(forward) } else { None });
        // A node that has no room for these any more is stopping as well.
        for forward in self.forwards.close().into_iter().chain(late) {
            drop(self.door.offer(forward::refused(forward, "the network is shutting down")));
        }
    }

    /// Bounded by what the network below lets be open.
    fn on_inquiry(&mut self, Inquiry { peer, question, reply }: Inquiry) {
        let id = self.next_request;
        self.inquiries.insert(id, reply);
        self.ask(peer, Kind::State, question, Asking::State(id));
    }

    fn on_tick(&mut self) {
        self.due = true;
        let told = self.told.1.elapsed();
        let tips = self.sync.tips();
        if told >= TIPS_EVERY_MAX || (told >= TIPS_EVERY && tips != self.told.0) {
            let bytes = Direct::Tips(tips.clone(), (self.clock)()).encode();
            self.tell_connected(&bytes);
            self.told = (tips, Instant::now());
        }
        let (target, here) = self.sync.progress();
        self.counts.sync_frames.store(here, Ordering::Relaxed);
        self.counts.sync_target_frames.store(target, Ordering::Relaxed);
        self.counts.connected.store(self.connected.len(), Ordering::Relaxed);
    }

    /// What a peer says that the time is.
    fn hear_clock(&mut self, peer: PeerId, theirs: Timestamp) {
        self.clocks.heard(peer, theirs, (self.clock)());
        let Some(ahead_ms) = self.clocks.ahead_ms() else { return };
        self.counts.clock_ahead_ms.store(ahead_ms, Ordering::Relaxed);
        self.counts.clock_known.store(true, Ordering::Release);
        let due = self.clock_told.is_none_or(|told| told.elapsed() >= CLOCK_TOLD_EVERY);
        if ahead_ms.unsigned_abs() > CLOCK_AHEAD_TOLD_MS && due {
            self.clock_told = Some(Instant::now());
            tracing::warn!(
                event = "clock_offset",
                ahead_ms,
                "this machine's clock is wrong by that much, as most validators see it: set it, or messages wait for it"
            );
        }
    }

    /// Does what the state machines want, until they want nothing more.
    fn turn(&mut self) {
        self.offer_backlog();
        let now = (self.clock)();
        // Twice: what could not be sent in the first round may be asked of somebody else.
        for _ in 0..2 {
            if !std::mem::take(&mut self.due) && self.unsent.is_empty() {
                return;
            }
            while let Some(asking) = self.unsent.pop_front() {
                self.due = true;
                self.answered(now, asking, None, Err(Failure::TooMany));
            }
            let others: Vec<PeerId> = self.connected.iter().copied().collect();
            let (mut ranges, mut chunks, mut parts) = (Vec::new(), Vec::new(), Vec::new());
            self.sync.poll(now, &mut ranges);
            self.spread.poll(now, &others, &mut chunks);
            self.items.poll(now, &others, &mut parts);
            ranges.into_iter().for_each(|act| self.do_sync(now, act));
            chunks.into_iter().for_each(|act| self.do_spread(act));
            parts.into_iter().for_each(|act| self.do_items(act));
        }
    }

    fn do_sync(&mut self, now: Timestamp, act: sync::Act) {
        match act {
            sync::Act::Ask { request, peer, question } => {
                self.ask(peer, Kind::Range, question.encode().into(), Asking::Range(request));
            }
            sync::Act::Frame { peer, frame } => self.on_authentic(now, peer, frame),
            sync::Act::Blame(peer, offence) => self.send(Command::Penalise { peer, offence }),
        }
    }

    fn do_spread(&mut self, act: spread::Act) {
        match act {
            spread::Act::Ask { request, peer, question } => {
                self.ask(peer, Kind::Body, question.encode().into(), Asking::Chunk(request));
            }
            spread::Act::Whole { from, place, bytes } => {
                if self.large.len() >= LARGE_REMEMBERED {
                    self.large.pop_front();
                }
                self.large.push_back(place.frame);
                self.arrive_frame(from, place.chain, bytes);
            }
            spread::Act::Blame(peer, offence) => self.send(Command::Penalise { peer, offence }),
        }
    }

    fn do_items(&mut self, act: items::Act) {
        match act {
            items::Act::Ask { request, peer, question } => {
                self.ask(peer, Kind::Item, question.encode().into(), Asking::Item(request));
            }
            items::Act::Item { from, purpose: items::Purpose::Lacked, bytes } => {
                self.arrive(Arrival::Item { from: names::to_types(&from), bytes });
            }
            items::Act::Item { from, purpose: items::Purpose::Submission(id), bytes } => self.submission(from, id, Load::Item(bytes)),
            items::Act::Lost(items::Purpose::Submission(id)) => self.send(Command::Respond { id, answer: ao_p2p::Answer::Busy }),
            // Too late is no answer.
            items::Act::Lost(items::Purpose::Lacked) => {}
            items::Act::Nobody { item, denied } => {
                let denied = denied.iter().map(names::to_types).collect();
                self.arrive_surely(Arrival::Nobody { item, denied });
            }
            items::Act::Blame(peer, offence) => self.send(Command::Penalise { peer, offence }),
        }
    }

    /// What became of a request of ours.
    fn answered(&mut self, now: Timestamp, asking: Asking, peer: Option<PeerId>, result: Result<Bytes, Failure>) {
        match asking {
            Asking::Range(request) => {
                let mut acts = Vec::new();
                self.sync.answered(now, request, result, &mut acts);
                acts.into_iter().for_each(|act| self.do_sync(now, act));
            }
            Asking::Chunk(request) => {
                let mut acts = Vec::new();
                self.spread.answered(now, request, result, &mut acts);
                acts.into_iter().for_each(|act| self.do_spread(act));
            }
            Asking::Item(request) => {
                let mut acts = Vec::new();
                self.items.answered(now, request, result, &mut acts);
                acts.into_iter().for_each(|act| self.do_items(act));
            }
            Asking::Forward(forward) => {
                if let Some((peer, question)) = peer.zip(self.forwards.again(forward, &result)) {
                    return self.ask(peer, Kind::Forward, question, asking);
                }
                let (answer, lied) = self.forwards.answered(forward, result);
                if let Some(peer) = peer.filter(|_| lied) {
                    self.send(Command::Penalise { peer, offence: Offence::Malformed });
                }
                self.arrive_surely(answer);
            }
            Asking::State(id) => {
                // Whoever asked may have gone.
                if let Some(reply) = self.inquiries.remove(&id) {
                    drop(reply.send(result));
                }
            }
            Asking::Message => {}
        }
    }

    fn ask(&mut self, peer: PeerId, kind: Kind, data: Bytes, asking: Asking) {
        let id = self.next_request;
        self.next_request += 1;
        match self.network.send(Command::Request { id: RequestId(id), peer, kind, data }) {
            Ok(()) => drop(self.open.insert(id, asking)),
            Err(_) => self.unsent.push_back(asking),
        }
    }

    /// A message that may be lost.
    fn tell(&mut self, peer: PeerId, data: Bytes) {
        self.ask(peer, Kind::Direct, data, Asking::Message);
    }

    /// A command that may be lost: what is not told costs at worst a question more.
    fn send(&self, command: Command) {
        drop(self.network.send(command));
    }

    /// A frame that was asked for. If the core finds fault with it, it is asked for again, elsewhere.
    fn arrive_frame(&mut self, from: PeerId, chain: Chain, bytes: Bytes) {
        let refused = self.refused.0.clone();
        let judge = Judge::new(move |verdict| {
            if verdict == Verdict::Reject {
                // Without room the frames count as lost after a while.
                refused.try_send(Refused { peer: from, chain }).ok();
            }
        });
        self.arrive(Arrival::Frame { from: names::to_types(&from), bytes, way: Way::Asked, judge });
    }

    /// Hands over what was asked for; keeps it for a while if there is no room.
    fn arrive(&mut self, arrival: Arrival) {
        let arrival = if self.backlog.is_empty() { self.door.offer(arrival) } else { Err(Box::new(arrival)) };
        if let Err(arrival) = arrival {
            if self.backlog.len() >= ARRIVALS_MAX {
                self.counts.arrivals_dropped.fetch_add(1, Ordering::Relaxed);
            } else {
                self.backlog.push_back(*arrival);
            }
        }
    }

    /// Hands over what the node counts on. Bounded by what the node asked for.
    fn arrive_surely(&mut self, arrival: Arrival) {
        if let Err(arrival) = self.door.offer(arrival) {
            self.backlog.push_back(*arrival);
        }
    }

    fn offer_backlog(&mut self) {
        while let Some(arrival) = self.backlog.pop_front() {
            if let Err(arrival) = self.door.offer(arrival) {
                return self.backlog.push_front(*arrival);
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        let now = (self.clock)();
        match event {
            Event::Connected { peer, .. } => {
                self.connected.insert(peer);
                let tips = Direct::Tips(self.sync.tips(), now).encode();
                self.tell(peer, tips);
                if let Some(location) = self.location.clone() {
                    self.tell(peer, location);
                }
            }
            Event::Disconnected(peer) => {
                self.connected.remove(&peer);
                self.clocks.gone(&peer);
                self.sync.gone(&peer);
                self.spread.gone(&peer);
                self.due = true;
            }
            Event::Gossip { id, from, topic, data } => self.on_gossip(now, id, from, topic, &data),
            Event::Direct { from, data } => self.on_direct(from, &data),
            Event::Request { id, from, kind, data } => self.on_request(now, id, from, kind, &data),
            Event::Answered { id, peer, result } => {
                if let Some(asking) = self.open.remove(&id.0) {
                    self.due |= !matches!(asking, Asking::Message | Asking::State(_));
                    self.answered(now, asking, Some(peer), result);
                }
            }
            Event::Banned(ban) => self.file.banned(ban),
            Event::Unbanned(peer) => self.file.unbanned(peer),
            Event::Anchors(anchors) => self.file.anchors(anchors),
            Event::Listening(address) => {
                tracing::info!(event = "p2p_listening", address = %address.with_peer(self.network.peer_id()), "peers reach this node here");
            }
            Event::Reachable(address) => {
                tracing::info!(event = "p2p_reachable", address = %address, "others reach this node here");
            }
            Event::ListenFailed { address, reason } => {
                let address = address.map_or_else(|| "an address".to_owned(), |address| address.to_string());
                tracing::warn!(event = "p2p_listen_failed", address, "nobody reaches this node there any more: {reason}; restart it");
            }
        }
    }
}
