//! Where events and chunks are kept: in memory, or in one append-only file that is read back at the next start.
//!
//! ```text
//! magic ‖ record*        record = length (4, little-endian) ‖ kind (1) ‖ check (8) ‖ body
//!                        kind 0: an event as JSON        kind 1: SHA-256 of a chunk (32) ‖ its bytes
//! ```
//!
//! A record that was cut off by a crash is cut away; one that is broken in the middle is an error, since what follows stands on it.
//! Chunks of a file stay in the file: memory holds 48 bytes for each.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ao_types::Id;
use ao_types::hash::sha256;
use bytes::Bytes;

use crate::event::Event;
use crate::limits::RECORD_BYTES_MAX;

const MAGIC: &[u8] = b"ao-weave journal 1\n";
const HEAD: usize = 13;
const EVENT: u8 = 0;
const CHUNK: u8 = 1;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process writes it.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// Not a journal of this kind, or broken before its end.
    #[error("{path}: byte {at}: {what}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What is wrong there.
        what: String,
    },
}

/// Events go in; chunks go in and come out.
#[derive(Debug)]
pub enum Store {
    /// Gone when the process ends.
    Memory(HashMap<Id, Bytes>),
    /// A file.
    File(Journal),
}

/// The file.
#[derive(Debug)]
pub struct Journal {
    file: File,
    end: u64,
    places: HashMap<Id, (u64, u32)>,
}

impl Store {
    /// In memory.
    pub fn memory() -> Self {
        Self::Memory(HashMap::new())
    }

    /// Opens a journal or begins one, hands its events to `each`, and keeps it from other processes.
    ///
    /// # Errors
    /// The disk, another process, or what `each` says of an event.
    pub fn open(path: &Path, mut each: impl FnMut(Event) -> Result<(), String>) -> Result<Self, StoreError> {
        let io = |error| StoreError::Io { path: path.to_owned(), error };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        file.try_lock().map_err(|_| StoreError::Locked(path.to_owned()))?;
        let length = file.metadata().map_err(io)?.len();
        let mut journal = Journal { file, end: 0, places: HashMap::new() };
        if length < MAGIC.len() as u64 {
            // Nothing, or a first write that was cut off.
            journal.file.set_len(0).map_err(io)?;
            journal.write(MAGIC).map_err(io)?;
            return Ok(Self::File(journal));
        }
        let broken = |at, what: String| StoreError::Broken { path: path.to_owned(), at, what };
        let mut reader = BufReader::with_capacity(1 << 20, &journal.file);
        let mut magic = [0; MAGIC.len()];
        reader.read_exact(&mut magic).map_err(io)?;
        if magic != MAGIC {
            return Err(broken(0, "not a journal of this version".into()));
        }
        let mut at = MAGIC.len() as u64;
        loop {
            let mut head = [0; HEAD];
            if length - at < HEAD as u64 {
                break;
            }
            reader.read_exact(&mut head).map_err(io)?;
            let size = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            if size > RECORD_BYTES_MAX {
                return Err(broken(at, format!("a record of {size} bytes")));
            }
            if length - at - (HEAD as u64) < size as u64 {
                break;
            }
            let mut body = vec![0; size];
            reader.read_exact(&mut body).map_err(io)?;
            let kind = head[4];
            if check(kind, &[&body]) != head[5..] {
                if at + (HEAD + size) as u64 == length {
                    // The last one: its blocks reached the disk in another order than they were written.
                    break;
                }
                return Err(broken(at, "a record does not match its check".into()));
            }
            match (kind, body.split_first_chunk::<32>()) {
                (EVENT, _) => {
                    let event = serde_json::from_slice(&body).map_err(|error| broken(at, error.to_string()))?;
                    each(event).map_err(|what| broken(at, what))?;
                }
                (CHUNK, Some((hash, bytes))) => {
                    journal.places.insert(Id(*hash), (at + (HEAD + 32) as u64, bytes.len() as u32));
                }
                _ => return Err(broken(at, format!("a record of kind {kind}"))),
            }
            at += (HEAD + size) as u64;
        }
        drop(reader);
        journal.file.set_len(at).map_err(io)?;
        journal.end = at;
        Ok(Self::File(journal))
    }

    /// Keeps events, in order.
    ///
    /// # Errors
    /// The disk.
    pub fn record(&mut self, events: &[Event]) -> io::Result<()> {
        let Self::File(journal) = self else { return Ok(()) };
        let mut out = Vec::new();
        for event in events {
            let body = serde_json::to_vec(event)?;
            frame(&mut out, EVENT, &[&body]);
        }
        journal.write(&out)
    }

