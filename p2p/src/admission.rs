//! Who may connect, before anything is spent on it: connections per subnet, their rate, and networks of trusted peers only.
//!
//! Counts what libp2p's own limits do not: a /24 of IPv4 or a /56 of IPv6 is one customer of one provider, however many addresses and keys
//! it has. Bans by peer id, totals and memory are libp2p's behaviours beside this one. Circuits over a relay have no subnet: the relay
//! limits them.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, DialFailure, FromSwarm, ListenFailure, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use lru::LruCache;

use crate::identity;
use crate::limits::{SUBNET_BURST, SUBNET_PER_SECOND, SUBNETS_REMEMBERED};
use crate::rate::Bucket;

/// A /24 of IPv4 or a /56 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Subnet([u8; 8]);

impl Subnet {
    pub(crate) fn of(ip: IpAddr) -> Self {
        Self::cut(ip, 3, 7)
    }

    /// A /16 or a /32: what one provider is likely to hold. All peers in one of these is a reason to worry.
    pub(crate) fn wide(ip: IpAddr) -> Self {
        Self::cut(ip, 2, 4)
    }

    fn cut(ip: IpAddr, v4: usize, v6: usize) -> Self {
        // the first byte tells the families apart: 0 is "this network" and never an IPv6 prefix in use
        let mut bytes = [0; 8];
        match ip {
            IpAddr::V4(ip) => {
                bytes[0] = 4;
                bytes[1..=v4].copy_from_slice(&ip.octets()[..v4]);
            }
            IpAddr::V6(ip) => {
                bytes[0] = 6;
                bytes[1..=v6].copy_from_slice(&ip.octets()[..v6]);
            }
        }
        Self(bytes)
    }
}

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("{found} connections of this subnet, {max} are allowed")]
    Subnet { max: u32, found: u32 },
    #[error("connections of this subnet come too fast")]
    Rate,
    #[error("only trusted peers may connect")]
    NotTrusted,
    #[error("the peer's key is not Ed25519")]
    Key,
}

/// The behaviour.
pub(crate) struct Admission {
    per_subnet: u32,
    loopback_exempt: bool,
    /// `Some`: nobody else may connect.
    trusted: Option<HashSet<PeerId>>,
    connections: HashMap<ConnectionId, Subnet>,
    counts: HashMap<Subnet, u32>,
    rates: LruCache<Subnet, Bucket>,
    started: Instant,
}

impl Admission {
    pub(crate) fn new(per_subnet: u32, loopback_exempt: bool, trusted: Option<HashSet<PeerId>>) -> Self {
        Self {
            per_subnet,
            loopback_exempt,
            trusted,
            connections: HashMap::new(),
            counts: HashMap::new(),
            rates: LruCache::new(NonZeroUsize::new(SUBNETS_REMEMBERED).unwrap_or(NonZeroUsize::MIN)),
            started: Instant::now(),
        }
    }

    /// Connections by subnet, those being set up by others included.
    pub(crate) fn counts(&self) -> &HashMap<Subnet, u32> {
        &self.counts
    }

    /// Lets a peer in from now on where only trusted ones may connect.
    pub(crate) fn trust(&mut self, peer: PeerId) {
        if let Some(trusted) = &mut self.trusted {
            trusted.insert(peer);
        }
    }

    /// Takes that back; a connection that stands is closed by the caller.
    pub(crate) fn distrust(&mut self, peer: &PeerId) {
        if let Some(trusted) = &mut self.trusted {
            trusted.remove(peer);
        }
    }

    fn subnet(&self, address: &Multiaddr) -> Option<Subnet> {
        identity::ip(address).filter(|ip| !(self.loopback_exempt && ip.is_loopback())).map(Subnet::of)
    }

    /// Counts a connection once: a connection that others open is counted from its first byte on.
    fn enter(&mut self, connection: ConnectionId, address: &Multiaddr) -> Result<(), Denied> {
        let Some(subnet) = self.subnet(address) else { return Ok(()) };
        if self.connections.contains_key(&connection) {
            return Ok(());
        }
        let found = self.counts.get(&subnet).copied().unwrap_or(0);
        if found >= self.per_subnet {
            return Err(Denied::Subnet { max: self.per_subnet, found });
        }
        self.connections.insert(connection, subnet);
        *self.counts.entry(subnet).or_default() += 1;
        Ok(())
    }

    fn leave(&mut self, connection: &ConnectionId) {
        let Some(subnet) = self.connections.remove(connection) else { return };
        if let Some(count) = self.counts.get_mut(&subnet) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&subnet);
            }
        }
    }

    fn known(&self, peer: &PeerId) -> Result<(), Denied> {
        if identity::PeerId::from_libp2p(peer).is_none() {
            return Err(Denied::Key);
        }
        match &self.trusted {
            Some(trusted) if !trusted.contains(peer) => Err(Denied::NotTrusted),
            _ => Ok(()),
        }
    }
}

