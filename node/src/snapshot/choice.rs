//! Which of the states that peers offer is fetched, and what becomes of one that proved to be a lie.
//!
//! A certificate holds for the root and nothing else of a manifest: chunks, assignment, hash chain and time are whatever the peer says. What
//! the log here can tell is told before anything is fetched; the rest is found out afterwards, and then that manifest is not fetched
//! again ([`Bad`]), by whomever it is offered. Without clock or socket.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ao_consensus::Timestamp;
use ao_p2p::PeerId;
use ao_storage::{Direction, Store, schema};
use ao_types::{Id, Slot};

use super::limits::{BAD_MAX, JOIN_AT_ONCE, SOURCES_MAX};
use super::{Manifest, Refused, Trust};
use crate::shell::begin::{self, BeginError};

/// Names of snapshots that proved to be none; the newest [`BAD_MAX`].
#[derive(Debug, Default)]
pub struct Bad(VecDeque<[u8; 32]>);

impl Bad {
    /// Not to be fetched again.
    pub fn insert(&mut self, id: [u8; 32]) {
        if self.contains(&id) {
            return;
        }
        if self.0.len() >= BAD_MAX {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }

    /// Whether it proved to be none.
    pub fn contains(&self, id: &[u8; 32]) -> bool {
        self.0.contains(id)
    }
}

/// What an offer is worth.
#[derive(Debug)]
pub enum Worth {
    /// To be fetched, as far as can be told.
    Good,
    /// Not to be fetched, and its bringer did no wrong, or pays for it already.
    Useless,
    /// Its bringer could have known better: why.
    Lie(String),
}

/// What can be said of an offer before any of it is fetched.
pub fn judge(manifest: &Manifest, trust: &Trust<'_>, bad: &Bad, store: &dyn Store, now: Timestamp) -> Worth {
    match manifest.check(trust) {
        Ok(()) => {}
        // An older or newer node does no wrong.
        Err(Refused::HostAbi { .. }) => return Worth::Useless,
        Err(why) => return Worth::Lie(why.to_string()),
    }
    if bad.contains(&manifest.id()) {
        return Worth::Useless;
    }
    match begin::is_of_log(store, manifest.process, manifest.slot, &manifest.row()) {
        // Its time is that of the log.
        Ok(()) if manifest.check_age(trust, manifest.timestamp_ms, now).is_err() => Worth::Useless,
        Err(why @ BeginError::OtherLog { .. }) => Worth::Lie(why.to_string()),
        // The log does not reach it yet: it is compared when it does.
        Ok(()) | Err(_) => Worth::Good,
    }
}

/// Who is asked at a look: [`SOURCES_MAX`] of them, the next ones at the next look, so that none is asked for ever and none never.
pub fn asked(mut peers: Vec<PeerId>, look: u32) -> Vec<PeerId> {
    if peers.len() > SOURCES_MAX {
        let first = (look as usize).saturating_mul(SOURCES_MAX) % peers.len();
        peers.rotate_left(first);
        peers.truncate(SOURCES_MAX);
    }
    peers
}

/// The next processes that owe an evaluation, at most [`JOIN_AT_ONCE`]: behind `after`, which moves on, and after the last the first again.
///
/// # Errors
/// The store's.
pub fn owing(store: &dyn Store, after: &mut Option<Id>) -> Result<Vec<Id>, ao_storage::Error> {
    let from = after.map_or_else(Vec::new, |id| [id.as_bytes().as_slice(), &[0]].concat());
    let found = schema::OWING.scan(store, &from, &[], Direction::Forward, JOIN_AT_ONCE)?;
    let found: Vec<Id> = found.into_iter().map(|(process, _)| process).collect();
    *after = found.last().copied().filter(|_| found.len() == JOIN_AT_ONCE);
    Ok(found)
}

/// Offers worth taking, and by whom.
#[derive(Debug, Default)]
pub struct Offers {
    found: BTreeMap<(Slot, [u8; 32]), (Manifest, Vec<PeerId>)>,
    heard: BTreeSet<(PeerId, Slot)>,
}

impl Offers {
    /// A peer has it. One manifest of a peer counts for a slot, once: a node has one state of a slot, and nobody is two sources.
    pub fn add(&mut self, peer: PeerId, manifest: Manifest) {
        if self.heard.insert((peer, manifest.slot)) {
            let found = self.found.entry((manifest.slot, manifest.id())).or_insert_with(|| (manifest, Vec::new()));
            found.1.push(peer);
        }
    }

    /// The newest state, by the manifest that most have.
    pub fn best(self) -> Option<(Manifest, Vec<PeerId>)> {
        let best = self.found.into_iter().max_by_key(|((slot, _), (_, sources))| (*slot, sources.len()));
        best.map(|(_, found)| found)
    }
}

#[cfg(test)]
mod tests {
    use ao_types::hash::sha256;

    use super::*;
    use crate::shell::tests::rig::Rig;
    use crate::snapshot::Root;
    use crate::snapshot::tests::{manifest, peer};

    #[test]
    fn a_peer_is_one_source_whatever_it_says_twice() {
        let (liar, honest) = (peer(1), peer(2));
        let lie = Manifest { chunks: vec![[1; 32]; 2], ..manifest() };
        let mut offers = Offers::default();
        for one in [&lie, &lie, &Manifest { total: lie.total + 1, ..lie.clone() }] {
            offers.add(liar, one.clone());
        }
        assert_eq!(offers.best(), Some((lie.clone(), vec![liar])));
        let mut offers = Offers::default();
        offers.add(liar, lie.clone());
        offers.add(liar, manifest());
        offers.add(honest, manifest());
        offers.add(peer(3), manifest());
        assert_eq!(offers.best(), Some((manifest(), vec![honest, peer(3)])), "what a peer says first of a slot counts");
    }

