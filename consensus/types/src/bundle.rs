//! Bundles: items back to back behind a table of sizes and ids (`arweave.md`, section 4).
//!
//! ```text
//! count (32, little-endian) ‖ count × [ size (32, little-endian) ‖ id (32) ] ‖ items
//! ```
//!
//! [`Bundle`] reads one container, [`build`] writes one, [`unpack`] walks nested ones with a work list and bounds instead of recursion.

use std::collections::VecDeque;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::data_item::{DataItem, ItemError, Profile, Verified};
use crate::id::Id;
use crate::limits::{BUNDLE_DEPTH_MAX, BUNDLE_ITEMS_MAX, BUNDLE_WORK_BYTES_MAX};

const HEAD: usize = 32;
const ENTRY: usize = 64;

/// Why bytes are not a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Shorter than its count.
    #[error("a bundle starts with 32 bytes, {found} are there")]
    Truncated {
        /// Length.
        found: usize,
    },
    /// More entries than bytes for them; also what a big-endian count looks like.
    #[error("the bundle declares more items than its {found} bytes have room for")]
    Count {
        /// Length.
        found: usize,
    },
    /// An item of no bytes, or one past the end.
    #[error("size of item {index} is zero or reaches past the end")]
    Size {
        /// Position, from 0.
        index: usize,
    },
    /// Bytes behind the last item.
    #[error("{found} bytes follow the last item")]
    Trailing {
        /// How many.
        found: usize,
    },
    /// An item is not acceptable.
    #[error("item {index}: {error}")]
    Item {
        /// Position, from 0.
        index: usize,
        /// Why.
        error: ItemError,
    },
    /// The table says another id than the item's signature.
    #[error("item {index} is {found}, the table says {declared}")]
    Id {
        /// Position, from 0.
        index: usize,
        /// In the table.
        declared: Id,
        /// Of the item.
        found: Id,
    },
}

impl BundleError {
    /// The error class shared with the vectors and other implementations.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Truncated { .. } | Self::Count { .. } | Self::Size { .. } => "E_BUNDLE",
            Self::Trailing { .. } => "E_BUNDLE_TRAILING",
            Self::Id { .. } => "E_BUNDLE_ID",
            Self::Item { error, .. } => error.code(),
        }
    }
}

/// A container whose table adds up. Its items are looked at one by one.
#[derive(Clone, Debug)]
pub struct Bundle {
    bytes: Bytes,
    count: usize,
}

/// One row of a bundle's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleEntry {
    /// Position, from 0.
    pub index: usize,
    /// As declared.
    pub id: Id,
    /// Where the item starts, from the start of the bundle.
    pub offset: usize,
    /// Its length.
    pub size: usize,
}

