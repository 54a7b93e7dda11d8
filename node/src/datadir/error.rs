//! Why a data directory cannot be used, each reason with its exit code.

use std::io;
use std::path::{Path, PathBuf};

use ao_types::NetworkId;

use super::SCHEMA;

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

/// An error of the system gets what was tried, and with what.
pub(super) trait Context<T> {
    /// `Err` becomes [`Error::Io`].
    fn context(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source })
    }
}