impl NetworkBehaviour for Admission {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if let Some(subnet) = self.subnet(remote) {
            let now = self.started.elapsed();
            let bucket = self.rates.get_or_insert_mut(subnet, || Bucket::new(SUBNET_BURST, SUBNET_PER_SECOND, now));
            if !bucket.take(now) {
                return Err(ConnectionDenied::new(Denied::Rate));
            }
        }
        self.enter(connection, remote).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.known(&peer).and_then(|()| self.enter(connection, remote)).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.known(&peer).and_then(|()| self.enter(connection, remote)).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
            | FromSwarm::ListenFailure(ListenFailure { connection_id, .. })
            | FromSwarm::DialFailure(DialFailure { connection_id, .. }) => self.leave(&connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn knock(gate: &mut Admission, id: usize, remote: &str) -> Result<(), Denied> {
        let denied = gate.handle_pending_inbound_connection(ConnectionId::new_unchecked(id), &Multiaddr::empty(), &address(remote));
        denied.map_err(|denied| *denied.downcast_ref::<Denied>().unwrap())
    }

    #[test]
    fn subnets_are_24_and_56_bits_wide() {
        let of = |text: &str| Subnet::of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.255"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1:100::1"), of("2001:db8:1:1ff:9::9"));
        assert_ne!(of("2001:db8:1:100::1"), of("2001:db8:1:200::1"));
        let wide = |text: &str| Subnet::wide(text.parse().unwrap());
        assert_eq!(wide("192.0.2.1"), wide("192.0.3.1"));
        assert_ne!(wide("192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn a_subnet_has_so_many_connections_and_gets_them_back() {
        let mut gate = Admission::new(2, true, None);
        assert_eq!(knock(&mut gate, 1, "/ip4/192.0.2.1/tcp/1"), Ok(()));
        assert_eq!(knock(&mut gate, 2, "/ip4/192.0.2.2/udp/1/quic-v1"), Ok(()));
        assert_eq!(knock(&mut gate, 3, "/ip4/192.0.2.3/tcp/1"), Err(Denied::Subnet { max: 2, found: 2 }));
        assert_eq!(knock(&mut gate, 3, "/ip6/::ffff:192.0.2.3/tcp/1"), Err(Denied::Subnet { max: 2, found: 2 }));
        assert_eq!(knock(&mut gate, 4, "/ip4/198.51.100.1/tcp/1"), Ok(()));
        gate.leave(&ConnectionId::new_unchecked(2));
        assert_eq!(knock(&mut gate, 5, "/ip4/192.0.2.3/tcp/1"), Ok(()));
        gate.leave(&ConnectionId::new_unchecked(99));
        assert_eq!(gate.counts().values().sum::<u32>(), 3);
    }

    #[test]
    fn loopback_counts_only_when_asked() {
        let mut gate = Admission::new(1, true, None);
        assert_eq!([1, 2, 3].map(|id| knock(&mut gate, id, "/ip4/127.0.0.1/tcp/1")), [Ok(()); 3]);
        assert!(gate.counts().is_empty());
        let mut strict = Admission::new(1, false, None);
        assert!(knock(&mut strict, 1, "/ip4/127.0.0.1/tcp/1").is_ok() && knock(&mut strict, 2, "/ip4/127.0.0.1/tcp/1").is_err());
    }

    #[test]
    fn knocking_again_and_again_is_refused_even_when_each_leaves() {
        let mut gate = Admission::new(8, true, None);
        let mut refused = 0;
        for id in 0..200 {
            if knock(&mut gate, id, "/ip4/192.0.2.1/tcp/1") == Err(Denied::Rate) {
                refused += 1;
            }
            gate.leave(&ConnectionId::new_unchecked(id));
        }
        assert!(refused >= 200 - SUBNET_BURST as usize - 8, "{refused} refused");
    }

    #[test]
    fn only_the_trusted_where_that_is_asked() {
        let friend = libp2p::identity::Keypair::generate_ed25519().public().to_peer_id();
        let mut gate = Admission::new(8, true, Some(HashSet::new()));
        assert_eq!(gate.known(&friend), Err(Denied::NotTrusted));
        gate.trust(friend);
        assert_eq!(gate.known(&friend), Ok(()));
        gate.distrust(&friend);
        assert_eq!(gate.known(&friend), Err(Denied::NotTrusted));
        assert_eq!(gate.known(&PeerId::random()), Err(Denied::Key));
    }
}
