//! `/v1`: every route of the document exists, and every answer is of the form the document says.

use ao_arweave::pipeline::{Bundle, Carrier, Covered, Holder, Place, Promise, Shipment, Stage};
use ao_storage::{Durability, Store as _, WriteBatch, schema};
use ao_types::Canonical as _;
use axum::body::Body;
use axum::extract::Request;
use serde_json::{Value, json};

use super::sockets::server;
use super::support::{Answer, START, Script, get, message_item, post, process_item, result, send};
use crate::http::{Edge, Limits};

/// Checks a value against the part of JSON Schema that the document uses.
fn conforms(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} is not there"));
        return conforms(document, target, value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| choice["type"] == "null" && value.is_null() || choice["type"] != "null" && !value.is_null();
        return conforms(document, choices.iter().find(fits).unwrap_or_else(|| panic!("{at}: {value}")), value, at);
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        _ => return,
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(kinds.contains(&kind), "{at}: {kind} is not one of {kinds:?}: {value}");
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{at}: {value} is not one of {values:?}");
    }
    for name in schema["required"].as_array().into_iter().flatten().filter(|_| !value.is_null()) {
        assert!(value.get(name.as_str().unwrap()).is_some(), "{at}: {name} is missing in {value}");
    }
    if let (Some(fields), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for (name, field) in fields {
            let property = properties.get(name).unwrap_or_else(|| panic!("{at}: `{name}` is not in the document"));
            conforms(document, property, field, &format!("{at}.{name}"));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        conforms(document, &schema["items"], item, &format!("{at}[{index}]"));
    }
}

const GENESIS: &str = r#"{"chain_id":"a","consensus":{},"name":"a","time":1,"validators":[],"version":1}"#;

struct World {
    edge: std::sync::Arc<Edge>,
    script: std::sync::Arc<Script>,
    process: String,
    message: String,
}

/// One that was mined, and had a promise before.
fn shipment(process: ao_types::Id) -> Shipment {
    let (id, to) = (ao_types::Id([7; 32]), ao_types::Slot(1));
    let place = Place { height: 5, block: bytes::Bytes::from_static(&[8; 48]), carrier: id, transaction: id };
    let covered = vec![Covered { process, from: ao_types::Slot(0), to }];
    let promise = Promise { given: 1, deadline: 201, receipt: bytes::Bytes::from_static(b"{}") };
    Shipment {
        number: 1,
        bundle: Bundle { root: [1; 32], bytes: 2, chunks: 1, items: 5, since_ms: 3, covered },
        stage: Stage::Mined(place),
        carriers: vec![Carrier { id, head: bytes::Bytes::new(), anchor_height: 4, reward: 1 << 70, signed_ms: 6, taken: true }],
        copies: vec![Holder { endpoint: "http://a".into(), chunks: 1, promise: Some(promise.clone()) }],
        signed_again: false,
        broken: vec![Holder { endpoint: "http://b".into(), chunks: 0, promise: Some(promise) }],
    }
}

fn world() -> World {
    let script = Script::new();
    let app = script.app();
    app.set_genesis(GENESIS.into());
    let edge = app.public();
    let process = script.spawned(5);
    let message = script.sent(process, "1").id.to_string();
    script.sent(process, "2");
    script.evaluate(process, 1, 0, &result("1"), false);
    let mut rows = WriteBatch::default();
    schema::EVIDENCE.put(&mut rows, &[0xab; 32], &bytes::Bytes::from_static(b"evidence"));
    schema::SHIPMENTS.put(&mut rows, &1, &shipment(process).encode().into());
    script.store.write(rows, Durability::Synced).unwrap();
    World { edge, script, process: process.to_string(), message }
}

