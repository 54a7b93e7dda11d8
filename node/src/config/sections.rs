//! What can be configured: one struct per section, every default beside its field, every field explained once.
//!
//! The macro turns the same lines into the structs, their defaults and the table [`KEYS`] that annotates dumps and finds misspelt keys.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::units::{Ar, AutoSpan, ByteSize, Keep, Span, WINSTON};

/// One key as [`KEYS`] lists it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The table it is in.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What it is, as comment lines.
    pub doc: &'static [&'static str],
}

impl Key {
    /// `section.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

macro_rules! sections {
    ($($(#[doc = $section_doc:literal])* $section:ident: $Section:ident {
        $($(#[doc = $doc:literal])* $key:ident: $type:ty = $default:expr;)+
    })+) => {
        $(
            $(#[doc = $section_doc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $Section { $($(#[doc = $doc])* pub $key: $type,)+ }
            impl Default for $Section {
                fn default() -> Self { Self { $($key: $default,)+ } }
            }
        )+

        /// Everything that can be configured.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config { $($(#[doc = $section_doc])* pub $section: $Section,)+ }

        /// Every section with its explanation, in the order of a dump.
        pub const SECTIONS: &[(&str, &[&str])] = &[$((stringify!($section), &[$($section_doc),*])),+];

        /// Every key, in the order of a dump.
        pub const KEYS: &[Key] = &[$($(Key { section: stringify!($section), name: stringify!($key), doc: &[$($doc),*] },)+)+];
    };
}

sections! {
    /// Which network this node belongs to.
    network: Network {
        /// Name of the network. `dev` is the one whose keys everybody knows; it never leaves this machine.
        name: String = "local".into();
    }

    /// The public HTTP listener: native `/v1`, and the units and gateway that unmodified AO clients expect.
    api: Api {
        /// Address and port. Port 0 takes any free one.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7700));
        /// Needed to listen anywhere but on loopback: there is no TLS here, put a proxy in front.
        allow_remote: bool = false;
        /// What clients reach the public listener by, published as this scheduler's location. Empty: the address it listens on.
        public_url: String = String::new();
        /// Origins of web pages that may read answers, separated by commas: `https://app.example`. `*`: all, as AO clients in browsers expect.
        cors_origins: String = "*".into();
        /// Largest request body. Data items themselves end at 10 MiB, whatever this says.
        body_max: ByteSize = ByteSize(16 << 20);
        /// Connections in all.
        connections_max: u32 = 1024;
        /// Connections from one address.
        connections_per_ip: u32 = 64;
        /// Reads a second from one address. 0: no limit.
        reads_per_s: u32 = 50;
        /// Writes a second from one address. 0: no limit.
        writes_per_s: u32 = 10;
        /// Dry runs a second from one address. 0: no limit.
        dry_runs_per_s: u32 = 2;
        /// Seconds of these rates that may come at once.
        burst_s: u32 = 4;
        /// The loopback address is free of rates and of its connection limit. Turn this off behind a reverse proxy.
        loopback_free: bool = true;
    }

    /// The operator's listener: log levels, drain, shutdown. Every request needs the token in the file `api-token`.
    admin: Admin {
        /// Off: nothing listens.
        enabled: bool = true;
        /// Address and port. Port 0 takes any free one.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7701));
        /// Needed to listen anywhere but on loopback.
        allow_remote: bool = false;
    }

    /// Prometheus metrics at `/metrics`, on a listener of their own.
    metrics: MetricsListener {
        /// Off: nothing listens.
        enabled: bool = true;
        /// Address and port. Port 0 takes any free one.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7702));
        /// Needed to listen anywhere but on loopback.
        allow_remote: bool = false;
    }

    /// The network between nodes. Counts for nodes that are part of one: a development node talks to nobody.
    p2p: P2p {
        /// Where other nodes reach this one: multiaddresses. Port 0 takes any free one.
        listen: Vec<String> = vec!["/ip4/0.0.0.0/tcp/7710".into(), "/ip4/0.0.0.0/udp/7710/quic-v1".into()];
        /// Where others reach this node if that is another place, behind a router for example.
        external_addr: Vec<String> = Vec::new();
        /// Peers to keep in touch with, besides the network's bootnodes: addresses that end in `/p2p/<peer id>`.
        static_peers: Vec<String> = Vec::new();
        /// Nobody but static peers and bootnodes may connect, and nobody else is dialled.
        trusted_only: bool = false;
        /// Connections that others opened, at most.
        max_in: u32 = 60;
        /// Connections that this node opened, at most. Strangers cannot take them up.
        max_out: u32 = 40;
        /// Connections that this node tries to have opened.
        min_out: u32 = 8;
        /// Connections from one /24 or /56.
        per_subnet: u32 = 8;
        /// No new connections while the process takes more memory than this.
        memory_max: ByteSize = ByteSize(4 << 30);
        /// Look for peers on the local network.
        mdns: bool = false;
        /// Ask the router for a port.
        upnp: bool = false;
        /// Carry connections between nodes that cannot reach each other.
        relay: bool = false;
        /// Relays to be reached through when this node turns out not to be reachable: addresses that end in `/p2p/<peer id>`.
        relays: Vec<String> = Vec::new();
    }

    /// The key that this node attests with, if it does.
    signer: Signer {
        /// How long an attestor listens for its own key before it signs, unless it stopped in order a moment ago. `auto`: half a second
        /// where the genesis says `dev`, half a minute elsewhere.
        doppelganger: AutoSpan = AutoSpan(None);
    }

    /// How processes are evaluated. Nothing here changes a result: the two ceilings decide which processes are refused.
    compute: Compute {
        /// Threads that evaluate. 0: one for each core.
        workers: usize = 0;
        /// Most memory that a process may ask for (`Memory-Limit`).
        memory_max: ByteSize = ByteSize(1 << 30);
        /// Most gas that a process may ask for each message (`Compute-Limit`).
        gas_max: u64 = 9_000_000_000_000;
        /// Private memory all idle processes together may hold before some are put aside.
        hot_memory: ByteSize = ByteSize(512 << 20);
        /// How long a process stays in memory that nobody uses; then it is put aside until its next message.
        hot_time: Span = Span(std::time::Duration::from_millis(crate::limits::INSTANCE_IDLE_MS_DEFAULT));
        /// Wall-clock guard of one evaluation: beyond it this node says that it could not evaluate. Never decides a result.
        wall_guard: Span = Span(std::time::Duration::from_secs(60));
        /// CPU time that compiling one module may take, in a process of its own. A module that needs more does not run here.
        compile_timeout: Span = Span(std::time::Duration::from_secs(60));
        /// Memory of that process.
        compile_memory: ByteSize = ByteSize(1 << 30);
        /// Folder of compiled modules, which nodes of one user may share; safe to delete. Empty: `modules` in the data directory.
        module_cache: String = String::new();
        /// Slots of a process between two checkpoints: a restart evaluates at most so many again.
        checkpoint_slots: u64 = 2_000;
        /// Slots of a process between two states that the committee certifies: what checkpoints and snapshots are made of. The same on all nodes of
        /// a network, or they vouch for nothing of one another. 0: none.
        certify_slots: u64 = 10_000;
        /// Hash the state after every message instead of where a process comes to rest: to compare nodes slot by slot. Costs time.
        hash_every_slot: bool = false;
    }

    /// How a node comes to the states of processes that others have evaluated, and what it gives of them. Counts for nodes of a network.
    sync: Sync {
        /// `log`: every message is evaluated here, from the first. `snapshot`: evaluation begins at a state that a quorum of the committee vouches
        /// for, fetched from peers, and goes on at once; what lies before is evaluated beside it, and compared.
        mode: SyncMode = SyncMode::Log;
        /// Give snapshots to peers that ask, and write states down for them.
        serve: bool = true;
        /// States that are believed whoever vouches for them and however old they are: `SLOT:HASH`, the hash as `state_hash` shows it.
        trust_roots: Vec<String> = Vec::new();
    }

    /// The embedded chain that stands in for Arweave.
    chain: Chain {
        /// Time between blocks.
        block_interval: Span = Span(std::time::Duration::from_secs(2));
        /// Milliseconds that this node's clock is wrong by, to see what comes of it: on networks for development only.
        clock_skew_ms: i64 = 0;
    }

    /// Arweave, where what is confirmed is written down for good. Paid with the wallet of the role `anchor`, or by bundling services.
    arweave: Arweave {
        /// Base URLs of gateways. Two or more: one that lies is found out. None: nothing is anchored.
        gateways: Vec<String> = Vec::new();
        /// Base URLs of bundling services. Where there are any, items are handed to them and no wallet of this node pays.
        bundlers: Vec<String> = Vec::new();
        /// Addresses of their keys. A receipt that another key signed is none.
        bundler_keys: Vec<ao_types::Id> = Vec::new();
        /// The oldest confirmed slot waits so long for others before they are written together. Each writing costs at least 256 KiB.
        interval: Span = Span(std::time::Duration::from_secs(60));
        /// A certified state of a process goes so long after the one before, if it changed: whoever recovers evaluates only what is behind it.
        checkpoint_interval: Span = Span(std::time::Duration::from_secs(1_800));
        /// Or so many slots after it.
        checkpoint_slots: u64 = 10_000;
        /// Or after so much evaluation.
        checkpoint_evaluation: Span = Span(std::time::Duration::from_secs(900));
        /// Blocks, its own included, from which on something counts as anchored.
        confirmations: u64 = ao_arweave::limits::CONFIRMATIONS;
        /// Between two looks at the chain's height.
        look_every: Span = Span(std::time::Duration::from_secs(20));
        /// AR that may be signed away in one day, UTC.
        spend_cap_per_day: Ar = Ar(WINSTON);
        /// AR that stay in the wallet: below nothing is posted, and `/health` says so.
        balance_floor: Ar = Ar(WINSTON / 10);
    }

    /// What is on disk.
    storage: Storage {
        /// Free space below which writes are refused while reads go on. 0: the larger of 2 GiB and 2 % of the disk.
        reserve: ByteSize = ByteSize(0);
        /// How long messages stay here that are on Arweave for good and evaluated; an hour at least. Then their bytes go, and are fetched from
        /// `arweave.gateways` when somebody reads them. `all`: nothing goes.
        keep: Keep = Keep(None);
    }

    /// Logs, on standard error.
    log: Log {
        /// `error`, `warn`, `info`, `debug` or `trace`; parts of the node separately as in `info,aonode::core=debug`.
        level: String = "info".into();
        /// How a line looks.
        format: Format = Format::Pretty;
    }
}

/// Where evaluation begins on a node that lacks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SyncMode {
    /// At the first message.
    #[default]
    Log,
    /// At a certified state.
    Snapshot,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people: colours on a terminal, ids shortened.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
    /// `key=value`.
    Logfmt,
}
