//! Canonical bytes of evidence.

use super::*;

const EVIDENCE_VERSION: u8 = 1;

impl Canonical for SignedVote {
    fn write(&self, out: &mut Vec<u8>) {
        self.statement.write(out);
        self.key.write(out);
        self.epoch.write(out);
        match &self.signature {
            VoteSignature::Bls(signature) => {
                out.push(0);
                signature.write(out);
            }
            VoteSignature::Ed25519(signature) => {
                out.push(1);
                out.extend_from_slice(signature);
            }
        }
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (statement, key, epoch) = (Statement::read(reader)?, BlsKey::read(reader)?, Epoch::read(reader)?);
        let signature = if reader.flag("kind of a vote's signature")? {
            VoteSignature::Ed25519(reader.array()?)
        } else {
            VoteSignature::Bls(BlsSignature::read(reader)?)
        };
        Ok(Self { statement, key, epoch, signature })
    }
}

impl Canonical for Evidence {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(EVIDENCE_VERSION);
        match self {
            Self::TwoHeaders(two) => {
                out.push(1);
                two.0.write(out);
                two.1.write(out);
            }
            Self::TwoAssignments(one, two) => {
                out.push(2);
                write_prefixed(out, one);
                write_prefixed(out, two);
            }
            Self::TwoBranches { lower, higher, headers } => {
                out.push(3);
                lower.write(out);
                higher.write(out);
                write_list(out, headers);
            }
            Self::SealBroken { seal, attestation, headers } => {
                out.push(4);
                seal.write(out);
                attestation.write(out);
                write_list(out, headers);
            }
            Self::TwoCertificates { lower, higher, headers } => {
                out.push(5);
                lower.write(out);
                higher.write(out);
                write_list(out, headers);
            }
            Self::TwoVotes(two) => {
                out.push(6);
                two.0.write(out);
                two.1.write(out);
            }
            Self::TwoResults(two) => {
                out.push(7);
                two.0.write(out);
                two.1.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        const ITEM_MAX: usize = ao_types::limits::ITEM_HEADER_BYTES_MAX;
        reader.version("evidence", EVIDENCE_VERSION)?;
        Ok(match reader.u8()? {
            1 => Self::TwoHeaders(Box::new((RawHeader::read(reader)?, RawHeader::read(reader)?))),
            2 => {
                // An assignment has tags and no data.
                let mut item = || reader.prefixed("bytes of an assignment", ITEM_MAX).map(Bytes::copy_from_slice);
                Self::TwoAssignments(item()?, item()?)
            }
            3 => Self::TwoBranches { lower: Attestation::read(reader)?, higher: Attestation::read(reader)?, headers: headers(reader)? },
            4 => {
                Self::SealBroken { seal: Box::new(Seal::read(reader)?), attestation: Attestation::read(reader)?, headers: headers(reader)? }
            }
            5 => Self::TwoCertificates { lower: Certificate::read(reader)?, higher: Certificate::read(reader)?, headers: headers(reader)? },
            6 => Self::TwoVotes(Box::new((SignedVote::read(reader)?, SignedVote::read(reader)?))),
            7 => Self::TwoResults(Box::new((Attestation::read(reader)?, Attestation::read(reader)?))),
            found => return Err(CodecError::Kind { what: "evidence", found }),
        })
    }
}

fn headers(reader: &mut Reader<'_>) -> Result<Vec<FrameHeader>, CodecError> {
    reader.list("headers of evidence", EVIDENCE_HEADERS_MAX)
}
