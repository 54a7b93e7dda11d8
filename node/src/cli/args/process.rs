//! What is said to processes: `process`, `message`, `eval`, `dry-run`, `console`.

use clap::{Args, Subcommand};

use super::Load;

/// `process`.
#[derive(Debug, Subcommand)]
pub enum Process {
    /// Create a process
    Spawn {
        /// Module item; the node's embedded Lua module when left out
        #[arg(long, value_name = "ID", allow_hyphen_values = true)]
        module: Option<String>,
        /// Address that orders its messages; the node's own when left out, or one of its network if it schedules nothing
        #[arg(long, value_name = "ADDRESS", allow_hyphen_values = true)]
        scheduler: Option<String>,
        /// What it carries.
        #[command(flatten)]
        content: Content,
        /// Wait until it has booted
        #[arg(long)]
        wait: bool,
    },
    /// Read a process of the older network, log and all, into a data directory and evaluate it. The node is stopped, or new
    #[command(
        after_help = "Example:\n  aonode process load PID --gateway https://arweave.net --su https://su-router.ao-testnet.xyz --datadir ./read"
    )]
    Load(Load),
    /// Processes this node orders
    List {
        /// At most this many
        #[arg(long, default_value_t = 30)]
        limit: u32,
        /// Where the last page ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// One process
    Show {
        /// Its id.
        #[arg(allow_hyphen_values = true)]
        process: String,
    },
}

/// Tags, data and signer of what is sent.
#[derive(Debug, Clone, Default, Args)]
pub struct Content {
    /// A tag; may be repeated
    #[arg(long = "tag", value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub tags: Vec<String>,
    /// Data: the text itself, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "TEXT|@FILE|-", allow_hyphen_values = true)]
    pub data: Option<String>,
    /// Wallet that signs: a JWK file or an address in the data directory [default: the client's]
    #[arg(long, value_name = "FILE|ADDRESS", allow_hyphen_values = true, env = "AONODE_WALLET")]
    pub wallet: Option<String>,
}

/// `message`.
#[derive(Debug, Subcommand)]
pub enum Message {
    /// Send a message
    Send {
        /// To whom
        #[arg(long, value_name = "PID", allow_hyphen_values = true)]
        process: String,
        /// Shorthand for `--tag Action=…`
        #[arg(long)]
        action: Option<String>,
        /// What it carries.
        #[command(flatten)]
        content: Content,
        /// Wait until it is assigned, certified, confirmed, computed or anchored; computed when no level is named
        #[arg(long, value_name = "LEVEL", num_args = 0..=1, default_missing_value = "computed", value_parser = crate::cli::sending::goal)]
        wait: Option<crate::levels::Goal>,
    },
    /// How far a message came, and what it caused
    Trace {
        /// Its id.
        #[arg(allow_hyphen_values = true)]
        message: String,
    },
    /// The result of a message; exit code 13 if the process answered with an error
    Result {
        /// Its id.
        #[arg(allow_hyphen_values = true)]
        message: String,
        /// Its process; found by itself when left out
        #[arg(long, value_name = "PID", allow_hyphen_values = true)]
        process: Option<String>,
    },
}

/// `eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// The process.
    #[arg(allow_hyphen_values = true)]
    pub process: String,
    /// Code; `-` for standard input.
    #[arg(allow_hyphen_values = true)]
    pub code: String,
    /// Wallet that signs: a JWK file or an address in the data directory [default: the client's]
    #[arg(long, value_name = "FILE|ADDRESS", allow_hyphen_values = true, env = "AONODE_WALLET")]
    pub wallet: Option<String>,
}

/// `dry-run`.
#[derive(Debug, Args)]
pub struct DryRun {
    /// The process.
    #[arg(allow_hyphen_values = true)]
    pub process: String,
    /// Shorthand for `--tag Action=…`
    #[arg(long)]
    pub action: Option<String>,
    /// A tag; may be repeated
    #[arg(long = "tag", value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub tags: Vec<String>,
    /// Data: the text itself, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "TEXT|@FILE|-", allow_hyphen_values = true)]
    pub data: Option<String>,
    /// Who asks [default: the client's address]
    #[arg(long, value_name = "ADDRESS", allow_hyphen_values = true)]
    pub from: Option<String>,
}

/// `console`.
#[derive(Debug, Args)]
pub struct Console {
    /// The process.
    #[arg(allow_hyphen_values = true)]
    pub process: String,
    /// Wallet that signs: a JWK file or an address in the data directory [default: the client's]
    #[arg(long, value_name = "FILE|ADDRESS", allow_hyphen_values = true, env = "AONODE_WALLET")]
    pub wallet: Option<String>,
}
