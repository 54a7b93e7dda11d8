//! Blocks come and go.

use std::collections::BTreeSet;

use ao_types::Id;
use ao_types::merkle::{Chunk, Tree};

use super::mempool::{Waiting, reward, root_of};
use super::{Chain, Undo};
use crate::block::Block;
use crate::chunks::stored_size;
use crate::event::Event;
use crate::limits::{BLOCK_TRANSACTIONS_MAX, BLOCKS_MAX, REORG_DEPTH_MAX};

/// How much earlier than its parent a block may say it is: miners' clocks differ (`arweave.md`, section 7).
const CLOCK_SKEW_SECONDS: u64 = 35;

/// What becomes of a transaction that the next block could hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes in.
    Include,
    /// It waits on.
    Delay,
    /// It is lost, as if no miner had ever heard of it.
    Lose,
}

/// What becomes of the transactions of blocks that are taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All are lost.
    None,
    /// All are on the new branch.
    All,
    /// All wait again, and are on none of the new branch's blocks.
    Pending,
    /// These are on the new branch, others are lost.
    Ids(BTreeSet<Id>),
}

/// Why no block comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MineError {
    /// Too many blocks.
    #[error("this chain has {BLOCKS_MAX} blocks, the most it may have")]
    Full,
    /// Not so many blocks, or no record of how to undo them.
    #[error("a reorganisation of depth {asked}: at most {most} blocks can be taken away now")]
    Depth {
        /// Wanted.
        asked: u64,
        /// Possible.
        most: u64,
    },
}

/// What a reorganisation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reorganised {
    /// Blocks that are none any more, oldest first.
    pub orphaned: Vec<Block>,
    /// Transactions of theirs that are gone: not kept, or of an anchor that was taken away with them.
    pub lost: Vec<Id>,
    /// The new branch, oldest first; one longer than the old.
    pub mined: Vec<Block>,
}

impl Chain {
    /// Mines a block. `fate` is asked for each transaction that the block could hold, best-paying first.
    ///
    /// # Errors
    /// The chain is full.
    pub fn mine(&mut self, timestamp: u64, fate: &mut dyn FnMut(&Waiting) -> Fate, out: &mut Vec<Event>) -> Result<Block, MineError> {
        if self.blocks.len() >= BLOCKS_MAX {
            return Err(MineError::Full);
        }
        let mut chosen = Vec::new();
        let mut lost = Vec::new();
        let mut anchored = BTreeSet::new();
        let mut spent = std::collections::BTreeMap::<Id, u128>::new();
        for waiting in self.best_first() {
            let transaction = &waiting.transaction;
            if !self.anchor_holds(&transaction.last_tx.0, &waiting.sender) {
                lost.push(transaction.id);
                continue;
            }
            // One transaction per block may name the wallet's last: the next one would name this.
            let by_wallet = transaction.last_tx.0.len() < 48;
            let spent = spent.entry(waiting.sender).or_default();
            let affordable = self.wallet(&waiting.sender).balance.checked_sub(*spent).is_some_and(|left| left >= waiting.cost);
            if chosen.len() >= BLOCK_TRANSACTIONS_MAX || !affordable || (by_wallet && anchored.contains(&waiting.sender)) {
                continue;
            }
            match fate(waiting) {
                Fate::Include => {
                    *spent += waiting.cost;
                    if by_wallet {
                        anchored.insert(waiting.sender);
                    }
                    chosen.push((transaction.id, root_of(transaction)));
                }
                Fate::Delay => {}
                Fate::Lose => lost.push(transaction.id),
            }
        }
        for id in lost {
            self.commit(Event::Removed { id }, out);
        }
        let block = self.next_block(timestamp, &chosen);
        self.commit(Event::Mined(Box::new(block.clone())), out);
        Ok(block)
    }

    /// Waiting transactions by what they pay for their bytes, then by arrival.
    fn best_first(&self) -> Vec<&Waiting> {
        let mut waiting: Vec<&Waiting> = self.mempool.in_order().collect();
        waiting.sort_by(|a, b| {
            let value = |entry: &Waiting, other: &Waiting| reward(&entry.transaction).saturating_mul(other.bytes() as u128);
            value(b, a).cmp(&value(a, b)).then(a.number.cmp(&b.number))
        });
        waiting
    }

    fn next_block(&self, timestamp: u64, chosen: &[(Id, Option<(Id, u64)>)]) -> Block {
        let parent = self.tip();
        let mut end = 0;
        let mut leaves = Vec::new();
        for (root, size) in chosen.iter().filter_map(|(_, data)| *data) {
            leaves.push(Chunk { start: end, end: end + stored_size(size), hash: root.0 });
            end += stored_size(size);
        }
        let block = Block {
            hash: parent.hash,
            previous: parent.hash,
            height: parent.height + 1,
            timestamp: timestamp.max(parent.timestamp.saturating_sub(CLOCK_SKEW_SECONDS)),
            branch: self.branch,
            transactions: chosen.iter().map(|(id, _)| *id).collect(),
            tx_root: (!leaves.is_empty()).then(|| Id(Tree::over(leaves).root())),
            weave_size: parent.weave_size + end,
            block_size: end,
        };
        block.sealed()
    }

    /// Takes the newest `depth` blocks away and mines `depth + 1` in their place: the longer branch wins.
    ///
    /// # Errors
    /// There are not so many blocks to take away.
    pub fn reorganise(&mut self, depth: u64, keep: &Keep, timestamp: u64, out: &mut Vec<Event>) -> Result<Reorganised, MineError> {
        let most = (self.undo.len() as u64).saturating_sub(1).min(REORG_DEPTH_MAX);
        if depth == 0 || depth > most {
            return Err(MineError::Depth { asked: depth, most });
        }
        let orphaned = self.blocks[self.blocks.len() - depth as usize..].to_vec();
        let touched: BTreeSet<Id> = orphaned.iter().flat_map(|block| block.transactions.iter().copied()).collect();
        self.commit(Event::Orphaned { depth }, out);
        for id in &touched {
            let kept = match keep {
                Keep::None => false,
                Keep::All | Keep::Pending => true,
                Keep::Ids(ids) => ids.contains(id),
            };
            if !kept {
                self.commit(Event::Removed { id: *id }, out);
            }
        }
        let mut mined = Vec::new();
        for step in 0..=depth {
            let at = if step == depth { timestamp } else { orphaned.get(step as usize).map_or(timestamp, |block| block.timestamp) };
            let pending = *keep == Keep::Pending;
            let mut fate =
                |waiting: &Waiting| if pending && touched.contains(&waiting.transaction.id) { Fate::Delay } else { Fate::Include };
            mined.push(self.mine(at, &mut fate, out)?);
        }
        let lost = touched.into_iter().filter(|id| self.standing(id).is_none()).collect();
        Ok(Reorganised { orphaned, lost, mined })
    }

    pub(super) fn push_undo(&mut self, undo: Undo) {
        if self.undo.len() as u64 > REORG_DEPTH_MAX {
            self.undo.pop_front();
        }
        self.undo.push_back(undo);
    }
}
