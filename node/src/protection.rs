//! Slashing protection on disk (`operations.md` §5): the rules of [`ao_consensus::protection`] over the rows of
//! [`ao_storage::ProtectionStore`].
//!
//! Owns how rows are laid out (module `rows`), that a call is all or nothing and durable when it returns, that histories of two networks do
//! not mix, and what may be forgotten. Refuses to decide: every rule is `ao-consensus`'s. A key without a row may have signed elsewhere,
//! so it signs nothing here until its operator says that it never did.

use std::collections::BTreeMap;
use std::path::Path;

use ao_consensus::protection::interchange::{Rows, merge};
use ao_consensus::protection::{ChainRow, Conflict, Guard, Position, Protection, SignedRow, Watermark, place};
use ao_storage::ProtectionStore;
use ao_types::{BlsKey, Canonical as _, Chain, CodecError, NetworkId};

pub mod claim;
pub mod heard;
pub mod marker;
mod rows;
pub mod watch;

pub use claim::Claim;
pub use heard::Heard;
pub use rows::{decode, encode};
pub use watch::Watch;

/// Terms (committee epochs, schedule epochs) whose rows stay when older ones are pruned: four times the doppelganger wait.
pub const KEEP_TERMS: u64 = 8;

/// Why the store did not answer, or will not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk. Nothing may be signed.
    #[error(transparent)]
    Store(#[from] ao_storage::Error),
    /// A signature would contradict an earlier one. Exit code 11.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A row that is none. Exit code 10.
    #[error("the slashing protection in {directory} is damaged: {reason}")]
    Damaged {
        /// Where.
        directory: String,
        /// What does not hold.
        reason: CodecError,
    },
    /// Written by a newer version. Exit code 9.
    #[error("the slashing protection has format {found}; this binary reads {expected}")]
    Format {
        /// Ours.
        expected: u8,
        /// Theirs.
        found: u8,
    },
    /// It is of another network. Exit code 9.
    #[error("the slashing protection is of network {found}, not of {expected}")]
    Network {
        /// As asked for.
        expected: NetworkId,
        /// On disk.
        found: NetworkId,
    },
    /// No row of this key. Exit code 11.
    #[error("nothing is known of what {key} signed before")]
    Uninitialised {
        /// Which.
        key: BlsKey,
    },
}

/// See the module documentation. The directory is locked while this lives.
#[derive(Debug)]
pub struct DurableProtection {
    store: ProtectionStore,
}

impl DurableProtection {
    /// Opens the protection in `directory`, making it if there is none. With `network` it belongs to that network from then on.
    ///
    /// # Errors
    /// In use, damaged, of another network, or of a newer version.
    pub fn open(directory: &Path, network: Option<NetworkId>) -> Result<Self, Error> {
        let protection = Self { store: ProtectionStore::open(directory)? };
        match protection.store.get(rows::FORMAT_KEY)?.as_deref() {
            None => protection.store.write([(rows::FORMAT_KEY.to_vec(), Some(vec![rows::FORMAT]))])?,
            Some([rows::FORMAT]) => {}
            Some(other) => {
                return Err(Error::Format { expected: rows::FORMAT, found: other.first().copied().unwrap_or_default() });
            }
        }
        if let Some(expected) = network {
            match protection.network()? {
                None => protection.store.write([(rows::NETWORK_KEY.to_vec(), Some(expected.0.to_vec()))])?,
                Some(found) if found == expected => {}
                Some(found) => return Err(Error::Network { expected, found }),
            }
        }
        Ok(protection)
    }

    /// The network that it belongs to; `None` until it was opened with one.
    ///
    /// # Errors
    /// The disk failed, or the row is damaged.
    pub fn network(&self) -> Result<Option<NetworkId>, Error> {
        let row = self.store.get(rows::NETWORK_KEY)?;
        row.map(|row| NetworkId::decode(&row).map_err(|reason| self.damaged(reason))).transpose()
    }

    /// Says that everything `key` ever signed is known here: for a key that was made just now, or whose history was imported.
    ///
    /// # Errors
    /// The disk failed.
    pub fn initialise(&mut self, key: &BlsKey) -> Result<(), Error> {
        Ok(self.store.write([(rows::known_key(key), Some(Vec::new()))])?)
    }

    /// Fails unless something is known of `key`.
    ///
    /// # Errors
    /// [`Error::Uninitialised`]; or the disk failed.
    pub fn require(&self, key: &BlsKey) -> Result<(), Error> {
        if self.keys()?.contains(key) { Ok(()) } else { Err(Error::Uninitialised { key: *key }) }
    }

    /// Everything, for an export: rows and watermarks of all keys, or of one.
    ///
    /// # Errors
    /// The disk failed, or a row is damaged.
    pub fn history(&self, key: Option<&BlsKey>) -> Result<Rows, Error> {
        let keys = match key {
            Some(key) => vec![*key],
            None => self.keys()?,
        };
        let mut all: Rows = (Vec::new(), Vec::new());
        for key in keys {
            let (guards, watermarks) = self.rows(&key)?;
            all.0.extend(guards);
            all.1.extend(watermarks);
        }
        Ok(all)
    }

