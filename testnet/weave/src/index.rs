//! What a gateway makes of the chain: transactions and the items in their bundles, found by id, tag, owner, recipient and bundle.
//!
//! Holds headers and where data lies, no data. What is in a block has a height; what waits has none and comes first when the newest are
//! asked for. Which of it a gateway *shows* depends on the gateway ([`View`]): one may be behind, or hide something.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ao_graphql::{Search, Sort, TagFilter};
use ao_types::hash::sha256;
use ao_types::transaction::Transaction;
use ao_types::{Address, DataItem, Id};
use bytes::Bytes;

use crate::limits::{INDEX_ITEMS_MAX, SEARCH_ROWS_MAX};

mod unbundle;

pub use unbundle::{Inside, Unbundled, unbundle};

/// Where an entry stands in the order of results: height, then arrival within it. What waits has the greatest height there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Height of the block, or [`WAITING`].
    pub height: u64,
    /// Place within it.
    pub position: u32,
}

/// The height of what is in no block.
pub const WAITING: u64 = u64::MAX;

/// What is known of an entry from its own bytes.
#[derive(Clone, Debug)]
pub enum Head {
    /// A transaction.
    Transaction(Arc<Transaction>),
    /// An item, without its data.
    Item(DataItem),
}

/// Where data lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In the chunks of some root.
    Root {
        /// The root.
        root: Id,
        /// Bytes of all data under it.
        size: u64,
        /// Where this begins.
        offset: u64,
        /// Its length.
        length: u64,
    },
    /// Held here: an item that no block has yet.
    Held(Bytes),
}

