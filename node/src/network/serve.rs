//! Answers to other nodes' questions, from the store: ranges of frames, chunks of bodies, parts of items.
//!
//! A node serves right data or says that it cannot (`consensus.md` S6): a body that is put together from its rows is served only if it is
//! the one that the header speaks of. Uploads are few at once (`upload_max`, the scheduler no exception): whoever is refused asks another
//! holder. Runs on threads of its own, behind a bounded queue; a full queue is "busy".

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ao_consensus::frame::{Chunk, FrameSignature, RawHeader, payload_root};
use ao_consensus::limits::{CHUNK_BYTES, UPLOADS_MAX};
use ao_consensus::merkle::{Path, leaf};
use ao_consensus::{Body, ChainTip, Frame, Timestamp};
use ao_p2p::{Answer, PeerId};
use ao_storage::schema::{self, FrameKey};
use ao_storage::{Direction, Error, Store};
use ao_types::codec::Canonical;
use ao_types::{Chain, FrameId, Id};
use bytes::Bytes;
use parking_lot::Mutex;

use super::limits::{RANGE_PIECES_BYTES_MAX, UPLOAD_IDLE_MS};
use super::message::{ChunkQuestion, ItemPart, ItemQuestion, Piece, RangeQuestion, Tip, encode_range};

/// A body that is being uploaded.
struct Prepared {
    frame: FrameId,
    payload: Bytes,
    leaves: Vec<[u8; 32]>,
}

/// A peer that takes a body from here.
struct Upload {
    peer: PeerId,
    frame: FrameId,
    given: BTreeSet<u32>,
    touched: Timestamp,
}

/// Answers questions. Shared by the threads that do.
pub struct Server {
    store: Arc<dyn Store>,
    uploads: Mutex<Vec<Upload>>,
    /// Newest last; as many as there are uploads.
    prepared: Mutex<VecDeque<Arc<Prepared>>>,
}

/// A frame as the store has it.
struct Stored {
    header: RawHeader,
    frame: Frame,
    held: Vec<Id>,
}

