//! Any bytes as a statement, attestation, certificate, committee, or what a chain stands at; points are parsed and checked.
#![no_main]

use std::sync::Arc;

use ao_consensus::bls::Bls;
use ao_consensus::{ChainTip, Rosters};
use ao_types::{Attestation, Certificate, Committee, NetworkId, Statement};
use libfuzzer_sys::fuzz_target;

mod common;

fuzz_target!(|input: &[u8]| {
    common::one_form::<Statement>(input);
    common::one_form::<ChainTip>(input);
    let mut rosters = Rosters::new(NetworkId([0; 32]), Arc::new(Bls), [0; 32]);
    if let Some(committee) = common::one_form::<Committee>(input) {
        let _ = rosters.insert(Arc::new(committee));
    }
    if let Some(attestation) = common::one_form::<Attestation>(input) {
        assert!(!rosters.verify_key(&attestation.key, &attestation.statement, &attestation.signature));
    }
    if let Some(certificate) = common::one_form::<Certificate>(input) {
        assert!(rosters.verify_certificate(&certificate).is_err());
    }
});
