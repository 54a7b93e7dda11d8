//! What the fuzz target of `node/fuzz` runs; the same body runs in the ordinary tests, over damaged samples. Not part of any node.

use ao_types::Canonical as _;
use bytes::Bytes;

use super::message::{
    ChunkQuestion, Direct, Forward, Gossip, ItemPart, ItemQuestion, RangeQuestion, StateQuestion, Vouched, decode_offers, decode_range,
    decode_receipt, encode_offers, encode_range,
};

/// Any bytes as any message of another node: no panic, and whatever is read has no other encoding. The first byte says which message,
/// the second how many pieces were asked for.
pub fn messages(input: &[u8]) {
    let [which, count, bytes @ ..] = input else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    let again: Option<Vec<u8>> = match which % 12 {
        0 => Gossip::decode(&bytes).ok().map(|read| read.encode().to_vec()),
        1 => Direct::decode(&bytes).ok().map(|read| read.encode().to_vec()),
        2 => Forward::decode(&bytes).ok().map(|read| read.encode().to_vec()),
        3 => ItemPart::decode(&bytes).ok().map(|read| read.encode().to_vec()),
        4 => RangeQuestion::decode(&bytes).ok().map(|read| read.encode()),
        5 => ChunkQuestion::decode(&bytes).ok().map(|read| read.encode()),
        6 => ItemQuestion::decode(&bytes).ok().map(|read| read.encode()),
        7 => decode_range(&bytes, u16::from(*count)).ok().map(|pieces| encode_range(&pieces).to_vec()),
        8 => StateQuestion::decode(&bytes).ok().map(|read| read.encode()),
        10 => decode_offers(&bytes).ok().map(|offers| encode_offers(&offers)),
        9 => Vouched::decode(&bytes).ok().map(|read| read.encode()),
        // A code of a newer version is read as one of ours, so a receipt may have two encodings.
        _ => {
            drop(decode_receipt(&bytes));
            None
        }
    };
    if let Some(again) = again {
        assert_eq!(again, bytes);
    }
}

#[cfg(test)]
#[path = "../../../consensus/core/src/fuzzing/tests/seeds.rs"]
pub mod seeds;
