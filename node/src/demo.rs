//! The demonstration behind `aonode devnet`: real processes, real messages, every result checked against what it must be.
//!
//! It talks to the nodes over HTTP as any client does, so what works here works for them. Each step says what it did and what came back;
//! a step whose result differs fails the command. This file is what one node does; what several do together is [`across`].

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ao_types::{Id, Tag, Wallet};
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{items, online, show};

pub mod across;
pub mod modules;
pub mod wallets;

const COUNTER: &str = include_str!("demo/counter.lua");
const PING: &str = include_str!("demo/ping.lua");
const PONG: &str = include_str!("demo/pong.lua");
/// Times the ping goes there and back.
const ROUNDS: u64 = 5;
/// Something that happens by itself has happened by then, or never will.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A step that was taken.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was done.
    pub what: String,
    /// What came back.
    pub shown: String,
    /// How long it took.
    pub took: Duration,
    /// `None`: as it should be. Else what was expected.
    pub wrong: Option<String>,
}

impl Step {
    /// For programs.
    pub fn record(&self) -> Value {
        json!({ "step": self.what, "result": self.shown, "ms": self.took.as_secs_f64() * 1e3, "ok": self.wrong.is_none(), "expected": self.wrong })
    }
}

/// Hears of every step.
type Teller<'t> = Box<dyn FnMut(&Step) -> Result<(), Failure> + 't>;

/// A node as clients see it.
#[derive(Clone, Debug)]
pub struct Seat {
    /// What it is called.
    pub name: String,
    client: Client,
    scheduler: String,
    authority: String,
    module: String,
}

impl Seat {
    /// The node that `client` talks to.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn of(name: &str, client: Client) -> Result<Self, Failure> {
        let identity = client.get("v1/identity").await?;
        let text = |field: &str| identity[field].as_str().unwrap_or_default().to_owned();
        Ok(Self { name: name.to_owned(), scheduler: text("scheduler"), authority: text("authority"), module: text("module"), client })
    }
}

/// A demonstration in progress. `tell` hears of every step when it is done.
pub struct Demo<'t> {
    seats: Vec<Seat>,
    wallet: Wallet,
    tell: Teller<'t>,
    wrong: usize,
}

impl<'t> Demo<'t> {
    /// Against these nodes; the first is that of [`Demo::one_node`].
    pub fn new(seats: Vec<Seat>, wallet: Wallet, tell: impl FnMut(&Step) -> Result<(), Failure> + 't) -> Self {
        Self { seats, wallet, tell: Box::new(tell), wrong: 0 }
    }

    /// How many steps went wrong so far.
    pub fn wrong(&self) -> usize {
        self.wrong
    }

    /// Everything that one node does.
    ///
    /// # Errors
    /// The node could not be asked at all.
    pub async fn one_node(&mut self, module: Result<bytes::Bytes, modules::Error>) -> Result<(), Failure> {
        let counter = self.counter().await?;
        self.ping_pong().await?;
        match module {
            Ok(code) => self.aos(code, counter).await?,
            Err(error) => {
                let why = format!("left out: {error}");
                (self.tell)(&Step { what: "a real AOS module in WebAssembly".into(), shown: why, took: Duration::ZERO, wrong: None })?;
            }
        }
        self.refusal(counter).await?;
        self.anchored(counter).await
    }

