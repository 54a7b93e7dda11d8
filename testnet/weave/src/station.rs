//! Everything together behind locks: chain, chunks, journal, faults, bundling service and index. What HTTP and tests call; it takes the
//! time as an argument and opens no socket.
//!
//! Two locks, always taken in this order: the state, then the index. What is expensive, opening bundles, is done under neither.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;

use ao_types::{DataItem, Id, Signer as _, Wallet};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::block::Block;
use crate::chain::{Accepted, Chain, Fate, Inconsistent, Keep, MineError, Refusal, Reorganised, Standing, Waiting};
use crate::chunks::{Checked, ChunkError, Chunks, places_of};
use crate::event::{Event, Genesis};
use crate::faults::{ChainFaults, FaultLog, GatewayFaults};
use crate::index::{Data, Entry, Head, Index, WAITING, unbundle};
use crate::keys;
use crate::limits::{DATA_BYTES_MAX, GATEWAYS_MAX, MINE_MAX};
use crate::odds::happens;
use crate::store::{Store, StoreError};

mod bundler;
mod command;
mod read;

pub use bundler::{ItemError, Taken};
pub use command::{Command, KeepText};
pub(crate) use read::corrupted;
pub use read::{ChunkAnswer, Found};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The chain refuses a transaction.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A chunk is refused.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// No block comes.
    #[error(transparent)]
    Mine(#[from] MineError),
    /// The bundling service refuses an item.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// The journal cannot be written: nothing is accepted any more, for it would not survive a restart.
    #[error("the journal cannot be written: {0}")]
    Journal(String),
    /// A command that makes no sense.
    #[error("{0}")]
    Command(String),
}

/// Why a chain cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its journal.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal is that of another chain.
    #[error("the journal is that of network `{found}` with seed {seed}, not of `{expected}`")]
    Other {
        /// In the journal.
        found: String,
        /// In the journal.
        seed: u64,
        /// In the configuration.
        expected: String,
    },
    /// The built-in keys.
    #[error("a built-in key: {0}")]
    Key(#[from] ao_types::wallet::WalletError),
    /// Too many gateways, or none.
    #[error("{0} gateways: 1 to {GATEWAYS_MAX} are possible")]
    Gateways(usize),
    /// The listener.
    #[error("{address}: {error}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        error: io::Error,
    },
}

/// What is behind the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub chain: Chain,
    pub chunks: Chunks,
    pub faults: ChainFaults,
    pub gateways: Vec<GatewayFaults>,
    pub log: FaultLog,
    store: Store,
    /// Mined bundles that are not opened yet, most for want of chunks.
    unopened: BTreeSet<Id>,
    /// Items that the bundling service took.
    queue: VecDeque<DataItem>,
    queued_bytes: usize,
    /// Its transactions that are not deep enough to be forgotten, with their items.
    carried: BTreeMap<Id, Vec<DataItem>>,
    /// Set for ever when the journal could not be written.
    broken: Option<String>,
}

/// The chain with everything around it.
pub struct Station {
    state: Mutex<State>,
    index: RwLock<Index>,
    /// One at a time opens bundles, so that none is opened twice.
    opening: Mutex<()>,
    bundler: Wallet,
    seed: u64,
}

