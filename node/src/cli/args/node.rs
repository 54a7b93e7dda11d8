//! `dev`, `init`, `start`.

use std::path::PathBuf;

use clap::Args;

use super::{Arweave, Binding};
use crate::keys::Kind;

/// `dev`.
#[derive(Debug, Clone, Args)]
pub struct Dev {
    /// Port of the HTTP listener on loopback, the three after it for administration, metrics and the embedded Arweave; 0 takes any free
    /// ones [default: 7700]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Keep everything in this directory; without it nothing is kept
    #[arg(long, value_name = "DIR")]
    pub persist: Option<PathBuf>,
    /// What is written to: an Arweave of its own, that of a gateway, or nothing
    #[arg(long, value_name = "embedded|URL|none", default_value = "embedded")]
    pub arweave: Arweave,
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Add what is missing to a directory that is there; nothing is overwritten
    #[arg(long)]
    pub force: bool,
    /// Kind of the wallets that are made: rsa, ed25519, ethereum
    #[arg(long, value_name = "KIND", default_value = "ed25519", hide_possible_values = true)]
    pub kind: Kind,
    /// The network it is for
    #[command(flatten)]
    pub binding: Binding,
}

/// `start`.
#[derive(Debug, Clone, Default, Args)]
pub struct Start {
    /// Print the configuration that would be used, every key explained, and end
    #[arg(long)]
    pub dump_config: bool,
    /// File with the password of the attestor's key [default: the one in the data directory]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}
