//! States, who vouches for them, and how a quorum's word comes together: rules in tables, without a network.

use std::sync::Arc;

use ao_consensus::certificate::Collector;
use ao_consensus::cheap::CheapSecret;
use ao_consensus::protection::memory::MemoryProtection;
use ao_consensus::protection::{Guard, SignedRow};
use ao_consensus::{SecretKey as _, Timestamp};
use ao_p2p::{Answer, NodeKey, PeerId};
use ao_storage::schema::EvaluationHead;
use ao_storage::{Durability, MemoryStore, WriteBatch};
use ao_types::{BlsKey, BlsSignature, ResultHash, StateHash};
use bytes::Bytes;
use parking_lot::Mutex;

use super::collect::{Collect, Fault, Outcome};
use super::vouch::{Voucher, position};
use super::*;
use crate::limits::{VOUCHERS_ASKED_MAX, VOUCHERS_REFUSED_REST_MS, VOUCHERS_REST_MS_MAX, VOUCHERS_REST_MS_MIN};
use crate::network::message::{Declined, StateQuestion, Vouched};
use crate::network::seam::States as _;
use crate::protection::Heard;
use crate::shell::membership::{Keeper, Membership, Unkept};
use crate::shell::tests::cluster;
use crate::shell::tests::rig::{self, Rig};

const PROCESS: Id = Id([1; 32]);
const SLOT: Slot = Slot(9_999);

fn row() -> CertifiedStateRow {
    let (result, state) = (ResultHash([2; 32]), StateHash([3; 32]));
    CertifiedStateRow { schedule_epoch: 0, result, state, host_abi: 1, computed: true, certificate: None }
}

fn member(n: usize, of: usize) -> Arc<Membership> {
    cluster::membership("attest", n, of, Arc::new(Mutex::new(MemoryProtection::new())))
}

fn secret(n: usize) -> CheapSecret {
    CheapSecret::new(n as u64 + 1)
}

/// A certificate of some of a network's members.
fn certificate(membership: &Membership, statement: Statement, who: &[usize]) -> Certificate {
    let roster = membership.rosters.get(membership.committee.epoch()).unwrap().clone();
    let mut collector = Collector::new(&membership.network, membership.scheme.clone(), roster, statement);
    for n in who {
        let index = membership.committee.index_of(&secret(*n).public()).unwrap();
        assert!(collector.add(index, secret(*n).sign(&statement.message(&membership.network))));
    }
    collector.certificate().certificate.unwrap()
}

#[test]
fn states_are_due_at_the_last_of_so_many_slots() {
    let due = |every| (0..12).filter(|slot| is_due(Slot(*slot), every)).collect::<Vec<_>>();
    assert_eq!(due(4), [3, 7, 11]);
    assert_eq!(due(1).len(), 12);
    assert!(due(0).is_empty() && !is_due(Slot(u64::MAX), 4), "none at all, and none that a number cannot say");
    assert!(is_due(SLOT, crate::limits::CERTIFY_SLOTS));
}

