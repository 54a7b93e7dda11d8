use std::collections::BTreeSet;

use ao_p2p::NodeKey;
use proptest::prelude::*;

use super::*;
use crate::network::message::encode_range;
use crate::network::tests::frames::{Author, Made, NETWORK};

fn peer(seed: u8) -> PeerId {
    NodeKey::from_seed(&mut [seed; 32]).unwrap().peer_id().unwrap()
}

fn ask_of(acts: &[Act]) -> Vec<(u64, PeerId, u64, u16)> {
    let asks = acts.iter().filter_map(|act| match act {
        Act::Ask { request, peer, question } => Some((*request, *peer, question.from, question.count)),
        _ => None,
    });
    asks.collect()
}

fn frames_of(acts: &[Act]) -> Vec<u64> {
    acts.iter().filter_map(|act| if let Act::Frame { frame, .. } = act { Some(frame.place.sequence) } else { None }).collect()
}

/// A chain that exists, and a node that has `have` frames of it.
struct Table {
    author: Author,
    made: Vec<Made>,
    sync: Sync,
}

impl Table {
    fn new(length: usize, have: usize) -> Self {
        let mut author = Author::new(1);
        let mut made = Vec::with_capacity(length);
        let mut tip = author.tip();
        for n in 0..length {
            made.push(author.next(&(n as u32).to_be_bytes()));
            if n + 1 == have {
                tip = author.tip();
            }
        }
        let mut sync = Sync::new(NETWORK);
        sync.local(Timestamp(0), tip);
        Self { author, made, sync }
    }

    fn claim(&mut self, seed: u8, next: u64) {
        self.sync.claimed(peer(seed), &[Tip { next, ..self.author.tip() }]);
    }

    fn poll(&mut self, now: u64) -> Vec<Act> {
        let mut acts = Vec::new();
        self.sync.poll(Timestamp(now), &mut acts);
        acts
    }

    fn range(&self, from: u64, count: usize) -> Bytes {
        let pieces: Vec<_> = self.made[from as usize..].iter().take(count).map(|made| made.piece(true)).collect();
        encode_range(&pieces)
    }

    fn answer(&mut self, now: u64, request: u64, result: Result<Bytes, Failure>) -> Vec<Act> {
        let mut acts = Vec::new();
        self.sync.answered(Timestamp(now), request, result, &mut acts);
        acts.extend(self.poll(now));
        acts
    }

    fn applied(&mut self, now: u64, next: u64) {
        let last = self.made[next as usize - 1].header.id();
        self.sync.local(Timestamp(now), Tip { chain: self.author.chain(), next, last });
    }
}

#[test]
fn nothing_is_asked_while_nobody_is_further_or_gossip_may_bring_it() {
    let mut table = Table::new(20, 10);
    table.claim(1, 10);
    assert_eq!(table.poll(0), []);
    table.claim(1, 10 + NEAR);
    assert_eq!(table.poll(100), [], "the newest few are on their way");
    table.applied(500, 12);
    assert_eq!(table.poll(100 + GRACE_MS), [], "it does come");
    let acts = table.poll(500 + GRACE_MS);
    assert_eq!(ask_of(&acts), [(0, peer(1), 12, 6)], "it came no further");
}

#[test]
fn many_missing_frames_are_asked_for_at_once_from_several_peers() {
    let mut table = Table::new(600, 0);
    (1..=3).for_each(|seed| table.claim(seed, 600));
    let asks = ask_of(&table.poll(0));
    assert_eq!(asks.len(), RANGES_PER_CHAIN);
    assert_eq!(asks.iter().map(|ask| (ask.2, ask.3)).collect::<Vec<_>>(), (0..6).map(|n| (64 * n, 64)).collect::<Vec<_>>());
    for seed in 1..=3 {
        assert_eq!(asks.iter().filter(|ask| ask.1 == peer(seed)).count(), 2, "work is shared");
    }
    // The second range first: nothing is handed on before the first is here.
    assert_eq!(frames_of(&table.answer(1, asks[1].0, Ok(table.range(64, 64)))), [0u64; 0]);
    let acts = table.answer(2, asks[0].0, Ok(table.range(0, 64)));
    assert_eq!(frames_of(&acts), (0..64).collect::<Vec<_>>(), "and no more than {AHEAD_MAX} ahead of what is applied");
    table.applied(3, 1);
    assert_eq!(frames_of(&table.poll(3)), [64]);
    table.applied(4, 64);
    assert_eq!(frames_of(&table.poll(4)), (65..128).collect::<Vec<_>>());
}

