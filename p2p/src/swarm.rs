//! The one task that owns the swarm.
//!
//! Takes commands, network events and a tick, one at a time, and never waits for anything slow: what must be decided elsewhere is handed up
//! as an [`Event`] and comes back as a [`Command`]. When the layer above does not take events, the task first sheds what may be shed and then
//! stops reading from the network until there is room ([`Sink`]); it never drops what must arrive and never grows.
//!
//! ```text
//! Network ──Command──▶ commands.rs ─┐                     ┌─▶ Sink ──Event──▶ Events
//!                                   ├─▶ peers, requests, ─┤
//! libp2p ──SwarmEvent─▶ events.rs ──┤   verdicts (decide) └─▶ Swarm<Behaviour>
//! interval ───────────▶ upkeep.rs ──┘
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::StreamExt;
use libp2p::Swarm;
use libp2p::core::transport::ListenerId;
use libp2p::metrics::Metrics as Libp2pMetrics;
use libp2p::swarm::ConnectionId;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::behaviour::{self, Behaviour, Shared};
use crate::config::Config;
use crate::error::Error;
use crate::event::{Command, Direction, Event};
use crate::gossip::{Gate, Verdicts};
use crate::identity::{KnownPeer, NetAddress, PeerId};
use crate::limits::{ANSWER_WITHIN_PERCENT, COMMANDS_PER_TURN, EXCHANGE_BYTES_MAX};
use crate::metrics::{Counts, Metrics, Scores};
use crate::peers::{Ban, Now, Offence, PeerBook, Sentence};
use crate::requests::{Inbound, Outbound};
use crate::topic::{Names, Topic};
use crate::wire::Budget;

mod commands;
mod events;
mod sink;
mod upkeep;

use sink::Sink;
use upkeep::Rounds;

/// One connection of a peer.
#[derive(Clone, Debug)]
struct Line {
    direction: Direction,
    address: NetAddress,
    transport: &'static str,
}

/// A connected peer.
struct Link {
    peer: PeerId,
    lines: BTreeMap<ConnectionId, Line>,
    since: Duration,
    /// It said that it is of this network, and the layer above was told of it.
    identified: bool,
    agent: String,
    /// Which life of the peer was identified.
    life: Option<String>,
    round_trip: Option<Duration>,
    ping_failures: u32,
}

/// The task.
pub(crate) struct Task {
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    sink: Sink,
    config: Config,
    names: Names,
    gate: Gate,
    budget: Budget,
    book: PeerBook,
    verdicts: Verdicts,
    outbound: Outbound,
    inbound: Inbound,
    links: HashMap<libp2p::PeerId, Link>,
    /// Messages of ours that nobody took yet.
    unsent: VecDeque<(Duration, Topic, Bytes)>,
    /// Relays that this node wants to be reached through, and the listener on each while it stands.
    circuits: Vec<(NetAddress, Option<ListenerId>)>,
    rounds: Rounds,
    /// gossipsub's messages handed to us, against which duplicates are counted.
    delivered: u64,
    counts: Counts,
    scores: Scores,
    libp2p_metrics: Libp2pMetrics,
    dice: RandomState,
    tick: Interval,
    started: Instant,
}

impl Task {
    /// Sets everything up and listens. Nothing runs before [`Self::run`].
    pub(crate) fn new(config: Config, commands: mpsc::Receiver<Command>, events: mpsc::Sender<Event>) -> Result<(Self, Metrics), Error> {
        let names = Names::new(&config.network);
        let (gate, budget, scores) = (Gate::new(config.gossip_rate), Budget::new(EXCHANGE_BYTES_MAX), Scores::default());
        let mut registry = Registry::default();
        let counts = Metrics::register(&mut registry, &scores);
        let libp2p_metrics = Libp2pMetrics::new(&mut registry);
        let shared = Shared { config: &config, names: &names, gate: &gate, budget: &budget };
        let swarm = behaviour::swarm(&shared, &mut registry)?;
        let mut tick = interval(config.upkeep);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut task = Self {
            swarm,
            commands,
            sink: Sink::new(events),
            book: PeerBook::new(&config.bans, Now { uptime: Duration::ZERO, unix: unix() }),
            names,
            gate,
            budget,
            verdicts: Verdicts::default(),
            outbound: Outbound::new(),
            inbound: Inbound::new(config.request_timeout * ANSWER_WITHIN_PERCENT / 100, config.request_rate),
            links: HashMap::new(),
            unsent: VecDeque::new(),
            circuits: config.relays.iter().map(|relay| (relay.clone(), None)).collect(),
            rounds: Rounds::default(),
            delivered: 0,
            counts,
            scores,
            libp2p_metrics,
            dice: RandomState::new(),
            tick,
            started: Instant::now(),
            config,
        };
        task.enter()?;
        Ok((task, Metrics::seal(registry)))
    }

