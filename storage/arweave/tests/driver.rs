//! The driver over HTTP, with a keeper that forgets nothing and sometimes refuses: from items to settled, paid once.

mod common;

use std::sync::Arc;
use std::time::Duration;

use ao_arweave::client::Client;
use ao_arweave::driver::{Driver, Parcel, Parts, ShipError, Standing};
use ao_arweave::pipeline::{Alarm, Budget, Covered, Settings, Shipment, Stage, Via};
use ao_types::{Canonical as _, Id, ItemBuilder, NetworkId, Slot, Wallet};
use common::memory::Memory;
use common::{Chain, Gateway, World, wallet};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

const CONFIRMATIONS: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(120);

struct Net {
    chain: Arc<Mutex<Chain>>,
    gateways: Vec<Arc<Gateway>>,
    world: Arc<World>,
    keeper: Arc<Memory>,
    wallet: Arc<Wallet>,
    budget: Budget,
}

impl Net {
    async fn new() -> Self {
        let chain = Chain::new();
        let gateways = vec![Gateway::start(&chain).await, Gateway::start(&chain).await];
        let wallet = Arc::new(wallet(0));
        let budget = Budget { day_max: 1_000_000, floor: 1000 };
        Self { chain, gateways, world: World::new(), keeper: Arc::default(), wallet, budget }
    }

    fn driver(&self) -> Driver {
        self.start().0
    }

    fn start(&self) -> (Driver, JoinHandle<()>) {
        let urls: Vec<String> = self.gateways.iter().map(|gateway| gateway.url.clone()).collect();
        let parts = Parts {
            settings: Settings { via: Via::Chain, copies: 2, confirmations: CONFIRMATIONS, budget: self.budget },
            network: NetworkId([1; 32]),
            signer: self.wallet.clone(),
            keeper: self.keeper.clone(),
            client: Client::new(&urls, &[], Vec::new(), self.world.clone()).unwrap(),
            surroundings: self.world.clone(),
            tip_every: Duration::from_millis(10),
        };
        Driver::start(parts)
    }

    /// The chain grows by one block, and everything that follows from it has happened.
    async fn block(&self, driver: &Driver) {
        self.chain.lock().mine();
        self.quiet(driver).await;
    }

    async fn quiet(&self, driver: &Driver) {
        let tip = self.chain.lock().tip();
        let quiet = |standing: &Standing| standing.busy == 0 && standing.summary.as_ref().is_some_and(|summary| summary.tip == tip);
        let mut standing = driver.standing();
        tokio::time::timeout(PATIENCE, standing.wait_for(quiet)).await.expect("it comes to rest").unwrap();
    }

    async fn settle(&self, driver: &Driver, shipments: usize) {
        for _ in 0..60 {
            if self.keeper.0.lock().settled.len() == shipments {
                return;
            }
            self.block(driver).await;
        }
        panic!("not settled: {:?}", *driver.standing().borrow());
    }
}

fn parcel(number: u8, bytes: usize) -> Parcel {
    let wallet = Wallet::ed25519_from_seed(&[number; 32]);
    let item = |n: u8| ItemBuilder::new().tag("Type", "Message").data(vec![n; bytes]).sign(&wallet).unwrap();
    let covered = vec![Covered { process: Id([number; 32]), from: Slot(0), to: Slot(1) }];
    Parcel { items: vec![item(0), item(1)], records: Vec::new(), covered, since_ms: 0 }
}

/// Winston for a bundle of so many chunks.
fn reward(chunks: u128) -> u128 {
    chunks * 1150
}

#[tokio::test]
async fn parcels_settle_and_are_paid_once() {
    let net = Net::new().await;
    let driver = net.driver();
    assert_eq!(driver.ship(parcel(1, 1000)).await.unwrap(), 1);
    assert_eq!(driver.ship(parcel(2, 300_000)).await.unwrap(), 2);
    net.settle(&driver, 2).await;
    assert_eq!(net.chain.lock().paid, reward(1) + reward(3));
    let kept = net.keeper.0.lock();
    assert_eq!((kept.spent.winston, kept.alarms.len()), (reward(1) + reward(3), 0));
    for row in kept.rows.values() {
        let row = Shipment::decode(row).unwrap();
        assert!(matches!(row.stage, Stage::Settled(..)) && row.copies.len() == 2 && row.carriers.len() == 1, "{row:?}");
    }
}

