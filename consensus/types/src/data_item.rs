//! ANS-104 data items (`arweave.md`, section 2): parse, read, verify, build.
//!
//! An item *is* its bytes plus a few offsets: parsing copies nothing and a clone is a reference count. [`DataItem`] is well formed,
//! [`Verified`] says that the signature holds as well; who only has the first cannot call what asks for the second.
//!
//! Whether the item makes sense to AO is not decided here: see [`mod@crate::lawful`].

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::deep_hash::{Digest, Prefix};
use crate::hash::sha256;
use crate::id::{Address, Id};
use crate::limits::{TAG_NAME_BYTES_MAX, TAG_SECTION_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX};
use crate::signature::{self, SignatureType};
use crate::tag::{TagError, TagReader, Tags};

/// How much is tolerated. Validity is consensus input: a change to either profile is a protocol version (`arweave.md`, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What a client hands us for scheduling, bundling or gossip, and everything we produce.
    Strict,
    /// What is on Arweave already: also legal non-canonical Avro, many or long tags, empty names, text that is not UTF-8.
    Archive,
}

/// Why bytes are not an acceptable item. All are the sender's fault; [`ItemError::code`] is the class of `arweave.md`, section 2.3.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// It ends inside a field.
    #[error("item ends inside its {field}: {needed} bytes are needed, {found} are there")]
    Truncated {
        /// The field.
        field: &'static str,
        /// Length of the item up to the end of that field.
        needed: u64,
        /// Length of the item.
        found: usize,
    },
    /// A signature type that nobody defined or that we do not take.
    #[error("signature type {found} is not one of 1 to 7")]
    SignatureType {
        /// As found.
        found: u16,
    },
    /// A presence byte other than 0 and 1.
    #[error("presence byte of the {field} is {found}, not 0 or 1")]
    Presence {
        /// `target` or `anchor`.
        field: &'static str,
        /// As found.
        found: u8,
    },
    /// The counter does not say how many tags there are.
    #[error("the item declares {declared} tags and holds {found}")]
    TagCount {
        /// Field 6.
        declared: u64,
        /// Tags decoded.
        found: u64,
    },
    /// Too many or too long.
    #[error("{what} is {found}, more than {max}")]
    TagLimit {
        /// What is too large.
        what: &'static str,
        /// As found.
        found: u64,
        /// As allowed.
        max: usize,
    },
    /// The tag section is not Avro, or not canonical.
    #[error(transparent)]
    Tags(#[from] TagError),
    /// A tag without a name.
    #[error("tag {index} has an empty name")]
    TagEmpty {
        /// Position, from 0.
        index: usize,
    },
    /// A tag that is not text.
    #[error("tag {index} is not UTF-8")]
    TagUtf8 {
        /// Position, from 0.
        index: usize,
    },
    /// The owner is not a key of its type that may sign.
    #[error("owner is refused: {0}")]
    Owner(&'static str),
    /// The signature has another form that is as valid: it would give a second id to the same content (`arweave.md`, section 1.2).
    #[error("signature is not canonical: {0}")]
    SignatureNonCanonical(&'static str),
    /// The signature does not hold.
    #[error("signature does not hold for this owner and content")]
    Signature,
}

impl ItemError {
    /// The error class shared with the vectors and other implementations.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "E_TRUNCATED",
            Self::SignatureType { .. } => "E_SIG_TYPE",
            Self::Presence { .. } => "E_PRESENCE",
            Self::TagCount { .. } => "E_TAG_COUNT",
            Self::TagLimit { .. } => "E_TAG_LIMIT",
            Self::Tags(TagError::Avro { .. }) => "E_TAG_AVRO",
            Self::Tags(TagError::NonCanonical { .. }) => "E_TAG_NONCANONICAL",
            Self::TagEmpty { .. } => "E_TAG_EMPTY",
            Self::TagUtf8 { .. } => "E_TAG_UTF8",
            Self::Owner(_) => "E_OWNER",
            Self::SignatureNonCanonical(_) => "E_SIG_NONCANONICAL",
            Self::Signature => "E_SIGNATURE",
        }
    }
}

/// A well-formed data item, borrowed from its bytes.
#[derive(Clone)]
pub struct DataItem {
    bytes: Bytes,
    id: Id,
    form: Form,
}

/// What stands where in an item's bytes.
#[derive(Clone, Copy)]
struct Form {
    signature_type: SignatureType,
    has_target: bool,
    has_anchor: bool,
    tag_count: u16,
    tags_start: u16,
    data_start: u16,
}

