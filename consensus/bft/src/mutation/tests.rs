//! Each rule broken on purpose, and shown to be noticed.
//!
//! A trial tells whether a rule held: by its answer, or by a network that stops at what must never be. With the engine as it is every one
//! does; with a mutation the trial that is about it does not. What the suite for all engines notices by itself is said beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ao_consensus::block::{Block, BlockHeader};
use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::checks::{Contents, Facts};
use ao_consensus::contract::{Suite, committee_of, peer, run, scenarios};
use ao_consensus::limits::DRIFT_MS_MAX;
use ao_consensus::{Consensus, Input, Rosters, SecretKey, Setup, Timestamp};
use ao_types::{Committee, Epoch};
use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};

use super::{ALL, Mutation, with};
use crate::Engine;
use crate::context::{BlockId, Height, Signature, Vote, Voter};
use crate::judge::tests::{Case, NOW, headers, reference};
use crate::judge::{GENESIS, NO_STATE, Verdict};
use crate::message::{Decided, Message};
use crate::seats::Seats;
use crate::signing::{block_statement, vote_message};
use crate::values::block_id;

#[path = "../../tests/engine/net.rs"]
#[allow(dead_code, reason = "of the integration tests' network only a part is needed")]
mod net;

use net::{NETWORK, Net};

type Trial = fn() -> bool;

const TRIALS: [(Mutation, Trial); 8] = [
    (Mutation::SlashingUnchecked, rows_first),
    (Mutation::LogNotAwaited, remembered_first),
    (Mutation::StakeMiscounted, two_thirds),
    (Mutation::AvailabilityUnchecked, stored_first),
    (Mutation::ForeignEpoch, own_epoch),
    (Mutation::SkippedUnchecked, every_frame),
    (Mutation::RefuseInsteadOfHold, held),
    (Mutation::RoundLeftOut, own_round),
];

/// Whether a rule held.
fn holds(trial: Trial) -> bool {
    catch_unwind(AssertUnwindSafe(trial)).unwrap_or(false)
}

#[test]
fn every_mutation_is_caught_by_the_trial_that_is_about_it() {
    assert_eq!(TRIALS.map(|(mutation, _)| mutation), ALL);
    for (mutation, trial) in TRIALS {
        assert!(holds(trial), "{mutation:?}: the engine as it is");
        assert!(!with(mutation, || holds(trial)), "{mutation:?} goes unnoticed");
        println!("bft {mutation:?}: its trial");
    }
}

/// The suite has one committee: a foreign one is for its trial alone.
const SEEN_BY_THE_SUITE: [Mutation; 7] = [
    Mutation::SlashingUnchecked,
    Mutation::LogNotAwaited,
    Mutation::StakeMiscounted,
    Mutation::AvailabilityUnchecked,
    Mutation::SkippedUnchecked,
    Mutation::RefuseInsteadOfHold,
    Mutation::RoundLeftOut,
];

#[test]
fn the_suite_for_every_engine_notices_them_too() {
    let make = |setup: Setup| -> Box<dyn Consensus> { Box::new(Engine::new(setup)) };
    let suite = Suite::new(&make);
    for mutation in SEEN_BY_THE_SUITE {
        let broken = || (0..6).find_map(|seed| scenarios(4).iter().find_map(|scenario| run(&suite, scenario, seed).err()));
        println!("bft {mutation:?}: the suite: {}", with(mutation, broken).unwrap_or_else(|| panic!("{mutation:?} passes")));
    }
}

/// A frame that everybody is given is confirmed, and no vote leaves without a row that is durable. (The network looks.)
fn one_frame() -> bool {
    let mut net = Net::new(51, &[1; 4], 0, 1);
    let frame = net.frame(0);
    net.give_all(&frame);
    net.run_until_confirmed(1, 10_000);
    true
}

fn rows_first() -> bool {
    one_frame()
}

fn remembered_first() -> bool {
    one_frame()
}

