//! The run: time, the network between nodes, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ao_types::{Chain, Committee, Epoch, FrameId, NetworkId, PeerId, Signer as _, Wallet};
use bytes::Bytes;

use super::host::{Host, Made, Own};
use super::ledger::{Broken, Ledger, Whom};
use super::random::Random;
use super::{Report, Scenario, Suite, Violation, committee_of, peer};
use crate::cheap::Cheap;
use crate::limits::WINDOW;
use crate::pace::Pace;
use crate::{ChainTip, Fetch, Input, OriginChange, OriginUpdate, Record, Rosters, Timestamp};

mod effects;
mod life;
mod traffic;
mod vouch;

/// Milliseconds since 1970 at which runs begin.
const BEGIN_MS: u64 = 1_000_000;

/// Frames that answer one request.
const ANSWER_MAX: usize = 64;

/// Calls of one engine within a millisecond of its clock: more is a deadline that does not move on.
const TICKS_MAX: u32 = 1_000;

/// In a scenario that says so: who schedules unlawful frames, who withholds bodies, and whose frames carry a certificate that nobody signed.
const ROTTEN: [usize; 3] = [1, 2, 3];

/// Something that will happen.
#[derive(Debug)]
enum Event {
    /// Bytes of an engine arrive.
    Deliver { to: usize, from: PeerId, bytes: Bytes },
    /// A header arrives.
    Header { to: usize, frame: FrameId, from: usize },
    /// A body arrives.
    Body { to: usize, frame: FrameId, from: usize },
    /// A body that arrived is written.
    Keep { node: usize, life: u64, frame: FrameId },
    /// A node asks another for frames.
    Asked { by: usize, of: usize, fetch: Fetch },
    /// The batch under way is on the disk.
    Written { node: usize, life: u64 },
    /// An engine's deadline.
    Tick { node: usize, life: u64 },
    /// A control block is applied.
    Applied { node: usize, life: u64, update: OriginUpdate },
    /// Archived records are read.
    Recalled { node: usize, life: u64, whom: PeerId, records: Vec<Record> },
    /// A scheduler may be due.
    Due { node: usize, life: u64 },
    /// Entries come in.
    Load { node: usize },
    /// A node dies.
    Crash,
    /// A node starts.
    Start { node: usize },
    /// The network is cut: these nodes on the one side.
    Cut(BTreeSet<usize>),
    /// It is whole again.
    Heal,
    /// A stranger sends something.
    Noise,
}

/// See the module documentation.
pub struct World<'a> {
    suite: &'a Suite<'a>,
    scenario: &'a Scenario,
    seed: u64,
    random: Random,
    now: u64,
    serial: u64,
    queue: BTreeMap<(u64, u64), Event>,
    network: NetworkId,
    committee: Arc<Committee>,
    hosts: Vec<Host>,
    frames: BTreeMap<FrameId, Made>,
    ledger: Ledger,
    cut: Option<BTreeSet<usize>>,
    /// Bytes that were sent, for noise.
    overheard: Vec<Bytes>,
    /// Members that never start.
    mute: BTreeSet<usize>,
    /// Node that starts last.
    late: Option<usize>,
    report: Report,
}

impl<'a> World<'a> {
    /// Before anything happened.
    pub fn new(suite: &'a Suite<'a>, scenario: &'a Scenario, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let stake = |random: &mut Random| if scenario.skewed_stake { u128::from(random.within((1, 10))) } else { 1 };
        let stakes: Vec<u128> = (0..scenario.nodes).map(|_| stake(&mut random)).collect();
        let committee = Arc::new(committee_of(Epoch(0), &stakes));
        let network = NetworkId([7; 32]);
        let mut rosters = Rosters::new(network, Arc::new(Cheap), [3; 32]);
        // Keys of the cheap scheme always parse.
        let _ = rosters.insert(Arc::clone(&committee));
        let mut world = Self {
            suite,
            scenario,
            seed,
            random,
            now: BEGIN_MS,
            serial: 0,
            queue: BTreeMap::new(),
            network,
            committee,
            hosts: Vec::new(),
            frames: BTreeMap::new(),
            ledger: Ledger::new(rosters, suite.alone),
            cut: None,
            overheard: Vec::new(),
            mute: BTreeSet::new(),
            late: None,
            report: Report::default(),
        };
        world.people(&stakes);
        world.weather();
        world
    }

