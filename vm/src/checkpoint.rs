//! States as bytes: root, full checkpoints, deltas, and the reference's raw form (`vm-abi.md`, section 10).
//!
//! The root is BLAKE3 over magic, module id, format, memory length, and index and hash of every page that is not zero. A checkpoint is a
//! header (`checkpoint/header.rs`) and the pages in independent zstd frames. Whoever restores one trusts nothing but the root: sizes are checked as
//! declared and as they come, pages as hashed, and a checkpoint that does not add up to its root changes nothing.

mod header;

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::ops::Range;

use ao_types::{Id, StateHash};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::limits::*;
use crate::memory::{Memory, PageHash};
use crate::program::Identity;
use crate::{Checkpoint, Error};
use header::{Header, Reader, bad};

const ROOT_MAGIC: &[u8] = b"aovm1";
const PAGES_PER_FRAME: usize = CHECKPOINT_FRAME_MAX / PAGE;

/// Root of the committed state. Hashes the pages changed since the last time.
pub(crate) fn root(memory: &mut Memory, identity: &Identity) -> StateHash {
    let len = memory.committed_len() as u64;
    fold(identity, len, memory.page_hashes())
}

fn fold(identity: &Identity, len: u64, pages: &BTreeMap<u32, PageHash>) -> StateHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(ROOT_MAGIC);
    hasher.update(identity.module.as_bytes());
    hasher.update(identity.format.as_bytes());
    hasher.update(&len.to_le_bytes());
    // In blocks: one call per page would cost more than hashing.
    let mut block = Vec::with_capacity(36 * 1024);
    for (index, hash) in pages {
        block.extend_from_slice(&index.to_le_bytes());
        block.extend_from_slice(hash);
        if block.len() >= 36 * 1024 {
            hasher.update(&block);
            block.clear();
        }
    }
    hasher.update(&block);
    StateHash(*hasher.finalize().as_bytes())
}

/// The committed state as a checkpoint: full, or what changed since the one named.
pub(crate) fn make(memory: &mut Memory, identity: &Identity, parent: Option<StateHash>) -> Result<Checkpoint, Error> {
    let root = root(memory, identity);
    let changed = memory.take_changed();
    let (pages, zeroed) = match parent {
        None => (memory.present_pages(), Vec::new()),
        Some(_) => {
            let (pages, zeroed): (Vec<_>, Vec<_>) = changed.into_iter().partition(|(_, present)| *present);
            // Pages beyond the length are gone with it; memory never shrinks between commits, so there are none.
            (pages.into_iter().map(|(page, _)| page).collect(), zeroed.into_iter().map(|(page, _)| page).collect())
        }
    };
    let header = Header { identity: identity.clone(), len: memory.committed_len() as u64, root, parent, pages, zeroed };
    let mut out = header.write();
    let mut raw = Vec::with_capacity(CHECKPOINT_FRAME_MAX);
    for frame in header.pages.chunks(PAGES_PER_FRAME) {
        raw.clear();
        for page in frame {
            raw.extend_from_slice(memory.committed(*page as usize * PAGE, PAGE));
        }
        let packed = zstd::bulk::compress(&raw, 1).map_err(|error| Error::NotEvaluated(format!("compression: {error}")))?;
        out.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(Checkpoint { root, bytes: out.into(), parent })
}

/// Puts a full checkpoint and the deltas after it into `memory`. On an error the memory must not be used.
pub(crate) fn restore(memory: &mut Memory, identity: &Identity, chain: &[Checkpoint]) -> Result<(), Error> {
    if chain.len() > CHECKPOINT_CHAIN_MAX + 1 {
        return Err(bad(format!("a chain of {} checkpoints exceeds {}", chain.len(), CHECKPOINT_CHAIN_MAX + 1)));
    }
    let mut last: Option<StateHash> = None;
    for checkpoint in chain {
        let mut reader = Reader::new(&checkpoint.bytes);
        let header = Header::read(&mut reader, memory.capacity())?;
        if header.identity != *identity {
            let (found, expected) = (&header.identity, identity);
            return Err(bad(format!(
                "it is of module {} ({}), not of {} ({})",
                found.module, found.format, expected.module, expected.format
            )));
        }
        if header.root != checkpoint.root {
            return Err(bad(format!("its bytes are for root {}, not {}", header.root, checkpoint.root)));
        }
        match (last, header.parent) {
            (None, None) => {}
            (Some(_), None) => return Err(bad("a full checkpoint after another")),
            (before, Some(parent)) if before == Some(parent) => {
                if (header.len as usize) < memory.committed_len() {
                    return Err(bad("a delta that shrinks the memory"));
                }
            }
            (before, Some(parent)) => return Err(bad(format!("a delta to {parent} after {before:?}"))),
        }
        let pages = read_pages(&mut reader, &header)?;
        reader.finish()?;
        let present = pages.into_iter().map(|(index, hash, bytes)| (index, Some((hash, bytes))));
        let failed = |error: std::io::Error| Error::NotEvaluated(format!("memory: {error}"));
        if header.parent.is_none() {
            let pages = present.filter_map(|(index, page)| page.map(|(hash, bytes)| (index, hash, bytes)));
            memory.load(header.len as usize, pages).map_err(failed)?;
        } else {
            let zeroed = header.zeroed.iter().map(|index| (*index, None));
            memory.patch(header.len as usize, zeroed.chain(present)).map_err(failed)?;
        }
        let found = root(memory, identity);
        if found != header.root {
            return Err(bad(format!("its pages hash to {found}, not {}", header.root)));
        }
        last = Some(found);
    }
    Ok(())
}

type Pages = Vec<(u32, PageHash, Bytes)>;

/// Unpacks the frames. What is allocated is bounded by the pages of the header, which are bounded by the memory.
fn read_pages(reader: &mut Reader<'_>, header: &Header) -> Result<Pages, Error> {
    let mut pages = Vec::with_capacity(header.pages.len());
    for frame in header.pages.chunks(PAGES_PER_FRAME) {
        read_frame(reader, frame, |index, hash, bytes| pages.push((index, hash, bytes)))?;
    }
    Ok(pages)
}

/// Unpacks one frame, which has these pages.
fn read_frame(reader: &mut Reader<'_>, frame: &[u32], mut page: impl FnMut(u32, PageHash, Bytes)) -> Result<(), Error> {
    let size = reader.u32()? as usize;
    let packed = reader.take(size)?;
    let raw_len = frame.len() * PAGE;
    match zstd::zstd_safe::get_frame_content_size(packed) {
        Ok(Some(declared)) if declared == raw_len as u64 => {}
        found => return Err(bad(format!("a frame declares {found:?} bytes, {raw_len} are due"))),
    }
    // Into a buffer of exactly that size: one byte more is an error.
    let raw = zstd::bulk::decompress(packed, raw_len).map_err(|error| bad(format!("a frame does not unpack: {error}")))?;
    if raw.len() != raw_len {
        return Err(bad(format!("a frame has {} bytes, {raw_len} are due", raw.len())));
    }
    let raw = Bytes::from(raw);
    for (at, index) in frame.iter().enumerate() {
        let bytes = raw.slice(at * PAGE..(at + 1) * PAGE);
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(bad(format!("page {index} is given and empty")));
        }
        page(*index, *blake3::hash(&bytes).as_bytes(), bytes);
    }
    Ok(())
}

