//! The gateway's routes.

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use serde_json::{Value, json};

use super::support::{Script, get, post, process_item, send};

async fn fetch(edge: &crate::http::Edge, method: Method, uri: &str, headers: &[(&str, &str)]) -> super::support::Answer {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(edge, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn an_upload_is_found_at_once() {
    let script = Script::new();
    let edge = script.app().public();
    let tags = [
        ao_types::Tag::new("Data-Protocol", "ao"),
        ao_types::Tag::new("Type", "Module"),
        ao_types::Tag::new("Content-Type", "application/wasm"),
    ];
    let module = ao_types::ItemBuilder::new().tags(tags).data(&b"\0asm1234"[..]).sign(&super::support::wallet(4)).unwrap();
    let request = Request::builder().method(Method::POST).uri("/tx").header("content-type", "application/octet-stream");
    let answer = send(&edge, request.body(Body::from(module.as_bytes().clone())).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.json()["id"].as_str().unwrap()), (200, module.id().to_string().as_str()));

    for path in ["/raw/{}", "/{}", "/gateway/{}", "/gateway/raw/{}"] {
        let answer = get(&edge, &path.replace("{}", &module.id().to_string())).await;
        assert_eq!((&answer.body[..], answer.header("content-type")), (&b"\0asm1234"[..], "application/wasm"), "{path}");
        assert_eq!(answer.header("content-security-policy"), "sandbox");
    }
    let query = json!({ "query": format!("query {{ transactions(ids: [\"{}\"]) {{ edges {{ node {{ tags {{ name value }} block {{ height }} }} }} }} }}", module.id()) });
    let found = post(&edge, "/graphql", query.to_string()).await.json();
    assert_eq!(found["data"]["transactions"]["edges"][0]["node"]["tags"][1], json!({ "name": "Type", "value": "Module" }));
}

#[tokio::test]
async fn heads_ranges_and_etags() {
    let script = Script::new();
    let edge = script.app().public();
    let process = script.spawn(&process_item(5, &[("Content-Type", "text/plain")], "0123456789"));
    let path = format!("/raw/{process}");
    let head = fetch(&edge, Method::HEAD, &path, &[]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, "10", 0));
    assert_eq!(head.header("etag"), format!("\"{process}\""));
    let part = fetch(&edge, Method::GET, &path, &[("range", "bytes=2-4")]).await;
    assert_eq!((part.status.as_u16(), part.text(), part.header("content-range")), (206, "234", "bytes 2-4/10"));
    let beyond = fetch(&edge, Method::GET, &path, &[("range", "bytes=10-")]).await;
    assert_eq!((beyond.status.as_u16(), beyond.header("content-range")), (416, "bytes */10"));
    let again = fetch(&edge, Method::GET, &path, &[("if-none-match", head.header("etag"))]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let missing = fetch(&edge, Method::GET, "/raw/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", &[("if-none-match", "*")]).await;
    assert_eq!((missing.status.as_u16(), missing.json()["code"].as_str().unwrap()), (404, "AON-3003"));
    assert_eq!(get(&edge, "/raw/x").await.status, 400);
}

#[tokio::test]
async fn what_upload_tools_ask_before_they_post() {
    let script = Script::new();
    let edge = script.app().public();
    let process = script.spawn(&process_item(5, &[], ""));
    let height = get(&edge, "/height").await.text().to_owned();
    assert_eq!(height, "1600100");
    let current = get(&edge, "/block/current").await.json();
    assert_eq!(current["height"], 1_600_100);
    assert_eq!(current["timestamp"], 1_795_345_280, "in seconds");
    let before = get(&edge, "/block/height/1600099").await.json();
    assert_eq!(current["previous_block"], before["indep_hash"]);
    assert_eq!(get(&edge, "/tx_anchor").await.text(), current["indep_hash"].as_str().unwrap());
    assert_eq!(get(&edge, "/info").await.json()["current"], current["indep_hash"]);
    assert_eq!(get(&edge, "/block/height/1600101").await.status, 404);
    assert_eq!(get(&edge, "/block/height/0").await.status, 404);
    assert_eq!(get(&edge, "/block/height/x").await.status, 400);
    for path in ["/price/100", "/price/100/anybody", "/wallet/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8/balance"] {
        assert_eq!(get(&edge, path).await.text(), "0", "{path}");
    }
    assert_eq!(get(&edge, "/wallet/x/balance").await.status, 400);
    assert_eq!(get(&edge, "/price/x").await.status, 400);
    let status = get(&edge, &format!("/tx/{process}/status")).await.json();
    assert_eq!((status["block_height"].as_u64(), status["number_of_confirmations"].as_u64()), (Some(1_600_000), Some(101)));

    let transaction = Request::builder().method(Method::POST).uri("/tx").header("content-type", "application/json");
    let answer = send(&edge, transaction.body(Body::from("{}")).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str().unwrap()), (415, "AON-2009"));
    assert!(answer.json()["error"].is_string());
    assert_eq!(post(&edge, "/tx", "garbage").await.status, 400);
}

#[tokio::test]
async fn graphql_answers_follow_its_rules() {
    let script = Script::new();
    let edge = script.app().public();
    let bad = post(&edge, "/graphql", json!({ "query": "{ transactions { nowhere } }" }).to_string()).await;
    assert_eq!(bad.status, 200);
    assert_eq!(bad.json()["data"], Value::Null);
    assert!(bad.json()["errors"][0]["message"].as_str().unwrap().contains("nowhere"));
    let none = post(&edge, "/gateway/graphql", "not json").await;
    assert_eq!((none.status.as_u16(), none.json()["code"].as_str().unwrap()), (400, "AON-2001"));
    let long = json!({ "query": format!("{{ {} }}", "a".repeat(70_000)) }).to_string();
    assert_eq!(post(&edge, "/graphql", long).await.status, 413);
}
