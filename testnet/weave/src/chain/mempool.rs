//! Transactions that wait, and the data roots that chunks may be posted for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ao_types::Id;
use ao_types::transaction::Transaction;

use crate::limits::HEADER_BYTES;

/// A waiting transaction.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The header.
    pub transaction: Arc<Transaction>,
    /// Who pays.
    pub sender: Id,
    /// Quantity and reward together.
    pub cost: u128,
    /// Height of the tip when it came.
    pub since: u64,
    /// Its place in the order of arrival.
    pub number: u64,
}

impl Waiting {
    /// Bytes that it counts with.
    pub fn bytes(&self) -> usize {
        let tags: usize = self.transaction.tags.iter().map(|tag| tag.name.0.len() + tag.value.0.len()).sum();
        HEADER_BYTES + tags
    }
}

/// The mempool. Also knows every data root in use, of waiting transactions and of mined ones: a set that changes with the same events.
#[derive(Clone, Debug, Default)]
pub(super) struct Mempool {
    waiting: HashMap<Id, Waiting>,
    order: BTreeMap<u64, Id>,
    /// Winston that each sender's waiting transactions cost together.
    owed: HashMap<Id, u128>,
    roots: HashMap<(Id, u64), u32>,
    bytes: usize,
    next: u64,
}

impl Mempool {
    pub fn get(&self, id: &Id) -> Option<&Waiting> {
        self.waiting.get(id)
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn owed(&self, sender: &Id) -> u128 {
        self.owed.get(sender).copied().unwrap_or_default()
    }

    pub fn in_order(&self) -> impl Iterator<Item = &Waiting> {
        self.order.values().filter_map(|id| self.waiting.get(id))
    }

    /// The one that pays least for its bytes, among equals the youngest.
    pub fn cheapest(&self) -> Option<&Waiting> {
        self.in_order().min_by(|a, b| {
            let value = |entry: &Waiting, other: &Waiting| reward(&entry.transaction).saturating_mul(other.bytes() as u128);
            value(a, b).cmp(&value(b, a)).then(b.number.cmp(&a.number))
        })
    }

    pub fn insert(&mut self, transaction: Arc<Transaction>, sender: Id, cost: u128, since: u64) {
        let number = self.next;
        self.next += 1;
        let entry = Waiting { transaction, sender, cost, since, number };
        let id = entry.transaction.id;
        self.bytes += entry.bytes();
        *self.owed.entry(sender).or_default() += cost;
        self.order.insert(number, id);
        self.waiting.insert(id, entry);
    }

    pub fn take(&mut self, id: &Id) -> Option<Waiting> {
        let entry = self.waiting.remove(id)?;
        self.order.remove(&entry.number);
        self.bytes -= entry.bytes();
        if let Some(owed) = self.owed.get_mut(&entry.sender) {
            *owed -= entry.cost;
            if *owed == 0 {
                self.owed.remove(&entry.sender);
            }
        }
        Some(entry)
    }

    pub fn knows_root(&self, root: &Id, size: u64) -> bool {
        self.roots.contains_key(&(*root, size))
    }

    /// One more transaction has this data.
    pub fn hold_root(&mut self, transaction: &Transaction) {
        if let Some(key) = root_of(transaction) {
            *self.roots.entry(key).or_default() += 1;
        }
    }

    /// One less.
    pub fn release_root(&mut self, transaction: &Transaction) {
        if let Some(key) = root_of(transaction)
            && let Some(count) = self.roots.get_mut(&key)
        {
            *count -= 1;
            if *count == 0 {
                self.roots.remove(&key);
            }
        }
    }
}

/// Root and size of a transaction's data, if it has any.
pub fn root_of(transaction: &Transaction) -> Option<(Id, u64)> {
    let root: [u8; 32] = transaction.data_root.0.as_slice().try_into().ok()?;
    Some((Id(root), transaction.data_size.parse().ok()?))
}

/// What a transaction pays; its form was checked when it came.
pub fn reward(transaction: &Transaction) -> u128 {
    transaction.reward.parse().unwrap_or_default()
}
