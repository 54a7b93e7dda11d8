//! A client of a node: the legacy HTTP that unmodified tools use, spoken from Rust.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ao_types::Id;
use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::items::{Item, Person};
use crate::wait;

/// Longer than any answer of a node that works.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// A client of one node.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Body.
    pub body: Bytes,
    /// Body, where it is JSON; null otherwise.
    pub json: Value,
    /// From sending the request to the last byte.
    pub took: Duration,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Fails unless it is a refusal in the form that legacy clients need.
    ///
    /// # Errors
    /// It is a success, or its body is not `{"error": text}`.
    pub fn refusal(&self) -> Result<&str> {
        ensure!(self.status.as_u16() >= 400, "expected a refusal, found {} {}", self.status, self.text());
        self.json["error"].as_str().ok_or_else(|| anyhow!("a refusal says why as JSON: {} {}", self.status, self.text()))
    }

    fn success(self) -> Result<Self> {
        ensure!(self.status.is_success(), "{} {}", self.status, self.text());
        Ok(self)
    }
}

impl Client {
    /// A client of the node at `base`.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(base: &str) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).pool_max_idle_per_host(64).build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http })
    }

    /// One request.
    ///
    /// # Errors
    /// No answer came.
    pub async fn ask(&self, method: Method, path: &str, kind: &str, body: impl Into<Bytes>) -> Result<Answer> {
        let started = std::time::Instant::now();
        let request = self.http.request(method, format!("{}{path}", self.base)).header("content-type", kind).body(body.into());
        let response = request.send().await?;
        let status = response.status();
        let is_json = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).is_some_and(|kind| kind.contains("json"));
        let body = response.bytes().await?;
        let json = if is_json { serde_json::from_slice(&body)? } else { Value::Null };
        Ok(Answer { status, body, json, took: started.elapsed() })
    }

    /// `GET path`.
    ///
    /// # Errors
    /// No answer came.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.ask(Method::GET, path, "application/json", Bytes::new()).await
    }

    /// `POST path` with a data item.
    ///
    /// # Errors
    /// No answer came.
    pub async fn post(&self, path: &str, item: &Item) -> Result<Answer> {
        self.ask(Method::POST, path, "application/octet-stream", item.bytes.clone()).await
    }

    /// Sends an item and gives its id once the node has taken it.
    ///
    /// # Errors
    /// It was refused, or no answer came.
    pub async fn send(&self, item: &Item) -> Result<Id> {
        let answer = self.post("/", item).await?.success().context("the item was refused")?;
        ensure!(answer.json["id"] == item.id.to_string(), "the answer names another item: {}", answer.text());
        Ok(item.id)
    }

    /// Stores an item through the gateway.
    ///
    /// # Errors
    /// It was refused, or no answer came.
    pub async fn upload(&self, item: &Item) -> Result<Id> {
        self.post("/tx", item).await?.success().context("the upload was refused")?;
        Ok(item.id)
    }

    /// The scheduler's address.
    ///
    /// # Errors
    /// The node does not say.
    pub async fn scheduler(&self) -> Result<String> {
        Ok(self.get("/").await?.success()?.json["address"].as_str().context("GET / names the scheduler")?.to_owned())
    }

    /// Who the node is: `scheduler`, `authority`, `module` (the embedded one).
    ///
    /// # Errors
    /// The node does not say.
    pub async fn identity(&self) -> Result<Value> {
        Ok(self.get("/v1/identity").await?.success()?.json)
    }

    /// Spawns a process of the embedded Lua module, or of `module`, that trusts the node's messenger.
    ///
    /// # Errors
    /// It was refused.
    pub async fn spawn(&self, owner: &Person, module: Option<Id>, tags: &[(&str, &str)], data: &str) -> Result<Id> {
        let item = self.process_item(owner, module, tags, data).await?;
        self.send(&item).await
    }

    /// The signed item of a process.
    ///
    /// # Errors
    /// The node does not say who it is.
    pub async fn process_item(&self, owner: &Person, module: Option<Id>, tags: &[(&str, &str)], data: &str) -> Result<Item> {
        let identity = self.identity().await?;
        let text = |name: &str| identity[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {identity}"));
        let (scheduler, messenger) = (text("scheduler")?, text("authority")?);
        let module = match module {
            Some(module) => module.to_string(),
            None => text("module")?,
        };
        let number = next_number();
        let own = [("Module", module.as_str()), ("Scheduler", &scheduler), ("Authority", &messenger), ("Number", &number)];
        let tags: Vec<_> = tags.iter().copied().chain(own).collect();
        Ok(owner.item("Process", None, &tags, data.to_owned()))
    }

    /// The result of a message.
    ///
    /// # Errors
    /// It was refused, or no answer came.
    pub async fn result(&self, process: Id, message: Id) -> Result<Value> {
        Ok(self.get(&format!("/result/{message}?process-id={process}")).await?.success()?.json)
    }

    /// Sends and waits for the result.
    ///
    /// # Errors
    /// As [`Client::send`] and [`Client::result`].
    pub async fn call(&self, process: Id, item: &Item) -> Result<Value> {
        self.send(item).await?;
        self.result(process, item.id).await
    }

    /// Evaluates Lua in a process of `owner`'s own; gives its output as text.
    ///
    /// # Errors
    /// The process says error.
    pub async fn eval(&self, owner: &Person, process: Id, code: &str) -> Result<String> {
        let number = next_number();
        let item = owner.message(process, &[("Action", "Eval"), ("Number", &number)], code.to_owned());
        let result = self.call(process, &item).await?;
        output(&result).with_context(|| format!("Eval of {code}"))
    }

    /// A value of the process, by dry run.
    ///
    /// # Errors
    /// The process says error.
    pub async fn peek(&self, owner: &Person, process: Id, expression: &str) -> Result<String> {
        let body = json!({
            "Id": "1234", "Target": process.to_string(), "Owner": owner.address(), "Anchor": "0", "Data": format!("return {expression}"),
            "Tags": [{"name": "Action", "value": "Eval"}, {"name": "Data-Protocol", "value": "ao"}, {"name": "Type", "value": "Message"}]
        });
        let path = format!("/dry-run?process-id={process}");
        let answer = self.ask(Method::POST, &path, "application/json", body.to_string()).await?.success()?;
        output(&answer.json).with_context(|| format!("dry run of {expression}"))
    }

    /// Waits until an expression has a value. A node that is still behind may not know the process yet.
    ///
    /// # Errors
    /// It does not get it within `within`.
    pub async fn until(&self, owner: &Person, process: Id, expression: &str, value: &str, within: Duration) -> Result<()> {
        let what = format!("{expression} == {value}");
        wait::until(&what, within, || async {
            match self.peek(owner, process, expression).await {
                Err(error) if error.to_string().contains("AON-3001") => Ok(None),
                found => Ok((found? == value).then_some(())),
            }
        })
        .await
    }

    /// Metrics as text.
    ///
    /// # Errors
    /// No answer came.
    pub async fn text(&self, path: &str) -> Result<String> {
        Ok(self.get(path).await?.success()?.text())
    }
}

