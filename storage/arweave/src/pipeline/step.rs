//! What comes next for a shipment, as far as is known now.

use super::{Alarm, Carrier, Effect, Holder, Pipeline, Shipment, Stage, Task, Via, Work};
use crate::limits::{ANCHOR_BLOCKS, ASK_EVERY, AUDIT_BLOCKS, CARRIERS_MAX, ENDPOINTS_MAX, READ_BACK_BLOCKS, SEED_CHUNKS};

/// Failures after which one copy is enough to go on with.
const PATIENCE: u32 = 3;

/// What a shipment does next.
enum Next {
    /// This.
    Do(Task),
    /// It is in another stage, which is remembered first.
    Turn(Stage),
    /// The promise of this copy's holder is broken.
    Break(usize),
    /// Nothing before this time; `true`: or before the chain grows.
    Wait(u64, bool),
}

impl Pipeline {
    /// Takes a shipment further; whether a task is out for it then.
    pub(super) fn step(&mut self, now_ms: u64, number: u64, out: &mut Vec<Effect>) -> bool {
        loop {
            let Some((shipment, work)) = self.shipments.get(&number) else { return false };
            let next = match broken(shipment, self.tip) {
                Some(place) => Next::Break(place),
                None => self.next(now_ms, shipment, work),
            };
            let Some((shipment, work)) = self.shipments.get_mut(&number) else { return false };
            match next {
                Next::Break(place) => {
                    let copy = shipment.copies.remove(place);
                    let why = format!("{} took the item at height {} and it is in no block", copy.endpoint, given(&copy));
                    if shipment.broken.len() >= ENDPOINTS_MAX {
                        shipment.broken.remove(0);
                    }
                    shipment.broken.push(copy);
                    out.push(Effect::Remember(Box::new(shipment.clone()), None));
                    out.push(Effect::Alarm { shipment: number, alarm: Alarm::Breach, why });
                }
                Next::Wait(until, on_tip) => {
                    (work.not_before_ms, work.on_tip) = (until, on_tip);
                    return false;
                }
                Next::Turn(stage) => {
                    if stage == Stage::Bundled {
                        retire(shipment);
                        self.counts.signed_again += 1;
                        *work = Work { asked_tip: work.asked_tip, ..Work::default() };
                    }
                    shipment.stage = stage;
                    out.push(Effect::Remember(Box::new(shipment.clone()), None));
                }
                Next::Do(task) => {
                    (work.out, work.asking_tip) = (true, self.tip);
                    if matches!(task, Task::Quote { .. } | Task::Sign(_)) {
                        self.signing = Some(number);
                    }
                    out.push(Effect::Task { shipment: number, task });
                    return true;
                }
            }
        }
    }

    fn next(&self, now_ms: u64, shipment: &Shipment, work: &Work) -> Next {
        // Anchors, promises and depths are judged by the chain's height: a promise given at height 0 would be broken at once.
        if self.tip == 0 {
            return Next::Wait(u64::MAX, true);
        }
        match &shipment.stage {
            Stage::Bundled => self.sign(now_ms, shipment),
            Stage::Signed | Stage::Posted | Stage::Seeded | Stage::Seen => self.bring(now_ms, shipment, work),
            Stage::Mined(place) => {
                if let Some(task) = work.unreadable.then(|| self.spread(shipment, work)).flatten() {
                    return Next::Do(task);
                }
                if work.checked_tip != Some(self.tip) {
                    return Next::Do(Task::Block(place.clone()));
                }
                let deep = self.tip.saturating_add(1).saturating_sub(place.height);
                if deep >= self.settings.confirmations {
                    // The others had their time: what they do not have may still be had where we brought it.
                    let patient = deep < self.settings.confirmations.saturating_add(READ_BACK_BLOCKS);
                    let except = if patient { endpoints(shipment) } else { Vec::new() };
                    return Next::Do(Task::ReadBack { place: place.clone(), except });
                }
                Next::Wait(u64::MAX, true)
            }
            Stage::Settled(place, height) if self.tip >= height.saturating_add(AUDIT_BLOCKS) => Next::Do(Task::Block(place.clone())),
            Stage::Settled(..) => Next::Wait(u64::MAX, true),
            Stage::Done(_) => Next::Wait(u64::MAX, false),
        }
    }

    fn sign(&self, now_ms: u64, shipment: &Shipment) -> Next {
        if let Some((_, until)) = self.hold {
            return Next::Wait(until, false);
        }
        if self.signing.is_some() {
            return Next::Wait(now_ms + ASK_EVERY.as_millis() as u64, false);
        }
        match self.settings.via {
            Via::Service => Next::Do(Task::Sign(None)),
            Via::Chain => Next::Do(Task::Quote { bytes: shipment.bundle.bytes }),
        }
    }

