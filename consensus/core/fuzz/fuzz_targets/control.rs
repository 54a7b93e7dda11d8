//! Any bytes as an operation of the control plane.
#![no_main]

use ao_consensus::{ControlOp, Seal};
use libfuzzer_sys::fuzz_target;

mod common;

fuzz_target!(|input: &[u8]| {
    common::one_form::<ControlOp>(input);
    common::one_form::<Seal>(input);
});
