//! When what waits becomes a bundle, and how much of it (`arweave.md`, section 8).
//!
//! Arweave charges for multiples of 256 KiB, so a lonely item costs as much as eighty: what waits is sent when the oldest has waited long
//! enough, or when there is much of it, and then as much as fills its last chunk. Pure arithmetic: what waits is named by sizes.

use crate::limits::{CHUNK_BYTES, FLUSH_BYTES, FLUSH_ITEMS};

/// Bytes of a bundle's table for each item.
pub const ENTRY_BYTES: u64 = 64;
/// Bytes in front of the table.
pub const HEAD_BYTES: u64 = 32;

/// Something that waits and goes as a whole: a process's next slot with its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Items that it brings into a bundle.
    pub items: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Since when, in milliseconds.
    pub since_ms: u64,
    /// Does not wait for others: evidence, a change of the committee.
    pub urgent: bool,
}

impl Waiting {
    fn in_bundle(&self) -> u64 {
        self.bytes.saturating_add((self.items as u64).saturating_mul(ENTRY_BYTES))
    }
}

/// How many of what waits, in the given order, go now. `records` is what the bundle needs besides: items and bytes of its records.
/// 0: nothing goes yet.
///
/// Goes: everything, up to 4 MiB and 2000 items, when that much waits or something is urgent or has waited `patience_ms`. Then what has
/// waited less long is held back if it would only begin another 256 KiB.
pub fn due(waiting: &[Waiting], records: (usize, u64), patience_ms: u64, now_ms: u64) -> usize {
    let base = HEAD_BYTES + records.0 as u64 * ENTRY_BYTES + records.1;
    let (mut bytes, mut items) = (base, records.0);
    // What fits, the place behind the last that must go, and the last place at which a chunk is still full.
    let (mut fits, mut must, mut ends) = (0, 0, Vec::with_capacity(waiting.len().min(FLUSH_ITEMS)));
    for (place, one) in waiting.iter().enumerate() {
        let (then, count) = (bytes.saturating_add(one.in_bundle()), items.saturating_add(one.items));
        if place > 0 && (then > FLUSH_BYTES || count > FLUSH_ITEMS) {
            break;
        }
        (bytes, items, fits) = (then, count, place + 1);
        ends.push(bytes);
        if one.urgent || now_ms.saturating_sub(one.since_ms) >= patience_ms {
            must = fits;
        }
    }
    // More waits than one bundle takes: it goes as full as it is.
    if fits < waiting.len() || items >= FLUSH_ITEMS || bytes >= FLUSH_BYTES {
        return fits;
    }
    if must == 0 {
        return 0;
    }
    // The chunk in which the last that must go ends is paid for: fill it, but begin no other.
    let paid = ends[must - 1].div_ceil(CHUNK_BYTES).max(1) * CHUNK_BYTES;
    ends.partition_point(|end| *end <= paid).max(must)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(count: usize, bytes: u64, since_ms: u64) -> Vec<Waiting> {
        vec![Waiting { items: 2, bytes, since_ms, urgent: false }; count]
    }

    const RECORD: (usize, u64) = (1, 2000);

    #[test]
    fn nothing_goes_before_the_oldest_has_waited_long_enough() {
        assert_eq!(due(&[], RECORD, 60_000, 1_000_000), 0);
        let few = slots(3, 3000, 1000);
        assert_eq!(due(&few, RECORD, 60_000, 60_999), 0);
        assert_eq!(due(&few, RECORD, 60_000, 61_000), 3);
        let mut urgent = few.clone();
        urgent[1].urgent = true;
        assert_eq!(due(&urgent, RECORD, 60_000, 1000), 3, "what goes at once takes along what fits the chunk that is paid for");
    }

    #[test]
    fn what_would_only_begin_another_chunk_is_held_back() {
        let mut some = slots(60, 3000, 1000);
        some.extend(slots(60, 3000, 50_000));
        let went = due(&some, RECORD, 60_000, 61_000);
        assert!((60..120).contains(&went), "{went}");
        let end = |count: u64| HEAD_BYTES + 64 + 2000 + count * 3128;
        assert!(end(went as u64) <= CHUNK_BYTES && end(went as u64 + 1) > CHUNK_BYTES);
        // Those that have waited long enough go even so.
        assert_eq!(due(&some, RECORD, 60_000, 110_000), 120);
    }

    #[test]
    fn a_full_bundle_goes_at_once() {
        let many = slots(900, 5000, 1000);
        let went = due(&many, RECORD, 60_000, 1000);
        let end = |count: u64| HEAD_BYTES + 64 + 2000 + count * 5128;
        assert!(end(went as u64) <= FLUSH_BYTES && end(went as u64 + 1) > FLUSH_BYTES, "{went}");
        assert_eq!(due(&slots(FLUSH_ITEMS, 10, 0), RECORD, u64::MAX, 0), (FLUSH_ITEMS - 1) / 2, "so many items at most");
        let module = [Waiting { items: 2, bytes: 100 << 20, since_ms: 0, urgent: false }];
        assert_eq!(due(&module, RECORD, u64::MAX, 0), 1, "what is larger than a flush goes alone");
        assert_eq!(due(&[module[0], module[0]], RECORD, u64::MAX, 0), 1);
        let huge = [Waiting { items: usize::MAX, bytes: u64::MAX, since_ms: 0, urgent: true }];
        assert_eq!(due(&huge, RECORD, 0, 0), 1, "sizes do not overflow");
    }
}
