//! Recovery: a node's store made anew from Arweave alone (`arweave.md`, section 10).
//!
//! ```text
//!   gateways ─▶ gather ─▶ depot, archive (ao_arweave::recover: everything signed is checked there)
//!                              │
//!              one process ────┤──── a whole network
//!              process.rs      │     network.rs: frames, their signatures, rules and certificates
//!                              ▼
//!                     rows of confirmed and anchored slots ─▶ an ordinary start evaluates, serves and goes on
//! ```
//!
//! With [`Setup::vm`] each process then begins at the newest state on Arweave that a certificate vouches for (`states.rs`); what lies before is
//! worked out by the node that starts, and compared.
//!
//! Owns which rows a store gets, in which order, and what is said when something is missing. Trusts the process id, or the genesis, that the
//! operator names, and nothing that a gateway says: an item is believed for its signature, an order for the hash chain, a confirmation for
//! its certificate. Refuses to evaluate messages (an ordinary start does), to skip a hole, and to touch a store that has anything else in it.
//!
//! May be stopped at any moment: bundles that were fetched stay, rows are written batch by batch, and until the last one is written nobody
//! starts on the store ([`schema::RECOVERING`]).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ao_arweave::client::Client;
use ao_arweave::recover::depot::{Depot, DepotError};
use ao_arweave::recover::scan::ScanError;
use ao_arweave::recover::{Archive, RecoverError, fetch};
use ao_consensus::Rosters;
use ao_storage::{Direction, Durability, Store, WriteBatch, schema};
use ao_types::{Address, DataItem, Genesis, Id, NetworkId, Slot, Verified};
use ao_vm::Vm;

mod gather;
mod network;
mod process;
pub(crate) mod rows;
mod states;

use gather::Gather;
pub use states::Begins;

/// What is recovered, and whom it is believed.
pub enum Subject {
    /// One process: its own item names who orders it.
    Process(Id),
    /// Every process of a network's schedulers: the genesis names its committee.
    Network(Box<Network>),
}

/// A network that is recovered.
pub struct Network {
    /// Its genesis.
    pub genesis: Genesis,
    /// The genesis's hash.
    pub id: NetworkId,
    /// Its committees.
    pub rosters: Rosters,
}

impl Network {
    /// Everybody who may order a process: whose records count.
    fn schedulers(&self) -> BTreeSet<Address> {
        self.genesis.all_schedulers().map(|(address, _)| address).collect()
    }
}

/// What a recovery is made of.
pub struct Setup<'a> {
    /// Whom to ask.
    pub client: Client,
    /// What gets the rows.
    pub store: &'a dyn Store,
    /// Where bundles are kept until it is done; `None`: in memory.
    pub folder: Option<&'a Path>,
    /// What is recovered.
    pub subject: Subject,
    /// This node's scheduler: the outboxes of its processes are pushed again where nothing says that they were.
    pub own: Address,
    /// Where to look.
    pub look: Look,
    /// Whether what lies before a hole is taken, if there is one.
    pub up_to_hole: bool,
    /// Modules that need not be looked for: whoever starts on the store has them.
    pub known_modules: Vec<Verified<DataItem>>,
    /// What restores states, where processes are to begin at the newest that holds; `None`: every log is evaluated from its beginning.
    pub vm: Option<Arc<dyn Vm>>,
    /// When, in milliseconds of Unix time: what is put into the store beside the log came then.
    pub now_ms: u64,
}

/// Where to look for what is anchored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// In every block, whatever indexes say: they can hide the end of a log, blocks that gateways agree on cannot.
    pub every_block: bool,
    /// From this height on.
    pub from: u64,
    /// How often to wait for gateways that do not answer; [`crate::limits::RECOVER_WAITS_MAX`] at most.
    pub waits_max: u32,
}

/// What a recovery is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Asking indexes.
    Seek,
    /// Reading blocks.
    Blocks,
    /// Fetching bundles.
    Fetch,
    /// Checking what is in them.
    Check,
    /// Writing rows.
    Write,
    /// Restoring states.
    States,
}

impl Stage {
    /// Its name.
    pub fn text(self) -> &'static str {
        match self {
            Self::Seek => "seek",
            Self::Blocks => "blocks",
            Self::Fetch => "fetch",
            Self::Check => "check",
            Self::Write => "write",
            Self::States => "states",
        }
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// With what.
    pub stage: Stage,
    /// So many are done: heights, bundles, slots or frames.
    pub done: u64,
    /// Of so many; 0 where nobody knows.
    pub of: u64,
}

/// Hears how far it is.
pub type Told<'a> = &'a mut dyn FnMut(Progress);

/// Something without which the rest cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Of which process, or of which chain.
    pub of: String,
    /// What is missing, or does not hold.
    pub what: String,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Processes, and the slots that each has now.
    pub processes: Vec<(Id, u64)>,
    /// Frames of all chains.
    pub frames: u64,
    /// Items that were checked.
    pub items: u64,
    /// Items whose signature did not hold: passed over.
    pub refused: u64,
    /// Bundles that were read.
    pub bundles: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Where it ends before the end.
    pub holes: Vec<Hole>,
    /// Pairs of assignments with which a scheduler contradicted itself.
    pub contradictions: Vec<(Id, Id)>,
    /// At which states processes begin, where that was asked for.
    pub begins: Vec<Begins>,
}

