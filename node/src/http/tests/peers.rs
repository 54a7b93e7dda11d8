//! Peers, as anybody sees them and as the operator bans them, with a real network beneath.

use axum::body::Body;
use axum::extract::Request;
use serde_json::Value;

use super::admin::{HOST, TOKEN, call, hooked};
use super::support::{Script, get};
use crate::metrics::labels::Check;
use crate::network::tests::frames::Author;
use crate::network::tests::{DEADLINE, Rig};

/// Asks until an answer is as it should be.
async fn until<F: Future<Output = Value>>(what: &str, mut ask: impl FnMut() -> F, is: impl Fn(&Value) -> bool) -> Value {
    let asked = async {
        loop {
            let answer = ask().await;
            if is(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, asked).await.unwrap_or_else(|_| panic!("never: {what}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_are_shown_banned_and_let_in_again() {
    let chain = Author::new(1).chain();
    let one = Rig::start(31, chain, &[], &[]);
    let two = Rig::start(32, chain, &[], &[&one]);
    let app = Script::new().app();
    let (public, admin, metrics) = (app.public(), app.admin(hooked().hooks, "s3cret".into(), vec![]), app.metrics());
    // A node that is part of no network.
    let alone = get(&public, "/v1/peers").await.json();
    assert_eq!((&alone["peer"], alone["peers"].as_array().map(Vec::len)), (&Value::Null, Some(0)));
    assert_eq!(call(&admin, "GET", "/admin/peers/bans", &[HOST, TOKEN], "").await.status, 404);
    assert!(app.checks().iter().all(|check| check.check != Check::Peers));

    app.set_network(two.handle.clone());
    let peer = one.handle.peer_id().to_string();
    let shown =
        until("connected", async || get(&public, "/v1/peers").await.json(), |found| found["peers"][0]["peer"] == peer.as_str()).await;
    assert_eq!(shown["peer"], two.handle.peer_id().to_string());
    assert_eq!((&shown["peers"][0]["direction"], &shown["peers"][0]["wanted"]), (&"out".into(), &true.into()));
    until("healthy", async || get(&public, "/readyz?verbose").await.text().contains("[+] peers").into(), |well| *well == true).await;
    let text = get(&metrics, "/metrics").await.text().to_owned();
    for name in ["aonode_p2p_peers", "aonode_sync_frames", "aonode_p2p_arrivals_dropped_total"] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} is missing");
    }
    let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    assert_eq!(types.len(), types.iter().collect::<std::collections::BTreeSet<_>>().len(), "no family comes twice");

    let ban = |body: String| call(&admin, "POST", "/admin/peers/ban", &[HOST, TOKEN, ("content-type", "application/json")], body.leak());
    for wrong in [r#"{"peer":"nobody"}"#.to_owned(), format!(r#"{{"peer":"{peer}","for_s":0}}"#), "{}".to_owned()] {
        assert_eq!(ban(wrong).await.status, 400);
    }
    assert_eq!(ban(format!(r#"{{"peer":"{peer}","for_s":60}}"#)).await.status, 200);
    let bans = async || call(&admin, "GET", "/admin/peers/bans", &[HOST, TOKEN], "").await.json();
    let banned = until("banned", bans, |found| found["bans"][0]["peer"] == peer.as_str()).await;
    assert_eq!(banned["bans"][0]["reason"], "operator");
    until("gone", async || get(&public, "/v1/peers").await.json(), |found| found["peers"].as_array().is_some_and(Vec::is_empty)).await;
    until("unready", async || get(&public, "/readyz?verbose").await.text().contains("[-] peers").into(), |bad| *bad == true).await;
    let request = format!(r#"{{"peer":"{peer}"}}"#);
    assert_eq!(call(&admin, "POST", "/admin/peers/unban", &[HOST, TOKEN], &request).await.status, 200);
    until("let in", async || get(&public, "/v1/peers").await.json(), |found| found["peers"][0]["peer"] == peer.as_str()).await;
    // None of this is the public listener's.
    let stranger = Request::builder().method("POST").uri("/admin/peers/ban").body(Body::from(request)).unwrap();
    assert_eq!(super::support::send(&public, stranger).await.status, 404);
    one.running.stop().await;
    two.running.stop().await;
}
