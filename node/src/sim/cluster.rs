//! A network in one thread, from one plan: nodes, the clock, and a net that carries what one wants of another.
//!
//! ```text
//!   queue: (time, number) ─▶ event ─▶ one node does one thing ─▶ what it wants of the net, what it tells, what its engine says
//!     ▲                                                             │ checked at once (`super::check`), then carried
//!     └──────── parcels with their times of arrival ◀───────────────┘
//! ```
//!
//! The net stands in for the network shell: gossip that is handed on by who finds it right, requests and answers, the exchange of tips
//! every second. Nothing here decides anything about a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_types::PeerId;

use super::byzantine::{Keys, Kind};
use super::check::Violation;
use super::check::blame::{Blame, Honest};
use super::check::safety::Ledger;
use super::dice::Dice;
use super::plan::{Fault, Plan};
use super::timing::Timing;
use super::trace::Trace;
use crate::shell::membership::Maker;
use crate::wiring::engines;

mod chance;
mod clients;
mod host;
mod members;
mod net;
mod parcel;
mod post;
mod receive;
mod step;
mod verdict;

use clients::Wish;
use host::{Host, Seat};
use members::Common;
use net::Net;
pub use net::WAN5_MEAN_MS;
use parcel::{Asker, Parcel};

/// Milliseconds since 1970 at which runs begin: clocks that go an hour back are still after it.
pub const BEGIN_MS: u64 = 10_000_000;

/// Tips are exchanged so often.
const SYNC_MS: u64 = 1_000;

/// Whether everything is done is looked at so often.
const LOOK_MS: u64 = 250;

/// The network gives up asking another node to take an item.
const FORWARD_MS: u64 = 5_000;

/// Parcels on their way: more is a net that feeds on itself.
const PARCELS_MAX: usize = 500_000;

/// A run that need not confirm anything goes on so long after its storm.
const AFTERMATH_MS: u64 = 8_000;

/// So often at most the second node of an equivocating scheduler gets the disk of the first.
const COPIES_MAX: usize = 3;

/// Who keeps the rules is one node with both keys.
const HONEST: &[Keys] = &[Keys { scheduler: true, attestor: true }];

/// Something that will happen.
enum Event {
    /// A node does a job.
    Turn(Asker),
    /// A node's deadline.
    Tick(Asker),
    /// The deadline of what stands between a node and the net.
    Manner(usize),
    /// A parcel arrives.
    Deliver(usize, Box<Parcel>),
    /// Something leaves late.
    Leave(usize, Box<crate::network::seam::Order>),
    /// A node tells another where it is.
    Sync(usize),
    /// An item that was forwarded is not waited for any more.
    GiveUp(Asker, crate::network::seam::ForwardId),
    /// A client sends something, if this attempt counts.
    Send(usize, u64),
    /// A fault of the plan begins.
    Begin(usize),
    /// It ends.
    End(usize),
    /// A second node of a member gets the disk of the first.
    Copy(usize),
    /// The faults are over.
    Calm,
    /// Is everything done?
    Look,
}

impl Event {
    /// Whose it is, for the log of a replay.
    fn node(&self) -> Option<usize> {
        match self {
            Self::Turn(asker) | Self::Tick(asker) | Self::GiveUp(asker, _) => Some(asker.host),
            Self::Manner(n) | Self::Deliver(n, _) | Self::Leave(n, _) | Self::Sync(n) => Some(*n),
            Self::Send(..) | Self::Begin(_) | Self::End(_) | Self::Copy(_) | Self::Calm | Self::Look => None,
        }
    }
}

/// Who waits for an answer of a node.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// A client: its wish, and the attempt.
    Client(usize, u64),
    /// Another node.
    Node(Asker, crate::network::seam::ForwardId),
}

/// See the module documentation.
pub struct Cluster {
    plan: Plan,
    common: Common,
    hosts: Vec<Host>,
    net: Net,
    queue: BTreeMap<(u64, u64), Event>,
    serial: u64,
    now: u64,
    dice: Dice,
    wishes: Vec<Wish>,
    asked: BTreeMap<(Asker, u64), Asked>,
    ledger: Ledger,
    blame: Blame,
    trace: Trace,
    timing: Timing,
    calm: bool,
    /// S1 is broken, in a run where more than a third of the stake may break it.
    split: Option<Violation>,
}

impl Cluster {
    /// Before anything happened, with the plan's engine as nodes have it.
    pub fn new(plan: Plan) -> Result<Self, Violation> {
        let known = engines::named(&plan.engine);
        let make = known.ok_or_else(|| Violation::new("simulator", format!("no engine {}", plan.engine)))?.make;
        Self::with(plan, Arc::new(make))
    }

    /// Before anything happened, with engines that `make` makes.
    pub fn with(plan: Plan, make: Maker) -> Result<Self, Violation> {
        let common = Common::of(&plan, make)?;
        let mut cluster = Self {
            net: Net::of(&plan),
            dice: Dice::of(plan.seed, "run"),
            wishes: clients::wishes(&plan)?,
            common,
            hosts: Vec::new(),
            queue: BTreeMap::new(),
            serial: 0,
            now: BEGIN_MS,
            asked: BTreeMap::new(),
            ledger: Ledger::default(),
            blame: Blame::default(),
            trace: Trace::default(),
            timing: Timing::default(),
            calm: false,
            split: None,
            plan,
        };
        cluster.people()?;
        cluster.weather();
        Ok(cluster)
    }

