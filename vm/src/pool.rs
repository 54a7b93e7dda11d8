//! Hot instances, kept while there is room.
//!
//! Owns who stays. Refuses to store anything: what has to go is handed to the caller, who makes its checkpoint and drops it. An instance
//! is taken out to be used and put back afterwards, so a process that is being evaluated is in nobody's way and cannot be evicted.

use std::num::NonZeroUsize;

use ao_types::Id;
use lru::LruCache;

use crate::Instance;

/// Instances by process, least recently used first out.
pub struct Pool {
    hot: LruCache<Id, (Box<dyn Instance>, u64)>,
    bytes: u64,
    bytes_max: u64,
}

impl Pool {
    /// A pool of at most `bytes_max` bytes and `count_max` instances.
    pub fn new(bytes_max: u64, count_max: NonZeroUsize) -> Self {
        Self { hot: LruCache::new(count_max), bytes: 0, bytes_max }
    }

    /// Takes a process's instance out, if it is here.
    pub fn take(&mut self, process: &Id) -> Option<Box<dyn Instance>> {
        let (instance, bytes) = self.hot.pop(process)?;
        self.bytes -= bytes;
        Some(instance)
    }

    /// Puts an instance in as the most recently used, and returns whatever has to go for it: store its checkpoint, then drop it. It may
    /// be the very one put in, where that alone is over the budget.
    #[must_use = "an evicted instance is lost unless its checkpoint is stored"]
    pub fn put(&mut self, process: Id, instance: Box<dyn Instance>) -> Vec<(Id, Box<dyn Instance>)> {
        let bytes = instance.resident_bytes();
        let mut evicted = Vec::new();
        self.bytes += bytes;
        if let Some((displaced, (instance, bytes))) = self.hot.push(process, (instance, bytes)) {
            self.bytes -= bytes;
            evicted.push((displaced, instance));
        }
        while self.bytes > self.bytes_max
            && let Some((process, (instance, bytes))) = self.hot.pop_lru()
        {
            self.bytes -= bytes;
            evicted.push((process, instance));
        }
        evicted
    }

    /// Processes that are here, least recently used last.
    pub fn processes(&self) -> impl Iterator<Item = &Id> {
        self.hot.iter().map(|(process, _)| process)
    }

    /// Bytes held, as the instances said when they were put in.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Empties the pool, least recently used first.
    pub fn drain(&mut self) -> Vec<(Id, Box<dyn Instance>)> {
        self.bytes = 0;
        std::iter::from_fn(|| self.hot.pop_lru().map(|(process, (instance, _))| (process, instance))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ao_types::{Invocation, StateHash};

    use super::*;
    use crate::{Checkpoint, Error, Evaluated};

    struct Sized(u64);

    impl Instance for Sized {
        fn evaluate(&mut self, _: &Arc<Invocation>) -> Result<Evaluated, Error> {
            Err(Error::NotEvaluated("not here".into()))
        }
        fn dry_run(&mut self, message: &Arc<Invocation>) -> Result<Evaluated, Error> {
            self.evaluate(message)
        }
        fn state_hash(&mut self) -> Result<StateHash, Error> {
            Ok(StateHash::default())
        }
        fn checkpoint(&mut self, _: bool) -> Result<Checkpoint, Error> {
            Err(Error::NotEvaluated("not here".into()))
        }
        fn memory(&mut self) -> Result<Vec<u8>, Error> {
            Ok(Vec::new())
        }
        fn idle(&mut self) -> Result<(), Error> {
            Ok(())
        }
        fn resident_bytes(&self) -> u64 {
            self.0
        }
    }

    fn id(n: u8) -> Id {
        Id([n; 32])
    }

    fn put(pool: &mut Pool, n: u8, bytes: u64) -> Vec<u8> {
        pool.put(id(n), Box::new(Sized(bytes))).into_iter().map(|(process, _)| process.0[0]).collect()
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_budget_holds() {
        let mut pool = Pool::new(100, NonZeroUsize::new(10).unwrap());
        assert_eq!((put(&mut pool, 1, 40), put(&mut pool, 2, 40), pool.bytes()), (vec![], vec![], 80));
        assert_eq!(put(&mut pool, 3, 20), [0; 0]); // exactly the budget
        let one = pool.take(&id(1)).unwrap();
        assert!(pool.take(&id(1)).is_none());
        assert_eq!(pool.put(id(1), one).len(), 0);
        assert_eq!(put(&mut pool, 4, 1), [2]);
        assert_eq!(pool.bytes(), 61);
        assert_eq!(put(&mut pool, 5, 101), [3, 1, 4, 5]);
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn the_count_is_bounded_and_a_second_instance_displaces_the_first() {
        let mut pool = Pool::new(1000, NonZeroUsize::new(2).unwrap());
        assert_eq!((put(&mut pool, 1, 1), put(&mut pool, 2, 1)), (vec![], vec![]));
        assert_eq!(put(&mut pool, 3, 1), [1]);
        assert_eq!(put(&mut pool, 3, 5), [3]);
        assert_eq!(pool.bytes(), 6);
        assert_eq!(pool.drain().into_iter().map(|(process, _)| process.0[0]).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(pool.bytes(), 0);
    }
}
