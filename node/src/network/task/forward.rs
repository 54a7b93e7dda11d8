//! Clients' items on their way to other schedulers: each is answered exactly once. Whose connection ends before the answer is asked once more, by
//! whatever connection there is then: a scheduler that has an item already says so, and what became of it is known by its frame.

use std::collections::BTreeMap;

use ao_p2p::limits::FORWARD_BYTES_MAX as WHOLE_BYTES_MAX;
use ao_p2p::{Answer, Failure};
use ao_types::Id;
use bytes::Bytes;

use super::ForwardId;
use crate::error::{Code, Rejection};
use crate::network::limits::{FORWARD_BYTES_MAX, FORWARDS_AGAIN_BYTES_MAX, FORWARDS_MAX};
use crate::network::message::{Forward, HEAD_BYTES, decode_receipt};
use crate::network::seam::{Arrival, Load};
use crate::network::serve::part_of;

/// Items that are on their way.
#[derive(Debug, Default)]
pub(super) struct Forwards {
    open: BTreeMap<ForwardId, Open>,
    offered: BTreeMap<Id, Bytes>,
    bytes: usize,
    /// Of the questions that are kept.
    questions: usize,
}

#[derive(Debug)]
struct Open {
    /// The item's id, if it was offered and is kept for the receiver.
    offered: Option<Id>,
    /// What was asked, until it was asked again, where there was room for it.
    question: Option<Bytes>,
}

/// The answer to an item that could not be sent: the client may try again.
pub(super) fn refused(forward: ForwardId, why: &str) -> Arrival {
    Arrival::Forwarded { forward, answer: Err(Rejection::retry(Code::Unavailable, why, 2)) }
}

/// The answer to an item that was sent, of which nobody said what became.
fn unanswered(forward: ForwardId, why: &str) -> Arrival {
    Arrival::Forwarded { forward, answer: Err(Rejection::retry(Code::TimedOut, why, 2)) }
}

