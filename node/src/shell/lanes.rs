//! Who evaluates what: one worker at a time has a process, the log goes before readers, and no process holds up another.

use std::collections::{HashMap, VecDeque};

use ao_types::Id;
use parking_lot::{Condvar, Mutex};

/// Two lanes over the same processes: `L`, the log's jobs (at most one per process at a time), and `R`, the readers'.
#[derive(Debug)]
pub struct Lanes<L, R> {
    state: Mutex<State<L, R>>,
    log_ready: Condvar,
    read_ready: Condvar,
    reads_max: usize,
}

#[derive(Debug)]
struct State<L, R> {
    log: VecDeque<(Id, L)>,
    reads: VecDeque<(Id, R)>,
    reads_count: usize,
    /// Processes that a worker has, with what waits for them.
    busy: HashMap<Id, Parked<L, R>>,
    closed: bool,
}

#[derive(Debug)]
struct Parked<L, R> {
    log: Option<L>,
    reads: VecDeque<R>,
}

impl<L, R> Lanes<L, R> {
    /// Up to `reads_max` readers wait.
    pub fn new(reads_max: usize) -> Self {
        let state = State { log: VecDeque::new(), reads: VecDeque::new(), reads_count: 0, busy: HashMap::new(), closed: false };
        Self { state: Mutex::new(state), log_ready: Condvar::new(), read_ready: Condvar::new(), reads_max }
    }

    /// A job of the log.
    pub fn push_log(&self, process: Id, job: L) {
        let mut state = self.state.lock();
        match state.busy.get_mut(&process) {
            Some(parked) => parked.log = Some(job),
            None => state.log.push_back((process, job)),
        }
        drop(state);
        self.log_ready.notify_one();
    }

    /// A reader; given back if too many wait.
    pub fn push_read(&self, process: Id, read: R) -> Result<(), R> {
        let mut state = self.state.lock();
        if state.closed || state.reads_count >= self.reads_max {
            return Err(read);
        }
        state.reads_count += 1;
        match state.busy.get_mut(&process) {
            Some(parked) => parked.reads.push_back(read),
            None => state.reads.push_back((process, read)),
        }
        drop(state);
        self.read_ready.notify_one();
        Ok(())
    }

    /// The next job of the log, with its process; waits for one. `None`: closed.
    pub fn next_log(&self) -> Option<(Id, L)> {
        let mut state = self.state.lock();
        loop {
            while let Some((process, job)) = state.log.pop_front() {
                match state.busy.get_mut(&process) {
                    Some(parked) => parked.log = Some(job),
                    None => {
                        state.busy.insert(process, Parked { log: None, reads: VecDeque::new() });
                        return Some((process, job));
                    }
                }
            }
            if state.closed {
                return None;
            }
            self.log_ready.wait(&mut state);
        }
    }

    /// The next reader, with its process; waits for one. `None`: closed.
    pub fn next_read(&self) -> Option<(Id, R)> {
        let mut state = self.state.lock();
        loop {
            while let Some((process, read)) = state.reads.pop_front() {
                match state.busy.get_mut(&process) {
                    Some(parked) => parked.reads.push_back(read),
                    None => {
                        state.busy.insert(process, Parked { log: None, reads: VecDeque::new() });
                        state.reads_count -= 1;
                        return Some((process, read));
                    }
                }
            }
            if state.closed {
                return None;
            }
            self.read_ready.wait(&mut state);
        }
    }

    /// Takes a process that nobody has and nobody waits for.
    pub fn try_take(&self, process: Id) -> bool {
        let mut state = self.state.lock();
        if state.busy.contains_key(&process) {
            return false;
        }
        state.busy.insert(process, Parked { log: None, reads: VecDeque::new() });
        true
    }

    /// A worker is done with a process: what waited for it comes next, the log before readers.
    pub fn release(&self, process: Id) {
        let mut state = self.state.lock();
        let Some(mut parked) = state.busy.remove(&process) else { return };
        if let Some(job) = parked.log.take() {
            state.log.push_front((process, job));
        }
        for read in parked.reads.into_iter().rev() {
            state.reads.push_front((process, read));
        }
        drop(state);
        self.log_ready.notify_one();
        self.read_ready.notify_one();
    }

    /// Jobs of the log that wait.
    pub fn waiting(&self) -> usize {
        self.state.lock().log.len()
    }

    /// Workers find nothing more; what waits is given back.
    pub fn close(&self) -> Vec<R> {
        let mut state = self.state.lock();
        state.closed = true;
        state.log.clear();
        let parked = state.busy.values_mut().flat_map(|parked| std::mem::take(&mut parked.reads)).collect::<Vec<_>>();
        let reads = std::mem::take(&mut state.reads).into_iter().map(|(_, read)| read).chain(parked).collect();
        drop(state);
        self.log_ready.notify_all();
        self.read_ready.notify_all();
        reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Id = Id([1; 32]);
    const B: Id = Id([2; 32]);

    #[test]
    fn one_worker_has_a_process_and_the_log_goes_first() {
        let lanes: Lanes<u32, char> = Lanes::new(4);
        lanes.push_log(A, 1);
        assert_eq!(lanes.next_log(), Some((A, 1)));
        lanes.push_read(A, 'r').unwrap();
        lanes.push_log(A, 2);
        lanes.push_log(B, 3);
        assert_eq!(lanes.next_log(), Some((B, 3)), "another process does not wait");
        lanes.release(A);
        assert_eq!(lanes.next_log(), Some((A, 2)));
        lanes.release(A);
        assert_eq!(lanes.next_read(), Some((A, 'r')));
    }

    #[test]
    fn readers_are_bounded_wherever_they_wait() {
        let lanes: Lanes<u32, char> = Lanes::new(2);
        lanes.push_log(A, 1);
        lanes.next_log();
        assert_eq!((lanes.push_read(A, 'x'), lanes.push_read(B, 'y'), lanes.push_read(B, 'z')), (Ok(()), Ok(()), Err('z')));
        lanes.next_read();
        assert_eq!(lanes.push_read(B, 'z'), Ok(()));
        assert_eq!(lanes.close().len(), 2);
        assert_eq!((lanes.next_log(), lanes.next_read()), (None, None));
    }
}
