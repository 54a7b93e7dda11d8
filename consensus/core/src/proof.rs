//! What convinces an outsider (`consensus.md` §15): from a slot to a quorum's signature, offline, by one function for every engine.
//!
//! ```text
//!   entry ─path─▶ entries_root of frame k ─(history path)─▶ history_root of frame c ─┐
//!                                                                                    ├▶ Proof: c is confirmed
//!                                                            or k is c itself ───────┘
//! ```

use std::sync::Arc;

use ao_types::codec::{Canonical, CodecError, Reader, write_list, write_option};
use ao_types::{Certificate, Chain, FrameId};

use crate::block::{BlockHeader, FrameRef, frames_root_from};
use crate::frame::{EntryPath, FrameHeader};
use crate::history::HistoryPath;
use crate::limits::{CERTIFICATES_MAX, PROOF_HEADERS_MAX};
use crate::merkle::Path;
use crate::roster::{Rosters, VerifyError};

/// Why a frame is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "it is held behind an Arc, one for each frame")]
pub enum Proof {
    /// Nobody else took part: the network has one node. Convinces nobody, and says so.
    Alone,
    /// A certificate on a descendant, between which and the frame a certificate of the frame or of a later one is carried (§5).
    Chain {
        /// Headers after the frame's, up to and with that of the certified descendant. At least one.
        descendants: Vec<Arc<FrameHeader>>,
        /// On the last of them; two if that is a crossing, the older committee's first.
        certificates: Vec<Certificate>,
    },
    /// A decided block that names the frame (§6).
    Block {
        /// The block.
        block: Box<BlockHeader>,
        /// Place of the frame in it.
        index: u32,
        /// To the block's root over frames.
        path: Path,
        /// Over the block's statement; its round is in it.
        certificate: Certificate,
    },
}

/// A confirmed frame: its header and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The frame.
    pub header: Arc<FrameHeader>,
    /// Why it is confirmed.
    pub proof: Arc<Proof>,
}

/// A confirmed slot, in one file: what `GET …/slots/{n}/proof` answers and `aonode verify` reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotProof {
    /// The entry, and that it stands in the frame.
    pub entry: EntryPath,
    /// The frame that it stands in, if that is not the confirmed frame itself but an ancestor of it.
    pub ancestor: Option<(FrameHeader, HistoryPath)>,
    /// A confirmed frame.
    pub confirmation: Confirmation,
}

/// Why a proof proves nothing. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No quorum took part.
    #[error("the network has one node, whose word this is")]
    Alone,
    /// Of another network.
    #[error("the frame is of another network")]
    Network,
    /// Headers that do not descend from the frame.
    #[error("header {index} of the proof does not follow the one before")]
    Descent {
        /// Which.
        index: usize,
    },
    /// No certificate of the frame or a later one is carried up to the certified one: its signers need not know that the frame is
    /// certified.
    #[error("no frame after {frame} up to the certified one carries a certificate of it or of a frame between")]
    NothingCarried {
        /// The frame.
        frame: FrameId,
    },
    /// Certificates of something else, or of the wrong committees.
    #[error("the certificates are not those of {frame}")]
    Certificates {
        /// The frame or block they should be of.
        frame: FrameId,
    },
    /// A certificate that does not hold.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A Merkle path that leads elsewhere.
    #[error("the path of the {what} does not lead to the root")]
    Path {
        /// Of what.
        what: &'static str,
    },
    /// An ancestor that is of another chain, or not earlier.
    #[error("the ancestor is not an earlier frame of the same chain")]
    Ancestor,
}

/// Whether a frame is confirmed. `rosters` are the committees, from genesis on as far as the caller knows them: old committees' signatures
/// prove nothing once their stake could be withdrawn, and which those are is the caller's to say by leaving them out.
pub fn verify(confirmation: &Confirmation, rosters: &Rosters) -> Result<(), ProofError> {
    let header = &confirmation.header;
    if header.network_id != rosters.network() {
        return Err(ProofError::Network);
    }
    match confirmation.proof.as_ref() {
        Proof::Alone => Err(ProofError::Alone),
        Proof::Chain { descendants, certificates } => verify_chain(header, descendants, certificates, rosters),
        Proof::Block { block, index, path, certificate } => verify_block(header, block, *index, path, certificate, rosters),
    }
}

