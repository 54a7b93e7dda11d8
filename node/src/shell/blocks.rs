//! Arweave's blocks around a log that others order, in memory while its process is: what its cron messages depend on (`protocol.md`,
//! section 11).
//!
//! Blocks are in the order of their heights. Their times are those of miners' clocks and may run backwards, a little: by
//! [`BLOCK_DRIFT_MS`] at most, which `loading::blocks` holds them to. So the blocks between two times are found without looking at all of
//! them, and it is known when some of them may not be here: then nothing is evaluated.

use ao_storage::schema;
use ao_storage::{Error, Store};

use crate::chain::Blocks;
use crate::core::cron::Point;
use crate::limits::BLOCK_DRIFT_MS;

/// Blocks without a gap.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Height of the first.
    from: u64,
    /// Their times, milliseconds since 1970.
    times: Vec<u64>,
    /// The latest time up to each.
    latest: Vec<u64>,
}

impl Span {
    /// The span of the store that a log which begins at a time needs: the last one that begins well before. As long as it goes, `max` blocks at most, or
    /// empty.
    ///
    /// # Errors
    /// The store's.
    pub fn around(store: &dyn Store, begins_ms: u64, max: u64) -> Result<Self, Error> {
        let (mut span, mut failed) = (Self::default(), None);
        schema::BLOCKS.each(store, |row| {
            let (height, row) = match row {
                Ok(row) => row,
                Err(error) => {
                    failed = Some(error);
                    return false;
                }
            };
            if span.times.is_empty() || span.next() != Some(height) {
                // Spans of several logs may be here: this one, and all behind it, begin too late.
                if before(begins_ms) < row.timestamp_ms {
                    return false;
                }
                span = Self { from: height, ..Self::default() };
            }
            // What runs back further is of no chain: it is as if it were not here.
            span.push(row.timestamp_ms, max)
        })?;
        failed.map_or(Ok(span), Err)
    }

    fn next(&self) -> Option<u64> {
        self.from.checked_add(self.times.len() as u64)
    }

    /// The next block; false where it runs back too far, or there are too many.
    fn push(&mut self, time: u64, max: u64) -> bool {
        let latest = self.latest.last().copied().unwrap_or_default().max(time);
        let fits = time >= before(latest) && (self.times.len() as u64) < max;
        if fits {
            self.times.push(time);
            self.latest.push(latest);
        }
        fits
    }
}

/// So long before a time that no block from there on back is later than it.
pub fn before(time_ms: u64) -> u64 {
    time_ms.saturating_sub(BLOCK_DRIFT_MS)
}

impl Blocks for Span {
    fn between(&self, from: Option<u64>, after_ms: u64, before_ms: u64) -> Option<Point> {
        let first = match from {
            Some(height) => usize::try_from(height.saturating_sub(self.from)).unwrap_or(usize::MAX),
            None => self.latest.partition_point(|latest| *latest <= after_ms),
        };
        let times = self.times.iter().zip(&self.latest).enumerate().skip(first);
        for (at, (time, latest)) in times {
            if after_ms < *time && *time < before_ms {
                return Some(Point { timestamp_ms: *time, block_height: self.from + at as u64 });
            }
            if before(*latest) >= before_ms {
                return None;
            }
        }
        None
    }

    fn covers(&self, after_ms: u64, before_ms: u64) -> bool {
        let (first, latest) = (self.times.first(), self.latest.last());
        after_ms >= before_ms
            || first.is_some_and(|first| *first <= before(after_ms)) && latest.is_some_and(|latest| before(*latest) >= before_ms)
    }
}
