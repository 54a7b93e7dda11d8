//! A node with what is around it: its clock, its power, its part of the net.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ao_consensus::{SecretKey, Timestamp};
use ao_storage::faulty::{Disk, Fault, FaultyStore};
use ao_storage::memory::Contents;
use ao_types::{Chain, PeerId, Signer as _, Wallet};
use parking_lot::Mutex;

use super::members::{Common, peer, wallet};
use super::parcel::{Asker, GossipId, Parcel};
use crate::network::seam::{ForwardId, Judge, Verdict};
use crate::shell::steady::Steady;
use crate::sim::byzantine::{Keys, Manner};
use crate::sim::check::Violation;
use crate::sim::check::safety::Next;
use crate::sim::check::signatures::Watch;
use crate::sim::plan::Plan;
use crate::sim::tap::Heard;
use crate::sim::world::{Start, World};

/// See the module documentation.
pub struct Host {
    /// Its place in the committee.
    pub member: usize,
    /// Which side of the twins it is on.
    pub side: usize,
    /// One of two nodes of one member.
    pub twin: bool,
    /// Which of the member's keys it has.
    pub keys: Keys,
    /// The node.
    pub world: World,
    /// How many times it was started.
    pub life: u64,
    /// Whether it has power.
    pub up: bool,
    /// How it breaks the rules; `None`: not at all.
    pub manner: Option<Box<dyn Manner>>,
    /// Its key.
    pub watch: Watch,
    /// What its engine says.
    pub heard: Heard,
    /// Where its engine is.
    pub next: Next,
    steady: Steady,
    read_at: u64,
    /// By how much its clock is wrong, always.
    pub skew_ms: i64,
    /// And just now.
    pub jump_ms: i64,
    /// It does nothing before.
    pub paused_until: u64,
    slow_ms: u64,
    disk_ms: (u64, u64),
    /// When its next job is planned.
    pub turn_at: Option<u64>,
    /// When its deadline is planned.
    pub tick_at: Option<u64>,
    /// When what stands between it and the net wants to be asked.
    pub manner_at: Option<u64>,
    /// Deadlines within one millisecond.
    pub ticks: (u64, u32),
    /// Items that it sent to others' schedulers.
    pub forwards: BTreeSet<ForwardId>,
    seen: BTreeSet<GossipId>,
    judged: BTreeMap<GossipId, Parcel>,
    accepted: Arc<Mutex<Vec<GossipId>>>,
}

/// Who a host is.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// Its place in the committee.
    pub member: usize,
    /// Which side of the twins.
    pub side: usize,
    /// One of two.
    pub twin: bool,
    /// The keys.
    pub keys: Keys,
}

impl Host {
    /// Starts a node for the first time.
    pub fn new(plan: &Plan, common: &Common, seat: Seat, manner: Option<Box<dyn Manner>>, now: u64) -> Result<Self, Violation> {
        let (watch, heard) = (Watch::of(seat.member), Heard::default());
        let skew_ms = plan.skew_ms.get(seat.member).copied().unwrap_or(0);
        let clock = Timestamp(now.saturating_add_signed(skew_ms));
        let store = FaultyStore::on(Disk::Honest, Contents::default(), Fault::None);
        let start = Self::start_of(plan, common, seat, (&watch, &heard), (store, 0, clock));
        let mut world = World::start(start)?;
        world.disk_ms = plan.disk_ms;
        Ok(Self {
            disk_ms: plan.disk_ms,
            member: seat.member,
            side: seat.side,
            twin: seat.twin,
            keys: seat.keys,
            world,
            life: 0,
            up: true,
            manner,
            watch,
            heard,
            next: Next::new(),
            steady: Steady::at(clock),
            read_at: now,
            skew_ms,
            jump_ms: 0,
            paused_until: 0,
            slow_ms: 0,
            turn_at: None,
            tick_at: None,
            manner_at: None,
            ticks: (0, 0),
            forwards: BTreeSet::new(),
            seen: BTreeSet::new(),
            judged: BTreeMap::new(),
            accepted: Arc::default(),
        })
    }

    fn start_of(
        plan: &Plan,
        common: &Common,
        seat: Seat,
        (watch, heard): (&Watch, &Heard),
        (store, life, now): (FaultyStore, u64, Timestamp),
    ) -> Start {
        let attestor = seat.keys.attestor.then(|| Arc::new(watch.key.clone()) as Arc<dyn SecretKey>);
        let membership = common.membership(seat.member, attestor, watch.rows.clone(), heard.clone());
        // A wallet that the genesis does not name schedules nothing.
        let unknown = || Wallet::ed25519_from_seed(&[230; 32]);
        let scheduler = if seat.keys.scheduler { wallet(seat.member) } else { unknown() };
        let seed = plan.seed.wrapping_mul(1_000_003).wrapping_add(seat.member as u64 * 64 + seat.side as u64 * 32 + life);
        Start { store, seed, scheduler, membership: Some(membership), now }
    }

