//! What a node tells others about states and gives them of snapshots. Runs on the threads that answer questions.
//!
//! A snapshot is offered, and parts of it are given, if it lies in the folder and somebody vouches for it, which is checked once, when it comes
//! there. Where a newer state is certified than the newest file has,
//! the one who asks makes the node write it down: the answer of now has the older one, or none, and a later one has it. Whoever takes parts
//! takes one of few places.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use ao_consensus::Timestamp;
use ao_p2p::{Answer, PeerId};
use ao_storage::schema;
use ao_types::{Id, Slot};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::file::SnapshotFile;
use super::limits::{OPEN_MAX, PART_BYTES, TAKER_IDLE_MS, TAKERS_MAX, WANTED_MAX};
use super::shelf::Shelf;
use super::{CHUNK_BYTES, Manifest, Refused};
use crate::metrics::Metrics;
use crate::metrics::labels::Chunk;
use crate::network::limits::OFFERS_MAX;
use crate::network::message::{StateQuestion, encode_offers};
use crate::network::seam::States;
use crate::shell::Now;
use crate::shell::membership::Membership;
use crate::states;
use crate::states::vouch::Voucher;

/// Snapshots that hold: where each is, by its name.
#[derive(Default)]
struct Index {
    /// When the folder changed last, as far as this has been read.
    of: Option<SystemTime>,
    snapshots: BTreeMap<[u8; 32], (PathBuf, Manifest)>,
    /// Open ones, the one used last at the end.
    open: Vec<([u8; 32], Arc<SnapshotFile>)>,
}

/// See the module documentation.
pub struct Library {
    voucher: Arc<Voucher>,
    shelf: Shelf,
    /// Whether snapshots are served; states are vouched for in any case.
    serves: bool,
    index: Mutex<Index>,
    takers: Mutex<BTreeMap<PeerId, Timestamp>>,
    wanted: mpsc::Sender<Id>,
    clock: Now,
    metrics: Metrics,
}

impl Library {
    /// Answers from this folder. Gives where to hear which processes' states are to be written down.
    pub fn new(voucher: Arc<Voucher>, shelf: Shelf, serves: bool, clock: Now) -> (Self, mpsc::Receiver<Id>) {
        let (wanted, hears) = mpsc::channel(WANTED_MAX);
        let metrics = voucher.metrics.clone();
        (Self { voucher, shelf, serves, index: Mutex::default(), takers: Mutex::default(), wanted, clock, metrics }, hears)
    }

    /// The folder as it is now.
    fn look<T>(&self, look: impl FnOnce(&mut Index) -> Result<T, Refused>) -> Result<T, Refused> {
        let mut index = self.index.lock();
        let changed = self.shelf.changed();
        if index.of != changed || changed.is_none() {
            let mut snapshots = BTreeMap::new();
            for entry in self.shelf.list()? {
                let id = entry.manifest.id();
                // What was checked before, and is the same with the same signers, is not checked again.
                let known = index.snapshots.get(&id).is_some_and(|(_, known)| *known == entry.manifest);
                if known || self.holds(&entry.manifest) {
                    snapshots.insert(id, (entry.path, entry.manifest));
                }
            }
            *index = Index { of: changed, snapshots, open: Vec::new() };
        }
        look(&mut index)
    }

    /// What this node would not take itself it does not hand on: 1.4 ms.
    fn holds(&self, manifest: &Manifest) -> bool {
        let Membership { network, rosters, .. } = &*self.voucher.membership;
        manifest.network == *network && states::verify(Some(rosters), manifest.process, manifest.slot, &manifest.state).is_ok()
    }

    fn offers(&self, process: &Id) -> Result<Vec<Manifest>, Refused> {
        let mut found: Vec<Manifest> = self.look(|index| {
            let of_process = index.snapshots.values().map(|(_, manifest)| manifest).filter(|manifest| manifest.process == *process);
            Ok(of_process.cloned().collect())
        })?;
        found.sort_by_key(|manifest| std::cmp::Reverse(manifest.slot));
        found.truncate(OFFERS_MAX);
        let newest = found.first().map(|manifest| manifest.slot);
        if self.certified(process).is_some_and(|slot| newest.is_none_or(|newest| newest < slot)) {
            // Without room somebody else is served first, and the one who asks asks again.
            self.wanted.try_send(*process).ok();
        }
        Ok(found)
    }

    /// The newest certified state that this node worked out.
    fn certified(&self, process: &Id) -> Option<Slot> {
        let store = &*self.voucher.store;
        let head = schema::EVALUATION_HEADS.get(store, process).ok()??;
        let (slot, row) = states::newest(store, *process, head.slot).ok()??;
        row.computed.then_some(slot)
    }

    fn part(&self, from: &PeerId, snapshot: &[u8; 32], chunk: u16, part: u8) -> Result<Answer, Refused> {
        let Some(file) = self.open(snapshot)? else { return Ok(Answer::NotFound) };
        let start = usize::from(part) * PART_BYTES;
        if start >= file.manifest.chunk_bytes(chunk.into()) {
            return Ok(Answer::Refused);
        }
        if !self.take_place(*from) {
            return Ok(Answer::Busy);
        }
        let length = PART_BYTES.min(file.manifest.chunk_bytes(chunk.into()) - start);
        let bytes = file.part(u64::from(chunk) * CHUNK_BYTES as u64 + start as u64, length)?;
        if start + length == file.manifest.chunk_bytes(chunk.into()) {
            self.metrics.snapshot_chunks_total.of(Chunk::Served).inc();
        }
        Ok(Answer::Found(bytes.into()))
    }

