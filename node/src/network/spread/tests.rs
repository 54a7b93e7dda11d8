use ao_p2p::NodeKey;

use super::*;
use crate::network::tests::frames::{Author, Made};

fn peer(seed: u8) -> PeerId {
    NodeKey::from_seed(&mut [seed; 32]).unwrap().peer_id().unwrap()
}

fn place(made: &Made) -> Place {
    Place { chain: made.header.chain, sequence: made.header.sequence, frame: made.header.id() }
}

/// A node that learns of bodies, and answers for its peers.
struct World {
    spread: Spread,
    now: u64,
    acts: Vec<Act>,
}

impl World {
    fn new() -> Self {
        Self { spread: Spread::new(peer(0)), now: 0, acts: Vec::new() }
    }

    fn tell(&mut self, made: &Made, holder: u8) {
        self.spread.header(Timestamp(self.now), place(made), made.header.to_raw().unwrap(), peer(holder), peer(holder));
    }

    /// What is asked now.
    fn asked(&mut self, others: &[PeerId]) -> Vec<(u64, PeerId, ChunkQuestion)> {
        self.spread.poll(Timestamp(self.now), others, &mut self.acts);
        let asks = self.acts.extract_if(.., |act| matches!(act, Act::Ask { .. }));
        asks.map(|act| if let Act::Ask { request, peer, question } = act { (request, peer, question) } else { unreachable!() }).collect()
    }

    fn answer(&mut self, request: u64, result: Result<Bytes, Failure>) {
        self.spread.answered(Timestamp(self.now), request, result, &mut self.acts);
    }

    fn chunk(made: &Made, index: u32) -> Result<Bytes, Failure> {
        Ok(Chunk::of(&made.payload, index).unwrap().encode().into())
    }
}

fn large(seed: u8, chunks: usize) -> Made {
    Author::new(seed).next(&vec![seed; chunks * CHUNK_BYTES - 4096])
}

#[test]
fn a_body_is_put_together_from_several_holders() {
    let (mut world, made) = (World::new(), large(1, 7));
    world.spread.have(made.header.id(), peer(2));
    world.tell(&made, 1);
    world.spread.have(made.header.id(), peer(3));
    world.spread.have(made.header.id(), peer(0));
    let mut askers = std::collections::BTreeSet::new();
    let mut outstanding = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let asked = world.asked(&[]);
        assert!(asked.len() <= CHUNKS_AT_ONCE);
        for (request, peer, question) in asked {
            assert!(outstanding.insert(question.index), "one outstanding request for each chunk");
            askers.insert(peer);
            world.answer(request, World::chunk(&made, question.index));
        }
    }
    assert_eq!(askers, [peer(1), peer(2), peer(3)].into(), "never itself");
    assert_eq!(world.acts, [Act::Whole { from: peer(1), place: place(&made), bytes: made.to_wire().unwrap() }]);
    assert!(!world.spread.knows(&made.header.id()) && world.spread.asked.is_empty() && world.spread.pulled_bytes == 0);
}

#[test]
fn a_wrong_chunk_costs_its_sender_and_is_asked_of_another() {
    let (mut world, made, other) = (World::new(), large(1, 2), large(2, 2));
    world.tell(&made, 1);
    world.tell(&made, 2);
    let asked = world.asked(&[]);
    let (request, liar, question) = asked[0];
    // Of another body, of another place, no chunk at all: the first is enough.
    world.answer(request, World::chunk(&other, question.index));
    assert_eq!(world.acts, [Act::Blame(liar, Offence::Invalid)]);
    world.acts.clear();
    let (second, honest, _) = asked[1];
    assert_ne!(honest, liar);
    world.answer(second, World::chunk(&made, asked[1].2.index));
    let again = world.asked(&[]);
    assert_eq!((again.len(), again[0].1, again[0].2.index), (1, honest, question.index));
    world.answer(again[0].0, World::chunk(&made, question.index));
    assert!(matches!(world.acts[..], [Act::Whole { .. }]));
    // Garbage.
    let mut world = World::new();
    world.tell(&made, 1);
    let (request, ..) = world.asked(&[])[0];
    world.answer(request, Ok(Bytes::from_static(b"garbage")));
    assert_eq!(world.acts, [Act::Blame(peer(1), Offence::Invalid)]);
    world.answer(request, Ok(Bytes::new()));
    assert_eq!(world.acts.len(), 1, "an answer counts once");
}

