//! Who a node is and where it is reached: our own types, so that nobody above says libp2p.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, identity::Keypair};

use crate::limits::ADDRESS_BYTES_MAX;

/// What a peer id of an Ed25519 key starts with: identity hash, 36 bytes, key type 1, 32 bytes.
const ED25519_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Why something names no peer or place of this network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Not an Ed25519 peer id; text form `12D3KooW…`.
    #[error("`{found}` is not the id of an Ed25519 node key (12D3KooW…)")]
    Peer {
        /// The text as it was given, cut to 64 characters.
        found: String,
    },
    /// Not a multiaddress.
    #[error("`{found}` is not an address such as /ip4/192.0.2.1/tcp/7710/p2p/12D3KooW…: {reason}")]
    Address {
        /// The text as it was given, cut to 64 characters.
        found: String,
        /// What the parser says.
        reason: String,
    },
    /// An address must say whose it is.
    #[error("`{found}` does not end in /p2p/<peer id>: without it nobody knows who answers there")]
    NoPeer {
        /// The address.
        found: String,
    },
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A node, named by its Ed25519 public key. Ordered by its bytes, so that a list of peers is the same everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(libp2p::PeerId);

impl PeerId {
    /// The peer with this public key.
    ///
    /// # Errors
    /// Never for 32 bytes; the type of libp2p's constructor asks for it.
    pub fn from_key(key: [u8; 32]) -> Result<Self, BadName> {
        let mut bytes = [0; 38];
        bytes[..6].copy_from_slice(&ED25519_PREFIX);
        bytes[6..].copy_from_slice(&key);
        libp2p::PeerId::from_bytes(&bytes).map(Self).map_err(|error| BadName::Peer { found: error.to_string() })
    }

    /// The public key.
    pub fn key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        // every constructor checked the length
        if let Some(bytes) = self.0.to_bytes().get(6..38) {
            key.copy_from_slice(bytes);
        }
        key
    }

    /// `None` for peers with keys of another kind: this network has Ed25519 node keys only.
    pub(crate) fn from_libp2p(peer: &libp2p::PeerId) -> Option<Self> {
        let bytes = peer.to_bytes();
        (bytes.len() == 38 && bytes.starts_with(&ED25519_PREFIX)).then_some(Self(*peer))
    }

    pub(crate) fn to_libp2p(self) -> libp2p::PeerId {
        self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for PeerId {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName::Peer { found: cut(text) };
        Self::from_libp2p(&text.parse().map_err(|_| bad())?).ok_or_else(bad)
    }
}

/// A node's secret key. Prints nothing of itself.
#[derive(Clone)]
pub struct NodeKey(Keypair);

impl NodeKey {
    /// From the 32 secret bytes of an Ed25519 key. The bytes are overwritten.
    ///
    /// # Errors
    /// Never for 32 bytes; the type of libp2p's constructor asks for it.
    pub fn from_seed(seed: &mut [u8; 32]) -> Result<Self, BadName> {
        Keypair::ed25519_from_bytes(seed).map(Self).map_err(|error| BadName::Peer { found: error.to_string() })
    }

    /// A new key from the system's entropy, for tests and networks that nobody keeps.
    pub fn generate() -> Self {
        Self(Keypair::generate_ed25519())
    }

    /// The name that others know this key by.
    ///
    /// # Errors
    /// Never: both constructors make Ed25519 keys.
    pub fn peer_id(&self) -> Result<PeerId, BadName> {
        let peer = self.0.public().to_peer_id();
        PeerId::from_libp2p(&peer).ok_or_else(|| BadName::Peer { found: peer.to_string() })
    }

    pub(crate) fn keypair(&self) -> &Keypair {
        &self.0
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(..)")
    }
}

/// Where something listens, as a multiaddress: `/ip4/192.0.2.1/udp/7710/quic-v1`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetAddress(Multiaddr);

impl NetAddress {
    /// The same place, with who is expected there appended.
    pub fn with_peer(&self, peer: PeerId) -> Self {
        match self.0.clone().with_p2p(peer.0) {
            Ok(address) | Err(address) => Self(address),
        }
    }

    /// Who is expected there, if it says so.
    pub fn peer(&self) -> Option<PeerId> {
        match self.0.iter().last() {
            Some(Protocol::P2p(peer)) => PeerId::from_libp2p(&peer),
            _ => None,
        }
    }

