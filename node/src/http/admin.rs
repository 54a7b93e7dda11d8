//! The operator's listener: who may use it, and its routes.
//!
//! A web page that the operator happens to visit must not reach it (`faults.md`, F43): a foreign `Host` is refused (that ends DNS
//! rebinding), any `Origin` is refused (no browser is meant to call), no answer allows cross-origin reading, and the bearer token is
//! nowhere a browser would send it by itself. Every call leaves an audit line.

use std::hint::black_box;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::limits::ADMIN_BYTES_MAX;
use super::query::invalid;
use super::reply::{self, Native};
use super::{App, Mode, body, health};
use crate::error::{Code, Rejection};

mod peers;
mod snapshots;

/// Names by which the listener may always be called.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Sets the log filter; the text is what is wrong with it.
pub type SetLogLevel = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Reads the configuration again; the text is what is wrong with it.
pub type Reload = Arc<dyn Fn() -> Result<Reloaded, String> + Send + Sync>;

/// Keys of the configuration that are not as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// In force now.
    pub changed: Vec<String>,
    /// In force after a restart.
    pub needs_restart: Vec<String>,
}

/// What the binary lets the operator do.
#[derive(Clone)]
pub struct AdminHooks {
    /// Sets the log filter (`info,ao_vm=debug`).
    pub set_log_level: SetLogLevel,
    /// Reads the configuration again, as SIGHUP does.
    pub reload: Reload,
    /// Begins a graceful stop.
    pub shutdown: Arc<dyn Fn() + Send + Sync>,
}

/// Who may come in.
pub struct Guard {
    token: String,
    hosts: Vec<String>,
}

impl Guard {
    pub(super) fn new(token: String, hosts: Vec<String>) -> Self {
        Self { token, hosts }
    }

    /// Refuses whoever is not the operator.
    pub(super) fn check(&self, request: &Request) -> Result<(), Rejection> {
        let forbidden = |why: &str| Err(Rejection::new(Code::Forbidden, why));
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let host = header(HOST).or_else(|| request.uri().authority().map(|authority| authority.as_str())).unwrap_or_default();
        let name = without_port(host);
        if !LOOPBACK.contains(&name) && !self.hosts.iter().any(|allowed| allowed == name) {
            return forbidden("this `Host` is not one of the admin listener's names");
        }
        if request.headers().contains_key(ORIGIN) {
            return forbidden("the admin listener does not answer web pages");
        }
        let token = header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        if self.token.is_empty() || !same(token.as_bytes(), self.token.as_bytes()) {
            return forbidden("the bearer token is missing or wrong; it is in the file `api-token` of the data directory");
        }
        tracing::info!(event = "admin_call", method = %request.method(), path = request.uri().path(), "an operator's request");
        Ok(())
    }
}

/// The admin routes.
pub(super) fn routes(hooks: AdminHooks) -> Router<App> {
    let (log, again, stop) = (hooks.clone(), hooks.clone(), hooks);
    Router::new()
        .route("/admin/status", get(status))
        .route("/admin/log", post(move |app, request| set_log(app, request, log)))
        .route("/admin/reload", post(move || async move { reload(&again) }))
        .route("/admin/peers/bans", get(peers::bans))
        .route("/admin/peers/ban", post(peers::ban))
        .route("/admin/peers/unban", post(peers::unban))
        .route("/admin/snapshots", post(snapshots::create))
        .route("/admin/pause", post(|state| set_mode(state, Mode::Paused)))
        .route("/admin/resume", post(|state| set_mode(state, Mode::Serving)))
        .route("/admin/drain", post(|state| set_mode(state, Mode::Draining)))
        .route(
            "/admin/shutdown",
            post(move |State(app): State<App>| async move {
                app.set_mode(Mode::Draining);
                (stop.shutdown)();
                show(&app)
            }),
        )
}

#[derive(Deserialize)]
struct Log {
    level: String,
}

async fn set_log(State(app): State<App>, request: Request, hooks: AdminHooks) -> Result<Response, Native> {
    let Log { level } = body::json(&app, request, ADMIN_BYTES_MAX).await?;
    (hooks.set_log_level)(&level).map_err(|wrong| invalid(format!("log level `{}`: {wrong}", super::query::short(&level))))?;
    Ok(reply::json(&json!({ "level": level })))
}

fn reload(hooks: &AdminHooks) -> Result<Response, Native> {
    let Reloaded { changed, needs_restart } = (hooks.reload)().map_err(invalid)?;
    Ok(reply::json(&json!({ "changed": changed, "needs_restart": needs_restart })))
}

async fn set_mode(State(app): State<App>, mode: Mode) -> Response {
    app.set_mode(mode);
    show(&app)
}

async fn status(State(app): State<App>) -> Response {
    show(&app)
}

fn show(app: &App) -> Response {
    reply::json(&json!({ "mode": health::mode(app), "version": crate::VERSION }))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Equality in a time that depends on the lengths only.
fn same(given: &[u8], secret: &[u8]) -> bool {
    let mut difference = given.len() ^ secret.len();
    for (at, byte) in secret.iter().enumerate() {
        difference |= usize::from(byte ^ given.get(at).copied().unwrap_or(0));
        difference = black_box(difference);
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn check(host: &str, more: &[(&str, &str)]) -> Result<(), Rejection> {
        let mut request = Request::builder().uri("/admin/drain").method("POST").header("host", host);
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        Guard::new("s3cret".into(), vec!["node.example".into()]).check(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn only_the_operator_comes_in() {
        let token = ("authorization", "Bearer s3cret");
        for host in ["127.0.0.1:7701", "localhost:7701", "localhost", "[::1]:7701", "[::1]", "node.example:7701"] {
            assert_eq!(check(host, &[token]), Ok(()), "{host}");
        }
        let refused = [
            ("evil.example:7701", vec![token]),
            ("127.0.0.1.evil.example", vec![token]),
            ("", vec![token]),
            ("127.0.0.1:7701", vec![]),
            ("127.0.0.1:7701", vec![("authorization", "Bearer s3cre")]),
            ("127.0.0.1:7701", vec![("authorization", "Bearer s3cret2")]),
            ("127.0.0.1:7701", vec![("authorization", "s3cret")]),
            ("127.0.0.1:7701", vec![token, ("origin", "http://127.0.0.1:7701")]),
            ("127.0.0.1:7701", vec![token, ("origin", "null")]),
        ];
        for (host, headers) in refused {
            assert_eq!(check(host, &headers).unwrap_err().code, Code::Forbidden, "{host} {headers:?}");
        }
    }

    #[test]
    fn an_empty_token_opens_nothing() {
        let request = Request::builder().header("host", "localhost").header("authorization", "Bearer ").body(Body::empty()).unwrap();
        assert!(Guard::new(String::new(), vec![]).check(&request).is_err());
    }
}
