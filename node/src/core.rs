//! The state machine: one input, any number of effects, no waiting.
//!
//! It owns every decision between an item that is lawful and a result that is stored: which slot an item gets, what a batch contains, when
//! a frame goes to the consensus engine, when a process is evaluated, what is pushed, when anybody may hear of it. It refuses to read a
//! clock, draw randomness, lock, wait, or touch disk or network: what it needs to know comes with the input, and the tests drive it from
//! one thread.
//!
//! ```text
//!            Submit ──▶ ingest ──▶ queue of the process ──▶ Sign ──▶ Signed ──▶ ┐
//!                                                                             │ one batch is being built,
//!     Deliveries ──▶ outbox ──────▶ (as Submit)          Evaluated ─▶ evaluate ▶│ one is being written
//!                                                            ▲                  │
//!                            Evaluate ◀── confirm ◀── engine ◀┴─ frame ◀─ Written ◀── Write
//!                                                                 └──▶ Reply, Tell, Results: what others may see
//! ```
//!
//! **Durable before visible.** What another party can see waits in the batch that makes it true, and leaves when that batch is written
//! ([`batch`]). **No gap.** Slots are given in runs, one run per process at a time, and a head moves only with its batch. A write that
//! fails ends this life of the core: everything volatile is dropped and read again from the store (`recover.rs`), as at start.
//! **Exactly once.** The entry of an outbox is deleted in the batch that gives its item a slot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ao_consensus::pace::{self, Costs};
use ao_consensus::{Chain, ChainTip, Consensus, Evidence, Origin, OriginUpdate, Solo, Timestamp};
use ao_types::{Committee, Id, NetworkId};

use crate::chain::Block;
use crate::error::{Code, Rejection};
use crate::limits::RENEW_MS_MAX;

pub mod batch;
pub mod begin;
mod confirm;
pub mod cron;
pub mod effect;
mod evaluate;
mod faults;
mod follow;
mod fork;
mod forward;
mod frames;
mod held;
pub mod ingest;
pub mod input;
mod monitor;
mod outbox;
mod process;
mod recent;
mod recover;
pub mod rows;
mod seek;
mod settling;

use batch::Batches;
use effect::Effect;
use faults::Faults;
pub use faults::{Charge, charge};
use follow::Following;
pub use follow::two_headers;
use fork::Forks;
use forward::Forwards;
use frames::Own;
pub use frames::Unconfirmed;
use held::Held;
pub use ingest::head_of;
use input::{Input, Recovered, Term};
use monitor::Monitors;
use outbox::Outbox;
use process::Process;
use recent::Recent;
use seek::Seeks;

/// What does not change in the life of a node.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// In every frame.
    pub network_id: NetworkId,
    /// An item is in the newest block from the moment it is taken in: so it is where the chain is this node's own. On any other chain an
    /// item is in no block until it was anchored.
    pub items_in_tip: bool,
    /// The network that this node is part of; `None`: a network of one.
    pub member: Option<Member>,
}

/// What a node of a network knows of it from the beginning.
#[derive(Clone, Debug)]
pub struct Member {
    /// Whether this node's scheduler wallet is admitted: it builds frames on its own chain. Else it only follows.
    pub schedules: bool,
    /// The committee of the genesis.
    pub committee: Arc<Committee>,
    /// Control block 0.
    pub origin: OriginUpdate,
    /// How far apart frames are follows from what they cost (`consensus.md` §13).
    pub costs: Costs,
}

impl Member {
    /// Milliseconds between two frames, unless they are full, while so many chains are active.
    pub fn interval_ms(&self, chains: u64) -> u64 {
        pace::interval_ms(chains, self.costs.attest_us, self.costs.own_us)
    }
}

/// See the module documentation.
pub struct Core {
    fixed: Fixed,
    engine: Box<dyn Consensus>,
    term: Term,
    mode: Mode,
    room: Room,
    tip: Block,
    /// Where this scheduler's chain stands: every frame that was built, written or not.
    chain: ChainTip,
    own: Own,
    /// The chains of the other schedulers.
    others: BTreeMap<Chain, Following>,
    /// The control plane as far as it is applied; nothing on a network of one.
    origin: Origin,
    forks: Forks,
    /// Evidence whose batch did not get into the store, for the next life.
    unwritten: Vec<Arc<Evidence>>,
    forwards: Forwards,
    seeks: Seeks,
    next_sequence: u64,
    processes: BTreeMap<Id, Process>,
    /// Processes that became idle, with the last batch they were in: forgotten in that order.
    resting: VecDeque<(input::Batch, Id)>,
    batches: Batches,
    recent: Recent,
    unconfirmed: BTreeMap<(Chain, u64), Unconfirmed>,
    /// Per chain the newest frame that a certificate covers, as the store has it.
    certified: BTreeMap<Chain, u64>,
    faults: Faults,
    outbox: Outbox,
    monitors: Monitors,
    /// Processes to be tried again, by time.
    retries: BTreeSet<(Timestamp, Id)>,
    /// The engine is to be made anew: by when at the latest.
    renewal: Option<Timestamp>,
    held: Held,
}

