use ao_consensus::cheap::Cheap;
use ao_consensus::contract::{committee_of, peer};
use ao_consensus::scheme::SecretKey;
use ao_types::Epoch;
use arc_malachitebft_core_types::{PolkaSignature, Round, SignedMessage};

use super::*;
use crate::context::Height;

const NETWORK: NetworkId = NetworkId([7; 32]);

fn secret(index: u64) -> ao_consensus::cheap::CheapSecret {
    ao_consensus::cheap::CheapSecret::new(index)
}

fn ballots(count: usize) -> Ballots {
    let seats = Seats::new(&Cheap, Arc::new(committee_of(Epoch(0), &vec![1; count]))).expect("a committee");
    Ballots::new(NETWORK, Arc::new(Cheap), [3; 32], seats)
}

fn vote(index: u64, round: u32) -> SignedVote<Bft> {
    let value = NilOrVal::Val(BlockId([1; 32]));
    let vote = Vote { kind: VoteType::Prevote, height: Height(1), round: Round::new(round), value, voter: Voter(secret(index).public()) };
    let signature = Signature(secret(index).sign(&vote_message(&NETWORK, &vote)));
    SignedMessage::new(vote, signature)
}

fn bad(index: u64, number: u8) -> SignedVote<Bft> {
    SignedMessage::new(vote(index, 0).message, Signature(secret(99).sign(&[number])))
}

#[test]
fn votes_come_out_when_they_make_a_quorum_or_have_waited() {
    let mut ballots = ballots(4);
    for index in 0..2 {
        assert_eq!(ballots.take(Timestamp(index), Some(peer(index)), vote(index, 0)), Checked::default());
    }
    assert_eq!(ballots.take(Timestamp(2), Some(peer(2)), vote(2, 1)), Checked::default(), "another round does not count");
    assert_eq!(ballots.take(Timestamp(3), Some(peer(2)), vote(2, 0)).good.len(), 3);
    assert_eq!(ballots.take(Timestamp(3), Some(peer(2)), vote(2, 0)), Checked::default(), "once");
    assert_eq!(ballots.next_deadline(), Some(Timestamp(2 + VOTE_WAIT_MS)));
    assert_eq!(ballots.due(Timestamp(1 + VOTE_WAIT_MS)), Checked::default());
    assert_eq!(ballots.due(Timestamp(2 + VOTE_WAIT_MS)).good, vec![(Some(peer(2)), vote(2, 1))]);
    assert_eq!((ballots.next_deadline(), ballots.count), (None, 0));
}

#[test]
fn votes_beyond_a_quorum_are_checked_only_if_their_voter_voted_otherwise_too() {
    let otherwise = |index: u64| {
        let message = Vote { value: NilOrVal::Nil, ..vote(index, 0).message };
        let signature = Signature(secret(index).sign(&vote_message(&NETWORK, &message)));
        SignedMessage::new(message, signature)
    };
    for first in [true, false] {
        let mut ballots = ballots(7);
        if first {
            ballots.take(Timestamp(0), Some(peer(6)), otherwise(6));
            assert_eq!(ballots.due(Timestamp(VOTE_WAIT_MS)).good.len(), 1);
        }
        (0..4).for_each(|index| drop(ballots.take(Timestamp(9), Some(peer(index)), vote(index, 0))));
        assert_eq!(ballots.take(Timestamp(9), Some(peer(4)), vote(4, 0)).good.len(), 5);
        ballots.take(Timestamp(9), Some(peer(5)), vote(5, 0));
        assert_eq!(ballots.next_deadline(), None, "enough have voted");
        ballots.take(Timestamp(9), Some(peer(6)), vote(6, 0));
        if !first {
            ballots.take(Timestamp(9), Some(peer(6)), otherwise(6));
        }
        let good = ballots.due(Timestamp(9 + VOTE_WAIT_MS)).good;
        assert!(good.contains(&(Some(peer(6)), vote(6, 0))));
        assert_eq!(good.contains(&(Some(peer(6)), otherwise(6))), !first, "it was checked before");
    }
}

