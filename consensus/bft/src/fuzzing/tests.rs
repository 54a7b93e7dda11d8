//! The targets over samples that are whole, and over the same damaged. The samples are the seeds of `fuzz/seeds`.

use ao_consensus::SecretKey as _;
use ao_consensus::control::ControlOp;
use ao_consensus::fuzzing::damaged;
use ao_types::{BlsSignature, Certificate, Signers};
use arc_malachitebft_core_types::{
    NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType, RoundSignature, SignedMessage, VoteType,
};
use bytes::Bytes;

use super::seeds::seeds;
use super::*;
use crate::context::{Bft, BlockId, Proposal, Signature, Vote, Voter};
use crate::driver::Say;
use crate::message::Decided;
use crate::signing::{proposal_message, vote_message};
use crate::values::tests::{block, frame};

fn vote(n: u64, kind: VoteType, round: u32, value: NilOrVal<BlockId>) -> (Vote, Signature) {
    let secret = CheapSecret::new(n);
    let vote = Vote { kind, height: Height(1), round: Round::new(round), value, voter: Voter(secret.public()) };
    let signature = Signature(secret.sign(&vote_message(&NETWORK, &vote)));
    (vote, signature)
}

/// One of every kind, signed by members of the committee.
fn words() -> Vec<Message> {
    let body = block(1, vec![frame(1, 0)], vec![ControlOp::Ledger(Bytes::from_static(b"op"))]);
    let id = BlockId(body.header.value().0);
    let said = |(vote, signature)| Message::Say(Say::Vote(SignedMessage::new(vote, signature)), None);
    let secret = CheapSecret::new(1);
    let proposal = Proposal { height: Height(1), round: Round::new(0), value: id, pol_round: Round::Nil, proposer: Voter(secret.public()) };
    let signature = Signature(secret.sign(&proposal_message(&NETWORK, &proposal)));
    let prevotes = || (1..4).map(|n| vote(n, VoteType::Prevote, 0, NilOrVal::Val(id)));
    let polka_signatures = prevotes().map(|(vote, signature)| PolkaSignature::<Bft>::new(vote.voter, signature)).collect();
    let left = (1..4).map(|n| vote(n, VoteType::Precommit, 0, NilOrVal::Nil));
    let round_signatures = left.map(|(vote, signature)| RoundSignature::<Bft>::new(vote.kind, vote.value, vote.voter, signature)).collect();
    let mut signers = Signers::none(4);
    (0..3).for_each(|member| assert!(signers.insert(member)));
    let certificate = Certificate { statement: body.header.statement(0), epoch: Epoch(0), signers, signature: BlsSignature([6; 96]) };
    let mut words = vec![
        Message::Say(Say::Proposal(SignedMessage::new(proposal, signature)), Some(body.clone())),
        Message::Say(Say::Polka(PolkaCertificate { height: Height(1), round: Round::new(0), value_id: id, polka_signatures }), None),
        Message::Say(
            Say::Round(RoundCertificate {
                height: Height(1),
                round: Round::new(0),
                cert_type: RoundCertificateType::Precommit,
                round_signatures,
            }),
            None,
        ),
        Message::Tip(Height(3)),
        Message::WantBody(Height(1), id),
        Message::Body(body.clone()),
        Message::WantBlocks(Height(1)),
        Message::Blocks(vec![Decided { block: body, certificate }]),
        Message::Op(Box::new(ControlOp::Ledger(Bytes::from_static(b"an operation")))),
        said(vote(1, VoteType::Precommit, 1, NilOrVal::Nil)),
        // Nothing follows the last number there is.
        Message::WantBlocks(Height(u64::MAX)),
        Message::Tip(Height(u64::MAX)),
    ];
    words.extend(prevotes().map(said));
    words
}

fn together(words: &[Message]) -> Vec<u8> {
    let lengthy = |word: &Message| [&(word.to_bytes().len() as u16).to_be_bytes()[..], &word.to_bytes()].concat();
    words.iter().flat_map(lengthy).collect()
}

#[test]
fn single_messages() {
    let samples: Vec<Vec<u8>> = words().iter().map(|word| word.to_bytes().to_vec()).collect();
    seeds(env!("CARGO_MANIFEST_DIR"), "message", &samples);
    damaged(message, &samples, 500);
}

#[test]
fn many_messages() {
    let samples = [together(&words()), together(&words()[..2]), together(&words()[9..]), together(&words()[10..12])];
    seeds(env!("CARGO_MANIFEST_DIR"), "engine", &samples);
    damaged(engine, &samples, 200);
}

#[test]
fn logs() {
    let samples = crate::wal::tests::samples();
    seeds(env!("CARGO_MANIFEST_DIR"), "log", &samples);
    damaged(log, &samples, 2_000);
}
