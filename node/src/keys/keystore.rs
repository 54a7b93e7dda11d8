//! One secret in one file, encrypted: ERC-2335, version 4, as Ethereum's validators keep theirs.
//!
//! A password is stretched (scrypt or PBKDF2), the first half of the outcome encrypts the 32 bytes of the secret (AES-128 in counter
//! mode), the second half tells a wrong password from a right one. Owns the file's form and its bounds. Refuses to know where the file
//! lies, what the secret signs, and to show either it or the password.

use ao_types::hash::sha256;
use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Version of the form that is read and written.
const VERSION: u32 = 4;
/// Bytes that stretching gives: 16 to encrypt with, 16 to check with.
const DERIVED_BYTES: usize = 32;
/// Longest password, bytes.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Memory that scrypt may take for a file from elsewhere, bytes. The standard's own cost takes 256 MiB.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;
/// Passes of scrypt over that memory.
const SCRYPT_PASSES_MAX: u32 = 16;
/// Rounds of PBKDF2 for a file from elsewhere. The standard has 262 144.
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;
/// Longest salt, bytes.
const SALT_BYTES_MAX: usize = 256;

/// Why a file does not give a secret. Neither the secret nor the password is ever part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON of this form.
    #[error("not an ERC-2335 keystore: {reason}")]
    Form {
        /// By the parser: where, not what.
        reason: String,
    },
    /// Another version, function or length.
    #[error("{what} of the keystore is `{found}`; {expected} is expected")]
    Unsupported {
        /// Which field.
        what: &'static str,
        /// As given, cut to 64 characters.
        found: String,
        /// What is understood.
        expected: &'static str,
    },
    /// Opening it would cost more than a file from elsewhere may.
    #[error("{what} of the keystore is {found}; at most {max} is accepted")]
    Cost {
        /// Which field.
        what: &'static str,
        /// As given.
        found: u64,
        /// The bound.
        max: u64,
    },
    /// The password does not fit, or the file was changed.
    #[error("the password does not open this keystore")]
    Password,
    /// A password that is none.
    #[error("a password has 1 to {PASSWORD_BYTES_MAX} bytes besides control characters")]
    NoPassword,
    /// Cryptography refused. (bug)
    #[error("the cryptographic library refused to {0}")]
    Library(&'static str),
}

/// A password in the form that is stretched: normalised (NFKD), without control characters, UTF-8.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Password {
    /// As a person types it, or a file holds it: line ends are control characters, so they do not count.
    ///
    /// # Errors
    /// Nothing is left, or it is longer than [`PASSWORD_BYTES_MAX`].
    pub fn new(text: &str) -> Result<Self, Error> {
        if text.len() > PASSWORD_BYTES_MAX {
            return Err(Error::NoPassword);
        }
        let normal = Zeroizing::new(icu_normalizer::DecomposingNormalizerBorrowed::new_nfkd().normalize(text).into_owned());
        let mut bytes = Zeroizing::new(Vec::with_capacity(normal.len()));
        for c in normal.chars().filter(|c| !c.is_control()) {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        if bytes.is_empty() { Err(Error::NoPassword) } else { Ok(Self(bytes)) }
    }
}

/// What guessing a password costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// The standard's: 256 MiB and about half a second for each guess. For passwords of people.
    Standard,
    /// A thousandth of it. Only for passwords of 256 random bits, which nobody guesses however cheap a guess is.
    RandomPassword,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keystore {
    crypto: Crypto,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Public key of the secret, hexadecimal without `0x`.
    pub pubkey: String,
    /// Derivation path (EIP-2334); empty for a key that was not derived.
    pub path: String,
    /// Names the file, whatever its password is.
    pub uuid: String,
    version: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Crypto {
    kdf: Kdf,
    checksum: Module,
    cipher: Module,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "function", content = "params")]
