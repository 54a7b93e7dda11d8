//! What goes to Arweave beside slots: evidence at once, the scheduler's location when it changes, and hashes of results that were computed
//! after the range of their slots had gone.
//!
//! Each is marked by the keeper in the write that makes a shipment of it, so it goes once; what is marked how, both sides read here.

use ao_arweave::flush::Waiting;
use ao_arweave::records::{Record, ResultsRecord};
use ao_consensus::limits::EVIDENCE_BYTES_MAX;
use ao_storage::{Direction, Error, Store, schema};
use ao_types::hash::sha256;
use ao_types::message::Kind;
use ao_types::{Address, DataItem, Id, NetworkId, Profile, SignError, Signer, Verified};
use bytes::Bytes;

use crate::limits::ANCHOR_EVIDENCE_AT_ONCE;
use crate::shell::hosts;

/// Rows of evidence looked at together.
const PAGE: usize = 256;
/// A record beside what it carries: signature, owner, tags.
const RECORD_BYTES: u64 = 2048;

/// Something that waits and is no slot.
pub(super) enum Extra {
    /// Evidence of a fault, canonical bytes.
    Evidence(Bytes),
    /// Where the scheduler is reached, as it signed it, and when that was.
    Location(Box<Verified<DataItem>>, u64),
    /// Results that came late, and since when that is known.
    Results(ResultsRecord, u64),
}

impl Extra {
    /// What it brings into a bundle.
    pub fn waiting(&self, now_ms: u64) -> Waiting {
        let (bytes, since_ms, urgent) = match self {
            Self::Evidence(bytes) => (RECORD_BYTES + bytes.len() as u64, now_ms, true),
            Self::Location(item, since_ms) => (item.as_bytes().len() as u64, *since_ms, false),
            Self::Results(record, since_ms) => (RECORD_BYTES + 32 * record.results.1.len() as u64, *since_ms, false),
        };
        Waiting { items: 1, bytes, since_ms, urgent }
    }

    /// The item that goes.
    pub fn item(self, network: &NetworkId, signer: &dyn Signer) -> Result<Option<Verified<DataItem>>, SignError> {
        let record = match self {
            Self::Location(item, _) => return Ok(Some(*item)),
            Self::Evidence(bytes) => Record::Evidence(bytes),
            Self::Results(record, _) => Record::Results(record),
        };
        record.item(network).map(|item| item.sign(signer)).transpose()
    }
}

/// Under what it is remembered that an item of a parcel went, where the item's own id does not say so: evidence is signed anew each time.
pub(super) fn mark(item: &DataItem, record: Option<&Record>) -> Option<Id> {
    match record {
        Some(Record::Evidence(bytes)) => Some(mark_of(bytes)),
        _ => (Kind::of(item) == Some(Kind::SchedulerLocation)).then(|| item.id()),
    }
}

fn mark_of(evidence: &[u8]) -> Id {
    Id(sha256(&[evidence]))
}

/// Evidence that did not go yet, and the last location of `own` if it did not.
pub(super) fn extras(store: &dyn Store, own: &Address) -> Result<Vec<Extra>, Error> {
    let (mut found, mut from) = (Vec::new(), Vec::new());
    'evidence: loop {
        let page = schema::EVIDENCE.scan(store, &from, &[], Direction::Forward, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        from = [&last[..], &[0]].concat();
        for (_, bytes) in page {
            // Larger than any that this build writes: of a later one, whose nodes anchor it.
            if bytes.len() > EVIDENCE_BYTES_MAX || schema::ANCHOR_ITEMS.contains(store, &mark_of(&bytes))? {
                continue;
            }
            if found.len() >= ANCHOR_EVIDENCE_AT_ONCE {
                break 'evidence;
            }
            found.push(Extra::Evidence(bytes));
        }
    }
    if let Some(item) = hosts::last_item(store, own)
        && !schema::ANCHOR_ITEMS.contains(store, &item.id())?
    {
        let said_ms = hosts::said_ms(&item);
        // In this store is only what was checked; one of a form that bundles do not take stays where it is.
        if DataItem::parse(item.as_bytes().clone(), Profile::Strict).is_ok() {
            found.push(Extra::Location(Box::new(Verified::reloaded_from_own_store(item)), said_ms));
        }
    }
    Ok(found)
}
