//! Verbs of networks: the genesis, attestors' keys and what binds them.

use std::path::PathBuf;

use ao_types::{BlsKey, NetworkId};
use clap::{Args, Subcommand};

use super::{Arweave, Start};
use crate::config::Span;

/// `slashing`.
#[derive(Debug, Subcommand)]
pub enum Slashing {
    /// Say that the keys in this data directory never signed anywhere else
    #[command(after_help = "Example:\n  aonode slashing init --i-understand")]
    Init {
        /// If it is not true, the stake behind these keys will be slashed
        #[arg(long, required = true)]
        i_understand: bool,
    },
    /// Write the history of the keys to a file, for another machine. The node must be stopped, and stay stopped
    #[command(after_help = "Example:\n  aonode slashing export history.json")]
    Export {
        /// Where to; `-` for standard output
        file: PathBuf,
        /// Only this key
        #[arg(long, value_name = "KEY")]
        key: Option<BlsKey>,
    },
    /// Add a history from another machine. The stricter of both holds; doing it twice changes nothing
    #[command(after_help = "Example:\n  aonode slashing import history.json")]
    Import {
        /// The file that `export` wrote
        file: PathBuf,
    },
    /// What the keys are bound by
    #[command(after_help = "Example:\n  aonode slashing show --output json")]
    Show {
        /// Only this key
        key: Option<BlsKey>,
    },
    /// Replace old rows by a watermark that forbids as much
    #[command(after_help = "Example:\n  aonode slashing prune")]
    Prune {
        /// Epochs whose rows stay
        #[arg(long, default_value_t = crate::protection::KEEP_TERMS, value_name = "EPOCHS")]
        keep_terms: u64,
    },
}

/// `genesis`.
#[derive(Debug, Subcommand)]
pub enum Genesis {
    /// Begin a genesis file: everything but validators
    #[command(after_help = "Example:\n  aonode genesis new mynet --plugin attest --file genesis.json")]
    New(GenesisNew),
    /// Give an account a balance in the genesis
    #[command(after_help = "Example:\n  aonode genesis add-account genesis.json ADDRESS 1000000")]
    AddAccount {
        /// The genesis file
        file: PathBuf,
        /// The account
        #[arg(allow_hyphen_values = true)]
        address: String,
        /// In the smallest unit
        amount: u128,
    },
    /// Write what this data directory's operator hands in: attestor's key with proof of possession, node, scheduler
    #[command(after_help = "Example:\n  aonode genesis add-validator genesis.json --stake 1000 --addr /ip4/192.0.2.1/udp/7710/quic-v1")]
    AddValidator(AddValidator),
    /// Put handed-in validators into the genesis, each checked
    #[command(after_help = "Example:\n  aonode genesis collect genesis.json validator-*.json")]
    Collect {
        /// The genesis file
        file: PathBuf,
        /// What operators handed in
        #[arg(required = true)]
        validators: Vec<PathBuf>,
    },
    /// The 64 digits that operators compare before they start
    #[command(after_help = "Example:\n  aonode genesis hash genesis.json")]
    Hash {
        /// The genesis file
        file: PathBuf,
    },
    /// What a genesis says
    #[command(after_help = "Example:\n  aonode genesis show genesis.json")]
    Show {
        /// The genesis file [default: the data directory's]
        file: Option<PathBuf>,
    },
}

/// `genesis new`.
#[derive(Debug, Clone, Args)]
pub struct GenesisNew {
    /// Name of the network: 1 to 32 of the characters a-z 0-9 -
    pub name: String,
    /// Scope of proofs of possession [default: NAME-1]
    #[arg(long, value_name = "ID")]
    pub chain_id: Option<String>,
    /// Who confirms
    #[arg(long, default_value = "attest", value_name = "ENGINE")]
    pub plugin: String,
    /// Control heights of one epoch
    #[arg(long, default_value_t = 3600, value_name = "HEIGHTS")]
    pub epoch_len: u64,
    /// A network to try things on: short windows, well-known keys allowed
    #[arg(long)]
    pub dev: bool,
    /// Where to
    #[arg(long, default_value = "genesis.json", value_name = "FILE")]
    pub file: PathBuf,
}

