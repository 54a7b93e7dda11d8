//! Talks HTTP to a node, and turns every way this can go wrong into what the user should know.
//!
//! One connection pool for a command; answers are bounded; a refusal keeps the node's code.

use std::time::Duration;

use ao_types::{DataItem, Id, Verified};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use crate::error::Code;

/// Largest answer read: a result is bounded by the node, a schedule page by its limit.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A connection to a node.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    timeout: Duration,
    token: Option<String>,
}

impl Client {
    /// Talks to the node at `endpoint`, waiting `timeout` for each answer.
    ///
    /// # Errors
    /// `endpoint` is not an HTTP URL.
    pub fn new(endpoint: &str, timeout: Duration) -> Result<Self, Failure> {
        let bad = |reason: String| Failure::usage(format!("--endpoint {endpoint}: {reason}")).fix("give a URL like http://127.0.0.1:7700");
        let mut base = Url::parse(endpoint).map_err(|error| bad(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(bad("not an HTTP URL".into()));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("aonode/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .redirect(reqwest::redirect::Policy::limited(3))
            .build()
            .map_err(|error| Failure::new(Exit::Bug, format!("no HTTP client: {error}")))?;
        Ok(Self { http, base, timeout, token: None })
    }

    /// The node's address, without a slash at the end.
    pub fn endpoint(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// How long it waits for an answer.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let url = self.base.join(path.trim_start_matches('/')).map_err(|error| Failure::usage(format!("{path}: {error}")))?;
        let request = self.http.request(method, url).timeout(self.timeout);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// With the token of the operator's listener in every request.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    /// `POST` of JSON, JSON expected.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let response = self.send(self.request(Method::POST, path)?.json(body)).await?;
        self.json(response).await
    }

    /// `GET`, JSON expected.
    ///
    /// # Errors
    /// As every way a request can fail; see [`Exit`].
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        let response = self.send(self.request(Method::GET, path)?).await?;
        self.json(response).await
    }

    /// `GET`, whatever the status: for health checks, whose 503 is an answer.
    ///
    /// # Errors
    /// The node cannot be reached, or does not answer in time.
    pub async fn get_any(&self, path: &str) -> Result<(u16, Value), Failure> {
        let response = self.send(self.request(Method::GET, path)?).await?;
        let status = response.status().as_u16();
        let body = self.body(response).await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// `GET`, bytes expected.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let response = self.send(self.request(Method::GET, path)?).await?;
        let status = response.status().as_u16();
        let body = self.body(response).await?;
        if status < 300 { Ok(body) } else { Err(refused(status, &body)) }
    }

    /// `GET`, at most `max` bytes expected.
    ///
    /// # Errors
    /// As [`Client::get`]; or the answer is longer.
    pub async fn get_at_most(&self, path: &str, max: usize) -> Result<Vec<u8>, Failure> {
        let response = self.send(self.request(Method::GET, path)?).await?;
        let status = response.status().as_u16();
        let body = self.body_at_most(response, max).await?;
        if status < 300 { Ok(body) } else { Err(refused(status, &body)) }
    }

    /// Assignments and items of a process from `slot` on as a bundle, and the first slot of the next page.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn log_page(&self, process: &Id, slot: u64) -> Result<(Vec<u8>, Option<u64>), Failure> {
        let path = format!("v1/processes/{process}/bundle?from={slot}&limit=500");
        let response = self.send(self.request(Method::GET, &path)?).await?;
        let next = response.headers().get("x-next-slot").and_then(|value| value.to_str().ok()?.parse().ok());
        let status = response.status().as_u16();
        let body = self.body(response).await?;
        if status < 300 { Ok((body, next)) } else { Err(refused(status, &body)) }
    }

    /// Posts a data item. Resolves when the node has it durably.
    ///
    /// # Errors
    /// As [`Client::get`]; a time-out names the item's id, because the node may have taken it.
    pub async fn submit(&self, path: &str, item: &Verified<DataItem>) -> Result<Value, Failure> {
        let body = reqwest::Body::from(item.as_bytes().clone());
        let request = self.request(Method::POST, path)?.header("content-type", "application/octet-stream").body(body);
        let failed = |mut failure: Failure| {
            if failure.exit == Exit::TimedOut {
                failure.what = format!("{}; item {}", failure.what, item.id());
                failure.fix = Some(format!("find out with `aonode message trace {}`; sending the same item again is harmless", item.id()));
            }
            failure
        };
        let response = self.send(request).await.map_err(failed)?;
        self.json(response).await.map_err(failed)
    }

    /// The result of a message: waits for it. `Err` with [`Exit::ProcessError`] never comes from here; look at `Error`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn result(&self, process: &Id, message: &Id) -> Result<Value, Failure> {
        self.get(&format!("cu/result/{message}?process-id={process}")).await
    }

