//! Ten wallets everybody knows, to develop with.
//!
//! Their private keys are public: two are files beside this one, the others come from constant seeds. That makes addresses the same on
//! every machine and every run, and no node has to make an RSA key when it starts. They are handed out on the network `dev` only, whose
//! data never leave the machine; [`wallets`] is the only way to them and asks for the network's name.

use ao_types::Wallet;
use ao_types::hash::sha256;
use ao_types::wallet::{EthereumWallet, WalletError};

/// The one network these wallets exist on.
pub const NETWORK: &str = "dev";
/// Balance each has on the embedded chain, in winston: a thousand AR.
pub const BALANCE: u128 = 1_000 * 1_000_000_000_000;

const RSA: [&str; 2] = [include_str!("wallet-1.json"), include_str!("wallet-2.json")];
const ED25519: usize = 5;
const ETHEREUM: usize = 3;

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another network than `dev`.
    #[error("development wallets are public and exist on network `{NETWORK}` only, not on `{found}`")]
    NotDev {
        /// The network asked for.
        found: String,
    },
    /// A built-in key is damaged: a bug.
    #[error(transparent)]
    Wallet(#[from] WalletError),
}

/// The wallets, the two RSA ones first: they work with every tool.
///
/// # Errors
/// `network` is not [`NETWORK`].
pub fn wallets(network: &str) -> Result<Vec<Wallet>, Error> {
    if network != NETWORK {
        return Err(Error::NotDev { found: network.to_owned() });
    }
    let seed = |name: String| sha256(&[b"aonode development wallet, known to everybody: ", name.as_bytes()]);
    let rsa = RSA.iter().map(|text| Wallet::from_jwk(text));
    let ed25519 = (0..ED25519).map(|at| Ok(Wallet::ed25519_from_seed(&seed(format!("ed25519 {at}")))));
    let ethereum = (0..ETHEREUM).map(|at| EthereumWallet::from_secret(&seed(format!("ethereum {at}"))).map(Wallet::Ethereum));
    Ok(rsa.chain(ed25519).chain(ethereum).collect::<Result<_, _>>()?)
}

/// The keys of the development node itself: scheduler and messenger.
///
/// # Errors
/// `network` is not [`NETWORK`].
pub fn node(network: &str) -> Result<[Wallet; 2], Error> {
    if network != NETWORK {
        return Err(Error::NotDev { found: network.to_owned() });
    }
    let seed = |name: &str| sha256(&[b"aonode development node, known to everybody: ", name.as_bytes()]);
    Ok([Wallet::ed25519_from_seed(&seed("scheduler")), Wallet::ed25519_from_seed(&seed("messenger"))])
}

/// The key that pays for what development nodes write to the embedded chain, which funds it.
///
/// # Errors
/// `network` is not [`NETWORK`].
pub fn anchor(network: &str) -> Result<Wallet, Error> {
    if network != NETWORK {
        return Err(Error::NotDev { found: network.to_owned() });
    }
    Ok(ao_weave::keys::funded()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ao_types::Signer as _;

    use super::*;

    /// Addresses are in documentation and in people's scripts: they change never.
    #[test]
    fn addresses_are_constant() {
        let addresses: Vec<_> = wallets(NETWORK).unwrap().iter().map(|wallet| wallet.address().to_string()).collect();
        assert_eq!(addresses.len(), 10);
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 10);
        assert_eq!(addresses[..2], ["fcs3pxHnPAHyKkNtGxQYE9AF5wWP2tz1qj9FxqauHOk", "QMbfGvogE_hMKGgChy9OmKkNTJWjVoSwntoSh9WQVD0"]);
        assert!(addresses[7..].iter().all(|address| address.starts_with("0x")), "{addresses:?}");
    }

    #[test]
    fn no_other_network_gets_them() {
        for network in ["local", "mainnet", "Dev", ""] {
            assert!(matches!(wallets(network), Err(Error::NotDev { .. })), "{network}");
            assert!(matches!(node(network), Err(Error::NotDev { .. })), "{network}");
        }
    }
}
