//! Readers that wait for a level or a result, and callers that wait for an answer. All bounded.

use std::collections::{BTreeMap, HashMap};

use ao_types::{Id, Slot};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::core::effect::Reply;
use crate::core::input::RequestId;
use crate::error::{Code, Rejection};
use crate::handle::Event;
use crate::levels::Level;
use crate::limits::OWN_REQUESTS_MAX;

/// Wakes readers of slots, in the order of slots. What they are woken for is in the store: nothing is passed on here.
#[derive(Debug)]
pub struct SlotWaiters {
    state: Mutex<Waiting>,
    capacity: usize,
}

/// Readers of one process, by the slot they wait for.
type Readers = BTreeMap<Slot, Vec<oneshot::Sender<Result<(), Rejection>>>>;

#[derive(Debug)]
struct Waiting {
    of: HashMap<Id, Readers>,
    count: usize,
    /// Processes that this node will not evaluate before it is started again.
    refused: LruCache<Id, Rejection>,
    /// Why no process is evaluated at present.
    paused: Option<Rejection>,
}

impl SlotWaiters {
    /// Up to `capacity` readers at once.
    pub fn new(capacity: usize) -> Self {
        let refused = LruCache::new(std::num::NonZeroUsize::new(capacity).unwrap_or(std::num::NonZeroUsize::MIN));
        Self { state: Mutex::new(Waiting { of: HashMap::new(), count: 0, refused, paused: None }), capacity }
    }

    /// A place in the queue for a slot. Look into the store after taking it: what is waited for may have come in between.
    pub fn wait(&self, process: Id, slot: Slot) -> Result<oneshot::Receiver<Result<(), Rejection>>, Rejection> {
        let mut state = self.state.lock();
        if let Some(why) = state.refused.get(&process) {
            return Err(why.clone());
        }
        if let Some(why) = &state.paused {
            return Err(why.clone());
        }
        if state.count >= self.capacity {
            state.forget_gone();
        }
        if state.count >= self.capacity {
            return Err(Rejection::retry(Code::Busy, format!("{} readers wait; try again in a moment", self.capacity), 1));
        }
        let (sender, receiver) = oneshot::channel();
        state.of.entry(process).or_default().entry(slot).or_default().push(sender);
        state.count += 1;
        Ok(receiver)
    }

    /// What readers wait for is in the store up to this slot.
    pub fn ready(&self, process: &Id, through: Slot) {
        let mut state = self.state.lock();
        let Some(of) = state.of.get_mut(process) else { return };
        let later = of.split_off(&through.next());
        let ready = std::mem::replace(of, later);
        if of.is_empty() {
            state.of.remove(process);
        }
        state.release(ready, &Ok(()));
    }

    /// The results of a process do not come.
    pub fn refuse(&self, process: &Id, why: &Rejection, lasting: bool) {
        let mut state = self.state.lock();
        if lasting {
            state.refused.put(*process, why.clone());
        }
        let waiting = state.of.remove(process).unwrap_or_default();
        state.release(waiting, &Err(why.clone()));
    }

    /// No result comes until [`resume`](Self::resume): whoever waits is told why, and so is whoever asks.
    pub fn pause(&self, why: &Rejection) {
        let mut state = self.state.lock();
        state.paused = Some(why.clone());
        state.refuse_all(why);
    }

    /// Results come again.
    pub fn resume(&self) {
        self.state.lock().paused = None;
    }

    /// Whoever waits now gets no result.
    pub fn close(&self, why: &Rejection) {
        self.state.lock().refuse_all(why);
    }
}

impl Waiting {
    fn refuse_all(&mut self, why: &Rejection) {
        for waiting in std::mem::take(&mut self.of).into_values() {
            self.release(waiting, &Err(why.clone()));
        }
    }

    fn release(&mut self, waiting: Readers, answer: &Result<(), Rejection>) {
        for sender in waiting.into_values().flatten() {
            self.count = self.count.saturating_sub(1);
            // A reader that went away needs no answer.
            let _ = sender.send(answer.clone());
        }
    }

    fn forget_gone(&mut self) {
        self.of.retain(|_, slots| {
            slots.retain(|_, senders| {
                senders.retain(|sender| !sender.is_closed());
                !senders.is_empty()
            });
            !slots.is_empty()
        });
        self.count = self.of.values().flat_map(BTreeMap::values).map(Vec::len).sum();
    }
}

/// Readers that wait for a level of order.
#[derive(Debug)]
pub struct LevelWaiters {
    assigned: SlotWaiters,
    certified: SlotWaiters,
    confirmed: SlotWaiters,
    anchored: SlotWaiters,
}

impl LevelWaiters {
    /// Up to `capacity` readers for each level.
    pub fn new(capacity: usize) -> Self {
        let new = || SlotWaiters::new(capacity);
        Self { assigned: new(), certified: new(), confirmed: new(), anchored: new() }
    }

