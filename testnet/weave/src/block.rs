//! A block, and the hash that links it to the one before.

use std::fmt;

use ao_types::Id;
use ao_types::hash::sha384;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The independent hash of a block: 48 bytes, shown as 64 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash(pub [u8; 48]);

impl BlockHash {
    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 48];
        (text.len() == 64 && matches!(URL_SAFE_NO_PAD.decode_slice(text, &mut bytes), Ok(48))).then_some(Self(bytes))
    }
}

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BlockHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("a block hash is 64 characters of base64url"))
    }
}

/// One block. Its hash covers everything else in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Independent hash.
    pub hash: BlockHash,
    /// Hash of the block before.
    pub previous: BlockHash,
    /// Height.
    pub height: u64,
    /// Seconds since 1970, by the miner's clock: may be a little earlier than its parent's.
    pub timestamp: u64,
    /// Which branch it was mined on: the number of reorganisations before it. Keeps a block that is mined again from having the hash of
    /// the one that was taken away.
    pub branch: u64,
    /// Transactions, in the order in which they count.
    pub transactions: Vec<Id>,
    /// Root over the data of its transactions; `None` where there is none.
    pub tx_root: Option<Id>,
    /// Bytes of data up to and with this block, each transaction's rounded up to whole chunks.
    pub weave_size: u64,
    /// Bytes of data in this block, rounded up likewise.
    pub block_size: u64,
}

impl Block {
    /// The hash over all the rest.
    pub fn computed_hash(&self) -> BlockHash {
        let numbers = [self.height, self.timestamp, self.branch, self.weave_size, self.block_size].map(u64::to_be_bytes);
        let root = self.tx_root.map_or([0; 32], |root| root.0);
        let mut pieces: Vec<&[u8]> = vec![b"ao weave block", &self.previous.0, numbers.as_flattened(), &root];
        pieces.extend(self.transactions.iter().map(|id| &id.0[..]));
        BlockHash(sha384(&pieces))
    }

    /// With its hash set.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.hash = self.computed_hash();
        self
    }
}
