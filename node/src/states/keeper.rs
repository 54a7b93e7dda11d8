//! Collects certificates for the states that this node worked out: a task beside the node of a network.
//!
//! ```text
//!   event "evaluated slot" ─┐
//!   start, lost events ─────┴▶ works: newest uncertified state of each process ─ poll ─▶ questions to members ─▶ row with certificate
//! ```
//!
//! The node of a process's scheduler begins at once; the others a moment later ([`STATES_LATER_MS`] and more), and ask that node first: it has
//! the certificate by then, so that one question is enough. Only the newest due slot of a process is certified; a node that was away does
//! not ask for the past. Refuses to decide what a signature is worth: that is `collect.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ao_consensus::Timestamp;
use ao_p2p::{Offence, PeerId};
use ao_storage::schema::{self, CERTIFIED_STATES, CertifiedStateRow};
use ao_storage::{Direction, Durability, Error, Store, WriteBatch};
use ao_types::hash::sha256;
use ao_types::{BlsKey, Canonical as _, Certificate, Id, Slot};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::collect::{Collect, Fault, Outcome};
use super::vouch::Voucher;
use super::{is_due, statement};
use crate::handle::{Event, Node};
use crate::limits::{STATES_AT_ONCE_MAX, STATES_LATER_MS, STATES_QUESTIONS_MAX, STATES_ROWS_PAGE, STATES_TICK_MS};
use crate::network::message::{StateQuestion, Vouched};
use crate::network::seam::States as _;
use crate::network::{self, from_types};

/// One state on its way to its certificate.
struct Work {
    slot: Slot,
    collect: Collect,
    not_before: Timestamp,
}

/// A question that was answered.
struct Answered {
    process: Id,
    slot: Slot,
    index: u16,
    peer: Option<PeerId>,
    answer: Option<Vouched>,
}

/// See the module documentation.
pub struct Keeper {
    node: Node,
    network: network::Handle,
    voucher: Arc<Voucher>,
    every: u64,
    works: BTreeMap<Id, Work>,
    /// More processes wait than there is room for: looked for again when there is.
    overflow: bool,
    questions: JoinSet<Answered>,
    /// Who of the committee can be asked.
    connected: BTreeSet<BlsKey>,
}

impl Keeper {
    /// Nothing collected yet. `every`: at which slots states are certified.
    pub fn new(node: Node, network: network::Handle, voucher: Arc<Voucher>, every: u64) -> Self {
        Self {
            node,
            network,
            voucher,
            every,
            works: BTreeMap::new(),
            overflow: true,
            questions: JoinSet::new(),
            connected: BTreeSet::new(),
        }
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut events = self.node.events();
        let mut tick = tokio::time::interval(Duration::from_millis(STATES_TICK_MS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => match event {
                    Ok(Event::Evaluated { process, slot, cron: false, .. }) if is_due(slot, self.every) => self.look(process, slot),
                    Ok(_) => continue,
                    Err(RecvError::Lagged(_)) => self.overflow = true,
                    Err(RecvError::Closed) => return,
                },
                Some(answered) = self.questions.join_next() => {
                    // A question whose task was lost is asked again when its member has rested.
                    if let Ok(answered) = answered {
                        self.on_answer(answered);
                    }
                }
                _ = tick.tick() => {
                    self.meet().await;
                    self.look_again().await;
                }
            }
            self.ask();
        }
    }

    fn now(&self) -> Timestamp {
        (self.node.clock())()
    }

    /// Who is connected now.
    async fn meet(&mut self) {
        // A network that is behind tells it at the next tick.
        let Ok(peers) = self.network.peers().await else { return };
        let peers: BTreeSet<PeerId> = peers.into_iter().map(|info| info.peer).collect();
        let members = self.voucher.membership.committee.members().iter();
        let there = members.filter(|member| from_types(&member.peer).is_some_and(|peer| peers.contains(&peer)));
        self.connected = there.map(|member| member.key).chain(self.own_key()).collect();
    }

    fn own_key(&self) -> Option<BlsKey> {
        self.voucher.membership.attestor.as_ref().map(|key| key.public())
    }

    /// Begins with the states that wait in the store, as far as there is room.
    async fn look_again(&mut self) {
        if !self.overflow || self.works.len() > STATES_AT_ONCE_MAX / 2 {
            return;
        }
        self.overflow = false;
        let store = self.voucher.store.clone();
        let waiting = tokio::task::spawn_blocking(move || waiting(&*store)).await;
        match waiting {
            Ok(Ok(waiting)) => waiting.into_iter().for_each(|(process, slot)| self.look(process, slot)),
            Ok(Err(error)) => {
                self.overflow = true;
                tracing::warn!(event = "states_unread", %error, "states wait for their certificates; look at the disk");
            }
            Err(_) => self.overflow = true,
        }
    }

    /// Begins with a state, or goes over to it from an older one of the process.
    fn look(&mut self, process: Id, slot: Slot) {
        if self.works.get(&process).is_some_and(|work| work.slot >= slot) {
            return;
        }
        if !self.works.contains_key(&process) && self.works.len() >= STATES_AT_ONCE_MAX {
            self.overflow = true;
            return;
        }
        match self.begin(process, slot) {
            Ok(Some(work)) => drop(self.works.insert(process, work)),
            Ok(None) => {}
            Err(error) => tracing::warn!(event = "states_unread", %process, %error, "a state waits for its certificate; look at the disk"),
        }
    }

