//! The threads that answer peers' questions, behind a bounded queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ao_p2p::{Answer, Command, InboundId, Kind, Network, PeerId};
use ao_types::codec::Canonical;
use bytes::Bytes;

use super::Counts;
use super::limits::{SERVING_MAX, SERVING_WAITING_MAX};
use super::message::{ChunkQuestion, ItemQuestion, RangeQuestion, StateQuestion};
use super::seam::States;
use super::serve::Server;
use crate::shell::Now;
use crate::shell::queue::Queue;

/// A question of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// For frames.
    Range(RangeQuestion),
    /// For a chunk of a body.
    Chunk(ChunkQuestion),
    /// For a part of an item.
    Item(ItemQuestion),
    /// About a state.
    State(Box<StateQuestion>),
}

impl Question {
    /// Reads a question of this kind; `None`: it is none.
    pub fn read(kind: Kind, bytes: &Bytes) -> Option<Self> {
        match kind {
            Kind::Range => RangeQuestion::decode(bytes).ok().map(Self::Range),
            Kind::Body => ChunkQuestion::decode(bytes).ok().map(Self::Chunk),
            Kind::Item => ItemQuestion::decode(bytes).ok().map(Self::Item),
            Kind::State => StateQuestion::decode(bytes).ok().map(|question| Self::State(Box::new(question))),
            Kind::Direct | Kind::Forward => None,
        }
    }
}

struct Job {
    id: InboundId,
    from: PeerId,
    question: Question,
}

/// See the module documentation. The threads end when it is dropped.
pub struct Servers {
    /// For bodies that are known before anybody asks.
    pub server: Arc<Server>,
    queue: Arc<Queue<Job>>,
    counts: Arc<Counts>,
}

impl Servers {
    /// Starts the threads.
    pub fn start(
        server: Arc<Server>,
        states: &Arc<dyn States>,
        network: Network,
        clock: Now,
        counts: Arc<Counts>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::<Job>::new(SERVING_WAITING_MAX));
        for n in 0..SERVING_MAX {
            let (server, states, network, clock, queue) = (server.clone(), states.clone(), network.clone(), clock.clone(), queue.clone());
            std::thread::Builder::new().name(format!("serve-{n}")).spawn(move || {
                while let Some(Job { id, from, question }) = queue.pop() {
                    let answer = match &question {
                        Question::Range(question) => server.range(question),
                        Question::Chunk(question) => server.chunk(clock(), from, question),
                        Question::Item(question) => server.item(question),
                        Question::State(question) => states.answer(&from, question),
                    };
                    // Without room the network below answers "busy" when the question's time is up.
                    drop(network.send(Command::Respond { id, answer }));
                }
            })?;
        }
        Ok(Self { server, queue, counts })
    }

    /// Takes a question; the answer to give at once if there is no room.
    pub fn ask(&self, id: InboundId, from: PeerId, question: Question) -> Option<Answer> {
        let refused = self.queue.push(Job { id, from, question }).is_err();
        refused.then(|| {
            self.counts.serve_busy.fetch_add(1, Ordering::Relaxed);
            Answer::Busy
        })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.queue.close();
    }
}
