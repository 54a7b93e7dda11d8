//! Canonical bytes of votes, proposals and the core's certificates.
//!
//! The same bytes travel and are logged. What is signed is `signing`'s business.

use ao_types::codec::{Canonical, CodecError, Reader};
use arc_malachitebft_core_types::{
    NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType, RoundSignature, SignedMessage,
    SignedProposal, SignedVote, VoteType,
};

use crate::context::{Bft, BlockId, Height, Proposal, Signature, Vote, Voter};
use crate::limits::{MEMBERS_MAX, ROUND_MAX};

macro_rules! canonical_inner {
    ($($name:ident),*) => {$(
        impl Canonical for $name {
            fn write(&self, out: &mut Vec<u8>) {
                self.0.write(out);
            }
            fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                Canonical::read(reader).map(Self)
            }
        }
    )*};
}

canonical_inner!(BlockId, Voter, Signature, Height);

/// A round as four bytes. Only a proposal's proof-of-lock round may be none: it has a flag of its own.
pub(crate) fn write_round(round: Round, out: &mut Vec<u8>) {
    out.extend_from_slice(&round.as_u32().unwrap_or(0).to_be_bytes());
}

pub(crate) fn read_round(reader: &mut Reader<'_>) -> Result<Round, CodecError> {
    match reader.u32()? {
        round if round <= ROUND_MAX => Ok(Round::new(round)),
        found => Err(CodecError::Bound { what: "round", max: ROUND_MAX as usize, found: found as usize }),
    }
}

pub(crate) fn write_optional_round(round: Round, out: &mut Vec<u8>) {
    out.push(u8::from(round.is_defined()));
    if round.is_defined() {
        write_round(round, out);
    }
}

pub(crate) fn read_optional_round(reader: &mut Reader<'_>) -> Result<Round, CodecError> {
    if reader.flag("round")? { read_round(reader) } else { Ok(Round::Nil) }
}

fn write_value(value: &NilOrVal<BlockId>, out: &mut Vec<u8>) {
    match value {
        NilOrVal::Nil => out.push(0),
        NilOrVal::Val(id) => {
            out.push(1);
            id.write(out);
        }
    }
}

fn read_value(reader: &mut Reader<'_>) -> Result<NilOrVal<BlockId>, CodecError> {
    reader.option("value of a vote").map(|value| value.map_or(NilOrVal::Nil, NilOrVal::Val))
}

fn kind_byte(kind: VoteType) -> u8 {
    match kind {
        VoteType::Prevote => 1,
        VoteType::Precommit => 2,
    }
}

fn read_kind(reader: &mut Reader<'_>) -> Result<VoteType, CodecError> {
    match reader.u8()? {
        1 => Ok(VoteType::Prevote),
        2 => Ok(VoteType::Precommit),
        found => Err(CodecError::Kind { what: "vote kind", found }),
    }
}

impl Canonical for Vote {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(kind_byte(self.kind));
        self.height.write(out);
        write_round(self.round, out);
        write_value(&self.value, out);
        self.voter.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (kind, height, round) = (read_kind(reader)?, Height::read(reader)?, read_round(reader)?);
        Ok(Self { kind, height, round, value: read_value(reader)?, voter: Voter::read(reader)? })
    }
}

impl Canonical for Proposal {
    fn write(&self, out: &mut Vec<u8>) {
        self.height.write(out);
        write_round(self.round, out);
        self.value.write(out);
        write_optional_round(self.pol_round, out);
        self.proposer.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            height: Height::read(reader)?,
            round: read_round(reader)?,
            value: BlockId::read(reader)?,
            pol_round: read_optional_round(reader)?,
            proposer: Voter::read(reader)?,
        })
    }
}

/// Gives the core's own types, which are foreign here, canonical bytes.
pub(crate) struct Wire<T>(pub T);

impl Canonical for Wire<SignedVote<Bft>> {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.message.write(out);
        self.0.signature.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self(SignedMessage::new(Vote::read(reader)?, Signature::read(reader)?)))
    }
}

impl Canonical for Wire<SignedProposal<Bft>> {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.message.write(out);
        self.0.signature.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self(SignedMessage::new(Proposal::read(reader)?, Signature::read(reader)?)))
    }
}

impl Canonical for Wire<PolkaSignature<Bft>> {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.address.write(out);
        self.0.signature.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self(PolkaSignature::new(Voter::read(reader)?, Signature::read(reader)?)))
    }
}

impl Canonical for Wire<RoundSignature<Bft>> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(kind_byte(self.0.vote_type));
        write_value(&self.0.value_id, out);
        self.0.address.write(out);
        self.0.signature.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (kind, value) = (read_kind(reader)?, read_value(reader)?);
        Ok(Self(RoundSignature::new(kind, value, Voter::read(reader)?, Signature::read(reader)?)))
    }
}

fn write_all<T>(out: &mut Vec<u8>, all: &[T])
where
    T: Clone,
    Wire<T>: Canonical,
{
    out.extend_from_slice(&(all.len() as u32).to_be_bytes());
    all.iter().for_each(|one| Wire(one.clone()).write(out));
}

impl Canonical for Wire<PolkaCertificate<Bft>> {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.height.write(out);
        write_round(self.0.round, out);
        self.0.value_id.write(out);
        write_all(out, &self.0.polka_signatures);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (height, round, value_id) = (Height::read(reader)?, read_round(reader)?, BlockId::read(reader)?);
        let signatures: Vec<Wire<PolkaSignature<Bft>>> = reader.list("signatures of a polka", MEMBERS_MAX)?;
        Ok(Self(PolkaCertificate { height, round, value_id, polka_signatures: signatures.into_iter().map(|one| one.0).collect() }))
    }
}

impl Canonical for Wire<RoundCertificate<Bft>> {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.height.write(out);
        write_round(self.0.round, out);
        out.push(u8::from(self.0.cert_type == RoundCertificateType::Precommit));
        write_all(out, &self.0.round_signatures);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (height, round) = (Height::read(reader)?, read_round(reader)?);
        let cert_type =
            if reader.flag("kind of a round certificate")? { RoundCertificateType::Precommit } else { RoundCertificateType::Skip };
        let signatures: Vec<Wire<RoundSignature<Bft>>> = reader.list("signatures of a round", MEMBERS_MAX)?;
        Ok(Self(RoundCertificate { height, round, cert_type, round_signatures: signatures.into_iter().map(|one| one.0).collect() }))
    }
}
