//! Chunks of a transaction's data, the root over them, and proofs (`arweave.md`, section 5).
//!
//! Two splits exist in the wild. This is the clients' one, which a header posted without data must have; a node that gets data inline
//! recomputes the root with another, so larger data always goes in chunks.

use crate::hash::sha256;
use crate::limits::{CHUNK_BYTES_MAX, DATA_PATH_BYTES_MAX};

/// A rest shorter than this is not left alone: the chunk before it is halved with it.
const REST_MIN: u64 = 32 << 10;
const CHUNK: u64 = CHUNK_BYTES_MAX as u64;
const LEAF: usize = 64;
const BRANCH: usize = 96;

/// Where chunks start and end, for data of `size` bytes. The last one is empty where `size` is a multiple of 256 KiB (0 included): it
/// is hashed into the root and never uploaded.
pub fn split(size: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let start = at?;
        let left = size - start;
        let length = match left.checked_sub(CHUNK) {
            None => left,
            Some(rest) if rest > 0 && rest < REST_MIN => left.div_ceil(2),
            Some(_) => CHUNK,
        };
        at = (left >= CHUNK).then_some(start + length);
        Some((start, start + length))
    })
}

/// A chunk as the tree sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// First byte.
    pub start: u64,
    /// Byte behind the last.
    pub end: u64,
    /// SHA-256 of its bytes.
    pub hash: [u8; 32],
}

#[derive(Clone, Copy, Debug)]
struct Node {
    id: [u8; 32],
    end: u64,
}

/// The tree over some data. Holds hashes, not the data: about 100 bytes for each 256 KiB.
#[derive(Clone, Debug)]
pub struct Tree {
    chunks: Vec<Chunk>,
    /// From the leaves to the root, one node less than half of the level before, rounded up.
    levels: Vec<Vec<Node>>,
}

impl Tree {
    /// Splits and hashes.
    pub fn of(data: &[u8]) -> Self {
        let chunk = |(start, end)| Chunk { start, end, hash: sha256(&[&data[start as usize..end as usize]]) };
        Self::over(split(data.len() as u64).map(chunk).collect())
    }

    /// Over chunks cut in another way, or over whole transactions as a block does; each begins where the one before ends. Without any,
    /// the root is all zeros and proves nothing.
    pub fn over(chunks: Vec<Chunk>) -> Self {
        let mut level: Vec<Node> = chunks.iter().map(|chunk| Node { id: leaf_id(&chunk.hash, chunk.end), end: chunk.end }).collect();
        let mut levels = Vec::new();
        while level.len() > 1 {
            let above = level.chunks(2).map(|pair| match pair {
                [left, right] => Node { id: branch_id(&left.id, &right.id, left.end), end: right.end },
                _ => pair[0],
            });
            let above = above.collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.push(level);
        Self { chunks, levels }
    }

    /// The root over the chunking. A transaction without data has an *empty* `data_root` instead.
    pub fn root(&self) -> [u8; 32] {
        // There is one chunk at least, so the last level has its one node.
        self.levels.last().and_then(|level| level.first()).map_or([0; 32], |node| node.id)
    }

    /// All chunks, the empty last one included.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The proof that a chunk is under the root; `None` past the last.
    pub fn data_path(&self, index: usize) -> Option<Vec<u8>> {
        let chunk = self.chunks.get(index)?;
        let mut path = Vec::with_capacity(BRANCH * (self.levels.len() - 1) + LEAF);
        for (height, level) in self.levels.iter().enumerate().rev().skip(1) {
            let left = (index >> (height + 1)) << 1;
            // An odd last node moved up as it is: no branch there.
            if let [left, right, ..] = &level[left..] {
                path.extend_from_slice(&left.id);
                path.extend_from_slice(&right.id);
                path.extend_from_slice(&note(left.end));
            }
        }
        path.extend_from_slice(&chunk.hash);
        path.extend_from_slice(&note(chunk.end));
        Some(path)
    }
}

/// What a proof shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// First byte of the chunk.
    pub start: u64,
    /// Byte behind its last.
    pub end: u64,
    /// SHA-256 of its bytes.
    pub hash: [u8; 32],
}

/// Checks a proof for the chunk that holds byte `offset` of data of `size` bytes. `None` if it does not hold, or is longer than any
/// honest one.
pub fn check_path(root: &[u8; 32], size: u64, offset: u64, path: &[u8]) -> Option<Proven> {
    if path.len() > DATA_PATH_BYTES_MAX || offset >= size {
        return None;
    }
    let (mut id, mut rest) = (*root, path);
    let (mut start, mut end) = (0, size);
    while rest.len() != LEAF {
        let (branch, below) = rest.split_at_checked(BRANCH)?;
        let (left, right, boundary) = (part(branch, 0)?, part(branch, 32)?, part(branch, 64)?);
        if sha256(&[&sha256(&[&left]), &sha256(&[&right]), &sha256(&[&boundary])]) != id {
            return None;
        }
        let boundary = read_note(&boundary);
        if offset < boundary {
            (id, end) = (left, end.min(boundary));
        } else {
            (id, start) = (right, start.max(boundary));
        }
        rest = below;
    }
    let (hash, last) = (part(rest, 0)?, part(rest, 32)?);
    (sha256(&[&sha256(&[&hash]), &sha256(&[&last])]) == id).then_some(Proven { start, end, hash })
}

fn part(bytes: &[u8], at: usize) -> Option<[u8; 32]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn leaf_id(hash: &[u8; 32], end: u64) -> [u8; 32] {
    sha256(&[&sha256(&[hash]), &sha256(&[&note(end)])])
}

fn branch_id(left: &[u8; 32], right: &[u8; 32], boundary: u64) -> [u8; 32] {
    sha256(&[&sha256(&[left]), &sha256(&[right]), &sha256(&[&note(boundary)])])
}

/// A number as 32 bytes, big-endian.
fn note(number: u64) -> [u8; 32] {
    let mut note = [0; 32];
    note[24..].copy_from_slice(&number.to_be_bytes());
    note
}

/// Numbers over 64 bits are beyond any data: the largest stands for them.
fn read_note(note: &[u8; 32]) -> u64 {
    let (high, low) = note.split_at(24);
    if high.iter().any(|byte| *byte != 0) {
        return u64::MAX;
    }
    low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
