//! How long messages take from one level to the next, as this node's own threads see it: for `message_stage_seconds` and nothing else.
//!
//! Times are those of this process's monotonic clock, taken where the core's effects are carried out, that is when what they say is
//! durable. What was under way before the last start is not timed. At most [`STAGES_TIMED_MAX`] messages and as many outboxes are
//! remembered; the oldest is forgotten first.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Instant;

use ao_types::{Id, Slot};
use lru::LruCache;

use crate::core::effect::{Attempt, Effect, Proven};
use crate::handle::Event;
use crate::limits::{FRAMES_TIMED_MAX, STAGES_TIMED_MAX};
use crate::metrics::Metrics;
use crate::metrics::labels::{Fault, Label as _, Outcome, Stage, State, ViewChange};
use crate::network::seam::Order;

/// See the module documentation. One, on the core's thread.
pub struct Stages {
    metrics: Metrics,
    /// When each message reached the level it is at.
    messages: LruCache<(Id, Slot), Instant>,
    /// When each result was there, and how many entries of it are still to be delivered.
    outboxes: LruCache<(Id, Slot, u32), (Instant, u32)>,
    /// When each own frame was published that no certificate covers yet.
    frames: BTreeMap<u64, Instant>,
    /// The highest decided block.
    height: u64,
}

impl Stages {
    /// Nothing is under way.
    pub fn new(metrics: Metrics) -> Self {
        let most = NonZeroUsize::new(STAGES_TIMED_MAX).unwrap_or(NonZeroUsize::MIN);
        Self { metrics, messages: LruCache::new(most), outboxes: LruCache::new(most), frames: BTreeMap::new(), height: 0 }
    }

    /// Counts and times an effect that is being carried out at `now`.
    pub fn see(&mut self, now: Instant, effect: &Effect) {
        match effect {
            Effect::Tell(event) => self.event(now, event),
            Effect::Owed { process, slot, cron, entries } => {
                self.outboxes.get_or_insert_mut((*process, *slot, *cron), || (now, 0)).1 += entries;
            }
            Effect::Attempt(attempt) => self.attempt(now, *attempt),
            Effect::Order(order) => {
                if let Order::Publish(published) = order.as_ref() {
                    self.frames.insert(published.header.sequence, now);
                    if self.frames.len() > FRAMES_TIMED_MAX {
                        self.frames.pop_first();
                    }
                }
            }
            Effect::Proven(proven) => self.proven(now, proven),
            Effect::Fault { kind, .. } => {
                let kind = Fault::ALL.iter().find(|known| known.text() == *kind);
                kind.into_iter().for_each(|kind| self.metrics.equivocations_total.of(*kind).inc());
            }
            // Also told of a message that the fold skips: nothing is evaluated then.
            Effect::Results { process, slot } => drop(self.messages.pop(&(*process, *slot))),
            _ => {}
        }
    }

