//! Accepts connections and answers them, within bounds that the HTTP library does not set: see `server/watch.rs` and `limits.rs`.
//!
//! Stopping: no new connection, requests in flight finish within [`STOP_GRACE`], then everything is dropped.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::App;
use super::edge::Edge;
use super::limits::{ACCEPT_BACKOFF, H2_STREAMS_MAX, HEAD_BUFFER_BYTES, HEADER_BYTES_MAX, HEADERS_MAX, STOP_GRACE};
use super::rate::{is_loopback, network};
use crate::metrics::labels::HttpRejection;

mod watch;

use watch::{Activity, Expired, Guarded, Watched};

/// Serves `edge` on `listener` until `stop`, then lets requests in flight finish.
pub async fn serve(listener: TcpListener, edge: Arc<Edge>, stop: CancellationToken) {
    let limits = &edge.app().limits;
    let rejected = &edge.app().metrics.http_rejected_total;
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let addresses = Addresses { most: limits.connections_per_ip_max, loopback_free: limits.rates.loopback_free, counts: Arc::default() };
    let connections = TaskTracker::new();
    let abandon = CancellationToken::new();
    let mut backoff = ACCEPT_BACKOFF.0;
    loop {
        if slots.available_permits() == 0 {
            rejected.of(HttpRejection::Connections).inc();
        }
        // All slots taken: nobody is accepted until one is free. The kernel's backlog holds a few, the rest wait outside.
        let slot = tokio::select! {
            () = stop.cancelled() => break,
            slot = slots.clone().acquire_owned() => match slot { Ok(slot) => slot, Err(_) => break },
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(event = "accept_failed", %error, wait_ms = backoff.as_millis() as u64, "no new connections for a moment; raise the limit of open files if this goes on");
                tokio::select! { () = stop.cancelled() => break, () = tokio::time::sleep(backoff) => {} }
                backoff = (backoff * 2).min(ACCEPT_BACKOFF.1);
                continue;
            }
        };
        backoff = ACCEPT_BACKOFF.0;
        let Some(place) = addresses.enter(peer.ip()) else {
            rejected.of(HttpRejection::ConnectionsPerIp).inc();
            continue;
        };
        let (edge, stop, abandon) = (edge.clone(), stop.clone(), abandon.clone());
        let open = Open::new(edge.app());
        connections.spawn(async move {
            connection(socket, peer.ip(), &edge, &stop, &abandon).await;
            drop((slot, place, open));
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(STOP_GRACE, connections.wait()).await.is_err() {
        tracing::info!(event = "http_stop_forced", open = connections.len(), "requests in flight are dropped");
        abandon.cancel();
        connections.wait().await;
    }
}

async fn connection(socket: TcpStream, peer: IpAddr, edge: &Arc<Edge>, stop: &CancellationToken, abandon: &CancellationToken) {
    let limits = &edge.app().limits;
    // Answers are small and awaited.
    let _ = socket.set_nodelay(true);
    let activity = Activity::new();
    let service = service_fn(|request: Request<Incoming>| {
        let (edge, in_flight) = (edge.clone(), activity.begin());
        async move {
            let response = edge.handle(request.map(Body::new), peer).await;
            Ok::<_, Infallible>(response.map(|body| Guarded::new(body, in_flight)))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The watch below ends slow heads and idle connections; hyper's own timer would end idle ones as slow heads.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BUFFER_BYTES).max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(limits.write_timeout);
    let serving = builder.serve_connection(TokioIo::new(Watched::new(socket, activity.clone())), service);
    tokio::pin!(serving);
    let expired = activity.expired(limits);
    tokio::pin!(expired);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(event = "connection_ended", %peer, error = %error);
                }
                return;
            }
            reason = expired.as_mut() => {
                if reason == Expired::Header {
                    edge.app().metrics.http_rejected_total.of(HttpRejection::HeaderTimeout).inc();
                }
                tracing::debug!(event = "connection_expired", %peer, ?reason);
                return;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
            () = abandon.cancelled() => return,
        }
    }
}

/// One open connection, counted.
struct Open(App);

impl Open {
    fn new(app: &App) -> Self {
        app.connections.fetch_add(1, Ordering::Relaxed);
        Self(app.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether an error of `accept` concerns only the connection that was not accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Connections per address.
struct Addresses {
    most: usize,
    loopback_free: bool,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One counted connection.
struct Place {
    address: IpAddr,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Addresses {
    /// `None`: this address has all it may have. The map is bounded by the number of connections.
    fn enter(&self, address: IpAddr) -> Option<Place> {
        let most = if self.loopback_free && is_loopback(address) { usize::MAX } else { self.most };
        let address = network(address);
        let mut counts = self.counts.lock();
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { address, counts: self.counts.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let addresses = Addresses { most: 2, loopback_free: true, counts: Arc::default() };
        let there = IpAddr::from([10, 0, 0, 1]);
        let first = addresses.enter(there).unwrap();
        let second = addresses.enter(there).unwrap();
        assert!(addresses.enter(there).is_none());
        assert!(addresses.enter(IpAddr::from([10, 0, 0, 2])).is_some());
        drop(first);
        assert!(addresses.enter(there).is_some());
        drop(second);
        assert!(addresses.counts.lock().is_empty());
        let home = IpAddr::from([127, 0, 0, 1]);
        let places: Vec<_> = (0..10).map(|_| addresses.enter(home).unwrap()).collect();
        assert_eq!(addresses.counts.lock().values().sum::<usize>(), places.len());
    }
}
