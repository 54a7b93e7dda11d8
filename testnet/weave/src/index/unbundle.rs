//! Items out of a root bundle, as strictly as the stock gateway: the first bad item of a bundle spoils the whole bundle
//! (`arweave.md`, section 4).

use std::collections::VecDeque;

use ao_types::bundle::{Bundle, is_bundle};
use ao_types::limits::{BUNDLE_DEPTH_MAX, BUNDLE_ITEMS_MAX};
use ao_types::{DataItem, Id, Profile};
use bytes::Bytes;

/// An item of a bundle, without its data.
#[derive(Clone, Debug)]
pub struct Inside {
    /// The header.
    pub head: DataItem,
    /// The item whose data it lies in; `None` in the root.
    pub parent: Option<Id>,
    /// Where it begins, from the start of the root.
    pub offset: u64,
    /// Where its data begins, from the start of the root.
    pub data_offset: u64,
    /// Bytes of its data.
    pub data_bytes: u64,
}

/// What is in a root.
#[derive(Clone, Debug, Default)]
pub struct Unbundled {
    /// All items of bundles that are sound, outer ones first.
    pub items: Vec<Inside>,
    /// Bundles of which nothing was taken, and why; `None` is the root itself.
    pub spoiled: Vec<(Option<Id>, String)>,
}

/// Opens a root bundle and those inside it. A work list, not recursion; bounds on depth and on items.
pub fn unbundle(root: Bytes) -> Unbundled {
    let mut out = Unbundled::default();
    let mut work = VecDeque::from([(root, None, 0_u32, 0_u64)]);
    while let Some((bytes, parent, depth, base)) = work.pop_front() {
        if depth > BUNDLE_DEPTH_MAX {
            out.spoiled.push((parent, format!("it lies deeper than {BUNDLE_DEPTH_MAX} levels")));
            continue;
        }
        let opened = Bundle::parse(bytes, Profile::Strict).and_then(|bundle| {
            let items = bundle.verify(Profile::Strict)?;
            Ok(bundle.entries().map(|entry| entry.offset).zip(items).collect::<Vec<_>>())
        });
        let items = match opened {
            Ok(items) if out.items.len() as u64 + items.len() as u64 <= BUNDLE_ITEMS_MAX => items,
            Ok(items) => {
                out.spoiled.push((parent, format!("{} items more than {BUNDLE_ITEMS_MAX}", items.len())));
                continue;
            }
            Err(error) => {
                out.spoiled.push((parent, error.to_string()));
                continue;
            }
        };
        for (offset, item) in items {
            let offset = base + offset as u64;
            let data_offset = offset + item.data_offset() as u64;
            if is_bundle(&item) {
                // Smaller than its parent, and their bytes are disjoint: the list cannot outgrow the root.
                work.push_back((item.data_bytes(), Some(item.id()), depth + 1, data_offset));
            }
            let data_bytes = item.data().len() as u64;
            // A copy: the header must not keep the whole root in memory.
            let head = Bytes::copy_from_slice(&item.as_bytes()[..item.data_offset()]);
            if let Ok(head) = DataItem::parse(head, Profile::Strict) {
                out.items.push(Inside { head, parent, offset, data_offset, data_bytes });
            }
        }
    }
    out
}
