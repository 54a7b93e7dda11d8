//! Arweave: `weave`, the chain of our own, and `anchor`, what is written to any.

use std::path::PathBuf;

use ao_types::Id;
use clap::{Args, Subcommand};

use crate::config::Span;

/// The Arweave that nodes write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arweave {
    /// None.
    None,
    /// A chain of our own that comes with the command.
    Embedded,
    /// The one that this gateway shows.
    At(String),
}

impl std::str::FromStr for Arweave {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "embedded" => Ok(Self::Embedded),
            url if url.starts_with("http://") || url.starts_with("https://") => Ok(Self::At(url.to_owned())),
            _ => Err("`embedded`, `none` or the URL of a gateway is expected".to_owned()),
        }
    }
}

/// `weave`.
#[derive(Debug, Clone, Args)]
pub struct WeaveArguments {
    /// Port of the first gateway on loopback; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 1984)]
    pub port: u16,
    /// How many gateways show the chain, each on a port and with faults of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub gateways: usize,
    /// Keep the chain in this file; without it nothing is kept
    #[arg(long, value_name = "FILE")]
    pub persist: Option<PathBuf>,
    /// A block every so often
    #[arg(long, value_name = "TIME", default_value = "2s", conflicts_with_all = ["instant", "manual"])]
    pub block_interval: Span,
    /// A block at once when something is posted
    #[arg(long, conflicts_with = "manual")]
    pub instant: bool,
    /// Blocks on command only: POST /dev/mine
    #[arg(long)]
    pub manual: bool,
    /// Where all chance of faults comes from
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// A wallet that has 1000 AR from the beginning, beside the well-known ones; may be repeated
    #[arg(long, value_name = "ADDRESS", allow_hyphen_values = true)]
    pub fund: Vec<Id>,
}

/// `anchor`.
#[derive(Debug, Clone, Subcommand)]
pub enum Anchor {
    /// How far the node is with what it writes, what it cost, and how gateways answer
    Status,
    /// What the node wrote to Arweave, newest first
    List {
        /// At most this many
        #[arg(long, default_value_t = 30)]
        limit: u32,
        /// Where the last page ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// One writing: its transactions, receipts, ranges
    Show {
        /// Its number
        number: u64,
    },
    /// Check one on Arweave itself, from the block to the slots: the node says where to look, and is not believed
    Verify {
        /// Its number
        number: u64,
        /// Base URL of a gateway, better of several [default: arweave.gateways of the data directory]
        #[arg(long, value_name = "URL")]
        arweave: Vec<String>,
        /// Genesis of the network whose certificates these are [default: the data directory's]
        #[arg(long, value_name = "FILE")]
        genesis: Option<PathBuf>,
    },
}
