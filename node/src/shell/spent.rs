//! How long each process was evaluated since a state of it was last brought to Arweave: what whoever recovers it would wait for.
//!
//! In memory: after a start it begins anew, and the other rules of the policy hold all the same (`arweave.md`, section 8).

use std::num::NonZeroUsize;
use std::time::Duration;

use ao_types::Id;
use lru::LruCache;
use parking_lot::Mutex;

use crate::limits::SPENT_PROCESSES_MAX;

/// See the module. The processes that are evaluated most rarely are forgotten first.
pub struct Spent(Mutex<LruCache<Id, Duration>>);

impl Default for Spent {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(const { NonZeroUsize::new(SPENT_PROCESSES_MAX).expect("some processes") })))
    }
}

impl Spent {
    /// It was evaluated for so long more.
    pub fn add(&self, process: Id, time: Duration) {
        let mut spent = self.0.lock();
        let sum = spent.get_or_insert_mut(process, Duration::default);
        *sum = sum.saturating_add(time);
    }

    /// How long so far.
    pub fn of(&self, process: &Id) -> Duration {
        self.0.lock().peek(process).copied().unwrap_or_default()
    }

    /// It begins anew.
    pub fn reset(&self, process: &Id) {
        self.0.lock().pop(process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_adds_up_until_it_begins_anew_and_only_so_many_are_remembered() {
        let (spent, id) = (Spent::default(), |n: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            Id(id)
        });
        (0..3).for_each(|_| spent.add(id(1), Duration::from_secs(2)));
        assert_eq!((spent.of(&id(1)), spent.of(&id(2))), (Duration::from_secs(6), Duration::ZERO));
        spent.add(id(2), Duration::MAX);
        spent.add(id(2), Duration::MAX);
        spent.reset(&id(2));
        assert_eq!(spent.of(&id(2)), Duration::ZERO);
        (2..=SPENT_PROCESSES_MAX).for_each(|n| spent.add(id(n), Duration::from_secs(1)));
        assert_eq!(spent.of(&id(1)), Duration::from_secs(6));
        spent.add(id(0), Duration::from_secs(1));
        assert_eq!((spent.of(&id(1)), spent.of(&id(2))), (Duration::ZERO, Duration::from_secs(1)));
    }
}
