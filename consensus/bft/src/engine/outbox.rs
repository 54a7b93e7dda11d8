//! What leaves, and what it waits for.
//!
//! The caller holds back what follows a record in one call, and nothing of later calls: a vote that is repeated, or a frame confirmed, by a
//! call without a record of its own would overtake; and two records of one call may have another call's between them. So everything that
//! others can see waits here until all records before it are durable, and records of one call go out together, the next when those are
//! durable: what a crash leaves is always a front part of what was to be remembered.

use std::collections::VecDeque;

use ao_consensus::Effect;

use crate::limits::OUTBOX_MAX;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What waits, in order.
    waiting: VecDeque<Effect>,
    /// Keys of the records that went out and are not durable yet, in order.
    writing: VecDeque<String>,
}

impl Outbox {
    /// Takes what one call came to, in order; gives what may go out now.
    pub(super) fn pass(&mut self, effects: Vec<Effect>, out: &mut Vec<Effect>) {
        for effect in effects {
            match effect {
                // Any of them may get lost on its way anyway. The rest is never much: no blocks are fetched meanwhile.
                Effect::Send(..) if self.waiting.len() >= OUTBOX_MAX => {}
                Effect::Remember(_) | Effect::Send(..) | Effect::Confirmed(_) | Effect::Forked { .. } | Effect::Decided(_) => {
                    self.waiting.push_back(effect);
                }
                other => out.push(other),
            }
        }
        #[cfg(any(test, feature = "mutations"))]
        if crate::mutation::is(crate::mutation::Mutation::LogNotAwaited) {
            let (records, seen): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|effect| matches!(effect, Effect::Remember(_)));
            return out.extend(seen.into_iter().chain(records));
        }
        self.release(out);
    }

    /// This record is durable.
    pub(super) fn remembered(&mut self, key: &str) {
        if let Some(at) = self.writing.iter().position(|written| written == key) {
            self.writing.remove(at);
        }
    }

    /// Whether so much waits that nothing more should be begun.
    pub(super) fn is_busy(&self) -> bool {
        self.waiting.len() >= OUTBOX_MAX / 2
    }

    fn release(&mut self, out: &mut Vec<Effect>) {
        if !self.writing.is_empty() {
            return;
        }
        let seen = self.waiting.iter().position(|effect| matches!(effect, Effect::Remember(_))).unwrap_or(self.waiting.len());
        out.extend(self.waiting.drain(..seen));
        // To be durable earlier than need be does no harm: what stands between is not seen before, and after a crash it is said again.
        for effect in std::mem::take(&mut self.waiting) {
            if let Effect::Remember(record) = effect {
                self.writing.push_back(record.key.clone());
                out.push(Effect::Remember(record));
            } else {
                self.waiting.push_back(effect);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ao_consensus::{Record, To};
    use bytes::Bytes;

    use super::*;

    fn record(key: &str) -> Effect {
        Effect::Remember(Record { key: key.into(), value: Bytes::from_static(b"value"), guards: Vec::new() })
    }

    fn send(number: u8) -> Effect {
        Effect::Send(To::All, Bytes::copy_from_slice(&[number]))
    }

    fn pass(outbox: &mut Outbox, effects: Vec<Effect>) -> Vec<Effect> {
        let mut out = Vec::new();
        outbox.pass(effects, &mut out);
        out
    }

    #[test]
    fn what_is_seen_waits_for_every_record_before_it_and_records_for_those_that_are_being_written() {
        let mut outbox = Outbox::default();
        assert_eq!(pass(&mut outbox, vec![send(1), record("a"), send(2), record("b"), send(3)]), [send(1), record("a"), record("b")]);
        assert_eq!(pass(&mut outbox, vec![send(4), record("a"), send(5)]), [], "a later call does not overtake");
        outbox.remembered("a");
        assert_eq!(pass(&mut outbox, vec![]), []);
        outbox.remembered("b");
        assert_eq!(pass(&mut outbox, vec![]), [send(2), send(3), send(4), record("a")]);
        assert_eq!(pass(&mut outbox, vec![send(6)]), []);
        outbox.remembered("a");
        assert_eq!(pass(&mut outbox, vec![]), [send(5), send(6)]);
        assert!(outbox.waiting.is_empty() && outbox.writing.is_empty());
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut outbox = Outbox::default();
        pass(&mut outbox, vec![record("a")]);
        for _ in 0..OUTBOX_MAX + 10 {
            pass(&mut outbox, vec![send(1)]);
        }
        assert_eq!(outbox.waiting.len(), OUTBOX_MAX);
    }
}
