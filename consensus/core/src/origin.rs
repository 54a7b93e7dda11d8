//! What engines and checks must know of the Origin ledger (`consensus.md` §7), folded from the control plane's changes.
//!
//! Every question is asked *as of a height*: two nodes that have applied the log up to it answer the same, whatever came after. Owns
//! epochs, schedulers, chains. Refuses to know balances, and hosts of processes: those are the node's, which answers rule 4 of §4.

use std::collections::BTreeMap;

use ao_types::{Address, BlsKey, Chain, Epoch, FrameId, Genesis, Id, PeerId};

use crate::frame::Closed;
use crate::time::Timestamp;

/// What one control block changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginUpdate {
    /// Its height; 0 is the genesis. Heights come in order, without a gap.
    pub height: u64,
    /// Its time.
    pub time: Timestamp,
    /// In the order in which they act.
    pub changes: Vec<OriginChange>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginChange {
    /// A committee is in force from this block on. Its members came before, by [`crate::Input::Committee`].
    Epoch {
        /// Which.
        epoch: Epoch,
        /// Root of the committee.
        committee: [u8; 32],
        /// Attestors hold a chain's frames above so many a second.
        frame_rate_max: u32,
    },
    /// A scheduler may schedule from now on: registered, bonded, not jailed.
    Admitted {
        /// Its wallet.
        scheduler: Address,
        /// Where its node is reached.
        peer: PeerId,
    },
    /// It may no longer.
    Dismissed {
        /// Its wallet.
        scheduler: Address,
    },
    /// A key may no longer attest.
    Jailed {
        /// Which.
        key: BlsKey,
    },
    /// A tenure begins.
    Opened {
        /// Which.
        chain: Chain,
    },
    /// A chain is being closed: attestors seal it (§8 step 1).
    Closing {
        /// Which.
        chain: Chain,
    },
    /// Where a closed chain ends (§8 step 2); `None`: before its first frame.
    Frontier {
        /// Which.
        chain: Chain,
        /// The last frame that counts.
        last: Option<(u64, FrameId)>,
    },
    /// A chain's crossing into an epoch is recorded.
    Crossed {
        /// Which.
        chain: Chain,
        /// The epoch entered.
        epoch: Epoch,
        /// Its crossing frame.
        frame: (u64, FrameId),
    },
    /// A process is scheduled by this chain in this schedule epoch.
    Hosted {
        /// The process.
        process: Id,
        /// Its schedule epoch.
        schedule_epoch: u64,
        /// By whom.
        chain: Chain,
    },
    /// A process is no longer scheduled by this chain.
    Unhosted {
        /// The process.
        process: Id,
        /// The schedule epoch that ends.
        schedule_epoch: u64,
        /// By whom it was.
        chain: Chain,
    },
}

/// What is known of one chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainRecord {
    /// Height at which it was opened.
    pub opened: u64,
    /// Height at which its closing was decided.
    pub closing: Option<u64>,
    /// Where it ends, and the height at which that was decided.
    pub frontier: Option<(u64, Option<(u64, FrameId)>)>,
    /// Recorded crossings: epoch entered, height of the record, frame. Ascending.
    pub crossings: Vec<(Epoch, u64, (u64, FrameId))>,
    /// Processes unhosted, by height.
    pub unhosted: BTreeMap<u64, Vec<Closed>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SchedulerRecord {
    peer: PeerId,
    /// Height and whether it may schedule from there on.
    admitted: BTreeMap<u64, bool>,
}

/// See the module documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    applied: Option<u64>,
    times: BTreeMap<u64, Timestamp>,
    epochs: BTreeMap<u64, (Epoch, [u8; 32], u32)>,
    schedulers: BTreeMap<Address, SchedulerRecord>,
    chains: BTreeMap<Chain, ChainRecord>,
    jailed: BTreeMap<BlsKey, u64>,
}

/// Attestors hold a chain's frames above so many a second, unless the Origin says otherwise.
pub const FRAME_RATE_DEFAULT: u32 = 100;

impl OriginUpdate {
    /// Height 0: the committee of epoch 0, every scheduler of the genesis admitted with tenure 0.
    pub fn genesis(genesis: &Genesis, committee: [u8; 32]) -> Self {
        let epoch = OriginChange::Epoch { epoch: Epoch(0), committee, frame_rate_max: FRAME_RATE_DEFAULT };
        let schedulers = genesis.all_schedulers().flat_map(|(scheduler, peer)| {
            let opened = OriginChange::Opened { chain: Chain { scheduler, tenure: 0 } };
            [OriginChange::Admitted { scheduler, peer: peer.clone() }, opened]
        });
        Self { height: 0, time: Timestamp(genesis.time), changes: std::iter::once(epoch).chain(schedulers).collect() }
    }
}

impl Origin {
    /// Applies the next block. False, and nothing happens, if it is not the next one: a repeat or a gap.
    pub fn apply(&mut self, update: &OriginUpdate) -> bool {
        let expected = self.applied.map_or(0, |height| height + 1);
        if update.height != expected {
            return false;
        }
        let height = update.height;
        self.applied = Some(height);
        self.times.insert(height, update.time);
        for change in &update.changes {
            self.change(height, change);
        }
        true
    }

