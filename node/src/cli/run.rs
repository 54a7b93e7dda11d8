//! `start` and `dev`: run a node until it is told to stop.
//!
//! The order of a start: configuration, log, data directory (lock, permissions), listeners, node, ready line. Whatever fails before the
//! ready line ends the process with the exit code of what failed, and nothing is left behind.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ao_types::Signer as _;
use serde_json::{Value, json};

use super::args::{Arweave, Dev, Start};
use super::context::Context;
use super::exit::{Exit, Failure};
use super::service::{Service, Setup};
use super::signals::{Hangup, Signals};
use crate::config::Loaded;
use crate::datadir::{DataDir, Layout};
use crate::demo::wallets;
use crate::keys::{self, Keys, Role};
use crate::logging;
use crate::member::Member;

/// `start`.
pub fn start(context: &mut Context<'_>, arguments: &Start) -> Result<Exit, Failure> {
    let layout = context.layout()?;
    let loaded = context.config(&layout)?;
    if arguments.dump_config {
        context.printer.line(loaded.annotated().trim_end())?;
        return Ok(Exit::Ok);
    }
    let levels = log(context, &loaded)?;
    let data = DataDir::open(layout.root(), &loaded.config.network.name)?;
    let member = Member::open(&data, context.password(arguments.password_file.as_deref())?.as_ref())?;
    runtime()?.block_on(async {
        let signals = Signals::new(Hangup::Reload)?;
        let setup = Setup { loaded, data, member, levels, accounts: Vec::new(), modules: None, worker: worker() };
        let service = Service::start(setup).await?;
        ready(context, &service, &[])?;
        service.until_told(signals).await
    })
}

/// `dev`.
pub fn dev(context: &mut Context<'_>, arguments: &Dev) -> Result<Exit, Failure> {
    let home = Home::new(arguments.persist.as_deref())?;
    // Locked before anything of it is used, the embedded chain's journal included.
    let (data, shown) = home.open()?;
    runtime()?.block_on(async {
        let (mut arweave, mut embedded) = (arguments.arweave.clone(), None);
        if arweave == Arweave::Embedded {
            let journal = arguments.persist.is_some().then(|| home.root().join(JOURNAL));
            let port = ports(arguments.port, EMBEDDED_OFFSET)?;
            let weave = match super::weave::embedded(port, journal.clone()).await {
                // Nobody asked for this port, and a second node on this machine is nothing unusual.
                Err(failure) if failure.exit == Exit::Precondition && arguments.port.is_none() => {
                    super::weave::embedded(0, journal).await.map_err(|_| failure)?
                }
                started => started?,
            };
            arweave = Arweave::At(weave.url());
            embedded = Some(weave);
        }
        let loaded = dev_config(context, &home, arguments.port, (&arweave, embedded.is_some()), "info")?;
        let levels = log(context, &loaded)?;
        let signals = Signals::new(Hangup::Stop)?;
        let service =
            Service::start(Setup { loaded, data, member: None, levels, accounts: funded()?, modules: home.modules(), worker: worker() })
                .await?;
        ready(context, &service, &shown)?;
        let ended = service.until_told(signals).await;
        if let Some(weave) = embedded {
            weave.stop().await;
        }
        ended
    })
}

/// The embedded Arweave's journal, where it is kept.
pub const JOURNAL: &str = "arweave.journal";
/// The embedded Arweave's port, from the first one.
pub const EMBEDDED_OFFSET: u16 = 3;

/// A port so far from the first one; any free one if that is 0.
fn ports(first: Option<u16>, offset: u16) -> Result<u16, Failure> {
    match first {
        None => Ok(7700 + offset),
        Some(0) => Ok(0),
        Some(port) => port
            .checked_add(offset)
            .ok_or_else(|| Failure::usage(format!("--port {port}: the {EMBEDDED_OFFSET} ports after it are needed as well"))),
    }
}

