//! What one peer sends, message by message: how much, how often the same, and whether it can be read at all.
//!
//! gossipsub calls this while it handles one peer's call, in three places: the subscription filter, the transform of each message, and the id
//! of each message. None of them is told whose call it is; [`Watch`](super::Watch) says so beforehand.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::gossipsub::{DataTransform, Message, MessageId, RawMessage, TopicHash, TopicSubscriptionFilter};
use lru::LruCache;
use parking_lot::Mutex;

use super::message_id;
use crate::limits::{INTAKE_SEEN, REPLAY_BURST, REPLAY_PER_SECOND, UNKNOWN_TOPICS_BURST, UNKNOWN_TOPICS_PER_SECOND};
use crate::peers::Offence;
use crate::rate::Bucket;
use crate::wire::{self, BadFrame};

/// What came from one peer lately.
struct Intake {
    messages: Bucket,
    replays: Bucket,
    /// Subscriptions to topics that do not exist.
    unknown: Bucket,
    /// The first eight bytes of ids: two contents that share them cost a peer one replay, which is free.
    seen: LruCache<u64, ()>,
}

/// What was counted since the last look, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) oversize: u64,
    pub(crate) malformed: u64,
}

#[derive(Default)]
struct State {
    /// Whose call is being handled.
    current: Option<PeerId>,
    intakes: HashMap<PeerId, Intake>,
    /// How often which peer did what since the last look. Bounded by connected peers times kinds of offences.
    noticed: BTreeMap<(PeerId, Offence), u32>,
    tally: Tally,
    /// Messages per second that one peer may send.
    rate: u32,
}

/// Shared by the behaviour and the hooks it gives to gossipsub. All of them run in the task that owns the swarm, so the lock is never
/// waited for.
#[derive(Clone)]
pub(crate) struct Gate {
    state: Arc<Mutex<State>>,
    started: Instant,
}

impl Gate {
    /// A gate that lets so many messages per second of each peer pass without a word.
    pub(crate) fn new(rate: u32) -> Self {
        let state = State { rate, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), started: Instant::now() }
    }

    /// The call of this peer is handled from now on, or nobody's.
    pub(super) fn enter(&self, peer: Option<PeerId>) {
        self.state.lock().current = peer;
    }

    /// Forgets a peer that left.
    pub(super) fn forget(&self, peer: &PeerId) {
        self.state.lock().intakes.remove(peer);
    }

    /// The next offence that was noticed, and how often.
    pub(super) fn noticed(&self) -> Option<(PeerId, Offence, u32)> {
        self.state.lock().noticed.pop_first().map(|((peer, offence), times)| (peer, offence, times))
    }

    /// What was counted since the last time.
    pub(crate) fn tally(&self) -> Tally {
        std::mem::take(&mut self.state.lock().tally)
    }

    /// The id of a message, which every message of a call is asked for exactly once: the place to count it.
    pub(super) fn identify(&self, message: &Message) -> MessageId {
        let id = message_id(message.topic.as_str(), &message.data);
        self.state.lock().arrived(&id, self.started.elapsed());
        id
    }
}

impl State {
    fn notice(&mut self, offence: Offence) {
        if let Some(peer) = self.current {
            let times = self.noticed.entry((peer, offence)).or_default();
            *times = times.saturating_add(1);
        }
    }

    fn intake(&mut self, now: Duration) -> Option<&mut Intake> {
        let (peer, rate) = (self.current?, self.rate);
        Some(self.intakes.entry(peer).or_insert_with(|| Intake {
            messages: Bucket::new(rate.saturating_mul(2), rate, now),
            replays: Bucket::new(REPLAY_BURST, REPLAY_PER_SECOND, now),
            unknown: Bucket::new(UNKNOWN_TOPICS_BURST, UNKNOWN_TOPICS_PER_SECOND, now),
            seen: LruCache::new(NonZeroUsize::new(INTAKE_SEEN).unwrap_or(NonZeroUsize::MIN)),
        }))
    }

    /// A message that can be read arrived.
    fn arrived(&mut self, id: &MessageId, now: Duration) {
        let mut key = [0; 8];
        key.copy_from_slice(&id.0[..8]);
        let Some(intake) = self.intake(now) else { return };
        let again = intake.seen.put(u64::from_be_bytes(key), ()).is_some();
        let replay = again && !intake.replays.take(now);
        let flood = !intake.messages.take(now);
        if replay {
            self.notice(Offence::Replay);
        }
        if flood {
            self.notice(Offence::Flood);
        }
    }

    fn read(&mut self, data: &[u8]) -> Result<Vec<u8>, BadFrame> {
        if self.current.is_some() {
            self.tally.messages += 1;
            self.tally.bytes += data.len() as u64;
        }
        let read = wire::open_gossip(data).map(<[u8]>::to_vec);
        match read {
            Ok(_) => {}
            Err(BadFrame::Oversize { .. }) => {
                self.tally.oversize += 1;
                self.notice(Offence::Oversize);
            }
            Err(_) => {
                self.tally.malformed += 1;
                self.notice(Offence::Malformed);
            }
        }
        read
    }