#[test]
fn a_short_answer_leaves_the_rest_to_somebody() {
    let mut table = Table::new(40, 0);
    table.claim(1, 40);
    table.claim(2, 40);
    let asks = ask_of(&table.poll(0));
    assert_eq!(asks.len(), 1);
    let acts = table.answer(1, asks[0].0, Ok(table.range(0, 25)));
    assert_eq!(frames_of(&acts), (0..25).collect::<Vec<_>>());
    let rest = ask_of(&acts);
    assert_eq!((rest[0].2, rest[0].3), (25, 15));
    assert_ne!(rest[0].1, asks[0].1, "who waits longest is next");
}

#[test]
fn a_liar_pays_and_loses_its_claims() {
    let other = Table::new(40, 0);
    let mut twin = Author::new(2);
    let foreign = encode_range(&[twin.next(b"x").piece(true)]);
    let mut gap = Table::new(40, 0);
    let lies = [
        Bytes::from_static(b"garbage"),
        Bytes::new(),
        foreign,
        encode_range(&[gap.made.remove(0).piece(true), gap.made.remove(3).piece(true)]),
        other.range(1, 5),
        encode_range(&[]),
    ];
    for lie in lies {
        let mut table = Table::new(40, 0);
        table.claim(1, 40);
        let asks = ask_of(&table.poll(0));
        let acts = table.answer(0, asks[0].0, Ok(lie));
        assert_eq!(acts, [Act::Blame(peer(1), Offence::Invalid)]);
        assert_eq!(table.poll(REST_MS_MAX), [], "its claim is worth nothing");
        table.claim(2, 40);
        let asks = ask_of(&table.poll(REST_MS_MAX));
        assert_eq!((asks[0].1, asks[0].2), (peer(2), 0));
    }
}

#[test]
fn a_slow_peer_does_not_hold_up_the_others() {
    let mut table = Table::new(30, 0);
    table.claim(1, 30);
    let slow = ask_of(&table.poll(0))[0];
    table.claim(2, 30);
    assert_eq!(table.poll(SLOW_MS - 1), []);
    let asks = ask_of(&table.poll(SLOW_MS));
    assert_eq!((asks.len(), asks[0].1, asks[0].2, asks[0].3), (1, peer(2), 0, 15), "another question than the slow one's");
    assert_eq!(table.poll(SLOW_MS * 3), [], "and no third");
    let acts = table.answer(SLOW_MS * 3, asks[0].0, Ok(table.range(0, 15)));
    assert_eq!(frames_of(&acts), (0..15).collect::<Vec<_>>());
    assert_eq!(ask_of(&acts)[0].2, 15);
    let late = table.answer(SLOW_MS * 3, slow.0, Ok(table.range(0, 30)));
    assert_eq!(frames_of(&late), [0u64; 0], "nobody waits for it any more");
}

#[test]
fn what_fails_is_asked_again_and_failures_space_out() {
    let mut table = Table::new(30, 0);
    table.claim(1, 30);
    let (mut now, mut asked) = (0, Vec::new());
    while now < 120_000 {
        for ask in ask_of(&table.poll(now)) {
            asked.push(now);
            table.answer(now, ask.0, Err(Failure::Timeout));
        }
        now += 50;
    }
    assert!((6..16).contains(&asked.len()), "{asked:?}");
    // Having nothing at that place is a claim less.
    table.claim(1, 30);
    let ask = ask_of(&table.poll(now + REST_MS_MAX))[0];
    table.answer(now, ask.0, Err(Failure::NotFound));
    assert_eq!(ask_of(&table.poll(now + 10 * REST_MS_MAX)), []);
}