    /// The IP address of the last hop, `None` for names and for circuits over a relay.
    pub fn ip(&self) -> Option<IpAddr> {
        ip(&self.0)
    }

    pub(crate) fn from_libp2p(address: Multiaddr) -> Option<Self> {
        (address.len() <= ADDRESS_BYTES_MAX).then_some(Self(address))
    }

    pub(crate) fn as_libp2p(&self) -> &Multiaddr {
        &self.0
    }
}

/// The IP address a connection comes from or goes to; a circuit's IP is the relay's and says nothing of the peer.
pub(crate) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    let mut found = None;
    for part in address {
        match part {
            Protocol::Ip4(ip) => found = Some(IpAddr::V4(ip)),
            // a mapped address is the IPv4 address it maps, or a subnet could be counted twice
            Protocol::Ip6(ip) => found = Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)),
            Protocol::P2pCircuit => return None,
            _ => {}
        }
    }
    found
}

impl fmt::Display for NetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for NetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for NetAddress {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |reason: &str| BadName::Address { found: cut(text), reason: reason.to_owned() };
        if text.len() > 4 * ADDRESS_BYTES_MAX {
            return Err(bad("too long"));
        }
        let address: Multiaddr = text.parse().map_err(|error: libp2p::multiaddr::Error| bad(&error.to_string()))?;
        Self::from_libp2p(address).ok_or_else(|| bad("too long"))
    }
}

/// A peer and where it may be reached. Text form: an address that ends in `/p2p/<peer id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPeer {
    /// Who.
    pub peer: PeerId,
    /// Where, at most [`ADDRESSES_PER_PEER`](crate::limits::ADDRESSES_PER_PEER).
    pub addresses: Vec<NetAddress>,
}

impl FromStr for KnownPeer {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let address: NetAddress = text.parse()?;
        let peer = address.peer().ok_or_else(|| BadName::NoPeer { found: cut(text) })?;
        Ok(Self { peer, addresses: vec![address] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_its_key_and_back() {
        let mut seed = [7; 32];
        let peer = NodeKey::from_seed(&mut seed).unwrap().peer_id().unwrap();
        assert_eq!(PeerId::from_key(peer.key()), Ok(peer));
        assert_eq!(peer.to_string().parse(), Ok(peer));
        assert!(peer.to_string().starts_with("12D3KooW"), "{peer}");
    }

    #[test]
    fn peers_with_other_keys_are_nobody() {
        for text in ["QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "", "12D3KooW", "x"] {
            assert!(text.parse::<PeerId>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_says_whose_it_is_or_is_refused() {
        let peer = NodeKey::generate().peer_id().unwrap();
        let place: NetAddress = "/ip4/192.0.2.1/tcp/7710".parse().unwrap();
        assert_eq!(place.peer(), None);
        let known: KnownPeer = place.with_peer(peer).to_string().parse().unwrap();
        assert_eq!((known.peer, known.addresses[0].peer()), (peer, Some(peer)));
        assert!(matches!("/ip4/192.0.2.1/tcp/7710".parse::<KnownPeer>(), Err(BadName::NoPeer { .. })));
        assert!(matches!("192.0.2.1:7710".parse::<KnownPeer>(), Err(BadName::Address { .. })));
        let long = format!("/dns/{}/tcp/1", "a".repeat(4 * ADDRESS_BYTES_MAX));
        assert!(matches!(long.parse::<NetAddress>(), Err(BadName::Address { .. })));
    }

    #[test]
    fn the_ip_is_the_peers_own() {
        let ip = |text: &str| text.parse::<NetAddress>().unwrap().ip().map(|ip| ip.to_string());
        assert_eq!(ip("/ip4/192.0.2.1/udp/7710/quic-v1").as_deref(), Some("192.0.2.1"));
        assert_eq!(ip("/ip6/::ffff:192.0.2.1/tcp/1").as_deref(), Some("192.0.2.1"));
        assert_eq!(ip("/dns4/example.org/tcp/1"), None);
        let relay = NodeKey::generate().peer_id().unwrap();
        assert_eq!(ip(&format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit")), None);
    }

    #[test]
    fn a_key_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", NodeKey::generate()), "NodeKey(..)");
    }
}
