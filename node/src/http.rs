//! The node's HTTP: what clients of the older network, browsers, tools and operators talk to.
//!
//! ```text
//!  socket ─ server.rs ─ edge.rs ──────────────┬─ union.rs   root: all units on one origin
//!           accept loop  request id, bounds,  ├─ mu.rs su.rs cu.rs     one unit each, under /mu /su /cu
//!           and watch    CORS, rates, panics, ├─ ../gateway            GraphQL, data, uploads; also under /gateway
//!                        metrics, log line    ├─ native/    /v1, OpenAPI, events
//!                                             ├─ health.rs  every listener
//!                                             └─ admin.rs   its own listener, its own rules
//! ```
//!
//! Handlers turn a request into one call of [`Backend`] (writes) or reads of its store, and the answer into the exact form that the client
//! expects (`interop-legacynet.md`, `operations.md` section 7). They decide nothing about AO: what an item means, who is allowed what
//! and when a result is ready is the core's.

use std::ops::Deref;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use ao_storage::Store;
use axum::Router;
use parking_lot::RwLock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::error::{Code, Rejection};
use crate::handle::HealthCheck;
use crate::metrics::Metrics;
use crate::network;
use crate::protection::Watch;

mod admin;
pub mod backend;
pub(crate) mod body;
mod checks;
mod cu;
pub(crate) mod cursor;
pub mod edge;
mod events;
mod health;
pub mod limits;
mod mu;
mod native;
pub mod origins;
pub(crate) mod pages;
pub(crate) mod query;
mod rate;
pub(crate) mod reply;
mod schedule;
pub mod server;
mod su;
pub(crate) mod text;
mod trace;
mod traceparent;
mod union;

pub use admin::{AdminHooks, Reloaded};
pub use backend::Backend;
pub use edge::Edge;
pub use limits::{Limits, Rates};
pub use origins::Origins;
pub use server::serve;

/// What every handler shares. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// See [`App`].
pub struct Inner {
    /// The node.
    pub backend: Arc<dyn Backend>,
    /// Bounds.
    pub limits: Limits,
    /// Counters.
    pub metrics: Metrics,
    /// Recent events, for streams.
    events: events::Hub,
    /// Memory for bodies, in units of `body::ROOM_UNIT`.
    bodies: Arc<Semaphore>,
    dry_runs: Arc<Semaphore>,
    waiters: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    mode: AtomicU8,
    open: RwLock<Open>,
    /// Canonical bytes of the network's genesis.
    genesis: RwLock<Option<bytes::Bytes>>,
    /// Open connections of all listeners.
    connections: AtomicUsize,
    /// The network between nodes, if this node is part of one.
    network: OnceLock<network::Handle>,
    watch: OnceLock<Arc<Watch>>,
    /// The node and where it keeps snapshots, for its operator.
    snapshots: OnceLock<(crate::Node, crate::snapshot::shelf::Shelf)>,
    /// What is written to Arweave, if anything is.
    anchors: OnceLock<crate::anchor::View>,
    /// Since when chains of the network wait.
    progress: checks::Progress,
    /// The listeners' stop: streams end with it.
    stop: CancellationToken,
}

/// What may change while listeners are open.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// Requests per second.
    pub rates: Rates,
    /// Whose pages may read answers.
    pub origins: Origins,
}

/// Whether writes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// All is taken.
    Serving = 0,
    /// An operator stopped writes for a while; reads go on.
    Paused = 1,
    /// About to stop: not ready, no writes, reads go on.
    Draining = 2,
}

