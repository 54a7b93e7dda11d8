use super::*;
use crate::cheap::CheapSecret;
use crate::example::{NETWORK, certify, chain, frames, next, rosters, statement, wallet};
use crate::frame::SignedHeader;
use crate::scheme::SecretKey;
use crate::tip::{Built, ChainTip};
use ao_types::attestation::VoteStep;
use ao_types::{BlockValue, Id, ItemBuilder, ResultHash, Signer as _, Slot, StateHash};
use proptest::prelude::*;

fn raw(built: &Built, n: u8) -> RawHeader {
    SignedHeader::sign(built.frame.header.clone(), &wallet(n)).unwrap().to_raw().unwrap()
}

fn attest(n: u64, statement: Statement) -> Attestation {
    let secret = CheapSecret::new(n);
    Attestation { statement, key: secret.public(), signature: secret.sign(&statement.message(&NETWORK)) }
}

fn headers(frames: &[Built]) -> Vec<FrameHeader> {
    frames.iter().rev().map(|built| built.frame.header.clone()).collect()
}

/// A chain of eight frames, and another branch of it from frame 3 on.
fn two_branches() -> (Vec<Built>, Vec<Built>) {
    let main = frames(8, |n| n == 2);
    let mut branch = main[..3].to_vec();
    for _ in 3..8 {
        branch.push(next(&branch.last().unwrap().tip, 1, vec![]));
    }
    (main, branch)
}

fn verify(evidence: Evidence) -> Result<Offender, EvidenceError> {
    assert_eq!(Evidence::decode(&evidence.encode()), Ok(evidence.clone()), "canonical bytes");
    let verdict = evidence.verify(&rosters());
    // Whom it accuses without a look at signatures is whom it convicts.
    if let (Ok(offender), Some(accused)) = (&verdict, evidence.accused()) {
        assert_eq!(accused, *offender);
    }
    verdict
}

#[test]
fn two_headers_for_one_place_convict_the_scheduler() {
    let (main, branch) = two_branches();
    let two = |one: RawHeader, two: RawHeader| verify(Evidence::TwoHeaders(Box::new((one, two))));
    assert_eq!(two(raw(&main[5], 1), raw(&branch[5], 1)), Ok(Offender::Scheduler(chain().scheduler, Some(chain()))));
    assert_eq!(two(raw(&main[5], 1), raw(&main[5], 1)), Err(EvidenceError::NoContradiction));
    assert_eq!(two(raw(&main[5], 1), raw(&branch[6], 1)), Err(EvidenceError::NoContradiction));
    assert!(matches!(two(raw(&main[5], 1), raw(&branch[5], 2)), Err(EvidenceError::Frame(FrameError::Signer { .. }))));
    let mut forged = raw(&branch[5], 1);
    forged.header.block_id[0] ^= 1;
    assert!(matches!(two(raw(&main[5], 1), forged), Err(EvidenceError::Frame(FrameError::Signature { .. }))));
    let foreign = next(&ChainTip::opened(chain()), 1, vec![]);
    let mut other = foreign.frame.header.clone();
    other.network_id.0[0] ^= 1;
    let other = SignedHeader::sign(other, &wallet(1)).unwrap().to_raw().unwrap();
    assert_eq!(two(raw(&foreign, 1), other), Err(EvidenceError::Network));
}

#[test]
fn two_branches_convict_the_attestor_wherever_they_part() {
    let (main, branch) = two_branches();
    let two = |n: u64, low: &Built, high: &Built, between: &[Built]| {
        let (lower, higher) = (attest(1, statement(low)), attest(n, statement(high)));
        verify(Evidence::TwoBranches { lower, higher, headers: headers(between) })
    };
    let guilty = Ok(Offender::Attestors(vec![CheapSecret::new(1).public()]));
    assert_eq!(two(1, &main[4], &branch[4], &[]), guilty);
    assert_eq!(two(1, &main[3], &branch[7], &branch[4..8]), guilty);
    assert_eq!(two(1, &main[2], &branch[7], &branch[3..8]), Err(EvidenceError::NoContradiction), "an ancestor");
    assert_eq!(two(1, &main[3], &main[7], &main[4..8]), Err(EvidenceError::NoContradiction), "one branch");
    assert_eq!(two(2, &main[4], &branch[4], &[]), Err(EvidenceError::NoContradiction), "two keys");
    assert_eq!(two(1, &main[3], &branch[7], &branch[5..8]), Err(EvidenceError::Branch { index: 3 }), "a header is missing");
    assert_eq!(two(1, &main[3], &branch[7], &main[4..8]), Err(EvidenceError::Branch { index: 0 }), "the other branch's headers");
    assert_eq!(two(1, &branch[7], &main[3], &[]), Err(EvidenceError::NoContradiction), "the wrong way round");
    let mut bent = attest(1, statement(&branch[4]));
    bent.signature = attest(1, statement(&main[5])).signature;
    let evidence = Evidence::TwoBranches { lower: attest(1, statement(&main[4])), higher: bent, headers: vec![] };
    assert_eq!(verify(evidence), Err(EvidenceError::Verify(VerifyError::Signature)));
}

