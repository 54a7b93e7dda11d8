use std::sync::Arc;

use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::contract::committee_of;
use ao_consensus::protection::memory::MemoryProtection;
use ao_consensus::protection::{ChainRow, Guard, Protection as _};
use ao_consensus::{Body, ChainTip, Draft, SecretKey as _};
use ao_types::{Address, Chain, Epoch, FrameId, Id, NetworkId, Signers, Statement};

use super::*;

const NETWORK: NetworkId = NetworkId([1; 32]);
const CHAIN: Chain = Chain { scheduler: Address::Arweave(Id([3; 32])), tenure: 0 };
const START: u64 = 100_000;
const WAIT: u64 = 10_000;

struct World {
    watch: Watch,
    rows: Arc<Mutex<MemoryProtection>>,
    folder: tempfile::TempDir,
    committee: Arc<ao_types::Committee>,
}

/// The key of member 0 of four, which attested frame 5.
fn world(wait_ms: u64, excused: bool) -> World {
    let committee = Arc::new(committee_of(Epoch(0), &[1; 4]));
    let mut rosters = Rosters::new(NETWORK, Arc::new(Cheap), [0; 32]);
    rosters.insert(committee.clone()).unwrap();
    let (key, folder) = (CheapSecret::new(0).public(), tempfile::tempdir().unwrap());
    let mut rows = MemoryProtection::new();
    let row = ChainRow { key, chain: CHAIN, last: Some((5, FrameId([5; 32]))), sealed: false, signature: None };
    rows.record(&[Guard::Chain(row)]).unwrap();
    let rows = Arc::new(Mutex::new(rows));
    let folder_of = folder.path().join("doppelganger");
    let setup =
        Setup { key, rosters: Arc::new(rosters), rows: rows.clone(), wait_ms, excused, started: Timestamp(START), folder: folder_of };
    World { watch: Watch::new(setup), rows, folder, committee }
}

fn statement(sequence: u64) -> Statement {
    Statement::Frame { chain: CHAIN, sequence, frame: FrameId([sequence as u8; 32]) }
}

fn attestation(n: u64, sequence: u64) -> Attestation {
    let secret = CheapSecret::new(n);
    let statement = statement(sequence);
    Attestation { statement, key: secret.public(), signature: secret.sign(&statement.message(&NETWORK)) }
}

impl World {
    /// A frame of `at` is confirmed by a certificate of these members on the frame at `sequence`.
    fn confirm(&self, sequence: u64, members: &[u64], at: u64) {
        let built = ChainTip::opened(CHAIN).build(Draft::alone(NETWORK, Body::default(), Timestamp(at), (0, [0; 48]))).unwrap();
        let mut signers = Signers::none(4);
        for n in members {
            signers.insert(self.committee.index_of(&CheapSecret::new(*n).public()).unwrap());
        }
        let signature = attestation(0, sequence).signature;
        let certificate = Certificate { statement: statement(sequence), epoch: Epoch(0), signers, signature };
        self.watch.confirmed(&built.frame.header, &Proof::Chain { descendants: Vec::new(), certificates: vec![certificate] });
    }

    fn last(&self) -> u64 {
        let row = self.rows.lock().chain_row(&self.watch.key(), &CHAIN).unwrap();
        row.unwrap().last.unwrap().0
    }

    fn evidence(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("doppelganger")).map_or(0, Iterator::count)
    }
}

#[test]
fn silence_ends_after_the_wait_while_somebody_can_be_heard_and_after_three_otherwise() {
    let heard = world(WAIT, false);
    heard.watch.tick(Timestamp(START + 4_000), true, None);
    assert_eq!(heard.watch.phase(), Phase::Silent { left_ms: 6_000 });
    heard.watch.tick(Timestamp(START + 8_000), false, None);
    assert_eq!(heard.watch.phase(), Phase::Silent { left_ms: 6_000 }, "nobody was there to be heard");
    let mut changes = heard.watch.changes();
    assert!(!heard.watch.may_sign() && !changes.has_changed().unwrap());
    heard.watch.tick(Timestamp(START + 14_000), true, None);
    assert!(heard.watch.may_sign() && changes.has_changed().unwrap());
    changes.mark_unchanged();
    heard.watch.tick(Timestamp(START + 15_000), true, None);
    assert!(!changes.has_changed().unwrap());

    let alone = world(WAIT, false);
    alone.watch.tick(Timestamp(START + 3 * WAIT - 1), false, None);
    assert!(!alone.watch.may_sign());
    alone.watch.tick(Timestamp(START + 3 * WAIT), false, None);
    assert!(alone.watch.may_sign());

    assert!(world(WAIT, true).watch.may_sign() && world(0, false).watch.may_sign());
}

