//! What must hold between nodes whatever happened to them: one log, one result for each slot, nothing lost that was acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ao_types::Id;
use serde_json::Value;

use crate::client::Client;
use crate::schedule::Schedule;
use crate::wait;

/// What a node has of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Slot of the last message that is in its log.
    pub head: u64,
    /// Slot of the last one that is confirmed.
    pub confirmed: Option<u64>,
    /// Slot of the last one that is evaluated.
    pub evaluated: Option<u64>,
    /// The head's link: equal only for equal logs.
    pub hash_chain: String,
}

impl View {
    /// As a node shows it; nothing while the node does not know the process.
    ///
    /// # Errors
    /// No answer came.
    pub async fn of(client: &Client, process: Id) -> Result<Option<Self>> {
        let answer = client.get(&format!("/v1/processes/{process}")).await?;
        if !answer.status.is_success() {
            return Ok(None);
        }
        let shown = &answer.json;
        Ok(Some(Self {
            head: shown["head"]["slot"].as_u64().with_context(|| format!("a process has a head: {shown}"))?,
            confirmed: shown["confirmed_slot"].as_u64(),
            evaluated: shown["evaluated"]["slot"].as_u64(),
            hash_chain: shown["head"]["hash_chain"].as_str().unwrap_or_default().to_owned(),
        }))
    }

    /// Everything in the log is confirmed and evaluated.
    pub fn is_settled(&self) -> bool {
        self.confirmed == Some(self.head) && self.evaluated == Some(self.head)
    }
}

/// Waits until every node has the same log of a process with at least the slots up to `at_least`, all of it confirmed and evaluated.
///
/// # Errors
/// They do not within `within`: what each has.
pub async fn settled(clients: &[Client], process: Id, at_least: u64, within: Duration) -> Result<View> {
    let last = std::sync::Mutex::new(Vec::new());
    let found = wait::until("all nodes have one settled log", within, || async {
        // A node that is just being restarted does not answer: it is asked again.
        let views = futures::future::join_all(clients.iter().map(|client| View::of(client, process))).await;
        let views: Vec<_> = views.into_iter().map(|view| view.ok().flatten()).collect();
        let first = views.first().cloned().flatten().filter(|first| first.head >= at_least && first.is_settled());
        let same = first.filter(|first| views.iter().all(|view| view.as_ref() == Some(first)));
        *last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = views;
        Ok(same)
    });
    found.await.with_context(|| format!("process {process}, at least slot {at_least}: {last:?}"))
}

/// Compares what every node serves of a process, slot by slot: the schedule itself, checked against the protocol; the hash of each result;
/// the hash of the state where nodes have one. To be called when the log is [`settled`].
///
/// # Errors
/// The first difference, or a message of `acknowledged` that is not in the log.
pub async fn check(clients: &[Client], process: Id, acknowledged: &[Id]) -> Result<usize> {
    let first = Schedule::read(clients.first().context("there are nodes")?, process).await?;
    for message in acknowledged {
        ensure!(first.slot(*message).is_some(), "{message} was acknowledged and is not in the log of {process}");
    }
    let results = results(&clients[0], process).await?;
    ensure!(results.len() == first.len(), "{} results of {} slots", results.len(), first.len());
    for (at, client) in clients.iter().enumerate().skip(1) {
        let other = Schedule::read(client, process).await?;
        ensure!(other.nodes.len() == first.nodes.len(), "n1 has {} slots, n{} {}", first.len(), at + 1, other.len());
        for (slot, (one, two)) in first.nodes.iter().zip(&other.nodes).enumerate() {
            ensure!(one == two, "slot {slot}: n1 has {one}, n{} {two}", at + 1);
        }
        for (slot, theirs) in self::results(client, process).await? {
            let ours = results.get(&slot).with_context(|| format!("slot {slot}: n1 has no result, n{} has", at + 1))?;
            ensure!(ours.result == theirs.result, "slot {slot}: result {} at n1, {} at n{}", ours.result, theirs.result, at + 1);
            if let (Some(ours), Some(theirs)) = (&ours.state, &theirs.state) {
                ensure!(ours == theirs, "slot {slot}: state {ours} at n1, {theirs} at n{}", at + 1);
            }
        }
    }
    Ok(first.len())
}

struct Hashes {
    result: String,
    /// States are hashed where a process comes to rest.
    state: Option<String>,
}

async fn results(client: &Client, process: Id) -> Result<BTreeMap<u64, Hashes>> {
    let (mut found, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/processes/{process}/results?limit=100{cursor}")).await?;
        ensure!(page.status.is_success(), "{} {}", page.status, page.text());
        let rows = page.json.as_object().and_then(|page| page.values().find_map(Value::as_array)).context("a page has rows")?;
        for row in rows.iter().filter(|row| row["cron"].is_null()) {
            let text = |name: &str| row[name].as_str().map(str::to_owned);
            let hashes = Hashes { result: text("result_hash").context("a result has a hash")?, state: text("state_hash") };
            found.insert(row["slot"].as_u64().context("a row has a slot")?, hashes);
        }
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(found),
        }
    }
}
