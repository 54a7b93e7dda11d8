//! Arweave's own transactions (`arweave.md`, section 6): what carries our bundles.
//!
//! Format 2 is written and read; format 1 only read, since its signed bytes keep no boundaries between fields. Data is not signed
//! directly: [`Transaction::verify`] also recomputes the root of data that is attached.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::deep_hash::{Node, deep_hash};
use crate::hash::sha256;
use crate::id::Id;
use crate::limits::{CHUNK_BYTES_MAX, TRANSACTION_TAG_BYTES_MAX, WINSTON_DIGITS_MAX};
use crate::merkle::Tree;
use crate::signature::{SignatureType, rsa_pss};
use crate::signer::{SignError, Signer};

/// Bytes that JSON shows as base64url.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base64Url(pub Vec<u8>);

impl Serialize for Base64Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        URL_SAFE_NO_PAD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

/// A transaction's tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionTag {
    /// Name.
    pub name: Base64Url,
    /// Value.
    pub value: Base64Url,
}

/// A transaction as nodes exchange it in JSON. Numbers are decimal texts and are signed as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// 2, or 1 for old ones.
    pub format: u8,
    /// SHA-256 of the signature.
    pub id: Id,
    /// Anchor: a recent block's hash (48 bytes), the wallet's last transaction (32), or nothing.
    pub last_tx: Base64Url,
    /// RSA modulus.
    pub owner: Base64Url,
    /// Tags in order.
    #[serde(default)]
    pub tags: Vec<TransactionTag>,
    /// Recipient, or nothing.
    #[serde(default)]
    pub target: Base64Url,
    /// Winston sent.
    pub quantity: String,
    /// Data, where it is attached.
    #[serde(default)]
    pub data: Base64Url,
    /// Bytes of data, attached or not.
    #[serde(default)]
    pub data_size: String,
    /// Always empty; old clients expect it.
    #[serde(default, skip_deserializing)]
    pub data_tree: [(); 0],
    /// Root over the data's chunks; nothing where there is no data.
    #[serde(default)]
    pub data_root: Base64Url,
    /// Winston paid.
    pub reward: String,
    /// Signature.
    pub signature: Base64Url,
    /// Of another unit than winston.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denomination: Option<String>,
}

/// Why a transaction is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Neither 1 nor 2.
    #[error("format {0} is neither 1 nor 2")]
    Format(u8),
    /// A field is longer than it may be, or not of the one length it may have.
    #[error("{field} has {found} bytes")]
    Length {
        /// The field.
        field: &'static str,
        /// As found.
        found: usize,
    },
    /// Not decimal digits without leading zeros.
    #[error("{field} is not a decimal number of at most {WINSTON_DIGITS_MAX} digits")]
    Number {
        /// The field.
        field: &'static str,
    },
    /// Not the hash of the signature.
    #[error("the id is {declared}, that of the signature is {found}")]
    Id {
        /// In the transaction.
        declared: Id,
        /// Of its signature.
        found: Id,
    },
    /// It pays its own wallet.
    #[error("the target is the sender")]
    SelfTarget,
    /// Size without root, or root without size.
    #[error("data_size and data_root must be given together")]
    RootWithoutSize,
    /// Data does not have the size or the root that are signed.
    #[error("attached data has another {0} than is signed")]
    Data(&'static str),
    /// The signature does not hold.
    #[error("signature does not hold for this owner and content")]
    Signature,
}

impl Transaction {
    /// A transaction of format 2 over `data`, which is not attached: it goes in chunks.
    pub fn for_data(data: &[u8], tags: Vec<TransactionTag>, last_tx: Vec<u8>, reward: String) -> Self {
        let data_root = if data.is_empty() { Vec::new() } else { Tree::of(data).root().to_vec() };
        Self {
            format: 2,
            last_tx: Base64Url(last_tx),
            tags,
            quantity: "0".to_owned(),
            data_size: data.len().to_string(),
            data_root: Base64Url(data_root),
            reward,
            ..Self::default()
        }
    }

    /// Sets owner, signature and id.
    pub fn sign(mut self, signer: &dyn Signer) -> Result<Self, SignError> {
        if signer.signature_type() != SignatureType::Arweave || self.format != 2 {
            return Err(SignError::Key("transactions are of format 2 and signed by RSA keys"));
        }
        self.owner = Base64Url(signer.owner().to_vec());
        self.signature = Base64Url(signer.sign(&deep_hash_of(&self))?);
        self.id = Id(sha256(&[&self.signature.0]));
        Ok(self)
    }