    /// A peer wants a topic that does not exist. A few are a newer version's; many are an attack.
    fn unknown(&mut self, now: Duration) {
        if self.intake(now).is_some_and(|intake| !intake.unknown.take(now)) {
            self.notice(Offence::Subscription);
        }
    }
}

impl DataTransform for Gate {
    /// What cannot be read counts as an invalid delivery in gossipsub's own score too, and never reaches its memory of seen messages.
    fn inbound_transform(&self, raw: RawMessage) -> io::Result<Message> {
        let data = self.state.lock().read(&raw.data)?;
        Ok(Message { source: None, data, sequence_number: None, topic: raw.topic })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> io::Result<Vec<u8>> {
        Ok(wire::seal_gossip(&data)?)
    }
}

/// Lets peers subscribe to the topics of this network and to nothing else. Asked for each topic of a peer's call, and for our own.
pub(crate) struct Subscriptions {
    topics: HashSet<TopicHash>,
    gate: Gate,
}

impl Subscriptions {
    pub(super) fn new(topics: HashSet<TopicHash>, gate: Gate) -> Self {
        Self { topics, gate }
    }
}

impl TopicSubscriptionFilter for Subscriptions {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        let known = self.topics.contains(topic);
        if !known {
            self.gate.state.lock().unknown(self.gate.started.elapsed());
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::GOSSIP_BYTES_MAX;

    const RATE: u32 = 100;

    fn gate() -> (Gate, PeerId) {
        let (gate, peer) = (Gate::new(RATE), PeerId::random());
        gate.enter(Some(peer));
        (gate, peer)
    }

    fn raw(data: Vec<u8>) -> RawMessage {
        RawMessage {
            source: None,
            data,
            sequence_number: None,
            topic: TopicHash::from_raw("t"),
            signature: None,
            key: None,
            validated: false,
        }
    }

    fn send(gate: &Gate, data: &[u8]) {
        let message = gate.inbound_transform(raw(wire::seal_gossip(data).unwrap())).unwrap();
        assert_eq!(message.data, data);
        gate.identify(&message);
    }

    #[test]
    fn a_few_repetitions_are_free_and_many_are_not() {
        let (gate, peer) = gate();
        for _ in 0..=REPLAY_BURST {
            send(&gate, b"again");
        }
        assert_eq!(gate.noticed(), None);
        for _ in 0..10 {
            send(&gate, b"again");
        }
        let (found, offence, times) = gate.noticed().unwrap();
        assert_eq!((found, offence), (peer, Offence::Replay));
        assert!((8..=10).contains(&times), "{times}");
        assert_eq!(gate.noticed(), None);
    }

    #[test]
    fn different_messages_are_a_flood_only_beyond_the_rate() {
        let (gate, peer) = gate();
        for n in 0..2 * RATE {
            send(&gate, &n.to_be_bytes());
        }
        assert_eq!(gate.noticed(), None);
        let more = 4 * 2 * RATE;
        for n in 2 * RATE..2 * RATE + more {
            send(&gate, &n.to_be_bytes());
        }
        let (found, offence, times) = gate.noticed().unwrap();
        assert_eq!((found, offence), (peer, Offence::Flood));
        assert!(times > 0 && times <= more);
    }

    #[test]
    fn what_cannot_be_read_has_a_price_and_a_count() {
        let (gate, peer) = gate();
        assert!(gate.inbound_transform(raw(vec![9, 9])).is_err());
        assert!(gate.inbound_transform(raw(vec![])).is_err());
        assert!(gate.inbound_transform(raw(vec![wire::VERSION; GOSSIP_BYTES_MAX + 2])).is_err());
        assert_eq!(gate.noticed(), Some((peer, Offence::Malformed, 2)));
        assert_eq!(gate.noticed(), Some((peer, Offence::Oversize, 1)));
        let tally = gate.tally();
        assert_eq!((tally.messages, tally.malformed, tally.oversize), (3, 2, 1));
        assert_eq!(gate.tally(), Tally::default());
    }

    #[test]
    fn topics_that_do_not_exist_are_refused_and_many_of_them_cost() {
        let (gate, peer) = gate();
        let known = TopicHash::from_raw("known");
        let mut filter = Subscriptions::new(HashSet::from([known.clone()]), gate.clone());
        assert!(filter.can_subscribe(&known));
        for n in 0..UNKNOWN_TOPICS_BURST {
            assert!(!filter.can_subscribe(&TopicHash::from_raw(n.to_string())));
        }
        assert_eq!(gate.noticed(), None);
        for _ in 0..5 {
            filter.can_subscribe(&TopicHash::from_raw("nowhere"));
        }
        let (found, offence, times) = gate.noticed().unwrap();
        assert_eq!((found, offence), (peer, Offence::Subscription));
        assert!(times >= 4);
    }

    #[test]
    fn own_messages_are_nobody_s_offence_and_a_peer_that_left_is_forgotten() {
        let (gate, peer) = gate();
        send(&gate, b"x");
        assert_eq!(gate.state.lock().intakes.len(), 1);
        gate.forget(&peer);
        gate.enter(None);
        for _ in 0..100 {
            send(&gate, b"x");
        }
        assert_eq!((gate.noticed(), gate.state.lock().intakes.len()), (None, 0));
    }
}
