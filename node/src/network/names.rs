//! Two spellings of a peer's name: bytes that anybody may write into a genesis (`ao-types`), and an Ed25519 key (`ao-p2p`).

use ao_consensus::evidence::ed25519_of;
use ao_p2p::PeerId;

/// What a peer id of an Ed25519 key starts with.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The node that a genesis names; `None` if it is named by another kind of key, which no node of this network has.
pub fn from_types(peer: &ao_types::PeerId) -> Option<PeerId> {
    PeerId::from_key(ed25519_of(peer)?).ok()
}

/// The name as the core knows it.
pub fn to_types(peer: &PeerId) -> ao_types::PeerId {
    ao_types::PeerId([&PREFIX[..], &peer.key()].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_there_and_back() {
        let peer = ao_p2p::NodeKey::from_seed(&mut [3; 32]).unwrap().peer_id().unwrap();
        let theirs = to_types(&peer);
        assert_eq!((theirs.to_string(), from_types(&theirs)), (peer.to_string(), Some(peer)));
        assert_eq!(from_types(&ao_types::PeerId(b"someone".as_slice().into())), None);
    }
}