impl Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Shares a node with handlers. Must be called within a tokio runtime: one task follows the node's events until `stop`.
    pub fn new(backend: Arc<dyn Backend>, limits: Limits, metrics: Metrics, stop: CancellationToken) -> Self {
        let events = events::Hub::follow(backend.events(), stop.clone());
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Inner {
            bodies: semaphore(limits.bodies_bytes_max / body::ROOM_UNIT),
            dry_runs: semaphore(limits.dry_runs_max),
            waiters: semaphore(limits.waiters_max),
            scans: semaphore(limits.scans_max),
            streams: semaphore(limits.streams_max),
            mode: AtomicU8::new(Mode::Serving as u8),
            open: RwLock::new(Open { rates: limits.rates, origins: Origins::default() }),
            genesis: RwLock::new(None),
            connections: AtomicUsize::new(0),
            network: OnceLock::new(),
            watch: OnceLock::new(),
            snapshots: OnceLock::new(),
            anchors: OnceLock::new(),
            progress: checks::Progress::default(),
            backend,
            limits,
            metrics,
            events,
            stop,
        }))
    }

    /// The public listener: everything but metrics and administration.
    pub fn public(&self) -> Arc<Edge> {
        let router = Router::new()
            .merge(union::routes())
            .nest("/mu", mu::routes())
            .nest("/su", su::routes())
            .nest("/cu", cu::routes())
            .nest("/gateway", crate::gateway::routes())
            .merge(native::routes())
            .merge(health::routes());
        Edge::public(router, self.clone())
    }

    /// The operator's listener. `token` is the bearer token; `hosts` are the names it may be called by besides loopback's.
    pub fn admin(&self, hooks: AdminHooks, token: String, hosts: Vec<String>) -> Arc<Edge> {
        Edge::admin(admin::routes(hooks).merge(health::routes()), self.clone(), token, hosts)
    }

    /// The listener for Prometheus.
    pub fn metrics(&self) -> Arc<Edge> {
        Edge::plain(health::metrics_routes().merge(health::routes()), self.clone())
    }

    /// Whether writes are taken.
    pub fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Relaxed) {
            0 => Mode::Serving,
            1 => Mode::Paused,
            _ => Mode::Draining,
        }
    }

    /// Takes writes, or stops taking them. Draining is for good.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.fetch_max(mode as u8, Ordering::Relaxed);
        if mode == Mode::Serving {
            let _ = self.mode.compare_exchange(Mode::Paused as u8, Mode::Serving as u8, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// What may change, as it is now.
    pub fn open(&self) -> Open {
        self.open.read().clone()
    }

    /// Changes what may change: requests from now on meet the new rates and origins.
    pub fn set_open(&self, open: Open) {
        *self.open.write() = open;
    }

    /// The node is part of a network. Only the first one counts.
    pub fn set_network(&self, network: network::Handle) {
        // A node joins one network in its life.
        let _ = self.network.set(network);
    }

    /// The node attests. Only the first one counts.
    pub fn set_watch(&self, watch: Arc<Watch>) {
        // A node has one key in its life.
        let _ = self.watch.set(watch);
    }

    /// What looks after the key that this node attests with.
    pub fn watch(&self) -> Option<&Watch> {
        self.watch.get().map(Arc::as_ref)
    }

    /// The network between nodes.
    pub fn network(&self) -> Option<&network::Handle> {
        self.network.get()
    }

    /// The node keeps snapshots here. Only the first one counts.
    pub fn set_snapshots(&self, node: crate::Node, shelf: crate::snapshot::shelf::Shelf) {
        // A node has one data directory in its life.
        let _ = self.snapshots.set((node, shelf));
    }

    /// The node and where it keeps snapshots.
    fn snapshots(&self) -> Option<&(crate::Node, crate::snapshot::shelf::Shelf)> {
        self.snapshots.get()
    }

    /// The node anchors. Only the first one counts.
    pub fn set_anchors(&self, anchors: crate::anchor::View) {
        // A node anchors in one way in its life.
        let _ = self.anchors.set(anchors);
    }

    /// What is written to Arweave, if anything is.
    pub fn anchors(&self) -> Option<&crate::anchor::View> {
        self.anchors.get()
    }

    /// How the node is, and how it is with its network.
    pub fn checks(&self) -> Vec<HealthCheck> {
        let mut checks = self.backend.health();
        checks.extend(checks::of(self));
        checks
    }

    /// What `GET /v1/genesis` gives; nothing until it is set.
    pub fn set_genesis(&self, canonical: bytes::Bytes) {
        *self.genesis.write() = Some(canonical);
    }

    /// Canonical bytes of the network's genesis; `None` for a node by itself.
    pub fn genesis(&self) -> Option<bytes::Bytes> {
        self.genesis.read().clone()
    }

    /// Open connections of all listeners.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether an item is here.
    pub(crate) fn has_item(&self, id: &ao_types::Id) -> Result<bool, Rejection> {
        ao_storage::schema::ITEM_INDEX.contains(self.store(), id).map_err(|error| reply::store_failed(&error))
    }

    /// Refuses a write while none is taken.
    pub(crate) fn writable(&self) -> Result<(), Rejection> {
        match self.mode() {
            Mode::Serving => Ok(()),
            Mode::Paused => Err(Rejection::retry(Code::Unavailable, "writes are paused by the operator", 10)),
            Mode::Draining => Err(Rejection::retry(Code::Unavailable, "this node is about to stop", 30)),
        }
    }

    /// The store, for look-ups of single rows. Anything longer goes through [`App::read`].
    pub(crate) fn store(&self) -> &dyn Store {
        self.backend.store()
    }

    /// Reads pages and lists on a thread that may block; waits while [`Limits::scans_max`] others do.
    pub(crate) async fn read<T, F>(&self, job: F) -> Result<T, Rejection>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> Result<T, Rejection> + Send + 'static,
    {
        let permit = self.scans.clone().acquire_owned().await;
        let backend = self.backend.clone();
        let job = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            job(backend.store())
        });
        job.await.unwrap_or_else(|error| {
            // The panic's message is in the log; like one in a handler it costs this request only.
            tracing::error!(event = "read_panicked", code = Code::Internal.as_str(), %error);
            Err(Rejection::new(Code::Internal, "a bug of this node ended the request"))
        })
    }
}

/// One of the few places for `what`, or a refusal.
fn place(semaphore: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Rejection> {
    semaphore
        .clone()
        .try_acquire_owned()
        .map_err(|_| Rejection::retry(Code::Busy, format!("as many {what} as this node allows are under way"), 1))
}

#[cfg(test)]
pub(crate) mod tests;
