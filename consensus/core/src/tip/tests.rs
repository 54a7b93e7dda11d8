use super::*;
use crate::example::{NETWORK, body, certify, chain, frames, next, other_frame, statement};
use proptest::prelude::*;

fn follow(tip: &ChainTip, header: &FrameHeader) -> Result<ChainTip, Refusal> {
    tip.follow(NETWORK, header, header.id())
}

#[test]
fn what_a_scheduler_builds_follows() {
    let frames = frames(40, |n| n % 3 == 2);
    let mut tip = ChainTip::opened(chain());
    for built in &frames {
        tip = follow(&tip, &built.frame.header).unwrap();
        assert_eq!(tip, built.tip);
        assert_eq!(ChainTip::decode(&tip.encode()), Ok(tip.clone()));
    }
    assert_eq!((tip.next_sequence, tip.recent.len() as u64, tip.history.count()), (40, WINDOW, 40));
}

#[test]
fn each_rule_of_the_chain_is_refused_by_name() {
    let frames = frames(6, |n| n == 2);
    let (tip, good) = (&frames[4].tip, &frames[5].frame.header);
    let refused = |change: &dyn Fn(&mut FrameHeader)| {
        let mut header = good.clone();
        change(&mut header);
        follow(tip, &header).unwrap_err()
    };
    assert!(matches!(refused(&|h| h.network_id.0[0] ^= 1), Refusal::Network { .. }));
    assert!(matches!(refused(&|h| h.sequence = 6), Refusal::Parent { .. }));
    assert!(matches!(refused(&|h| h.parent = other_frame()), Refusal::Parent { .. }));
    assert!(matches!(refused(&|h| h.chain.tenure = 1), Refusal::Parent { .. }));
    assert!(matches!(refused(&|h| h.timestamp.0 -= 1), Refusal::Falls { what: "timestamp", .. }));
    assert!(matches!(refused(&|h| h.block_height -= 1), Refusal::Falls { what: "block height", .. }));
    assert!(matches!(refused(&|h| h.epoch = Epoch(2)), Refusal::EpochStep { .. }));
    assert!(matches!(refused(&|h| h.history_root[0] ^= 1), Refusal::History { .. }));
    assert!(matches!(refused(&|h| h.payload_bytes = 0), Refusal::Payload { .. }));
    assert!(matches!(refused(&|h| h.entry_count = 5000), Refusal::Payload { .. }));
    let carried = |certificates: Vec<Certificate>| refused(&|h| h.certificates = certificates.clone());
    let of = |n: usize| certify(statement(&frames[n]), 0, 3).unwrap();
    assert!(matches!(carried(vec![of(0)]), Refusal::Carried { .. }), "older than the one carried before");
    assert!(matches!(carried(vec![of(1)]), Refusal::Carried { .. }), "the same again");
    assert!(matches!(carried(vec![of(3), of(3)]), Refusal::Carried { .. }), "two where one committee certifies");
    assert!(matches!(carried(vec![Certificate { epoch: Epoch(1), ..of(3) }]), Refusal::Carried { .. }), "another committee's");
    let elsewhere = ao_types::Statement::Frame { chain: chain(), sequence: 3, frame: other_frame() };
    assert!(matches!(carried(vec![certify(elsewhere, 0, 3).unwrap()]), Refusal::Carried { .. }), "of another branch");
    let vote = ao_types::Statement::Block { height: 1, round: 1, value: ao_types::BlockValue([0; 32]) };
    assert!(matches!(carried(vec![certify(vote, 0, 3).unwrap()]), Refusal::Carried { .. }), "of no frame");
}

#[test]
fn at_most_so_many_frames_follow_the_one_certified_last() {
    let all = frames(WINDOW, |_| false);
    let tip = &all.last().unwrap().tip;
    assert!(tip.window_is_full());
    assert!(matches!(follow(tip, &next(tip, 1, vec![]).frame.header), Err(Refusal::Window { carried: None, .. })));
    // A certificate of frame k opens the window up to k + W.
    let certificate = certify(statement(&all[2]), 0, 3).unwrap();
    let mut tip = next(tip, 1, vec![certificate]).tip;
    for _ in 0..2 {
        assert!(!tip.window_is_full());
        tip = follow(&tip, &next(&tip, 1, vec![]).frame.header).unwrap();
    }
    assert!(tip.window_is_full());
    assert!(matches!(follow(&tip, &next(&tip, 1, vec![]).frame.header), Err(Refusal::Window { carried: Some(2), .. })));
}

#[test]
fn what_is_known_to_be_confirmed_opens_the_window_and_changes_nothing_else() {
    let all = frames(WINDOW, |_| false);
    let (tip, last) = (&all.last().unwrap().tip, WINDOW - 1);
    let knowing = |header: &FrameHeader| tip.follow_knowing(Some(last), NETWORK, header, header.id());
    let bare = next(tip, 1, vec![]);
    assert_eq!(knowing(&bare.frame.header).unwrap(), bare.tip, "an engine without certificates in frames");
    let carries = next(tip, 1, vec![certify(statement(all.last().unwrap()), 0, 3).unwrap()]);
    assert_eq!(knowing(&carries.frame.header).unwrap(), carries.tip, "the certificate by which the last one was confirmed");
}

#[test]
fn nothing_is_built_on_a_crossing_without_both_of_its_certificates() {
    let first = &frames(2, |n| n == 1)[1];
    let crossing = first.tip.build(Draft { epoch: Epoch(1), ..Draft::alone(NETWORK, body(0), Timestamp(1_000), (5, [0; 48])) }).unwrap();
    let tip = follow(&first.tip, &crossing.frame.header).unwrap();
    assert!(tip.at_crossing() && !first.tip.at_crossing());
    let child = |certificates| {
        let draft = Draft { epoch: Epoch(1), certificates, ..Draft::alone(NETWORK, body(1), Timestamp(1_000), (5, [0; 48])) };
        follow(&tip, &tip.build(draft).unwrap().frame.header)
    };
    let of = |epoch| certify(statement(&crossing), epoch, 3).unwrap();
    assert!(matches!(child(vec![]), Err(Refusal::OverCrossing { .. })));
    assert!(matches!(child(vec![of(0)]), Err(Refusal::Carried { .. })), "one of two");
    assert!(matches!(child(vec![of(1)]), Err(Refusal::Carried { .. })), "the other of two");
    assert!(matches!(child(vec![of(1), of(0)]), Err(Refusal::Carried { .. })), "the older committee's comes first");
    let after = child(vec![of(0), of(1)]).unwrap();
    assert!(!after.at_crossing());
    assert_eq!(certifying_epochs(tip.recent.back().unwrap()), [Epoch(0), Epoch(1)]);
    assert_eq!(certifying_epochs(after.recent.back().unwrap()), [Epoch(1)]);
}

proptest! {
    #[test]
    fn hostile_tips_are_read_or_not_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(tip) = ChainTip::decode(&bytes) {
            prop_assert_eq!(tip.encode(), bytes);
        }
    }
}
