//! From the section `[p2p]` of the configuration, and what a genesis says, to the settings of the network below.

use ao_p2p::{BadName, Config, KnownPeer, NetAddress, NodeKey};
use ao_types::NetworkId;

use crate::config::sections::P2p;

/// Everything that can be set. `bootnodes` are the genesis's; static peers of the configuration come on top, this node itself does not.
///
/// # Errors
/// A name that is no address, or an address that does not say whose it is.
pub fn p2p(section: &P2p, network: NetworkId, key: NodeKey, bootnodes: &[String]) -> Result<Config, BadName> {
    let me = key.peer_id()?;
    let mut config = Config::new(network.0, key);
    config.listen = addresses(&section.listen)?;
    config.external = addresses(&section.external_addr)?;
    config.relays = addresses(&section.relays)?;
    for text in bootnodes.iter().chain(&section.static_peers) {
        let known: KnownPeer = text.parse()?;
        match config.static_peers.iter_mut().find(|other| other.peer == known.peer) {
            _ if known.peer == me => {}
            Some(other) => other.addresses.extend(known.addresses),
            None => config.static_peers.push(known),
        }
    }
    config.trusted_only = section.trusted_only;
    (config.max_in, config.max_out, config.min_out) = (section.max_in, section.max_out, section.min_out);
    config.per_subnet = section.per_subnet;
    config.memory_max = usize::try_from(section.memory_max.0).unwrap_or(usize::MAX);
    (config.mdns, config.upnp, config.relay) = (section.mdns, section.upnp, section.relay);
    Ok(config)
}

fn addresses(texts: &[String]) -> Result<Vec<NetAddress>, BadName> {
    texts.iter().map(|text| text.parse()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_what_the_network_gets() {
        let key = NodeKey::from_seed(&mut [1; 32]).unwrap();
        let at = |seed: u8, port: u16| {
            let peer = NodeKey::from_seed(&mut [seed; 32]).unwrap().peer_id().unwrap();
            format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}")
        };
        let section = P2p { static_peers: vec![at(2, 5), at(3, 6)], trusted_only: true, max_in: 7, mdns: true, ..P2p::default() };
        let config = p2p(&section, NetworkId([9; 32]), key.clone(), &[at(1, 1), at(2, 2)]).unwrap();
        assert_eq!(config.static_peers.iter().map(|known| known.addresses.len()).collect::<Vec<_>>(), [2, 1], "not this node itself");
        assert_eq!((config.network, config.trusted_only, config.max_in, config.mdns, config.listen.len()), ([9; 32], true, 7, true, 2));
        let default = p2p(&P2p::default(), NetworkId([9; 32]), key.clone(), &[]).unwrap();
        let below = Config::new([9; 32], key.clone());
        assert_eq!(
            (default.max_in, default.max_out, default.min_out, default.per_subnet, default.memory_max),
            (below.max_in, below.max_out, below.min_out, below.per_subnet, below.memory_max),
            "two places have these defaults, and they are one"
        );
        let nobody = P2p { static_peers: vec!["/ip4/127.0.0.1/tcp/1".into()], ..P2p::default() };
        assert!(matches!(p2p(&nobody, NetworkId([9; 32]), key, &[]), Err(BadName::NoPeer { .. })));
    }
}
