//! Verbs of networks: the genesis, attestors' keys and what binds them.

use std::path::PathBuf;

use ao_types::{BlsKey, NetworkId};
use clap::{Args, Subcommand};

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
