//! The pipeline against a simulated chain in bad weather: transactions dropped, blocks replaced, endpoints that fail, forget and lose chunks,
//! and a crash at any point. From every seed: everything settles, what is called settled is, and little more is paid than in fine weather.

use std::collections::{BTreeMap, BTreeSet};

use ao_arweave::limits::{ANCHOR_BLOCKS, CONFIRMATIONS};
use ao_arweave::pipeline::{
    Answer, Budget, Bundle, Covered, Effect, Held, Input, Known, Pipeline, Place, Posted, Seeded, Settings, Shipment, Spent, Stage, Task,
    Via,
};
use ao_types::hash::sha256;
use ao_types::{Canonical, Id, Slot};
use bytes::Bytes;
use proptest::prelude::*;

const PRICE: u128 = 1000;
const REWARD: u128 = 1150;
const BLOCK_MS: u64 = 120_000;
const ENDPOINTS: [&str; 3] = ["http://a", "http://b", "http://c"];

/// Chances in percent.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    dropped: u64,
    failed: u64,
    refused: u64,
    crash: u64,
    chunks_lost: u64,
    /// In so many of a thousand blocks, a reorganisation of this depth.
    reorg: u64,
    depth: u64,
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }
}

struct Block {
    hash: Bytes,
    transactions: BTreeSet<Id>,
}

/// One chain, and endpoints that share its memory pool.
struct Chain {
    dice: Dice,
    weather: Weather,
    first: u64,
    blocks: Vec<Block>,
    /// With the height of the anchor and the root.
    pool: BTreeMap<Id, (u64, [u8; 32])>,
    known: BTreeMap<Id, (u64, [u8; 32])>,
    /// Chunks by endpoint and root.
    chunks: BTreeMap<(String, [u8; 32]), u32>,
    signed: u64,
}

impl Chain {
    fn new(seed: u64, weather: Weather) -> Self {
        let mut chain = Self {
            dice: Dice(seed),
            weather,
            first: 1_000_000,
            blocks: Vec::new(),
            pool: BTreeMap::new(),
            known: BTreeMap::new(),
            chunks: BTreeMap::new(),
            signed: 0,
        };
        (0..10).for_each(|_| chain.mine());
        chain
    }

    fn tip(&self) -> u64 {
        self.first + self.blocks.len() as u64 - 1
    }

    fn mine(&mut self) {
        let height = self.first + self.blocks.len() as u64;
        let mut transactions = BTreeSet::new();
        for (id, (anchor, root)) in std::mem::take(&mut self.pool) {
            // An anchor that is too old is as lost as what is dropped.
            if height > anchor + ANCHOR_BLOCKS || self.dice.percent(self.weather.dropped) {
                continue;
            }
            if self.dice.percent(30) {
                self.pool.insert(id, (anchor, root));
            } else {
                transactions.insert(id);
            }
        }
        let hash = Bytes::from(self.dice.next().to_be_bytes().repeat(6));
        self.blocks.push(Block { hash, transactions });
    }

    fn grow(&mut self) {
        if self.dice.next() % 1000 < self.weather.reorg {
            let keep = self.blocks.len() - self.weather.depth as usize;
            for block in self.blocks.split_off(keep) {
                for id in block.transactions {
                    if self.dice.percent(50) {
                        self.pool.insert(id, self.known[&id]);
                    }
                }
            }
            (0..self.weather.depth).for_each(|_| self.mine());
        }
        self.mine();
    }

    fn place(&self, id: &Id) -> Option<Place> {
        let at = self.blocks.iter().position(|block| block.transactions.contains(id))?;
        Some(Place { height: self.first + at as u64, block: self.blocks[at].hash.clone(), carrier: *id, transaction: *id })
    }

    fn holds(&self, place: &Place) -> bool {
        let block = place.height.checked_sub(self.first).and_then(|at| self.blocks.get(at as usize));
        block.is_some_and(|block| block.hash == place.block && block.transactions.contains(&place.transaction))
    }