fn verify_chain(
    header: &FrameHeader,
    descendants: &[Arc<FrameHeader>],
    certificates: &[Certificate],
    rosters: &Rosters,
) -> Result<(), ProofError> {
    let frame = header.id();
    let (mut last, mut last_id) = (header, frame);
    let mut between = vec![(header.sequence, frame)];
    let mut carried = false;
    let mut claims: Vec<&Certificate> = Vec::new();
    for (index, next) in descendants.iter().enumerate() {
        let follows = next.chain == header.chain && next.parent == last_id && next.sequence.checked_sub(1) == Some(last.sequence);
        let epochs = next.epoch == last.epoch || next.epoch == last.epoch.next();
        if !follows || !epochs || next.network_id != header.network_id {
            return Err(ProofError::Descent { index });
        }
        // Any carried certificate of a frame from k on will do; each that is relied on is checked.
        let relied = next
            .certificates
            .first()
            .and_then(Certificate::frame)
            .is_some_and(|(chain, sequence, id)| chain == header.chain && between.contains(&(sequence, id)));
        if relied && !carried {
            claims.extend(&next.certificates);
            carried = true;
        }
        (last, last_id) = (next, next.id());
        between.push((last.sequence, last_id));
    }
    if !carried {
        return Err(ProofError::NothingCarried { frame });
    }
    // Which committee a certificate must be of is in the headers: that of the frame's epoch, and at a crossing the one before first.
    let before = descendants.len().checked_sub(2).and_then(|at| descendants.get(at)).map_or(header.epoch, |header| header.epoch);
    let crossing = (before != last.epoch).then_some(before);
    let expected: Vec<_> = crossing.into_iter().chain([last.epoch]).collect();
    let found: Vec<_> = certificates.iter().map(|certificate| certificate.epoch).collect();
    let same = certificates.iter().all(|certificate| certificate.frame() == Some((last.chain, last.sequence, last_id)));
    if expected != found || !same {
        return Err(ProofError::Certificates { frame: last_id });
    }
    claims.extend(certificates);
    rosters.verify_certificates(&claims).into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(())
}

fn verify_block(
    header: &FrameHeader,
    block: &BlockHeader,
    index: u32,
    path: &Path,
    certificate: &Certificate,
    rosters: &Rosters,
) -> Result<(), ProofError> {
    let ao_types::Statement::Block { round, .. } = certificate.statement else {
        return Err(ProofError::Certificates { frame: FrameId(block.value().0) });
    };
    if certificate.statement != block.statement(round) || block.network_id != rosters.network() {
        return Err(ProofError::Certificates { frame: FrameId(block.value().0) });
    }
    let frame = FrameRef { chain: header.chain, sequence: header.sequence, frame: header.id() };
    if frames_root_from(block, index, &frame, path) != Some(block.frames_root) {
        return Err(ProofError::Path { what: "frame in its block" });
    }
    Ok(rosters.verify_certificate(certificate)?)
}

/// Whether a slot is confirmed.
pub fn verify_slot(proof: &SlotProof, rosters: &Rosters) -> Result<(), ProofError> {
    verify(&proof.confirmation, rosters)?;
    let confirmed = proof.confirmation.header.as_ref();
    let frame = match &proof.ancestor {
        None => confirmed,
        Some((ancestor, path)) => {
            if ancestor.chain != confirmed.chain || ancestor.sequence >= confirmed.sequence {
                return Err(ProofError::Ancestor);
            }
            if path.root_from(confirmed.sequence, ancestor.sequence, &ancestor.id()) != Some(confirmed.history_root) {
                return Err(ProofError::Path { what: "ancestor in the history" });
            }
            ancestor
        }
    };
    if proof.entry.root(frame.entry_count) == Some(frame.entries_root) {
        Ok(())
    } else {
        Err(ProofError::Path { what: "entry in its frame" })
    }
}

impl Confirmation {
    /// Whose chain.
    pub fn chain(&self) -> Chain {
        self.header.chain
    }
}

const PROOF_VERSION: u8 = 1;

impl Canonical for Proof {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(PROOF_VERSION);
        match self {
            Self::Alone => out.push(0),
            Self::Chain { descendants, certificates } => {
                out.push(1);
                write_list(out, descendants);
                write_list(out, certificates);
            }
            Self::Block { block, index, path, certificate } => {
                out.push(2);
                block.write(out);
                out.extend_from_slice(&index.to_be_bytes());
                path.write(out);
                certificate.write(out);
            }
        }
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.version("a proof", PROOF_VERSION)?;
        Ok(match reader.u8()? {
            0 => Self::Alone,
            1 => Self::Chain {
                descendants: reader.list("headers of a proof", PROOF_HEADERS_MAX)?,
                certificates: reader.list("certificates of a proof", CERTIFICATES_MAX)?,
            },
            2 => Self::Block {
                block: Box::new(BlockHeader::read(reader)?),
                index: reader.u32()?,
                path: Path::read(reader)?,
                certificate: Certificate::read(reader)?,
            },
            found => return Err(CodecError::Kind { what: "proof", found }),
        })
    }
}

impl Canonical for Confirmation {
    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        self.proof.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { header: Arc::read(reader)?, proof: Arc::read(reader)? })
    }
}

struct Ancestor(FrameHeader, HistoryPath);

impl Canonical for Ancestor {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self(FrameHeader::read(reader)?, HistoryPath::read(reader)?))
    }
}

impl Canonical for SlotProof {
    fn write(&self, out: &mut Vec<u8>) {
        self.entry.write(out);
        write_option(out, self.ancestor.clone().map(|(header, path)| Ancestor(header, path)).as_ref());
        self.confirmation.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            entry: EntryPath::read(reader)?,
            ancestor: reader.option::<Ancestor>("ancestor of a proof")?.map(|Ancestor(header, path)| (header, path)),
            confirmation: Confirmation::read(reader)?,
        })
    }
}

#[cfg(test)]
mod tests;
