//! A queue between threads: bounded, first in first out, closed once.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

/// Any number of threads on both ends.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    entries: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    /// Holds up to `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        Self { state: Mutex::new(State { entries: VecDeque::new(), closed: false }), filled: Condvar::new(), capacity }
    }

    /// Adds an entry; gives it back if the queue is full or closed.
    pub fn push(&self, entry: T) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.closed || state.entries.len() >= self.capacity {
            return Err(entry);
        }
        state.entries.push_back(entry);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes the oldest entry; waits for one. `None`: the queue is closed and empty.
    pub fn pop(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(entry) = state.entries.pop_front() {
                return Some(entry);
            }
            if state.closed {
                return None;
            }
            self.filled.wait(&mut state);
        }
    }

    /// Entries that wait.
    pub fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes no more entries; what is in it is still taken out.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_full_and_closed_is_closed() {
        let queue = Queue::new(2);
        assert_eq!((queue.push(1), queue.push(2), queue.push(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!(queue.pop(), Some(1));
        assert_eq!(queue.push(4), Ok(()));
        queue.close();
        assert_eq!(queue.push(5), Err(5));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(2), Some(4), None));
    }

    #[test]
    fn a_waiting_thread_gets_the_entry_or_the_end() {
        let queue = Queue::new(1);
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| (queue.pop(), queue.pop()));
            queue.push(7).unwrap();
            queue.close();
            assert_eq!(taker.join().unwrap(), (Some(7), None));
        });
    }
}
