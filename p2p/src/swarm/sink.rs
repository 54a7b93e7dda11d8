//! Where events go: a bounded channel with room set aside for what must not be lost.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::event::Event;
use crate::limits::EVENTS_RESERVED;

/// The sending side. What does not fit waits here; the task makes no more of it while anything waits, so this holds what one step yields.
pub(super) struct Sink {
    sender: mpsc::Sender<Event>,
    waiting: VecDeque<Event>,
}

impl Sink {
    pub(super) fn new(sender: mpsc::Sender<Event>) -> Self {
        Self { sender, waiting: VecDeque::new() }
    }

    /// Whether there is room for something that may be shed.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.sender.capacity() > EVENTS_RESERVED
    }

    /// Sends now, or as soon as there is room.
    pub(super) fn push(&mut self, event: Event) {
        if !self.waiting.is_empty() {
            self.waiting.push_back(event);
            return;
        }
        if let Err(mpsc::error::TrySendError::Full(event)) = self.sender.try_send(event) {
            self.waiting.push_back(event);
        }
    }

    /// Whether something waits.
    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Waits until all is sent. `false` when nobody reads any more. May be cancelled: nothing is lost.
    pub(super) async fn flush(&mut self) -> bool {
        while !self.waiting.is_empty() {
            let Ok(permit) = self.sender.reserve().await else { return false };
            if let Some(event) = self.waiting.pop_front() {
                permit.send(event);
            }
        }
        true
    }

    /// Ends when nobody reads any more.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeKey, PeerId};

    fn peer() -> PeerId {
        NodeKey::generate().peer_id().unwrap()
    }

    #[tokio::test]
    async fn what_may_be_shed_leaves_room_and_the_rest_is_kept_in_order() {
        let (sender, mut events) = mpsc::channel(EVENTS_RESERVED + 2);
        let mut sink = Sink::new(sender);
        let peers: Vec<_> = (0..EVENTS_RESERVED + 12).map(|_| peer()).collect();
        let mut sent = 0;
        while sink.has_room() {
            sink.push(Event::Disconnected(peers[sent]));
            sent += 1;
        }
        assert_eq!(sent, 2);
        for peer in &peers[sent..] {
            sink.push(Event::Disconnected(*peer));
        }
        assert_eq!(sink.waiting.len(), 10);
        assert!(sink.is_behind() && !sink.has_room());
        let reader = tokio::spawn(async move {
            let mut read = Vec::new();
            while let Some(Event::Disconnected(peer)) = events.recv().await {
                read.push(peer);
            }
            read
        });
        assert!(sink.flush().await && !sink.is_behind());
        drop(sink);
        assert_eq!(reader.await.unwrap(), peers);
    }

    #[tokio::test]
    async fn nobody_reads_any_more() {
        let (sender, events) = mpsc::channel(1);
        let mut sink = Sink::new(sender);
        sink.push(Event::Disconnected(peer()));
        sink.push(Event::Disconnected(peer()));
        drop(events);
        assert!(!sink.flush().await);
        sink.closed().await;
    }
}