fn seal(n: u64, highest: Option<&Built>) -> Seal {
    let highest_of = highest.map(|built| (built.frame.header.sequence, built.id));
    let certificates = highest.and_then(|built| certify(statement(built), 0, 3)).into_iter().collect();
    let mut seal =
        Seal { key: CheapSecret::new(n).public(), chain: chain(), highest: highest_of, certificates, signature: BlsSignature([0; 96]) };
    seal.signature = CheapSecret::new(n).sign(&seal.statement().message(&NETWORK));
    seal
}

#[test]
fn a_seal_that_hides_what_the_key_had_seen_is_broken() {
    // Frame 4 carries the certificate of 3.
    let main = frames(8, |n| n == 4);
    let broken = |highest: Option<&Built>, attested: &Built, between: &[Built]| {
        let (seal, attestation) = (Box::new(seal(1, highest)), attest(1, statement(attested)));
        verify(Evidence::SealBroken { seal, attestation, headers: headers(between) })
    };
    let guilty = Ok(Offender::Attestors(vec![CheapSecret::new(1).public()]));
    assert_eq!(broken(None, &main[4], &main[4..5]), guilty);
    assert_eq!(broken(Some(&main[2]), &main[6], &main[4..7]), guilty);
    assert_eq!(broken(Some(&main[3]), &main[6], &main[4..7]), Err(EvidenceError::NoContradiction), "it shows all it knew");
    assert_eq!(broken(None, &main[3], &main[3..4]), Err(EvidenceError::NoContradiction), "it had seen none");
    assert_eq!(broken(None, &main[6], &main[5..7]), Err(EvidenceError::NoContradiction), "no header carries one");
    let other =
        Evidence::SealBroken { seal: Box::new(seal(2, None)), attestation: attest(1, statement(&main[4])), headers: headers(&main[4..5]) };
    assert_eq!(verify(other), Err(EvidenceError::NoContradiction));
}

#[test]
fn two_certificates_that_exclude_one_another_convict_all_in_both() {
    let (main, branch) = two_branches();
    let two = |lower: Certificate, higher: Certificate, between: &[Built]| {
        verify(Evidence::TwoCertificates { lower, higher, headers: headers(between) })
    };
    let of = |built: &Built, count| certify(statement(built), 0, count).unwrap();
    let Ok(Offender::Attestors(keys)) = two(of(&main[4], 3), of(&branch[4], 4), &[]) else { panic!("convicts") };
    assert_eq!(keys.len(), 3);
    assert!(matches!(two(of(&main[3], 3), of(&branch[6], 3), &branch[4..7]), Ok(Offender::Attestors(keys)) if keys.len() == 3));
    assert_eq!(two(of(&main[3], 3), of(&main[6], 3), &main[4..7]), Err(EvidenceError::NoContradiction));
    let block = |round, value: u8| certify(Statement::Block { height: 5, round, value: BlockValue([value; 32]) }, 0, 3).unwrap();
    assert!(two(block(0, 1), block(7, 2), &[]).is_ok(), "two blocks of one height, whatever the round");
    assert_eq!(two(block(0, 1), block(1, 1), &[]), Err(EvidenceError::NoContradiction));
    let mut weak = of(&branch[4], 3);
    let first = weak.signers.iter().next().unwrap();
    weak.signers.remove(first);
    assert!(matches!(two(of(&main[4], 3), weak, &[]), Err(EvidenceError::Verify(VerifyError::Quorum { .. }))));
}

