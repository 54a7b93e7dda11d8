//! The data directory: what is where, who may read it, and that only one node uses it (`operations.md`, section 2).
//!
//! ```text
//! <root>/                 0700, $XDG_DATA_HOME/aonode/<network> unless told otherwise
//!   LOCK                  held while a node runs; contains its process id
//!   VERSION               {"schema":1,"created_by":"0.1.0"}
//!   network.json          {"name":"local","genesis_hash":null}: which network these data belong to
//!   config.toml           configuration, explained line by line
//!   api-token       0600  bearer token of the admin listener; made anew when it was deleted
//!   genesis.json          the genesis whose hash network.json pins; none for a node by itself
//!   node.key        0600  seed of the node's own Ed25519 key
//!   keys/           0700  wallet/<address>.json (JWK, 0600), roles.json (which wallet signs what), bls/<public key>.json (ERC-2335)
//!   secrets/        0700  passwords of attestors' keys
//!   db/                   the store
//!   slashing/             what attestors' signatures are bound by; never deleted, never restored from an older copy
//!   runtimes/             Lua runtimes that processes began on
//!   modules/              compiled modules; safe to delete
//!   tmp/                  files being written
//! ```
//!
//! Refuses (exit code 3) when somebody else could read a secret: a secret is worth nothing once it was readable, so the node does not
//! quietly tighten the mode. Refuses (exit code 9) a directory in use, of another network, or written by a newer version.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ao_types::{Genesis, NetworkId};
use serde::{Deserialize, Serialize};

/// Layout version this binary writes and the newest it reads. The store has its own, inside.
pub const SCHEMA: u32 = 1;
/// Entries looked at when permissions are checked; a key folder has a handful.
const ENTRIES_MAX: usize = 10_000;
/// Largest small file read whole (`VERSION`, `network.json`, a token, a key).
const SMALL_FILE_MAX: u64 = 64 * 1024;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was initialised there. Exit code 9.
    #[error("{root} is not a data directory of aonode: {missing} is missing")]
    NotInitialised {
        /// The directory.
        root: PathBuf,
        /// The file that every data directory has.
        missing: &'static str,
    },
    /// `init` on something. Exit code 9.
    #[error("{root} is not empty")]
    AlreadyInitialised {
        /// The directory.
        root: PathBuf,
    },
    /// Another node runs on it. Exit code 9.
    #[error("{root} is in use by process {pid}")]
    Locked {
        /// The directory.
        root: PathBuf,
        /// What `LOCK` says; `?` if it says nothing.
        pid: String,
    },
    /// Written by a newer version. Exit code 9.
    #[error("{root} has layout {found}, written by aonode {created_by}; this binary reads up to {SCHEMA}")]
    TooNew {
        /// The directory.
        root: PathBuf,
        /// Its layout.
        found: u32,
        /// The version that can read it.
        created_by: String,
    },
    /// It belongs to another network. Exit code 9.
    #[error("{root} belongs to network `{found}`, not `{wanted}`")]
    WrongNetwork {
        /// The directory.
        root: PathBuf,
        /// In `network.json`.
        found: String,
        /// As configured.
        wanted: String,
    },
    /// Its genesis is not the one it was bound to, or is to be bound to. Exit code 9.
    #[error("{root} is bound to the genesis {pinned}, not {found}")]
    WrongGenesis {
        /// The directory.
        root: PathBuf,
        /// In `network.json`.
        pinned: NetworkId,
        /// Of the file that is there or was given.
        found: NetworkId,
    },
    /// Its data were made by a node by itself. Exit code 9.
    #[error("{root} was used by a node by itself: what it holds belongs to no network")]
    UsedAlone {
        /// The directory.
        root: PathBuf,
    },
    /// Others may read or write it. Exit code 3.
    #[error("{path} has mode {found:04o}; {wanted:04o} or stricter is needed, because it holds secrets")]
    TooOpen {
        /// File or directory.
        path: PathBuf,
        /// Permission bits found.
        found: u32,
        /// Loosest allowed.
        wanted: u32,
    },
    /// It belongs to another user. Exit code 3.
    #[error("{path} belongs to user {found}, and this process runs as user {wanted}")]
    NotOurs {
        /// File or directory.
        path: PathBuf,
        /// Its owner.
        found: u32,
        /// Ours.
        wanted: u32,
    },
    /// A file that should be there says something else. Exit code 10.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not hold.
        reason: String,
    },
    /// The system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source })
    }
}

#[derive(Serialize, Deserialize)]
struct Version {
    schema: u32,
    created_by: String,
}

#[derive(Serialize, Deserialize)]
struct NetworkFile {
    name: String,
    #[serde(default)]
    genesis_hash: Option<NetworkId>,
}

/// Where the directory of `network` is when nobody says otherwise. `None`: neither `XDG_DATA_HOME` nor `HOME` is set.
pub fn default_root(network: &str) -> Option<PathBuf> {
    xdg("XDG_DATA_HOME", ".local/share").map(|base| base.join("aonode").join(network))
}

