//! Deep hash (`arweave.md`, section 3): one SHA-384 over a tree of blobs that keeps every boundary.
//!
//! ```text
//! deep(blob b) = SHA384( SHA384("blob" ‖ dec(len b)) ‖ SHA384(b) )
//! deep(list l) = acc := SHA384("list" ‖ dec(len l));  for x in l: acc := SHA384(acc ‖ deep(x));  acc
//! ```
//!
//! A list is hashed element by element, so its state after a few elements is 48 bytes that can be kept: all items of one signer share
//! the state up to their target ([`Prefix`]).

use std::sync::LazyLock;

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
    static EMPTY: LazyLock<Digest> = LazyLock::new(|| hash_blob(&[]));
    if bytes.is_empty() { *EMPTY } else { hash_blob(bytes) }
}

fn hash_blob(bytes: &[u8]) -> Digest {
    sha384(&[&blob_tag(bytes.len() as u64), &sha384(&[bytes])])
}

/// Lengths below this have their tag kept: ids, anchors, and most tag sections of small items.
const KEPT_TAGS: usize = 129;

fn blob_tag(length: u64) -> Digest {
    static KEPT: LazyLock<Box<[Digest]>> = LazyLock::new(|| (0..KEPT_TAGS as u64).map(hash_blob_tag).collect());
    let kept = usize::try_from(length).ok().filter(|length| *length < KEPT_TAGS);
    kept.map_or_else(|| hash_blob_tag(length), |length| KEPT[length])
}

fn hash_blob_tag(length: u64) -> Digest {
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

fn up_to_type(signature_type: u64) -> ListHasher {
    let mut list = ListHasher::new(8);
    list.push_blob(b"dataitem");
    list.push_blob(b"1");
    list.push_blob(Decimal::of(signature_type).as_bytes());
    list
}

/// The state of an item's deep hash after `"dataitem", "1", dec(type), owner`: constant per signer.
#[derive(Clone, Copy, Debug)]
pub struct Prefix(ListHasher);

impl Prefix {
    /// For items of this type and owner.
    pub fn new(signature_type: u16, owner: &[u8]) -> Self {
        /// Up to the type: there are eight that anybody asks for.
        static KEPT: LazyLock<[ListHasher; 8]> = LazyLock::new(|| std::array::from_fn(|kind| up_to_type(kind as u64)));
        let mut list = KEPT.get(usize::from(signature_type)).map_or_else(|| up_to_type(u64::from(signature_type)), |kept| *kept);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word by word.
    fn plain(bytes: &[u8]) -> Digest {
        sha384(&[&sha384(&[b"blob", bytes.len().to_string().as_bytes()]), &sha384(&[bytes])])
    }

    #[test]
    fn what_is_kept_is_what_would_be_computed() {
        let bytes = [7; 200];
        for length in 0..=bytes.len() {
            assert_eq!(blob(&bytes[..length]), plain(&bytes[..length]), "{length}");
        }
        for kind in [0, 1, 7, 8, 101] {
            let Prefix(prefix) = Prefix::new(kind, b"owner");
            let mut list = ListHasher::new(8);
            for element in [b"dataitem".as_slice(), b"1", kind.to_string().as_bytes(), b"owner"] {
                list.push(&plain(element));
            }
            assert_eq!(prefix.finish(), list.finish(), "{kind}");
        }
    }

    #[test]
    fn a_stream_hashes_like_its_whole_and_must_keep_its_word() {
        let stream = |announced, pieces: &[&[u8]]| {
            let mut hasher = BlobHasher::new(announced);
            pieces.iter().for_each(|piece| hasher.update(piece));
            hasher.finish()
        };
        assert_eq!(stream(5, &[b"he", b"", b"llo"]), Some(blob(b"hello")));
        assert_eq!(stream(0, &[]), Some(blob(b"")));
        assert_eq!(stream(4, &[b"hello"]), None);
        assert_eq!(stream(6, &[b"hello"]), None);
    }

    #[test]
    fn vectors_of_protocol_md() {
        let hex_of = |node: &Node<'_>| hex::encode(deep_hash(node));
        assert!(hex_of(&Node::Blob(b"")).starts_with("fbf00cc444f5fea9dc3bedf62a13fba8"));
        assert!(hex_of(&Node::List(vec![])).starts_with("a69e7d37fdc7f040a9ec16aae84de24f"));
        let two = Node::List(vec![Node::Blob(b"dataitem"), Node::Blob(b"1")]);
        assert!(hex_of(&two).starts_with("9f278255d2108736fbcd24b030a08c84"));
        let process: Vec<u8> = (0..32).collect();
        let tags = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message")].map(|(n, v)| crate::tag::Tag::new(n, v));
        let raw = crate::tag::encode_all(&tags);
        let digest = |kind, owner: &[u8]| hex::encode(Prefix::new(kind, owner).digest(&process, &[], &raw, b"hello"));
        assert!(digest(1, &[1; 512]).starts_with("cbbfe5781086ad0d28077a1b7f56d6fb"));
        assert!(digest(2, &[2; 32]).starts_with("c9121230461e44b29cf406b33fd6f208"));
    }
}
