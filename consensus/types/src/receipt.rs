//! Receipts of bundling services (`arweave.md`, section 7.2): a promise to have an item on Arweave by some height, not an anchor.
//!
//! Only id, version, deadline and time are signed. Whose promise it is depends on `public`, which must be pinned by configuration.

use serde::{Deserialize, Serialize};

use crate::data_item::ItemError;
use crate::deep_hash::{ListHasher, blob};
use crate::hash::Decimal;
use crate::signature::rsa_pss;
use crate::transaction::Base64Url;

/// The signed part of a receipt, and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The item, as text: it is signed as written.
    pub id: String,
    /// When the service took it, milliseconds since 1970.
    pub timestamp: u64,
    /// Of the receipt's form, `0.2.0`.
    pub version: String,
    /// Height by which the item is promised to be on Arweave.
    pub deadline_height: u64,
    /// RSA modulus of the service.
    pub public: Base64Url,
    /// Over `deep(["Bundlr", version, id, dec(deadlineHeight), dec(timestamp)])`.
    pub signature: Base64Url,
}

impl Receipt {
    /// The bytes that the signature covers.
    pub fn signed_digest(&self) -> [u8; 48] {
        let mut list = ListHasher::new(5);
        list.push_blob(b"Bundlr");
        list.push_blob(self.version.as_bytes());
        list.push_blob(self.id.as_bytes());
        list.push(&blob(Decimal::of(self.deadline_height).as_bytes()));
        list.push(&blob(Decimal::of(self.timestamp).as_bytes()));
        list.finish()
    }

    /// Checks the signature against the key the receipt itself names.
    pub fn verify(&self) -> Result<(), ItemError> {
        rsa_pss::verify(&self.public.0, &self.signed_digest(), &self.signature.0)
    }
}