#[test]
fn only_a_quorum_of_the_committee_certifies_and_only_what_it_signed() {
    let (membership, foreign) = (member(0, 4), member(0, 5));
    let rosters = Some(&*membership.rosters);
    let signed = certificate(&membership, statement(PROCESS, SLOT, &row()), &[0, 2, 3]);
    let with = |certificate: Option<Bytes>| CertifiedStateRow { certificate, ..row() };
    let good = with(Some(signed.encode().into()));
    assert_eq!(verify(rosters, PROCESS, SLOT, &good), Ok(()));
    let bytes = good.certificate.clone();
    for (what, process, slot, row) in [
        ("another process", Id([9; 32]), SLOT, good.clone()),
        ("another slot", PROCESS, Slot(1), good.clone()),
        ("another result", PROCESS, SLOT, CertifiedStateRow { result: ResultHash([9; 32]), ..with(bytes.clone()) }),
        ("another state", PROCESS, SLOT, CertifiedStateRow { state: StateHash([9; 32]), ..with(bytes.clone()) }),
        ("another machine", PROCESS, SLOT, CertifiedStateRow { host_abi: 2, ..with(bytes.clone()) }),
        ("another schedule epoch", PROCESS, SLOT, CertifiedStateRow { schedule_epoch: 1, ..with(bytes.clone()) }),
    ] {
        assert!(matches!(verify(rosters, process, slot, &row), Err(Untrue::Statement { .. })), "{what}");
    }
    for bytes in [None, Some(Bytes::new())] {
        assert_eq!(verify(rosters, PROCESS, SLOT, &with(bytes)), Err(Untrue::Uncertified { process: PROCESS, slot: SLOT }));
    }
    let damaged = |change: &dyn Fn(&mut Certificate)| {
        let mut certificate = signed.clone();
        change(&mut certificate);
        verify(rosters, PROCESS, SLOT, &with(Some(certificate.encode().into())))
    };
    let last = signed.signers.iter().last().unwrap();
    assert!(matches!(damaged(&|one| one.signers.remove(last)), Err(Untrue::Certificate(VerifyError::Quorum { .. }))));
    assert!(matches!(damaged(&|one| one.signature = BlsSignature([7; 96])), Err(Untrue::Certificate(VerifyError::Signature))));
    assert!(matches!(damaged(&|one| one.epoch = ao_types::Epoch(1)), Err(Untrue::Certificate(VerifyError::UnknownEpoch { .. }))));
    let theirs = certificate(&foreign, statement(PROCESS, SLOT, &row()), &[0, 1, 2, 3]);
    assert!(matches!(
        verify(rosters, PROCESS, SLOT, &with(Some(theirs.encode().into()))),
        Err(Untrue::Certificate(VerifyError::Bitmap { .. }))
    ));
    for garbage in [Bytes::from_static(b"no certificate"), [&signed.encode()[..], b"x"].concat().into()] {
        assert!(matches!(verify(rosters, PROCESS, SLOT, &with(Some(garbage))), Err(Untrue::Malformed(_))));
    }
    // A network of one has nobody to ask: an empty certificate says that nobody was needed, and any other is a lie.
    assert_eq!(verify(None, PROCESS, SLOT, &with(Some(Bytes::new()))), Ok(()));
    assert_eq!(verify(None, PROCESS, SLOT, &good), Err(Untrue::NoCommittee));
}

/// A node that worked this out, as a member of four.
fn voucher(rows: &[(Slot, CertifiedStateRow)], head: EvaluationHead, protection: Arc<dyn Keeper>) -> Voucher {
    let (store, mut batch) = (Arc::new(MemoryStore::new()), WriteBatch::default());
    rows.iter().for_each(|(slot, row)| CERTIFIED_STATES.put(&mut batch, &(PROCESS, *slot), row));
    schema::CONFIRMED.put(&mut batch, &PROCESS, &head.slot);
    schema::EVALUATION_HEADS.put(&mut batch, &PROCESS, &head);
    store.write(batch, Durability::Synced).unwrap();
    Voucher { store, membership: cluster::membership("attest", 0, 4, protection), metrics: rig::options().metrics }
}

fn head(slot: u64) -> EvaluationHead {
    EvaluationHead { slot: Slot(slot), cron: 0, ticked_ms: 0, ticked_height: 0, halted: None }
}

fn stranger() -> PeerId {
    NodeKey::from_seed(&mut [4; 32]).unwrap().peer_id().unwrap()
}

fn ask(voucher: &Voucher, key: BlsKey, statement: Statement) -> Vouched {
    let Answer::Found(bytes) = voucher.answer(&stranger(), &StateQuestion::Vouch { key, statement }) else { panic!("no answer") };
    assert!(bytes.len() <= ao_p2p::Kind::State.answer_bytes_max());
    Vouched::decode(&bytes).unwrap()
}

