//! The network between nodes, as the node sees it: one task owns the handle on `ao-p2p` and stands between it and the core.
//!
//! ```text
//!   core ─▶ Orders ──▶ ┌──────────────────────────────┐ ─▶ Command ─▶ ao-p2p ─▶ peers
//!                      │ task.rs                      │
//!   core ◀─ Doorway ◀─ │ spread: frames and bodies    │ ◀─ Event ◀── ao-p2p ◀─ peers
//!                      │ sync:   catching up          │
//!   store ◀─────────── │ items:  what is named only   │ ─▶ serve.rs: threads that answer questions from the store
//!                      └──────────────────────────────┘
//! ```
//!
//! `message` says what travels, [`seam`] what the node and this shell say to each other. The three state machines in the middle know no
//! socket and no clock. Nothing here judges what a frame says: frames of others are handed in with whoever sent them, and the verdict of
//! the core goes back to gossip. What is checked here is only what keeps a stranger from using this node's memory and bandwidth: lengths,
//! the scheduler's signature on a header before its body is pulled, and the proofs of chunks.
//!
//! It runs on threads of its own, named `p2p`: frames do not wait behind a burst of clients, nor clients behind one of peers, and what the
//! network costs can be told from what HTTP does.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ao_p2p::{Ban, Command, Failure, NotSent, Offence, PeerId, PeerInfo};
use ao_storage::Store;
use ao_types::{Canonical as _, Chain, NetworkId};
use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::shell::Now;

mod clocks;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod items;
pub mod limits;
pub mod message;
#[cfg(feature = "sim")]
mod misbehave;
mod names;
mod peers;
mod range;
mod said;
pub mod seam;
mod serve;
mod servers;
mod settings;
mod spread;
mod sync;
mod task;
#[cfg(test)]
pub(crate) mod tests;

use message::StateQuestion;
pub use names::{from_types, to_types};
pub use peers::PeersFile;
use seam::{Doorway, Order, States};
use servers::Servers;
pub use settings::{of_genesis as settings_of, p2p as p2p_settings};

/// What a network shell is started with.
pub struct Settings {
    /// How the network below is set up. Bans and anchors of [`Settings::peers_file`] are added to it.
    pub p2p: ao_p2p::Config,
    /// The network.
    pub network: NetworkId,
    /// The chains that this node follows, its own among them.
    pub chains: Vec<Chain>,
    /// Whose clocks are believed first.
    pub validators: Vec<PeerId>,
    /// Where bans and anchors are kept over restarts; nowhere in tests.
    pub peers_file: Option<PathBuf>,
    /// What time it is.
    pub clock: Now,
}

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The network below.
    #[error(transparent)]
    Network(#[from] ao_p2p::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] ao_storage::Error),
    /// No thread could be made.
    #[error("no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What is counted, for metrics and health.
#[derive(Debug, Default)]
pub struct Counts {
    /// Peers that are connected now.
    pub connected: AtomicUsize,
    /// Frames of all chains that this node has.
    pub sync_frames: AtomicU64,
    /// Frames that the farthest peers say there are.
    pub sync_target_frames: AtomicU64,
    /// Arrivals that found no room at the core.
    pub arrivals_dropped: AtomicU64,
    /// How much this node's clock is ahead of the others', milliseconds.
    pub clock_ahead_ms: AtomicI64,
    /// Whether anybody has said what time it is.
    pub clock_known: AtomicBool,
    /// Answers to others that said "busy" because the queue was full.
    pub serve_busy: AtomicU64,
}

/// A question about a state, and who waits for the answer.
#[derive(Debug)]
struct Inquiry {
    peer: PeerId,
    question: Bytes,
    reply: oneshot::Sender<Result<Bytes, Failure>>,
}

/// A cheap handle for operators: who is connected, who is banned.
#[derive(Clone, Debug)]
pub struct Handle {
    network: ao_p2p::Network,
    counts: Arc<Counts>,
    inquiries: mpsc::Sender<Inquiry>,
    /// Fewer connected peers than this are worth a warning: all others of a small network, or `min_out`.
    few: usize,
}

impl Handle {
    /// Who this node is.
    pub fn peer_id(&self) -> PeerId {
        self.network.peer_id()
    }

    /// Who is connected, ordered by id.
    ///
    /// # Errors
    /// The network has stopped or is behind.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, NotSent> {
        self.network.peers().await
    }

    /// Who is banned, ordered by id.
    ///
    /// # Errors
    /// As [`Handle::peers`].
    pub async fn bans(&self) -> Result<Vec<Ban>, NotSent> {
        self.network.bans().await
    }

    /// Bans a peer.
    ///
    /// # Errors
    /// As [`Handle::peers`].
    pub fn ban(&self, peer: PeerId, length: Duration) -> Result<(), NotSent> {
        self.network.send(Command::Ban { peer, length })
    }

    /// Asks one peer about a state; the bytes of its answer, unread.
    ///
    /// # Errors
    /// There is none. [`Failure::TooMany`] also where this node asks too much at once, [`Failure::Closed`] where its network has stopped.
    pub async fn ask_state(&self, peer: PeerId, question: &StateQuestion) -> Result<Bytes, Failure> {
        let (reply, answer) = oneshot::channel();
        let inquiry = Inquiry { peer, question: question.encode().into(), reply };
        self.inquiries.try_send(inquiry).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Failure::TooMany,
            mpsc::error::TrySendError::Closed(_) => Failure::Closed,
        })?;
        answer.await.unwrap_or(Err(Failure::Closed))
    }

    /// Books an offence that the layer above found.
    pub fn penalise(&self, peer: PeerId, offence: Offence) {
        // What is not told costs the peer nothing this time.
        drop(self.network.send(Command::Penalise { peer, offence }));
    }

    /// Ends a ban.
    ///
    /// # Errors
    /// As [`Handle::peers`].
    pub fn unban(&self, peer: PeerId) -> Result<(), NotSent> {
        self.network.send(Command::Unban(peer))
    }

    /// What is counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Connected peers, and below how many there are too few.
    pub fn connected(&self) -> (usize, usize) {
        (self.counts.connected.load(Ordering::Relaxed), self.few)
    }

    /// Frames that peers say they have, and those of them that are here.
    pub fn sync_frames(&self) -> (u64, u64) {
        (self.counts.sync_target_frames.load(Ordering::Relaxed), self.counts.sync_frames.load(Ordering::Relaxed))
    }

    /// How much this node's clock is ahead of the others', milliseconds; `None` while nobody has said what time it is.
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        let known = self.counts.clock_known.load(Ordering::Acquire);
        known.then(|| self.counts.clock_ahead_ms.load(Ordering::Relaxed))
    }

    /// Everything counted below, in the text format 0.0.4 without an end mark, and what is counted here.
    pub fn metrics_text(&self) -> String {
        let mut text = self.network.metrics_text();
        let counts = &self.counts;
        for (name, kind, help, value) in [
            ("aonode_sync_frames", "gauge", "Frames of all chains that this node has.", counts.sync_frames.load(Ordering::Relaxed)),
            (
                "aonode_sync_target_frames",
                "gauge",
                "Frames of all chains that the farthest peers say there are.",
                counts.sync_target_frames.load(Ordering::Relaxed),
            ),
            (
                "aonode_p2p_arrivals_dropped_total",
                "counter",
                "Arrivals that found no room at the core.",
                counts.arrivals_dropped.load(Ordering::Relaxed),
            ),
            (
                "aonode_p2p_serve_busy_total",
                "counter",
                "Questions of peers refused because too many waited.",
                counts.serve_busy.load(Ordering::Relaxed),
            ),
        ] {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
        }
        let (name, ahead_s) = ("aonode_clock_offset_seconds", counts.clock_ahead_ms.load(Ordering::Relaxed) as f64 / 1_000.0);
        let help = "How much this node's clock is ahead of the others': the median over the validators that are connected.";
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {ahead_s}\n"));
        text
    }
}

