//! Total loss: every data directory of a network is destroyed, and it goes on from Arweave alone (`faults.md` F51, and all nodes at once).
//!
//! Each node is given what an operator has: the genesis, his keys from a backup, and the statement that nobody else signs with them. Then
//! all of it once more, each process begun at its newest state on Arweave: what is behind it is served at once, what lies before is worked
//! out in the background, and in the end nothing tells one from the other. With `AONODE_FULL=1` twenty processes, half of them AOS in
//! WebAssembly, and five thousand messages; the figures are printed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::modules::AOS_64;
use ao_testnet::network::{Network, Plan, agree, aonode};
use ao_testnet::schedule::Schedule;
use ao_testnet::wait;
use ao_types::{Id, Signer as _};
use ao_weave::keys::{FUNDED_WINSTON, funded};
use ao_weave::{Blocks, Command, Config, Weave};
use futures::StreamExt as _;
use serde_json::Value;

/// Nothing here waits longer than it must.
const WITHIN: Duration = Duration::from_secs(600);
/// Between two blocks.
const BLOCKS_EVERY: Duration = Duration::from_millis(300);
const COUNTER: &str = "Total = Total or 0; Handlers.add('add', Handlers.utils.hasMatchingTag('Action', 'Add'), \
                       function(message) Total = Total + 1; print(Total) end)";

/// The long form.
fn full() -> bool {
    std::env::var_os("AONODE_FULL").is_some()
}

/// Slots between two states that are certified.
fn certify() -> u64 {
    if full() { 50 } else { 2 }
}

/// What a network has of a process.
#[derive(Debug, PartialEq)]
struct Seen {
    log: Vec<Value>,
    /// Hash of each result.
    results: BTreeMap<u64, String>,
    /// Hash of each state that was worked out.
    states: BTreeMap<u64, String>,
    /// What proves the last slot: which frame it stands in.
    frame: Value,
}

