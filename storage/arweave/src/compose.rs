//! From items to a bundle, its transaction and its chunks.
//!
//! One bad item poisons a bundle at stock gateways, so only items whose signature was checked go in, in the strict form, each once; and the
//! finished bundle is read again as a stranger would before anything is signed or paid for. Refuses to choose what goes in (`flush`) and to
//! sign.

use std::collections::HashSet;

use ao_types::bundle::{self, Bundle, BundleError};
use ao_types::limits::BUNDLE_BYTES_MAX;
use ao_types::merkle::Tree;
use ao_types::transaction::{Base64Url, Transaction, TransactionTag};
use ao_types::{DataItem, Id, ItemBuilder, NetworkId, Profile, Verified};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::limits::BUNDLE_ITEMS_MAX;
use crate::records::NETWORK_TAG;

/// Name of the software, on transactions.
pub const APP_NAME: &str = "aonode";

/// Why a bundle is not composed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// Nothing to compose.
    #[error("there are no items")]
    Empty,
    /// More items than a bundle of ours has.
    #[error("{found} items are more than {BUNDLE_ITEMS_MAX}")]
    Items {
        /// As given.
        found: usize,
    },
    /// More bytes than gateways carry.
    #[error("{found} bytes are more than {BUNDLE_BYTES_MAX}")]
    Bytes {
        /// As given.
        found: usize,
    },
    /// What was written is not what a stranger reads.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// A bundle, read again after it was written.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The bundle.
    pub bytes: Bytes,
    /// Its items in order.
    pub ids: Vec<Id>,
    /// Its chunks. The root over them names the bundle.
    pub tree: Tree,
}

impl Composed {
    /// Root over the chunks, which is a hash of every byte.
    pub fn root(&self) -> [u8; 32] {
        self.tree.root()
    }

    /// Chunks that are uploaded: all but an empty last one.
    pub fn chunk_count(&self) -> usize {
        self.tree.chunks().iter().filter(|chunk| chunk.end > chunk.start).count()
    }

    /// A chunk as it is posted.
    pub fn chunk(&self, index: usize) -> Option<ChunkPost> {
        let chunk = self.tree.chunks().get(index).filter(|chunk| chunk.end > chunk.start)?;
        let data = self.bytes.get(chunk.start as usize..chunk.end as usize)?;
        Some(ChunkPost {
            data_root: Base64Url(self.root().to_vec()),
            data_size: self.bytes.len().to_string(),
            data_path: Base64Url(self.tree.data_path(index)?),
            offset: (chunk.end - 1).to_string(),
            chunk: Base64Url(data.to_vec()),
        })
    }

    /// The same as the JSON that `POST /chunk` takes, written once: nothing in it needs escaping.
    pub fn chunk_body(&self, index: usize) -> Option<Bytes> {
        let chunk = self.tree.chunks().get(index).filter(|chunk| chunk.end > chunk.start)?;
        let data = self.bytes.get(chunk.start as usize..chunk.end as usize)?;
        let path = self.tree.data_path(index)?;
        let mut body = Vec::with_capacity((data.len() + path.len()) / 3 * 4 + 256);
        body.extend_from_slice(b"{\"data_root\":\"");
        write_base64url(&mut body, &self.root());
        body.extend_from_slice(format!("\",\"data_size\":\"{}\",\"data_path\":\"", self.bytes.len()).as_bytes());
        write_base64url(&mut body, &path);
        body.extend_from_slice(format!("\",\"offset\":\"{}\",\"chunk\":\"", chunk.end - 1).as_bytes());
        write_base64url(&mut body, data);
        body.extend_from_slice(b"\"}");
        Some(body.into())
    }

    /// The unsigned header of a transaction that carries it.
    pub fn header(&self, network: &NetworkId, anchor: [u8; 48], reward: u128) -> Transaction {
        Transaction {
            format: 2,
            last_tx: Base64Url(anchor.to_vec()),
            tags: tags(network).into_iter().map(|(name, value)| tag(name, &value)).collect(),
            quantity: "0".to_owned(),
            data_size: self.bytes.len().to_string(),
            data_root: Base64Url(self.root().to_vec()),
            reward: reward.to_string(),
            ..Transaction::default()
        }
    }

    /// The item that carries it to a bundling service.
    pub fn item(&self, network: &NetworkId) -> ItemBuilder {
        let tags = tags(network).into_iter();
        tags.fold(ItemBuilder::new(), |item, (name, value)| item.tag(name, value)).data(self.bytes.clone())
    }
}

/// A chunk as `POST /chunk` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkPost {
    /// Of the transaction.
    pub data_root: Base64Url,
    /// Of the transaction.
    pub data_size: String,
    /// Proof.
    pub data_path: Base64Url,
    /// Its last byte.
    pub offset: String,
    /// Its bytes.
    pub chunk: Base64Url,
}

/// Makes a bundle of these items, in their order; repeated ones are left out.
///
/// # Errors
/// Too many, too large, or an item that a strict reader refuses: it names which.
pub fn compose(items: &[Verified<DataItem>]) -> Result<Composed, ComposeError> {
    let mut seen = HashSet::with_capacity(items.len());
    let unique: Vec<Verified<DataItem>> = items.iter().filter(|item| seen.insert(item.id())).cloned().collect();
    if unique.is_empty() {
        return Err(ComposeError::Empty);
    }
    if unique.len() > BUNDLE_ITEMS_MAX {
        return Err(ComposeError::Items { found: unique.len() });
    }
    let found = unique.iter().fold(32_usize, |sum, item| sum.saturating_add(64).saturating_add(item.as_bytes().len()));
    if found > BUNDLE_BYTES_MAX {
        return Err(ComposeError::Bytes { found });
    }
    read_again(bundle::build(&unique))
}

