use ao_consensus::Timestamp;
use ao_consensus::block::BlockHeader;
use ao_consensus::control::ControlOp;
use ao_types::hash::sha256;
use ao_types::{Address, FrameId, Id, NetworkId};
use bytes::Bytes;

use super::*;

pub(crate) fn chain(number: u8) -> Chain {
    Chain { scheduler: Address::Arweave(Id([number; 32])), tenure: 0 }
}

pub(crate) fn frame(chain_number: u8, sequence: u64) -> FrameRef {
    FrameRef { chain: chain(chain_number), sequence, frame: FrameId(sha256(&[&[chain_number], &sequence.to_be_bytes()])) }
}

pub(crate) fn block(height: u64, frames: Vec<FrameRef>, ops: Vec<ControlOp>) -> Block {
    let header = BlockHeader {
        network_id: NetworkId([7; 32]),
        height,
        parent: BlockValue([0; 32]),
        time: Timestamp(1_000),
        ops_root: [0; 32],
        ops_count: 0,
        frames_root: [0; 32],
        frames_count: 0,
        state_root: [0; 32],
        next_committee: None,
    };
    Block::new(header, ops, frames)
}

#[test]
fn frames_of_a_chain_follow_one_another_and_chains_may_alternate() {
    let alternating = vec![frame(1, 4), frame(2, 0), frame(1, 5), frame(2, 1)];
    assert_eq!(check_shape(&block(1, alternating, vec![])), Ok(()));
    for (broken, found) in [(vec![frame(1, 4), frame(1, 6)], 6), (vec![frame(1, 4), frame(1, 4)], 4), (vec![frame(1, 4), frame(1, 3)], 3)] {
        assert_eq!(check_shape(&block(1, broken, vec![])), Err(BlockError::Sequence { chain: chain(1), expected: 5, found }));
    }
}

#[test]
fn bounds_bite() {
    let frames = |count| (0..count as u64).map(|sequence| frame(1, sequence)).collect::<Vec<_>>();
    assert_eq!(check_shape(&block(1, frames(BLOCK_FRAMES_MAX), vec![])), Ok(()));
    let found = BLOCK_FRAMES_MAX + 1;
    assert_eq!(check_shape(&block(1, frames(found), vec![])), Err(BlockError::Frames { max: BLOCK_FRAMES_MAX, found }));
    let ops = |count, bytes| vec![ControlOp::Ledger(Bytes::from(vec![0; bytes])); count];
    let found = BLOCK_OPS_MAX + 1;
    assert_eq!(check_shape(&block(1, vec![], ops(found, 1))), Err(BlockError::Ops { max: BLOCK_OPS_MAX, found }));
    assert!(matches!(check_shape(&block(1, vec![], ops(BLOCK_OPS_MAX, 32 << 10))), Err(BlockError::Bytes { .. })));
}
