//! What may go wrong on the way to Arweave, each against the embedded chain with the real driver and the real client: nothing is lost,
//! nothing is called settled that is not, and no more is signed and paid than the rules allow.
//!
//! Time is a number that a test moves on; a block comes when the pipeline has come to rest.

mod common;

use std::sync::Arc;
use std::time::Duration;

use ao_arweave::client::Client;
use ao_arweave::driver::{Driver, Parcel, Parts, Standing};
use ao_arweave::pipeline::{Alarm, Budget, Covered, Settings, Shipment, Stage, Via};
use ao_types::hash::sha256;
use ao_types::{Canonical as _, Id, ItemBuilder, NetworkId, Signer as _, Slot, Wallet};
use ao_weave::keys::{FUNDED_WINSTON, funded};
use ao_weave::{Config, Weave};
use common::World;
use common::memory::Memory;
use serde_json::{Value, json};

const CONFIRMATIONS: u64 = 12;
const PATIENCE: Duration = Duration::from_secs(120);
const BLOCK_MS: u64 = 120_000;
const GATEWAYS: usize = 3;

struct Net {
    weave: Weave,
    world: Arc<World>,
    keeper: Arc<Memory>,
    wallet: Arc<Wallet>,
    driver: Driver,
}

impl Net {
    async fn start(via: Via, winston: u128) -> Self {
        Self::with(via, winston, Memory::default()).await
    }

    async fn with(via: Via, winston: u128, keeper: Memory) -> Self {
        let (wallet, world, keeper) = (Arc::new(funded().unwrap()), World::new(), Arc::new(keeper));
        let rich = vec![(wallet.address().as_id().unwrap(), winston)];
        let weave = Weave::start(Config { funded: rich, gateways: GATEWAYS, ..Config::default() }).await.unwrap();
        let urls: Vec<String> = (0..GATEWAYS).map(|number| weave.gateway_url(number)).collect();
        let keys = vec![Id(sha256(&[weave.station().bundler_key()]))];
        let services = if via == Via::Service { &urls[..2] } else { &[] };
        let parts = Parts {
            settings: Settings { via, copies: 2, confirmations: CONFIRMATIONS, budget: Budget { day_max: u128::MAX, floor: 0 } },
            network: NetworkId([1; 32]),
            signer: wallet.clone(),
            keeper: keeper.clone(),
            client: Client::new(&urls, services, keys, world.clone()).unwrap(),
            surroundings: world.clone(),
            tip_every: Duration::from_millis(5),
        };
        weave.mine(10).await.unwrap();
        let (driver, _task) = Driver::start(parts);
        Self { weave, world, keeper, wallet, driver }
    }

    async fn command(&self, verb: &str, members: Value) {
        let command = serde_json::from_value(json!({ verb: members })).unwrap();
        self.weave.command(command).await.unwrap();
    }

    async fn everywhere(&self, verb: &str, mut members: Value) {
        for gateway in 0..GATEWAYS {
            members["gateway"] = json!(gateway);
            self.command(verb, members.clone()).await;
        }
    }

    fn tip(&self) -> u64 {
        self.weave.station().chain(|chain| chain.tip().height)
    }

    /// Until the pipeline has nothing to do at this height.
    async fn quiet(&self) {
        let tip = self.tip();
        let quiet = |standing: &Standing| standing.busy == 0 && standing.summary.as_ref().is_some_and(|summary| summary.tip == tip);
        let mut standing = self.driver.standing();
        tokio::time::timeout(PATIENCE, standing.wait_for(quiet)).await.expect("it comes to rest").unwrap();
    }

    async fn block(&self) {
        self.weave.mine(1).await.unwrap();
        self.world.pass(BLOCK_MS);
    }

    fn settled(&self) -> usize {
        self.keeper.0.lock().settled.len()
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.keeper.0.lock().alarms.clone()
    }

    fn row(&self, number: u64) -> Shipment {
        Shipment::decode(&self.keeper.0.lock().rows[&number]).unwrap()
    }

