//! Processes of the older network read from whoever shows them (`aonode process load`): from gateways alone, from their scheduler, and from
//! those that lie. What is loaded has the results and states that it has where it is ordered, slot by slot; what cannot be is not there.

mod begins;
mod shim;
mod world;

use ao_testnet::modules::AOS_64;
use ao_types::Id;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shim::{Said, Shim};
use world::{World, hashes};

const NOT_FOUND: i32 = 4;
const UNREACHABLE: i32 = 5;
const VERIFICATION: i32 = 8;
const PRECONDITION: i32 = 9;

/// A process with `count` messages, some of which fail and some of which are no text.
async fn process(world: &World, module: Option<Id>, count: u64) -> Id {
    let process = world.client.spawn(&world.person, module, &[], "").await.unwrap();
    for number in 1..=count {
        let item = match number % 4 {
            0 => world.person.eval(process, format!("error('as it should in {number}')")),
            1 => world.person.message(process, &[("Action", "Blob")], vec![0xff, 0xfe, number as u8]),
            _ => world.person.eval(process, format!("Total = (Total or 0) + {number}; return Total")),
        };
        world.client.call(process, &item).await.unwrap();
    }
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_loaded_is_what_its_scheduler_has_slot_by_slot() {
    let world = World::new().await;
    let module = world.person.module(AOS_64.format, "1-gb", AOS_64.read().unwrap());
    world.client.upload(&module).await.unwrap();
    let gateways = format!("{},{}", world.weave.gateway_url(0), world.weave.gateway_url(1));
    for (kind, module) in [("lua", None), ("aos", Some(module.id))] {
        let process = process(&world, module, 9).await;
        let before = hashes(&world.client, process).await;
        assert!(before.len() == 10 && before.iter().all(|(_, _, state)| !state.is_empty()), "{before:?}");
        world.anchored(process, 9).await;
        let (by_su, by_gateway) = (format!("{kind}-su"), format!("{kind}-gateway"));

        // From its scheduler: a part first, then what is new.
        let from = ["--su", world.node.base(), "--gateway", world.node.base()];
        let loaded = world.load(&by_su, process, &[&from[..], &["--to", "4"]].concat()).await;
        assert_eq!((loaded.exit, &loaded.said["slot"], &loaded.said["from"]), (0, &json!(4), &json!(0)), "{loaded:?}");
        let loaded = world.load(&by_su, process, &from).await;
        assert_eq!((loaded.exit, &loaded.said["from"], &loaded.said["added"]), (0, &json!(5), &json!(5)), "{loaded:?}");
        let again = world.load(&by_su, process, &from).await;
        assert_eq!((again.exit, &again.said["added"]), (0, &json!(0)), "{again:?}");

        // From Arweave alone, whatever one gateway makes of it.
        let alone = world.load(&by_gateway, process, &["--gateway", &gateways]).await;
        assert_eq!((alone.exit, &alone.said["added"], &alone.said["verified"]["linked"]), (0, &json!(10), &json!(10)), "{alone:?}");
        for said in [&loaded.said, &alone.said] {
            let (_, result, state) = before.last().unwrap();
            let found = &said["evaluated"];
            assert_eq!((found["result_hash"].as_str(), found["state_hash"].as_str()), (Some(&**result), Some(&**state)), "{said}");
            assert_eq!(said["verified"]["unlinked"], 0, "{said}");
        }
        for name in [&by_su, &by_gateway] {
            let (node, client) = world.serve(name).await;
            assert_eq!(hashes(&client, process).await, before, "{name}");
            read_only(&world, &client, process).await;
            node.stop().await.unwrap();
        }
    }
    world.node.stop().await.unwrap();
    world.weave.stop().await;
}

/// It answers what only reads, and refuses what would order, saying where to.
async fn read_only(world: &World, client: &ao_testnet::client::Client, process: Id) {
    assert_eq!(client.peek(&world.person, process, "Total").await.unwrap(), (2 + 3 + 6 + 7).to_string());
    let item = world.person.eval(process, "return 1");
    for path in ["/", "/su", "/v1/messages"] {
        let answer = client.post(path, &item).await.unwrap();
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{path}: {}", answer.text());
        // As its Scheduler-Location says, or whoever loaded it.
        assert!(answer.text().contains("orders process") && answer.text().contains(world.node.base()), "{}", answer.text());
    }
    let shown = client.get(&format!("/v1/processes/{process}")).await.unwrap().json;
    assert_eq!(shown["head"]["slot"], 9, "nothing was added: {shown}");
}

/// Edges of a page of a log.
fn edges(page: &mut Value) -> Option<&mut Vec<Value>> {
    page.get_mut("edges")?.as_array_mut()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lies_delays_and_changes_nothing() {
    let world = World::new().await;
    let process = process(&world, None, 6).await;
    let before = hashes(&world.client, process).await;
    let base = world.node.base();
    let su = |shim: &Shim| vec!["--gateway".to_owned(), base.to_owned(), "--su".to_owned(), shim.url.clone()];
    let load = async |name: &str, arguments: Vec<String>| {
        world.load(name, process, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    let same = async |name: &str| {
        let (node, client) = world.serve(name).await;
        assert_eq!(hashes(&client, process).await, before, "{name}");
        node.stop().await.unwrap();
    };

    // The same page for ever, backwards, each slot twice.
    let shim = Shim::before(base, |_, mut page| {
        if let Some(edges) = edges(&mut page) {
            edges.reverse();
            edges.extend(edges.clone());
            page["page_info"]["has_next_page"] = json!(true);
        }
        Said::Json(page)
    })
    .await;
    let loaded = load("backwards", su(&shim)).await;
    assert_eq!(loaded.exit, 0, "{loaded:?}");
    same("backwards").await;

    // Other messages than were signed: the gateway has the right ones.
    let shim = Shim::before(base, |_, mut page| {
        for edge in edges(&mut page).into_iter().flatten() {
            if edge["node"]["message"].is_object() {
                edge["node"]["message"]["data"] = json!("return os.exit()");
            }
        }
        Said::Json(page)
    })
    .await;
    assert_eq!(load("forged", su(&shim)).await.exit, 0);
    same("forged").await;

    // A slot is missing, or another's: nothing behind it is taken, and nothing stands in for it.
    for (name, change) in [
        ("missing", (|edges: &mut Vec<Value>, at| drop(edges.remove(at))) as fn(&mut Vec<Value>, usize)),
        ("renumbered", |edges, at| {
            let other = edges[edges.len() - 1]["node"]["assignment"].clone();
            edges[at]["node"]["assignment"] = other;
        }),
        ("rewritten", |edges, at| {
            let tags = edges[at]["node"]["assignment"]["tags"].as_array_mut().unwrap();
            tags.iter_mut().filter(|tag| tag["name"] == "Timestamp").for_each(|tag| tag["value"] = json!("1"));
        }),
    ] {
        let shim = Shim::before(base, move |_, mut page| {
            let third = json!({ "name": "Nonce", "value": "3" });
            if let Some(edges) = edges(&mut page)
                && let Some(at) = edges.iter().position(|edge| edge["node"]["assignment"]["tags"].as_array().unwrap().contains(&third))
            {
                change(edges, at);
            }
            Said::Json(page)
        })
        .await;
        let loaded = load(name, su(&shim)).await;
        assert_eq!(loaded.exit, NOT_FOUND, "{name}: {loaded:?}");
        assert!(loaded.error.contains("assignment of slot 3"), "{loaded:?}");
        // From somebody honest it goes on.
        let loaded = load(name, ["--gateway", base, "--su", base].map(str::to_owned).to_vec()).await;
        assert_eq!((loaded.exit, &loaded.said["from"], &loaded.said["added"]), (0, &json!(3), &json!(4)), "{loaded:?}");
        same(name).await;
    }

    // Answers without an end, and answers that lead to this machine or to its cloud's metadata.
    for name in ["huge", "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:22/"] {
        let say = move || if name == "huge" { Said::Bytes(80 << 20) } else { Said::See(name.to_owned()) };
        let shim = Shim::before(base, move |_, _| say()).await;
        let name = name.split(':').next().unwrap();
        let loaded = load(name, vec!["--gateway".into(), shim.url.clone(), "--su".into(), shim.url.clone()]).await;
        assert_eq!(loaded.exit, UNREACHABLE, "{name}: {loaded:?}");
    }

    // Nobody says that there is such a process; somebody says that a message is one; a node runs on the directory.
    let gateway = ["--gateway", base];
    assert_eq!(world.load("other", Id([7; 32]), &gateway).await.exit, NOT_FOUND);
    let message = world.person.eval(process, "return 1");
    world.client.send(&message).await.unwrap();
    assert_eq!(world.load("other", message.id, &gateway).await.exit, VERIFICATION);
    let busy = world.load("source", process, &gateway).await;
    assert_eq!(busy.exit, PRECONDITION, "a node runs on it: {busy:?}");
    world.node.stop().await.unwrap();
}
