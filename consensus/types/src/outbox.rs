//! From a module's outbox to items that can be signed (`protocol.md`, section 9; `interop-legacynet.md`, section 2.5).
//!
//! Entries are untrusted JSON. One that cannot be delivered is skipped with a [`Skip`], never fatal for its neighbours. What a pusher
//! adds is a pure function of the entry and its [`PushContext`], so that pushing again gives the same item.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evaluation::{Evaluation, Outgoing};
use crate::hash::sha256;
use crate::id::{Address, Id};
use crate::message::{VARIANT_N1, VARIANT_TN1, cut, is_named};
use crate::signer::ItemBuilder;
use crate::tag::Tag;

/// Why an entry is not pushed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Skip {
    /// `Target`, `Anchor`, `Tags`, `Processes` or `Message` is missing or empty.
    #[error("{0} is missing")]
    Missing(String),
    /// The entry, or a member, is of another kind than expected.
    #[error("{0} is not of its kind")]
    Kind(String),
    /// A tag's value is not a text.
    #[error("tag `{0}` has a value that is not a text")]
    TagValue(String),
    /// A target that an item cannot carry: not 43 characters of base64url.
    #[error("`{0}` is not an id")]
    NotAnId(String),
    /// An anchor that an item cannot carry.
    #[error("Anchor has {0} bytes, not 32")]
    Anchor(usize),
    /// A spawn without code.
    #[error("the spawn has no tag Module")]
    NoModule,
}

/// Where an entry comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushContext {
    /// The process whose outbox it is.
    pub process: Id,
    /// That process's module.
    pub module: Option<Id>,
    /// That process's scheduler, inherited by what it spawns.
    pub scheduler: Address,
    /// The item that started the chain; `None` for cron.
    pub pushed_for: Option<Id>,
    /// Key of the entry's outbox row: tells equal spawns apart.
    pub row: Vec<u8>,
}

/// One deliverable entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutboxEntry {
    /// To a process or a wallet.
    Message(OutboxMessage),
    /// A new process.
    Spawn(OutboxSpawn),
    /// An existing item for other processes.
    Assignment(OutboxAssignment),
}

/// All entries of an evaluation: messages, then spawns, then assignments, so that the index of a message is that of `Messages`.
pub fn entries(evaluation: &Evaluation) -> impl Iterator<Item = Result<OutboxEntry, Skip>> {
    let messages = evaluation.messages.iter().map(|entry| OutboxMessage::read(entry).map(OutboxEntry::Message));
    let spawns = evaluation.spawns.iter().map(|entry| OutboxSpawn::read(entry).map(OutboxEntry::Spawn));
    let assignments = evaluation.assignments.iter().map(|entry| OutboxAssignment::read(entry).map(OutboxEntry::Assignment));
    messages.chain(spawns).chain(assignments)
}

/// How many deliveries a result asks for: its messages, each process named by a tag `Assignments`, its spawns, each process of its
/// assignments. An entry that cannot be delivered counts as one.
pub fn deliveries(evaluation: &Evaluation) -> usize {
    let length = |value: Option<&Value>| value.and_then(Value::as_array).map_or(0, Vec::len);
    let named = |entry: &Outgoing| -> usize {
        let tags = entry.fields.get("Tags").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        tags.iter().filter(|tag| tag["name"] == "Assignments").map(|tag| length(tag.get("value"))).sum()
    };
    let messages = evaluation.messages.iter().map(|entry| named(entry).saturating_add(1));
    let assignments = evaluation.assignments.iter().map(|entry| length(entry.get("Processes")).max(1));
    messages.chain(assignments).fold(evaluation.spawns.len(), usize::saturating_add)
}

/// A message to push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxMessage {
    /// A process, or a wallet: then the item is stored, not scheduled.
    pub target: Id,
    /// Absent where the module gave an empty text.
    pub anchor: Option<[u8; 32]>,
    /// As the module gave them, without `Assignments`.
    pub tags: Vec<Tag>,
    /// Data.
    pub data: Bytes,
    /// Processes of the tag `Assignments`: the pushed item is assigned to each of them as well.
    pub assign_to: Vec<Id>,
}

