//! What a module returned for one message (`protocol.md`, section 7.4).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::hash::sha256;
use crate::id::ResultHash;

/// One entry of an outbox (`Messages` or `Spawns`), as the module returned it. Nothing in it may be trusted: [`crate::outbox`] reads it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Outgoing {
    /// The entry as JSON: `Target`, `Anchor`, `Tags`, `Data` and whatever else the module put there.
    pub fields: Map<String, Value>,
    /// The exact bytes of `Data` where they are not UTF-8 and `fields` can only show them with U+FFFD.
    pub data: Option<Bytes>,
}

/// The result of evaluating one message.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Evaluation {
    /// Messages to push.
    pub messages: Vec<Outgoing>,
    /// Processes to create.
    pub spawns: Vec<Outgoing>,
    /// Existing items to assign: `{Processes: [id], Message: id}`.
    pub assignments: Vec<Value>,
    /// State exports; empty for most modules.
    pub patches: Vec<Value>,
    /// For people and clients: a text or an object. `Value::Null` stands for the absent output and is shown as `""`.
    pub output: Value,
    /// A truthy error: the state of before the message was kept.
    pub error: Option<Value>,
    /// Gas as the module's own metering counts it; 0 where the format is not metered.
    pub gas_used: u64,
}

impl Evaluation {
    /// An evaluation that failed with a text and left nothing else.
    pub fn failure(error: impl Into<String>) -> Self {
        Self { error: Some(Value::String(error.into())), ..Self::default() }
    }

    /// Whether the state of before was kept.
    pub fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// The JSON clients get (`interop-legacynet.md`, section 4.1): `Messages, Assignments, Spawns, Output, GasUsed[, Error]`, with
    /// `Patches` behind `GasUsed` where there are any.
    pub fn to_json(&self) -> Vec<u8> {
        self.encode(false)
    }

    /// The JSON that is hashed and published: that of [`Self::to_json`], where an entry whose data is not UTF-8 has a member
    /// `Data-Bytes` (base64url) too, so that it says everything.
    pub fn canonical_json(&self) -> Vec<u8> {
        self.encode(true)
    }

    /// SHA-256 of [`Self::canonical_json`]: equal on all hosts that evaluated rightly.
    pub fn result_hash(&self) -> ResultHash {
        ResultHash(sha256(&[&self.canonical_json()]))
    }

    fn encode(&self, exact: bool) -> Vec<u8> {
        // Writing to memory does not fail, and every key is text.
        serde_json::to_vec(&View { evaluation: self, exact }).unwrap_or_default()
    }
}

struct View<'a> {
    evaluation: &'a Evaluation,
    exact: bool,
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Evaluation { messages, spawns, assignments, patches, output, error, gas_used } = self.evaluation;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Messages", &Entries { entries: messages, exact: self.exact })?;
        map.serialize_entry("Assignments", assignments)?;
        map.serialize_entry("Spawns", &Entries { entries: spawns, exact: self.exact })?;
        match output {
            Value::Null => map.serialize_entry("Output", "")?,
            output => map.serialize_entry("Output", output)?,
        }
        map.serialize_entry("GasUsed", gas_used)?;
        if !patches.is_empty() {
            map.serialize_entry("Patches", patches)?;
        }
        if let Some(error) = error {
            map.serialize_entry("Error", error)?;
        }
        map.end()
    }
}

struct Entries<'a> {
    entries: &'a [Outgoing],
    exact: bool,
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.entries.len()))?;
        for entry in self.entries {
            list.serialize_element(&Entry { entry, exact: self.exact })?;
        }
        list.end()
    }
}

struct Entry<'a> {
    entry: &'a Outgoing,
    exact: bool,
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // A module must not be able to write what we write for it.
        for (key, value) in self.entry.fields.iter().filter(|(key, _)| !self.exact || *key != DATA_BYTES) {
            map.serialize_entry(key, value)?;
        }
        if let Some(data) = self.entry.data.as_ref().filter(|_| self.exact) {
            map.serialize_entry(DATA_BYTES, &URL_SAFE_NO_PAD.encode(data))?;
        }
        map.end()
    }
}

const DATA_BYTES: &str = "Data-Bytes";
