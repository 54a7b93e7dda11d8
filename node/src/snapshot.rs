//! Snapshots (`operations.md` §11): a certified state of a process in one file, to be handed from node to node and checked by whoever gets it.
//!
//! ```text
//!   maker.rs ─▶ file in snapshots/ (shelf.rs) ─▶ serve.rs ══ chunks over p2p ══▶ fetch.rs, joiner.rs ─▶ shell::begin
//!                        ▲                                                                              ▲
//!   aonode snapshot create, serve                                              aonode snapshot import ──┘
//! ```
//!
//! A [`Manifest`] says what the state is of and who vouches for it, and has the hash of each chunk of the body, which is a full checkpoint
//! (`vm-abi.md` §10). Nothing in a file is believed before it is checked, in this order: the bounds of the manifest, the network, the
//! certificate of a quorum ([`Manifest::check`]), its age ([`Trust`]), each chunk's hash as it comes, and that the whole hashes to the
//! certified root ([`Manifest::check_body`]). Nothing in it ever executes before that, and a path, name or link is not in it at all.

use ao_consensus::{Rosters, Timestamp};
use ao_storage::schema::{CertifiedStateRow, CheckpointRow};
use ao_types::hash::sha256;
use ao_types::{Id, NetworkId, Slot, StateHash};
use bytes::Bytes;

use crate::states::{self, Untrue};

pub mod choice;
pub mod fetch;
pub mod file;
pub mod joiner;
pub mod limits;
pub mod maker;
pub mod manifest;
pub mod partial;
pub mod room;
pub mod serve;
pub mod shelf;

pub use manifest::Manifest;

/// Bytes of one chunk; the last one may be shorter.
pub const CHUNK_BYTES: usize = 8 << 20;

/// Why a snapshot is not taken. (reject)
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is no snapshot, or not a whole one.
    #[error("it is no snapshot of this format: {0}")]
    Malformed(String),
    /// Of another network.
    #[error("it is of network {found}, not of {expected}")]
    Network {
        /// As expected.
        expected: NetworkId,
        /// As it says.
        found: NetworkId,
    },
    /// Nobody, or not enough, vouch for it.
    #[error(transparent)]
    Untrue(#[from] Untrue),
    /// Another machine made it.
    #[error("its state is of host ABI {found}, and this node runs {expected}")]
    HostAbi {
        /// Ours.
        expected: u32,
        /// As it says.
        found: u32,
    },
    /// The stake behind its certificate may have been withdrawn since (`faults.md` F48).
    #[error("its last message is {age_ms} ms old, and signatures are believed for {trust_period_ms} ms")]
    Stale {
        /// How old it is.
        age_ms: u64,
        /// How old it may be.
        trust_period_ms: u64,
    },
    /// A chunk is not the one that the manifest names.
    #[error("chunk {index} is not the one that its manifest names")]
    Chunk {
        /// Which.
        index: u32,
    },
    /// The body is no state, or not the certified one.
    #[error("its state does not hold: {0}")]
    Body(String),
    /// What is to be written would reach into the room that the node keeps free.
    #[error("{bytes} bytes do not fit: {free} are free, and {reserve} of them stay so")]
    NoRoom {
        /// To be written.
        bytes: u64,
        /// Free, with what goes for it.
        free: u64,
        /// `storage.reserve`.
        reserve: u64,
    },
    /// The system failed.
    #[error("cannot read or write it: {0}")]
    Io(#[from] std::io::Error),
}

/// A root that the operator knows to be right, from elsewhere: `SLOT:HASH`, the hash in 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// After which slot.
    pub slot: Slot,
    /// Root over the state.
    pub state: StateHash,
}

/// What is believed, and until when.
#[derive(Clone, Debug)]
pub struct Trust<'a> {
    /// The network.
    pub network: NetworkId,
    /// Its committees; `None` on a network of one, where only [`Trust::roots`] are believed.
    pub rosters: Option<&'a Rosters>,
    /// How long signatures are believed, `staking.trust_period_ms` of the genesis.
    pub trust_period_ms: u64,
    /// Roots that need nobody else.
    pub roots: &'a [Root],
}

impl Trust<'_> {
    /// Whether the operator named this very state.
    fn names(&self, manifest: &Manifest) -> bool {
        self.roots.contains(&Root { slot: manifest.slot, state: manifest.state.state })
    }
}

