//! The older network's units, request by request as `interop-legacynet.md` records them.

use std::sync::Arc;

use ao_types::{Id, Signer as _};
use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::{Value, json};

use super::support::{Answer, START, Script, get, message_item, post, process_item, result, send, shown, wallet};
use crate::http::Edge;

const NOBODY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn error(text: &str, code: &str) -> String {
    json!({ "error": text, "code": code }).to_string()
}

struct World {
    script: Arc<Script>,
    edge: Arc<Edge>,
    process: Id,
}

/// A process with three messages: the second failed, the third is not evaluated yet.
fn world() -> World {
    let script = Script::new();
    let edge = script.app().public();
    let process = script.spawned(5);
    for data in ["one", "two", "three"] {
        script.sent(process, data);
    }
    script.evaluate(process, 1, 0, &result("1"), false);
    script.evaluate(process, 2, 0, r#"{"Messages":[],"Assignments":[],"Spawns":[],"Output":"","GasUsed":0,"Error":"boom"}"#, true);
    World { script, edge, process }
}

impl World {
    async fn get(&self, path: &str) -> Answer {
        get(&self.edge, &path.replace("{P}", &self.process.to_string())).await
    }

    async fn slots(&self, path: &str) -> (Vec<String>, bool) {
        let page = self.get(path).await.json();
        let cursors = page["edges"].as_array().unwrap().iter().map(|edge| edge["cursor"].as_str().unwrap().to_owned()).collect();
        (cursors, page["page_info"]["has_next_page"].as_bool().unwrap())
    }

    async fn outputs(&self, path: &str) -> (Vec<String>, bool) {
        let page = self.get(path).await.json();
        let of = |edge: &Value| edge["node"]["Output"]["data"].as_str().unwrap().to_owned();
        (page["edges"].as_array().unwrap().iter().map(of).collect(), page["pageInfo"]["hasNextPage"].as_bool().unwrap())
    }
}

#[tokio::test]
async fn refused_items_say_why_in_json() {
    let world = world();
    let good = message_item(world.process, &[], "x");
    let mut tampered = good.as_bytes().to_vec();
    *tampered.last_mut().unwrap() ^= 1;
    let stranger = message_item(Id([7; 32]), &[], "x");
    post(&world.edge, "/", good.as_bytes().clone()).await;
    let words = "'body': A valid and signed data item must be provided as the body.";
    for (what, body, status, code, text) in [
        ("garbage", Bytes::from_static(b"garbage"), 400, "AON-1001", words),
        ("nothing", Bytes::new(), 400, "AON-1001", words),
        ("tampered", tampered.into(), 400, "AON-1002", words),
        ("unknown process", stranger.as_bytes().clone(), 404, "AON-3001", "is not known here"),
        ("replay", good.as_bytes().clone(), 400, "AON-1004", "MessageExists("),
    ] {
        let answer = post(&world.edge, "/", body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert_eq!(answer.json()["code"], code, "{what}");
        assert!(answer.json()["error"].as_str().unwrap().contains(text), "{what}: {}", answer.text());
    }
}

#[tokio::test]
async fn assigning_needs_both_ids_and_answers_with_the_assignment() {
    let world = world();
    let note = message_item(Id([7; 32]), &[("Note", "1")], "text");
    post(&world.edge, "/tx", note.as_bytes().clone()).await;
    let path = format!("?process-id={}&assign={}", world.process, note.id());
    let answer = post(&world.edge, &format!("/mu{path}&exclude=Data,Anchor&base-layer"), "").await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["message"], "Processing Assignment");
    let latest = world.get("/{P}/latest").await.json();
    assert_eq!(answer.json()["id"], latest["assignment"]["id"]);
    assert_eq!(latest["message"], Value::Null, "the scheduler does not show items that were sent elsewhere");
    let tags = latest["assignment"]["tags"].as_array().unwrap();
    assert_eq!(tags.iter().filter(|tag| tag["name"] == "Exclude").map(|tag| &tag["value"]).collect::<Vec<_>>(), ["Data", "Anchor"]);
    assert_eq!(world.script.calls.lock().last().unwrap(), r#"assign exclude=["Data", "Anchor"] base_layer=true"#);

    let again = post(&world.edge, &format!("/su{path}"), "").await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["id"], world.get("/{P}/latest").await.json()["assignment"]["id"]);
    for one in [format!("/?process-id={}", world.process), format!("/?assign={}", note.id()), "/su?assign=x".into()] {
        let answer = post(&world.edge, &one, "").await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str().unwrap()), (400, "AON-2001"), "{one}");
    }
}

