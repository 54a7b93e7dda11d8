//! A node that joins comes to states of others (`operations.md` §11): offers of several peers, chunks from several, then evaluation begins there.
//!
//! ```text
//!   log here, evaluation far behind ─▶ offers ─▶ certificate ─▶ chunks (fetch.rs), kept over a crash ─▶ root ─▶ log as far? age? ─▶ begin
//! ```
//!
//! Works on one process at a time, beside everything else: evaluation from the first message goes on meanwhile, and if it is there first, so much
//! the better. Nothing of a snapshot reaches the node before its root is the certified one; whether it fits the log is judged by
//! [`crate::shell::begin`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ao_consensus::{Rosters, Timestamp};
use ao_p2p::{Offence, PeerId};
use ao_storage::WriteBatch;
use ao_storage::schema::{self, CERTIFIED_STATES};
use ao_types::{Id, NetworkId, Slot};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::choice::{Bad, Offers, Worth, asked, judge, owing};
use super::fetch::{Ask, Came, Fetch, Pace};
use super::limits::{JOIN_LOOKS_FOR_MORE, JOIN_PAUSE_MS_MAX, JOIN_PAUSE_MS_MIN, JOIN_STUCK_MS, JOIN_TICK_MS};
use super::partial::Partial;
use super::shelf::Shelf;
use super::{Manifest, Refused, Root, Trust};
use crate::error::Rejection;
use crate::handle::{Node, NotBegun};
use crate::metrics::Metrics;
use crate::metrics::labels::Chunk;
use crate::network::Handle;
use crate::network::message::{StateQuestion, decode_offers};
use crate::shell::begin::BeginError;

/// Why a process did not get a state this time.
#[derive(Debug, thiserror::Error)]
enum Missed {
    /// Nobody has one that helps, or only one has and others may soon.
    #[error("no peer has a state that helps, or fewer than might")]
    Nobody,
    /// Nothing came for long.
    #[error("the chunks, or the log up to their slot, do not come")]
    Stuck,
    /// What came is no state of this log, and its sources could have known: the next one is tried.
    #[error("what came does not hold: {0}")]
    Lie(String),
    /// This node cannot begin at it, whoever brings it: it is not fetched again, and after a pause another one is tried.
    #[error("it does not come to life here: {0}")]
    Unfit(String),
    /// Nothing is to be gained for this process any more.
    #[error("{0}")]
    Final(String),
    /// What came is not to be had.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The node does not take it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The disk.
    #[error("{0}")]
    Disk(String),
}

impl From<BeginError> for Missed {
    fn from(error: BeginError) -> Self {
        let text = error.to_string();
        match error {
            BeginError::OtherLog { .. } | BeginError::Delta => Self::Lie(text),
            // The root was the certified one: that it does not come to life is no fault of who brought it.
            BeginError::Untrue(_) | BeginError::OtherMachine { .. } => Self::Unfit(text),
            BeginError::Further { .. } | BeginError::KnownBad(_) | BeginError::Halted(..) => Self::Final(text),
            BeginError::BeyondLog { .. } | BeginError::NotNow(_) => Self::Rejected(error.into()),
        }
    }
}

impl From<ao_storage::Error> for Missed {
    fn from(error: ao_storage::Error) -> Self {
        Self::Disk(error.to_string())
    }
}

/// Whom a node believes, and until when.
pub struct Belief {
    /// The network.
    pub network: NetworkId,
    /// Its committees.
    pub rosters: Arc<Rosters>,
    /// See [`Trust::trust_period_ms`].
    pub trust_period_ms: u64,
    /// See [`Trust::roots`].
    pub roots: Vec<Root>,
}

impl Belief {
    fn trust(&self) -> Trust<'_> {
        Trust { network: self.network, rosters: Some(&self.rosters), trust_period_ms: self.trust_period_ms, roots: &self.roots }
    }
}

/// A process that waits for another try.
#[derive(Clone, Copy, Debug)]
struct Try {
    not_before: Timestamp,
    pause_ms: u64,
    looks: u32,
}