    fn change(&mut self, height: u64, change: &OriginChange) {
        match change {
            OriginChange::Epoch { epoch, committee, frame_rate_max } => {
                self.epochs.insert(height, (*epoch, *committee, *frame_rate_max));
            }
            OriginChange::Admitted { scheduler, peer } => {
                let record = self.schedulers.entry(*scheduler).or_default();
                record.peer = peer.clone();
                record.admitted.insert(height, true);
            }
            OriginChange::Dismissed { scheduler } => {
                self.schedulers.entry(*scheduler).or_default().admitted.insert(height, false);
            }
            OriginChange::Jailed { key } => {
                self.jailed.entry(*key).or_insert(height);
            }
            OriginChange::Opened { chain } => {
                self.chains.entry(*chain).or_insert_with(|| ChainRecord { opened: height, ..ChainRecord::default() });
            }
            OriginChange::Closing { chain } => {
                if let Some(record) = self.chains.get_mut(chain) {
                    record.closing.get_or_insert(height);
                }
            }
            OriginChange::Frontier { chain, last } => {
                if let Some(record) = self.chains.get_mut(chain) {
                    record.closing.get_or_insert(height);
                    record.frontier.get_or_insert((height, *last));
                }
            }
            OriginChange::Crossed { chain, epoch, frame } => {
                if let Some(record) = self.chains.get_mut(chain) {
                    record.crossings.push((*epoch, height, *frame));
                }
            }
            OriginChange::Hosted { .. } => {}
            OriginChange::Unhosted { process, schedule_epoch, chain } => {
                if let Some(record) = self.chains.get_mut(chain) {
                    let closed = Closed { process: *process, schedule_epoch: *schedule_epoch };
                    record.unhosted.entry(height).or_default().push(closed);
                }
            }
        }
    }

    /// The height up to which it is known.
    pub fn applied(&self) -> Option<u64> {
        self.applied
    }

    /// Time of the block at this height, or of the last one before it that is kept.
    pub fn time_at(&self, height: u64) -> Option<Timestamp> {
        self.times.range(..=height).next_back().map(|(_, time)| *time)
    }

    /// The epoch in force at this height, and its committee's root.
    pub fn epoch_at(&self, height: u64) -> Option<(Epoch, [u8; 32])> {
        self.epochs.range(..=height).next_back().map(|(_, (epoch, root, _))| (*epoch, *root))
    }

    /// Frames a second of one chain above which attestors hold, at this height.
    pub fn frame_rate_at(&self, height: u64) -> u32 {
        self.epochs.range(..=height).next_back().map_or(FRAME_RATE_DEFAULT, |(_, (_, _, rate))| *rate)
    }

    /// Whether a scheduler was registered, bonded and not jailed as of this height.
    pub fn admitted_at(&self, scheduler: &Address, height: u64) -> bool {
        let record = self.schedulers.get(scheduler);
        record.and_then(|record| record.admitted.range(..=height).next_back()).is_some_and(|(_, admitted)| *admitted)
    }

    /// Where a scheduler's node is reached.
    pub fn peer_of(&self, scheduler: &Address) -> Option<&PeerId> {
        self.schedulers.get(scheduler).map(|record| &record.peer)
    }

    /// What is known of a chain.
    pub fn chain(&self, chain: &Chain) -> Option<&ChainRecord> {
        self.chains.get(chain)
    }

    /// All chains.
    pub fn chains(&self) -> impl Iterator<Item = (&Chain, &ChainRecord)> {
        self.chains.iter()
    }

    /// Whether a key may not attest as of this height.
    pub fn jailed_at(&self, key: &BlsKey, height: u64) -> bool {
        self.jailed.get(key).is_some_and(|since| *since <= height)
    }

    /// Processes of a chain unhosted above one height and up to another, in the order in which a header names them.
    pub fn unhosted(&self, chain: &Chain, above: u64, to: u64) -> Vec<Closed> {
        let Some(record) = self.chains.get(chain) else { return Vec::new() };
        let mut closed: Vec<Closed> = match above.checked_add(1) {
            Some(from) if from <= to => record.unhosted.range(from..=to).flat_map(|(_, closed)| closed).copied().collect(),
            _ => Vec::new(),
        };
        closed.sort_unstable();
        closed.dedup();
        closed
    }

    /// Forgets times and admissions that no open chain's next frame can ask for: everything before `height`, but for the last of each.
    pub fn forget_before(&mut self, height: u64) {
        fn cut<T>(map: &mut BTreeMap<u64, T>, height: u64) {
            if let Some(last) = map.range(..=height).next_back().map(|(at, _)| *at) {
                *map = map.split_off(&last);
            }
        }
        cut(&mut self.times, height);
        cut(&mut self.epochs, height);
        self.schedulers.values_mut().for_each(|record| cut(&mut record.admitted, height));
        for record in self.chains.values_mut() {
            record.unhosted = record.unhosted.split_off(&height);
        }
    }
}

#[cfg(test)]
mod tests;
