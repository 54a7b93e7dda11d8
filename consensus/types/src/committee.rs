//! Who certifies: stake, members, committees and what a quorum of one is (`consensus.md` §2).
//!
//! Owns the canonical order, the root and the arithmetic of quorums. Refuses to judge keys: whether 48 bytes are a point, and whether its
//! owner proved to possess it, is the scheme's question.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::codec::{Canonical, CodecError, Reader, write_list, write_prefixed};
use crate::hash::sha256;
use crate::id::Address;
use crate::limits::{COMMITTEE_MEMBERS_MAX, ECHO_CHARS_MAX, PEER_ID_BYTES_MAX, STAKE_TOTAL_MAX};

/// Life of one committee. (An assignment's own `Epoch` tag is `schedule_epoch`.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The one after.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Canonical for Epoch {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.u64().map(Self)
    }
}

/// An amount of bonded tokens, in the smallest unit. In readable encodings decimal text: JSON numbers end at 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stake(pub u128);

impl fmt::Display for Stake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Stake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(&self.0) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Stake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u128::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        match text.parse() {
            Ok(amount) if canonical => Ok(Self(amount)),
            _ => Err(de::Error::custom("an amount is decimal digits in quotes, at most 2^128 - 1")),
        }
    }
}

macro_rules! bls_bytes {
    ($($(#[$doc:meta])* $name:ident = $size:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("0x{}", hex::encode(self.0)))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = BadBlsText;
            fn from_str(text: &str) -> Result<Self, BadBlsText> {
                let mut bytes = [0; $size];
                hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
                    .map_err(|_| BadBlsText { digits: 2 * $size, found: text.chars().take(ECHO_CHARS_MAX).collect() })?;
                Ok(Self(bytes))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    return String::deserialize(deserializer)?.parse().map_err(de::Error::custom);
                }
                let bytes = <&[u8]>::deserialize(deserializer)?;
                bytes.try_into().map(Self).map_err(|_| de::Error::invalid_length(bytes.len(), &"the size of a point"))
            }
        }
        impl Canonical for $name {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
            fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                reader.array().map(Self)
            }
        }
    )*};
}

/// Why a text is not a key or signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not 0x and {digits} hexadecimal digits")]
pub struct BadBlsText {
    /// How many digits are expected.
    pub digits: usize,
    /// The text as it was given, cut to 64 characters.
    pub found: String,
}

bls_bytes! {
    /// An attestor's public key: a compressed point of G1. Unchecked; a scheme's key table holds checked ones.
    BlsKey = 48,
    /// A signature or a sum of signatures: a compressed point of G2. Unchecked until a scheme verified it.
    BlsSignature = 96,
}

/// How a node is addressed in the peer-to-peer network: the bytes of its multihash. Opaque to all but `p2p`.
///
/// Text form: base58, as libp2p writes it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PeerId(pub Bytes);

/// Why a text is not a [`PeerId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a peer id: base58 of 1 to 64 bytes is expected")]
pub struct BadPeerId {
    /// The text as it was given, cut to 64 characters.
    pub found: String,
}

impl FromStr for PeerId {
    type Err = BadPeerId;
    fn from_str(text: &str) -> Result<Self, BadPeerId> {
        match crate::base58::decode(text) {
            Some(bytes) if (1..=PEER_ID_BYTES_MAX).contains(&bytes.len()) => Ok(Self(bytes.into())),
            _ => Err(BadPeerId { found: text.chars().take(ECHO_CHARS_MAX).collect() }),
        }
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(de::Error::custom);
        }
        Bytes::deserialize(deserializer).map(Self)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&crate::base58::encode(&self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Canonical for PeerId {
    fn write(&self, out: &mut Vec<u8>) {
        write_prefixed(out, &self.0);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.prefixed("bytes of a peer id", PEER_ID_BYTES_MAX).map(Bytes::copy_from_slice).map(Self)
    }
}

/// One attestor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Signs attestations. Unique in a committee.
    pub key: BlsKey,
    /// Its weight; never 0.
    pub stake: Stake,
    /// The account that is bonded.
    pub address: Address,
    /// Where it is reached.
    pub peer: PeerId,
}

impl Canonical for Member {
    fn write(&self, out: &mut Vec<u8>) {
        self.key.write(out);
        out.extend_from_slice(&self.stake.0.to_be_bytes());
        self.address.write(out);
        self.peer.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { key: BlsKey::read(reader)?, stake: Stake(reader.u128()?), address: Address::read(reader)?, peer: PeerId::read(reader)? })
    }
}

