//! Watches one connection: when did its request begin, is one being answered, does the client take what it is sent.
//!
//! HTTP libraries bound one or the other of these. Counting here, under them, bounds all, for HTTP/1 and HTTP/2 alike, including the bytes
//! that come before the protocol is known.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

use crate::http::limits::Limits;

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// The headers did not come in time.
    Header,
    /// No request for too long.
    Idle,
    /// The client does not read.
    Write,
}

/// Times are milliseconds after `origin`, plus one; 0 stands for "not now".
#[derive(Debug)]
pub struct Activity {
    origin: Instant,
    in_flight: AtomicU32,
    head_since: AtomicU64,
    idle_since: AtomicU64,
    write_blocked_since: AtomicU64,
}

impl Activity {
    /// A connection that has just been accepted: its first request is due.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            in_flight: AtomicU32::new(0),
            head_since: AtomicU64::new(1),
            idle_since: AtomicU64::new(0),
            write_blocked_since: AtomicU64::new(0),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// A request's headers are complete. It is in flight until the guard goes.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        self.idle_since.store(0, Relaxed);
        InFlight(self.clone())
    }

    fn end(&self, now: u64) {
        self.idle_since.store(now, Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    fn on_read(&self, now: u64) {
        if self.in_flight.load(Relaxed) == 0 {
            // Only the first byte of a head starts its clock, or a dribbler could go on for ever.
            let _ = self.head_since.compare_exchange(0, now, Relaxed, Relaxed);
        }
    }

    fn on_write(&self, now: u64, blocked: bool) {
        if blocked {
            let _ = self.write_blocked_since.compare_exchange(0, now, Relaxed, Relaxed);
        } else {
            self.write_blocked_since.store(0, Relaxed);
        }
    }

    fn check(&self, now: u64, limits: &Limits) -> Option<Expired> {
        let over = |since: &AtomicU64, limit: Duration| {
            let since = since.load(Relaxed);
            since != 0 && u128::from(now.saturating_sub(since)) >= limit.as_millis()
        };
        if over(&self.write_blocked_since, limits.write_timeout) {
            Some(Expired::Write)
        } else if self.in_flight.load(Relaxed) > 0 {
            None
        } else if over(&self.head_since, limits.header_timeout) {
            Some(Expired::Header)
        } else if over(&self.idle_since, limits.idle_timeout) {
            Some(Expired::Idle)
        } else {
            None
        }
    }

    /// Returns when the connection has outstayed one of its times. Looks often enough to be at most an eighth late.
    pub async fn expired(&self, limits: &Limits) -> Expired {
        let shortest = limits.header_timeout.min(limits.idle_timeout).min(limits.write_timeout);
        let pause = (shortest / 8).max(Duration::from_millis(1));
        loop {
            sleep(pause).await;
            if let Some(expired) = self.check(self.now(), limits) {
                return expired;
            }
        }
    }
}

/// One request being answered.
#[derive(Debug)]
pub struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.end(self.0.now());
    }
}

/// A socket whose reads and writes are noticed.
pub struct Watched<S> {
    socket: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    /// Watches `socket` for `activity`.
    pub fn new(socket: S, activity: Arc<Activity>) -> Self {
        Self { socket, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.on_read(self.activity.now());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.activity.on_write(self.activity.now(), polled.is_pending());
        polled
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.activity.on_write(self.activity.now(), polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// An answer's body that keeps its request in flight until the last byte is handed over.
pub struct Guarded<B> {
    body: B,
    _request: InFlight,
}

impl<B> Guarded<B> {
    /// Keeps `request` in flight while `body` lives.
    pub fn new(body: B, request: InFlight) -> Self {
        Self { body, _request: request }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Guarded<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            ..Limits::default()
        }
    }

    #[test]
    fn a_silent_connection_ends_as_a_slow_header() {
        let activity = Activity::new();
        assert_eq!(activity.check(10_000, &limits()), None);
        assert_eq!(activity.check(10_001, &limits()), Some(Expired::Header));
    }

    #[test]
    fn dribbled_headers_do_not_restart_the_clock() {
        let activity = Activity::new();
        let request = activity.begin();
        std::mem::forget(request);
        activity.end(1_000);
        for now in (2_000..12_000).step_by(500) {
            activity.on_read(now);
            assert_eq!(activity.check(now, &limits()), None, "{now}");
        }
        activity.on_read(12_000);
        assert_eq!(activity.check(12_000, &limits()), Some(Expired::Header));
    }

    #[test]
    fn a_request_in_flight_may_take_its_time_and_then_idles() {
        let activity = Activity::new();
        std::mem::forget(activity.begin());
        std::mem::forget(activity.begin());
        assert_eq!(activity.check(1_000_000, &limits()), None);
        activity.end(1_000_000);
        assert_eq!(activity.check(2_000_000, &limits()), None, "the other stream goes on");
        activity.end(2_000_000);
        assert_eq!(activity.check(2_059_999, &limits()), None);
        assert_eq!(activity.check(2_060_000, &limits()), Some(Expired::Idle));
        drop(activity.begin());
        assert_eq!(activity.in_flight.load(Relaxed), 0);
    }

    #[test]
    fn a_client_that_does_not_read_is_left() {
        let activity = Activity::new();
        std::mem::forget(activity.begin());
        activity.on_write(5_000, true);
        activity.on_write(20_000, true);
        assert_eq!(activity.check(34_999, &limits()), None);
        assert_eq!(activity.check(35_000, &limits()), Some(Expired::Write));
        activity.on_write(35_000, false);
        assert_eq!(activity.check(35_000, &limits()), None);
    }
}