#[test]
fn two_votes_of_one_step_convict_and_a_stranger_is_nobody() {
    let vote = |n: u64, round, step, value: Option<u8>| {
        let statement = Statement::Vote { height: 3, round, step, value: value.map(|value| BlockValue([value; 32])) };
        let signature = VoteSignature::Bls(CheapSecret::new(n).sign(&statement.message(&NETWORK)));
        SignedVote { statement, key: CheapSecret::new(n).public(), epoch: Epoch(0), signature }
    };
    let two = |one: SignedVote, two: SignedVote| verify(Evidence::TwoVotes(Box::new((one, two))));
    let (prevote, precommit) = (VoteStep::Prevote, VoteStep::Precommit);
    let guilty = Ok(Offender::Attestors(vec![CheapSecret::new(1).public()]));
    assert_eq!(two(vote(1, 0, prevote, Some(1)), vote(1, 0, prevote, Some(2))), guilty);
    assert_eq!(two(vote(1, 0, precommit, Some(1)), vote(1, 0, precommit, None)), guilty);
    for (one, other) in [
        (vote(1, 0, prevote, Some(1)), vote(1, 0, prevote, Some(1))),
        (vote(1, 0, prevote, Some(1)), vote(1, 1, prevote, Some(2))),
        (vote(1, 0, prevote, Some(1)), vote(1, 0, precommit, Some(2))),
        (vote(1, 0, prevote, Some(1)), vote(2, 0, prevote, Some(2))),
    ] {
        assert_eq!(two(one, other), Err(EvidenceError::NoContradiction));
    }
    let stranger = two(vote(9, 0, prevote, Some(1)), vote(9, 0, prevote, Some(2)));
    assert!(matches!(stranger, Err(EvidenceError::Verify(VerifyError::NotMember { .. }))));
    let mut bent = vote(1, 0, prevote, Some(2));
    bent.signature = vote(1, 0, prevote, Some(1)).signature;
    assert_eq!(two(vote(1, 0, prevote, Some(1)), bent), Err(EvidenceError::Verify(VerifyError::Signature)));
}

#[test]
fn two_results_for_one_slot_on_one_kind_of_host() {
    let result = |n, result: u8, host_abi| {
        let statement = Statement::Result {
            process: Id([1; 32]),
            schedule_epoch: 0,
            slot: Slot(4),
            result: ResultHash([result; 32]),
            host_abi,
            state: StateHash([9; 32]),
        };
        attest(n, statement)
    };
    let two = |one, two| verify(Evidence::TwoResults(Box::new((one, two))));
    assert!(two(result(1, 1, 1), result(1, 2, 1)).is_ok());
    assert_eq!(two(result(1, 1, 1), result(1, 2, 2)), Err(EvidenceError::NoContradiction), "another machine");
    assert_eq!(two(result(1, 1, 1), result(2, 2, 1)), Err(EvidenceError::NoContradiction));
}

#[test]
fn two_assignments_of_one_slot_convict_their_scheduler() {
    use crate::schedule::{Clock, ToAssign, assign_run};
    let assigned = |message: u8| {
        let items = vec![ToAssign { item: None, exclude: Vec::new() }, ToAssign { item: Some(Id([message; 32])), exclude: Vec::new() }];
        let clock = Clock { now: crate::Timestamp(1), block_height: 1 };
        assign_run(Id([7; 32]), None, clock, items, &wallet(1)).unwrap().remove(1).assignment.as_bytes().clone()
    };
    let two = |one: Bytes, two: Bytes| verify(Evidence::TwoAssignments(one, two));
    assert_eq!(two(assigned(1), assigned(2)), Ok(Offender::Scheduler(wallet(1).address(), None)));
    assert_eq!(two(assigned(1), assigned(1)), Err(EvidenceError::NoContradiction));
    let item = ItemBuilder::new().sign(&wallet(1)).unwrap().as_bytes().clone();
    assert!(matches!(two(assigned(1), item), Err(EvidenceError::Assignment { .. })));
}

proptest! {
    #[test]
    fn hostile_bytes_convict_nobody(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(evidence) = Evidence::decode(&bytes) {
            prop_assert_eq!(evidence.encode(), bytes);
            prop_assert!(evidence.verify(&rosters()).is_err());
        }
    }
}
