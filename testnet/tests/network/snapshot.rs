//! Certified states on real processes: validators vouch for what each of them worked out, and states go from hand to hand as files.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::network::{Network, Plan, aonode};
use ao_testnet::node::Setup;
use ao_testnet::{binary, say, wait};
use ao_types::Id;
use serde_json::Value;
use tokio::process::Command;

/// Debug builds on a machine that is busy building are slow; none of this waits longer than it must.
const WITHIN: Duration = Duration::from_secs(120);
/// A state is certified every so many slots.
const EVERY: u64 = 8;
const COUNTER: &str = "Total = Total or 0; Handlers.add('add', Handlers.utils.hasMatchingTag('Action', 'Add'), \
                       function(message) Total = Total + 1; print(Total) end)";

async fn network() -> Network {
    Plan::new("attest", 4).with(|_, setup| setup.config("compute.certify_slots", EVERY)).start().await.unwrap()
}

fn folder(network: &Network, at: usize) -> PathBuf {
    network.folder().join(format!("n{}", at + 1))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The snapshot that a node makes of the state after `slot`, once the committee vouches for it.
async fn made(network: &Network, at: usize, process: Id, slot: u64) -> Value {
    let (folder, process) = (folder(network, at), process.to_string());
    let look = || async {
        let made = aonode(&["--datadir", text(&folder), "snapshot", "create", "--", &process]).await;
        Ok(made.ok().filter(|made| made["slot"] == slot))
    };
    wait::until(&format!("a certified state of slot {slot} at node {at}"), WITHIN, look)
        .await
        .unwrap_or_else(|error| panic!("{error:#}\n{}", network.tails(20)))
}

/// How a verb ends.
async fn exit(arguments: &[&str]) -> Option<i32> {
    let mut command = Command::new(binary::aonode().unwrap());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env_remove("AONODE_DATADIR");
    command.kill_on_drop(true).status().await.unwrap().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn validators_vouch_for_states_that_go_from_hand_to_hand_as_files() {
    let network = network().await;
    let (client, owner) = (network.client(0).unwrap(), Person::named("owner"));
    let spawn = || async { Ok(client.spawn(&owner, None, &[("On-Boot", "Data")], COUNTER).await.ok()) };
    let process = wait::until("a process", WITHIN, spawn).await.unwrap();
    for n in 0..EVERY {
        client.call(process, &owner.message(process, &[("Action", "Add"), ("Number", &n.to_string())], "")).await.unwrap();
    }
    let one = made(&network, 0, process, EVERY - 1).await;
    // Another node's own evaluation, and a certificate that may have other signers: the same snapshot.
    let two = made(&network, 2, process, EVERY - 1).await;
    for field in ["snapshot", "state_hash", "result_hash", "bytes", "slot"] {
        assert_eq!(one[field], two[field], "{field}");
    }
    assert_eq!(one["certified"], true);
    let listed = aonode(&["--datadir", text(&folder(&network, 2)), "snapshot", "list"]).await.unwrap();
    assert_eq!(listed["items"].as_array().map_or(0, Vec::len), 1, "{listed}");

    // Whoever has the genesis and no node needs nothing else.
    let genesis = network.folder().join("genesis.json");
    let genesis = text(&genesis);
    let file = PathBuf::from(one["path"].as_str().unwrap());
    let nowhere = tempfile::tempdir().unwrap();
    let nowhere = nowhere.path().join("data");
    let verify = |file: PathBuf, more: Vec<String>| {
        let arguments: Vec<String> = ["--datadir", text(&nowhere), "snapshot", "verify", text(&file)].map(str::to_owned).to_vec();
        let arguments = [arguments, more].concat();
        async move { exit(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let of_network = || vec!["--genesis".to_owned(), genesis.to_owned()];
    assert_eq!(verify(file.clone(), of_network()).await, Some(0));
    assert_eq!(verify(file.clone(), Vec::new()).await, Some(9), "of another network than a node by itself is on");
    let whole = std::fs::read(&file).unwrap();
    let copy = file.with_file_name("copy");
    for (what, at) in [("the body", whole.len() - 1), ("the certificate", 8 + 4 + 1 + 32 * 6 + 8 * 2 + 4 + 60)] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&copy, &changed).unwrap();
        assert_eq!(verify(copy.clone(), of_network()).await, Some(8), "{what}");
    }
    std::fs::write(&copy, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(verify(copy.clone(), of_network()).await, Some(8), "half of it");
    assert_eq!(verify(file.with_file_name("none"), of_network()).await, Some(4));

    // A node that got it by other means serves it.
    std::fs::write(&copy, &whole).unwrap();
    let served = aonode(&["--datadir", text(&folder(&network, 3)), "snapshot", "serve", text(&copy)]).await.unwrap();
    assert_eq!(served["snapshot"], one["snapshot"]);
    let unknown = ["--datadir", text(&folder(&network, 0)), "snapshot", "create", "--", &"A".repeat(43)].map(str::to_owned);
    assert_eq!(exit(&unknown.iter().map(String::as_str).collect::<Vec<_>>()).await, Some(4));
}

/// More than the evaluator takes in one turn: a state that comes meanwhile is not too late.
const LONG: u64 = 80;
/// Takes about a tenth of a second, so that evaluating the log takes longer than fetching a state.
const BURN: &str = "Total = Total or 0; Handlers.add('add', Handlers.utils.hasMatchingTag('Action', 'Add'), function(message) \
                    local t = 0; for i = 1, 1500000 do t = t + i end; Total = Total + 1; print(Total) end)";

/// What a node says of the result at a slot, once it is there.
async fn result_at(client: &Client, process: Id, slot: u64) -> Value {
    let look = || async {
        let answer = client.get(&format!("/v1/processes/{process}/results/{slot}")).await?;
        Ok((answer.status == 200).then_some(answer.json))
    };
    wait::until(&format!("the result of slot {slot}"), WITHIN, look).await.unwrap()
}

/// F47: one of two sources gives other bytes than it offered. A node that joins takes the state from the other one, answers for new slots,
/// and works out for itself what lies before.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_at_a_state_of_which_one_of_two_sources_lies() {
    if !ao_testnet::full() {
        // Half a minute at best: logs have to be long for a state to come before their evaluation.
        return;
    }
    let mut network = Plan::new("attest", 2).with(|_, setup| setup.config("compute.certify_slots", LONG)).generate().await.unwrap();
    // Peers are asked in the order of their names: the liar first.
    let liar = if network.peer(0) < network.peer(1) { 0 } else { 1 };
    let setup = network.setup_mut(liar);
    *setup = setup.clone().env("AONODE_MISBEHAVE", "spoiler");
    network.start_all().await.unwrap();
    network.connected().await.unwrap();
    let (client, owner) = (network.client(0).unwrap(), Person::named("owner"));
    // A validator that has listened for its key long enough begins its engine anew, and says so to whoever comes at that moment.
    let spawn = || async { Ok(client.spawn(&owner, None, &[("On-Boot", "Data")], BURN).await.ok()) };
    let process = wait::until("a process", WITHIN, spawn).await.unwrap();
    let mut last = process;
    for n in 0..LONG {
        let item = owner.message(process, &[("Action", "Add"), ("Number", &n.to_string())], "");
        last = wait::until("a slot", WITHIN, || async { Ok(client.send(&item).await.ok()) }).await.unwrap();
    }
    client.result(process, last).await.unwrap();
    for at in [0, 1] {
        made(&network, at, process, LONG - 1).await;
    }

    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("joins");
    let genesis = network.folder().join("genesis.json");
    aonode(&["--datadir", text(&folder), "join", text(&genesis), "--port", "0", "--no-start"]).await.unwrap();
    let setup = Setup::new(&folder).service().config("compute.certify_slots", LONG).config("sync.mode", "snapshot");
    let node = setup.start().await.unwrap();
    let joined = node.log().wait_for(|line| line.contains("joined_at_state")).await;
    joined.unwrap_or_else(|error| panic!("{error:#}\n{}", node.log().tail(40)));

    let own = Client::new(node.base()).unwrap();
    let new = client.send(&owner.message(process, &[("Action", "Add"), ("Number", "new")], "")).await.unwrap();
    let expected = client.result(process, new).await.unwrap();
    assert_eq!(own.result(process, new).await.unwrap()["Output"], expected["Output"]);
    let page = own.get(&format!("/v1/processes/{process}/results?limit=1")).await.unwrap().json;
    say(format!("answered for slot {} with the past at {}", LONG + 1, page["backfill"]));
    for slot in [0, 1, LONG / 2, LONG - 1, LONG, LONG + 1] {
        let (theirs, ours) = (result_at(&client, process, slot).await, result_at(&own, process, slot).await);
        assert_eq!(theirs["result_hash"], ours["result_hash"], "slot {slot}");
    }
    let (theirs, ours) = (result_at(&client, process, LONG - 1).await, result_at(&own, process, LONG - 1).await);
    assert!(theirs["state_hash"].is_string() && theirs["state_hash"] == ours["state_hash"], "{theirs} {ours}");
    let metrics = Client::new(node.metrics().unwrap()).unwrap().get("/metrics").await.unwrap().text();
    let chunks = |outcome: &str| {
        let name = format!("aonode_snapshot_chunks_total{{outcome=\"{outcome}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).and_then(|count| count.parse::<u64>().ok()).unwrap_or_default()
    };
    assert!(chunks("bad") >= 1 && chunks("fetched") >= 1, "bad {}, fetched {}", chunks("bad"), chunks("fetched"));
    node.stop().await.unwrap();
}