    /// Adds a history from elsewhere. What is bound stays bound: the outcome is at least as strict as either. Idempotent.
    ///
    /// # Errors
    /// The disk failed, or a row is damaged; nothing was changed.
    pub fn import(&mut self, history: Rows) -> Result<(), Error> {
        let guards = history.0.iter().map(|guard| match guard {
            Guard::Chain(row) => row.key,
            Guard::Signed(row) => row.position.key,
        });
        let known: Vec<BlsKey> = guards.chain(history.1.iter().map(|mark| mark.0.key)).collect();
        let (guards, watermarks) = merge(self.history(None)?, history);
        let rows = guards.iter().map(rows::guard).chain(watermarks.iter().map(rows::watermark));
        let rows = rows.chain(known.iter().map(|key| (rows::known_key(key), Vec::new())));
        Ok(self.store.write(rows.map(|(key, row)| (key, Some(row))).collect::<Vec<_>>())?)
    }

    /// Forgets rows of positions more than `keep_terms` terms below the highest of their kind and scope, and puts a watermark in their
    /// place: what they forbade stays forbidden. Rows of chains are one each and stay. Gives how many rows went.
    ///
    /// # Errors
    /// The disk failed, or a row is damaged; nothing was changed.
    pub fn prune(&mut self, keep_terms: u64) -> Result<usize, Error> {
        let mut highest = BTreeMap::new();
        let (guards, _) = self.history(None)?;
        let signed: Vec<SignedRow> =
            guards.into_iter().filter_map(|guard| if let Guard::Signed(row) = guard { Some(row) } else { None }).collect();
        let group = |position: &Position| (position.key, position.kind, position.scope.clone());
        for SignedRow { position, .. } in &signed {
            let term = highest.entry(group(position)).or_insert(position.term);
            *term = position.term.max(*term);
        }
        let old =
            |position: &Position| highest.get(&group(position)).is_some_and(|highest| position.term.saturating_add(keep_terms) < *highest);
        let gone: Vec<&SignedRow> = signed.iter().filter(|row| old(&row.position)).collect();
        let marks = gone.iter().map(|row| Watermark(row.position.clone())).collect();
        let (_, marks) = merge((Vec::new(), self.history(None)?.1), (Vec::new(), marks));
        let deleted = gone.iter().map(|row| (rows::signed_key(&row.position), None));
        let raised = marks.iter().map(rows::watermark).map(|(key, row)| (key, Some(row)));
        self.store.write(raised.chain(deleted).collect::<Vec<_>>())?;
        Ok(gone.len())
    }

    fn damaged(&self, reason: CodecError) -> Error {
        Error::Damaged { directory: self.store.directory().display().to_string(), reason }
    }

    fn read<T>(
        &self,
        key: &[u8],
        row: Option<Vec<u8>>,
        decode: impl Fn(&[u8], &[u8]) -> Result<T, CodecError>,
    ) -> Result<Option<T>, Error> {
        row.map(|row| decode(key, &row).map_err(|reason| self.damaged(reason))).transpose()
    }
}

impl Protection for DurableProtection {
    type Error = Error;

    fn chain_row(&self, key: &BlsKey, chain: &Chain) -> Result<Option<ChainRow>, Error> {
        let at = rows::chain_key(key, chain);
        self.read(&at, self.store.get(&at)?, rows::read_chain)
    }

    fn signed_row(&self, position: &Position) -> Result<Option<SignedRow>, Error> {
        let at = rows::signed_key(position);
        self.read(&at, self.store.get(&at)?, rows::read_signed)
    }

    fn watermark(&self, position: &Position) -> Result<Option<Watermark>, Error> {
        let at = rows::watermark_key(position);
        self.read(&at, self.store.get(&at)?, rows::read_watermark)
    }

    fn record(&mut self, guards: &[Guard]) -> Result<(), Error> {
        let fresh = self.check(guards)?;
        if fresh.is_empty() {
            return Ok(());
        }
        Ok(self.store.write(fresh.iter().map(rows::guard).map(|(at, row)| (at, Some(row))).collect::<Vec<_>>())?)
    }

    fn raise(&mut self, watermark: &Watermark) -> Result<(), Error> {
        let old = self.watermark(&watermark.0)?;
        if old.is_some_and(|old| place(&old.0) >= place(&watermark.0)) {
            return Ok(());
        }
        let (at, row) = rows::watermark(watermark);
        Ok(self.store.write([(at, Some(row))])?)
    }

    fn conflict(error: &Error) -> Option<&Conflict> {
        if let Error::Conflict(conflict) = error { Some(conflict) } else { None }
    }

    fn rows(&self, key: &BlsKey) -> Result<(Vec<Guard>, Vec<Watermark>), Error> {
        let (mut guards, mut watermarks) = (Vec::new(), Vec::new());
        let damaged = |reason| self.damaged(reason);
        for (at, row) in self.store.scan(&rows::prefix(rows::CHAIN, key))? {
            guards.push(Guard::Chain(rows::read_chain(&at, &row).map_err(damaged)?));
        }
        for (at, row) in self.store.scan(&rows::prefix(rows::SIGNED, key))? {
            guards.push(Guard::Signed(rows::read_signed(&at, &row).map_err(damaged)?));
        }
        for (at, row) in self.store.scan(&rows::prefix(rows::WATERMARK, key))? {
            watermarks.push(rows::read_watermark(&at, &row).map_err(damaged)?);
        }
        Ok((guards, watermarks))
    }

    fn keys(&self) -> Result<Vec<BlsKey>, Error> {
        let mut keys = Vec::new();
        for kind in [rows::KNOWN, rows::CHAIN, rows::SIGNED, rows::WATERMARK] {
            for (at, _) in self.store.scan(&[kind])? {
                keys.push(rows::read_key(&at).map_err(|reason| self.damaged(reason))?);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}

#[cfg(test)]
mod tests;
