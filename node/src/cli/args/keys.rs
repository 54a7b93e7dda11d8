//! `keys`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use crate::keys::{Kind, Role};

/// `keys`.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key
    New {
        /// Sort of key: wallet signs items, bls attests, node is what other nodes know this one by
        #[arg(long = "type", value_name = "TYPE", default_value = "wallet", hide_possible_values = true)]
        key_type: KeyType,
        /// Kind of the wallet: rsa (about a second; what Arweave tools know), ed25519, ethereum
        #[arg(long, default_value = "ed25519", hide_possible_values = true)]
        kind: Kind,
        /// What it shall do from now on: scheduler, messenger, client, anchor (pays for what is written to Arweave; rsa)
        #[arg(long, hide_possible_values = true)]
        role: Option<Role>,
        /// File with the password of an attestor's key. Without it a random one is made and kept beside the key, so that the node starts
        /// unattended
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// All keys
    List,
    /// One key: address, kind, roles, file; never the secret
    Show {
        /// Its address, public key or peer id.
        #[arg(allow_hyphen_values = true)]
        address: String,
        /// Prove that an attestor's key is possessed, for networks of this chain id
        #[arg(long, value_name = "ID")]
        chain_id: Option<String>,
        /// File with the key's password [default: the one in the data directory]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

/// Sorts of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyType {
    /// Signs data items.
    Wallet,
    /// Attests.
    Bls,
    /// Names the node.
    Node,
}