impl Form {
    fn of(bytes: &[u8], profile: Profile) -> Result<Self, ItemError> {
        let mut cursor = Cursor { bytes, at: 0 };
        let code = u16::from_le_bytes(cursor.array("signature type")?);
        let signature_type = SignatureType::from_code(code).ok_or(ItemError::SignatureType { found: code })?;
        cursor.take("signature", signature_type.signature_len() as u64)?;
        cursor.take("owner", signature_type.owner_len() as u64)?;
        let has_target = cursor.optional("target")?;
        let has_anchor = cursor.optional("anchor")?;
        let declared = u64::from_le_bytes(cursor.array("number of tags")?);
        let section_len = u64::from_le_bytes(cursor.array("number of tag bytes")?);
        let tags_start = cursor.at;
        let section = cursor.take("tags", section_len)?;
        if section.len() > TAG_SECTION_BYTES_MAX {
            return Err(ItemError::TagLimit { what: "length of the tag section", found: section_len, max: TAG_SECTION_BYTES_MAX });
        }
        let tag_count = check_tags(section, declared, profile)?;
        // Both fit: `limits` asserts it, and the section is within its limit.
        let (tags_start, data_start) = (tags_start as u16, cursor.at as u16);
        Ok(Self { signature_type, has_target, has_anchor, tag_count, tags_start, data_start })
    }
}

impl DataItem {
    /// Checks the form: lengths, type, presence, counters, Avro, limits, in this order. Costs about a tenth of a microsecond until it
    /// fails, plus the hash of the signature when it does not; allocates nothing.
    pub fn parse(bytes: Bytes, profile: Profile) -> Result<Self, ItemError> {
        let form = Form::of(&bytes, profile)?;
        let id = Id(sha256(&[&bytes[2..2 + form.signature_type.signature_len()]]));
        Ok(Self { bytes, id, form })
    }

    /// The tags of an item that is not parsed: for whoever looks for the few that concern him among many. Its form is checked all the same,
    /// and no hash is computed.
    ///
    /// # Errors
    /// Those of [`DataItem::parse`].
    pub fn tags_in(bytes: &[u8], profile: Profile) -> Result<Tags<'_>, ItemError> {
        let form = Form::of(bytes, profile)?;
        Ok(Tags::of_checked(&bytes[usize::from(form.tags_start)..usize::from(form.data_start)]))
    }

    /// Checks the signature: canonical form first, then the expensive operation (tens of microseconds).
    pub fn verify(self) -> Result<Verified<Self>, ItemError> {
        signature::verify_item(&self)?;
        Ok(Verified(self))
    }

    /// SHA-256 of the signature.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Which of the seven schemes signs it.
    pub fn signature_type(&self) -> SignatureType {
        self.form.signature_type
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        &self.bytes[2..2 + self.form.signature_type.signature_len()]
    }

    /// The public key, or what stands for it (type 7: an address as text).
    pub fn owner(&self) -> &[u8] {
        let start = 2 + self.form.signature_type.signature_len();
        &self.bytes[start..start + self.form.signature_type.owner_len()]
    }

    /// The owner in the form AO shows. One or two hashes: keep it where it is needed often.
    pub fn address(&self) -> Address {
        self.form.signature_type.address(self.owner())
    }

    /// The 32 bytes of the target.
    pub fn target(&self) -> Option<Id> {
        self.optional(1, self.form.has_target).map(|bytes| Id(*bytes))
    }

    /// The 32 bytes of the anchor.
    pub fn anchor(&self) -> Option<&[u8; 32]> {
        self.optional(if self.form.has_target { 34 } else { 2 }, self.form.has_anchor)
    }

    /// The encoded tag section, verbatim.
    pub fn raw_tags(&self) -> &[u8] {
        &self.bytes[usize::from(self.form.tags_start)..usize::from(self.form.data_start)]
    }

    /// Tags in order.
    pub fn tags(&self) -> Tags<'_> {
        Tags::of_checked(self.raw_tags())
    }

    /// Number of tags.
    pub fn tag_count(&self) -> usize {
        usize::from(self.form.tag_count)
    }

    /// Value of the first tag of exactly that name, if it is text.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags().first(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The data.
    pub fn data(&self) -> &[u8] {
        &self.bytes[usize::from(self.form.data_start)..]
    }

    /// The data, sharing the item's memory.
    pub fn data_bytes(&self) -> Bytes {
        self.bytes.slice(usize::from(self.form.data_start)..)
    }

    /// Where the data starts.
    pub fn data_offset(&self) -> usize {
        usize::from(self.form.data_start)
    }

    /// The whole item.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole item, given back.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// What the signature covers.
    pub fn signed_digest(&self) -> Digest {
        self.digest_after(&Prefix::new(self.form.signature_type.code(), self.owner()))
    }

    /// What the signature covers, from the signer's kept prefix.
    pub(crate) fn digest_after(&self, prefix: &Prefix) -> Digest {
        let target = self.target();
        let target = target.as_ref().map_or(&[][..], |id| &id.0);
        let anchor = self.anchor().map_or(&[][..], |anchor| anchor);
        prefix.digest(target, anchor, self.raw_tags(), self.data())
    }

    /// An optional field `skip` bytes behind the owner; presence bytes are counted in.
    fn optional(&self, skip: usize, present: bool) -> Option<&[u8; 32]> {
        let start = 2 + self.form.signature_type.signature_len() + self.form.signature_type.owner_len() + skip;
        if present { self.bytes[start..].first_chunk() } else { None }
    }
}

