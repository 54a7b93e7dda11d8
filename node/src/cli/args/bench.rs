//! `bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::keys::Kind;

/// `bench`.
#[derive(Debug, Clone, Args)]
pub struct Bench {
    /// Processes the messages are spread over
    #[arg(long, default_value_t = 1)]
    pub processes: usize,
    /// Messages in all
    #[arg(long, default_value_t = 2_000)]
    pub messages: usize,
    /// Requests in flight
    #[arg(long, default_value_t = 16)]
    pub concurrency: usize,
    /// Kind of key that signs the messages: rsa, ed25519, ethereum; signing happens before the clock starts
    #[arg(long, default_value = "ed25519", hide_possible_values = true)]
    pub signer: Kind,
    /// Module of the processes: lua, or aos (WebAssembly, from the cache)
    #[arg(long, default_value = "lua", hide_possible_values = true)]
    pub module: BenchModule,
    /// Bytes of data in each message
    #[arg(long, default_value_t = 64)]
    pub payload: usize,
    /// Measure the node at --endpoint instead of one started inside this process
    #[arg(long)]
    pub remote: bool,
    /// Measure the network of `devnet up` in this folder: throughput and latency of confirmation by all its nodes
    #[arg(long, value_name = "DIR", conflicts_with = "remote")]
    pub devnet: Option<PathBuf>,
    /// With --devnet: messages sent per second; as many as go with --concurrency when left out
    #[arg(long, value_name = "N", requires = "devnet")]
    pub rate: Option<u32>,
    /// With --devnet: send for so long; without --rate until all --messages are sent, if that is earlier
    #[arg(long, value_name = "S", requires = "devnet")]
    pub seconds: Option<u32>,
    /// With --devnet: how many of the nodes schedule the processes
    #[arg(long, value_name = "N", default_value_t = 1, requires = "devnet")]
    pub schedulers: usize,
}

/// Modules `bench` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchModule {
    /// The embedded Lua module.
    Lua,
    /// A real AOS module in WebAssembly, from the cache.
    Aos,
}
