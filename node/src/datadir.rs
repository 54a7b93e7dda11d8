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
//!   snapshots/      0700  certified states of processes (`<process>-<slot>.snapshot`), and parts of those being fetched; safe to delete
//!   tmp/                  files being written
//! ```
//!
//! Refuses (exit code 3) when somebody else could read a secret: a secret is worth nothing once it was readable, so the node does not
//! quietly tighten the mode. Refuses (exit code 9) a directory in use, of another network, or written by a newer version.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ao_types::{Genesis, NetworkId};
use serde::{Deserialize, Serialize};

mod error;
mod files;

use error::Context as _;
pub use error::Error;
pub use files::write_atomic;
use files::{ENTRIES_MAX, private, private_tree};
pub(crate) use files::{check_secret_file, entropy, make_private_folder, read_at_most, read_json, read_small, remove_durably, write_json};

/// Layout version this binary writes and the newest it reads. The store has its own, inside.
pub const SCHEMA: u32 = 1;

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

/// Where compiled modules are kept that many directories can share.
pub fn compiled() -> Option<PathBuf> {
    cache_root().map(|cache| cache.join("compiled"))
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
    /// Certified states in files, own and fetched.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
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

#[cfg(test)]
mod tests;
