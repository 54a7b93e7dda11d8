//! Any bytes from a peer into a running engine: no panic, and it asks for nothing to be remembered but what it says itself.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_bft::Engine;
use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::contract::{committee_of, peer};
use ao_consensus::{Consensus, Input, OriginChange, OriginUpdate, Setup, Timestamp};
use ao_types::{Epoch, NetworkId};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let committee = Arc::new(committee_of(Epoch(0), &[1; 4]));
    let mut engine = Engine::new(Setup {
        network: NetworkId([7; 32]),
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
    // Several messages, each led by its length.
    let (mut rest, mut now) = (input, 2);
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(more.len());
        let (message, behind) = more.split_at(length);
        engine.handle(Timestamp(now), Input::Peer(peer(now % 5), Bytes::copy_from_slice(message)), &mut out);
        (rest, now) = (behind, now + 1);
    }
    engine.handle(Timestamp(10_000), Input::Tick, &mut out);
});