#[tokio::test]
async fn the_document_is_true() {
    let world = world();
    let document = get(&world.edge, "/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut asked = 0;
    let mut operations = std::collections::HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operations.insert(operation["operationId"].as_str().unwrap().to_owned()), "two operations of one name");
            if path == "/v1/events" {
                continue; // Has no end; see below.
            }
            let uri = path
                .replace("{process}", &world.process)
                .replace("{id}", &world.message)
                .replace("{slot}", "1")
                .replace("{evidence}", &"ab".repeat(32))
                .replace("{number}", "1");
            let body: Vec<u8> = match operation["requestBody"]["content"].as_object().and_then(|content| content.keys().next()) {
                Some(kind) if kind == "application/json" => b"{}".to_vec(),
                Some(_) if path == "/v1/processes" => process_item(8, &[], "").as_bytes().to_vec(),
                Some(_) => message_item(ao_types::Id::parse(&world.process).unwrap(), &[("N", "3")], "3").as_bytes().to_vec(),
                None => Vec::new(),
            };
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&uri).body(Body::from(body)).unwrap();
            let answer = send(&world.edge, request).await;
            let described = &operation["responses"][answer.status.as_str()];
            assert!(answer.status.is_success() && described.is_object(), "{method} {path}: {} {}", answer.status, answer.text());
            let kind = answer.header("content-type");
            let content = &described["content"][kind];
            assert!(content.is_object(), "{method} {path}: {kind} is not documented");
            if kind == "application/json" {
                conforms(&document, &content["schema"], &answer.json(), path);
            }

            // The same route refuses in the documented form.
            let bad = uri.replace(&world.process, "x").replace(&world.message, "x").replace(&"ab".repeat(32), "x");
            if bad != uri {
                let request = Request::builder().method(method.to_uppercase().as_str()).uri(&bad).body(Body::empty()).unwrap();
                let answer = send(&world.edge, request).await;
                assert_eq!(answer.status, 400, "{method} {bad}");
                conforms(&document, &operation["responses"]["400"]["content"]["application/json"]["schema"], &answer.json(), &bad);
            }
            asked += 1;
        }
    }
    assert_eq!(asked + 1, crate::http::native::api().len());
    let unknown = get(&world.edge, "/v1/processes/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").await;
    conforms(&document, &json!({ "$ref": "#/components/schemas/Error" }), &unknown.json(), "error");
}

#[tokio::test]
async fn the_genesis_is_given_byte_by_byte_where_there_is_one() {
    let given = get(&world().edge, "/v1/genesis").await;
    assert_eq!((given.status.as_u16(), given.text()), (200, GENESIS));
    let none = get(&Script::new().app().public(), "/v1/genesis").await;
    assert_eq!((none.status.as_u16(), none.json()["error"]["code"].as_str()), (404, Some("AON-3008")));
}

#[tokio::test]
async fn pages_for_people() {
    let world = world();
    for (path, text) in [("/docs", "/v1/processes/{process}/slots"), ("/docs/errors", "id=\"AON-4001\"")] {
        let answer = get(&world.edge, path).await;
        assert!(answer.text().contains(text), "{path}");
        assert!(answer.header("content-type").starts_with("text/html"));
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
    }
}

#[tokio::test]
async fn lists_are_walked_to_their_end() {
    let world = world();
    for seed in 20..25 {
        world.script.spawned(seed);
    }
    let walk = async |path: &str| {
        let (mut items, mut cursor, mut pages) = (Vec::<Value>::new(), String::new(), 0);
        loop {
            let page =
                get(&world.edge, &format!("{path}{}limit=2&cursor={cursor}", if path.contains('?') { '&' } else { '?' })).await.json();
            items.extend(page["items"].as_array().unwrap().clone());
            pages += 1;
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return (items, pages),
            }
        }
    };
    let (processes, pages) = walk("/v1/processes").await;
    let ids: std::collections::HashSet<_> = processes.iter().map(|process| process["id"].as_str().unwrap()).collect();
    assert_eq!((processes.len(), ids.len(), pages), (6, 6, 3));
    let slots = |items: &[Value]| items.iter().map(|item| item["slot"].as_u64().unwrap()).collect::<Vec<_>>();
    let path = format!("/v1/processes/{}/slots", world.process);
    assert_eq!(slots(&walk(&path).await.0), [0, 1, 2]);
    assert_eq!(slots(&walk(&format!("{path}?order=desc")).await.0), [2, 1, 0]);
    let path = format!("/v1/processes/{}/results", world.process);
    assert_eq!(slots(&walk(&format!("{path}?order=desc")).await.0), [1, 0]);
    // A cursor of another process stays within this one.
    let other = get(&world.edge, &format!("/v1/processes/{}/slots?limit=1", processes[0]["id"].as_str().unwrap())).await.json();
    if let Some(cursor) = other["next_cursor"].as_str() {
        let page = get(&world.edge, &format!("/v1/processes/{}/slots?cursor={cursor}", world.process)).await.json();
        let inside = page["items"].as_array().unwrap().len();
        assert!(inside == 3 || inside == 0);
    }
    for bad in ["?cursor=x", "?cursor=AAAA", "?limit=0", "?order=up"] {
        assert_eq!(get(&world.edge, &format!("/v1/processes{bad}")).await.json()["error"]["code"], "AON-2001", "{bad}");
    }
}

