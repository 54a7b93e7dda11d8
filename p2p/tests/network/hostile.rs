//! The peer that keeps to no rule, on the network of these tests. Its names are written out here: a change of one on the wire fails them.

pub use ao_p2p::hostile::{Hostile, Raw, SpeaksEvent};

pub const TIPS: &str = "/aonode/abababababababab/tips/1";
pub const NODE: &str = "/aonode/abababababababab/node/1";

pub fn new() -> Hostile {
    Hostile::of(NODE)
}
