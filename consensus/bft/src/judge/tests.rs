//! A table: a good block, one thing changed, the verdict.

use std::sync::Arc;

use ao_consensus::block::{BlockHeader, FrameRef};
use ao_consensus::cheap::Cheap;
use ao_consensus::checks::{Contents, Facts, Tip};
use ao_consensus::contract::committee_of;
use ao_consensus::{Body, ChainTip, Draft, Given, Origin, OriginChange, OriginUpdate, SignedHeader};
use ao_types::{Address, Epoch, Id};

use super::*;
use crate::frames::Scene;
use crate::values::block_id;

const NETWORK: NetworkId = NetworkId([7; 32]);
pub(crate) const NOW: Timestamp = Timestamp(100_000);

fn chain() -> Chain {
    Chain { scheduler: Address::Arweave(Id([1; 32])), tenure: 0 }
}

/// Three frames of one chain in a row, and another second one.
pub(crate) fn headers() -> (Vec<SignedHeader>, SignedHeader) {
    let (mut tip, mut all, mut other) = (ChainTip::opened(chain()), Vec::new(), None);
    for number in 0..3 {
        let draft = |now| Draft::alone(NETWORK, Body::default(), Timestamp(now), (0, [0; 48]));
        let built = tip.build(draft(1_000 + number)).expect("a frame");
        if number == 1 {
            other = Some(SignedHeader::alone(tip.build(draft(5_000)).expect("a frame").frame.header));
        }
        all.push(SignedHeader::alone(built.frame.header));
        tip = built.tip;
    }
    (all, other.expect("made"))
}

pub(crate) fn reference(header: &SignedHeader) -> FrameRef {
    FrameRef { chain: header.chain, sequence: header.sequence, frame: header.id() }
}

pub(crate) struct Case {
    frames: Frames,
    rosters: Rosters,
    head: Head,
    block: Block,
}

impl Case {
    /// The first two of these frames wait here, whole, and a block orders them.
    pub(crate) fn new(facts: Facts) -> Self {
        let committee = committee_of(Epoch(0), &[1; 4]);
        let mut origin = Origin::default();
        let changes = vec![
            OriginChange::Epoch { epoch: Epoch(0), committee: committee.root(), frame_rate_max: 100 },
            OriginChange::Admitted { scheduler: chain().scheduler, peer: ao_consensus::contract::peer(0) },
            OriginChange::Opened { chain: chain() },
        ];
        assert!(origin.apply(&OriginUpdate { height: 0, time: Timestamp(0), changes }));
        let mut frames = Frames::new(NETWORK, []);
        let (headers, _) = headers();
        for header in &headers[..2] {
            let scene = Scene { now: NOW, origin: &origin, arweave: Tip::default() };
            frames.take(&scene, Given { header: Arc::new(header.clone()), facts: facts.clone(), from: None });
        }
        let head = Head { height: Height(4), id: BlockId([4; 32]), time: Timestamp(90_000) };
        let header = BlockHeader {
            network_id: NETWORK,
            height: 5,
            parent: head.id.into(),
            time: Timestamp(99_000),
            ops_root: [0; 32],
            ops_count: 0,
            frames_root: [0; 32],
            frames_count: 0,
            state_root: NO_STATE,
            next_committee: None,
        };
        let block = Block::new(header, vec![], headers[..2].iter().map(reference).collect());
        let rosters = Rosters::new(NETWORK, Arc::new(Cheap), [1; 32]).with([committee]).expect("keys");
        Self { frames, rosters, head, block }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        judge(NOW, &self.head, &self.frames, &self.rosters, &self.block)
    }
}

pub(crate) fn with(change: impl FnOnce(&mut Block)) -> Verdict {
    let mut case = Case::new(Facts::WHOLE);
    change(&mut case.block);
    case.block = Block::new(case.block.header.clone(), case.block.ops.clone(), case.block.frames.clone());
    case.verdict()
}

#[test]
fn a_good_block_is_valid_and_so_is_an_empty_one() {
    assert_eq!(with(|_| {}), Verdict::Valid);
    assert_eq!(with(|block| block.frames.clear()), Verdict::Valid);
    assert_eq!(with(|block| block.frames.truncate(1)), Verdict::Valid);
}

#[test]
fn what_everybody_sees_is_refused() {
    let (headers, other) = headers();
    let refused: Vec<(&str, Verdict)> = vec![
        ("another network", with(|block| block.header.network_id = NetworkId([8; 32]))),
        ("another parent", with(|block| block.header.parent = ao_types::BlockValue([9; 32]))),
        ("another height", with(|block| block.header.height = 6)),
        ("time that falls", with(|block| block.header.time = Timestamp(89_999))),
        ("a state nobody computes", with(|block| block.header.state_root = [1; 32])),
        ("a committee nobody fixed", with(|block| block.header.next_committee = Some([1; 32]))),
        ("a frame left out", with(|block| block.frames = vec![reference(&headers[1])])),
        ("a frame twice", with(|block| block.frames[1] = block.frames[0])),
        ("too many frames", with(|block| block.frames = vec![block.frames[0]; crate::limits::BLOCK_FRAMES_MAX + 1])),
    ];
    for (what, verdict) in refused {
        assert!(matches!(verdict, Verdict::Invalid(_)), "{what}: {verdict:?}");
    }
    // A frame that is here and stands on another than the one decided before it.
    let mut case = Case::new(Facts::WHOLE);
    case.block = Block::new(case.block.header.clone(), vec![], vec![reference(&headers[0]), reference(&other)]);
    assert_eq!(case.verdict(), Verdict::Hold(None), "it is not here");
}

#[test]
fn what_only_this_node_does_not_know_is_held() {
    let (headers, _) = headers();
    assert_eq!(with(|block| block.frames.push(reference(&headers[2]))), Verdict::Hold(None), "a frame that is not here");
    let ahead = Timestamp(NOW.0 + DRIFT_MS_MAX);
    assert_eq!(with(|block| block.header.time = ahead), Verdict::Valid);
    assert_eq!(with(|block| block.header.time = ahead.plus_ms(1)), Verdict::Hold(Some(NOW.plus_ms(1))), "a clock behind");
    let unknown = Facts { contents: Contents::Unknown, durable: true };
    let not_stored = Facts { contents: Contents::Lawful, durable: false };
    for facts in [unknown, not_stored] {
        assert_eq!(Case::new(facts).verdict(), Verdict::Hold(None));
    }
}

#[test]
fn a_frame_that_breaks_a_rule_makes_its_block_invalid() {
    let rule = ao_consensus::Refusal::Carried { sequence: 0 };
    let unlawful = Facts { contents: Contents::Unlawful(rule), durable: true };
    let case = Case::new(unlawful);
    let first = case.block.frames[0].frame;
    assert_eq!(case.verdict(), Verdict::Invalid(Broken::Frame { frame: first }));
    assert_ne!(block_id(&case.block), case.head.id);
}
