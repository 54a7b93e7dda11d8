//! What the fuzz targets of `consensus/core/fuzz` run: every place where bytes of strangers are read here, and what must hold there. The
//! same bodies run in the ordinary tests, over damaged samples (`fuzzing/tests.rs`); the samples are the seeds of the fuzzer.
//!
//! Owns [`damaged`] and [`hear`] as well, which the crates above use for targets of their own. Not part of any node.
#![allow(clippy::expect_used, reason = "this is test code: what fails is a finding")]

use std::fmt::Debug;
use std::sync::Arc;

use ao_types::codec::Canonical;
use ao_types::{Address, Attestation, Certificate, Chain, Committee, Epoch, Genesis, NetworkId, Statement};
use bytes::Bytes;

use crate::block::{Block, BlockHeader};
use crate::bls::Bls;
use crate::cheap::Cheap;
use crate::contract::random::Random;
use crate::contract::{committee_of, peer};
use crate::frame::{Chunk, WireFrame};
use crate::proof::{verify, verify_slot};
use crate::protection::interchange::{export, import};
use crate::tip::Built;
use crate::{
    Body, ChainTip, Confirmation, Consensus, ControlOp, Draft, Effect, Evidence, Frame, FrameHeader, Input, RawHeader, Rosters, Seal,
    SlotProof, Timestamp,
};

const NETWORK: NetworkId = NetworkId([0; 32]);

/// Any messages into an engine, each behind its length in two bytes, from four members and a stranger in turn, a millisecond apart from 2 on.
pub fn hear(engine: &mut dyn Consensus, input: &[u8], out: &mut Vec<Effect>) {
    let (mut rest, mut now) = (input, 2);
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(more.len());
        let (message, behind) = more.split_at(length);
        engine.handle(Timestamp(now), Input::Peer(peer(now % 5), Bytes::copy_from_slice(message)), out);
        (rest, now) = (behind, now + 1);
    }
}

/// Runs a target on samples, and on each of them damaged by a fixed generator: a moment of fuzzing in every run of the tests.
pub fn damaged(target: impl Fn(&[u8]), samples: &[Vec<u8>], rounds: usize) {
    let mut random = Random::new(1);
    for sample in samples {
        target(sample);
        for round in 0..rounds {
            let mut bytes = sample.clone();
            for _ in 0..=round % 4 {
                let at = random.below(bytes.len());
                match (bytes.is_empty(), random.below(5)) {
                    (true, _) => bytes.push(random.draw() as u8),
                    (_, 0) => bytes.truncate(at.max(1)),
                    (_, 1) => bytes.insert(at, random.draw() as u8),
                    (_, 2) => bytes[at] ^= 1 << random.below(8),
                    // Lengths and counts are what bytes of all ones hurt most.
                    (_, 3) => bytes[at] = 0xff,
                    _ => bytes[at] = random.draw() as u8,
                }
            }
            target(&bytes);
        }
    }
}

/// Reads a value; whatever is read is written as the very same bytes.
pub fn one_form<T: Canonical + Debug + PartialEq>(input: &[u8]) -> Option<T> {
    let value = T::decode(input).ok()?;
    assert_eq!(value.encode(), input);
    Some(value)
}

/// Nobody's: nothing holds.
fn nobody() -> Rosters {
    Rosters::new(NETWORK, Arc::new(Bls), [0; 32])
}

/// Those of the samples, so that what looks behind signatures is reached as well.
fn four() -> Rosters {
    let mut rosters = Rosters::new(NetworkId([7; 32]), Arc::new(Cheap), [0; 32]);
    rosters.insert(Arc::new(committee_of(Epoch(0), &[1; 4]))).expect("a committee of four");
    rosters
}

/// A frame of somebody's.
fn built(body: Body) -> Option<Built> {
    let chain = Chain { scheduler: Address::Ethereum([1; 20]), tenure: 0 };
    ChainTip::opened(chain).build(Draft::alone(NETWORK, body, Timestamp(0), (0, [0; 48]))).ok()
}

