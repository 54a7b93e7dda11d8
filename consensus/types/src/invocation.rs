//! What a module is called with: one message and the environment (`vm-abi.md`, sections 7.1 and 7.2).

use serde::{Deserialize, Serialize};

/// One tag as a module and a client see it. On the wire tags are bytes; text that is not UTF-8 is shown with U+FFFD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Case-sensitive name.
    pub name: String,
    /// Value.
    pub value: String,
}

impl Tag {
    /// A tag of two texts.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A message as handed to the module. Fields are in the order in which they are emitted: Lua's table layout, hence the order of
/// `pairs`, depends on it. A field without a value is absent, never null, except `data` of an item that is not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Invocation {
    /// Message id; absent for cron messages. A dry run carries whatever the caller put there.
    pub id: Option<String>,
    /// Signature, base64url; absent for cron messages and dry runs.
    pub signature: Option<String>,
    /// Data bytes; absent for cron messages and where an assignment excludes it.
    pub data: Option<bytes::Bytes>,
    /// Address of the signer.
    pub owner: String,
    /// Process id, or the recipient of an assigned item.
    pub target: String,
    /// Anchor as text.
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

/// The second argument of `handle`: the same text for every message of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Environment {
    /// The process.
    pub process: Subject,
    /// Its module.
    pub module: Subject,
}
