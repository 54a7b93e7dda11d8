//! Ranges that are fetched once, for an engine that wants to see another branch than the one applied here.

use std::collections::VecDeque;

use ao_p2p::PeerId;

use crate::network::limits::HOLDERS_MAX;
use crate::network::message::RangeQuestion;

/// Tries after which nobody seems to have it. The engine asks again.
const TRIES_MAX: u32 = 8;

/// One of them.
#[derive(Debug)]
pub(super) struct Detour {
    pub(super) question: RangeQuestion,
    holders: VecDeque<PeerId>,
    request: Option<u64>,
    tries: u32,
}

impl Detour {
    pub(super) fn new(question: RangeQuestion, holders: &[PeerId]) -> Self {
        let holders = holders.iter().copied().take(HOLDERS_MAX).collect();
        Self { question, holders, request: None, tries: 0 }
    }

    pub(super) fn is_asked(&self, request: u64) -> bool {
        self.request == Some(request)
    }

    pub(super) fn is_open(&self) -> bool {
        self.request.is_none()
    }

    /// The next holder, then anybody.
    pub(super) fn choose(&mut self, mut anybody: impl Iterator<Item = PeerId>) -> Option<PeerId> {
        self.holders.pop_front().or_else(|| anybody.next())
    }

    pub(super) fn asked(&mut self, request: u64) {
        self.request = Some(request);
        self.tries += 1;
    }

    /// It failed; whether that was the last try.
    pub(super) fn gives_up(&mut self) -> bool {
        self.request = None;
        self.tries >= TRIES_MAX
    }
}