#[test]
fn what_is_handed_on_and_lost_is_asked_for_again_after_a_while() {
    let mut table = Table::new(30, 0);
    table.claim(1, 30);
    let ask = ask_of(&table.poll(0))[0];
    assert_eq!(frames_of(&table.answer(0, ask.0, Ok(table.range(0, 30)))).len(), 30);
    table.applied(100, 7);
    assert_eq!(table.poll(100 + STUCK_MS_MIN - 1), []);
    assert_eq!(ask_of(&table.poll(100 + STUCK_MS_MIN))[0].2, 7);
    // At once when the node says that it refused it, but not of the peer that sent it.
    let mut table = Table::new(30, 0);
    table.claim(1, 30);
    table.claim(2, 30);
    let ask = ask_of(&table.poll(0))[0];
    table.answer(0, ask.0, Ok(table.range(0, 30)));
    table.sync.refused(Timestamp(1), ask.1, table.author.chain());
    let again = ask_of(&table.poll(1))[0];
    assert_eq!(again.2, 0);
    assert_ne!(again.1, ask.1);
}

#[test]
fn another_branch_is_shown_to_the_node() {
    let mut table = Table::new(30, 10);
    // A peer whose chain has another frame 9, and goes on from that.
    let mut twin = Author::new(1);
    let branch: Vec<_> = (0..30u32).map(|n| twin.next(&if n < 9 { n.to_be_bytes() } else { (n + 100).to_be_bytes() })).collect();
    let range =
        |from: usize, count: usize| encode_range(&branch[from..].iter().take(count).map(|made| made.piece(true)).collect::<Vec<_>>());
    table.claim(1, 30);
    let ask = ask_of(&table.poll(0))[0];
    let acts = table.answer(0, ask.0, Ok(range(10, 20)));
    assert_eq!(frames_of(&acts), [0u64; 0]);
    assert_eq!(ask_of(&acts).iter().map(|ask| (ask.1, ask.2, ask.3)).collect::<Vec<_>>(), [(peer(1), 9, 1)]);
    let shown = table.answer(1, ask_of(&acts)[0].0, Ok(range(9, 1)));
    assert_eq!(frames_of(&shown), [9], "two headers of one sequence: the node has the proof");
    assert_eq!(table.poll(REST_MS_MAX), []);
}

#[test]
fn an_engine_that_lacks_frames_is_served_at_once() {
    let mut table = Table::new(30, 10);
    let last = table.made[12].header.id();
    let fetch = |from, to: u64| Fetch { chain: Author::new(1).chain(), from, to: (to, last), holders: Vec::new() };
    table.sync.fetch(Timestamp(9_000), &fetch(10, 12), &[peer(5)]);
    assert_eq!(ask_of(&table.poll(9_000)), [(0, peer(5), 10, 3)], "ahead of the tip: a range like any other, without delay");
    table.sync.fetch(Timestamp(9_000), &fetch(3, 6), &[peer(6)]);
    table.sync.fetch(Timestamp(9_000), &fetch(3, 6), &[peer(6)]);
    let asks = ask_of(&table.poll(9_000));
    assert_eq!(asks.iter().map(|ask| (ask.1, ask.2, ask.3)).collect::<Vec<_>>(), [(peer(6), 3, 4)], "below it: another branch, once");
    let acts = table.answer(9_001, asks[0].0, Ok(table.range(3, 4)));
    assert_eq!(frames_of(&acts), [3, 4, 5, 6]);
    for from in 0..2 * DETOURS_MAX as u64 {
        table.sync.fetch(Timestamp(9_002), &Fetch { to: (from % 9, last), ..fetch(from, from % 9) }, &[]);
    }
    assert!(table.sync.detours.len() <= DETOURS_MAX);
}

/// A peer of the seeded world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Honest,
    Slow,
    Mute,
    Refuses,
    /// Sends frames of a chain that nobody signed for.
    Forger,
    Garbage,
    /// Claims more than there is.
    Boaster,
    Short,
}

const NATURES: [Nature; 8] =
    [Nature::Honest, Nature::Slow, Nature::Mute, Nature::Refuses, Nature::Forger, Nature::Garbage, Nature::Boaster, Nature::Short];

