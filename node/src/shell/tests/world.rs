//! A node in one thread, from one seed: the same core, verifier, folds and pusher, on a disk that fails where a test says.
//!
//! Whatever would be a thread is a job in a list; which job is done next is drawn from the seed. So a seed is an interleaving, and every
//! write of every interleaving can be the last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::Receiver;

use ao_consensus::Timestamp;
use ao_consensus::schedule::assign_run;
use ao_storage::faulty::{Disk, Fault, FaultyStore};
use ao_storage::memory::Contents;
use ao_storage::schema::{self, EvaluationRow, OutboxKind, ScheduleRow};
use ao_storage::{Direction, Table};
use ao_types::{DataItem, ItemBuilder, NetworkId, Slot, Tag, Verified, Wallet};
use bytes::Bytes;

use super::rig::{options, setup};
use super::*;
use crate::chain::{Block, DevChain, DevGenesis};
use crate::core::effect::{Effect, Reply};
use crate::core::input::{Origin, RequestId};
use crate::handle::Event;
use crate::handle::{Accepted, AssignRequest};
use crate::network::seam::{Arrival, Load, Order};
use crate::shell::fold::Fold;
use crate::shell::membership::Unwritten;
use crate::shell::verify::Failed;
use crate::sim::script::Script;

/// xorshift64*: enough to choose, and the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end.max(1)
    }
}

pub struct World {
    pub store: Arc<FaultyStore>,
    pub replies: BTreeMap<u64, Result<Accepted, Rejection>>,
    pub alarms: Vec<String>,
    core: Core,
    verifier: Arc<Verifier>,
    settled: Arc<Settled>,
    evaluator: Evaluator,
    inbox: Receiver<Note>,
    pusher: Pusher,
    jobs: VecDeque<Work>,
    dice: Dice,
    now: Timestamp,
    next_request: u64,
    chain: DevChain,
    pub module: Id,
    scheduler: Wallet,
    life: Life,
    /// What it wants of the network.
    pub orders: Vec<Order>,
    /// Evidence and refused frames, in words.
    pub faults: Vec<String>,
    /// Slots that were certified.
    pub certified: usize,
}

enum Work {
    Effect(Effect),
    Task(Task),
    Input(Input),
}

impl World {
    pub fn new(seed: u64, contents: Contents, fault: Fault) -> Self {
        Self::on(Disk::Honest, seed, contents, fault)
    }

    pub fn on(disk: Disk, seed: u64, contents: Contents, fault: Fault) -> Self {
        let scheduler = Wallet::ed25519_from_seed(&[1; 32]);
        Self::of(FaultyStore::on(disk, contents, fault), seed, scheduler, None, Timestamp(10_000))
    }

    /// A node of a network, or alone.
    pub fn of(store: FaultyStore, seed: u64, scheduler: Wallet, membership: Option<Arc<Membership>>, now: Timestamp) -> Self {
        let store = Arc::new(store);
        let options = options();
        let chain = DevChain::new(DevGenesis { timestamp_ms: 1_000, height: 100, interval_ms: 2_000 });
        let (settled, modules) = (Arc::new(Settled::default()), Arc::new(Modules::default()));
        let verifier = Arc::new(Verifier {
            store: store.clone(),
            vm: Arc::new(Script),
            modules: modules.clone(),
            settled: settled.clone(),
            scheduler: scheduler.address(),
            neighbours: Arc::new(match &membership {
                Some(membership) => Neighbours::of(membership, scheduler.address(), &*store),
                None => Neighbours::none(NetworkId([0; 32])),
            }),
        });
        let (notes, inbox) = std::sync::mpsc::channel();
        let ground = Ground { store: store.clone(), vm: Arc::new(Script), modules, blocks: Arc::new(chain.clone()) };
        let bounds = Bounds { logs: 1, reads: 1, reads_waiting: 4, slow: Duration::from_secs(600) };
        let habits = Habits {
            bytes_max: 128,
            idle_max: Duration::MAX,
            checkpoint_slots: 3,
            certify_slots: 4,
            hashes: StateHashes::Rest,
            chunk: Duration::MAX,
            bounds,
        };
        let evaluator = Evaluator::new(ground, Inputs(notes), habits, options.metrics);
        let pusher = Pusher::new(verifier.clone(), options.messenger);
        let own = ao_consensus::Chain { scheduler: scheduler.address(), tenure: 0 };
        let fixed = Fixed {
            network_id: membership.as_ref().map_or(NetworkId([0; 32]), |membership| membership.network),
            items_in_tip: true,
            member: membership.as_ref().map(|membership| membership.for_core(own)),
        };
        let life = Life { own, membership };
        let core = Core::new(fixed, own, chain.tip(now));
        let module = ItemBuilder::new().tags(setup().default_module.0).sign(&Wallet::ed25519_from_seed(&[1; 32])).unwrap();
        let mut world = Self {
            store,
            replies: BTreeMap::new(),
            alarms: Vec::new(),
            core,
            verifier,
            settled,
            evaluator,
            inbox,
            pusher,
            jobs: VecDeque::new(),
            dice: Dice::new(seed),
            now,
            next_request: 0,
            chain,
            module: module.id(),
            scheduler,
            life,
            orders: Vec::new(),
            faults: Vec::new(),
            certified: 0,
        };
        if let Ok(recovered) = recover::read(&*world.store, &world.life, 0, false) {
            world.give(Input::Recovered(Box::new(recovered)));
        }
        world
    }