/// The configuration of a development node: ports beside each other, and a log of the level that the command means for itself. What is
/// confirmed is on the embedded Arweave within seconds: nobody pays there.
pub fn dev_config(
    context: &Context<'_>,
    home: &Home,
    port: Option<u16>,
    (arweave, embedded): (&Arweave, bool),
    level: &str,
) -> Result<Loaded, Failure> {
    let address = |offset| ports(port, offset).map(|port| format!("127.0.0.1:{port}"));
    // Whoever tries things on a nearly full laptop should be able to.
    let reserve = ("storage.reserve", "64MiB".to_owned());
    let mut defaults = vec![
        reserve,
        ("network.name", wallets::NETWORK.to_owned()),
        ("log.level", level.to_owned()),
        ("admin.listen", address(1)?),
        ("metrics.listen", address(2)?),
    ];
    let mut flags: Vec<_> = port.map(|_| address(0)).transpose()?.into_iter().map(|listen| ("--port", "api.listen", listen)).collect();
    if embedded {
        defaults.extend(EMBEDDED_PACE.map(|(key, value)| (key, value.to_owned())));
    }
    match arweave {
        Arweave::At(url) if embedded => defaults.push(("arweave.gateways", array(url))),
        Arweave::At(url) => flags.push(("--arweave", "arweave.gateways", array(url))),
        Arweave::None | Arweave::Embedded => flags.push(("--arweave", "arweave.gateways", "[]".to_owned())),
    }
    let loaded = context.config_with(&Layout::new(home.root()), &defaults, &flags)?;
    if loaded.config.network.name != wallets::NETWORK {
        let origin = loaded.origin("network.name");
        return Err(Failure::new(Exit::Precondition, format!("{origin}: a development node is on network `{}`", wallets::NETWORK))
            .fix("leave the network out, or run a node of your own with `aonode init` and `aonode start`"));
    }
    Ok(loaded)
}

/// One URL as TOML.
fn array(url: &str) -> String {
    toml::Value::from(vec![url]).to_string()
}

/// How anchoring goes where blocks come every two seconds and cost nothing.
pub const EMBEDDED_PACE: [(&str, &str); 3] = [("arweave.interval", "2s"), ("arweave.confirmations", "3"), ("arweave.look_every", "1s")];

/// Where a development node keeps its data: a directory of the user's, or one that goes when the node ends.
pub struct Home {
    root: PathBuf,
    temporary: bool,
}

/// The binary that runs now, whatever lies at its path by the time: its own compile worker.
pub fn worker() -> Option<PathBuf> {
    Some(PathBuf::from("/proc/self/exe"))
}

