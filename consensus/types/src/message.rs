//! Process, Module, Message: what AO reads from an item's tags (`protocol.md`, section 3).
//!
//! Views are read from well-formed items and own what they hold, so that a core can keep them without the item. Where a tag repeats the
//! first one counts, as in the reference messenger (section 2.2); whether repeats are acceptable at all is [`mod@crate::lawful`]'s rule.

use serde::{Deserialize, Serialize};

use crate::cron::{self, CronError, CronGroup};
use crate::data_item::DataItem;
use crate::id::{Address, Id};
use crate::limits::ECHO_CHARS_MAX;

/// The variant that writers put, and that is meant where none is.
pub const VARIANT_TN1: &str = "ao.TN.1";

/// The variant of AO-Core processes.
pub const VARIANT_N1: &str = "ao.N.1";

/// Why an item is not what its type says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// Another type, or none.
    #[error("tag Type is `{found}`, not `{expected}`")]
    Kind {
        /// What was asked for.
        expected: &'static str,
        /// The item's type, cut; empty where there is none.
        found: String,
    },
    /// A tag that must be there is not.
    #[error("tag {0} is missing")]
    Missing(&'static str),
    /// A message without a target.
    #[error("the target field is empty: it names the process, no tag does")]
    NoTarget,
    /// A tag's value is not of its form.
    #[error("tag {tag} is `{found}`, not {expected}")]
    Malformed {
        /// Its name.
        tag: &'static str,
        /// Its value, cut.
        found: String,
        /// The form.
        expected: &'static str,
    },
    /// The cron tags of a process make no sense.
    #[error(transparent)]
    Cron(#[from] CronError),
}

/// The types AO gives a meaning to. Anything else is data that is only stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Starts a process.
    Process,
    /// Speaks to one.
    Message,
    /// Code.
    Module,
    /// A slot.
    Assignment,
    /// A state.
    Checkpoint,
    /// Where a scheduler is.
    SchedulerLocation,
}

impl Kind {
    /// As the tag `Type` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "Process",
            Self::Message => "Message",
            Self::Module => "Module",
            Self::Assignment => "Assignment",
            Self::Checkpoint => "Checkpoint",
            Self::SchedulerLocation => "Scheduler-Location",
        }
    }

    /// Of an item, by its first tag `Type` (or `type`); `None` if it is absent or unknown.
    pub fn of(item: &DataItem) -> Option<Self> {
        let kinds = [Self::Process, Self::Message, Self::Module, Self::Assignment, Self::Checkpoint, Self::SchedulerLocation];
        let found = protocol_tag(item, "Type")?;
        kinds.into_iter().find(|kind| kind.as_str() == found)
    }
}

/// Value of the first tag of that name; for the three tags that HyperBEAM writes in lower case, of the first in either spelling.
pub fn protocol_tag<'a>(item: &'a DataItem, name: &str) -> Option<&'a str> {
    let tag = item.tags().find(|tag| is_named(tag.name, name))?;
    std::str::from_utf8(tag.value).ok()
}

/// Whether a tag name means `name`: exactly, or in lower case for `Type`, `Data-Protocol` and `Variant`.
pub(crate) fn is_named(found: &[u8], name: &str) -> bool {
    found == name.as_bytes() || matches!((name, found), ("Type", b"type") | ("Data-Protocol", b"data-protocol") | ("Variant", b"variant"))
}

/// `From` of a message: the tag `From-Process` if present and not empty, else the owner (`protocol.md`, section 4).
pub fn sender(item: &DataItem, owner: &Address) -> String {
    match item.tag("From-Process") {
        Some(process) if !process.is_empty() => process.to_owned(),
        _ => owner.to_string(),
    }
}

/// What `On-Boot` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBoot {
    /// Evaluate the process item's own data.
    Data,
    /// An item, which must exist.
    Item(Id),
}

/// A process (section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id, that of its item.
    pub id: Id,
    /// Who signed it; `env.Process.Owner`, and the owner of its cron messages.
    pub owner: Address,
    /// The code.
    pub module: Id,
    /// Who orders it: an address as text (the spec also allows a name).
    pub scheduler: String,
    /// Addresses whose signature may vouch for `From-Process`; one tag may list several, with commas.
    pub authorities: Vec<String>,
    /// Cron groups in order of declaration.
    pub cron: Vec<CronGroup>,
    /// What to do at boot.
    pub on_boot: Option<OnBoot>,
    /// `ao.TN.1` where the tag is absent.
    pub variant: String,
    /// The process that spawned it, as the pusher said.
    pub from_process: Option<String>,
    /// The item that started the chain of pushes which led here.
    pub pushed_for: Option<Id>,
    /// The item's target: where the new process's assignment is pushed to as well.
    pub target: Option<Id>,
}

