//! The command line: every verb, flag and example. Only what works is listed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Format, Span};
use crate::keys::{Kind, Role};

mod database;
mod load;
mod network;
mod recover;
#[cfg(feature = "sim")]
mod simulation;
mod snapshot;
mod weave;

pub use database::Db;
pub use load::Load;
pub use network::{
    AddValidator, Binding, Chaos, ConsensusVerb, Devnet, DevnetVerb, EvidenceVerb, Folder, Generate, Genesis, GenesisNew, Join, NewEngine,
    Slashing, Testnet, Up, Victims,
};
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
        #[arg(long, value_name = "LEVEL", num_args = 0..=1, default_missing_value = "computed", value_parser = super::sending::goal)]
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
