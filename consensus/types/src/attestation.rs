//! What attestors sign, and what a quorum of them makes of it (`consensus.md` §2).
//!
//! A [`Statement`] has one form of bytes for signing, which begins with a domain tag and the network id, so that no signature of ours can
//! pass for another kind, another network or another protocol. An [`Attestation`] is one key's signature on one statement, a
//! [`Certificate`] the sum of a quorum's signatures on one statement. Nothing here says that a signature holds.

use crate::chain::{BlockValue, Chain, FrameId, NetworkId};
use crate::codec::{Canonical, CodecError, Reader, write_option};
use crate::committee::{BlsKey, BlsSignature, Epoch};
use crate::hash::sha256;
use crate::id::{Id, ResultHash, Slot, StateHash};
use crate::limits::COMMITTEE_MEMBERS_MAX;

/// Leads every signed message.
pub const DOMAIN: &[u8; 19] = b"aonode/statement/v1";

/// What can be attested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statement {
    /// "I checked this frame and all its ancestors, and have stored them" (§4).
    Frame {
        /// Whose frame.
        chain: Chain,
        /// Its place.
        sequence: u64,
        /// The frame.
        frame: FrameId,
    },
    /// A value precommitted in one round of one height (§6). The round is part of it: shares of different rounds must not add up.
    Block {
        /// The height.
        height: u64,
        /// The round.
        round: u32,
        /// The decided header's hash.
        value: BlockValue,
    },
    /// A result that this node computed (§9).
    Result {
        /// The process.
        process: Id,
        /// Its schedule epoch.
        schedule_epoch: u64,
        /// The slot.
        slot: Slot,
        /// Of the canonical result.
        result: ResultHash,
        /// The machine's version.
        host_abi: u32,
        /// Of the memory after it.
        state: StateHash,
    },
    /// "I possess the secret of this key": without it, keys could be chosen to cancel others out of a sum.
    Possession {
        /// The key.
        key: BlsKey,
    },
    /// "I sign nothing more in this chain, and this is the highest certified frame that I know" (§8).
    Seal {
        /// The chain.
        chain: Chain,
        /// Place and id of that frame; `None`: none of this chain is certified as far as I know.
        highest: Option<(u64, FrameId)>,
    },
    /// A vote of a BFT round (§6). What leaves the validator set is [`Statement::Block`]; votes are evidence when there are two.
    Vote {
        /// The height.
        height: u64,
        /// The round.
        round: u32,
        /// Which of the two votes of a round.
        step: VoteStep,
        /// For what; `None`: for no value.
        value: Option<BlockValue>,
    },
}

/// The two votes of a BFT round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VoteStep {
    /// The first.
    Prevote,
    /// The second.
    Precommit,
}

impl Statement {
    /// The bytes that are signed: domain tag ‖ network id ‖ kind ‖ fields.
    ///
    /// A proof of possession stands in the genesis whose hash the network id is; give it [`possession_scope`] instead.
    pub fn message(&self, network: &NetworkId) -> Vec<u8> {
        let mut out = Vec::with_capacity(DOMAIN.len() + 32 + 160);
        out.extend_from_slice(DOMAIN);
        out.extend_from_slice(&network.0);
        self.write(&mut out);
        out
    }
}

/// Stands for the network id in proofs of possession: the id of a network can only be known once its validators are.
pub fn possession_scope(chain_id: &str) -> NetworkId {
    NetworkId(sha256(&[b"aonode/pop/v1", chain_id.as_bytes()]))
}

impl Canonical for Statement {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Frame { chain, sequence, frame } => {
                out.push(1);
                chain.write(out);
                sequence.write(out);
                frame.write(out);
            }
            Self::Block { height, round, value } => {
                out.push(2);
                height.write(out);
                out.extend_from_slice(&round.to_be_bytes());
                value.write(out);
            }
            Self::Result { process, schedule_epoch, slot, result, host_abi, state } => {
                out.push(3);
                process.write(out);
                schedule_epoch.write(out);
                slot.0.write(out);
                result.0.write(out);
                out.extend_from_slice(&host_abi.to_be_bytes());
                state.0.write(out);
            }
            Self::Possession { key } => {
                out.push(4);
                key.write(out);
            }
            Self::Seal { chain, highest } => {
                out.push(5);
                chain.write(out);
                out.push(u8::from(highest.is_some()));
                if let Some((sequence, frame)) = highest {
                    sequence.write(out);
                    frame.write(out);
                }
            }
            Self::Vote { height, round, step, value } => {
                out.push(7);
                height.write(out);
                out.extend_from_slice(&round.to_be_bytes());
                out.push(match step {
                    VoteStep::Prevote => 0,
                    VoteStep::Precommit => 1,
                });
                write_option(out, value.as_ref());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match reader.u8()? {
            1 => Self::Frame { chain: Chain::read(reader)?, sequence: reader.u64()?, frame: FrameId::read(reader)? },
            2 => Self::Block { height: reader.u64()?, round: reader.u32()?, value: BlockValue::read(reader)? },
            3 => Self::Result {
                process: Id::read(reader)?,
                schedule_epoch: reader.u64()?,
                slot: Slot(reader.u64()?),
                result: ResultHash(reader.array()?),
                host_abi: reader.u32()?,
                state: StateHash(reader.array()?),
            },
            4 => Self::Possession { key: BlsKey::read(reader)? },
            5 => {
                let chain = Chain::read(reader)?;
                let known = reader.flag("highest frame of a seal")?;
                Self::Seal { chain, highest: if known { Some((reader.u64()?, FrameId::read(reader)?)) } else { None } }
            }
            7 => Self::Vote {
                height: reader.u64()?,
                round: reader.u32()?,
                step: if reader.flag("step of a vote")? { VoteStep::Precommit } else { VoteStep::Prevote },
                value: reader.option("value of a vote")?,
            },
            // 6 is reserved for `bundle(epoch, index, root)`, one statement over many chains (§13).
            found => return Err(CodecError::Kind { what: "statement kind", found }),
        })
    }
}

