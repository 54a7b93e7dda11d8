//! A peer that keeps to no rule: plain libp2p, without anything of this crate that could be wrong in the same way. Tests of nodes attack them
//! with it (feature `hostile`); no node has it.
//!
//! It knows a network by the name that its nodes identify themselves with, written out by whoever tests, so that a change of a name on the
//! wire fails.
#![allow(
    missing_docs,
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test support: what does not work fails a test"
)]

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode};
use libp2p::kad::{self, store::MemoryStore};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol, Swarm, SwarmBuilder, identify, identity::Keypair, noise, tcp, yamux};
use tokio::time::timeout;

use crate::{NetAddress, PeerId};

/// Only a failure takes so long, also on a machine that does ten other things.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long nothing happens before a turn is over. No result depends on it.
const MOMENT: Duration = Duration::from_millis(1);

/// Writes what it is given as a request, and reads whatever comes back.
#[derive(Clone, Default)]
pub struct Raw;

impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(&mut self, protocol: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>> {
        self.read_request(protocol, io).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()> {
        io.write_all(&bytes).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()> {
        io.write_all(&bytes).await
    }
}

#[derive(NetworkBehaviour)]
pub struct Speaks {
    pub gossip: gossipsub::Behaviour,
    pub ask: request_response::Behaviour<Raw>,
    pub kad: Toggle<kad::Behaviour<MemoryStore>>,
    identify: identify::Behaviour,
}

/// What it does besides what it is told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// It listens to every topic it is told of, enters the meshes, and hands nothing on.
    pub swallows: bool,
    /// Whoever looks for peers is told of so many that do not exist.
    pub invents: usize,
}

pub struct Hostile {
    pub swarm: Swarm<Speaks>,
    pub peer: PeerId,
}

/// A table of distant peers in which nobody exists: keys that nobody has, at addresses where nobody answers.
fn inventor(node: &str, key: &Keypair, peers: usize) -> kad::Behaviour<MemoryStore> {
    let own = key.public().to_peer_id();
    let protocol = StreamProtocol::try_from_owned(node.replace("/node/", "/kad/")).unwrap();
    let mut kad = kad::Behaviour::with_config(own, MemoryStore::new(own), kad::Config::new(protocol));
    kad.set_mode(Some(kad::Mode::Server));
    for n in 0..peers {
        let nobody = Keypair::generate_ed25519().public().to_peer_id();
        let nowhere = format!("/ip4/127.{}.{}.1/tcp/1", 1 + n / 256 % 200, n % 256);
        kad.add_address(&nobody, nowhere.parse().unwrap());
    }
    kad
}

impl Hostile {
    /// One that says it is of the network whose nodes identify themselves so: `/aonode/0123456789abcdef/node/1`.
    pub fn of(node: &str) -> Self {
        Self::with(node, Habits::default())
    }

    /// The same with habits.
    pub fn with(node: &str, habits: Habits) -> Self {
        let named = StreamProtocol::try_from_owned(node.replace("/node/", "/ask/")).unwrap();
        let key = Keypair::generate_ed25519();
        let peer = key.public().to_peer_id().to_string().parse().unwrap();
        let swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_quic()
            .with_behaviour(|key| {
                // every message is new to it, so that it may say the same thing again and again
                let serial = AtomicU64::new(0);
                let mut gossip = gossipsub::ConfigBuilder::default();
                if habits.swallows {
                    // nothing is handed on before a verdict, and there is none
                    gossip.validate_messages();
                }
                let gossip = gossip
                    .validation_mode(ValidationMode::Anonymous)
                    .message_id_fn(move |_| MessageId::new(&serial.fetch_add(1, Ordering::Relaxed).to_be_bytes()))
                    .max_transmit_size(8 << 20)
                    .connection_handler_queue_len(100_000)
                    .heartbeat_initial_delay(Duration::from_millis(10))
                    .heartbeat_interval(Duration::from_millis(100))
                    .build()
                    .unwrap();
                let ask = request_response::Config::default().with_max_concurrent_streams(5000);
                Speaks {
                    gossip: gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, gossip).unwrap(),
                    ask: request_response::Behaviour::new([(named, ProtocolSupport::Full)], ask),
                    kad: (habits.invents > 0).then(|| inventor(node, key, habits.invents)).into(),
                    identify: identify::Behaviour::new(identify::Config::new(node.to_owned(), key.public())),
                }
            })
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(DEADLINE))
            .build();
        Self { swarm, peer }
    }

    fn multiaddr(address: &NetAddress) -> Multiaddr {
        address.to_string().parse().unwrap()
    }

    /// Listens on loopback, and says so to whoever it meets.
    pub async fn listen(&mut self) {
        self.swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        self.until("an address", |event| matches!(event, SwarmEvent::NewListenAddr { .. }).then_some(())).await;
    }

    /// Lets happen what happens by itself, for ever.
    pub async fn live(mut self) {
        while let Some(_event) = self.swarm.next().await {}
    }

    /// What `choose` takes of all that happens.
    pub async fn until<T>(&mut self, what: &str, mut choose: impl FnMut(SwarmEvent<SpeaksEvent>) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = choose(self.swarm.select_next_some().await) {
                    return found;
                }
            }
        };
        timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("{what} did not happen"))
    }

    pub async fn connect(&mut self, address: &NetAddress) {
        self.swarm.dial(Self::multiaddr(address)).unwrap();
        self.until("a connection", |event| matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())).await;
    }

    /// Connects, and waits until the other side is known to listen to this topic.
    pub async fn meet(&mut self, address: &NetAddress, topic: &str) {
        self.swarm.dial(Self::multiaddr(address)).unwrap();
        self.until("a subscription", |event| match event {
            SwarmEvent::Behaviour(SpeaksEvent::Gossip(gossipsub::Event::Subscribed { topic: found, .. })) => {
                (found.as_str() == topic).then_some(())
            }
            _ => None,
        })
        .await;
    }

    /// Whether a dial leads to a connection that lasts until the first words are exchanged.
    pub async fn is_let_in(&mut self, address: &NetAddress) -> bool {
        self.swarm.dial(Self::multiaddr(address)).unwrap();
        self.until("an answer to a dial", |event| match event {
            SwarmEvent::Behaviour(SpeaksEvent::Identify(identify::Event::Received { .. })) => Some(true),
            SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => Some(false),
            _ => None,
        })
        .await
    }

    /// Gossips these bytes as they are. `false` when nobody listens.
    pub fn gossip(&mut self, topic: &str, bytes: Vec<u8>) -> bool {
        self.swarm.behaviour_mut().gossip.publish(IdentTopic::new(topic), bytes).is_ok()
    }

    /// What is gossiped next, and on which topic.
    pub async fn hear(&mut self) -> (String, Vec<u8>) {
        self.until("gossip", |event| match event {
            SwarmEvent::Behaviour(SpeaksEvent::Gossip(gossipsub::Event::Message { message, .. })) => {
                Some((message.topic.into_string(), message.data))
            }
            _ => None,
        })
        .await
    }

    /// Sends these bytes as a request, as they are.
    pub fn ask(&mut self, to: &PeerId, bytes: Vec<u8>) {
        self.swarm.behaviour_mut().ask.send_request(&to.to_string().parse().unwrap(), bytes);
    }

    /// Asks for a topic, whether or not there is one.
    pub fn subscribe(&mut self, topic: &str) {
        self.swarm.behaviour_mut().gossip.subscribe(&IdentTopic::new(topic)).unwrap();
    }

    /// Lets happen what happens by itself, until nothing does for a moment: that paces whoever misbehaves in a loop, or its own queues would
    /// outgrow the machine before the other side hears of it. `false` once it was disconnected.
    pub async fn turn(&mut self) -> bool {
        while let Ok(event) = timeout(MOMENT, self.swarm.select_next_some()).await {
            if matches!(event, SwarmEvent::ConnectionClosed { .. }) {
                return false;
            }
        }
        true
    }

    pub async fn closed(&mut self) {
        if self.swarm.connected_peers().next().is_some() {
            self.until("the end of the connection", |event| matches!(event, SwarmEvent::ConnectionClosed { .. }).then_some(())).await;
        }
    }
}
