//! Health and metrics.

use super::support::{Script, check, get, post};
use crate::http::Mode;
use crate::metrics::labels::Check;

#[tokio::test]
async fn health_on_every_listener() {
    let script = Script::new();
    let app = script.app();
    let hooks = crate::http::AdminHooks {
        set_log_level: std::sync::Arc::new(|_| Ok(())),
        reload: std::sync::Arc::new(|| Ok(crate::http::Reloaded::default())),
        shutdown: std::sync::Arc::new(|| {}),
    };
    for edge in [app.public(), app.metrics(), app.admin(hooks, "token".into(), vec![])] {
        for path in ["/livez", "/readyz", "/health"] {
            let answer = get(&edge, path).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{path}");
        }
        assert_eq!(get(&edge, "/healthz").await.json()["status"], "ok");
    }
}

#[tokio::test]
async fn what_is_not_well_shows() {
    let script = Script::new();
    let app = script.app();
    let edge = app.public();
    // Degraded: not vital.
    *script.health.lock() = vec![check(Check::Db, true, true), check(Check::Chain, false, false)];
    assert_eq!(get(&edge, "/readyz").await.status, 200);
    assert_eq!(get(&edge, "/healthz").await.json()["status"], "degraded");
    assert_eq!(get(&edge, "/readyz?verbose").await.text(), "[+] db: ok\n[-] chain: scripted\nready\n");
    // Not ready, yet alive: a full disk is no reason to restart.
    *script.health.lock() = vec![check(Check::Disk, false, true)];
    assert_eq!(get(&edge, "/readyz").await.status, 503);
    assert_eq!(get(&edge, "/livez").await.status, 200);
    assert_eq!(get(&edge, "/healthz").await.json()["status"], "down");
    // Not alive: the core's loop stands.
    *script.health.lock() = vec![check(Check::Core, false, true)];
    assert_eq!(get(&edge, "/livez").await.status, 503);
    // Draining is not ready.
    *script.health.lock() = vec![];
    app.set_mode(Mode::Draining);
    assert_eq!(get(&edge, "/health").await.status, 503);
    assert_eq!(get(&edge, "/livez").await.status, 200);
}

#[tokio::test]
async fn metrics_count_requests_by_template_and_refusals_by_code() {
    let script = Script::new();
    let app = script.app();
    let (edge, metrics) = (app.public(), app.metrics());
    let process = script.spawned(5);
    get(&edge, &format!("/result/{process}?process-id={process}")).await;
    get(&edge, &format!("/v1/processes/{process}")).await;
    get(&edge, "/some/path/of/a/stranger").await;
    post(&edge, "/", "garbage").await;
    let request = axum::extract::Request::builder().method("BREW").uri("/").body(axum::body::Body::empty()).unwrap();
    super::support::send(&edge, request).await;
    let text = get(&metrics, "/metrics").await;
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(text.header("access-control-allow-origin"), "");
    for line in [
        r#"aonode_http_requests_total{code="200",method="GET",route="/result/{message}"} 1"#,
        r#"aonode_http_requests_total{code="200",method="GET",route="/v1/processes/{process}"} 1"#,
        r#"aonode_http_requests_total{code="404",method="GET",route="unmatched"} 1"#,
        r#"aonode_http_requests_total{code="400",method="POST",route="/"} 1"#,
        r#"aonode_http_requests_total{code="405",method="other",route="/"} 1"#,
        r#"aonode_errors_total{code="AON-1001"} 1"#,
        r#"aonode_errors_total{code="AON-2002"} 1"#,
        "aonode_ready 1",
    ] {
        assert!(text.text().contains(line), "{line} in\n{}", text.text());
    }
    assert!(!text.text().contains("stranger"));
}

/// A client's trace goes into the lines of its request, and nothing malformed does.
#[tokio::test]
async fn a_clients_trace_is_in_the_log() {
    let lines = std::sync::Arc::new(parking_lot::Mutex::new(String::new()));
    let into = lines.clone();
    let sink: crate::logging::Sink = std::sync::Arc::new(move |line| into.lock().push_str(line));
    let (subscriber, _) = crate::logging::subscriber("debug", crate::config::Format::Json, false, sink).unwrap();
    let _guard = tracing::subscriber::set_default(subscriber);
    let public = Script::new().app().public();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for header in [format!("00-{trace}-00f067aa0ba902b7-01"), "00-forged\" request=\"x-1-1".into()] {
        let request = axum::extract::Request::builder().uri("/v1/status").header("traceparent", header);
        super::support::send(&public, request.body(axum::body::Body::empty()).unwrap()).await;
    }
    let lines = lines.lock().clone();
    let of_requests: Vec<serde_json::Value> =
        lines.lines().filter(|line| line.contains("http_request")).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(of_requests.len(), 2, "{lines}");
    assert_eq!((of_requests[0]["trace"].as_str(), of_requests[0]["parent"].as_str()), (Some(trace), Some("00f067aa0ba902b7")), "{lines}");
    assert!(of_requests[1].get("trace").is_none() && !lines.contains("forged"), "{lines}");
}
