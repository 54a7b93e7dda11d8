//! Hash chains over a process's schedule (`protocol.md`, section 6). Two variants exist and do not mix; a process's `Variant` decides.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hash::sha256;
use crate::id::{BadId, Id};

/// `ao.TN.1`: what the tag `Hash-Chain` of an assignment holds. Commits to all assignments *before* it, not to its own message; that
/// binding is the assignment's signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HashChain(Id);

impl HashChain {
    /// Of the first assignment: SHA-256 of the process id.
    pub fn first(process: &Id) -> Self {
        Self(Id(sha256(&[&process.0])))
    }

    /// Of the assignment after `assignment`, whose own chain this is.
    pub fn next(&self, assignment: &Id) -> Self {
        Self(Id(sha256(&[&assignment.0, &self.0.0])))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// From raw bytes, for a chain kept in a store.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Id(bytes))
    }
}

impl fmt::Display for HashChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for HashChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for HashChain {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        Id::parse(text).map(Self)
    }
}

/// `ao.N.1`: commits to the messages up to and including its own.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MessageChain(Option<Id>);

impl MessageChain {
    /// Before any message.
    pub const EMPTY: Self = Self(None);

    /// After `message`, by its committed id.
    pub fn next(&self, message: &Id) -> Self {
        let before = self.0.as_ref().map_or(&[][..], |id| &id.0);
        Self(Some(Id(sha256(&[before, &message.0]))))
    }

    /// The value; `None` before the first message.
    pub fn value(&self) -> Option<Id> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_protocol_md_tn1() {
        let process = Id(std::array::from_fn(|i| i as u8));
        let h0 = HashChain::first(&process);
        assert_eq!(h0.to_string(), "Yw3NKWbEM2aRElRIu7JbT_QSpJxzLbLIq8G4WBvXEN0");
        let h1 = h0.next(&Id([0x11; 32]));
        assert_eq!(h1.to_string(), "u3AMCpw4z3Pxm4VDzxnWheV5pDymsXRp_2pBCZe2CUE");
        let h2 = h1.next(&Id([0x22; 32]));
        assert_eq!(h2.to_string(), "f2ULsRhdqBs7VtQguZTg4CcTS264wVjZZyU4ITEd_w4");
        assert_eq!(h2.to_string().parse(), Ok(h2));
    }

    #[test]
    fn vectors_of_protocol_md_n1() {
        let first = MessageChain::EMPTY.next(&Id([0x33; 32]));
        assert_eq!(first.value().unwrap().to_string(), "3rDjjO0eQd5vkucOgMQY0tNWr6qpnib1k528fT70dyo");
        let second = first.next(&Id([0x44; 32]));
        assert_eq!(second.value().unwrap().to_string(), "WVa20VM0-M1hWYe3TDcXUz6Gbn-LbPoLzmk7jceV14M");
    }
}
