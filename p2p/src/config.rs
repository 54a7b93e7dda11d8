//! What an operator, a network's genesis and the last run tell the network. Ranges are checked by [`Network::start`](crate::Network).

use std::collections::HashSet;
use std::fmt::Display;
use std::time::Duration;

use crate::error::Error;
use crate::identity::{KnownPeer, NetAddress, NodeKey};
use crate::limits::{CONNECTIONS_MAX, EXCHANGE_BYTES_MAX, INBOUND_PER_SECOND, INTAKE_PER_SECOND, INTERVAL_MIN};
use crate::peers::Ban;
use crate::topic::Topic;

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// SHA-256 of the canonical genesis: part of every protocol's and topic's name.
    pub network: [u8; 32],
    /// This node's key.
    pub key: NodeKey,
    /// What this node says it runs; peers see it.
    pub agent: String,
    /// Where to listen. Port 0 takes a free one, which [`Event::Listening`](crate::Event) tells.
    pub listen: Vec<NetAddress>,
    /// Where others reach this node, if it is known.
    pub external: Vec<NetAddress>,
    /// Peers always kept in touch with: bootnodes, and friends of the operator.
    pub static_peers: Vec<KnownPeer>,
    /// [`Event::Anchors`](crate::Event) of the last run: dialled first, wanted no longer than others.
    pub anchors: Vec<KnownPeer>,
    /// [`Event::Banned`](crate::Event) of earlier runs.
    pub bans: Vec<Ban>,
    /// Nobody but static peers may connect, and nobody else is dialled.
    pub trusted_only: bool,
    /// What this node listens to.
    pub topics: HashSet<Topic>,
    /// Connections that others opened, at most. A node in the network's middle wants more.
    pub max_in: u32,
    /// Connections that this node opened, at most. They are apart from the others', so strangers cannot take them up.
    pub max_out: u32,
    /// Connections that this node tries to have opened.
    pub min_out: u32,
    /// Connections from one /24 or /56, those being set up included.
    pub per_subnet: u32,
    /// Loopback addresses do not count as a subnet.
    pub loopback_exempt: bool,
    /// No new connections while the process takes more memory than this, in bytes.
    pub memory_max: usize,
    /// Look for peers on the local network.
    pub mdns: bool,
    /// Ask the router for a port.
    pub upnp: bool,
    /// Carry connections between nodes that cannot reach each other.
    pub relay: bool,
    /// Relays to be reached through when this node turns out not to be reachable: addresses that end in `/p2p/<relay>`.
    pub relays: Vec<NetAddress>,
    /// Answer others' look-ups at once. `false`: only once others dialled back and found this node reachable.
    pub reachable: bool,
    /// Messages per second that one peer may gossip for long, duplicates included; twice as many at once.
    pub gossip_rate: u32,
    /// Requests and direct messages per second that one peer may make for long; twice as many at once.
    pub request_rate: u32,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// gossipsub's heartbeat.
    pub heartbeat: Duration,
    /// How often peers are looked after: scores, bans, dials, late answers.
    pub upkeep: Duration,
}

impl Config {
    /// The defaults of `operations.md`, section 3, listening nowhere.
    pub fn new(network: [u8; 32], key: NodeKey) -> Self {
        Self {
            network,
            key,
            agent: concat!("aonode/", env!("CARGO_PKG_VERSION")).to_owned(),
            listen: Vec::new(),
            external: Vec::new(),
            static_peers: Vec::new(),
            anchors: Vec::new(),
            bans: Vec::new(),
            trusted_only: false,
            topics: Topic::all().collect(),
            max_in: 60,
            max_out: 40,
            min_out: 8,
            per_subnet: 8,
            loopback_exempt: true,
            memory_max: 4 << 30,
            mdns: false,
            upnp: false,
            relay: false,
            relays: Vec::new(),
            reachable: true,
            gossip_rate: INTAKE_PER_SECOND,
            request_rate: INBOUND_PER_SECOND,
            request_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(1),
            upkeep: Duration::from_secs(1),
        }
    }

    /// Whether every value is one the network can run with.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first that is not.
    pub fn check(&self) -> Result<(), Error> {
        fn within<T: PartialOrd + Display>(name: &'static str, found: T, least: T, most: T) -> Result<(), Error> {
            let must = || format!("between {least} and {most}");
            if found < least || found > most { Err(Error::Setting { name, must: must(), found: found.to_string() }) } else { Ok(()) }
        }
        let interval = |name, found: Duration, most: u64| {
            within(name, found.as_millis(), INTERVAL_MIN.as_millis(), Duration::from_secs(most).as_millis())
        };
        within("max_in", self.max_in, 0, CONNECTIONS_MAX)?;
        within("max_out", self.max_out, 1, CONNECTIONS_MAX)?;
        within("min_out", self.min_out, 0, self.max_out)?;
        within("per_subnet", self.per_subnet, 1, CONNECTIONS_MAX)?;
        within("gossip_rate", self.gossip_rate, 1, u32::MAX)?;
        within("request_rate", self.request_rate, 1, u32::MAX)?;
        within("memory_max", self.memory_max, EXCHANGE_BYTES_MAX, usize::MAX)?;
        interval("request_timeout", self.request_timeout, 600)?;
        interval("heartbeat", self.heartbeat, 60)?;
        interval("upkeep", self.upkeep, 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_run_is_refused_by_name() {
        let good = Config::new([1; 32], NodeKey::generate());
        good.check().unwrap();
        let name = |config: Config| match config.check() {
            Err(Error::Setting { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(name(Config { upkeep: Duration::ZERO, ..good.clone() }), "upkeep");
        assert_eq!(name(Config { heartbeat: Duration::from_secs(61), ..good.clone() }), "heartbeat");
        assert_eq!(name(Config { min_out: 41, ..good.clone() }), "min_out");
        assert_eq!(name(Config { max_in: CONNECTIONS_MAX + 1, ..good.clone() }), "max_in");
        let error = Config { memory_max: 1, ..good }.check().unwrap_err().to_string();
        assert!(error.starts_with("p2p.memory_max is 1, it must be between 100663296 and "), "{error}");
    }
}
