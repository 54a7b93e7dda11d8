//! How many compilations there may be at a time, those included that nobody waits for any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// So many, shared by clones.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<(Mutex<usize>, Condvar)>);

/// One of them; free again when dropped.
#[derive(Debug)]
pub(super) struct Place(Places);

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new((Mutex::new(count), Condvar::new())))
    }

    /// Takes a place, waiting for one until `patience` is over.
    pub(super) fn take(&self, patience: Duration) -> Option<Place> {
        let (free, freed) = &*self.0;
        let deadline = Instant::now() + patience;
        let mut free = free.lock();
        while *free == 0 {
            if freed.wait_until(&mut free, deadline).timed_out() && *free == 0 {
                return None;
            }
        }
        *free -= 1;
        Some(Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (free, freed) = &*self.0.0;
        *free.lock() += 1;
        freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_waited_for_as_long_as_was_said() {
        let places = Places::new(1);
        let first = places.take(Duration::ZERO).unwrap();
        assert!(places.take(Duration::ZERO).is_none());
        assert!(places.take(Duration::from_millis(1)).is_none());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| places.take(Duration::from_secs(600)).is_some());
            drop(first);
            assert!(second.join().unwrap());
        });
        assert!(places.take(Duration::ZERO).is_some());
    }
}