    /// Listens, and takes up what was kept from the last run.
    fn enter(&mut self) -> Result<(), Error> {
        for address in self.config.listen.clone() {
            let listen = self.swarm.listen_on(address.as_libp2p().clone());
            listen.map_err(|error| Error::Listen { address: address.to_string(), reason: in_words(&error) })?;
        }
        for address in &self.config.external {
            self.swarm.add_external_address(address.as_libp2p().clone());
        }
        let banned: Vec<_> = self.book.bans().map(|ban| ban.peer.to_libp2p()).collect();
        for peer in banned {
            self.swarm.behaviour_mut().banned.block_peer(peer);
        }
        let now = self.now();
        for known in self.config.static_peers.clone() {
            self.told(&known, true, now);
        }
        for known in self.config.anchors.clone() {
            self.told(&known, false, now);
        }
        Ok(())
    }

    /// Runs until every handle or the reader of events is gone.
    pub(crate) async fn run(mut self) {
        loop {
            if self.sink.is_behind() {
                // no room above: what is already known goes first, and the network waits
                if !self.sink.flush().await {
                    return;
                }
                continue;
            }
            tokio::select! {
                command = self.commands.recv() => {
                    let Some(command) = command else { return };
                    self.on_command(command);
                    for _ in 1..COMMANDS_PER_TURN {
                        if self.sink.is_behind() {
                            break;
                        }
                        let Ok(command) = self.commands.try_recv() else { break };
                        self.on_command(command);
                    }
                }
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                _ = self.tick.tick() => self.upkeep(),
                () = self.sink.closed() => return,
            }
        }
    }

    fn now(&self) -> Now {
        Now { uptime: self.started.elapsed(), unix: unix() }
    }

    /// Notes a peer's whereabouts, unless it is this node itself.
    fn told(&mut self, known: &KnownPeer, wanted: bool, now: Now) {
        if known.peer.to_libp2p() != *self.swarm.local_peer_id() {
            self.book.told(known, wanted, now);
        }
    }

    fn offend(&mut self, peer: libp2p::PeerId, offence: Offence, times: u32) {
        let Some(peer) = PeerId::from_libp2p(&peer) else { return };
        self.counts.offence(offence, times);
        let now = self.now();
        tracing::debug!(event = "peer_offence", %peer, offence = offence.as_str(), times, "a peer broke a rule");
        match self.book.offend(peer, offence, times, now) {
            Sentence::Ban(ban) => self.enforce(ban),
            Sentence::Close => {
                tracing::debug!(event = "peer_closed", %peer, offence = offence.as_str(), "a peer that does not keep up is disconnected");
                self.disconnect(peer);
            }
            Sentence::None => {
                let score = self.book.gossip_score(peer, now).score;
                self.swarm.behaviour_mut().gossip.inner_mut().set_application_score(&peer.to_libp2p(), score);
            }
        }
    }

    /// Carries a ban out: connections are closed, new ones refused, and the layer above keeps it.
    fn enforce(&mut self, ban: Ban) {
        tracing::info!(event = "peer_banned", peer = %ban.peer, reason = ban.reason.as_str(), until = ban.until, "a peer is banned");
        self.counts.ban(ban.reason);
        self.swarm.behaviour_mut().banned.block_peer(ban.peer.to_libp2p());
        self.swarm.behaviour_mut().kad.remove_peer(&ban.peer.to_libp2p());
        self.sink.push(Event::Banned(ban));
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.links.values().flat_map(|link| link.lines.values())
    }

    /// Peers with a connection that this node opened.
    fn dialled(&self) -> impl Iterator<Item = &Link> {
        self.links.values().filter(|link| link.lines.values().any(|line| line.direction == Direction::Out))
    }

    fn roll(&self, round: u64) -> impl Fn(PeerId) -> u64 + use<> {
        let dice = self.dice.clone();
        move |peer| dice.hash_one((round, peer))
    }
}

/// Seconds since 1970; a clock before that counts as 1970.
fn unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What the system said: errors of libp2p around it may say nothing at all in words.
fn in_words(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).find(|text| !text.is_empty()).unwrap_or_else(|| "no reason is given".to_owned())
}
