//! Whether a scheduler may take an item: the part of the acceptance rules that needs the item alone (`protocol.md`, section 5.1, rules
//! 1 to 4, and the repeats of section 2.2).
//!
//! What needs more than the item is for the core: is the process known, is this its scheduler, was the item assigned before.

use crate::data_item::DataItem;
use crate::message::{Kind, Message, Process, ViewError, cut, is_named, protocol_tag};
use crate::signature::SignatureType;

/// Tags of which one item has at most one: readers disagree on which repeat counts.
pub const SINGLE_TAGS: [&str; 6] = ["Type", "Data-Protocol", "Variant", "From-Process", "Module", "Scheduler"];

/// What a scheduler takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lawful {
    /// Starts a process.
    Process(Process),
    /// Goes to one.
    Message(Message),
}

/// Why a scheduler refuses an item. The sender's fault, all of them; trying again does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unlawful {
    /// No `Data-Protocol`.
    #[error("tag Data-Protocol is missing: `ao` is expected")]
    NoProtocol,
    /// Another protocol.
    #[error("tag Data-Protocol is `{found}`, not `ao`")]
    Protocol {
        /// As found, cut.
        found: String,
    },
    /// No `Type`.
    #[error("tag Type is missing: `Process` or `Message` is expected")]
    NoType,
    /// A type that is not scheduled.
    #[error("Unsupported Type tag value `{found}`: `Process` or `Message` is expected")]
    Type {
        /// As found, cut.
        found: String,
    },
    /// A tag of [`SINGLE_TAGS`] occurs twice.
    #[error("tag {0} occurs more than once")]
    Repeated(&'static str),
    /// A name or value that AO-Core would follow as a link.
    #[error("tag `{name}` ends with +link, which is reserved")]
    Link {
        /// The tag's name, cut.
        name: String,
    },
    /// Signed by a scheme that this node does not take at its door.
    #[error("signature type {0} is not accepted here")]
    Signature(u16),
    /// A tag is missing or malformed.
    #[error(transparent)]
    Tags(#[from] ViewError),
}

/// What a node makes a choice about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Take items of type 6. Off by default: deployed libraries verify such items without a single signature (`arweave.md`, 1.2), so
    /// what one of ours accepts and what a stranger made look alike elsewhere.
    pub multi_aptos: bool,
}

impl Rules {
    /// Applies the rules to a well-formed item.
    pub fn check(&self, item: &DataItem) -> Result<Lawful, Unlawful> {
        if item.signature_type() == SignatureType::MultiAptos && !self.multi_aptos {
            return Err(Unlawful::Signature(item.signature_type().code()));
        }
        match protocol_tag(item, "Data-Protocol") {
            Some("ao") => {}
            Some(found) => return Err(Unlawful::Protocol { found: cut(found) }),
            None => return Err(Unlawful::NoProtocol),
        }
        let kind = protocol_tag(item, "Type").ok_or(Unlawful::NoType)?;
        let read = match Kind::of(item) {
            Some(Kind::Process) => |item: &DataItem| Process::read(item).map(Lawful::Process),
            Some(Kind::Message) => |item: &DataItem| Message::read(item).map(Lawful::Message),
            _ => return Err(Unlawful::Type { found: cut(kind) }),
        };
        for name in SINGLE_TAGS {
            if item.tags().filter(|tag| is_named(tag.name, name)).nth(1).is_some() {
                return Err(Unlawful::Repeated(name));
            }
        }
        if let Some(tag) = item.tags().find(|tag| tag.name.ends_with(b"+link") || tag.value.ends_with(b"+link")) {
            return Err(Unlawful::Link { name: cut(&tag.name_text()) });
        }
        Ok(read(item)?)
    }
}

/// Applies the default rules.
pub fn lawful(item: &DataItem) -> Result<Lawful, Unlawful> {
    Rules::default().check(item)
}