impl OutboxMessage {
    /// Reads an entry of `Messages`.
    pub fn read(entry: &Outgoing) -> Result<Self, Skip> {
        let target = text(entry, "Target")?.filter(|text| !text.is_empty()).ok_or_else(|| missing("Target"))?;
        let target = id(target)?;
        if entry.fields.get("Anchor").is_none_or(Value::is_null) {
            return Err(missing("Anchor"));
        }
        let (tags, assign_to) = tags(entry)?;
        Ok(Self { target, anchor: anchor(entry)?, tags, data: data(entry)?, assign_to })
    }

    /// The item to sign: own tags without what a process must not forge, then what the pusher vouches for.
    pub fn to_item(&self, context: &PushContext) -> ItemBuilder {
        let mut tags = without(&self.tags, &["Data-Protocol", "Type", "From-Process", "From-Module", "Assignments"]);
        if !has(&tags, "Variant") {
            tags.push(Tag::new("Variant", VARIANT_TN1));
        }
        tags.push(Tag::new("Data-Protocol", "ao"));
        tags.push(Tag::new("Type", "Message"));
        tags.push(Tag::new("From-Process", context.process.to_string()));
        tags.push(Tag::new("From-Module", context.module.map(|module| module.to_string()).unwrap_or_default()));
        tags.extend(context.pushed_for.map(|item| Tag::new("Pushed-For", item.to_string())));
        with_anchor(ItemBuilder::new().target(self.target), self.anchor).tags(tags).data(self.data.clone())
    }
}

/// A process to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxSpawn {
    /// Absent where the module gave none.
    pub anchor: Option<[u8; 32]>,
    /// As the module gave them; one is `Module`.
    pub tags: Vec<Tag>,
    /// Data.
    pub data: Bytes,
}

impl OutboxSpawn {
    /// Reads an entry of `Spawns`.
    pub fn read(entry: &Outgoing) -> Result<Self, Skip> {
        let (tags, _) = tags(entry)?;
        if !has(&tags, "Module") {
            return Err(Skip::NoModule);
        }
        Ok(Self { anchor: anchor(entry)?, tags, data: data(entry)? })
    }

    /// The Process item to sign.
    ///
    /// The reference pusher leaves `From-Process` of the module in place (aos sets it, to itself) and drops the anchor. Here the tag is
    /// replaced, since a process must not forge it and a repeat is refused; and there is always an anchor, since without one two equal
    /// spawns would be one item under a deterministic key.
    pub fn to_item(&self, context: &PushContext) -> ItemBuilder {
        let mut tags = without(&self.tags, &["Data-Protocol", "Type", "Variant", "From-Process", "Assignments"]);
        vouch_for_module(&mut tags, context);
        tags.push(Tag::new("Data-Protocol", "ao"));
        tags.push(Tag::new("Type", "Process"));
        tags.push(Tag::new("Variant", self.variant()));
        tags.push(Tag::new("From-Process", context.process.to_string()));
        tags.extend(context.pushed_for.map(|item| Tag::new("Pushed-For", item.to_string())));
        if !has(&tags, "Scheduler") {
            tags.push(Tag::new("Scheduler", context.scheduler.to_string()));
        }
        let anchor = self.anchor.unwrap_or_else(|| sha256(&[b"ao-spawn-anchor-1", &context.process.0, &context.row]));
        ItemBuilder::new().anchor(anchor).tags(tags).data(self.data.clone())
    }

    /// The message that tells the parent the new process's id: the spawn's tags and `Action: Spawned`.
    ///
    /// aos finds the coroutine that waits for it by `From`, hence by the `From-Process` among the spawn's tags; it is kept where the
    /// module put one, with the only value it may have. (The reference drops `Data-Protocol` only where it is `ao`; another one beside
    /// ours would be a repeat, which schedulers refuse.)
    pub fn notice(&self, context: &PushContext, created: Id) -> ItemBuilder {
        let mut tags = without(&self.tags, &["Data-Protocol", "Type", "Variant", "Assignments"]);
        vouch_for_module(&mut tags, context);
        let mut named = false;
        tags.retain(|tag| tag.name != "From-Process" || !std::mem::replace(&mut named, true));
        tags.iter_mut().filter(|tag| tag.name == "From-Process").for_each(|tag| tag.value = context.process.to_string());
        tags.push(Tag::new("Data-Protocol", "ao"));
        tags.push(Tag::new("Type", "Message"));
        tags.push(Tag::new("Process", created.to_string()));
        tags.push(Tag::new("Action", "Spawned"));
        tags.push(Tag::new("Variant", self.variant()));
        ItemBuilder::new().target(context.process).tags(tags)
    }

