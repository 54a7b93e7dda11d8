//! One request, within bounds: of time, of bytes, of redirects, of addresses.
//!
//! Owns the HTTP client. Believes nothing but the transport: what an answer means is for `client` to find out. A proxy of the environment is
//! not used: it would resolve names by itself.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Response, Url, redirect};

use super::guard::{Guard, PublicNames, Refused};
use crate::limits::{ANNOUNCED_BYTES_MAX, CONNECT_TIMEOUT, REDIRECTS_MAX, REQUEST_TIMEOUT};

/// Why there is no answer. (retry)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// An address that is not asked.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// More redirects than are followed.
    #[error("more than {REDIRECTS_MAX} redirects")]
    Redirects,
    /// Larger than such an answer can be.
    #[error("the answer has more than {max} bytes")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// Nothing, or not in time.
    #[error("{0}")]
    Transport(String),
    /// The client cannot be made.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// An answer, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
    /// Asks to be left alone for so long, milliseconds.
    pub retry_after_ms: Option<u64>,
    /// It is a page for people, whatever was asked for.
    pub html: bool,
}

impl Answer {
    /// The body as text, cut.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(4 * crate::limits::ECHO_CHARS_MAX)]);
        text.trim().chars().take(crate::limits::ECHO_CHARS_MAX).collect()
    }
}

/// Asks.
#[derive(Clone, Debug)]
pub struct Fetcher {
    public: Client,
    local: Client,
    guard: Guard,
}

impl Fetcher {
    /// One that may ask the public, and the loopback endpoints among these.
    ///
    /// # Errors
    /// The system has no certificates, or no room for a client.
    pub fn new<'a>(configured: impl IntoIterator<Item = &'a str>) -> Result<Self, FetchError> {
        let builder = || {
            Client::builder()
                .no_proxy()
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(REQUEST_TIMEOUT)
                .pool_idle_timeout(Duration::from_secs(30))
                .user_agent(concat!("aonode/", env!("CARGO_PKG_VERSION")))
        };
        let failed = |error: reqwest::Error| FetchError::Client(error.to_string());
        let public = builder().dns_resolver(PublicNames).build().map_err(failed)?;
        Ok(Self { public, local: builder().build().map_err(failed)?, guard: Guard::new(configured) })
    }

    /// Reads an address, up to `max` bytes.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn get(&self, url: &str, max: usize) -> Result<Answer, FetchError> {
        let mut url = Url::parse(url).map_err(|_| Refused::Url)?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.send(Method::GET, &url, None).await?;
            let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(next) = response.headers().get(LOCATION).filter(|_| moved) else { return read(response, max).await };
            let next = next.to_str().map_err(|_| Refused::Url)?;
            url = url.join(next).map_err(|_| Refused::Url)?;
        }
        Err(FetchError::Redirects)
    }

    /// Posts to an address; the answer has up to `max` bytes. Redirects are not followed: what we send goes where we send it.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&self, url: &str, content_type: &'static str, body: Bytes, max: usize) -> Result<Answer, FetchError> {
        let url = Url::parse(url).map_err(|_| Refused::Url)?;
        read(self.send(Method::POST, &url, Some((content_type, body))).await?, max).await
    }

    async fn send(&self, method: Method, url: &Url, body: Option<(&'static str, Bytes)>) -> Result<Response, FetchError> {
        let client = if self.guard.check(url)? { &self.local } else { &self.public };
        let mut request = client.request(method, url.clone());
        if let Some((content_type, body)) = body {
            request = request.header(CONTENT_TYPE, content_type).body(body);
        }
        request.send().await.map_err(|error| transport(&error))
    }
}

async fn read(response: Response, max: usize) -> Result<Answer, FetchError> {
    let status = response.status().as_u16();
    let retry_after_ms = retry_after(response.headers());
    let is_html = |value: &reqwest::header::HeaderValue| value.to_str().is_ok_and(|text| text.trim_start().starts_with("text/html"));
    let html = response.headers().get(CONTENT_TYPE).is_some_and(is_html);
    if response.content_length().is_some_and(|length| length > max as u64) {
        return Err(FetchError::TooLarge { max });
    }
    let mut body = BytesMut::with_capacity(room(response.content_length(), max));
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| transport(&error))?;
        if body.len() + piece.len() > max {
            return Err(FetchError::TooLarge { max });
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status, body: body.freeze(), retry_after_ms, html })
}

/// Bytes that there is room for before the first one has come. To announce many costs a server nothing.
fn room(announced: Option<u64>, max: usize) -> usize {
    announced.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX)).min(max).min(ANNOUNCED_BYTES_MAX)
}

/// Only the form in seconds: the other one would need a clock, and is bounded by a minute anyway.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok().map(|seconds| seconds.saturating_mul(1000))
}

/// The innermost reason: the outer ones repeat the address.
fn transport(error: &reqwest::Error) -> FetchError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    FetchError::Transport(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_announces_much_gets_no_more_room_than_a_bundle_needs() {
        assert_eq!((room(None, 100), room(Some(7), 100), room(Some(700), 100)), (0, 7, 100));
        assert_eq!(room(Some(u64::MAX), usize::MAX), ANNOUNCED_BYTES_MAX);
    }
}
