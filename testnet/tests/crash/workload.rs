//! Two processes and a thousand messages: each message makes the first process tell the second, and both count.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ao_testnet::client::{Answer, Client};
use ao_testnet::items::{Item, Person};
use ao_testnet::schedule::{Schedule, value_of};
use ao_types::Id;

/// How long a few thousand small messages may take to be evaluated and pushed on a busy machine.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);

const SENDER: &str = r#"Sent = 0
Handlers.add("Go", "Go", function (msg)
  Sent = Sent + 1
  Send({ Target = TARGET, Action = "Got", N = msg.N })
end)"#;

const RECEIVER: &str = r#"Total, Twice, Seen = 0, 0, {}
Handlers.add("Got", "Got", function (msg)
  Total = Total + 1
  if Seen[msg.N] then Twice = Twice + 1 end
  Seen[msg.N] = true
end)"#;

/// The two processes.
pub struct Workload {
    owner: Person,
    pub sender: Id,
    pub receiver: Id,
    /// Slots of each before the first message.
    before: (usize, usize),
}

impl Workload {
    /// Spawns both and gives them their code.
    pub async fn prepare(client: &Client) -> Result<Self> {
        let owner = Person::named("owner");
        let receiver = client.spawn(&owner, None, &[], " ").await?;
        let sender = client.spawn(&owner, None, &[], " ").await?;
        client.eval(&owner, receiver, RECEIVER).await?;
        client.eval(&owner, sender, &SENDER.replace("TARGET", &format!("\"{receiver}\""))).await?;
        Ok(Self { owner, sender, receiver, before: (2, 2) })
    }

    /// The n-th message: the same bytes in every run.
    pub fn message(&self, n: usize) -> Item {
        Person::named("client").message(self.sender, &[("Action", "Go"), ("N", &n.to_string())], format!("message {n}"))
    }

    /// Waits until `count` messages were evaluated, pushed and evaluated there.
    pub async fn settled(&self, client: &Client, count: usize) -> Result<()> {
        client.until(&self.owner, self.receiver, "Total", &count.to_string(), SETTLED_WITHIN).await
    }

    /// Checks that exactly `sent` arrived: no gap, no duplicate, none lost, each pushed once, each with the result it should have.
    pub async fn check(&self, client: &Client, sent: &[Item]) -> Result<()> {
        self.settled(client, sent.len()).await?;
        let schedule = Schedule::read(client, self.sender).await?;
        ensure!(schedule.len() == self.before.0 + sent.len(), "{} slots for {} messages", schedule.len(), sent.len());
        for item in sent {
            schedule.slot(item.id).with_context(|| format!("the acknowledged message {} is lost", item.id))?;
        }
        let pushed = Schedule::read(client, self.receiver).await?;
        ensure!(pushed.len() == self.before.1 + sent.len(), "{} slots for {} pushed messages", pushed.len(), sent.len());
        let mut origins: BTreeMap<&str, usize> = BTreeMap::new();
        for node in &pushed.nodes[self.before.1..] {
            let tags = &node["message"]["tags"];
            ensure!(value_of(tags, "From-Process") == Some(&self.sender.to_string()), "who sent {node}?");
            *origins.entry(value_of(tags, "Pushed-For").context("a pushed message names its origin")?).or_default() += 1;
        }
        for item in sent {
            match origins.get(item.id.to_string().as_str()) {
                Some(1) => {}
                found => bail!("the message of {} was pushed {found:?} times", item.id),
            }
        }
        for (process, expression, expected) in
            [(self.sender, "Sent", sent.len()), (self.receiver, "Total", sent.len()), (self.receiver, "Twice", 0)]
        {
            let found = client.peek(&self.owner, process, expression).await?;
            ensure!(found == expected.to_string(), "{expression} is {found}, expected {expected}");
        }
        for item in [&sent[0], &sent[sent.len() / 2], &sent[sent.len() - 1]] {
            let result = client.result(self.sender, item.id).await?;
            ensure!(result["Messages"].as_array().is_some_and(|messages| messages.len() == 1), "result of {}: {result}", item.id);
        }
        Ok(())
    }
}

/// Whether an answer means that the node has this item for good: taken now, or taken before a crash ate the answer.
pub fn accepted(answer: &Answer) -> Result<bool> {
    if answer.status.is_success() {
        return Ok(true);
    }
    let refusal = answer.refusal()?;
    if answer.json["code"] == "AON-1004" || refusal.contains("MessageExists") {
        return Ok(true);
    }
    // starting, stopping or full: later
    ensure!(answer.status.as_u16() == 503, "refused: {} {refusal}", answer.status);
    Ok(false)
}