    /// Who is there: members, twins of some, those who never start.
    fn people(&mut self, stakes: &[u128]) {
        let scenario = self.scenario;
        let wallets: Vec<Wallet> = (0..scenario.nodes).map(|n| Wallet::ed25519_from_seed(&[n as u8 + 1; 32])).collect();
        let genesis = self.genesis(&wallets);
        for (n, wallet) in wallets.iter().enumerate() {
            self.hosts.push(self.host(n, wallet, n < scenario.schedulers, &genesis));
        }
        // Twins are schedulers; who never starts is none, as long as others are enough.
        let mut weak = self.minority(stakes, scenario.twins);
        if scenario.twins {
            for n in weak.drain(..) {
                let mut twin = self.host(n, &wallets[n], n < scenario.schedulers, &genesis);
                twin.side = 1;
                self.hosts[n].honest = false;
                twin.honest = false;
                self.hosts.push(twin);
            }
        }
        if scenario.mute {
            self.mute.extend(weak.drain(..));
        }
        for host in &mut self.hosts {
            host.skew_ms = self.random.within((0, 2 * scenario.skew_ms)) as i64 - scenario.skew_ms as i64;
        }
        let honest: Vec<usize> = (0..scenario.nodes).filter(|n| self.hosts[*n].honest && !self.mute.contains(n)).collect();
        self.late = if scenario.late { self.random.pick(&honest).copied() } else { None };
    }

    fn host(&self, n: usize, wallet: &Wallet, schedules: bool, genesis: &OriginUpdate) -> Host {
        let mut host = Host::new(peer(n as u64), n as u64, genesis.clone());
        if schedules {
            let chain = Chain { scheduler: wallet.address(), tenure: 0 };
            host.own = Some(Own { wallet: wallet.clone(), tip: ChainTip::opened(chain), pace: Pace::new(20), pending: 0 });
            host.batches_left = self.scenario.batches;
        }
        host
    }

    fn genesis(&self, wallets: &[Wallet]) -> OriginUpdate {
        let epoch = OriginChange::Epoch { epoch: Epoch(0), committee: self.committee.root(), frame_rate_max: 100 };
        let schedulers = wallets.iter().enumerate().flat_map(|(n, wallet)| {
            let scheduler = wallet.address();
            let opened = OriginChange::Opened { chain: Chain { scheduler, tenure: 0 } };
            [OriginChange::Admitted { scheduler, peer: peer(n as u64) }, opened]
        });
        OriginUpdate { height: 0, time: Timestamp(BEGIN_MS - 60_000), changes: std::iter::once(epoch).chain(schedulers).collect() }
    }

    /// Members whose stake together is less than a third: from the first, who schedules, or from the last.
    fn minority(&self, stakes: &[u128], first: bool) -> Vec<usize> {
        let (total, mut sum, mut weak): (u128, u128, Vec<usize>) = (stakes.iter().sum(), 0, Vec::new());
        let mut order: Vec<(usize, &u128)> = stakes.iter().enumerate().collect();
        if !first {
            order.reverse();
        }
        for (n, stake) in order {
            if (sum + stake) * 3 < total {
                sum += stake;
                weak.push(n);
            }
        }
        weak
    }

    /// Plans what will happen to whom.
    fn weather(&mut self) {
        let scenario = self.scenario;
        for n in 0..self.hosts.len() {
            if self.mute.contains(&n) {
                continue;
            }
            let begin = if Some(n) == self.late { scenario.storm_ms } else { self.random.within((0, 20)) };
            self.after(begin, Event::Start { node: n });
            for _ in 0..self.hosts[n].batches_left {
                let at = self.random.within((0, scenario.storm_ms));
                self.after(at, Event::Load { node: n });
            }
        }
        for _ in 0..scenario.crashes {
            let at = self.random.within((50, scenario.storm_ms));
            self.after(at, Event::Crash);
        }
        for part in 0..scenario.partitions {
            let length = scenario.storm_ms / scenario.partitions;
            let begin = part * length + self.random.within((0, length / 2));
            let side = (0..self.hosts.len()).filter(|_| self.random.chance(50)).collect();
            self.after(begin, Event::Cut(side));
            let end = self.random.within((begin, (part + 1) * length));
            self.after(end, Event::Heal);
        }
        for _ in 0..scenario.noise {
            let at = self.random.within((0, scenario.storm_ms));
            self.after(at, Event::Noise);
        }
        self.after(scenario.storm_ms, Event::Heal);
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.serial += 1;
        self.queue.insert((self.now + ms, self.serial), event);
    }

    /// Whether it storms.
    fn storms(&self) -> bool {
        self.now < BEGIN_MS + self.scenario.storm_ms
    }