/// Reads a bundle strictly; signatures are not checked again.
///
/// # Errors
/// What a strict reader refuses.
pub fn read_again(bytes: Bytes) -> Result<Composed, ComposeError> {
    let read = Bundle::parse(bytes.clone(), Profile::Strict)?;
    let ids = read.entries().map(|entry| read.item(&entry, Profile::Strict).map(|item| item.id())).collect::<Result<Vec<_>, _>>()?;
    let tree = Tree::of(&bytes);
    Ok(Composed { bytes, ids, tree })
}

fn write_base64url(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // There is room: without padding it is never longer.
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut out[start..]).unwrap_or_default();
    out.truncate(start + written);
}

fn tags(network: &NetworkId) -> [(&'static str, String); 4] {
    [
        ("App-Name", APP_NAME.to_owned()),
        ("Bundle-Format", "binary".to_owned()),
        ("Bundle-Version", "2.0.0".to_owned()),
        (NETWORK_TAG, network.to_string()),
    ]
}

fn tag(name: &str, value: &str) -> TransactionTag {
    TransactionTag { name: Base64Url(name.as_bytes().to_vec()), value: Base64Url(value.as_bytes().to_vec()) }
}

#[cfg(test)]
mod tests {
    use ao_types::merkle::check_path;
    use ao_types::{Wallet, bundle::is_bundle};

    use super::*;

    fn item(seed: u8, bytes: usize) -> Verified<DataItem> {
        ItemBuilder::new().tag("Type", "Message").data(vec![seed; bytes]).sign(&Wallet::ed25519_from_seed(&[1; 32])).unwrap()
    }

    #[test]
    fn a_bundle_has_each_item_once_in_order_and_chunks_that_prove_themselves() {
        let items = [item(1, 300_000), item(2, 10), item(1, 300_000), item(3, 400_000)];
        let composed = compose(&items).unwrap();
        assert_eq!(composed.ids, [items[0].id(), items[1].id(), items[3].id()]);
        let read = Bundle::parse(composed.bytes.clone(), Profile::Strict).unwrap().verify(Profile::Strict).unwrap();
        assert_eq!(read.iter().map(|item| item.id()).collect::<Vec<_>>(), composed.ids);
        let size = composed.bytes.len() as u64;
        let mut bytes = Vec::new();
        for index in 0..composed.chunk_count() {
            let chunk = composed.chunk(index).unwrap();
            let offset: u64 = chunk.offset.parse().unwrap();
            let proven = check_path(&composed.root(), size, offset, &chunk.data_path.0).unwrap();
            assert_eq!((proven.start, proven.end), (bytes.len() as u64, offset + 1));
            assert_eq!(proven.hash, ao_types::hash::sha256(&[&chunk.chunk.0]));
            assert_eq!(composed.chunk_body(index).unwrap(), serde_json::to_vec(&chunk).unwrap(), "one way to write it is the other");
            bytes.extend(chunk.chunk.0);
        }
        assert_eq!(bytes, composed.bytes);
        assert!(composed.chunk(composed.chunk_count()).is_none() && composed.chunk_body(composed.chunk_count()).is_none());
        // The chunk of an exact multiple that is hashed and never uploaded.
        let overhead = compose(&[item(1, 0)]).unwrap().bytes.len();
        let exact = compose(&[item(1, (1 << 18) - overhead)]).unwrap();
        assert_eq!((exact.bytes.len(), exact.tree.chunks().len(), exact.chunk_count()), (1 << 18, 2, 1));
    }

    #[test]
    fn a_transaction_and_an_item_carry_it_with_the_tags_that_a_scan_finds() {
        let keys = include_str!("../../../consensus/types/tests/vectors/keys.TEST-ONLY.json");
        let keys: serde_json::Value = serde_json::from_str(keys).unwrap();
        let wallet = Wallet::from_jwk(&keys["rsa"][0]["jwk"].to_string()).unwrap();
        let network = NetworkId([9; 32]);
        let composed = compose(&[item(1, 10)]).unwrap();
        let transaction = composed.header(&network, [4; 48], 1234).sign(&wallet).unwrap();
        assert_eq!(transaction.verify(), Ok(()));
        assert_eq!((transaction.data_root.0.as_slice(), transaction.reward.as_str()), (&composed.root()[..], "1234"));
        let named = |name: &str| transaction.tags.iter().find(|tag| tag.name.0 == name.as_bytes()).map(|tag| tag.value.0.clone());
        assert_eq!(named("AO-Network"), Some(network.to_string().into_bytes()));
        let outer = composed.item(&network).sign(&Wallet::ed25519_from_seed(&[1; 32])).unwrap();
        assert!(is_bundle(&outer) && outer.data() == &composed.bytes[..]);
    }

    #[test]
    fn what_a_strict_reader_refuses_is_not_composed() {
        assert_eq!(compose(&[]).unwrap_err(), ComposeError::Empty);
        let many: Vec<_> = (0..=BUNDLE_ITEMS_MAX).map(|n| item(1, n)).collect();
        assert_eq!(compose(&many).unwrap_err(), ComposeError::Items { found: BUNDLE_ITEMS_MAX + 1 });
        // An item with a tag that has no name: on Arweave such exist, and no gateway unpacks a bundle of ours with one.
        let fine = item(1, 10);
        let mut bytes = fine.as_bytes().to_vec();
        let start = fine.data_offset() - fine.raw_tags().len() - 16;
        bytes.truncate(start);
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        let odd = Verified::reload(bytes.into()).unwrap();
        assert!(matches!(compose(&[item(2, 10), odd]), Err(ComposeError::Bundle(BundleError::Item { index: 1, .. }))));
        assert!(matches!(read_again(Bytes::from_static(&[1; 40])), Err(ComposeError::Bundle(_))));
    }
}
