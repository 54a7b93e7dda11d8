//! The header of a checkpoint, and reading it from hostile bytes.
//!
//! ```text
//!   magic "aockpt1\n"  host_abi u32  module 32  format u8+text  memory length u64  root 32
//!   parent: 0, or 1 and 32       page runs: count u32, then (first u32, count u32) each
//!   zeroed runs: the same        frames: packed length u32, packed bytes
//! ```
//! All numbers little-endian; runs ascending, apart, and within the memory.

use ao_types::{Id, StateHash};

use crate::limits::{PAGE, WASM_PAGE};
use crate::program::Identity;
use crate::{Error, HOST_ABI};

const MAGIC: &[u8; 8] = b"aockpt1\n";

/// Everything but the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: Identity,
    pub(super) len: u64,
    pub(super) root: StateHash,
    pub(super) parent: Option<StateHash>,
    /// Pages that follow, ascending.
    pub(super) pages: Vec<u32>,
    /// Pages that became zero since the parent, ascending.
    pub(super) zeroed: Vec<u32>,
}

pub(super) fn bad(text: impl Into<String>) -> Error {
    Error::BadCheckpoint(text.into())
}

impl Header {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::from(MAGIC);
        out.extend_from_slice(&HOST_ABI.to_le_bytes());
        out.extend_from_slice(self.identity.module.as_bytes());
        // Names of formats are ours, and short.
        out.push(self.identity.format.len() as u8);
        out.extend_from_slice(self.identity.format.as_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.root.0);
        match &self.parent {
            None => out.push(0),
            Some(parent) => {
                out.push(1);
                out.extend_from_slice(&parent.0);
            }
        }
        for list in [&self.pages, &self.zeroed] {
            let runs = runs(list);
            out.extend_from_slice(&(runs.len() as u32).to_le_bytes());
            for (first, count) in runs {
                out.extend_from_slice(&first.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
            }
        }
        out
    }

    /// Reads a header; nothing larger than the memory of `capacity` bytes could need is allocated.
    pub(super) fn read(reader: &mut Reader<'_>, capacity: usize) -> Result<Self, Error> {
        if reader.take(8)? != MAGIC {
            return Err(bad("it does not begin like one"));
        }
        let abi = reader.u32()?;
        if abi != HOST_ABI {
            return Err(bad(format!("host ABI {abi}, ours is {HOST_ABI}")));
        }
        let module = Id(reader.array()?);
        let size = usize::from(reader.array::<1>()?[0]);
        let format = std::str::from_utf8(reader.take(size)?).map_err(|_| bad("its format is no text"))?.to_owned();
        let len = u64::from_le_bytes(reader.array()?);
        if len > capacity as u64 || len % WASM_PAGE as u64 != 0 {
            return Err(bad(format!("a memory of {len} bytes, of at most {capacity}")));
        }
        let root = StateHash(reader.array()?);
        let parent = match reader.array::<1>()?[0] {
            0 => None,
            1 => Some(StateHash(reader.array()?)),
            other => return Err(bad(format!("parent flag {other}"))),
        };
        let pages = read_runs(reader, len)?;
        let zeroed = read_runs(reader, len)?;
        if parent.is_none() && !zeroed.is_empty() {
            return Err(bad("a full checkpoint with zeroed pages"));
        }
        Ok(Self { identity: Identity { module, format }, len, root, parent, pages, zeroed })
    }
}

fn runs(pages: &[u32]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for page in pages {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == *page => *count += 1,
            _ => runs.push((*page, 1)),
        }
    }
    runs
}

fn read_runs(reader: &mut Reader<'_>, len: u64) -> Result<Vec<u32>, Error> {
    let limit = len / PAGE as u64;
    let count = reader.u32()?;
    let mut pages = Vec::new();
    let mut next = 0u64;
    for _ in 0..count {
        let (first, count) = (u64::from(reader.u32()?), u64::from(reader.u32()?));
        // A gap between runs makes the form canonical; `next` is one past the last run but for the first.
        let apart = if next == 0 { 0 } else { next + 1 };
        if count == 0 || first < apart || first + count > limit {
            return Err(bad(format!("a run of {count} pages at {first}, of {limit}")));
        }
        next = first + count;
        pages.extend((first..next).map(|page| page as u32));
    }
    Ok(pages)
}

/// A cursor that never reads past the end.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.0.split_at_checked(len).ok_or_else(|| bad(format!("it ends {} bytes early", len - self.0.len())))?;
        self.0 = tail;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Nothing may follow.
    pub(super) fn finish(&self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(bad(format!("{} bytes too many", self.0.len()))) }
    }
}
