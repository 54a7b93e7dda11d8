use ao_consensus::protection::Kind;
use ao_consensus::protection::interchange;
use ao_consensus::protection::memory::MemoryProtection;
use ao_types::{Address, BlsSignature, FrameId, Id};
use proptest::prelude::*;

use super::*;

const KEY: BlsKey = BlsKey([1; 48]);
const NETWORK: NetworkId = NetworkId([9; 32]);

fn chain(n: u8) -> Chain {
    Chain { scheduler: Address::Arweave(Id([n; 32])), tenure: u64::from(n) }
}

fn attested(key: BlsKey, on: u8, sequence: u64, frame: u8, sealed: bool) -> Guard {
    let signature = Some(BlsSignature([frame; 96]));
    Guard::Chain(ChainRow { key, chain: chain(on), last: Some((sequence, FrameId([frame; 32]))), sealed, signature })
}

fn voted(key: BlsKey, kind: Kind, scope: &str, (term, height, round): (u64, u64, u32), root: u8) -> Guard {
    let position = Position { key, kind, scope: scope.into(), term, height, round };
    Guard::Signed(SignedRow { position, root: Some([root; 32]), signature: Some(vec![root; 64]) })
}

fn fresh() -> (tempfile::TempDir, DurableProtection) {
    let folder = tempfile::tempdir().unwrap();
    let protection = DurableProtection::open(folder.path(), Some(NETWORK)).unwrap();
    (folder, protection)
}

#[test]
fn rows_bind_after_a_restart() {
    let (folder, mut protection) = fresh();
    assert!(matches!(protection.require(&KEY), Err(Error::Uninitialised { key: KEY })));
    let guards = [attested(KEY, 1, 5, 5, false), voted(KEY, Kind::Precommit, "", (0, 7, 1), 3)];
    protection.record(&guards).unwrap();
    drop(protection);
    let mut protection = DurableProtection::open(folder.path(), Some(NETWORK)).unwrap();
    protection.require(&KEY).unwrap();
    assert_eq!(protection.rows(&KEY).unwrap().0, guards);
    for conflict in [attested(KEY, 1, 5, 6, false), attested(KEY, 1, 4, 4, false), voted(KEY, Kind::Precommit, "", (0, 7, 1), 4)] {
        assert!(matches!(protection.record(&[conflict]), Err(Error::Conflict(_))));
    }
    protection.record(&guards).unwrap();
    protection.record(&[attested(KEY, 1, 6, 6, true), voted(KEY, Kind::Precommit, "", (0, 7, 2), 4)]).unwrap();
    assert!(matches!(protection.record(&[attested(KEY, 1, 7, 7, true)]), Err(Error::Conflict(Conflict::Sealed { .. }))));
}

#[test]
fn a_call_is_all_or_nothing_and_its_rows_bind_one_another() {
    let (_folder, mut protection) = fresh();
    let contradiction = [attested(KEY, 1, 5, 5, false), attested(KEY, 1, 5, 6, false)];
    assert!(matches!(protection.record(&contradiction), Err(Error::Conflict(_))));
    let contradiction = [voted(KEY, Kind::Prevote, "", (0, 1, 0), 1), voted(KEY, Kind::Prevote, "", (0, 1, 0), 2)];
    assert!(matches!(protection.record(&contradiction), Err(Error::Conflict(_))));
    assert_eq!(protection.rows(&KEY).unwrap(), (Vec::new(), Vec::new()));
}

#[test]
fn networks_do_not_mix_and_one_process_has_it() {
    let (folder, mut protection) = fresh();
    protection.initialise(&KEY).unwrap();
    assert!(matches!(DurableProtection::open(folder.path(), None), Err(Error::Store(ao_storage::Error::Locked(_)))));
    drop(protection);
    let other = DurableProtection::open(folder.path(), Some(NetworkId([8; 32])));
    assert!(matches!(other, Err(Error::Network { found: NETWORK, .. })));
    assert_eq!(DurableProtection::open(folder.path(), None).unwrap().keys().unwrap(), [KEY]);
}

