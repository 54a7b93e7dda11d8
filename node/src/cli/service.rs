//! A node with its listeners, as `start`, `dev`, `devnet` and `bench` run it.
//!
//! Owns the order in which things are opened and closed, and what is sampled for metrics and the heartbeat. Decides nothing about
//! messages. Stopping: no new writes, listeners end, states are written down; at most [`STOP_WITHIN`], and at once on a second signal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ao_storage::{Durability, WriteBatch, rocks, schema};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failure, io_exit};
use super::joining::{Joined, Joining};
use super::reload::Reloader;
use super::signals::{Signals, Told};
use crate::config::{Config, Loaded};
use crate::datadir::DataDir;
use crate::handle::{Identity, Node};
use crate::http::{self, AdminHooks, App, Limits, Mode, Rates};
use crate::keys::{Keys, Role};
use crate::logging::Levels;
use crate::member::Member;
use crate::metrics::labels::{Label as _, State};
use crate::metrics::{Build, Metrics};
use crate::protection::watch::Phase;
use crate::retention;
use crate::shell::membership::Membership;
use crate::shell::{Options, Running, StartError, StateHashes};
use crate::snapshot::shelf::Shelf;
use crate::wiring;

/// A graceful stop takes no longer.
pub const STOP_WITHIN: Duration = Duration::from_secs(5);
/// A node that must not sign any more stays so long, for peers to get the evidence that it found.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often gauges are sampled and the vital threads are looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// How often the log says that all is well.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(30);

/// What a node is started with.
pub struct Setup {
    /// Checked configuration, and how to read it again.
    pub loaded: Loaded,
    /// Its directory, locked.
    pub data: DataDir,
    /// Its part in a network; `None`: a node by itself.
    pub member: Option<Member>,
    /// Handle on the log's levels, where this process has a log of its own.
    pub levels: Option<Levels>,
    /// Balances on the embedded chain, in winston, by address; kept where there is one already.
    pub accounts: Vec<(String, u128)>,
    /// Where compiled modules are kept, if not in the directory.
    pub modules: Option<PathBuf>,
    /// The binary that serves as compile worker; without one every module is compiled in this process.
    pub worker: Option<PathBuf>,
}

/// A running node.
pub struct Service {
    node: Node,
    running: Option<Running>,
    app: App,
    metrics_of: Metrics,
    listeners: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    shutdown: CancellationToken,
    api: String,
    admin: Option<String>,
    metrics: Option<String>,
    arweave: Vec<String>,
    ready: Duration,
    reloader: Arc<Reloader>,
    joined: Option<Joined>,
    _anchor_threads: Option<super::anchoring::Threads>,
    // Last: the lock is given back when everything else has ended.
    data: DataDir,
}

/// The bounds of HTTP as configured.
pub fn http_limits(config: &Config, connections: u32) -> Limits {
    let api = &config.api;
    Limits {
        body_bytes_max: usize::try_from(api.body_max.0).unwrap_or(usize::MAX),
        connections_max: connections as usize,
        connections_per_ip_max: api.connections_per_ip as usize,
        rates: rates(config),
        ..Limits::default()
    }
}

/// The rates of HTTP as configured.
pub fn rates(config: &Config) -> Rates {
    let api = &config.api;
    Rates {
        read_per_s: api.reads_per_s,
        write_per_s: api.writes_per_s,
        dry_run_per_s: api.dry_runs_per_s,
        burst_s: api.burst_s,
        loopback_free: api.loopback_free,
    }
}

async fn bind(key: &str, address: SocketAddr) -> Result<(TcpListener, String), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(io_exit(&error), format!("{key} = {address}: cannot listen: {error}"))
            .fix(format!("stop whoever has that port, or choose another with --set {key}=ADDRESS:PORT"))
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    Ok((listener, format!("http://{at}")))
}