/// The running shell.
#[derive(Debug)]
pub struct Running {
    task: JoinHandle<()>,
    network: ao_p2p::Network,
    stop: CancellationToken,
    // Last: everything above runs on it.
    threads: Threads,
}

impl Running {
    /// Stops the task and waits until the sockets are closed. Every forwarded item still open is answered.
    pub async fn stop(self) {
        let Self { task, network, stop, threads } = self;
        stop.cancel();
        drop(task.await);
        network.stopped().await;
        drop(threads);
    }
}

/// The network's own threads.
#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Threads {
    /// Half of the cores: the other half is for what frames and messages are made of.
    fn start() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads((cores / 2).clamp(1, limits::THREADS_MAX))
            .thread_name("p2p")
            .enable_all()
            .build()
            .map(|built| Self(Some(built)))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Not waited for: this may be within another runtime, where nobody may wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts the network shell on threads of its own.
///
/// # Errors
/// An address that cannot be listened on, a store that cannot be read, no threads.
pub fn start(
    mut settings: Settings,
    store: Arc<dyn Store>,
    orders: mpsc::Receiver<Order>,
    door: Arc<dyn Doorway>,
    states: &Arc<dyn States>,
) -> Result<(Handle, Running), StartError> {
    let file = PeersFile::open(settings.peers_file.take());
    file.apply(&mut settings.p2p);
    // Who is the only one of a network lacks nobody.
    let others = usize::from(settings.chains.len() > 1);
    let few = settings.p2p.static_peers.len().min(settings.p2p.min_out as usize).max(others);
    let server = Arc::new(serve::Server::new(store));
    let tips = settings.chains.iter().map(|chain| server.tip(*chain)).collect::<Result<Vec<_>, _>>()?;
    let threads = Threads::start()?;
    let entered = threads.0.as_ref().map(Runtime::enter);
    #[cfg(feature = "sim")]
    let (orders, door, serves) = misbehave::ends(orders, door);
    #[cfg(feature = "sim")]
    let states = &misbehave::states(states);
    #[cfg(not(feature = "sim"))]
    let serves = true;
    let (network, events) = ao_p2p::Network::start(settings.p2p.clone())?;
    let (inquiries, asked) = mpsc::channel(limits::INQUIRIES_MAX);
    let (counts, stop) = (Arc::new(Counts::default()), CancellationToken::new());
    let servers = Servers::start(server, states, network.clone(), settings.clock.clone(), counts.clone())?;
    let task = task::Task::new(&settings, network.clone(), door, servers, counts.clone(), file, tips, stop.clone());
    let task = if serves { task } else { task.that_serves_nobody() };
    let task = tokio::spawn(task.run(events, orders, asked));
    drop(entered);
    let handle = Handle { network: network.clone(), counts, inquiries, few };
    Ok((handle, Running { task, network, stop, threads }))
}