    fn variant(&self) -> &'static str {
        let asked = self.tags.iter().find(|tag| is_named(tag.name.as_bytes(), "Variant"));
        if asked.is_some_and(|tag| tag.value == VARIANT_N1) { VARIANT_N1 } else { VARIANT_TN1 }
    }
}

/// An existing item for other processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxAssignment {
    /// Who gets it.
    pub processes: Vec<Id>,
    /// The item.
    pub message: Id,
}

impl OutboxAssignment {
    /// Reads an entry of `Assignments`.
    pub fn read(entry: &Value) -> Result<Self, Skip> {
        let fields = entry.as_object().ok_or_else(|| Skip::Kind("entry".to_owned()))?;
        let message = fields.get("Message").and_then(Value::as_str).ok_or_else(|| missing("Message"))?;
        let processes = fields.get("Processes").ok_or_else(|| missing("Processes"))?;
        Ok(Self { processes: ids(processes, "Processes")?, message: id(message)? })
    }
}

fn missing(member: &str) -> Skip {
    Skip::Missing(member.to_owned())
}

fn kind(member: &str) -> Skip {
    Skip::Kind(member.to_owned())
}

fn id(text: &str) -> Result<Id, Skip> {
    Id::parse(text).map_err(|_| Skip::NotAnId(cut(text)))
}

fn ids(value: &Value, member: &str) -> Result<Vec<Id>, Skip> {
    let list = value.as_array().ok_or_else(|| kind(member))?;
    list.iter().map(|one| one.as_str().ok_or_else(|| kind(member)).and_then(id)).collect()
}

fn text<'a>(entry: &'a Outgoing, member: &str) -> Result<Option<&'a str>, Skip> {
    match entry.fields.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(kind(member)),
    }
}

fn anchor(entry: &Outgoing) -> Result<Option<[u8; 32]>, Skip> {
    match text(entry, "Anchor")? {
        None | Some("") => Ok(None),
        Some(text) => text.as_bytes().try_into().map(Some).map_err(|_| Skip::Anchor(text.len())),
    }
}

/// Exact bytes first; scalars are written out as texts; lists and objects have no agreed form.
fn data(entry: &Outgoing) -> Result<Bytes, Skip> {
    if let Some(bytes) = &entry.data {
        return Ok(bytes.clone());
    }
    match entry.fields.get("Data") {
        None | Some(Value::Null) => Ok(Bytes::new()),
        Some(Value::String(text)) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string().into()),
        Some(Value::Array(_) | Value::Object(_)) => Err(kind("Data")),
    }
}

/// The tags, and the processes of an `Assignments` tag, whose value is a list.
fn tags(entry: &Outgoing) -> Result<(Vec<Tag>, Vec<Id>), Skip> {
    let list = entry.fields.get("Tags").filter(|tags| !tags.is_null()).ok_or_else(|| missing("Tags"))?;
    let list = list.as_array().ok_or_else(|| kind("Tags"))?;
    let (mut tags, mut assign_to) = (Vec::with_capacity(list.len()), Vec::new());
    for tag in list {
        let name = tag.get("name").and_then(Value::as_str).ok_or_else(|| kind("Tags"))?;
        match tag.get("value") {
            Some(value @ Value::Array(_)) if name == "Assignments" => assign_to = ids(value, "Assignments")?,
            Some(Value::String(value)) => tags.push(Tag::new(name, value)),
            _ => return Err(Skip::TagValue(cut(name))),
        }
    }
    Ok((tags, assign_to))
}

fn has(tags: &[Tag], name: &str) -> bool {
    tags.iter().any(|tag| is_named(tag.name.as_bytes(), name))
}

fn without(tags: &[Tag], names: &[&str]) -> Vec<Tag> {
    tags.iter().filter(|tag| !names.iter().any(|name| is_named(tag.name.as_bytes(), name))).cloned().collect()
}

/// `From-Module` may say one thing only.
fn vouch_for_module(tags: &mut [Tag], context: &PushContext) {
    let module = context.module.map(|module| module.to_string()).unwrap_or_default();
    tags.iter_mut().filter(|tag| tag.name == "From-Module").for_each(|tag| tag.value.clone_from(&module));
}

fn with_anchor(builder: ItemBuilder, anchor: Option<[u8; 32]>) -> ItemBuilder {
    match anchor {
        Some(anchor) => builder.anchor(anchor),
        None => builder,
    }
}
