//! Gateways that fail, lie, and send elsewhere: what comes back is right or is not there (F34, F36, F41).

mod common;

use std::sync::Arc;

use ao_arweave::client::Client;
use ao_arweave::compose::{Composed, compose};
use ao_arweave::gateways::Health;
use ao_arweave::pipeline::{Answer, Held, Known, Place, Posted, Seeded};
use ao_types::hash::sha256;
use ao_types::receipt::Receipt;
use ao_types::transaction::{Base64Url, Transaction};
use ao_types::{Id, ItemBuilder, NetworkId, Signer as _, Wallet};
use bytes::Bytes;
use common::{Chain, Gateway, World, wallet};
use parking_lot::Mutex;
use serde_json::json;

struct Net {
    chain: Arc<Mutex<Chain>>,
    gateways: Vec<Arc<Gateway>>,
    world: Arc<World>,
    client: Client,
}

impl Net {
    async fn new(count: usize) -> Self {
        let chain = Chain::new();
        let mut gateways = Vec::new();
        for _ in 0..count {
            gateways.push(Gateway::start(&chain).await);
        }
        let world = World::new();
        let urls: Vec<String> = gateways.iter().map(|gateway| gateway.url.clone()).collect();
        let client = Client::new(&urls, &[], Vec::new(), world.clone()).unwrap();
        Self { chain, gateways, world, client }
    }

    fn tip(&self) -> u64 {
        self.chain.lock().tip()
    }

    fn last(&self, gateway: usize) -> Option<Health> {
        self.world.last(&self.gateways[gateway].url)
    }

    /// A bundle of several chunks, posted, uploaded and mined.
    async fn anchored(&self) -> (Transaction, Composed) {
        let item = ItemBuilder::new().data(vec![7; 700_000]).sign(&Wallet::ed25519_from_seed(&[1; 32])).unwrap();
        let composed = compose(&[item]).unwrap();
        let wallet = wallet(0);
        let address = wallet.address().as_id().unwrap();
        let quoted = self.client.quote(&address, composed.bytes.len() as u64, self.tip()).await.unwrap();
        let Answer::Quoted { price, anchor, .. } = quoted else { panic!("{quoted:?}") };
        let transaction = composed.header(&NetworkId([1; 32]), anchor, price).sign(&wallet).unwrap();
        let header = Bytes::from(serde_json::to_vec(&transaction).unwrap());
        let posted = self.client.post_transaction(header.clone(), &[]).await;
        let Answer::Posted { endpoint, outcome: Posted::Taken(None) } = posted else { panic!("{posted:?}") };
        // A second time is no mistake.
        let again = self.client.post_transaction(header, std::slice::from_ref(&endpoint)).await;
        assert!(matches!(again, Answer::Posted { outcome: Posted::Taken(None), .. }), "{again:?}");
        assert_eq!(self.client.known(&transaction.id, self.tip()).await, Some(Known::Pending));
        assert_eq!(self.client.post_chunks(&endpoint, &composed, 0, 2).await, Seeded::Taken(2));
        assert_eq!(self.client.post_chunks(&endpoint, &composed, 2, 9).await, Seeded::Taken(1));
        self.chain.lock().mine();
        (transaction, composed)
    }
}

#[tokio::test]
async fn data_is_what_was_stored_or_is_not_there() {
    let net = Net::new(2).await;
    let (transaction, composed) = net.anchored().await;
    let (id, root, size) = (transaction.id, composed.root(), composed.bytes.len() as u64);
    let read = || net.client.data(&id, &root, size, &[]);
    assert_eq!(read().await, Some(composed.bytes.clone()));
    net.gateways[0].with(|faults| faults.wrong_data = true);
    assert_eq!(read().await, Some(composed.bytes.clone()), "the other one has it");
    assert_eq!(net.last(0), Some(Health::Lied));
    net.gateways[1].with(|faults| faults.wrong_data = true);
    assert_eq!(read().await, None);
    assert_eq!(net.last(1), Some(Health::Lied));
    // Both are left alone for ten minutes, and asked again then.
    let hits = net.gateways[0].hits() + net.gateways[1].hits();
    net.gateways.iter().for_each(|gateway| gateway.with(|faults| (faults.wrong_data, faults.chunks_only) = (false, true)));
    assert_eq!(read().await, None);
    assert_eq!(net.gateways[0].hits() + net.gateways[1].hits(), hits);
    net.world.pass(600_000);
    assert_eq!(read().await, Some(composed.bytes.clone()), "chunk by chunk, where nobody serves it whole");
    net.gateways[0].with(|faults| faults.wrong_data = true);
    assert_eq!(read().await, Some(composed.bytes.clone()), "forged chunks are asked for elsewhere");
    assert_eq!(net.client.data(&id, &[9; 32], size, &[]).await, None, "of another root there is nothing");
    assert_eq!(net.client.data(&id, &root, u64::MAX, &[]).await, None, "more than is ever read is not begun");
    assert_eq!(net.client.transaction(&Id([5; 32])).await, None);
}