/// Whether the core knows the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Waits for `Recovered`.
    Recovering,
    /// At work.
    Running,
}

/// How much may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Room {
    /// Anything.
    Enough,
    /// What was accepted; nothing new begins.
    Reserve,
    /// Nothing: the last write found no room. Trying on would only fail again.
    Full,
}

impl Core {
    /// A core that has not seen its store: it refuses everything until [`Input::Recovered`] of term 0 comes.
    pub fn new(fixed: Fixed, chain: Chain, tip: Block) -> Self {
        // A network of one waits for nobody.
        let interval_ms = fixed.member.as_ref().map_or(0, |member| member.interval_ms(1));
        Self {
            own: Own::new(interval_ms),
            others: BTreeMap::new(),
            origin: Origin::default(),
            forks: Forks::default(),
            unwritten: Vec::new(),
            forwards: Forwards::default(),
            seeks: Seeks::default(),
            fixed,
            engine: Box::new(Solo::default()),
            term: 0,
            mode: Mode::Recovering,
            room: Room::Enough,
            tip,
            chain: ChainTip::opened(chain),
            next_sequence: 0,
            processes: BTreeMap::new(),
            resting: VecDeque::new(),
            batches: Batches::after(0),
            recent: Recent::since(0),
            unconfirmed: BTreeMap::new(),
            certified: BTreeMap::new(),
            faults: Faults::default(),
            outbox: Outbox::default(),
            monitors: Monitors::default(),
            retries: BTreeSet::new(),
            renewal: None,
            held: Held::default(),
        }
    }

