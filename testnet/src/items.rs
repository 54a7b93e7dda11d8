//! Data items of the tests, signed with keys that are the same in every run.

use ao_types::{Id, ItemBuilder, Tag, Wallet};
use bytes::Bytes;

/// Somebody who signs. Ed25519: fast, and the same content gives the same id in every run.
#[derive(Clone)]
pub struct Person(Wallet);

impl Person {
    /// The person of this name.
    pub fn named(name: &str) -> Self {
        let mut seed = [b'.'; 32];
        let length = name.len().min(32);
        seed[..length].copy_from_slice(&name.as_bytes()[..length]);
        Self(Wallet::ed25519_from_seed(&seed))
    }

    /// The person who holds an Arweave key file.
    ///
    /// # Errors
    /// It is none.
    pub fn with_jwk(text: &str) -> anyhow::Result<Self> {
        Ok(Self(Wallet::from_jwk(text)?))
    }

    /// The address, as processes see it.
    pub fn address(&self) -> String {
        ao_types::Signer::address(&self.0).to_string()
    }

    /// Signs an item with the protocol tags of a kind (`Message`, `Process`, `Module`) behind the given ones.
    ///
    /// # Panics
    /// The content cannot be carried by an item: a mistake of the test.
    pub fn item(&self, kind: &str, target: Option<Id>, tags: &[(&str, &str)], data: impl Into<Bytes>) -> Item {
        let mut builder = ItemBuilder::new().data(data);
        if let Some(target) = target {
            builder = builder.target(target);
        }
        let protocol = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", kind)];
        let tags = tags.iter().chain(&protocol).map(|(name, value)| Tag::new(*name, *value));
        let signed = builder.tags(tags).sign(&self.0).expect("a test makes items that can be signed");
        Item { id: signed.id(), bytes: signed.into_inner().into_bytes() }
    }

    /// A message.
    pub fn message(&self, process: Id, tags: &[(&str, &str)], data: impl Into<Bytes>) -> Item {
        self.item("Message", Some(process), tags, data)
    }

    /// Lua for a process of this person's own.
    pub fn eval(&self, process: Id, code: impl Into<String>) -> Item {
        self.message(process, &[("Action", "Eval")], code.into())
    }

    /// A module.
    pub fn module(&self, format: &str, memory_limit: &str, data: impl Into<Bytes>) -> Item {
        let encodings = [("Input-Encoding", "JSON-V1"), ("Output-Encoding", "JSON-V1")];
        let limits = [("Memory-Limit", memory_limit), ("Compute-Limit", "9000000000000")];
        let tags = [&[("Module-Format", format)], &encodings[..], &limits].concat();
        self.item("Module", None, &tags, data)
    }
}

/// A signed item.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its id.
    pub id: Id,
    /// Its bytes.
    pub bytes: Bytes,
}