#[tokio::test]
async fn one_source_moves_no_height_and_makes_no_block() {
    let net = Net::new(2).await;
    let (transaction, _) = net.anchored().await;
    assert_eq!(net.client.transaction(&transaction.id).await.unwrap(), transaction);
    assert_eq!(net.client.tip().await, Some(net.tip()));
    net.gateways[0].with(|faults| faults.ahead = 1_000_000);
    assert_eq!(net.client.tip().await, Some(net.tip()));
    net.gateways[1].with(|faults| faults.down = true);
    assert_eq!(net.client.tip().await, None, "one alone is not believed");
    assert_eq!(net.last(1), Some(Health::Failed));
    net.gateways[1].with(|faults| (faults.down, faults.blind) = (false, true));
    net.world.pass(60_000);
    let Some(Known::Mined(place)) = net.client.known(&transaction.id, net.tip()).await else { panic!("it is mined") };
    assert_eq!((place.height, place.transaction), (net.tip(), transaction.id));
    assert_eq!(net.client.held(&place).await, Some(Held::Holds));
    let elsewhere = Place { height: place.height - 1, ..place.clone() };
    assert_eq!(net.client.held(&elsewhere).await, Some(Held::Gone));
    // Unknown is what two say that have the chain so far.
    let nowhere = Id([9; 32]);
    assert_eq!(net.client.known(&nowhere, net.tip()).await, Some(Known::Unknown));
    assert_eq!(net.client.known(&nowhere, net.tip() + 1).await, None, "one of them is behind");
    net.chain.lock().reorganise(1);
    assert_eq!(net.client.held(&place).await, Some(Held::Gone));
}

#[tokio::test]
async fn pages_for_people_and_pages_without_an_end_are_no_answers() {
    let net = Net::new(3).await;
    net.gateways[0].with(|faults| faults.html = true);
    net.gateways[1].with(|faults| faults.endless = true);
    assert_eq!(net.client.tip().await, None, "of three, two must say it");
    assert_eq!((net.last(0), net.last(1), net.last(2)), (Some(Health::Lied), Some(Health::Lied), Some(Health::Answered)));
    net.gateways[0].with(|faults| faults.html = false);
    net.world.pass(600_000);
    net.gateways[1].with(|faults| (faults.endless, faults.status) = (false, Some((429, Some(40)))));
    assert_eq!(net.client.tip().await, Some(net.tip()));
    assert_eq!(net.last(1), Some(Health::Busy(Some(40_000))));
    let hits = net.gateways[1].hits();
    net.world.pass(30_000);
    assert_eq!(net.client.tip().await, Some(net.tip()));
    assert_eq!(net.gateways[1].hits(), hits, "it asked to be left alone for forty seconds");
    net.world.pass(11_000);
    assert_eq!(net.client.tip().await, Some(net.tip()));
    assert!(net.gateways[1].hits() > hits);
}

