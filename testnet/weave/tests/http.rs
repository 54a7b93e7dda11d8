//! The HTTP as clients meet it: statuses and texts of a real node, ranges, GraphQL, receipts, commands, and faults.

use ao_types::bundle::build;
use ao_types::merkle::{Tree, check_path};
use ao_types::receipt::Receipt;
use ao_types::transaction::{Base64Url, Transaction, TransactionTag};
use ao_types::{DataItem, Id, ItemBuilder, Signer as _, Verified, Wallet};
use ao_weave::keys::{FUNDED_WINSTON, funded};
use ao_weave::limits::{CHUNK_BODY_MAX, TRANSACTION_BODY_MAX};
use ao_weave::{Blocks, Config, Weave};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

struct World {
    weave: Weave,
    client: Client,
}

impl World {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { funded: vec![(funded().unwrap().address().as_id().unwrap(), FUNDED_WINSTON)], ..Config::default() };
        change(&mut config);
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { weave: Weave::start(config).await.unwrap(), client }
    }

    async fn get_of(&self, gateway: usize, path: &str) -> (StatusCode, String) {
        let response = self.client.get(self.weave.gateway_url(gateway) + path).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (status, text) = self.get_of(0, path).await;
        (status.as_u16(), text)
    }

    async fn json(&self, path: &str) -> Value {
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let response = self.client.post(self.weave.url() + path).json(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn command(&self, verb: &str, body: Value) -> Value {
        let (status, text) = self.post(&format!("/dev/{verb}"), &body).await;
        assert_eq!(status, 200, "{verb}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn graphql(&self, gateway: usize, query: &str) -> Value {
        let request = self.client.post(self.weave.gateway_url(gateway) + "/graphql").json(&json!({ "query": query }));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert!(answer["errors"].is_null(), "{answer}");
        answer["data"].clone()
    }

    /// A bundle, signed with what the node says of anchor and price.
    async fn bundle(&self, items: &[Verified<DataItem>]) -> (Transaction, Vec<u8>) {
        let data = build(items).to_vec();
        let anchor = URL_SAFE_NO_PAD.decode(self.get("/tx_anchor").await.1).unwrap();
        let price = self.get(&format!("/price/{}", data.len())).await.1;
        let tags = [("Bundle-Format", "binary"), ("Bundle-Version", "2.0.0"), ("App-Name", "test")]
            .map(|(name, value)| TransactionTag { name: Base64Url(name.into()), value: Base64Url(value.into()) });
        let transaction = Transaction::for_data(&data, tags.to_vec(), anchor, price).sign(&funded().unwrap()).unwrap();
        (transaction, data)
    }

    async fn post_chunks(&self, data: &[u8]) {
        for body in chunk_bodies(data) {
            let (status, text) = self.post("/chunk", &body).await;
            assert_eq!(status, 200, "{text}");
        }
    }
}

fn chunk_bodies(data: &[u8]) -> Vec<Value> {
    let tree = Tree::of(data);
    let body = |(index, chunk): (usize, &ao_types::merkle::Chunk)| {
        json!({
            "data_root": Base64Url(tree.root().to_vec()), "data_size": data.len().to_string(),
            "data_path": Base64Url(tree.data_path(index).unwrap()), "offset": (chunk.end - 1).to_string(),
            "chunk": Base64Url(data[chunk.start as usize..chunk.end as usize].to_vec()),
        })
    };
    tree.chunks().iter().enumerate().filter(|(_, chunk)| chunk.start < chunk.end).map(body).collect()
}

fn item(n: u32, bytes: usize) -> Verified<DataItem> {
    let wallet = Wallet::ed25519_from_seed(&[1; 32]);
    ItemBuilder::new().tag("Number", n.to_string()).tag("Content-Type", "text/x").data(vec![n as u8; bytes]).sign(&wallet).unwrap()
}

#[tokio::test]
async fn a_bundle_from_header_to_item() {
    let world = World::start(|_| {}).await;
    let (one, two) = (item(1, 300_000), item(2, 10));
    let (transaction, data) = world.bundle(&[one.clone(), two.clone()]).await;
    let id = transaction.id;

    assert_eq!(world.get(&format!("/tx/{id}/status")).await.0, 404);
    let bodies = chunk_bodies(&data);
    assert_eq!(world.post("/chunk", &bodies[0]).await, (400, r#"{"error":"data_root_not_found"}"#.to_owned()));
    let header = json!(transaction);
    assert_eq!(world.post("/tx", &header).await, (200, "OK".to_owned()));
    assert_eq!(world.post("/tx", &header).await, (208, "Transaction already processed.".to_owned()));
    for path in [format!("/tx/{id}"), format!("/tx/{id}/status")] {
        assert_eq!(world.get(&path).await, (202, "Pending".to_owned()));
    }
    assert_eq!(world.json("/tx/pending").await, json!([id]));
    let mut forged = bodies[0].clone();
    forged["offset"] = json!("262144");
    assert_eq!(world.post("/chunk", &forged).await, (400, r#"{"error":"invalid_proof"}"#.to_owned()));
    assert_eq!(world.post("/chunk", &json!({})).await, (400, r#"{"error":"invalid_json"}"#.to_owned()));
    world.post_chunks(&data).await;

    let mined = world.command("mine", json!({ "timestamp": 1_800_000_000 })).await;
    let block = world.json("/block/current").await;
    assert_eq!(block["indep_hash"], mined["blocks"][0]["hash"]);
    assert_eq!((&block["txs"], &block["timestamp"]), (&json!([id]), &json!(1_800_000_000)));
    assert_eq!(block["indep_hash"].as_str().unwrap().len(), 64);
    let height = block["height"].as_u64().unwrap();
    assert_eq!(world.json(&format!("/block/height/{}", height - 1)).await["indep_hash"], block["previous_block"]);
    assert_eq!(world.json(&format!("/block/hash/{}", block["indep_hash"].as_str().unwrap())).await, block);
    assert_eq!(world.get(&format!("/block/height/{}", height + 1)).await.0, 404);
    let status = json!({ "block_height": height, "block_indep_hash": block["indep_hash"], "number_of_confirmations": 1 });
    assert_eq!(world.json(&format!("/tx/{id}/status")).await, status);
    let read: Transaction = serde_json::from_value(world.json(&format!("/tx/{id}")).await).unwrap();
    assert_eq!(read.verify(), Ok(()));
    assert_eq!(world.post("/tx", &header).await, (400, "Transaction is already on the weave.".to_owned()));

    // by offset, with proofs
    let place = world.json(&format!("/tx/{id}/offset")).await;
    let (end, size): (u64, u64) = (place["offset"].as_str().unwrap().parse().unwrap(), place["size"].as_str().unwrap().parse().unwrap());
    assert_eq!((end, size as usize), (data.len() as u64, data.len()));
    let mut again = Vec::new();
    while again.len() < data.len() {
        let chunk = world.json(&format!("/chunk/{}", end - size + 1 + again.len() as u64)).await;
        let bytes = URL_SAFE_NO_PAD.decode(chunk["chunk"].as_str().unwrap()).unwrap();
        let path = URL_SAFE_NO_PAD.decode(chunk["data_path"].as_str().unwrap()).unwrap();
        let root: [u8; 32] = transaction.data_root.0.clone().try_into().unwrap();
        let proven = check_path(&root, size, again.len() as u64, &path).unwrap();
        assert_eq!(proven.hash, ao_types::hash::sha256(&[&bytes]));
        again.extend(bytes);
    }
    assert_eq!(again, data);

    // by id, in ranges, as text
    let response = world.client.get(format!("{}/raw/{}", world.weave.url(), one.id())).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/x");
    assert_eq!(response.bytes().await.unwrap(), one.data());
    assert_eq!(world.get(&format!("/{}", two.id())).await, (200, "\u{2}".repeat(10)));
    let range = world.client.get(format!("{}/raw/{id}", world.weave.url())).header("range", "bytes=262100-262200").send().await.unwrap();
    assert_eq!(range.status(), 206);
    assert_eq!(range.headers()["content-range"], format!("bytes 262100-262200/{}", data.len()));
    assert_eq!(range.bytes().await.unwrap(), data[262_100..=262_200]);
    assert_eq!(world.get(&format!("/tx/{}/data", two.id())).await.1, URL_SAFE_NO_PAD.encode(two.data()));
    assert_eq!(world.get(&format!("/raw/{}", Id([3; 32]))).await.0, 404);

    // by tag
    let data = world
        .graphql(0, r#"{ transactions(tags: [{name: "Number", values: ["1", "2"]}], sort: HEIGHT_ASC) { pageInfo { hasNextPage } edges { cursor node {
            id anchor signature recipient owner { address key } fee { winston } data { size type } tags { name value } block { id height previous } bundledIn { id } } } } }"#)
        .await;
    let edges = data["transactions"]["edges"].as_array().unwrap();
    assert_eq!(edges.iter().map(|edge| edge["node"]["id"].clone()).collect::<Vec<_>>(), [json!(one.id()), json!(two.id())]);
    let node = &edges[0]["node"];
    assert_eq!(node["bundledIn"]["id"], json!(id));
    assert_eq!((&node["block"]["id"], &node["block"]["previous"]), (&block["indep_hash"], &block["previous_block"]));
    assert_eq!((&node["data"]["size"], &node["data"]["type"]), (&json!("300000"), &json!("text/x")));
    assert_eq!(node["signature"], json!(URL_SAFE_NO_PAD.encode(one.signature())));
    assert_eq!(world.json(&format!("/v1/tx/{}/status", one.id())).await["bundleId"], json!(id));
}

#[tokio::test]
async fn refusals_prices_and_wallets() {
    let world = World::start(|_| {}).await;
    let (mut transaction, _) = world.bundle(&[item(1, 10)]).await;
    transaction.reward = "1".into();
    let cheap = transaction.sign(&funded().unwrap()).unwrap();
    assert_eq!(world.post("/tx", &json!(cheap)).await, (400, "Transaction verification failed.".to_owned()));
    assert_eq!(world.get(&format!("/tx/{}", cheap.id)).await, (410, "tx_too_cheap".to_owned()));
    assert_eq!(world.post("/tx", &json!({ "format": 2 })).await, (400, "Invalid JSON.".to_owned()));
    let mut stale = cheap.clone();
    stale.reward = world.get("/price/10").await.1;
    stale.last_tx = Base64Url(vec![7; 48]);
    let stale = stale.sign(&funded().unwrap()).unwrap();
    assert_eq!(world.post("/tx", &json!(stale)).await, (400, "Invalid anchor (last_tx).".to_owned()));

    let price = async |path: &str| world.get(path).await.1.parse::<u128>().unwrap();
    assert_eq!(price("/price/0").await, 3_210 * 500);
    assert_eq!(price("/price/1").await, (262_144 + 3_210) * 500);
    assert_eq!(price("/price/262145").await, (524_288 + 3_210) * 500);
    let stranger = Id([5; 32]);
    assert_eq!(price(&format!("/price/0/{stranger}")).await, (20_000_000 + 3_210) * 500);
    assert_eq!(world.json("/price2/0").await, json!({ "fee": "1605000", "denomination": 1 }));
    assert_eq!(world.get("/price/arweave/100").await, (200, "0".to_owned()), "of the bundling service");
    world.command("price", json!({ "winston_per_byte": 1000 })).await;
    assert_eq!(price("/price/0").await, 3_210_000);
    world.command("mint", json!({ "address": stranger, "winston": "123456789012345678901234567" })).await;
    assert_eq!(world.get(&format!("/wallet/{stranger}/balance")).await.1, "123456789012345678901234567");
    assert_eq!(price(&format!("/price/0/{stranger}")).await, 3_210_000);
    assert_eq!(world.get(&format!("/wallet/{stranger}/last_tx")).await, (200, String::new()));
    for (path, status) in [("/wallet/x/balance", 400), ("/block/height/x", 400), ("/chunk/9", 404), ("/tx/x", 400), ("/no/where", 404)] {
        assert_eq!(world.get(path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn the_bundling_service_gives_receipts() {
    let world = World::start(|config| config.blocks = Blocks::Instant).await;
    let one = item(1, 10);
    let post = async |body: Vec<u8>, path: &str| {
        let request = world.client.post(world.weave.url() + path).header("content-type", "application/octet-stream").body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (status, text) = post(one.as_bytes().to_vec(), "/tx").await;
    assert_eq!(status, 200, "{text}");
    let receipt: Receipt = serde_json::from_str(&text).unwrap();
    assert_eq!(receipt.verify(), Ok(()));
    assert_eq!(json!(receipt.public), world.json("/v1/info").await["public"]);
    for path in ["/tx", "/tx/arweave", "/v1/tx", "/v1/tx/ethereum"] {
        assert_eq!(post(one.as_bytes().to_vec(), path).await.0, 202, "{path}");
    }
    assert_eq!(post(b"no item".to_vec(), "/v1/tx").await.0, 400);
    // A block comes by itself, with the bundle.
    let status = async || world.json(&format!("/tx/{}/status", one.id())).await["status"].clone();
    while status().await != json!("FINALIZED") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_commands_are_for_this_machine() {
    let world = World::start(|_| {}).await;
    for (path, bytes_max) in [("/tx", TRANSACTION_BODY_MAX), ("/chunk", CHUNK_BODY_MAX), ("/graphql", 64 << 10), ("/dev/mine", 1 << 20)] {
        let request = world.client.post(world.weave.url() + path).body(vec![b' '; bytes_max + 1]);
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (413, "Payload too large"), "{path}");
    }
    let from_page = world.client.post(world.weave.url() + "/dev/mine").header("origin", "http://localhost").send().await.unwrap();
    assert_eq!(from_page.status(), 403);
    assert_eq!(world.post("/dev/nothing", &json!({})).await.0, 400);
    assert_eq!(world.post("/dev/hide", &json!({ "ids": [], "gateway": 1 })).await.0, 400);
    assert_eq!(world.post("/dev/mine", &json!({ "n": 10_001 })).await.0, 400);
}

#[tokio::test]
async fn every_lie_a_gateway_can_tell() {
    let world = World::start(|config| config.gateways = 3).await;
    let items: Vec<_> = (0..6).map(|n| item(n, 10)).collect();
    let (transaction, data) = world.bundle(&items).await;
    world.post("/tx", &json!(transaction)).await;
    world.post_chunks(&data).await;
    world.command("mine", json!({ "n": 5 })).await;
    let id = transaction.id;
    let query = r#"{ transactions(tags: [{name: "Content-Type", values: ["text/x"]}], first: 4, sort: HEIGHT_ASC) { pageInfo { hasNextPage } edges { cursor node { id } } } }"#;
    let ids = |data: &Value| -> Vec<String> {
        let edges = data["transactions"]["edges"].as_array().unwrap();
        edges.iter().map(|edge| edge["node"]["id"].as_str().unwrap().to_owned()).collect()
    };
    let right = ids(&world.graphql(0, query).await);
    assert_eq!(right, items[..4].iter().map(|item| item.id().to_string()).collect::<Vec<_>>());

    // one gateway stands still, another hides, the first tells the truth
    let tip = world.json("/info").await["height"].as_u64().unwrap();
    world.command("stale", json!({ "gateway": 1, "height": tip - 5 })).await;
    assert_eq!(world.get_of(1, &format!("/tx/{id}/status")).await.0, 404);
    let info: Value = serde_json::from_str(&world.get_of(1, "/info").await.1).unwrap();
    assert_eq!(info["height"], json!(tip - 5));
    world.command("hide", json!({ "gateway": 2, "ids": [items[1].id()] })).await;
    assert_eq!(ids(&world.graphql(2, query).await)[1], items[2].id().to_string());
    assert_eq!(world.get_of(2, &format!("/raw/{}", items[1].id())).await.0, 404);
    assert_eq!(ids(&world.graphql(0, query).await), right);

    // reordered and endless pages
    world.command("reorder", json!({ "on": true })).await;
    let other = ids(&world.graphql(0, query).await);
    assert_ne!(other, right);
    world.command("endless", json!({ "on": true })).await;
    let mut after = String::new();
    for _ in 0..10 {
        let page = world.graphql(0, &query.replace("first: 4", &format!("first: 4, after: \"{after}\""))).await;
        assert_eq!(page["transactions"]["pageInfo"]["hasNextPage"], json!(true));
        let edges = page["transactions"]["edges"].as_array().unwrap();
        after = edges.last().unwrap()["cursor"].as_str().unwrap().to_owned();
    }
    world.command("heal", json!({})).await;

    // other bytes, none, too many, too few
    let raw = format!("/raw/{}", items[0].id());
    world.command("corrupt", json!({ "id": id })).await;
    let (status, text) = world.get(&raw).await;
    assert_eq!(status, 200);
    assert!(text.len() == 10 && text.bytes().any(|byte| byte != 0));
    world.command("heal", json!({})).await;
    world.command("withhold_chunks", json!({ "tx": id })).await;
    assert_eq!((world.get(&raw).await.0, world.get("/chunk/1").await.0), (404, 404));
    world.command("heal", json!({})).await;
    world.command("trouble", json!({ "rule": { "path": "/raw", "trouble": { "huge": { "bytes": 3_000_000 } }, "times": 1 } })).await;
    assert_eq!(world.get(&raw).await.1.len(), 3_000_000);
    world.command("trouble", json!({ "rule": { "path": "/raw", "trouble": "truncate", "times": 1 } })).await;
    let cut = world.client.get(world.weave.url() + &raw).send().await.unwrap();
    assert!(cut.bytes().await.is_err(), "it promised more than it sent");

    // statuses, pages for people, redirects, limits
    world.command("fail", json!({ "path": "/info", "status": 503, "times": 2 })).await;
    assert_eq!([world.get("/info").await.0, world.get("/info").await.0, world.get("/info").await.0], [503, 503, 200]);
    world.command("html_200", json!({ "path": "/height" })).await;
    let (status, text) = world.get("/height").await;
    assert!(status == 200 && text.starts_with("<!DOCTYPE html>"));
    let to = "http://169.254.169.254/latest/meta-data/";
    world.command("trouble", json!({ "rule": { "path": "/peers", "trouble": { "redirect": { "to": to } } } })).await;
    let sent = world.client.get(world.weave.url() + "/peers").send().await.unwrap();
    assert_eq!((sent.status().as_u16(), sent.headers()["location"].to_str().unwrap()), (302, to));
    let happened = world.json("/dev/faults").await;
    assert!(happened.as_array().unwrap().iter().any(|fault| fault["what"].as_str().unwrap().contains("Redirect")));
    world.command("heal", json!({})).await;
    world.command("rate_limit", json!({ "per_minute": 1 })).await;
    let limited = async || world.client.get(world.weave.url() + "/height").send().await.unwrap();
    assert_eq!(limited().await.status(), 200);
    let refused = limited().await;
    assert!(refused.status() == 429 && refused.headers().contains_key("retry-after"));
    assert_eq!(world.post("/dev/heal", &json!({})).await.0, 200, "commands are never limited");
}

#[tokio::test]
async fn what_was_done_may_be_denied() {
    let world = World::start(|_| {}).await;
    let (transaction, _) = world.bundle(&[item(1, 10)]).await;
    world.command("trouble", json!({ "rule": { "path": "/tx", "trouble": { "done_but": { "status": 500 } }, "times": 1 } })).await;
    assert_eq!(world.post("/tx", &json!(transaction)).await.0, 500);
    assert_eq!(world.get(&format!("/tx/{}", transaction.id)).await, (202, "Pending".to_owned()));
}

#[tokio::test]
async fn a_journal_is_found_again_and_blocks_come_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weave");
    let world = World::start(|config| config.journal = Some(path.clone())).await;
    world.command("auto", json!({ "interval": 5 })).await;
    let first = world.json("/info").await["height"].as_u64().unwrap();
    while world.json("/info").await["height"].as_u64().unwrap() < first + 3 {
        tokio::task::yield_now().await;
    }
    world.command("auto", json!({ "interval": 0 })).await;
    let block = world.json(&format!("/block/height/{}", first + 3)).await;
    world.weave.stop().await;
    let world = World::start(|config| config.journal = Some(path)).await;
    assert_eq!(world.json(&format!("/block/height/{}", first + 3)).await, block);
}