#[test]
fn a_node_vouches_for_what_it_worked_out_and_for_nothing_else() {
    let protection = Arc::new(Mutex::new(MemoryProtection::new()));
    let imported = CertifiedStateRow { computed: false, ..row() };
    let of_others = CertifiedStateRow { certificate: None, ..imported.clone() };
    let own = voucher(&[(SLOT, row()), (Slot(19_999), of_others)], head(20_100), protection.clone());
    let (key, asked) = (secret(0).public(), statement(PROCESS, SLOT, &row()));
    let Vouched::Share(share) = ask(&own, key, asked) else { panic!("it worked that out") };
    assert!(own.membership.rosters.verify_key(&key, &asked, &share));
    // What it signed is bound, once: asked again it says the same.
    let at = position(key, &asked).unwrap();
    let bound = protection.signed(&at).unwrap().unwrap();
    assert_eq!(bound.signature, Some(share.encode()));
    assert_eq!(ask(&own, key, asked), Vouched::Share(share));
    let other = |row: &CertifiedStateRow, slot| statement(PROCESS, slot, row);
    for (what, key, asked, why) in [
        ("another's key", secret(1).public(), asked, Declined::Key),
        ("another state", key, other(&CertifiedStateRow { state: StateHash([9; 32]), ..row() }, SLOT), Declined::Differs),
        ("another result", key, other(&CertifiedStateRow { result: ResultHash([9; 32]), ..row() }, SLOT), Declined::Differs),
        ("another machine", key, other(&CertifiedStateRow { host_abi: 9, ..row() }, SLOT), Declined::Differs),
        ("a slot between", key, other(&row(), Slot(9_998)), Declined::NotKept),
        ("what others worked out", key, other(&row(), Slot(19_999)), Declined::NotKept),
        ("a slot to come", key, other(&row(), Slot(29_999)), Declined::NotYet),
        ("another process", key, statement(Id([8; 32]), SLOT, &row()), Declined::NotYet),
    ] {
        assert_eq!(ask(&own, key, asked), Vouched::Declined(why), "{what}");
    }
    // Evaluation that stopped because results differ vouches for none of them.
    let halted = voucher(&[(SLOT, row())], EvaluationHead { halted: Some("diverged".into()), ..head(20_100) }, protection);
    assert_eq!(ask(&halted, key, asked), Vouched::Declined(Declined::NotKept));
}

#[test]
fn a_key_that_signed_another_state_signs_no_second_one_and_a_certificate_needs_no_key() {
    let (key, asked) = (secret(0).public(), statement(PROCESS, SLOT, &row()));
    let protection = Arc::new(Mutex::new(MemoryProtection::new()));
    let before = SignedRow { position: position(key, &asked).unwrap(), root: Some([7; 32]), signature: Some(vec![1; 96]) };
    protection.record(&[Guard::Signed(before)]).unwrap();
    let own = voucher(&[(SLOT, row())], head(10_000), protection);
    assert_eq!(ask(&own, key, asked), Vouched::Declined(Declined::Conflict));
    let membership = member(0, 4);
    let signed = certificate(&membership, asked, &[1, 2, 3]);
    let certified = CertifiedStateRow { certificate: Some(signed.encode().into()), ..row() };
    let own = voucher(&[(SLOT, certified)], head(10_000), Arc::new(Mutex::new(MemoryProtection::new())));
    assert_eq!(ask(&own, secret(3).public(), asked), Vouched::Certificate(Box::new(signed)), "whoever's key was asked for");
}

/// A disk that fails, for whatever is to be written.
struct Failing;

impl Keeper for Failing {
    fn record(&self, _: &[Guard]) -> Result<(), Unkept> {
        Err(Unkept::Failed("the disk".into()))
    }
    fn check(&self, _: &[Guard]) -> Result<(), Unkept> {
        Ok(())
    }
    fn signed(&self, _: &ao_consensus::protection::Position) -> Result<Option<SignedRow>, Unkept> {
        Ok(None)
    }
    fn rows(&self, _: &BlsKey) -> Result<Vec<Guard>, Unkept> {
        Ok(Vec::new())
    }
    fn is_own(&self, _: &Heard, _: &ao_types::NetworkId) -> Result<bool, Unkept> {
        Ok(true)
    }
    fn bind(&self, _: &Heard) -> Result<(), Unkept> {
        Ok(())
    }
}