    fn answer(&mut self, bundle: &Bundle, task: &Task) -> Answer {
        let failed = self.dice.percent(self.weather.failed);
        if failed && !matches!(task, Task::Post { .. } | Task::Seed { .. }) {
            return Answer::Failed;
        }
        match task {
            Task::Quote { .. } => {
                let anchor_height = self.tip() - 6;
                Answer::Quoted { price: PRICE, anchor: [1; 48], anchor_height, balance: u128::MAX / 2 }
            }
            Task::Sign(terms) => {
                self.signed += 1;
                let anchor = terms.expect("a transaction has terms").anchor_height;
                let id = Id(sha256(&[&self.signed.to_be_bytes(), &bundle.root]));
                self.known.insert(id, (anchor, bundle.root));
                Answer::Signed { id, head: Bytes::copy_from_slice(&id.0) }
            }
            Task::Post { carrier, except } => {
                assert_eq!(carrier.head, &carrier.id.0[..], "what is posted is what was signed");
                let free: Vec<_> = ENDPOINTS.into_iter().filter(|endpoint| !except.iter().any(|other| other == endpoint)).collect();
                let Some(endpoint) = free.first().map(|_| free[self.dice.next() as usize % free.len()]) else {
                    return Answer::Posted { endpoint: String::new(), outcome: Posted::Failed };
                };
                let (anchor, root) = self.known[&carrier.id];
                let outcome = if self.place(&carrier.id).is_some() || self.pool.contains_key(&carrier.id) {
                    Posted::Taken(None)
                } else if self.tip() >= anchor + ANCHOR_BLOCKS || self.dice.percent(self.weather.refused) {
                    Posted::Refused("Transaction verification failed.".into())
                } else {
                    self.pool.insert(carrier.id, (anchor, root));
                    Posted::Taken(None)
                };
                // It may well have arrived when no answer comes.
                Answer::Posted { endpoint: endpoint.into(), outcome: if failed { Posted::Failed } else { outcome } }
            }
            Task::Seed { endpoint, from, count } => {
                if failed {
                    return Answer::Seeded(Seeded::Failed);
                }
                if self.dice.percent(self.weather.refused) {
                    return Answer::Seeded(Seeded::Refused("exceeds_disk_pool_size_limit".into()));
                }
                let roots: BTreeSet<_> = self.pool.values().map(|(_, root)| *root).collect();
                let mined = self.blocks.iter().flat_map(|block| &block.transactions).any(|id| self.known[id].1 == bundle.root);
                if !roots.contains(&bundle.root) && !mined {
                    return Answer::Seeded(Seeded::NoHeader);
                }
                let held = self.chunks.entry((endpoint.clone(), bundle.root)).or_default();
                *held = if self.dice.percent(self.weather.chunks_lost) { 0 } else { (*held).max(from + count) };
                Answer::Seeded(Seeded::Taken(*count))
            }
            Task::Status { carriers } => {
                let known = |id: &Id| match self.place(id) {
                    Some(place) => Known::Mined(place),
                    None if self.pool.contains_key(id) => Known::Pending,
                    None => Known::Unknown,
                };
                Answer::Status(carriers.iter().map(known).collect())
            }
            Task::Block(place) => Answer::Block(if self.holds(place) { Held::Holds } else { Held::Gone }),
            Task::ReadBack { place, .. } => {
                let there = ENDPOINTS.iter().any(|endpoint| self.chunks.get(&(endpoint.to_string(), bundle.root)) >= Some(&bundle.chunks));
                Answer::ReadBack(there && self.holds(place))
            }
        }
    }
}

fn bundle(number: u64) -> Bundle {
    let root = sha256(&[&number.to_be_bytes()]);
    let covered = vec![Covered { process: Id(root), from: Slot(0), to: Slot(9) }];
    Bundle { root, bytes: 600_000, chunks: 3 + number as u32 % 40, items: 21, since_ms: 0, covered }
}

struct Run {
    chain: Chain,
    pipeline: Pipeline,
    rows: BTreeMap<u64, Vec<u8>>,
    spent: Spent,
    /// When each task ends.
    out: Vec<(u64, u64, Task)>,
    now: u64,
    settings: Settings,
    crashes: u64,
}

