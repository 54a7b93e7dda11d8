//! An assignment gives an item its slot in a process's schedule (`protocol.md`, section 3.4).
//!
//! [`AssignmentContent`] is what is decided, [`Assignment`] the signed item that says so. Two assignments contradict each other when
//! their *content* does: a signature can be made again over the same content and gives another id, which is no fault by itself.

use serde::{Deserialize, Serialize};

use crate::data_item::{DataItem, Verified};
use crate::hash::sha256;
use crate::hash_chain::HashChain;
use crate::id::{Address, Id, Slot};
use crate::message::{Kind, VARIANT_TN1, ViewError, expect_kind, id, number, required};
use crate::signer::{ItemBuilder, SignError, Signer};
use crate::tag::{Tag, encode_all};

/// Digits to which `Block-Height` is padded.
const HEIGHT_DIGITS: usize = 12;

/// What an assignment says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AssignmentContent {
    /// The process.
    pub process: Id,
    /// The scheduler's tenure; 0 until a process changes hands.
    pub schedule_epoch: u64,
    /// Position in the schedule; `Nonce` on the wire.
    pub slot: Slot,
    /// Commits to all earlier assignments of the process.
    pub hash_chain: HashChain,
    /// Arweave height seen by the scheduler.
    pub block_height: u64,
    /// The scheduler's clock, milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The item; `None` for the process item itself.
    pub message: Option<Id>,
    /// Fields of the item that are not loaded.
    pub exclude: Vec<String>,
}

impl AssignmentContent {
    /// The tags, in the order of the reference scheduler.
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![
            Tag::new("Process", self.process.to_string()),
            Tag::new("Epoch", self.schedule_epoch.to_string()),
            Tag::new("Nonce", self.slot.to_string()),
            Tag::new("Hash-Chain", self.hash_chain.to_string()),
            Tag::new("Block-Height", format!("{:0HEIGHT_DIGITS$}", self.block_height)),
            Tag::new("Timestamp", self.timestamp_ms.to_string()),
            Tag::new("Data-Protocol", "ao"),
            Tag::new("Type", "Assignment"),
            Tag::new("Variant", VARIANT_TN1),
        ];
        tags.extend(self.message.map(|message| Tag::new("Message", message.to_string())));
        tags.extend(self.exclude.iter().map(|field| Tag::new("Exclude", field.clone())));
        tags
    }

    /// What votes and evidence bind: the canonical Avro form of [`Self::tags`], without owner and signature, so that signing again
    /// splits no vote (section 16.4).
    pub fn canonical_bytes(&self) -> Vec<u8> {
        encode_all(&self.tags())
    }

    /// SHA-256 of [`Self::canonical_bytes`].
    pub fn content_hash(&self) -> [u8; 32] {
        sha256(&[&self.canonical_bytes()])
    }

    /// The anchor: SHA-256 over a domain text and the content.
    ///
    /// The reference scheduler puts 32 random bytes. Ours are derived, so that with a deterministic key the same decision is always
    /// the same bytes and the same id: a scheduler that crashed between signing and writing signs again without contradicting itself,
    /// and the next hash chain, which is made from the id, does not depend on chance.
    pub fn anchor(&self) -> [u8; 32] {
        sha256(&[b"ao-assignment-anchor-1", &self.canonical_bytes()])
    }

    /// Signs it: no target, no data.
    pub fn sign(&self, scheduler: &dyn Signer) -> Result<Assignment, SignError> {
        let item = ItemBuilder::new().anchor(self.anchor()).tags(self.tags()).sign(scheduler)?;
        Ok(Assignment { content: self.clone(), signer: scheduler.address(), item })
    }

    /// Whether two contents cannot both stand if one key signed them (section 16.3).
    pub fn contradicts(&self, other: &Self) -> bool {
        let same_slot = self.process == other.process && self.schedule_epoch == other.schedule_epoch && self.slot == other.slot;
        same_slot && self != other
    }
}

/// A signed assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    content: AssignmentContent,
    signer: Address,
    item: Verified<DataItem>,
}

impl Assignment {
    /// Reads an Assignment item. Numbers may have leading zeros; whether the signer is the process's scheduler is the caller's check.
    pub fn read(item: Verified<DataItem>) -> Result<Self, ViewError> {
        expect_kind(&item, Kind::Assignment)?;
        let message = match item.tag("Message") {
            None => None,
            Some(text) => Some(id(text, "Message")?),
        };
        let chain = required(&item, "Hash-Chain")?;
        let content = AssignmentContent {
            process: id(required(&item, "Process")?, "Process")?,
            schedule_epoch: number(required(&item, "Epoch")?, "Epoch")?,
            slot: Slot(number(required(&item, "Nonce")?, "Nonce")?),
            hash_chain: HashChain::from_bytes(id(chain, "Hash-Chain")?.0),
            block_height: number(required(&item, "Block-Height")?, "Block-Height")?,
            timestamp_ms: number(required(&item, "Timestamp")?, "Timestamp")?,
            message,
            exclude: item.tags().filter(|tag| tag.name == b"Exclude").map(|tag| tag.value_text().into_owned()).collect(),
        };
        Ok(Self { content, signer: item.address(), item })
    }

    /// Id of the assignment item; what the next hash chain is made from.
    pub fn id(&self) -> Id {
        self.item.id()
    }

    /// What it says.
    pub fn content(&self) -> &AssignmentContent {
        &self.content
    }

    /// Who says so.
    pub fn signer(&self) -> Address {
        self.signer
    }

    /// The signed item: the very bytes to serve, since the next chain depends on this id.
    pub fn item(&self) -> &Verified<DataItem> {
        &self.item
    }

    /// Id of the item that has the slot: the message, or the process itself.
    pub fn message(&self) -> Id {
        self.content.message.unwrap_or(self.content.process)
    }

    /// Hash chain of the assignment after this one.
    pub fn next_chain(&self) -> HashChain {
        self.content.hash_chain.next(&self.id())
    }

    /// The predicate of section 16.3: one scheduler, one slot, two contents. Evidence of a fault, and what a signing guard refuses.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.signer == other.signer && self.content.contradicts(&other.content)
    }
}