#[test]
fn nothing_is_signed_that_is_not_durable_first() {
    let own = voucher(&[(SLOT, row())], head(10_000), Arc::new(Failing));
    assert_eq!(ask(&own, secret(0).public(), statement(PROCESS, SLOT, &row())), Vouched::Declined(Declined::Failed));
}

/// What members that keep to the rules say.
fn share(membership: &Membership, key: &BlsKey, statement: &Statement) -> Vouched {
    let n = (0..64).find(|n| secret(*n).public() == *key).unwrap();
    Vouched::Share(secret(n).sign(&statement.message(&membership.network)))
}

#[test]
fn shares_of_a_quorum_are_a_certificate_whatever_the_others_say() {
    let membership = member(0, 7);
    let asked = statement(PROCESS, SLOT, &row());
    let first = secret(5).public();
    let mut collect = Collect::new(membership.rosters.clone(), asked, &[first]).unwrap();
    let now = Timestamp(1_000);
    let wanted = collect.poll(now, |_| true);
    assert_eq!((wanted.len(), wanted[0].1), (7, first), "everybody, and who most likely has it all first");
    assert!(collect.poll(now, |_| true).is_empty(), "once");
    let mut faults = Vec::new();
    let mut certified = None;
    for (n, (index, key)) in wanted.iter().enumerate() {
        let answer = match n {
            0 => Some(Vouched::Share(BlsSignature([9; 96]))),
            1 => Some(Vouched::Declined(Declined::Differs)),
            _ => Some(share(&membership, key, &asked)),
        };
        let (outcome, found) = collect.answered(now, *index, answer);
        faults.extend(found);
        if let Outcome::Certified(certificate) = outcome {
            certified = Some((n, certificate));
        }
    }
    let (n, certificate) = certified.unwrap();
    assert_eq!(n, 6, "five of seven hold more than two thirds");
    assert_eq!(membership.rosters.verify_certificate(&certificate), Ok(()));
    assert_eq!(
        faults,
        [(wanted[1].0, Fault::Differs), (wanted[0].0, Fault::Forged)],
        "a share is found bad when there is a quorum of them"
    );
}

#[test]
fn a_certificate_of_somebody_else_ends_it_if_it_holds() {
    let membership = member(0, 4);
    let asked = statement(PROCESS, SLOT, &row());
    let mut collect = Collect::new(membership.rosters.clone(), asked, &[]).unwrap();
    let wanted = collect.poll(Timestamp(0), |_| true);
    let other = certificate(&membership, statement(PROCESS, Slot(1), &row()), &[0, 1, 2]);
    let (outcome, faults) = collect.answered(Timestamp(0), wanted[0].0, Some(Vouched::Certificate(Box::new(other))));
    assert_eq!((outcome, faults), (Outcome::Going, vec![(wanted[0].0, Fault::Forged)]));
    let held = Box::new(certificate(&membership, asked, &[0, 1, 2]));
    let (outcome, faults) = collect.answered(Timestamp(0), wanted[1].0, Some(Vouched::Certificate(held.clone())));
    assert_eq!((outcome, faults), (Outcome::Certified(held), Vec::new()));
}

