//! Who evaluates what: one worker at a time has a process, the log goes before readers, and no process holds up another.
//!
//! A lane is as wide as there are cores to use. A job that takes long stops counting after a while, so that a handful of endless loops
//! leaves the lane as wide as it was for everybody else; the machine's own limits end them in the end. How many such jobs there can be
//! is the number of threads.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use ao_types::Id;
use parking_lot::{Condvar, Mutex};

/// What a worker has a process for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Log,
    Read,
    Care,
}

/// Two lanes over the same processes: `L`, the log's jobs (at most one per process at a time), and `R`, the readers'.
#[derive(Debug)]
pub struct Lanes<L, R> {
    state: Mutex<State<L, R>>,
    log_ready: Condvar,
    read_ready: Condvar,
    log_idle: Condvar,
    bounds: Bounds,
}

/// Of both lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Jobs of the log at work at once, not counting slow ones.
    pub logs: usize,
    /// Readers at work at once, not counting slow ones.
    pub reads: usize,
    /// Readers that wait.
    pub reads_waiting: usize,
    /// After this a job is slow.
    pub slow: Duration,
}

#[derive(Debug)]
struct State<L, R> {
    log: VecDeque<(Id, L)>,
    reads: VecDeque<(Id, R)>,
    reads_count: usize,
    /// Processes that a worker has, with what waits for them.
    busy: HashMap<Id, Busy<L, R>>,
    closed: bool,
}

#[derive(Debug)]
struct Busy<L, R> {
    by: Use,
    since: Instant,
    log: Option<L>,
    reads: VecDeque<R>,
}

impl<L, R> State<L, R> {
    fn take(&mut self, process: Id, by: Use) {
        self.busy.insert(process, Busy { by, since: Instant::now(), log: None, reads: VecDeque::new() });
    }

    fn log_rests(&self, slow: Duration) -> bool {
        self.log.is_empty() && self.at_work(Use::Log, slow) == 0
    }

    fn at_work(&self, by: Use, slow: Duration) -> usize {
        self.busy.values().filter(|busy| busy.by == by && busy.since.elapsed() < slow).count()
    }
}

impl<L, R> Lanes<L, R> {
    /// Nothing to do yet.
    pub fn new(bounds: Bounds) -> Self {
        let state = State { log: VecDeque::new(), reads: VecDeque::new(), reads_count: 0, busy: HashMap::new(), closed: false };
        Self { state: Mutex::new(state), log_ready: Condvar::new(), read_ready: Condvar::new(), log_idle: Condvar::new(), bounds }
    }

    /// A job of the log.
    pub fn push_log(&self, process: Id, job: L) {
        let mut state = self.state.lock();
        match state.busy.get_mut(&process) {
            Some(busy) => busy.log = Some(job),
            None => state.log.push_back((process, job)),
        }
        drop(state);
        self.log_ready.notify_one();
    }

    /// A reader; given back if too many wait.
    pub fn push_read(&self, process: Id, read: R) -> Result<(), R> {
        let mut state = self.state.lock();
        if state.closed || state.reads_count >= self.bounds.reads_waiting {
            return Err(read);
        }
        state.reads_count += 1;
        match state.busy.get_mut(&process) {
            Some(busy) => busy.reads.push_back(read),
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
            while state.at_work(Use::Log, self.bounds.slow) < self.bounds.logs
                && let Some((process, job)) = state.log.pop_front()
            {
                match state.busy.get_mut(&process) {
                    Some(busy) => busy.log = Some(job),
                    None => {
                        state.take(process, Use::Log);
                        return Some((process, job));
                    }
                }
            }
            if state.closed {
                return None;
            }
            if state.log.is_empty() {
                self.log_ready.wait(&mut state);
            } else {
                // Every place is taken: look again when one comes free, or when somebody has become slow.
                self.log_ready.wait_for(&mut state, self.bounds.slow);
            }
        }
    }

    /// The next reader, with its process; waits for one. `None`: closed.
    pub fn next_read(&self) -> Option<(Id, R)> {
        let mut state = self.state.lock();
        loop {
            while state.at_work(Use::Read, self.bounds.slow) < self.bounds.reads
                && let Some((process, read)) = state.reads.pop_front()
            {
                match state.busy.get_mut(&process) {
                    Some(busy) => busy.reads.push_back(read),
                    None => {
                        state.take(process, Use::Read);
                        state.reads_count -= 1;
                        return Some((process, read));
                    }
                }
            }
            if state.closed {
                return None;
            }
            if state.reads.is_empty() {
                self.read_ready.wait(&mut state);
            } else {
                self.read_ready.wait_for(&mut state, self.bounds.slow);
            }
        }
    }

