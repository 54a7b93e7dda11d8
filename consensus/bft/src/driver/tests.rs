//! The core alone: some voters, a queue in virtual time, and blocks that are nothing but names.

use std::collections::BTreeMap;

use ao_consensus::Rosters;
use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::contract::committee_of;
use ao_consensus::protection::Kind;
use ao_types::Epoch;
use ao_types::hash::sha256;
use arc_malachitebft_core_types::{NilOrVal, SignedMessage, VoteType};

use super::*;
use crate::context::Vote;

const NETWORK: NetworkId = NetworkId([7; 32]);

fn identity(index: usize) -> Identity {
    Identity::new(NETWORK, Arc::new(Cheap), Some(Arc::new(CheapSecret::new(index as u64))), [index as u8; 32])
}

fn seats(stakes: &[u128]) -> Seats {
    Seats::new(&Cheap, Arc::new(committee_of(Epoch(0), stakes))).expect("a committee")
}

fn peer(index: usize) -> PeerId {
    ao_consensus::contract::peer(index as u64)
}

struct Net {
    now: u64,
    number: u64,
    drivers: Vec<Driver>,
    queue: BTreeMap<(u64, u64), (usize, usize, Say)>,
    decided: Vec<Vec<(Round, BlockId)>>,
    down: Vec<usize>,
    log: Vec<Vec<Entry>>,
    seats: Seats,
    rosters: Rosters,
}

impl Net {
    fn new(stakes: &[u128]) -> Self {
        let set = seats(stakes);
        let driver = |index| Driver::new(identity(index), Timeouts::default(), Height(0), &set);
        let count = stakes.len();
        let mut net = Self {
            now: 0,
            number: 0,
            drivers: (0..count).map(driver).collect(),
            queue: BTreeMap::new(),
            decided: vec![Vec::new(); count],
            down: Vec::new(),
            log: vec![Vec::new(); count],
            seats: set.clone(),
            rosters: Rosters::new(NETWORK, Arc::new(Cheap), [1; 32]).with([committee_of(Epoch(0), stakes)]).expect("keys"),
        };
        for index in 0..count {
            net.start(index, Height(1), &set);
        }
        net
    }

    fn start(&mut self, index: usize, height: Height, set: &Seats) {
        let mut acts = Vec::new();
        self.log[index].clear();
        self.drivers[index].start(Timestamp(self.now), height, set, &mut acts).expect("no fault");
        self.carry_out(index, acts);
    }

    fn carry_out(&mut self, index: usize, acts: Vec<Act>) {
        for act in acts {
            let mut more = Vec::new();
            match act {
                Act::Say(say) | Act::Again(say) if !self.down.contains(&index) => {
                    for to in (0..self.drivers.len()).filter(|to| *to != index && !self.down.contains(to)) {
                        self.number += 1;
                        self.queue.insert((self.now + 10, self.number), (to, index, say.clone()));
                    }
                }
                Act::Say(_) | Act::Again(_) | Act::Restream(_) => {}
                Act::Build { height, round } => {
                    let value = BlockId(sha256(&[b"block", &height.0.to_be_bytes(), &round.as_i64().to_be_bytes()]));
                    self.drivers[index].propose(Timestamp(self.now), height, round, value, &mut more).expect("no fault");
                }
                Act::Decided { round, value, precommits } => {
                    let statement = crate::signing::block_statement(self.drivers[index].height(), round, value);
                    let certificate = self.seats.certify(&Cheap, statement, &precommits).expect("a quorum of stake");
                    assert_eq!(self.rosters.verify_certificate(&certificate), Ok(()));
                    self.decided[index].push((round, value));
                    self.drivers[index].stop();
                }
                Act::Log(entry) => self.log[index].push(entry),
                Act::Signed { .. } => {}
                Act::Blame(peer) => panic!("an honest voter is blamed: {peer}"),
            }
            self.carry_out(index, more);
        }
    }

