//! What happened to a chain. A chain is a function of its events: the journal holds nothing else, and reading it back decides nothing.

use ao_types::Id;
use ao_types::transaction::{Base64Url, Transaction};
use serde::{Deserialize, Serialize};

use crate::block::Block;

/// What a chain begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Name of the network, as `/info` gives it.
    pub network: String,
    /// Where all chance comes from.
    pub seed: u64,
    /// Height of the first block.
    pub height: u64,
    /// Its time, seconds since 1970.
    pub timestamp: u64,
    /// Price of storing a byte.
    pub winston_per_byte: u64,
}

impl Default for Genesis {
    /// Above height 1 440 000, from where on the reference compute unit checks hash chains; a price in the middle of Arweave's range.
    fn default() -> Self {
        Self { network: "ao.weave".to_owned(), seed: 0, height: 1_500_000, timestamp: 1_700_000_000, winston_per_byte: 500 }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The beginning; the first event and no other.
    Began(Genesis),
    /// Winston came from nowhere.
    Minted {
        /// To this wallet.
        address: Id,
        /// So much.
        winston: u128,
    },
    /// Storing costs so much from now on.
    Priced {
        /// For a byte.
        winston_per_byte: u64,
    },
    /// A transaction was accepted and waits. Its data, where it was attached, became chunks.
    Posted(Box<Transaction>),
    /// A waiting transaction is gone.
    Removed {
        /// Which.
        id: Id,
    },
    /// A block.
    Mined(Box<Block>),
    /// The newest blocks are none any more; their transactions wait again.
    Orphaned {
        /// How many.
        depth: u64,
    },
    /// A chunk was accepted. Its bytes are a record of their own, found by their hash.
    Chunk(ChunkPlace),
}

/// Where a chunk belongs, as its proof shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkPlace {
    /// Root of the data.
    pub root: Id,
    /// Bytes of the data.
    pub size: u64,
    /// First byte.
    pub start: u64,
    /// Byte behind the last.
    pub end: u64,
    /// SHA-256 of its bytes.
    pub hash: Id,
    /// The proof.
    pub path: Base64Url,
}