impl Station {
    /// Begins a chain, or goes on with the one in a journal. Wallets of `funded` get their winston when it begins.
    ///
    /// # Errors
    /// The journal is broken, in use, or of another network.
    pub fn open(
        genesis: Genesis,
        funded: &[(Id, u128)],
        journal: Option<&Path>,
        gateways: usize,
        chunk_bytes_max: u64,
    ) -> Result<Self, StartError> {
        if gateways == 0 || gateways > GATEWAYS_MAX {
            return Err(StartError::Gateways(gateways));
        }
        let bundler = keys::bundler()?;
        let mut chain = None;
        let mut chunks = Chunks::new(chunk_bytes_max);
        let store = match journal {
            None => Store::memory(),
            Some(path) => Store::open(path, |event| replay(&mut chain, &mut chunks, &event).map_err(|error| error.to_string()))?,
        };
        let begun = chain.is_some();
        let chain = chain.unwrap_or_else(|| Chain::new(genesis.clone()));
        if chain.genesis().network != genesis.network {
            let found = chain.genesis();
            return Err(StartError::Other { found: found.network.clone(), seed: found.seed, expected: genesis.network });
        }
        let seed = chain.genesis().seed;
        let state = State {
            chain,
            chunks,
            faults: ChainFaults::default(),
            gateways: vec![GatewayFaults::default(); gateways],
            log: FaultLog::default(),
            store,
            unopened: BTreeSet::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            carried: BTreeMap::new(),
            broken: None,
        };
        let station = Self { state: Mutex::new(state), index: RwLock::new(Index::default()), opening: Mutex::new(()), bundler, seed };
        if begun {
            station.index_all();
        } else {
            let mut state = station.state.lock();
            let mut events = vec![Event::Began(genesis)];
            let own = station.bundler.address().as_id().map(|address| (address, keys::FUNDED_WINSTON));
            for (address, winston) in funded.iter().copied().chain(own) {
                state.chain.mint(address, winston, &mut events);
            }
            station.keep(&mut state, &events);
        }
        Ok(station)
    }

