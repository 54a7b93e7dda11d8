use ao_consensus::Timestamp;
use ao_consensus::block::FrameRef;
use ao_types::{BlsKey, BlsSignature, Epoch, Signers};
use arc_malachitebft_core_types::{
    NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType, RoundSignature, SignedMessage, VoteType,
};
use proptest::prelude::*;

use super::*;
use crate::context::{Bft, Proposal, Signature, Vote, Voter};
use crate::limits::{MEMBERS_MAX, ROUND_MAX};
use crate::values::tests::{block, frame};

fn voter() -> impl Strategy<Value = Voter> {
    any::<u8>().prop_map(|byte| Voter(BlsKey([byte; 48])))
}

fn signature() -> impl Strategy<Value = Signature> {
    any::<u8>().prop_map(|byte| Signature(BlsSignature([byte; 96])))
}

fn round() -> impl Strategy<Value = Round> {
    (0..=ROUND_MAX).prop_map(Round::new)
}

fn optional_round() -> impl Strategy<Value = Round> {
    prop_oneof![Just(Round::Nil), round()]
}

fn value() -> impl Strategy<Value = NilOrVal<BlockId>> {
    prop_oneof![Just(NilOrVal::Nil), any::<[u8; 32]>().prop_map(|id| NilOrVal::Val(BlockId(id)))]
}

fn kind() -> impl Strategy<Value = VoteType> {
    prop_oneof![Just(VoteType::Prevote), Just(VoteType::Precommit)]
}

fn body() -> impl Strategy<Value = Block> {
    let frames = proptest::collection::vec((any::<u8>(), any::<u64>()), 0..5);
    (any::<u64>(), any::<u64>(), frames, 0..3usize, any::<Option<[u8; 32]>>()).prop_map(|(height, time, frames, ops, next)| {
        let frames: Vec<FrameRef> = frames.into_iter().map(|(chain, sequence)| frame(chain, sequence)).collect();
        let mut block = block(height, frames, vec![ControlOp::Ledger(Bytes::from_static(b"op")); ops]);
        (block.header.time, block.header.next_committee) = (Timestamp(time), next);
        block
    })
}

fn say() -> impl Strategy<Value = Say> {
    let vote = (kind(), any::<u64>(), round(), value(), voter(), signature()).prop_map(|(kind, height, round, value, voter, signature)| {
        Say::Vote(SignedMessage::new(Vote { kind, height: Height(height), round, value, voter }, signature))
    });
    let proposal = (any::<u64>(), round(), any::<[u8; 32]>(), optional_round(), voter(), signature()).prop_map(
        |(height, round, id, pol_round, proposer, signature)| {
            let proposal = Proposal { height: Height(height), round, value: BlockId(id), pol_round, proposer };
            Say::Proposal(SignedMessage::new(proposal, signature))
        },
    );
    let polka = (any::<u64>(), round(), any::<[u8; 32]>(), proptest::collection::vec((voter(), signature()), 0..5)).prop_map(
        |(height, round, id, all)| {
            let polka_signatures = all.into_iter().map(|(voter, signature)| PolkaSignature::<Bft>::new(voter, signature)).collect();
            Say::Polka(PolkaCertificate { height: Height(height), round, value_id: BlockId(id), polka_signatures })
        },
    );
    let left = (any::<u64>(), round(), any::<bool>(), proptest::collection::vec((kind(), value(), voter(), signature()), 0..5));
    let left = left.prop_map(|(height, round, skip, all)| {
        let cert_type = if skip { RoundCertificateType::Skip } else { RoundCertificateType::Precommit };
        let round_signatures =
            all.into_iter().map(|(kind, value, voter, signature)| RoundSignature::<Bft>::new(kind, value, voter, signature)).collect();
        Say::Round(RoundCertificate { height: Height(height), round, cert_type, round_signatures })
    });
    prop_oneof![vote, proposal, polka, left]
}

fn decided() -> impl Strategy<Value = Decided> {
    (body(), any::<u32>(), any::<u64>(), 1..50usize, any::<u8>()).prop_map(|(block, round, epoch, members, byte)| {
        let mut signers = Signers::none(members);
        signers.insert(0);
        let certificate =
            Certificate { statement: block.header.statement(round), epoch: Epoch(epoch), signers, signature: BlsSignature([byte; 96]) };
        Decided { block, certificate }
    })
}

