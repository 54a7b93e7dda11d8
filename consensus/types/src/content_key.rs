//! The key under which a pushed item is delivered once (`protocol.md`, section 5.4).
//!
//! Two pushers that deliver the same outbox entry sign it with different keys, and the same pusher may do so for two chains
//! (`Pushed-For`): other ids, same content. The key leaves out who signed and for whom.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::data_item::DataItem;
use crate::deep_hash::Prefix;
use crate::tag::{TagRef, encode};

/// Hash of target, anchor, tags and data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentKey(pub [u8; 48]);

impl ContentKey {
    /// Of an item: tags without `Pushed-For`, sorted by name, then by value.
    pub fn of(item: &DataItem) -> Self {
        let mut tags = kept(item);
        tags.sort_unstable();
        Self::over(item, tags)
    }

    /// The variant with tags in their own order, which older entries of other schedulers were keyed by.
    pub fn unsorted(item: &DataItem) -> Self {
        Self::over(item, kept(item))
    }

    fn over(item: &DataItem, tags: Vec<TagRef<'_>>) -> Self {
        let target = item.target();
        let target = target.as_ref().map_or(&[][..], |id| &id.0);
        let anchor = item.anchor().map_or(&[][..], |anchor| anchor);
        // The type is that of the reference unit's wallet, always 1, and the owner is left out.
        Self(Prefix::new(1, &[]).digest(target, anchor, &encode(tags), item.data()))
    }
}

fn kept(item: &DataItem) -> Vec<TagRef<'_>> {
    item.tags().filter(|tag| tag.name != b"Pushed-For").collect()
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for ContentKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for ContentKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = bytes::Bytes::deserialize(deserializer)?;
        let found = bytes.len();
        bytes.as_ref().try_into().map(Self).map_err(|_| de::Error::invalid_length(found, &"48 bytes"))
    }
}