/// See the module documentation.
pub struct Joiner {
    node: Node,
    network: Handle,
    shelf: Shelf,
    /// Where chunks are kept until there are all.
    partial: Partial,
    belief: Belief,
    metrics: Metrics,
    tries: BTreeMap<Id, Try>,
    /// Processes that have their state, or to which none fits.
    done: BTreeSet<Id>,
    bad: Bad,
    /// Looks go on behind this process.
    after: Option<Id>,
}

impl Joiner {
    /// Nothing asked yet.
    pub fn new(node: Node, network: Handle, shelf: Shelf, partial: PathBuf, belief: Belief, metrics: Metrics) -> Self {
        let partial = Partial::new(partial);
        Self {
            node,
            network,
            shelf,
            partial,
            belief,
            metrics,
            tries: BTreeMap::new(),
            done: BTreeSet::new(),
            bad: Bad::default(),
            after: None,
        }
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(Duration::from_millis(JOIN_TICK_MS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let partial = self.partial.clone();
        drop(tokio::task::spawn_blocking(move || partial.keep_newest()).await);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let candidates = self.candidates().unwrap_or_else(|error| {
                tracing::warn!(event = "join_unread", %error, "look at the disk");
                Vec::new()
            });
            for (process, evaluated) in candidates {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.look_after(process, evaluated) => {}
                }
            }
        }
    }

    fn now(&self) -> Timestamp {
        (self.node.clock())()
    }

    /// Processes whose log is here, and whose evaluation is at least one certified state behind it.
    fn candidates(&mut self) -> Result<Vec<(Id, Option<Slot>)>, ao_storage::Error> {
        let (now, every, store) = (self.now(), self.node.certify_slots(), self.node.store());
        let mut found = Vec::new();
        for process in owing(store, &mut self.after)? {
            if self.done.contains(&process) || self.tries.get(&process).is_some_and(|tried| tried.not_before > now) {
                continue;
            }
            let Some(confirmed) = schema::CONFIRMED.get(store, &process)? else { continue };
            let evaluated = schema::EVALUATION_HEADS.get(store, &process)?.map(|head| head.slot);
            let next = evaluated.map_or(0, |slot| slot.0 + 1);
            if every > 0 && confirmed.0 + 1 >= next.saturating_add(every) {
                found.push((process, evaluated));
            }
        }
        Ok(found)
    }

    async fn look_after(&mut self, process: Id, evaluated: Option<Slot>) {
        let ended = self.join(process, evaluated).await;
        let tried = self.tries.entry(process).or_insert(Try { not_before: Timestamp(0), pause_ms: JOIN_PAUSE_MS_MIN, looks: 0 });
        tried.looks = tried.looks.saturating_add(1);
        let pause_ms = tried.pause_ms;
        // While a second source may still come, that is soon.
        tried.pause_ms = if tried.looks < JOIN_LOOKS_FOR_MORE { pause_ms } else { (pause_ms * 2).min(JOIN_PAUSE_MS_MAX) };
        tried.not_before = (self.node.clock())().plus_ms(pause_ms);
        match ended {
            Ok(slot) => {
                tracing::info!(event = "joined_at_state", %process, slot = slot.0, "evaluation goes on from a state of the network");
                self.done.insert(process);
            }
            Err(Missed::Nobody) => tracing::debug!(event = "no_snapshot", %process),
            Err(Missed::Final(why)) => {
                tracing::info!(event = "snapshot_not_taken", %process, why, "evaluation goes on from the log");
                self.done.insert(process);
            }
            Err(why @ Missed::Lie(_)) => {
                // Others may have a good one: they are asked at once. Who lied paid for it.
                tried.not_before = Timestamp(0);
                tracing::warn!(event = "snapshot_bad", %process, %why, "it is not fetched again; another one is tried");
            }
            Err(why) => tracing::info!(event = "snapshot_missed", %process, %why, "evaluation goes on from the log; it is tried again"),
        }
    }