    /// One message or timer.
    fn step(&mut self) -> bool {
        let message = self.queue.first_key_value().map(|((at, _), _)| *at);
        let up = |index: &usize| !self.down.contains(index);
        let timer =
            (0..self.drivers.len()).filter(up).filter_map(|index| self.drivers[index].next_deadline().map(|at| (at.0, index))).min();
        match (message, timer) {
            (Some(at), timer) if timer.is_none_or(|(due, _)| at <= due) => {
                let ((at, _), (to, from, say)) = self.queue.pop_first().expect("looked at");
                self.now = at;
                let mut acts = Vec::new();
                if !self.drivers[to].is_running() {
                    return true;
                }
                // The body comes with the proposal and is always good.
                let body = if let Say::Proposal(proposal) = &say { Some(proposal.message.clone()) } else { None };
                self.drivers[to].hear(Timestamp(at), Some(peer(from)), say, false, &mut acts).expect("no fault");
                if let Some(proposal) = body {
                    let place = (proposal.height, proposal.round, proposal.proposer);
                    self.drivers[to].judge(Timestamp(at), place, proposal.value, Validity::Valid, &mut acts).expect("no fault");
                }
                self.carry_out(to, acts);
            }
            (_, Some((at, index))) => {
                self.now = at;
                let mut acts = Vec::new();
                self.drivers[index].tick(Timestamp(at), &mut acts).expect("no fault");
                self.carry_out(index, acts);
            }
            _ => return false,
        }
        true
    }

    fn run_until(&mut self, height: usize, set: &Seats, within_ms: u64) {
        let limit = self.now + within_ms;
        loop {
            let alive: Vec<usize> = (0..self.drivers.len()).filter(|index| !self.down.contains(index)).collect();
            let idle = |index: &&usize| !self.drivers[**index].is_running() && self.decided[**index].len() < height;
            if let Some(index) = alive.iter().find(idle) {
                self.start(*index, Height(self.decided[*index].len() as u64 + 1), set);
                continue;
            }
            if alive.iter().all(|index| self.decided[*index].len() >= height) {
                return;
            }
            assert!(self.step() && self.now <= limit, "no decision of height {height} by {limit} ms: {:?}", self.decided);
        }
    }

    fn agree(&self) {
        let longest = self.decided.iter().max_by_key(|decided| decided.len()).expect("somebody");
        for decided in &self.decided {
            assert!(decided.iter().zip(longest).all(|(a, b)| a.1 == b.1), "{:?}", self.decided);
        }
    }
}

#[test]
fn four_voters_decide_ten_heights() {
    let set = seats(&[1; 4]);
    let mut net = Net::new(&[1; 4]);
    net.run_until(10, &set, 10 * 60);
    net.agree();
    assert!(net.decided[0].iter().all(|(round, _)| *round == Round::new(0)), "nobody was late");
}

#[test]
fn one_voter_decides_alone() {
    let set = seats(&[5]);
    let mut net = Net::new(&[5]);
    net.run_until(10, &set, 0);
}

#[test]
fn three_of_four_go_on_in_later_rounds_and_two_do_not() {
    let set = seats(&[1; 4]);
    let mut net = Net::new(&[1; 4]);
    net.down = vec![2];
    net.run_until(10, &set, 60_000);
    net.agree();
    assert!(net.decided[0].iter().any(|(round, _)| *round > Round::new(0)), "the dead one's turn came");
    net.down = vec![2, 3];
    let (before, limit) = (net.decided[0].len(), net.now + 20_000);
    net.start(0, Height(11), &set);
    net.start(1, Height(11), &set);
    while net.now < limit && net.step() {}
    assert_eq!((net.decided[0].len(), net.decided[1].len()), (before, before));
}

#[test]
fn power_decides_not_heads() {
    let set = seats(&[7, 1, 1, 1]);
    let mut net = Net::new(&[7, 1, 1, 1]);
    net.down = vec![1, 2, 3];
    net.run_until(5, &set, 60_000);
    assert_eq!(net.decided[0].len(), 5);
}

