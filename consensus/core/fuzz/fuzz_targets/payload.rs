//! Any bytes as a body, a chunk of one, or a whole frame as it is gossiped; its items are parsed and checked.
#![no_main]

use ao_consensus::frame::{Chunk, WireFrame};
use ao_consensus::{Body, Draft, Timestamp};
use libfuzzer_sys::fuzz_target;

mod common;

fuzz_target!(|input: &[u8]| {
    if let Some(body) = common::one_form::<Body>(input) {
        let _ = body.contents(&|_| false);
        let chain = ao_types::Chain { scheduler: ao_types::Address::Ethereum([1; 20]), tenure: 0 };
        let draft = Draft::alone(ao_types::NetworkId([0; 32]), body.clone(), Timestamp(0), (0, [0; 48]));
        if let Ok(built) = ao_consensus::ChainTip::opened(chain).build(draft) {
            assert_eq!(Body::read_payload(&built.frame.header, input), Ok(body));
        }
    }
    if let Some(wire) = common::one_form::<WireFrame>(input) {
        let _ = wire.header.verify();
    }
    if let Some(chunk) = common::one_form::<Chunk>(input) {
        let chain = ao_types::Chain { scheduler: ao_types::Address::Ethereum([1; 20]), tenure: 0 };
        let draft = Draft::alone(ao_types::NetworkId([0; 32]), Body::default(), Timestamp(0), (0, [0; 48]));
        if let Ok(built) = ao_consensus::ChainTip::opened(chain).build(draft) {
            let _ = chunk.check(&built.frame.header);
        }
    }
});