    /// Puts an item in as a client does.
    pub fn submit(&mut self, item: &Verified<DataItem>, store: bool) -> u64 {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.jobs.push_back(Work::Task(Task::Item { request, bytes: item.as_bytes().clone(), push: true, store, forwarded: false }));
        self.next_request
    }

    /// Has an item assigned as a client does.
    pub fn assign(&mut self, item: Id, process: Id) -> u64 {
        self.next_request += 1;
        let (request, exclude) = (RequestId(self.next_request), Vec::new());
        let assign = AssignRequest { process, item, exclude, base_layer: false };
        self.jobs.push_back(Work::Task(Task::Assign { request, assign, forwarded: false }));
        self.next_request
    }

    /// Does one thing; false if there is nothing to do.
    pub fn turn(&mut self) -> bool {
        if self.store.crashed() || self.jobs.is_empty() {
            return false;
        }
        self.now = self.now.plus_ms(self.dice.below(3) as u64);
        let at = self.dice.below(self.jobs.len());
        let Some(work) = self.jobs.remove(at) else { return false };
        match work {
            Work::Input(input) => self.give(input),
            Work::Task(task) => self.verify(task),
            Work::Effect(effect) => self.carry_out(effect),
        }
        true
    }

    /// Until nothing is left to do, or the power fails. Deliveries that wait get their time.
    pub fn settle(&mut self) {
        for _ in 0..200_000 {
            if self.turn() {
                continue;
            }
            match self.core.next_deadline(self.now) {
                Some(deadline) if !self.store.crashed() => {
                    self.now = self.now.max(deadline);
                    self.give(Input::Tick);
                }
                _ => return,
            }
        }
        panic!("it does not come to rest");
    }

    pub fn free_space(&mut self) {
        self.store.free_space();
        self.give(Input::Reserve { low: false });
    }

