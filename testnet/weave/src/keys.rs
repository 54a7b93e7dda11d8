//! Keys that everybody knows: this chain's own bundling service, a wallet that is funded from the first block, and a stranger with nothing.
//! They are in the source, hence worth nothing on any other chain.

use ao_types::Wallet;
use ao_types::wallet::WalletError;

/// The key with which the bundling service signs receipts and transactions.
///
/// # Errors
/// None that the tests would let pass.
pub fn bundler() -> Result<Wallet, WalletError> {
    Wallet::from_jwk(BUNDLER)
}

/// The wallet that has [`FUNDED_WINSTON`] from the start: the default anchoring wallet of development networks.
///
/// # Errors
/// None that the tests would let pass.
pub fn funded() -> Result<Wallet, WalletError> {
    Wallet::from_jwk(FUNDED)
}

/// A key whose wallet does not exist until somebody pays it.
///
/// # Errors
/// None that the tests would let pass.
pub fn stranger() -> Result<Wallet, WalletError> {
    Wallet::from_jwk(STRANGER)
}

/// The JSON web key of [`funded`], for tools that want a file.
pub const FUNDED: &str = include_str!("../keys/funded.DEV-ONLY.json");
const BUNDLER: &str = include_str!("../keys/bundler.DEV-ONLY.json");
const STRANGER: &str = include_str!("../keys/stranger.DEV-ONLY.json");

/// 1000 AR.
pub const FUNDED_WINSTON: u128 = 1_000_000_000_000_000;