#[test]
fn who_cannot_answer_is_asked_again_later_each_time_and_never_too_many_at_once() {
    let membership = member(0, 40);
    let asked = statement(PROCESS, SLOT, &row());
    let mut collect = Collect::new(membership.rosters.clone(), asked, &[]).unwrap();
    assert!(collect.poll(Timestamp(0), |_| false).is_empty(), "nobody is there");
    let wanted = collect.poll(Timestamp(0), |_| true);
    assert_eq!(wanted.len(), VOUCHERS_ASKED_MAX);
    let (index, key) = wanted[0];
    let only = |one: &BlsKey| *one == key;
    let (mut now, mut pause_ms) = (0, VOUCHERS_REST_MS_MIN);
    for _ in 0..20 {
        for answer in [None, Some(Vouched::Declined(Declined::NotYet))] {
            assert_eq!(collect.answered(Timestamp(now), index, answer), (Outcome::Going, Vec::new()));
            assert!(collect.poll(Timestamp(now + pause_ms - 1), only).is_empty());
            now += pause_ms;
            assert_eq!(collect.poll(Timestamp(now), only), [(index, key)]);
            pause_ms = (pause_ms * 2).min(VOUCHERS_REST_MS_MAX);
        }
    }
    let (no, refuser) = wanted[1];
    assert_eq!(collect.answered(Timestamp(now), no, Some(Vouched::Declined(Declined::NotKept))), (Outcome::Going, Vec::new()));
    assert!(collect.poll(Timestamp(now + VOUCHERS_REFUSED_REST_MS - 1), |one| *one == refuser).is_empty(), "it said no");
    assert_eq!(collect.poll(Timestamp(now + VOUCHERS_REFUSED_REST_MS), |one| *one == refuser), [(no, refuser)]);
    // What is answered twice, or was not asked, counts for nothing.
    let stray = collect.answered(Timestamp(now), 39, Some(Vouched::Share(BlsSignature([9; 96]))));
    assert_eq!(stray, (Outcome::Going, Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evaluator_keeps_the_states_that_are_due_and_gives_them_out() {
    let rig = Rig::certifying_every(3);
    let process = rig.spawn(&[]).await;
    for _ in 0..9 {
        let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
        rig.result(process, sent.id).await;
    }
    let rows = CERTIFIED_STATES.prefix(&*rig.store, &process, Direction::Forward, 99).unwrap();
    assert_eq!(rows.iter().map(|((_, slot), _)| slot.0).collect::<Vec<_>>(), [2, 5, 8]);
    let results = rig.results(process);
    for ((_, slot), row) in &rows {
        let result = results.iter().find(|(key, _)| key.slot == *slot).map(|(_, row)| row).unwrap();
        assert_eq!((row.result, Some(row.state)), (result.result_hash, result.state_hash));
        assert!(row.computed && row.certificate.as_ref().is_some_and(Bytes::is_empty), "a network of one vouches for itself");
        assert_eq!(verify(None, process, *slot, row), Ok(()));
        // A slot of the past is worked out again, and comes out the same.
        let (checkpoint, body) = rig.node.checkpoint_at(process, *slot).await.unwrap();
        assert_eq!((checkpoint.root, checkpoint.parent, checkpoint.bytes), (row.state, None, body.len() as u64));
        assert_eq!(checkpoint.assignment, rig.log(process)[slot.0 as usize].assignment_id);
    }
    let (slot, found) = newest(&*rig.store, process, Slot(7)).unwrap().unwrap();
    assert_eq!((slot, &found), (Slot(5), &rows[1].1));
    assert_eq!(newest(&*rig.store, process, Slot(1)).unwrap(), None);
    assert!(rig.node.checkpoint_at(process, Slot(10)).await.is_err(), "not evaluated yet");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_repeats_another_has_no_state_of_its_own() {
    let rig = Rig::certifying_every(3);
    let process = rig.spawn(&[]).await;
    for _ in 0..5 {
        let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
        rig.result(process, sent.id).await;
    }
    rig.repeat(process, 1, 2);
    rig.forget_all_evaluations(process);
    rig.change(|rows| [2, 5].iter().for_each(|slot| CERTIFIED_STATES.delete(rows, &(process, Slot(*slot)))));
    let rig = rig.restart_certifying(3);
    let last = rig.log(process)[5].item;
    rig.result(process, last).await;
    let rows = CERTIFIED_STATES.prefix(&*rig.store, &process, Direction::Forward, 99).unwrap();
    assert_eq!(rows.iter().map(|((_, slot), _)| slot.0).collect::<Vec<_>>(), [5]);
    rig.stop();
}
