//! Along the hash chain, all branches side by side: pure, and blind to the order in which assignments were found.

use std::collections::BTreeMap;

use ao_types::{Address, HashChain, Id, Slot};

use super::Claim;
use crate::limits::RECOVER_BRANCHES_MAX;

/// Where a log ends, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is known of the slot: it is the end, or a hole behind which there may be more.
    NoAssignment {
        /// The slot.
        slot: Slot,
        /// Whether later slots are known: then it is a hole.
        hole: bool,
    },
    /// The assignment is here, the item that it names is not.
    NoItem {
        /// The slot.
        slot: Slot,
        /// What to look for.
        item: Id,
    },
    /// Assignments of the slot are here, none follows on the one before.
    Unlinked {
        /// The slot.
        slot: Slot,
    },
    /// The scheduler signed two different messages into the slot, and both go on equally far.
    Contradiction {
        /// The slot.
        slot: Slot,
        /// Two assignments that prove it.
        proof: (Id, Id),
    },
}

impl End {
    /// The first slot that is not there.
    pub fn slot(&self) -> Slot {
        match self {
            Self::NoAssignment { slot, .. } | Self::NoItem { slot, .. } | Self::Unlinked { slot } | Self::Contradiction { slot, .. } => {
                *slot
            }
        }
    }

    /// Whether something must be missing: a log that ends where nothing more is known may be whole.
    pub fn is_hole(&self) -> bool {
        !matches!(self, Self::NoAssignment { hole: false, .. })
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAssignment { slot, hole: true } => write!(f, "the assignment of slot {slot} is missing, and later ones are here"),
            Self::NoAssignment { slot, hole: false } => write!(f, "nothing is known of slot {slot}"),
            Self::NoItem { slot, item } => write!(f, "item {item} of slot {slot} is missing"),
            Self::Unlinked { slot } => write!(f, "no assignment of slot {slot} follows on the one before"),
            Self::Contradiction { slot, proof } => {
                write!(f, "the scheduler signed two messages into slot {slot}: assignments {} and {}", proof.0, proof.1)
            }
        }
    }
}

/// One assignment on a branch.
struct Node<'a> {
    claim: &'a Claim,
    /// The node before; `None` at slot 0.
    before: Option<usize>,
}

/// What [`walk`] found.
pub struct Walked<'a> {
    /// Slots in order.
    pub path: Vec<(Slot, &'a Claim)>,
    /// Why there are not more.
    pub end: End,
    /// Pairs of assignments that cannot both stand.
    pub contradictions: Vec<(Id, Id)>,
}

/// Follows the hash chain from the first slot. A chain names the ids of all assignments before it: which of several that were signed again
/// is meant, the next slot says.
pub fn walk<'a>(process: &Id, scheduler: &Address, known: &'a BTreeMap<Slot, Vec<Claim>>) -> Walked<'a> {
    let mut nodes: Vec<Node<'a>> = Vec::new();
    let mut live: Vec<(Option<usize>, HashChain)> = vec![(None, HashChain::first(process))];
    let mut contradictions = Vec::new();
    let mut slot = Slot(0);
    let end = loop {
        let mut here: Vec<&Claim> = known.get(&slot).into_iter().flatten().filter(|found| found.signer == *scheduler).collect();
        if here.is_empty() {
            let hole = known.range(slot..).any(|(_, found)| found.iter().any(|found| found.signer == *scheduler));
            break End::NoAssignment { slot, hole };
        }
        // By id, so that what is kept does not depend on the order in which bundles came.
        here.sort_unstable_by_key(|found| found.id);
        let mut next = Vec::new();
        for (before, chain) in &live {
            for claim in here.iter().filter(|found| found.chain == *chain) {
                if next.len() < RECOVER_BRANCHES_MAX {
                    nodes.push(Node { claim, before: *before });
                    next.push((Some(nodes.len() - 1), claim.chain.next(&claim.id)));
                }
            }
        }
        if next.is_empty() {
            break End::Unlinked { slot };
        }
        let of = |place: &(Option<usize>, HashChain)| place.0.and_then(|at| nodes.get(at)).map(|node| node.claim);
        if let Some(first) = next.first().and_then(of)
            && let Some(other) = next.iter().filter_map(of).find(|other| contradict(first, other))
        {
            contradictions.push((first.id, other.id));
        }
        live = next;
        slot = slot.next();
    };
    // All live branches are equally long. Where they differ in more than signatures, nobody can say which one counts.
    let best = path(&nodes, live.first().and_then(|(tip, _)| *tip));
    let split = live.iter().skip(1).filter_map(|(tip, _)| {
        let other = path(&nodes, *tip);
        best.iter().zip(&other).position(|(one, two)| one.message != two.message).map(|at| (at, best[at].id, other[at].id))
    });
    let numbered = |path: &[&'a Claim]| (0..).map(Slot).zip(path.iter().copied()).collect();
    match split.min_by_key(|(at, ..)| *at) {
        Some((at, one, two)) => {
            let end = End::Contradiction { slot: Slot(at as u64), proof: (one, two) };
            Walked { path: numbered(&best[..at]), end, contradictions }
        }
        None => Walked { path: numbered(&best), end, contradictions },
    }
}

/// Of one slot of one process: whether they cannot both stand.
fn contradict(one: &Claim, other: &Claim) -> bool {
    one.schedule_epoch == other.schedule_epoch && one.content != other.content
}

fn path<'a>(nodes: &[Node<'a>], tip: Option<usize>) -> Vec<&'a Claim> {
    let mut path = Vec::new();
    let mut at = tip.and_then(|at| nodes.get(at));
    while let Some(node) = at {
        path.push(node.claim);
        at = node.before.and_then(|before| nodes.get(before));
    }
    path.reverse();
    path
}
