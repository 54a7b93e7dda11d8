//! From Arweave alone to a node that goes on: one process, a whole network, past gateways that lie and through power that fails.

use std::collections::BTreeSet;

use ao_arweave::compose::compose;
use ao_arweave::driver::{Keeper as _, Rows};
use ao_arweave::pipeline::Stage;
use ao_storage::faulty::{Fault, FaultyStore};
use ao_storage::memory::Contents;
use ao_storage::schema::{self, ScheduleRow};
use ao_storage::{Direction, MemoryStore, Table};
use ao_types::transaction::Base64Url;
use ao_types::{Address, HashChain, ItemBuilder, NetworkId, Signer, Wallet};
use ao_weave::chunks::{Posted, check};
use ao_weave::keys::{FUNDED_WINSTON, funded};
use ao_weave::{Config, Weave};
use serde_json::{Value, json};

use super::anchoring::{settled, shipment};
use super::cluster::{Cluster, wallet};
use super::rig::{BEGIN_MS, Rig};
use super::*;
use crate::anchor::collect::Collector;
use crate::anchor::keeper::StoreKeeper;
use crate::recovery::{self, Error, Look, Network, Outcome, Setup, Subject};
use crate::sim::script::Script;

const NETWORK: NetworkId = NetworkId([5; 32]);
const LATER: u64 = BEGIN_MS + 1_000_000;

pub fn scheduler() -> Arc<Wallet> {
    Arc::new(Wallet::ed25519_from_seed(&[1; 32]))
}

pub async fn chain(gateways: usize) -> Weave {
    let funded = vec![(funded().unwrap().address().as_id().unwrap(), FUNDED_WINSTON)];
    Weave::start(Config { funded, gateways, ..Config::default() }).await.unwrap()
}

/// Everything that a scheduler's processes owe goes to the chain, and is remembered as settled; how many bundles that is.
pub async fn anchor(weave: &Weave, store: &Arc<dyn Store>, scheduler: Arc<Wallet>, network: NetworkId, now_ms: u64) -> Vec<Id> {
    let whose = scheduler.address();
    anchor_for(weave, store, (scheduler, whose), network, now_ms).await
}

/// The same by one who stands in for a scheduler.
async fn anchor_for(
    weave: &Weave,
    store: &Arc<dyn Store>,
    (signer, whose): (Arc<Wallet>, Address),
    network: NetworkId,
    now_ms: u64,
) -> Vec<Id> {
    let keeper = StoreKeeper::new(store.clone(), Arc::new(|_, _| ()));
    let next = keeper.load().unwrap().next;
    let mut carriers = Vec::new();
    for number in next.. {
        let collector = Collector::new(store.clone(), signer.clone(), whose, network, Duration::ZERO);
        let Some(parcel) = collector.collect(now_ms).unwrap().parcel else { break };
        carriers.push(put(weave, &keeper, number, &parcel, network).await);
    }
    carriers
}

/// Brings a parcel to the chain, and has a store remember it.
pub async fn post(weave: &Weave, store: &Arc<dyn Store>, parcel: &ao_arweave::driver::Parcel, network: NetworkId) -> Id {
    let keeper = StoreKeeper::new(store.clone(), Arc::new(|_, _| ()));
    let next = keeper.load().unwrap().next;
    put(weave, &keeper, next, parcel, network).await
}

async fn put(weave: &Weave, keeper: &StoreKeeper, number: u64, parcel: &ao_arweave::driver::Parcel, network: NetworkId) -> Id {
    let payer = funded().unwrap();
    let composed = compose(&parcel.items).unwrap();
    let (anchor, price) = weave.station().chain(|chain| (chain.anchor(), chain.price(composed.bytes.len() as u64, None)));
    let header = composed.header(&network, anchor.0, price).sign(&payer).unwrap();
    let carrier = header.id;
    weave.station().post_transaction(header).unwrap();
    for index in 0..composed.chunk_count() {
        let chunk = composed.chunk(index).unwrap();
        let (data_root, data_size, data_path, offset) = (chunk.data_root, chunk.data_size, chunk.data_path, chunk.offset);
        let posted = Posted { data_root, data_size, data_path, offset, chunk: Base64Url(chunk.chunk.0) };
        weave.station().post_chunk(check(posted).unwrap()).unwrap();
    }
    weave.mine(2).await.unwrap();
    let rows = Rows { shipments: vec![shipment(number, parcel, Stage::Bundled)], parcel: Some((number, parcel)), ..Rows::default() };
    keeper.remember(rows).unwrap();
    let rows = Rows { shipments: vec![shipment(number, parcel, settled())], settled: vec![number], ..Rows::default() };
    keeper.remember(rows).unwrap();
    carrier
}