    /// The power is back; the disk holds this.
    pub fn restart(&mut self, plan: &Plan, common: &Common, contents: Contents, now: u64) -> Result<(), Violation> {
        self.life += 1;
        let seat = Seat { member: self.member, side: self.side, twin: self.twin, keys: self.keys };
        let store = FaultyStore::on(Disk::Honest, contents, Fault::None);
        // A process that starts believes its machine.
        let clock = self.shows(now);
        (self.steady, self.read_at) = (Steady::at(clock), now);
        self.heard.lock().clear();
        self.world = World::start(Self::start_of(plan, common, seat, (&self.watch, &self.heard), (store, self.life, clock)))?;
        self.slow(self.slow_ms);
        (self.up, self.turn_at, self.tick_at, self.ticks) = (true, None, None, (0, 0));
        self.forwards.clear();
        self.seen.clear();
        self.judged.clear();
        self.accepted = Arc::default();
        Ok(())
    }

    /// Whether it keeps every rule.
    pub fn is_honest(&self) -> bool {
        self.manner.is_none()
    }

    /// Whether this is its own chain.
    pub fn schedules(&self, chain: &Chain) -> bool {
        self.keys.scheduler && chain.scheduler == self.world.wallet().address()
    }

    /// Whether nothing ever goes between the two: nodes of one member, or a twin and the other side.
    pub fn is_apart_from(&self, other: &Self) -> bool {
        self.member == other.member || (self.twin || other.twin) && self.side != other.side
    }

    /// Whether it gives what it has to who asks.
    pub fn serves(&self) -> bool {
        self.up && self.manner.as_ref().is_none_or(|manner| manner.serves())
    }

    /// Its name.
    pub fn peer(&self) -> PeerId {
        peer(self.member)
    }

    /// Which life of which node.
    pub fn asker(&self, host: usize) -> Asker {
        Asker { host, life: self.life }
    }

    /// Its writes take so much longer from now on.
    pub fn slow(&mut self, by_ms: u64) {
        self.slow_ms = by_ms;
        self.world.disk_ms = (self.disk_ms.0 + by_ms, self.disk_ms.1 + by_ms);
    }

    /// What the machine's clock shows.
    fn shows(&self, now: u64) -> Timestamp {
        Timestamp(now.saturating_add_signed(self.skew_ms + self.jump_ms))
    }

    /// What time the node has.
    pub fn clock(&mut self, now: u64) -> Timestamp {
        let (shows, passed) = (self.shows(now), now.saturating_sub(self.read_at));
        self.read_at = now;
        self.steady.now(shows, passed)
    }

    /// When its clock will show this, or a little later.
    pub fn world_time(&self, at: Timestamp) -> u64 {
        let (shown, shows) = (self.steady.shown(), self.shows(self.read_at));
        if shown > shows {
            // It goes at half speed, at the most until the machine's clock is there.
            return self.read_at + (2 * at.since_ms(shown)).min(at.since_ms(shows));
        }
        at.0.saturating_add_signed(-(self.skew_ms + self.jump_ms))
    }

    /// Takes gossip in: who waits for the verdict; `None`: it is known.
    pub fn judge(&mut self, parcel: &Parcel) -> Option<Judge> {
        let Some(id) = parcel.gossip() else { return Some(Judge::nobody()) };
        if !self.seen.insert(id) {
            return None;
        }
        self.judged.insert(id, parcel.clone());
        let accepted = self.accepted.clone();
        Some(Judge::new(move |verdict| {
            if verdict == Verdict::Accept {
                accepted.lock().push(id);
            }
        }))
    }

    /// Its own gossip is known to it.
    pub fn says(&mut self, id: GossipId) {
        self.seen.insert(id);
    }

    /// What it hands on now.
    pub fn hand_on(&mut self) -> Vec<Parcel> {
        let accepted = std::mem::take(&mut *self.accepted.lock());
        let (judged, by) = (&mut self.judged, peer(self.member));
        accepted.into_iter().filter_map(|id| Some(judged.remove(&id)?.handed_on(by.clone(), true))).collect()
    }
}
