//! What tests of engines share: committees of numbered members.

use ao_types::{Address, Committee, Epoch, Id, Member, PeerId, Stake};
use bytes::Bytes;

use crate::cheap::CheapSecret;
use crate::scheme::SecretKey;

/// The peer id of member `n` of a test network.
pub fn peer(n: u64) -> PeerId {
    PeerId(Bytes::copy_from_slice(&[&b"peer"[..], &n.to_be_bytes()].concat()))
}

/// A committee with [`CheapSecret`] keys 0, 1, … of these stakes. Canonical order need not be that of the keys' numbers.
///
/// # Panics
/// If the stakes are none that a committee can have.
#[allow(clippy::expect_used, reason = "test support")]
pub fn committee_of(epoch: Epoch, stakes: &[u128]) -> Committee {
    let member = |(n, stake): (usize, &u128)| Member {
        key: CheapSecret::new(n as u64).public(),
        stake: Stake(*stake),
        address: Address::Arweave(Id([n as u8; 32])),
        peer: peer(n as u64),
    };
    Committee::new(epoch, stakes.iter().enumerate().map(member).collect()).expect("stakes of a committee")
}