/// Runs a node that lacks a whole chain among such peers; says in which virtual millisecond it had all.
fn catch_up(seed: u64, natures: &[Nature], length: usize) -> (u64, BTreeSet<PeerId>) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut roll = move |sides: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % sides
    };
    let mut table = Table::new(length, 0);
    let (mut blamed, mut applied, mut held) = (BTreeSet::new(), 0u64, BTreeSet::new());
    // When what arrives: answers and applications.
    let mut answers: BTreeMap<(u64, u64), (usize, RangeQuestion)> = BTreeMap::new();
    for now in (0u64..).step_by(10) {
        assert!(now < 3_600_000, "seed {seed}: {applied} of {length} frames within an hour of the world's time");
        if now % 1_000 == 0 {
            for (n, nature) in natures.iter().enumerate() {
                let more = if *nature == Nature::Boaster { 5_000 } else { 0 };
                table.claim(n as u8 + 1, length as u64 + more);
            }
        }
        let mut acts = table.poll(now);
        while let Some(entry) = answers.first_entry().filter(|entry| entry.key().0 <= now) {
            let (_, request) = *entry.key();
            let (n, question) = entry.remove();
            let (from, count) = (question.from, usize::from(question.count));
            let honest = |count: usize| if from < length as u64 { Ok(table.range(from, count)) } else { Err(Failure::NotFound) };
            let result = match natures[n] {
                Nature::Honest | Nature::Slow => honest(count),
                Nature::Boaster if from + 20 < length as u64 => honest(count),
                Nature::Boaster => Err(Failure::NotFound),
                Nature::Short => honest(count.min(1 + roll(3) as usize)),
                Nature::Mute => Err(Failure::Timeout),
                Nature::Refuses => Err(Failure::Busy),
                Nature::Garbage => Ok(Bytes::from(vec![roll(256) as u8; roll(300) as usize])),
                Nature::Forger => honest(count).map(|bytes| {
                    let mut bytes = bytes.to_vec();
                    let at = roll(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 + roll(255) as u8;
                    bytes.into()
                }),
            };
            acts.extend(table.answer(now, request, result));
        }
        for act in acts {
            match act {
                Act::Ask { request, peer: asked, question } => {
                    let n = (0..natures.len()).find(|n| peer(*n as u8 + 1) == asked).unwrap();
                    let delay = match natures[n] {
                        Nature::Slow => 3_000 + roll(4_000),
                        Nature::Mute => 10_000,
                        _ => 5 + roll(80),
                    };
                    answers.insert((now + delay, request), (n, question));
                }
                Act::Frame { frame, .. } => {
                    let sequence = frame.place.sequence;
                    assert!(sequence < applied + AHEAD_MAX, "seed {seed}: {sequence} is too far ahead of {applied}");
                    // A signature in the middle of a range is the node's to check; a wrong one is as good as no frame.
                    if frame.place.frame == table.made[sequence as usize].header.id() && roll(500) > 0 {
                        held.insert(sequence);
                    }
                }
                Act::Blame(peer, offence) => {
                    assert_eq!(offence, Offence::Invalid);
                    blamed.insert(peer);
                }
            }
        }
        let open = answers.len();
        assert!(open <= natures.len() * RANGES_PER_PEER, "seed {seed}: {open} requests are open");
        let before = applied;
        while held.remove(&applied) {
            applied += 1;
        }
        if applied > before {
            table.applied(now, applied);
        }
        if applied == length as u64 {
            assert!(table.sync.waiting_bytes <= 64 * RANGE_FRAMES_MAX * 1024);
            return (now, blamed);
        }
    }
    unreachable!()
}

#[test]
fn thousands_of_frames_are_caught_up_with_among_liars() {
    let natures = [Nature::Honest, Nature::Forger, Nature::Garbage, Nature::Mute, Nature::Slow, Nature::Honest, Nature::Boaster];
    let (took, blamed) = catch_up(1, &natures, 3_000);
    assert!(blamed.contains(&peer(3)) && !blamed.contains(&peer(1)) && !blamed.contains(&peer(6)));
    assert!(took < 600_000, "{took} ms");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn one_honest_peer_is_enough(seed in any::<u64>(), others in prop::collection::vec(0..NATURES.len(), 0..5), length in 1usize..400) {
        let natures: Vec<_> = [Nature::Honest].into_iter().chain(others.into_iter().map(|n| NATURES[n])).collect();
        let (_, blamed) = catch_up(seed, &natures, length);
        for (n, nature) in natures.iter().enumerate() {
            let lies = matches!(nature, Nature::Forger | Nature::Garbage);
            prop_assert!(lies || !blamed.contains(&peer(n as u8 + 1)), "{:?} was blamed", nature);
        }
    }
}