async fn seen(client: &Client, process: Id) -> Seen {
    let log = Schedule::read(client, process).await.unwrap().nodes;
    let (mut results, mut states, mut cursor) = (BTreeMap::new(), BTreeMap::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/processes/{process}/results?limit=100{cursor}")).await.unwrap().json;
        let rows = page.as_object().and_then(|page| page.values().find_map(Value::as_array)).expect("a page has rows").clone();
        for row in rows.iter().filter(|row| row["cron"].is_null()) {
            results.insert(row["slot"].as_u64().unwrap(), row["result_hash"].as_str().unwrap().to_owned());
            states.extend(row["state_hash"].as_str().map(|hash| (row["slot"].as_u64().unwrap(), hash.to_owned())));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let last = log.len() - 1;
    let proof = client.get(&format!("/v1/processes/{process}/slots/{last}/proof")).await.unwrap();
    assert!(proof.status.is_success(), "{}", proof.text());
    Seen { log, results, states, frame: proof.json["frame"].clone() }
}

struct World {
    weave: Weave,
    network: Network,
    clients: Vec<Client>,
    owner: Person,
    /// With the place of its scheduler's node, and how many messages it got.
    processes: Vec<(Id, usize, u64)>,
    number: u64,
}

impl World {
    async fn new(engine: &str) -> Self {
        let payer = funded().unwrap().address().as_id().unwrap();
        let blocks = Blocks::Every(BLOCKS_EVERY);
        let weave = Weave::start(Config { funded: vec![(payer, FUNDED_WINSTON)], gateways: 3, blocks, ..Config::default() }).await.unwrap();
        let pace = |_, setup: ao_testnet::node::Setup| {
            let setup = setup.config("arweave.interval", "500ms").config("arweave.look_every", "200ms").config("arweave.confirmations", 2);
            let setup = setup.config("compute.certify_slots", certify()).config("compute.hash_every_slot", true);
            setup.config("arweave.checkpoint_slots", 1)
        };
        let network = Plan::new(engine, 4).with(pace).arweave(&weave.url()).start().await.unwrap();
        let clients = network.clients().unwrap();
        Self { weave, network, clients, owner: Person::named("owner"), processes: Vec::new(), number: 0 }
    }

    async fn spawn(&mut self, at: usize, module: Option<Id>) {
        let client = &self.clients[at];
        let spawned = || async { Ok(client.spawn(&self.owner, module, &[("On-Boot", "Data")], COUNTER).await.ok()) };
        let process = wait::until("a process is taken", WITHIN, spawned).await.unwrap();
        self.processes.push((process, at, 0));
    }

    /// So many messages to every process, through every node in turn.
    async fn send(&mut self, each: u64) {
        let mut items = Vec::new();
        for number in 0..each {
            for (at, (process, _, sent)) in self.processes.iter_mut().enumerate() {
                self.number += 1;
                *sent += 1;
                let item = self.owner.message(*process, &[("Action", "Add"), ("Number", &self.number.to_string())], "");
                items.push((self.clients[(at + number as usize) % self.clients.len()].clone(), item));
            }
        }
        let send = async |(client, item): (Client, ao_testnet::items::Item)| {
            let sent = || async { Ok(client.send(&item).await.ok()) };
            wait::until("a message is taken", WITHIN, sent).await.unwrap();
        };
        futures::stream::iter(items).for_each_concurrent(16, send).await;
    }

    /// All nodes have the same of everything.
    async fn settle(&self) {
        for (process, _, sent) in &self.processes {
            let settled = agree::settled(&self.clients, *process, *sent, WITHIN).await;
            settled.unwrap_or_else(|error| panic!("{error:#}\n{}", self.network.tails(10)));
            agree::check(&self.clients, *process, &[]).await.unwrap();
        }
    }

    async fn anchored(&self) {
        for (process, at, sent) in &self.processes {
            let path = format!("/v1/processes/{process}/slots/{sent}");
            let there = || async { Ok((self.clients[*at].get(&path).await?.json["state"] == "anchored").then_some(())) };
            wait::until("the last slot is anchored", WITHIN, there).await.unwrap();
        }
    }

    /// A state of every process is on Arweave, and so is everything else that its node wrote.
    async fn states_anchored(&self) {
        for (process, at, sent) in &self.processes {
            let due = (sent + 1) / certify() * certify() - 1;
            let client = &self.clients[*at];
            let went = || async {
                let shown = client.get(&format!("/v1/processes/{process}")).await?.json;
                Ok((shown["anchored_state"]["slot"] == due).then_some(()))
            };
            wait::until("the newest certified state went to Arweave", WITHIN, went).await.unwrap();
        }
        for client in &self.clients {
            let settled = || async {
                let unsettled = client.get("/v1/anchors?limit=100&order=desc").await?.json;
                let rows = unsettled.as_object().and_then(|page| page.values().find_map(Value::as_array)).cloned().unwrap_or_default();
                Ok(rows.iter().all(|row| row["state"] == "settled" || row["state"] == "done").then_some(()))
            };
            wait::until("everything is settled", WITHIN, settled).await.unwrap();
        }
    }

    /// From the start of the network to the last result of every process, at the node that schedules it.
    async fn first_answers(&mut self) -> Duration {
        let began = Instant::now();
        self.network.start_all().await.unwrap();
        self.network.connected().await.unwrap();
        for (process, at, sent) in &self.processes {
            let path = format!("/v1/processes/{process}/results/{sent}");
            let there = || async { Ok((self.clients[*at].get(&path).await?.status.as_u16() == 200).then_some(())) };
            wait::until("the newest result is there", WITHIN, there).await.unwrap();
        }
        began.elapsed()
    }

    /// No node says any more that it began at a checkpoint.
    async fn worked_out(&self) {
        for client in &self.clients {
            for (process, ..) in &self.processes {
                let whole = || async {
                    let shown = client.get(&format!("/v1/processes/{process}")).await?.json;
                    Ok(shown["backfill"].is_null().then_some(()))
                };
                wait::until("what lies before is worked out", WITHIN, whole).await.unwrap();
            }
        }
    }

    /// Every process as a node shows it.
    async fn seen(&self, at: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        for (process, ..) in &self.processes {
            all.push(seen(&self.clients[at], *process).await);
        }
        all
    }

    /// kill -9 of every node, and nothing is left but what operators keep: genesis and keys.
    ///
    /// A header that is mined without the data that its node had no time to upload is a hole, which recovery does not pass over unasked
    /// (`shell/tests/recovery.rs`): here the blocks stop first, and what waits for one is lost with the nodes.
    async fn lose_everything(&mut self) {
        let genesis = self.network.folder().join("genesis.json");
        self.weave.command(Command::Auto { interval: 0 }).await.unwrap();
        self.weave.mine(1).await.unwrap();
        let station = self.weave.station();
        let uploaded = || async {
            let mined: Vec<Id> = station.chain(|chain| chain.blocks().iter().flat_map(|block| block.transactions.clone()).collect());
            Ok(mined.iter().all(|id| station.data_of(0, id).is_some()).then_some(()))
        };
        wait::until("the data of everything mined is there", WITHIN, uploaded).await.unwrap();
        for at in 0..4 {
            self.network.kill(at).await.unwrap();
        }
        let ids = self.weave.station().chain(|chain| chain.pending().map(|waiting| waiting.transaction.id).collect());
        self.weave.command(Command::Drop { ids, probability: None }).await.unwrap();
        self.weave.command(Command::Auto { interval: BLOCKS_EVERY.as_millis() as u64 }).await.unwrap();
        for at in 0..4 {
            let folder = self.network.setup_mut(at).folder().to_owned();
            let backup = folder.with_extension("backup");
            std::fs::rename(&folder, &backup).unwrap();
            aonode(&["init", "--genesis", text(&genesis), "--datadir", text(&folder)]).await.unwrap();
            for kept in ["keys", "secrets", "node.key", "config.toml"] {
                let (from, to) = (backup.join(kept), folder.join(kept));
                let _ = if to.is_dir() { std::fs::remove_dir_all(&to) } else { std::fs::remove_file(&to) };
                if from.exists() {
                    std::fs::rename(&from, &to).unwrap();
                }
            }
            std::fs::remove_dir_all(&backup).unwrap();
            aonode(&["slashing", "init", "--i-understand", "--datadir", text(&folder)]).await.unwrap();
        }
    }

    /// The newest certified state of the first process, as the first node writes it into a file.
    async fn snapshot(&self) -> Vec<u8> {
        let (folder, process) = (self.network.folder().join("n1"), self.processes[0].0.to_string());
        let made = || async { Ok(aonode(&["--datadir", text(&folder), "snapshot", "create", "--", &process]).await.ok()) };
        let made = wait::until("a certified state", WITHIN, made).await.unwrap();
        std::fs::read(made["path"].as_str().unwrap()).unwrap()
    }

    /// The first node, which has the log and evaluated none of it, is given a file: changed by one bit, whole, and once more.
    async fn import(&mut self, snapshot: &[u8]) {
        let folder = self.network.setup_mut(0).folder().to_owned();
        let file = folder.with_extension("snapshot");
        let mut changed = snapshot.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        for (bytes, taken) in [(&changed[..], false), (snapshot, true), (snapshot, false)] {
            std::fs::write(&file, bytes).unwrap();
            let said = aonode(&["--datadir", text(&folder), "snapshot", "import", text(&file)]).await;
            assert_eq!(said.is_ok(), taken, "{said:?}");
        }
    }

    /// Each node recovers; what the first one says.
    async fn recover(&mut self, more: &[&str]) -> Value {
        let genesis = self.network.folder().join("genesis.json");
        let gateways: Vec<String> = (0..3).map(|number| self.weave.gateway_url(number)).collect();
        let mut first = None;
        for at in 0..4 {
            let folder = self.network.setup_mut(at).folder().to_owned();
            let arguments = ["recover", "--from-arweave", &gateways.join(","), "--genesis", text(&genesis), "--datadir", text(&folder)];
            let said = aonode(&[&arguments[..], more].concat()).await.unwrap();
            assert_eq!(said["holes"], Value::Array(Vec::new()), "{said}");
            first.get_or_insert(said);
        }
        first.unwrap()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn total_loss(engine: &str, processes: usize, each: u64, aos: bool) {
    let mut world = World::new(engine).await;
    let module = if aos {
        let module = world.owner.module(AOS_64.format, "1-gb", AOS_64.read().unwrap());
        world.clients[0].upload(&module).await.unwrap();
        Some(module.id)
    } else {
        None
    };
    for number in 0..processes {
        world.spawn(number % 4, module.filter(|_| number % 2 == 1)).await;
    }
    world.send(each).await;
    world.settle().await;
    world.anchored().await;
    let before = world.seen(0).await;
    let snapshot = world.snapshot().await;
    world.lose_everything().await;
    let said = world.recover(&[]).await;
    world.import(&snapshot).await;
    assert_eq!(said["processes"], processes, "{said}");
    assert_eq!(said["slots"], processes as u64 * (each + 1), "{said}");
    let took = world.first_answers().await;
    world.worked_out().await;
    world.settle().await;
    let after = world.seen(0).await;
    for (one, two) in before.iter().zip(&after) {
        assert_eq!(one, two, "logs, results, states and the frames that prove them are what they were");
    }
    world.send(1).await;
    world.settle().await;
    world.anchored().await;
    let again = world.seen(3).await;
    for (one, two) in before.iter().zip(&again) {
        assert_eq!((two.log.len(), &two.log[..one.log.len()]), (one.log.len() + 1, &one.log[..]), "it goes on");
    }
    // Once more, from states.
    world.states_anchored().await;
    let before = world.seen(0).await;
    world.lose_everything().await;
    let from_states = world.recover(&["--from-checkpoint"]).await;
    let begins = from_states["begins"].as_array().unwrap();
    assert_eq!(begins.iter().filter(|begins| begins["slot"].is_u64()).count(), processes, "{from_states}");
    let shorter = world.first_answers().await;
    world.worked_out().await;
    world.settle().await;
    let after = world.seen(0).await;
    for (one, two) in before.iter().zip(&after) {
        assert_eq!(one, two, "logs, results and states are what they were, before the checkpoint and behind it");
    }
    world.send(1).await;
    world.settle().await;
    for at in 0..4 {
        let log = world.network.stop(at).await.unwrap();
        let wrong = ["result_differs", "checkpoint_refuted", "panicked"].into_iter().find(|event| log.contains(event));
        assert_eq!(wrong, None, "{log}");
    }
    #[allow(clippy::print_stderr, reason = "the figures of a run that somebody asked for")]
    if each > 100 {
        eprintln!("{engine}: {said}; the newest results were there after {took:?}");
        eprintln!("from checkpoints: {from_states}; the newest results were there after {shorter:?}");
    }
    world.weave.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_goes_on_from_arweave_alone() {
    if full() {
        total_loss("attest", 20, 250, true).await;
    } else {
        total_loss("attest", 2, 3, false).await;
    }
}