/// Where downloads are kept that many directories can share (`$XDG_CACHE_HOME/aonode`).
pub fn cache_root() -> Option<PathBuf> {
    xdg("XDG_CACHE_HOME", ".cache").map(|base| base.join("aonode"))
}

fn xdg(variable: &str, under_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(under_home)))
}

/// Paths inside a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout under `root`; nothing is looked at.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// `config.toml`.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }
    /// `api-token`.
    pub fn token(&self) -> PathBuf {
        self.root.join("api-token")
    }
    /// Folder of wallets.
    pub fn wallets(&self) -> PathBuf {
        self.root.join("keys").join("wallet")
    }
    /// Which wallet signs what.
    pub fn roles(&self) -> PathBuf {
        self.root.join("keys").join("roles.json")
    }
    /// The store.
    pub fn db(&self) -> PathBuf {
        self.root.join("db")
    }
    /// Compiled modules.
    pub fn modules(&self) -> PathBuf {
        self.root.join("modules")
    }
    /// Lua runtimes that processes began on. Part of the data: without its runtime a process cannot be evaluated.
    pub fn runtimes(&self) -> PathBuf {
        self.root.join("runtimes")
    }
    /// Files being written.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
    /// Folder of attestors' keys.
    pub fn bls_keys(&self) -> PathBuf {
        self.root.join("keys").join("bls")
    }
    /// Folder of their passwords.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }
    /// The node's own key.
    pub fn node_key(&self) -> PathBuf {
        self.root.join("node.key")
    }
    /// What attestors' signatures are bound by.
    pub fn slashing(&self) -> PathBuf {
        self.root.join("slashing")
    }
    /// The genesis of the network, if these data belong to one.
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.json")
    }
    fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }
    fn version(&self) -> PathBuf {
        self.root.join("VERSION")
    }
    fn network(&self) -> PathBuf {
        self.root.join("network.json")
    }

    /// Whether a data directory was ever initialised here.
    pub fn exists(&self) -> bool {
        self.version().exists()
    }

    /// The network these data belong to.
    ///
    /// # Errors
    /// Not initialised, or damaged.
    pub fn network_name(&self) -> Result<String, Error> {
        read_json::<NetworkFile>(&self.network()).map(|file| file.name)
    }

    /// The genesis these data are bound to, and its hash; `None` for a node by itself. The file must still be what was pinned.
    ///
    /// # Errors
    /// Not initialised, damaged, or another genesis than the one pinned.
    pub fn pinned_genesis(&self) -> Result<Option<(Genesis, NetworkId)>, Error> {
        let Some(pinned) = read_json::<NetworkFile>(&self.network())?.genesis_hash else { return Ok(None) };
        let path = self.genesis();
        let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
        let bytes = read_at_most(&path, ao_types::limits::GENESIS_BYTES_MAX as u64)?;
        let genesis = Genesis::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        let found = genesis.network_id().map_err(|error| damaged(error.to_string()))?;
        if found != pinned {
            return Err(Error::WrongGenesis { root: self.root.clone(), pinned, found });
        }
        Ok(Some((genesis, found)))
    }

    /// Checks that only this user can read what is secret, as `start` does, without taking the lock.
    ///
    /// # Errors
    /// The first entry that is too open or another user's.
    pub fn check_permissions(&self) -> Result<(), Error> {
        let mut left = ENTRIES_MAX;
        private(&self.root, 0o700)?;
        for secret in [self.token(), self.node_key()] {
            if secret.exists() {
                private(&secret, 0o600)?;
            }
        }
        for folder in [self.root.join("keys"), self.secrets()] {
            if folder.exists() {
                private_tree(&folder, &mut left)?;
            }
        }
        Ok(())
    }
}

/// A data directory in use by this process: the lock is held until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    layout: Layout,
    _lock: File,
}

impl std::ops::Deref for DataDir {
    type Target = Layout;
    fn deref(&self) -> &Layout {
        &self.layout
    }
}

