//! The chain: blocks, wallets, waiting transactions. A state machine without clock, chance, disk or socket.
//!
//! ```text
//!   post ──► checks (admit.rs) ──► mempool ──► mine ──► block ──► reorganised? back to the mempool, or gone
//!                  │
//!                  └► refused, with the text of the real node
//! ```
//!
//! Every change is an [`Event`]: methods that decide append the events of what they decided and apply them, [`Chain::apply`] applies
//! those of a journal. What is *not* here: chunks ([`crate::chunks`]), what a gateway makes of data ([`crate::index`]), and faults, which
//! come in as the `fate` of each transaction.
//!
//! Deviations from Arweave: nobody is paid for mining (fees are gone); transactions of format 1 and those signed by ECDSA keys are not
//! taken; prices move only on command.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use ao_types::Id;
use ao_types::limits::CHUNK_BYTES_MAX;
use ao_types::transaction::Transaction;

use crate::block::{Block, BlockHash};
use crate::event::{Event, Genesis};
use crate::limits::{ANCHOR_OFFERED_DEPTH, ORPHANS_MAX, REFUSED_MAX};

mod admit;
mod apply;
mod mempool;
mod mine;
#[cfg(test)]
mod tests;

pub use admit::{Accepted, Refusal};
pub use apply::Inconsistent;
pub use mempool::Waiting;
pub use mine::{Fate, Keep, MineError, Reorganised};

use mempool::Mempool;

/// A wallet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wallet {
    /// Winston.
    pub balance: u128,
    /// The last transaction it sent that is in a block.
    pub last_transaction: Option<Id>,
}

/// Where a transaction is.
#[derive(Clone, Debug)]
pub enum Standing<'a> {
    /// In a block.
    Mined(&'a Placed),
    /// Waiting.
    Pending(&'a Waiting),
    /// Refused, for these reasons.
    Refused(&'a [&'static str]),
}

/// A transaction in a block.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The header.
    pub transaction: Arc<Transaction>,
    /// Height of its block.
    pub height: u64,
    /// Where its data begins on the weave: bytes before it. Its first byte has the number `start + 1`.
    pub start: u64,
    /// Bytes of its data.
    pub size: u64,
}

/// What taking a block away needs, beside the block.
#[derive(Clone, Debug, Default)]
struct Undo {
    /// For each transaction: what its sender's last one was before, and whether its target had a wallet.
    before: Vec<(Option<Id>, bool)>,
}

/// The state.
#[derive(Clone, Debug)]
pub struct Chain {
    genesis: Genesis,
    winston_per_byte: u64,
    /// Never empty: the first is that of the genesis. Each names the one before it.
    blocks: Vec<Block>,
    /// Of the newest blocks, in their order.
    undo: VecDeque<Undo>,
    /// Blocks of dead branches, newest last.
    orphans: VecDeque<Block>,
    /// Reorganisations so far.
    branch: u64,
    wallets: BTreeMap<Id, Wallet>,
    mempool: Mempool,
    placed: HashMap<Id, Placed>,
    /// Transactions with data, by where their data ends.
    by_end: BTreeMap<u64, Id>,
    refused: VecDeque<(Id, Vec<&'static str>)>,
}

impl Chain {
    /// A chain with its first block. The caller keeps [`Event::Began`].
    pub fn new(genesis: Genesis) -> Self {
        let previous = BlockHash(ao_types::hash::sha384(&[b"ao weave", genesis.network.as_bytes(), &genesis.seed.to_be_bytes()]));
        let first = Block {
            hash: previous,
            previous,
            height: genesis.height,
            timestamp: genesis.timestamp,
            branch: 0,
            transactions: Vec::new(),
            tx_root: None,
            weave_size: 0,
            block_size: 0,
        };
        Self {
            winston_per_byte: genesis.winston_per_byte,
            genesis,
            blocks: vec![first.sealed()],
            undo: VecDeque::from([Undo::default()]),
            orphans: VecDeque::new(),
            branch: 0,
            wallets: BTreeMap::new(),
            mempool: Mempool::default(),
            placed: HashMap::new(),
            by_end: BTreeMap::new(),
            refused: VecDeque::new(),
        }
    }

