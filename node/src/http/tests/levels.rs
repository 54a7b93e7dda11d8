//! Levels in answers, waiting for them, and what is given to those who believe nobody.

use std::time::Duration;

use ao_consensus::Evidence;
use ao_storage::schema;
use ao_storage::{Durability, Store as _, WriteBatch};
use ao_types::{Canonical as _, Signer as _, Slot};

use super::support::{Script, get, message_item, post, process_item, result};
use crate::http::Limits;

#[tokio::test]
async fn an_answer_comes_when_the_message_is_as_far_as_was_asked() {
    let script = Script::new();
    let edge = script.app().public();
    let process = script.spawned(5);
    let item = |n: &str| message_item(process, &[("N", n)], "x").as_bytes().clone();
    // Without a wish: at once, with the level that is certain then.
    let answer = post(&edge, "/v1/messages", item("0")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-state"), answer.header("x-slot")), (202, "assigned", "1"));
    assert!(answer.json().get("wait").is_none());
    // The script confirms what it assigns: every level of order is reached at once.
    for (slot, goal, state) in [(2, "assigned", "assigned"), (3, "certified", "confirmed"), (4, "confirmed", "confirmed")] {
        let answer = post(&edge, &format!("/v1/messages?wait={goal}"), item(goal)).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-state")), (200, state), "{goal}");
        let json = answer.json();
        assert_eq!((&json["state"], &json["slot"], &json["wait"]["reached"]), (&state.into(), &slot.into(), &true.into()), "{goal}");
    }
    // A second time is no error, and waits as well.
    assert_eq!(post(&edge, "/v1/messages?wait=confirmed", item("confirmed")).await.status, 200);
    // What is not there in time is named, and so is what is.
    let late = post(&edge, "/v1/messages?wait=computed&timeout_ms=1", item("late")).await;
    assert_eq!((late.status.as_u16(), late.header("retry-after"), late.header("x-state")), (202, "1", "confirmed"));
    assert_eq!(late.json()["wait"], serde_json::json!({ "for": "computed", "reached": false, "reason": null }));
    assert_eq!(late.json()["slot"], 5);
    // It comes while somebody waits.
    let (waited, ()) = tokio::join!(post(&edge, "/v1/messages?wait=computed&timeout_ms=60000", item("now")), async {
        while !script.calls.lock().iter().any(|call| call == "reach computed 60s") {
            tokio::task::yield_now().await;
        }
        script.evaluate(process, 6, 0, &result("1"), false);
    });
    assert_eq!((waited.status.as_u16(), waited.json()["wait"]["reached"].as_bool()), (200, Some(true)));
}

#[tokio::test]
async fn a_slot_can_be_waited_for_before_anybody_knows_it() {
    let script = Script::new();
    let edge = script.app().public();
    let item = process_item(8, &[], "");
    let process = item.id();
    let path = format!("/v1/processes/{process}/slots/0?wait=assigned&timeout_ms");
    let unknown = get(&edge, &format!("{path}=1")).await;
    assert_eq!(unknown.json()["error"]["code"], "AON-3001", "{}", unknown.text());
    let path = format!("{path}=60000");
    let (found, ()) = tokio::join!(get(&edge, &path), async {
        while !script.calls.lock().iter().any(|call| call == "reach assigned 60s") {
            tokio::task::yield_now().await;
        }
        script.spawn(&item);
    });
    assert_eq!((found.status.as_u16(), found.json()["wait"]["reached"].as_bool()), (200, Some(true)), "{}", found.text());
    assert_eq!(found.header("x-state"), "confirmed");
}

#[tokio::test]
async fn wishes_are_checked_before_anything_is_done() {
    let script = Script::new();
    let process = script.spawned(5);
    let item = message_item(process, &[], "x").as_bytes().clone();
    let edge = script.app_with(Limits { waiters_max: 1, ..Limits::default() }).public();
    for bad in ["wait=anchored", "wait=received", "wait=computed&timeout_ms=0", "wait=computed&timeout_ms=x"] {
        let answer = post(&edge, &format!("/v1/messages?{bad}"), item.clone()).await;
        assert_eq!(answer.json()["error"]["code"], "AON-2001", "{bad}");
    }
    // One place: whoever comes second is told before the message is taken.
    let second = async {
        while !script.calls.lock().iter().any(|call| call.starts_with("reach")) {
            tokio::task::yield_now().await;
        }
        post(&edge, "/v1/messages?wait=computed", message_item(process, &[], "y").as_bytes().clone()).await
    };
    let (_, second) = tokio::join!(post(&edge, "/v1/messages?wait=computed&timeout_ms=50", item), second);
    assert_eq!((second.status.as_u16(), second.json()["error"]["code"].as_str()), (503, Some("AON-4001")), "{}", second.text());
    assert_eq!(script.calls.lock().iter().filter(|call| call.starts_with("submit")).count(), 1);
    // Nobody waits longer than that.
    let max = Duration::from_millis(crate::http::limits::WAIT_MS.1 as u64);
    get(&edge, &format!("/v1/processes/{process}/slots/0?wait=assigned&timeout_ms=99999999999")).await;
    assert!(script.calls.lock().iter().any(|call| *call == format!("reach assigned {max:?}")));
}

#[tokio::test]
async fn a_message_has_the_best_level_of_its_logs() {
    let script = Script::new();
    let edge = script.app().public();
    let process = script.spawned(5);
    let sent = script.sent(process, "1").id;
    let mut rows = WriteBatch::default();
    schema::CONFIRMED.put(&mut rows, &process, &Slot(0));
    script.store.write(rows, Durability::Buffered).unwrap();
    let state = async || get(&edge, &format!("/v1/messages/{sent}")).await;
    assert_eq!((state().await.json()["state"].as_str(), state().await.header("x-state")), (Some("assigned"), "assigned"));
    let mut rows = WriteBatch::default();
    schema::CONFIRMED.put(&mut rows, &process, &Slot(1));
    script.store.write(rows, Durability::Buffered).unwrap();
    assert_eq!((state().await.json()["state"].as_str(), state().await.header("x-state")), (Some("confirmed"), "confirmed"));
}

#[tokio::test]
async fn a_node_by_itself_proves_nothing_and_says_so() {
    let script = Script::new();
    let process = script.spawned(5);
    let answer = get(&script.app().public(), &format!("/v1/processes/{process}/slots/0/proof")).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"]["code"].as_str()), (404, Some("AON-3008")));
    let app = script.app();
    app.set_genesis("{}".into());
    // In a network: not yet, and the level.
    let answer = get(&app.public(), &format!("/v1/processes/{process}/slots/0/proof")).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after"), answer.header("x-state")), (202, "1", "confirmed"));
    let answer = get(&app.public(), &format!("/v1/processes/{process}/slots/9/proof")).await;
    assert_eq!(answer.json()["error"]["code"], "AON-3002");
}

#[tokio::test]
async fn evidence_is_listed_page_by_page_and_given_as_it_is() {
    let script = Script::new();
    let edge = script.app().public();
    let attestation = |n: u8| ao_types::Attestation {
        statement: ao_types::Statement::Frame {
            chain: ao_types::Chain { scheduler: ao_types::Address::Ethereum([1; 20]), tenure: 0 },
            sequence: 1,
            frame: ao_types::FrameId([n; 32]),
        },
        key: ao_types::BlsKey([9; 48]),
        signature: ao_types::BlsSignature([8; 96]),
    };
    let evidence: Vec<Evidence> =
        (2..5).map(|n| Evidence::TwoBranches { lower: attestation(1), higher: attestation(n), headers: Vec::new() }).collect();
    let mut rows = WriteBatch::default();
    evidence.iter().for_each(|one| schema::EVIDENCE.put(&mut rows, &one.id(), &one.encode().into()));
    // Of a later version.
    schema::EVIDENCE.put(&mut rows, &[0xff; 32], &bytes::Bytes::from_static(b"from the future"));
    script.store.write(rows, Durability::Synced).unwrap();
    let first = get(&edge, "/v1/evidence?limit=3").await.json();
    let items = first["items"].as_array().unwrap();
    let mut ids: Vec<_> = evidence.iter().map(|one| hex::encode(one.id())).collect();
    ids.sort();
    assert_eq!(items.iter().map(|item| item["id"].as_str().unwrap()).collect::<Vec<_>>(), ids);
    assert_eq!((items[0]["kind"].as_str(), items[0]["role"].as_str()), (Some("two-branches"), Some("attestor")));
    assert_eq!(items[0]["accused"][0], format!("0x{}", "09".repeat(48)));
    let second = get(&edge, &format!("/v1/evidence?limit=3&cursor={}", first["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!((second["items"].as_array().unwrap().len(), &second["items"][0]["kind"]), (1, &serde_json::Value::Null));
    assert!(second["next_cursor"].is_null());
    let given = get(&edge, &format!("/v1/evidence/{}", ids[0])).await;
    assert_eq!(hex::encode(Evidence::decode(&given.body).unwrap().id()), ids[0]);
    for (id, status) in [("00".repeat(32), 404), ("xx".to_owned(), 400)] {
        assert_eq!(get(&edge, &format!("/v1/evidence/{id}")).await.status, status, "{id}");
    }
}

#[tokio::test]
async fn the_status_of_a_member_shows_its_network() {
    let script = Script::new();
    let alone = get(&script.app().public(), "/v1/status").await.json();
    assert!(alone["consensus"].is_null() && alone["peers"].is_null());
    let app = script.app();
    app.set_genesis(crate::proofs::tests::genesis().into());
    let scheduler = super::support::wallet(1).address();
    let mut rows = WriteBatch::default();
    for (sequence, proof) in [(0, Some(bytes::Bytes::from_static(b"proof"))), (1, None), (2, None)] {
        let empty = bytes::Bytes::new;
        let row = schema::FrameRow { frame: empty(), signature: empty(), held: Vec::new(), tip: empty(), proof };
        schema::FRAMES.put(&mut rows, &schema::FrameKey { scheduler, tenure: 0, sequence }, &row);
    }
    schema::CERTIFIED.put(&mut rows, &(scheduler, 0), &1);
    script.store.write(rows, Durability::Synced).unwrap();
    let shown = get(&app.public(), "/v1/status").await.json();
    let consensus = &shown["consensus"];
    assert_eq!((consensus["stake"].as_str(), consensus["own"]["stake"].as_str()), (Some("3"), Some("3")), "{consensus}");
    let chain = serde_json::json!({
        "scheduler": scheduler.to_string(), "tenure": 0, "own": true, "sequence": 2, "certified": 1, "confirmed": 0, "behind": 2,
    });
    assert_eq!(consensus["chains"], serde_json::json!([chain]));
}
