//! `weave`.

use std::path::PathBuf;

use ao_types::Id;
use clap::Args;

use crate::config::Span;

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
