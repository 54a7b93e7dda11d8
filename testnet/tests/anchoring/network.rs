//! Several nodes and one Arweave: each brings its own processes there, all see what is there, and whoever does nothing is stood in for.

use std::time::Duration;

use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::network::Plan;
use ao_testnet::node::Setup;
use ao_testnet::wait;
use ao_types::{Id, Signer as _};
use ao_weave::keys::{self, FUNDED_WINSTON};
use ao_weave::{Config, Weave};
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(180);

/// The first node writes nowhere.
fn setup(at: usize, setup: Setup) -> Setup {
    let setup = if at == 0 { setup.config("arweave.gateways", "[]") } else { setup };
    let pace = [("interval", "100ms"), ("look_every", "100ms"), ("confirmations", "3")];
    pace.into_iter().fold(setup, |setup, (key, value)| setup.config(&format!("arweave.{key}"), value))
}

async fn level(client: &Client, process: Id, slot: u64) -> Value {
    client.get(&format!("/v1/processes/{process}/slots/{slot}")).await.map_or(Value::Null, |answer| answer.json["state"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_sees_what_is_anchored_and_who_does_nothing_is_stood_in_for() {
    let payer = keys::funded().unwrap().address().as_id().unwrap();
    let weave = Weave::start(Config { funded: vec![(payer, FUNDED_WINSTON)], ..Config::default() }).await.unwrap();
    weave.mine(10).await.unwrap();
    let network = Plan::new("attest", 4).with(setup).arweave(&weave.url()).start().await.unwrap();
    let clients = network.clients().unwrap();
    let person = Person::named("several");
    // Ordered by the node that writes nowhere, and by one that does.
    let (idle, busy) = (clients[0].spawn(&person, None, &[], "").await.unwrap(), clients[1].spawn(&person, None, &[], "").await.unwrap());
    for (client, process) in [(&clients[0], idle), (&clients[1], busy)] {
        client.call(process, &person.message(process, &[("Action", "Ping")], "x")).await.unwrap();
    }
    let last = &clients[3];
    wait::until("what the second node orders is anchored, as the last node sees it", WITHIN, async || {
        weave.mine(1).await.unwrap();
        Ok((level(last, busy, 1).await == "anchored").then_some(()))
    })
    .await
    .unwrap();
    wait::until("somebody stands in for the first node", WITHIN, async || {
        weave.mine(1).await.unwrap();
        let seen = [level(&clients[1], idle, 1).await, level(&clients[2], idle, 1).await, level(last, idle, 1).await];
        Ok(seen.iter().all(|level| level == "anchored").then_some(()))
    })
    .await
    .unwrap();
    // One did: the turn of the others never came, or came once.
    let mut writers = 0;
    for client in &clients[1..] {
        let list = client.get("/v1/anchors?limit=100").await.unwrap().json;
        let ranges = list["items"].as_array().unwrap().iter().flat_map(|shipment| shipment["ranges"].as_array().unwrap().clone());
        writers += usize::from(ranges.into_iter().any(|range| range["process"] == idle.to_string()));
    }
    assert_eq!(writers, 1, "the others saw that it was done");
    assert_eq!(level(&clients[0], idle, 1).await, "confirmed", "a node that looks at no Arweave says no more than it knows");
    drop(network);
    weave.stop().await;
}