impl Run {
    fn new(seed: u64, weather: Weather) -> Self {
        let budget = Budget { day_max: u128::MAX, floor: 0 };
        let settings = Settings { via: Via::Chain, copies: 2, confirmations: CONFIRMATIONS, budget };
        let pipeline = Pipeline::restore(settings, [], Spent::default(), 1);
        let chain = Chain::new(seed, weather);
        Self { chain, pipeline, rows: BTreeMap::new(), spent: Spent::default(), out: Vec::new(), now: 1_000, settings, crashes: 0 }
    }

    fn give(&mut self, input: Input) {
        let mut effects = Vec::new();
        let chance = self.chain.dice.next() as u32;
        self.pipeline.handle(self.now, chance, input, &mut effects).expect("there is room");
        let crash = self.chain.dice.percent(self.chain.weather.crash);
        // Before anything is durable, after that and before anything was done, or with some of it done.
        let (durable, mut left) = match (crash, self.chain.dice.next() % 3) {
            (false, _) => (true, usize::MAX),
            (true, 0) => (false, 0),
            (true, 1) => (true, 0),
            (true, _) => (true, 1),
        };
        for effect in &effects {
            match effect {
                Effect::Remember(row, spent) if durable => {
                    self.rows.insert(row.number, row.encode());
                    self.spent = spent.unwrap_or(self.spent);
                }
                Effect::Settled(number) if durable => {
                    let row = Shipment::decode(&self.rows[number]).unwrap();
                    let Stage::Settled(place, _) = &row.stage else { panic!("not remembered as settled: {row:?}") };
                    assert!(self.chain.holds(place) && self.chain.tip() + 1 - place.height >= CONFIRMATIONS, "settled too early");
                }
                _ => {}
            }
        }
        for effect in effects {
            match effect {
                Effect::Task { shipment, task } if left > 0 => {
                    left -= 1;
                    let takes = 20 + self.chain.dice.next() % 3000;
                    self.out.push((self.now + takes, shipment, task));
                }
                Effect::Unsettled(number) => assert!(self.chain.weather.depth > CONFIRMATIONS, "{number} was not settled"),
                _ => {}
            }
        }
        if crash {
            self.crash();
        }
    }

    fn crash(&mut self) {
        self.crashes += 1;
        // What was under way may have arrived.
        for (_, shipment, task) in std::mem::take(&mut self.out) {
            if self.chain.dice.percent(50)
                && let Some(row) = self.rows.get(&shipment)
            {
                let row = Shipment::decode(row).unwrap();
                self.chain.answer(&row.bundle, &task);
            }
        }
        let rows = self.rows.values().map(|row| Shipment::decode(row).unwrap());
        self.pipeline = Pipeline::restore(self.settings, rows, self.spent, 1);
        let tip = self.chain.tip();
        self.give(Input::Tip(tip));
    }

    /// Until everything is settled; how many blocks that took.
    fn settle(&mut self, shipments: u64, blocks_max: u64) -> u64 {
        let (mut block_at, mut blocks) = (self.now + BLOCK_MS, 0);
        for number in 0..shipments {
            // A crash before it is durable leaves it in the queue, from where it comes again.
            while self.rows.len() as u64 <= number {
                self.give(Input::Composed(bundle(number)));
            }
        }
        let tip = self.chain.tip();
        self.give(Input::Tip(tip));
        loop {
            let settled = |row: &Vec<u8>| Shipment::decode(row).unwrap().stage.is_settled();
            if self.rows.values().all(settled) {
                return blocks;
            }
            let task = self.out.iter().enumerate().min_by_key(|(_, (at, ..))| *at).map(|(place, (at, ..))| (*at, place));
            let deadline = self.pipeline.next_deadline().unwrap_or(u64::MAX).max(self.now);
            match task {
                Some((at, place)) if at <= deadline && at <= block_at => {
                    let (_, shipment, task) = self.out.swap_remove(place);
                    self.now = at;
                    let row = self.pipeline.shipments().find(|row| row.number == shipment).expect("it has a task out").clone();
                    let answer = self.chain.answer(&row.bundle, &task);
                    self.give(Input::Answer { shipment, answer });
                }
                _ if deadline <= block_at => {
                    self.now = deadline;
                    self.give(Input::Time);
                }
                _ => {
                    (self.now, block_at, blocks) = (block_at, block_at + BLOCK_MS, blocks + 1);
                    assert!(blocks < blocks_max, "not settled: {:?}", self.pipeline);
                    self.chain.grow();
                    let tip = self.chain.tip();
                    self.give(Input::Tip(tip));
                }
            }
        }
    }