impl Outcome {
    /// Slots in all.
    pub fn slots(&self) -> u64 {
        self.processes.iter().map(|(_, slots)| slots).sum()
    }
}

/// Why there is nothing to start on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store has something in it that this recovery did not put there. (reject)
    #[error("the store is not empty: {0}")]
    NotEmpty(String),
    /// Nobody tells how high the chain is. (retry)
    #[error("no gateway answers, or they disagree about the height of the chain")]
    NoTip,
    /// No frame of the network is on Arweave, as these gateways show it. (retry, with others)
    #[error("no frame of this network is on Arweave, as these gateways show it")]
    Nothing,
    /// Blocks cannot be read. (retry)
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Bundles cannot be kept.
    #[error(transparent)]
    Fetch(#[from] fetch::FetchError),
    /// Bundles cannot be read.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// The archive is full, or the process is none.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The store's.
    #[error(transparent)]
    Store(#[from] ao_storage::Error),
    /// Something is missing, or does not hold: nothing behind it is believed. (retry, with other gateways)
    #[error("{} that cannot be passed over; the first: {}: {}", .0.len(), .0.first().map_or("", |hole| &hole.of), .0.first().map_or("", |hole| &hole.what))]
    Holes(Vec<Hole>),
    /// A slot that is in the store holds something else than the log that was read.
    #[error("slot {slot} of {process} in the store is not that of the log: another log was recovered here before")]
    Another {
        /// Of which process.
        process: Id,
        /// Which.
        slot: Slot,
    },
    /// An assignment or item that cannot be in this log.
    #[error("slot {slot} of {process}: {why}")]
    Slot {
        /// Of which process.
        process: Id,
        /// Which.
        slot: Slot,
        /// Why not.
        why: String,
    },
    /// A worker thread ended.
    #[error("a thread that checks signatures ended")]
    Worker,
}

/// Recovers into an empty store, or goes on with a recovery of the same subject.
///
/// # Errors
/// Whatever keeps it from being whole. What was fetched and written stays: the same call goes on.
pub async fn recover(setup: Setup<'_>, told: Told<'_>) -> Result<Outcome, Error> {
    let Setup { client, store, folder, subject, own, look, up_to_hole, known_modules, vm, now_ms } = setup;
    begin(store, &subject)?;
    let depot = folder.map_or_else(|| Ok(Depot::in_memory()), Depot::open)?;
    let network = match &subject {
        Subject::Process(_) => None,
        Subject::Network(network) => Some(network.id),
    };
    let known = known_modules.iter().map(|module| module.id()).collect();
    let mut gather = Gather::new(client, depot, network, look, known).await?;
    gather.states = vm.is_some();
    gather.reread(told).await?;
    let mut outcome = match &subject {
        Subject::Process(process) => process::recover(&mut gather, store, process, &own, up_to_hole, told).await?,
        Subject::Network(network) => network::recover(&mut gather, store, network, &own, up_to_hole, told).await?,
    };
    outcome.processes.sort_unstable();
    gather.count(&mut outcome);
    if let Some(vm) = vm {
        // Only now: a run before this one may have left the store to be cleared.
        known_modules.iter().try_for_each(|module| crate::wiring::put_embedded(store, module, now_ms))?;
        let network = match &subject {
            Subject::Process(_) => None,
            Subject::Network(network) => Some((&network.rosters, network.schedulers())),
        };
        let network = network.as_ref().map(|(rosters, schedulers)| (*rosters, schedulers));
        outcome.begins = states::begin_all(&gather, store, &*vm, network, &outcome.processes, told)?;
    }
    let mut batch = WriteBatch::default();
    schema::RECOVERING.delete(&mut batch);
    store.write(batch, Durability::Synced)?;
    Ok(outcome)
}

/// Marks the store, if it is empty or was marked with the same subject.
fn begin(store: &dyn Store, subject: &Subject) -> Result<(), Error> {
    let what = match subject {
        Subject::Process(process) => format!("process {process}"),
        Subject::Network(network) => format!("network {}", network.id),
    };
    match schema::RECOVERING.get(store)? {
        Some(before) if before == what => {
            // Of one process the log is one chain, which goes on where it ends. What a network's rows say depends on records that the
            // first run may not have had: they are written anew, from bundles that stay.
            return if matches!(subject, Subject::Network(_)) { rows::clear(store) } else { Ok(()) };
        }
        Some(before) => return Err(Error::NotEmpty(format!("{before} is being recovered into it"))),
        None => {}
    }
    if !schema::HEADS.all(store, Direction::Forward, 1)?.is_empty() || !schema::FRAMES.all(store, Direction::Forward, 1)?.is_empty() {
        return Err(Error::NotEmpty("a node has run on it".to_owned()));
    }
    let mut batch = WriteBatch::default();
    schema::RECOVERING.put(&mut batch, &what);
    Ok(store.write(batch, Durability::Synced)?)
}

/// Ends at a hole, unless the operator takes what lies before it.
fn accept(holes: &[Hole], up_to_hole: bool) -> Result<(), Error> {
    if holes.is_empty() || up_to_hole { Ok(()) } else { Err(Error::Holes(holes.to_vec())) }
}

/// Item of the archive, and its bytes.
fn item(archive: &Archive, depot: &Depot, id: &Id) -> Result<Option<Verified<DataItem>>, Error> {
    archive.place(id).map(|place| depot.item(&place)).transpose().map_err(Error::from)
}