fn message() -> impl Strategy<Value = Message> {
    let height = || any::<u64>().prop_map(Height);
    prop_oneof![
        (say(), proptest::option::of(body())).prop_map(|(say, body)| {
            let body = if matches!(say, Say::Proposal(_)) { body } else { None };
            Message::Say(say, body)
        }),
        height().prop_map(Message::Tip),
        (height(), any::<[u8; 32]>()).prop_map(|(height, id)| Message::WantBody(height, BlockId(id))),
        body().prop_map(Message::Body),
        height().prop_map(Message::WantBlocks),
        proptest::collection::vec(decided(), 0..3).prop_map(Message::Blocks),
        proptest::collection::vec(any::<u8>(), 0..100).prop_map(|bytes| Message::Op(Box::new(ControlOp::Ledger(bytes.into())))),
    ]
}

proptest! {
    #[test]
    fn what_was_sent_comes_back_and_nothing_else_has_these_bytes(message in message(), cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let bytes = message.to_bytes();
        prop_assert_eq!(Message::decode(&bytes), Ok(message.clone()));
        prop_assert!(Message::decode(&bytes[..cut.index(bytes.len())]).is_err(), "a message that was cut is none");
        prop_assert!(Message::decode(&[&bytes[..], &[0]].concat()).is_err(), "nor is one with something behind it");
        let mut changed = bytes.to_vec();
        changed[at.index(bytes.len())] ^= 1 << bit;
        if let Ok(other) = Message::decode(&changed) {
            prop_assert_ne!(&other, &message);
            prop_assert_eq!(&other.to_bytes()[..], &changed[..], "one form each");
        }
    }
}

#[test]
fn the_format_does_not_change_by_accident() {
    let voter = Voter(BlsKey([1; 48]));
    let vote = Vote { kind: VoteType::Precommit, height: Height(3), round: Round::new(2), value: NilOrVal::Val(BlockId([9; 32])), voter };
    let vote = Message::Say(Say::Vote(SignedMessage::new(vote, Signature(BlsSignature([2; 96])))), None).to_bytes();
    let head = [&[1u8, 1, 2][..], &3u64.to_be_bytes(), &2u32.to_be_bytes(), &[1], &[9; 32], &[1; 48], &[2; 96]].concat();
    assert_eq!(vote, head, "version, message, step, height, round, block, voter, signature");
    assert_eq!(Message::Tip(Height(5)).to_bytes(), [&[1u8, 5][..], &5u64.to_be_bytes()].concat());
    let block = Message::Body(block(7, vec![frame(1, 4)], vec![])).to_bytes();
    assert_eq!(block.len(), 2 + 186 + 4 + 4 + 81, "message, header, no operations, one frame");
    assert_eq!(
        Message::decode(&[2, 5, 0, 0, 0, 0, 0, 0, 0, 5]),
        Err(CodecError::Version { what: "message", expected: MESSAGE_VERSION, found: 2 })
    );
}

#[test]
fn counts_are_bounded_before_anything_is_made_room_for() {
    let mut polka = vec![MESSAGE_VERSION, 3];
    polka.extend_from_slice(&[0; 8 + 4 + 32]);
    polka.extend_from_slice(&(MEMBERS_MAX as u32 + 1).to_be_bytes());
    assert!(matches!(Message::decode(&polka), Err(CodecError::Bound { max: MEMBERS_MAX, .. })));
    let mut blocks = vec![MESSAGE_VERSION, 9];
    blocks.extend_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(Message::decode(&blocks), Err(CodecError::Bound { max: SYNC_BLOCKS_MAX, .. })));
    assert!(matches!(Message::decode(&vec![MESSAGE_VERSION; MESSAGE_BYTES_MAX + 1]), Err(CodecError::Bound { .. })));
    let mut vote = vec![MESSAGE_VERSION, 1, 1];
    vote.extend_from_slice(&[0; 8]);
    vote.extend_from_slice(&(ROUND_MAX + 1).to_be_bytes());
    vote.extend_from_slice(&[0; 200]);
    assert!(matches!(Message::decode(&vote), Err(CodecError::Bound { what: "round", .. })));
}
