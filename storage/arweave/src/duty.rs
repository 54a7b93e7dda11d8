//! Whose turn it is to anchor.
//!
//! Every node of a network holds the same log, and one copy on Arweave is enough. Members of the committee take turns by range; if a range
//! is not seen ten blocks after it could have been, the next member takes over, and so on around. Two who anchor the same range by mistake
//! spend twice and harm nobody: items have the same ids, and readers see each once.

use ao_types::Epoch;

use crate::limits::TAKE_OVER_BLOCKS;

/// A range that waits for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Of the committee.
    pub epoch: Epoch,
    /// Place of the range in its process's sequence of ranges.
    pub number: u64,
    /// Chain height at which its first slot was confirmed.
    pub since: u64,
}

/// Which of `members` is on duty at `height`: the one of the range, and every ten blocks the one after. `None` without members.
pub fn member_on_duty(range: &Range, members: u64, height: u64) -> Option<u64> {
    let late = height.saturating_sub(range.since) / TAKE_OVER_BLOCKS;
    (u128::from(range.epoch.0) + u128::from(range.number) + u128::from(late)).checked_rem(u128::from(members)).map(|member| member as u64)
}

/// Whether the member at `index` anchors at `height`: it is its turn, or was and nobody has done it since. A turn does not pass away: who
/// was too busy in its ten blocks still anchors later.
pub fn is_on_duty(range: &Range, index: u64, members: u64, height: u64) -> bool {
    let late = height.saturating_sub(range.since) / TAKE_OVER_BLOCKS;
    (0..=late.min(members)).any(|turn| member_on_duty(range, members, range.since.saturating_add(turn * TAKE_OVER_BLOCKS)) == Some(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_duty(range: &Range, members: u64, height: u64) -> Vec<u64> {
        (0..members).filter(|index| is_on_duty(range, *index, members, height)).collect()
    }

    #[test]
    fn one_begins_by_turn_and_one_more_joins_every_ten_blocks() {
        let range = |number| Range { epoch: Epoch(3), number, since: 100 };
        assert_eq!((0..5).map(|number| on_duty(&range(number), 4, 109)).collect::<Vec<_>>(), [[3], [0], [1], [2], [3]]);
        assert_eq!(on_duty(&range(0), 4, 110), [0, 3]);
        assert_eq!(on_duty(&range(0), 4, 129), [0, 1, 3]);
        assert_eq!(on_duty(&range(0), 4, u64::MAX), [0, 1, 2, 3]);
        assert_eq!(on_duty(&range(0), 4, 0), [3], "a chain that went back is no reason to take over");
        assert_eq!(member_on_duty(&range(0), 0, 100), None);
        let last = Range { epoch: Epoch(u64::MAX), number: u64::MAX, since: 0 };
        assert_eq!(on_duty(&last, 1, 0), [0]);
    }
}