    /// Something came from outside.
    pub fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Frame { from, bytes, way, judge } => {
                self.jobs.push_back(Work::Task(Task::Frame { from, bytes, way, judge, place: None }))
            }
            Arrival::Evidence { from, bytes, judge } => self.jobs.push_back(Work::Task(Task::Evidence { from, bytes, judge, place: None })),
            Arrival::Item { bytes, .. } => self.jobs.push_back(Work::Task(Task::Wanted { bytes, place: None })),
            Arrival::Location { from, bytes } => self.jobs.push_back(Work::Task(Task::Location { from, bytes, place: None })),
            Arrival::Engine { from, bytes, judge } => self.jobs.push_back(Work::Input(Input::Peer(from, bytes, judge))),
            Arrival::Forwarded { forward, answer } => self.jobs.push_back(Work::Input(Input::Forwarded { forward, answer })),
            Arrival::Nobody { item, denied } => self.jobs.push_back(Work::Input(Input::Nobody { item, denied })),
            Arrival::Submission { .. } => panic!("a submission comes by `forwarded`"),
        }
    }

    /// Another node sent this item here; its answer will be under this request.
    pub fn forwarded(&mut self, load: Load) -> u64 {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.jobs.push_back(Work::Task(Task::forwarded(request, load)));
        self.next_request
    }

    /// What time it is there.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Time passes elsewhere.
    pub fn at(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// Nothing is to be done before this time; `None`: not before something comes.
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.store.crashed() { None } else { self.core.next_deadline(self.now) }
    }

    /// It is later: what is due is done.
    pub fn tick(&mut self) {
        self.give(Input::Tick);
    }

    /// Nothing is to be done now.
    pub fn is_quiet(&self) -> bool {
        self.jobs.is_empty() || self.store.crashed()
    }

    fn verify(&mut self, task: Task) {
        let task = match task {
            Task::Frame { from, bytes, way, judge, .. } => return self.taken(frames::take_frame(&self.verifier, from, &bytes, way, judge)),
            Task::Evidence { from, bytes, judge, .. } => return self.taken(frames::take_evidence(&self.verifier, from, &bytes, judge)),
            Task::Location { from, bytes, .. } => return self.taken(hosts::take(&self.verifier, from, bytes)),
            task => task,
        };
        match self.verifier.work(task) {
            Ok(input) => self.jobs.push_back(Work::Input(input)),
            Err(Failed { asker: Some(Origin::Request(RequestId(request))), refusal }) => drop(self.replies.insert(request, Err(refusal))),
            Err(Failed { asker: Some(Origin::Outbox { term, key, .. }), .. }) => {
                self.jobs.push_back(Work::Input(Input::Undelivered { term, process: key.process }));
            }
            Err(Failed { asker: None | Some(Origin::Frame), .. }) => {}
        }
    }

    fn taken(&mut self, taken: frames::Taken) {
        if let Some((peer, offence)) = taken.penalty {
            self.orders.push(Order::Penalise(peer, offence));
        }
        self.jobs.extend(taken.input.map(Work::Input));
    }

    fn give(&mut self, input: Input) {
        let mut effects = Vec::new();
        let tip: Block = self.chain.tip(self.now);
        self.core.handle(self.now, Input::Tip(tip), &mut effects);
        self.core.handle(self.now, input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Reply(RequestId(request), reply) => {
                    let reply = reply.map(|reply| if let Reply::Accepted(accepted) = reply { accepted } else { panic!("{reply:?}") });
                    let before = self.replies.insert(request, reply);
                    assert!(before.is_none(), "request {request} is answered twice");
                }
                Effect::LookUp(submission) => self.jobs.push_back(Work::Task(Task::LookUp(submission))),
                Effect::Place(submission) => self.jobs.push_back(Work::Task(Task::Place(submission))),
                Effect::LookUpProcess(again) => self.jobs.push_back(Work::Task(Task::Process(again))),
                Effect::Recall(recall) => self.jobs.push_back(Work::Task(Task::Recall(recall))),
                Effect::LookUpFrame(received) => self.jobs.push_back(Work::Task(Task::LookUpFrame(received))),
                Effect::Order(order) => self.orders.push(*order),
                Effect::Verdict(judge, verdict) => judge.say(verdict),
                Effect::Fault { kind, .. } => self.faults.push(kind.to_owned()),
                Effect::RefusedFrame { why, .. } => self.faults.push(why),
                Effect::Tell(Event::Certified { .. }) => self.certified += 1,
                Effect::Alarm { what, .. } => self.alarms.push(what),
                Effect::Tell(_)
                | Effect::Owed { .. }
                | Effect::Attempt(_)
                | Effect::Proven(_)
                | Effect::Results { .. }
                | Effect::NoResults { .. } => {}
                effect => self.jobs.push_back(Work::Effect(effect)),
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Sign { term, process, head, clock, items } => {
                let run = assign_run(process, head, clock, items, &self.scheduler).map_err(|error| error.to_string());
                self.jobs.push_back(Work::Input(Input::Signed { term, process, run }));
            }
            Effect::Write { term, batch, rows, seals, guards, durability } => {
                let membership = self.life.membership.as_deref();
                match membership::write(&*self.store, (rows, durability), seals, &guards, &self.scheduler, membership) {
                    Ok(signatures) => {
                        self.settled.through(batch);
                        self.jobs.push_back(Work::Input(Input::Written { term, batch, signatures }));
                    }
                    Err(error) => {
                        let disk_full = matches!(&error, Unwritten::Store(ao_storage::Error::DiskFull(_)));
                        self.jobs.push_back(Work::Input(Input::WriteFailed { term, batch, reason: error.to_string(), disk_full }));
                    }
                }
            }
            Effect::Recover { term, failed, rewind } => {
                self.settled.through(failed);
                if let Some((chain, from)) = rewind {
                    rewind::rewind(&*self.store, chain, from).unwrap();
                }
                let recovered = recover::read(&*self.store, &self.life, term, rewind.is_none()).unwrap();
                self.jobs.push_back(Work::Input(Input::Recovered(Box::new(recovered))));
            }
            Effect::Evaluate(job) => {
                self.evaluator.turn(&job);
                // Inputs of one evaluator come in order.
                let inputs: Vec<Note> = self.inbox.try_iter().collect();
                for note in inputs {
                    if let Note::Input(input, ..) = note {
                        self.give(input);
                    }
                }
            }
            Effect::Push { term, process, .. } => {
                let input = self.pusher.turn(term, process);
                self.jobs.push_back(Work::Input(input));
            }
            other => panic!("not a job: {other:?}"),
        }
    }

    pub fn log(&self, process: Id) -> Vec<ScheduleRow> {
        let rows = schema::SCHEDULE.prefix(&*self.store, &process, Direction::Forward, 100_000).unwrap();
        for (at, ((_, slot), _)) in rows.iter().enumerate() {
            assert_eq!(slot.0 as usize, at, "no gap");
        }
        rows.into_iter().map(|(_, row)| row).collect()
    }

    pub fn log_lengths(&self) -> BTreeMap<Id, usize> {
        self.processes().into_iter().map(|process| (process, self.log(process).len())).collect()
    }

    pub fn processes(&self) -> Vec<Id> {
        schema::PROCESSES.all(&*self.store, Direction::Forward, 1_000).unwrap().into_iter().map(|(id, _)| id).collect()
    }

    /// Everything that must hold where a node has come to rest.
    pub fn check(&self) {
        assert_eq!(self.alarms, Vec::<String>::new());
        for process in self.processes() {
            self.check_log(process);
            self.check_results(process);
            self.check_outbox(process);
            self.check_checkpoints(process);
        }
        assert!(schema::OWING.all(&*self.store, Direction::Forward, 1).unwrap().is_empty(), "nobody is said to owe an evaluation");
        assert!(schema::OUTBOX.all(&*self.store, Direction::Forward, 1).unwrap().is_empty(), "everything owed is delivered");
    }

    /// Slots follow one another, the chain verifies, no item stands twice, indexes agree with the log.
    fn check_log(&self, process: Id) {
        let (mut head, mut seen) = (None, std::collections::BTreeSet::new());
        for (slot, row) in self.log(process).into_iter().enumerate() {
            let assignment = ao_types::Assignment::read(Verified::<DataItem>::reload(row.assignment).unwrap()).unwrap();
            head = Some(ao_consensus::schedule::check_next(process, self.scheduler.address(), head.as_ref(), &assignment).unwrap());
            assert!(seen.insert(row.item), "item {} stands twice", row.item);
            assert_eq!(facts::assigned(&*self.store, process, row.item).unwrap().map(|slot| slot.0), Some(slot as u64));
            assert!(schema::ITEMS.contains(&*self.store, &row.item).unwrap());
        }
        let stored = schema::HEADS.get(&*self.store, &process).unwrap().unwrap();
        assert_eq!(Some(stored.slot), head.map(|head| head.slot));
        assert_eq!(schema::CONFIRMED.get(&*self.store, &process).unwrap(), Some(stored.slot));
    }

    /// What is stored is what an undisturbed evaluation of the same log gives.
    fn check_results(&self, process: Id) {
        let ground = Ground {
            store: self.store.clone(),
            vm: Arc::new(Script),
            modules: Arc::new(Modules::default()),
            blocks: Arc::new(self.chain.clone()),
        };
        let head = schema::EVALUATION_HEADS.get(&*self.store, &process).unwrap().expect("evaluated");
        assert_eq!(head.slot.0 as usize, self.log(process).len() - 1, "everything is evaluated");
        let mut fold = Fold::open(&ground, process, None).unwrap();
        for slot in 0..=head.slot.0 {
            let again = fold.message(&ground, Slot(slot)).unwrap();
            let stored = self.evaluation(process, slot);
            assert_eq!(again.row.map(|row| row.result_hash), Some(stored.result_hash), "slot {slot}");
        }
    }

    /// Every checkpoint has its body and its parents, restores to what it says, and there are not too many.
    fn check_checkpoints(&self, process: Id) {
        let head = schema::EVALUATION_HEADS.get(&*self.store, &process).unwrap().expect("evaluated");
        let rows = checkpoints::until(&*self.store, process, Some((head.slot, head.cron))).unwrap();
        assert_eq!(
            rows.len(),
            schema::CHECKPOINTS.prefix(&*self.store, &process, Direction::Forward, 1_000).unwrap().len(),
            "none is ahead"
        );
        assert_eq!(rows.len(), schema::CHECKPOINT_BODIES.prefix(&*self.store, &process, Direction::Forward, 1_000).unwrap().len());
        let chains = rows.iter().filter(|(_, row)| row.parent.is_none()).count();
        assert!(chains <= limits::CHECKPOINT_CHAINS_KEPT, "{chains} chains are kept");
        let module = ao_vm::ModuleSource { id: self.module, tags: Vec::new(), code: Bytes::new() };
        let nobody = || ao_types::Subject { id: String::new(), owner: String::new(), tags: Vec::new() };
        let environment = Arc::new(ao_types::Environment { process: nobody(), module: nobody() });
        for (at, (key, row)) in rows.iter().enumerate() {
            let (chain, _) = checkpoints::chain(&*self.store, &rows, at).unwrap().expect("every link is there");
            let mut instance = Script.start(&module, environment.clone(), &chain).unwrap();
            assert_eq!(instance.state_hash().unwrap(), row.root);
            assert_eq!(self.evaluation(process, key.slot.0).state_hash.unwrap_or(row.root), row.root, "slot {}", key.slot);
        }
    }

    pub fn evaluation(&self, process: Id, slot: u64) -> EvaluationRow {
        let key = schema::EvaluationKey { process, slot: Slot(slot), cron: 0 };
        schema::EVALUATIONS.get(&*self.store, &key).unwrap().expect("a result")
    }

    /// Every entry of every outbox is in its target's log, once.
    fn check_outbox(&self, process: Id) {
        for slot in 0..self.log(process).len() as u64 {
            let row = self.evaluation(process, slot);
            let result: serde_json::Value = serde_json::from_slice(&row.json).unwrap();
            for (index, entry) in result["Messages"].as_array().unwrap().iter().enumerate() {
                let key = schema::OutboxKey { process, slot: Slot(slot), cron: 0, kind: OutboxKind::Message, index: index as u32, part: 0 };
                let pushed = schema::PUSHED.get(&*self.store, &key).unwrap().expect("an outcome");
                let target = Id::parse(entry["Target"].as_str().unwrap()).unwrap();
                let child = pushed.child.expect("an item");
                let times = self.log(target).iter().filter(|row| row.item == child).count();
                assert_eq!(times, 1, "entry {index} of slot {slot}: {:?}", pushed.outcome);
            }
        }
        let same = |row: &ScheduleRow| {
            let item = Verified::<DataItem>::reload(schema::ITEMS.get(&*self.store, &row.item).unwrap().unwrap()).unwrap();
            item.tag("From-Process").is_some().then(|| ao_types::ContentKey::of(&item).0)
        };
        let contents: Vec<_> = self.log(process).iter().filter_map(same).collect();
        let distinct: std::collections::BTreeSet<_> = contents.iter().collect();
        assert_eq!(distinct.len(), contents.len(), "a delivery is there twice");
    }

    /// Rows of every table, for comparing two runs.
    pub fn rows(&self) -> Vec<(Table, Vec<ao_storage::Entry>)> {
        let all = |table| (table, self.store.scan(table, &[], &[], Direction::Forward, usize::MAX).unwrap());
        Table::ALL.iter().map(|table| all(*table)).collect()
    }
}