impl PartialEq for DataItem {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for DataItem {}

impl fmt::Debug for DataItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataItem")
            .field("id", &self.id)
            .field("signature_type", &self.form.signature_type)
            .field("target", &self.target())
            .field("tags", &self.form.tag_count)
            .field("data_bytes", &self.data().len())
            .finish()
    }
}

/// A value whose signature holds.
///
/// There are two ways to one: check it, or say by name that our own store, which only ever took checked values, gave it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// For a value read back from our own store, where it was put as `Verified`: what is checked once is not checked again.
    pub fn reloaded_from_own_store(value: T) -> Self {
        Self(value)
    }

    /// For a value that was signed a moment ago by a key of ours.
    pub(crate) fn just_signed(value: T) -> Self {
        Self(value)
    }

    /// The value, without the proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl Verified<DataItem> {
    /// An item read back from our own store: form checked again (archive profile), signature not.
    pub fn reload(bytes: Bytes) -> Result<Self, ItemError> {
        DataItem::parse(bytes, Profile::Archive).map(Self::reloaded_from_own_store)
    }

    /// The same, of a row whose key is the item's id: that is not computed again either.
    ///
    /// # Errors
    /// The row is no item in this profile's form.
    pub fn reload_as(id: Id, bytes: Bytes, profile: Profile) -> Result<Self, ItemError> {
        let form = Form::of(&bytes, profile)?;
        Ok(Self::reloaded_from_own_store(DataItem { bytes, id, form }))
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Walks the whole section, then reports the first rule broken: Avro, count, limits.
fn check_tags(section: &[u8], declared: u64, profile: Profile) -> Result<u16, ItemError> {
    let strict = profile == Profile::Strict;
    let mut count = 0_usize;
    let mut over = None;
    for tag in TagReader::new(section, strict) {
        let tag = tag?;
        if strict && over.is_none() {
            over = check_tag(count, tag.name, tag.value).err();
        }
        count += 1;
    }
    if count as u64 != declared {
        return Err(ItemError::TagCount { declared, found: count as u64 });
    }
    if strict && count > TAGS_MAX {
        return Err(ItemError::TagLimit { what: "number of tags", found: count as u64, max: TAGS_MAX });
    }
    // A tag takes two bytes at least and the section has a limit, so the count fits (asserted in `limits`).
    over.map_or(Ok(count as u16), Err)
}

/// The strict profile's rules for one tag.
pub(crate) fn check_tag(index: usize, name: &[u8], value: &[u8]) -> Result<(), ItemError> {
    if name.len() > TAG_NAME_BYTES_MAX {
        return Err(ItemError::TagLimit { what: "length of a tag name", found: name.len() as u64, max: TAG_NAME_BYTES_MAX });
    }
    if value.len() > TAG_VALUE_BYTES_MAX {
        return Err(ItemError::TagLimit { what: "length of a tag value", found: value.len() as u64, max: TAG_VALUE_BYTES_MAX });
    }
    if name.is_empty() {
        return Err(ItemError::TagEmpty { index });
    }
    if std::str::from_utf8(name).is_err() || std::str::from_utf8(value).is_err() {
        return Err(ItemError::TagUtf8 { index });
    }
    Ok(())
}

/// Reads fields off the front; lengths are 64-bit because they come from outside.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, field: &'static str, length: u64) -> Result<&'a [u8], ItemError> {
        let left = self.bytes.len() - self.at;
        match usize::try_from(length) {
            Ok(length) if length <= left => {
                let found = &self.bytes[self.at..self.at + length];
                self.at += length;
                Ok(found)
            }
            _ => Err(ItemError::Truncated { field, needed: (self.at as u64).saturating_add(length), found: self.bytes.len() }),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ItemError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(field, N as u64)?);
        Ok(array)
    }

    fn optional(&mut self, field: &'static str) -> Result<bool, ItemError> {
        match self.array(field)? {
            [0] => Ok(false),
            [1] => self.take(field, 32).map(|_| true),
            [found] => Err(ItemError::Presence { field, found }),
        }
    }
}
