//! Bundles out of blocks, where no index helps (`arweave.md`, section 10.3).
//!
//! Walks heights upwards, asks several gateways for each block, checks that blocks link, and reads every bundle that carries the network's
//! tag. A header is believed for its signature, data for the root in it; who delivers something else is asked again later and somebody else
//! now ([`crate::client`]). Can be stopped after any height and gone on with.

use std::ops::RangeInclusive;

use ao_types::transaction::Transaction;
use ao_types::{Id, NetworkId};
use bytes::Bytes;
use futures::StreamExt as _;

use super::{Archive, RecoverError};
use crate::client::Client;
use crate::limits::{SCAN_BLOCKS_AT_ONCE, SCAN_MISSING_MAX};
use crate::records::NETWORK_TAG;

/// Why a scan does not go on. What it has read is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Nobody shows the block, or not enough of them the same. (retry)
    #[error("no block at height {0}, or gateways disagree about it")]
    NoBlock(u64),
    /// It does not name the one before: what was read before it may be of another branch. (retry, from some blocks lower)
    #[error("the block at height {0} does not follow on the one before")]
    Unlinked(u64),
    /// A bundle cannot be taken.
    #[error("transaction {transaction}: {error}")]
    Archive {
        /// That carries it.
        transaction: Id,
        /// Why.
        error: RecoverError,
    },
    /// More is missing than is worth remembering: no gateway has the data.
    #[error("{SCAN_MISSING_MAX} transactions are missing")]
    Missing,
}

/// Where a scan is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The next height to be read.
    pub next: u64,
    /// Hash of the block before it, once there is one.
    last: Option<Bytes>,
    /// Transactions of blocks that were read whose header or data nobody had, or had right.
    pub missing: Vec<Id>,
    /// Bundles read.
    pub bundles: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Scan {
    /// Begins at a height.
    pub fn at(height: u64) -> Self {
        Self { next: height, ..Self::default() }
    }

    /// Reads up to a height, with what was missing so far tried again first. `progress` hears of every height.
    ///
    /// # Errors
    /// It cannot go on; `next` says where it stopped.
    pub async fn run(
        &mut self,
        client: &Client,
        network: &NetworkId,
        to: u64,
        archive: &mut Archive,
        mut progress: impl FnMut(&Self),
    ) -> Result<(), ScanError> {
        let missing = std::mem::take(&mut self.missing);
        self.read(client, network, &missing, archive).await?;
        let heights: RangeInclusive<u64> = self.next..=to;
        let ask = |height| async move { (height, client.block(height).await) };
        // Blocks are asked for ahead, and used in their order.
        let mut blocks = futures::stream::iter(heights).map(ask).buffered(SCAN_BLOCKS_AT_ONCE);
        while let Some((height, block)) = blocks.next().await {
            let block = block.ok_or(ScanError::NoBlock(height))?;
            if self.last.as_ref().is_some_and(|last| *last != block.previous) {
                return Err(ScanError::Unlinked(height));
            }
            self.read(client, network, &block.transactions, archive).await?;
            (self.next, self.last) = (height + 1, Some(block.hash));
            progress(self);
        }
        Ok(())
    }

    async fn read(&mut self, client: &Client, network: &NetworkId, ids: &[Id], archive: &mut Archive) -> Result<(), ScanError> {
        for (at, id) in ids.iter().enumerate() {
            let Some(header) = client.transaction(id).await else {
                self.miss(*id)?;
                continue;
            };
            let Some((root, size)) = bundle_of(&header, network) else { continue };
            let Some(data) = client.data(id, &root, size, &[]).await else {
                self.miss(*id)?;
                continue;
            };
            match archive.add_bundle(data) {
                Ok(_) => {
                    self.bundles += 1;
                    self.bytes += size;
                }
                // Whoever paid may tag what he likes: it is passed over, like any other transaction that is none of ours.
                Err(RecoverError::Bundle(_)) => {}
                Err(error) => {
                    ids[at..].iter().try_for_each(|id| self.miss(*id))?;
                    return Err(ScanError::Archive { transaction: *id, error });
                }
            }
        }
        Ok(())
    }

    fn miss(&mut self, id: Id) -> Result<(), ScanError> {
        if self.missing.contains(&id) {
            return Ok(());
        }
        if self.missing.len() >= SCAN_MISSING_MAX {
            return Err(ScanError::Missing);
        }
        self.missing.push(id);
        Ok(())
    }
}

/// Root and size of a bundle of this network; nothing for other transactions.
fn bundle_of(header: &Transaction, network: &NetworkId) -> Option<([u8; 32], u64)> {
    let has = |name: &str, value: &[u8]| header.tags.iter().any(|tag| tag.name.0 == name.as_bytes() && tag.value.0 == value);
    let ours = has("Bundle-Format", b"binary") && has("Bundle-Version", b"2.0.0") && has(NETWORK_TAG, network.to_string().as_bytes());
    let root = header.data_root.0.as_slice().try_into().ok().filter(|_| ours)?;
    Some((root, header.data_size.parse().ok()?))
}