    /// Those that wait for this level.
    pub fn of(&self, level: Level) -> &SlotWaiters {
        match level {
            Level::Received | Level::Assigned => &self.assigned,
            Level::Certified => &self.certified,
            Level::Confirmed => &self.confirmed,
            Level::Anchored => &self.anchored,
        }
    }

    /// Wakes those who waited for what happened.
    pub fn see(&self, event: &Event) {
        match event {
            Event::Assigned { process, slot, .. } => self.assigned.ready(process, *slot),
            Event::Certified { process, slot } => self.certified.ready(process, *slot),
            Event::Confirmed { process, slot } => {
                // Not every engine says what is certified before it confirms.
                self.certified.ready(process, *slot);
                self.confirmed.ready(process, *slot);
            }
            Event::Anchored { process, slot } => self.anchored.ready(process, *slot),
            Event::Evaluated { .. } | Event::Pushed { .. } => {}
        }
    }

    /// Whoever waits now waits in vain.
    pub fn close(&self, why: &Rejection) {
        [&self.assigned, &self.certified, &self.confirmed, &self.anchored].into_iter().for_each(|waiters| waiters.close(why));
    }
}

/// Takes the answer of one request.
struct Asker(Box<dyn FnOnce(Result<Reply, Rejection>) + Send>);

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asker")
    }
}

#[derive(Debug, Default)]
struct Ledger {
    next: u64,
    bytes: usize,
    open: HashMap<RequestId, Open>,
    /// How many of them are the node's own.
    own: usize,
    closed: bool,
}

#[derive(Debug)]
struct Open {
    asker: Asker,
    bytes: usize,
    own: bool,
}

impl Ledger {
    fn clients(&self) -> usize {
        self.open.len() - self.own
    }

    fn enter(&mut self, bytes: usize, own: bool, asker: impl FnOnce(Result<Reply, Rejection>) + Send + 'static) -> RequestId {
        self.next += 1;
        self.bytes += bytes;
        self.own += usize::from(own);
        let id = RequestId(self.next);
        self.open.insert(id, Open { asker: Asker(Box::new(asker)), bytes, own });
        id
    }
}

/// Callers that wait for an answer of the core.
#[derive(Debug)]
pub struct Requests {
    ledger: Mutex<Ledger>,
    count_max: usize,
    bytes_max: usize,
}

impl Requests {
    /// Up to `count_max` at once, with items of `bytes_max` bytes together.
    pub fn new(count_max: usize, bytes_max: usize) -> Self {
        Self { ledger: Mutex::new(Ledger::default()), count_max, bytes_max }
    }

    /// Opens a request.
    pub fn open(&self, bytes: usize) -> Result<(RequestId, oneshot::Receiver<Result<Reply, Rejection>>), Rejection> {
        let (sender, receiver) = oneshot::channel();
        // A caller that went away needs no answer; what it asked for was done.
        let id = self.open_for(bytes, move |reply| drop(sender.send(reply)))?;
        Ok((id, receiver))
    }

    /// Opens a request whose answer goes to `asker`, on the thread that answers.
    pub fn open_for(&self, bytes: usize, asker: impl FnOnce(Result<Reply, Rejection>) + Send + 'static) -> Result<RequestId, Rejection> {
        let mut ledger = self.ledger.lock();
        if ledger.closed {
            return Err(Rejection::retry(Code::Unavailable, "the node is shutting down", 5));
        }
        if ledger.clients() >= self.count_max || ledger.bytes + bytes > self.bytes_max {
            let text = format!("{} requests with {} bytes are at work; try again in a moment", ledger.clients(), ledger.bytes);
            return Err(Rejection::retry(Code::Busy, text, 1));
        }
        Ok(ledger.enter(bytes, false, asker))
    }

    /// Opens a request of the node itself, which has a place of its own: clients cannot keep it from its work, and it takes no place from
    /// them. At most [`OWN_REQUESTS_MAX`] at once.
    pub fn open_own(&self, asker: impl FnOnce(Result<Reply, Rejection>) + Send + 'static) -> Result<RequestId, Rejection> {
        let mut ledger = self.ledger.lock();
        if ledger.closed {
            return Err(Rejection::retry(Code::Unavailable, "the node is shutting down", 5));
        }
        if ledger.own >= OWN_REQUESTS_MAX {
            return Err(Rejection::retry(Code::Busy, format!("{} requests of the node itself are at work", ledger.own), 1));
        }
        Ok(ledger.enter(0, true, asker))
    }

    /// Answers one.
    pub fn answer(&self, id: RequestId, reply: Result<Reply, Rejection>) {
        let mut ledger = self.ledger.lock();
        let Some(Open { asker: Asker(asker), bytes, own }) = ledger.open.remove(&id) else { return };
        ledger.bytes -= bytes;
        ledger.own -= usize::from(own);
        drop(ledger);
        asker(reply);
    }