#[test]
fn a_refused_asker_tries_another_holder_and_pauses_when_all_refuse() {
    let (mut world, made) = (World::new(), large(1, 1));
    world.tell(&made, 1);
    world.tell(&made, 2);
    let mut tried = Vec::new();
    for _ in 0..2 {
        let (request, peer, _) = world.asked(&[])[0];
        tried.push(peer);
        world.answer(request, Err(Failure::Busy));
    }
    tried.sort();
    let mut both = vec![peer(1), peer(2)];
    both.sort();
    assert_eq!(tried, both);
    assert!(world.asked(&[]).is_empty());
    world.now += CHUNK_PAUSE_MS_MIN;
    let (request, ..) = world.asked(&[])[0];
    world.answer(request, World::chunk(&made, 0));
    assert!(matches!(world.acts[..], [Act::Whole { .. }]));
}

#[test]
fn where_nobody_is_known_to_have_it_anybody_is_asked() {
    let (mut world, made) = (World::new(), large(1, 1));
    world.tell(&made, 1);
    let (request, ..) = world.asked(&[])[0];
    world.answer(request, Err(Failure::NotFound));
    let (request, whom, _) = world.asked(&[peer(7)])[0];
    assert_eq!(whom, peer(7));
    world.spread.gone(&peer(7));
    world.answer(request, Err(Failure::Closed));
    world.now += CHUNK_PAUSE_MS_MIN;
    assert!(world.asked(&[]).is_empty());
    world.now += PULL_MS_MAX;
    assert!(world.asked(&[peer(8)]).is_empty(), "given up");
    assert!(!world.spread.knows(&made.header.id()));
}

#[test]
fn bounds_bite() {
    let mut world = World::new();
    let mut author = Author::new(1);
    let made: Vec<_> = (0..PULLS_MAX + PULLS_WAITING_MAX + 5).map(|n| author.next(&(n as u32).to_be_bytes())).collect();
    for made in &made[..PULLS_MAX] {
        world.tell(made, 1);
    }
    assert_eq!(world.asked(&[]).len(), PULLS_MAX);
    for made in &made[PULLS_MAX..] {
        world.tell(made, 1);
    }
    assert_eq!((world.spread.pulls.len(), world.spread.waiting.len()), (PULLS_MAX, PULLS_WAITING_MAX));
    assert!(world.asked(&[]).is_empty());
    world.spread.done(&made[0].header.id());
    assert_eq!(world.asked(&[]).len(), 1, "the next one's turn");
    for seed in 0..=HOLDERS_MAX as u8 {
        world.spread.have(made[1].header.id(), peer(seed.wrapping_add(50)));
    }
    assert_eq!(world.spread.pulls[&made[1].header.id()].holders.len(), HOLDERS_MAX);
    for n in 0..HOLDERS_AHEAD_MAX as u32 + 9 {
        world.spread.have(FrameId(sha256(&[&n.to_be_bytes()])), peer(1));
    }
    assert_eq!(world.spread.ahead.len(), HOLDERS_AHEAD_MAX);
    // By bytes: bodies of 10 MiB, of which only some fit.
    let mut world = World::new();
    let huge = large(9, 40);
    let fit = PULL_BYTES_MAX / huge.payload.len();
    for seed in 1..=fit as u8 + 1 {
        world.tell(&large(seed, 40), 1);
    }
    world.asked(&[]);
    assert_eq!((world.spread.pulls.len(), world.spread.waiting.len()), (fit, 1));
}
