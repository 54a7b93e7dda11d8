//! `snapshot`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Binding;
use crate::snapshot::Root;

/// What a snapshot is believed by.
#[derive(Debug, Clone, Args)]
pub struct Believed {
    /// The network whose committee must have vouched for it [default: that of the data directory]
    #[command(flatten)]
    pub binding: Binding,
    /// A root that you know to be right: believed whoever vouches for it and however old it is. May be repeated
    #[arg(long = "trust-root", value_name = "SLOT:HASH")]
    pub trust_roots: Vec<Root>,
}

/// `snapshot`.
#[derive(Debug, Clone, Subcommand)]
pub enum Snapshot {
    /// Have the running node write the newest certified state of a process into its folder of snapshots
    Create {
        /// The process
        #[arg(value_name = "PROCESS", allow_hyphen_values = true)]
        process: String,
        /// The newest certified state at or before this slot instead
        #[arg(long, value_name = "SLOT")]
        slot: Option<u64>,
    },
    /// Snapshots in the data directory
    List {
        /// Only of this process
        #[arg(long, value_name = "PROCESS", allow_hyphen_values = true)]
        process: Option<String>,
    },
    /// Check a snapshot: who vouches for it, each chunk, and that its state is the certified one. Offline
    Verify {
        /// The file
        file: PathBuf,
        /// By what it is believed
        #[command(flatten)]
        believed: Believed,
    },
    /// Check a snapshot, compare it with the log of a stopped node, and let its evaluation begin there
    Import {
        /// The file
        file: PathBuf,
        /// By what it is believed
        #[command(flatten)]
        believed: Believed,
    },
    /// Check a snapshot and put it where the node of this data directory gives it to peers that ask
    Serve {
        /// The file
        file: PathBuf,
        /// By what it is believed
        #[command(flatten)]
        believed: Believed,
    },
}