/// Equal content signed by the same key is the same item: a number makes each one of its own.
fn next_number() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    MADE.fetch_add(1, Ordering::Relaxed).to_string()
}

/// What a result printed or returned, without colours.
///
/// # Errors
/// It is an error.
pub fn output(result: &Value) -> Result<String> {
    if let Some(error) = result.get("Error").or_else(|| result.get("error")).filter(|error| !error.is_null()) {
        bail!("the process says {error}");
    }
    let output = &result["Output"];
    let text = [&output["data"]["output"], &output["data"], output].into_iter().find_map(Value::as_str).unwrap_or_default();
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..at]);
        rest = rest[at..].find('m').map_or("", |end| &rest[at + end + 1..]);
    }
    Ok(plain + rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::output;

    #[test]
    fn output_is_found_in_each_form_and_loses_its_colours() {
        assert_eq!(output(&json!({"Output": "plain"})).unwrap(), "plain");
        assert_eq!(output(&json!({"Output": {"data": "\u{1b}[31ma\u{1b}[0m b"}})).unwrap(), "a b");
        assert_eq!(output(&json!({"Output": {"data": {"output": "old"}}})).unwrap(), "old");
        assert!(output(&json!({"Output": "x", "Error": "boom"})).is_err());
        assert!(output(&json!({"error": "refused"})).is_err());
    }
}
