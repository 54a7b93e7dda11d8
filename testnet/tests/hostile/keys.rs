//! One key, two signers; and histories that are not what they were (`operations.md` §5, faults F45, F46 and F51).

use std::path::{Path, PathBuf};
use std::time::Duration;

use ao_attest::wire::Message;
use ao_consensus::SecretKey as _;
use ao_testnet::client::{Client, output};
use ao_testnet::items::Person;
use ao_testnet::network::{Network, Plan, aonode};
use ao_testnet::node::{Node, Setup};
use ao_testnet::wait;
use ao_types::{Attestation, Canonical as _, Chain, FrameId, Id, Statement};
use aonode::datadir::Layout;
use aonode::keys::Keys;
use aonode::network::message::Direct;

use crate::attacker::{DIRECT, Target};

/// Only a failure takes so long.
const SOON: Duration = Duration::from_secs(120);
/// Exit code of operations.md §1: signing was refused because it could contradict an earlier signature.
const SIGNING_SAFETY: i32 = 11;

/// Four nodes of which the last is started and ended by the test itself; the third can be left away, so that the last must sign.
struct World {
    network: Network,
    client: Client,
    owner: Person,
    process: Id,
    count: u64,
}

impl World {
    async fn new() -> Self {
        let mut network = Plan::new("attest", 4).generate().await.unwrap();
        for at in 0..3 {
            network.start(at).await.unwrap();
        }
        network.connected().await.unwrap();
        let (client, owner) = (network.client(0).unwrap(), Person::named("owner"));
        let process = client.spawn(&owner, None, &[], "Count = 0").await.unwrap();
        client.eval(&owner, process, "Count = 0").await.unwrap();
        Self { network, client, owner, process, count: 0 }
    }

    /// How the last node is started, listening for its own key for so long.
    fn fourth(&mut self, wait: &str) -> Setup {
        self.network.setup_mut(3).clone().config("signer.doppelganger", wait)
    }

    /// A message whose result, and so its confirmation, is here.
    async fn say(&mut self) {
        self.count += 1;
        let number = self.count.to_string();
        let item = self.owner.message(self.process, &[("Action", "Eval"), ("N", &number)], "Count = Count + 1 return Count");
        let result = self.client.call(self.process, &item).await.unwrap();
        assert_eq!(output(&result).unwrap(), number);
    }

    /// The last node signs some frames: without the third there is no quorum but with it.
    async fn fourth_signs(&mut self) {
        self.network.kill(2).await.unwrap();
        for _ in 0..3 {
            self.say().await;
        }
        self.network.start(2).await.unwrap();
    }
}

async fn signing(client: &Client) -> serde_json::Value {
    client.get("/v1/status").await.unwrap().json["signing"].clone()
}

async fn until_attesting(node: &Node) {
    let client = Client::new(node.base()).unwrap();
    let attests = || async { Ok((signing(&client).await["state"] == "attesting").then_some(())) };
    wait::until("the node attests", SOON, attests).await.unwrap_or_else(|error| panic!("{error:#}\n{}", node.log().tail(20)));
}