/// `genesis add-validator`.
#[derive(Debug, Clone, Args)]
pub struct AddValidator {
    /// The genesis file: its chain id is what the proof is for
    pub file: PathBuf,
    /// Stake of the beginning
    #[arg(long, value_name = "AMOUNT")]
    pub stake: u128,
    /// Which attestor's key, where there are several
    #[arg(long, value_name = "KEY")]
    pub key: Option<BlsKey>,
    /// How the node is reached, as a multiaddress
    #[arg(long, default_value = "", value_name = "MULTIADDR", hide_default_value = true)]
    pub addr: String,
    /// File with the key's password [default: the one in the data directory]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Where to [default: validator-KEY.json, with the key's first 8 digits]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Which network a data directory is for.
#[derive(Debug, Clone, Default, Args)]
pub struct Binding {
    /// Genesis file of the network; without one the node is by itself
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// What the genesis must hash to, as its operators say
    #[arg(long, value_name = "HASH")]
    pub genesis_hash: Option<NetworkId>,
}

/// `join`.
#[derive(Debug, Clone, Args)]
pub struct Join {
    /// Genesis file, or the address of any node of the network
    pub source: String,
    /// What the genesis must hash to, as its operators say; needed for an address
    #[arg(long, value_name = "HASH")]
    pub genesis_hash: Option<NetworkId>,
    /// First port of the new node, where another one has the usual ones: HTTP on loopback, the two after it for administration and
    /// metrics, ten after it for peers; 0 takes any free ones
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Make the data directory and do not start
    #[arg(long)]
    pub no_start: bool,
    /// How it starts
    #[command(flatten)]
    pub start: Start,
}

/// `testnet`.
#[derive(Debug, Subcommand)]
pub enum Testnet {
    /// Data directories of every node, ready to start, and the genesis that binds them
    #[command(after_help = "Example:\n  aonode testnet generate --validators 4 --out ./net")]
    Generate(Generate),
}

/// `testnet generate`.
#[derive(Debug, Clone, Args)]
pub struct Generate {
    /// Nodes, each with an attestor's key and a scheduler
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub validators: u16,
    /// Where to; must be empty or not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Who confirms
    #[arg(long, default_value = "attest", value_name = "ENGINE")]
    pub plugin: String,
    /// Name of the network. `dev` has the well-known wallets, funded
    #[arg(long, default_value = "dev", value_name = "NAME")]
    pub name: String,
    /// First port on loopback: each node takes those of a single node, 20 apart; 0 takes any free ones
    #[arg(long, default_value_t = 7700, value_name = "PORT")]
    pub port: u16,
    /// Stake of each node
    #[arg(long, default_value_t = 100, value_name = "AMOUNT")]
    pub stake: u128,
    /// Who there is and who confirms, from this file: a `testnet.toml`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["validators", "plugin", "stake"])]
    pub manifest: Option<PathBuf>,
    /// What nodes write to: the Arweave of a gateway, one of their own that `devnet` starts, or nothing
    #[arg(long, value_name = "embedded|URL|none", default_value = "none")]
    pub arweave: Arweave,
}

/// `devnet`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Devnet {
    /// A network that stays when the command ends
    #[command(subcommand)]
    pub verb: Option<DevnetVerb>,
    /// End after the demonstration
    #[arg(long)]
    pub once: bool,
    /// How many
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub nodes: u16,
    /// Who confirms
    #[arg(long, default_value = "attest", value_name = "ENGINE")]
    pub plugin: String,
    /// First port on loopback: each node takes those of a single node, 20 apart; 0 takes any free ones [default: 7700, with --once any
    /// free ones]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Keep everything in this folder; without it nothing is kept
    #[arg(long, value_name = "DIR")]
    pub persist: Option<PathBuf>,
    /// What nodes write to: an Arweave of their own, that of a gateway, or nothing
    #[arg(long, value_name = "embedded|URL|none", default_value = "embedded")]
    pub arweave: Arweave,
}

/// `devnet VERB`.
#[derive(Debug, Clone, Subcommand)]
pub enum DevnetVerb {
    /// Start a network of processes, made if it is not there. Those that run already stay
    #[command(after_help = "Example:\n  aonode devnet up --nodes 4")]
    Up(Up),
    /// Stop every process of it
    Down(Folder),
    /// What each node is doing
    Status(Folder),
    /// The newest lines of a node's log
    #[command(after_help = "Example:\n  aonode devnet logs n2 --lines 50")]
    Logs {
        /// Which node
        node: String,
        /// How many lines
        #[arg(long, default_value_t = 30, value_name = "N")]
        lines: usize,
        /// Where it is
        #[command(flatten)]
        folder: Folder,
    },
    /// Do harm: kill, restart, pause, resume, partition, heal, skew, disk
    #[command(
        subcommand,
        after_help = "Example:\n  aonode devnet chaos pause n2 --for 10s\n  aonode devnet chaos partition n1 n2 --for 30s"
    )]
    Chaos(Chaos),
    /// Stop it and delete everything of it
    Reset(Folder),
}