/// Two halves of a network that do not hear of one another, each with its own frame in one place, decide nothing.
fn two_thirds() -> bool {
    let mut net = Net::new(50, &[1; 4], 0, 1);
    let one = net.frame(0);
    let two = net.other_frame(&one);
    net.filter = Box::new(|from, to, _| from / 2 == to / 2);
    (0..4).for_each(|index| net.give(index, if index < 2 { &one } else { &two }));
    net.run_for(60_000);
    net.confirmed() == [0; 4]
}

/// Nobody vouches for frames whose bodies are not on disk here.
fn stored_first() -> bool {
    Case::new(Facts { contents: Contents::Lawful, durable: false }).verdict() == Verdict::Hold(None)
}

/// A frame of a block that is not here is waited for, wherever in the block it stands.
fn every_frame() -> bool {
    let (headers, _) = headers();
    crate::judge::tests::with(|block| block.frames.push(reference(&headers[2]))) == Verdict::Hold(None)
}

/// A block ahead of this clock is vouched for when its time has come.
fn held() -> bool {
    let ahead = Timestamp(NOW.0 + DRIFT_MS_MAX + 1);
    matches!(crate::judge::tests::with(|block| block.header.time = ahead), Verdict::Hold(Some(_)))
}

fn precommit(index: u64, round: u32, value: BlockId) -> (Voter, Signature) {
    let secret = CheapSecret::new(index);
    let voter = Voter(secret.public());
    let vote = Vote { kind: VoteType::Precommit, height: Height(1), round: Round::new(round), value: NilOrVal::Val(value), voter };
    (voter, Signature(secret.sign(&vote_message(&NETWORK, &vote))))
}

/// A block that another epoch's committee certified is nobody's decision here.
fn own_epoch() -> bool {
    let mut net = Net::new(53, &[1; 4], 0, 1);
    net.filter = Box::new(|_, _, _| false);
    let other = Arc::new(committee_of(Epoch(1), &[1; 4]));
    net.input(0, Input::Committee(Arc::clone(&other)));
    let header = BlockHeader {
        network_id: NETWORK,
        height: 1,
        parent: GENESIS.id.into(),
        time: Timestamp(net.now),
        ops_root: [0; 32],
        ops_count: 0,
        frames_root: [0; 32],
        frames_count: 0,
        state_root: NO_STATE,
        next_committee: None,
    };
    let block = Block::new(header, vec![], vec![]);
    let value = block_id(&block);
    let shares: Vec<_> = (0..4).map(|index| precommit(index, 0, value)).collect();
    let seats = Seats::new(&Cheap, other).expect("keys");
    let certificate = seats.certify(&Cheap, block_statement(Height(1), Round::new(0), value), &shares).expect("a quorum");
    // It is asked for, because somebody claims to be ahead.
    for message in [Message::Tip(Height(1)), Message::Blocks(vec![Decided { block, certificate }])] {
        net.input(0, Input::Peer(peer(1), message.to_bytes()));
        net.run_for(10);
    }
    assert!(net.nodes[0].decided.is_empty() != net.nodes[0].penalties.is_empty(), "it is taken, or whoever sent it pays");
    net.nodes[0].decided.is_empty()
}

/// Members that precommit one value in different rounds, none of which decides it: nobody may be able to show that it was decided.
fn own_round() -> bool {
    let committee = Arc::new(committee_of(Epoch(0), &[1; 4]));
    let rosters = Rosters::new(NETWORK, Arc::new(Cheap), [1; 32]).with([Committee::clone(&committee)]).expect("keys");
    let seats = Seats::new(&Cheap, Arc::clone(&committee)).expect("keys");
    let value = BlockId([1; 32]);
    let scattered = [0, 1, 2].map(|index| precommit(u64::from(index), index, value));
    (0..3).all(|round| {
        let statement = block_statement(Height(1), Round::new(round), value);
        let certificate = seats.certify(&Cheap, statement, &scattered).expect("a quorum of members");
        rosters.verify_certificate(&certificate).is_err()
    })
}