    /// The bytes that the signature covers.
    pub fn signed_bytes(&self) -> Vec<u8> {
        if self.format == 1 { self.format_1_bytes() } else { deep_hash_of(self).to_vec() }
    }

    /// Checks everything that the transaction alone can show, the cheap rules first. Whether its anchor is recent and its reward
    /// enough depends on the chain.
    pub fn verify(&self) -> Result<(), TransactionError> {
        self.check_form()?;
        let found = Id(sha256(&[&self.signature.0]));
        if found != self.id {
            return Err(TransactionError::Id { declared: self.id, found });
        }
        rsa_pss::verify(&self.owner.0, &self.signed_bytes(), &self.signature.0).map_err(|_| TransactionError::Signature)?;
        if self.format == 2 { self.check_data() } else { Ok(()) }
    }

    fn check_form(&self) -> Result<(), TransactionError> {
        if self.format != 1 && self.format != 2 {
            return Err(TransactionError::Format(self.format));
        }
        let tag_bytes = self.tags.iter().map(|tag| tag.name.0.len() + tag.value.0.len()).sum();
        let lengths = [
            ("last_tx", self.last_tx.0.len(), self.last_tx.0.len() <= 48),
            ("owner", self.owner.0.len(), self.owner.0.len() <= 512),
            ("target", self.target.0.len(), matches!(self.target.0.len(), 0 | 32)),
            ("data_root", self.data_root.0.len(), matches!(self.data_root.0.len(), 0 | 32)),
            ("the tag list", tag_bytes, tag_bytes <= TRANSACTION_TAG_BYTES_MAX),
        ];
        if let Some((field, found, _)) = lengths.into_iter().find(|(_, _, fine)| !fine) {
            return Err(TransactionError::Length { field, found });
        }
        let numbers = [("quantity", Some(&self.quantity)), ("reward", Some(&self.reward)), ("denomination", self.denomination.as_ref())];
        let size = [("data_size", (self.format == 2).then_some(&self.data_size))];
        for (field, text) in numbers.into_iter().chain(size) {
            if text.is_some_and(|text| !is_decimal(text)) {
                return Err(TransactionError::Number { field });
            }
        }
        if !self.target.0.is_empty() && self.target.0 == sha256(&[&self.owner.0]) {
            return Err(TransactionError::SelfTarget);
        }
        if self.format == 2 && (self.data_size == "0") != self.data_root.0.is_empty() {
            return Err(TransactionError::RootWithoutSize);
        }
        Ok(())
    }

    fn check_data(&self) -> Result<(), TransactionError> {
        if self.data.0.is_empty() {
            return Ok(());
        }
        if self.data.0.len().to_string() != self.data_size {
            return Err(TransactionError::Data("size"));
        }
        if Tree::of(&self.data.0).root()[..] != self.data_root.0 {
            return Err(TransactionError::Data("root"));
        }
        Ok(())
    }

    /// Whether data may be attached: one chunk, for which both ways of splitting agree.
    pub fn may_carry_inline(data_len: usize) -> bool {
        data_len <= CHUNK_BYTES_MAX
    }

    fn format_1_bytes(&self) -> Vec<u8> {
        let mut bytes =
            [&self.owner.0[..], &self.target.0, &self.data.0, self.quantity.as_bytes(), self.reward.as_bytes(), &self.last_tx.0].concat();
        for tag in &self.tags {
            bytes.extend_from_slice(&tag.name.0);
            bytes.extend_from_slice(&tag.value.0);
        }
        bytes
    }
}

fn deep_hash_of(transaction: &Transaction) -> [u8; 48] {
    let tags = transaction.tags.iter().map(|tag| Node::List(vec![Node::Blob(&tag.name.0), Node::Blob(&tag.value.0)]));
    let mut list = vec![
        Node::Blob(b"2"),
        Node::Blob(&transaction.owner.0),
        Node::Blob(&transaction.target.0),
        Node::Blob(transaction.quantity.as_bytes()),
        Node::Blob(transaction.reward.as_bytes()),
        Node::Blob(&transaction.last_tx.0),
        Node::List(tags.collect()),
        Node::Blob(transaction.data_size.as_bytes()),
        Node::Blob(&transaction.data_root.0),
    ];
    if let Some(denomination) = transaction.denomination.as_deref().filter(|text| *text != "0") {
        list.insert(0, Node::Blob(denomination.as_bytes()));
    }
    deep_hash(&Node::List(list))
}

fn is_decimal(text: &str) -> bool {
    let digits = !text.is_empty() && text.len() <= WINSTON_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}
