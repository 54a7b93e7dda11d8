//! Any bytes as evidence: it convicts nobody whose signature is not in it.
#![no_main]

use std::sync::Arc;

use ao_consensus::bls::Bls;
use ao_consensus::{Evidence, Rosters};
use ao_types::NetworkId;
use libfuzzer_sys::fuzz_target;

mod common;

fuzz_target!(|input: &[u8]| {
    if let Some(evidence) = common::one_form::<Evidence>(input) {
        let _ = evidence.verify(&Rosters::new(NetworkId([0; 32]), Arc::new(Bls), [0; 32]));
        let _ = evidence.id();
    }
});
