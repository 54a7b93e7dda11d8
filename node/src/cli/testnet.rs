//! `testnet generate`: a data directory for every node of a network, ready to start, and the genesis that binds them.
//!
//! One machine makes every key, which is what a network to try things on needs and a network with value must not have: there, operators
//! hold the ceremony of [`super::genesis`].

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use ao_consensus::bls::Bls;
use ao_consensus::scheme::check_genesis;
use ao_types::{Genesis, NetworkId, PeerId, Signer as _, Stake};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::{Arweave, Generate, GenesisNew};
use super::context::Context;
use super::exit::{Exit, Failure};
use super::genesis;
use super::run::{EMBEDDED_OFFSET, EMBEDDED_PACE};
use crate::datadir::{self, DataDir, Layout};
use crate::demo::wallets;
use crate::keys::{Keys, Kind, Role, node};
use crate::protection::DurableProtection;
use crate::scenario::{SCENARIO_BYTES_MAX, Scenario, Sync};

/// What each node of a generated network keeps free: a laptop that is nearly full should be able to run all of them.
pub const RESERVE: &str = "64MiB";
/// Nodes of a generated network: ports and memory of one machine end somewhere.
pub const NODES_MAX: u16 = 64;
/// Ports of a node begin so far from those of the one before.
pub const PORT_STEP: u16 = 20;
/// The peer-to-peer port, from the first port of a node.
pub const P2P_OFFSET: u16 = 10;

/// A generated network: what its `testnet.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the network.
    pub network: String,
    /// Its id.
    pub genesis_hash: NetworkId,
    /// Who confirms.
    pub plugin: String,
    /// Every node.
    pub nodes: Vec<NodeEntry>,
    /// Port of the Arweave of their own, if they have one: whoever starts them starts it too.
    #[serde(default)]
    pub arweave_port: Option<u16>,
}

/// One node of a generated network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// `n1` and so on; also its folder.
    pub name: String,
    /// URL of its public listener.
    pub api: String,
    /// URL of its operator's listener.
    pub admin: String,
    /// URL of its metrics listener.
    pub metrics: String,
    /// Its multiaddress.
    pub addr: String,
    /// Its peer id.
    pub peer: PeerId,
    /// Its scheduler's address.
    pub scheduler: String,
}

impl Manifest {
    /// Its file in a folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("testnet.json")
    }

    /// Reads that of a folder.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let path = Self::path(folder);
        if !path.exists() {
            return Err(Failure::new(Exit::NotFound, format!("there is no network in {}", folder.display()))
                .fix("make one with `aonode devnet up` or `aonode testnet generate`"));
        }
        Ok(datadir::read_json(&path)?)
    }
}

/// `testnet generate`.
pub fn generate(context: &mut Context<'_>, arguments: &Generate) -> Result<Exit, Failure> {
    let manifest = make(arguments)?;
    let folder = Context::shown(&arguments.out);
    let mut record = json!(manifest);
    record["path"] = json!(folder);
    context.printer.record("testnet/v1", record, || {
        let first = folder.join(&manifest.nodes[0].name);
        format!(
            "{} nodes of `{}` in {}\ngenesis {}\nNext: aonode start --datadir {}   (and so on)",
            manifest.nodes.len(),
            manifest.network,
            folder.display(),
            manifest.genesis_hash,
            first.display()
        )
    })?;
    Ok(Exit::Ok)
}

