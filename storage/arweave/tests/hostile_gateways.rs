//! Gateways that fail, lie, and send elsewhere: what comes back is right or is not there (F34, F36, F41).

mod common;

use std::sync::Arc;

use ao_arweave::client::{Client, Header, signed_data};
use ao_arweave::compose::{Composed, compose};
use ao_arweave::gateways::Health;
use ao_arweave::limits::PROMISE_BLOCKS;
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

fn quoted(answer: Option<Answer>) -> Option<(u128, [u8; 48], u64, u128)> {
    let Answer::Quoted { price, anchor, anchor_height, balance } = answer? else { panic!("no quote") };
    Some((price, anchor, anchor_height, balance))
}

#[tokio::test]
async fn no_gateway_alone_says_what_it_costs_or_what_to_be_anchored_to() {
    let net = Net::new(3).await;
    let wallet = Id([1; 32]);
    let quote = async |tip| quoted(net.client.quote(&wallet, 1, tip).await);
    let anchor: [u8; 48] = net.chain.lock().blocks[3].0.clone().try_into().unwrap();
    let right = Some((1000, anchor, net.tip() - 6, 1_000_000_000));
    assert_eq!(quote(net.tip()).await, right);
    net.gateways[0].with(|faults| (faults.branch, faults.dear, faults.poor) = (true, Some(1_000_000), true));
    assert_eq!(quote(net.tip()).await, right, "one of three changes nothing");
    assert_eq!(net.client.balance(&wallet).await, Some(1_000_000_000));
    net.gateways[2].with(|faults| faults.down = true);
    assert_eq!(quote(net.tip()).await, None, "two are left, and do not agree about the chain");
    net.gateways[0].with(|faults| faults.branch = false);
    net.world.pass(60_000);
    assert_eq!(quote(net.tip()).await, Some((2000, anchor, net.tip() - 6, 1_000_000_000)), "and one of two makes it twice as dear at most");
    net.gateways[0].with(|faults| faults.dear = Some(0));
    net.world.pass(60_000);
    assert_eq!(quote(net.tip()).await, None, "a price of nothing is a lie, and one alone is not believed");
    assert!(net.world.heard.lock().contains(&(net.gateways[0].url.clone(), Health::Lied)));
    // A chain that has just begun has no block six deep.
    let young = Net::new(2).await;
    let first = young.tip() - 9;
    let tip: [u8; 48] = young.chain.lock().blocks[2].0.clone().try_into().unwrap();
    let found = quoted(young.client.quote(&wallet, 1, first + 2).await).unwrap();
    assert_eq!((found.1, found.2), (tip, first + 2));
    assert_eq!(quoted(young.client.quote(&wallet, 1, young.tip() + 60).await), None, "of a block that nobody has");
}

#[tokio::test]
async fn a_dispute_about_a_block_is_neither_mined_nor_lost() {
    let net = Net::new(2).await;
    let (transaction, _) = net.anchored().await;
    let (id, tip) = (transaction.id, net.tip());
    // It is mined. One gateway shows it, the other one is down: nobody may conclude that it is in no block.
    net.gateways[1].with(|faults| faults.down = true);
    assert_eq!(net.client.known(&id, tip).await, Some(Known::Disputed));
    net.gateways[1].with(|faults| (faults.down, faults.blind, faults.branch) = (false, true, true));
    net.world.pass(60_000);
    assert_eq!(net.client.known(&id, tip).await, Some(Known::Disputed), "or says otherwise");
    // One says that a transaction waits, and nobody else answers: that is no quorum for being in no block.
    net.gateways[0].with(|faults| faults.down = true);
    assert_eq!(net.client.known(&Id([9; 32]), tip).await, None);

    // Of three, two refute one that invents a block.
    let net = Net::new(3).await;
    let nowhere = Id([9; 32]);
    net.gateways[0].with(|faults| (faults.branch, faults.claims_mined) = (true, Some(net.tip())));
    assert_eq!(net.client.known(&nowhere, net.tip()).await, Some(Known::Unknown));
    net.gateways[1].with(|faults| faults.down = true);
    assert_eq!(net.client.known(&nowhere, net.tip()).await, None, "the one that is left does not say alone that it is in no block");
}

