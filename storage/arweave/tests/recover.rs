//! Total loss: a log is read back from a chain alone, past gateways that lie, hide, fail and are behind.

use std::collections::BTreeSet;
use std::sync::Arc;

use ao_arweave::client::{Client, Surroundings};
use ao_arweave::compose::compose;
use ao_arweave::gateways::Health;
use ao_arweave::limits::RECOVER_MISSING_MAX;
use ao_arweave::recover::depot::Depot;
use ao_arweave::recover::fetch::{FetchError, fetch, fetch_now, mined};
use ao_arweave::recover::glean::glean;
use ao_arweave::recover::scan::{Scan, ScanError};
use ao_arweave::recover::seek::{self, Sought};
use ao_arweave::recover::{Archive, End};
use ao_types::transaction::Base64Url;
use ao_types::{AssignmentContent, DataItem, HashChain, Id, ItemBuilder, NetworkId, Signer as _, Slot, Verified, Wallet};
use ao_weave::chunks::{Posted, check};
use ao_weave::keys::{FUNDED_WINSTON, funded};
use ao_weave::{Config, Weave};
use serde_json::{Value, json};

const NETWORK: NetworkId = NetworkId([5; 32]);
/// A reader that does not come through by then never will.
const ROUNDS_MAX: usize = 20;

/// Time stands still but for what a test adds: pauses of failed gateways are over when it says so.
#[derive(Default)]
struct Hand(std::sync::atomic::AtomicU64);

impl Surroundings for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
    fn chance(&self) -> u32 {
        u32::MAX
    }
    fn asked(&self, _endpoint: &str, _health: Health, _took_ms: u64) {}
}

struct World {
    weave: Weave,
    hand: Arc<Hand>,
    process: Id,
    log: Vec<Id>,
    carriers: Vec<Id>,
}

fn items(slots: u64) -> Vec<Verified<DataItem>> {
    let (scheduler, client) = (Wallet::ed25519_from_seed(&[1; 32]), Wallet::ed25519_from_seed(&[2; 32]));
    let ao = |kind: &str| ItemBuilder::new().tag("Data-Protocol", "ao").tag("Variant", "ao.TN.1").tag("Type", kind);
    let process = ao("Process").tag("Module", Id([3; 32]).to_string()).tag("Scheduler", scheduler.address().to_string());
    let process = process.sign(&client).unwrap();
    let mut hash_chain = HashChain::first(&process.id());
    let mut out = Vec::new();
    for slot in 0..slots {
        let item = if slot == 0 {
            process.clone()
        } else {
            ao("Message").target(process.id()).data(vec![slot as u8; 40_000]).sign(&client).unwrap()
        };
        let message = (slot > 0).then(|| item.id());
        let content = AssignmentContent {
            process: process.id(),
            schedule_epoch: 0,
            slot: Slot(slot),
            hash_chain,
            block_height: 1_500_000,
            timestamp_ms: slot,
            message,
            exclude: vec![],
        };
        let assignment = content.sign(&scheduler).unwrap();
        hash_chain = assignment.next_chain();
        out.extend([item, assignment.item().clone()]);
    }
    out
}

impl World {
    /// A chain with a log of 30 slots in three bundles, seen through three gateways.
    async fn start() -> Self {
        let wallet = funded().unwrap();
        let rich = vec![(wallet.address().as_id().unwrap(), FUNDED_WINSTON)];
        let weave = Weave::start(Config { funded: rich, gateways: 3, ..Config::default() }).await.unwrap();
        let items = items(30);
        let mut carriers = Vec::new();
        for part in items.chunks(20) {
            let composed = compose(part).unwrap();
            let (anchor, price) = weave.station().chain(|chain| (chain.anchor(), chain.price(composed.bytes.len() as u64, None)));
            let header = composed.header(&NETWORK, anchor.0, price).sign(&wallet).unwrap();
            carriers.push(header.id);
            weave.station().post_transaction(header).unwrap();
            for index in 0..composed.chunk_count() {
                let chunk = composed.chunk(index).unwrap();
                let posted = Posted {
                    data_root: chunk.data_root,
                    data_size: chunk.data_size,
                    data_path: chunk.data_path,
                    offset: chunk.offset,
                    chunk: Base64Url(chunk.chunk.0),
                };
                weave.station().post_chunk(check(posted).unwrap()).unwrap();
            }
            weave.mine(3).await.unwrap();
        }
        let log = items.iter().step_by(2).map(|item| item.id()).collect();
        Self { weave, hand: Arc::default(), process: items[0].id(), log, carriers }
    }

    fn client(&self, gateways: &[usize]) -> Client {
        let urls: Vec<String> = gateways.iter().map(|number| self.weave.gateway_url(*number)).collect();
        Client::new(&urls, &[], Vec::new(), self.hand.clone()).unwrap()
    }

    async fn command(&self, verb: &str, members: Value) {
        let command = serde_json::from_value(json!({ verb: members })).unwrap();
        self.weave.command(command).await.unwrap();
    }