    async fn join(&mut self, process: Id, evaluated: Option<Slot>) -> Result<Slot, Missed> {
        let (manifest, sources) = self.offers(process, evaluated).await?;
        let taken = match self.fetch(&manifest, &sources).await {
            Ok(body) => self.take(&manifest, body).await,
            Err(missed) => Err(missed),
        };
        if matches!(&taken, Err(Missed::Lie(_) | Missed::Unfit(_))) {
            self.bad.insert(manifest.id());
        }
        if matches!(&taken, Err(Missed::Lie(_))) {
            sources.iter().for_each(|peer| self.network.penalise(*peer, Offence::Fault));
        }
        // What only did not come all yet is gone on with.
        if !matches!(&taken, Ok(_) | Err(Missed::Stuck | Missed::Disk(_) | Missed::Rejected(_))) {
            let partial = self.partial.clone();
            drop(tokio::task::spawn_blocking(move || partial.remove(&manifest)).await);
        }
        taken
    }

    /// What came whole is compared with the log, and evaluation begins at it.
    async fn take(&self, manifest: &Manifest, body: Bytes) -> Result<Slot, Missed> {
        let (process, slot) = (manifest.process, manifest.slot);
        let made_ms = self.log_reaches(process, slot).await?;
        manifest.check_age(&self.belief.trust(), made_ms, self.now())?;
        let mut also = WriteBatch::default();
        // What this node worked out itself by now stands.
        if CERTIFIED_STATES.get(self.node.store(), &(process, slot))?.is_none() {
            manifest.imported(&self.belief.trust()).iter().for_each(|row| CERTIFIED_STATES.put(&mut also, &(process, slot), row));
        }
        match self.node.begin_at(process, slot, manifest.row(), body.clone(), also).await {
            Ok(()) => {}
            Err(NotBegun::Unfit(why)) => return Err(why.into()),
            Err(NotBegun::Rejected(why)) if why.retry_after_s.is_none() => return Err(Missed::Final(why.message)),
            Err(NotBegun::Rejected(why)) => return Err(why.into()),
        }
        let (shelf, partial, manifest, reserve) = (self.shelf.clone(), self.partial.clone(), manifest.clone(), self.node.disk_reserve());
        let kept = tokio::task::spawn_blocking(move || {
            partial.remove(&manifest);
            shelf.put(&manifest, &body, reserve)
        });
        // It helps others, and is not needed here any more.
        if let Ok(Err(error)) = kept.await {
            tracing::warn!(event = "snapshot_not_kept", %process, %error);
        }
        Ok(slot)
    }

    /// The newest state that is offered and holds, and by whom. One source is enough when nobody else came with one for a while.
    async fn offers(&self, process: Id, evaluated: Option<Slot>) -> Result<(Manifest, Vec<PeerId>), Missed> {
        let peers: Vec<PeerId> =
            self.network.peers().await.map(|peers| peers.into_iter().map(|info| info.peer).collect()).unwrap_or_default();
        let module = schema::PROCESSES.get(self.node.store(), &process)?.map(|record| record.module);
        let mut offers = Offers::default();
        let looks = self.tries.get(&process).map_or(0, |tried| tried.looks);
        let alone = peers.len() <= 1;
        for peer in &asked(peers, looks) {
            let Ok(answer) = self.network.ask_state(*peer, &StateQuestion::Snapshots(process)).await else { continue };
            let Ok(manifests) = decode_offers(&answer) else {
                self.network.penalise(*peer, Offence::Malformed);
                continue;
            };
            for manifest in manifests {
                match judge(&manifest, &self.belief.trust(), &self.bad, self.node.store(), self.now()) {
                    Worth::Good => {}
                    Worth::Useless => continue,
                    Worth::Lie(why) => {
                        tracing::debug!(event = "offer_refused", %peer, why);
                        self.network.penalise(*peer, Offence::Invalid);
                        continue;
                    }
                }
                let helps = manifest.process == process && module == Some(manifest.module);
                if helps && evaluated.is_none_or(|evaluated| manifest.slot > evaluated) {
                    offers.add(*peer, manifest);
                }
            }
        }
        let more_may_come = looks < JOIN_LOOKS_FOR_MORE && !alone;
        offers.best().filter(|(_, sources)| sources.len() > 1 || !more_may_come).ok_or(Missed::Nobody)
    }