/// Where a devnet is.
#[derive(Debug, Clone, Default, Args)]
pub struct Folder {
    /// Folder of the network [default: $XDG_DATA_HOME/aonode/devnet]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `devnet up`.
#[derive(Debug, Clone, Args)]
pub struct Up {
    /// How many
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub nodes: u16,
    /// Who confirms
    #[arg(long, default_value = "attest", value_name = "ENGINE")]
    pub plugin: String,
    /// First port on loopback: each node takes those of a single node, 20 apart; 0 takes any free ones
    #[arg(long, default_value_t = 7700, value_name = "PORT")]
    pub port: u16,
    /// What nodes write to: an Arweave of their own, that of a gateway, or nothing
    #[arg(long, value_name = "embedded|URL|none", default_value = "embedded")]
    pub arweave: Arweave,
    /// Who there is and who confirms, from this file: a `testnet.toml`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nodes", "plugin"])]
    pub manifest: Option<PathBuf>,
    /// Where it is
    #[command(flatten)]
    pub folder: Folder,
}

/// `devnet chaos`.
#[derive(Debug, Clone, Subcommand)]
pub enum Chaos {
    /// kill -9
    Kill(Victims),
    /// Start those that do not run; stop and start those that do
    Restart(Victims),
    /// Stop the clock of a process; without --for until `resume`
    Pause {
        /// Whom
        #[command(flatten)]
        victims: Victims,
        /// How long
        #[arg(long = "for", value_name = "DUR")]
        span: Option<Span>,
    },
    /// Let paused processes go on
    Resume(Victims),
    /// Cut nodes off from all others of the devnet, in both directions: each side bans the other, as `aonode peers ban` does, which
    /// needs no root. A node that joined from outside is cut off from nobody, and may carry frames across. Without --for until `heal`
    Partition {
        /// Whom
        #[command(flatten)]
        victims: Victims,
        /// How long
        #[arg(long = "for", value_name = "DUR")]
        span: Option<Span>,
    },
    /// Let all nodes meet again
    Heal(Folder),
    /// Put clocks wrong while nodes run, or right again without --ahead and --behind
    Skew {
        /// Whose
        #[command(flatten)]
        victims: Victims,
        /// Too fast by
        #[arg(long, value_name = "DUR", conflicts_with = "behind")]
        ahead: Option<Span>,
        /// Too slow by
        #[arg(long, value_name = "DUR")]
        behind: Option<Span>,
    },
    /// Have a node's disk full, as its reserve sees it, or free again
    Disk {
        /// Whose
        #[command(flatten)]
        victims: Victims,
        /// There is room again
        #[arg(long)]
        free: bool,
    },
}

/// Nodes of a devnet.
#[derive(Debug, Clone, Args)]
pub struct Victims {
    /// Which: `n1`, `n2`, … or `all`
    #[arg(required = true)]
    pub nodes: Vec<String>,
    /// Where it is
    #[command(flatten)]
    pub folder: Folder,
}

/// `consensus`.
#[derive(Debug, Subcommand)]
pub enum ConsensusVerb {
    /// Every engine of this build
    List,
    /// One engine: what it does, its numbers
    #[command(after_help = "Example:\n  aonode consensus describe solo")]
    Describe {
        /// As a genesis names it
        name: String,
    },
    /// Begin a new engine: a crate that keeps the contract, with the suite that shows it
    #[command(after_help = "Example:\n  aonode consensus new mine --out ../ao-mine")]
    New(NewEngine),
}

/// `consensus new`.
#[derive(Debug, Clone, Args)]
pub struct NewEngine {
    /// Its name: 1 to 32 of the characters a-z 0-9 -
    pub name: String,
    /// Where to [default: ao-NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Checkout of aonode that it stands on [default: this folder]
    #[arg(long, value_name = "DIR")]
    pub repository: Option<PathBuf>,
}

/// `evidence`.
#[derive(Debug, Subcommand)]
pub enum EvidenceVerb {
    /// Faults that were shown to the node
    List {
        /// At most this many
        #[arg(long, default_value_t = 30)]
        limit: u32,
        /// Where the last page ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// What a piece of evidence says
    Show {
        /// File with its canonical bytes, or its id on the node
        evidence: String,
        /// Write its canonical bytes there
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Whether it convicts, and whom; exit code 8 if nobody
    #[command(after_help = "Example:\n  aonode evidence verify fault.evidence --genesis genesis.json")]
    Verify {
        /// File with its canonical bytes, or its id on the node
        evidence: String,
        /// Genesis of the network [default: the data directory's]
        #[arg(long, value_name = "FILE")]
        genesis: Option<PathBuf>,
    },
}
