//! From the section `[p2p]` of the configuration, and what a genesis says, to the settings of the network below.

use std::path::Path;

use ao_p2p::{BadName, Config, KnownPeer, NetAddress, NodeKey};
use ao_types::{Chain, Genesis, NetworkId};
use zeroize::Zeroizing;

use super::limits::VALIDATORS_WANTED_MAX;
use super::{Settings, names};
use crate::config::sections::P2p;
use crate::shell::Now;

/// What a node of this genesis is started with. `seed` is its own key's; `root` its data directory.
///
/// Bootnodes and the validators of a small committee are always kept in touch with; in a larger one nodes find each other.
///
/// # Errors
/// A name in the section that is no address, or an address that does not say whose it is.
pub fn of_genesis(
    section: &P2p,
    genesis: &Genesis,
    network: NetworkId,
    seed: &[u8; 32],
    root: &Path,
    clock: Now,
) -> Result<Settings, BadName> {
    let mut known = genesis.bootnodes.clone();
    if genesis.validators.len() <= VALIDATORS_WANTED_MAX {
        let told = genesis.validators.iter().filter(|one| !one.addr.is_empty());
        known.extend(told.map(|one| format!("{}/p2p/{}", one.addr, one.peer_id)));
    }
    // A genesis cannot be corrected by whoever runs a node: what is no address in it is left out.
    known.retain(|text| match text.parse::<KnownPeer>() {
        Ok(_) => true,
        Err(bad) => {
            tracing::warn!(event = "genesis_address", "an address of the genesis is left out: {bad}; add the peer to p2p.static_peers");
            false
        }
    });
    let mut seed = Zeroizing::new(*seed);
    let p2p = p2p(section, network, NodeKey::from_seed(&mut seed)?, &known)?;
    let chains = genesis.all_schedulers().map(|(scheduler, _)| Chain { scheduler, tenure: 0 }).collect();
    let validators = genesis.validators.iter().filter_map(|one| names::from_types(&one.peer_id)).collect();
    Ok(Settings { p2p, network, chains, validators, peers_file: Some(root.join("peers.json")), clock })
}

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
            Some(other) => {
                let new = known.addresses.into_iter().filter(|address| !other.addresses.contains(address)).collect::<Vec<_>>();
                other.addresses.extend(new);
            }
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

    #[test]
    fn a_genesis_says_whom_to_meet_and_which_chains_there_are() {
        let seed = |n: u8| [n; 32];
        let peer = |n: u8| NodeKey::from_seed(&mut seed(n)).unwrap().peer_id().unwrap();
        let genesis = |members: u8| {
            let validator = |n: u8| {
                let addr = if n == 3 { String::new() } else { format!("/ip4/10.0.0.{n}/udp/4001/quic-v1") };
                serde_json::json!({
                    "pubkey": ao_types::BlsKey([n; 48]), "pop": ao_types::BlsSignature([n; 96]), "stake": "10",
                    "operator": ao_types::Id([n; 32]).to_string(), "peer_id": peer(n).to_string(), "addr": addr,
                })
            };
            let file = serde_json::json!({
                "version": 1, "name": "test", "chain_id": "test.ao", "time": 1, "consensus": {"plugin": "attest", "epoch_len": 1000},
                "staking": {}, "limits": {"fuel": 1_000_000_000u64, "memory": 1u64 << 30, "message_max": 262_144}, "gas_schedule": 1,
                "validators": (1..=members).map(validator).collect::<Vec<_>>(),
                "anchor": {"tag": "test", "interval_ms": 60_000, "confirmations": 20},
                "bootnodes": ["/ip4/10.0.0.9/tcp/1", format!("/ip4/10.0.0.9/tcp/1/p2p/{}", peer(9))],
            });
            Genesis::parse(file.to_string().as_bytes()).unwrap()
        };
        let clock: Now = std::sync::Arc::new(crate::shell::wall_clock);
        let of = |genesis: &Genesis| {
            of_genesis(&P2p::default(), genesis, NetworkId([5; 32]), &seed(1), Path::new("/data"), clock.clone()).unwrap()
        };
        let small = of(&genesis(4));
        let met: Vec<_> = small.p2p.static_peers.iter().map(|known| known.peer).collect();
        assert_eq!(met, [peer(9), peer(2), peer(4)], "not itself, not who gives no address, and no address without a name");
        assert_eq!((small.chains.len(), small.p2p.network), (4, [5; 32]));
        assert_eq!(small.p2p.key.peer_id(), Ok(peer(1)));
        assert_eq!(small.peers_file.unwrap(), Path::new("/data/peers.json"));
        let large = of(&genesis(VALIDATORS_WANTED_MAX as u8 + 1));
        assert_eq!(large.p2p.static_peers.iter().map(|known| known.peer).collect::<Vec<_>>(), [peer(9)]);
    }
}
