//! The chain that gives heights and block times.
//!
//! [`DevChain`] is embedded: it needs nobody, and every block of it is a pure function of its genesis. A node on a public network puts a
//! gateway behind the same trait. What this module refuses to do: read a clock. Callers say what time it is.

use ao_consensus::Timestamp;
use ao_storage::schema::DevGenesisRow;
use ao_types::hash::sha384;

use crate::core::cron::Point;

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Height.
    pub height: u64,
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Independent hash.
    pub id: [u8; 48],
}

/// Blocks that are known and will not change: an input of the fold where a process has crons (`protocol.md` §11).
pub trait Blocks: Send + Sync {
    /// Time and height of the lowest block at height `from` or above (`None`: of any height) whose time is after `after_ms` and before
    /// `before_ms`. Blocks' times may run backwards.
    fn between(&self, from: Option<u64>, after_ms: u64, before_ms: u64) -> Option<Point>;

    /// Whether every block that there is between these times is known.
    fn covers(&self, _after_ms: u64, _before_ms: u64) -> bool {
        true
    }
}

/// A source of blocks that grows with time.
pub trait Chain: Blocks {
    /// The block at `height`, if the chain can have it.
    fn block(&self, height: u64) -> Option<Block>;

    /// The newest block at `now`.
    fn tip(&self, now: Timestamp) -> Block;
}

/// Genesis of an embedded chain. Stored once per data directory: changing it would change what block crons see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DevGenesis {
    /// Timestamp of the first block.
    pub timestamp_ms: u64,
    /// Height of the first block. Above 1 440 000, from where on the reference compute unit checks hash chains.
    pub height: u64,
    /// Milliseconds from one block to the next; at least 1.
    pub interval_ms: u64,
}

impl DevGenesis {
    /// Tag with which a scheduler's node says on Arweave which chain gave the heights of its logs.
    pub const TAG: &str = "Embedded-Chain";
    /// No number of a genesis is larger: sums of them do not overflow.
    const NUMBER_MAX: u64 = 1 << 53;

    /// The tag's value: timestamp, height and interval.
    pub fn text(&self) -> String {
        format!("{} {} {}", self.timestamp_ms, self.height, self.interval_ms)
    }

    /// Reads the tag's value; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |part: &str| part.parse().ok().filter(|number| *number <= Self::NUMBER_MAX);
        let mut parts = text.splitn(3, ' ').map(number);
        let mut next = || parts.next().flatten();
        let found = Self { timestamp_ms: next()?, height: next()?, interval_ms: next()? };
        (found.interval_ms > 0).then_some(found)
    }

    /// Whether an assignment made at this time can have this height: it is in the newest block, or in one that was that before.
    pub fn can_give(&self, timestamp_ms: u64, height: u64) -> bool {
        let reached = || DevChain::new(*self).height_at(timestamp_ms);
        timestamp_ms >= self.timestamp_ms && timestamp_ms <= Self::NUMBER_MAX && (self.height..=reached()).contains(&height)
    }
}

impl From<DevGenesisRow> for DevGenesis {
    fn from(row: DevGenesisRow) -> Self {
        Self { timestamp_ms: row.timestamp_ms, height: row.height, interval_ms: row.interval_ms }
    }
}

impl From<DevGenesis> for DevGenesisRow {
    fn from(genesis: DevGenesis) -> Self {
        Self { timestamp_ms: genesis.timestamp_ms, height: genesis.height, interval_ms: genesis.interval_ms }
    }
}

/// Timed blocks: one every `interval_ms` since genesis, whether or not anybody asks.
///
/// A block's id is a hash over genesis and height, so that any block is known at once, ten years after genesis as well; each names its
/// predecessor through [`DevChain::previous`].
#[derive(Clone, Debug)]
pub struct DevChain {
    genesis: DevGenesis,
}

impl DevChain {
    /// The chain of `genesis`; an interval of 0 counts as 1 ms.
    pub fn new(genesis: DevGenesis) -> Self {
        Self { genesis: DevGenesis { interval_ms: genesis.interval_ms.max(1), ..genesis } }
    }

