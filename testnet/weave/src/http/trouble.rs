//! Faults of a gateway's HTTP, before any handler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;

use super::{App, text};
use crate::faults::Trouble;
use crate::limits::LATENCY_MS_MAX;

const MINUTE: Duration = Duration::from_secs(60);

/// Requests of this minute. A wall clock's minute, since limits of real gateways are: it reaches no state.
#[derive(Debug)]
pub struct Window(Mutex<(Instant, u32)>);

impl Window {
    pub fn new() -> Self {
        Self(Mutex::new((Instant::now(), 0)))
    }

    /// One more; `Err` says in how many seconds there is room again.
    fn admit(&self, per_minute: u32) -> Result<(), u64> {
        let mut window = self.0.lock();
        let now = Instant::now();
        if now.duration_since(window.0) >= MINUTE {
            *window = (now, 0);
        }
        if window.1 >= per_minute {
            return Err(MINUTE.saturating_sub(now.duration_since(window.0)).as_secs().max(1));
        }
        window.1 += 1;
        Ok(())
    }
}

/// The layer.
pub async fn layer(State(app): State<App>, request: Request<Body>, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let (per_minute, trouble) = {
        let mut state = app.station().state();
        let height = state.chain.tip().height;
        let seed = app.station().seed();
        let Some(faults) = state.gateways.get_mut(app.gateway) else { return text(StatusCode::NOT_FOUND, "Not Found.") };
        let per_minute = faults.per_minute;
        let trouble = faults.trouble(seed, &path);
        if let Some(trouble) = trouble.as_ref().filter(|trouble| !matches!(trouble, Trouble::Latency { .. })) {
            let what = format!("gateway {}: {} {path}: {trouble:?}", app.gateway, request.method());
            state.log.push(height, what);
        }
        (per_minute, trouble)
    };
    if let Some(Err(seconds)) = per_minute.map(|per_minute| app.window.admit(per_minute)) {
        let mut response = text(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        return response;
    }
    match trouble {
        None => run(&app, request, next).await,
        Some(Trouble::Status { status }) => text(status_of(status), "an error on command"),
        Some(Trouble::DoneBut { status }) => {
            run(&app, request, next).await;
            text(status_of(status), "an error on command, after all was done")
        }
        Some(Trouble::Latency { p50, .. }) => {
            tokio::time::sleep(Duration::from_millis(p50)).await;
            run(&app, request, next).await
        }
        Some(Trouble::Html) => {
            let page = "<!DOCTYPE html><html><head><title>502</title></head><body><h1>We will be right back</h1></body></html>";
            ([(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], page).into_response()
        }
        Some(Trouble::Redirect { to }) => match HeaderValue::try_from(to) {
            Ok(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "no address"),
        },
        Some(Trouble::Truncate) => truncated(run(&app, request, next).await).await,
        Some(Trouble::Huge { bytes }) => huge(bytes),
        Some(Trouble::Hang) => {
            tokio::time::sleep(Duration::from_millis(LATENCY_MS_MAX)).await;
            text(StatusCode::GATEWAY_TIMEOUT, "no answer, on command")
        }
    }
}

/// The handler, when there is room for it: what is held back on command takes none.
async fn run(app: &App, request: Request<Body>, next: Next) -> Response {
    match Arc::clone(&app.running).acquire_owned().await {
        Ok(_room) => next.run(request).await,
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Half of an answer that promised to be whole.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, usize::try_from(crate::limits::DATA_BYTES_MAX).unwrap_or(usize::MAX)).await else {
        return text(StatusCode::BAD_GATEWAY, "nothing to cut");
    };
    parts.headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    let half = bytes.slice(..bytes.len() / 2);
    // The server sends what it has while the next piece is waited for: so the half is on its way when the connection breaks.
    let cut = stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::other("cut off on command"))
    });
    let pieces = stream::iter([Ok(half)]).chain(cut);
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// So many bytes, made as they are sent.
fn huge(bytes: u64) -> Response {
    const PIECE: u64 = 64 << 10;
    let piece = Bytes::from(vec![b' '; PIECE as usize]);
    let steps = stream::unfold((bytes, piece), |(left, piece)| async move {
        let length = left.min(PIECE);
        (length > 0).then(|| (Ok::<_, std::io::Error>(piece.slice(..length as usize)), (left - length, piece)))
    });
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from_stream(steps)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_requests() {
        let window = Window::new();
        assert!((0..3).all(|_| window.admit(3).is_ok()));
        assert!(window.admit(3).is_err_and(|seconds| (1..=60).contains(&seconds)));
        window.0.lock().0 -= MINUTE;
        assert_eq!(window.admit(3), Ok(()));
    }
}
