//! Data of a transaction, chunk by chunk, each with its proof: whole ([`Chunks::all`]) or a part ([`Chunks::read`]), and an item out of
//! the bundle that a transaction carries ([`Client::item_within`]).
//!
//! Where data lies on the weave and what is there is asked of one gateway at a time: who gives a wrong place is blamed for it, not who
//! answers what is there.

use std::collections::HashMap;
use std::ops::Range;

use ao_types::transaction::Transaction;
use ao_types::{DataItem, Id, Profile};
use bytes::Bytes;

use super::said::{self, Said};
use super::{Answer, Client, Header};
use crate::limits::{CHUNK_ANSWER_BYTES_MAX, ITEM_HEAD_BYTES_MAX, READ_BACK_BYTES_MAX, SMALL_BYTES_MAX, WITHIN_ITEMS_MAX};

/// An entry of a bundle's table, and what stands in front of the table.
const ENTRY: u64 = 64;
const HEAD: u64 = 32;
/// Entries of a table read at once.
const ENTRIES: u64 = 4096;

/// Data under a root.
pub(super) struct Chunks<'a> {
    client: &'a Client,
    transaction: Id,
    root: [u8; 32],
    size: u64,
    /// Whom to ask, in order.
    places: Vec<usize>,
    /// Where the data begins on the weave, by gateway.
    firsts: HashMap<usize, Option<u128>>,
    /// The chunk read last, and where it begins.
    last: (u64, Vec<u8>),
}

impl<'a> Chunks<'a> {
    /// Data of `size` bytes under `root`, of this transaction; `except` are asked only if nobody else is configured.
    pub(super) fn new(client: &'a Client, transaction: &Id, root: &[u8; 32], size: u64, except: &[String]) -> Self {
        let places = client.order(except);
        Self { client, transaction: *transaction, root: *root, size, places, firsts: HashMap::new(), last: (0, Vec::new()) }
    }

    /// All of it.
    pub(super) async fn all(mut self) -> Option<Bytes> {
        let length = usize::try_from(self.size).ok()?;
        self.read(0, length).await.map(Bytes::from)
    }

    /// `length` bytes from `from` on.
    pub(super) async fn read(&mut self, from: u64, length: usize) -> Option<Vec<u8>> {
        let end = from.checked_add(length as u64).filter(|end| *end <= self.size)?;
        if length > READ_BACK_BYTES_MAX {
            return None;
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < end - from {
            let at = from + bytes.len() as u64;
            if !self.covers(at) {
                self.last = self.chunk(at).await?;
            }
            // A proven chunk holds the byte that was asked for.
            let skip = usize::try_from(at - self.last.0).ok()?;
            let rest = self.last.1.get(skip..).filter(|rest| !rest.is_empty())?;
            bytes.extend_from_slice(&rest[..rest.len().min(length - bytes.len())]);
        }
        Some(bytes)
    }

    fn covers(&self, at: u64) -> bool {
        let (start, bytes) = &self.last;
        (*start..*start + bytes.len() as u64).contains(&at)
    }

    async fn chunk(&mut self, at: u64) -> Option<(u64, Vec<u8>)> {
        for turn in 0..self.places.len() {
            let place = self.places[turn];
            let Some(first) = self.first(place).await else { continue };
            let path = format!("/chunk/{}", first.saturating_add(u128::from(at)));
            let (root, size) = (self.root, self.size);
            let read = |answer: &Answer| said::chunk(answer, &root, size, at);
            if let Said::Yes(found) = self.client.ask_one(place, &path, CHUNK_ANSWER_BYTES_MAX, read).await {
                // Who had this one probably has the next.
                self.places[..=turn].rotate_right(1);
                return Some(found);
            }
        }
        None
    }

    async fn first(&mut self, place: usize) -> Option<u128> {
        if let Some(known) = self.firsts.get(&place) {
            return *known;
        }
        let size = self.size;
        let fits = |answer: &Answer| said::offset(answer).filter(|(_, found)| *found == size);
        let said = self.client.ask_one(place, &format!("/tx/{}/offset", self.transaction), SMALL_BYTES_MAX, fits).await;
        let first = super::yes(said).map(|(first, _)| first);
        self.firsts.insert(place, first);
        first
    }

    /// Where the bundle in `range` has an item: its bytes.
    async fn entry(&mut self, range: &Range<u64>, id: &Id) -> Option<Range<u64>> {
        let length = range.end - range.start;
        let count = number(&self.read(range.start, HEAD as usize).await?)?;
        let table = count.checked_mul(ENTRY)?.checked_add(HEAD).filter(|table| *table <= length && count <= WITHIN_ITEMS_MAX)?;
        let (mut offset, mut at) = (table, 0);
        while at < count {
            let some = ENTRIES.min(count - at);
            let entries = self.read(range.start + HEAD + at * ENTRY, (some * ENTRY) as usize).await?;
            for entry in entries.chunks_exact(ENTRY as usize) {
                let end = offset.checked_add(number(entry.get(..32)?)?).filter(|end| *end <= length)?;
                if entry.get(32..)? == id.0 {
                    return Some(range.start + offset..range.start + end);
                }
                offset = end;
            }
            at += some;
        }
        None
    }

    /// What leads the item in `range`, if it is that one: its id is a hash of its signature, and everything else is checked when it is
    /// read whole.
    async fn head(&mut self, range: &Range<u64>, id: &Id) -> Option<u64> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(ITEM_HEAD_BYTES_MAX);
        let head = DataItem::parse(self.read(range.start, length).await?.into(), Profile::Archive).ok()?;
        (head.id() == *id).then_some(head.data_offset() as u64)
    }
}