    /// A dry run with `message` in the reference unit's form.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn dry_run(&self, process: &Id, message: &Value) -> Result<Value, Failure> {
        let request = self.request(Method::POST, &format!("cu/dry-run?process-id={process}"))?.json(message);
        let response = self.send(request).await?;
        self.json(response).await
    }

    /// A stream of server-sent events, line by line.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn stream(&self, path: &str) -> Result<Response, Failure> {
        let url = self.base.join(path.trim_start_matches('/')).map_err(|error| Failure::usage(format!("{path}: {error}")))?;
        let response = self.send(self.http.get(url).header("accept", "text/event-stream")).await?;
        let status = response.status().as_u16();
        if status < 300 { Ok(response) } else { Err(refused(status, &self.body(response).await?)) }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| self.failed(&error))
    }

    async fn json(&self, response: Response) -> Result<Value, Failure> {
        let status = response.status().as_u16();
        let body = self.body(response).await?;
        if status >= 300 {
            return Err(refused(status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| {
            Failure::new(Exit::Unreachable, format!("{} answered something that is not JSON: {error}", self.endpoint()))
                .fix("is --endpoint an aonode?")
        })
    }

    async fn body(&self, response: Response) -> Result<Vec<u8>, Failure> {
        self.body_at_most(response, ANSWER_BYTES_MAX).await
    }

    async fn body_at_most(&self, mut response: Response, max: usize) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len() + chunk.len() > max {
                return Err(Failure::new(Exit::Unreachable, format!("{} sent more than {max} bytes", self.endpoint())));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn failed(&self, error: &reqwest::Error) -> Failure {
        let timeout = self.timeout.as_secs_f32();
        if error.is_timeout() && !error.is_connect() {
            return Failure::new(Exit::TimedOut, format!("{} did not answer within {timeout} s; the outcome is unknown", self.endpoint()))
                .fix("ask again, or allow more with --timeout");
        }
        let mut reason: &dyn std::error::Error = error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        Failure::new(Exit::Unreachable, format!("cannot reach {}: {reason}", self.endpoint()))
            .fix("is the node running? `aonode dev` starts one; --endpoint names another")
    }
}

/// What a node's refusal means. Understands the native form `{"error":{"code","message"}}` and the units' `{"error":text,"code"}`.
pub fn refused(status: u16, body: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(body).unwrap_or_else(|_| json!({}));
    let error = &value["error"];
    let text = |value: &Value| value.as_str().map(super::output::printable);
    let message = text(&error["message"]).or_else(|| text(error)).or_else(|| text(&value["message"]));
    let code = text(&error["code"]).or_else(|| text(&value["code"]));
    let code = code.and_then(|code| Code::ALL.into_iter().find(|known| known.as_str() == code));
    let exit = code.map_or_else(|| exit_of_status(status), Exit::of);
    let what = message.unwrap_or_else(|| format!("the node answered {status}"));
    let retry = value["error"]["retry_after_s"].as_u64().or_else(|| value["retry_after_s"].as_u64());
    Failure { exit, what, fix: retry.map(|seconds| format!("try again in {seconds} s")), code }
}

fn exit_of_status(status: u16) -> Exit {
    match status {
        404 => Exit::NotFound,
        408 | 504 => Exit::TimedOut,
        500 => Exit::Bug,
        502 => Exit::Unreachable,
        503 => Exit::NotReady,
        _ => Exit::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_code_and_text() {
        for (status, body, exit, what) in [
            (
                404,
                r#"{"error":{"code":"AON-3001","message":"process X is not known","detail":{}}}"#,
                Exit::NotFound,
                "process X is not known",
            ),
            (400, r#"{"error":"MessageExists(abc)","code":"AON-1004"}"#, Exit::Refused, "MessageExists(abc)"),
            (503, r#"{"error":{"code":"AON-4001","message":"full","retry_after_s":2}}"#, Exit::Refused, "full"),
            (404, "<html>", Exit::NotFound, "the node answered 404"),
            (500, "", Exit::Bug, "the node answered 500"),
            (429, "[1]", Exit::Refused, "the node answered 429"),
        ] {
            let failure = refused(status, body.as_bytes());
            assert_eq!((failure.exit, failure.what.as_str()), (exit, what), "{body}");
        }
        assert_eq!(refused(400, br#"{"error":"x","code":"AON-1004"}"#).code, Some(Code::Duplicate));
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable_and_says_what_to_do() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client = Client::new(&format!("http://127.0.0.1:{port}"), Duration::from_secs(5)).unwrap();
        let failure = client.get("livez").await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.to_string().contains("is the node running?"), "{failure}");
    }

    #[tokio::test]
    async fn a_silent_node_is_a_timeout_with_the_id() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()), Duration::from_millis(200)).unwrap();
        let wallet = ao_types::Wallet::generate_ed25519().unwrap();
        let item = ao_types::ItemBuilder::new().data("x").sign(&wallet).unwrap();
        let failure = client.submit("", &item).await.unwrap_err();
        assert_eq!(failure.exit, Exit::TimedOut);
        assert!(failure.what.contains(&item.id().to_string()), "{failure}");
    }

    #[test]
    fn endpoints_are_checked() {
        for bad in ["", "localhost:7700", "ftp://x", "http://"] {
            assert_eq!(Client::new(bad, Duration::from_secs(1)).unwrap_err().exit, Exit::Usage, "{bad}");
        }
        let client = Client::new("http://h:1/prefix", Duration::from_secs(1)).unwrap();
        assert_eq!(client.endpoint(), "http://h:1/prefix");
    }
}
