//! What engines tell each other.
//!
//! Owns the bytes. A message is at most [`MESSAGE_BYTES_MAX`] long and names nothing that is not bounded; who may send what, and what it
//! costs to send rubbish, is the engine's business.

use ao_consensus::block::Block;
use ao_consensus::control::ControlOp;
use ao_types::attestation::Certificate;
use ao_types::codec::{Canonical, CodecError, Reader, write_list, write_option};
use bytes::Bytes;

use crate::codec::Wire;
use crate::context::{BlockId, Height};
use crate::driver::Say;
use crate::limits::{MESSAGE_BYTES_MAX, SYNC_BLOCKS_MAX};

/// Leads every message; other versions are refused.
pub const MESSAGE_VERSION: u8 = 1;

/// A decided block and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The block.
    pub block: Block,
    /// A quorum's shares over its height, round and id.
    pub certificate: Certificate,
}

impl Canonical for Decided {
    fn write(&self, out: &mut Vec<u8>) {
        self.block.write(out);
        self.certificate.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { block: Block::read(reader)?, certificate: Certificate::read(reader)? })
    }
}

/// One message.
#[allow(clippy::large_enum_variant, reason = "most are votes, the largest; none is kept in numbers")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A member's word in a round. With a proposal comes the body.
    Say(Say, Option<Block>),
    /// "I have decided up to here."
    Tip(Height),
    /// "What is the body of this block of the height that you are deciding?"
    WantBody(Height, BlockId),
    /// The answer.
    Body(Block),
    /// "Which blocks follow from here on?"
    WantBlocks(Height),
    /// The answer: without a gap from the height asked for, as many as fit. None: not kept here.
    Blocks(Vec<Decided>),
    /// An operation to be decided, from whoever it was submitted to.
    Op(Box<ControlOp>),
}

impl Message {
    /// As it travels.
    pub fn to_bytes(&self) -> Bytes {
        self.encode().into()
    }
}

impl Canonical for Message {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(MESSAGE_VERSION);
        match self {
            Self::Say(Say::Vote(vote), _) => {
                out.push(1);
                Wire(vote.clone()).write(out);
            }
            Self::Say(Say::Proposal(proposal), body) => {
                out.push(2);
                Wire(proposal.clone()).write(out);
                write_option(out, body.as_ref());
            }
            Self::Say(Say::Polka(certificate), _) => {
                out.push(3);
                Wire(certificate.clone()).write(out);
            }
            Self::Say(Say::Round(certificate), _) => {
                out.push(4);
                Wire(certificate.clone()).write(out);
            }
            Self::Tip(height) => {
                out.push(5);
                height.write(out);
            }
            Self::WantBody(height, block) => {
                out.push(6);
                height.write(out);
                block.write(out);
            }
            Self::Body(block) => {
                out.push(7);
                block.write(out);
            }
            Self::WantBlocks(height) => {
                out.push(8);
                height.write(out);
            }
            Self::Blocks(blocks) => {
                out.push(9);
                write_list(out, blocks);
            }
            Self::Op(op) => {
                out.push(10);
                op.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let found = reader.left();
        if found > MESSAGE_BYTES_MAX {
            return Err(CodecError::Bound { what: "bytes of a message", max: MESSAGE_BYTES_MAX, found });
        }
        reader.version("message", MESSAGE_VERSION)?;
        Ok(match reader.u8()? {
            1 => Self::Say(Say::Vote(Wire::read(reader)?.0), None),
            2 => {
                let proposal = Wire::read(reader)?.0;
                Self::Say(Say::Proposal(proposal), reader.option("body")?)
            }
            3 => Self::Say(Say::Polka(Wire::read(reader)?.0), None),
            4 => Self::Say(Say::Round(Wire::read(reader)?.0), None),
            5 => Self::Tip(Height::read(reader)?),
            6 => Self::WantBody(Height::read(reader)?, BlockId::read(reader)?),
            7 => Self::Body(Block::read(reader)?),
            8 => Self::WantBlocks(Height::read(reader)?),
            9 => Self::Blocks(reader.list("decided blocks", SYNC_BLOCKS_MAX)?),
            10 => Self::Op(Box::new(ControlOp::read(reader)?)),
            found => return Err(CodecError::Kind { what: "message", found }),
        })
    }
}

#[cfg(test)]
mod tests;