impl Process {
    /// Reads a Process item.
    pub fn read(item: &DataItem) -> Result<Self, ViewError> {
        expect_kind(item, Kind::Process)?;
        let on_boot = match item.tag("On-Boot") {
            None => None,
            Some("Data") => Some(OnBoot::Data),
            Some(other) => Some(OnBoot::Item(id(other, "On-Boot")?)),
        };
        Ok(Self {
            id: item.id(),
            owner: item.address(),
            module: id(required(item, "Module")?, "Module")?,
            scheduler: required(item, "Scheduler")?.to_owned(),
            authorities: authorities(item),
            cron: cron::groups(item.tags())?,
            on_boot,
            variant: protocol_tag(item, "Variant").unwrap_or(VARIANT_TN1).to_owned(),
            from_process: non_empty(item, "From-Process"),
            pushed_for: pushed_for(item),
            target: item.target(),
        })
    }
}

/// Code of processes (section 3.1). Limits and encodings are texts here: what they mean is the machine's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its id, that of its item.
    pub id: Id,
    /// Who signed it.
    pub owner: Address,
    /// `Module-Format`.
    pub format: String,
    /// `Input-Encoding`.
    pub input_encoding: Option<String>,
    /// `Output-Encoding`.
    pub output_encoding: Option<String>,
    /// `Memory-Limit`.
    pub memory_limit: Option<String>,
    /// `Compute-Limit`.
    pub compute_limit: Option<String>,
    /// `Extension`, each.
    pub extensions: Vec<String>,
}

impl Module {
    /// Reads a Module item.
    pub fn read(item: &DataItem) -> Result<Self, ViewError> {
        expect_kind(item, Kind::Module)?;
        let text = |name| item.tag(name).map(str::to_owned);
        Ok(Self {
            id: item.id(),
            owner: item.address(),
            format: required(item, "Module-Format")?.to_owned(),
            input_encoding: text("Input-Encoding"),
            output_encoding: text("Output-Encoding"),
            memory_limit: text("Memory-Limit"),
            compute_limit: text("Compute-Limit"),
            extensions: item.tags().filter(|tag| tag.name == b"Extension").map(|tag| tag.value_text().into_owned()).collect(),
        })
    }
}

/// A message (section 3.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its id, that of its item.
    pub id: Id,
    /// Who signed it.
    pub owner: Address,
    /// The process it is for, or a wallet.
    pub target: Id,
    /// The process in whose outbox it was, as the pusher said: means something only if the receiver trusts the signer.
    pub from_process: Option<String>,
    /// The item that started the chain of pushes which led here.
    pub pushed_for: Option<Id>,
    /// `ao.TN.1` where the tag is absent.
    pub variant: String,
    /// `Cast: True`: its results are not pushed.
    pub cast: bool,
    /// `Read-Only: True`: evaluated without a change of state.
    pub read_only: bool,
}

impl Message {
    /// Reads a Message item.
    pub fn read(item: &DataItem) -> Result<Self, ViewError> {
        expect_kind(item, Kind::Message)?;
        Ok(Self {
            id: item.id(),
            owner: item.address(),
            target: item.target().ok_or(ViewError::NoTarget)?,
            from_process: non_empty(item, "From-Process"),
            pushed_for: pushed_for(item),
            variant: protocol_tag(item, "Variant").unwrap_or(VARIANT_TN1).to_owned(),
            cast: item.tag("Cast") == Some("True"),
            read_only: item.tag("Read-Only") == Some("True"),
        })
    }

    /// `From`, as modules and clients see it.
    pub fn from(&self) -> String {
        self.from_process.clone().unwrap_or_else(|| self.owner.to_string())
    }

    /// Came out of an outbox, so equal content is a duplicate whoever signed it (section 5.4).
    pub fn is_pushed(&self) -> bool {
        self.from_process.is_some()
    }
}

pub(crate) fn expect_kind(item: &DataItem, kind: Kind) -> Result<(), ViewError> {
    let found = protocol_tag(item, "Type").unwrap_or_default();
    if found == kind.as_str() { Ok(()) } else { Err(ViewError::Kind { expected: kind.as_str(), found: cut(found) }) }
}

pub(crate) fn required<'a>(item: &'a DataItem, name: &'static str) -> Result<&'a str, ViewError> {
    item.tag(name).ok_or(ViewError::Missing(name))
}

pub(crate) fn id(text: &str, tag: &'static str) -> Result<Id, ViewError> {
    Id::parse(text).map_err(|_| ViewError::Malformed { tag, found: cut(text), expected: "an id of 43 characters" })
}

/// A decimal number, leading zeros allowed, signs not (section 3.4, reader rule).
pub(crate) fn number(text: &str, tag: &'static str) -> Result<u64, ViewError> {
    let malformed = || ViewError::Malformed { tag, found: cut(text), expected: "a decimal number below 2^64" };
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    text.parse().map_err(|_| malformed())
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().take(ECHO_CHARS_MAX).collect()
}

fn non_empty(item: &DataItem, name: &str) -> Option<String> {
    item.tag(name).filter(|value| !value.is_empty()).map(str::to_owned)
}

/// Only a hint for traces, so a malformed one is as good as none.
fn pushed_for(item: &DataItem) -> Option<Id> {
    item.tag("Pushed-For").and_then(|text| Id::parse(text).ok())
}

fn authorities(item: &DataItem) -> Vec<String> {
    let values = item.tags().filter(|tag| tag.name == b"Authority").map(|tag| tag.value_text());
    values.flat_map(|value| value.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect::<Vec<_>>()).collect()
}
