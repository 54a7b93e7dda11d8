//! Chunks of data: which are here, and whether a new one may be (`arweave.md`, section 5).
//!
//! Holds places and proofs; the bytes are in [`crate::store`], found by their hash. A chunk is accepted for data that some transaction,
//! waiting or mined, has signed the root of; what no transaction needs any more stays until there is no room, like in a real disk pool.

use std::collections::{BTreeMap, HashMap};

use ao_types::Id;
use ao_types::hash::sha256;
use ao_types::limits::{CHUNK_BYTES_MAX, DATA_PATH_BYTES_MAX};
use ao_types::merkle::{self, Chunk, Tree};
use ao_types::transaction::Base64Url;
use serde::Deserialize;

use crate::event::ChunkPlace;

const CHUNK: u64 = CHUNK_BYTES_MAX as u64;

/// Bytes that data takes on the weave: whole chunks.
pub fn stored_size(size: u64) -> u64 {
    size.div_ceil(CHUNK).saturating_mul(CHUNK)
}

/// Chunks as a node cuts data that is attached to a header: every 256 KiB, nothing balanced, the last one possibly empty.
fn plain_chunks(data: &[u8]) -> Vec<Chunk> {
    let size = data.len() as u64;
    let cut = |start: u64| {
        let end = (start + CHUNK).min(size);
        Chunk { start, end, hash: sha256(&[&data[start as usize..end as usize]]) }
    };
    (0..=size / CHUNK).map(|index| cut(index * CHUNK)).collect()
}

/// The root over chunks of 256 KiB.
pub fn plain_root(data: &[u8]) -> [u8; 32] {
    Tree::over(plain_chunks(data)).root()
}

/// The chunks of attached data, with their proofs; the empty last one is none.
pub fn places_of(data: &[u8]) -> Vec<ChunkPlace> {
    let tree = Tree::over(plain_chunks(data));
    let root = Id(tree.root());
    let place = |(index, chunk): (usize, &Chunk)| ChunkPlace {
        root,
        size: data.len() as u64,
        start: chunk.start,
        end: chunk.end,
        hash: Id(chunk.hash),
        path: Base64Url(tree.data_path(index).unwrap_or_default()),
    };
    tree.chunks().iter().enumerate().filter(|(_, chunk)| chunk.start < chunk.end).map(place).collect()
}

/// The body of `POST /chunk`.
#[derive(Clone, Debug, Deserialize)]
pub struct Posted {
    /// Root of the data.
    pub data_root: Base64Url,
    /// Its size.
    pub data_size: String,
    /// The proof.
    pub data_path: Base64Url,
    /// A byte of the chunk, by custom its last.
    pub offset: String,
    /// The bytes.
    pub chunk: Base64Url,
}

/// Why a chunk is not taken: the words of a real node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// More than 256 KiB.
    #[error("chunk_too_big")]
    ChunkTooBig,
    /// A proof longer than any honest one.
    #[error("data_path_too_big")]
    DataPathTooBig,
    /// No number, or beyond any data.
    #[error("offset_too_big")]
    OffsetTooBig,
    /// No number, or beyond any data.
    #[error("data_size_too_big")]
    DataSizeTooBig,
    /// The proof is longer than the chunk, which is not the last one.
    #[error("chunk_proof_ratio_not_attractive")]
    Ratio,
    /// It shows something else, or the data is cut in a way that is not allowed.
    #[error("invalid_proof")]
    Proof,
    /// No transaction with this data is known. It may come.
    #[error("data_root_not_found")]
    RootUnknown,
    /// No room.
    #[error("exceeds_disk_pool_size_limit")]
    Full,
}

/// A chunk that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Where it belongs.
    pub place: ChunkPlace,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Checks everything that the chunk alone can show.