    /// Keeps a chunk's bytes; the same bytes are kept once.
    ///
    /// # Errors
    /// The disk.
    pub fn put(&mut self, hash: Id, bytes: Bytes) -> io::Result<()> {
        match self {
            Self::Memory(chunks) => {
                chunks.entry(hash).or_insert(bytes);
            }
            Self::File(journal) if journal.places.contains_key(&hash) => {}
            Self::File(journal) => {
                let mut out = Vec::with_capacity(HEAD + 32 + bytes.len());
                frame(&mut out, CHUNK, &[&hash.0, &bytes]);
                let at = journal.end + (HEAD + 32) as u64;
                journal.write(&out)?;
                journal.places.insert(hash, (at, bytes.len() as u32));
            }
        }
        Ok(())
    }

    /// A chunk's bytes.
    ///
    /// # Errors
    /// The disk.
    pub fn get(&self, hash: &Id) -> io::Result<Option<Bytes>> {
        match self {
            Self::Memory(chunks) => Ok(chunks.get(hash).cloned()),
            Self::File(journal) => {
                let Some((at, length)) = journal.places.get(hash) else { return Ok(None) };
                let mut bytes = vec![0; *length as usize];
                journal.file.read_exact_at(&mut bytes, *at)?;
                Ok(Some(bytes.into()))
            }
        }
    }
}

impl Journal {
    /// Appends. What a failed write left behind is overwritten by the next one.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

fn check(kind: u8, pieces: &[&[u8]]) -> [u8; 8] {
    let kind = [kind];
    let all: Vec<&[u8]> = std::iter::once(&kind[..]).chain(pieces.iter().copied()).collect();
    let hash = sha256(&all);
    hash.first_chunk().copied().unwrap_or_default()
}

fn frame(out: &mut Vec<u8>, kind: u8, pieces: &[&[u8]]) {
    let size: usize = pieces.iter().map(|piece| piece.len()).sum();
    out.extend_from_slice(&(size as u32).to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&check(kind, pieces));
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(n: u64) -> Vec<Event> {
        (0..n).map(|winston_per_byte| Event::Priced { winston_per_byte }).collect()
    }

    fn read(path: &Path) -> Result<(Store, Vec<Event>), StoreError> {
        let mut found = Vec::new();
        let store = Store::open(path, |event| {
            found.push(event);
            Ok(())
        })?;
        Ok((store, found))
    }

    #[test]
    fn what_was_written_is_read_and_a_torn_end_is_cut_at_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut store, found) = read(&path).unwrap();
        assert!(found.is_empty());
        store.record(&events(3)).unwrap();
        store.put(Id([1; 32]), Bytes::from_static(b"a chunk")).unwrap();
        assert!(matches!(read(&path), Err(StoreError::Locked(_))));
        drop(store);
        let before = std::fs::read(&path).unwrap();
        let (mut store, found) = read(&path).unwrap();
        assert_eq!(found, events(3));
        assert_eq!(store.get(&Id([1; 32])).unwrap().unwrap(), "a chunk");
        store.put(Id([1; 32]), Bytes::from_static(b"a chunk")).unwrap();
        store.record(&events(1)).unwrap();
        drop(store);
        let after = std::fs::read(&path).unwrap();
        for cut in before.len()..after.len() {
            std::fs::write(&path, &after[..cut]).unwrap();
            let (_, found) = read(&path).unwrap_or_else(|error| panic!("{cut}: {error}"));
            assert_eq!(found, events(3), "{cut}");
            assert_eq!(std::fs::read(&path).unwrap(), before, "{cut}");
        }
        std::fs::write(&path, &after[..7]).unwrap();
        assert_eq!(read(&path).unwrap().1, []);
    }

    #[test]
    fn a_journal_that_is_broken_in_the_middle_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        read(&path).unwrap().0.record(&events(3)).unwrap();
        let good = std::fs::read(&path).unwrap();
        for at in [0, MAGIC.len() + 4, MAGIC.len() + 6, MAGIC.len() + HEAD + 2] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert!(matches!(read(&path), Err(StoreError::Broken { .. })), "{at}");
        }
        std::fs::write(&path, [MAGIC, &(RECORD_BYTES_MAX as u32 + 1).to_le_bytes(), &[0; 20]].concat()).unwrap();
        assert!(matches!(read(&path), Err(StoreError::Broken { .. })), "nothing is read into memory on a claim");
    }
}
