use super::*;
use crate::example::{chain, genesis};

fn update(height: u64, changes: Vec<OriginChange>) -> OriginUpdate {
    OriginUpdate { height, time: Timestamp(1_000 * height), changes }
}

fn origin(blocks: Vec<Vec<OriginChange>>) -> Origin {
    let mut origin = Origin::default();
    assert!(origin.apply(&genesis()));
    for (at, changes) in blocks.into_iter().enumerate() {
        assert!(origin.apply(&update(at as u64 + 1, changes)));
    }
    origin
}

#[test]
fn blocks_come_in_order_once_each() {
    let mut origin = Origin::default();
    assert!(!origin.apply(&update(1, vec![])), "the genesis first");
    assert!(origin.apply(&genesis()) && !origin.apply(&genesis()));
    assert!(!origin.apply(&update(2, vec![])), "no gap");
    assert!(origin.apply(&update(1, vec![])));
    assert_eq!(origin.applied(), Some(1));
}

#[test]
fn every_question_is_answered_as_of_a_height() {
    let scheduler = chain().scheduler;
    let epoch = OriginChange::Epoch { epoch: Epoch(1), committee: [1; 32], frame_rate_max: 7 };
    let key = BlsKey([9; 48]);
    let origin = origin(vec![
        vec![],
        vec![OriginChange::Dismissed { scheduler }, epoch, OriginChange::Jailed { key }],
        vec![OriginChange::Admitted { scheduler, peer: PeerId::default() }],
        vec![OriginChange::Closing { chain: chain() }],
        vec![OriginChange::Frontier { chain: chain(), last: Some((3, FrameId([3; 32]))) }],
    ]);
    let admitted: Vec<bool> = (0..5).map(|height| origin.admitted_at(&scheduler, height)).collect();
    assert_eq!(admitted, [true, true, false, true, true]);
    let epochs: Vec<u64> = (0..4).map(|height| origin.epoch_at(height).unwrap().0.0).collect();
    assert_eq!(epochs, [0, 0, 1, 1]);
    assert_eq!((origin.frame_rate_at(1), origin.frame_rate_at(2)), (100, 7));
    assert_eq!((origin.jailed_at(&key, 1), origin.jailed_at(&key, 2)), (false, true));
    assert_eq!((origin.time_at(0), origin.time_at(3)), (Some(Timestamp(500)), Some(Timestamp(3_000))));
    let record = origin.chain(&chain()).unwrap();
    assert_eq!((record.opened, record.closing, record.frontier), (0, Some(4), Some((5, Some((3, FrameId([3; 32])))))));
    assert!(!origin.admitted_at(&Address::Arweave(Id([0; 32])), 9));
}

#[test]
fn what_was_unhosted_between_two_heights_is_sorted_and_named_once() {
    let unhosted = |process: u8| OriginChange::Unhosted { process: Id([process; 32]), schedule_epoch: 0, chain: chain() };
    let origin = origin(vec![vec![unhosted(9)], vec![unhosted(5), unhosted(3), unhosted(5)], vec![], vec![unhosted(1)]]);
    let named = |above, to| origin.unhosted(&chain(), above, to).iter().map(|closed| closed.process.0[0]).collect::<Vec<_>>();
    assert_eq!((named(0, 4), named(1, 2), named(2, 3), named(4, 4)), (vec![1, 3, 5, 9], vec![3, 5], vec![], vec![]));
    assert_eq!((named(9, 2), named(u64::MAX, u64::MAX)), (vec![], vec![]));
}

#[test]
fn what_is_forgotten_changes_no_later_answer() {
    let scheduler = chain().scheduler;
    let full = origin(vec![
        vec![],
        vec![OriginChange::Dismissed { scheduler }],
        vec![],
        vec![OriginChange::Admitted { scheduler, peer: PeerId::default() }],
    ]);
    let mut cut = full.clone();
    cut.forget_before(3);
    for height in 3..6 {
        assert_eq!(cut.admitted_at(&scheduler, height), full.admitted_at(&scheduler, height));
        assert_eq!((cut.time_at(height), cut.epoch_at(height)), (full.time_at(height), full.epoch_at(height)));
    }
}

#[test]
fn a_chain_is_closed_once_and_never_opened_again() {
    let closing = || OriginChange::Closing { chain: chain() };
    let origin = origin(vec![
        vec![closing()],
        vec![closing(), OriginChange::Opened { chain: chain() }],
        vec![
            OriginChange::Frontier { chain: chain(), last: None },
            OriginChange::Frontier { chain: chain(), last: Some((1, FrameId([1; 32]))) },
        ],
    ]);
    let record = origin.chain(&chain()).unwrap();
    assert_eq!((record.opened, record.closing, record.frontier), (0, Some(1), Some((3, None))));
}
