//! Health, on every listener and without authorisation: it says how the node is, never what it holds.

use ao_storage::{Direction, schema};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::query::Query;
use super::reply::{self, Legacy};
use super::{App, Mode};
use crate::handle::HealthCheck;
use crate::metrics::labels::Check;

/// The health routes.
pub fn routes() -> Router<App> {
    Router::new().route("/livez", get(live)).route("/readyz", get(ready)).route("/health", get(ready)).route("/healthz", get(whole))
}

/// The routes of the metrics listener.
pub fn metrics_routes() -> Router<App> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(app): State<App>) -> Response {
    look(&app);
    let mut text = app.metrics.render();
    if let Some(network) = app.network() {
        text.push_str(&network.metrics_text());
    }
    reply::typed(HeaderValue::from_static(crate::metrics::CONTENT_TYPE), text)
}

/// Alive: the core's loop turns. What supervisors restart by.
async fn live(State(app): State<App>) -> Response {
    let alive = app.backend.health().iter().all(|check| check.check != Check::Core || check.ok);
    empty(alive)
}

/// Ready: takes writes. What load balancers route by; `/health` of the older network's units, whose body is empty.
pub async fn ready(State(app): State<App>, request: Request) -> Result<Response, Legacy> {
    let query = Query::of(request.uri())?;
    let checks = look(&app);
    let ready = is_ready(&app, &checks);
    if !query.has("verbose") {
        return Ok(empty(ready));
    }
    let mut text = String::new();
    for check in &checks {
        let sign = if check.ok { "+" } else { "-" };
        let reason = if check.ok { "ok" } else { check.reason.as_str() };
        text.push_str(&format!("[{sign}] {}: {reason}\n", crate::metrics::labels::Label::text(check.check)));
    }
    if app.mode() != Mode::Serving {
        text.push_str(&format!("[-] mode: {}\n", mode(&app)));
    }
    text.push_str(if ready { "ready\n" } else { "not ready\n" });
    Ok(reply::with_status(status(ready), reply::typed(reply::TEXT, text)))
}

/// All that is known, for people and dashboards.
async fn whole(State(app): State<App>) -> Result<Response, Legacy> {
    let checks = look(&app);
    let ready = is_ready(&app, &checks);
    let state = match (ready, checks.iter().all(|check| check.ok)) {
        (true, true) => "ok",
        (true, false) => "degraded",
        (false, _) => "down",
    };
    let shown: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({
                "name": crate::metrics::labels::Label::text(check.check), "ok": check.ok, "age_s": check.age_s,
                "reason": check.reason, "fix": check.fix,
            })
        })
        .collect();
    let accepted = schema::SEQUENCE.all(app.store(), Direction::Backward, 1)?.first().map_or(0, |(last, _)| last + 1);
    let identity = app.backend.identity();
    let body = json!({
        "status": state, "mode": mode(&app), "checks": shown, "version": crate::VERSION, "network": identity.network,
        "engine": identity.engine, "height": app.backend.tip().0, "items": accepted,
    });
    Ok(reply::with_status(status(state != "down"), reply::json(&body)))
}

/// The name of the mode, as answers show it.
pub fn mode(app: &App) -> &'static str {
    match app.mode() {
        Mode::Serving => "serving",
        Mode::Paused => "paused",
        Mode::Draining => "draining",
    }
}

fn look(app: &App) -> Vec<HealthCheck> {
    let checks = app.checks();
    for check in &checks {
        app.metrics.health_check_ok.of(check.check).set(i64::from(check.ok));
    }
    app.metrics.ready.set(i64::from(is_ready(app, &checks)));
    checks
}

fn is_ready(app: &App, checks: &[HealthCheck]) -> bool {
    app.mode() == Mode::Serving && checks.iter().all(|check| check.ok || !check.vital)
}

fn status(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn empty(well: bool) -> Response {
    reply::with_status(status(well), Response::new(Body::empty()))
}