    /// Takes no more.
    pub fn close(&self) {
        self.ledger.lock().closed = true;
    }

    /// Requests at work.
    pub fn open_count(&self) -> usize {
        self.ledger.lock().open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_bounded_and_those_who_left_make_room() {
        let waiters = SlotWaiters::new(2);
        let first = waiters.wait(Id([1; 32]), Slot(1)).unwrap();
        let _second = waiters.wait(Id([1; 32]), Slot(2)).unwrap();
        assert_eq!(waiters.wait(Id([2; 32]), Slot(0)).unwrap_err().code, Code::Busy);
        drop(first);
        assert!(waiters.wait(Id([2; 32]), Slot(0)).is_ok());
    }

    #[test]
    fn only_those_are_woken_whose_slot_is_there() {
        let waiters = SlotWaiters::new(8);
        let (mut early, mut late) = (waiters.wait(Id([1; 32]), Slot(1)).unwrap(), waiters.wait(Id([1; 32]), Slot(3)).unwrap());
        waiters.ready(&Id([1; 32]), Slot(2));
        assert_eq!(early.try_recv(), Ok(Ok(())));
        assert!(late.try_recv().is_err());
        let why = Rejection::new(Code::ModuleRefused, "no");
        waiters.refuse(&Id([1; 32]), &why, true);
        assert_eq!(late.try_recv(), Ok(Err(why.clone())));
        assert_eq!(waiters.wait(Id([1; 32]), Slot(9)).unwrap_err(), why);
    }

    #[test]
    fn nobody_waits_during_a_pause() {
        let waiters = SlotWaiters::new(8);
        let mut early = waiters.wait(Id([1; 32]), Slot(1)).unwrap();
        let why = Rejection::retry(Code::ReadOnly, "no room", 30);
        waiters.pause(&why);
        assert_eq!(early.try_recv(), Ok(Err(why.clone())));
        assert_eq!(waiters.wait(Id([1; 32]), Slot(1)).unwrap_err(), why);
        waiters.resume();
        assert!(waiters.wait(Id([1; 32]), Slot(1)).is_ok());
    }

    #[test]
    fn a_confirmation_is_a_certificate_too_and_levels_do_not_mix() {
        let waiters = LevelWaiters::new(2);
        let process = Id([1; 32]);
        let wait = |level, slot| waiters.of(level).wait(process, Slot(slot)).unwrap();
        let (mut assigned, mut certified, mut confirmed) = (wait(Level::Assigned, 1), wait(Level::Certified, 1), wait(Level::Confirmed, 1));
        let mut later = wait(Level::Certified, 2);
        assert_eq!(waiters.of(Level::Certified).wait(process, Slot(3)).unwrap_err().code, Code::Busy, "each level has its bound");
        waiters.see(&Event::Assigned { process, slot: Slot(1), message: Id([2; 32]) });
        assert_eq!(assigned.try_recv(), Ok(Ok(())));
        assert!(certified.try_recv().is_err());
        waiters.see(&Event::Confirmed { process, slot: Slot(1) });
        assert_eq!((certified.try_recv(), confirmed.try_recv()), (Ok(Ok(())), Ok(Ok(()))));
        let why = Rejection::new(Code::Unavailable, "no");
        waiters.close(&why);
        assert_eq!(later.try_recv(), Ok(Err(why)));
    }

    #[test]
    fn requests_are_bounded_by_count_and_bytes() {
        let requests = Requests::new(2, 100);
        let (first, mut answer) = requests.open(60).unwrap();
        assert_eq!(requests.open(41).unwrap_err().code, Code::Busy);
        let _second = requests.open(40).unwrap();
        assert_eq!(requests.open(0).unwrap_err().code, Code::Busy);
        requests.answer(first, Ok(Reply::Done));
        assert_eq!(answer.try_recv(), Ok(Ok(Reply::Done)));
        assert!(requests.open(60).is_ok());
        requests.close();
        assert_eq!(requests.open(0).unwrap_err().code, Code::Unavailable);
    }

    #[test]
    fn the_nodes_own_request_has_a_place_of_its_own() {
        let requests = Requests::new(2, 100);
        let own = || requests.open_own(|_| ());
        let clients = [requests.open(50).unwrap().0, requests.open(50).unwrap().0];
        let held: Vec<_> = (0..OWN_REQUESTS_MAX).map(|_| own().unwrap()).collect();
        assert_eq!((requests.open_count(), own().unwrap_err().code), (2 + OWN_REQUESTS_MAX, Code::Busy));
        requests.answer(clients[0], Ok(Reply::Done));
        assert!(requests.open(50).is_ok(), "it takes no place from clients");
        assert_eq!(requests.open(0).unwrap_err().code, Code::Busy, "and gives them none");
        requests.answer(held[0], Ok(Reply::Done));
        assert!(own().is_ok());
        requests.close();
        assert_eq!(own().unwrap_err().code, Code::Unavailable);
    }
}