    pub(crate) fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn index(&self) -> parking_lot::RwLockReadGuard<'_, Index> {
        self.index.read()
    }

    /// Where chance comes from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Looks at the chain.
    pub fn chain<T>(&self, look: impl FnOnce(&Chain) -> T) -> T {
        look(&self.state.lock().chain)
    }

    /// Takes a transaction, as `POST /tx` does.
    ///
    /// # Errors
    /// It is refused.
    pub fn post_transaction(&self, transaction: ao_types::transaction::Transaction) -> Result<Accepted, Error> {
        let mut state = self.state.lock();
        state.writable()?;
        let data = transaction.data.0.clone();
        let mut events = Vec::new();
        let accepted = state.chain.post(transaction, &mut events)?;
        if accepted == Accepted::New && !data.is_empty() {
            let data = Bytes::from(data);
            state.hold(&data, &mut events);
        }
        self.keep(&mut state, &events);
        Ok(accepted)
    }

    /// Takes a chunk, as `POST /chunk` does.
    ///
    /// # Errors
    /// It is refused.
    pub fn post_chunk(&self, checked: Checked) -> Result<(), Error> {
        {
            let mut state = self.state.lock();
            state.writable()?;
            if !state.chain.knows_root(&checked.place.root, checked.place.size) {
                return Err(ChunkError::RootUnknown.into());
            }
            if !state.chunks.admits(&checked.place)? {
                return Ok(());
            }
            let mut events = Vec::new();
            state.hold_chunk(checked.place, checked.bytes.into(), &mut events);
            self.keep(&mut state, &events);
        }
        self.open_bundles();
        Ok(())
    }

    /// Mines blocks, with the faults that are set, and opens the bundles in them.
    ///
    /// # Errors
    /// Too many are asked for, or the chain is full.
    pub fn mine(&self, blocks: u64, timestamp: u64) -> Result<Vec<Block>, Error> {
        if blocks > MINE_MAX {
            return Err(Error::Command(format!("at most {MINE_MAX} blocks at once")));
        }
        let mut mined = Vec::new();
        for _ in 0..blocks {
            let mut state = self.state.lock();
            state.writable()?;
            let mut events = Vec::new();
            self.flush(&mut state, &mut events);
            mined.push(state.mine(self.seed, timestamp, &mut events)?);
            self.keep(&mut state, &events);
        }
        self.open_bundles();
        Ok(mined)
    }

    /// Takes blocks away and mines others in their place.
    ///
    /// # Errors
    /// There are not so many.
    pub fn reorganise(&self, depth: u64, keep: &Keep, timestamp: u64) -> Result<Reorganised, Error> {
        let done = {
            let mut state = self.state.lock();
            state.writable()?;
            let mut events = Vec::new();
            let done = state.chain.reorganise(depth, keep, timestamp, &mut events)?;
            let height = state.chain.tip().height;
            state.log.push(height, format!("reorganisation of depth {depth}, keeping {keep:?}; lost: {:?}", done.lost));
            self.keep(&mut state, &events);
            done
        };
        self.open_bundles();
        Ok(done)
    }

    /// Keeps events in the journal and shows them in the index.
    pub(crate) fn keep(&self, state: &mut State, events: &[Event]) {
        if let Err(error) = state.store.record(events) {
            state.break_off(&error);
        }
        let mut index = self.index.write();
        for event in events {
            match event {
                Event::Posted(transaction) => {
                    if let Some(Standing::Pending(waiting)) = state.chain.standing(&transaction.id) {
                        index.insert(WAITING, Entry::of_transaction(waiting.transaction.clone()));
                    }
                }
                Event::Removed { id } => index.remove(id),
                Event::Mined(block) => connect(&mut index, &state.chain, &mut state.unopened, block),
                Event::Orphaned { depth: _ } => {
                    // Other events of the same decision follow: what is in no block now is either mined again or waits.
                    let height = common_height(events, state.chain.tip().height);
                    index.disconnect(height);
                    for waiting in state.chain.pending() {
                        index.insert(WAITING, Entry::of_transaction(waiting.transaction.clone()));
                    }
                }
                Event::Began(_) | Event::Minted { .. } | Event::Priced { .. } | Event::Chunk(_) => {}
            }
        }
    }

    /// After a restart: the whole chain into the index.
    fn index_all(&self) {
        {
            let mut state = self.state.lock();
            let State { chain, unopened, .. } = &mut *state;
            let mut index = self.index.write();
            for block in chain.blocks() {
                connect(&mut index, chain, unopened, block);
            }
            for waiting in chain.pending() {
                index.insert(WAITING, Entry::of_transaction(waiting.transaction.clone()));
            }
        }
        self.open_bundles();
    }

    /// Opens every mined bundle whose chunks are all here.
    fn open_bundles(&self) {
        let _one_at_a_time = self.opening.lock();
        let ready: Vec<Id> = {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            // Of what waits or is lost nothing can be opened; a block that has it again brings it back.
            state.unopened.retain(|id| matches!(state.chain.standing(id), Some(Standing::Mined(_))));
            let complete = |id: &Id| match state.chain.standing(id) {
                Some(Standing::Mined(placed)) => {
                    let entry = Entry::of_transaction(placed.transaction.clone());
                    matches!(entry.data, Data::Root { root, size, .. } if state.chunks.complete(&root, size))
                }
                _ => false,
            };
            state.unopened.iter().copied().filter(complete).collect()
        };
        for id in ready {
            self.open_bundle(id);
        }
    }

    fn open_bundle(&self, id: Id) {
        let found = {
            let state = self.state.lock();
            match state.chain.standing(&id) {
                Some(Standing::Mined(placed)) => Some((placed.height, Entry::of_transaction(placed.transaction.clone()).data)),
                _ => None,
            }
        };
        let Some((height, Data::Root { root, size, .. })) = found else { return };
        let Some(bytes) = self.read_whole(&Data::Root { root, size, offset: 0, length: size }, DATA_BYTES_MAX) else { return };
        let out = unbundle(bytes);
        let mut state = self.state.lock();
        // While it was opened, its block may have gone.
        if !matches!(state.chain.standing(&id), Some(Standing::Mined(placed)) if placed.height == height) {
            return;
        }
        state.unopened.remove(&id);
        for (bundle, why) in out.spoiled {
            tracing::info!(root = %id, ?bundle, "a bundle is not indexed: {why}");
        }
        let mut index = self.index.write();
        for inside in out.items {
            let data = Data::Root { root, size, offset: inside.data_offset, length: inside.data_bytes };
            let parent = Some(inside.parent.unwrap_or(id));
            let entry = Entry { head: Head::Item(inside.head), data, root: id, parent, offset: inside.offset };
            if !index.insert(height, entry) {
                tracing::warn!("the index is full: items of {id} are not found by it");
                break;
            }
        }
    }
}

