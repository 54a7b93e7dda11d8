//! `db`: the database of a node that is stopped.

use clap::Subcommand;

use crate::config::Span;

/// `db`.
#[derive(Debug, Clone, Subcommand)]
pub enum Db {
    /// What each table takes, and what of it comes back
    Stats {
        /// Count rows one by one instead of estimating them; reads everything
        #[arg(long)]
        exact: bool,
    },
    /// Rewrite tables without what was replaced or deleted; needs as much room again as the largest takes
    Compact {
        /// Only this table; may be repeated
        #[arg(long = "table", value_name = "NAME")]
        tables: Vec<String>,
    },
    /// Let go of messages that are on Arweave for good and evaluated; `aonode db compact` gives the room back
    Prune {
        /// Keep what is younger [default: storage.keep]
        #[arg(long, value_name = "TIME")]
        keep: Option<Span>,
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
    /// Look at every row, and whether rows agree; exit code 10 damaged, 8 contradictions
    Check {
        /// Check signatures of items and assignments, too
        #[arg(long)]
        signatures: bool,
    },
}
