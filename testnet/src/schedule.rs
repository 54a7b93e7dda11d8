//! A reader of schedules that trusts nothing: nonces, times, hash chain and ids are computed here, from the protocol and not with the
//! node's code.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use ao_types::Id;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::client::Client;

/// Most edges of one page.
const PAGE: usize = 500;

/// The whole schedule of a process, read and checked.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// `{message, assignment}` by slot.
    pub nodes: Vec<Value>,
    /// Slot of each message; the process item under its own id.
    pub slots: BTreeMap<String, usize>,
}

impl Schedule {
    /// Reads all of it.
    ///
    /// # Errors
    /// A page cannot be read, or a rule of [`Schedule::checked`] is broken.
    pub async fn read(client: &Client, process: Id) -> Result<Self> {
        let mut nodes: Vec<Value> = Vec::new();
        loop {
            let from = i64::try_from(nodes.len())? - 1;
            let path = format!("/{process}?process-id={process}&from-nonce={from}&limit={PAGE}&show-anchor");
            let page = client.get(&path).await?;
            ensure!(page.status.is_success(), "{} {}", page.status, page.text());
            let edges = page.json["edges"].as_array().context("a page has edges")?;
            nodes.extend(edges.iter().map(|edge| edge["node"].clone()));
            if page.json["page_info"]["has_next_page"] != true {
                return Self::checked(process, nodes);
            }
            ensure!(!edges.is_empty(), "a page with a next one is not empty");
        }
    }

    /// Checks an unbroken schedule: nonces from 0 without gap, rising times, the hash chain, ids that are the hash of their signature,
    /// no message twice.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn checked(process: Id, nodes: Vec<Value>) -> Result<Self> {
        let mut chain: [u8; 32] = Sha256::digest(process.as_bytes()).into();
        let (mut time, mut slots) = (0, BTreeMap::new());
        for (slot, node) in nodes.iter().enumerate() {
            let assignment = &node["assignment"];
            let tag = |name: &str| value_of(&assignment["tags"], name);
            ensure!(tag("Nonce") == Some(&slot.to_string()), "slot {slot}: the nonce is {:?}", tag("Nonce"));
            ensure!(tag("Process") == Some(&process.to_string()), "slot {slot}: of process {:?}", tag("Process"));
            let expected = Id(chain).to_string();
            ensure!(tag("Hash-Chain") == Some(&expected), "slot {slot}: hash chain {:?}, expected {expected}", tag("Hash-Chain"));
            let at: u64 = tag("Timestamp").context("an assignment has a time")?.parse()?;
            ensure!(at > time, "slot {slot}: time {at} after {time}");
            time = at;
            let id = assignment["id"].as_str().context("an assignment has an id")?;
            let signature = URL_SAFE_NO_PAD.decode(assignment["signature"].as_str().context("an assignment has a signature")?)?;
            let hash: [u8; 32] = Sha256::digest(&signature).into();
            ensure!(Id(hash).to_string() == id, "slot {slot}: id {id} is not the hash of its signature");
            let message = match (slot, tag("Message")) {
                (0, None) => process.to_string(),
                (1.., Some(message)) => message.to_owned(),
                (_, found) => bail!("slot {slot}: Message tag {found:?}"),
            };
            if let Some(before) = slots.insert(message.clone(), slot) {
                bail!("{message} has slots {before} and {slot}");
            }
            let mut hasher = Sha256::new();
            hasher.update(hash);
            hasher.update(chain);
            chain = hasher.finalize().into();
        }
        Ok(Self { nodes, slots })
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The slot of a message.
    pub fn slot(&self, message: Id) -> Option<usize> {
        self.slots.get(&message.to_string()).copied()
    }
}

/// First value of a tag in a list of `{name, value}`.
pub fn value_of<'a>(tags: &'a Value, name: &str) -> Option<&'a str> {
    tags.as_array()?.iter().find(|tag| tag["name"] == name)?["value"].as_str()
}
