//! Whose frames: networks, chains, and the ids of what stands in them (`consensus.md` §2).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::codec::{Canonical, CodecError, Reader};
use crate::hash::sha256;
use crate::id::{Address, BadHash, Id};
use crate::limits::ECHO_CHARS_MAX;

macro_rules! hashes {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = BadHash;
            /// 64 hexadecimal digits, with or without `0x`.
            fn from_str(text: &str) -> Result<Self, BadHash> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
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

hashes! {
    /// SHA-256 of the canonical genesis; in every header and every signed statement.
    NetworkId,
    /// SHA-256 of a frame's canonical header.
    FrameId,
    /// SHA-256 of a decided block's canonical header: the value that a BFT round agrees on.
    BlockValue,
}

impl Canonical for Id {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.array().map(Self)
    }
}

impl Canonical for Address {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Arweave(id) => {
                out.push(0);
                out.extend_from_slice(&id.0);
            }
            Self::Ethereum(bytes) => {
                out.push(1);
                out.extend_from_slice(bytes);
            }
        }
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match reader.u8()? {
            0 => reader.array().map(Id).map(Self::Arweave),
            1 => reader.array().map(Self::Ethereum),
            found => Err(CodecError::Kind { what: "address kind", found }),
        }
    }
}

/// Whose frames: one scheduler in one tenure. At most 41 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Chain {
    /// The wallet that signs the assignments and the frames.
    pub scheduler: Address,
    /// Opened by the Origin, closed once, never opened again. 0 is the first.
    pub tenure: u64,
}

impl Chain {
    /// What frame 0 names as its parent.
    pub fn id(&self) -> FrameId {
        FrameId(sha256(&[b"aonode chain", &self.encode()]))
    }

    /// Key bytes: frames of one chain sort by sequence behind them.
    pub fn key(&self) -> Vec<u8> {
        self.encode()
    }
}

impl Canonical for Chain {
    fn write(&self, out: &mut Vec<u8>) {
        self.scheduler.write(out);
        self.tenure.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { scheduler: Address::read(reader)?, tenure: reader.u64()? })
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scheduler, self.tenure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_scheduler_have_their_own_form() {
        for scheduler in [Address::Arweave(Id([9; 32])), Address::Ethereum([8; 20])] {
            let chain = Chain { scheduler, tenure: 3 };
            assert_eq!(Chain::decode(&chain.encode()), Ok(chain));
            assert_ne!(chain.id(), Chain { tenure: 4, ..chain }.id());
        }
        assert_eq!(Chain::decode(&[2; 41]), Err(CodecError::Kind { what: "address kind", found: 2 }));
    }

    #[test]
    fn hashes_are_read_with_and_without_a_prefix() {
        let id = FrameId([0xab; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(format!("0x{id}").parse(), Ok(id));
        assert!("0xab".parse::<FrameId>().is_err());
    }
}
