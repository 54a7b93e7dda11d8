//! What comes in from the network and what goes out: bounded both ways, decided nowhere here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Shared;
use super::frames::{self, Taken};
use super::hosts;
use super::verify::Task;
use crate::core::effect::Reply;
use crate::core::input::Input;
use crate::error::{Code, Rejection};
use crate::handle::Node;
use crate::limits::{ARRIVALS_WAITING_MAX, FRAMES_WAITING_MAX, OVERHEARD_BYTES_MAX};
use crate::network::seam::{Arrival, Doorway, Load, Order, Replier};

/// How much of what came from outside is still under way.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// Frames, items and evidence: expensive to check.
    checked: Arc<AtomicUsize>,
    /// Messages for the engine.
    engine: Arc<AtomicUsize>,
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(of: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let taken = of.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |taken| (taken < max).then_some(taken + 1));
        taken.is_ok().then(|| Self(of.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Doorway for Node {
    fn offer(&self, arrival: Arrival) -> Result<(), Box<Arrival>> {
        let shared = self.shared();
        let task = match arrival {
            Arrival::Engine { from, bytes, judge } => {
                overhear(shared, &bytes);
                let Some(place) = Place::take(&shared.doors.engine, ARRIVALS_WAITING_MAX) else {
                    return Err(Box::new(Arrival::Engine { from, bytes, judge }));
                };
                shared.inputs.send_held(Input::Peer(from, bytes, judge), Some(place));
                return Ok(());
            }
            // As many as were asked for.
            Arrival::Forwarded { forward, answer } => {
                shared.inputs.send(Input::Forwarded { forward, answer });
                return Ok(());
            }
            // As many as were asked for.
            Arrival::Nobody { item, denied } => {
                shared.inputs.send(Input::Nobody { item, denied });
                return Ok(());
            }
            Arrival::Submission { load, reply, .. } => {
                submission(shared, load, reply);
                return Ok(());
            }
            arrival => arrival,
        };
        let Some(place) = Place::take(&shared.doors.checked, FRAMES_WAITING_MAX) else { return Err(Box::new(task)) };
        let task = match task {
            Arrival::Frame { from, bytes, way, judge } => Task::Frame { from, bytes, way, judge, place: Some(place) },
            Arrival::Evidence { from, bytes, judge } => Task::Evidence { from, bytes, judge, place: Some(place) },
            Arrival::Item { bytes, .. } => Task::Wanted { bytes, place: Some(place) },
            Arrival::Location { from, bytes } => Task::Location { from, bytes, place: Some(place) },
            Arrival::Engine { .. } | Arrival::Forwarded { .. } | Arrival::Nobody { .. } | Arrival::Submission { .. } => return Ok(()),
        };
        // A queue that is closed or full: what was dropped is asked for again.
        drop(shared.tasks.push(task));
        Ok(())
    }
}

/// Listens for this node's own key: a signature of it that this node did not make was made by somebody who has the key too.
fn overhear(shared: &Shared, bytes: &[u8]) {
    let Some(membership) = shared.life.membership.as_deref() else { return };
    let Some(watch) = membership.watch.as_ref().filter(|_| bytes.len() <= OVERHEARD_BYTES_MAX) else { return };
    // Almost no message has the key in it.
    let key = watch.key().0;
    if bytes.windows(key.len()).any(|part| part == key)
        && let Some(attestation) = (membership.heard)(bytes)
    {
        watch.overhear(&attestation);
    }
}

/// What another node's client or outbox sent: answered like a client of this node.
fn submission(shared: &Shared, load: Load, reply: Replier) {
    let slot = Arc::new(parking_lot::Mutex::new(Some(reply)));
    let answers = slot.clone();
    let answer = move |answer: Result<Reply, Rejection>| {
        if let Some(reply) = answers.lock().take() {
            reply.answer(answer.and_then(crate::handle::accepted));
        }
    };
    match shared.requests.open_for(load.weight(), answer) {
        Ok(request) => {
            if shared.tasks.push(Task::forwarded(request, load)).is_err() {
                shared.requests.answer(request, Err(Rejection::retry(Code::Unavailable, "the node is shutting down", 5)));
            }
        }
        Err(refusal) => {
            if let Some(reply) = slot.lock().take() {
                reply.answer(Err(refusal));
            }
        }
    }
}

/// Checks what came from outside, on a worker.
pub fn take(shared: &Shared, task: Task) -> Option<Task> {
    let (taken, place) = match task {
        Task::Frame { from, bytes, way, judge, place } => (frames::take_frame(&shared.verifier, from, &bytes, way, judge), place),
        Task::Evidence { from, bytes, judge, place } => (frames::take_evidence(&shared.verifier, from, &bytes, judge), place),
        Task::Location { from, bytes, place } => (hosts::take(&shared.verifier, from, bytes), place),
        task => return Some(task),
    };
    let Taken { input, penalty } = taken;
    if let Some((peer, offence)) = penalty {
        order(shared, Order::Penalise(peer, offence));
    }
    if let Some(input) = input {
        shared.inputs.send_held(input, place);
    }
    None
}

/// Hands an order to the network. What finds no room is lost as on any network; only a forwarded item is answered.
pub fn order(shared: &Shared, order: Order) {
    let Some(membership) = &shared.life.membership else { return };
    if let Order::Evidence(evidence) = &order {
        // It leaves when it is durable.
        membership.stop_if_safety_is_gone(evidence);
    }
    let Err(refused) = membership.orders.give(order) else { return };
    tracing::debug!(event = "order_dropped", order = ?std::mem::discriminant(&*refused), "the network takes no more orders for now");
    if let Order::Forward { forward, .. } = *refused {
        let busy = Rejection::retry(Code::Busy, "the network takes no more orders for now; try again in a moment", 1);
        shared.inputs.send(Input::Forwarded { forward, answer: Err(busy) });
    }
}
