//! What the fuzz targets of `consensus/bft/fuzz` run; the same bodies run in the ordinary tests, over damaged samples. Not part of any node.
#![allow(clippy::expect_used, reason = "this is test code: what fails is a finding")]

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::contract::{committee_of, peer};
use ao_consensus::{Consensus as _, Effect, Input, OriginChange, OriginUpdate, Setup, Timestamp};
use ao_types::codec::Canonical as _;
use ao_types::{Epoch, NetworkId};

use crate::Engine;
use crate::context::Height;
use crate::message::Message;
use crate::values::check_shape;
use crate::wal::{read_record, replayed};

/// The network of the samples.
pub const NETWORK: NetworkId = NetworkId([7; 32]);

/// Any bytes as a message of another engine: no panic, and what is read has exactly these bytes.
pub fn message(input: &[u8]) {
    if let Ok(message) = Message::decode(input) {
        assert_eq!(message.to_bytes(), input);
        if let Message::Body(block) = message {
            drop(check_shape(&block));
        }
    }
}

/// Any bytes as records of the log, whole and torn: no panic, and no entry out of a record that is damaged.
pub fn log(input: &[u8]) {
    drop(read_record(input));
    let (one, two) = input.split_at(input.len() / 2);
    let found = replayed(Height(1), [(0, one), (1, two)]);
    assert!(found.next <= 2);
}

/// Any messages from four members and a stranger into a running engine: no panic, and without frames none is confirmed. Each message is
/// led by its length, in two bytes.
pub fn engine(input: &[u8]) {
    let committee = Arc::new(committee_of(Epoch(0), &[1; 4]));
    let mut engine = Engine::new(Setup {
        network: NETWORK,
        scheme: Arc::new(Cheap),
        signer: Some(Arc::new(CheapSecret::new(0))),
        own: None,
        peer: peer(0),
        secret: [1; 32],
        params: BTreeMap::new(),
        records: Vec::new(),
        guards: Vec::new(),
        confirmed: Vec::new(),
        decided: 0,
    });
    let mut out = Vec::new();
    let changes = vec![OriginChange::Epoch { epoch: Epoch(0), committee: committee.root(), frame_rate_max: 100 }];
    engine.handle(Timestamp(1), Input::Committee(committee), &mut out);
    engine.handle(Timestamp(1), Input::Origin(Box::new(OriginUpdate { height: 0, time: Timestamp(0), changes })), &mut out);
    ao_consensus::fuzzing::hear(&mut engine, input, &mut out);
    engine.handle(Timestamp(10_000), Input::Tick, &mut out);
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Confirmed(_))), "{out:?}");
}

#[cfg(test)]
#[path = "../../core/src/fuzzing/tests/seeds.rs"]
mod seeds;
#[cfg(test)]
mod tests;