#[tokio::test]
async fn an_index_is_a_hint_and_the_bytes_decide() {
    let net = Net::new(2).await;
    let key = Wallet::ed25519_from_seed(&[1; 32]);
    let inner = compose(&[ItemBuilder::new().data(vec![1; 300_000]).sign(&key).unwrap()]).unwrap();
    let carrier = inner.item(&NetworkId([1; 32])).sign(&key).unwrap();
    // What a service makes of it: a bundle within a bundle, beside items of others.
    let others = |n: u8| ItemBuilder::new().data(vec![n; 1000]).sign(&Wallet::ed25519_from_seed(&[n; 32])).unwrap();
    let middle = compose(&[others(2), carrier.clone()]).unwrap().item(&NetworkId([2; 32])).sign(&key).unwrap();
    let outer = compose(&[others(3), middle.clone(), others(4)]).unwrap();
    let post = async |bundle: &Composed| {
        let anchor = quoted(net.client.quote(&Id([1; 32]), 1, net.tip()).await).unwrap().1;
        let header = bundle.header(&NetworkId([2; 32]), anchor, 3000).sign(&wallet(0)).unwrap();
        let body = Bytes::from(serde_json::to_vec(&header).unwrap());
        let posted = net.client.post_transaction(body, &[]).await;
        let Answer::Posted { endpoint, outcome: Posted::Taken(None) } = posted else { panic!("{posted:?}") };
        let chunks = bundle.chunk_count() as u32;
        assert_eq!(net.client.post_chunks(&endpoint, bundle, 0, chunks).await, Seeded::Taken(chunks));
        header.id
    };
    let (right, wrong) = (post(&outer).await, post(&compose(&[others(5)]).unwrap()).await);
    net.chain.lock().mine();
    let (id, tip) = (carrier.id(), net.tip());
    let says = |gateway: usize, transaction: Id, parent: Id| {
        let rows = [(id, (Some(parent), Some(tip))), (middle.id(), (Some(transaction), Some(tip))), (transaction, (None, Some(tip)))];
        net.gateways[gateway].with(|faults| faults.index = rows.into());
    };
    assert_eq!(net.client.known_item(&id).await, Some(Known::Unknown));
    // One of them names a transaction that is in a block, and has nothing to do with it.
    says(0, wrong, wrong);
    assert_eq!(net.client.known_item(&id).await, Some(Known::Pending), "not mined, whoever says so");
    says(0, wrong, middle.id());
    says(1, right, right);
    assert_eq!(net.client.known_item(&id).await, Some(Known::Pending), "the right transaction, and the item is not where it is said to be");
    says(1, right, middle.id());
    let Some(Known::Mined(place)) = net.client.known_item(&id).await else { panic!("it is mined") };
    assert_eq!((place.height, place.transaction, place.carrier), (tip, right, id));
    assert_eq!(net.client.item_data(&place, &[]).await, Some(inner.bytes.clone()));
    let elsewhere = Place { transaction: wrong, ..place.clone() };
    assert_eq!(net.client.item_data(&elsewhere, &[]).await, None);
    net.gateways.iter().for_each(|gateway| gateway.with(|faults| faults.wrong_data = true));
    assert_eq!(net.client.item_data(&place, &[]).await, None, "forged chunks prove nothing");
}

#[tokio::test]
async fn transactions_of_other_kinds_are_no_lies_and_nothing_of_ours_hides_as_one() {
    let net = Net::new(2).await;
    let (ours, _) = net.anchored().await;
    // A key of another kind, and format 1: short, and with its data inside.
    let signature = Base64Url(vec![7; 65]);
    let other = Transaction { format: 2, id: Id(sha256(&[&signature.0])), signature, ..Transaction::default() };
    let old = |bytes: usize| {
        let signature = Base64Url(vec![bytes as u8; 512]);
        let (id, number) = (Id(sha256(&[&signature.0])), "0".to_owned());
        Transaction { format: 1, id, signature, data: Base64Url(vec![1; bytes]), reward: number, ..Transaction::default() }
    };
    for foreign in [&other, &old(10), &old(100_001)] {
        net.chain.lock().foreign.insert(foreign.id, serde_json::to_string(foreign).unwrap());
        assert_eq!(net.client.header(&foreign.id).await, Some(Header::Foreign));
        assert_eq!((net.last(0), net.last(1).unwrap_or(Health::Answered)), (Some(Health::Answered), Health::Answered));
    }
    assert!(signed_data(&ours).is_some());
    assert_eq!(signed_data(&Transaction { format: 1, ..ours.clone() }), None, "a signature of format 1 covers no root");
    // Who shows ours as one of those is not believed alone.
    net.gateways[0].with(|faults| faults.old = true);
    assert_eq!(net.client.header(&ours.id).await, Some(Header::Signed(Box::new(ours.clone()))));
    net.gateways[1].with(|faults| faults.down = true);
    assert_eq!(net.client.header(&ours.id).await, None);
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
    // It has the item already and gives no receipt: it has the usual time, and no more.
    service.with(|faults| (faults.receipt, faults.answer) = (None, Some((202, "{}"))));
    let answer = client.post_item(&item.id(), item.as_bytes().clone(), &[], 100).await;
    let Answer::Posted { outcome: Posted::Taken(Some(promise)), .. } = answer else { panic!("{answer:?}") };
    assert_eq!((promise.due(), promise.receipt.len()), (100 + PROMISE_BLOCKS, 0));
    service.with(|faults| faults.answer = None);
    // A deadline beyond all others is ours to shorten.
    let Posted::Taken(Some(promise)) = post(json!(receipt(&pinned, item.id().to_string(), u64::MAX))).await else { panic!("no promise") };
    assert_eq!((promise.deadline, promise.due()), (u64::MAX, 100 + PROMISE_BLOCKS));
    service.with(|faults| (faults.receipt, faults.status) = (None, Some((402, None))));
    let answer = client.post_item(&item.id(), item.as_bytes().clone(), &[], 100).await;
    assert!(matches!(answer, Answer::Posted { outcome: Posted::Refused(_), .. }), "no credit: {answer:?}");
    let nobody = client.post_item(&item.id(), item.as_bytes().clone(), std::slice::from_ref(&service.url), 100).await;
    assert_eq!(nobody, Answer::Posted { endpoint: String::new(), outcome: Posted::Failed });
}