#[tokio::test]
async fn results_say_where_they_stand_and_never_change() {
    let world = world();
    let path = |slot: u64| format!("/v1/processes/{}/results/{slot}", world.process);
    let answer = get(&world.edge, &path(1)).await;
    assert_eq!((answer.header("x-slot"), answer.header("x-state")), ("1", "confirmed"));
    assert_eq!(answer.json()["result"]["Output"]["data"], "1");
    assert!(answer.text().contains(&result("1")), "the stored text, as it is");
    let tag = answer.header("etag").to_owned();
    let again = Request::builder().uri(path(1)).header("if-none-match", &tag).body(Body::empty()).unwrap();
    assert_eq!(send(&world.edge, again).await.status, 304);
    // Not yet is not nothing.
    let pending = get(&world.edge, &path(2)).await;
    assert_eq!((pending.status.as_u16(), pending.header("retry-after")), (202, "1"));
    assert_eq!(pending.json()["behind"], 1);
    assert_eq!(get(&world.edge, &path(3)).await.json()["error"]["code"], "AON-3002");
    assert_eq!(get(&world.edge, &format!("/v1/processes/{}/results/x", world.process)).await.status, 400);
}

#[tokio::test]
async fn messages_are_tracked_and_taken_once() {
    let world = world();
    let shown = get(&world.edge, &format!("/v1/messages/{}", world.message)).await.json();
    assert_eq!((shown["state"].as_str(), shown["logs"][0]["slot"].as_u64()), (Some("confirmed"), Some(1)));
    assert_eq!(shown["logs"][0]["compute"]["state"], "pushed", "nothing was left to push");
    assert_eq!(shown["logs"][0]["timestamp"], START + 2000);
    let item = message_item(ao_types::Id::parse(&world.process).unwrap(), &[("N", "4")], "4");
    let first = post(&world.edge, "/v1/messages", item.as_bytes().clone()).await;
    let again = post(&world.edge, "/v1/messages", item.as_bytes().clone()).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
    for name in ["id", "process", "slot", "assignment", "timestamp", "status_url"] {
        assert_eq!(first.json()[name], again.json()[name], "{name}");
    }
    assert_eq!(first.json()["status_url"], format!("/v1/messages/{}", item.id()));
    let waiting = get(&world.edge, first.json()["status_url"].as_str().unwrap()).await.json();
    assert_eq!(waiting["logs"][0]["compute"]["state"], "waiting");
    let trace = get(&world.edge, &format!("/v1/messages/{}/trace", item.id())).await.json();
    assert_eq!((trace["entries"][0]["message"].as_str(), trace["more"].as_bool()), (Some(item.id().to_string().as_str()), Some(false)));
    let wrong = post(&world.edge, "/v1/processes", item.as_bytes().clone()).await;
    assert_eq!(wrong.json()["error"]["code"], "AON-1003");
    assert_eq!(get(&world.edge, "/v1/messages/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").await.status, 404);
}

#[tokio::test]
async fn events_stream_and_go_on_after_a_break() {
    let script = Script::new();
    let process = script.spawned(5);
    let server = server(&script, Limits { streams_max: 1, ..Limits::default() }).await;
    let mut client = server.connect().await;
    client.send(format!("GET /v1/events?process={process} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let head = client.until(": ready").await;
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    // One stream is all there may be.
    assert!(server.get("/v1/events").await.starts_with("HTTP/1.1 503"));
    let other = script.spawned(6);
    let message = script.sent(process, "1").id;
    let text = client.until_end_of("event: assigned", "}\n\n").await;
    assert!(text.contains(&message.to_string()) && !text.contains(&other.to_string()), "{text}");
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    drop(client);
    script.evaluate(process, 1, 0, &result("1"), true);
    while server.app.streams.available_permits() == 0 {
        tokio::task::yield_now().await;
    }
    let mut client = server.connect().await;
    client.send(format!("GET /v1/events?after={id} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let text = client.until_end_of("event: computed", "}\n\n").await;
    assert!(!text.contains("event: gap") && !text.contains("event: assigned"), "{text}");
    drop(client);
    while server.app.streams.available_permits() == 0 {
        tokio::task::yield_now().await;
    }
    let mut client = server.connect().await;
    client.send("GET /v1/events HTTP/1.1\r\nhost: x\r\nlast-event-id: 00000001-7\r\n\r\n").await;
    client.until("event: gap").await;
    assert!(server.get("/v1/events?after=x").await.starts_with("HTTP/1.1 400"));
    // A stream ends when the listener stops.
    server.app.stop.cancel();
    server.stop.cancel();
    client.rest().await;
    server.served.await.unwrap();
}

#[tokio::test]
async fn dry_runs_are_the_same_here() {
    let world = world();
    let answer: Answer = post(&world.edge, &format!("/v1/processes/{}/dry-run", world.process), "{}").await;
    assert_eq!(answer.json()["Output"], "dry");
    let bad = post(&world.edge, &format!("/v1/processes/{}/dry-run", world.process), "[").await;
    assert_eq!(bad.json()["error"]["code"], "AON-2001");
}
