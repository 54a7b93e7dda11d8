//! A snapshot as a file: magic, length of the manifest, manifest, body. Nothing else, so there is nothing that could name another file.

use std::fs::File;
use std::io::{Read as _, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ao_types::Canonical as _;

use super::limits::MANIFEST_BYTES_MAX;
use super::{CHUNK_BYTES, Manifest, Refused};

const MAGIC: &[u8; 8] = b"aosnap1\n";

/// Bytes in front of the manifest.
const HEAD_BYTES: usize = MAGIC.len() + 4;

/// A file that begins like a snapshot and has as many bytes as one. Chunks are read as they are wanted, and checked.
#[derive(Debug)]
pub struct SnapshotFile {
    /// What it says of itself, unchecked.
    pub manifest: Manifest,
    file: File,
    body_at: u64,
}

/// Writes one.
///
/// # Errors
/// Whatever the writer says.
pub fn write(out: &mut dyn Write, manifest: &Manifest, body: &[u8]) -> std::io::Result<()> {
    let head = manifest.encode();
    out.write_all(MAGIC)?;
    out.write_all(&(head.len() as u32).to_be_bytes())?;
    out.write_all(&head)?;
    out.write_all(body)
}

impl SnapshotFile {
    /// Opens one. Nothing larger than a manifest may be is allocated.
    ///
    /// # Errors
    /// It is none, cut off, or has more bytes than it says.
    pub fn open(path: &Path) -> Result<Self, Refused> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Refused::Malformed("it is no regular file".into()));
        }
        let short = |_| Refused::Malformed("it ends within its head".into());
        let mut head = [0; HEAD_BYTES];
        file.read_exact(&mut head).map_err(short)?;
        let (magic, length) = head.split_at(MAGIC.len());
        let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        if magic != MAGIC {
            return Err(Refused::Malformed("it does not begin like one".into()));
        }
        if length > MANIFEST_BYTES_MAX {
            return Err(Refused::Malformed(format!("a manifest of {length} bytes, at most {MANIFEST_BYTES_MAX} are read")));
        }
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(short)?;
        let manifest = Manifest::decode(&bytes).map_err(|error| Refused::Malformed(error.to_string()))?;
        let body_at = (HEAD_BYTES + length) as u64;
        if metadata.len() != body_at + manifest.total {
            return Err(Refused::Malformed(format!("{} bytes, {} are due", metadata.len(), body_at + manifest.total)));
        }
        Ok(Self { manifest, file, body_at })
    }

    /// Bytes `from` to `from + length` of the body, not checked; fewer at its end.
    ///
    /// # Errors
    /// The disk.
    pub fn part(&self, from: u64, length: usize) -> Result<Vec<u8>, Refused> {
        let length = self.manifest.total.saturating_sub(from).min(length as u64) as usize;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, self.body_at + from)?;
        Ok(bytes)
    }

    /// Chunk `index`, checked.
    ///
    /// # Errors
    /// It is not the one that the manifest names; the disk.
    pub fn chunk(&self, index: u32) -> Result<Vec<u8>, Refused> {
        let bytes = self.part(u64::from(index) * CHUNK_BYTES as u64, CHUNK_BYTES)?;
        self.manifest.check_chunk(index, &bytes)?;
        Ok(bytes)
    }

    /// The whole body: every chunk checked, and the state that it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn body(&self) -> Result<Vec<u8>, Refused> {
        let mut body = Vec::with_capacity(self.manifest.total as usize);
        for index in 0..self.manifest.chunks.len() as u32 {
            body.extend_from_slice(&self.chunk(index)?);
        }
        self.manifest.check_body(&body)?;
        Ok(body)
    }
}