impl Home {
    /// In `persist`, or in a new temporary directory.
    ///
    /// # Errors
    /// The system gives no temporary directory.
    pub fn new(persist: Option<&Path>) -> Result<Self, Failure> {
        if let Some(root) = persist {
            return Ok(Self { root: root.to_owned(), temporary: false });
        }
        let mut tail = [0; 8];
        crate::datadir::entropy(&mut tail).map_err(|error| Failure::new(Exit::Bug, format!("no entropy: {error}")))?;
        Ok(Self { root: std::env::temp_dir().join(format!("aonode-dev-{}", hex::encode(tail))), temporary: true })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where compiled modules are kept: a directory that goes would have them compiled again and again.
    pub fn modules(&self) -> Option<PathBuf> {
        let folder = self.temporary.then(crate::datadir::compiled).flatten()?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
        Some(folder)
    }

    /// Opens it, made and filled with the well-known keys where it is new, and gives the wallets to show with their files.
    ///
    /// # Errors
    /// It is in use, another network's, readable by others.
    pub fn open(&self) -> Result<(DataDir, Vec<keys::Entry>), Failure> {
        let data = if Layout::new(&self.root).exists() {
            DataDir::open(&self.root, wallets::NETWORK)?
        } else {
            let mut config = crate::config::Config::default();
            config.network.name = wallets::NETWORK.into();
            // A file with every key in it would win over the command's own defaults.
            let text =
                "# Configuration of this development node; `aonode start --dump-config` lists every key.\n[network]\nname = \"dev\"\n";
            DataDir::create(&self.root, wallets::NETWORK, text, false)?
        };
        let keys = Keys::new(Layout::clone(&data));
        let bug = |error: wallets::Error| Failure::new(Exit::Bug, error.to_string());
        let known = wallets::wallets(wallets::NETWORK).map_err(bug)?;
        let [scheduler, messenger] = wallets::node(wallets::NETWORK).map_err(bug)?;
        let anchor = wallets::anchor(wallets::NETWORK).map_err(bug)?;
        let roles = [(Role::Scheduler, &scheduler), (Role::Messenger, &messenger), (Role::Client, &known[0]), (Role::Anchor, &anchor)];
        for (role, wallet) in roles {
            if keys.with_role(role).is_err() {
                keys.store(wallet)?;
                keys.assign(role, &wallet.address())?;
            }
        }
        let entries = known.iter().map(|wallet| keys.store(wallet)).collect::<Result<_, _>>()?;
        Ok((data, entries))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.temporary {
            drop(std::fs::remove_dir_all(&self.root));
        }
    }
}

/// Balances of the well-known wallets.
pub fn funded() -> Result<Vec<(String, u128)>, Failure> {
    let known = wallets::wallets(wallets::NETWORK).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
    Ok(known.iter().map(|wallet| (wallet.address().to_string(), wallets::BALANCE)).collect())
}

/// Starts the log of a node.
pub fn log(context: &Context<'_>, loaded: &Loaded) -> Result<Option<logging::Levels>, Failure> {
    let log = &loaded.config.log;
    let colour = context.printer.colour && std::io::IsTerminal::is_terminal(&std::io::stderr());
    // A second node in one process (tests do that) shares the first one's log.
    Ok(logging::install(&log.level, log.format, colour).ok())
}

/// Threads for a node: HTTP and timers; the core and the workers have their own.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // What runs on these threads of a node is HTTP, all but a few looks now and then.
    builder.thread_name("http");
    super::runtime(builder)
}

/// Says that the node is ready, where it is, and how to use it.
pub fn ready(context: &mut Context<'_>, service: &Service, known: &[keys::Entry]) -> Result<(), Failure> {
    let record = ready_record(service, known);
    context.printer.event("ready/v1", record, || ready_text(service, known))
}

fn ready_record(service: &Service, known: &[keys::Entry]) -> Value {
    let identity = service.identity();
    json!({
        "endpoints": { "api": service.api(), "admin": service.admin(), "metrics": service.metrics() },
        "network": identity.network, "engine": identity.engine, "scheduler": identity.scheduler.to_string(),
        "authority": identity.messenger.to_string(), "module": identity.default_module, "datadir": service.root(),
        "arweave": service.arweave(), "ready_ms": service.ready_ms(), "version": crate::VERSION, "pid": std::process::id(),
        "wallets": known.iter().map(|entry| json!({ "address": entry.address, "kind": entry.kind, "path": entry.path })).collect::<Vec<_>>(),
    })
}

fn ready_text(service: &Service, known: &[keys::Entry]) -> String {
    let identity = service.identity();
    let off = || "off".to_owned();
    let mut rows = vec![
        ("HTTP", service.api().to_owned()),
        ("Admin", service.admin().map_or_else(off, str::to_owned)),
        ("Metrics", service.metrics().map_or_else(off, |url| format!("{url}/metrics"))),
        ("Arweave", if service.arweave().is_empty() { off() } else { service.arweave().join(", ") }),
        ("Network", format!("{} ({} engine)", identity.network, identity.engine)),
        ("Scheduler", identity.scheduler.to_string()),
        ("Authority", identity.messenger.to_string()),
        ("Module (Lua)", identity.default_module.to_string()),
        ("Data", service.root().display().to_string()),
    ];
    rows.extend(known.iter().take(2).map(|entry| ("Wallet (RSA)", entry.path.display().to_string())));
    let mut out = format!("aonode {} is ready after {} ms\n\n{}", crate::VERSION, service.ready_ms(), super::output::pairs(&rows));
    if let Some(wallet) = known.first() {
        out.push_str(&format!("\n{}", super::paste::lines(service.api(), identity, &wallet.path)));
    }
    out.push_str("\nCtrl-C stops it.");
    out
}