    /// Until all that is owed is confirmed, or time is up.
    pub fn run(mut self) -> Result<Report, Box<Violation>> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            let second = |ms: u64| ms / 250;
            if second(at) > second(self.now) && !self.storms() && self.owed().is_none() {
                break;
            }
            self.now = at;
            if at > BEGIN_MS + self.scenario.patience_ms {
                break;
            }
            self.happen(event).map_err(|broken| self.violation(broken))?;
        }
        self.check_end().map_err(|broken| self.violation(broken))?;
        self.report.settled_ms = self.now - BEGIN_MS;
        Ok(self.report)
    }

    fn violation(&self, (rule, what): Broken) -> Box<Violation> {
        let (scenario, nodes, seed) = (self.scenario.name, self.scenario.nodes, self.seed);
        Box::new(Violation { rule, what, at_ms: self.now - BEGIN_MS, scenario, nodes, seed })
    }

    /// Something that is owed and not there yet (S3, S7).
    fn owed(&self) -> Option<String> {
        for maker in self.hosts.iter().enumerate().filter(|(n, _)| self.keeps_rules(*n)).map(|(_, maker)| maker) {
            let Some(chain) = maker.chain() else { continue };
            if maker.engine.is_some() && maker.batches_left > 0 {
                return Some(format!("{chain} has load to come"));
            }
            let own = maker.disk.own.iter().filter_map(|id| self.frames.get(id));
            let Some(last) = own.filter(|made| made.entries > 0).map(|made| made.header.sequence).next_back() else { continue };
            for (n, host) in self.hosts.iter().enumerate().filter(|(n, host)| host.honest && !self.mute.contains(n)) {
                let next = host.next.get(&chain).copied().unwrap_or_default();
                if host.engine.is_none() || next <= last {
                    return Some(format!("node {n} has confirmed {chain} below {next}, and frame {last} has entries"));
                }
            }
        }
        None
    }

    fn check_end(&self) -> Result<(), Broken> {
        if let Some(owed) = self.owed() {
            return Err(("contract 7", owed));
        }
        // Whoever holds two headers of one place has convicted who signed them.
        for (n, host) in self.hosts.iter().enumerate().filter(|(_, host)| host.honest) {
            let mut places: BTreeMap<(Chain, u64), FrameId> = BTreeMap::new();
            for id in &host.heard {
                let Some(made) = self.frames.get(id) else { continue };
                let chain = made.header.chain;
                let other = *places.entry((chain, made.header.sequence)).or_insert(*id);
                let recent = self.recent(host, made);
                if other != *id && recent && !host.convicted.contains(&chain) {
                    return Err(("evidence", format!("node {n} heard {other} and {id} in one place and convicted nobody")));
                }
            }
        }
        Ok(())
    }

    /// Engines keep headers of the window only: a fork far below what is confirmed need not be seen.
    fn recent(&self, host: &Host, made: &Made) -> bool {
        host.next.get(&made.header.chain).is_none_or(|next| made.header.sequence + WINDOW / 2 >= *next)
    }

    fn is_honest(&self, whom: &Whom) -> bool {
        let of = |host: &&Host| match whom {
            Whom::Attestor(key) => host.key() == *key,
            Whom::Scheduler(address) => host.own.as_ref().is_some_and(|own| own.wallet.address() == *address),
        };
        self.hosts.iter().find(of).is_some_and(|host| host.honest)
    }

    /// Honest, and no scheduler of what is unlawful or withheld.
    fn keeps_rules(&self, n: usize) -> bool {
        self.hosts.get(n).is_some_and(|host| host.honest) && !(self.scenario.rotten && ROTTEN.contains(&n))
    }

    /// Whether `frame` is `from` or has it among its ancestors.
    fn descends(frames: &BTreeMap<FrameId, Made>, frame: &FrameId, from: &FrameId) -> bool {
        let Some(low) = frames.get(from).map(|made| made.header.sequence) else { return false };
        let mut at = *frame;
        while at != *from {
            match frames.get(&at) {
                Some(made) if made.header.sequence > low => at = made.header.parent,
                _ => return false,
            }
        }
        true
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Deliver { to, from, bytes } => self.input(to, Input::Peer(from, bytes)),
            Event::Header { to, frame, from } => self.on_header(to, frame, from),
            Event::Body { to, frame, from } => self.on_body(to, frame, from),
            Event::Keep { node, life, frame } => {
                self.on_keep(node, life, frame);
                Ok(())
            }
            Event::Asked { by, of, fetch } => {
                self.on_asked(by, of, &fetch);
                Ok(())
            }
            Event::Written { node, life } => self.on_written(node, life),
            Event::Tick { node, life } => self.on_tick(node, life),
            Event::Applied { node, life, update } => match self.hosts.get(node).is_some_and(|host| host.life == life) {
                true => self.input(node, Input::Origin(Box::new(update))),
                false => Ok(()),
            },
            Event::Recalled { node, life, whom, records } => match self.hosts.get(node).is_some_and(|host| host.life == life) {
                true => self.input(node, Input::Recalled(whom, records)),
                false => Ok(()),
            },
            Event::Due { node, life } => self.on_due(node, life),
            Event::Load { node } => self.on_load(node),
            Event::Crash => self.on_crash(),
            Event::Start { node } => self.on_start(node),
            Event::Cut(side) => {
                self.cut = Some(side);
                Ok(())
            }
            Event::Heal => {
                self.cut = None;
                Ok(())
            }
            Event::Noise => self.on_noise(),
        }
    }
}