/// Reads a `testnet.toml`.
///
/// # Errors
/// There is none, or it is none.
pub fn scenario(path: &Path) -> Result<Scenario, Failure> {
    let text = String::from_utf8(datadir::read_at_most(path, SCENARIO_BYTES_MAX)?);
    let scenario = text.map_err(|error| error.to_string()).and_then(|text| Scenario::parse(&text).map_err(|error| error.to_string()));
    scenario.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Who there is, by a file or by the arguments: one of each node's stake and way to the state.
fn members(arguments: &Generate) -> Result<(String, Vec<(u128, Sync)>), Failure> {
    let Some(path) = &arguments.manifest else {
        let plain = (arguments.stake, Sync::Log);
        return Ok((arguments.plugin.clone(), vec![plain; usize::from(arguments.validators)]));
    };
    let Scenario { plugin, nodes, .. } = scenario(path)?;
    Ok((plugin, nodes.iter().map(|node| (u128::from(node.stake), node.sync)).collect()))
}

/// Makes the network.
///
/// # Errors
/// Something is there already, a name or number is out of range, or the system refuses.
pub fn make(arguments: &Generate) -> Result<Manifest, Failure> {
    let (plugin, members) = members(arguments)?;
    if members.is_empty() || members.len() > usize::from(NODES_MAX) {
        return Err(Failure::usage(format!("a generated network has 1 to {NODES_MAX} nodes, not {}", members.len())));
    }
    let out = &arguments.out;
    if std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(datadir::Error::AlreadyInitialised { root: out.clone() }.into());
    }
    datadir::make_private_folder(out)?;
    let mut genesis = genesis::begin(&GenesisNew {
        name: arguments.name.clone(),
        chain_id: None,
        plugin,
        epoch_len: 3_600,
        dev: true,
        file: PathBuf::new(),
    });
    for wallet in known(&genesis.name)? {
        genesis.accounts.insert(wallet.address().to_string(), Stake(wallets::BALANCE));
    }
    let (ports, arweave_port) = ports(arguments.port, members.len() as u16)?;
    let gateway = match &arguments.arweave {
        Arweave::None => None,
        Arweave::Embedded => Some(format!("http://127.0.0.1:{arweave_port}")),
        Arweave::At(url) => Some(url.clone()),
    };
    let arweave_port = (arguments.arweave == Arweave::Embedded).then_some(arweave_port);
    let mut nodes = Vec::new();
    for (index, (ports, (stake, sync))) in ports.iter().zip(members).enumerate() {
        let arweave = gateway.as_deref().map(|url| (url, arweave_port.is_some()));
        let (node, validator) = node(out, index, (ports, arweave, sync), &genesis, stake)?;
        genesis.validators.push(validator);
        nodes.push(node);
    }
    genesis.bootnodes = nodes.iter().map(|node| format!("{}/p2p/{}", node.addr, node.peer)).collect();
    let genesis_hash = check_genesis(&genesis, &Bls)?;
    for node in &nodes {
        DataDir::open(&out.join(&node.name), &genesis.name)?.pin_genesis(&genesis)?;
    }
    genesis::write(&out.join("genesis.json"), &genesis)?;
    let manifest = Manifest { network: genesis.name, genesis_hash, plugin: genesis.consensus.plugin, nodes, arweave_port };
    // Last: a folder with a manifest is complete.
    datadir::write_json(&Manifest::path(out), &manifest)?;
    Ok(manifest)
}

fn known(network: &str) -> Result<Vec<ao_types::Wallet>, Failure> {
    if network != wallets::NETWORK {
        return Ok(Vec::new());
    }
    wallets::wallets(network).map_err(|error| Failure::new(Exit::Bug, error.to_string()))
}

/// Data directory, keys and configuration of one node.
fn node(
    out: &Path,
    index: usize,
    (ports, arweave, sync): (&Ports, Option<(&str, bool)>, Sync),
    genesis: &Genesis,
    stake: u128,
) -> Result<(NodeEntry, ao_types::genesis::Validator), Failure> {
    let name = format!("n{}", index + 1);
    let root = out.join(&name);
    let data = DataDir::create(&root, &genesis.name, &ports.config(&genesis.name, arweave, sync), false)?;
    data.admin_token()?;
    let layout = Layout::clone(&data);
    let keys = Keys::new(layout.clone());
    if let Some(wallet) = known(&genesis.name)?.first() {
        keys.store(wallet)?;
        keys.assign(Role::Client, &wallet.address())?;
    }
    keys.fill_roles(Kind::Ed25519)?;
    if arweave.is_some() {
        // An RSA key takes a second to make, and on the development network nothing costs anything.
        let payer = if genesis.name == wallets::NETWORK {
            keys.store(&wallets::anchor(&genesis.name).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?)?
        } else {
            keys.create(Kind::Rsa)?
        };
        keys.assign(Role::Anchor, &payer.address)?;
    }
    let attestor = keys.create_bls(None)?;
    DurableProtection::open(&layout.slashing(), None)?.initialise(&attestor.pubkey)?;
    let addr = format!("/ip4/127.0.0.1/udp/{}/quic-v1", ports.p2p);
    let validator = genesis::validator(&layout, &genesis.chain_id, (stake, None, &addr), None)?;
    let entry = NodeEntry {
        name,
        api: format!("http://127.0.0.1:{}", ports.api),
        admin: format!("http://127.0.0.1:{}", ports.admin),
        metrics: format!("http://127.0.0.1:{}", ports.metrics),
        addr,
        peer: node::peer_id(&*keys.node_seed()?),
        scheduler: validator.operator.to_string(),
    };
    Ok((entry, validator))
}

