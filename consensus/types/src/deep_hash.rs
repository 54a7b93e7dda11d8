//! Deep hash (`arweave.md`, section 3): one SHA-384 over a tree of blobs that keeps every boundary.
//!
//! ```text
//! deep(blob b) = SHA384( SHA384("blob" ‖ dec(len b)) ‖ SHA384(b) )
//! deep(list l) = acc := SHA384("list" ‖ dec(len l));  for x in l: acc := SHA384(acc ‖ deep(x));  acc
//! ```
//!
//! A list is hashed element by element, so its state after a few elements is 48 bytes that can be kept: all items of one signer share
//! the state up to their target ([`Prefix`]).

use sha2::{Digest as _, Sha384};

use crate::hash::{Decimal, sha384};

/// A deep hash.
pub type Digest = [u8; 48];

/// A tree to hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// A run of bytes.
    Blob(&'a [u8]),
    /// An ordered list.
    List(Vec<Node<'a>>),
}

/// Deep hash of a tree. Recurses as deep as the tree, which is always of our own making: no outside format nests.
pub fn deep_hash(node: &Node<'_>) -> Digest {
    match node {
        Node::Blob(bytes) => blob(bytes),
        Node::List(nodes) => {
            let mut list = ListHasher::new(nodes.len() as u64);
            for node in nodes {
                list.push(&deep_hash(node));
            }
            list.finish()
        }
    }
}

/// Deep hash of one blob.
pub fn blob(bytes: &[u8]) -> Digest {
    sha384(&[&blob_tag(bytes.len() as u64), &sha384(&[bytes])])
}

fn blob_tag(length: u64) -> Digest {
    sha384(&[b"blob", Decimal::of(length).as_bytes()])
}

/// Deep hash of a blob that arrives in pieces. Its length goes first, hence must be known: from a bundle's header, or `Content-Length`.
#[derive(Clone, Debug)]
pub struct BlobHasher {
    length: u64,
    seen: u64,
    body: Sha384,
}

impl BlobHasher {
    /// A blob of `length` bytes.
    pub fn new(length: u64) -> Self {
        Self { length, seen: 0, body: Sha384::new() }
    }

    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.seen = self.seen.saturating_add(piece.len() as u64);
        self.body.update(piece);
    }

    /// The hash; `None` if the pieces do not add up to the length announced.
    pub fn finish(self) -> Option<Digest> {
        let body: Digest = self.body.finalize().into();
        (self.seen == self.length).then(|| sha384(&[&blob_tag(self.length), &body]))
    }
}

/// Deep hash of a list whose elements come one at a time.
#[derive(Clone, Copy, Debug)]
pub struct ListHasher(Digest);

impl ListHasher {
    /// A list of `length` elements.
    pub fn new(length: u64) -> Self {
        Self(sha384(&[b"list", Decimal::of(length).as_bytes()]))
    }

    /// The next element, hashed.
    pub fn push(&mut self, element: &Digest) {
        self.0 = sha384(&[&self.0, element]);
    }

    /// The next element, a blob.
    pub fn push_blob(&mut self, bytes: &[u8]) {
        self.push(&blob(bytes));
    }

    /// The hash, after as many elements as announced.
    pub fn finish(self) -> Digest {
        self.0
    }
}

/// The state of an item's deep hash after `"dataitem", "1", dec(type), owner`: constant per signer.
#[derive(Clone, Copy, Debug)]
pub struct Prefix(ListHasher);

impl Prefix {
    /// For items of this type and owner.
    pub fn new(signature_type: u16, owner: &[u8]) -> Self {
        let mut list = ListHasher::new(8);
        list.push_blob(b"dataitem");
        list.push_blob(b"1");
        list.push_blob(Decimal::of(u64::from(signature_type)).as_bytes());
        list.push_blob(owner);
        Self(list)
    }

    /// The digest that the item's signature covers. Absent target and anchor are empty; present ones 32 bytes, zero or not.
    pub fn digest(&self, target: &[u8], anchor: &[u8], raw_tags: &[u8], data: &[u8]) -> Digest {
        self.digest_with(target, anchor, raw_tags, &blob(data))
    }

    /// The same where the data was hashed as a stream.
    pub fn digest_with(&self, target: &[u8], anchor: &[u8], raw_tags: &[u8], data: &Digest) -> Digest {
        let mut list = self.0;
        list.push_blob(target);
        list.push_blob(anchor);
        list.push_blob(raw_tags);
        list.push(data);
        list.finish()
    }
}
