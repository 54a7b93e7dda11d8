//! What a module is called with: one message and the environment (`vm-abi.md`, sections 7.1 and 7.2; `protocol.md`, section 7.1).

use bytes::Bytes;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::assignment::AssignmentContent;
use crate::data_item::DataItem;
use crate::id::{Address, Id};
use crate::message::sender;
use crate::tag::{Tag, Tags};

/// A message as handed to the module. Fields are in the order in which they are emitted: Lua's table layout, hence the order of
/// `pairs`, depends on it. A field without a value is absent, never null, except `data` of an item that is not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Invocation {
    /// Message id; absent for cron messages. A dry run carries whatever the caller put there.
    pub id: Option<String>,
    /// Signature, base64url; absent for cron messages and dry runs.
    pub signature: Option<String>,
    /// Data bytes; absent for cron messages and where an assignment excludes it. Null in JSON where they are not UTF-8.
    pub data: Option<Bytes>,
    /// Address of the signer.
    pub owner: String,
    /// Process id, or the recipient of an assigned item.
    pub target: String,
    /// Anchor as text; absent where it is not UTF-8.
    pub anchor: Option<String>,
    /// Value of the tag `From-Process` if present and not empty, else the owner.
    pub from: String,
    /// The owner, only where a `From-Process` tag exists.
    pub forwarded_by: Option<String>,
    /// Tags in order, duplicates kept, without `From` and `Owner`.
    pub tags: Vec<Tag>,
    /// Schedule epoch; absent for cron messages and dry runs.
    pub epoch: Option<u64>,
    /// Slot; absent for cron messages and dry runs.
    pub nonce: Option<u64>,
    /// Milliseconds since 1970, from the assignment.
    pub timestamp: u64,
    /// Arweave height, from the assignment.
    pub block_height: u64,
    /// Hash chain of the assignment, base64url.
    pub hash_chain: Option<String>,
    /// A message made by a cron group.
    pub cron: bool,
    /// True only for a dry run.
    pub read_only: bool,
}

/// A request to evaluate without a trace (`protocol.md`, section 12). Nothing in it is authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DryRun {
    /// Any text.
    pub id: Option<String>,
    /// Any text.
    pub signature: Option<String>,
    /// Whom the caller wants to be.
    pub owner: String,
    /// The process.
    pub target: String,
    /// Data.
    pub data: Option<Bytes>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Anchor.
    pub anchor: Option<String>,
    /// Milliseconds since 1970; the last evaluation's by default.
    pub timestamp: u64,
    /// Arweave height; the last evaluation's by default.
    pub block_height: u64,
}

impl Invocation {
    /// An item with its slot.
    pub fn of_assignment(item: &DataItem, assignment: &AssignmentContent) -> Self {
        let owner = item.address();
        let excluded = |field: &str| assignment.exclude.iter().any(|name| name == field);
        let target = if item.id() == assignment.process { Some(item.id()) } else { item.target() };
        Self {
            data: (!excluded("Data")).then(|| item.data_bytes()),
            signature: (!excluded("Signature")).then(|| base64url(item.signature())),
            anchor: if excluded("Anchor") { None } else { anchor_text(item) },
            tags: if excluded("Tags") { Vec::new() } else { visible(item.tags()) },
            target: target.map(|id| id.to_string()).unwrap_or_default(),
            epoch: Some(assignment.schedule_epoch),
            nonce: Some(assignment.slot.0),
            timestamp: assignment.timestamp_ms,
            block_height: assignment.block_height,
            hash_chain: Some(assignment.hash_chain.to_string()),
            ..Self::of_item(item, &owner)
        }
    }

    /// The process item where the log does not start with it (`protocol.md`, section 5.3). Its data was loaded as text, so bytes that
    /// are not UTF-8 are U+FFFD here rather than null.
    pub fn of_unassigned_process(item: &DataItem, timestamp_ms: u64, block_height: u64) -> Self {
        let owner = item.address();
        Self {
            data: Some(String::from_utf8_lossy(item.data()).into_owned().into()),
            signature: Some(base64url(item.signature())),
            anchor: anchor_text(item),
            tags: visible(item.tags()),
            target: item.id().to_string(),
            timestamp: timestamp_ms,
            block_height,
            ..Self::of_item(item, &owner)
        }
    }