/// A decided block or its header.
pub fn block(input: &[u8]) {
    one_form::<BlockHeader>(input);
    if let Some(block) = one_form::<Block>(input) {
        for index in 0..block.frames.len() {
            assert!(block.frame_path(index).is_some());
        }
    }
}

/// A statement, attestation, certificate, committee, or what a chain stands at; points are parsed and checked.
pub fn certificate(input: &[u8]) {
    one_form::<Statement>(input);
    one_form::<ChainTip>(input);
    let mut rosters = nobody();
    if let Some(committee) = one_form::<Committee>(input) {
        drop(rosters.insert(Arc::new(committee)));
    }
    if let Some(attestation) = one_form::<Attestation>(input) {
        assert!(!rosters.verify_key(&attestation.key, &attestation.statement, &attestation.signature));
    }
    if let Some(certificate) = one_form::<Certificate>(input) {
        assert!(rosters.verify_certificate(&certificate).is_err());
    }
}

/// An operation of the control plane.
pub fn control(input: &[u8]) {
    one_form::<ControlOp>(input);
    one_form::<Seal>(input);
}

/// Evidence: it convicts nobody whose signature is not in it.
pub fn evidence(input: &[u8]) {
    if let Some(evidence) = one_form::<Evidence>(input) {
        assert!(evidence.verify(&nobody()).is_err() || matches!(evidence, Evidence::TwoHeaders(_) | Evidence::TwoAssignments(..)));
        drop(evidence.verify(&four()));
        let _ = evidence.id();
    }
}

/// A genesis file: what is read has one canonical form, which is read as the same.
pub fn genesis(input: &[u8]) {
    if let Ok(genesis) = Genesis::parse(input) {
        let canonical = genesis.canonical().expect("what was read can be written");
        let again = Genesis::parse(&canonical).expect("the canonical form is a genesis");
        assert_eq!((again.network_id(), again.canonical()), (genesis.network_id(), Ok(canonical)));
    }
}

/// A frame header, with and without its signature, and a stored frame.
pub fn header(input: &[u8]) {
    one_form::<FrameHeader>(input);
    if let Some(raw) = one_form::<RawHeader>(input) {
        drop(raw.verify());
    }
    if let Ok(frame) = Frame::decode(input) {
        assert_eq!(frame.encode(), input);
    }
}

/// A file of slashing protection: what is imported is exported with the same meaning.
pub fn interchange(input: &[u8]) {
    if let Ok(rows) = import(NETWORK, input) {
        let file = export(NETWORK, &rows).expect("rows can be written");
        assert_eq!(import(NETWORK, file.as_bytes()), Ok(rows));
    }
}

/// A body, a chunk of one, or a whole frame as it is gossiped; its items are parsed and checked.
pub fn payload(input: &[u8]) {
    if let Some(body) = one_form::<Body>(input) {
        drop(body.contents(&|_| false));
        if let Some(built) = built(body.clone()) {
            assert_eq!(Body::read_payload(&built.frame.header, input), Ok(body));
        }
    }
    if let Some(wire) = one_form::<WireFrame>(input) {
        drop(wire.header.verify());
    }
    if let (Some(chunk), Some(built)) = (one_form::<Chunk>(input), built(Body::default())) {
        drop(chunk.check(&built.frame.header));
    }
}

/// The proof of a frame or a slot: without committees nothing is confirmed.
pub fn proof(input: &[u8]) {
    if let Some(confirmation) = one_form::<Confirmation>(input) {
        assert!(verify(&confirmation, &nobody()).is_err());
        drop(verify(&confirmation, &four()));
    }
    if let Some(slot) = one_form::<SlotProof>(input) {
        assert!(verify_slot(&slot, &nobody()).is_err());
        drop(verify_slot(&slot, &four()));
    }
}

#[cfg(test)]
#[path = "fuzzing/tests/seeds.rs"]
mod seeds;
#[cfg(test)]
mod tests;