    /// Takes a process that nobody has.
    pub fn try_take(&self, process: Id) -> bool {
        let mut state = self.state.lock();
        let free = !state.busy.contains_key(&process);
        if free {
            state.take(process, Use::Care);
        }
        free
    }

    /// A worker is done with a process: what waited for it comes next, the log before readers.
    pub fn release(&self, process: Id) {
        let mut state = self.state.lock();
        let Some(mut busy) = state.busy.remove(&process) else { return };
        if let Some(job) = busy.log.take() {
            state.log.push_front((process, job));
        }
        for read in busy.reads.into_iter().rev() {
            state.reads.push_front((process, read));
        }
        let idle = state.log_rests(self.bounds.slow);
        drop(state);
        self.log_ready.notify_one();
        self.read_ready.notify_one();
        if idle {
            self.log_idle.notify_all();
        }
    }

    /// Waits until no job of the log waits or is at work, but for slow ones; `patience` at most.
    pub fn wait_idle(&self, patience: Duration) {
        let mut state = self.state.lock();
        let deadline = Instant::now() + patience;
        while !state.closed && !state.log_rests(self.bounds.slow) {
            if self.log_idle.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
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
        let parked = state.busy.values_mut().flat_map(|busy| std::mem::take(&mut busy.reads)).collect::<Vec<_>>();
        let reads = std::mem::take(&mut state.reads).into_iter().map(|(_, read)| read).chain(parked).collect();
        drop(state);
        self.log_ready.notify_all();
        self.read_ready.notify_all();
        self.log_idle.notify_all();
        reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Id = Id([1; 32]);
    const B: Id = Id([2; 32]);

    fn bounds(reads_waiting: usize) -> Bounds {
        Bounds { logs: 2, reads: 2, reads_waiting, slow: Duration::from_secs(600) }
    }

    #[test]
    fn a_lane_is_as_wide_as_it_is_and_slow_jobs_do_not_count() {
        let lanes: Lanes<u32, char> = Lanes::new(bounds(1));
        let ids: Vec<Id> = (0..4).map(|n| Id([n; 32])).collect();
        ids.iter().for_each(|id| lanes.push_log(*id, 0));
        assert!(lanes.next_log().is_some() && lanes.next_log().is_some());
        std::thread::scope(|scope| {
            let third = scope.spawn(|| lanes.next_log());
            lanes.release(ids[0]);
            assert_eq!(third.join().unwrap(), Some((ids[2], 0)), "when a place is free");
        });
        let lanes: Lanes<u32, char> = Lanes::new(Bounds { logs: 1, slow: Duration::from_millis(1), ..bounds(1) });
        ids.iter().for_each(|id| lanes.push_log(*id, 0));
        let all: Vec<_> = ids.iter().map(|_| lanes.next_log().unwrap().0).collect();
        assert_eq!(all, ids, "endless jobs hold nobody up");
    }

    #[test]
    fn one_worker_has_a_process_and_the_log_goes_first() {
        let lanes: Lanes<u32, char> = Lanes::new(bounds(4));
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
    fn who_gives_way_waits_for_the_log_and_not_for_ever() {
        let lanes: Lanes<u32, char> = Lanes::new(bounds(4));
        lanes.wait_idle(Duration::from_secs(600));
        lanes.push_log(A, 1);
        lanes.wait_idle(Duration::from_millis(1));
        lanes.next_log();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lanes.wait_idle(Duration::from_secs(600)));
            lanes.release(A);
            waiting.join().unwrap();
        });
        lanes.push_read(A, 'r').unwrap();
        lanes.next_read();
        lanes.wait_idle(Duration::from_secs(600));
    }

    #[test]
    fn readers_are_bounded_wherever_they_wait() {
        let lanes: Lanes<u32, char> = Lanes::new(bounds(2));
        lanes.push_log(A, 1);
        lanes.next_log();
        assert_eq!((lanes.push_read(A, 'x'), lanes.push_read(B, 'y'), lanes.push_read(B, 'z')), (Ok(()), Ok(()), Err('z')));
        lanes.next_read();
        assert_eq!(lanes.push_read(B, 'z'), Ok(()));
        assert_eq!(lanes.close().len(), 2);
        assert_eq!((lanes.next_log(), lanes.next_read()), (None, None));
    }
}
