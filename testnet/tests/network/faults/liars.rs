//! Members that do not keep the rules, as real processes among honest ones: a scheduler with two logs (F11), one that keeps its frames to
//! itself (F12), one that loses what a certain wallet sends (F13), and attestors that say nothing, or everything late (F14).

use std::time::Instant;

use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::network::{Plan, aonode};
use ao_testnet::node::{Node, Setup};
use ao_testnet::schedule::Schedule;
use ao_testnet::wait;
use serde_json::Value;

use super::world::WITHIN;
use super::{World, engines, full};

const MISBEHAVE: &str = "AONODE_MISBEHAVE";

/// The last member.
const LIAR: usize = 3;
const HONEST: [usize; 3] = [0, 1, 2];

/// The last node's wallet in a second process with a name of its own, which knows nothing of the first. The attestor's key is only in one.
async fn with_twin(engine: &str) -> (World, Node) {
    let mut network = Plan::new(engine, 4).generate().await.unwrap();
    let (first, folder) = (network.setup_mut(LIAR).folder().to_owned(), network.folder().join("twin"));
    let copied = std::process::Command::new("cp").arg("-a").args([&first, &folder]).status().unwrap();
    assert!(copied.success());
    std::fs::remove_file(folder.join("node.key")).unwrap();
    for part in ["keys/bls", "secrets", "slashing"] {
        std::fs::remove_dir_all(folder.join(part)).unwrap();
    }
    network.start_all().await.unwrap();
    network.connected().await.unwrap();
    let clients = network.clients().unwrap();
    let world = World::of(network, clients).await;
    let twin = Setup::new(folder).service().config("p2p.listen", "[\"/ip4/127.0.0.1/udp/0/quic-v1\"]").start().await.unwrap();
    (world, twin)
}

async fn evidence(client: &Client) -> Vec<Value> {
    let answer = client.get("/v1/evidence").await.unwrap();
    answer.json["items"].as_array().cloned().unwrap_or_else(|| panic!("a list: {}", answer.text()))
}

/// F11: two logs of one scheduler. Everybody honest has the proof within two heartbeats of the first, it convicts offline, no slot gets two
/// contents anywhere, and everybody else's processes go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_with_two_logs_is_shown_to_everybody() {
    for engine in engines() {
        let (world, twin) = with_twin(engine).await;
        let other = Client::new(twin.base()).unwrap();
        // Each assigns slots to what its own clients send, from the first frame on.
        other.spawn(&world.owner, None, &[("On-Boot", "Data")], "Twin = true").await.unwrap();
        let shown = || async {
            let _sent = world.clients[LIAR].post("/v1/messages", &world.another(LIAR)).await;
            Ok((!evidence(&world.clients[0]).await.is_empty()).then_some(()))
        };
        let found = wait::until("n1 has evidence", WITHIN, shown).await;
        found.unwrap_or_else(|error| panic!("{error:#}\n{}\ntwin:\n{}", world.network.tails(20), twin.log().tail(20)));
        let began = Instant::now();
        for at in 1..4 {
            let shown = || async { Ok((!evidence(&world.clients[at]).await.is_empty()).then_some(())) };
            wait::until("every node has evidence", WITHIN, shown).await.unwrap_or_else(|error| panic!("n{}: {error:#}", at + 1));
        }
        println!("{engine}: two logs: the last node had evidence {} ms after the first", began.elapsed().as_millis());
        drop(twin);

        let genesis = world.network.folder().join("genesis.json");
        for at in HONEST {
            for piece in evidence(&world.clients[at]).await {
                assert_eq!(piece["role"], "scheduler", "{engine}: n{} accuses an attestor: {piece}", at + 1);
                let id = piece["evidence"].as_str().or_else(|| piece["id"].as_str()).unwrap().to_owned();
                let bytes = world.clients[at].get(&format!("/v1/evidence/{id}")).await.unwrap().body;
                let file = world.network.folder().join(format!("{id}.evidence"));
                std::fs::write(&file, &bytes).unwrap();
                let verified =
                    aonode(&["evidence", "verify", file.to_str().unwrap(), "--genesis", genesis.to_str().unwrap()]).await.unwrap();
                assert_eq!(verified["role"], "scheduler", "{verified}");
            }
        }
        for of in HONEST {
            assert!(world.confirms_within(of, (of + 1) % 3, WITHIN).await, "{engine}: others' processes go on");
        }
        no_slot_has_two_contents(&world, engine).await;
        assert!(!world.network.tails(usize::MAX).contains("panicked"), "{}", world.network.tails(40));
    }
}

