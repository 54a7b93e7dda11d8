//! Whose turn it is: who orders a process brings it to Arweave; if nobody is seen to do so, the next scheduler takes over (`arweave.md`,
//! section 8).
//!
//! What waits is a function of rows and of what was observed; since when, of the chain's height. Refuses to ask anybody and to send anything.

use std::sync::Arc;

use ao_arweave::duty::{Range, is_on_duty};
use ao_types::{Address, Epoch};

use super::collect::{CollectError, Collector};
use super::observe::Observer;

/// Another scheduler's processes.
struct Other {
    /// Its place among all.
    place: u64,
    collector: Arc<Collector>,
    /// Height at which something was found to wait too long.
    since: Option<u64>,
}

/// See the module.
pub struct Turns {
    others: Vec<Other>,
    own: u64,
    members: u64,
}

impl Turns {
    /// Among these schedulers, in the order of the genesis; `collector` makes one for another's processes. `None`: this node is none of them,
    /// or there is no other.
    pub fn new(schedulers: &[Address], own: &Address, collector: impl Fn(Address) -> Collector) -> Option<Self> {
        let place = schedulers.iter().position(|scheduler| scheduler == own).filter(|_| schedulers.len() > 1)?;
        let others = schedulers.iter().enumerate().filter(|(_, scheduler)| *scheduler != own);
        let other = |(place, scheduler): (usize, &Address)| {
            let collector = Arc::new(collector(*scheduler));
            Other { place: place as u64, collector, since: None }
        };
        Some(Self { others: others.map(other).collect(), own: place as u64, members: schedulers.len() as u64 })
    }

    /// Those whose processes this node brings to Arweave now: something waits that is due at `now_ms`, that nobody was seen to bring, and the
    /// turns of those before this node are over.
    ///
    /// # Errors
    /// The store's.
    pub fn due(&mut self, tip: u64, now_ms: u64, observer: &Observer) -> Result<Vec<Arc<Collector>>, CollectError> {
        let (own, members) = (self.own, self.members);
        let mut due = Vec::new();
        for other in &mut self.others {
            if !other.collector.is_late(now_ms, |process| observer.claimed(process))? {
                other.since = None;
                continue;
            }
            let since = *other.since.get_or_insert(tip);
            // The first turn is that of who orders.
            let range = Range { epoch: Epoch(0), number: other.place, since };
            if is_on_duty(&range, own, members, tip) {
                due.push(other.collector.clone());
            }
        }
        Ok(due)
    }
}