    async fn settle(&self, shipments: usize, blocks_max: usize) {
        for _ in 0..blocks_max {
            self.quiet().await;
            self.check();
            if self.settled() == shipments {
                return;
            }
            self.block().await;
        }
        panic!("not settled: {:?} {:?}", *self.driver.standing().borrow(), self.alarms());
    }

    /// Whatever is called settled is in the chain, as deep as it must be.
    fn check(&self) {
        let settled: Vec<u64> = self.keeper.0.lock().settled.iter().copied().collect();
        for number in settled {
            let row = self.row(number);
            let place = row.stage.place().expect("what is settled is somewhere");
            let (tip, block) = self.weave.station().chain(|chain| (chain.tip().height, chain.block_at(place.height).cloned()));
            let block = block.expect("its block is there");
            assert!(block.transactions.contains(&place.transaction) && tip + 1 >= place.height + CONFIRMATIONS, "{row:?} at {tip}");
        }
    }

    /// Transactions of the wallet in the chain.
    fn paid(&self) -> usize {
        let owner = self.wallet.owner();
        self.weave.station().chain(|chain| {
            let all = chain.blocks().iter().flat_map(|block| &block.transactions);
            all.filter(
                |id| matches!(chain.standing(id), Some(ao_weave::chain::Standing::Mined(placed)) if placed.transaction.owner.0 == owner),
            )
            .count()
        })
    }

    async fn ship(&self, count: u8) {
        for number in 1..=count {
            // What is not remembered is still owed: the next look hands it in again.
            while self.driver.ship(parcel(number)).await.is_err() {}
        }
    }
}

fn parcel(number: u8) -> Parcel {
    let wallet = Wallet::ed25519_from_seed(&[number; 32]);
    let item = |n: u8| ItemBuilder::new().tag("Type", "Message").data(vec![n; 200_000]).sign(&wallet).unwrap();
    let covered = vec![Covered { process: Id([number; 32]), from: Slot(0), to: Slot(1) }];
    Parcel { items: vec![item(0), item(1)], records: Vec::new(), covered, since_ms: 0 }
}

async fn rich() -> Net {
    Net::start(Via::Chain, FUNDED_WINSTON).await
}

#[tokio::test]
async fn reorganisations_of_one_and_of_ten_blocks() {
    for (depth, keep) in [(1, "all"), (1, "none"), (10, "all"), (10, "none")] {
        let net = rich().await;
        net.ship(3).await;
        net.quiet().await;
        for _ in 0..depth {
            net.block().await;
            net.quiet().await;
        }
        assert_eq!(net.settled(), 0);
        net.command("reorg", json!({ "depth": depth, "keep": keep })).await;
        net.settle(3, 60).await;
        assert_eq!((net.paid(), net.alarms()), (3, vec![]), "depth {depth}, {keep}");
        assert!((1..=3).all(|number| net.row(number).carriers.len() == 1), "the same bytes are posted again");
    }
}

#[tokio::test]
async fn a_third_of_all_transactions_dropped() {
    let net = rich().await;
    net.command("drop", json!({ "probability": 0.3 })).await;
    net.ship(8).await;
    // What the chain lost once it loses again: only what is signed anew gets through, every fifty blocks.
    net.settle(8, 600).await;
    assert_eq!((net.paid(), net.alarms()), (8, vec![]));
}

#[tokio::test]
async fn gateways_that_are_down_for_ten_minutes() {
    for blocks_before in [0, 2] {
        let net = rich().await;
        for _ in 0..blocks_before {
            net.quiet().await;
            net.block().await;
        }
        net.ship(2).await;
        let rule = json!({ "rule": { "path": "/", "trouble": { "status": { "status": 503 } } } });
        net.everywhere("trouble", rule).await;
        for _ in 0..5 {
            // Nobody answers, so nothing is heard of these blocks: ten minutes pass.
            net.block().await;
        }
        assert_eq!(net.settled(), 0);
        net.command("heal", json!({})).await;
        net.settle(2, 60).await;
        assert_eq!((net.paid(), net.alarms()), (2, vec![]));
    }
}

