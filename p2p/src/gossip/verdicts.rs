//! Messages that were handed up and whose verdict has not come.
//!
//! Keeps the promise that each message is answered: by the layer above, or with "ignore" when that takes too long or too many wait.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::PeerId;
use libp2p::gossipsub::MessageId;

use crate::event::GossipId;
use crate::limits::{VERDICT_WITHIN, VERDICTS_PENDING_MAX};
use crate::topic::Topic;

/// A message without a verdict.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) message: MessageId,
    pub(crate) from: PeerId,
    pub(crate) topic: Topic,
}

/// The table. Ids grow with time, so its first row is the oldest.
#[derive(Default)]
pub(crate) struct Verdicts {
    next: u64,
    waiting: BTreeMap<GossipId, (Duration, Waiting)>,
}

impl Verdicts {
    /// Notes a message; `None` when too many wait.
    pub(crate) fn open(&mut self, waiting: Waiting, now: Duration) -> Option<GossipId> {
        if self.waiting.len() >= VERDICTS_PENDING_MAX {
            return None;
        }
        let id = GossipId(self.next);
        self.next += 1;
        self.waiting.insert(id, (now, waiting));
        Some(id)
    }

    /// The message that a verdict is about; `None` if it was answered already.
    pub(crate) fn close(&mut self, id: GossipId) -> Option<Waiting> {
        self.waiting.remove(&id).map(|(_, waiting)| waiting)
    }

    /// The next message whose verdict took too long.
    pub(crate) fn overdue(&mut self, now: Duration) -> Option<Waiting> {
        let first = self.waiting.first_entry()?;
        (now >= first.get().0 + VERDICT_WITHIN).then(|| first.remove().1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(byte: u8) -> Waiting {
        Waiting { message: MessageId::new(&[byte]), from: PeerId::random(), topic: Topic::Tips }
    }

    #[test]
    fn each_message_is_answered_once_in_time_or_by_the_clock() {
        let mut table = Verdicts::default();
        let (a, b) = (table.open(waiting(1), Duration::ZERO).unwrap(), table.open(waiting(2), VERDICT_WITHIN / 2).unwrap());
        assert_eq!(table.close(a).unwrap().message, MessageId::new(&[1]));
        assert!(table.close(a).is_none());
        assert!(table.overdue(VERDICT_WITHIN).is_none());
        assert_eq!(table.overdue(VERDICT_WITHIN * 2).unwrap().message, MessageId::new(&[2]));
        assert!(table.overdue(VERDICT_WITHIN * 2).is_none() && table.close(b).is_none());
    }

    #[test]
    fn too_many_are_turned_away_and_answers_make_room() {
        let mut table = Verdicts::default();
        let ids: Vec<_> = (0..VERDICTS_PENDING_MAX).map(|_| table.open(waiting(1), Duration::ZERO).unwrap()).collect();
        assert!(table.open(waiting(1), Duration::ZERO).is_none());
        table.close(ids[7]).unwrap();
        assert!(table.open(waiting(1), Duration::ZERO).is_some());
    }
}
