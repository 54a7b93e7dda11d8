//! What happens to every request before and after its handler, as one function that can be read from top to bottom.
//!
//! No stack of middleware: an order of layers is easily wrong and nothing shows it. Here a limit is a line, and `http_limits.rs` tests it.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, CONTENT_ENCODING, ORIGIN, VARY,
};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use parking_lot::Mutex;
use tower::ServiceExt as _;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::limits::{HEADER_BYTES_MAX, URI_BYTES_MAX};
use super::rate::{Buckets, Kind};
use super::reply::{Legacy, Native};
use super::{App, admin, traceparent};
use crate::error::{Code, Rejection};
use crate::metrics::labels::HttpRejection;

/// The request's id, ours or the client's.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Methods that any route of the public listener may have.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, DELETE, OPTIONS");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The route template that answered, for metrics.
#[derive(Clone)]
struct Route(MatchedPath);

enum Listener {
    Public,
    Admin(admin::Guard),
    Plain,
}

/// A router with everything around it.
pub struct Edge {
    router: Router,
    app: App,
    listener: Listener,
    buckets: Mutex<Buckets>,
    started: Instant,
    /// Tells the requests of one run from those of another.
    run: u32,
    served: AtomicU64,
}

impl Edge {
    pub(super) fn public(router: Router<App>, app: App) -> Arc<Self> {
        Self::new(router, app, Listener::Public)
    }

    pub(super) fn admin(router: Router<App>, app: App, token: String, hosts: Vec<String>) -> Arc<Self> {
        Self::new(router, app, Listener::Admin(admin::Guard::new(token, hosts)))
    }

    pub(super) fn plain(router: Router<App>, app: App) -> Arc<Self> {
        Self::new(router, app, Listener::Plain)
    }