impl Data {
    /// Its length.
    pub fn len(&self) -> u64 {
        match self {
            Self::Root { length, .. } => *length,
            Self::Held(bytes) => bytes.len() as u64,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A transaction or an item.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Header.
    pub head: Head,
    /// Data.
    pub data: Data,
    /// The transaction it came in; its own id for a transaction.
    pub root: Id,
    /// The bundle it lies in, if it is an item.
    pub parent: Option<Id>,
    /// Where the item begins in the root's data.
    pub offset: u64,
}

impl Entry {
    /// The entry of a transaction.
    pub fn of_transaction(transaction: Arc<Transaction>) -> Self {
        let root = <[u8; 32]>::try_from(transaction.data_root.0.as_slice()).map(Id).unwrap_or_default();
        let size = transaction.data_size.parse().unwrap_or_default();
        let (id, data) = (transaction.id, Data::Root { root, size, offset: 0, length: size });
        Self { head: Head::Transaction(transaction), data, root: id, parent: None, offset: 0 }
    }

    /// Its id.
    pub fn id(&self) -> Id {
        match &self.head {
            Head::Transaction(transaction) => transaction.id,
            Head::Item(item) => item.id(),
        }
    }

    /// Who signed it.
    pub fn owner(&self) -> Address {
        match &self.head {
            Head::Transaction(transaction) => Address::Arweave(Id(sha256(&[&transaction.owner.0]))),
            Head::Item(item) => item.address(),
        }
    }

    /// To whom it is addressed.
    pub fn recipient(&self) -> Option<Id> {
        match &self.head {
            Head::Transaction(transaction) => <[u8; 32]>::try_from(transaction.target.0.as_slice()).ok().map(Id),
            Head::Item(item) => item.target(),
        }
    }

    /// Its tags, in order.
    pub fn tags(&self) -> Vec<(&[u8], &[u8])> {
        match &self.head {
            Head::Transaction(transaction) => transaction.tags.iter().map(|tag| (&tag.name.0[..], &tag.value.0[..])).collect(),
            Head::Item(item) => item.tags().map(|tag| (tag.name, tag.value)).collect(),
        }
    }

    /// The value of the first tag of this name, as text.
    pub fn tag(&self, name: &str) -> Option<String> {
        let tags = self.tags();
        let (_, value) = tags.iter().find(|(found, _)| *found == name.as_bytes())?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    fn has(&self, filter: &TagFilter) -> bool {
        let fits = |value: &[u8]| filter.values.is_empty() || filter.values.iter().any(|wanted| wanted.as_bytes() == value);
        let hit = self.tags().iter().any(|(name, value)| *name == filter.name.as_bytes() && fits(value));
        hit != filter.not
    }
}

/// What one gateway shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Nothing above this height, and nothing that waits; `None` for no bound.
    pub height_max: Option<u64>,
    /// Items in bundles only up to this height.
    pub item_height_max: Option<u64>,
    /// These not at all.
    pub hidden: BTreeSet<Id>,
}

impl View {
    /// Everything.
    pub const ALL: Self = Self { height_max: None, item_height_max: None, hidden: BTreeSet::new() };

    /// Whether an entry is shown.
    pub fn shows(&self, key: Key, entry: &Entry) -> bool {
        let item_bound = if entry.parent.is_some() { self.item_height_max } else { None };
        self.height_max.is_none_or(|max| key.height <= max)
            && item_bound.is_none_or(|max| key.height <= max)
            && !(self.hidden.contains(&entry.id()) || entry.parent.is_some_and(|parent| self.hidden.contains(&parent)))
    }
}

/// A page of a search.
#[derive(Debug)]
pub struct Found<'a> {
    /// In order.
    pub entries: Vec<(Key, &'a Entry)>,
    /// There are more, or there may be.
    pub more: bool,
    /// Where looking ended.
    pub end: Option<Key>,
}

/// The index.
#[derive(Clone, Debug, Default)]
pub struct Index {
    entries: BTreeMap<Key, Entry>,
    by_id: HashMap<Id, Key>,
    by_owner: HashMap<Address, BTreeSet<Key>>,
    by_recipient: HashMap<Id, BTreeSet<Key>>,
    by_parent: HashMap<Id, BTreeSet<Key>>,
    /// By the hash of name and value; a collision costs a look, every entry is compared.
    by_tag: HashMap<u64, BTreeSet<Key>>,
    /// The same item in later bundles: takes over if the first one's block goes.
    spare: HashMap<Id, Vec<(u64, Entry)>>,
    next: BTreeMap<u64, u32>,
}

impl Index {
    /// Takes an entry in. An item that is here already, from another bundle, is shown once; one that waited is in a block now. Says
    /// whether there was room.
    pub fn insert(&mut self, height: u64, entry: Entry) -> bool {
        let id = entry.id();
        match self.by_id.get(&id).copied() {
            Some(key) if key.height == WAITING && height != WAITING => self.forget(key),
            Some(key) if height == WAITING || self.entries.get(&key).is_some_and(|found| found.root == entry.root) => return true,
            Some(_) => {
                let spares = self.spare.entry(id).or_default();
                if !spares.iter().any(|(_, spare)| spare.root == entry.root) {
                    spares.push((height, entry));
                }
                return true;
            }
            None => {}
        }
        if self.entries.len() >= INDEX_ITEMS_MAX {
            return false;
        }
        let position = self.next.entry(height).or_default();
        let key = Key { height, position: *position };
        *position += 1;
        self.by_owner.entry(entry.owner()).or_default().insert(key);
        if let Some(recipient) = entry.recipient() {
            self.by_recipient.entry(recipient).or_default().insert(key);
        }
        if let Some(parent) = entry.parent {
            self.by_parent.entry(parent).or_default().insert(key);
        }
        for (name, value) in entry.tags() {
            self.by_tag.entry(tag_hash(name, value)).or_default().insert(key);
        }
        self.by_id.insert(id, key);
        self.entries.insert(key, entry);
        true
    }

    /// Takes an entry out.
    pub fn remove(&mut self, id: &Id) {
        if let Some(key) = self.by_id.get(id).copied() {
            self.forget(key);
        }
    }

    /// Blocks above this height are gone, and what they held. Items that a lower block holds as well stay.
    pub fn disconnect(&mut self, height: u64) {
        let above = Key { height: height + 1, position: 0 }..Key { height: WAITING, position: 0 };
        let gone: Vec<Key> = self.entries.range(above).map(|(key, _)| *key).collect();
        for spares in self.spare.values_mut() {
            spares.retain(|(at, _)| *at <= height);
        }
        let mut again = Vec::new();
        for key in gone {
            let id = self.entries.get(&key).map(Entry::id);
            self.forget(key);
            again.extend(id.and_then(|id| self.spare.remove(&id)));
        }
        self.spare.retain(|_, spares| !spares.is_empty());
        self.next.retain(|at, _| *at <= height || *at == WAITING);
        for (at, entry) in again.into_iter().flatten() {
            self.insert(at, entry);
        }
    }

    fn forget(&mut self, key: Key) {
        let Some(entry) = self.entries.remove(&key) else { return };
        self.by_id.remove(&entry.id());
        drop_from(&mut self.by_owner, &entry.owner(), key);
        if let Some(recipient) = entry.recipient() {
            drop_from(&mut self.by_recipient, &recipient, key);
        }
        if let Some(parent) = entry.parent {
            drop_from(&mut self.by_parent, &parent, key);
        }
        for (name, value) in entry.tags() {
            drop_from(&mut self.by_tag, &tag_hash(name, value), key);
        }
    }

    /// An entry that a view shows.
    pub fn get(&self, view: &View, id: &Id) -> Option<(Key, &Entry)> {
        let key = self.by_id.get(id)?;
        let entry = self.entries.get(key)?;
        view.shows(*key, entry).then_some((*key, entry))
    }

    /// Entries in all.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A page of what a search finds in a view, behind `after`. The narrowest filter drives, every entry is compared with all.
    pub fn search(&self, view: &View, search: &Search, after: Option<Key>) -> Found<'_> {
        let descending = search.sort == Sort::Descending;
        let mut keys: Vec<Key> = match self.narrowest(search) {
            Some(sets) => {
                let mut keys: Vec<Key> = sets.iter().flat_map(|set| set.iter().copied()).collect();
                keys.sort_unstable();
                keys.dedup();
                keys
            }
            // Everything: no more of it than a page may look at.
            None => {
                let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
                let most = SEARCH_ROWS_MAX + 1;
                if descending {
                    let mut keys: Vec<Key> =
                        self.entries.range((std::ops::Bound::Unbounded, start)).rev().take(most).map(|(key, _)| *key).collect();
                    keys.reverse();
                    keys
                } else {
                    self.entries.range((start, std::ops::Bound::Unbounded)).take(most).map(|(key, _)| *key).collect()
                }
            }
        };
        keys.retain(|key| {
            let mined = key.height != WAITING;
            after.is_none_or(|after| if descending { *key < after } else { *key > after })
                && search.min.is_none_or(|min| mined && key.height >= min)
                && search.max.is_none_or(|max| mined && key.height <= max)
        });
        if descending {
            keys.reverse();
        }
        let mut found = Found { entries: Vec::new(), more: false, end: None };
        for (looked, key) in keys.into_iter().enumerate() {
            if looked >= SEARCH_ROWS_MAX {
                found.more = true;
                break;
            }
            let Some(entry) = self.entries.get(&key) else { continue };
            if view.shows(key, entry) && fits(entry, search) {
                if found.entries.len() == search.first {
                    found.more = true;
                    break;
                }
                found.entries.push((key, entry));
            }
            found.end = Some(key);
        }
        found
    }

    /// The filter with the fewest entries, as the sets of its values.
    fn narrowest<'a>(&'a self, search: &Search) -> Option<Vec<Cow<'a, BTreeSet<Key>>>> {
        fn of<'a, K: std::hash::Hash + Eq>(
            map: &'a HashMap<K, BTreeSet<Key>>,
            keys: impl Iterator<Item = K>,
        ) -> Vec<Cow<'a, BTreeSet<Key>>> {
            keys.filter_map(|key| map.get(&key)).map(Cow::Borrowed).collect()
        }
        let mut choices = Vec::new();
        if let Some(ids) = &search.ids {
            choices.push(vec![Cow::Owned(ids.iter().filter_map(|id| self.by_id.get(id)).copied().collect())]);
        }
        choices.extend(search.recipients.as_ref().map(|ids| of(&self.by_recipient, ids.iter().copied())));
        choices.extend(search.owners.as_ref().map(|owners| of(&self.by_owner, owners.iter().copied())));
        choices.extend(search.bundled_in.as_ref().map(|ids| of(&self.by_parent, ids.iter().copied())));
        for filter in search.tags.iter().filter(|filter| !filter.not && !filter.values.is_empty()) {
            let hashes = filter.values.iter().map(|value| tag_hash(filter.name.as_bytes(), value.as_bytes()));
            choices.push(of(&self.by_tag, hashes));
        }
        choices.into_iter().min_by_key(|sets| sets.iter().map(|set| set.len()).sum::<usize>())
    }
}

fn fits(entry: &Entry, search: &Search) -> bool {
    search.ids.as_ref().is_none_or(|ids| ids.contains(&entry.id()))
        && search.owners.as_ref().is_none_or(|owners| owners.contains(&entry.owner()))
        && search.recipients.as_ref().is_none_or(|ids| entry.recipient().is_some_and(|id| ids.contains(&id)))
        && search.bundled_in.as_ref().is_none_or(|ids| entry.parent.is_some_and(|id| ids.contains(&id)))
        && search.tags.iter().all(|filter| entry.has(filter))
}

fn drop_from<K: std::hash::Hash + Eq>(map: &mut HashMap<K, BTreeSet<Key>>, at: &K, key: Key) {
    if let Some(set) = map.get_mut(at) {
        set.remove(&key);
        if set.is_empty() {
            map.remove(at);
        }
    }
}

fn tag_hash(name: &[u8], value: &[u8]) -> u64 {
    let hash = sha256(&[&(name.len() as u64).to_be_bytes(), name, value]);
    hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