    #[test]
    fn every_peer_is_asked_in_turn() {
        let few: Vec<PeerId> = (1..=3).map(peer).collect();
        assert_eq!(asked(few.clone(), 7), few);
        let many: Vec<PeerId> = (1..=40).map(peer).collect();
        let looks: Vec<Vec<PeerId>> = (0..3).map(|look| asked(many.clone(), look)).collect();
        assert!(looks.iter().all(|peers| peers.len() == SOURCES_MAX));
        let all: BTreeSet<PeerId> = looks.into_iter().flatten().collect();
        assert_eq!(all.len(), many.len(), "whoever sorts first is not the only one to ask");
        assert_eq!(asked(many, u32::MAX).len(), SOURCES_MAX);
    }

    #[test]
    fn processes_beyond_one_page_have_their_turn() {
        let (store, mut batch) = (ao_storage::MemoryStore::new(), ao_storage::WriteBatch::default());
        let id = |n: usize| {
            Id(std::array::from_fn(|at| {
                if at == 0 {
                    (n >> 8) as u8
                } else if at == 1 {
                    n as u8
                } else {
                    0
                }
            }))
        };
        let count = JOIN_AT_ONCE * 2 + 1;
        (0..count).for_each(|n| schema::OWING.put(&mut batch, &id(n), &Slot(9)));
        store.write(batch, ao_storage::Durability::Synced).unwrap();
        let (mut after, mut seen) = (None, Vec::new());
        for _ in 0..3 {
            let page = owing(&store, &mut after).unwrap();
            assert!(page.len() <= JOIN_AT_ONCE);
            seen.extend(page);
        }
        assert_eq!(seen, (0..count).map(id).collect::<Vec<_>>(), "each once");
        assert_eq!(owing(&store, &mut after).unwrap()[0], id(0), "and from the beginning again");
    }

    #[test]
    fn so_many_lies_are_remembered_and_the_oldest_are_forgotten() {
        let mut bad = Bad::default();
        let id = |n: usize| sha256(&[&n.to_be_bytes()]);
        (0..BAD_MAX).for_each(|n| bad.insert(id(n)));
        bad.insert(id(BAD_MAX - 1));
        assert!((0..BAD_MAX).all(|n| bad.contains(&id(n))), "the same twice takes one place");
        bad.insert(id(BAD_MAX));
        assert!(!bad.contains(&id(0)) && bad.contains(&id(1)) && bad.contains(&id(BAD_MAX)) && bad.0.len() == BAD_MAX);
    }

    /// One source has chunks of its own, one another log, one is honest: the honest one's is fetched, in the end or at once.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn with_one_honest_source_lies_are_passed_over() {
        let rig = Rig::hashing();
        let process = rig.spawn(&[]).await;
        for _ in 0..3 {
            rig.send(process, &[("Action", "Count")], "").await.unwrap();
        }
        rig.settled(process, 3).await;
        let slot = Slot(3);
        let (row, body) = rig.node.checkpoint_at(process, slot).await.unwrap();
        let sample = manifest();
        let state = schema::CertifiedStateRow { state: row.root, host_abi: ao_vm::HOST_ABI, ..sample.state };
        let good = Manifest::of(sample.network, (process, sample.module, slot), state, &row, &body);
        let roots = [Root { slot, state: row.root }];
        let named = Trust { network: sample.network, rosters: None, trust_period_ms: 0, roots: &roots };
        let mut bad = Bad::default();
        let worth = |manifest: &Manifest, bad: &Bad| judge(manifest, &named, bad, &*rig.store, (rig.node.clock())());
        assert!(matches!(worth(&good, &bad), Worth::Good));
        let changes: [fn(&mut Manifest); 4] =
            [|one| one.hash_chain[31] ^= 1, |one| one.assignment.0[0] ^= 1, |one| one.timestamp_ms += 1, |one| one.block_height += 1];
        for change in changes {
            let mut lie = good.clone();
            change(&mut lie);
            assert!(matches!(worth(&lie, &bad), Worth::Lie(_)), "told before it is fetched: {lie:?}");
        }
        let beyond = Manifest { slot: Slot(9), hash_chain: [0; 32], ..good.clone() };
        let roots_beyond = [Root { slot: Slot(9), state: row.root }];
        let trust = Trust { roots: &roots_beyond, ..named.clone() };
        assert!(matches!(judge(&beyond, &trust, &bad, &*rig.store, Timestamp(0)), Worth::Good), "the log does not tell yet");
        // Chunks are told only by what comes.
        let lie = Manifest { chunks: good.chunks.iter().map(|hash| sha256(&[hash])).collect(), ..good.clone() };
        let best = |bad: &Bad| {
            let mut offers = Offers::default();
            for (n, one) in [(1, &lie), (2, &lie), (3, &good)] {
                if let Worth::Good = worth(one, bad) {
                    offers.add(peer(n), one.clone());
                }
            }
            offers.best().map(|(manifest, sources)| (manifest.id(), sources))
        };
        assert_eq!(best(&bad), Some((lie.id(), vec![peer(1), peer(2)])));
        bad.insert(lie.id());
        assert_eq!(best(&bad), Some((good.id(), vec![peer(3)])));
        rig.stop();
    }
}
