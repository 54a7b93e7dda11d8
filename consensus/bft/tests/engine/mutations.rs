//! Each rule broken on purpose is noticed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ao_bft::context::{BlockId, Height, Signature, Vote, Voter};
use ao_bft::mutation::{Mutation, with};
use ao_bft::seats::Seats;
use ao_bft::signing::{block_statement, vote_message};
use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::{Rosters, SecretKey};
use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};

use crate::net::{NETWORK, Net};

/// Two halves of a network that do not hear of one another, each with its own frame in one place.
fn two_halves() -> Net {
    let mut net = Net::new(50, &[1; 4], 0, 1);
    let one = net.frame(0);
    let two = net.other_frame(&one);
    net.filter = Box::new(|from, to, _| from / 2 == to / 2);
    (0..4).for_each(|index| net.give(index, if index < 2 { &one } else { &two }));
    net.run_for(60_000);
    net.agree();
    net
}

fn fails(mutation: Mutation, test: impl FnOnce()) {
    let result = with(mutation, || catch_unwind(AssertUnwindSafe(test)));
    assert!(result.is_err(), "{mutation:?} goes unnoticed");
}

#[test]
fn counting_stake_wrongly_is_noticed() {
    assert_eq!(two_halves().confirmed(), [0; 4]);
    fails(Mutation::StakeMiscounted, || {
        two_halves();
    });
}

#[test]
fn sending_before_remembering_is_noticed() {
    let run = || {
        let mut net = Net::new(51, &[1; 4], 0, 1);
        let frame = net.frame(0);
        net.give_all(&frame);
        net.run_until_confirmed(1, 10_000);
    };
    run();
    fails(Mutation::LogNotAwaited, run);
}

/// Members that precommit one value in different rounds, none of which decides it: nobody may be able to show that it was decided.
#[test]
fn leaving_the_round_out_is_noticed() {
    let run = || {
        let net = Net::new(52, &[1; 4], 0, 0);
        let seats = Seats::new(&Cheap, net.committee.clone()).expect("keys");
        let precommit = |index: u64, round: u32| {
            let voter = Voter(CheapSecret::new(index).public());
            let vote = Vote {
                kind: VoteType::Precommit,
                height: Height(1),
                round: Round::new(round),
                value: NilOrVal::Val(BlockId([1; 32])),
                voter,
            };
            (voter, Signature(CheapSecret::new(index).sign(&vote_message(&NETWORK, &vote))))
        };
        let scattered = [precommit(0, 0), precommit(1, 1), precommit(2, 2)];
        let rosters: &Rosters = net.rosters();
        for round in 0..3 {
            let statement = block_statement(Height(1), Round::new(round), BlockId([1; 32]));
            let certificate = seats.certify(&Cheap, statement, &scattered).expect("a quorum of members");
            assert!(rosters.verify_certificate(&certificate).is_err(), "shares of different rounds add up");
        }
    };
    run();
    fails(Mutation::RoundLeftOut, run);
}