/// The root that a full checkpoint of a module hashes to, without a machine: nothing is restored, and one frame is in memory at a time.
///
/// # Errors
/// [`Error::BadCheckpoint`] where it is a delta, of another module or host ABI, cannot be read, or does not hash to the root that it names.
pub fn root_of(module: Id, bytes: &[u8]) -> Result<StateHash, Error> {
    let mut reader = Reader::new(bytes);
    let header = Header::read(&mut reader, MEMORY_BYTES_MAX)?;
    if header.identity.module != module {
        return Err(bad(format!("it is of module {}, not of {module}", header.identity.module)));
    }
    if let Some(parent) = header.parent {
        return Err(bad(format!("it is a delta to {parent}")));
    }
    let mut pages = BTreeMap::new();
    for frame in header.pages.chunks(PAGES_PER_FRAME) {
        read_frame(&mut reader, frame, |index, hash, _| {
            pages.insert(index, hash);
        })?;
    }
    reader.finish()?;
    let found = fold(&header.identity, header.len, &pages);
    if found == header.root { Ok(found) } else { Err(bad(format!("its pages hash to {found}, not {}", header.root))) }
}

/// Turns the reference's checkpoint, the gzipped memory, into ours. Its root is computed here: whether it is the right one is for the
/// caller to know.
///
/// # Errors
/// [`Error::BadCheckpoint`] where it does not unpack, is larger than a process may be, or is no whole number of wasm pages.
pub fn import_gzip(module: Id, format: &str, gzipped: &[u8]) -> Result<Checkpoint, Error> {
    let identity = Identity { module, format: format.to_owned() };
    Ok(import(&identity, gzipped, MEMORY_BYTES_MAX, &(0..0))?.0)
}

