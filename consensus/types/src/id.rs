//! Ids, addresses, slots and hashes, and their text forms.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::hash::keccak256;
use crate::limits::ECHO_CHARS_MAX;

/// A 32-byte id: of a data item (SHA-256 of its signature), hence of a process, a message, a module.
///
/// Text form: 43 characters of base64url without padding (`protocol.md`, "b64u").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub [u8; 32]);

/// Why a text is not an [`Id`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not an id: 43 characters of base64url are expected")]
pub struct BadId {
    /// The text as it was given, cut to 64 characters.
    pub found: String,
}

impl Id {
    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses the text form; anything but 43 canonical characters is refused.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { found: text.chars().take(ECHO_CHARS_MAX).collect() };
        if text.len() != 43 {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 43];
        URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        Self::parse(text)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Self::parse(&text).map_err(de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// Who signed: the form AO shows for an owner.
///
/// Most key types show SHA-256 of the owner bytes; Ethereum keys show the EIP-55 checksummed `0x…` form (`arweave.md`, section 1).
///
/// In a binary encoding it is a variant number and the bytes, in a readable one the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// SHA-256 of the owner bytes.
    Arweave(Id),
    /// The last 20 bytes of Keccak-256 of the public key.
    Ethereum([u8; 20]),
}

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Of no known form.
    #[error("`{found}` is not an address: 43 characters of base64url, or 0x and 40 hexadecimal digits, are expected")]
    Form {
        /// The text as it was given, cut to 64 characters.
        found: String,
    },
    /// Mixed case that is not the EIP-55 checksum: most likely a typing error.
    #[error("`{found}` has a wrong checksum; `{expected}` would be right")]
    Checksum {
        /// The text.
        found: String,
        /// The same digits in the right case.
        expected: String,
    },
}

impl Address {
    /// Parses either text form. Ethereum digits in one case are taken as they are, mixed case must be the checksum.
    ///
    /// The forms differ by their lengths, 43 characters and 42: one in 4 096 of the first begins with `0x` too.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let form = || BadAddress::Form { found: text.chars().take(ECHO_CHARS_MAX).collect() };
        if let Ok(id) = Id::parse(text) {
            return Ok(Self::Arweave(id));
        }
        let digits = text.strip_prefix("0x").ok_or_else(form)?;
        let mut bytes = [0; 20];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| form())?;
        let address = Self::Ethereum(bytes);
        let one_case = !(digits.contains(|c: char| c.is_ascii_lowercase()) && digits.contains(|c: char| c.is_ascii_uppercase()));
        let expected = address.to_string();
        if one_case || expected == text { Ok(address) } else { Err(BadAddress::Checksum { found: text.to_owned(), expected }) }
    }

    /// The 43-character form's id; `None` for Ethereum addresses.
    pub fn as_id(&self) -> Option<Id> {
        match self {
            Self::Arweave(id) => Some(*id),
            Self::Ethereum(_) => None,
        }
    }
}

/// EIP-55: a letter is upper-case where the hash of the lower-case digits has a nibble of 8 or more.
fn checksummed(address: &[u8; 20]) -> [u8; 42] {
    let mut text = *b"0x0000000000000000000000000000000000000000";
    // Cannot fail: 40 digits for 20 bytes.
    let _ = hex::encode_to_slice(address, &mut text[2..]);
    let hash = keccak256(&[&text[2..]]);
    for (index, digit) in text[2..].iter_mut().enumerate() {
        let nibble = if index % 2 == 0 { hash[index / 2] >> 4 } else { hash[index / 2] & 0x0f };
        if nibble >= 8 {
            digit.make_ascii_uppercase();
        }
    }
    text
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arweave(id) => fmt::Display::fmt(id, f),
            Self::Ethereum(bytes) => f.pad(std::str::from_utf8(&checksummed(bytes)).map_err(|_| fmt::Error)?),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = BadAddress;
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        Self::parse(text)
    }
}

/// How an address is kept where nobody reads it.
#[derive(Serialize, Deserialize)]
enum BinaryAddress {
    Arweave(Id),
    Ethereum([u8; 20]),
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            _ if serializer.is_human_readable() => serializer.collect_str(self),
            Self::Arweave(id) => BinaryAddress::Arweave(*id).serialize(serializer),
            Self::Ethereum(bytes) => BinaryAddress::Ethereum(*bytes).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom);
        }
        BinaryAddress::deserialize(deserializer).map(|address| match address {
            BinaryAddress::Arweave(id) => Self::Arweave(id),
            BinaryAddress::Ethereum(bytes) => Self::Ethereum(bytes),
        })
    }
}

/// Position of an assignment in one process's schedule; the older network writes it `Nonce`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u64);

impl Slot {
    /// The slot after this one.
    ///
    /// # Panics
    /// Never in practice: 2^64 slots cannot be assigned.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Root over a process's memory after a slot (`vm-abi.md`, section 10). Comparable between nodes of one `host_abi`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StateHash(pub [u8; 32]);

/// SHA-256 of the canonical result JSON. Comparable between all hosts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ResultHash(pub [u8; 32]);

/// Why a text is not a hash: 64 hexadecimal digits are expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a hash: 64 hexadecimal digits are expected")]
pub struct BadHash {
    /// The text as it was given, cut to 64 characters.
    pub found: String,
}

macro_rules! hex_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = BadHash;
            fn from_str(text: &str) -> Result<Self, BadHash> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| BadHash { found: text.chars().take(ECHO_CHARS_MAX).collect() })?;
                Ok(Self(bytes))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    <[u8; 32]>::deserialize(deserializer).map(Self)
                }
            }
        }
    )*};
}
hex_text!(StateHash, ResultHash);
