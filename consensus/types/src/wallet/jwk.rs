//! JSON web keys, read and written without leaving copies of a secret behind.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{Ed25519Wallet, EthereumWallet, RsaWallet, Wallet, WalletError};
use crate::signature::rsa_sys::Parts;
use crate::signer::Signer as _;

/// A member's text, cleared when dropped.
struct Secret(Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    n: Option<Secret>,
    e: Option<Secret>,
    d: Option<Secret>,
    p: Option<Secret>,
    q: Option<Secret>,
    dp: Option<Secret>,
    dq: Option<Secret>,
    qi: Option<Secret>,
    x: Option<Secret>,
}

pub(super) fn read(text: &str) -> Result<Wallet, WalletError> {
    let jwk: Jwk = serde_json::from_str(text).map_err(|error| WalletError::NotJson { line: error.line(), column: error.column() })?;
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let parts = Parts {
                n: member(&jwk.n, "n")?,
                e: member(&jwk.e, "e")?,
                d: member(&jwk.d, "d")?,
                p: member(&jwk.p, "p")?,
                q: member(&jwk.q, "q")?,
                dp: member(&jwk.dp, "dp")?,
                dq: member(&jwk.dq, "dq")?,
                qi: member(&jwk.qi, "qi")?,
            };
            RsaWallet::from_parts(&parts).map(Wallet::Rsa)
        }
        ("OKP", Some("Ed25519")) => {
            let wallet = Ed25519Wallet::from_seed(&*secret(&jwk.d)?);
            if jwk.x.is_some() && member(&jwk.x, "x")?.as_slice() != wallet.owner() {
                return Err(WalletError::Unsound("the public key is not that of the seed"));
            }
            Ok(Wallet::Ed25519(wallet))
        }
        ("EC", Some("secp256k1")) => {
            let wallet = EthereumWallet::from_secret(&*secret(&jwk.d)?)?;
            if jwk.x.is_some() && member(&jwk.x, "x")?.as_slice() != &wallet.owner()[1..33] {
                return Err(WalletError::Unsound("the public key is not that of the secret"));
            }
            Ok(Wallet::Ethereum(wallet))
        }
        (kty, curve) => Err(WalletError::Kind { kty: kty.to_owned(), curve: curve.unwrap_or_default().to_owned() }),
    }
}

pub(super) fn write(wallet: &Wallet) -> Zeroizing<String> {
    // Grown once: a reallocation would leave a copy of the secret behind.
    let mut text = Zeroizing::new(String::with_capacity(4096));
    match wallet {
        Wallet::Rsa(wallet) => {
            let parts = wallet.parts();
            text.push_str("{\"kty\":\"RSA\"");
            let Parts { n, e, d, p, q, dp, dq, qi } = &parts;
            for (name, value) in [("n", n), ("e", e), ("d", d), ("p", p), ("q", q), ("dp", dp), ("dq", dq), ("qi", qi)] {
                push(&mut text, name, value);
            }
        }
        Wallet::Ed25519(wallet) => {
            text.push_str("{\"kty\":\"OKP\",\"crv\":\"Ed25519\"");
            push(&mut text, "x", wallet.owner());
            push(&mut text, "d", &wallet.seed()[..]);
        }
        Wallet::Ethereum(wallet) => {
            text.push_str("{\"kty\":\"EC\",\"crv\":\"secp256k1\"");
            push(&mut text, "x", &wallet.owner()[1..33]);
            push(&mut text, "y", &wallet.owner()[33..]);
            push(&mut text, "d", &wallet.secret()[..]);
        }
    }
    text.push('}');
    text
}

fn push(text: &mut String, name: &str, value: &[u8]) {
    text.push_str(",\"");
    text.push_str(name);
    text.push_str("\":\"");
    URL_SAFE_NO_PAD.encode_string(value, text);
    text.push('"');
}

fn member(value: &Option<Secret>, name: &'static str) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    let text = value.as_ref().ok_or(WalletError::Member(name))?;
    URL_SAFE_NO_PAD.decode(text.0.as_bytes()).map(Zeroizing::new).map_err(|_| WalletError::Member(name))
}

fn secret(value: &Option<Secret>) -> Result<Zeroizing<[u8; 32]>, WalletError> {
    let bytes = member(value, "d")?;
    bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| WalletError::Member("d"))
}