    fn open(&self, snapshot: &[u8; 32]) -> Result<Option<Arc<SnapshotFile>>, Refused> {
        self.look(|index| {
            if let Some(at) = index.open.iter().position(|(id, _)| id == snapshot) {
                let kept = index.open.remove(at);
                index.open.push(kept.clone());
                return Ok(Some(kept.1));
            }
            let Some((path, _)) = index.snapshots.get(snapshot) else { return Ok(None) };
            let file = Arc::new(SnapshotFile::open(path)?);
            if index.open.len() >= OPEN_MAX {
                index.open.remove(0);
            }
            index.open.push((*snapshot, file.clone()));
            Ok(Some(file))
        })
    }

    /// Takes or keeps one of the places of those who take parts.
    fn take_place(&self, peer: PeerId) -> bool {
        let now = (self.clock)();
        let mut takers = self.takers.lock();
        takers.retain(|_, touched| now.since_ms(*touched) < TAKER_IDLE_MS);
        if takers.len() >= TAKERS_MAX && !takers.contains_key(&peer) {
            return false;
        }
        takers.insert(peer, now);
        true
    }
}

impl States for Library {
    fn answer(&self, from: &PeerId, question: &StateQuestion) -> Answer {
        let answer = match question {
            StateQuestion::Vouch { .. } => return self.voucher.answer(from, question),
            StateQuestion::Snapshots(_) | StateQuestion::Part { .. } if !self.serves => return Answer::Refused,
            StateQuestion::Snapshots(process) => self.offers(process).map(|offers| Answer::Found(encode_offers(&offers).into())),
            StateQuestion::Part { snapshot, chunk, part } => self.part(from, snapshot, *chunk, *part),
        };
        answer.unwrap_or_else(|error| {
            tracing::warn!(event = "snapshot_not_served", %error, "a peer's question about a snapshot has no answer; look at the disk");
            Answer::Busy
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ao_consensus::Rosters;
    use ao_consensus::cheap::Cheap;
    use ao_consensus::scheme::{Claim, Keys, Scheme, SchemeError};
    use ao_storage::MemoryStore;
    use ao_types::{BlsKey, BlsSignature};
    use bytes::Bytes;

    use super::*;
    use crate::network::message::decode_offers;
    use crate::shell::tests::rig;
    use crate::snapshot::tests::{peer, whole};

    /// Counts what costs most.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl Scheme for Counting {
        fn name(&self) -> &'static str {
            Cheap.name()
        }

        fn keys(&self, keys: &[BlsKey]) -> Result<Arc<dyn Keys>, SchemeError> {
            Cheap.keys(keys)
        }

        fn verify(&self, claim: &Claim<'_>) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed);
            Cheap.verify(claim)
        }

        fn aggregate(&self, signatures: &[BlsSignature]) -> Result<BlsSignature, SchemeError> {
            Cheap.aggregate(signatures)
        }

        fn verify_batch(&self, claims: &[Claim<'_>], secret: &[u8; 32]) -> bool {
            self.0.fetch_add(claims.len(), Ordering::Relaxed);
            Cheap.verify_batch(claims, secret)
        }
    }

    /// However often strangers ask, and whatever comes beside it, a certificate is checked once; of one that does not hold not a byte is given.
    #[test]
    fn certificates_are_checked_when_they_come_and_not_when_somebody_asks() {
        let (membership, good, body) = whole(4);
        let counting = Arc::new(Counting::default());
        let committee = (*membership.committee).clone();
        let rosters = Rosters::new(membership.network, counting.clone(), [7; 32]).with([committee]).unwrap();
        let membership = Membership { rosters: Arc::new(rosters), ..Arc::into_inner(membership).unwrap() };
        let voucher = Voucher { store: Arc::new(MemoryStore::new()), membership: Arc::new(membership), metrics: rig::options().metrics };
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("snapshots"));
        let (library, _wanted) = Library::new(Arc::new(voucher), shelf.clone(), true, Arc::new(|| Timestamp(1_000_000)));
        shelf.put(&good, &body, 0).unwrap();
        let offered = |process: Id| {
            let Answer::Found(bytes) = library.answer(&peer(1), &StateQuestion::Snapshots(process)) else { panic!("no answer") };
            decode_offers(&bytes).unwrap()
        };
        let part = |manifest: &Manifest| library.answer(&peer(1), &StateQuestion::Part { snapshot: manifest.id(), chunk: 0, part: 0 });
        (0..20).for_each(|_| assert_eq!(offered(good.process), std::slice::from_ref(&good)));
        assert!(matches!(part(&good), Answer::Found(_)));
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
        // A process that nobody vouches for, under its own name and with the certificate of another.
        let forged = Manifest { process: Id([5; 32]), ..good.clone() };
        let mut flipped = good.state.certificate.clone().unwrap().to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        let state = schema::CertifiedStateRow { certificate: Some(Bytes::from(flipped)), ..good.state.clone() };
        let wrong = Manifest { slot: good.slot, process: good.process, total: good.total, state, ..good.clone() };
        shelf.put(&forged, &body, 0).unwrap();
        assert!(offered(forged.process).is_empty() && matches!(part(&forged), Answer::NotFound));
        (0..20).for_each(|_| assert_eq!(offered(good.process), std::slice::from_ref(&good)));
        assert_eq!(counting.0.load(Ordering::Relaxed), 1, "the folder changed, and what was there did not");
        // The same name, other signers: checked again, and gone.
        shelf.put(&wrong, &body, 0).unwrap();
        assert!(offered(good.process).is_empty() && matches!(part(&good), Answer::NotFound));
    }
}
