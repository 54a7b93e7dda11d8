//! Checkpoints as other AO nodes publish and read them: the tags of `protocol.md`, section 3.7. The state itself is the item's data, and
//! its format the machine's business.

use crate::data_item::DataItem;
use crate::hash_chain::HashChain;
use crate::id::{Id, Slot};
use crate::message::{Kind, VARIANT_TN1, ViewError, cut, expect_kind, id, number, required};
use crate::tag::Tag;

/// What a checkpoint item says about the state it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// The code.
    pub module: Id,
    /// The process.
    pub process: Id,
    /// The schedule epoch, when set.
    pub schedule_epoch: Option<u64>,
    /// Last slot folded in; `Nonce` on the wire, and `Ordinate`, which equals it.
    pub slot: Slot,
    /// Of the last evaluated message, milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Of the last evaluated message.
    pub block_height: u64,
    /// Identity of the last evaluated message if that was a cron one.
    pub cron_interval: Option<String>,
    /// The last assignment folded in, and its hash chain: what the next chain is checked with.
    pub assignment: Id,
    /// See `assignment`.
    pub hash_chain: HashChain,
    /// SHA-256 of the uncompressed memory.
    pub sha256: [u8; 32],
    /// `gzip` for the reference unit.
    pub content_encoding: String,
    /// Free-form name of the compute unit.
    pub unit: Option<String>,
}

impl CheckpointRecord {
    /// The tags.
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![
            Tag::new("Data-Protocol", "ao"),
            Tag::new("Variant", VARIANT_TN1),
            Tag::new("Type", "Checkpoint"),
            Tag::new("Module", self.module.to_string()),
            Tag::new("Process", self.process.to_string()),
        ];
        tags.extend(self.schedule_epoch.map(|epoch| Tag::new("Epoch", epoch.to_string())));
        tags.push(Tag::new("Nonce", self.slot.to_string()));
        tags.push(Tag::new("Ordinate", self.slot.to_string()));
        tags.push(Tag::new("Timestamp", self.timestamp_ms.to_string()));
        tags.push(Tag::new("Block-Height", self.block_height.to_string()));
        tags.extend(self.cron_interval.iter().map(|interval| Tag::new("Cron-Interval", interval.clone())));
        tags.push(Tag::new("Assignment", self.assignment.to_string()));
        tags.push(Tag::new("Hash-Chain", self.hash_chain.to_string()));
        tags.push(Tag::new("Content-Type", "application/octet-stream"));
        tags.push(Tag::new("SHA-256", hex::encode(self.sha256)));
        tags.push(Tag::new("Content-Encoding", self.content_encoding.clone()));
        tags.extend(self.unit.iter().map(|unit| Tag::new("Unit-Identifier", unit.clone())));
        tags
    }

    /// Reads a Checkpoint item. Whether its owner is to be trusted is the caller's check, and comes first.
    pub fn read(item: &DataItem) -> Result<Self, ViewError> {
        expect_kind(item, Kind::Checkpoint)?;
        let epoch = item.tag("Epoch").map(|text| number(text, "Epoch")).transpose()?;
        let digest = required(item, "SHA-256")?;
        let mut sha256 = [0; 32];
        hex::decode_to_slice(digest, &mut sha256).map_err(|_| ViewError::Malformed {
            tag: "SHA-256",
            found: cut(digest),
            expected: "64 hexadecimal digits",
        })?;
        Ok(Self {
            module: id(required(item, "Module")?, "Module")?,
            process: id(required(item, "Process")?, "Process")?,
            schedule_epoch: epoch,
            slot: Slot(number(required(item, "Nonce")?, "Nonce")?),
            timestamp_ms: number(required(item, "Timestamp")?, "Timestamp")?,
            block_height: number(required(item, "Block-Height")?, "Block-Height")?,
            cron_interval: item.tag("Cron-Interval").map(str::to_owned),
            assignment: id(required(item, "Assignment")?, "Assignment")?,
            hash_chain: HashChain::from_bytes(id(required(item, "Hash-Chain")?, "Hash-Chain")?.0),
            sha256,
            content_encoding: item.tag("Content-Encoding").unwrap_or("identity").to_owned(),
            unit: item.tag("Unit-Identifier").map(str::to_owned),
        })
    }
}
