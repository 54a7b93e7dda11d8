//! Operations on the control plane (`consensus.md` §7, §8), as far as engines make or read them.

use ao_types::codec::{Canonical, CodecError, Reader, write_list, write_prefixed};
use ao_types::{BlsKey, BlsSignature, Certificate, Chain, Epoch, FrameId, Statement};
use bytes::Bytes;

use crate::evidence::Evidence;
use crate::limits::{CERTIFICATES_MAX, LEDGER_OP_BYTES_MAX};
use crate::proof::Confirmation;

/// An attestor's word that it signs nothing more in a chain, with the highest certified frame that it knows (§8 step 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Whose.
    pub key: BlsKey,
    /// The chain.
    pub chain: Chain,
    /// Place and id of the highest certified frame known; `None`: no certificate of this chain.
    pub highest: Option<(u64, FrameId)>,
    /// What certifies it; two of a crossing.
    pub certificates: Vec<Certificate>,
    /// On [`Statement::Seal`].
    pub signature: BlsSignature,
}

impl Seal {
    /// What is signed.
    pub fn statement(&self) -> Statement {
        Statement::Seal { chain: self.chain, highest: self.highest }
    }
}

/// Something that the control plane decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlOp {
    /// See [`Seal`].
    Seal(Box<Seal>),
    /// A chain has entered an epoch: both certificates of its crossing frame, the older committee's first.
    Crossed {
        /// The chain.
        chain: Chain,
        /// The epoch entered.
        epoch: Epoch,
        /// Of its first frame in that epoch.
        certificates: Vec<Certificate>,
    },
    /// The frame that names an unhosted process `closed` is confirmed: the process ends before it.
    Closed(Box<Confirmation>),
    /// A fault that can be shown.
    Evidence(Box<Evidence>),
    /// Anything else of the ledger (stake, hosting, challenges), signed by an account. No engine reads it.
    Ledger(Bytes),
}

impl Canonical for Seal {
    fn write(&self, out: &mut Vec<u8>) {
        self.key.write(out);
        self.statement().write(out);
        write_list(out, &self.certificates);
        self.signature.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let key = BlsKey::read(reader)?;
        let Statement::Seal { chain, highest } = Statement::read(reader)? else {
            return Err(CodecError::NotCanonical { what: "statement of a seal" });
        };
        let certificates = reader.list("certificates of a seal", CERTIFICATES_MAX)?;
        Ok(Self { key, chain, highest, certificates, signature: BlsSignature::read(reader)? })
    }
}

impl Canonical for ControlOp {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Seal(seal) => {
                out.push(1);
                seal.write(out);
            }
            Self::Crossed { chain, epoch, certificates } => {
                out.push(2);
                chain.write(out);
                epoch.write(out);
                write_list(out, certificates);
            }
            Self::Closed(confirmation) => {
                out.push(3);
                confirmation.write(out);
            }
            Self::Evidence(evidence) => {
                out.push(4);
                evidence.write(out);
            }
            Self::Ledger(bytes) => {
                out.push(5);
                write_prefixed(out, bytes);
            }
        }
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match reader.u8()? {
            1 => Self::Seal(Box::new(Seal::read(reader)?)),
            2 => Self::Crossed {
                chain: Chain::read(reader)?,
                epoch: Epoch::read(reader)?,
                certificates: reader.list("certificates of a crossing", CERTIFICATES_MAX)?,
            },
            3 => Self::Closed(Box::new(Confirmation::read(reader)?)),
            4 => Self::Evidence(Box::new(Evidence::read(reader)?)),
            5 => Self::Ledger(Bytes::copy_from_slice(reader.prefixed("bytes of a ledger operation", LEDGER_OP_BYTES_MAX)?)),
            found => return Err(CodecError::Kind { what: "control operation", found }),
        })
    }
}