    fn begin(&self, process: Id, slot: Slot) -> Result<Option<Work>, Error> {
        let store = &*self.voucher.store;
        let row = CERTIFIED_STATES.get(store, &(process, slot))?.filter(|row| row.computed && row.certificate.is_none());
        let (Some(row), Some(record)) = (row, schema::PROCESSES.get(store, &process)?) else { return Ok(None) };
        let membership = &self.voucher.membership;
        let scheduler = membership.committee.members().iter().find(|member| member.address.to_string() == record.scheduler);
        let own = self.node.identity().scheduler.to_string() == record.scheduler;
        let not_before = if own {
            self.now()
        } else {
            // Not all at once, the same way on every run.
            let [spread, ..] = sha256(&[&membership.peer.0, &process.0, &slot.0.to_be_bytes()]);
            self.now().plus_ms(STATES_LATER_MS + STATES_LATER_MS * u64::from(spread) / 255)
        };
        let first = scheduler.filter(|_| !own).map(|member| member.key);
        let collect = Collect::new(membership.rosters.clone(), statement(process, slot, &row), first.as_slice());
        Ok(collect.map(|collect| Work { slot, collect, not_before }))
    }

    fn ask(&mut self) {
        let now = self.now();
        let own = self.own_key();
        let Self { works, connected, questions, voucher, network, .. } = self;
        for (process, work) in works.iter_mut().filter(|(_, work)| work.not_before <= now) {
            if questions.len() >= STATES_QUESTIONS_MAX {
                return;
            }
            for (index, key) in work.collect.poll(now, |key| connected.contains(key)) {
                let (process, slot) = (*process, work.slot);
                let question = StateQuestion::Vouch { key, statement: *work.collect.statement() };
                let peer = voucher.membership.committee.member(index).and_then(|member| from_types(&member.peer));
                if own == Some(key) {
                    let voucher = voucher.clone();
                    questions.spawn_blocking(move || {
                        let answer = peer.map(|peer| voucher.answer(&peer, &question));
                        let answer = answer.and_then(|answer| if let ao_p2p::Answer::Found(bytes) = answer { Some(bytes) } else { None });
                        let answer = answer.and_then(|bytes| Vouched::decode(&bytes).ok());
                        Answered { process, slot, index, peer: None, answer }
                    });
                    continue;
                }
                let network = network.clone();
                questions.spawn(async move {
                    let answer = match peer {
                        Some(peer) => network.ask_state(peer, &question).await.ok(),
                        None => None,
                    };
                    let read = answer.as_ref().map(|bytes| Vouched::decode(bytes));
                    if let (Some(peer), Some(Err(_))) = (peer, &read) {
                        network.penalise(peer, Offence::Malformed);
                    }
                    Answered { process, slot, index, peer, answer: read.and_then(Result::ok) }
                });
            }
        }
    }

    fn on_answer(&mut self, answered: Answered) {
        let Answered { process, slot, index, peer, answer } = answered;
        let now = self.now();
        let Some(work) = self.works.get_mut(&process).filter(|work| work.slot == slot) else { return };
        let (outcome, faults) = work.collect.answered(now, index, answer);
        for (index, fault) in faults {
            let member = self.voucher.membership.committee.member(index);
            match (fault, member.and_then(|member| from_types(&member.peer)), peer) {
                // Whose share it is, whoever brought it to light: members answer for themselves, so that is who was asked.
                (Fault::Forged, Some(at), _) => self.network.penalise(at, Offence::Fault),
                (Fault::Forged, None, _) => {}
                (Fault::Differs, ..) => tracing::warn!(
                    event = "state_differs", %process, slot = slot.0, member = ?member.map(|member| member.key),
                    "a validator worked out another state than this node for the same log: compare the versions of the two nodes"
                ),
            }
        }
        let Outcome::Certified(certificate) = outcome else { return };
        self.works.remove(&process);
        match keep(&*self.voucher.store, process, slot, &certificate) {
            Ok(true) => {
                tracing::info!(event = "state_certified", %process, slot = slot.0, signers = certificate.signers.count(), "a quorum vouches for this state")
            }
            Ok(false) => {}
            Err(error) => {
                self.overflow = true;
                tracing::warn!(event = "certificate_not_kept", %process, slot = slot.0, %error, "it is collected again; look at the disk");
            }
        }
    }
}

/// The newest state of each process, where it is not certified: as many as there is room for.
fn waiting(store: &dyn Store) -> Result<Vec<(Id, Slot)>, Error> {
    let mut newest: Option<(Id, Slot, bool)> = None;
    let mut found = Vec::new();
    let mut from = (Id([0; 32]), Slot(0));
    loop {
        let rows = CERTIFIED_STATES.range(store, &from, &(Id([0xff; 32]), Slot(u64::MAX)), Direction::Forward, STATES_ROWS_PAGE)?;
        let Some(((process, slot), _)) = rows.last() else { break };
        from = (*process, slot.next());
        for ((process, slot), row) in rows {
            if let Some((before, slot, true)) = newest.filter(|(before, ..)| *before != process) {
                found.push((before, slot));
            }
            newest = Some((process, slot, row.computed && row.certificate.is_none()));
        }
        // One more than there is room for says that there are more.
        if found.len() > STATES_AT_ONCE_MAX {
            return Ok(found);
        }
    }
    found.extend(newest.filter(|(.., waits)| *waits).map(|(process, slot, _)| (process, slot)));
    Ok(found)
}

/// Puts a certificate to the state that it is about; false if that state is not here any more.
fn keep(store: &dyn Store, process: Id, slot: Slot, certificate: &Certificate) -> Result<bool, Error> {
    let row = CERTIFIED_STATES.get(store, &(process, slot))?;
    let Some(row) = row.filter(|row| statement(process, slot, row) == certificate.statement) else { return Ok(false) };
    let mut batch = WriteBatch::default();
    let row = CertifiedStateRow { certificate: Some(certificate.encode().into()), ..row };
    CERTIFIED_STATES.put(&mut batch, &(process, slot), &row);
    store.write(batch, Durability::Buffered)?;
    Ok(true)
}
