//! Who signs, and how an item is put together for signing.
//!
//! [`Signer`] is the seam to keys: a wallet in memory, or something that asks a key store. [`ItemBuilder`] writes the canonical form and
//! refuses what the strict profile would refuse, so that nothing we sign is rejected elsewhere.

use bytes::Bytes;

use crate::data_item::{DataItem, ItemError, Profile, Verified, check_tag};
use crate::deep_hash::{Digest, Prefix};
use crate::id::{Address, Id};
use crate::limits::{TAG_SECTION_BYTES_MAX, TAGS_MAX};
use crate::signature::SignatureType;
use crate::tag::{Tag, encode_all};

/// A key that signs digests.
pub trait Signer: Send + Sync {
    /// The scheme.
    fn signature_type(&self) -> SignatureType;

    /// The public key as it goes into items; as long as the scheme says.
    fn owner(&self) -> &[u8];

    /// The owner as AO shows it.
    fn address(&self) -> Address;

    /// Signs an item's digest; the result is as long as the scheme says.
    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, SignError>;
}

/// Why no signature came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The content cannot be carried by an item.
    #[error("cannot be signed: {0}")]
    Content(#[from] ItemError),
    /// The key failed.
    #[error("the key did not sign: {0}")]
    Key(&'static str),
}

/// The content of an item to be signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemBuilder {
    target: Option<Id>,
    anchor: Option<[u8; 32]>,
    tags: Vec<Tag>,
    data: Bytes,
}

impl ItemBuilder {
    /// No target, no anchor, no tags, no data.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the target.
    pub fn target(mut self, target: Id) -> Self {
        self.target = Some(target);
        self
    }

    /// Sets the anchor.
    pub fn anchor(mut self, anchor: [u8; 32]) -> Self {
        self.anchor = Some(anchor);
        self
    }

    /// Adds a tag behind those there.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push(Tag::new(name, value));
        self
    }

    /// Adds tags behind those there.
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// Sets the data.
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Signs. Same content and key give the same bytes, hence the same id, with Ed25519 and Ethereum keys; RSA salts are random.
    pub fn sign(self, signer: &dyn Signer) -> Result<Verified<DataItem>, SignError> {
        let raw_tags = self.encoded_tags()?;
        let kind = signer.signature_type();
        let owner = signer.owner();
        let (target, anchor) = (self.target.map(|id| id.0), self.anchor);
        let prefix = Prefix::new(kind.code(), owner);
        let digest = prefix.digest(slice(&target), slice(&anchor), &raw_tags, &self.data);
        let signature = signer.sign(&digest)?;
        if signature.len() != kind.signature_len() || owner.len() != kind.owner_len() {
            return Err(SignError::Key("signature or owner is not as long as its type says"));
        }

        let mut out = Vec::with_capacity(2 + signature.len() + owner.len() + 82 + raw_tags.len() + self.data.len());
        out.extend_from_slice(&kind.code().to_le_bytes());
        out.extend_from_slice(&signature);
        out.extend_from_slice(owner);
        for field in [target, anchor] {
            out.push(u8::from(field.is_some()));
            out.extend_from_slice(slice(&field));
        }
        out.extend_from_slice(&(self.tags.len() as u64).to_le_bytes());
        out.extend_from_slice(&(raw_tags.len() as u64).to_le_bytes());
        out.extend_from_slice(&raw_tags);
        out.extend_from_slice(&self.data);
        DataItem::parse(out.into(), Profile::Strict).map(Verified::just_signed).map_err(SignError::Content)
    }

    /// The tag section, if the strict profile takes it; checked before the key is asked, which may cost milliseconds.
    fn encoded_tags(&self) -> Result<Vec<u8>, ItemError> {
        if self.tags.len() > TAGS_MAX {
            return Err(ItemError::TagLimit { what: "number of tags", found: self.tags.len() as u64, max: TAGS_MAX });
        }
        self.tags.iter().enumerate().try_for_each(|(i, tag)| check_tag(i, tag.name.as_bytes(), tag.value.as_bytes()))?;
        let raw = encode_all(&self.tags);
        if raw.len() > TAG_SECTION_BYTES_MAX {
            let found = raw.len() as u64;
            return Err(ItemError::TagLimit { what: "length of the tag section", found, max: TAG_SECTION_BYTES_MAX });
        }
        Ok(raw)
    }
}

fn slice(field: &Option<[u8; 32]>) -> &[u8] {
    field.as_ref().map_or(&[], |bytes| bytes)
}
