//! The command line: every verb, flag and example. Only what works is listed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Format, Span};

mod bench;
mod database;
mod keys;
mod load;
mod network;
mod node;
mod process;
mod recover;
#[cfg(feature = "sim")]
mod simulation;
mod snapshot;
mod weave;

pub use bench::{Bench, BenchModule};
pub use database::Db;
pub use keys::{KeyType, Keys};
pub use load::Load;
pub use network::{
    AddValidator, Binding, Chaos, ConsensusVerb, Devnet, DevnetVerb, EvidenceVerb, Folder, Generate, Genesis, GenesisNew, Join, NewEngine,
    Slashing, Testnet, Up, Victims,
};
pub use node::{Dev, Init, Start};
pub use process::{Console, Content, DryRun, Eval, Message, Process};
pub use recover::Recover;
#[cfg(feature = "sim")]
pub use simulation::{Sim, SimKind, SimLatency, SimOne, SimRun};
pub use snapshot::{Believed, Snapshot};
pub use weave::{Anchor, Arweave, WeaveArguments};

/// A peer-to-peer node for AO, decentralised compute on Arweave.
#[derive(Debug, Parser)]
#[command(name = "aonode", version, max_term_width = 110, disable_help_subcommand = true, subcommand_required = true)]
#[command(
    after_help = "Start here:\n  aonode dev                 a node to try things on, ready at once\n  aonode devnet --once       a demonstration that checks itself"
)]
pub struct Cli {
    /// Flags every command takes.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Network whose data directory is used [default: local]
    #[arg(long, global = true, env = "AONODE_NETWORK", value_name = "NAME")]
    pub network: Option<String>,
    /// Data directory [default: $XDG_DATA_HOME/aonode/NETWORK]
    #[arg(long, global = true, env = "AONODE_DATADIR", value_name = "DIR")]
    pub datadir: Option<PathBuf>,
    /// Configuration file [default: config.toml in the data directory]
    #[arg(long, global = true, env = "AONODE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any key of the configuration, e.g. `--set compute.workers=2`
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The node to talk to
    #[arg(long, global = true, env = "AONODE_ENDPOINT", value_name = "URL", default_value = "http://127.0.0.1:7700")]
    pub endpoint: String,
    /// How long to wait for an answer
    #[arg(long, global = true, env = "AONODE_TIMEOUT", value_name = "DUR", default_value = "30s")]
    pub timeout: Span,
    /// What results look like: table, json, ndjson (one object a line); the latter two carry a schema name
    #[arg(long, global = true, env = "AONODE_OUTPUT", value_name = "FORM", default_value = "table", hide_possible_values = true)]
    pub output: Output,
    /// Colours: auto, always, never [also: NO_COLOR]
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: Color,
    /// Log levels, e.g. `info,aonode::core=debug`
    #[arg(long, global = true, value_name = "SPEC")]
    pub log_level: Option<String>,
    /// What log lines look like: pretty, json, logfmt
    #[arg(long, global = true, value_name = "FORM", hide_possible_values = true)]
    pub log_format: Option<Format>,
    /// For scripts: never ask (no command does so far)
    #[arg(long, global = true, visible_alias = "yes")]
    pub no_input: bool,
    /// Only errors in the log
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More in the log; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What results look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// `peers`.
#[derive(Debug, Subcommand)]
pub enum Peers {
    /// Who is connected
    List,
    /// Everything known of one peer
    Show {
        /// Its id, 12D3KooW...
        peer: String,
    },
    /// Who is banned (on the node's machine)
    Bans,
    /// Close a peer's connections and take none from it (on the node's machine)
    Ban {
        /// Its id, 12D3KooW...
        peer: String,
        /// For how long
        #[arg(long = "for", value_name = "DUR", default_value = "1h")]
        length: Span,
    },
    /// Let it come back (on the node's machine)
    Unban {
        /// Its id, 12D3KooW...
        peer: String,
    },
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Even in a file.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One node on an embedded chain with well-known funded keys, to develop on
    #[command(after_help = "Example:\n  aonode dev --port 7700 --persist ./state")]
    Dev(Dev),
    /// Four nodes that show what they do; up, down, status, logs, chaos
    #[command(
        after_help = "Example:\n  aonode devnet --once   # ends with 0 if everything was as it should be\n  aonode devnet up --nodes 4"
    )]
    Devnet(Devnet),
    /// An Arweave of our own: chain, gateway and bundler, with faults on command
    #[command(after_help = "Example:\n  aonode weave --port 1984 --block-interval 2s")]
    Weave(WeaveArguments),
    /// What the node writes to Arweave: status, list, show, verify
    #[command(subcommand, after_help = "Example:\n  aonode anchor status")]
    Anchor(Anchor),
    /// The database of a stopped node: stats, compact, prune, check
    #[command(subcommand, after_help = "Example:\n  aonode db stats\n  aonode db check --signatures")]
    Db(Db),
    /// Make a data directory: configuration, keys, token
    #[command(after_help = "Example:\n  aonode init --network local")]
    Init(Init),
    /// Engines that confirm: list, describe, new
    #[command(subcommand, after_help = "Example:\n  aonode consensus list")]
    Consensus(ConsensusVerb),
    /// Faults that can be shown: show, verify. Offline
    #[command(subcommand, after_help = "Example:\n  aonode evidence verify fault.evidence --genesis genesis.json")]
    Evidence(EvidenceVerb),
    /// Make a data directory bound to a network, and start
    #[command(
        after_help = "Example:\n  aonode join genesis.json\n  aonode join http://192.0.2.1:7700 --genesis-hash 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    Join(Join),
    /// Make what a whole network needs: keys, genesis, a data directory for each node
    #[command(subcommand, after_help = "Example:\n  aonode testnet generate --validators 4 --out ./net")]
    Testnet(Testnet),
    /// Make a process, or a whole network, anew on an empty data directory, from Arweave alone
    #[command(
        after_help = "Example:\n  aonode recover --from-arweave https://arweave.net,https://g8way.io --process PID\n  aonode recover --from-arweave http://127.0.0.1:1984 --genesis genesis.json --datadir ./new"
    )]
    Recover(Recover),
    /// States of processes as files: create, list, verify, import, serve
    #[command(
        subcommand,
        after_help = "Example:\n  aonode snapshot create PID\n  aonode snapshot verify FILE.snapshot --genesis genesis.json"
    )]
    Snapshot(Snapshot),
    /// Run a node on a data directory
    #[command(after_help = "Example:\n  aonode start --set api.listen=127.0.0.1:7800")]
    Start(Start),
    /// What the node is doing; exit code 0 healthy, 5 unreachable, 14 not ready
    #[command(after_help = "Example:\n  aonode status --output json")]
    Status,
    /// Wallets, attestors' keys, the node's key: make, list, show
    #[command(subcommand, after_help = "Example:\n  aonode keys new --kind rsa --role client\n  aonode keys new --type bls")]
    Keys(Keys),
    /// Peers: list, show, ban, unban
    #[command(subcommand, after_help = "Example:\n  aonode peers list\n  aonode peers ban 12D3KooW... --for 1h")]
    Peers(Peers),
    /// The file that a network is: new, add-account, add-validator, collect, hash, show
    #[command(subcommand, after_help = "Example:\n  aonode genesis hash genesis.json")]
    Genesis(Genesis),
    /// What attestors are bound by, of a stopped node: init, export, import, show, prune
    #[command(subcommand, after_help = "Example:\n  aonode slashing export history.json")]
    Slashing(Slashing),
    /// Processes: spawn, load, list, show
    #[command(subcommand, after_help = "Example:\n  aonode process spawn --tag Name=counter --data @counter.lua --tag On-Boot=Data")]
    Process(Process),
    /// Messages: send, trace, result
    #[command(
        subcommand,
        after_help = "Example:\n  aonode message send --process PID --action Ping --wait\n  aonode message send --process PID --action Ping --wait confirmed"
    )]
    Message(Message),
    /// Evaluate code in a process you own
    #[command(after_help = "Example:\n  aonode eval PID '1 + 1'")]
    Eval(Eval),
    /// Ask a process without leaving a trace
    #[command(after_help = "Example:\n  aonode dry-run PID --action Info")]
    DryRun(DryRun),
    /// Talk to a process line by line
    #[command(after_help = "Example:\n  aonode console PID\n  echo 'Inbox' | aonode console PID")]
    Console(Console),
    /// Check signatures, ids and hash chains, offline for files
    #[command(
        after_help = "Example:\n  aonode verify item.ans104\n  aonode verify schedule.json\n  aonode verify TRANSACTION --arweave https://arweave.example"
    )]
    Verify(Verify),
    /// The configuration: show, check, path
    #[command(subcommand, after_help = "Example:\n  aonode config show --origin")]
    Config(ConfigVerb),
    /// Simulate networks from seeds: run, replay, shrink
    #[cfg(feature = "sim")]
    #[command(subcommand, after_help = "Example:\n  aonode sim run --engine attest --seeds 0..300\n  aonode sim replay 17 --engine bft")]
    Sim(Sim),
    /// Measure the whole path over HTTP
    #[command(after_help = "Example:\n  aonode bench --processes 64 --messages 10000 --concurrency 32")]
    Bench(Bench),
    /// Shell completions on standard output
    #[command(after_help = "Example:\n  aonode completions bash > ~/.local/share/bash-completion/completions/aonode")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Version, commit and the formats this binary reads
    #[command(after_help = "Example:\n  aonode version --output json")]
    Version,
    /// Compile one module from standard input to standard output, in frames: what the node starts for modules it does not trust
    #[command(name = ao_vm::compiler::WORKER_COMMAND, hide = true)]
    CompileWorker,
    /// What an error code or exit code means
    #[command(after_help = "Example:\n  aonode explain AON-1004\n  aonode explain 9")]
    Explain {
        /// `AON-xxxx` or an exit code; all of them when left out.
        code: Option<String>,
    },
}

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// A file with a data item, a bundle or the proof of a slot; or the id of an item or process on the node.
    #[arg(allow_hyphen_values = true)]
    pub subject: String,
    /// Of the process: fetch and check the proof that this slot is confirmed
    #[arg(long, value_name = "N")]
    pub slot: Option<u64>,
    /// Look for the subject, a transaction, on Arweave: base URL of a gateway, better of several; asks no node
    #[arg(long, value_name = "URL", conflicts_with = "slot")]
    pub arweave: Vec<String>,
    /// For proofs: genesis of the network that you mean [default: the data directory's]
    #[arg(long, value_name = "FILE", conflicts_with = "genesis_hash")]
    pub genesis: Option<PathBuf>,
    /// For proofs: its hash; the proof brings the rest along
    #[arg(long, value_name = "DIGITS")]
    pub genesis_hash: Option<ao_types::NetworkId>,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Every key and its value
    Show {
        /// Say where each value came from
        #[arg(long)]
        origin: bool,
    },
    /// Say whether `start` would accept it
    Check,
    /// Where the file is
    Path,
}
