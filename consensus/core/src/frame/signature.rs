//! The scheduler's signature over a frame's id, with any of the seven kinds of wallet.

use std::sync::Arc;

use ao_types::codec::{Canonical, CodecError, Reader};
use ao_types::hash::sha384;
use ao_types::signature::verify_digest;
use ao_types::{FrameId, SignError, SignatureType, Signer};
use bytes::Bytes;

use super::{FrameError, FrameHeader};

/// A wallet's signature with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameSignature {
    /// The scheme.
    pub kind: SignatureType,
    /// The public key; as long as the scheme says.
    pub owner: Bytes,
    /// As long as the scheme says.
    pub signature: Bytes,
}

/// What a wallet signs: no data item's digest can be equal, those are deep hashes.
fn digest(frame: &FrameId) -> [u8; 48] {
    sha384(&[b"aonode/frame/v1", &frame.0])
}

impl FrameSignature {
    /// Signs a frame's id. With Ed25519 0.05 ms, with RSA about 4 ms.
    pub fn sign(frame: &FrameId, signer: &dyn Signer) -> Result<Self, SignError> {
        let signature = signer.sign(&digest(frame))?;
        Ok(Self { kind: signer.signature_type(), owner: Bytes::copy_from_slice(signer.owner()), signature: signature.into() })
    }
}

impl Canonical for FrameSignature {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.kind.code().to_be_bytes());
        out.extend_from_slice(&self.owner);
        out.extend_from_slice(&self.signature);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let code = reader.u16()?;
        let kind = SignatureType::from_code(code).ok_or(CodecError::Kind { what: "signature type", found: code as u8 })?;
        let owner = Bytes::copy_from_slice(reader.take(kind.owner_len())?);
        Ok(Self { kind, owner, signature: Bytes::copy_from_slice(reader.take(kind.signature_len())?) })
    }
}

/// A header with a signature that nobody checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawHeader {
    /// The header.
    pub header: FrameHeader,
    /// As it came.
    pub signature: FrameSignature,
}

impl RawHeader {
    /// Checks the scheduler's signature: 0.05 to 0.1 ms.
    pub fn verify(self) -> Result<SignedHeader, FrameError> {
        let (expected, id) = (self.header.chain.scheduler, self.header.id());
        let FrameSignature { kind, owner, signature } = &self.signature;
        let found = kind.address(owner);
        if found != expected {
            return Err(FrameError::Signer { expected, found });
        }
        verify_digest(*kind, owner, signature, &digest(&id)).map_err(|_| FrameError::Signature { scheduler: expected, frame: id })?;
        Ok(SignedHeader { header: Arc::new(self.header), id, signature: Some(self.signature) })
    }
}

impl Canonical for RawHeader {
    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        self.signature.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { header: FrameHeader::read(reader)?, signature: FrameSignature::read(reader)? })
    }
}

/// A header that its scheduler signed, with its id computed once. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeader {
    header: Arc<FrameHeader>,
    id: FrameId,
    signature: Option<FrameSignature>,
}

impl SignedHeader {
    /// Signs a header of one's own. The same header must not be signed with another content ever again (`consensus.md` §3).
    pub fn sign(header: FrameHeader, signer: &dyn Signer) -> Result<Self, SignError> {
        let id = header.id();
        let signature = FrameSignature::sign(&id, signer)?;
        Ok(Self { header: Arc::new(header), id, signature: Some(signature) })
    }

    /// A header that was verified before it was stored.
    pub fn reloaded_from_own_store(raw: RawHeader) -> Self {
        Self { id: raw.header.id(), header: Arc::new(raw.header), signature: Some(raw.signature) }
    }

    /// A header of a network of one, where there is nobody to convince.
    pub fn alone(header: FrameHeader) -> Self {
        Self { id: header.id(), header: Arc::new(header), signature: None }
    }

    /// The header.
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The same header, shared.
    pub fn shared(&self) -> Arc<FrameHeader> {
        Arc::clone(&self.header)
    }

    /// The frame's id.
    pub fn id(&self) -> FrameId {
        self.id
    }

    /// As it travels; `None` on a network of one.
    pub fn to_raw(&self) -> Option<RawHeader> {
        Some(RawHeader { header: FrameHeader::clone(&self.header), signature: self.signature.clone()? })
    }
}

impl std::ops::Deref for SignedHeader {
    type Target = FrameHeader;
    fn deref(&self) -> &FrameHeader {
        &self.header
    }
}