pub fn setup<'a>(urls: &[String], store: &'a dyn Store, subject: Subject, own: &Wallet) -> Setup<'a> {
    Setup {
        client: crate::anchor::reader(urls, Arc::new(wall_clock)).unwrap(),
        store,
        folder: None,
        subject,
        own: own.address(),
        look: Look::default(),
        up_to_hole: false,
        known_modules: Vec::new(),
        vm: None,
        now_ms: LATER,
    }
}

async fn recovered(urls: &[String], store: &dyn Store, process: Id) -> Result<Outcome, Error> {
    recovery::recover(setup(urls, store, Subject::Process(process), &scheduler()), &mut |_| ()).await
}

pub fn urls(weave: &Weave, gateways: &[usize]) -> Vec<String> {
    gateways.iter().map(|number| weave.gateway_url(*number)).collect()
}

/// A log without what only the node knew that wrote it.
fn log(store: &dyn Store, process: Id) -> Vec<ScheduleRow> {
    let rows = schema::SCHEDULE.prefix(store, &process, Direction::Forward, 10_000).unwrap();
    rows.into_iter().map(|(_, row)| ScheduleRow { pushed_by: None, push: true, ..row }).collect()
}

/// Rows of a table that must be the same byte by byte.
fn same(tables: &[Table], one: &dyn Store, two: &dyn Store) {
    for table in tables {
        let rows = |store: &dyn Store| store.scan(*table, &[], &[], Direction::Forward, usize::MAX).unwrap();
        assert_eq!(rows(one), rows(two), "{}", table.name());
    }
}

struct Alone {
    rig: Rig,
    weave: Weave,
    process: Id,
    carriers: Vec<Id>,
}

impl Alone {
    /// A node by itself with a process of so many messages, in as many bundles as there are `parts`.
    async fn new(gateways: usize, parts: usize, messages: usize, bytes: usize) -> Self {
        let (rig, weave) = (Rig::start(), chain(gateways).await);
        let process = rig.spawn(&[]).await;
        let mut carriers = Vec::new();
        for _ in 0..parts {
            for _ in 0..messages {
                let sent = rig.send(process, &[("Action", "Count")], &"x".repeat(bytes)).await.unwrap();
                rig.result(process, sent.id).await;
            }
            carriers.extend(anchor(&weave, &rig.store, scheduler(), NETWORK, LATER).await);
        }
        Self { rig, weave, process, carriers }
    }

    /// The store has what the lost one had, and a node goes on from it.
    async fn is_whole(&self, store: Arc<dyn Store>) {
        let (old, new, process) = (&*self.rig.store, &*store, self.process);
        assert_eq!(log(old, process), log(new, process));
        same(&[Table::Heads, Table::Confirmed, Table::AnchorHeads, Table::Anchored, Table::SlotOf, Table::Content], old, new);
        for row in log(old, process) {
            assert_eq!(schema::ITEMS.get(old, &row.item).unwrap(), schema::ITEMS.get(new, &row.item).unwrap());
        }
        let head = schema::HEADS.get(old, &process).unwrap().unwrap();
        let rig = Rig::on(store.clone());
        let last = log(new, process).last().unwrap().item;
        rig.node.result(process, last).await.unwrap();
        let results = |rig: &Rig| rig.results(process).into_iter().map(|(key, row)| (key, row.result_hash, row.json)).collect::<Vec<_>>();
        assert_eq!(results(&self.rig), results(&rig));
        let sent = rig.send(process, &[("Action", "Count")], "more").await.unwrap();
        assert_eq!(sent.slot, Some(head.slot.next()));
        let next = schema::HEADS.get(&*store, &process).unwrap().unwrap();
        assert_eq!(next.hash_chain, *HashChain::from_bytes(head.hash_chain).next(&head.assignment).as_bytes());
        rig.result(process, sent.id).await;
        // Nothing is anchored twice: what waits is the new slot alone.
        let before = schema::ANCHOR_HEADS.get(&*store, &process).unwrap().unwrap();
        let collected = Collector::new(store, scheduler(), scheduler().address(), NETWORK, Duration::ZERO).collect(LATER).unwrap();
        assert_eq!((collected.waiting.slots, before.next), (1, head.slot.next()));
        rig.stop();
    }