#[test]
fn a_voter_that_starts_again_says_what_it_said() {
    let set = seats(&[1; 4]);
    let mut net = Net::new(&[1; 4]);
    net.run_until(2, &set, 1_000);
    for index in 0..4 {
        net.start(index, Height(3), &set);
    }
    // Until voter 1 precommits; others have not heard of it.
    let precommit = |net: &Net| {
        net.log[1].iter().any(|entry| matches!(entry, Entry::Vote(vote) if vote.message.voter == net.drivers[1].me() && vote.message.kind == VoteType::Precommit))
    };
    while !precommit(&net) {
        assert!(net.step());
    }
    let log = net.log[1].clone();
    for cut in 0..=log.len() {
        let mut driver = Driver::new(identity(1), Timeouts::default(), Height(2), &set);
        let mut acts = Vec::new();
        driver.resume(Timestamp(net.now), Height(3), &set, &log[..cut], &mut acts).expect("the log is ours");
        let said = |acts: &[Act]| -> Vec<SignedVote<Bft>> {
            acts.iter().filter_map(|act| if let Act::Say(Say::Vote(vote)) = act { Some(vote.clone()) } else { None }).collect()
        };
        for vote in said(&acts) {
            let logged = log[..cut].iter().any(|entry| *entry == Entry::Vote(vote.clone()));
            let anew = acts.iter().any(|act| matches!(act, Act::Log(Entry::Vote(entry)) if *entry == vote));
            assert!(logged || anew, "cut {cut}: {vote:?} leaves and is not logged");
        }
        // Nothing new contradicts anything of the whole log.
        for vote in said(&acts) {
            for entry in &log {
                if let Entry::Vote(old) = entry {
                    let same = old.message.voter == vote.message.voter
                        && old.message.kind == vote.message.kind
                        && old.message.round == vote.message.round;
                    assert!(!same || old.message.value == vote.message.value || cut < log.len(), "cut {cut}");
                }
            }
        }
    }
}

#[test]
fn votes_wait_for_a_quorum_and_who_sends_a_bad_one_is_blamed() {
    let mut net = Net::new(&[1; 4]);
    net.queue.clear();
    let value = NilOrVal::Val(BlockId([1; 32]));
    let vote = |index: usize| {
        let vote = Vote { kind: VoteType::Precommit, height: Height(1), round: Round::new(0), value, voter: identity(index).voter() };
        let signature = CheapSecret::new(index as u64).sign(&vote_message(&NETWORK, &vote));
        SignedMessage::new(vote, Signature(signature))
    };
    let mut hear = |now, from, vote| {
        let mut acts = Vec::new();
        net.drivers[0].hear(Timestamp(now), Some(peer(from)), Say::Vote(vote), false, &mut acts).expect("no fault");
        acts
    };
    // Peer 3 makes up votes of 1 and 2: theirs still count.
    let made_up = |index| SignedMessage::new(vote(index).message, vote(3).signature);
    assert!(hear(0, 3, made_up(1)).is_empty() && hear(0, 1, vote(1)).is_empty(), "one of four is no quorum");
    assert!(hear(0, 3, made_up(2)).is_empty());
    let mut acts = hear(0, 2, vote(2));
    net.drivers[0].tick(Timestamp(crate::limits::VOTE_WAIT_MS), &mut acts).expect("no fault");
    let blamed: Vec<&PeerId> = acts.iter().filter_map(|act| if let Act::Blame(from) = act { Some(from) } else { None }).collect();
    assert_eq!(blamed, [&peer(3), &peer(3)]);
    let logged = |index: usize| acts.iter().any(|act| matches!(act, Act::Log(Entry::Vote(logged)) if *logged == vote(index)));
    assert!(logged(1) && logged(2));
}

#[test]
fn a_key_that_is_bound_otherwise_says_nothing() {
    let set = seats(&[1; 4]);
    let mut driver = Driver::new(identity(0), Timeouts::default(), Height(0), &set);
    let position = ao_consensus::protection::Position {
        key: identity(0).voter().0,
        kind: Kind::Prevote,
        scope: String::new(),
        term: 0,
        height: 1,
        round: 0,
    };
    driver.bind(&[SignedRow { position, root: Some([9; 32]), signature: None }]);
    let mut acts = Vec::new();
    driver.start(Timestamp(0), Height(1), &set, &mut acts).expect("nothing to sign yet");
    let result = driver.tick(Timestamp(1_000_000), &mut acts);
    assert!(matches!(result, Err(Fault::Bound)) && driver.is_muted(), "{result:?}");
    assert!(acts.iter().all(|act| !matches!(act, Act::Say(_) | Act::Again(_))), "{acts:?}");
    assert_eq!(driver.next_deadline(), None);
}
