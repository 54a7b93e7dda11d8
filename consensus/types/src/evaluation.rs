//! What a module returned for one message (`protocol.md`, section 7.4).

use bytes::Bytes;
use serde_json::{Map, Value};

/// One entry of an outbox (`Messages` or `Spawns`), as the module returned it. Nothing in it may be trusted.
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