    fn heights(&self) -> (u64, u64) {
        self.weave.station().chain(|chain| (chain.genesis().height, chain.tip().height))
    }

    /// Everything is read again, and is what was scheduled.
    async fn recovers(&self, client: &Client) {
        let (first, tip) = self.heights();
        let (mut found, mut scan, mut heard) = (BTreeSet::new(), Scan::at(first), 0);
        // Who lied or failed is left alone for a while; where too few are left to agree on a block, the scan goes on when they are asked again.
        for _ in 0..ROUNDS_MAX {
            match scan.run(client, tip, &mut found, |_| heard += 1).await {
                Ok(()) => break,
                Err(ScanError::NoBlock(_)) => self.later(),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((scan.next, heard), (tip + 1, tip - first + 1));
        self.is_whole(&self.fetched(client, found).await);
    }

    /// Fetches until nothing is missing.
    async fn fetched(&self, client: &Client, ids: BTreeSet<Id>) -> Depot {
        let mut depot = Depot::in_memory();
        for _ in 0..ROUNDS_MAX {
            if fetch(client, Some(&NETWORK), ids.clone(), &mut depot, |_| {}).await.unwrap().missing.is_empty() {
                return depot;
            }
            self.later();
        }
        panic!("something is missing for good");
    }

    /// An hour passes.
    fn later(&self) {
        self.hand.0.fetch_add(3_600_000, std::sync::atomic::Ordering::Relaxed);
    }

    fn log(&self, depot: &Depot) -> ao_arweave::recover::Log {
        let mut archive = Archive::default();
        depot.roots().for_each(|(number, _)| archive.take(glean(number, depot.root(number).unwrap()).unwrap()).unwrap());
        archive.log(&self.process, depot).unwrap()
    }

    fn is_whole(&self, depot: &Depot) {
        let log = self.log(depot);
        assert_eq!(log.entries.iter().map(|entry| entry.item).collect::<Vec<_>>(), self.log);
        assert_eq!(log.end, End::NoAssignment { slot: Slot(30), hole: false });
    }

    /// Everything that indexes know of the process.
    async fn sought(&self, client: &Client) -> Sought {
        let scheduler = Wallet::ed25519_from_seed(&[1; 32]).address();
        seek::assignments(client, &self.process, &scheduler, self.heights()).await.and(seek::items(client, &self.log).await)
    }
}

#[tokio::test]
async fn a_log_comes_back_from_the_chain_alone() {
    let world = World::start().await;
    world.recovers(&world.client(&[0])).await;
    world.recovers(&world.client(&[0, 1, 2])).await;
}

#[tokio::test]
async fn an_index_names_what_there_is_and_no_lie_of_it_adds_or_takes_anything() {
    let world = World::start().await;
    let carriers: BTreeSet<Id> = world.carriers.iter().copied().collect();
    let network = seek::network(&world.client(&[0]), &NETWORK, world.heights(), 1_000).await;
    assert_eq!((&network.carriers, network.answered), (&carriers, 1));
    let client = world.client(&[0, 1]);
    assert_eq!(world.sought(&client).await, Sought { carriers: carriers.clone(), answered: 2, cut: false });
    // One hides a bundle, its pages never end and come in another order; the other makes it good.
    let items: Vec<Id> = world.log.iter().chain(&world.carriers[1..2]).copied().collect();
    world.command("hide", json!({ "ids": items, "gateway": 0 })).await;
    world.command("endless", json!({ "on": true, "gateway": 0 })).await;
    world.command("reorder", json!({ "on": true, "gateway": 0 })).await;
    let sought = world.sought(&client).await;
    assert_eq!(sought.carriers, carriers);
    world.is_whole(&world.fetched(&client, sought.carriers).await);
    // Nobody but one that only fails: that is said.
    world.command("fail", json!({ "path": "/graphql", "status": 500, "gateway": 0 })).await;
    assert_eq!(world.sought(&world.client(&[0])).await, Sought::default());
    world.command("heal", json!({})).await;
    world
        .command("trouble", json!({ "rule": { "path": "/graphql", "trouble": { "huge": { "bytes": 1_u64 << 33 } } }, "gateway": 1 }))
        .await;
    assert_eq!(world.sought(&world.client(&[0, 1])).await, Sought { carriers, answered: 1, cut: false });
}

#[tokio::test]
async fn one_honest_gateway_among_liars_is_enough_for_data() {
    let world = World::start().await;
    for id in &world.carriers {
        world.command("corrupt", json!({ "id": id, "gateway": 0 })).await;
        world.command("hide", json!({ "ids": [id], "gateway": 1 })).await;
    }
    world.command("fail", json!({ "path": "/raw", "status": 503, "gateway": 1 })).await;
    world.recovers(&world.client(&[0, 1, 2])).await;
    // Pages for people, redirects to this machine's neighbours, answers without end: the others are asked.
    world.command("heal", json!({})).await;
    world.command("html_200", json!({ "path": "/tx", "gateway": 0 })).await;
    let rule = |trouble: Value| json!({ "rule": { "path": "/raw", "trouble": trouble }, "gateway": 0 });
    world.command("trouble", rule(json!({ "redirect": { "to": "http://169.254.169.254/" } }))).await;
    world.recovers(&world.client(&[0, 1, 2])).await;
    world.command("heal", json!({})).await;
    world.command("trouble", rule(json!({ "huge": { "bytes": 1_u64 << 33 } }))).await;
    world.recovers(&world.client(&[0, 1, 2])).await;
}

#[tokio::test]
async fn what_nobody_hands_out_is_missing_and_comes_later() {
    let world = World::start().await;
    let lost = world.carriers[1];
    world.command("withhold_chunks", json!({ "tx": lost })).await;
    let client = world.client(&[0, 1]);
    let (first, tip) = world.heights();
    let (mut found, mut depot) = (BTreeSet::new(), Depot::in_memory());
    Scan::at(first).run(&client, tip, &mut found, |_| {}).await.unwrap();
    let fetched = fetch(&client, Some(&NETWORK), found.clone(), &mut depot, |_| {}).await.unwrap();
    assert_eq!(fetched.missing, BTreeSet::from([lost]));
    let log = world.log(&depot);
    assert_eq!((log.entries.len(), log.end), (10, End::NoAssignment { slot: Slot(10), hole: true }), "it stops at the hole");
    world.command("heal", json!({})).await;
    world.later();
    let fetched = fetch(&client, Some(&NETWORK), found, &mut depot, |_| {}).await.unwrap();
    assert_eq!((fetched.missing.len(), fetched.new), (0, vec![2]), "what is here is not fetched again");
    world.is_whole(&depot);
}

#[tokio::test]
async fn a_gateway_that_is_behind_is_waited_for_and_a_fork_is_seen() {
    let world = World::start().await;
    let (first, tip) = world.heights();
    world.command("stale", json!({ "height": first + 2, "gateway": 1 })).await;
    let client = world.client(&[0, 1]);
    let (mut found, mut scan) = (BTreeSet::new(), Scan::at(first));
    // Two are configured, and one alone is not believed.
    let stopped = scan.run(&client, tip, &mut found, |_| {}).await;
    assert_eq!(stopped, Err(ScanError::NoBlock(first + 3)));
    world.command("heal", json!({})).await;
    world.later();
    scan.run(&client, tip - 1, &mut found, |_| {}).await.unwrap();
    world.command("reorg", json!({ "depth": 3, "keep": "all" })).await;
    let forked = scan.run(&client, tip, &mut found, |_| {}).await;
    assert_eq!(forked, Err(ScanError::Unlinked(tip)));
    world.recovers(&client).await;
}

#[tokio::test]
async fn a_header_that_nobody_paid_for_hides_no_data() {
    let world = World::start().await;
    let wallet = funded().unwrap();
    let composed = compose(&items(2)).unwrap();
    let (anchor, price) = world.weave.station().chain(|chain| (chain.anchor(), chain.price(composed.bytes.len() as u64, None)));
    let header = composed.header(&NETWORK, anchor.0, price).sign(&wallet).unwrap();
    let id = header.id;
    world.weave.station().post_transaction(header).unwrap();
    let client = world.client(&[0, 1]);
    let one = || BTreeSet::from([id]);
    assert_eq!(mined(&client, one(), world.heights().1).await, BTreeSet::new(), "it waits for a block");
    world.weave.mine(1).await.unwrap();
    world.later();
    let fetched = fetch(&client, Some(&NETWORK), [id], &mut Depot::in_memory(), |_| {}).await.unwrap();
    assert_eq!(fetched.missing, one(), "its header is there, its data is not");
    world.later();
    assert_eq!(mined(&client, fetched.missing, world.heights().1).await, one(), "it is in a block: what it carries is missing");
    // Where nobody answers, nobody says that it is in none.
    world.command("fail", json!({ "path": "/tx", "status": 503 })).await;
    world.later();
    assert_eq!(mined(&client, one(), world.heights().1).await, one());
}

#[tokio::test]
async fn what_is_known_to_exist_is_not_lost_sight_of() {
    let ids = || (0..RECOVER_MISSING_MAX as u64 + 3).map(|n| Id(ao_types::hash::sha256(&[&n.to_be_bytes()])));
    // The gateway says of each that it is nowhere.
    let world = World::start().await;
    let fetched = fetch(&world.client(&[0]), Some(&NETWORK), ids(), &mut Depot::in_memory(), |_| {}).await.unwrap();
    assert_eq!((fetched.unknown.len(), fetched.forgotten), (RECOVER_MISSING_MAX, 3), "whoever needs all of them can tell");
    // Nobody listens there: any may exist.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&[url], &[], Vec::new(), Arc::new(Hand::default())).unwrap();
    let silent = fetch_now(&client, Some(&NETWORK), ids(), &mut Depot::in_memory()).await;
    assert!(matches!(silent, Err(FetchError::Missing)), "{silent:?}");
}