#[tokio::test]
async fn gateways_that_hand_out_other_bytes() {
    let net = rich().await;
    net.ship(1).await;
    net.quiet().await;
    let id = net.row(1).carriers[0].id;
    net.everywhere("corrupt", json!({ "id": id })).await;
    for _ in 0..CONFIRMATIONS + 3 {
        net.block().await;
        net.quiet().await;
    }
    assert!(matches!(net.row(1).stage, Stage::Mined(_)), "deep enough, and nobody hands it out: {:?}", net.row(1).stage);
    net.command("heal", json!({})).await;
    net.settle(1, 60).await;
    assert_eq!(net.paid(), 1);
}

#[tokio::test]
async fn a_service_that_takes_items_and_loses_them() {
    let net = Net::start(Via::Service, 0).await;
    net.command("bundler_lose", json!({ "probability": 1.0 })).await;
    net.ship(1).await;
    net.quiet().await;
    assert_eq!(net.row(1).copies.len(), 1);
    // It has until its deadline; half way the other one gets the item too, and loses it as well.
    let mut blocks = 0;
    while !net.alarms().contains(&Alarm::Breach) {
        net.weave.mine(10).await.unwrap();
        net.world.pass(10 * BLOCK_MS);
        net.quiet().await;
        blocks += 10;
        assert!(blocks < 300, "{:?}", net.row(1));
    }
    assert!((200..=230).contains(&blocks), "{blocks}");
    let row = net.row(1);
    assert_eq!((row.broken.len(), row.copies.len(), row.carriers.len()), (1, 1, 1));
    net.command("heal", json!({})).await;
    net.command("bundler_lose", json!({ "probability": 0.0 })).await;
    net.settle(1, 400).await;
    assert_eq!(net.row(1).carriers.len(), 1, "the very same item");
}

#[tokio::test]
async fn death_after_every_single_write() {
    let mut writes = 0;
    for dies_after in 1.. {
        let keeper = Memory::default();
        keeper.0.lock().dies_after = Some(dies_after);
        let net = Net::with(Via::Chain, FUNDED_WINSTON, keeper).await;
        // Died while the shipment was being remembered: what became of it is in the rows.
        if net.driver.ship(parcel(1)).await.is_err() {
            assert_eq!(net.keeper.0.lock().rows.len(), 1);
        }
        net.settle(1, 60).await;
        assert!(net.paid() == 1 && net.alarms().is_empty(), "dead after write {dies_after}: {} paid", net.paid());
        if net.keeper.0.lock().dies_after.is_some() {
            break;
        }
        writes = dies_after;
    }
    assert!(writes >= 8, "every state was written: {writes}");
}

#[tokio::test]
async fn an_empty_wallet_and_a_full_disk_wait_and_say_so() {
    let net = Net::start(Via::Chain, 1).await;
    net.ship(2).await;
    for _ in 0..3 {
        net.quiet().await;
        net.block().await;
    }
    assert_eq!((net.paid(), net.alarms()), (0, vec![Alarm::Balance]));
    let address = net.wallet.address().as_id().unwrap();
    net.command("mint", json!({ "address": address, "winston": FUNDED_WINSTON.to_string() })).await;
    // Just when it could go on, the disk is full.
    net.keeper.0.lock().full = true;
    net.world.pass(600_000);
    let unkept = |standing: &Standing| standing.unkept.is_some();
    let mut standing = net.driver.standing();
    tokio::time::timeout(PATIENCE, standing.wait_for(unkept)).await.expect("it says so").unwrap();
    assert!(net.driver.ship(parcel(3)).await.is_err(), "nothing is taken that is not remembered");
    assert_eq!(net.paid(), 0, "nothing leaves before it is remembered");
    net.keeper.0.lock().full = false;
    net.settle(2, 60).await;
    assert_eq!(net.paid(), 2);
}
