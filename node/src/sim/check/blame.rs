//! Who is accused: nobody who keeps the rules; and how fast evidence reaches everybody.

use std::collections::{BTreeMap, BTreeSet};

use ao_consensus::evidence::Offender;
use ao_consensus::{Evidence, Offence, Rosters};
use ao_types::{Address, BlsKey, Canonical as _, Committee, PeerId};

use super::Violation;

/// Accusations of a run.
#[derive(Default)]
pub struct Blame {
    /// When each piece of evidence was first shown, and when each node had it.
    shown: BTreeMap<[u8; 32], (u64, BTreeMap<usize, u64>)>,
    /// Attestors that evidence of honest nodes convicts.
    convicted: BTreeSet<BlsKey>,
}

/// Who keeps the rules.
pub struct Honest<'a> {
    /// Keys of attestors that do not.
    pub bad_keys: &'a BTreeSet<BlsKey>,
    /// Schedulers that do not.
    pub bad_schedulers: &'a BTreeSet<Address>,
}

impl Blame {
    /// A node shows a fault.
    pub fn on_evidence(&mut self, evidence: &Evidence, now: u64, rosters: &Rosters, honest: &Honest<'_>) -> Result<(), Violation> {
        let kind = evidence.kind();
        let same = Evidence::decode(&evidence.encode()).is_ok_and(|read| read == *evidence);
        Violation::unless(same, "evidence", || format!("a piece of {kind} is not what its bytes say"))?;
        let offender = evidence.verify(rosters).map_err(|error| Violation::new("evidence", format!("{kind} convicts nobody: {error}")))?;
        let innocent = match &offender {
            Offender::Scheduler(address, _) => !honest.bad_schedulers.contains(address),
            Offender::Attestors(keys) => keys.iter().any(|key| !honest.bad_keys.contains(key)),
        };
        Violation::unless(!innocent, "evidence", || format!("{kind} convicts an honest node: {offender:?}"))?;
        if let Offender::Attestors(keys) = offender {
            self.convicted.extend(keys);
        }
        self.shown.entry(evidence.id()).or_insert_with(|| (now, BTreeMap::new()));
        Ok(())
    }

    /// S8: with two contents confirmed or certified for one place, a third of the committee's stake is convicted.
    pub fn enough_are_convicted(&self, committee: &Committee) -> Result<(), Violation> {
        let convicted = committee.members().iter().filter(|member| self.convicted.contains(&member.key));
        let (stake, total) = (convicted.map(|member| member.stake.0).sum::<u128>(), committee.total().0);
        Violation::unless(3 * stake >= total, "S8", || format!("S1 is broken and evidence convicts {stake} of {total}"))
    }

    /// A node has a piece of evidence in its store.
    pub fn on_stored(&mut self, id: [u8; 32], node: usize, now: u64) {
        self.shown.entry(id).or_insert_with(|| (now, BTreeMap::new())).1.entry(node).or_insert(now);
    }

    /// How long each piece took to be at all of so many nodes, milliseconds; `None`: it is not.
    pub fn spread(&self, nodes: usize) -> Vec<Option<u64>> {
        let last = |at: &BTreeMap<usize, u64>| at.values().copied().max();
        self.shown.values().map(|(first, at)| if at.len() >= nodes { Some(last(at)?.saturating_sub(*first)) } else { None }).collect()
    }
}

/// A node blames a peer. Loss and crashes look like withholding and, sent again, like flooding; nothing else happens to honest nodes.
pub fn on_blamed(peer: &PeerId, honest: bool, offence: Offence, why: &str) -> Result<(), Violation> {
    let sure = !matches!(offence, Offence::Withheld | Offence::Flood);
    Violation::unless(!honest || !sure, "honest", || format!("{peer} is honest and is blamed for {offence:?}: {why}"))
}
