//! What an event does to the state: the only code that changes it.

use std::sync::Arc;

use ao_types::Id;
use ao_types::hash::sha256;

use super::admit::{cost, quantity};
use super::mempool::root_of;
use super::{Chain, Placed, Undo};
use crate::block::Block;
use crate::chunks::stored_size;
use crate::event::Event;

/// An event that cannot have happened to this chain: a journal of another, or a broken one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event does not follow from the chain: {0}")]
pub struct Inconsistent(pub &'static str);

impl Chain {
    /// Decided here, hence consistent: applied and recorded.
    pub(super) fn commit(&mut self, event: Event, out: &mut Vec<Event>) {
        let applied = self.apply(&event);
        debug_assert_eq!(applied, Ok(()), "{event:?}");
        out.push(event);
    }

    /// Applies an event of a journal.
    ///
    /// # Errors
    /// It cannot have happened; nothing changed.
    pub fn apply(&mut self, event: &Event) -> Result<(), Inconsistent> {
        match event {
            Event::Began(_) => return Err(Inconsistent("it has begun already")),
            Event::Minted { address, winston } => {
                let wallet = self.wallets.entry(*address).or_default();
                wallet.balance = wallet.balance.saturating_add(*winston);
            }
            Event::Priced { winston_per_byte } => self.winston_per_byte = *winston_per_byte,
            Event::Posted(transaction) => {
                if self.placed.contains_key(&transaction.id) || self.mempool.get(&transaction.id).is_some() {
                    return Err(Inconsistent("a transaction is posted twice"));
                }
                let sender = Id(sha256(&[&transaction.owner.0]));
                self.mempool.hold_root(transaction);
                let since = self.tip().height;
                self.mempool.insert(Arc::new((**transaction).clone()), sender, cost(transaction), since);
            }
            Event::Removed { id } => {
                let waiting = self.mempool.take(id).ok_or(Inconsistent("a transaction is removed that does not wait"))?;
                self.mempool.release_root(&waiting.transaction);
            }
            Event::Mined(block) => self.connect(block)?,
            Event::Orphaned { depth } => {
                if *depth >= self.blocks.len() as u64 || *depth >= self.undo.len() as u64 {
                    return Err(Inconsistent("more blocks are taken away than can be"));
                }
                (0..*depth).for_each(|_| self.disconnect());
                self.branch += 1;
            }
            // Chunks are held beside the chain.
            Event::Chunk(_) => {}
        }
        Ok(())
    }

    fn connect(&mut self, block: &Block) -> Result<(), Inconsistent> {
        let tip = self.tip();
        if block.previous != tip.hash || block.height != tip.height + 1 || block.hash != block.computed_hash() {
            return Err(Inconsistent("a block does not follow on the last"));
        }
        if block.transactions.iter().any(|id| self.mempool.get(id).is_none()) {
            return Err(Inconsistent("a block holds a transaction that did not wait"));
        }
        let mut undo = Undo::default();
        let mut start = tip.weave_size;
        for id in &block.transactions {
            let Some(waiting) = self.mempool.take(id) else { continue };
            let transaction = waiting.transaction;
            let size = root_of(&transaction).map_or(0, |(_, size)| size);
            if size > 0 {
                self.by_end.insert(start + size, *id);
            }
            let sender = self.wallets.entry(waiting.sender).or_default();
            sender.balance = sender.balance.saturating_sub(waiting.cost);
            let last = sender.last_transaction.replace(*id);
            let mut target_known = true;
            if let Some(target) = target_of(&transaction.target.0) {
                target_known = self.wallets.contains_key(&target);
                self.wallets.entry(target).or_default().balance += quantity(&transaction);
            }
            undo.before.push((last, target_known));
            self.placed.insert(*id, Placed { transaction, height: block.height, start, size });
            start += stored_size(size);
        }
        self.blocks.push(block.clone());
        self.push_undo(undo);
        Ok(())
    }

    /// Takes the newest block away. Its transactions wait again, the wallets are as before it.
    fn disconnect(&mut self) {
        let (Some(block), Some(undo)) = (self.blocks.pop(), self.undo.pop_back()) else { return };
        let mut back = Vec::new();
        for (id, (last, target_known)) in block.transactions.iter().zip(undo.before).rev() {
            let Some(placed) = self.placed.remove(id) else { continue };
            self.by_end.remove(&(placed.start + placed.size));
            let transaction = placed.transaction;
            if let Some(target) = target_of(&transaction.target.0) {
                let wallet = self.wallets.entry(target).or_default();
                wallet.balance = wallet.balance.saturating_sub(quantity(&transaction));
                if !target_known && wallet.balance == 0 {
                    self.wallets.remove(&target);
                }
            }
            let sender = Id(sha256(&[&transaction.owner.0]));
            let wallet = self.wallets.entry(sender).or_default();
            wallet.balance = wallet.balance.saturating_add(cost(&transaction));
            wallet.last_transaction = last;
            back.push((transaction, sender));
        }
        let since = self.tip().height;
        for (transaction, sender) in back.into_iter().rev() {
            let cost = cost(&transaction);
            self.mempool.insert(transaction, sender, cost, since);
        }
        self.remember_orphan(block);
    }
}

fn target_of(target: &[u8]) -> Option<Id> {
    <[u8; 32]>::try_from(target).ok().map(Id)
}