/// What a restart does with an event of the journal.
fn replay(chain: &mut Option<Chain>, chunks: &mut Chunks, event: &Event) -> Result<(), Inconsistent> {
    match (chain, event) {
        (chain @ None, Event::Began(genesis)) => *chain = Some(Chain::new(genesis.clone())),
        (Some(_), Event::Chunk(place)) => chunks.insert(place),
        (Some(chain), event) => chain.apply(event)?,
        (None, _) => return Err(Inconsistent("it has no beginning")),
    }
    Ok(())
}

/// The height up to which a reorganisation changed nothing.
fn common_height(events: &[Event], tip: u64) -> u64 {
    let mined = events.iter().filter_map(|event| match event {
        Event::Mined(block) => Some(block.height - 1),
        _ => None,
    });
    mined.min().unwrap_or(tip)
}

fn connect(index: &mut Index, chain: &Chain, unopened: &mut BTreeSet<Id>, block: &Block) {
    for id in &block.transactions {
        if let Some(Standing::Mined(placed)) = chain.standing(id) {
            let entry = Entry::of_transaction(placed.transaction.clone());
            let bundle = entry.tag("Bundle-Format").as_deref() == Some("binary") && entry.tag("Bundle-Version").as_deref() == Some("2.0.0");
            if bundle {
                unopened.insert(*id);
            }
            index.insert(block.height, entry);
        }
    }
}

impl State {
    fn writable(&self) -> Result<(), Error> {
        self.broken.as_ref().map_or(Ok(()), |why| Err(Error::Journal(why.clone())))
    }

    fn break_off(&mut self, error: &io::Error) {
        tracing::error!("the journal cannot be written, nothing is accepted from now on: {error}");
        self.broken.get_or_insert_with(|| error.to_string());
    }

    /// Attached data, as chunks. What there is no room for is not held: then nobody has it, as on a full node.
    fn hold(&mut self, data: &Bytes, events: &mut Vec<Event>) {
        for place in places_of(data) {
            let bytes = data.slice(place.start as usize..place.end as usize);
            if self.chunks.admits(&place) == Ok(true) {
                self.hold_chunk(place, bytes, events);
            }
        }
    }

    fn hold_chunk(&mut self, place: crate::event::ChunkPlace, bytes: Bytes, events: &mut Vec<Event>) {
        if let Err(error) = self.store.put(place.hash, bytes) {
            self.break_off(&error);
            return;
        }
        self.chunks.insert(&place);
        events.push(Event::Chunk(place));
    }

    fn mine(&mut self, seed: u64, timestamp: u64, events: &mut Vec<Event>) -> Result<Block, Error> {
        let height = self.chain.tip().height + 1;
        let faults = &mut self.faults;
        let mut happened = Vec::new();
        let mut fate = |waiting: &Waiting| {
            let id = waiting.transaction.id;
            if faults.lose.remove(&id) || happens(seed, "lose", &[&id.0], faults.lose_per_million) {
                happened.push(format!("transaction {id} is lost"));
                return Fate::Lose;
            }
            let (per_million, blocks) = faults.delay_per_million;
            let chosen = waiting.since + blocks >= height && happens(seed, "delay", &[&id.0], per_million);
            match faults.delay.get(&id) {
                Some(until) if height < *until => Fate::Delay,
                None if chosen => Fate::Delay,
                _ => {
                    if faults.delay.remove(&id).is_some() {
                        happened.push(format!("transaction {id} was delayed until now"));
                    }
                    Fate::Include
                }
            }
        };
        let block = self.chain.mine(timestamp, &mut fate, events)?;
        let twice: Vec<Id> = block.transactions.iter().filter(|id| self.faults.twice.contains(id)).copied().collect();
        for what in happened {
            self.log.push(height, what);
        }
        if twice.is_empty() || self.chain.blocks().len() < 2 {
            return Ok(block);
        }
        self.faults.twice.retain(|id| !twice.contains(id));
        self.log.push(height, format!("the block of {twice:?} is orphaned, another includes them"));
        let mut done = self.chain.reorganise(1, &Keep::All, timestamp, events)?;
        Ok(done.mined.pop().unwrap_or(block))
    }
}

#[cfg(test)]
mod tests;
