//! The operator's listener (`faults.md`, F43).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::Request;
use parking_lot::Mutex;

use super::support::{Answer, Script, get, message_item, post, send};
use crate::http::{AdminHooks, Edge, Open, Origins, Reloaded};

pub struct Hooked {
    pub hooks: AdminHooks,
    level: Arc<Mutex<String>>,
    stopped: Arc<AtomicBool>,
}

pub fn hooked() -> Hooked {
    let (level, stopped): (Arc<Mutex<String>>, Arc<AtomicBool>) = Default::default();
    let (set, stop) = (level.clone(), stopped.clone());
    let hooks = AdminHooks {
        set_log_level: Arc::new(move |text| {
            if text.contains('!') {
                return Err("not a filter".into());
            }
            text.clone_into(&mut set.lock());
            Ok(())
        }),
        reload: Arc::new(|| Ok(Reloaded { changed: vec!["log.level".into()], needs_restart: vec!["api.listen".into()] })),
        shutdown: Arc::new(move || stop.store(true, Ordering::Relaxed)),
    };
    Hooked { hooks, level, stopped }
}

pub async fn call(edge: &Edge, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(edge, request.body(Body::from(body.to_owned())).unwrap()).await
}

pub const HOST: (&str, &str) = ("host", "127.0.0.1:7701");
pub const TOKEN: (&str, &str) = ("authorization", "Bearer s3cret");

#[tokio::test]
async fn a_stranger_gets_nothing_and_no_browser_may_read_it() {
    let script = Script::new();
    let hooked = hooked();
    let edge = script.app().admin(hooked.hooks, "s3cret".into(), vec![]);
    for headers in [
        vec![HOST],
        vec![HOST, ("authorization", "Bearer wrong!")],
        vec![("host", "rebound.example:7701"), TOKEN],
        vec![HOST, TOKEN, ("origin", "https://example.org")],
    ] {
        for path in ["/admin/status", "/admin/shutdown", "/admin/nowhere", "/"] {
            let answer = call(&edge, "POST", path, &headers, "").await;
            assert_eq!(answer.status, 403, "{headers:?} {path}");
            assert_eq!(answer.header("access-control-allow-origin"), "");
        }
        assert_eq!(call(&edge, "OPTIONS", "/admin/status", &headers, "").await.status, 403);
    }
    assert!(!hooked.stopped.load(Ordering::Relaxed));
    let answer = call(&edge, "GET", "/admin/status", &[HOST, TOKEN], "").await;
    assert_eq!((answer.status.as_u16(), answer.json()["mode"].as_str().unwrap()), (200, "serving"));
    assert_eq!(answer.header("access-control-allow-origin"), "");
    // What is not the operator's is not here.
    assert_eq!(call(&edge, "GET", "/v1/status", &[HOST, TOKEN], "").await.status, 404);
    assert_eq!(get(&script.app().public(), "/admin/status").await.status, 404);
}

#[tokio::test]
async fn the_configuration_is_read_again_on_request() {
    let script = Script::new();
    let admin = script.app().admin(hooked().hooks, "s3cret".into(), vec![]);
    let answer = call(&admin, "POST", "/admin/reload", &[HOST, TOKEN], "").await;
    assert_eq!(answer.json(), serde_json::json!({ "changed": ["log.level"], "needs_restart": ["api.listen"] }));
    let refusing = AdminHooks { reload: Arc::new(|| Err("config.toml:3: unknown key".into())), ..hooked().hooks };
    let answer = call(&script.app().admin(refusing, "s3cret".into(), vec![]), "POST", "/admin/reload", &[HOST, TOKEN], "").await;
    assert_eq!((answer.status.as_u16(), answer.text().contains("config.toml:3")), (400, true), "{}", answer.text());
}

#[tokio::test]
async fn pages_of_other_origins_read_only_what_they_may() {
    let script = Script::new();
    let app = script.app();
    let public = app.public();
    let ask = async |origin: &str| {
        let answer = call(&public, "GET", "/v1/status", &[("origin", origin)], "").await;
        assert_eq!(answer.status, 200, "who is not a browser reads all the same");
        (answer.header("access-control-allow-origin").to_owned(), answer.header("vary").to_owned())
    };
    assert_eq!(ask("https://any.example").await, ("*".into(), String::new()));
    app.set_open(Open { origins: Origins::parse("https://app.example").unwrap(), ..app.open() });
    assert_eq!(ask("https://app.example").await, ("https://app.example".into(), "origin".into()));
    assert_eq!(ask("https://any.example").await, (String::new(), "origin".into()));
    let preflight = call(&public, "OPTIONS", "/", &[("origin", "https://any.example")], "").await;
    assert_eq!((preflight.status.as_u16(), preflight.header("access-control-allow-origin")), (204, ""));
}

#[tokio::test]
async fn the_operator_sets_logs_pauses_and_stops() {
    let script = Script::new();
    let hooked = hooked();
    let app = script.app();
    let (admin, public) = (app.admin(hooked.hooks.clone(), "s3cret".into(), vec![]), app.public());
    let process = script.spawned(5);
    let operate = async |path: &str, body: &str| call(&admin, "POST", path, &[HOST, TOKEN], body).await;

    assert_eq!(operate("/admin/log", r#"{"level":"info,ao_vm=debug"}"#).await.status, 200);
    assert_eq!(*hooked.level.lock(), "info,ao_vm=debug");
    assert_eq!(operate("/admin/log", r#"{"level":"!"}"#).await.status, 400);
    assert_eq!(operate("/admin/log", &"x".repeat(5000)).await.status, 413);

    let message = |data: &str| message_item(process, &[], data.to_owned()).as_bytes().clone();
    assert_eq!(operate("/admin/pause", "").await.json()["mode"], "paused");
    for path in ["/", "/su", "/v1/messages", "/tx", "/monitor/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"] {
        let answer = post(&public, path, message("1")).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "10"), "{path}");
    }
    assert_eq!(get(&public, &format!("/result/{process}?process-id={process}")).await.status, 200, "reads go on");
    assert_eq!(operate("/admin/resume", "").await.json()["mode"], "serving");
    assert_eq!(post(&public, "/", message("2")).await.status, 202);

    assert_eq!(operate("/admin/drain", "").await.json()["mode"], "draining");
    assert_eq!(operate("/admin/resume", "").await.json()["mode"], "draining", "draining is for good");
    assert_eq!(post(&public, "/", message("3")).await.status, 503);
    assert!(!hooked.stopped.load(Ordering::Relaxed));
    operate("/admin/shutdown", "").await;
    assert!(hooked.stopped.load(Ordering::Relaxed));
}