    async fn command(&self, verb: &str, members: Value) {
        let command = serde_json::from_value(json!({ verb: members })).unwrap();
        self.weave.command(command).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_comes_back_from_the_chain_alone_and_goes_on() {
    let world = Alone::new(2, 3, 4, 10).await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let outcome = recovered(&urls(&world.weave, &[0, 1]), &*store, world.process).await.unwrap();
    assert_eq!((outcome.processes, outcome.bundles, outcome.refused), (vec![(world.process, 13)], 3, 0));
    world.is_whole(store.clone()).await;
    // A store on which a node has run is nobody's to recover into.
    let again = recovered(&urls(&world.weave, &[0]), &*store, world.process).await;
    assert!(matches!(again, Err(Error::NotEmpty(_))), "{again:?}");
    world.rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_block_crons_comes_back_with_the_blocks_that_it_had() {
    let (rig, weave) = (Rig::hashing(), chain(1).await);
    let process = rig.spawn(&[("Cron-Interval", "2-blocks"), ("Cron-Tag-Action", "Tick")]).await;
    for _ in 0..4 {
        rig.advance(5_300);
        let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
        rig.result(process, sent.id).await;
    }
    assert!(rig.crons(process).len() > 2, "blocks came between messages");
    anchor(&weave, &rig.store, scheduler(), NETWORK, LATER).await;
    let store = MemoryStore::new();
    recovered(&urls(&weave, &[0]), &store, process).await.unwrap();
    // Whoever starts on it does so much later.
    rig.advance(1_000_700);
    let again = rig.beside(store);
    again.settled(process, 4).await;
    let results = |rig: &Rig| rig.results(process);
    assert_eq!(results(&again), results(&rig));
    assert_eq!(again.node.tip(), rig.node.tip(), "heights go on");
    [rig, again].into_iter().for_each(Rig::stop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_alone_are_enough_where_there_is_no_index() {
    let world = Alone::new(2, 2, 3, 10).await;
    for gateway in 0..2 {
        world.command("fail", json!({ "path": "/graphql", "status": 500, "gateway": gateway })).await;
    }
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    recovered(&urls(&world.weave, &[0, 1]), &*store, world.process).await.unwrap();
    world.is_whole(store).await;
    world.rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_honest_gateway_is_enough_and_none_makes_a_wrong_store() {
    let world = Alone::new(3, 3, 3, 10).await;
    let rule = |path: &str, trouble: Value| json!({ "rule": { "path": path, "trouble": trouble }, "gateway": 0 });
    let expected = log(&*world.rig.store, world.process);
    let names: Vec<Id> = expected.iter().map(|row| row.item).chain(world.carriers.iter().copied()).collect();
    let lies: Vec<(&str, Value)> = vec![
        ("reorder", json!({ "on": true, "gateway": 0 })),
        ("endless", json!({ "on": true, "gateway": 0 })),
        ("hide", json!({ "ids": names, "gateway": 0 })),
        ("hide", json!({ "ids": world.carriers[2..], "gateway": 0 })),
        ("corrupt", json!({ "id": world.carriers[1], "gateway": 0 })),
        ("html_200", json!({ "path": "/", "gateway": 0 })),
        ("trouble", rule("/graphql", json!({ "huge": { "bytes": 1_u64 << 33 } }))),
        ("trouble", rule("/raw", json!({ "huge": { "bytes": 1_u64 << 33 } }))),
        ("trouble", rule("/tx", json!({ "redirect": { "to": "http://169.254.169.254/latest/meta-data/" } }))),
        ("trouble", rule("/raw", json!({ "redirect": { "to": "http://127.0.0.1:1/" } }))),
        ("trouble", rule("/raw", json!("truncate"))),
    ];
    for (verb, lie) in lies {
        world.command(verb, lie.clone()).await;
        let store = MemoryStore::new();
        recovered(&urls(&world.weave, &[0, 1, 2]), &store, world.process).await.unwrap_or_else(|error| panic!("{verb} {lie}: {error}"));
        assert_eq!(log(&store, world.process), expected, "{verb} {lie}");
        // Alone with the liar: the same, or nothing that anybody could start on. The end of a log alone can be hidden by an index.
        let store = MemoryStore::new();
        let alone = recovered(&urls(&world.weave, &[0]), &store, world.process).await;
        let found = log(&store, world.process);
        match alone {
            Ok(_) => assert!(!found.is_empty() && expected.starts_with(&found), "{verb} {lie}"),
            Err(_) => {
                let started = Node::start_on(Arc::new(store), rig::options(), rig::setup());
                assert!(matches!(started, Err(StartError::Recovering(_))), "{verb} {lie}");
            }
        }
        world.command("heal", json!({})).await;
    }
    world.rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_is_said_and_passed_over_only_on_demand() {
    let world = Alone::new(1, 3, 3, 10).await;
    world.command("withhold_chunks", json!({ "tx": world.carriers[1] })).await;
    let (store, from) = (Arc::new(MemoryStore::new()), urls(&world.weave, &[0]));
    let error = recovered(&from, &*store, world.process).await.unwrap_err();
    let Error::Holes(holes) = &error else { panic!("{error}") };
    let said: Vec<&str> = holes.iter().map(|hole| hole.what.as_str()).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("slot 4 is missing") && said[1].contains(&world.carriers[1].to_string()), "{said:?}");
    assert!(log(&*store, world.process).is_empty(), "nothing is written before the operator says so");
    let setup = Setup { up_to_hole: true, ..setup(&from, &*store, Subject::Process(world.process), &scheduler()) };
    let outcome = recovery::recover(setup, &mut |_| ()).await.unwrap();
    assert_eq!((outcome.slots(), outcome.holes.len()), (4, 2));
    assert_eq!(log(&*store, world.process), log(&*world.rig.store, world.process)[..4]);
    // Nothing of this name is anywhere.
    let nothing = recovered(&from, &MemoryStore::new(), Id([9; 32])).await;
    assert!(matches!(nothing, Err(Error::Recover(ao_arweave::recover::RecoverError::NoProcess(_)))), "{nothing:?}");
    world.rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_power_may_fail_at_every_write_of_a_recovery() {
    // Larger than a batch.
    let world = Alone::new(1, 1, 3, 500 << 10).await;
    let from = urls(&world.weave, &[0]);
    let calm = FaultyStore::new(Contents::default(), Fault::None);
    recovered(&from, &calm, world.process).await.unwrap();
    assert!(calm.writes() >= 4, "{} writes", calm.writes());
    for at in 1..=calm.writes() {
        let store = FaultyStore::new(Contents::default(), Fault::CrashAt(at));
        recovered(&from, &store, world.process).await.unwrap_err();
        for survivor in store.survivors() {
            let store = MemoryStore::from_contents(survivor);
            if schema::RECOVERING.get(&store).unwrap().is_none() && !log(&store, world.process).is_empty() {
                // The last write came through: it was done.
                same(Table::ALL, &calm, &store);
                continue;
            }
            recovered(&from, &store, world.process).await.unwrap();
            same(Table::ALL, &calm, &store);
        }
    }
    world.rig.stop();
}

fn network(cluster: &Cluster) -> Network {
    let membership = cluster.membership(0);
    let rosters = ao_consensus::Rosters::new(membership.network, membership.scheme.clone(), [7; 32]);
    let rosters = rosters.with([(*membership.committee).clone()]).unwrap();
    Network { genesis: (*membership.genesis).clone(), id: membership.network, rosters }
}

/// Four nodes lose everything, and go on from the chain alone.
async fn total_loss(engine: &'static str, seed: u64) {
    let mut cluster = Cluster::new(engine, 4, seed);
    network::across(&mut cluster, 12);
    cluster.settle();
    cluster.check(&[0, 1, 2, 3]);
    let (weave, id) = (chain(2).await, cluster.membership(0).network);
    for n in 0..4 {
        // The last one anchors nothing: the one before stands in for it, from its own store.
        let by = n.min(2);
        let store: Arc<dyn Store> = cluster.worlds[by].store.clone();
        anchor_for(&weave, &store, (Arc::new(wallet(by)), wallet(n).address()), id, LATER).await;
    }
    let old: Vec<Contents> = cluster.worlds.iter().map(|world| world.store.survivors().pop().unwrap()).collect();
    let mut processes = BTreeSet::new();
    for (n, old) in old.iter().enumerate() {
        let (store, old) = (MemoryStore::new(), MemoryStore::from_contents(old.clone()));
        let setup = setup(&urls(&weave, &[0, 1]), &store, Subject::Network(Box::new(network(&cluster))), &wallet(n));
        let outcome = recovery::recover(setup, &mut |_| ()).await.unwrap_or_else(|error| panic!("{engine}: node {n}: {error}"));
        processes.extend(outcome.processes.iter().map(|(process, _)| *process));
        for process in &processes {
            assert_eq!(log(&old, *process), log(&store, *process), "{engine}: node {n}");
        }
        same(&[Table::Heads, Table::Confirmed, Table::FrameOf, Table::SlotOf, Table::Content], &old, &store);
        // Certificates as well. That of the last frames may be another one: each node has seen its own.
        let frames = |store: &dyn Store| schema::FRAMES.all(store, Direction::Forward, usize::MAX).unwrap();
        for ((at, one), (other, two)) in frames(&old).into_iter().zip(frames(&store)) {
            assert_eq!((at, &one.frame, &one.signature, &one.held), (other, &two.frame, &two.signature, &two.held), "{engine}: node {n}");
            assert_eq!(one.proof.is_some(), two.proof.is_some(), "{engine}: node {n}, {at:?}");
        }
        assert_eq!(frames(&old).len(), frames(&store).len(), "{engine}: node {n}");
        cluster.replace(n, store.contents());
    }
    assert_eq!(processes.len(), 2, "{engine}");
    cluster.settle();
    cluster.check(&[0, 1, 2, 3]);
    // Every result is what it was.
    for (world, old) in cluster.worlds.iter().zip(&old) {
        let old = MemoryStore::from_contents(old.clone());
        for process in &processes {
            let results = |store: &dyn Store| schema::EVALUATIONS.prefix(store, process, Direction::Forward, 1_000).unwrap();
            let hashes = |store: &dyn Store| results(store).into_iter().map(|(key, row)| (key, row.result_hash)).collect::<Vec<_>>();
            assert_eq!(hashes(&old), hashes(&*world.store), "{engine}");
        }
    }
    let before: Vec<usize> = processes.iter().map(|process| cluster.worlds[0].log(*process).len()).collect();
    for (n, process) in (200..).zip(&processes) {
        cluster.worlds[2].submit(&network::message(*process, n, &[("Action", "Count")]), false);
    }
    cluster.settle();
    cluster.check(&[0, 1, 2, 3]);
    let after: Vec<usize> = processes.iter().map(|process| cluster.worlds[3].log(*process).len()).collect();
    assert_eq!(after, before.iter().map(|length| length + 1).collect::<Vec<_>>(), "{engine}: it goes on");
    assert!(cluster.penalties.is_empty(), "{engine}: {:?}", cluster.penalties);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_power_may_fail_at_every_write_of_a_networks_recovery() {
    let mut cluster = Cluster::new("attest", 4, 5);
    network::across(&mut cluster, 12);
    cluster.settle();
    let (weave, id) = (chain(1).await, cluster.membership(0).network);
    for n in 0..4 {
        let store: Arc<dyn Store> = cluster.worlds[n].store.clone();
        anchor(&weave, &store, Arc::new(wallet(n)), id, LATER).await;
    }
    let from = urls(&weave, &[0]);
    // One that restores states, for which a module is put into the store that is not looked for.
    let module = crate::wiring::embedded_module().unwrap();
    let again = async |store: &dyn Store| {
        let setup = setup(&from, store, Subject::Network(Box::new(network(&cluster))), &wallet(0));
        let setup = Setup { known_modules: vec![module.clone()], vm: Some(Arc::new(Script)), ..setup };
        recovery::recover(setup, &mut |_| ()).await
    };
    let calm = FaultyStore::new(Contents::default(), Fault::None);
    again(&calm).await.unwrap();
    assert_eq!(schema::ITEMS.get(&calm, &module.id()).unwrap().as_ref(), Some(module.as_bytes()), "it is there, whatever was cleared");
    assert!(calm.writes() >= 3, "{} writes", calm.writes());
    for at in 1..=calm.writes() {
        let store = FaultyStore::new(Contents::default(), Fault::CrashAt(at));
        again(&store).await.unwrap_err();
        for survivor in store.survivors() {
            let store = MemoryStore::from_contents(survivor);
            let done = schema::RECOVERING.get(&store).unwrap().is_none() && !store.contents().is_empty();
            if !done {
                again(&store).await.unwrap_or_else(|error| panic!("write {at}: {error}"));
            }
            same(Table::ALL, &calm, &store);
        }
    }
}

/// The last node died between a transaction's header and its data: what was in it is known to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_had_time_to_upload_is_said_and_passed_over_only_on_demand() {
    let mut cluster = Cluster::new("attest", 4, 7);
    network::across(&mut cluster, 12);
    cluster.settle();
    let (weave, id) = (chain(1).await, cluster.membership(0).network);
    for n in 0..4 {
        let store: Arc<dyn Store> = cluster.worlds[n].store.clone();
        anchor(&weave, &store, Arc::new(wallet(n)), id, LATER).await;
    }
    let composed = compose(&[ItemBuilder::new().data("what nobody has").sign(&wallet(0)).unwrap()]).unwrap();
    let (last, price) = weave.station().chain(|chain| (chain.anchor(), chain.price(composed.bytes.len() as u64, None)));
    let header = composed.header(&id, last.0, price).sign(&funded().unwrap()).unwrap();
    let carrier = header.id;
    weave.station().post_transaction(header).unwrap();
    weave.mine(2).await.unwrap();
    let (store, from) = (MemoryStore::new(), urls(&weave, &[0]));
    let again = async |up_to_hole: bool| {
        let setup = setup(&from, &store, Subject::Network(Box::new(network(&cluster))), &wallet(0));
        recovery::recover(Setup { up_to_hole, ..setup }, &mut |_| ()).await
    };
    let error = again(false).await.unwrap_err();
    let Error::Holes(holes) = &error else { panic!("{error}") };
    assert!(holes.len() == 1 && holes[0].what.contains(&carrier.to_string()), "{holes:?}");
    let outcome = again(true).await.unwrap();
    assert_eq!((outcome.holes.len(), outcome.processes.len()), (1, 2));
    for (process, _) in &outcome.processes {
        assert_eq!(log(&store, *process), log(&*cluster.worlds[0].store, *process), "everything else is there, whole");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_of_which_nothing_is_anywhere_is_no_success() {
    let (cluster, weave, store) = (Cluster::new("attest", 4, 1), chain(1).await, Arc::new(MemoryStore::new()));
    weave.mine(3).await.unwrap();
    let subject = Subject::Network(Box::new(network(&cluster)));
    let found = recovery::recover(setup(&urls(&weave, &[0]), &*store, subject, &wallet(0)), &mut |_| ()).await;
    assert!(matches!(found, Err(Error::Nothing)), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_whose_nodes_lost_everything_goes_on_from_the_chain_alone() {
    for engine in ["attest", "bft"] {
        total_loss(engine, 3).await;
    }
}
