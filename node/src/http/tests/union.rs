//! One origin for all units.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode};

use super::support::{Script, get, message_item, post, process_item, send};

#[tokio::test]
async fn the_root_satisfies_every_unit_s_clients() {
    let script = Script::new();
    let edge = script.app().public();
    let root = get(&edge, "/").await.json();
    assert_eq!(root["address"], get(&edge, "/su").await.json()["address"]);
    assert!(root["timestamp"].is_string(), "the scheduler's form");
    assert_eq!(root["network"], "test");
    assert_eq!(root["height"], 1_600_100);
    assert_eq!(root["engine"], "solo");
    assert_eq!(root["current"].as_str().unwrap().len(), 64);
    assert!(get(&edge, "/cu").await.json()["timestamp"].is_number(), "the compute unit's form");
    assert_eq!(get(&edge, "/mu").await.text(), "ao messenger unit");
    assert_eq!(get(&edge, "/gateway").await.json()["network"], "test");
}

#[tokio::test]
async fn post_answers_the_union_and_each_prefix_its_own_form() {
    let script = Script::new();
    let edge = script.app().public();
    let process = script.spawned(5);
    for (path, status, form) in [
        ("/", 202, r#"{"message":"Processing DataItem","id":"ID","timestamp":TIME}"#),
        ("/mu", 202, r#"{"message":"Processing DataItem","id":"ID"}"#),
        ("/mu/", 202, r#"{"message":"Processing DataItem","id":"ID"}"#),
        ("//mu//", 202, r#"{"message":"Processing DataItem","id":"ID"}"#),
        ("/su", 200, r#"{"timestamp":TIME,"id":"ID"}"#),
        ("/su/", 200, r#"{"timestamp":TIME,"id":"ID"}"#),
    ] {
        let item = message_item(process, &[("For", path)], "1+1");
        let answer = post(&edge, path, item.as_bytes().clone()).await;
        let time = get(&edge, &format!("/{process}/latest")).await.json();
        let time = time["assignment"]["tags"].as_array().unwrap().iter().find(|tag| tag["name"] == "Timestamp").unwrap()["value"].clone();
        let expected = form.replace("ID", &item.id().to_string()).replace("TIME", time.as_str().unwrap());
        assert_eq!((answer.status.as_u16(), answer.text()), (status, expected.as_str()), "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let calls = script.calls.lock().clone();
    assert_eq!(calls.iter().filter(|call| *call == "submit ScheduleOnly").count(), 2);
    assert_eq!(calls.iter().filter(|call| *call == "submit Client").count(), 4);
}

#[tokio::test]
async fn an_id_is_the_scheduler_s_if_the_request_speaks_of_a_process() {
    let script = Script::new();
    let edge = script.app().public();
    let process = script.spawned(5);
    let message = script.sent(process, "the data").id;
    assert_eq!(get(&edge, &format!("/{message}")).await.text(), "the data");
    assert_eq!(get(&edge, &format!("/gateway/{message}")).await.text(), "the data");
    let node = get(&edge, &format!("/{message}?process-id={process}")).await.json();
    assert_eq!(node["message"]["id"], message.to_string());
    let page = get(&edge, &format!("/{process}?process-id={process}")).await.json();
    assert_eq!(page["edges"].as_array().unwrap().len(), 2);
    // `getMessages` of aoconnect leaves `process-id` out.
    for path in [format!("/{process}?limit=1"), format!("/su/{process}?from=0&to=9999999999999"), format!("/su/{process}")] {
        assert!(get(&edge, &path).await.json()["edges"].is_array(), "{path}");
    }
}

#[tokio::test]
async fn every_answer_can_be_read_from_every_origin() {
    let script = Script::new();
    let edge = script.app().public();
    for path in ["/", "/nowhere/at/all", "/mu", "/v1/status", "/result/x", "/readyz"] {
        let answer = get(&edge, path).await;
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        assert!(!answer.header("x-request-id").is_empty());
    }
    for path in ["/", "/mu", "/graphql", "/v1/messages", "/nowhere"] {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .uri(path)
            .header("origin", "https://example.org")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,x-max-age")
            .body(Body::empty())
            .unwrap();
        let answer = send(&edge, request).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answer.header("access-control-allow-headers"), "content-type,x-max-age");
        assert!(answer.header("access-control-allow-methods").contains("DELETE"));
    }
}

#[tokio::test]
async fn what_is_not_there_is_json_too() {
    let script = Script::new();
    let edge = script.app().public();
    let answer = get(&edge, "/nowhere/at/all").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.text(), r#"{"error":"no such route: /nowhere/at/all","code":"AON-2002"}"#);
    let answer = get(&edge, "/favicon.ico").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (404, r#"{"error":"no such route: /favicon.ico","code":"AON-2002"}"#));
    let answer = post(&edge, "/results/x", "").await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str().unwrap()), (405, "AON-2003"));
    assert_eq!(answer.header("allow"), "GET,HEAD");
    let answer = get(&edge, "/v1/nowhere").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"]["code"], "AON-2002");
    assert_eq!(answer.json()["error"]["doc"], "/docs/errors#AON-2002");
}

#[tokio::test]
async fn request_ids_are_kept_if_decent() {
    let script = Script::new();
    let edge = script.app().public();
    let ask = async |id: &str| {
        let request = Request::builder().uri("/livez").header("x-request-id", id).body(Body::empty()).unwrap();
        send(&edge, request).await.header("x-request-id").to_owned()
    };
    assert_eq!(ask("abc-1.2_3").await, "abc-1.2_3");
    assert_ne!(ask("with space").await, "with space");
    assert_ne!(ask(&"x".repeat(65)).await, "x".repeat(65));
    assert_ne!(ask("").await, ask("").await);
}

#[tokio::test]
async fn spawning_needs_no_other_route() {
    let script = Script::new();
    let edge = script.app().public();
    let item = process_item(7, &[], "data");
    let answer = post(&edge, "/", item.as_bytes().clone()).await;
    assert_eq!(answer.json()["id"], item.id().to_string());
    assert!(answer.json().get("processId").is_none(), "it would override the id that the client computed");
    let record = get(&edge, &format!("/processes/{}", item.id())).await.json();
    assert_eq!(record["process_id"], item.id().to_string());
}
