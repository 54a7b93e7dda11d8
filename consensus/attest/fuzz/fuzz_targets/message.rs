//! Any bytes as a message of a peer and as a record: no panic, one form of bytes, and the engine does no more than blame the sender.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_attest::Attest;
use ao_attest::record::recall;
use ao_attest::wire::Message;
use ao_consensus::cheap::Cheap;
use ao_consensus::{Consensus, Effect, Input, Record, Setup, Timestamp};
use ao_types::{Canonical, NetworkId, PeerId};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    if let Ok(message) = Message::decode(input) {
        assert_eq!(message.encode(), input);
        assert!(message.subject().is_some());
    }
    for key in ["attest/known/", "attest/bound/"] {
        let _ = recall(&Record { key: key.into(), value: bytes.clone(), guards: Vec::new() });
    }
    let setup = Setup {
        network: NetworkId([1; 32]),
        scheme: Arc::new(Cheap),
        signer: None,
        own: None,
        peer: PeerId(Bytes::from_static(b"here")),
        secret: [2; 32],
        params: BTreeMap::new(),
        records: Vec::new(),
        guards: Vec::new(),
        confirmed: Vec::new(),
        decided: 0,
    };
    let Ok(mut engine) = Attest::new(setup) else { return };
    let mut out = Vec::new();
    engine.handle(Timestamp(0), Input::Peer(PeerId(Bytes::from_static(b"there")), bytes), &mut out);
    assert!(out.iter().all(|effect| matches!(effect, Effect::Penalise(..))), "{out:?}");
});