/// Why members are not a committee. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// Nobody, or too many.
    #[error("a committee has 1 to {max} members, not {found}")]
    Members {
        /// The bound.
        max: usize,
        /// As given.
        found: usize,
    },
    /// A member without weight.
    #[error("member {key} has no stake")]
    NoStake {
        /// Which.
        key: BlsKey,
    },
    /// A key twice: its holder would count twice.
    #[error("key {key} stands in the committee twice")]
    DuplicateKey {
        /// Which.
        key: BlsKey,
    },
    /// Thresholds could not be computed without overflow.
    #[error("the total stake is more than {max}")]
    TotalStake {
        /// The bound.
        max: u128,
    },
}

/// The attestors of one epoch, in canonical order: stake descending, then key ascending. Fixed one epoch ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    epoch: Epoch,
    members: Vec<Member>,
    indexes: BTreeMap<BlsKey, u16>,
    total: Stake,
    root: [u8; 32],
}

impl Committee {
    /// Sorts and checks.
    pub fn new(epoch: Epoch, mut members: Vec<Member>) -> Result<Self, CommitteeError> {
        if members.is_empty() || members.len() > COMMITTEE_MEMBERS_MAX {
            return Err(CommitteeError::Members { max: COMMITTEE_MEMBERS_MAX, found: members.len() });
        }
        members.sort_by(|a, b| b.stake.cmp(&a.stake).then(a.key.cmp(&b.key)));
        let (mut indexes, mut total) = (BTreeMap::new(), 0u128);
        for (index, member) in members.iter().enumerate() {
            if member.stake.0 == 0 {
                return Err(CommitteeError::NoStake { key: member.key });
            }
            total = match total.checked_add(member.stake.0) {
                Some(sum) if sum <= STAKE_TOTAL_MAX => sum,
                _ => return Err(CommitteeError::TotalStake { max: STAKE_TOTAL_MAX }),
            };
            if indexes.insert(member.key, index as u16).is_some() {
                return Err(CommitteeError::DuplicateKey { key: member.key });
            }
        }
        let root = root(&members);
        Ok(Self { epoch, members, indexes, total: Stake(total), root })
    }

    /// Whose life this is.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// In canonical order: a bitmap's bit `i` is member `i`.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How many there are; at least one.
    #[allow(clippy::len_without_is_empty, reason = "a committee is never empty")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The member at this place.
    pub fn member(&self, index: u16) -> Option<&Member> {
        self.members.get(usize::from(index))
    }

    /// The place of this key.
    pub fn index_of(&self, key: &BlsKey) -> Option<u16> {
        self.indexes.get(key).copied()
    }

    /// Everybody's stake together.
    pub fn total(&self) -> Stake {
        self.total
    }

    /// Hash of the canonical list. The epoch is not part of it: the same members are the same root.
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// Whether `stake` is strictly more than two thirds of all. Cannot overflow: the total was bounded.
    pub fn is_quorum(&self, stake: Stake) -> bool {
        stake.0.saturating_mul(3) > self.total.0 * 2
    }

    /// Whether `stake` is at least one third of all: so much must be Byzantine before safety may break (S8).
    pub fn is_third(&self, stake: Stake) -> bool {
        stake.0.saturating_mul(3) >= self.total.0
    }
}

fn root(members: &[Member]) -> [u8; 32] {
    let mut bytes = b"aonode committee".to_vec();
    write_list(&mut bytes, members);
    sha256(&[&bytes])
}

impl Canonical for Committee {
    fn write(&self, out: &mut Vec<u8>) {
        self.epoch.write(out);
        write_list(out, &self.members);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let epoch = Epoch::read(reader)?;
        let members: Vec<Member> = reader.list("members of a committee", COMMITTEE_MEMBERS_MAX)?;
        let committee = Self::new(epoch, members.clone()).map_err(|_| CodecError::NotCanonical { what: "committee" })?;
        if committee.members == members { Ok(committee) } else { Err(CodecError::NotCanonical { what: "order of a committee" }) }
    }
}

#[cfg(test)]
mod tests;