    /// Who is there.
    fn people(&mut self) -> Result<(), Violation> {
        let mut sides = Dice::of(self.plan.seed, "sides");
        for member in 0..self.plan.nodes() {
            let bad = self.plan.byzantine.iter().find(|bad| bad.node == member).map(|bad| bad.kind);
            let nodes = bad.map_or(HONEST, Kind::keys);
            for (nth, keys) in nodes.iter().enumerate() {
                let twin = nodes.len() > 1;
                let side = if twin { nth } else { sides.below(2) };
                let now = ao_consensus::Timestamp(self.now);
                let height = 1 + self.now / 2_000;
                let manner = bad.map(|kind| kind.manner(|| self.common.stray_engine(member, height, now))).transpose();
                let manner = manner.map_err(|error| Violation::new("simulator", error))?;
                let host = Host::new(&self.plan, &self.common, Seat { member, side, twin, keys: *keys }, manner, self.now)?;
                self.hosts.push(host);
            }
        }
        let module = super::world::module().map_err(|error| Violation::new("simulator", error.to_string()))?;
        for n in 0..self.hosts.len() {
            // Schedulers have it from the beginning, the others ask for it.
            if self.hosts[n].keys.scheduler && self.hosts[n].member < self.plan.schedulers {
                self.hosts[n].world.submit(&module, true);
            }
            self.after(0, Event::Sync(n));
            self.stepped(n)?;
        }
        Ok(())
    }

    /// What will happen.
    fn weather(&mut self) {
        for n in 0..self.plan.faults.len() {
            let (at, length) = self.plan.faults[n].times();
            self.after(at, Event::Begin(n));
            self.after(at + length, Event::End(n));
        }
        for n in 0..self.wishes.len() {
            self.after(20 + self.wishes[n].at_ms, Event::Send(n, 0));
        }
        // Logs part where the disk was copied, which may be anywhere, and again and again.
        let mut copies = Dice::of(self.plan.seed, "copies");
        for bad in self.plan.byzantine.clone().iter().filter(|bad| bad.kind == Kind::Equivocator) {
            for _ in 0..copies.below(COPIES_MAX + 1) {
                let at = copies.below(usize::try_from(self.plan.storm_ms).unwrap_or(usize::MAX)) as u64;
                self.after(at, Event::Copy(bad.node));
            }
        }
        self.after(self.plan.storm_ms, Event::Calm);
        self.after(LOOK_MS, Event::Look);
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now.saturating_add(ms), event);
    }

    fn at(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.queue.insert((at, self.serial), event);
    }

    /// Until everything is done, or a rule is broken.
    pub fn run(&mut self) -> Result<(), Violation> {
        loop {
            match self.step() {
                Ok(false) => {}
                Ok(true) => return self.conclude(),
                Err(broken) => self.excuse(broken)?,
            }
        }
    }

    /// Where S1 may be broken it is noted, and what follows from it is let be: honest nodes on two sides blame one another, and call other
    /// things confirmed. What every key must keep to by itself holds all the same.
    fn excuse(&mut self, broken: Violation) -> Result<(), Violation> {
        let lasting = ["S2", "S5", "evidence", "contract 1", "simulator"].contains(&broken.rule);
        match (self.split.is_some(), broken.rule) {
            (false, "S1") if self.plan.may_split() => self.split = Some(broken),
            (true, _) if !lasting => {}
            _ => return Err(broken),
        }
        Ok(())
    }

    /// The rule that more than a third of the stake broke, if it did.
    pub fn split(&self) -> Option<&Violation> {
        self.split.as_ref()
    }

    /// The next event; true if it found everything done.
    fn step(&mut self) -> Result<bool, Violation> {
        let Some(((at, _), event)) = self.queue.pop_first() else {
            return Err(Violation::new("simulator", "nothing will ever happen"));
        };
        Violation::unless(self.queue.len() < PARCELS_MAX, "S5", || format!("{PARCELS_MAX} things are on their way"))?;
        self.now = at;
        let _span = event.node().map(|node| tracing::info_span!("sim", node, at = at - BEGIN_MS).entered());
        match event {
            Event::Turn(asker) => self.on_turn(asker)?,
            Event::Tick(asker) => self.on_tick(asker)?,
            Event::Manner(n) => self.on_manner(n)?,
            Event::Deliver(n, parcel) => self.on_deliver(n, *parcel)?,
            Event::Leave(n, order) => self.leave(n, *order)?,
            Event::Sync(n) => self.on_sync(n),
            Event::GiveUp(asker, forward) => self.on_give_up(asker, forward)?,
            Event::Send(wish, attempt) => self.on_send(wish, attempt)?,
            Event::Begin(fault) => self.on_begin(fault)?,
            Event::End(fault) => self.on_end(fault)?,
            Event::Copy(member) => self.on_copy(member)?,
            Event::Calm => self.on_calm()?,
            Event::Look => return self.on_look(),
        }
        Ok(false)
    }

    /// Nodes of a member.
    fn hosts_of(&self, member: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.hosts.len()).filter(move |n| self.hosts[*n].member == member)
    }

    /// Whose node this is, as an honest one would see it.
    fn is_honest_peer(&self, peer: &PeerId) -> bool {
        members::member_of(peer).is_some_and(|member| self.plan.is_honest(member))
    }

    /// What was measured.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The run so far, as a hash.
    pub fn trace(&self) -> [u8; 32] {
        self.trace.value()
    }

    /// Slots and frames that are confirmed, frames that are certified.
    pub fn counts(&self) -> (usize, usize, usize) {
        self.ledger.counts()
    }

    /// How long the run took, on its own clock, milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        self.now - BEGIN_MS
    }

    /// How long each piece of evidence took to be at every honest node.
    pub fn evidence_ms(&self) -> Vec<Option<u64>> {
        self.blame.spread(self.hosts.iter().filter(|host| host.is_honest()).count())
    }
}
