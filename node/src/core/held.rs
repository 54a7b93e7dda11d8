//! Requests that come while the store is read again, or is about to be: they wait for that moment to pass, and nobody is sent away.
//!
//! Few and small, and for a short time only: a store that takes longer to read, as at the start after a crash, sends callers away with the
//! time to come again. What nobody asked for from outside (frames, outbox turns) does not wait: it comes by itself again.

use std::collections::VecDeque;

use ao_consensus::Timestamp;

use super::effect::Effect;
use super::input::{Input, Origin};
use super::{Core, Mode};
use crate::limits::{HELD_BYTES_MAX, HELD_MAX, HELD_MS_MAX};

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Held {
    inputs: VecDeque<Input>,
    bytes: usize,
    /// When the first has waited long enough.
    until: Option<Timestamp>,
}

impl Held {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// When whoever waits is told to come again.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.until
    }

    /// Takes a place for it, if there is one: the input back if not.
    fn keep(&mut self, now: Timestamp, input: Input) -> Option<Input> {
        let bytes = match &input {
            Input::Submit(submission) => submission.bytes(),
            _ => 0,
        };
        let late = self.until.is_some_and(|until| until <= now);
        if late || self.inputs.len() >= HELD_MAX || self.bytes + bytes > HELD_BYTES_MAX {
            return Some(input);
        }
        self.bytes += bytes;
        self.until.get_or_insert(now.plus_ms(HELD_MS_MAX));
        self.inputs.push_back(input);
        None
    }
}

impl Core {
    /// Keeps a request that would only be refused now; the input back if it is to be handled.
    pub(super) fn hold(&mut self, now: Timestamp, input: Input) -> Option<Input> {
        let asked = match &input {
            Input::Submit(submission) => matches!(submission.origin, Origin::Request(_)),
            Input::RunCron { request, .. } => request.is_some(),
            Input::Monitor { .. } => true,
            _ => false,
        };
        if asked && self.is_away() { self.held.keep(now, input) } else { Some(input) }
    }

    /// Handles those that waited, when the moment has passed or they have waited long enough.
    pub(super) fn release(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let late = self.held.until.is_some_and(|until| until <= now);
        if self.held.is_empty() || (self.is_away() && !late) {
            return;
        }
        for input in std::mem::take(&mut self.held).inputs {
            self.take(now, input, out);
        }
        self.flush(now, out);
    }

    /// The store is being read, or will be as soon as nobody waits: whoever came now would put that off, and be refused in the end.
    fn is_away(&self) -> bool {
        self.mode == Mode::Recovering || self.renewal.is_some()
    }
}
