//! One suite for every engine: the contract of the crate's documentation as code.
//!
//! An engine's own tests call [`check`] with a way to make it. Engines that need others to agree are given a maker that answers for
//! those others.

use ao_types::{Address, Id, Slot};

use crate::frame::{Chain, ChainTip, Entry, Frame};
use crate::time::Timestamp;
use crate::{Consensus, Effect, Input};

/// Makes an engine that was confirmed up to, not including, a sequence in an earlier life.
pub type Make<'a> = &'a dyn Fn(Chain, u64) -> Box<dyn Consensus>;

/// A chain of `count` frames of one entry each.
///
/// # Panics
/// Never: one entry is within a frame's bounds.
#[allow(clippy::expect_used, reason = "test support: one entry is within the bounds")]
pub fn chain_of(count: u64) -> Vec<Frame> {
    let mut tip = ChainTip::opened(Chain { scheduler: Address::Arweave(Id([1; 32])), tenure: 0 });
    (0..count)
        .map(|slot| {
            let entry = Entry {
                process: Id([2; 32]),
                schedule_epoch: 0,
                slot: Slot(slot),
                item: Id([3; 32]),
                assignment: Id([4; 32]),
                content_hash: [5; 32],
                hash_chain: [6; 32],
            };
            let frame = Frame::build(&tip, [0; 32], vec![entry], Timestamp(slot), (slot, [0; 48])).expect("one entry");
            tip = ChainTip::after(&frame);
            frame
        })
        .collect()
}

fn confirmed(engine: &mut dyn Consensus, frames: &[&Frame]) -> Vec<u64> {
    let mut out = Vec::new();
    for frame in frames {
        engine.handle(frame.header.timestamp, Input::Frame(Box::new((*frame).clone())), &mut out);
        engine.handle(frame.header.timestamp, Input::Tick, &mut out);
    }
    out.iter().filter_map(|effect| if let Effect::Confirmed(confirmation) = effect { Some(confirmation.sequence) } else { None }).collect()
}

/// Checks rules 2, 3, 4 and 6 of the contract.
///
/// # Panics
/// Where the engine breaks one: this is a test suite.
pub fn check(make: Make<'_>) {
    let frames = chain_of(8);
    let chain = frames[0].header.chain;
    let all: Vec<u64> = (0..8).collect();
    let in_order: Vec<&Frame> = frames.iter().collect();

    assert_eq!(confirmed(make(chain, 0).as_mut(), &in_order), all, "in order, each once");

    let doubled: Vec<&Frame> = frames.iter().flat_map(|frame| [frame, frame]).collect();
    assert_eq!(confirmed(make(chain, 0).as_mut(), &doubled), all, "a repeat confirms nothing twice");

    let backwards: Vec<&Frame> = frames.iter().rev().collect();
    assert_eq!(confirmed(make(chain, 0).as_mut(), &backwards), all, "order of arrival does not matter");

    assert_eq!(confirmed(make(chain, 0).as_mut(), &in_order[1..]), Vec::<u64>::new(), "no gap");

    let other = Chain { tenure: 1, ..chain };
    let mut moved = frames[0].clone();
    moved.header.chain = other;
    assert_eq!(confirmed(make(chain, 3).as_mut(), &[&moved, &frames[3]]), [0, 3], "chains are apart");

    for crash in 0..8 {
        let before = confirmed(make(chain, 0).as_mut(), &in_order[..crash]);
        let after = confirmed(make(chain, crash as u64).as_mut(), &in_order);
        assert_eq!([before, after].concat(), all, "crash after {crash}");
    }

    let mut engine = make(chain, 0);
    let mut out = Vec::new();
    for frame in &frames {
        engine.handle(Timestamp(0), Input::Frame(Box::new(frame.clone())), &mut out);
    }
    for effect in out {
        if let Effect::Confirmed(confirmation) = effect {
            assert_eq!(confirmation.frame_id, frames[confirmation.sequence as usize].header.id(), "the frame that was given");
        }
    }
}