#[tokio::test]
async fn nobody_is_sent_to_this_machine() {
    let net = Net::new(1).await;
    // On loopback as the gateway is, but not configured: nobody may come here.
    let canary = Gateway::start(&net.chain).await;
    let (port, address) = (canary.url.rsplit(':').next().unwrap(), net.gateways[0].url.clone());
    for to in [
        format!("{}/info", canary.url),
        format!("http://localhost:{port}/info"),
        format!("http://2130706433:{port}/info"),
        format!("http://[::ffff:127.0.0.1]:{port}/info"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        format!("{address}/info"),
    ] {
        net.gateways[0].with(|faults| faults.redirect = Some(to.clone()));
        assert_eq!(net.client.tip().await, None, "{to}");
        assert_eq!(net.last(0), Some(Health::Lied), "{to}: a way to this machine, or around in a circle");
        net.world.pass(600_000);
    }
    assert_eq!(canary.hits(), 0);
}

#[tokio::test]
async fn prices_that_are_far_apart_and_anchors_of_nowhere_are_not_used() {
    let net = Net::new(2).await;
    let wallet = Id([1; 32]);
    assert!(net.client.quote(&wallet, 1, net.tip()).await.is_some());
    assert_eq!(net.client.quote(&wallet, 1, net.tip() + 60).await, None, "the anchor is older than fifty blocks");
    assert_eq!(net.client.quote(&wallet, 1, 0).await, None, "the anchor is newer than the chain");
    assert_eq!(net.client.balance(&wallet).await, Some(1_000_000_000));
    net.gateways.iter().for_each(|gateway| gateway.with(|faults| faults.status = Some((500, None))));
    assert_eq!(net.client.quote(&wallet, 1, net.tip()).await, None);
}

fn receipt(wallet: &Wallet, id: String, deadline_height: u64) -> Receipt {
    let mut receipt = Receipt {
        id,
        timestamp: 1_700_000_000_000,
        version: "0.2.0".into(),
        deadline_height,
        public: Base64Url(wallet.owner().to_vec()),
        signature: Base64Url(Vec::new()),
    };
    receipt.signature = Base64Url(wallet.sign(&receipt.signed_digest()).unwrap());
    receipt
}

#[tokio::test]
async fn a_receipt_counts_from_the_pinned_key_for_this_item_and_no_other() {
    let chain = Chain::new();
    let (service, world) = (Gateway::start(&chain).await, World::new());
    let (pinned, stranger) = (wallet(0), wallet(1));
    let key = Id(sha256(&[pinned.owner()]));
    let client = Client::new(&[], std::slice::from_ref(&service.url), vec![key], world.clone()).unwrap();
    let item = ItemBuilder::new().data("x").sign(&Wallet::ed25519_from_seed(&[1; 32])).unwrap();
    let post = async |receipt: serde_json::Value| {
        service.with(|faults| faults.receipt = Some(receipt));
        let answer = client.post_item(&item.id(), item.as_bytes().clone(), &[], 100).await;
        world.pass(600_000);
        let Answer::Posted { endpoint, outcome } = answer else { panic!("{answer:?}") };
        assert_eq!(endpoint, service.url);
        outcome
    };
    let good = receipt(&pinned, item.id().to_string(), 300);
    match post(json!(good)).await {
        Posted::Taken(Some(promise)) => {
            assert_eq!((promise.given, promise.deadline), (100, 300));
            assert_eq!(serde_json::from_slice::<Receipt>(&promise.receipt).unwrap(), good);
        }
        other => panic!("{other:?}"),
    }
    for bad in [
        receipt(&stranger, item.id().to_string(), 300),
        receipt(&pinned, Id([1; 32]).to_string(), 300),
        receipt(&pinned, item.id().to_string(), 100),
        Receipt { deadline_height: 301, ..good.clone() },
        Receipt { public: Base64Url(stranger.owner().to_vec()), ..good.clone() },
    ] {
        assert!(matches!(post(json!(bad)).await, Posted::Refused(_)), "{bad:?}");
        assert_eq!(world.last(&service.url), Some(Health::Lied));
    }
    assert!(matches!(post(json!({ "id": 1 })).await, Posted::Refused(_)));
    service.with(|faults| (faults.receipt, faults.status) = (None, Some((402, None))));
    let answer = client.post_item(&item.id(), item.as_bytes().clone(), &[], 100).await;
    assert!(matches!(answer, Answer::Posted { outcome: Posted::Refused(_), .. }), "no credit: {answer:?}");
    let nobody = client.post_item(&item.id(), item.as_bytes().clone(), std::slice::from_ref(&service.url), 100).await;
    assert_eq!(nobody, Answer::Posted { endpoint: String::new(), outcome: Posted::Failed });
}
