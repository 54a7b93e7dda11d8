//! The peer that keeps to no rule, beside a network of real nodes: where they are, what their names are on the wire.

use anyhow::{Context, Result};
use ao_p2p::NetAddress;
use ao_p2p::hostile::Hostile;
use ao_testnet::network::Network;
use ao_types::Genesis;

/// Kind of a direct message on the wire.
pub const DIRECT: u8 = 4;

/// What a stranger knows of a network.
pub struct Target {
    pub genesis: Genesis,
    base: String,
    address: NetAddress,
    peer: ao_p2p::PeerId,
}

impl Target {
    /// The node at this place, as everybody can read it in the genesis.
    pub fn of(network: &Network, at: usize) -> Result<Self> {
        let genesis = Genesis::parse(&std::fs::read(network.folder().join("genesis.json"))?)?;
        let base = format!("/aonode/{}", &hex::encode(genesis.network_id()?.0)[..16]);
        let name = network.peer(at).to_owned();
        let addr = genesis.validators.iter().find(|one| one.peer_id.to_string() == name).context("a validator")?.addr.clone();
        let address = addr.parse().ok().with_context(|| format!("an address: {addr}"))?;
        Ok(Self { base, address, peer: name.parse().ok().context("a peer id")?, genesis })
    }

    /// A topic's or protocol's name on this network.
    pub fn name(&self, what: &str) -> String {
        format!("{}/{what}/1", self.base)
    }

    /// Its port, for UDP and TCP.
    pub fn port(&self) -> u16 {
        let text = self.address.to_string();
        text.split('/').find_map(|part| part.parse().ok()).expect("an address has a port")
    }

    /// A stranger who hears all frames that are gossiped.
    pub async fn listener(&self) -> Hostile {
        let mut listener = Hostile::of(&self.name("node"));
        (0..ao_p2p::limits::SHARDS).for_each(|shard| listener.subscribe(&self.name(&format!("frames/{shard}"))));
        listener.meet(&self.address, &self.name("evidence")).await;
        listener
    }

    /// A stranger who is connected to it.
    pub async fn stranger(&self) -> Hostile {
        let mut hostile = Hostile::of(&self.name("node"));
        hostile.meet(&self.address, &self.name("evidence")).await;
        hostile
    }

    /// Whether this stranger is let in again.
    pub async fn lets_in(&self, hostile: &mut Hostile) -> bool {
        hostile.is_let_in(&self.address).await
    }

    /// Comes as a node that speaks this version of the protocol, and returns when the connection has ended. Each side says who it is at
    /// once, so what the other says may be heard before that.
    pub async fn sends_away_version(&self, version: u32) {
        let mut stranger = Hostile::of(&format!("{}/node/{version}", self.base));
        if stranger.is_let_in(&self.address).await {
            stranger.closed().await;
        }
    }

    /// A request of this kind, framed as it should be.
    pub fn ask(&self, hostile: &mut Hostile, kind: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        hostile.ask(&self.peer, [&[1, kind, 0, 0][..], &length, payload].concat());
    }

    /// Bytes on a request's stream, whatever they are.
    pub fn raw(&self, hostile: &mut Hostile, bytes: Vec<u8>) {
        hostile.ask(&self.peer, bytes);
    }
}
