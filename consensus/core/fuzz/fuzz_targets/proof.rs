//! Any bytes as the proof of a frame or a slot: without committees nothing is confirmed.
#![no_main]

use std::sync::Arc;

use ao_consensus::bls::Bls;
use ao_consensus::proof::{verify, verify_slot};
use ao_consensus::{Confirmation, Rosters, SlotProof};
use ao_types::NetworkId;
use libfuzzer_sys::fuzz_target;

mod common;

fuzz_target!(|input: &[u8]| {
    let rosters = || Rosters::new(NetworkId([0; 32]), Arc::new(Bls), [0; 32]);
    if let Some(confirmation) = common::one_form::<Confirmation>(input) {
        assert!(verify(&confirmation, &rosters()).is_err());
    }
    if let Some(slot) = common::one_form::<SlotProof>(input) {
        assert!(verify_slot(&slot, &rosters()).is_err());
    }
});
