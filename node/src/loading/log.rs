//! Which of the scheduler's assignments are its log: no gap, one for each slot, along the hash chain. Pure.
//!
//! The chain of a slot commits to the ids of all assignments before it (`protocol.md`, section 6.1). Of processes that are older than the
//! rule, units of the older network never checked it, and logs exist in which it does not hold: there a slot counts for its number and its
//! signature alone, and how often that was so is counted.

use std::collections::BTreeMap;

use ao_types::{Assignment, HashChain, Id, Slot};

use crate::core::cron::Point;

/// Where a log ends so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The first slot that is not there.
    pub next: Slot,
    /// The chain that its assignment has to have.
    pub chain: HashChain,
    /// Time and height of the slot before.
    pub last: Point,
}

impl Tail {
    /// Of a process of which nothing is there.
    pub fn of(process: &Id) -> Self {
        Self { next: Slot(0), chain: HashChain::first(process), last: Point::default() }
    }

    /// Behind an assignment.
    pub fn behind(assignment: &Assignment) -> Self {
        let content = assignment.content();
        let last = Point { timestamp_ms: content.timestamp_ms, block_height: content.block_height };
        Self { next: content.slot.next(), chain: assignment.next_chain(), last }
    }
}

/// The scheduler's signed word is no log. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrue {
    /// The chain of a slot does not follow.
    #[error("slot {slot}: the hash chain that the scheduler signed is {found}, the log before it leads to {expected}")]
    Unlinked {
        /// Where.
        slot: Slot,
        /// By the log before.
        expected: HashChain,
        /// As signed.
        found: HashChain,
    },
    /// Two messages in one slot, and nothing decides.
    #[error("slot {slot}: the scheduler signed two messages into it, in assignments {one} and {two}")]
    Contradiction {
        /// Where.
        slot: Slot,
        /// One of the two.
        one: Id,
        /// The other.
        two: Id,
    },
}

/// The assignment of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct One {
    /// It.
    pub assignment: Assignment,
    /// Whether it follows by the hash chain.
    pub linked: bool,
    /// Whether it lies below the one before in time or height.
    pub backwards: bool,
    /// A contradiction that the chain decided: ids of two assignments.
    pub contradiction: Option<(Id, Id)>,
}

/// Slots that follow on a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// In their order, without a gap.
    pub entries: Vec<One>,
    /// Where the log ends with them.
    pub tail: Tail,
    /// Why the next slot, of which assignments are here, is not among them.
    pub end: Option<Untrue>,
    /// Whether slots behind the last one are here: another look may lead to them.
    pub held: bool,
    /// Whether the next slot was signed more often than once, and the one that says which of them counts is not here.
    pub open: bool,
}

/// Follows a log as far as it goes. `chained`: every slot has to follow by the hash chain.
pub fn choose(tail: &Tail, chained: bool, mut known: BTreeMap<Slot, Vec<Assignment>>) -> Chosen {
    let mut chosen = Chosen { entries: Vec::new(), tail: *tail, end: None, held: false, open: false };
    while let Some(mut here) = known.remove(&chosen.tail.next) {
        let linked = here.iter().any(|one| one.content().hash_chain == chosen.tail.chain);
        if linked {
            here.retain(|one| one.content().hash_chain == chosen.tail.chain);
        }
        let after: Vec<HashChain> = known.get(&chosen.tail.next.next()).into_iter().flatten().map(|one| one.content().hash_chain).collect();
        // What is taken stays: whichever counts, the slot behind it says. Another look begins here; if that has no more to go by and they
        // differ in what they put there, it is a contradiction.
        if after.is_empty() && here.len() > 1 && (!chosen.entries.is_empty() || other(&here).is_none()) {
            chosen.open = true;
            return chosen;
        }
        match next(&chosen.tail, linked || !chained, here, &after) {
            Ok(one) => chosen.push(one),
            Err(untrue) => {
                chosen.end = Some(untrue);
                return chosen;
            }
        }
    }
    chosen.held = known.last_key_value().is_some_and(|(slot, _)| *slot > chosen.tail.next);
    chosen
}

/// Which of those that are here comes next. `may`: they follow by the hash chain, or need not; `after`: chains of the slot behind it.
fn next(tail: &Tail, may: bool, mut here: Vec<Assignment>, after: &[HashChain]) -> Result<One, Untrue> {
    let Tail { next: slot, chain: expected, last } = *tail;
    // By id, so that what is chosen does not depend on who answered first.
    here.sort_unstable_by_key(Assignment::id);
    let mut undecided = other(&here);
    let mut contradiction = None;
    let goes_on = |one: &Assignment| after.contains(&one.next_chain());
    if here.iter().any(goes_on) {
        here.retain(goes_on);
        contradiction = std::mem::replace(&mut undecided, other(&here));
    }
    if let Some((one, two)) = undecided {
        return Err(Untrue::Contradiction { slot, one, two });
    }
    match here.into_iter().next() {
        Some(assignment) if may => {
            let linked = assignment.content().hash_chain == expected;
            let now = Tail::behind(&assignment).last;
            let backwards = now.timestamp_ms < last.timestamp_ms || now.block_height < last.block_height;
            Ok(One { assignment, linked, backwards, contradiction })
        }
        found => Err(Untrue::Unlinked { slot, expected, found: found.map_or(expected, |one| one.content().hash_chain) }),
    }
}

impl Chosen {
    fn push(&mut self, one: One) {
        self.tail = Tail::behind(&one.assignment);
        self.entries.push(one);
    }

    /// Leaves out what lies behind this slot, and whatever is wrong with it: it was looked at for the slot before alone.
    pub fn cut(&mut self, to: Slot) {
        self.entries.retain(|one| one.assignment.content().slot <= to);
        if self.tail.next > to {
            (self.end, self.held, self.open) = (None, false, false);
            if let Some(last) = self.entries.last() {
                self.tail = Tail::behind(&last.assignment);
            }
        }
    }
}

/// Two of them that put different messages there.
fn other(here: &[Assignment]) -> Option<(Id, Id)> {
    let first = here.first()?;
    here.iter().find(|one| one.message() != first.message()).map(|two| (first.id(), two.id()))
}
