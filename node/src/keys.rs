//! Keys on disk: which there are, who may read them, and which signs what. Wallets here, attestors' keys in [`bls`], the node's own in
//! [`node`].
//!
//! One wallet is one JWK file, `keys/wallet/<address>.json`, mode 0600: RSA in Arweave's own form (usable by `aos --wallet` and
//! arweave-js as it is), Ed25519 as `OKP`, Ethereum as `EC`. Three roles are filled when a directory is initialised: the *scheduler*
//! signs assignments, the *messenger* signs pushed messages, the *client* signs what this command line sends.
//!
//! Owns reading, making and listing. Refuses to print, log or overwrite a secret: showing a wallet shows its address, and a file that
//! is there is never replaced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ao_types::wallet::WalletError;
use ao_types::{Address, SignatureType, Signer, Wallet};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::datadir::{self, Layout};

pub mod bls;
pub mod keystore;
pub mod node;

pub use bls::BlsEntry;

/// Wallets listed at most.
pub const LISTED_MAX: usize = 1_000;

/// Why a wallet cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory does not allow it.
    #[error(transparent)]
    Directory(#[from] datadir::Error),
    /// No such wallet.
    #[error("there is no wallet {name} in {folder}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The file does not hold a wallet. The text is never shown.
    #[error("{path} is not a wallet: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is missing or does not fit.
        reason: WalletError,
    },
    /// A key could not be made.
    #[error("cannot make a key: {0}")]
    Wallet(WalletError),
    /// An attestor's key that does not open.
    #[error("{path}: {reason}")]
    Keystore {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: keystore::Error,
    },
    /// An attestor's key whose password is nowhere.
    #[error("{path} needs a password")]
    PasswordNeeded {
        /// The file.
        path: PathBuf,
    },
    /// No usable BLS secret.
    #[error(transparent)]
    Bls(ao_consensus::scheme::SchemeError),
    /// Nobody has this role.
    #[error("no wallet has the role {role} in {folder}")]
    NoRole {
        /// The role.
        role: &'static str,
        /// Where.
        folder: PathBuf,
    },
}

/// What a wallet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Signs assignments.
    Scheduler,
    /// Signs pushed messages.
    Messenger,
    /// Signs what the command line sends.
    Client,
    /// Pays for what is written to Arweave. Apart from the others: it holds money, and nobody needs to trust what it signs.
    Anchor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Scheduler, Self::Messenger, Self::Client, Self::Anchor];
    /// Those without which a directory is of no use. Who pays is decided by whoever has the money.
    pub const NEEDED: [Self; 3] = [Self::Scheduler, Self::Messenger, Self::Client];

    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Messenger => "messenger",
            Self::Client => "client",
            Self::Anchor => "anchor",
        }
    }
}

/// Kinds of wallets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub enum Kind {
    /// RSA-4096: what Arweave tools know. About a second to make, 5 ms to sign.
    Rsa,
    /// Ed25519: the fastest.
    #[default]
    Ed25519,
    /// secp256k1 with Ethereum's personal signatures.
    Ethereum,
}

impl Kind {
    fn generate(self) -> Result<Wallet, Error> {
        match self {
            Self::Rsa => Wallet::generate_rsa(),
            Self::Ed25519 => Wallet::generate_ed25519(),
            Self::Ethereum => Wallet::generate_ethereum(),
        }
        .map_err(Error::Wallet)
    }
}

/// A wallet as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// As AO shows its owner.
    pub address: Address,
    /// `rsa`, `ed25519` or `ethereum`.
    pub kind: &'static str,
    /// What it signs.
    pub roles: Vec<Role>,
    /// Its file.
    pub path: PathBuf,
}

/// Short name of a signature type that wallets have.
pub fn kind_name(signature_type: SignatureType) -> &'static str {
    match signature_type {
        SignatureType::Arweave => "rsa",
        SignatureType::Ethereum | SignatureType::TypedEthereum => "ethereum",
        _ => "ed25519",
    }
}

/// The wallets of one data directory.
#[derive(Clone, Debug)]
pub struct Keys {
    layout: Layout,
}

impl Keys {
    /// Those under `layout`; nothing is read yet.
    pub fn new(layout: Layout) -> Self {
        Self { layout }
    }

