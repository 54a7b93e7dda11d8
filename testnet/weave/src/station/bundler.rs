//! The bundling service: takes signed items, gives receipts, and posts bundles of them as the chain grows (`arweave.md`, section 7.2).
//!
//! Items are posted with the next block. A bundle whose transaction is lost is posted again; a restart of the process before the next
//! block loses items, as a service may: receipts are promises.

use ao_types::bundle::build;
use ao_types::receipt::Receipt;
use ao_types::transaction::{Base64Url, Transaction, TransactionTag};
use ao_types::{DataItem, Id, Profile, Signer as _, Verified};
use bytes::Bytes;

use super::{Error, State, Station};
use crate::chain::Standing;
use crate::chunks::plain_root;
use crate::event::Event;
use crate::index::{Data, Entry, Head, View, WAITING};
use crate::limits::{BUNDLER_BYTES_MAX, BUNDLER_ITEMS_MAX, ITEM_BODY_MAX};
use crate::odds::happens;

/// Blocks within which an item is promised to be on the chain.
const DEADLINE_BLOCKS: u64 = 200;
/// Confirmations after which a bundle is not watched any more.
const SETTLED: u64 = 50;

/// Why an item is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// It is not one, or not signed.
    #[error("Invalid Data Item: {0}")]
    Invalid(ao_types::ItemError),
    /// It is too long.
    #[error("Data item is too large: at most {ITEM_BODY_MAX} bytes")]
    Large,
    /// Too much waits.
    #[error("Service Unavailable: {0} items wait")]
    Full(usize),
    /// The receipt could not be signed.
    #[error("no receipt: {0}")]
    Sign(String),
}

/// How an item was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Here is the promise.
    New(Receipt),
    /// It was here already: status 202.
    Again(Id),
}

impl Station {
    /// Takes an item.
    ///
    /// # Errors
    /// It is refused.
    pub fn post_item(&self, bytes: Bytes, now_ms: u64) -> Result<Taken, Error> {
        if bytes.len() > ITEM_BODY_MAX {
            return Err(ItemError::Large.into());
        }
        let item = DataItem::parse(bytes, Profile::Strict).and_then(DataItem::verify).map_err(ItemError::Invalid)?;
        let id = item.id();
        let mut state = self.state.lock();
        state.writable()?;
        if self.index.read().get(&View::ALL, &id).is_some() {
            return Ok(Taken::Again(id));
        }
        let length = item.as_bytes().len();
        if state.queue.len() >= BUNDLER_ITEMS_MAX || state.queued_bytes + length > BUNDLER_BYTES_MAX {
            return Err(ItemError::Full(state.queue.len()).into());
        }
        let height = state.chain.tip().height;
        let receipt = self.receipt(id, height, now_ms)?;
        if happens(self.seed, "bundler", &[&id.0], state.faults.bundler_lose_per_million) {
            state.log.push(height, format!("the bundling service loses item {id}, for which it gave a receipt"));
            return Ok(Taken::New(receipt));
        }
        state.queued_bytes += length;
        let item = item.into_inner();
        if let Ok(head) = DataItem::parse(Bytes::copy_from_slice(&item.as_bytes()[..item.data_offset()]), Profile::Strict) {
            let data = Data::Held(item.data_bytes());
            self.index.write().insert(WAITING, Entry { head: Head::Item(head), data, root: id, parent: None, offset: 0 });
        }
        state.queue.push_back(item);
        Ok(Taken::New(receipt))
    }

    fn receipt(&self, id: Id, height: u64, now_ms: u64) -> Result<Receipt, ItemError> {
        let mut receipt = Receipt {
            id: id.to_string(),
            timestamp: now_ms,
            version: "0.2.0".to_owned(),
            deadline_height: height + DEADLINE_BLOCKS,
            public: Base64Url(self.bundler.owner().to_vec()),
            signature: Base64Url::default(),
        };
        let signature = self.bundler.sign(&receipt.signed_digest()).map_err(|error| ItemError::Sign(error.to_string()))?;
        receipt.signature = Base64Url(signature);
        Ok(receipt)
    }

    /// Modulus of the key that signs receipts: what clients pin.
    pub fn bundler_key(&self) -> &[u8] {
        self.bundler.owner()
    }

    /// Before a block: what waits becomes a transaction; what was lost is tried again.
    pub(super) fn flush(&self, state: &mut State, events: &mut Vec<Event>) {
        let tip = state.chain.tip().height;
        let lost: Vec<Id> = state.carried.keys().copied().filter(|id| state.chain.standing(id).is_none()).collect();
        for id in lost {
            let items = state.carried.remove(&id).unwrap_or_default();
            state.log.push(tip, format!("the bundling service's transaction {id} is lost; it posts its {} items again", items.len()));
            state.queued_bytes += items.iter().map(|item| item.as_bytes().len()).sum::<usize>();
            state.queue.extend(items);
        }
        let chain = &state.chain;
        state.carried.retain(|id, _| !matches!(chain.standing(id), Some(Standing::Mined(placed)) if placed.height + SETTLED <= tip));
        if state.queue.is_empty() {
            return;
        }
        let items: Vec<DataItem> = state.queue.drain(..).collect();
        state.queued_bytes = 0;
        if let Err(why) = self.post_bundle(state, &items, events) {
            state.log.push(tip, format!("the bundling service cannot post {} items: {why}", items.len()));
            state.queued_bytes = items.iter().map(|item| item.as_bytes().len()).sum();
            state.queue.extend(items);
        }
    }

    fn post_bundle(&self, state: &mut State, items: &[DataItem], events: &mut Vec<Event>) -> Result<(), String> {
        // They were verified when they came, and have been in this process's memory since.
        let verified: Vec<Verified<DataItem>> = items.iter().cloned().map(Verified::reloaded_from_own_store).collect();
        let data = build(&verified);
        let tag = |name: &str, value: &str| TransactionTag {
            name: Base64Url(name.as_bytes().to_vec()),
            value: Base64Url(value.as_bytes().to_vec()),
        };
        let tags = vec![tag("Bundle-Format", "binary"), tag("Bundle-Version", "2.0.0"), tag("App-Name", "ao-weave")];
        let transaction = Transaction {
            format: 2,
            last_tx: Base64Url(state.chain.anchor().0.to_vec()),
            tags,
            quantity: "0".to_owned(),
            data_size: data.len().to_string(),
            data_root: Base64Url(plain_root(&data).to_vec()),
            reward: state.chain.price(data.len() as u64, None).to_string(),
            ..Transaction::default()
        };
        let transaction = transaction.sign(&self.bundler).map_err(|error| error.to_string())?;
        let id = transaction.id;
        state.chain.post(transaction, events).map_err(|error| error.to_string())?;
        state.hold(&data, events);
        state.carried.insert(id, items.to_vec());
        Ok(())
    }
}