#[tokio::test]
async fn monitors_take_signed_items_and_answer_text() {
    let world = world();
    let item = message_item(world.process, &[], " ");
    let path = format!("/monitor/{}", world.process);
    let answer = post(&world.edge, &path, item.as_bytes().clone()).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "Monitoring process"));
    let request = Request::builder().method(Method::DELETE).uri(&path).body(Body::from(item.as_bytes().clone())).unwrap();
    let answer = send(&world.edge, request).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (409, error("Process monitor not found", "AON-3007").as_str()));
    assert_eq!(post(&world.edge, &path, "unsigned").await.status, 400);
}

#[tokio::test]
async fn pushing_again_needs_a_number() {
    let world = world();
    let path = |n: &str| format!("/push/{NOBODY}/{n}?process-id={}", world.process);
    let answer = post(&world.edge, &path("0"), "").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (202, &*format!(r#"{{"message":"Processing Message Result","id":"{NOBODY}"}}"#)));
    assert_eq!(post(&world.edge, &path("x"), "").await.status, 400);
    assert_eq!(post(&world.edge, &format!("/mu/push/{NOBODY}/0"), "").await.text(), error("'processId': Required.", "AON-2001"));
}

#[tokio::test]
async fn a_node_of_the_schedule_byte_for_byte() {
    let world = world();
    let item = message_item(world.process, &[("Ä", "\"\n")], Bytes::from_static(b"a\xffb"));
    let accepted = world.script.schedule(world.process, &item, &[]);
    let owner = wallet(9);
    let scheduler = wallet(1);
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let answer = world.get(&format!("/{}?process-id={{P}}", item.id())).await;
    let node = answer.json();
    let chain = node["assignment"]["tags"][3]["value"].as_str().unwrap();
    let expected = format!(
        concat!(
            r#"{{"message":{{"id":"{id}","owner":{{"address":"{address}","key":"{key}"}},"data":"a{bad}b","#,
            r#""tags":[{{"name":"Data-Protocol","value":"ao"}},{{"name":"Variant","value":"ao.TN.1"}},"#,
            r#"{{"name":"Type","value":"Message"}},{{"name":"Ä","value":"\"\n"}}],"signature":"{signature}","anchor":null,"target":"{process}"}},"#,
            r#""assignment":{{"id":"{assignment}","owner":{{"address":"{su}","key":"{su_key}"}},"tags":[{{"name":"Process","value":"{process}"}},"#,
            r#"{{"name":"Epoch","value":"0"}},{{"name":"Nonce","value":"4"}},{{"name":"Hash-Chain","value":"{chain}"}},"#,
            r#"{{"name":"Block-Height","value":"000001600004"}},{{"name":"Timestamp","value":"{time}"}},{{"name":"Data-Protocol","value":"ao"}},"#,
            r#"{{"name":"Type","value":"Assignment"}},{{"name":"Variant","value":"ao.TN.1"}},{{"name":"Message","value":"{id}"}}],"#,
            r#""signature":"{su_signature}","anchor":null,"target":""}}}}"#
        ),
        id = item.id(),
        address = owner.address(),
        key = b64(owner.owner()),
        bad = '\u{fffd}',
        signature = b64(item.signature()),
        process = world.process,
        assignment = accepted.assignment.unwrap(),
        su = scheduler.address(),
        su_key = b64(scheduler.owner()),
        chain = chain,
        time = accepted.timestamp_ms,
        su_signature = node["assignment"]["signature"].as_str().unwrap(),
    );
    assert_eq!(answer.text(), expected);

    // `show-anchor` shows the assignment's, in base64url; the message's is text either way.
    let shown = world.get(&format!("/{}?process-id={{P}}&show-anchor", item.id())).await.json();
    assert_eq!(URL_SAFE_NO_PAD.decode(shown["assignment"]["anchor"].as_str().unwrap()).unwrap().len(), 32);
    assert_eq!(shown["message"]["anchor"], Value::Null);
}

#[tokio::test]
async fn a_process_s_data_is_null_if_it_is_no_text() {
    let world = world();
    let binary = process_item(6, &[], Bytes::from_static(b"\xff\xfe"));
    let process = world.script.spawn(&binary);
    let record = get(&world.edge, &format!("/processes/{process}")).await.json();
    assert_eq!(record["data"], Value::Null);
    let node = get(&world.edge, &format!("/{process}?process-id={process}")).await.json();
    assert_eq!(node["edges"][0]["node"]["message"]["data"], Value::Null);
}

#[tokio::test]
async fn the_process_record_byte_for_byte() {
    let world = world();
    let item = process_item(5, &[("Name", "counter")], "x");
    let owner = wallet(5);
    let expected = format!(
        concat!(
            r#"{{"process_id":"{}","block":"000001600000","owner":{{"address":"{}","key":"{}"}},"tags":[{{"name":"Data-Protocol","value":"ao"}},"#,
            r#"{{"name":"Variant","value":"ao.TN.1"}},{{"name":"Type","value":"Process"}},{{"name":"Scheduler","value":"s"}},"#,
            r#"{{"name":"Name","value":"counter"}}],"timestamp":{},"data":"x","anchor":"{}","signature":"{}","target":null}}"#
        ),
        item.id(),
        owner.address(),
        URL_SAFE_NO_PAD.encode(owner.owner()),
        START + 1000,
        r"\u0005".repeat(32),
        URL_SAFE_NO_PAD.encode(item.signature()),
    );
    assert_eq!(world.get("/su/processes/{P}").await.text(), expected);
}

#[tokio::test]
async fn schedule_pages_by_time_and_by_slot() {
    let world = world();
    let time = |slot: u64| (START + 1000 * (slot + 1)).to_string();
    let times = |slots: &[u64]| slots.iter().map(|slot| time(*slot)).collect::<Vec<_>>();
    let base = "/su/{P}?process-id={P}";
    for (query, expected, more) in [
        ("", times(&[0, 1, 2, 3]), false),
        ("&limit=2", times(&[0, 1]), true),
        ("&limit=4", times(&[0, 1, 2, 3]), false),
        // `from` is exclusive, `to` inclusive.
        (&*format!("&from={}", time(1)), times(&[2, 3]), false),
        (&*format!("&to={}", time(1)), times(&[0, 1]), false),
        (&*format!("&from={}&to={}", time(0), time(2)), times(&[1, 2]), false),
        (&*format!("&from={}&to={}&limit=1", time(0), time(2)), times(&[1]), true),
        (&*format!("&from={}", time(1) + "0"), vec![], false),
        ("&from=0&to=1", vec![], false),
        ("&from=&to=", times(&[0, 1, 2, 3]), false),
        // With a nonce bound the cursor is the nonce.
        ("&from-nonce=-1&limit=2", vec!["0".into(), "1".into()], true),
        ("&from-nonce=0", vec!["1".into(), "2".into(), "3".into()], false),
        ("&to-nonce=1", vec!["0".into(), "1".into()], false),
        ("&from-nonce=1&to-nonce=2", vec!["2".into()], false),
        ("&from-nonce=3", vec![], false),
        ("&from-nonce=9223372036854775807", vec![], false),
        ("&to-nonce=-1", vec![], false),
    ] {
        assert_eq!(world.slots(&format!("{base}{query}")).await, (expected, more), "{query}");
    }
    assert_eq!(world.get(&format!("{base}&from=x")).await.json()["code"], "AON-2001");
    assert_eq!(world.get(&format!("/su/{NOBODY}?process-id={NOBODY}")).await.status, 404);
    assert_eq!(world.get(&format!("/su/{NOBODY}?process-id={{P}}")).await.json()["code"], "AON-3002");
    assert_eq!(world.get("/su/x?process-id={P}").await.status, 400);
}

#[tokio::test]
async fn pages_join_to_the_whole_schedule_and_its_chain_holds() {
    let world = world();
    let (mut nodes, mut from) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/{{P}}?process-id={{P}}&limit=1&from={from}")).await.json();
        nodes.extend(page["edges"].as_array().unwrap().iter().map(|edge| edge["node"].clone()));
        if page["page_info"]["has_next_page"] == false {
            break;
        }
        from = page["edges"][0]["cursor"].as_str().unwrap().to_owned();
    }
    assert_eq!(nodes.len(), 4);
    let tag = |node: &Value, name: &str| {
        let tags = node["assignment"]["tags"].as_array().unwrap().iter();
        tags.into_iter().find(|tag| tag["name"] == name).map(|tag| tag["value"].as_str().unwrap().to_owned())
    };
    let mut chain = ao_types::HashChain::first(&world.process);
    for (slot, node) in nodes.iter().enumerate() {
        assert_eq!(tag(node, "Nonce").unwrap(), slot.to_string());
        assert_eq!(tag(node, "Hash-Chain").unwrap(), URL_SAFE_NO_PAD.encode(chain.as_bytes()));
        assert_eq!(tag(node, "Message").is_none(), slot == 0);
        chain = chain.next(&Id::parse(node["assignment"]["id"].as_str().unwrap()).unwrap());
    }
}

#[tokio::test]
async fn pages_of_large_items_end_early() {
    let world = world();
    for n in 0..3 {
        let data = vec![b'a' + n; crate::http::limits::PAGE_BYTES_MAX / 2 + 1];
        world.script.schedule(world.process, &message_item(world.process, &[], data), &[]);
    }
    let (cursors, more) = world.slots("/su/{P}?process-id={P}&from-nonce=3&limit=1000").await;
    assert_eq!((cursors, more), (vec!["4".to_owned(), "5".to_owned()], true));
    let (cursors, more) = world.slots("/su/{P}?process-id={P}&from-nonce=5&limit=1000").await;
    assert_eq!((cursors, more), (vec!["6".to_owned()], false));
    let large = json!({ "Output": { "data": "x".repeat(crate::http::limits::PAGE_BYTES_MAX) }, "GasUsed": 0 }).to_string();
    world.script.evaluate(world.process, 3, 0, &large, false);
    world.script.evaluate(world.process, 4, 0, &result("4"), false);
    let (outputs, more) = world.outputs(&format!("/results/{{P}}?from={}", START + 3000)).await;
    assert_eq!((outputs.len(), more), (1, true));
}

#[tokio::test]
async fn results_are_the_stored_bytes() {
    let world = world();
    let message = world.get("/{P}?process-id={P}&from-nonce=0&limit=1").await.json()["edges"][0]["node"]["message"]["id"].clone();
    let message = message.as_str().unwrap();
    for path in ["/result/{M}?process-id={P}", "/cu/result/{M}?process-id={P}&no-busy=1", "/cu/result/{M}/?process-id={P}&no-busy"] {
        let answer = world.get(&path.replace("{M}", message)).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, result("1").as_str()));
        assert_eq!(answer.header("content-type"), "application/json");
    }
    assert_eq!(world.get("/result/{P}?process-id={P}").await.text(), result("boot"), "the process id stands for the boot");
    let assignment = world.get("/{P}/latest").await.json();
    assert_eq!(assignment["message"]["data"], "three");
    let none: [&String; 0] = [];
    assert_eq!(world.script.calls.lock().iter().collect::<Vec<_>>(), none, "what is stored is not asked of the node");

    assert_eq!(world.get(&format!("/result/{message}")).await.text(), error("'processId': Required.", "AON-2001"));
    let unknown = world.get(&format!("/result/{NOBODY}?process-id={{P}}")).await;
    assert_eq!((unknown.status.as_u16(), unknown.json()["code"].as_str().unwrap()), (404, "AON-3002"));
    assert_eq!(world.get("/result/x?process-id={P}").await.status, 400);
}

