//! Carriers out of blocks, where no index helps (`arweave.md`, section 10.3).
//!
//! Walks heights upwards, asks several gateways for each block, checks that blocks link, and names every transaction in them. Which of them
//! carry a bundle their headers say ([`super::fetch`]). Can be stopped after any height and gone on with.

use std::collections::BTreeSet;

use ao_types::Id;
use bytes::Bytes;
use futures::StreamExt as _;

use crate::client::Client;
use crate::limits::SCAN_BLOCKS_AT_ONCE;

/// Why a scan does not go on. What it has read is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Nobody shows the block, or not enough of them the same. (retry)
    #[error("no block at height {0}, or gateways disagree about it")]
    NoBlock(u64),
    /// It does not name the one before: what was read before it may be of another branch. (retry, from some blocks lower)
    #[error("the block at height {0} does not follow the one before")]
    Unlinked(u64),
}

/// Where a scan is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The next height to be read.
    pub next: u64,
    /// Hash of the block before it, once there is one.
    last: Option<Bytes>,
}

impl Scan {
    /// Begins at a height.
    pub fn at(height: u64) -> Self {
        Self { next: height, last: None }
    }

    /// Reads up to a height, and adds the transactions of every block to `found`. `progress` hears of every height.
    ///
    /// # Errors
    /// It cannot go on; `next` says where it stopped.
    pub async fn run(
        &mut self,
        client: &Client,
        to: u64,
        found: &mut BTreeSet<Id>,
        mut progress: impl FnMut(&Self),
    ) -> Result<(), ScanError> {
        let ask = |height| async move { (height, client.block(height).await) };
        // Blocks are asked for ahead, and used in their order.
        let mut blocks = futures::stream::iter(self.next..=to).map(ask).buffered(SCAN_BLOCKS_AT_ONCE);
        while let Some((height, block)) = blocks.next().await {
            let block = block.ok_or(ScanError::NoBlock(height))?;
            if self.last.as_ref().is_some_and(|last| *last != block.previous) {
                return Err(ScanError::Unlinked(height));
            }
            found.extend(block.transactions);
            (self.next, self.last) = (height + 1, Some(block.hash));
            progress(self);
        }
        Ok(())
    }
}