/// Puts the module in, if it is not there.
pub fn upload(world: &mut World) {
    let module = ItemBuilder::new().tags(setup().default_module.0).sign(&world.scheduler).unwrap();
    world.submit(&module, true);
    world.settle();
}

/// What a client does in one run: two processes, some messages, a bounce between them.
pub fn load(world: &mut World, messages: usize) -> Vec<(u64, Verified<DataItem>)> {
    let user = Wallet::ed25519_from_seed(&[3; 32]);
    let fixed = |kind: &str| [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", kind)].map(|(name, value)| Tag::new(name, value));
    upload(world);
    let scheduler = world.scheduler.address().to_string();
    let spawn = |n: u8| {
        let tags = [Tag::new("Module", world.module.to_string()), Tag::new("Scheduler", scheduler.clone())];
        ItemBuilder::new().anchor([n; 32]).tags(fixed("Process")).tags(tags).sign(&user).unwrap()
    };
    let processes = [spawn(1), spawn(2)];
    let mut sent: Vec<_> = processes.iter().map(|item| (world.submit(item, false), item.clone())).collect();
    world.settle();
    for n in 0..messages {
        let (to, other) = (processes[n % 2].id(), processes[(n + 1) % 2].id());
        let action = ["Count", "Send", "Bounce", "Fail"][n % 4];
        let tags =
            [("Action", action), ("To", &*other.to_string()), ("Times", "2"), ("Left", "3")].map(|(name, value)| Tag::new(name, value));
        let item = ItemBuilder::new().target(to).anchor([n as u8; 32]).tags(fixed("Message")).tags(tags).data(Bytes::new());
        let item = item.sign(&user).unwrap();
        sent.push((world.submit(&item, false), item));
        for _ in 0..world.dice.below(12) {
            world.turn();
        }
    }
    world.settle();
    sent
}