/// Ports of one node.
struct Ports {
    api: u16,
    admin: u16,
    metrics: u16,
    p2p: u16,
}

impl Ports {
    fn config(&self, network: &str, arweave: Option<(&str, bool)>, sync: Sync) -> String {
        let Self { api, admin, metrics, p2p } = self;
        // Modules are compiled once for all of them.
        let cache =
            datadir::compiled().map(|folder| format!("\n[compute]\nmodule_cache = {}\n", toml::Value::from(&*folder.to_string_lossy())));
        let cache = cache.unwrap_or_default();
        let arweave = arweave.map(|(url, embedded)| {
            let pace = EMBEDDED_PACE.iter().filter(|_| embedded).map(|(key, value)| {
                let key = key.rsplit('.').next().unwrap_or(key);
                format!("{key} = {}\n", value.parse::<u64>().map_or_else(|_| format!("\"{value}\""), |number| number.to_string()))
            });
            format!("\n[arweave]\ngateways = {}\n{}", toml::Value::from(vec![url]), pace.collect::<String>())
        });
        let arweave = arweave.unwrap_or_default();
        let sync = if sync == Sync::Snapshot { "\n[sync]\nmode = \"snapshot\"\n" } else { "" };
        format!(
            "# Configuration of this node; `aonode start --dump-config` lists every key.\n[network]\nname = \"{network}\"\n\n\
             [api]\nlisten = \"127.0.0.1:{api}\"\n\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\n[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n\n\
             [p2p]\nlisten = [\"/ip4/127.0.0.1/udp/{p2p}/quic-v1\", \"/ip4/127.0.0.1/tcp/{p2p}\"]\nper_subnet = {NODES_MAX}\n\n\
             [storage]\nreserve = \"{RESERVE}\"\n{cache}{arweave}{sync}"
        )
    }
}

/// Ports of every node, beside each other or any that are free now, and one for an Arweave of their own.
fn ports(first: u16, count: u16) -> Result<(Vec<Ports>, u16), Failure> {
    if first > 0 {
        let all = (0..count).map(|index| {
            let base =
                index.checked_mul(PORT_STEP).and_then(|step| first.checked_add(step)).filter(|base| base.checked_add(P2P_OFFSET).is_some());
            base.map(|api| Ports { api, admin: api + 1, metrics: api + 2, p2p: api + P2P_OFFSET })
        });
        let all: Option<Vec<Ports>> = all.collect();
        return all
            .map(|all| (all, first + EMBEDDED_OFFSET))
            .ok_or_else(|| Failure::usage(format!("--port {first}: there are not enough ports above it for {count} nodes")));
    }
    let mut free = FreePorts::new()?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Ports { api: free.take()?, admin: free.take()?, metrics: free.take()?, p2p: free.take()? });
    }
    let arweave = free.take()?;
    Ok((all, arweave))
}

/// Where ports are looked for: above those of services, below those that the kernel gives to outgoing connections. A port from there can
/// be anybody's by the time that a node listens on it, or starts again.
const PORTS: std::ops::Range<u16> = 10_240..32_768;

/// Finds ports that nobody has, from a place drawn by lot, so that two who look at once find different ones.
struct FreePorts {
    next: u16,
    /// Held until all are found, so that none is found twice.
    held: Vec<(TcpListener, UdpSocket)>,
}

impl FreePorts {
    fn new() -> Result<Self, Failure> {
        let mut lot = [0; 2];
        datadir::entropy(&mut lot).map_err(|error| Failure::new(Exit::Bug, format!("no entropy: {error}")))?;
        Ok(Self { next: PORTS.start + u16::from_le_bytes(lot) % (PORTS.end - PORTS.start), held: Vec::new() })
    }

    /// One that is free for TCP and for UDP: peers are met on both.
    fn take(&mut self) -> Result<u16, Failure> {
        for _ in PORTS {
            let port = self.next;
            self.next = if port + 1 < PORTS.end { port + 1 } else { PORTS.start };
            let address = (Ipv4Addr::LOCALHOST, port);
            if let (Ok(tcp), Ok(udp)) = (TcpListener::bind(address), UdpSocket::bind(address)) {
                self.held.push((tcp, udp));
                return Ok(port);
            }
        }
        Err(Failure::new(Exit::Exhausted, format!("no port from {} to {} is free", PORTS.start, PORTS.end - 1)))
    }
}
