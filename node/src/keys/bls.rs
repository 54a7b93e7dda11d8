//! Attestors' keys on disk: `keys/bls/<public key>.json` (ERC-2335), and passwords for starts without an operator in
//! `secrets/<public key>`.
//!
//! Owns making, storing, listing and opening. Refuses to overwrite a key, to show a secret or a password, and to say whether a key may
//! sign: that is [`crate::protection`]'s.

use std::path::PathBuf;

use ao_consensus::SecretKey as _;
use ao_consensus::bls::BlsSecret;
use ao_types::BlsKey;
use serde::Serialize;
use zeroize::Zeroizing;

use super::keystore::{Keystore, Password, Strength};
use super::{Error, Keys, LISTED_MAX, datadir};

/// An attestor's key as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlsEntry {
    /// The public key.
    pub pubkey: BlsKey,
    /// Whether its password lies in `secrets/`, so that a node can start without an operator.
    pub unattended: bool,
    /// Its file.
    pub path: PathBuf,
}

impl Keys {
    /// Makes an attestor's key. Without a password a random one is made and kept in `secrets/`.
    ///
    /// # Errors
    /// No entropy, or the directory refuses.
    pub fn create_bls(&self, password: Option<&Password>) -> Result<BlsEntry, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        self.draw(&mut *seed)?;
        self.store_bls(&BlsSecret::from_seed(*seed).map_err(Error::Bls)?, password)
    }

    /// Stores an attestor's key; one that is there already stays as it is.
    ///
    /// # Errors
    /// No entropy, or the directory refuses.
    pub fn store_bls(&self, secret: &BlsSecret, password: Option<&Password>) -> Result<BlsEntry, Error> {
        let pubkey = secret.public();
        let path = self.bls_path(&pubkey);
        if path.exists() {
            return Ok(self.bls_entry(pubkey));
        }
        for folder in [self.layout.bls_keys(), self.layout.secrets()] {
            datadir::make_private_folder(&folder)?;
        }
        let mut entropy = Zeroizing::new([0; 64]);
        self.draw(&mut *entropy)?;
        let keystore = match password {
            Some(password) => Keystore::seal(secret.scalar(), &pubkey.0, password, Strength::Standard, "", &entropy),
            None => {
                let mut random = Zeroizing::new([0; 32]);
                self.draw(&mut *random)?;
                let text = Zeroizing::new(hex::encode(*random));
                // First: a key whose password was lost with the machine's power would be no key.
                datadir::write_atomic(&self.secret_path(&pubkey), text.as_bytes(), 0o600)?;
                let password = Password::new(&text).map_err(|reason| self.closed(&pubkey, reason))?;
                Keystore::seal(secret.scalar(), &pubkey.0, &password, Strength::RandomPassword, "", &entropy)
            }
        };
        let text = keystore.and_then(|keystore| keystore.text()).map_err(|reason| self.closed(&pubkey, reason))?;
        datadir::write_atomic(&path, text.as_bytes(), 0o600)?;
        Ok(self.bls_entry(pubkey))
    }

    /// Every attestor's key, by public key.
    ///
    /// # Errors
    /// The folder cannot be read, or a file's name is not a public key.
    pub fn list_bls(&self) -> Result<Vec<BlsEntry>, Error> {
        let folder = self.layout.bls_keys();
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let io = |source| Error::Directory(datadir::Error::Io { action: "list", path: folder.clone(), source });
        let mut keys = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(io)?.take(LISTED_MAX) {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                keys.push(name.parse::<BlsKey>().map_err(|error| {
                    Error::Directory(datadir::Error::Damaged { path, reason: format!("the name of a key file is its public key: {error}") })
                })?);
            }
        }
        keys.sort_unstable();
        Ok(keys.into_iter().map(|key| self.bls_entry(key)).collect())
    }

    /// Opens an attestor's key with a password, or with the one in `secrets/`. About half a second for a password of a person.
    ///
    /// # Errors
    /// It is not there, others could have read it, no password opens it, or what is inside is another key.
    pub fn load_bls(&self, key: &BlsKey, password: Option<&Password>) -> Result<BlsSecret, Error> {
        let path = self.bls_path(key);
        if !path.exists() {
            return Err(Error::Unknown { name: key.to_string(), folder: self.layout.bls_keys() });
        }
        datadir::check_secret_file(&path)?;
        let keystore = Keystore::parse(&datadir::read_small(&path)?).map_err(|reason| self.closed(key, reason))?;
        let kept = self.secret_path(key);
        let opened = match password {
            Some(password) => keystore.open(password),
            None if kept.exists() => {
                datadir::check_secret_file(&kept)?;
                let text = Zeroizing::new(datadir::read_small(&kept)?);
                Password::new(&text).and_then(|password| keystore.open(&password))
            }
            None => return Err(Error::PasswordNeeded { path }),
        };
        let secret = BlsSecret::from_scalar(*opened.map_err(|reason| self.closed(key, reason))?).map_err(Error::Bls)?;
        if secret.public() != *key {
            let reason = format!("it holds the secret of {}", secret.public());
            return Err(Error::Directory(datadir::Error::Damaged { path, reason }));
        }
        Ok(secret)
    }

    fn bls_entry(&self, pubkey: BlsKey) -> BlsEntry {
        BlsEntry { pubkey, unattended: self.secret_path(&pubkey).exists(), path: self.bls_path(&pubkey) }
    }

    fn bls_path(&self, key: &BlsKey) -> PathBuf {
        self.layout.bls_keys().join(format!("{key}.json"))
    }

    fn secret_path(&self, key: &BlsKey) -> PathBuf {
        self.layout.secrets().join(key.to_string())
    }

    fn closed(&self, key: &BlsKey, reason: super::keystore::Error) -> Error {
        Error::Keystore { path: self.bls_path(key), reason }
    }
}
