//! The only file that names concrete engines, stores and chains.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ao_storage::{Durability, MemoryStore, RocksStore, Store, WriteBatch, rocks, schema};
use ao_types::hash::sha256;
use ao_types::{DataItem, Id, ItemBuilder, NetworkId, Tag, Verified, Wallet};
use ao_vm::compiler::{Budget, Child, InProcess, WORKER_COMMAND};
use ao_vm::{BySize, Compiler, Vm};
use bytes::Bytes;

use crate::chain::{Chain as _, DevChain, DevGenesis};
use crate::handle::Node;
use crate::shell::membership::Membership;
use crate::shell::{self, Options, Parts, Running, StartError, verify};

pub mod engines;
pub mod membership;

/// Height of the embedded chain's first block: above 1 440 000, from where the reference compute unit checks hash chains.
const DEV_HEIGHT: u64 = 1_600_000;

/// Name of the consensus engine of a network of one.
pub const ENGINE: &str = "solo";

/// What a node consists of besides [`Options`].
pub struct Setup {
    /// Runs modules.
    pub vm: Arc<dyn Vm>,
    /// Tags and code of the module that every node knows.
    pub default_module: (Vec<Tag>, Bytes),
    /// Milliseconds between blocks of the embedded chain; counts when the data directory is new.
    pub block_interval_ms: u64,
    /// The network that the node is part of; `None`: a network of one.
    pub membership: Option<Membership>,
}

impl Setup {
    /// What this binary is made of.
    pub fn standard(machine: ao_vm::Settings, block_interval_ms: u64) -> Result<Self, StartError> {
        let machine = ao_vm::Machine::new(machine).map_err(|error| StartError::Machine(error.to_string()))?;
        let module = ao_vm::lua::default_module();
        Ok(Self { vm: Arc::new(machine), default_module: (module.tags, module.data), block_interval_ms, membership: None })
    }
}

/// Who compiles modules: `worker` is the binary that does it in processes of its own for all but small ones.
pub fn compiler(worker: Option<PathBuf>, cpu: Duration, memory: u64) -> Arc<dyn Compiler> {
    let budget = Budget { cpu, memory, wall: cpu.saturating_mul(10) };
    match worker {
        Some(program) => Arc::new(BySize::new(Arc::new(Child::new(program, &[WORKER_COMMAND], budget)))),
        None => Arc::new(InProcess::new(budget)),
    }
}

impl Node {
    /// Starts a node on the database in `directory`, which is made if it is not there; without one, in memory.
    pub fn start(
        options: Options,
        setup: Setup,
        directory: Option<&Path>,
        settings: &rocks::Settings,
    ) -> Result<(Self, Running), StartError> {
        let store: Arc<dyn Store> = match directory {
            Some(directory) => {
                let store = RocksStore::open(directory, settings)?;
                for cut in store.truncations() {
                    options.metrics.wal_truncations_total.inc();
                    tracing::warn!(
                        event = "wal_truncated", file = %cut.file.display(), offset = cut.offset, bytes = cut.bytes,
                        "the last record of a log was torn and is cut off: it was never acknowledged; look at the disk if this comes again"
                    );
                }
                ao_storage::failpoint::from_env(Arc::new(store))
            }
            None => Arc::new(MemoryStore::new()),
        };
        Self::start_on(store, options, setup)
    }

    /// Starts a node on a store that is open.
    pub fn start_on(store: Arc<dyn Store>, options: Options, setup: Setup) -> Result<(Self, Running), StartError> {
        if let Some(what) = schema::RECOVERING.get(&*store)? {
            return Err(StartError::Recovering(what));
        }
        let now = (options.clock)();
        // Nodes of one network have the same blocks: the chain begins with the network.
        let began_ms = setup.membership.as_ref().map_or(now.0, |membership| membership.genesis.time);
        let genesis = genesis(&*store, &options.network, began_ms, setup.block_interval_ms)?;
        let chain = Arc::new(DevChain::new(genesis));
        let default_module = embed(&*store, &embedded(setup.default_module)?, now.0, chain.tip(now).height)?;
        let alone = || NetworkId(sha256(&[b"aonode network", options.network.as_bytes()]));
        let membership = setup.membership;
        let network_id = membership.as_ref().map_or_else(alone, |membership| membership.network);
        let parts = Parts { store, vm: setup.vm, blocks: chain.clone(), chain, items_in_tip: true, membership, network_id, default_module };
        shell::start(options, parts)
    }
}

/// The embedded chain's genesis: of the store, or made now.
fn genesis(store: &dyn Store, network: &str, now_ms: u64, interval_ms: u64) -> Result<DevGenesis, StartError> {
    let mut batch = WriteBatch::default();
    // A recovery leaves a chain here, and no name.
    if schema::NETWORK.get(store)?.is_none() {
        schema::NETWORK.put(&mut batch, &network.to_owned());
    }
    let genesis = match schema::DEV_GENESIS.get(store)? {
        Some(found) => found.into(),
        None => {
            let genesis = DevGenesis { timestamp_ms: now_ms, height: DEV_HEIGHT, interval_ms: interval_ms.max(1) };
            schema::DEV_GENESIS.put(&mut batch, &genesis.into());
            genesis
        }
    };
    if !batch.is_empty() {
        store.write(batch, Durability::Synced)?;
    }
    Ok(genesis)
}

/// The embedded module as an item.
fn embedded((tags, code): (Vec<Tag>, Bytes)) -> Result<Verified<DataItem>, StartError> {
    let key = Wallet::ed25519_from_seed(&sha256(&[b"aonode embedded module"]));
    let signed: Result<Verified<DataItem>, _> = ItemBuilder::new().tags(tags).data(code).sign(&key);
    signed.map_err(|error| StartError::Module(error.to_string()))
}

/// The module that this binary puts into every store: nobody need look for it.
///
/// # Errors
/// It is not as it should be.
pub fn embedded_module() -> Result<Verified<DataItem>, StartError> {
    let module = ao_vm::lua::default_module();
    embedded((module.tags, module.data))
}

/// Puts a module that everybody has into a store on which no node ran yet, so that states of its processes can be restored.
///
/// # Errors
/// The store's.
pub fn put_embedded(store: &dyn Store, module: &Verified<DataItem>, now_ms: u64) -> Result<(), ao_storage::Error> {
    embed(store, module, now_ms, DEV_HEIGHT).map(|_| ())
}

/// Puts the embedded module into the store, where it is an item like any other: gateways show it, processes name it.
///
/// It is signed with a key that everybody can derive, so that its id is the same on every node; the signature says nothing else.
fn embed(store: &dyn Store, item: &Verified<DataItem>, now_ms: u64, height: u64) -> Result<Id, ao_storage::Error> {
    let id = item.id();
    if schema::ITEMS.contains(store, &id)? {
        return Ok(id);
    }
    let last = schema::SEQUENCE.all(store, ao_storage::Direction::Backward, 1)?;
    let sequence = last.first().map_or(0, |(sequence, _)| sequence + 1);
    let mut batch = WriteBatch::default();
    crate::core::rows::put_item(&mut batch, item, &verify::indexed(item), sequence, now_ms, Some(height));
    store.write(batch, Durability::Synced)?;
    Ok(id)
}