    fn new(router: Router<App>, app: App, listener: Listener) -> Arc<Self> {
        let router = router
            .fallback(|uri: Uri| async move {
                refuse(uri.path(), Rejection::new(Code::RouteUnknown, format!("no such route: {}", super::query::short(uri.path()))))
            })
            .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
                refuse(uri.path(), Rejection::new(Code::MethodNotAllowed, format!("{method} is not one of this route's methods")))
            })
            .layer(axum::middleware::from_fn(remember_route))
            .with_state(app.clone());
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let buckets = Mutex::new(Buckets::new(app.limits.rates));
        Arc::new(Self {
            router,
            app,
            listener,
            buckets,
            started: Instant::now(),
            run: since_epoch.as_secs() as u32,
            served: AtomicU64::new(0),
        })
    }

    /// What the handlers share.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Answers one request. Never fails, never panics.
    pub async fn handle(&self, request: Request, peer: IpAddr) -> Response {
        let began = Instant::now();
        let method = request.method().clone();
        let path = normal(request.uri().path());
        let id = self.request_id(request.headers());
        let span = tracing::info_span!("http", request = id.to_str().unwrap_or_default(), %method, %path, trace = Empty, parent = Empty);
        if let Some((trace, parent)) = traceparent::of(request.headers()) {
            span.record("trace", trace).record("parent", parent);
        }
        let origin = request.headers().get(ORIGIN).cloned();
        let requested = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let mut response = self.answer(request, &path, peer).instrument(span.clone()).await;

        let status = response.status();
        let code = response.extensions().get::<Code>().copied();
        if let Some(code) = code {
            self.count_refusal(code);
        }
        let route = response.extensions_mut().remove::<Route>();
        let route = route.as_ref().map_or("unmatched", |route| route.0.as_str());
        let seconds = began.elapsed().as_secs_f64();
        // The method is one of a client's choosing: only those that exist become label values.
        let label = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "DELETE" | "OPTIONS" | "PUT" | "PATCH") => known,
            _ => "other",
        };
        self.app.metrics.http(route, label, status.as_u16(), seconds);
        let _entered = span.enter();
        tracing::debug!(event = "http_request", %peer, status = status.as_u16(), ms = seconds * 1e3, code = code.map(Code::as_str));

        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id);
        if matches!(self.listener, Listener::Public) {
            let (allowed, vary) = {
                let open = self.app.open.read();
                (open.origins.allow(origin.as_ref()), open.origins.vary())
            };
            if let Some(allowed) = allowed {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANY);
            }
            if vary {
                headers.append(VARY, HeaderValue::from_static("origin"));
            }
            if method == Method::OPTIONS {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested.unwrap_or(ANY));
                headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
            }
        }
        response
    }

    async fn answer(&self, mut request: Request, path: &str, peer: IpAddr) -> Response {
        if let Err(rejection) = self.admit(&request, path, peer) {
            return refuse(path, rejection);
        }
        if request.method() == Method::OPTIONS && matches!(self.listener, Listener::Public) {
            return StatusCode::NO_CONTENT.into_response();
        }
        set_path(&mut request, path);
        match AssertUnwindSafe(self.router.clone().oneshot(request)).catch_unwind().await {
            Ok(Ok(response)) => response,
            // A panic in a handler costs this request and nothing else (`faults.md`, F52). The hook has logged it with this span.
            Err(_) => refuse(path, Rejection::new(Code::Internal, "a bug of this node ended the request")),
        }
    }

    /// Everything that can be said without the body.
    fn admit(&self, request: &Request, path: &str, peer: IpAddr) -> Result<(), Rejection> {
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if target > URI_BYTES_MAX {
            return Err(Rejection::new(
                Code::UriTooLong,
                format!("the request target is {target} bytes; at most {URI_BYTES_MAX} are taken"),
            ));
        }
        let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if headers > HEADER_BYTES_MAX {
            return Err(Rejection::new(
                Code::HeadersTooLarge,
                format!("the headers are {headers} bytes; at most {HEADER_BYTES_MAX} are taken"),
            ));
        }
        if let Some(coding) = request.headers().get(CONTENT_ENCODING).filter(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
        {
            // `faults.md`, F21: no body is ever unpacked, so there is no bomb to bound.
            let coding = String::from_utf8_lossy(coding.as_bytes()).into_owned();
            return Err(Rejection::new(
                Code::MediaUnsupported,
                format!("content-encoding `{}` is not taken; send the body plainly", super::query::short(&coding)),
            ));
        }
        let health = matches!(path, "/livez" | "/readyz" | "/healthz" | "/health");
        match &self.listener {
            Listener::Admin(guard) if !health => guard.check(request)?,
            Listener::Public if !health => {
                let kind = kind(request.method(), path);
                let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
                let mut buckets = self.buckets.lock();
                buckets.set(self.app.open.read().rates);
                buckets.take(now, peer, kind).map_err(|seconds| {
                    Rejection::retry(Code::RateLimited, format!("too many requests of this kind from {peer}"), seconds)
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The client's id if it is a decent one, else one of ours.
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let decent = |id: &&HeaderValue| {
            (1..=64).contains(&id.len()) && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        };
        headers.get(REQUEST_ID).filter(decent).cloned().unwrap_or_else(|| {
            let number = self.served.fetch_add(1, Ordering::Relaxed);
            HeaderValue::from_str(&format!("{:08x}-{number}", self.run)).unwrap_or(HeaderValue::from_static("none"))
        })
    }

    fn count_refusal(&self, code: Code) {
        self.app.metrics.error(code);
        let reason = match code {
            Code::RequestTooSlow => HttpRejection::BodyTimeout,
            Code::TooLarge => HttpRejection::BodySize,
            Code::UriTooLong => HttpRejection::UriSize,
            Code::HeadersTooLarge => HttpRejection::HeaderSize,
            Code::RateLimited => HttpRejection::Rate,
            Code::Busy => HttpRejection::Concurrency,
            Code::MediaUnsupported => HttpRejection::Encoding,
            Code::Forbidden if matches!(self.listener, Listener::Admin(_)) => HttpRejection::Admin,
            _ => return,
        };
        self.app.metrics.http_rejected_total.of(reason).inc();
    }
}

/// What a request costs.
fn kind(method: &Method, path: &str) -> Kind {
    match *method {
        Method::OPTIONS => Kind::Free,
        Method::GET | Method::HEAD => Kind::Read,
        _ if path.ends_with("/dry-run") => Kind::DryRun,
        _ if path.ends_with("/graphql") => Kind::Read,
        _ => Kind::Write,
    }
}

/// A refusal in the form of the route it is for.
fn refuse(path: &str, rejection: Rejection) -> Response {
    if path.starts_with("/v1/") || path.starts_with("/admin/") {
        Native(rejection).into_response()
    } else {
        Legacy(rejection).into_response()
    }
}

/// One slash between segments, none at the end: clients join URLs by concatenation.
fn normal(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 1);
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() {
        out.push('/');
    }
    out
}

fn set_path(request: &mut Request<Body>, path: &str) {
    if request.uri().path() == path {
        return;
    }
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if let Ok(target) = PathAndQuery::try_from(target) {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(target);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

async fn remember_route(request: Request, next: axum::middleware::Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(Route(route));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_do_not_matter() {
        for (given, expected) in
            [("/", "/"), ("", "/"), ("//", "/"), ("/mu/", "/mu"), ("//monitor/x", "/monitor/x"), ("/a//b/", "/a/b"), ("/a", "/a")]
        {
            assert_eq!(normal(given), expected, "{given}");
        }
    }

    #[test]
    fn requests_have_a_price() {
        assert_eq!(kind(&Method::GET, "/result/x"), Kind::Read);
        assert_eq!(kind(&Method::POST, "/"), Kind::Write);
        assert_eq!(kind(&Method::POST, "/cu/dry-run"), Kind::DryRun);
        assert_eq!(kind(&Method::POST, "/gateway/graphql"), Kind::Read);
        assert_eq!(kind(&Method::DELETE, "/monitor/x"), Kind::Write);
    }
}
