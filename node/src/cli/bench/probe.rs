//! One process whose messages are followed from level to level while others are under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ao_types::{Id, Tag, Wallet};
use reqwest::Response;
use serde_json::Value;

use super::times::Times;
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::items;

/// After the last message, how long its levels are waited for.
const LAST_WITHIN: Duration = Duration::from_secs(10);

/// A process, and the stream of its events.
pub struct Probe {
    client: Client,
    process: Id,
    wallet: Wallet,
    stream: Response,
    seen: Seen,
    /// What of the stream is no whole line yet.
    rest: Vec<u8>,
    event: String,
}

/// When each slot reached which level.
#[derive(Debug, Default)]
pub struct Seen {
    slots: BTreeMap<(Id, u64), Levels>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Levels {
    assigned: Option<Instant>,
    certified: Option<Instant>,
    confirmed: Option<Instant>,
    computed: Option<Instant>,
}

impl Seen {
    /// Takes over what another one saw.
    pub fn join(&mut self, other: Self) {
        self.slots.extend(other.slots);
    }

    /// How many slots were confirmed.
    pub fn len(&self) -> usize {
        self.slots.values().filter(|levels| levels.confirmed.is_some()).count()
    }

    /// From assigned to certified.
    pub fn certified(&self) -> Times {
        self.times(|levels| levels.certified)
    }

    /// From assigned to confirmed.
    pub fn confirmed(&self) -> Times {
        self.times(|levels| levels.confirmed)
    }

    /// From assigned to computed.
    pub fn computed(&self) -> Times {
        self.times(|levels| levels.computed)
    }

    fn times(&self, to: impl Fn(&Levels) -> Option<Instant>) -> Times {
        Times::new(self.slots.values().filter_map(|levels| Some(to(levels)?.duration_since(levels.assigned?))).collect())
    }

    fn note(&mut self, event: &str, process: Id, slot: u64, at: Instant) {
        let levels = self.slots.entry((process, slot)).or_default();
        let level = match event {
            "assigned" => &mut levels.assigned,
            "certified" => &mut levels.certified,
            "confirmed" => &mut levels.confirmed,
            "computed" => &mut levels.computed,
            _ => return,
        };
        level.get_or_insert(at);
    }
}

impl Probe {
    /// Follows a process's events from now on.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn start(client: Client, process: Id, wallet: Wallet) -> Result<Self, Failure> {
        let stream = client.stream(&format!("v1/events?process={process}")).await?;
        Ok(Self { client, process, wallet, stream, seen: Seen::default(), rest: Vec::new(), event: String::new() })
    }

    /// Sends a message every so often until it is over, and the last one has its levels.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn run(mut self, every: Duration, over: Arc<AtomicBool>) -> Result<Seen, Failure> {
        let mut beat = tokio::time::interval(every);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let (mut sent, mut until) = (0, None);
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    if over.load(Ordering::Relaxed) {
                        if self.seen.len() >= sent || Instant::now() > *until.get_or_insert_with(|| Instant::now() + LAST_WITHIN) {
                            return Ok(self.seen);
                        }
                        continue;
                    }
                    let item = items::message(&self.wallet, self.process, vec![Tag::new("Action", "Count")], b"probe".to_vec())?;
                    let client = self.client.clone();
                    sent += 1;
                    // Its answer is not waited for: the events tell more.
                    tokio::spawn(async move { client.submit("v1/messages", &item).await });
                }
                chunk = self.stream.chunk() => {
                    let at = Instant::now();
                    let gone = |reason: String| Failure::new(Exit::Unreachable, format!("the stream of events ended: {reason}"));
                    let chunk = chunk.map_err(|error| gone(error.to_string()))?.ok_or_else(|| gone("closed".to_owned()))?;
                    self.take(&chunk, at);
                }
            }
        }
    }

    fn take(&mut self, chunk: &[u8], at: Instant) {
        self.rest.extend_from_slice(chunk);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(event) = line.strip_prefix("event: ") {
                self.event = event.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data: Value = serde_json::from_str(data).unwrap_or_default();
                if let Some(slot) = data["slot"].as_u64() {
                    self.seen.note(&self.event, self.process, slot, at);
                }
            }
        }
    }
}