/// One key's signature on one statement. 190 bytes at most for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attestation {
    /// What is attested.
    pub statement: Statement,
    /// By whom. The key and not a place in a committee: at a crossing one signature counts in two committees.
    pub key: BlsKey,
    /// The signature, unchecked.
    pub signature: BlsSignature,
}

impl Canonical for Attestation {
    fn write(&self, out: &mut Vec<u8>) {
        self.statement.write(out);
        self.key.write(out);
        self.signature.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { statement: Statement::read(reader)?, key: BlsKey::read(reader)?, signature: BlsSignature::read(reader)? })
    }
}

/// Who of a committee signed: bit `i` is member `i` in canonical order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signers {
    members: u16,
    bits: Vec<u8>,
}

impl Signers {
    /// Nobody of `members`. More than [`COMMITTEE_MEMBERS_MAX`] are cut to it: no committee has more.
    pub fn none(members: usize) -> Self {
        let members = members.min(COMMITTEE_MEMBERS_MAX);
        Self { members: members as u16, bits: vec![0; members.div_ceil(8)] }
    }

    /// How many members the committee has.
    pub fn members(&self) -> usize {
        usize::from(self.members)
    }

    /// Sets a bit; false if it was set, or is none of this committee's.
    pub fn insert(&mut self, index: u16) -> bool {
        if index >= self.members || self.contains(index) {
            return false;
        }
        self.bits[usize::from(index / 8)] |= 1 << (index % 8);
        true
    }

    /// Clears a bit.
    pub fn remove(&mut self, index: u16) {
        if let Some(byte) = self.bits.get_mut(usize::from(index / 8)) {
            *byte &= !(1 << (index % 8));
        }
    }

    /// Whether this member signed.
    pub fn contains(&self, index: u16) -> bool {
        self.bits.get(usize::from(index / 8)).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// How many signed.
    pub fn count(&self) -> usize {
        self.bits.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Who signed, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.members).filter(|index| self.contains(*index))
    }

    /// Who did not, in order.
    pub fn missing(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.members).filter(|index| !self.contains(*index))
    }
}

impl std::fmt::Debug for Signers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} {}", self.count(), self.members, hex::encode(&self.bits))
    }
}

impl Canonical for Signers {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.members.to_be_bytes());
        out.extend_from_slice(&self.bits);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let members = reader.u16()?;
        if usize::from(members) > COMMITTEE_MEMBERS_MAX {
            return Err(CodecError::Bound { what: "members of a bitmap", max: COMMITTEE_MEMBERS_MAX, found: members.into() });
        }
        let bits = reader.take(usize::from(members).div_ceil(8))?.to_vec();
        let spare = (8 - members % 8) % 8;
        if bits.last().is_some_and(|last| u32::from(*last) >> (8 - spare) != 0) {
            return Err(CodecError::NotCanonical { what: "bitmap" });
        }
        Ok(Self { members, bits })
    }
}

/// The sum of a quorum's signatures on one statement, and whose they are. 320 bytes for a frame at 1000 members.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Certificate {
    /// What they signed.
    pub statement: Statement,
    /// Which committee the bits are of.
    pub epoch: Epoch,
    /// Who signed.
    pub signers: Signers,
    /// The sum, unchecked.
    pub signature: BlsSignature,
}

impl Certificate {
    /// The frame it speaks of, if it speaks of one: chain, sequence, id.
    pub fn frame(&self) -> Option<(Chain, u64, FrameId)> {
        match self.statement {
            Statement::Frame { chain, sequence, frame } => Some((chain, sequence, frame)),
            _ => None,
        }
    }
}

impl Canonical for Certificate {
    fn write(&self, out: &mut Vec<u8>) {
        self.statement.write(out);
        self.epoch.write(out);
        self.signers.write(out);
        self.signature.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            statement: Statement::read(reader)?,
            epoch: Epoch::read(reader)?,
            signers: Signers::read(reader)?,
            signature: BlsSignature::read(reader)?,
        })
    }
}

#[cfg(test)]
mod tests;