    fn event(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Assigned { process, slot, .. } => {
                self.metrics.messages_total.of(State::Assigned).inc();
                self.messages.put((*process, *slot), now);
            }
            Event::Certified { process, slot } => {
                self.metrics.messages_total.of(State::Certified).inc();
                if let Some(since) = self.messages.get(&(*process, *slot)) {
                    self.metrics.message_stage_seconds.of(Stage::Certify).observe((now - *since).as_secs_f64());
                }
            }
            Event::Confirmed { process, slot } => {
                self.metrics.messages_total.of(State::Confirmed).inc();
                if let Some(since) = self.messages.get_mut(&(*process, *slot)) {
                    self.metrics.message_stage_seconds.of(Stage::Confirm).observe((now - *since).as_secs_f64());
                    *since = now;
                }
            }
            Event::Evaluated { process, slot, cron: false, .. } => {
                if let Some(since) = self.messages.pop(&(*process, *slot)) {
                    self.metrics.message_stage_seconds.of(Stage::Compute).observe((now - since).as_secs_f64());
                }
            }
            // Counted where it ends: `Attempt`. Cron messages are on no log and in no stage.
            Event::Evaluated { .. } | Event::Pushed { .. } | Event::Anchored { .. } => {}
        }
    }

    /// A certificate covers its frame and every earlier one; one of a block comes with each frame that the block names.
    fn proven(&mut self, now: Instant, proven: &Proven) {
        let Proven { own, signed, total, block } = *proven;
        if let Some(sequence) = own {
            let later = self.frames.split_off(&sequence.saturating_add(1));
            for since in std::mem::replace(&mut self.frames, later).into_values() {
                self.metrics.certificate_seconds.observe((now - since).as_secs_f64());
            }
        }
        if let Some((height, round)) = block {
            if height <= self.height {
                return;
            }
            self.height = height;
            self.metrics.consensus_height.set(i64::try_from(height).unwrap_or(i64::MAX));
            self.metrics.consensus_round.set(round.into());
            self.metrics.consensus_view_changes_total.of(ViewChange::Undecided).inc_by(round.into());
        }
        if total > 0 {
            self.metrics.certificate_weight_ratio.observe(signed as f64 / total as f64);
        }
    }

    fn attempt(&mut self, now: Instant, attempt: Attempt) {
        let (outcome, key) = match attempt {
            Attempt::Done(key) => (Outcome::Ok, Some(key)),
            Attempt::Later => (Outcome::Retry, None),
            Attempt::GivenUp(key) => (Outcome::Failed, Some(key)),
        };
        self.metrics.push_attempts_total.of(outcome).inc();
        let Some(key) = key else { return };
        let key = (key.process, key.slot, key.cron);
        let Some((since, left)) = self.outboxes.get_mut(&key) else { return };
        if outcome == Outcome::Ok {
            self.metrics.message_stage_seconds.of(Stage::Push).observe((now - *since).as_secs_f64());
        }
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.outboxes.pop(&key);
            self.metrics.messages_total.of(State::Pushed).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ao_storage::schema::{OutboxKey, OutboxKind};

    use super::*;
    use crate::metrics::Build;
    use crate::network::seam::Published;

    const PROCESS: Id = Id([1; 32]);
    const SLOT: Slot = Slot(3);

    fn stages() -> (Stages, Instant) {
        (Stages::new(Metrics::new(&Build::new("solo", "test")).unwrap()), Instant::now())
    }

    fn key(index: u32) -> OutboxKey {
        OutboxKey { process: PROCESS, slot: SLOT, cron: 0, kind: OutboxKind::Message, index, part: 0 }
    }

    fn evaluated() -> Effect {
        Effect::Tell(Event::Evaluated { process: PROCESS, slot: SLOT, message: None, cron: false, failed: false })
    }

    /// Seconds and number of what was observed of a stage, milliseconds exact.
    fn seen(stages: &Stages, stage: Stage) -> (u64, u64) {
        let histogram = stages.metrics.message_stage_seconds.of(stage);
        ((histogram.get_sample_sum() * 1e3).round() as u64, histogram.get_sample_count())
    }

    #[test]
    fn each_stage_begins_where_the_one_before_ended() {
        let (mut stages, began) = stages();
        let mut at = |ms, effect: Effect| stages.see(began + Duration::from_millis(ms), &effect);
        at(0, Effect::Tell(Event::Assigned { process: PROCESS, slot: SLOT, message: Id([2; 32]) }));
        at(2, Effect::Tell(Event::Certified { process: PROCESS, slot: SLOT }));
        at(5, Effect::Tell(Event::Confirmed { process: PROCESS, slot: SLOT }));
        at(12, evaluated());
        at(12, Effect::Owed { process: PROCESS, slot: SLOT, cron: 0, entries: 2 });
        at(13, Effect::Attempt(Attempt::Later));
        at(20, Effect::Attempt(Attempt::Done(key(0))));
        // The first entry was a spawn: what follows from it belongs to the same result.
        at(20, Effect::Owed { process: PROCESS, slot: SLOT, cron: 0, entries: 1 });
        at(25, Effect::Attempt(Attempt::GivenUp(key(1))));
        let pushed = stages.metrics.messages_total.of(State::Pushed).clone();
        assert_eq!(pushed.get(), 0, "one entry is left");
        stages.see(began + Duration::from_millis(42), &Effect::Attempt(Attempt::Done(key(0))));
        assert_eq!(pushed.get(), 1);
        let each = [Stage::Certify, Stage::Confirm, Stage::Compute, Stage::Push];
        assert_eq!(each.map(|stage| seen(&stages, stage)), [(2, 1), (5, 1), (7, 1), (8 + 30, 2)]);
        let attempts = &stages.metrics.push_attempts_total;
        assert_eq!([Outcome::Ok, Outcome::Retry, Outcome::Failed].map(|outcome| attempts.of(outcome).get()), [2, 1, 1]);
        assert!(stages.messages.is_empty() && stages.outboxes.is_empty());
    }

    #[test]
    fn what_began_before_is_counted_and_not_timed_and_what_is_skipped_is_forgotten() {
        let (mut stages, now) = stages();
        stages.see(now, &Effect::Tell(Event::Confirmed { process: PROCESS, slot: SLOT }));
        stages.see(now, &evaluated());
        stages.see(now, &Effect::Attempt(Attempt::Done(key(0))));
        assert_eq!([Stage::Confirm, Stage::Compute, Stage::Push].map(|stage| seen(&stages, stage).1), [0, 0, 0]);
        assert_eq!(stages.metrics.messages_total.of(State::Confirmed).get(), 1);
        stages.see(now, &Effect::Tell(Event::Assigned { process: PROCESS, slot: SLOT, message: Id([2; 32]) }));
        stages.see(now, &Effect::Results { process: PROCESS, slot: SLOT });
        assert!(stages.messages.is_empty());
    }

    #[test]
    fn certificates_are_timed_from_the_frame_and_weighed_once() {
        let (mut stages, began) = stages();
        let at = |ms| began + Duration::from_millis(ms);
        let chain = ao_consensus::Chain { scheduler: ao_types::Address::Ethereum([1; 20]), tenure: 0 };
        let mut tip = ao_consensus::ChainTip::opened(chain);
        for n in 0..4_u64 {
            let draft =
                ao_consensus::Draft::alone(ao_types::NetworkId([0; 32]), Default::default(), ao_consensus::Timestamp(1), (0, [0; 48]));
            let built = tip.build(draft).unwrap();
            tip = built.tip;
            let published = Published { header: ao_consensus::SignedHeader::alone(built.frame.header), payload: Default::default() };
            stages.see(at(n * 10), &Effect::Order(Box::new(Order::Publish(std::sync::Arc::new(published)))));
        }
        let proven = |own, block| Effect::Proven(Proven { own, signed: 3, total: 4, block });
        // It covers frames 0, 1 and 2; that of another chain covers none of these.
        stages.see(at(50), &proven(Some(2), None));
        stages.see(at(60), &proven(None, None));
        let seconds = &stages.metrics.certificate_seconds;
        assert_eq!((seconds.get_sample_count(), (seconds.get_sample_sum() * 1e3).round() as u64), (3, 50 + 40 + 30));
        // Two frames of one block, decided in its third round.
        stages.see(at(70), &proven(Some(3), Some((9, 2))));
        stages.see(at(70), &proven(None, Some((9, 2))));
        let metrics = &stages.metrics;
        assert_eq!(metrics.certificate_seconds.get_sample_count(), 4);
        assert_eq!((metrics.certificate_weight_ratio.get_sample_count(), metrics.certificate_weight_ratio.get_sample_sum()), (3, 2.25));
        assert_eq!((metrics.consensus_height.get(), metrics.consensus_round.get()), (9, 2));
        assert_eq!(metrics.consensus_view_changes_total.of(ViewChange::Undecided).get(), 2);
        assert!(stages.frames.is_empty());
        stages.see(at(80), &Effect::Fault { kind: "two-headers", id: [0; 32] });
        assert_eq!(stages.metrics.equivocations_total.of(Fault::TwoHeaders).get(), 1);
    }

    #[test]
    fn every_kind_of_evidence_has_its_label() {
        // What `Evidence::kind` says, and the match there is exhaustive.
        let source = include_str!("../../../consensus/core/src/evidence.rs");
        for kind in Fault::ALL {
            assert!(source.contains(&format!("=> \"{}\"", kind.text())), "{}", kind.text());
        }
        assert_eq!(source.matches("=> \"two-").count() + source.matches("=> \"seal-").count(), Fault::ALL.len());
    }

    #[test]
    fn no_more_than_the_bound_is_remembered() {
        let (mut stages, now) = stages();
        for slot in 0..STAGES_TIMED_MAX as u64 + 10 {
            stages.see(now, &Effect::Tell(Event::Assigned { process: PROCESS, slot: Slot(slot), message: Id([2; 32]) }));
            stages.see(now, &Effect::Owed { process: PROCESS, slot: Slot(slot), cron: 0, entries: 1 });
        }
        assert_eq!((stages.messages.len(), stages.outboxes.len()), (STAGES_TIMED_MAX, STAGES_TIMED_MAX));
    }
}