impl Bundle {
    /// Checks the table. Trailing bytes are an error in the strict profile, and tolerated in the archive profile.
    pub fn parse(bytes: Bytes, profile: Profile) -> Result<Self, BundleError> {
        let found = bytes.len();
        let count = bytes.first_chunk().and_then(number).filter(|_| found >= HEAD);
        let count = match count {
            None if found < HEAD => return Err(BundleError::Truncated { found }),
            Some(count) if count <= (found - HEAD) / ENTRY => count,
            _ => return Err(BundleError::Count { found }),
        };
        let bundle = Self { bytes, count };
        let mut end = HEAD + ENTRY * count;
        for index in 0..count {
            let size = bundle.size(index).filter(|size| *size > 0 && *size <= found - end);
            end += size.ok_or(BundleError::Size { index })?;
        }
        if end != found && profile == Profile::Strict {
            return Err(BundleError::Trailing { found: found - end });
        }
        Ok(bundle)
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The table, in order.
    pub fn entries(&self) -> impl Iterator<Item = BundleEntry> {
        let mut offset = HEAD + ENTRY * self.count;
        (0..self.count).map_while(move |index| {
            let size = self.size(index)?;
            let id = self.bytes.get(HEAD + ENTRY * index + 32..).and_then(<[u8]>::first_chunk)?;
            let entry = BundleEntry { index, id: Id(*id), offset, size };
            offset += size;
            Some(entry)
        })
    }

    /// The bytes that a row of this bundle's table names, whatever they are; `None` if it is not a row of it.
    pub fn bytes_of(&self, entry: &BundleEntry) -> Option<Bytes> {
        let end = entry.offset.checked_add(entry.size).filter(|end| *end <= self.bytes.len())?;
        Some(self.bytes.slice(entry.offset..end))
    }

    /// The item of a row of this bundle's table, sharing its memory; its id must be the declared one.
    pub fn item(&self, entry: &BundleEntry, profile: Profile) -> Result<DataItem, BundleError> {
        let index = entry.index;
        let bytes = self.bytes_of(entry).ok_or(BundleError::Size { index })?;
        let item = DataItem::parse(bytes, profile).map_err(|error| BundleError::Item { index, error })?;
        if item.id() != entry.id {
            return Err(BundleError::Id { index, declared: entry.id, found: item.id() });
        }
        Ok(item)
    }

    /// All items with their signatures checked; the first bad one fails the bundle, as it does at stock gateways.
    pub fn verify(&self, profile: Profile) -> Result<Vec<Verified<DataItem>>, BundleError> {
        let check = |entry: BundleEntry| {
            let index = entry.index;
            self.item(&entry, profile)?.verify().map_err(|error| BundleError::Item { index, error })
        };
        self.entries().map(check).collect()
    }

    fn size(&self, index: usize) -> Option<usize> {
        number(self.bytes.get(HEAD + ENTRY * index..)?.first_chunk()?)
    }
}

/// A 32-byte little-endian number, if it fits.
fn number(bytes: &[u8; 32]) -> Option<usize> {
    let (low, high) = bytes.split_first_chunk::<8>()?;
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    usize::try_from(u64::from_le_bytes(*low)).ok()
}

/// Writes a bundle. One bad item poisons a bundle at every stock gateway, so only verified ones go in.
pub fn build(items: &[Verified<DataItem>]) -> Bytes {
    let total: usize = items.iter().map(|item| item.as_bytes().len()).sum();
    let mut out = BytesMut::with_capacity(HEAD + ENTRY * items.len() + total);
    let put_number = |out: &mut BytesMut, number: usize| {
        out.put_u64_le(number as u64);
        out.put_bytes(0, 24);
    };
    put_number(&mut out, items.len());
    for item in items {
        put_number(&mut out, item.as_bytes().len());
        out.put_slice(&item.id().0);
    }
    items.iter().for_each(|item| out.put_slice(item.as_bytes()));
    out.freeze()
}

/// Whether an item says that its data is a bundle (exact spelling).
pub fn is_bundle(item: &DataItem) -> bool {
    item.tag("Bundle-Format") == Some("binary") && item.tag("Bundle-Version") == Some("2.0.0")
}

/// Bounds of one [`unpack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Levels opened below the root.
    pub depth_max: u32,
    /// Items looked at.
    pub items_max: u64,
    /// Bytes of items looked at, each level counted.
    pub bytes_max: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self { depth_max: BUNDLE_DEPTH_MAX, items_max: BUNDLE_ITEMS_MAX, bytes_max: BUNDLE_WORK_BYTES_MAX }
    }
}

/// An item found below a root.
#[derive(Clone, Debug)]
pub struct Found {
    /// The item; its signature was not checked.
    pub item: DataItem,
    /// The item whose data it lies in; `None` in the root.
    pub parent: Option<Id>,
    /// 0 in the root.
    pub depth: u32,
    /// Where it starts, from the start of the root: one ranged read finds it again.
    pub offset: u64,
}

/// What an [`unpack`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Items handed out.
    pub items: u64,
    /// Items that are malformed or not what the table says.
    pub broken_items: u64,
    /// Items tagged as a bundle whose data is none. They are fine themselves.
    pub broken_bundles: u64,
    /// Bundles not opened because they lie too deep.
    pub too_deep: u64,
    /// A bound on items or bytes ended the walk early.
    pub cut_short: bool,
}

/// Hands out every item of a root bundle and of the bundles inside it, level by level, in the order of the bytes on each.
///
/// # Errors
/// Only if the root itself is not a bundle.
pub fn unpack(root: Bytes, profile: Profile, limits: UnpackLimits, mut visit: impl FnMut(Found)) -> Result<Unpacked, BundleError> {
    let mut report = Unpacked::default();
    let mut bytes_seen = 0_u64;
    let mut work = VecDeque::from([(Bundle::parse(root, profile)?, None, 0_u32, 0_u64)]);
    while let Some((bundle, parent, depth, base)) = work.pop_front() {
        for entry in bundle.entries() {
            bytes_seen = bytes_seen.saturating_add(entry.size as u64);
            if report.items + report.broken_items >= limits.items_max || bytes_seen > limits.bytes_max {
                report.cut_short = true;
                return Ok(report);
            }
            let Ok(item) = bundle.item(&entry, profile) else {
                report.broken_items += 1;
                continue;
            };
            let offset = base + entry.offset as u64;
            if is_bundle(&item) {
                if depth >= limits.depth_max {
                    report.too_deep += 1;
                } else if let Ok(inner) = Bundle::parse(item.data_bytes(), profile) {
                    // Every inner bundle is smaller than its parent, and their bytes are disjoint: the list cannot outgrow the root.
                    work.push_back((inner, Some(item.id()), depth + 1, offset + item.data_offset() as u64));
                } else {
                    report.broken_bundles += 1;
                }
            }
            report.items += 1;
            visit(Found { item, parent, depth, offset });
        }
    }
    Ok(report)
}
