//! What must not be forgotten: names and bytes of the engine's records.
//!
//! Two for each chain. *Known* is the highest certificate known when this key last signed, which a seal must show (`consensus.md` §14,
//! steps 2 and 3); the row of slashing protection goes with it as the record's guard. The *bound* is written once confirmation has passed
//! the last frame signed: whether that frame lies on the confirmed branch, so that after a crash nobody has to walk back to it.

use ao_consensus::Record;
use ao_consensus::limits::CERTIFICATES_MAX;
use ao_consensus::protection::{ChainRow, Guard};
use ao_types::codec::write_list;
use ao_types::{Canonical, Certificate, Chain, CodecError, FrameId, Reader};

const KNOWN: &str = "attest/known/";
const BOUND: &str = "attest/bound/";
const VERSION: u8 = 1;

/// The highest certified frame that this key knew when it last signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The frame's chain.
    pub chain: Chain,
    /// The frame.
    pub place: (u64, FrameId),
    /// What certifies it; two of a crossing.
    pub certificates: Vec<Certificate>,
}

impl Canonical for Known {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.chain.write(out);
        self.place.0.write(out);
        self.place.1.write(out);
        write_list(out, &self.certificates);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.version("a known certificate", VERSION)?;
        let chain = Chain::read(reader)?;
        let place = (reader.u64()?, FrameId::read(reader)?);
        Ok(Self { chain, place, certificates: reader.list("certificates that a key knows", CERTIFICATES_MAX)? })
    }
}

/// Where the last frame signed lies, once confirmation has passed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The chain.
    pub chain: Chain,
    /// The frame that this is about; of any other the record says nothing.
    pub last: (u64, FrameId),
    /// It is an ancestor of what is confirmed. If not, this key never signs in the chain again.
    pub confirmed: bool,
}

impl Canonical for Bound {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.chain.write(out);
        self.last.0.write(out);
        self.last.1.write(out);
        out.push(u8::from(self.confirmed));
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.version("the bound of a chain", VERSION)?;
        let chain = Chain::read(reader)?;
        let last = (reader.u64()?, FrameId::read(reader)?);
        Ok(Self { chain, last, confirmed: reader.flag("branch of the last frame signed")? })
    }
}

/// A record, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recalled {
    /// See [`Known`].
    Known(Known),
    /// See [`Bound`].
    Bound(Bound),
}

/// Why a record of this engine cannot be read: a damaged store, or one of a newer build. Signing on would be a gamble.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record `{key}` cannot be read: {reason}")]
pub struct BadRecord {
    /// Which.
    pub key: String,
    /// Why.
    pub reason: CodecError,
}

fn key(prefix: &str, chain: &Chain) -> String {
    format!("{prefix}{}", hex::encode(chain.encode()))
}

/// The record that goes with a row, before a signature over what the row says leaves.
pub fn of_row(row: ChainRow, known: Option<&Known>) -> Record {
    let value = known.map(Canonical::encode).unwrap_or_default();
    Record { key: key(KNOWN, &row.chain), value: value.into(), guards: vec![Guard::Chain(row)] }
}

/// Name of the record that goes with a chain's row.
pub fn row_key(chain: &Chain) -> String {
    key(KNOWN, chain)
}

/// The record of a bound.
pub fn of_bound(bound: &Bound) -> Record {
    Record { key: key(BOUND, &bound.chain), value: bound.encode().into(), guards: Vec::new() }
}

/// Reads a record. `None`: it is another engine's, or says nothing.
pub fn recall(record: &Record) -> Result<Option<Recalled>, BadRecord> {
    let bad = |reason| BadRecord { key: record.key.clone(), reason };
    if record.value.is_empty() {
        return Ok(None);
    }
    if record.key.starts_with(KNOWN) {
        return Known::decode(&record.value).map(Recalled::Known).map(Some).map_err(bad);
    }
    if record.key.starts_with(BOUND) {
        return Bound::decode(&record.value).map(Recalled::Bound).map(Some).map_err(bad);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use ao_types::hash::sha256;
    use ao_types::{Address, BlsKey, BlsSignature, Id};

    use super::*;

    fn chain() -> Chain {
        Chain { scheduler: Address::Arweave(Id([4; 32])), tenure: 2 }
    }

    #[test]
    fn records_are_read_back_and_others_are_left_alone() {
        let last = (7, FrameId([5; 32]));
        let row =
            ChainRow { key: BlsKey([1; 48]), chain: chain(), last: Some(last), sealed: false, signature: Some(BlsSignature([2; 96])) };
        let known = Known { chain: chain(), place: last, certificates: Vec::new() };
        let bound = Bound { chain: chain(), last, confirmed: true };
        let record = of_row(row.clone(), Some(&known));
        assert_eq!(recall(&record), Ok(Some(Recalled::Known(known))));
        assert_eq!((record.guards.clone(), &record.key), (vec![Guard::Chain(row.clone())], &row_key(&chain())));
        assert_eq!(recall(&of_row(row, None)), Ok(None), "nothing known yet");
        assert_eq!(recall(&of_bound(&bound)), Ok(Some(Recalled::Bound(bound))));
        assert_eq!(recall(&Record { key: "bft/wal/1".into(), value: vec![1].into(), guards: Vec::new() }), Ok(None));
        // A change of these is a change of what is on operators' disks.
        let found = [&record, &of_bound(&bound)].map(|one| (one.value.len(), hex::encode(&sha256(&[&one.value])[..8])));
        assert_eq!(found, [(86, "26c4c779c127042f".to_owned()), (83, "f4cfc905e55ff689".to_owned())]);
        let damaged = Record { value: record.value.slice(..20), ..record };
        assert!(recall(&damaged).is_err(), "a damaged record is no missing record");
    }
}
