//! Virtual cron messages (`protocol.md` §11): which ticks lie between two points of a process's log.
//!
//! A pure generator with the reference's quirks: a tick keeps the millisecond phase of the left point, at most one block is taken per
//! tick, blocks left over when the walk ends are lost, indices count inside the block-only or the sorted time-only list.
//!
//! The reference walks anew from wherever its last evaluation happened to be, so that its ticks depend on when somebody asked. Here the
//! walk always begins at the scheduled message, and an evaluation up to now takes only seconds that are over ([`Walk::until`]): what
//! was evaluated early is a prefix of what the next message will find, whoever asked and how often.

use std::collections::VecDeque;

use ao_types::Tag;

use crate::chain::Blocks;

/// A point of the log or of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Height seen there.
    pub block_height: u64,
}

/// What a group counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// Arweave blocks.
    Blocks(u64),
    /// Whole seconds.
    Seconds(u64),
}

/// One `Cron-Interval` with its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How often; never 0.
    pub interval: Interval,
    /// As the process wrote it: `10-seconds`.
    pub text: String,
    /// Tags of its messages.
    pub tags: Vec<Tag>,
}

/// The groups of a process in the order in which they fire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    blocks: Vec<(u64, Group)>,
    seconds: Vec<(u64, Group)>,
}

impl Schedule {
    /// Block groups keep the order of declaration; time groups go by interval, equal ones by declaration.
    pub fn new(groups: impl IntoIterator<Item = Group>) -> Self {
        let mut schedule = Self::default();
        for group in groups {
            match group.interval {
                Interval::Blocks(n) => schedule.blocks.push((n.max(1), group)),
                Interval::Seconds(n) => schedule.seconds.push((n.max(1), group)),
            }
        }
        schedule.seconds.sort_by_key(|(seconds, _)| *seconds);
        schedule
    }

    /// No group at all: nothing ever ticks.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.seconds.is_empty()
    }

    /// The group that a tick names.
    pub fn group(&self, tick: &Tick) -> Option<&Group> {
        let list = if tick.of_blocks { &self.blocks } else { &self.seconds };
        list.get(tick.index).map(|(_, group)| group)
    }
}

/// One cron message to be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// In the block-only list, else in the sorted time-only list.
    pub of_blocks: bool,
    /// Index inside that list.
    pub index: usize,
    /// Its time and height.
    pub at: Point,
}

impl Tick {
    /// `<index>-<interval text>`: with the timestamp, what identifies a cron message.
    pub fn identity(&self, schedule: &Schedule) -> String {
        format!("{}-{}", self.index, schedule.group(self).map_or("", |group| group.text.as_str()))
    }
}

/// A walk from one scheduled message towards the next. Cheap to keep and to clone; walking on costs only the new seconds.
#[derive(Clone, Debug)]
pub struct Walk {
    origin: Point,
    left: Point,
    at_ms: u64,
    height: u64,
    /// The next block to take, once it is known.
    block: Option<Point>,
    /// Behind the last block that was taken; before that it is the first one after `left`.
    block_next: Option<u64>,
    /// No more is to be taken before this time.
    none_before_ms: u64,
    ready: VecDeque<Tick>,
    emitted: u32,
}

impl Walk {
    /// Begins at the scheduled message `left` of a process born at `origin`.
    pub fn new(origin: Point, left: Point) -> Self {
        let ready = VecDeque::new();
        let (at_ms, height) = (left.timestamp_ms, left.block_height);
        Self { origin, left, at_ms, height, block: None, block_next: None, none_before_ms: 0, ready, emitted: 0 }
    }

    /// The scheduled message it began at.
    pub fn left(&self) -> Point {
        self.left
    }

    /// How many ticks came out so far: the ordinal of the last one after its slot.
    pub fn emitted(&self) -> u32 {
        self.emitted
    }

    /// The next tick before the scheduled message at `right_ms`.
    pub fn before(&mut self, schedule: &Schedule, blocks: &dyn Blocks, right_ms: u64) -> Option<Tick> {
        self.next(schedule, blocks, right_ms, right_ms)
    }

    /// The next tick in a second that is over at `now_ms`; see the module documentation.
    pub fn until(&mut self, schedule: &Schedule, blocks: &dyn Blocks, now_ms: u64) -> Option<Tick> {
        self.next(schedule, blocks, now_ms / 1000 * 1000, now_ms)
    }

    fn next(&mut self, schedule: &Schedule, blocks: &dyn Blocks, end_ms: u64, right_ms: u64) -> Option<Tick> {
        if schedule.is_empty() {
            return None;
        }
        while self.ready.is_empty() && self.at_ms < end_ms {
            self.step(schedule, blocks, right_ms);
        }
        let tick = self.ready.pop_front()?;
        self.emitted = self.emitted.saturating_add(1);
        Some(tick)
    }

    /// One second: block crons first, then time crons.
    fn step(&mut self, schedule: &Schedule, blocks: &dyn Blocks, right_ms: u64) {
        let t = self.at_ms;
        if self.block.is_none() && self.none_before_ms < right_ms {
            self.block = blocks.between(self.block_next, self.left.timestamp_ms, right_ms);
            self.none_before_ms = if self.block.is_none() { right_ms } else { 0 };
        }
        if let Some(at) = self.block.filter(|block| t / 1000 >= block.timestamp_ms / 1000) {
            (self.height, self.block, self.block_next) = (at.block_height, None, Some(at.block_height.saturating_add(1)));
            let age = at.block_height.abs_diff(self.origin.block_height);
            let due = schedule.blocks.iter().enumerate().filter(|(_, (n, _))| age != 0 && age % n == 0);
            self.ready.extend(due.map(|(index, _)| Tick { of_blocks: true, index, at }));
        }
        let (second, born) = (t / 1000, self.origin.timestamp_ms / 1000);
        let age = second.abs_diff(born);
        let at = Point { timestamp_ms: t, block_height: self.height };
        let due = schedule.seconds.iter().enumerate().filter(|(_, (n, _))| age != 0 && age % n == 0);
        self.ready.extend(due.map(|(index, _)| Tick { of_blocks: false, index, at }));
        self.at_ms = t.saturating_add(1000);
    }
}

#[cfg(test)]
mod tests;
