//! `sim`: arguments of the simulator.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `sim`.
#[derive(Debug, Subcommand)]
pub enum Sim {
    /// Run seeds, one after the other; ends with 8 if a rule was broken, and prints the plans that did it
    #[command(
        after_help = "Example:\n  aonode sim run --engine attest --seeds 0..300\n  aonode sim run --latency wan5 --faults none --nodes 10 --report\n  \
                      aonode sim run --manifest testnet.toml --seeds 0..20"
    )]
    Run(SimRun),
    /// Run one seed or plan again and print the hash of all that happened: the same for the same plan
    Replay(SimOne),
    /// Make a plan that breaks a rule smaller, as long as it still does
    Shrink(SimOne),
}

/// What a seed is drawn for.
#[derive(Debug, Clone, Args)]
pub struct SimKind {
    /// Consensus engine, as a genesis names it
    #[arg(long, default_value = "attest")]
    pub engine: String,
    /// Nodes; 0: one to seven, by the seed
    #[arg(long, default_value_t = 0)]
    pub nodes: usize,
    /// What may go wrong, by names: crashes, net, machine, clocks, byzantine; all, none
    #[arg(long, default_value = "all", value_name = "NAMES")]
    pub faults: String,
    /// How long anything travels, whatever the seed says
    #[arg(long)]
    pub latency: Option<SimLatency>,
    /// Messages that clients send, whatever the seed says
    #[arg(long)]
    pub messages: Option<usize>,
    /// Spread over so many milliseconds
    #[arg(long, value_name = "MS")]
    pub load_ms: Option<u64>,
}

/// Nets to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SimLatency {
    /// One to three milliseconds.
    Lan,
    /// Five regions, 100 ms from one to another at the mean.
    Wan5,
}

/// `sim run`.
#[derive(Debug, Clone, Args)]
pub struct SimRun {
    /// What to draw
    #[command(flatten)]
    pub kind: SimKind,
    /// The network of this file, and what happens to it: a `testnet.toml`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["engine", "nodes", "faults", "latency", "messages", "load_ms"])]
    pub manifest: Option<PathBuf>,
    /// Seeds: the first, and the one after the last [default: 0..100, with --manifest the file's]
    #[arg(long, value_name = "FROM..TO", value_parser = range)]
    pub seeds: Option<(u64, u64)>,
    /// Runs at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,
    /// Show how long frames took
    #[arg(long)]
    pub report: bool,
}

/// `sim replay` and `sim shrink`.
#[derive(Debug, Clone, Args)]
pub struct SimOne {
    /// A seed, or a file with a plan
    #[arg(value_name = "SEED|FILE")]
    pub what: PathBuf,
    /// What the seed was drawn for
    #[command(flatten)]
    pub kind: SimKind,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("a range is FROM..TO")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    let (from, to) = (number(from)?, number(to)?);
    if from < to { Ok((from, to)) } else { Err("no seed is in it".to_owned()) }
}