    /// Winston paid: every transaction in the chain.
    fn paid(&self) -> u128 {
        self.chain.blocks.iter().map(|block| block.transactions.len() as u128 * REWARD).sum()
    }
}

#[test]
fn in_fine_weather_everything_settles_at_its_depth_and_is_paid_once() {
    let mut run = Run::new(1, Weather::default());
    let blocks = run.settle(12, 60);
    assert!((CONFIRMATIONS..CONFIRMATIONS + 8).contains(&blocks), "{blocks}");
    assert_eq!((run.paid(), run.chain.signed), (12 * REWARD, 12));
    assert_eq!(run.spent, Spent { day: 0, winston: 12 * REWARD });
    // Much later each is looked at once more, and forgotten.
    let mut run_on = 0;
    while run.pipeline.shipments().next().is_some() {
        run.chain.grow();
        let tip = run.chain.tip();
        run.give(Input::Tip(tip));
        while !run.out.is_empty() {
            let (at, shipment, task) = run.out.remove(0);
            run.now = run.now.max(at);
            let answer = run.chain.answer(&bundle(shipment), &task);
            run.give(Input::Answer { shipment, answer });
        }
        run_on += 1;
        assert!(run_on < 120);
    }
    assert!(run.rows.values().all(|row| matches!(Shipment::decode(row).unwrap().stage, Stage::Done(_))));
    assert_eq!(run.paid(), 12 * REWARD);
}

#[test]
fn a_crash_after_every_other_step_loses_nothing_and_pays_nothing_twice() {
    for seed in 0..20 {
        let mut run = Run::new(seed, Weather { crash: 40, ..Weather::default() });
        run.settle(6, 400);
        assert!(run.crashes > 20, "{} crashes", run.crashes);
        assert_eq!(run.paid(), 6 * REWARD, "seed {seed}");
    }
}

#[test]
fn a_third_of_all_transactions_dropped_costs_time_and_no_money() {
    for seed in 0..10 {
        let mut run = Run::new(seed, Weather { dropped: 30, ..Weather::default() });
        run.settle(20, 600);
        assert_eq!(run.paid(), 20 * REWARD, "seed {seed}");
    }
}

#[test]
fn reorganisations_of_one_and_of_ten_blocks_lose_nothing() {
    for (depth, reorg) in [(1, 200), (10, 30)] {
        let mut reorgs = 0;
        for seed in 0..10 {
            let mut run = Run::new(seed, Weather { reorg, depth, ..Weather::default() });
            run.settle(10, 3000);
            reorgs += run.pipeline.summary().counts.reorgs;
            assert!(run.paid() <= 2 * 10 * REWARD, "seed {seed}: {}", run.paid());
        }
        assert!(reorgs > 0, "depth {depth}: no shipment was hit");
    }
}

#[test]
fn chunks_that_nobody_kept_are_uploaded_again() {
    let mut unreadable = 0;
    for seed in 0..10 {
        let mut run = Run::new(seed, Weather { chunks_lost: 40, ..Weather::default() });
        run.settle(6, 400);
        unreadable += run.pipeline.summary().counts.unreadable;
        assert_eq!(run.paid(), 6 * REWARD);
    }
    assert!(unreadable > 0, "no read-back failed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    /// Everything at once.
    #[test]
    fn in_any_weather_everything_settles_for_less_than_twice_the_price(
        seed: u64, dropped in 0_u64..30, failed in 0_u64..40, refused in 0_u64..10, crash in 0_u64..10, chunks_lost in 0_u64..10,
        reorg in 0_u64..40, depth in 1_u64..11,
    ) {
        let mut run = Run::new(seed, Weather { dropped, failed, refused, crash, chunks_lost, reorg, depth });
        run.settle(8, 6000);
        prop_assert!(run.paid() <= 2 * 8 * REWARD, "{} winston", run.paid());
    }
}
