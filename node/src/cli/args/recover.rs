//! `recover`.

use clap::Args;

use super::Binding;

/// `recover`.
#[derive(Debug, Clone, Args)]
#[group(id = "subject", required = true, multiple = true, args = ["process", "genesis"])]
pub struct Recover {
    /// Gateways to read from. Several make good what one hides, fails at or lies about
    #[arg(long, value_name = "URL", required = true, value_delimiter = ',')]
    pub from_arweave: Vec<String>,
    /// One process, whoever schedules it. Without it the whole network of --genesis is recovered
    #[arg(long, value_name = "ID", allow_hyphen_values = true, conflicts_with = "genesis")]
    pub process: Option<String>,
    /// The network whose processes are recovered, each confirmed by its committee.
    #[command(flatten)]
    pub binding: Binding,
    /// Read every block and ask no index: slower, and nobody can hide the end of a log
    #[arg(long)]
    pub every_block: bool,
    /// Nothing is below this height: saves time
    #[arg(long, value_name = "HEIGHT", default_value_t = 0)]
    pub from_height: u64,
    /// Begin each process at its newest state on Arweave that a certificate vouches for; what lies before is evaluated by the node that
    /// starts, in the background, and compared
    #[arg(long)]
    pub from_checkpoint: bool,
    /// Take what lies before the first hole, if something is missing that nobody has
    #[arg(long)]
    pub up_to_hole: bool,
}