#[tokio::test]
async fn a_result_that_is_being_computed_is_waited_for_by_all() {
    let world = world();
    let latest = world.get("/{P}/latest").await.json();
    let path = format!("/result/{}?process-id={{P}}", latest["message"]["id"].as_str().unwrap());
    let ready = async {
        // The waiters are asked first; evaluation ends when all of them wait.
        while world.script.calls.lock().iter().filter(|call| *call == "result").count() < 3 {
            tokio::task::yield_now().await;
        }
        world.script.evaluate(world.process, 3, 0, &result("3"), false);
    };
    let (first, second, third, ()) = tokio::join!(world.get(&path), world.get(&path), world.get(&path), ready);
    for answer in [first, second, third] {
        assert_eq!(answer.text(), result("3"));
    }
}

#[tokio::test]
async fn result_pages_both_ways() {
    let world = world();
    world.script.evaluate(world.process, 2, 1, &result("tick"), false);
    world.script.evaluate(world.process, 3, 0, &result("3"), false);
    let whole = world.get("/results/{P}").await;
    let cursor = |timestamp: u64, ordinate: &str, cron: &str, sort: &str| {
        STANDARD.encode(format!(r#"{{"timestamp":{timestamp},"ordinate":"{ordinate}","cron":{cron},"sort":"{sort}"}}"#))
    };
    let edge = |output: &str, cursor: String| format!(r#"{{"node":{},"cursor":"{cursor}"}}"#, shown(output));
    let expected = [
        edge("boot", cursor(START + 1000, "0", "null", "ASC")),
        edge("1", cursor(START + 2000, "1", "null", "ASC")),
        edge("tick", cursor(START + 3100, "2", "\"0-1-second\"", "ASC")),
        edge("3", cursor(START + 4000, "3", "null", "ASC")),
    ];
    assert_eq!(whole.text(), format!(r#"{{"pageInfo":{{"hasNextPage":false}},"edges":[{}]}}"#, expected.join(",")));

    let of = |outputs: &[&str]| outputs.iter().map(|output| (*output).to_owned()).collect::<Vec<_>>();
    let at = |timestamp, ordinate, cron, sort| urlencode(&cursor(timestamp, ordinate, cron, sort));
    for (query, expected, more) in [
        ("?sort=DESC".to_owned(), of(&["3", "tick", "1", "boot"]), false),
        ("?sort=desc&limit=1".into(), of(&["3"]), true),
        ("?limit=3".into(), of(&["boot", "1", "tick"]), true),
        ("?limit=4".into(), of(&["boot", "1", "tick", "3"]), false),
        // `from` is exclusive, `to` inclusive, both in the order of the log; the sort inside a cursor wins.
        (format!("?from={}", at(START + 2000, "1", "null", "ASC")), of(&["tick", "3"]), false),
        (format!("?from={}&sort=ASC", at(START + 2000, "1", "null", "DESC")), of(&["3", "tick"]), false),
        (format!("?from={}&limit=1", at(START + 2000, "1", "null", "DESC")), of(&["3"]), true),
        (format!("?from={}", at(START + 3100, "2", "\"0-1-second\"", "ASC")), of(&["3"]), false),
        (format!("?from={}", at(START + 4000, "3", "null", "DESC")), of(&[]), false),
        (format!("?to={}", at(START + 2000, "1", "null", "ASC")), of(&["boot", "1"]), false),
        (format!("?to={}", at(START + 3100, "2", "\"0-1-second\"", "DESC")), of(&["tick", "1", "boot"]), false),
        // A bare time.
        (format!("?from={}", START + 2000), of(&["tick", "3"]), false),
        (format!("?from={}", START + 3100), of(&["3"]), false),
        (format!("?from={}", START + 3099), of(&["tick", "3"]), false),
        (format!("?from={}&sort=DESC", START + 2000), of(&["3", "tick"]), false),
        (format!("?to={}", START + 3100), of(&["boot", "1", "tick"]), false),
        (format!("?to={}&sort=DESC", START + 3099), of(&["1", "boot"]), false),
        (format!("?from={}&to={}&sort=DESC", START + 1000, START + 3100), of(&["tick", "1"]), false),
        ("?to=0".into(), of(&[]), false),
        ("?from=99999999999999".into(), of(&[]), false),
    ] {
        assert_eq!(world.outputs(&format!("/results/{{P}}{query}")).await, (expected, more), "{query}");
    }
    assert_eq!(get(&world.edge, &format!("/results/{NOBODY}")).await.text(), r#"{"pageInfo":{"hasNextPage":false},"edges":[]}"#);
    for bad in ["?from=x", "?sort=UP", "?limit=0", "?limit=x"] {
        assert_eq!(world.get(&format!("/results/{{P}}{bad}")).await.json()["code"], "AON-2001", "{bad}");
    }
}

fn urlencode(text: &str) -> String {
    text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

#[tokio::test]
async fn cron_pages_show_ticks_only() {
    let script = Script::new();
    let edge = script.app().public();
    let process = script.spawn(&process_item(5, &[("Cron-Interval", "1-second")], ""));
    script.evaluate(process, 0, 0, &result("boot"), false);
    for cron in 1..=3 {
        script.evaluate(process, 0, cron, &result(&cron.to_string()), false);
    }
    let page = get(&edge, &format!("/cu/cron/{process}?limit=2")).await.json();
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    assert_eq!(page["edges"][0]["node"]["Output"]["data"], "1");
    let cursor = page["edges"][1]["cursor"].as_str().unwrap();
    let decoded: Value = serde_json::from_slice(&STANDARD.decode(cursor).unwrap()).unwrap();
    assert_eq!(decoded, json!({ "timestamp": START + 1200, "ordinate": "0", "cron": "0-1-second", "sort": "ASC" }));
    let rest = get(&edge, &format!("/cron/{process}?from={}", urlencode(cursor))).await.json();
    assert_eq!(rest["edges"].as_array().unwrap().len(), 1);
    assert_eq!(rest["edges"][0]["node"]["Output"]["data"], "3");
    assert_eq!(script.calls.lock().as_slice(), ["run_cron", "run_cron"]);
    assert_eq!(get(&edge, &format!("/cron/{NOBODY}")).await.status, 404);
}

#[tokio::test]
async fn dry_runs_fill_in_what_the_caller_left_out() {
    let world = world();
    let path = format!("/dry-run?process-id={}", world.process);
    let body = r#"{"Id":"1234","Target":"P","Owner":"1234","Anchor":"0","Data":"1234","Tags":[{"name":"Action","value":"Info"},{"name":"From","value":"forged"}]}"#;
    let answer = post(&world.edge, &path, body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["Output"], "dry");
    assert_eq!(answer.json()["Messages"], json!([]));
    post(&world.edge, &path, "{}").await;
    let tags = r#"{"Tags":[{"name":"From-Process","value":"other"}],"Timestamp":"7","Block-Height":8,"Data":{"a":1}}"#;
    post(&world.edge, &format!("/cu{path}&to=1"), tags).await;
    let seen = world.script.dry.lock().clone();
    assert_eq!(seen[0].tags, [ao_types::Tag::new("Action", "Info")]);
    assert_eq!((seen[0].from.as_str(), seen[0].target.as_str()), ("1234", "P"));
    assert!(seen[0].read_only && seen[0].nonce.is_none());
    assert_eq!((seen[1].id.as_deref(), seen[1].owner.as_str(), seen[1].anchor.as_deref()), (Some("1234"), "1234", Some("0")));
    assert_eq!((seen[1].target.clone(), seen[1].data.as_deref()), (world.process.to_string(), Some(&b"1234"[..])));
    assert_eq!((seen[1].timestamp, seen[1].block_height), (START + 3000, 1_600_002), "the last evaluation's");
    assert_eq!((seen[2].from.as_str(), seen[2].forwarded_by.as_deref()), ("other", Some("1234")));
    assert_eq!((seen[2].timestamp, seen[2].block_height, seen[2].data.as_deref()), (7, 8, Some(&br#"{"a":1}"#[..])));
    assert_eq!(world.script.calls.lock().last().unwrap(), "dry_run at=Some(Slot(1))");

    for (path, body, code) in [
        ("/dry-run", "{}", "AON-2001"),
        (&*format!("/dry-run?process-id={NOBODY}"), "{}", "AON-3001"),
        (&*format!("{path}&to={NOBODY}"), "{}", "AON-3002"),
        (&*path, "[]", "AON-2001"),
        (&*path, "", "AON-2001"),
        (&*path, r#"{"Tags":1}"#, "AON-2001"),
        (&*path, r#"{"Timestamp":-1}"#, "AON-2001"),
    ] {
        let answer = post(&world.edge, path, body.to_owned()).await;
        assert_eq!(answer.json()["code"], code, "{path} {body}: {}", answer.text());
        assert!(answer.json()["error"].is_string());
    }
}

#[tokio::test]
async fn state_is_bytes_and_says_where_it_stands() {
    let world = world();
    let answer = world.get("/state/{P}").await;
    assert_eq!(&answer.body[..], [0, 1, 2, 255]);
    assert_eq!(answer.header("last-ordinate"), "1");
    assert_eq!(answer.header("last-timestamp"), (START + 2000).to_string());
    assert_eq!(answer.header("last-block-height"), "1600001");
    let then = world.get(&format!("/cu/state/{{P}}?to={}", START + 1500)).await;
    assert_eq!(then.header("last-ordinate"), "0");
    assert_eq!(world.get("/state/{P}?to=1").await.status, 400);
    assert_eq!(world.get(&format!("/state/{NOBODY}")).await.status, 404);
}

#[tokio::test]
async fn the_messenger_s_trace_page() {
    let world = world();
    let page = world.get("/mu?debug=1&process={P}&page-size=3").await.json();
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let slots: Vec<_> = page["edges"].as_array().unwrap().iter().map(|edge| edge["node"]["slot"].as_u64().unwrap()).collect();
    assert_eq!(slots, [3, 2, 1]);
    let rest = world.get("/?debug=1&process={P}&page-size=3&page=2").await.json();
    assert_eq!((rest["edges"][0]["node"]["slot"].as_u64(), rest["pageInfo"]["hasNextPage"].as_bool()), (Some(0), Some(false)));
    let one = world.get("/mu?debug=1&process={P}&message={P}").await.json();
    assert_eq!(one["edges"].as_array().unwrap().len(), 1);
    assert_eq!(world.get(&format!("/mu?debug=1&process={{P}}&message={NOBODY}&spawn={NOBODY}")).await.status, 422);
    assert_eq!(world.get("/mu?debug=1").await.status, 400);
    assert_eq!(world.get(&format!("/mu?debug=1&process={NOBODY}")).await.status, 404);
}

#[tokio::test]
async fn small_things_of_the_scheduler() {
    let world = world();
    let time = world.get("/timestamp?process-id={P}").await.json();
    assert!(time["timestamp"].as_str().unwrap().parse::<u64>().unwrap() > START / 2);
    assert_eq!(time["block_height"], "000001600100");
    let health = world.get("/su/health").await;
    assert_eq!((health.status.as_u16(), health.text()), (200, ""));
}