    /// One input. Effects are appended and must be carried out in order.
    pub fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Effect>) {
        if let Some(input) = self.hold(now, input) {
            self.take(now, input, out);
        }
        self.flush(now, out);
        self.renew_if_quiet(now, out);
        self.release(now, out);
    }

    fn take(&mut self, now: Timestamp, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Recovered(recovered) => self.on_recovered(now, *recovered, out),
            Input::Submit(submission) => self.on_submit(now, *submission, out),
            Input::Signed { term, process, run } if term == self.term => self.on_signed(now, process, run, out),
            Input::Written { term, batch, signatures } if term == self.term => self.on_written(now, batch, signatures, out),
            Input::WriteFailed { term, reason, disk_full, .. } if term == self.term => {
                self.on_write_failed(&format!("the write failed ({reason})"), disk_full, out)
            }
            Input::Evaluated(evaluated) if evaluated.term == self.term => self.on_evaluated(now, *evaluated, out),
            Input::Deliveries { term, process, entries, more } if term == self.term => {
                self.on_deliveries(now, process, entries, more, out);
            }
            Input::Undelivered { term, process } if term == self.term => {
                self.outbox.settle(now, process, true);
                self.pump_outbox(now, out);
            }
            Input::RunCron { request, process, facts } => self.on_run_cron(now, request, process, facts, out),
            Input::Begin(at) => self.on_begin(now, at, out),
            Input::Backfilled(backfilled) => self.on_backfilled(now, *backfilled, out),
            Input::Monitor { request, process, item, on, facts } => self.on_monitor(now, request, process, (item, on), facts, out),
            Input::Received(received) => self.on_received(now, *received, out),
            Input::Peer(from, bytes, judge) => self.on_peer(now, from, bytes, judge, out),
            Input::Recalled(whom, records) => self.engine_input(now, ao_consensus::Input::Recalled(whom, records), out),
            Input::Forwarded { forward, answer } => self.on_forwarded(now, forward, answer, out),
            Input::Other { from, header, evidence } => self.on_other(now, from, *header, evidence, out),
            Input::Nobody { item, denied } => self.on_nobody(now, item, &denied, out),
            Input::Evidence(evidence) => self.on_evidence(evidence, out),
            Input::Tip(tip) => self.on_tip(now, tip, out),
            Input::Reserve { low } => self.on_reserve(now, low, out),
            Input::Tick => self.on_tick(now, out),
            Input::Renew => self.renewal = self.renewal.or(Some(now.plus_ms(RENEW_MS_MAX))),
            // Answers to questions of an earlier life.
            Input::Signed { .. }
            | Input::Written { .. }
            | Input::WriteFailed { .. }
            | Input::Evaluated(_)
            | Input::Deliveries { .. }
            | Input::Undelivered { .. } => {}
        }
    }

    /// When to call `handle(Input::Tick)` next, if nothing comes before. `now` in the answer: something is due.
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        // While the store is read a tick does nothing else, and asking for one would only be asked for again.
        if self.mode == Mode::Recovering {
            return self.held.next_deadline();
        }
        let retry = self.retries.first().map(|(at, _)| *at);
        let own = [self.engine.next_deadline(), self.outbox.next_deadline(), self.monitors.next_deadline(), retry, self.renewal];
        let followed = self.others.values().filter_map(Following::next_deadline).min();
        let network = [self.frame_deadline(now), followed, self.forwards.next_deadline(), self.seeks.next_deadline(), self.fork_deadline()];
        own.into_iter().chain(network).chain([self.held.next_deadline()]).flatten().min()
    }

    /// When stored frames make room for others: between two batches.
    fn fork_deadline(&self) -> Option<Timestamp> {
        self.forks.next_deadline().filter(|_| self.mode == Mode::Running && !self.batches.is_writing())
    }

    /// Nothing is being written and nothing waits for it: the moment to end.
    pub fn at_rest(&self) -> bool {
        (self.batches.at_rest() && self.own.is_empty() && self.held.is_empty()) || self.room == Room::Full
    }

    fn on_recovered(&mut self, now: Timestamp, recovered: Recovered, out: &mut Vec<Effect>) {
        if recovered.term != self.term || self.mode == Mode::Running {
            return;
        }
        self.recover(now, recovered, out);
    }

    fn on_tick(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.mode != Mode::Running {
            return;
        }
        if self.engine.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.engine_input(now, ao_consensus::Input::Tick, out);
        }
        while let Some((at, process)) = self.retries.first().copied().filter(|(at, _)| *at <= now) {
            self.retries.remove(&(at, process));
            self.advance(now, process, out);
        }
        for process in self.monitors.due(now) {
            self.wish_cron(now, process, out);
        }
        self.outbox.wake_due(now);
        self.look_again(now, out);
        self.answer_unseen(now, out);
        self.end_seeks(now, out);
        self.pump_outbox(now, out);
    }

    fn on_reserve(&mut self, now: Timestamp, low: bool, out: &mut Vec<Effect>) {
        let before = self.room;
        self.room = if low { self.room.max(Room::Reserve) } else { Room::Enough };
        if self.room == Room::Enough && before != Room::Enough && self.mode == Mode::Running {
            let ids: Vec<Id> = self.processes.keys().copied().collect();
            ids.into_iter().for_each(|id| self.advance(now, id, out));
            self.pump_outbox(now, out);
        }
    }

    /// The block that an item is in which comes now.
    fn block_of_new_item(&self) -> Option<u64> {
        self.fixed.items_in_tip.then_some(self.tip.height)
    }

    /// Why nothing can be written now, if so.
    fn refusal(&self) -> Option<Rejection> {
        match self.mode {
            Mode::Recovering => Some(Rejection::retry(Code::Unavailable, "the node is reading its store; try again in a moment", 1)),
            Mode::Running if self.room > Room::Enough => {
                Some(Rejection::retry(Code::ReadOnly, "room on disk is below the reserve: this node only reads until there is more", 30))
            }
            Mode::Running => None,
        }
    }

    /// Starts whatever a process can do next: give slots, evaluate, look at its crons.
    fn advance(&mut self, now: Timestamp, id: Id, out: &mut Vec<Effect>) {
        self.start_run(now, id, out);
        self.start_evaluation(now, id, out);
        if self.processes.get(&id).is_some_and(Process::idle) {
            self.resting.push_back((self.batches.number(), id));
        }
    }

    /// Forgets processes that have been idle for as long as look-ups of before may come.
    fn forget_resting(&mut self) {
        let oldest = self.recent.oldest();
        while let Some((_, id)) = self.resting.pop_front_if(|(batch, _)| *batch <= oldest) {
            if self.processes.get(&id).is_some_and(|process| process.idle() && process.written <= oldest) {
                self.processes.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