/// The same of a memory of `max` bytes at most, with SHA-256 of all of it as it was packed. What is `dead` between messages becomes zero:
/// the reference leaves there what its last call wrote.
pub(crate) fn import(identity: &Identity, gzipped: &[u8], max: usize, dead: &Range<usize>) -> Result<(Checkpoint, [u8; 32]), Error> {
    let max = max.min(MEMORY_BYTES_MAX);
    let mut unpacked = flate2::read::MultiGzDecoder::new(gzipped).take(max as u64 + 1);
    let mut memory = Memory::new(max).map_err(|error| Error::NotEvaluated(error.to_string()))?;
    let (mut len, mut pages, mut digest) = (0usize, Vec::new(), Sha256::new());
    loop {
        let mut page = vec![0; PAGE];
        let mut filled = 0;
        while filled < PAGE {
            match unpacked.read(&mut page[filled..]).map_err(|error| bad(format!("it does not unpack: {error}")))? {
                0 => break,
                read => filled += read,
            }
        }
        if filled == 0 {
            break;
        }
        if filled < PAGE || len + PAGE > max {
            return Err(bad(format!("a memory of {} bytes or more, of {max} at most", len + filled)));
        }
        digest.update(&page);
        let (from, to) = (dead.start.clamp(len, len + PAGE), dead.end.clamp(len, len + PAGE));
        if from < to {
            page[from - len..to - len].fill(0);
        }
        if page.iter().any(|byte| *byte != 0) {
            pages.push(((len / PAGE) as u32, *blake3::hash(&page).as_bytes(), page));
        }
        len += PAGE;
    }
    if len == 0 || len % WASM_PAGE != 0 {
        return Err(bad(format!("a memory of {len} bytes is no whole number of wasm pages")));
    }
    memory.load(len, pages.into_iter()).map_err(|error| Error::NotEvaluated(error.to_string()))?;
    Ok((make(&mut memory, identity, None)?, digest.finalize().into()))
}

/// What a gzip stream unpacks to, if that is not more than `max` bytes.
///
/// # Errors
/// [`Error::BadCheckpoint`] where it does not unpack or is larger.
pub fn gunzip(packed: &[u8], max: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(packed).take(max as u64 + 1).read_to_end(&mut out);
    read.map_err(|error| bad(format!("it does not unpack: {error}")))?;
    if out.len() > max { Err(bad(format!("it unpacks to more than {max} bytes"))) } else { Ok(out) }
}

/// A full checkpoint in the form that other AO nodes read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The whole memory, gzipped.
    pub gzip: Vec<u8>,
    /// SHA-256 of the memory before that.
    pub sha256: [u8; 32],
}

/// The reference's form of a full checkpoint. Whether its pages are those of its root is for whoever made or restored it to know.
///
/// # Errors
/// [`Error::BadCheckpoint`] where it is a delta or cannot be read.
pub fn export(checkpoint: &Checkpoint) -> Result<Exported, Error> {
    with_memory(checkpoint, |pages| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let packed = pages.iter().try_for_each(|page| packer.write_all(page)).and_then(|()| packer.finish());
        let gzip = packed.map_err(|error| Error::NotEvaluated(error.to_string()))?;
        Ok(Exported { gzip, sha256: ao_types::hash::sha256(pages) })
    })
}

/// SHA-256 of the memory that a full checkpoint describes.
///
/// # Errors
/// As of [`export`].
pub fn memory_sha256(checkpoint: &Checkpoint) -> Result<[u8; 32], Error> {
    with_memory(checkpoint, |pages| Ok(ao_types::hash::sha256(pages)))
}

/// The memory of a full checkpoint, page by page; those that are not in it are zero.
fn with_memory<T>(checkpoint: &Checkpoint, read: impl FnOnce(&[&[u8]]) -> Result<T, Error>) -> Result<T, Error> {
    const ZERO: &[u8] = &[0; PAGE];
    let mut reader = Reader::new(&checkpoint.bytes);
    let header = Header::read(&mut reader, MEMORY_BYTES_MAX)?;
    if header.parent.is_some() {
        return Err(bad("a delta is no memory"));
    }
    let pages = read_pages(&mut reader, &header)?;
    reader.finish()?;
    let mut memory = vec![ZERO; header.len as usize / PAGE];
    for (index, _, bytes) in &pages {
        // The header's runs are within the memory.
        if let Some(place) = memory.get_mut(*index as usize) {
            *place = bytes;
        }
    }
    read(&memory)
}

/// The reference's form of a memory.
///
/// # Errors
/// [`Error::NotEvaluated`] if compression fails, which only a lack of memory makes it.
pub fn export_gzip(memory: &[u8]) -> Result<Vec<u8>, Error> {
    let mut packed = flate2::bufread::GzEncoder::new(memory, flate2::Compression::fast());
    let mut out = Vec::new();
    packed.read_to_end(&mut out).map_err(|error| Error::NotEvaluated(error.to_string()))?;
    Ok(out)
}

#[cfg(test)]
mod tests;