    /// From signed to a block.
    fn bring(&self, now_ms: u64, shipment: &Shipment, work: &Work) -> Next {
        let Some(carrier) = shipment.carrier() else { return Next::Turn(Stage::Bundled) };
        if self.is_dead(carrier) {
            // Whether it was mined in time is asked once more, now that it cannot be later.
            return match work.asked_tip {
                Some(asked) if asked >= carrier.anchor_height + ANCHOR_BLOCKS => Next::Turn(Stage::Bundled),
                _ => Next::Do(status(shipment)),
            };
        }
        if let Some(task) = self.spread(shipment, work) {
            return Next::Do(task);
        }
        match shipment.stage {
            Stage::Signed => Next::Turn(Stage::Posted),
            Stage::Posted => Next::Turn(Stage::Seeded),
            _ if work.asked_tip == Some(self.tip) => Next::Wait(now_ms + ASK_EVERY.as_millis() as u64, true),
            _ => Next::Do(status(shipment)),
        }
    }

    /// What is left to do until enough endpoints have everything.
    fn spread(&self, shipment: &Shipment, work: &Work) -> Option<Task> {
        let carrier = shipment.carrier().filter(|carrier| !carrier.head.is_empty())?;
        let chunks = if is_item(carrier) { 0 } else { shipment.bundle.chunks };
        let whole = shipment.copies.iter().filter(|copy| copy.chunks >= chunks).count();
        if whole > 0 && work.tries >= PATIENCE {
            return None;
        }
        if let Some(copy) = shipment.copies.iter().find(|copy| copy.chunks < chunks) {
            let count = (chunks - copy.chunks).min(SEED_CHUNKS as u32);
            return Some(Task::Seed { endpoint: copy.endpoint.clone(), from: copy.chunks, count });
        }
        // What is mined already needs no other transaction, and another one is no help to its chunks.
        if shipment.stage.place().is_some_and(|place| place.carrier != carrier.id) {
            return None;
        }
        let late = shipment.copies.iter().filter(|copy| is_late(copy, self.tip)).count();
        let wanted = if is_item(carrier) { 1 + late } else { self.settings.copies };
        let mut except = endpoints(shipment);
        except.extend(work.refused.iter().chain(&work.avoided).cloned());
        // Who broke a promise is asked again only when nobody else takes it.
        if work.tries < PATIENCE {
            except.extend(shipment.broken.iter().map(|holder| holder.endpoint.clone()));
        }
        (shipment.copies.len() < wanted).then(|| Task::Post { carrier: carrier.clone(), except })
    }

    /// It can no longer be mined.
    pub(super) fn is_dead(&self, carrier: &Carrier) -> bool {
        !is_item(carrier) && self.tip >= carrier.anchor_height.saturating_add(ANCHOR_BLOCKS)
    }
}

/// The signed bytes are of no use any more. The id is: it may turn out to be mined after all.
pub(super) fn retire(shipment: &mut Shipment) {
    shipment.carriers.iter_mut().for_each(|carrier| carrier.head.clear());
    if shipment.carriers.len() >= CARRIERS_MAX {
        shipment.carriers.remove(0);
    }
    shipment.copies.clear();
    shipment.stage = Stage::Bundled;
}

fn is_item(carrier: &Carrier) -> bool {
    carrier.anchor_height == 0
}

/// Half of the time that a service has is over: another gets the item as well.
fn is_late(copy: &Holder, tip: u64) -> bool {
    copy.promise.as_ref().is_some_and(|promise| tip >= promise.given.saturating_add(promise.due().saturating_sub(promise.given) / 2))
}

/// The place among the copies of one whose promise is broken, if there is one.
fn broken(shipment: &Shipment, tip: u64) -> Option<usize> {
    if shipment.stage.place().is_some() {
        return None;
    }
    shipment.copies.iter().position(|copy| copy.promise.as_ref().is_some_and(|promise| tip > promise.due()))
}

fn given(copy: &Holder) -> u64 {
    copy.promise.as_ref().map_or(0, |promise| promise.given)
}

fn status(shipment: &Shipment) -> Task {
    Task::Status { carriers: shipment.carriers.iter().map(|carrier| carrier.id).collect() }
}

fn endpoints(shipment: &Shipment) -> Vec<String> {
    shipment.copies.iter().map(|copy| copy.endpoint.clone()).collect()
}