#[tokio::test]
async fn a_store_that_refuses_and_a_node_that_dies_cost_nothing_twice() {
    let net = Net::new().await;
    net.keeper.0.lock().refuse_every = 5;
    let (mut driver, mut task) = net.start();
    for number in 1..4 {
        // What is not remembered is still owed: it is handed in again.
        loop {
            match driver.ship(parcel(number, 1000)).await {
                Ok(_) => break,
                Err(ShipError::Keep(_)) => continue,
                Err(other) => panic!("{other}"),
            }
        }
    }
    for _ in 0..100 {
        if net.keeper.0.lock().settled.len() == 3 {
            break;
        }
        net.block(&driver).await;
        // As after kill -9, wherever it is.
        task.abort();
        drop(task.await);
        (driver, task) = net.start();
    }
    let kept = net.keeper.0.lock();
    assert_eq!(kept.settled.len(), 3);
    assert_eq!(net.chain.lock().paid, 3 * reward(1));
}

#[tokio::test]
async fn a_block_that_is_replaced_takes_the_slots_back_until_it_is_deep_again() {
    let net = Net::new().await;
    let driver = net.driver();
    driver.ship(parcel(1, 1000)).await.unwrap();
    for _ in 0..4 {
        net.quiet(&driver).await;
        net.block(&driver).await;
    }
    assert!(net.keeper.0.lock().settled.is_empty());
    net.chain.lock().reorganise(4);
    net.settle(&driver, 1).await;
    let reorgs = driver.standing().borrow().summary.as_ref().unwrap().counts.reorgs;
    assert!(reorgs >= 1);
    assert_eq!(net.chain.lock().paid, reward(1));
}

#[tokio::test]
async fn what_cannot_be_paid_waits_and_says_so() {
    let mut net = Net::new().await;
    net.chain.lock().balance = 2000;
    net.budget.floor = 1000;
    let driver = net.driver();
    driver.ship(parcel(1, 1000)).await.unwrap();
    let held = |alarm| move |standing: &Standing| standing.summary.as_ref().is_some_and(|summary| summary.hold == Some(alarm));
    let wait =
        async |alarm| drop(tokio::time::timeout(PATIENCE, driver.standing().wait_for(held(alarm))).await.expect("it says so").unwrap());
    wait(Alarm::Balance).await;
    assert_eq!(net.keeper.0.lock().alarms, [Alarm::Balance]);
    assert!(net.chain.lock().pool.is_empty());
    // Filled up, but not beyond what may be spent in a day. The pipeline's hold ends by the clock, which a new height makes it look at.
    net.chain.lock().balance = 10_000_000;
    net.world.pass(600_000);
    net.settle(&driver, 1).await;
    assert_eq!(net.chain.lock().paid, reward(1));
}

#[tokio::test]
async fn a_day_costs_no_more_than_it_may() {
    let mut net = Net::new().await;
    net.budget.day_max = reward(1) + reward(1) / 2;
    let driver = net.driver();
    driver.ship(parcel(1, 1000)).await.unwrap();
    driver.ship(parcel(2, 1000)).await.unwrap();
    net.settle(&driver, 1).await;
    assert_eq!(net.keeper.0.lock().alarms, [Alarm::Cap]);
    assert_eq!(driver.standing().borrow().summary.as_ref().unwrap().hold, Some(Alarm::Cap));
    assert_eq!(net.chain.lock().paid, reward(1));
    // The next day.
    net.world.pass(86_400_000);
    net.settle(&driver, 2).await;
    assert_eq!(net.chain.lock().paid, 2 * reward(1));
}
