//! Evaluation of what is loaded begins at a state that somebody published in the reference unit's form, and what lies before is compared.

use std::time::Duration;

use ao_testnet::items::{Item, Person};
use ao_testnet::modules::AOS_64;
use ao_testnet::wait;
use ao_types::Id;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::world::{World, hashes, hashes_so_far};
use crate::{VERIFICATION, process};

const WITHIN: Duration = Duration::from_secs(300);
/// The state is that after this slot.
const SLOT: u64 = 6;
const LAST: u64 = 9;

/// A state as the reference unit publishes it.
async fn published(world: &World, owner: &Person, process: Id, module: Id, memory: &[u8]) -> Item {
    let page = world.client.get(&format!("/{process}?process-id={process}&from-nonce={}&limit=1", SLOT - 1)).await.unwrap().json;
    let assignment = &page["edges"][0]["node"]["assignment"];
    let tags = assignment["tags"].as_array().unwrap();
    let tag = |name: &str| tags.iter().find(|tag| tag["name"] == name).unwrap()["value"].as_str().unwrap().to_owned();
    let digest = hex::encode(Sha256::digest(memory));
    let (nonce, chain, time, height) = (SLOT.to_string(), tag("Hash-Chain"), tag("Timestamp"), tag("Block-Height"));
    assert_eq!(tag("Nonce"), nonce);
    let said = [
        ("Module", &module.to_string()),
        ("Process", &process.to_string()),
        ("Epoch", &tag("Epoch")),
        ("Nonce", &nonce),
        ("Ordinate", &nonce),
        ("Timestamp", &time),
        ("Block-Height", &height),
        ("Assignment", &assignment["id"].as_str().unwrap().to_owned()),
        ("Hash-Chain", &chain),
        ("Content-Type", &"application/octet-stream".to_owned()),
        ("SHA-256", &digest),
        ("Content-Encoding", &"gzip".to_owned()),
    ];
    let said = said.map(|(name, value)| (name, value.as_str()));
    let item = owner.item("Checkpoint", None, &said, ao_vm::checkpoint::export_gzip(memory).unwrap());
    world.client.upload(&item).await.unwrap();
    item
}

#[tokio::test(flavor = "multi_thread")]
async fn what_begins_at_a_published_state_is_what_a_replay_gives_or_is_taken_back() {
    let world = World::new().await;
    let module = world.person.module(AOS_64.format, "1-gb", AOS_64.read().unwrap());
    world.client.upload(&module).await.unwrap();
    let process = process(&world, Some(module.id), SLOT).await;
    let state = || async { world.client.get(&format!("/state/{process}")).await.unwrap().body };
    let memory = state().await;
    for number in SLOT + 1..=LAST {
        let item = world.person.eval(process, format!("Total = Total + {number}; return Total"));
        world.client.call(process, &item).await.unwrap();
    }
    let before = hashes(&world.client, process).await;
    let (honest, liar) = (Person::named("honest"), Person::named("liar"));
    let good = published(&world, &honest, process, module.id, &memory).await;
    let bad = published(&world, &liar, process, module.id, &state().await).await;
    let from = ["--su", world.node.base(), "--gateway", world.node.base()];

    // Nobody is believed who is not named.
    let none = world.load("none", process, &[&from[..], &["--checkpoint-owner", &Person::named("other").address()]].concat()).await;
    assert_eq!((none.exit, &none.said["checkpoint"], &none.said["passed"]), (0, &Value::Null, &json!([])), "{none:?}");

    let begun = world.load("honest", process, &[&from[..], &["--checkpoint-owner", &honest.address()]].concat()).await;
    let expected = json!({ "item": good.id, "owner": honest.address(), "slot": SLOT });
    assert_eq!((begun.exit, &begun.said["checkpoint"]), (0, &expected), "{begun:?}");
    let (slot, result, state) = before.last().unwrap();
    let found = &begun.said["evaluated"];
    let found = (found["slot"].as_u64(), found["result_hash"].as_str(), found["state_hash"].as_str());
    assert_eq!(found, (Some(*slot), Some(&**result), Some(&**state)), "{begun:?}");
    // The state of the last slot that is wanted is there without anything being evaluated.
    let at = SLOT.to_string();
    let only = world.load("only", process, &[&from[..], &["--to", &at, "--checkpoint-owner", &honest.address()]].concat()).await;
    assert_eq!((only.exit, &only.said["checkpoint"]), (0, &expected), "{only:?}");

    // One that is not the state of the log: whatever came of it is taken back.
    let lied = world.load("liar", process, &[&from[..], &["--checkpoint-owner", &liar.address()]].concat()).await;
    match lied.exit {
        0 => assert_eq!(lied.said["checkpoint"]["item"], json!(bad.id), "{lied:?}"),
        exit => assert!(exit == VERIFICATION && lied.error.contains("worked out from the log"), "{lied:?}"),
    }
    for name in ["honest", "liar"] {
        let (node, client) = world.serve(name).await;
        let same = || async { Ok(hashes_so_far(&client, process).await.filter(|found| *found == before)) };
        wait::until("every slot has the result and state that it has where it is ordered", WITHIN, same).await.unwrap();
        node.stop().await.unwrap();
    }
    world.node.stop().await.unwrap();
    world.weave.stop().await;
}