impl Forwards {
    /// What to ask the scheduler's node; why not, if too much is on its way.
    pub(super) fn begin(&mut self, forward: ForwardId, load: Load) -> Result<Bytes, &'static str> {
        if self.open.len() >= FORWARDS_MAX {
            return Err("too many items are on their way to other schedulers");
        }
        let item = match load {
            Load::Item(item) => item,
            Load::Assign(assign) => {
                return Ok(self.open(forward, None, Forward::Assign(assign)));
            }
        };
        if item.len() + HEAD_BYTES <= WHOLE_BYTES_MAX {
            return Ok(self.open(forward, None, Forward::Whole(item)));
        }
        // The item was checked by the node: its bytes are those of an item.
        let Ok(id) = ao_types::DataItem::parse(item.clone(), ao_types::Profile::Strict).map(|item| item.id()) else {
            return Err("the item cannot be read");
        };
        let offer = Forward::Offer { item: id, bytes: item.len() as u32 };
        if !self.offered.contains_key(&id) {
            if self.bytes + item.len() > FORWARD_BYTES_MAX {
                return Err("too many large items are on their way to other schedulers");
            }
            self.bytes += item.len();
            self.offered.insert(id, item);
        }
        Ok(self.open(forward, Some(id), offer))
    }

    fn open(&mut self, forward: ForwardId, offered: Option<Id>, question: Forward) -> Bytes {
        let question = question.encode();
        let kept = (self.questions + question.len() <= FORWARDS_AGAIN_BYTES_MAX).then(|| question.clone());
        self.questions += kept.as_ref().map_or(0, Bytes::len);
        self.open.insert(forward, Open { offered, question: kept });
        question
    }

    /// What to ask once more, where the connection ended before the answer.
    pub(super) fn again(&mut self, forward: ForwardId, result: &Result<Bytes, Failure>) -> Option<Bytes> {
        let Err(Failure::Closed) = result else { return None };
        let question = self.open.get_mut(&forward)?.question.take()?;
        self.questions -= question.len();
        Some(question)
    }

    /// A part of an item that was offered.
    pub(super) fn part(&self, item: &Id, part: u32) -> Option<Answer> {
        let found = self.offered.get(item)?;
        Some(part_of(found, part).map_or(Answer::Refused, Answer::Found))
    }

    /// What came back, and whether it could not be read.
    pub(super) fn answered(&mut self, forward: ForwardId, result: Result<Bytes, Failure>) -> (Arrival, bool) {
        self.end(forward);
        match result.map(|bytes| decode_receipt(&bytes)) {
            Ok(Ok(answer)) => (Arrival::Forwarded { forward, answer }, false),
            Ok(Err(_)) => (unanswered(forward, "the scheduler's answer cannot be read"), true),
            Err(failure @ (Failure::Timeout | Failure::Closed)) => {
                (unanswered(forward, &format!("the process's scheduler did not answer: {failure}")), false)
            }
            Err(failure) => (refused(forward, &format!("the process's scheduler does not answer: {failure}")), false),
        }
    }

    /// No more answers: those that are still owed one.
    pub(super) fn close(&mut self) -> Vec<ForwardId> {
        self.offered.clear();
        (self.bytes, self.questions) = (0, 0);
        std::mem::take(&mut self.open).into_keys().collect()
    }

    fn end(&mut self, forward: ForwardId) {
        let Some(Open { offered, question }) = self.open.remove(&forward) else { return };
        self.questions -= question.map_or(0, |question| question.len());
        let Some(item) = offered else { return };
        if !self.open.values().any(|other| other.offered == Some(item))
            && let Some(bytes) = self.offered.remove(&item)
        {
            self.bytes -= bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::Accepted;
    use crate::network::message::{ItemPart, encode_receipt};

    fn item(bytes: usize) -> Bytes {
        let wallet = ao_types::Wallet::ed25519_from_seed(&[1; 32]);
        let item = ao_types::ItemBuilder::new().data(vec![7; bytes]).sign(&wallet).unwrap();
        item.as_bytes().clone()
    }

    #[test]
    fn a_large_item_is_offered_served_and_dropped_with_its_answer() {
        let mut forwards = Forwards::default();
        let item = item(WHOLE_BYTES_MAX);
        let Ok(Forward::Offer { item: id, bytes }) = Forward::decode(&forwards.begin(ForwardId(1), Load::Item(item.clone())).unwrap())
        else {
            panic!()
        };
        forwards.begin(ForwardId(2), Load::Item(item.clone())).unwrap();
        let parts = (0..3).map(|part| match forwards.part(&id, part).unwrap() {
            Answer::Found(bytes) => ItemPart::decode(&bytes).unwrap(),
            other => panic!("{other:?}"),
        });
        let parts: Vec<_> = parts.collect();
        assert!(parts.iter().all(|part| part.total == bytes));
        assert_eq!(parts.iter().flat_map(|part| part.bytes.to_vec()).collect::<Vec<_>>(), item);
        assert_eq!(forwards.part(&id, 3), Some(Answer::Refused));
        let accepted = Accepted { id, process: None, slot: None, assignment: None, timestamp_ms: 3 };
        let (answer, lied) = forwards.answered(ForwardId(1), Ok(encode_receipt(&Ok(accepted.clone()))));
        assert!(!lied && matches!(answer, Arrival::Forwarded { forward: ForwardId(1), answer: Ok(found) } if found == accepted));
        assert!(forwards.part(&id, 0).is_some(), "the other one still needs it");
        let (answer, lied) = forwards.answered(ForwardId(2), Err(Failure::Timeout));
        assert!(!lied && matches!(answer, Arrival::Forwarded { answer: Err(why), .. } if why.code == Code::TimedOut));
        assert_eq!((forwards.part(&id, 0), forwards.bytes), (None, 0));
    }

    #[test]
    fn whose_connection_ends_is_asked_once_more() {
        let mut forwards = Forwards::default();
        let question = forwards.begin(ForwardId(1), Load::Item(item(100))).unwrap();
        assert_eq!(forwards.again(ForwardId(1), &Err(Failure::Timeout)), None, "it may be at work on it");
        assert_eq!(forwards.again(ForwardId(1), &Err(Failure::Closed)), Some(question.clone()));
        assert_eq!(forwards.again(ForwardId(1), &Err(Failure::Closed)), None, "once");
        let (answer, _) = forwards.answered(ForwardId(1), Err(Failure::Closed));
        assert!(matches!(answer, Arrival::Forwarded { answer: Err(why), .. } if why.code == Code::TimedOut && why.retry_after_s.is_some()));
        forwards.begin(ForwardId(2), Load::Item(item(100))).unwrap();
        let (answer, _) = forwards.answered(ForwardId(2), Err(Failure::Unreachable));
        assert!(matches!(answer, Arrival::Forwarded { answer: Err(why), .. } if why.code == Code::Unavailable), "it never left");
        // As many questions are kept as have room; the others are asked once, as before.
        let large = item(WHOLE_BYTES_MAX / 2);
        let kept = FORWARDS_AGAIN_BYTES_MAX / forwards.begin(ForwardId(0), Load::Item(large.clone())).unwrap().len();
        (1..=kept as u64).for_each(|n| drop(forwards.begin(ForwardId(n), Load::Item(large.clone())).unwrap()));
        let again = |forwards: &mut Forwards, n| forwards.again(ForwardId(n), &Err(Failure::Closed)).is_some();
        assert!(again(&mut forwards, kept as u64 - 1) && !again(&mut forwards, kept as u64));
        (0..=kept as u64).for_each(|n| drop(forwards.answered(ForwardId(n), Err(Failure::Closed))));
        assert_eq!(forwards.questions, 0);
    }

    #[test]
    fn bounds_bite_and_nothing_stays_unanswered() {
        let mut forwards = Forwards::default();
        let large = item(40 << 20);
        forwards.begin(ForwardId(9000), Load::Item(large.clone())).unwrap();
        let other = ao_types::ItemBuilder::new().data(vec![8; 40 << 20]).sign(&ao_types::Wallet::ed25519_from_seed(&[1; 32])).unwrap();
        assert!(forwards.begin(ForwardId(9001), Load::Item(other.as_bytes().clone())).is_err());
        for n in 1..FORWARDS_MAX as u64 {
            forwards.begin(ForwardId(n), Load::Item(Bytes::from_static(b"small"))).unwrap();
        }
        assert!(forwards.begin(ForwardId(9002), Load::Item(Bytes::from_static(b"small"))).is_err());
        let (_, lied) = forwards.answered(ForwardId(1), Ok(Bytes::from_static(b"\x01\x07")));
        assert!(lied);
        assert_eq!(forwards.close().len(), FORWARDS_MAX - 1);
    }
}