/// What is confirmed of the liar's process is the same wherever it is.
async fn no_slot_has_two_contents(world: &World, engine: &str) {
    let mut logs = Vec::new();
    for at in HONEST {
        let confirmed = world.view(at, LIAR).await.confirmed.map_or(0, |slot| slot as usize + 1);
        let mut nodes = Schedule::read(&world.clients[at], world.processes[LIAR]).await.unwrap().nodes;
        nodes.truncate(confirmed);
        logs.push(nodes);
    }
    let same = logs.iter().map(Vec::len).min().unwrap();
    for slot in 0..same {
        assert!(logs.iter().all(|log| log[slot] == logs[0][slot]), "{engine}: slot {slot} has two confirmed contents");
    }
    println!("{engine}: two logs: {same} confirmed slots of it are the same at all honest nodes");
}

impl World {
    /// Starts the last node again with habits, or without.
    async fn let_it(&mut self, habits: Option<&str>) {
        self.network.stop(LIAR).await.unwrap();
        let setup = self.network.setup_mut(LIAR);
        *setup = match habits {
            Some(habits) => setup.clone().env(MISBEHAVE, habits),
            None => setup.clone().without_env(MISBEHAVE),
        };
        self.network.start(LIAR).await.unwrap();
        self.network.connected().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withholds_or_says_nothing_harms_nobody_else() {
    for engine in engines() {
        let mut world = World::new(engine).await;
        // F12: its clients hear "assigned" and never more, whoever comes through others hears that it does not answer.
        world.let_it(Some("withholder")).await;
        assert!(world.send(LIAR, LIAR).await, "{engine}: it assigns");
        let (head, before) = (world.view(LIAR, LIAR).await.head, world.view(0, LIAR).await.head);
        assert!(
            !world.confirms_within(LIAR, LIAR, std::time::Duration::from_secs(3)).await,
            "{engine}: nobody signs what it does not have"
        );
        assert!(!world.send(LIAR, 0).await, "{engine}: no false acknowledgement through another node");
        for of in HONEST {
            assert!(world.confirms_within(of, (of + 1) % 3, WITHIN).await, "{engine}: others go on");
        }
        assert_eq!(world.view(0, LIAR).await.head, before, "{engine}: nobody has it");
        world.let_it(None).await;
        // Handed out after all, it is confirmed: it was late, and nothing else.
        world.confirmed(0, LIAR, head).await;
        world.check(&format!("{engine}: withheld")).await;

        // F14: an attestor that holds stake and says nothing.
        world.let_it(Some("mute")).await;
        for of in HONEST {
            assert!(world.confirms_within(of, (of + 1) % 3, WITHIN).await, "{engine}: three of four are enough");
        }
        world.let_it(None).await;
        world.check(&format!("{engine}: mute")).await;
        world.network.stop_all().await.unwrap();
    }
}

/// F13: what a censor loses was never acknowledged, and whoever asks the scheduler itself, or is somebody else, is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_censor_acknowledges_nothing_that_it_loses() {
    if !full() {
        return;
    }
    for engine in engines() {
        let mut world = World::new(engine).await;
        let address = world.owner.address().to_string();
        world.let_it(Some(&format!("censor={address}"))).await;
        assert!(!world.send(LIAR, 0).await, "{engine}: what is lost is not acknowledged");
        assert!(world.send(LIAR, LIAR).await, "{engine}: the scheduler's own clients");
        let somebody = Person::named("somebody");
        let item = somebody.message(world.processes[LIAR], &[("Action", "Add"), ("Number", "uncensored")], "");
        let answer = world.clients[0].post("/v1/messages", &item).await.unwrap();
        assert!(answer.status.is_success(), "{engine}: {}", answer.text());
        world.let_it(None).await;
        assert!(world.send(LIAR, 0).await, "{engine}: as before");
        world.check(&format!("{engine}: censored")).await;
        world.network.stop_all().await.unwrap();
    }
}

/// F14, F18: everything seven seconds late, and old things again.
#[tokio::test(flavor = "multi_thread")]
async fn old_words_change_nothing() {
    if !full() {
        return;
    }
    for engine in engines() {
        let mut world = World::new(engine).await;
        world.let_it(Some("stale")).await;
        let load = world.load(&HONEST);
        world.more(60).await;
        load.end().await;
        for of in HONEST {
            assert!(world.confirms_within(of, (of + 1) % 3, WITHIN).await, "{engine}: three of four are enough");
        }
        for at in HONEST {
            assert_eq!(evidence(&world.clients[at]).await, Vec::<Value>::new(), "{engine}: late is no crime");
        }
        world.let_it(None).await;
        world.check(&format!("{engine}: stale")).await;
        world.network.stop_all().await.unwrap();
    }
}