impl Manifest {
    /// Whether somebody vouches for it who is believed: 1.4 ms. Not its age, for its own word on that is worth nothing: see [`Manifest::check_age`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, trust: &Trust<'_>) -> Result<(), Refused> {
        if self.network != trust.network {
            return Err(Refused::Network { expected: trust.network, found: self.network });
        }
        if self.state.host_abi != ao_vm::HOST_ABI {
            return Err(Refused::HostAbi { expected: ao_vm::HOST_ABI, found: self.state.host_abi });
        }
        if trust.names(self) {
            return Ok(());
        }
        if trust.rosters.is_none() {
            // An empty certificate proves nothing to a stranger: the file is not signed.
            return Err(Untrue::Uncertified { process: self.process, slot: self.slot }.into());
        }
        Ok(states::verify(trust.rosters, self.process, self.slot, &self.state)?)
    }

    /// Whether a message of `made_ms` is young enough that its committee's stake is still bound (F48). A root that the operator named has no age.
    ///
    /// # Errors
    /// [`Refused::Stale`].
    pub fn check_age(&self, trust: &Trust<'_>, made_ms: u64, now: Timestamp) -> Result<(), Refused> {
        let (age_ms, trust_period_ms) = (now.since_ms(Timestamp(made_ms)), trust.trust_period_ms);
        if age_ms <= trust_period_ms || trust.names(self) { Ok(()) } else { Err(Refused::Stale { age_ms, trust_period_ms }) }
    }

    /// Whether these bytes are chunk `index`.
    ///
    /// # Errors
    /// They are not, or there is none.
    pub fn check_chunk(&self, index: u32, bytes: &[u8]) -> Result<(), Refused> {
        let known = self.chunks.get(index as usize);
        let same = known.is_some_and(|hash| bytes.len() == self.chunk_bytes(index) && sha256(&[bytes]) == *hash);
        if same { Ok(()) } else { Err(Refused::Chunk { index }) }
    }

    /// Whether a whole body is the certified state. Unpacks and hashes it; runs nothing of it.
    ///
    /// # Errors
    /// It is not.
    pub fn check_body(&self, body: &[u8]) -> Result<(), Refused> {
        if body.len() as u64 != self.total {
            return Err(Refused::Body(format!("{} bytes, {} are due", body.len(), self.total)));
        }
        let found = ao_vm::checkpoint::root_of(self.module, body).map_err(|error| Refused::Body(error.to_string()))?;
        if found == self.state.state { Ok(()) } else { Err(Refused::Body(format!("it hashes to {found}, not to {}", self.state.state))) }
    }

    /// The row with which evaluation begins at it.
    pub fn row(&self) -> CheckpointRow {
        CheckpointRow {
            root: self.state.state,
            parent: None,
            assignment: self.assignment,
            hash_chain: self.hash_chain,
            timestamp_ms: self.timestamp_ms,
            block_height: self.block_height,
            host_abi: self.state.host_abi,
            bytes: self.total,
        }
    }

    /// The certified state as a node keeps it that did not work it out; `None` where its certificate does not hold, and only the operator
    /// named the root: that is a reason to begin there, and nothing to tell others.
    pub fn imported(&self, trust: &Trust<'_>) -> Option<CertifiedStateRow> {
        let holds = states::verify(trust.rosters, self.process, self.slot, &self.state).is_ok();
        holds.then(|| CertifiedStateRow { computed: false, ..self.state.clone() })
    }

    /// What a node says of a state that it worked out, and of its body.
    pub fn of(
        network: NetworkId,
        (process, module, slot): (Id, Id, Slot),
        state: CertifiedStateRow,
        row: &CheckpointRow,
        body: &Bytes,
    ) -> Self {
        Self {
            network,
            process,
            slot,
            module,
            // As it is read back: whose word it is says the certificate.
            state: CertifiedStateRow { computed: false, certificate: Some(state.certificate.unwrap_or_default()), ..state },
            assignment: row.assignment,
            hash_chain: row.hash_chain,
            timestamp_ms: row.timestamp_ms,
            block_height: row.block_height,
            total: body.len() as u64,
            chunks: body.chunks(CHUNK_BYTES).map(|chunk| sha256(&[chunk])).collect(),
        }
    }
}

/// A snapshot as verbs and routes show it.
pub fn shown(path: &std::path::Path, manifest: &Manifest) -> serde_json::Value {
    serde_json::json!({
        "path": path, "process": manifest.process, "slot": manifest.slot.0, "network": manifest.network.to_string(), "module": manifest.module,
        "state_hash": manifest.state.state.to_string(), "result_hash": manifest.state.result.to_string(), "host_abi": manifest.state.host_abi,
        "timestamp": manifest.timestamp_ms, "bytes": manifest.total, "chunks": manifest.chunks.len(), "snapshot": hex::encode(manifest.id()),
        "certified": manifest.state.certificate.as_ref().is_some_and(|certificate| !certificate.is_empty()),
    })
}

impl std::str::FromStr for Root {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}`: expected SLOT:HASH, e.g. 9999:{}", "0f".repeat(32));
        let (slot, hash) = text.split_once(':').ok_or_else(expected)?;
        let mut state = [0; 32];
        hex::decode_to_slice(hash, &mut state).map_err(|_| expected())?;
        Ok(Self { slot: Slot(slot.parse().map_err(|_| expected())?), state: StateHash(state) })
    }
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.slot, hex::encode(self.state.0))
    }
}

#[cfg(test)]
pub(crate) mod tests;
