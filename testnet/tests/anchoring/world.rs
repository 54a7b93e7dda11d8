//! A node, a process on it, and the Arweave that it writes to, in the test's own process: blocks come when the test says so.

use std::time::Duration;

use ao_testnet::client::{Answer, Client};
use ao_testnet::items::Person;
use ao_testnet::node::{Node, Setup};
use ao_testnet::{binary, wait};
use ao_types::{Id, Signer as _};
use ao_weave::keys::{self, FUNDED_WINSTON};
use ao_weave::{Config, Weave};
use serde_json::{Value, json};
use tokio::process::Command;

/// What happens by itself has happened by then, on a busy machine too.
const WITHIN: Duration = Duration::from_secs(120);
/// Exit code of `operations.md` §1 for what is checked and does not hold.
pub const VERIFICATION: i32 = 8;

pub struct World {
    node: Option<Node>,
    client: Client,
    person: Person,
    process: Id,
    next: u64,
    weave: Weave,
    _folder: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|setup| setup).await
    }

    pub async fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let payer = keys::funded().unwrap().address().as_id().unwrap();
        let weave = Weave::start(Config { funded: vec![(payer, FUNDED_WINSTON)], ..Config::default() }).await.unwrap();
        // A few blocks, so that the one that transactions are anchored to is there.
        weave.mine(10).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup::new(folder.path().join("node"))
            .config("arweave.gateways", format!("[\"{}\"]", weave.url()))
            .config("arweave.interval", "100ms")
            .config("arweave.look_every", "100ms")
            .config("arweave.confirmations", super::CONFIRMATIONS);
        let node = change(setup).start().await.unwrap();
        let client = Client::new(node.base()).unwrap();
        let person = Person::named("anchoring");
        let process = client.spawn(&person, None, &[], "").await.unwrap();
        Self { node: Some(node), client, person, process, next: 1, weave, _folder: folder }
    }

    /// Sends a message and waits for its result; its slot.
    pub async fn say(&mut self) -> u64 {
        let item = self.person.message(self.process, &[("Action", "Ping")], self.next.to_string());
        self.client.call(self.process, &item).await.unwrap();
        self.next += 1;
        self.next - 1
    }

    pub async fn level(&self, slot: u64) -> String {
        let shown = self.client.get(&format!("/v1/processes/{}/slots/{slot}", self.process)).await.unwrap();
        shown.json["state"].as_str().unwrap().to_owned()
    }

    /// Waits as a client does.
    pub async fn anchored(&self, slot: u64) {
        let path = format!("/v1/processes/{}/slots/{slot}?wait=anchored&timeout_ms=60000", self.process);
        let shown = self.client.get(&path).await.unwrap();
        assert_eq!(shown.json["state"], "anchored", "{}", shown.json);
    }

    /// Everything written so far, the newest first.
    async fn list(&self) -> Vec<Value> {
        self.client.get("/v1/anchors?order=desc&limit=100").await.unwrap().json["items"].as_array().unwrap().clone()
    }

    /// The writing that carries the newest slot; others carry records alone.
    async fn newest(&self) -> Option<Value> {
        let last = self.next - 1;
        let covers = |one: &Value| one["ranges"].as_array().into_iter().flatten().any(|range| range["to"] == last);
        self.list().await.into_iter().find(covers)
    }

    /// Its state.
    pub async fn state(&self) -> String {
        self.newest().await.map_or_else(|| "none".to_owned(), |newest| newest["state"].as_str().unwrap().to_owned())
    }

    pub async fn transaction(&self) -> String {
        self.newest().await.unwrap()["transaction"].as_str().unwrap().to_owned()
    }

    /// Until what carries the newest slot is in a state.
    pub async fn until_state(&self, state: &str) {
        wait::until(&format!("a shipment that is {state}"), WITHIN, async || Ok((self.state().await == state).then_some(())))
            .await
            .unwrap();
    }

    async fn anchoring(&self) -> Value {
        self.client.get("/v1/status").await.unwrap().json["anchoring"].clone()
    }

    /// Until the node has seen the tip, and has nothing more to do about it.
    pub async fn quiet(&self) {
        let tip = self.tip();
        let requests = async || self.anchoring().await["gateways"][0]["answered"].as_u64().unwrap();
        wait::until("the node knows the tip", WITHIN, async || Ok((self.anchoring().await["height"] == tip).then_some(()))).await.unwrap();
        // It asks for the height ten times a second; a few of these questions later it has acted on what it knew.
        let before = requests().await;
        wait::until("the node goes on asking", WITHIN, async || Ok((requests().await > before + 8).then_some(()))).await.unwrap();
    }

    pub async fn until_trouble(&self, word: &str) {
        wait::until(&format!("trouble: {word}"), WITHIN, async || {
            Ok(self.anchoring().await["trouble"].as_str().is_some_and(|trouble| trouble.contains(word)).then_some(()))
        })
        .await
        .unwrap();
    }

    pub async fn health(&self) -> Value {
        self.client.get("/healthz").await.unwrap().json
    }

    pub fn tip(&self) -> u64 {
        self.weave.station().chain(|chain| chain.tip().height)
    }

    pub async fn mine(&self, blocks: u64) {
        self.weave.mine(blocks).await.unwrap();
    }

    /// What `POST /dev/{verb}` does.
    pub async fn harm(&self, verb: &str, arguments: Value) {
        let command = serde_json::from_value(json!({ verb: arguments })).unwrap();
        self.weave.command(command).await.unwrap();
    }

    pub async fn mint(&self) {
        let payer = keys::funded().unwrap().address();
        self.harm("mint", json!({ "address": payer.to_string(), "winston": FUNDED_WINSTON.to_string() })).await;
    }

    /// For every writing with slots: transactions that were signed for it, and how often they are in a block.
    pub async fn paid(&self) -> Vec<(usize, usize)> {
        let mined: Vec<String> = self.weave.station().chain(|chain| {
            let blocks = chain.blocks().iter();
            blocks.flat_map(|block| &block.transactions).map(ToString::to_string).collect()
        });
        let mut paid = Vec::new();
        for shipment in self.list().await {
            if shipment["ranges"].as_array().unwrap().is_empty() {
                continue;
            }
            let one = self.client.get(&format!("/v1/anchors/{}", shipment["number"])).await.unwrap().json;
            let signed: Vec<&str> = one["carriers"].as_array().unwrap().iter().map(|carrier| carrier["id"].as_str().unwrap()).collect();
            paid.push((signed.len(), mined.iter().filter(|id| signed.contains(&id.as_str())).count()));
        }
        paid
    }

    /// `aonode anchor verify` of what carries the newest slot: exit code and what it says.
    pub async fn verify(&self) -> (i32, Value) {
        let number = self.newest().await.unwrap()["number"].to_string();
        let mut command = Command::new(binary::aonode().unwrap());
        command.args(["--output", "json", "--endpoint", self.node.as_ref().unwrap().base(), "anchor", "verify", &number, "--arweave"]);
        let ended = command.arg(self.weave.url()).output().await.unwrap();
        let found = serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ended.stderr)));
        (ended.status.code().unwrap(), found)
    }

    /// Sends a message and waits for its result; what a client asks by: its id.
    pub async fn say_and_tell(&mut self) -> Id {
        let item = self.person.message(self.process, &[("Action", "Ping")], self.next.to_string());
        self.client.call(self.process, &item).await.unwrap();
        self.next += 1;
        item.id
    }

    pub fn process(&self) -> Id {
        self.process
    }

    /// What a client gets.
    pub async fn get(&self, path: &str) -> Answer {
        self.client.get(path).await.unwrap()
    }

    /// Every transaction that a gateway has other bytes for from now on.
    pub async fn corrupt_everything(&self) {
        for shipment in self.list().await {
            self.harm("corrupt", json!({ "id": shipment["transaction"] })).await;
        }
    }

    /// An end as an operator makes it, and another start.
    pub async fn stop_and_start(&mut self, change: impl FnOnce(Setup) -> Setup) {
        let (setup, status, log) = self.node.take().unwrap().stop().await.unwrap();
        assert!(log.contains("\"event\":\"stopped\""), "{status}: {log}");
        let node = change(setup).start().await.unwrap();
        self.client = Client::new(node.base()).unwrap();
        self.node = Some(node);
    }

    /// A line of the node's log, now or when it comes.
    pub async fn logged(&self, wanted: impl Fn(&str) -> bool) -> String {
        let coming = self.node.as_ref().unwrap().log().wait_for(wanted);
        tokio::time::timeout(WITHIN, coming).await.expect("it is said in time").unwrap()
    }

    pub async fn kill_and_start(&mut self) {
        let setup = self.node.take().unwrap().kill().await.unwrap();
        let node = setup.start().await.unwrap();
        self.client = Client::new(node.base()).unwrap();
        self.node = Some(node);
    }

    pub async fn end(mut self) {
        self.node.take().unwrap().stop().await.unwrap();
        self.weave.stop().await;
    }
}
