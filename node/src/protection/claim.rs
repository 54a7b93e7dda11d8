//! One signer for a key on one machine, whatever directory it runs from.
//!
//! The protection's own lock guards one directory; a copied directory has a lock of its own, and two nodes with one key are the
//! commonest way to be slashed. So whoever signs also holds a name in the kernel, which nobody else can have at the same time and which
//! goes with the process, however it ends. Machines that share nothing are beyond it: that is what the doppelganger wait is for.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use ao_types::hash::sha256;
use ao_types::{BlsKey, NetworkId};

/// The right to sign with a key; given back when dropped. Never connected to.
#[derive(Debug)]
pub struct Claim {
    _name: UnixListener,
}

impl Claim {
    /// Takes the right to sign for `key` on `network`.
    ///
    /// # Errors
    /// `AddrInUse`: another process has it. Anything else is the system's.
    pub fn take(network: &NetworkId, key: &BlsKey) -> std::io::Result<Self> {
        let name = format!("aonode-signer-{}", hex::encode(sha256(&[b"aonode signer", &network.0, &key.0])));
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?).map(|name| Self { _name: name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_claimed_once_for_each_network() {
        let (one, other) = (BlsKey([1; 48]), BlsKey([2; 48]));
        // Names are the machine's: tests of other runs must not meet these.
        let network = NetworkId(sha256(&[b"test", &std::process::id().to_be_bytes()]));
        let held = Claim::take(&network, &one).unwrap();
        assert_eq!(Claim::take(&network, &one).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
        let _others = (Claim::take(&network, &other).unwrap(), Claim::take(&NetworkId(sha256(&[&network.0])), &one).unwrap());
        drop(held);
        Claim::take(&network, &one).unwrap();
    }
}