    /// What it began with.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The newest block.
    pub fn tip(&self) -> &Block {
        // The vector has its first block from the start, and `apply` never takes that one away.
        &self.blocks[self.blocks.len() - 1]
    }

    /// The block at a height.
    pub fn block_at(&self, height: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(height.checked_sub(self.genesis.height)?).ok()?)
    }

    /// All blocks, oldest first.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// A block by its hash, also one of a dead branch. Looks from the tip back: those asked for are recent.
    pub fn block_by_hash(&self, hash: &BlockHash) -> Option<&Block> {
        self.blocks.iter().rev().chain(self.orphans.iter().rev()).find(|block| block.hash == *hash)
    }

    /// Where a transaction is; `None` if it was never here, or is lost.
    pub fn standing(&self, id: &Id) -> Option<Standing<'_>> {
        if let Some(placed) = self.placed.get(id) {
            return Some(Standing::Mined(placed));
        }
        if let Some(waiting) = self.mempool.get(id) {
            return Some(Standing::Pending(waiting));
        }
        self.refused.iter().rev().find(|(refused, _)| refused == id).map(|(_, why)| Standing::Refused(why))
    }

    /// The mined transaction that holds a byte of the weave; the first byte is 1.
    pub fn transaction_at(&self, byte: u64) -> Option<&Placed> {
        let (_, id) = self.by_end.range(byte..).next()?;
        self.placed.get(id).filter(|placed| placed.start < byte)
    }

    /// Waiting transactions in the order in which they came.
    pub fn pending(&self) -> impl Iterator<Item = &Waiting> {
        self.mempool.in_order()
    }

    /// Whether some transaction, mined or waiting, has data of this root and size.
    pub fn knows_root(&self, root: &Id, size: u64) -> bool {
        self.mempool.knows_root(root, size)
    }

    /// A wallet; one that never held anything is empty.
    pub fn wallet(&self, address: &Id) -> Wallet {
        self.wallets.get(address).copied().unwrap_or_default()
    }

    /// Winston per byte.
    pub fn winston_per_byte(&self) -> u64 {
        self.winston_per_byte
    }

    /// The least that a transaction with so many bytes pays. A target that never held anything costs as much as 20 MB more.
    pub fn price(&self, bytes: u64, target: Option<&Id>) -> u128 {
        let stored = u128::from(bytes).next_multiple_of(CHUNK_BYTES_MAX as u128) + 3_210;
        let new_wallet = if target.is_some_and(|target| !self.wallets.contains_key(target)) { 20_000_000 } else { 0 };
        (stored + new_wallet) * u128::from(self.winston_per_byte)
    }

    /// The anchor offered to clients: a block that is unlikely to be taken away.
    pub fn anchor(&self) -> BlockHash {
        let height = self.tip().height.saturating_sub(ANCHOR_OFFERED_DEPTH).max(self.genesis.height);
        self.block_at(height).unwrap_or_else(|| self.tip()).hash
    }

    /// Gives a wallet winston.
    pub fn mint(&mut self, address: Id, winston: u128, out: &mut Vec<Event>) {
        self.commit(Event::Minted { address, winston }, out);
    }

    /// Sets the price.
    pub fn set_price(&mut self, winston_per_byte: u64, out: &mut Vec<Event>) {
        self.commit(Event::Priced { winston_per_byte }, out);
    }

    /// Takes a waiting transaction away: nobody will mine it. Says whether it was there.
    pub fn remove(&mut self, id: Id, out: &mut Vec<Event>) -> bool {
        let there = self.mempool.get(&id).is_some();
        if there {
            self.commit(Event::Removed { id }, out);
        }
        there
    }

    fn remember_refused(&mut self, id: Id, why: Vec<&'static str>) {
        if self.refused.len() >= REFUSED_MAX {
            self.refused.pop_front();
        }
        self.refused.push_back((id, why));
    }

    fn remember_orphan(&mut self, block: Block) {
        if self.orphans.len() >= ORPHANS_MAX {
            self.orphans.pop_front();
        }
        self.orphans.push_back(block);
    }
}