#[test]
fn a_history_moves_and_binds_as_strictly_there() {
    let (_from, mut protection) = fresh();
    let guards = [attested(KEY, 1, 5, 5, false), attested(KEY, 2, 9, 9, true), voted(KEY, Kind::Block, "", (3, 7, 1), 3)];
    protection.record(&guards).unwrap();
    let file = interchange::export(NETWORK, &protection.history(None).unwrap()).unwrap();
    let (_to, mut moved) = fresh();
    moved.record(&[attested(KEY, 1, 4, 4, false)]).unwrap();
    for _ in 0..2 {
        moved.import(interchange::import(NETWORK, file.as_bytes()).unwrap()).unwrap();
        let sequence = moved.chain_row(&KEY, &chain(1)).unwrap().unwrap().last;
        assert_eq!(sequence, Some((5, FrameId([5; 32]))), "the higher of the two");
        assert!(moved.chain_row(&KEY, &chain(2)).unwrap().unwrap().sealed);
        for conflict in [attested(KEY, 1, 5, 6, false), attested(KEY, 2, 10, 10, false), voted(KEY, Kind::Block, "", (3, 7, 1), 4)] {
            assert!(matches!(moved.record(&[conflict]), Err(Error::Conflict(_))));
        }
    }
    moved.record(&[attested(KEY, 1, 6, 6, false)]).unwrap();
}

#[test]
fn what_is_pruned_stays_forbidden() {
    let (_folder, mut protection) = fresh();
    for term in 0..20 {
        protection.record(&[voted(KEY, Kind::Precommit, "", (term, term * 10, 0), 1), attested(KEY, term as u8, 1, 1, false)]).unwrap();
    }
    protection.record(&[voted(KEY, Kind::Result, "process", (0, 3, 0), 1)]).unwrap();
    assert_eq!(protection.prune(KEEP_TERMS).unwrap(), 11, "terms 0 to 10 of 19");
    assert_eq!(protection.prune(KEEP_TERMS).unwrap(), 0);
    let (guards, marks) = protection.rows(&KEY).unwrap();
    assert_eq!((guards.len(), marks.len()), (20 + 9 + 1, 1), "chains stay, and scopes are by themselves");
    for forbidden in [(0, 0, 0), (10, 100, 0), (10, 99, 5), (11, 110, 0)] {
        let again = protection.record(&[voted(KEY, Kind::Precommit, "", forbidden, 2)]);
        assert!(matches!(again, Err(Error::Conflict(_))), "{forbidden:?}");
    }
    protection.record(&[voted(KEY, Kind::Precommit, "", (10, 101, 0), 2)]).unwrap();
}

fn guards() -> impl Strategy<Value = Guard> {
    let key = (0_u8..2).prop_map(|n| BlsKey([n; 48]));
    let chain = (key.clone(), 0_u8..2, 0_u64..6, 0_u8..3, any::<bool>())
        .prop_map(|(key, on, at, frame, sealed)| attested(key, on, at, frame, sealed));
    let kind = prop::sample::select(vec![Kind::Prevote, Kind::Precommit, Kind::Result]);
    let scope = prop::sample::select(vec!["", "p", "pq"]);
    let signed = (key, kind, scope, (0_u64..2, 0_u64..3, 0_u32..2), 0_u8..2)
        .prop_map(|(key, kind, scope, at, root)| voted(key, kind, scope, at, root));
    prop_oneof![chain, signed]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The store does what the rules over rows in memory do, call by call, and holds the same rows afterwards.
    #[test]
    fn the_disk_agrees_with_memory(calls in prop::collection::vec(prop::collection::vec(guards(), 0..4), 0..24)) {
        let (folder, mut disk) = fresh();
        let mut memory = MemoryProtection::new();
        for call in &calls {
            match (disk.record(call), memory.record(call)) {
                (Ok(()), Ok(())) => {}
                (Err(Error::Conflict(ours)), Err(theirs)) => prop_assert_eq!(ours, theirs),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        drop(disk);
        let disk = DurableProtection::open(folder.path(), None).unwrap();
        prop_assert_eq!(disk.keys().unwrap(), memory.keys().unwrap());
        for key in memory.keys().unwrap() {
            prop_assert_eq!(disk.rows(&key).unwrap(), memory.rows(&key).unwrap());
        }
    }
}
