//! What the fuzz targets of `consensus/attest/fuzz` run; the same bodies run in the ordinary tests, over damaged samples.
//!
//! Bytes of peers reach this engine in one place, [`Input::Peer`], and its own records at every start. Not part of any node.
#![allow(clippy::expect_used, reason = "this is test code: what fails is a finding")]

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::contract::{committee_of, peer};
use ao_consensus::{Consensus as _, Effect, Input, OriginChange, OriginUpdate, Record, SecretKey, Setup, Timestamp};
use ao_types::{Address, Canonical as _, Chain, Epoch, Id, NetworkId, PeerId};
use bytes::Bytes;

use crate::Attest;
use crate::record::recall;
use crate::wire::Message;

/// The network of the samples.
pub const NETWORK: NetworkId = NetworkId([7; 32]);

/// The chain of the samples.
pub const CHAIN: Chain = Chain { scheduler: Address::Arweave(Id([1; 32])), tenure: 0 };

fn engine(signer: Option<u64>, own: Option<Chain>) -> Attest {
    Attest::new(Setup {
        network: NETWORK,
        scheme: Arc::new(Cheap),
        signer: signer.map(|n| Arc::new(CheapSecret::new(n)) as Arc<dyn SecretKey>),
        own,
        peer: peer(signer.unwrap_or(9)),
        secret: [2; 32],
        params: BTreeMap::new(),
        records: Vec::new(),
        guards: Vec::new(),
        confirmed: Vec::new(),
        decided: 0,
    })
    .expect("an engine without records")
}

/// Any bytes as a message of a peer and as a record: no panic, one form of bytes, and an engine that knows no committee does no more than
/// blame the sender.
pub fn message(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    if let Ok(message) = Message::decode(input) {
        assert_eq!(message.encode(), input);
        assert!(message.subject().is_some());
    }
    for key in ["attest/known/", "attest/bound/"] {
        drop(recall(&Record { key: key.into(), value: bytes.clone(), guards: Vec::new() }));
    }
    let mut out = Vec::new();
    engine(None, None).handle(Timestamp(0), Input::Peer(PeerId(Bytes::from_static(b"there")), bytes), &mut out);
    assert!(out.iter().all(|effect| matches!(effect, Effect::Penalise(..))), "{out:?}");
}

/// Any messages from four members and a stranger into an engine that signs, schedules and adds up: no panic, and without a frame it
/// neither signs nor confirms anything. Each message is led by its length, in two bytes.
pub fn messages(input: &[u8]) {
    let committee = Arc::new(committee_of(Epoch(0), &[1; 4]));
    let mut engine = engine(Some(0), Some(CHAIN));
    let mut out = Vec::new();
    let changes = vec![
        OriginChange::Epoch { epoch: Epoch(0), committee: committee.root(), frame_rate_max: 100 },
        OriginChange::Admitted { scheduler: CHAIN.scheduler, peer: peer(0) },
        OriginChange::Opened { chain: CHAIN },
    ];
    engine.handle(Timestamp(1), Input::Committee(committee), &mut out);
    engine.handle(Timestamp(1), Input::Origin(Box::new(OriginUpdate { height: 0, time: Timestamp(0), changes })), &mut out);
    ao_consensus::fuzzing::hear(&mut engine, input, &mut out);
    for tick in 1..5 {
        engine.handle(Timestamp(tick * 10_000), Input::Tick, &mut out);
    }
    let invented = |effect: &Effect| matches!(effect, Effect::Remember(_) | Effect::Confirmed(_));
    assert!(!out.iter().any(invented), "{out:?}");
}

#[cfg(test)]
#[path = "../../core/src/fuzzing/tests/seeds.rs"]
mod seeds;
#[cfg(test)]
mod tests {
    use ao_consensus::block::FrameRef;
    use ao_consensus::fuzzing::damaged;
    use ao_types::{Attestation, BlsSignature, Certificate, FrameId, Signers, Statement};

    use super::seeds::seeds;
    use super::*;

    fn words() -> Vec<Message> {
        let statement = |sequence: u64| Statement::Frame { chain: CHAIN, sequence, frame: FrameId([4; 32]) };
        let share = |n: u64, sequence| {
            let (secret, statement) = (CheapSecret::new(n), statement(sequence));
            Message::Share(Attestation { statement, key: secret.public(), signature: secret.sign(&statement.message(&NETWORK)) })
        };
        let mut signers = Signers::none(4);
        (0..3).for_each(|member| assert!(signers.insert(member)));
        let certificate = Certificate { statement: statement(3), epoch: Epoch(0), signers, signature: BlsSignature([6; 96]) };
        vec![
            share(2, 0),
            share(3, 0),
            share(4, 64),
            Message::Sum(certificate.clone()),
            Message::Certified(vec![certificate]),
            Message::Announce(FrameRef { chain: CHAIN, sequence: 3, frame: FrameId([4; 32]) }),
        ]
    }

    fn together(words: &[Message]) -> Vec<u8> {
        let lengthy = |word: &Message| [&(word.encode().len() as u16).to_be_bytes()[..], &word.encode()].concat();
        words.iter().flat_map(lengthy).collect()
    }

    #[test]
    fn single_messages() {
        let samples: Vec<_> = words().iter().map(|word| word.encode()).collect();
        seeds(env!("CARGO_MANIFEST_DIR"), "message", &samples);
        damaged(message, &samples, 300);
    }

    #[test]
    fn many_messages() {
        let samples = [together(&words()), together(&words()[..1]), together(&[words(), words()].concat())];
        seeds(env!("CARGO_MANIFEST_DIR"), "messages", &samples);
        damaged(messages, &samples, 300);
    }
}