    /// Where they lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Makes a wallet and stores it.
    ///
    /// # Errors
    /// No entropy, or the directory refuses.
    pub fn create(&self, kind: Kind) -> Result<Entry, Error> {
        self.store(&kind.generate()?)
    }

    /// Stores a wallet; one that is there already stays as it is.
    ///
    /// # Errors
    /// The directory refuses.
    pub fn store(&self, wallet: &Wallet) -> Result<Entry, Error> {
        let path = self.path_of(&wallet.address());
        if !path.exists() {
            datadir::write_atomic(&path, wallet.to_jwk().as_bytes(), 0o600)?;
        }
        self.entry(&path, wallet, &self.roles()?)
    }

    /// Gives a role to a wallet that is there.
    ///
    /// # Errors
    /// It is not there, or the directory refuses.
    pub fn assign(&self, role: Role, address: &Address) -> Result<(), Error> {
        self.load(&address.to_string())?;
        let mut roles = self.roles()?;
        roles.insert(role, *address);
        Ok(datadir::write_json(&self.layout.roles(), &roles)?)
    }

    /// Fills the needed roles that nobody has with new wallets of `kind`.
    ///
    /// # Errors
    /// No entropy, or the directory refuses.
    pub fn fill_roles(&self, kind: Kind) -> Result<(), Error> {
        for role in Role::NEEDED {
            if !self.roles()?.contains_key(&role) {
                let entry = self.create(kind)?;
                self.assign(role, &entry.address)?;
            }
        }
        Ok(())
    }

    /// The wallet with a role.
    ///
    /// # Errors
    /// Nobody has it, or its file is missing, too open or damaged.
    pub fn with_role(&self, role: Role) -> Result<Wallet, Error> {
        let folder = self.layout.wallets();
        let roles = self.roles()?;
        let address = roles.get(&role).ok_or(Error::NoRole { role: role.text(), folder })?;
        self.load(&address.to_string())
    }

    /// The wallet with this address.
    ///
    /// # Errors
    /// Not an address, not there, too open or damaged.
    pub fn load(&self, address: &str) -> Result<Wallet, Error> {
        let unknown = || Error::Unknown { name: address.to_owned(), folder: self.layout.wallets() };
        // Parsed first: a name from outside must not become a path.
        let parsed = Address::parse(address).map_err(|_| unknown())?;
        let path = self.path_of(&parsed);
        if !path.exists() {
            return Err(unknown());
        }
        read(&path)
    }

    /// All wallets, by address.
    ///
    /// # Errors
    /// The folder cannot be read, or a file in it is too open or not a wallet.
    pub fn list(&self) -> Result<Vec<Entry>, Error> {
        let folder = self.layout.wallets();
        let io = |source| Error::Directory(datadir::Error::Io { action: "list", path: folder.clone(), source });
        let roles = self.roles()?;
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(io)?.take(LISTED_MAX) {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        paths.iter().map(|path| self.entry(path, &read(path)?, &roles)).collect()
    }

    fn draw(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let path = self.layout.root().to_owned();
        datadir::entropy(bytes).map_err(|source| Error::Directory(datadir::Error::Io { action: "draw entropy for", path, source }))
    }

    fn entry(&self, path: &Path, wallet: &Wallet, roles: &BTreeMap<Role, Address>) -> Result<Entry, Error> {
        let address = wallet.address();
        let roles = roles.iter().filter(|(_, held_by)| **held_by == address).map(|(role, _)| *role).collect();
        Ok(Entry { address, kind: kind_name(wallet.signature_type()), roles, path: path.to_owned() })
    }

    fn path_of(&self, address: &Address) -> PathBuf {
        self.layout.wallets().join(format!("{address}.json"))
    }

    fn roles(&self) -> Result<BTreeMap<Role, Address>, Error> {
        let path = self.layout.roles();
        if path.exists() { Ok(datadir::read_json(&path)?) } else { Ok(BTreeMap::new()) }
    }
}

/// Reads a wallet file, wherever it lies, if nobody else can.
///
/// # Errors
/// Not readable, too open, or not a wallet.
pub fn read(path: &Path) -> Result<Wallet, Error> {
    datadir::check_secret_file(path)?;
    let text = Zeroizing::new(datadir::read_small(path)?);
    Wallet::from_jwk(&text).map_err(|reason| Error::Malformed { path: path.to_owned(), reason })
}

#[cfg(test)]
mod tests;