    /// A message made by a cron group (`protocol.md`, section 11).
    pub fn of_cron(process: Id, owner: &Address, tags: &[Tag], timestamp_ms: u64, block_height: u64) -> Self {
        Self {
            owner: owner.to_string(),
            from: owner.to_string(),
            target: process.to_string(),
            tags: tags.to_vec(),
            timestamp: timestamp_ms,
            block_height,
            cron: true,
            ..Self::default()
        }
    }

    /// A dry run. `From` follows the usual rule, from what the caller says.
    pub fn of_dry_run(request: DryRun) -> Self {
        let from_process = request.tags.iter().find(|tag| tag.name == "From-Process").map(|tag| tag.value.clone());
        Self {
            forwarded_by: from_process.as_ref().map(|_| request.owner.clone()),
            from: from_process.filter(|from| !from.is_empty()).unwrap_or_else(|| request.owner.clone()),
            tags: request.tags.into_iter().filter(|tag| !is_shadow(tag.name.as_bytes())).collect(),
            id: request.id,
            signature: request.signature,
            data: request.data,
            owner: request.owner,
            target: request.target,
            anchor: request.anchor,
            timestamp: request.timestamp,
            block_height: request.block_height,
            read_only: true,
            ..Self::default()
        }
    }

    fn of_item(item: &DataItem, owner: &Address) -> Self {
        Self {
            id: Some(item.id().to_string()),
            owner: owner.to_string(),
            from: sender(item, owner),
            forwarded_by: item.tag("From-Process").map(|_| owner.to_string()),
            ..Self::default()
        }
    }

    /// Appends the JSON a module reads: one object, keys in the listed order, no spaces.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        // Writing to memory does not fail, and every key is text.
        let _ = serde_json::to_writer(out, self);
    }

    /// The JSON a module reads.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024 + self.data.as_ref().map_or(0, Bytes::len));
        self.write_json(&mut out);
        out
    }
}

impl Serialize for Invocation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        macro_rules! optional {
            ($($key:literal: $value:expr),*) => {$(
                if let Some(value) = &$value {
                    map.serialize_entry($key, value)?;
                }
            )*};
        }
        optional!("Id": self.id, "Signature": self.signature, "Data": self.data.as_deref().map(|data| std::str::from_utf8(data).ok()));
        map.serialize_entry("Owner", &self.owner)?;
        map.serialize_entry("Target", &self.target)?;
        optional!("Anchor": self.anchor);
        map.serialize_entry("From", &self.from)?;
        optional!("Forwarded-By": self.forwarded_by);
        map.serialize_entry("Tags", &self.tags)?;
        optional!("Epoch": self.epoch, "Nonce": self.nonce);
        map.serialize_entry("Timestamp", &self.timestamp)?;
        map.serialize_entry("Block-Height", &self.block_height)?;
        optional!("Hash-Chain": self.hash_chain);
        map.serialize_entry("Cron", &self.cron)?;
        map.serialize_entry("Read-Only", &self.read_only)?;
        map.end()
    }
}

/// One half of [`Environment`]: the process or its module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Subject {
    /// Item id.
    pub id: String,
    /// Address of the signer.
    pub owner: String,
    /// Tags in order.
    pub tags: Vec<Tag>,
}

impl Subject {
    /// Of a Process or Module item.
    pub fn of(item: &DataItem) -> Self {
        Self { id: item.id().to_string(), owner: item.address().to_string(), tags: item.tags().to_vec() }
    }
}

/// The second argument of `handle`: the same text for every message of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Environment {
    /// The process.
    pub process: Subject,
    /// Its module.
    pub module: Subject,
}

impl Environment {
    /// Of the two items.
    pub fn of(process: &DataItem, module: &DataItem) -> Self {
        Self { process: Subject::of(process), module: Subject::of(module) }
    }

    /// The JSON a module reads, without spaces.
    pub fn to_json(&self) -> Vec<u8> {
        // Plain texts in plain structures: there is nothing that could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A sender's tags `From` and `Owner` would shadow the real ones (`protocol.md`, section 4, rule 5).
fn is_shadow(name: &[u8]) -> bool {
    name == b"From" || name == b"Owner"
}

fn visible(tags: Tags<'_>) -> Vec<Tag> {
    tags.filter(|tag| !is_shadow(tag.name)).map(|tag| tag.to_tag()).collect()
}

fn anchor_text(item: &DataItem) -> Option<String> {
    item.anchor().and_then(|anchor| std::str::from_utf8(anchor).ok()).map(str::to_owned)
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