enum KdfFunction {
    #[serde(rename = "scrypt")]
    Scrypt { dklen: u32, n: u32, p: u32, r: u32, salt: String },
    #[serde(rename = "pbkdf2")]
    Pbkdf2 { dklen: u32, c: u32, prf: String, salt: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kdf {
    #[serde(flatten)]
    function: KdfFunction,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Module {
    function: String,
    params: Params,
    message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Params {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iv: Option<String>,
}

impl Keystore {
    /// Encrypts a secret under a password. `entropy` is 64 random bytes: salt, counter, name.
    ///
    /// # Errors
    /// [`Error::Library`].
    pub fn seal(
        secret: &[u8; 32],
        pubkey: &[u8],
        password: &Password,
        strength: Strength,
        path: &str,
        entropy: &[u8; 64],
    ) -> Result<Self, Error> {
        let (salt, rest) = entropy.split_at(32);
        let (iv, name) = rest.split_at(16);
        let iv: [u8; 16] = iv.try_into().map_err(|_| Error::Library("split"))?;
        let n = match strength {
            Strength::Standard => 1 << 18,
            Strength::RandomPassword => 1 << 8,
        };
        let function = KdfFunction::Scrypt { dklen: DERIVED_BYTES as u32, n, p: 1, r: 8, salt: hex::encode(salt) };
        let derived = function.derive(password)?;
        let key = UnboundCipherKey::new(&AES_128, &derived[..16]).map_err(|_| Error::Library("take a key"))?;
        let mut message = *secret;
        EncryptingKey::ctr(key)
            .and_then(|key| key.less_safe_encrypt(&mut message, EncryptionContext::Iv128(FixedLength::from(iv))))
            .map_err(|_| Error::Library("encrypt"))?;
        let module = |function: &str, iv: Option<String>, message: &[u8]| Module {
            function: function.into(),
            params: Params { iv },
            message: hex::encode(message),
        };
        Ok(Self {
            crypto: Crypto {
                checksum: module("sha256", None, &checksum(&derived, &message)),
                cipher: module("aes-128-ctr", Some(hex::encode(iv)), &message),
                kdf: Kdf { function, message: String::new() },
            },
            description: String::new(),
            pubkey: hex::encode(pubkey),
            path: path.into(),
            uuid: uuid(name),
            version: VERSION,
        })
    }

    /// Reads a file. Nothing is decrypted.
    ///
    /// # Errors
    /// Not this form, another version.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let store: Self = serde_json::from_str(text)
            .map_err(|error| Error::Form { reason: format!("line {}, column {}", error.line(), error.column()) })?;
        if store.version != VERSION {
            return Err(Error::Unsupported { what: "version", found: store.version.to_string(), expected: "4" });
        }
        Ok(store)
    }

    /// The file's text.
    ///
    /// # Errors
    /// Never for values that were read or sealed.
    pub fn text(&self) -> Result<String, Error> {
        serde_json::to_string_pretty(self).map_err(|error| Error::Form { reason: error.to_string() })
    }

    /// Decrypts the secret.
    ///
    /// # Errors
    /// Wrong password; functions that are not the standard's; a cost beyond the bounds.
    pub fn open(&self, password: &Password) -> Result<Zeroizing<[u8; 32]>, Error> {
        let Crypto { kdf, checksum: expected, cipher } = &self.crypto;
        let unsupported = |what, found: &str, expected| Error::Unsupported { what, found: found.chars().take(64).collect(), expected };
        if expected.function != "sha256" {
            return Err(unsupported("checksum.function", &expected.function, "sha256"));
        }
        if cipher.function != "aes-128-ctr" {
            return Err(unsupported("cipher.function", &cipher.function, "aes-128-ctr"));
        }
        let iv = cipher.params.iv.as_deref().unwrap_or_default();
        let iv: [u8; 16] = fixed(iv).ok_or_else(|| unsupported("cipher.params.iv", iv, "16 bytes, hexadecimal"))?;
        let mut secret: Zeroizing<[u8; 32]> =
            Zeroizing::new(fixed(&cipher.message).ok_or_else(|| unsupported("cipher.message", &cipher.message, "32 bytes, hexadecimal"))?);
        let derived = kdf.function.derive(password)?;
        if fixed(&expected.message) != Some(checksum(&derived, &*secret)) {
            return Err(Error::Password);
        }
        let key = UnboundCipherKey::new(&AES_128, &derived[..16]).map_err(|_| Error::Library("take a key"))?;
        DecryptingKey::ctr(key)
            .and_then(|key| key.decrypt(&mut *secret, DecryptionContext::Iv128(FixedLength::from(iv))).map(drop))
            .map_err(|_| Error::Library("decrypt"))?;
        Ok(secret)
    }
}

impl KdfFunction {
    fn derive(&self, password: &Password) -> Result<Zeroizing<[u8; DERIVED_BYTES]>, Error> {
        let (dklen, salt) = match self {
            Self::Scrypt { dklen, salt, .. } | Self::Pbkdf2 { dklen, salt, .. } => (*dklen, salt),
        };
        if dklen as usize != DERIVED_BYTES {
            return Err(Error::Unsupported { what: "kdf.params.dklen", found: dklen.to_string(), expected: "32" });
        }
        if salt.len() > 2 * SALT_BYTES_MAX {
            return Err(Error::Cost { what: "length of kdf.params.salt", found: salt.len() as u64, max: 2 * SALT_BYTES_MAX as u64 });
        }
        let salt = hex::decode(salt).map_err(|_| Error::Unsupported {
            what: "kdf.params.salt",
            found: salt.chars().take(64).collect(),
            expected: "hexadecimal",
        })?;
        let mut derived = Zeroizing::new([0; DERIVED_BYTES]);
        match self {
            Self::Scrypt { n, p, r, .. } => scrypt_into(password, &salt, (*n, *r, *p), &mut *derived)?,
            Self::Pbkdf2 { c, prf, .. } => {
                if prf != "hmac-sha256" {
                    let found = prf.chars().take(64).collect();
                    return Err(Error::Unsupported { what: "kdf.params.prf", found, expected: "hmac-sha256" });
                }
                if *c > PBKDF2_ROUNDS_MAX {
                    return Err(Error::Cost { what: "kdf.params.c", found: (*c).into(), max: PBKDF2_ROUNDS_MAX.into() });
                }
                let rounds = std::num::NonZeroU32::new(*c);
                let rounds =
                    rounds.ok_or(Error::Unsupported { what: "kdf.params.c", found: "0".into(), expected: "a number of rounds" })?;
                aws_lc_rs::pbkdf2::derive(aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, &password.0, &mut *derived);
            }
        }
        Ok(derived)
    }
}

/// scrypt, after its cost was looked at: a file from elsewhere shall not take the machine down.
fn scrypt_into(password: &Password, salt: &[u8], (n, r, p): (u32, u32, u32), out: &mut [u8]) -> Result<(), Error> {
    let memory = 128 * u64::from(n) * u64::from(r);
    if memory > SCRYPT_BYTES_MAX {
        return Err(Error::Cost { what: "memory of kdf.params", found: memory, max: SCRYPT_BYTES_MAX });
    }
    if p > SCRYPT_PASSES_MAX {
        return Err(Error::Cost { what: "kdf.params.p", found: p.into(), max: SCRYPT_PASSES_MAX.into() });
    }
    let bad =
        |_| Error::Unsupported { what: "kdf.params", found: format!("n={n} r={r} p={p}"), expected: "a power of two, and two counts" };
    if !n.is_power_of_two() {
        return Err(bad(scrypt::errors::InvalidParams));
    }
    let params = scrypt::Params::new(n.trailing_zeros() as u8, r, p).map_err(bad)?;
    scrypt::scrypt(&password.0, salt, &params, out).map_err(|_| Error::Library("stretch a password"))
}

fn checksum(derived: &[u8; DERIVED_BYTES], message: &[u8]) -> [u8; 32] {
    sha256(&[&derived[16..], message])
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

/// A random UUID (version 4) of 16 random bytes.
fn uuid(random: &[u8]) -> String {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(random).for_each(|(byte, random)| *byte = *random);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

#[cfg(test)]
mod tests;