#[test]
fn bad_votes_cost_their_senders_and_keep_no_good_one_out() {
    let mut ballots = ballots(7);
    ballots.take(Timestamp(0), Some(peer(6)), bad(0, 0));
    for index in 0..4 {
        assert_eq!(ballots.take(Timestamp(0), Some(peer(index)), vote(index, 0)), Checked::default());
    }
    let checked = ballots.take(Timestamp(0), Some(peer(4)), vote(4, 0));
    assert_eq!(checked.blamed, vec![peer(6)]);
    assert_eq!(
        checked.good.iter().map(|(from, _)| from.clone()).collect::<Vec<_>>(),
        (0..5).map(|index| Some(peer(index))).collect::<Vec<_>>()
    );
}

/// Two errors that cancel each other out in the sum: [`Cheap`] signatures are numbers that add up like points of a curve.
#[test]
fn errors_that_cancel_out_are_noticed() {
    let shift = |vote: SignedVote<Bft>, by: u64| {
        let mut bytes = vote.signature.0.0;
        let number = u64::from_be_bytes(bytes[8..16].try_into().expect("eight bytes"));
        bytes[8..16].copy_from_slice(&number.wrapping_add(by).to_be_bytes());
        SignedMessage::new(vote.message, Signature(BlsSignature(bytes)))
    };
    let (one, two) = (shift(vote(0, 0), 5), shift(vote(1, 0), 5u64.wrapping_neg()));
    let sum = |votes: &[&SignedVote<Bft>]| Cheap.aggregate(&votes.iter().map(|vote| vote.signature.0).collect::<Vec<_>>());
    assert_eq!(sum(&[&one, &two]), sum(&[&vote(0, 0), &vote(1, 0)]), "their sum is right");
    let mut ballots = ballots(4);
    ballots.take(Timestamp(0), Some(peer(0)), one);
    ballots.take(Timestamp(0), Some(peer(1)), two);
    let checked = ballots.take(Timestamp(0), Some(peer(2)), vote(2, 0));
    assert_eq!((checked.good, checked.blamed), (vec![(Some(peer(2)), vote(2, 0))], vec![peer(0), peer(1)]));
}

#[test]
fn what_waits_is_bounded() {
    let mut ballots = ballots(4);
    for number in 0..10 {
        ballots.take(Timestamp(0), Some(peer(3)), bad(0, number));
    }
    assert_eq!(ballots.count, VARIANTS_PER_VOTER_MAX, "in one member's name");
    for round in 1..1000 {
        ballots.take(Timestamp(0), Some(peer(1)), vote(1, round));
    }
    assert_eq!(ballots.count, 4 * VOTES_WAITING_PER_MEMBER_MAX);
    let stranger = vote(17, 0);
    assert_eq!(ballots.take(Timestamp(0), Some(peer(17)), stranger), Checked::default());
}

#[test]
fn votes_that_are_not_needed_keep_no_others_out_in_a_height_of_many_rounds() {
    let mut ballots = ballots(4);
    for round in 0..500 {
        let good: usize = (0..4).map(|index| ballots.take(Timestamp(0), Some(peer(index)), vote(index, round)).good.len()).sum();
        assert_eq!(good, 3, "round {round}");
    }
    assert!(ballots.count <= 4 * VOTES_WAITING_PER_MEMBER_MAX);
}

#[test]
fn a_polka_holds_by_its_sum() {
    let ballots = ballots(4);
    let signature = |index: u64| PolkaSignature::new(vote(index, 0).message.voter, vote(index, 0).signature);
    let polka =
        |polka_signatures| PolkaCertificate { height: Height(1), round: Round::new(0), value_id: BlockId([1; 32]), polka_signatures };
    assert!(ballots.polka_holds(&polka((0..3).map(signature).collect())));
    assert!(!ballots.polka_holds(&polka(vec![signature(0), signature(0)])), "a member counts once");
    assert!(!ballots.polka_holds(&polka(vec![])));
    let wrong = PolkaSignature::new(vote(1, 0).message.voter, vote(2, 0).signature);
    assert!(!ballots.polka_holds(&polka(vec![signature(0), wrong])));
}
