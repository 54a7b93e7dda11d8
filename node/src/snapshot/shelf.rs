//! The folder of snapshots of a data directory: which there are, and which may stay.
//!
//! A file is written whole or not at all, under a name made of its process and slot: names are ours, never a stranger's. What is in the
//! folder and is no snapshot is left alone and not served.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ao_types::{Id, Slot};

use super::file::{self, SnapshotFile};
use super::limits::{DEAD_WRITE_MS, FILES_MAX, KEPT_BYTES_MAX, KEPT_PER_PROCESS, MANIFEST_BYTES_MAX};
use super::{Manifest, Refused, room};
use crate::datadir;

/// A snapshot in the folder.
#[derive(Debug)]
pub struct Entry {
    /// Where.
    pub path: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// See the module documentation.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// Nothing is looked at or made.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where a state of a process is, if it is there.
    pub fn path(&self, process: &Id, slot: Slot) -> PathBuf {
        self.folder.join(format!("{process}-{slot:020}.snapshot", slot = slot.0))
    }

    /// When a file came or went last; `None` where there is no folder.
    pub fn changed(&self) -> Option<SystemTime> {
        std::fs::metadata(&self.folder).and_then(|folder| folder.modified()).ok()
    }

    /// Every snapshot, by process, the newest first. No folder is an empty one.
    ///
    /// # Errors
    /// The disk.
    pub fn list(&self) -> Result<Vec<Entry>, Refused> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut found = Vec::new();
        for entry in entries.take(FILES_MAX) {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "snapshot") {
                continue;
            }
            match SnapshotFile::open(&path) {
                Ok(SnapshotFile { manifest, .. }) => found.push(Entry { path, manifest }),
                Err(error) => {
                    tracing::warn!(event = "snapshot_unread", path = %path.display(), %error, "this file is left alone; remove it")
                }
            }
        }
        found.sort_by_key(|entry| (entry.manifest.process, std::cmp::Reverse(entry.manifest.slot)));
        Ok(found)
    }

    /// Whether anything may be written there at all, before it is worked out.
    ///
    /// # Errors
    /// [`Refused::NoRoom`]; the disk.
    pub fn has_room(&self, reserve: u64) -> Result<(), Refused> {
        datadir::make_private_folder(&self.folder).map_err(failed)?;
        room::fits(&self.folder, 0, 0, reserve)
    }

    /// Puts a state there, durably, once what may not stay beside it is gone; `reserve` bytes of the disk stay free.
    ///
    /// # Errors
    /// [`Refused::NoRoom`]: the folder is as before. The disk: it is as before, or has fewer old files.
    pub fn put(&self, manifest: &Manifest, body: &[u8], reserve: u64) -> Result<PathBuf, Refused> {
        datadir::make_private_folder(&self.folder).map_err(failed)?;
        let path = self.path(&manifest.process, manifest.slot);
        let mut bytes = Vec::with_capacity(body.len() + MANIFEST_BYTES_MAX);
        file::write(&mut bytes, manifest, body)?;
        self.remove_dead()?;
        let goes = outlived(self.list()?, &path, manifest);
        let freed = goes.iter().map(|entry| entry.manifest.total).sum();
        room::fits(&self.folder, bytes.len() as u64, freed, reserve)?;
        for entry in goes {
            remove(&entry.path)?;
        }
        datadir::write_atomic(&path, &bytes, 0o600).map_err(failed)?;
        Ok(path)
    }

    /// Halves of files whose writer died: nobody writes one for so long.
    fn remove_dead(&self) -> Result<(), Refused> {
        for path in std::fs::read_dir(&self.folder)?.take(FILES_MAX).flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !(name.starts_with('.') && name.contains(".snapshot.") && name.ends_with(".new")) {
                continue;
            }
            let changed = std::fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
            let age = changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
            if age.is_some_and(|age| age > Duration::from_millis(DEAD_WRITE_MS)) {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Those that go when there is one more, at `new`: the oldest beyond what is kept of a process, and of all of them. In the order of [`Shelf::list`].
fn outlived(entries: Vec<Entry>, new: &Path, manifest: &Manifest) -> Vec<Entry> {
    let (mut of_process, mut goes, mut kept) = ((Id([0; 32]), 0), Vec::new(), Vec::new());
    for entry in entries.into_iter().filter(|entry| entry.path != new) {
        let Manifest { process, slot, .. } = entry.manifest;
        // The new one has its place among those of its process wherever it stands.
        let newer = usize::from(process == manifest.process && manifest.slot > slot);
        of_process = (process, if of_process.0 == process { of_process.1 + 1 } else { 1 });
        if of_process.1 + newer > KEPT_PER_PROCESS { goes.push(entry) } else { kept.push(entry) }
    }
    // The newest of all first: what is beyond the bytes is the oldest, whosesoever it is.
    kept.sort_by_key(|entry| std::cmp::Reverse(entry.manifest.timestamp_ms));
    let mut bytes = 0_u64;
    for entry in kept {
        let newer = if manifest.timestamp_ms >= entry.manifest.timestamp_ms { manifest.total } else { 0 };
        bytes = bytes.saturating_add(entry.manifest.total);
        if bytes.saturating_add(newer) > KEPT_BYTES_MAX {
            goes.push(entry);
        }
    }
    goes
}

fn failed(error: datadir::Error) -> Refused {
    Refused::Io(std::io::Error::other(error.to_string()))
}

/// That somebody else removed it before is as well.
fn remove(path: &Path) -> Result<(), Refused> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