    /// Id of the block before `height`; of the first block, the hash of the genesis alone.
    pub fn previous(&self, height: u64) -> [u8; 48] {
        self.id(height.saturating_sub(1).max(self.genesis.height.saturating_sub(1)))
    }

    fn id(&self, height: u64) -> [u8; 48] {
        let DevGenesis { timestamp_ms, height: first, interval_ms } = self.genesis;
        let numbers = [timestamp_ms, first, interval_ms, height].map(u64::to_be_bytes);
        sha384(&[b"aonode dev block", numbers.as_flattened()])
    }

    fn time_of(&self, height: u64) -> Option<u64> {
        let age = height.checked_sub(self.genesis.height)?;
        self.genesis.timestamp_ms.checked_add(age.checked_mul(self.genesis.interval_ms)?)
    }

    fn height_at(&self, timestamp_ms: u64) -> u64 {
        self.genesis.height + timestamp_ms.saturating_sub(self.genesis.timestamp_ms) / self.genesis.interval_ms
    }
}

impl Blocks for DevChain {
    /// Its times never run backwards.
    fn between(&self, from: Option<u64>, after_ms: u64, before_ms: u64) -> Option<Point> {
        let DevGenesis { timestamp_ms, height: first, .. } = self.genesis;
        let later = if after_ms < timestamp_ms { first } else { self.height_at(after_ms).checked_add(1)? };
        let height = from.map_or(later, |from| from.max(later));
        let timestamp_ms = self.time_of(height)?;
        (timestamp_ms < before_ms).then_some(Point { timestamp_ms, block_height: height })
    }
}

impl Chain for DevChain {
    fn block(&self, height: u64) -> Option<Block> {
        Some(Block { height, timestamp_ms: self.time_of(height)?, id: self.id(height) })
    }

    fn tip(&self, now: Timestamp) -> Block {
        let height = self.height_at(now.0);
        self.block(height).unwrap_or(Block { height, timestamp_ms: now.0, id: self.id(height) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chain() -> DevChain {
        DevChain::new(DevGenesis { timestamp_ms: 10_000, height: 100, interval_ms: 2_000 })
    }

    #[test]
    fn blocks_come_at_their_time() {
        let heights: Vec<u64> = [0, 9_999, 10_000, 11_999, 12_000, 20_001].map(|now| chain().tip(Timestamp(now)).height).to_vec();
        assert_eq!(heights, [100, 100, 100, 100, 101, 105]);
        assert_eq!(chain().block(99), None);
        assert_eq!(chain().block(101).map(|block| block.timestamp_ms), Some(12_000));
        assert_eq!(chain().previous(101), chain().block(100).unwrap().id);
        assert_ne!(chain().previous(100), chain().block(100).unwrap().id);
    }

    #[test]
    fn a_genesis_is_read_as_it_was_written_and_nothing_else_is_one() {
        let DevChain { genesis } = chain();
        assert_eq!(DevGenesis::parse(&genesis.text()), Some(genesis));
        for text in
            ["", "1", "1 2", "1 2 0", "1 2 3 4", " 1 2 3", "1 -2 3", "1 2 x", "1 18446744073709551615 3", "18446744073709551615 2 3"]
        {
            assert_eq!(DevGenesis::parse(text), None, "{text:?}");
        }
        let given = [(10_000, 100), (12_000, 101), (13_999, 101), (20_001, 103)].map(|(time, height)| genesis.can_give(time, height));
        assert_eq!(given, [true; 4]);
        let never = [(9_999, 100), (10_000, 99), (11_999, 101), (u64::MAX, 101)].map(|(time, height)| genesis.can_give(time, height));
        assert_eq!(never, [false; 4]);
    }

    proptest! {
        #[test]
        fn between_is_the_lowest_block_that_is_later(now in 0u64..1_000_000, more in 0_u64..9) {
            let first = chain().between(None, now, u64::MAX).unwrap();
            prop_assert!(first.timestamp_ms > now);
            if let Some(before) = chain().block(first.block_height - 1) {
                prop_assert!(before.timestamp_ms <= now);
            }
            let from = first.block_height + more;
            prop_assert_eq!(chain().between(Some(from), now, u64::MAX).unwrap().block_height, from);
            prop_assert_eq!(chain().between(None, now, first.timestamp_ms), None);
        }
    }
}
