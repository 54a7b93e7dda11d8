//! What can be read: data by pieces, chunks with their proofs.

use std::sync::Arc;

use ao_types::Id;
use ao_types::merkle::{Chunk, Tree};
use ao_types::transaction::Base64Url;
use bytes::{Bytes, BytesMut};

use super::{State, Station};
use crate::chain::{Placed, Standing};
use crate::chunks::stored_size;
use crate::index::{Data, Entry};

/// Data that a gateway has.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it lies.
    pub data: Data,
    /// Tag `Content-Type`.
    pub content_type: Option<String>,
    /// This gateway has other bytes.
    pub corrupt: bool,
}

/// The answer to `GET /chunk/{byte}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkAnswer {
    /// The bytes.
    pub chunk: Bytes,
    /// Proof under the data's root.
    pub data_path: Base64Url,
    /// Proof of the data under the block's root.
    pub tx_path: Base64Url,
}

impl Station {
    /// The data of a transaction or an item, as gateway `number` has it; `None` if it does not, or not all of it.
    pub fn data_of(&self, number: usize, id: &Id) -> Option<Found> {
        let state = self.state.lock();
        let faults = state.gateways.get(number)?;
        let view = faults.view(state.chain.tip().height);
        let index = self.index.read();
        let (_, entry) = index.get(&view, id)?;
        if state.faults.withhold.contains(id) || state.faults.withhold.contains(&entry.root) {
            return None;
        }
        if let Data::Root { root, size, .. } = &entry.data
            && !state.chunks.complete(root, *size)
        {
            return None;
        }
        let corrupt = faults.corrupt.contains(id) || faults.corrupt.contains(&entry.root);
        Some(Found { data: entry.data.clone(), content_type: entry.tag("Content-Type"), corrupt })
    }

    /// A piece of some data from `at` on: the rest of the chunk that holds it. `None` past the end, or if it is not here.
    pub fn read(&self, data: &Data, at: u64) -> Option<Bytes> {
        match data {
            Data::Held(bytes) => {
                let at = usize::try_from(at).ok().filter(|at| *at < bytes.len())?;
                Some(bytes.slice(at..))
            }
            Data::Root { root, size, offset, length } => {
                let byte = offset.checked_add(at).filter(|_| at < *length)?;
                let state = self.state.lock();
                let (start, piece) = state.chunks.at(root, *size, byte)?;
                let bytes = state.bytes_of(&piece.hash)?;
                let from = (byte - start) as usize;
                let to = bytes.len().min(from + usize::try_from(length - at).unwrap_or(usize::MAX));
                (from < to).then(|| bytes.slice(from..to))
            }
        }
    }

    /// All of some data, unless it is longer than `bytes_max`.
    pub fn read_whole(&self, data: &Data, bytes_max: u64) -> Option<Bytes> {
        let length = data.len();
        if length > bytes_max {
            return None;
        }
        let mut out = BytesMut::with_capacity(length as usize);
        while (out.len() as u64) < length {
            out.extend_from_slice(&self.read(data, out.len() as u64)?);
        }
        Some(out.freeze())
    }

    /// The chunk that holds a byte of the weave; the first byte is 1.
    pub fn chunk_at(&self, number: usize, byte: u64) -> Option<ChunkAnswer> {
        let state = self.state.lock();
        let placed = state.chain.transaction_at(byte)?;
        let id = placed.transaction.id;
        if state.faults.withhold.contains(&id) {
            return None;
        }
        let Data::Root { root, size, .. } = Entry::of_transaction(Arc::clone(&placed.transaction)).data else { return None };
        let (_, piece) = state.chunks.at(&root, size, byte - placed.start - 1)?;
        let mut chunk = state.bytes_of(&piece.hash)?;
        if state.gateways.get(number).is_some_and(|faults| faults.corrupt.contains(&id)) {
            chunk = corrupted(&chunk);
        }
        Some(ChunkAnswer { chunk, data_path: piece.path.clone(), tx_path: Base64Url(state.path_in_block(placed)) })
    }
}

/// The same bytes, but one.
pub fn corrupted(bytes: &Bytes) -> Bytes {
    let mut changed = bytes.to_vec();
    let middle = changed.len() / 2;
    if let Some(byte) = changed.get_mut(middle) {
        *byte ^= 1;
    }
    changed.into()
}

impl State {
    fn bytes_of(&self, hash: &Id) -> Option<Bytes> {
        self.store.get(hash).unwrap_or_else(|error| {
            tracing::error!("a chunk cannot be read: {error}");
            None
        })
    }

    /// The proof of a transaction's data under its block's root.
    fn path_in_block(&self, placed: &Placed) -> Vec<u8> {
        let Some(block) = self.chain.block_at(placed.height) else { return Vec::new() };
        let mut leaves = Vec::new();
        let (mut end, mut own) = (0, 0);
        for id in &block.transactions {
            let Some(Standing::Mined(other)) = self.chain.standing(id) else { continue };
            let Ok(root) = <[u8; 32]>::try_from(other.transaction.data_root.0.as_slice()) else { continue };
            if *id == placed.transaction.id {
                own = leaves.len();
            }
            leaves.push(Chunk { start: end, end: end + stored_size(other.size), hash: root });
            end += stored_size(other.size);
        }
        Tree::over(leaves).data_path(own).unwrap_or_default()
    }
}
