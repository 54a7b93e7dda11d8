//! Takes a request's body off the socket within bounds: size, total time, least speed, and the memory of all bodies together.
//!
//! Compressed bodies are refused at the edge (`edge.rs`), so the bytes counted here are the bytes kept.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::App;
use super::limits::{DRAIN_BYTES_MAX, JSON_DEPTH_MAX, Limits};
use super::query::invalid;
use crate::error::{Code, Rejection};
use crate::metrics::labels::HttpRejection;

/// One permit of [`super::Inner::bodies`] stands for this many bytes.
pub const ROOM_UNIT: usize = 16 * 1024;

/// A body in memory. Its share of the common room is given back when it goes.
#[derive(Debug)]
pub struct Held {
    /// The bytes.
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Reads the whole body.
///
/// # Errors
/// `TooLarge` above `max` (before anything is kept, if the length was declared), `RequestTooSlow`, `Busy` when the memory for bodies is
/// taken, `RequestInvalid` when the connection broke or the transfer coding is wrong.
pub async fn collect(app: &App, request: Request, max: usize) -> Result<Held, Rejection> {
    let max = max.min(app.limits.body_bytes_max);
    // Whoever asks before sending has sent nothing yet: the answer is enough.
    let asks_first = request.headers().contains_key(EXPECT);
    let mut reader = Reader::new(request.into_body(), &app.limits);
    let declared = reader.body.size_hint().exact();
    if let Some(declared) = declared.filter(|bytes| *bytes > max as u64) {
        if !asks_first {
            reader.drain(declared).await;
        }
        return Err(too_large(&format!("{declared} bytes"), max));
    }
    let mut room: Option<OwnedSemaphorePermit> = None;
    let mut kept: Option<BytesMut> = None;
    while let Some(chunk) = reader.next().await? {
        let total = reader.read;
        if total > max as u64 {
            reader.drain(DRAIN_BYTES_MAX).await;
            return Err(too_large(&format!("more than {max} bytes"), max));
        }
        take_room(app, &mut room, usize::try_from(total).unwrap_or(usize::MAX))?;
        match &mut kept {
            // The usual case: all of a small body in one piece, which is then kept as it is.
            None if declared == Some(total) => return Ok(Held { bytes: chunk, _room: room }),
            None => {
                // Declared bytes are reserved, not touched: memory grows only as they come.
                let capacity = declared.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(2 * chunk.len()).min(max);
                let mut buffer = BytesMut::with_capacity(capacity);
                buffer.extend_from_slice(&chunk);
                kept = Some(buffer);
            }
            Some(buffer) => buffer.extend_from_slice(&chunk),
        }
    }
    Ok(Held { bytes: kept.unwrap_or_default().freeze(), _room: room })
}

/// Reads a JSON body.
///
/// # Errors
/// As [`collect`], and `RequestInvalid` when it nests deeper than [`JSON_DEPTH_MAX`] or is not of the form.
pub async fn json<T: DeserializeOwned>(app: &App, request: Request, max: usize) -> Result<T, Rejection> {
    let held = collect(app, request, max).await?;
    shallow(&held.bytes).inspect_err(|_| app.metrics.http_rejected_total.of(HttpRejection::JsonDepth).inc())?;
    serde_json::from_slice(&held.bytes).map_err(|error| invalid(format!("the body is not the JSON expected here: {error}")))
}

/// Refuses text that opens more than [`JSON_DEPTH_MAX`] brackets at once, before a parser recurses into it.
///
/// # Errors
/// `RequestInvalid`.
pub fn shallow(text: &[u8]) -> Result<(), Rejection> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(invalid(format!("the JSON body nests deeper than {JSON_DEPTH_MAX} levels")));
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

fn too_large(found: &str, max: usize) -> Rejection {
    Rejection::new(Code::TooLarge, format!("the body is {found}; at most {max} bytes are taken here"))
}

fn take_room(app: &App, room: &mut Option<OwnedSemaphorePermit>, total: usize) -> Result<(), Rejection> {
    let needed = total.div_ceil(ROOM_UNIT);
    let have = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    if needed <= have {
        return Ok(());
    }
    let more = u32::try_from(needed - have).unwrap_or(u32::MAX);
    let permit = app
        .bodies
        .clone()
        .try_acquire_many_owned(more)
        .map_err(|_| Rejection::retry(Code::Busy, "this node is taking in as many bytes as it may at one time", 1))?;
    match room {
        Some(room) => room.merge(permit),
        None => *room = Some(permit),
    }
    Ok(())
}

/// A body with its clock.
struct Reader<'a> {
    body: axum::body::BodyDataStream,
    limits: &'a Limits,
    started: Instant,
    read: u64,
}

impl<'a> Reader<'a> {
    fn new(body: Body, limits: &'a Limits) -> Self {
        Self { body: body.into_data_stream(), limits, started: Instant::now(), read: 0 }
    }

    /// By when the next bytes must be there: a body at the least speed is just in time.
    fn deadline(&self) -> Instant {
        let due = Duration::from_millis(self.read.saturating_mul(1000) / self.limits.body_rate_min.max(1));
        self.started + (self.limits.body_grace + due).min(self.limits.body_timeout)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Rejection> {
        match timeout_at(self.deadline(), self.body.next()).await {
            Ok(Some(Ok(chunk))) => {
                self.read = self.read.saturating_add(chunk.len() as u64);
                Ok(Some(chunk))
            }
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(invalid(format!("the body ended early: {error}"))),
            Err(_) => Err(Rejection::new(
                Code::RequestTooSlow,
                format!(
                    "{} bytes of the body came in {} ms; at least {} bytes/s after {} ms are expected, and all of it within {} s",
                    self.read,
                    self.started.elapsed().as_millis(),
                    self.limits.body_rate_min,
                    self.limits.body_grace.as_millis(),
                    self.limits.body_timeout.as_secs()
                ),
            )),
        }
    }

    /// Reads and forgets what is left, if that is little: a client that writes before it reads would otherwise see a reset connection
    /// and never the answer.
    async fn drain(&mut self, left: u64) {
        if left > DRAIN_BYTES_MAX {
            return;
        }
        let end = self.read.saturating_add(left);
        while self.read < end {
            if !matches!(self.next().await, Ok(Some(_))) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_strings() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(shallow(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert!(shallow(nested(JSON_DEPTH_MAX + 1).as_bytes()).is_err());
        assert!(shallow(format!("{{\"a\":\"{}\"}}", "[".repeat(1000)).as_bytes()).is_ok());
        assert!(shallow(format!("{{\"a\\\"\":{}", nested(JSON_DEPTH_MAX)).as_bytes()).is_err());
        assert!(shallow("[]".repeat(1000).as_bytes()).is_ok());
    }
}
