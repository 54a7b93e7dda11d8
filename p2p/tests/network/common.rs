//! A node under test, and how to wait for what it tells.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ao_p2p::{Answer, Command, Config, Event, Events, Kind, KnownPeer, NetAddress, Network, NodeKey, PeerId, Topic, Verdict};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Only a failure takes so long, also on a machine that does ten other things.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub const NETWORK: [u8; 32] = [0xab; 32];

/// Quick rounds, loopback, nothing else unusual.
pub fn config(seed: u8) -> Config {
    let mut config = Config::new(NETWORK, key(seed));
    config.heartbeat = Duration::from_millis(100);
    config.upkeep = Duration::from_millis(50);
    config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()];
    config
}

pub fn tcp(seed: u8) -> Config {
    Config { listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()], ..config(seed) }
}

pub fn key(seed: u8) -> NodeKey {
    NodeKey::from_seed(&mut [seed; 32]).unwrap()
}

pub fn only(topic: Topic) -> HashSet<Topic> {
    HashSet::from([topic])
}

type Judge = Arc<dyn Fn(Topic, &[u8]) -> Verdict + Send + Sync>;
type Oracle = Arc<dyn Fn(Kind, &[u8]) -> Option<Answer> + Send + Sync>;

/// A node whose layer above answers everything at once, and tells the test what happened.
pub struct Node {
    pub network: Network,
    pub peer: PeerId,
    pub address: NetAddress,
    log: mpsc::UnboundedReceiver<Event>,
    pump: JoinHandle<()>,
}

impl Node {
    pub async fn start(config: Config) -> Self {
        Self::with(config, |_, _| Verdict::Accept, |_, _| Some(Answer::NotFound)).await
    }

    /// `judge` gives verdicts; `oracle` answers requests, or leaves them unanswered.
    pub async fn with(
        config: Config,
        judge: impl Fn(Topic, &[u8]) -> Verdict + Send + Sync + 'static,
        oracle: impl Fn(Kind, &[u8]) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listens = !config.listen.is_empty();
        let (network, mut events) = Network::start(config).unwrap();
        let mut address: NetAddress = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        if listens {
            address = timeout(DEADLINE, listening(&mut events)).await.expect("the node listens");
        }
        let (log, read) = mpsc::unbounded_channel();
        let pump = tokio::spawn(pump(network.clone(), events, log, Arc::new(judge), Arc::new(oracle)));
        Self { peer: network.peer_id(), network, address, log: read, pump }
    }

    pub fn known(&self) -> KnownPeer {
        KnownPeer { peer: self.peer, addresses: vec![self.address.clone()] }
    }

    pub fn send(&self, command: Command) {
        self.network.send(command).unwrap();
    }

    pub fn publish(&self, topic: Topic, data: impl Into<Vec<u8>>) {
        self.send(Command::Publish { topic, data: data.into().into() });
    }

    /// The first event from now on that `choose` takes.
    pub async fn wait<T>(&mut self, what: &str, mut choose: impl FnMut(Event) -> Option<T>) -> T {
        let log = &mut self.log;
        let found = async {
            loop {
                let event = log.recv().await.unwrap_or_else(|| panic!("the node ended before {what}"));
                if let Some(found) = choose(event) {
                    return found;
                }
            }
        };
        timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("{what} did not happen; {}", self.network.metrics_text()))
    }

    pub async fn connected(&mut self, peer: PeerId) {
        self.wait("a connection", |event| matches!(event, Event::Connected { peer: found, .. } if found == peer).then_some(())).await;
    }

    pub async fn disconnected(&mut self, peer: PeerId) {
        self.wait("the end of a connection", |event| (event == Event::Disconnected(peer)).then_some(())).await;
    }

    pub async fn banned(&mut self, peer: PeerId) -> ao_p2p::Ban {
        self.wait("a ban", |event| match event {
            Event::Banned(ban) if ban.peer == peer => Some(ban),
            _ => None,
        })
        .await
    }

    /// The next gossiped payload.
    pub async fn gossip(&mut self) -> Vec<u8> {
        self.wait("a gossiped message", |event| match event {
            Event::Gossip { data, .. } => Some(data.to_vec()),
            _ => None,
        })
        .await
    }

    /// Events that were told and not yet looked at.
    pub fn told(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.log.try_recv().ok()).collect()
    }

    /// Asks until what is asked about peers holds. Each question waits for its answer, so this does not spin.
    pub async fn peers_until(&self, what: &str, mut holds: impl FnMut(&[ao_p2p::PeerInfo]) -> bool) {
        let asked = async {
            while !holds(&self.network.peers().await.unwrap()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, asked).await.unwrap_or_else(|_| panic!("{what} did not happen"));
    }

    /// Nobody reads its events any more, so it ends.
    pub async fn stop(self) {
        self.pump.abort();
        timeout(DEADLINE, self.network.stopped()).await.expect("the network stops");
    }
}

async fn listening(events: &mut Events) -> NetAddress {
    loop {
        if let Some(Event::Listening(address)) = events.recv().await {
            return address;
        }
    }
}

async fn pump(network: Network, mut events: Events, log: mpsc::UnboundedSender<Event>, judge: Judge, oracle: Oracle) {
    while let Some(event) = events.recv().await {
        let command = match &event {
            Event::Gossip { id, topic, data, .. } => Some(Command::Verdict { id: *id, verdict: judge(*topic, data) }),
            Event::Request { id, kind, data, .. } => oracle(*kind, data).map(|answer| Command::Respond { id: *id, answer }),
            _ => None,
        };
        if command.is_some_and(|command| network.send(command).is_err()) || log.send(event).is_err() {
            // the test is over: dropping the events stops the network
            return;
        }
    }
}

/// Two nodes that are connected.
pub async fn pair(a: Config, b: Config) -> (Node, Node) {
    let mut a = Node::start(a).await;
    let mut b = Node::start(Config { static_peers: vec![a.known()], ..b }).await;
    a.connected(b.peer).await;
    b.connected(a.peer).await;
    (a, b)
}