impl Service {
    /// Opens everything. Must be called within a runtime.
    ///
    /// # Errors
    /// A port is taken, a key is missing, the store does not open; nothing is left running.
    pub async fn start(setup: Setup) -> Result<Self, Failure> {
        let began = Instant::now();
        let Setup { loaded, data, member, levels, mut accounts, modules, worker } = setup;
        let parsed = member.as_ref().map(|member| member.genesis.clone());
        let genesis = match &member {
            Some(member) => {
                accounts.extend(member.genesis.accounts.iter().map(|(account, stake)| (account.clone(), stake.0)));
                Some(network(member)?)
            }
            None => None,
        };
        let config = loaded.config.clone();
        let open_to = super::reload::open(&config).map_err(|reason| Failure::new(Exit::Config, reason))?;
        let connections = super::limits::connections(config.api.connections_max)?;
        let api = bind("api.listen", config.api.listen).await?;
        let admin = if config.admin.enabled { Some(bind("admin.listen", config.admin.listen).await?) } else { None };
        let metrics_at = if config.metrics.enabled { Some(bind("metrics.listen", config.metrics.listen).await?) } else { None };
        let token = data.admin_token()?;

        let plugin = member.as_ref().map_or(wiring::ENGINE, |member| &member.genesis.consensus.plugin);
        let metrics =
            Metrics::new(&Build::new(plugin, &config.network.name)).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
        let may_skew = config.network.name == crate::demo::wallets::NETWORK || member.as_ref().is_some_and(|member| member.genesis.dev);
        let skew = Arc::new(AtomicI64::new(0));
        set_skew(&skew, &config, may_skew).map_err(|reason| Failure::new(Exit::Config, reason))?;
        let (joining, membership) = member.map(|member| Joining::prepare(member, &config.signer, &data)).transpose()?.unzip();
        let (node, running) = open(&config, &data, modules, worker, &metrics, (membership, skew.clone()))?;
        if let Err(failure) = fund(&node, &accounts) {
            running.stop(STOP_WITHIN);
            return Err(failure);
        }

        let (stop, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let app = App::new(Arc::new(node.clone()), http_limits(&config, connections), metrics.clone(), stop.clone());
        app.set_open(open_to);
        app.set_snapshots(node.clone(), Shelf::new(data.snapshots()));
        if let Some(genesis) = genesis {
            app.set_genesis(genesis);
        }
        let joined = match joining.map(|joining| joining.connect(&config, &data, &node, &app)).transpose() {
            Ok(joined) => joined,
            Err(failure) => {
                running.stop(STOP_WITHIN);
                return Err(failure);
            }
        };
        let (of, root) = (node.clone(), data.root().to_owned());
        let apply = move |config: &Config| {
            set_skew(&skew, config, may_skew)?;
            of.set_disk_reserve(reserve(config, &root));
            Ok(())
        };
        let reloader = Arc::new(Reloader::new(loaded, app.clone(), levels.clone(), Box::new(apply)));
        let mut listeners = vec![tokio::spawn(http::serve(api.0, app.public(), stop.clone()))];
        let admin_url = admin.as_ref().map(|(_, url)| url.clone());
        if let Some((listener, _)) = admin {
            let name = config.admin.listen.ip().to_string();
            listeners.push(tokio::spawn(http::serve(
                listener,
                app.admin(hooks(levels, &reloader, shutdown.clone()), token, vec![name]),
                stop.clone(),
            )));
        }
        let metrics_url = metrics_at.as_ref().map(|(_, url)| url.clone());
        if let Some((listener, _)) = metrics_at {
            listeners.push(tokio::spawn(http::serve(listener, app.metrics(), stop.clone())));
        }
        let keys = Keys::new(crate::datadir::Layout::clone(&data));
        let anchoring = match super::anchoring::start(&config, &keys, &node, parsed.as_ref(), &metrics) {
            Ok(anchoring) => anchoring,
            Err(failure) => {
                running.stop(STOP_WITHIN);
                return Err(failure);
            }
        };
        let mut anchor_threads = None;
        if let Some((anchoring, threads)) = anchoring {
            app.set_anchors(anchoring.view());
            listeners.extend(threads.spawn(anchoring.run(stop.clone())));
            anchor_threads = Some(threads);
        }
        if !config.arweave.gateways.is_empty() {
            let asked = retention::beside::fetch_from(node.archive(), &config.arweave.gateways, node.clock());
            if let Err(error) = asked {
                running.stop(STOP_WITHIN);
                return Err(Failure::new(Exit::Exhausted, error.to_string()));
            }
        }
        if let Some(keep) = config.storage.keep.0 {
            listeners.push(tokio::spawn(retention::beside::run(node.archive().plain().clone(), keep, node.clock(), stop.clone())));
        }
        let public = if config.api.public_url.is_empty() { api.1.as_str() } else { config.api.public_url.trim_end_matches('/') };
        super::location::publish(&node, &keys.with_role(Role::Scheduler)?, public).await;
        let sampler = Sampler { node: node.clone(), app: app.clone(), metrics: metrics.clone() };
        sampler.look(false);
        listeners.push(tokio::spawn(sampler.run(stop.clone())));
        let ready = began.elapsed();
        tracing::info!(event = "ready", api = %api.1, ms = ready.as_millis() as u64, "the node is ready");
        let running = Some(running);
        Ok(Self {
            node,
            running,
            app,
            metrics_of: metrics,
            listeners,
            stop,
            shutdown,
            api: api.1,
            admin: admin_url,
            metrics: metrics_url,
            arweave: config.arweave.gateways,
            ready,
            reloader,
            joined,
            _anchor_threads: anchor_threads,
            data,
        })
    }

    /// The node itself.
    pub fn node(&self) -> &Node {
        &self.node
    }
    /// Who it is.
    pub fn identity(&self) -> &Identity {
        self.node.identity()
    }
    /// URL of the public listener.
    pub fn api(&self) -> &str {
        &self.api
    }
    /// URL of the operator's listener.
    pub fn admin(&self) -> Option<&str> {
        self.admin.as_deref()
    }
    /// URL of the metrics listener, without the path.
    pub fn metrics(&self) -> Option<&str> {
        self.metrics.as_deref()
    }
    /// Gateways of the Arweave that it writes to.
    pub fn arweave(&self) -> &[String] {
        &self.arweave
    }
    /// Its data directory.
    pub fn root(&self) -> PathBuf {
        super::context::Context::shown(self.data.root())
    }
    /// Milliseconds from the start to ready.
    pub fn ready_ms(&self) -> u64 {
        self.ready.as_millis() as u64
    }
    /// Its counters.
    pub fn counters(&self) -> &Metrics {
        &self.metrics_of
    }

    /// Runs until a signal or the operator says stop, then stops. Gives the exit code of what ended it.
    ///
    /// # Errors
    /// A vital thread ended by itself: a bug.
    pub async fn until_told(self, mut signals: Signals) -> Result<Exit, Failure> {
        let reloader = Arc::clone(&self.reloader);
        let mut signing = self.joined.as_ref().and_then(Joined::signing);
        let ended = loop {
            tokio::select! {
                why = signing_is_over(&mut signing) => {
                    // It signs nothing any more; what proves why is still on its way to the others, who need it to end as well.
                    tokio::time::sleep(LAST_WORDS).await;
                    break Err(Failure::new(Exit::SigningSafety, why).fix(
                        "find out who else signs with this key, or whose data directory this is a copy of, before you start this node again",
                    ));
                }
                told = signals.next() => match told {
                    Told::Stop(exit) => break Ok(exit),
                    Told::Reload => reloader.on_signal(),
                },
                () = self.shutdown.cancelled() => break Ok(Exit::Ok),
                () = self.vital_thread_ended() => {
                    break Err(Failure::new(Exit::Bug, "a vital thread of the node ended; the log above says why"));
                }
            }
        };
        tracing::info!(event = "stopping", "stopping; a second signal stops at once");
        tokio::select! {
            () = self.stop() => ended,
            exit = signals.next_stop() => {
                tracing::warn!(event = "stopped_at_once", "stopped at once: what was not written down is evaluated again at the next start");
                // Threads that are in the middle of something cannot be waited for; everything acknowledged is durable already.
                std::process::exit(exit as i32)
            }
        }
    }

    async fn vital_thread_ended(&self) {
        while self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Stops gracefully.
    pub async fn stop(mut self) {
        let began = Instant::now();
        self.app.set_mode(Mode::Draining);
        self.metrics_of.ready.set(0);
        self.stop.cancel();
        for listener in std::mem::take(&mut self.listeners) {
            drop(listener.await);
        }
        let signer = match self.joined.take() {
            Some(joined) => joined.leave().await,
            None => None,
        };
        if let Some(running) = self.running.take() {
            let left = STOP_WITHIN.saturating_sub(began.elapsed()).max(Duration::from_millis(500));
            drop(tokio::task::spawn_blocking(move || running.stop(left)).await);
        }
        if let Some(signer) = signer {
            signer.ended(&self.data);
        }
        tracing::info!(event = "stopped", ms = began.elapsed().as_millis() as u64, "stopped");
    }
}

/// Waits until the node must not sign any more; for ever where it does not sign at all.
async fn signing_is_over(signing: &mut Option<tokio::sync::watch::Receiver<Phase>>) -> String {
    let Some(signing) = signing else { return std::future::pending().await };
    match signing.wait_for(|phase| matches!(phase, Phase::Over(_))).await.as_deref() {
        Ok(Phase::Over(why)) => why.clone(),
        // The watch ends with the node.
        _ => std::future::pending().await,
    }
}

/// The genesis as others may ask for it, if this build can be part of its network.
fn network(member: &Member) -> Result<bytes::Bytes, Failure> {
    let plugin = &member.genesis.consensus.plugin;
    let found = wiring::engines::ENGINES.iter().find(|engine| engine.name == plugin);
    let engine = found.ok_or_else(|| {
        Failure::new(Exit::Precondition, format!("this network confirms with the engine `{plugin}`, which this build does not have"))
            .fix("`aonode consensus list` shows those it has; use a build with that engine")
    })?;
    if engine.alone && member.genesis.validators.len() > 1 {
        return Err(Failure::new(
            Exit::Precondition,
            format!("the engine `{plugin}` is for a network of one, and this genesis has several"),
        )
        .fix("make the genesis with another --plugin"));
    }
    member.genesis.canonical().map(Into::into).map_err(Into::into)
}

fn hooks(levels: Option<Levels>, reloader: &Arc<Reloader>, shutdown: CancellationToken) -> AdminHooks {
    let reloader = Arc::clone(reloader);
    AdminHooks {
        set_log_level: Arc::new(move |spec| match &levels {
            Some(levels) => levels.set(spec),
            None => Err("this process's log belongs to somebody else".into()),
        }),
        reload: Arc::new(move || reloader.reload()),
        shutdown: Arc::new(move || shutdown.cancel()),
    }
}

/// Bytes of free space that are kept.
pub(super) fn reserve(config: &Config, root: &std::path::Path) -> u64 {
    match config.storage.reserve.0 {
        0 => super::limits::default_reserve(super::limits::disk_bytes(root)),
        bytes => bytes,
    }
}

/// A clock that is wrong on purpose is for networks to try things on.
fn set_skew(skew: &AtomicI64, config: &Config, may_skew: bool) -> Result<(), String> {
    let wanted = config.chain.clock_skew_ms;
    if wanted != 0 && !may_skew {
        return Err("chain.clock_skew_ms is for networks whose genesis is marked `dev`: set it to 0".into());
    }
    skew.store(wanted, Ordering::Relaxed);
    Ok(())
}

/// The node on its store and machine, without listeners.
///
/// # Errors
/// The store, the keys or the machine.
pub fn open(
    config: &Config,
    data: &DataDir,
    modules: Option<PathBuf>,
    worker: Option<PathBuf>,
    metrics: &Metrics,
    (membership, skew): (Option<Membership>, Arc<AtomicI64>),
) -> Result<(Node, Running), Failure> {
    let keys = Keys::new(crate::datadir::Layout::clone(data));
    let signer = |role| keys.with_role(role).map(Arc::new);
    let mut options = Options::new(&config.network.name, signer(Role::Scheduler)?, signer(Role::Messenger)?, metrics.clone());
    if config.compute.workers > 0 {
        options.evaluators = config.compute.workers;
    }
    options.instance_bytes_max = config.compute.hot_memory.0;
    options.instance_idle_max = config.compute.hot_time.0;
    options.checkpoint_slots = config.compute.checkpoint_slots;
    options.certify_slots = config.compute.certify_slots;
    options.state_hashes = if config.compute.hash_every_slot { StateHashes::Every } else { StateHashes::Rest };
    options.data_dir = Some(data.db());
    options.disk_reserve_bytes = reserve(config, data.root());
    options.clock = crate::shell::skewed_clock(skew);
    let machine = machine(config, data, modules, worker)?;
    let mut setup = wiring::Setup::standard(machine, config.chain.block_interval.0.as_millis() as u64).map_err(refused)?;
    setup.membership = membership;
    Node::start(options, setup, Some(&data.db()), &rocks::Settings::default()).map_err(refused)
}

/// What restores states before a node runs: the machine that it will have.
///
/// # Errors
/// It cannot be made on this host.
pub(super) fn restorer(config: &Config, data: &DataDir) -> Result<Arc<dyn ao_vm::Vm>, Failure> {
    let settings = machine(config, data, None, std::env::current_exe().ok())?;
    let setup = wiring::Setup::standard(settings, config.chain.block_interval.0.as_millis() as u64);
    Ok(setup.map_err(|error| Failure::new(Exit::Bug, error.to_string()))?.vm)
}

/// How modules are run, as configured.
///
/// # Errors
/// The folder of compiled modules cannot be made.
pub(super) fn machine(
    config: &Config,
    data: &crate::datadir::Layout,
    modules: Option<PathBuf>,
    worker: Option<PathBuf>,
) -> Result<ao_vm::Settings, Failure> {
    let shared = Some(&config.compute.module_cache).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    if let Some(folder) = &shared {
        crate::datadir::make_private_folder(folder)?;
    }
    Ok(ao_vm::Settings {
        cache: Some(modules.or(shared).unwrap_or_else(|| data.modules())),
        runtimes: Some(data.runtimes()),
        memory_limit_max: config.compute.memory_max.0,
        compute_limit_max: config.compute.gas_max,
        wall_clock: config.compute.wall_guard.0,
        compiler: wiring::compiler(worker, config.compute.compile_timeout.0, config.compute.compile_memory.0),
        ..ao_vm::Settings::default()
    })
}

fn refused(error: StartError) -> Failure {
    use ao_storage::Error as E;
    let exit = match &error {
        StartError::Store(E::Corrupt { .. }) => Exit::Corruption,
        StartError::Store(E::TooNew { .. } | E::Locked(_)) | StartError::Recovering(_) => Exit::Precondition,
        StartError::Store(E::DiskFull(_)) | StartError::Thread { .. } => Exit::Exhausted,
        _ => Exit::Bug,
    };
    Failure::new(exit, error.to_string())
}

/// Gives balances to accounts that have none.
fn fund(node: &Node, accounts: &[(String, u128)]) -> Result<(), Failure> {
    let failed = |error: ao_storage::Error| refused(StartError::Store(error));
    let mut batch = WriteBatch::default();
    for (address, balance) in accounts {
        if schema::ACCOUNTS.get(node.store(), address).map_err(failed)?.is_none() {
            schema::ACCOUNTS.put(&mut batch, address, &schema::AccountRow { balance: *balance });
        }
    }
    if batch.writes.is_empty() { Ok(()) } else { node.store().write(batch, Durability::Synced).map_err(failed) }
}

/// Looks at what nobody counts, for metrics and the heartbeat.
struct Sampler {
    node: Node,
    app: App,
    metrics: Metrics,
}

impl Sampler {
    async fn run(self, stop: CancellationToken) {
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + SAMPLE_EVERY, SAMPLE_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut heard, mut computed) = (Instant::now(), self.computed());
        loop {
            tokio::select! { () = stop.cancelled() => return, _ = tick.tick() => {} }
            self.look(true);
            let since = heard.elapsed();
            if since >= HEARTBEAT_EVERY {
                let now = self.computed();
                self.heartbeat(now.saturating_sub(computed) as f64 / since.as_secs_f64());
                (heard, computed) = (Instant::now(), now);
            }
        }
    }

    fn computed(&self) -> u64 {
        self.metrics.messages_total.of(State::Computed).get()
    }

    /// Looks at what nobody counts. A node that begins just now has no peers yet: nothing to `tell` an operator.
    fn look(&self, tell: bool) {
        let mut ready = self.app.mode() == Mode::Serving;
        for check in self.app.checks() {
            self.metrics.health_check_ok.of(check.check).set(i64::from(check.ok));
            ready &= check.ok || !check.vital;
            if !check.ok && tell {
                tracing::warn!(
                    event = "health",
                    check = check.check.text(),
                    reason = check.reason,
                    fix = check.fix,
                    "a health check fails"
                );
            }
        }
        self.metrics.ready.set(i64::from(ready));
    }

    fn heartbeat(&self, per_s: f64) {
        tracing::info!(
            event = "heartbeat",
            height = self.node.tip().0,
            behind = self.metrics.replay_behind_slots.get(),
            outbox = self.metrics.outbox_pending.get(),
            messages_per_s = format!("{per_s:.1}"),
            instances = self.metrics.wasm_instances.get(),
            resident_mib = super::limits::resident_bytes() >> 20,
            "running"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two places have the defaults of HTTP's bounds: the library for those who use it, the configuration for operators. They are one.
    #[test]
    fn the_default_configuration_is_the_default_of_http() {
        let config = Config::default();
        assert_eq!(http_limits(&config, config.api.connections_max), Limits::default());
    }

    #[tokio::test]
    async fn a_taken_port_names_the_key_and_the_way_out() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let failure = bind("api.listen", taken.local_addr().unwrap()).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Precondition);
        assert!(failure.to_string().contains("--set api.listen="), "{failure}");
    }
}