/// F7.
#[test]
fn nothing_is_signed_before_a_clock_that_began_wrong_is_right() {
    const WRONG: i64 = CLOCK_AHEAD_START_MS_MAX as i64 + 1;
    for wrong in [WRONG, -WRONG, i64::MIN] {
        for (wait, excused) in [(WAIT, false), (WAIT, true), (0, false)] {
            let world = world(wait, excused);
            world.watch.tick(Timestamp(START + 1), true, Some(wrong));
            world.watch.tick(Timestamp(START + 100 * WAIT), true, Some(wrong));
            assert_eq!(world.watch.phase(), Phase::Held { ahead_ms: wrong });
            assert!(!world.watch.may_sign());
            world.watch.tick(Timestamp(START + 101 * WAIT), true, Some(WRONG - 1));
            world.watch.tick(Timestamp(START + 102 * WAIT), true, Some(0));
            assert!(world.watch.may_sign(), "it listened again, and goes on");
        }
    }
    // Later steps of the clock hold frames, not the node.
    let world = world(0, false);
    world.watch.tick(Timestamp(START), true, None);
    world.watch.tick(Timestamp(START + 1), true, Some(5_000));
    world.watch.tick(Timestamp(START + 2), true, Some(10 * WRONG));
    assert!(world.watch.may_sign());
}

#[test]
fn a_clock_that_goes_back_shortens_nothing() {
    let world = world(WAIT, false);
    world.watch.tick(Timestamp(START - 50_000), true, None);
    assert_eq!(world.watch.phase(), Phase::Silent { left_ms: WAIT });
    world.watch.tick(Timestamp(START - 50_000 + WAIT - 1), true, None);
    assert_eq!(world.watch.phase(), Phase::Silent { left_ms: 1 });
}

#[test]
fn another_signer_of_now_ends_the_node_with_evidence() {
    for hear in [
        &(|world: &World| world.watch.overhear(&attestation(0, 6))) as &dyn Fn(&World),
        &|world| world.confirm(6, &[0, 1, 2], START - WAIT),
        &|world| world.confirm(6, &[0, 1, 2], START + 1),
    ] {
        for excused in [false, true] {
            let world = world(WAIT, excused);
            hear(&world);
            let Phase::Over(why) = world.watch.phase() else { panic!("{:?}", world.watch.phase()) };
            assert!(why.contains("doppelganger") && world.evidence() == 1, "{why}");
            assert_eq!(world.last(), 6, "what was signed elsewhere binds here");
            world.watch.tick(Timestamp(START + 10 * WAIT), true, None);
            assert!(!world.watch.may_sign(), "for good");
        }
    }
}

#[test]
fn own_earlier_signatures_others_and_forgeries_do_not_trip_it() {
    let world = world(WAIT, false);
    world.watch.overhear(&attestation(0, 4));
    world.watch.overhear(&attestation(0, 5));
    world.watch.overhear(&attestation(1, 9));
    world.watch.overhear(&Attestation { signature: attestation(1, 9).signature, ..attestation(0, 9) });
    world.confirm(5, &[0, 1, 2], START + 1);
    world.confirm(9, &[1, 2, 3], START + 1);
    assert_eq!(world.watch.phase(), Phase::Silent { left_ms: WAIT });
    assert_eq!((world.last(), world.evidence()), (5, 0));
}

#[test]
fn an_older_copy_of_the_rows_is_raised_and_the_node_listens_again() {
    let world = world(WAIT, true);
    assert!(world.watch.may_sign());
    let mut changes = world.watch.changes();
    world.confirm(7, &[0, 1, 2], START - WAIT - 1);
    world.confirm(8, &[0, 1, 2], START - WAIT - 1);
    assert_eq!(world.watch.phase(), Phase::Silent { left_ms: WAIT });
    assert!(changes.has_changed().unwrap(), "the engine is made anew, without the key");
    changes.mark_unchanged();
    assert_eq!((world.last(), world.evidence()), (8, 0));
    world.watch.tick(Timestamp(START), true, None);
    world.watch.tick(Timestamp(START + WAIT), true, None);
    assert!(world.watch.may_sign() && changes.has_changed().unwrap());
}

#[test]
fn checks_of_strangers_signatures_are_bounded() {
    let world = world(WAIT, false);
    let forged = Attestation { signature: attestation(1, 9).signature, ..attestation(0, 9) };
    (0..FOREIGN_CHECKS_MAX).for_each(|_| world.watch.overhear(&forged));
    world.watch.overhear(&attestation(0, 9));
    assert!(matches!(world.watch.phase(), Phase::Silent { .. }), "none is left");
    world.watch.tick(Timestamp(START + 1), true, None);
    world.watch.overhear(&attestation(0, 9));
    assert!(matches!(world.watch.phase(), Phase::Over(_)));
}