///
/// # Errors
/// It breaks a rule.
pub fn check(posted: Posted) -> Result<Checked, ChunkError> {
    let bytes = posted.chunk.0;
    if bytes.len() > CHUNK_BYTES_MAX {
        return Err(ChunkError::ChunkTooBig);
    }
    if posted.data_path.0.len() > DATA_PATH_BYTES_MAX {
        return Err(ChunkError::DataPathTooBig);
    }
    let offset: u64 = posted.offset.parse().map_err(|_| ChunkError::OffsetTooBig)?;
    let size: u64 = posted.data_size.parse().map_err(|_| ChunkError::DataSizeTooBig)?;
    let note = posted.data_path.0.last_chunk::<8>().map(|note| u64::from_be_bytes(*note));
    if posted.data_path.0.len() > bytes.len() && note != Some(size) {
        return Err(ChunkError::Ratio);
    }
    let root: [u8; 32] = posted.data_root.0.as_slice().try_into().map_err(|_| ChunkError::Proof)?;
    let proven = merkle::check_path(&root, size, offset, &posted.data_path.0).ok_or(ChunkError::Proof)?;
    let length = proven.end.saturating_sub(proven.start);
    if length != bytes.len() as u64 || bytes.is_empty() || proven.hash != sha256(&[&bytes]) || !well_cut(proven.start, proven.end, size) {
        return Err(ChunkError::Proof);
    }
    let (start, end, hash) = (proven.start, proven.end, Id(proven.hash));
    Ok(Checked { place: ChunkPlace { root: Id(root), size, start, end, hash, path: posted.data_path }, bytes })
}

/// Chunks begin at multiples of 256 KiB and are whole, but for the last two, which may share what is left.
fn well_cut(start: u64, end: u64, size: u64) -> bool {
    let whole = end - start == CHUNK && start.is_multiple_of(CHUNK);
    let among_last_two = size - start <= 2 * CHUNK && (end == size || size - end <= CHUNK);
    whole || among_last_two
}

/// One chunk that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Byte behind its last.
    pub end: u64,
    /// SHA-256 of its bytes.
    pub hash: Id,
    /// Its proof.
    pub path: Base64Url,
}

/// Which chunks are here.
#[derive(Clone, Debug)]
pub struct Chunks {
    roots: HashMap<(Id, u64), BTreeMap<u64, Piece>>,
    bytes: u64,
    bytes_max: u64,
}

impl Chunks {
    /// None, and room for so many bytes.
    pub fn new(bytes_max: u64) -> Self {
        Self { roots: HashMap::new(), bytes: 0, bytes_max }
    }

    /// Whether a checked chunk may come: `Ok(false)` if it is here already.
    ///
    /// # Errors
    /// There is no room.
    pub fn admits(&self, place: &ChunkPlace) -> Result<bool, ChunkError> {
        if self.roots.get(&(place.root, place.size)).is_some_and(|pieces| pieces.contains_key(&place.start)) {
            return Ok(false);
        }
        if self.bytes + (place.end - place.start) > self.bytes_max { Err(ChunkError::Full) } else { Ok(true) }
    }

    /// It is here now.
    pub fn insert(&mut self, place: &ChunkPlace) {
        let piece = Piece { end: place.end, hash: place.hash, path: place.path.clone() };
        if self.roots.entry((place.root, place.size)).or_default().insert(place.start, piece).is_none() {
            self.bytes += place.end.saturating_sub(place.start);
        }
    }

    /// The chunk that holds a byte of some data, and where it starts.
    pub fn at(&self, root: &Id, size: u64, byte: u64) -> Option<(u64, &Piece)> {
        let (start, piece) = self.roots.get(&(*root, size))?.range(..=byte).next_back()?;
        (byte < piece.end).then_some((*start, piece))
    }

    /// Whether all bytes of some data are here.
    pub fn complete(&self, root: &Id, size: u64) -> bool {
        let Some(pieces) = self.roots.get(&(*root, size)) else { return size == 0 };
        let mut end = 0;
        pieces.iter().all(|(start, piece)| {
            let follows = *start == end;
            end = piece.end;
            follows
        }) && end == size
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
