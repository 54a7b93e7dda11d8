//! What a snapshot says of itself, byte by byte.

use ao_storage::schema::CertifiedStateRow;
use ao_types::codec::{Canonical, CodecError, Reader, write_prefixed};
use ao_types::hash::sha256;
use ao_types::{Id, NetworkId, ResultHash, Slot, StateHash};
use bytes::Bytes;

use super::CHUNK_BYTES;
use super::limits::{BODY_BYTES_MAX, CERTIFICATE_BYTES_MAX, CHUNKS_MAX};

/// Leads every manifest.
pub const VERSION: u8 = 1;

/// See [`super`]. Which chunks there are follows from the size, so a manifest has one encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Of which network.
    pub network: NetworkId,
    /// Whose state.
    pub process: Id,
    /// After which message, before its crons.
    pub slot: Slot,
    /// The process's module.
    pub module: Id,
    /// Result, root, host ABI, and who vouches for them.
    pub state: CertifiedStateRow,
    /// The last assignment folded in.
    pub assignment: Id,
    /// Its hash chain.
    pub hash_chain: [u8; 32],
    /// Timestamp of the last message, milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Its height.
    pub block_height: u64,
    /// Bytes of the body.
    pub total: u64,
    /// SHA-256 of each chunk.
    pub chunks: Vec<[u8; 32]>,
}

impl Manifest {
    /// What it is called, whoever vouches for it: nodes that worked out the same state have the same chunks, and certificates of other signers.
    pub fn id(&self) -> [u8; 32] {
        let bare = Self { state: CertifiedStateRow { certificate: None, ..self.state.clone() }, ..self.clone() };
        sha256(&[b"aonode/snapshot/v1", &bare.encode()])
    }

    /// Bytes of chunk `index`; 0 if there is none.
    pub fn chunk_bytes(&self, index: u32) -> usize {
        let start = u64::from(index) * CHUNK_BYTES as u64;
        self.total.saturating_sub(start).min(CHUNK_BYTES as u64) as usize
    }
}

impl Canonical for Manifest {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.network.write(out);
        self.process.write(out);
        self.slot.0.write(out);
        self.module.write(out);
        self.state.schedule_epoch.write(out);
        self.state.result.0.write(out);
        self.state.state.0.write(out);
        out.extend_from_slice(&self.state.host_abi.to_be_bytes());
        write_prefixed(out, self.state.certificate.as_deref().unwrap_or_default());
        self.assignment.write(out);
        self.hash_chain.write(out);
        self.timestamp_ms.write(out);
        self.block_height.write(out);
        self.total.write(out);
        self.chunks.iter().for_each(|hash| hash.write(out));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.version("a snapshot", VERSION)?;
        let (network, process, slot) = (NetworkId::read(reader)?, Id::read(reader)?, Slot(reader.u64()?));
        let (module, schedule_epoch) = (Id::read(reader)?, reader.u64()?);
        let (result, state, host_abi) = (ResultHash(reader.array()?), StateHash(reader.array()?), reader.u32()?);
        let certificate = Bytes::copy_from_slice(reader.prefixed("certificate of a snapshot", CERTIFICATE_BYTES_MAX)?);
        let state = CertifiedStateRow { schedule_epoch, result, state, host_abi, computed: false, certificate: Some(certificate) };
        let (assignment, hash_chain) = (Id::read(reader)?, reader.array()?);
        let (timestamp_ms, block_height, total) = (reader.u64()?, reader.u64()?, reader.u64()?);
        if total == 0 || total > BODY_BYTES_MAX {
            let found = usize::try_from(total).unwrap_or(usize::MAX);
            return Err(CodecError::Bound { what: "bytes of a snapshot", max: BODY_BYTES_MAX as usize, found });
        }
        let count = total.div_ceil(CHUNK_BYTES as u64) as usize;
        debug_assert!(count <= CHUNKS_MAX);
        let chunks = (0..count).map(|_| reader.array()).collect::<Result<_, _>>()?;
        Ok(Self { network, process, slot, module, state, assignment, hash_chain, timestamp_ms, block_height, total, chunks })
    }
}
