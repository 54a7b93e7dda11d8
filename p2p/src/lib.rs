//! The network between nodes.
//!
//! One task owns everything libp2p ([`Network::start`] spawns it); whoever owns a [`Network`] sends it [`Command`]s, whoever owns the
//! [`Events`] reads what happened. Nobody outside this crate says libp2p, and this crate knows nothing of what it carries: payloads are bytes
//! with a [`Topic`] or a [`Kind`].
//!
//! ```text
//!             Command (bounded, sending fails when full)
//!  node ────────────────────────────────────────────────▶ ┌──────────────┐ QUIC
//!  core                                                   │ one task:    │ TCP + noise + yamux
//!  and  ◀──────────────────────────────────────────────── │ swarm.rs     │ ◀──────▶ peers
//!  shell       Event (bounded: gossip and requests are    └──────────────┘
//!              shed when it fills, the rest makes the network wait)
//! ```
//!
//! What it does:
//!
//! * **Discovery**: static peers, anchors of the last run, Kademlia under a name of the network's own, mDNS on request; AutoNAT, relays and
//!   hole punching for nodes behind a router.
//! * **Gossip** ([`Command::Publish`], [`Event::Gossip`]): at most 32 KiB, a fixed number of topics, ids derived from content, nothing
//!   forwarded before [`Command::Verdict`].
//! * **Requests** ([`Command::Request`], [`Event::Request`]): ranges, chunks, items, engine messages; one outstanding for each thing, caps
//!   checked before anything is allocated, always answered.
//! * **Limits** ([`limits`]): connections pending, in, out, per peer and per subnet, memory, rates, queues.
//! * **Scores and bans** ([`Offence`], [`Ban`]): what a peer does wrong costs points, and at last its connection.
//!
//! What it refuses to do: it stores nothing (bans and anchors are events for whoever does), checks no signature of a payload, and never
//! waits for the layer above while it can still shed.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ao_p2p::{Command, Config, Event, Network, NodeKey, Topic, Verdict};
//!
//! let mut config = Config::new([7; 32], NodeKey::generate());
//! config.listen.push("/ip4/0.0.0.0/udp/7710/quic-v1".parse()?);
//! let (network, mut events) = Network::start(config)?;
//! network.send(Command::Publish { topic: Topic::Tips, data: "hello".into() })?;
//! while let Some(event) = events.recv().await {
//!     if let Event::Gossip { id, .. } = event {
//!         network.send(Command::Verdict { id, verdict: Verdict::Accept })?;
//!     }
//! }
//! # Ok(()) }
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

use tokio::sync::mpsc;

mod admission;
mod behaviour;
mod config;
mod error;
mod event;
mod gossip;
#[cfg(feature = "hostile")]
pub mod hostile;
mod identity;
pub mod limits;
mod metrics;
mod peers;
mod rate;
mod requests;
mod swarm;
mod topic;
pub mod wire;

pub use config::Config;
pub use error::{Error, Failure};
pub use event::{Answer, Command, Direction, Event, GossipId, InboundId, PeerInfo, RequestId, Verdict};
pub use identity::{BadName, KnownPeer, NetAddress, NodeKey, PeerId};
pub use peers::{Ban, BanReason, Offence};
pub use topic::{Shard, Topic};
pub use wire::Kind;

use metrics::Metrics;

/// A command that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// [`limits::COMMANDS`] wait already. The command comes back; a verdict may be dropped (it becomes "ignore"), a request be failed.
    #[error("the network is behind by {} commands", limits::COMMANDS)]
    Full(Box<Command>),
    /// The network has stopped.
    #[error("the network has stopped")]
    Stopped,
}

/// A running network. Cheap to clone; when the last clone is dropped, the network stops and its connections close.
#[derive(Clone)]
pub struct Network {
    commands: mpsc::Sender<Command>,
    metrics: Metrics,
    peer: PeerId,
}

/// What happened, in order. Dropping it stops the network.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
}

impl Network {
    /// Starts a network on the tokio runtime that this is called in.
    ///
    /// # Errors
    /// A setting out of its range, an address that cannot be listened on, or a part of libp2p that cannot be set up.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub fn start(config: Config) -> Result<(Self, Events), Error> {
        config.check()?;
        let peer = config.key.peer_id()?;
        let (commands, taken) = mpsc::channel(limits::COMMANDS);
        let (told, events) = mpsc::channel(limits::EVENTS);
        let (task, metrics) = swarm::Task::new(config, taken, told)?;
        tokio::spawn(task.run());
        Ok((Self { commands, metrics, peer }, Events { events }))
    }

    /// Who this node is.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// Gives a command to the network, now or not at all. Safe from any thread; never waits, so that whoever reads [`Events`] may call it.
    ///
    /// # Errors
    /// The queue is full, or the network has stopped.
    pub fn send(&self, command: Command) -> Result<(), NotSent> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(command) => NotSent::Full(Box::new(command)),
            mpsc::error::TrySendError::Closed(_) => NotSent::Stopped,
        })
    }

    /// Who is connected, ordered by id.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, NotSent> {
        let (answer, peers) = tokio::sync::oneshot::channel();
        self.send(Command::Peers(answer))?;
        peers.await.map_err(|_| NotSent::Stopped)
    }

    /// Who is banned, ordered by id.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn bans(&self) -> Result<Vec<Ban>, NotSent> {
        let (answer, bans) = tokio::sync::oneshot::channel();
        self.send(Command::Bans(answer))?;
        bans.await.map_err(|_| NotSent::Stopped)
    }

    /// Waits until the network has stopped and let go of its sockets, which happens once [`Events`] is dropped.
    pub async fn stopped(&self) {
        self.commands.closed().await;
    }

    /// Everything counted here and in libp2p, in the text format 0.0.4 without an end mark: to be appended to the node's own.
    pub fn metrics_text(&self) -> String {
        self.metrics.render()
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Events {
    /// The next event; `None` once the network has stopped.
    pub async fn recv(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next event, for threads without a runtime.
    ///
    /// # Panics
    /// Inside a runtime.
    pub fn blocking_recv(&mut self) -> Option<Event> {
        self.events.blocking_recv()
    }

    /// The next event if there is one now.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }
}