impl DataDir {
    /// Makes a data directory for `network`, with `config` as its configuration file, and locks it. With `force` one that is there is
    /// kept, and only what is missing is added: keys and data are never overwritten.
    ///
    /// # Errors
    /// Something is there and `force` is not set; or the system refuses.
    pub fn create(root: &Path, network: &str, config: &str, force: bool) -> Result<Self, Error> {
        let layout = Layout::new(root);
        let empty = fs::read_dir(root).map(|mut entries| entries.next().is_none()).unwrap_or(true);
        if !empty && !force {
            return Err(Error::AlreadyInitialised { root: root.to_owned() });
        }
        for folder in [root.to_owned(), layout.wallets(), layout.db(), layout.runtimes(), layout.modules(), layout.tmp()] {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).context("create", &folder)?;
        }
        let lock = take_lock(&layout)?;
        if !layout.config().exists() {
            write_atomic(&layout.config(), config.as_bytes(), 0o600)?;
        }
        if !layout.network().exists() {
            write_json(&layout.network(), &NetworkFile { name: network.to_owned(), genesis_hash: None })?;
        }
        // Last: a directory with a VERSION is complete.
        if !layout.version().exists() {
            write_json(&layout.version(), &Version { schema: SCHEMA, created_by: crate::VERSION.to_owned() })?;
        }
        drop(lock);
        Self::open(root, network)
    }

    /// Locks an existing data directory of `network` and checks it.
    ///
    /// # Errors
    /// Not initialised, in use, another network's, too new, too open, another user's.
    pub fn open(root: &Path, network: &str) -> Result<Self, Error> {
        let layout = Layout::new(root);
        if !layout.exists() {
            return Err(Error::NotInitialised { root: root.to_owned(), missing: "VERSION" });
        }
        layout.check_permissions()?;
        let lock = take_lock(&layout)?;
        let version: Version = read_json(&layout.version())?;
        if version.schema > SCHEMA {
            return Err(Error::TooNew { root: root.to_owned(), found: version.schema, created_by: version.created_by });
        }
        let found = layout.network_name()?;
        if found != network {
            return Err(Error::WrongNetwork { root: root.to_owned(), found, wanted: network.to_owned() });
        }
        // What a crash left half written is of no use to anybody.
        if let Ok(entries) = fs::read_dir(layout.tmp()) {
            entries.flatten().for_each(|entry| drop(fs::remove_file(entry.path())));
        }
        Ok(Self { layout, _lock: lock })
    }

    /// Binds the directory to a genesis, for ever. Doing it again with the same one changes nothing.
    ///
    /// # Errors
    /// It is bound to another one, was used without one, or its network has another name; or the system refuses.
    pub fn pin_genesis(&self, genesis: &Genesis) -> Result<NetworkId, Error> {
        let damaged = |error: ao_types::GenesisError| Error::Damaged { path: self.genesis(), reason: error.to_string() };
        let hash = genesis.network_id().map_err(damaged)?;
        let file: NetworkFile = read_json(&self.network())?;
        match file.genesis_hash {
            Some(pinned) if pinned == hash => return Ok(hash),
            Some(pinned) => return Err(Error::WrongGenesis { root: self.root.clone(), pinned, found: hash }),
            None if self.db().join("CURRENT").exists() => return Err(Error::UsedAlone { root: self.root.clone() }),
            None if file.name != genesis.name => {
                return Err(Error::WrongNetwork { root: self.root.clone(), found: file.name, wanted: genesis.name.clone() });
            }
            None => {}
        }
        write_atomic(&self.genesis(), &genesis.canonical().map_err(damaged)?, 0o600)?;
        // Last: a directory that names a genesis has it.
        write_json(&self.network(), &NetworkFile { name: file.name, genesis_hash: Some(hash) })?;
        Ok(hash)
    }

    /// The admin listener's bearer token, made anew if it is not there.
    ///
    /// # Errors
    /// The system refuses, or the file does not hold a token.
    pub fn admin_token(&self) -> Result<String, Error> {
        let path = self.token();
        if !path.exists() {
            let mut bytes = [0_u8; 32];
            entropy(&mut bytes).context("draw entropy for", &path)?;
            write_atomic(&path, hex::encode(bytes).as_bytes(), 0o600)?;
        }
        let token = read_small(&path)?.trim().to_owned();
        if token.len() < 32 {
            return Err(Error::Damaged { path, reason: "a token has at least 32 characters; delete the file to get a new one".into() });
        }
        Ok(token)
    }
}

/// Bytes from the system's generator.
pub(crate) fn entropy(bytes: &mut [u8]) -> io::Result<()> {
    File::open("/dev/urandom")?.read_exact(bytes)
}

fn take_lock(layout: &Layout) -> Result<File, Error> {
    let path = layout.lock();
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).context("open", &path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).context("write", &path)?;
            write!(file, "{}", std::process::id()).context("write", &path)?;
            Ok(file)
        }
        Err(fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.take(20).read_to_string(&mut pid);
            let pid = if pid.is_empty() { "?".to_owned() } else { pid };
            Err(Error::Locked { root: layout.root.clone(), pid })
        }
        Err(fs::TryLockError::Error(source)) => Err(Error::Io { action: "lock", path, source }),
    }
}

/// `path` (links followed) is ours or root's, and its mode has no bit beyond `wanted`.
fn private(path: &Path, wanted: u32) -> Result<fs::Metadata, Error> {
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

fn private_tree(folder: &Path, left: &mut usize) -> Result<(), Error> {
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
    let temporary = folder.join(format!(".{name}.{}.new", std::process::id()));
    let attempt = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    attempt().inspect_err(|_| drop(fs::remove_file(&temporary))).context("write", path)
}

#[cfg(test)]
mod tests;
