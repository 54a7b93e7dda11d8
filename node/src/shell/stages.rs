//! How long messages take from one level to the next, as this node's own threads see it: for `message_stage_seconds` and nothing else.
//!
//! Times are those of this process's monotonic clock, taken where the core's effects are carried out, that is when what they say is
//! durable. What was under way before the last start is not timed. At most [`STAGES_TIMED_MAX`] messages and as many outboxes are
//! remembered; the oldest is forgotten first.

use std::num::NonZeroUsize;
use std::time::Instant;

use ao_types::{Id, Slot};
use lru::LruCache;

use crate::core::effect::{Attempt, Effect};
use crate::handle::Event;
use crate::limits::STAGES_TIMED_MAX;
use crate::metrics::Metrics;
use crate::metrics::labels::{Outcome, Stage, State};

/// See the module documentation. One, on the core's thread.
pub struct Stages {
    metrics: Metrics,
    /// When each message reached the level it is at.
    messages: LruCache<(Id, Slot), Instant>,
    /// When each result was there, and how many entries of it are still to be delivered.
    outboxes: LruCache<(Id, Slot, u32), (Instant, u32)>,
}

impl Stages {
    /// Nothing is under way.
    pub fn new(metrics: Metrics) -> Self {
        let most = NonZeroUsize::new(STAGES_TIMED_MAX).unwrap_or(NonZeroUsize::MIN);
        Self { metrics, messages: LruCache::new(most), outboxes: LruCache::new(most) }
    }

    /// Counts and times an effect that is being carried out at `now`.
    pub fn see(&mut self, now: Instant, effect: &Effect) {
        match effect {
            Effect::Tell(event) => self.event(now, event),
            Effect::Owed { process, slot, cron, entries } => {
                self.outboxes.get_or_insert_mut((*process, *slot, *cron), || (now, 0)).1 += entries;
            }
            Effect::Attempt(attempt) => self.attempt(now, *attempt),
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
            Event::Certified { .. } | Event::Evaluated { .. } | Event::Pushed { .. } => {}
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
        assert_eq!([Stage::Confirm, Stage::Compute, Stage::Push].map(|stage| seen(&stages, stage)), [(5, 1), (7, 1), (8 + 30, 2)]);
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
    fn no_more_than_the_bound_is_remembered() {
        let (mut stages, now) = stages();
        for slot in 0..STAGES_TIMED_MAX as u64 + 10 {
            stages.see(now, &Effect::Tell(Event::Assigned { process: PROCESS, slot: Slot(slot), message: Id([2; 32]) }));
            stages.see(now, &Effect::Owed { process: PROCESS, slot: Slot(slot), cron: 0, entries: 1 });
        }
        assert_eq!((stages.messages.len(), stages.outboxes.len()), (STAGES_TIMED_MAX, STAGES_TIMED_MAX));
    }
}