/// An item found in the transaction that carries it.
pub(super) struct Within<'a> {
    chunks: Chunks<'a>,
    range: Range<u64>,
}

impl Within<'_> {
    /// The item's data, if the whole of it holds.
    pub(super) async fn data(mut self, id: &Id) -> Option<Bytes> {
        let length = usize::try_from(self.range.end - self.range.start).ok()?;
        let bytes = self.chunks.read(self.range.start, length).await?;
        let item = DataItem::parse(bytes.into(), Profile::Archive).ok()?.verify().ok()?;
        (item.id() == *id).then(|| item.data_bytes())
    }
}

impl Client {
    /// An item of the bundle that `transaction` carries, by the bundles it is said to lie in, the outermost first and the item itself last.
    /// Whoever said so is not believed: every byte on the way is proven under the root that the transaction's owner signed.
    pub(super) async fn item_within(&self, transaction: &Id, path: &[Id], except: &[String]) -> Option<Within<'_>> {
        let Some(Header::Signed(header)) = self.header(transaction).await else { return None };
        let (root, size) = signed_data(&header)?;
        let mut chunks = Chunks::new(self, transaction, &root, size, except);
        let mut range = 0..size;
        let (item, bundles) = path.split_last()?;
        for bundle in bundles {
            range = chunks.entry(&range, bundle).await?;
            range.start += chunks.head(&range, bundle).await?;
        }
        let range = chunks.entry(&range, item).await?;
        chunks.head(&range, item).await?;
        Some(Within { chunks, range })
    }
}

/// Root and size of a transaction's data, where its signature covers them.
pub fn signed_data(header: &Transaction) -> Option<([u8; 32], u64)> {
    let root = header.data_root.0.as_slice().try_into().ok().filter(|_| header.format == 2)?;
    Some((root, header.data_size.parse().ok()?))
}

/// A number of a bundle's table: 32 bytes, the lowest first.
fn number(bytes: &[u8]) -> Option<u64> {
    let (low, high) = bytes.split_at_checked(8)?;
    let number = u64::from_le_bytes(low.try_into().ok()?);
    high.iter().all(|byte| *byte == 0).then_some(number)
}