    /// The whole body, every chunk and the root checked. What came before a crash is not asked for again.
    async fn fetch(&self, manifest: &Manifest, sources: &[PeerId]) -> Result<Bytes, Missed> {
        let (of, partial, reserve) = (manifest.clone(), self.partial.clone(), self.node.disk_reserve());
        let kept = blocking(move || Ok(partial.begin(&of, reserve)?)).await?;
        self.metrics.snapshot_chunks_total.of(Chunk::Kept).inc_by(kept.len() as u64);
        let mut fetch = Fetch::new(manifest.clone(), |index| kept.contains(&index), sources);
        tracing::info!(
            event = "snapshot_fetch", process = %manifest.process, slot = manifest.slot.0, bytes = manifest.total, sources = sources.len(),
            lacking = fetch.lacking()
        );
        let (mut asked, mut pace) = (JoinSet::new(), Pace::new(self.now()));
        let id = manifest.id();
        while !fetch.is_done() {
            if fetch.is_lost() || pace.is_stuck(self.now()) {
                return Err(Missed::Stuck);
            }
            for ask in fetch.poll(self.now()) {
                let network = self.network.clone();
                asked.spawn(async move {
                    let question = StateQuestion::Part { snapshot: id, chunk: ask.chunk, part: ask.part };
                    (ask, network.ask_state(ask.peer, &question).await)
                });
            }
            let answered = tokio::time::timeout(Duration::from_millis(JOIN_TICK_MS), asked.join_next()).await;
            // Where nothing is open, sources rest: the clock goes on.
            let Ok(Some(Ok((ask, answer)))) = answered else {
                if asked.is_empty() {
                    tokio::time::sleep(Duration::from_millis(JOIN_TICK_MS)).await;
                }
                continue;
            };
            pace.came(answer.as_ref().map_or(0, Bytes::len));
            self.came(fetch.answered(self.now(), ask, answer), ask, manifest).await?;
        }
        let (of, partial) = (manifest.clone(), self.partial.clone());
        blocking(move || match partial.body(&of) {
            Err(Refused::Body(why)) => Err(Missed::Lie(why)),
            body => Ok(body?),
        })
        .await
    }

    async fn came(&self, came: Came, ask: Ask, manifest: &Manifest) -> Result<(), Missed> {
        let counted = match came {
            Came::Going => return Ok(()),
            Came::Chunk(index, bytes) => {
                let (of, partial, reserve) = (manifest.clone(), self.partial.clone(), self.node.disk_reserve());
                blocking(move || Ok(partial.put(&of, index, &bytes, reserve)?)).await?;
                Chunk::Fetched
            }
            Came::Bad(peer) => {
                tracing::warn!(event = "bad_chunk", %peer, chunk = ask.chunk, "this peer gave other bytes than it offered; others are asked");
                self.network.penalise(peer, Offence::Fault);
                Chunk::Bad
            }
            Came::Failed => Chunk::Failed,
        };
        self.metrics.snapshot_chunks_total.of(counted).inc();
        Ok(())
    }

    /// Waits until the log is confirmed up to a slot; when its message was assigned.
    async fn log_reaches(&self, process: Id, slot: Slot) -> Result<u64, Missed> {
        let began = self.now();
        let mut seen = None;
        let mut moved = began;
        loop {
            let confirmed = schema::CONFIRMED.get(self.node.store(), &process)?;
            if confirmed.is_some_and(|confirmed| confirmed >= slot) {
                let row = schema::SCHEDULE.get(self.node.store(), &(process, slot))?;
                return row.map(|row| row.timestamp_ms).ok_or(Missed::Stuck);
            }
            if confirmed != seen {
                (seen, moved) = (confirmed, self.now());
            }
            if self.now().since_ms(moved) > JOIN_STUCK_MS {
                return Err(Missed::Stuck);
            }
            tokio::time::sleep(Duration::from_millis(JOIN_TICK_MS)).await;
        }
    }
}

/// Runs something that waits for the disk, on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Missed> + Send + 'static) -> Result<T, Missed> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Missed::Disk("a bug of this node ended the work".into())))
}