/// A copy of a folder and everything in it, readable by whoever could read the original.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, from.metadata().unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let into = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &into);
        } else {
            std::fs::copy(entry.path(), into).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_signs_elsewhere_ends_the_node_that_listens_for_it() {
    let mut world = World::new().await;
    let node = world.fourth("10m").start().await.unwrap();
    node.log().wait_for(|line| line.contains("doppelganger_check")).await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let seen = signing(&client).await;
    assert!(seen["state"] == "listening" && seen["left_ms"].as_u64().is_some_and(|left| left > 0), "{seen}");
    // It follows meanwhile like any other.
    world.say().await;
    let number = world.count.to_string();
    client.until(&world.owner, world.process, "tostring(Count)", &number, SOON).await.unwrap();
    let metrics = Client::new(node.metrics().unwrap()).unwrap().text("/metrics").await.unwrap();
    let waits = metrics.lines().find_map(|line| line.strip_prefix("aonode_doppelganger_wait_seconds ")).unwrap().to_owned();
    assert!(waits.parse::<f64>().unwrap() > 0.0, "{waits}");

    // Somebody has its key, and signs a frame that this node never saw.
    let target = Target::of(&world.network, 3).unwrap();
    let keys = Keys::new(Layout::new(node.folder()));
    let key = keys.list_bls().unwrap()[0].pubkey;
    let secret = keys.load_bls(&key, None).unwrap();
    let chain = Chain { scheduler: target.genesis.validators[0].operator, tenure: 0 };
    let statement = Statement::Frame { chain, sequence: 1_000_000, frame: FrameId([7; 32]) };
    let signature = secret.sign(&statement.message(&target.genesis.network_id().unwrap()));
    let share = Message::Share(Attestation { statement, key, signature }).encode();
    let mut stranger = target.stranger().await;
    target.ask(&mut stranger, DIRECT, &Direct::Engine(share.into()).encode());
    let talking = async { while stranger.turn().await {} };
    let folder = node.folder().to_owned();
    let (_, status, log) = tokio::select! {
        ended = node.ended(SOON) => ended.unwrap(),
        () = async { talking.await; std::future::pending::<()>().await } => unreachable!("it never ends"),
    };
    assert_eq!(status.code(), Some(SIGNING_SAFETY), "{log}");
    assert!(log.contains("signing_safety") && !log.contains("panicked"), "{log}");
    let evidence: Vec<_> = std::fs::read_dir(folder.join("doppelganger")).unwrap().collect();
    let evidence = std::fs::read_to_string(evidence[0].as_ref().unwrap().path()).unwrap();
    assert!(evidence.contains(&key.to_string()) && evidence.contains("1000000"), "{evidence}");
    // What was signed elsewhere binds here from now on.
    let shown = aonode(&["--datadir", folder.to_str().unwrap(), "slashing", "show"]).await.unwrap();
    assert!(shown.to_string().contains("1000000"), "{shown}");
    world.network.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_directory_does_not_sign_beside_the_first_one() {
    let mut world = World::new().await;
    let node = world.fourth("500ms").start().await.unwrap();
    until_attesting(&node).await;
    let (setup, _, _) = node.stop().await.unwrap();
    let twin: PathBuf = world.network.folder().join("twin");
    copy(setup.folder(), &twin);
    let node = setup.start().await.unwrap();
    let (status, log) = Setup::new(&twin).service().config("signer.doppelganger", "0s").start_refused().await.unwrap();
    assert_eq!(status.code(), Some(SIGNING_SAFETY), "{log}");
    assert!(log.contains("another process on this machine signs"), "{log}");
    until_attesting(&node).await;
    world.fourth_signs().await;
    node.stop().await.unwrap();
    world.network.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_slashing_protection_is_raised_before_anything_is_signed() {
    let mut world = World::new().await;
    let node = world.fourth("500ms").start().await.unwrap();
    until_attesting(&node).await;
    let (setup, _, _) = node.stop().await.unwrap();
    let (rows, old) = (setup.folder().join("slashing"), world.network.folder().join("old-slashing"));
    copy(&rows, &old);

    let node = setup.start().await.unwrap();
    until_attesting(&node).await;
    world.fourth_signs().await;
    let (setup, _, _) = node.stop().await.unwrap();
    std::fs::remove_dir_all(&rows).unwrap();
    copy(&old, &rows);
    // What it signed is older than the wait: somebody else cannot have signed it just now.
    tokio::time::timeout(SOON, async { world.say().await }).await.unwrap();

    let node = setup.start().await.unwrap();
    let raised = node.log().wait_for(|line| line.contains("watermark_raised")).await.unwrap();
    assert!(raised.contains("older copy"), "{raised}");
    until_attesting(&node).await;
    world.fourth_signs().await;
    node.stop().await.unwrap();
    world.network.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_comes_back_with_its_key_only_after_its_operator_answers_for_the_history() {
    let mut world = World::new().await;
    let node = world.fourth("500ms").start().await.unwrap();
    until_attesting(&node).await;
    world.fourth_signs().await;
    let (setup, _, _) = node.stop().await.unwrap();
    let lost = world.network.folder().join("lost");
    std::fs::rename(setup.folder(), &lost).unwrap();

    // A new directory, with a node key of its own; it follows and catches up.
    let folder = setup.folder().to_str().unwrap().to_owned();
    let genesis = world.network.folder().join("genesis.json");
    aonode(&["--datadir", &folder, "join", genesis.to_str().unwrap(), "--no-start"]).await.unwrap();
    let anywhere = Setup::new(setup.folder()).service().config("signer.doppelganger", "500ms");
    let anywhere = anywhere.config("p2p.listen", "[\"/ip4/127.0.0.1/udp/0/quic-v1\"]");
    let node = anywhere.start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    assert!(signing(&client).await.is_null(), "it has no key");
    let number = world.count.to_string();
    client.until(&world.owner, world.process, "tostring(Count)", &number, SOON).await.unwrap();
    node.stop().await.unwrap();

    // The attestor's key out of a drawer, without what it signed.
    for part in ["keys/bls", "secrets"] {
        let to = setup.folder().join(part);
        if to.exists() {
            std::fs::remove_dir_all(&to).unwrap();
        }
        copy(&lost.join(part), &to);
    }
    let (status, log) = anywhere.start_refused().await.unwrap();
    assert_eq!(status.code(), Some(SIGNING_SAFETY), "{log}");
    assert!(log.contains("slashing import"), "{log}");
    let saved = world.network.folder().join("history.json");
    aonode(&["--datadir", lost.to_str().unwrap(), "slashing", "export", saved.to_str().unwrap()]).await.unwrap();
    aonode(&["--datadir", &folder, "slashing", "import", saved.to_str().unwrap()]).await.unwrap();
    let node = anywhere.start().await.unwrap();
    until_attesting(&node).await;
    node.stop().await.unwrap();
    world.network.stop_all().await.unwrap();
}
