//! Real frames of a chain, as cheap as they can be made: signed headers and bodies whose items and assignments nobody parses.

use ao_consensus::{Body, ChainTip, Draft, Entry, SignedHeader, Timestamp};
use ao_storage::schema::{self, FrameKey, FrameRow, ScheduleRow};
use ao_storage::{Durability, Store, WriteBatch};
use ao_types::codec::Canonical;
use ao_types::hash::sha256;
use ao_types::{Chain, Id, NetworkId, Signer, Slot, Wallet};
use bytes::Bytes;

use crate::network::message::{Piece, Tip};
use crate::network::seam::Published;

pub const NETWORK: NetworkId = NetworkId([0xaa; 32]);

/// A scheduler that makes frames of whatever it is given.
pub struct Author {
    wallet: Wallet,
    pub tip: ChainTip,
}

/// A frame of it, with what a node stores of it.
#[derive(Clone)]
pub struct Made {
    pub published: Published,
    row: FrameRow,
    schedule: Vec<(Id, Slot, ScheduleRow)>,
    items: Vec<(Id, Bytes)>,
}

impl std::ops::Deref for Made {
    type Target = Published;
    fn deref(&self) -> &Published {
        &self.published
    }
}

impl Author {
    pub fn new(seed: u8) -> Self {
        let wallet = Wallet::ed25519_from_seed(&[seed; 32]);
        let chain = Chain { scheduler: wallet.address(), tenure: 0 };
        Self { wallet, tip: ChainTip::opened(chain) }
    }

    pub fn chain(&self) -> Chain {
        self.tip.chain
    }

    /// The next frame, with this item; without entries if it is empty.
    pub fn next(&mut self, item: &[u8]) -> Made {
        self.frame(if item.is_empty() { &[] } else { std::slice::from_ref(&item) }, false)
    }

    /// The next frame, with these items in slots of a process of their own; the last one only named if `held`.
    pub fn frame(&mut self, items: &[&[u8]], held: bool) -> Made {
        let process = Id(sha256(&[b"process", &self.tip.next_sequence.to_be_bytes()]));
        let entry = |(slot, item): (u64, &[u8])| Entry {
            process,
            schedule_epoch: 0,
            slot: Slot(slot),
            item: Id(sha256(&[item])),
            assignment: Id(sha256(&[b"assignment", item, &slot.to_be_bytes()])),
            content_hash: [0; 32],
            hash_chain: [0; 32],
        };
        let entries: Vec<Entry> = (0..).zip(items.iter().copied()).map(entry).collect();
        let assignment = Bytes::from_static(b"an assignment");
        let last = items.len().wrapping_sub(1);
        let parts = entries.iter().zip(items).enumerate().map(|(n, (entry, item))| {
            let brought = (!held || n != last).then(|| Bytes::copy_from_slice(item));
            (*entry, assignment.clone(), brought)
        });
        let body = Body::of(parts);
        let held = body.held();
        let built = self.tip.build(Draft::alone(NETWORK, body, Timestamp(1), (1, [0; 48]))).unwrap();
        self.tip = built.tip.clone();
        let header = SignedHeader::sign(built.frame.header.clone(), &self.wallet).unwrap();
        let row = FrameRow {
            frame: built.frame.encode().into(),
            signature: header.to_raw().unwrap().signature.encode().into(),
            held,
            tip: built.tip.encode().into(),
            proof: None,
        };
        let schedule = entries.iter().map(|entry| {
            let row = ScheduleRow {
                item: entry.item,
                assignment_id: entry.assignment,
                assignment: assignment.clone(),
                timestamp_ms: 1,
                block_height: 1,
                pushed_by: None,
                push: false,
            };
            (entry.process, entry.slot, row)
        });
        let schedule = schedule.collect();
        let items = entries.iter().zip(items).map(|(entry, item)| (entry.item, Bytes::copy_from_slice(item))).collect();
        Made { published: Published { header, payload: built.payload }, row, schedule, items }
    }

    /// How far somebody is who has all of it.
    pub fn tip(&self) -> Tip {
        Tip { chain: self.chain(), next: self.tip.next_sequence, last: self.tip.parent }
    }
}

impl Made {
    /// As it stands in a range.
    pub fn piece(&self, whole: bool) -> Piece {
        if whole { Piece::Whole(self.to_wire().unwrap()) } else { Piece::Header(self.header.to_raw().unwrap().encode().into()) }
    }

    /// What a node stores of it.
    pub fn store(&self, store: &dyn Store) {
        let mut batch = WriteBatch::default();
        let Chain { scheduler, tenure } = self.header.chain;
        schema::FRAMES.put(&mut batch, &FrameKey { scheduler, tenure, sequence: self.header.sequence }, &self.row);
        self.schedule.iter().for_each(|(process, slot, row)| schema::SCHEDULE.put(&mut batch, &(*process, *slot), row));
        self.items.iter().for_each(|(id, item)| schema::ITEMS.put(&mut batch, id, item));
        store.write(batch, Durability::Buffered).unwrap();
    }
}