impl Server {
    /// Answers from this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, uploads: Mutex::default(), prepared: Mutex::default() }
    }

    /// How far the store is with a chain.
    ///
    /// # Errors
    /// The store's; a tip that is none.
    pub fn tip(&self, chain: Chain) -> Result<Tip, Error> {
        let last = schema::FRAMES.range(&*self.store, &key(chain, 0), &key(chain, u64::MAX), Direction::Backward, 1)?;
        let Some((at, row)) = last.into_iter().next() else { return Ok(Tip { chain, next: 0, last: chain.id() }) };
        let tip = ChainTip::decode(&row.tip).map_err(|error| corrupt(at.sequence, error.to_string()))?;
        Ok(Tip { chain, next: tip.next_sequence, last: tip.parent })
    }

    /// Frames in order: whole ones as long as they fit, and at the first that would not fit with others, what came before it. A frame
    /// that fits no range goes as its header.
    pub fn range(&self, question: &RangeQuestion) -> Answer {
        self.answer(self.read_range(question))
    }

    fn read_range(&self, question: &RangeQuestion) -> Result<Option<Bytes>, Error> {
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        for sequence in (question.from..=u64::MAX).take(usize::from(question.count)) {
            let Some(stored) = self.stored(question.chain, sequence)? else { break };
            let Some(piece) = self.piece(stored)? else { break };
            bytes += piece.weight();
            if bytes > RANGE_PIECES_BYTES_MAX {
                break;
            }
            pieces.push(piece);
        }
        Ok((!pieces.is_empty()).then(|| encode_range(&pieces)))
    }

    fn piece(&self, stored: Stored) -> Result<Option<Piece>, Error> {
        let large = stored.header.header.payload_bytes as usize > RANGE_PIECES_BYTES_MAX / 2;
        if large {
            return Ok(Some(Piece::Header(stored.header.encode().into())));
        }
        let Some(payload) = self.payload(&stored)? else { return Ok(None) };
        let mut bytes = stored.header.encode();
        bytes.extend_from_slice(&payload);
        Ok(Some(Piece::Whole(bytes.into())))
    }

    /// One chunk of a body, if the peer has or gets one of the places for uploads.
    pub fn chunk(&self, now: Timestamp, peer: PeerId, question: &ChunkQuestion) -> Answer {
        let frame = question.place.frame;
        let prepared = match self.prepared(question) {
            Ok(Some(prepared)) => prepared,
            Ok(None) => return Answer::NotFound,
            Err(error) => return self.answer(Err(error)),
        };
        let Some(path) = Path::of(&prepared.leaves, question.index as usize) else { return Answer::Refused };
        if !self.place(now, peer, frame, question.index, prepared.leaves.len()) {
            return Answer::Busy;
        }
        let start = CHUNK_BYTES * question.index as usize;
        let end = (start + CHUNK_BYTES).min(prepared.payload.len());
        let chunk = Chunk { index: question.index, bytes: prepared.payload.slice(start..end), path };
        Answer::Found(chunk.encode().into())
    }

    /// Takes or keeps a place; given back with the last chunk, or when the peer asks for nothing more.
    fn place(&self, now: Timestamp, peer: PeerId, frame: FrameId, index: u32, chunks: usize) -> bool {
        let mut uploads = self.uploads.lock();
        uploads.retain(|upload| now.since_ms(upload.touched) < UPLOAD_IDLE_MS);
        let at = match uploads.iter().position(|upload| (upload.peer, upload.frame) == (peer, frame)) {
            Some(at) => at,
            None if uploads.len() >= UPLOADS_MAX => return false,
            None => {
                uploads.push(Upload { peer, frame, given: BTreeSet::new(), touched: now });
                uploads.len() - 1
            }
        };
        uploads[at].touched = now;
        uploads[at].given.insert(index);
        if uploads[at].given.len() >= chunks {
            uploads.swap_remove(at);
        }
        true
    }

    /// A body that will be asked for soon: one that was just published.
    pub fn prepare(&self, frame: FrameId, payload: Bytes) {
        self.keep(frame, payload);
    }

    fn keep(&self, frame: FrameId, payload: Bytes) -> Arc<Prepared> {
        let leaves = payload.chunks(CHUNK_BYTES).map(leaf).collect();
        let kept = Arc::new(Prepared { frame, payload, leaves });
        let mut prepared = self.prepared.lock();
        if prepared.len() >= UPLOADS_MAX {
            prepared.pop_front();
        }
        prepared.push_back(kept.clone());
        kept
    }

    fn prepared(&self, question: &ChunkQuestion) -> Result<Option<Arc<Prepared>>, Error> {
        let place = question.place;
        let found = self.prepared.lock().iter().find(|prepared| prepared.frame == place.frame).cloned();
        if found.is_some() {
            return Ok(found);
        }
        let Some(stored) = self.stored(place.chain, place.sequence)? else { return Ok(None) };
        if stored.header.header.id() != place.frame {
            return Ok(None);
        }
        Ok(self.payload(&stored)?.map(|payload| self.keep(place.frame, payload)))
    }

    /// A part of an item that this node has.
    pub fn item(&self, question: &ItemQuestion) -> Answer {
        self.answer(schema::ITEMS.get(&*self.store, &question.item).map(|item| item.and_then(|item| part_of(&item, question.part))))
    }

    fn answer(&self, found: Result<Option<Bytes>, Error>) -> Answer {
        match found {
            Ok(Some(bytes)) => Answer::Found(bytes),
            Ok(None) => Answer::NotFound,
            Err(error) => {
                tracing::warn!(event = "serve_failed", "a peer's question has no answer: {error}; look at the disk");
                Answer::Busy
            }
        }
    }

    fn stored(&self, chain: Chain, sequence: u64) -> Result<Option<Stored>, Error> {
        let Some(row) = schema::FRAMES.get(&*self.store, &key(chain, sequence))? else { return Ok(None) };
        let frame = Frame::decode(&row.frame).map_err(|error| corrupt(sequence, error.to_string()))?;
        let signature = FrameSignature::decode(&row.signature).map_err(|error| corrupt(sequence, error.to_string()))?;
        Ok(Some(Stored { header: RawHeader { header: frame.header.clone(), signature }, frame, held: row.held }))
    }

    /// The body of a frame, byte by byte as its scheduler made it; `None` if a part of it is not here any more.
    fn payload(&self, stored: &Stored) -> Result<Option<Bytes>, Error> {
        let (held, mut named): (BTreeSet<Id>, _) = (stored.held.iter().copied().collect(), BTreeSet::new());
        let mut parts = Vec::with_capacity(stored.frame.entries.len());
        for entry in &stored.frame.entries {
            let row = schema::SCHEDULE.get(&*self.store, &(entry.process, entry.slot))?;
            let Some(row) = row.filter(|row| row.assignment_id == entry.assignment) else { return Ok(None) };
            let mut item = None;
            if named.insert(entry.item) && !held.contains(&entry.item) {
                item = schema::ITEMS.get(&*self.store, &entry.item)?;
                if item.is_none() {
                    return Ok(None);
                }
            }
            parts.push((*entry, row.assignment, item));
        }
        let payload = Bytes::from(Body::of(parts).encode());
        if payload_root(&payload) == stored.header.header.payload_root {
            return Ok(Some(payload));
        }
        let sequence = stored.header.header.sequence;
        Err(corrupt(sequence, "its entries, assignments and items give another body than its header says".into()))
    }
}

/// Part `part` of an item, with its whole length.
pub fn part_of(item: &Bytes, part: u32) -> Option<Bytes> {
    let start = CHUNK_BYTES.checked_mul(part as usize).filter(|start| *start < item.len())?;
    let bytes = item.slice(start..(start + CHUNK_BYTES).min(item.len()));
    Some(ItemPart { total: u32::try_from(item.len()).ok()?, bytes }.encode())
}

fn key(chain: Chain, sequence: u64) -> FrameKey {
    FrameKey { scheduler: chain.scheduler, tenure: chain.tenure, sequence }
}

fn corrupt(sequence: u64, reason: String) -> Error {
    Error::Corrupt { what: "frame".into(), place: format!("table frames, sequence {sequence}"), reason }
}

#[cfg(test)]
mod tests;
