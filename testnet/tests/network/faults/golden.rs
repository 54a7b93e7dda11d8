//! F50: a data directory as an earlier build left it, kept in the repository, is read to the last byte and goes on.
//!
//! `AONODE_WRITE_GOLDEN=1` makes the file anew with the build at hand. That is for a new schema, under a new name: a file that is here stays,
//! for there are directories like it. Its keys are nobody's.

use std::path::{Path, PathBuf};
use std::process::Command;

use ao_testnet::client::{Client, output};
use ao_testnet::items::Person;
use ao_testnet::network::{Plan, agree};
use ao_testnet::node::{Node, Setup};
use ao_testnet::schedule::Schedule;
use ao_types::Id;
use serde_json::{Value, json};

use super::world::WITHIN;

/// Of schema 1: a validator by itself with engine `attest`, so that frames, proofs, results, checkpoints and what its key signed are in it.
const FILE: &str = "tests/golden/schema-1.DEV-ONLY.tar.gz";

/// What the node said of its data when it wrote them, beside them in the file.
const SAID: &str = "said.json";

/// Messages of the process.
const MESSAGES: u64 = 12;

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)
}

fn tar(arguments: &[&str]) {
    let done = Command::new("tar").args(arguments).output().unwrap();
    assert!(done.status.success(), "tar {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn setup(folder: &Path) -> Setup {
    Setup::new(folder).service().config("p2p.listen", "[\"/ip4/127.0.0.1/udp/0/quic-v1\"]")
}

/// Everything that a reader can see of the process.
async fn seen(client: &Client, process: Id) -> Value {
    let view = agree::settled(std::slice::from_ref(client), process, MESSAGES, WITHIN).await.unwrap();
    let mut proofs = Vec::new();
    let results = client.get(&format!("/v1/processes/{process}/results?limit=100")).await.unwrap().json;
    for slot in 0..=view.head {
        let proof = client.get(&format!("/v1/processes/{process}/slots/{slot}/proof")).await.unwrap();
        assert!(proof.status.is_success(), "slot {slot}: {}", proof.text());
        proofs.push(hex::encode(ao_types::hash::sha256(&[&proof.body])));
    }
    let log = Schedule::read(client, process).await.unwrap().nodes;
    json!({ "process": process.to_string(), "hash_chain": view.hash_chain, "log": log, "results": results["items"], "proofs": proofs })
}

async fn count(client: &Client, owner: &Person, process: Id, number: u64) -> String {
    let item = owner.message(process, &[("Action", "Eval"), ("N", &number.to_string())], "Count = (Count or 0) + 1 return Count");
    output(&client.call(process, &item).await.unwrap()).unwrap()
}

/// Makes the file.
async fn write() {
    let mut network = Plan::new("attest", 1).generate().await.unwrap();
    let folder = network.setup_mut(0).folder().to_owned();
    let node: Node = setup(&folder).start().await.unwrap();
    let (client, owner) = (Client::new(node.base()).unwrap(), Person::named("owner"));
    let process = client.spawn(&owner, None, &[], "Count = 0").await.unwrap();
    for number in 1..=MESSAGES {
        assert_eq!(count(&client, &owner, process, number).await, number.to_string());
    }
    let said = seen(&client, process).await;
    node.stop().await.unwrap();
    std::fs::write(folder.join(SAID), said.to_string()).unwrap();
    std::fs::create_dir_all(file().parent().unwrap()).unwrap();
    let leave = ["./modules", "./tmp", "./logs", "./LOCK", "./db/LOG*", "./slashing/LOG*"].map(|name| format!("--exclude={name}"));
    let leave: Vec<&str> = leave.iter().map(String::as_str).collect();
    let (to, from) = (file(), folder.to_string_lossy().into_owned());
    let fixed = ["--owner=0", "--group=0", "--numeric-owner", "--sort=name", "-czf"];
    tar(&[&leave[..], &fixed[..], &[to.to_str().unwrap(), "-C", &from, "."]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_an_earlier_build_is_read_as_it_was_and_goes_on() {
    if std::env::var_os("AONODE_WRITE_GOLDEN").is_some() {
        write().await;
    }
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("node");
    std::fs::create_dir(&folder).unwrap();
    tar(&["-xpzf", file().to_str().unwrap(), "--no-same-owner", "-C", folder.to_str().unwrap()]);
    let said: Value = serde_json::from_slice(&std::fs::read(folder.join(SAID)).unwrap()).unwrap();
    let process: Id = said["process"].as_str().unwrap().parse().unwrap();
    let owner = Person::named("owner");

    let node = setup(&folder).start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    assert_eq!(seen(&client, process).await, said, "what was written is read");
    let next = MESSAGES + 1;
    assert_eq!(count(&client, &owner, process, next).await, next.to_string(), "the state is the one that was left");
    let grown = seen(&client, process).await;
    node.stop().await.unwrap();
    let node = setup(&folder).start().await.unwrap();
    assert_eq!(seen(&Client::new(node.base()).unwrap(), process).await, grown, "old and new are read together");
    node.stop().await.unwrap();
}
