//! Files of a data directory: who may read them, how much is read of them, and that each is written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::error::{Context as _, Error};

/// Entries looked at when permissions are checked; a key folder has a handful.
pub(super) const ENTRIES_MAX: usize = 10_000;
/// Largest small file read whole (`VERSION`, `network.json`, a token, a key).
const SMALL_FILE_MAX: u64 = 64 * 1024;

/// Bytes from the system's generator.
pub(crate) fn entropy(bytes: &mut [u8]) -> io::Result<()> {
    File::open("/dev/urandom")?.read_exact(bytes)
}

/// `path` (links followed) is ours or root's, and its mode has no bit beyond `wanted`.
pub(super) fn private(path: &Path, wanted: u32) -> Result<fs::Metadata, Error> {
    let metadata = fs::metadata(path).context("look at", path)?;
    // SAFETY: geteuid has no preconditions and cannot fail.
    let us = unsafe { libc::geteuid() };
    if metadata.uid() != us && metadata.uid() != 0 {
        return Err(Error::NotOurs { path: path.to_owned(), found: metadata.uid(), wanted: us });
    }
    let found = metadata.mode() & 0o7777;
    if found & 0o777 & !wanted != 0 {
        return Err(Error::TooOpen { path: path.to_owned(), found, wanted });
    }
    Ok(metadata)
}

/// Everything below a folder is [`private`]. `left`: entries that may still be looked at.
pub(super) fn private_tree(folder: &Path, left: &mut usize) -> Result<(), Error> {
    private(folder, 0o700)?;
    for entry in fs::read_dir(folder).context("list", folder)? {
        *left = left.checked_sub(1).ok_or_else(|| Error::Damaged {
            path: folder.to_owned(),
            reason: format!("more than {ENTRIES_MAX} entries; this is not a folder of keys"),
        })?;
        let path = entry.context("list", folder)?.path();
        if fs::metadata(&path).context("look at", &path)?.is_dir() {
            private_tree(&path, left)?;
        } else {
            private(&path, 0o600)?;
        }
    }
    Ok(())
}

/// A secret outside the data directory (a wallet file named on the command line): the same rule.
pub(crate) fn check_secret_file(path: &Path) -> Result<(), Error> {
    private(path, 0o600).map(drop)
}

/// Makes a folder that only this user can enter, if it is not there.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).context("create", path)
}

/// Reads a small text file.
pub(crate) fn read_small(path: &Path) -> Result<String, Error> {
    let damaged = |reason: std::string::FromUtf8Error| Error::Damaged { path: path.to_owned(), reason: reason.to_string() };
    String::from_utf8(read_at_most(path, SMALL_FILE_MAX)?).map_err(damaged)
}

/// Reads a file of at most `max` bytes.
pub(crate) fn read_at_most(path: &Path, max: u64) -> Result<Vec<u8>, Error> {
    let file = File::open(path).context("read", path)?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).context("read", path)?;
    if bytes.len() as u64 > max {
        return Err(Error::Damaged { path: path.to_owned(), reason: format!("larger than {max} bytes") });
    }
    Ok(bytes)
}

/// Reads a small JSON file.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    serde_json::from_str(&read_small(path)?).map_err(|error| Error::Damaged { path: path.to_owned(), reason: error.to_string() })
}

/// Deletes a file so that a crash does not bring it back.
pub(crate) fn remove_durably(path: &Path) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::remove_file(path).and_then(|()| File::open(folder)?.sync_all()).context("delete", path)
}

/// Writes a JSON file, at once or not at all.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Damaged { path: path.to_owned(), reason: error.to_string() })?;
    write_atomic(path, format!("{text}\n").as_bytes(), 0o600)
}

/// Writes a file at once or not at all, and durably: a reader sees the old bytes or the new ones, whatever crashes when.
///
/// # Errors
/// The system refused; the old file is as before.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Two threads may write one file, and a process id comes again after a crash: what bears our name then is nobody's.
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let temporary = folder.join(format!(".{name}.{}.{}.new", std::process::id(), WRITTEN.fetch_add(1, Ordering::Relaxed)));
    drop(fs::remove_file(&temporary));
    let attempt = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    attempt().inspect_err(|_| drop(fs::remove_file(&temporary))).context("write", path)
}