    /// Something that happened to the nodes, as a step of its own.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn done(&mut self, what: impl Into<String>, began: Instant, shown: &str) -> Result<(), Failure> {
        self.step(what, began, shown, shown)
    }

    fn step(
        &mut self,
        what: impl Into<String>,
        began: Instant,
        shown: impl Into<String>,
        expected: impl Into<String>,
    ) -> Result<(), Failure> {
        let (shown, expected) = (shown.into(), expected.into());
        let wrong = (shown != expected).then_some(expected);
        self.wrong += usize::from(wrong.is_some());
        (self.tell)(&Step { what: what.into(), shown, took: began.elapsed(), wrong })
    }

    /// A process of the scheduler of node `host`, sent to node `at`.
    async fn spawn(&mut self, name: &str, module: &str, source: &str, (at, host): (usize, usize)) -> Result<Id, Failure> {
        let began = Instant::now();
        let mut tags: Vec<_> = self.seats.iter().map(|seat| Tag::new("Authority", seat.authority.clone())).collect();
        tags.push(Tag::new("Name", name));
        if !source.is_empty() {
            tags.push(Tag::new("On-Boot", "Data"));
        }
        let item = items::process(&self.wallet, module, &self.seats[host].scheduler, tags, source.as_bytes().to_vec())?;
        let client = &self.seats[at].client;
        client.submit("v1/processes", &item).await?;
        let id = item.id();
        let boot = client.result(&id, &id).await?;
        let shown = show::error(&boot).unwrap_or_else(|| id.to_string());
        let what = if at == host {
            format!("spawn {name}")
        } else {
            format!("spawn {name} of {} through {}", self.seats[host].name, self.seats[at].name)
        };
        self.step(what, began, shown, id.to_string())?;
        Ok(id)
    }

    /// Sends through node `at`, and has the result from it.
    async fn send(&self, at: usize, process: Id, action: &str, tags: &[(&str, &str)]) -> Result<Value, Failure> {
        let tags = [("Action", action)].iter().chain(tags).map(|(name, value)| Tag::new(*name, *value)).collect();
        let item = items::message(&self.wallet, process, tags, Vec::new())?;
        self.seats[at].client.submit("v1/messages", &item).await?;
        self.seats[at].client.result(&process, &item.id()).await
    }

    /// The value of an expression in a process as node `at` has it, without a trace in its log.
    async fn peek(&self, at: usize, process: Id, expression: &str) -> Result<String, Failure> {
        use ao_types::Signer as _;
        let owner = self.wallet.address().to_string();
        let message = online::dry_message(&process, &owner, &[Tag::new("Action", "Eval")], expression);
        let result = self.seats[at].client.dry_run(&process, &message).await?;
        Ok(said(&result))
    }

    /// Waits until an expression has, at node `at`, the value that messages between processes and frames between nodes lead to. What it
    /// had last, if it never does.
    async fn until(&self, at: usize, process: Id, expression: &str, expected: &str) -> Result<String, Failure> {
        let last = Instant::now() + SETTLED_WITHIN;
        loop {
            match self.peek(at, process, expression).await {
                Ok(found) if found == expected || Instant::now() > last => return Ok(found),
                // The process is another node's, and not here yet.
                Err(failure) if failure.exit != Exit::NotFound || Instant::now() > last => return Err(failure),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn counter(&mut self) -> Result<Id, Failure> {
        let module = self.seats[0].module.clone();
        let counter = self.spawn("counter (Lua)", &module, COUNTER, (0, 0)).await?;
        for (quantity, expected) in [("5", "5 added, 5 in all"), ("37", "37 added, 42 in all")] {
            let began = Instant::now();
            let result = self.send(0, counter, "Add", &[("Quantity", quantity)]).await?;
            self.step(format!("message counter  Action=Add Quantity={quantity}"), began, said(&result), expected)?;
        }
        let began = Instant::now();
        let total = self.peek(0, counter, "Total").await?;
        self.step("dry-run counter  Total", began, total, "42")?;
        Ok(counter)
    }

    async fn ping_pong(&mut self) -> Result<(), Failure> {
        let module = self.seats[0].module.clone();
        let ping = self.spawn("ping (Lua)", &module, PING, (0, 0)).await?;
        let pong = self.spawn("pong (Lua)", &module, PONG, (0, 0)).await?;
        let began = Instant::now();
        let (peer, rounds) = (pong.to_string(), ROUNDS.to_string());
        self.send(0, ping, "Start", &[("Peer", &peer), ("Rounds", &rounds)]).await?;
        let pongs = self.until(0, ping, "Pongs", &rounds).await?;
        let pings = self.peek(0, pong, "Pings").await?;
        let shown = format!("{pings} pings, {pongs} pongs");
        self.step(format!("ping and pong talk to each other, {ROUNDS} rounds"), began, shown, format!("{ROUNDS} pings, {ROUNDS} pongs"))
    }

    async fn aos(&mut self, code: bytes::Bytes, counter: Id) -> Result<(), Failure> {
        let began = Instant::now();
        let [signer, _] = wallets::node(wallets::NETWORK).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
        let module = modules::item(code, &signer).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
        let stored = self.seats[0].client.submit("gateway/tx", &module).await?;
        let id = module.id().to_string();
        self.step("upload the AOS 2.0.6 module (wasm64)", began, stored["id"].as_str().unwrap_or_default(), id.clone())?;
        let aos = self.spawn("aos (WebAssembly)", &id, "", (0, 0)).await?;
        for (code, expected) in [("1 + 1", "2"), ("Greeting = 'hello from aos'; return Greeting", "hello from aos")] {
            let began = Instant::now();
            let evaluated = online::evaluate(&self.seats[0].client, &self.wallet, aos, code.as_bytes().to_vec()).await?;
            self.step(format!("eval aos  {code}"), began, said(&evaluated.result), expected)?;
        }
        let began = Instant::now();
        let mut code = String::new();
        let _ = write!(code, "Send({{ Target = '{counter}', Action = 'Add', Quantity = '58' }})");
        online::evaluate(&self.seats[0].client, &self.wallet, aos, code.into_bytes()).await?;
        let total = self.until(0, counter, "Total", "100").await?;
        self.step("aos sends 58 to the counter", began, total, "100")
    }

    /// What was said is on Arweave, where nodes write to one.
    async fn anchored(&mut self, counter: Id) -> Result<(), Failure> {
        let client = &self.seats[0].client;
        if client.get("v1/status").await?["anchoring"].is_null() {
            return Ok(());
        }
        let began = Instant::now();
        let within = SETTLED_WITHIN.as_millis();
        let slot = client.get(&format!("v1/processes/{counter}/slots/2?wait=anchored&timeout_ms={within}")).await?;
        let shown = slot["state"].as_str().unwrap_or_default().to_owned();
        self.step("the counter's messages are on Arweave", began, shown, "anchored")
    }

    /// What must not work does not.
    async fn refusal(&mut self, counter: Id) -> Result<(), Failure> {
        let began = Instant::now();
        let stranger = wallets::wallets(wallets::NETWORK).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?.pop();
        let Some(stranger) = stranger else { return Ok(()) };
        online::evaluate(&self.seats[0].client, &stranger, counter, b"Total = 0".to_vec()).await?;
        let shown = match self.peek(0, counter, "Total").await?.as_str() {
            "0" => "the stranger's code ran",
            _ => "nothing changed",
        };
        self.step("eval counter  Total = 0, signed by a stranger", began, shown, "nothing changed")
    }
}

/// What a result says, colours taken out.
fn said(result: &Value) -> String {
    let text = show::error(result).or_else(|| show::words(&result["Output"]).map(str::to_owned)).unwrap_or_default();
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..at]);
        rest = rest[at..].split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_do_not_count() {
        assert_eq!(said(&json!({ "Output": { "data": "\u{1b}[32m42\u{1b}[0m\n" } })), "42");
        assert_eq!(said(&json!({ "Error": "boom", "Output": "x" })), "boom");
        assert_eq!(said(&json!({ "Output": "cut \u{1b}[3" })), "cut");
    }
}
