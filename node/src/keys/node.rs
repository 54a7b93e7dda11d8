//! The node's own key: an Ed25519 seed in `node.key`, 64 hexadecimal digits. Its public half, inlined into a multihash, is the name that
//! other nodes know this one by.

use ao_types::{PeerId, Signer as _, Wallet};
use zeroize::Zeroizing;

use super::{Error, Keys, datadir};

/// What libp2p puts before an inlined Ed25519 key: identity multihash of 36 bytes; key type 1; 32 bytes of key.
const ED25519_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The name of the node that has this seed.
pub fn peer_id(seed: &[u8; 32]) -> PeerId {
    let wallet = Wallet::ed25519_from_seed(seed);
    PeerId(ED25519_PREFIX.iter().chain(wallet.owner()).copied().collect::<Vec<u8>>().into())
}

impl Keys {
    /// The node's seed; made if it is not there.
    ///
    /// # Errors
    /// No entropy, the directory refuses, others could have read it, or it is damaged.
    pub fn node_seed(&self) -> Result<Zeroizing<[u8; 32]>, Error> {
        let path = self.layout.node_key();
        if !path.exists() {
            let mut seed = Zeroizing::new([0; 32]);
            self.draw(&mut *seed)?;
            let text = Zeroizing::new(hex::encode(*seed));
            datadir::write_atomic(&path, text.as_bytes(), 0o600)?;
            return Ok(seed);
        }
        datadir::check_secret_file(&path)?;
        let text = Zeroizing::new(datadir::read_small(&path)?);
        let mut seed = Zeroizing::new([0; 32]);
        let read = hex::decode_to_slice(text.trim(), &mut *seed);
        read.map_err(|_| datadir::Error::Damaged { path, reason: "a node's key is 64 hexadecimal digits".into() })?;
        Ok(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_what_the_network_makes_of_the_key() {
        for seed in [[0; 32], [7; 32], [0xff; 32]] {
            let theirs = ao_p2p::NodeKey::from_seed(&mut seed.clone()).unwrap().peer_id().unwrap();
            assert_eq!(peer_id(&seed).to_string(), theirs.to_string());
        }
    }
}
