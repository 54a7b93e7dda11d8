//! The protocols a node speaks, put together, and the transport beneath them.
//!
//! Order matters for new connections: each behaviour may refuse one, and the cheap refusals come first.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroU8;

use libp2p::core::upgrade::Version;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::request_response;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    StreamProtocol, Swarm, SwarmBuilder, allow_block_list, autonat, connection_limits, dcutr, identify, identity::Keypair, mdns,
    memory_connection_limits, noise, ping, relay, tcp, upnp, yamux,
};
use prometheus_client::registry::Registry;

use crate::admission::Admission;
use crate::config::Config;
use crate::error::Error;
use crate::gossip::{self, Gate, Watch};
use crate::limits::{
    CONNECTIONS_PER_PEER, IDLE_FOR, NEGOTIATING_STREAMS_MAX, PENDING_IN_MAX, PENDING_OUT_MAX, STREAMS_PER_CONNECTION, YAMUX_STREAMS_MAX,
};
use crate::requests::Guard;
use crate::topic::Names;
use crate::wire::Budget;

/// Everything a node speaks.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) banned: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) memory: memory_connection_limits::Behaviour,
    pub(crate) admission: Admission,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) kad: kad::Behaviour<MemoryStore>,
    pub(crate) gossip: Watch,
    pub(crate) exchange: Guard,
    pub(crate) autonat_client: autonat::v2::client::Behaviour,
    pub(crate) autonat_server: autonat::v2::server::Behaviour,
    pub(crate) relay_client: relay::client::Behaviour,
    pub(crate) relay_server: Toggle<relay::Behaviour>,
    pub(crate) dcutr: dcutr::Behaviour,
    pub(crate) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(crate) upnp: Toggle<upnp::tokio::Behaviour>,
}

/// What the parts share.
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    pub(crate) names: &'a Names,
    pub(crate) gate: &'a Gate,
    pub(crate) budget: &'a Budget,
}

fn setup(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> Error {
    move |reason| Error::Setup { what, reason: reason.to_string() }
}

/// In what a node says of itself, between its name and a number that is another one each time it is started.
pub(crate) const LIFE: char = ';';

fn protocol(name: String) -> Result<StreamProtocol, Error> {
    StreamProtocol::try_from_owned(name).map_err(|error| setup("protocol name")(&error))
}

/// TCP with noise and yamux, and QUIC, with names resolved, circuits over relays, and bytes counted.
pub(crate) fn swarm(shared: &Shared<'_>, registry: &mut Registry) -> Result<Swarm<Behaviour>, Error> {
    let yamux = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(YAMUX_STREAMS_MAX);
        config
    };
    let keypair = shared.config.key.keypair().clone();
    let builder = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux)
        .map_err(|error| setup("encryption of TCP")(&error))?
        .with_quic_config(|mut config| {
            config.max_concurrent_stream_limit = YAMUX_STREAMS_MAX as u32;
            config
        })
        .with_dns()
        .map_err(|error| setup("resolver of names (/etc/resolv.conf)")(&error))?
        .with_relay_client(noise::Config::new, yamux)
        .map_err(|error| setup("encryption of circuits")(&error))?
        .with_bandwidth_metrics(registry);
    let swarm = builder
        .with_behaviour(|key, relay| behaviour(shared, key, relay, registry).map_err(Box::<dyn std::error::Error + Send + Sync>::from))
        .map_err(|error| setup("protocols")(&error))?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(IDLE_FOR)
                .with_smart_dial()
                // optimistic negotiation: a request is one round trip, not two
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
                .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS_MAX)
                .with_dial_concurrency_factor(NonZeroU8::new(4).unwrap_or(NonZeroU8::MIN))
        })
        .build();
    Ok(swarm)
}

fn behaviour(
    shared: &Shared<'_>,
    key: &Keypair,
    relay_client: relay::client::Behaviour,
    registry: &mut Registry,
) -> Result<Behaviour, Error> {
    let Shared { config, names, gate, budget } = shared;
    let own = key.public().to_peer_id();
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_IN_MAX))
        .with_max_pending_outgoing(Some(PENDING_OUT_MAX))
        .with_max_established_incoming(Some(config.max_in))
        .with_max_established_outgoing(Some(config.max_out))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER))
        .with_max_established(Some(config.max_in.saturating_add(config.max_out)));
    let trusted = config.trusted_only.then(|| config.static_peers.iter().map(|known| known.peer.to_libp2p()).collect::<HashSet<_>>());
    let life = RandomState::new().build_hasher().finish();
    let identify = identify::Config::new(names.protocol("node"), key.public())
        .with_agent_version(format!("{}{LIFE}{life:016x}", config.agent))
        .with_push_listen_addr_updates(true);
    let mdns = config
        .mdns
        .then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), own))
        .transpose()
        .map_err(|error| setup("mDNS")(&error))?;
    let exchange = request_response::Config::default()
        .with_request_timeout(config.request_timeout)
        .with_max_concurrent_streams(STREAMS_PER_CONNECTION);
    Ok(Behaviour {
        banned: allow_block_list::Behaviour::default(),
        limits: connection_limits::Behaviour::new(limits),
        memory: memory_connection_limits::Behaviour::with_max_bytes(config.memory_max),
        admission: Admission::new(config.per_subnet, config.loopback_exempt, trusted),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::default(),
        kad: discovery(own, protocol(names.protocol("kad"))?, config.reachable),
        gossip: gossip::build(config, names, gate, registry)?,
        exchange: Guard::new((*budget).clone(), protocol(names.protocol("ask"))?, exchange),
        autonat_client: autonat::v2::client::Behaviour::default(),
        autonat_server: autonat::v2::server::Behaviour::default(),
        relay_client,
        relay_server: config.relay.then(|| relay::Behaviour::new(own, relay::Config::default())).into(),
        dcutr: dcutr::Behaviour::new(own),
        mdns: mdns.into(),
        upnp: config.upnp.then(upnp::tokio::Behaviour::default).into(),
    })
}

/// Kademlia finds peers and nothing else: it stores no records and asks for none, because whatever a stranger stores there is a hint at best.
/// Peers enter the table only after they were found to be of this network.
fn discovery(own: libp2p::PeerId, protocol: StreamProtocol, reachable: bool) -> kad::Behaviour<MemoryStore> {
    let mut config = kad::Config::new(protocol);
    config
        .disjoint_query_paths(true)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_provider_publication_interval(None)
        .set_publication_interval(None)
        .set_replication_interval(None);
    let mut kad = kad::Behaviour::with_config(own, MemoryStore::new(own), config);
    if reachable {
        kad.set_mode(Some(kad::Mode::Server));
    }
    kad
}
