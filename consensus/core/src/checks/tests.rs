//! A table of steps: what is known, and the verdict.

use super::*;
use crate::example::{NETWORK, certify, chain, frames, genesis, next, statement, wallet};
use crate::frame::{Closed, FrameHeader, SignedHeader};
use crate::tip::Built;
use crate::{OriginChange, OriginUpdate};
use ao_types::{Epoch, Id};
use std::sync::Arc;

/// Everything a node may know; by default all that is needed.
struct Known {
    parent: ChainTip,
    missing: bool,
    refused: bool,
    carried: Carried,
    descends: Option<bool>,
    signed: Option<Signed>,
    origin: Origin,
    tip: Tip,
    certified_height: u64,
}

impl View for Known {
    fn parent(&self, _: &Given) -> Parent<'_> {
        match (self.refused, self.missing) {
            (true, _) => Parent::Refused(self.parent.parent),
            (_, true) => Parent::Missing,
            _ => Parent::Checked(&self.parent),
        }
    }
    fn descends(&self, _: &Given, _: (u64, FrameId)) -> Option<bool> {
        self.descends
    }
    fn certificate(&self, _: &Certificate) -> Carried {
        self.carried
    }
    fn signed(&self, _: &Chain) -> Option<Signed> {
        self.signed
    }
    fn origin(&self) -> &Origin {
        &self.origin
    }
    fn tip(&self) -> Tip {
        self.tip
    }
    fn certified_height(&self) -> u64 {
        self.certified_height
    }
}

fn origin(blocks: Vec<Vec<OriginChange>>) -> Origin {
    let mut origin = Origin::default();
    assert!(origin.apply(&genesis()));
    for (at, changes) in blocks.into_iter().enumerate() {
        let height = at as u64 + 1;
        assert!(origin.apply(&OriginUpdate { height, time: Timestamp(500 + height), changes }));
    }
    origin
}

/// A frame after two others, carrying the certificate of the first; and all that makes it signable at its own time.
fn scene() -> (Known, FrameHeader) {
    let before = frames(2, |_| false);
    let parent = before[1].tip.clone();
    let header = next(&parent, 2, certify(statement(&before[0]), 0, 3).into_iter().collect()).frame.header;
    let known = Known {
        parent,
        missing: false,
        refused: false,
        carried: Carried::Holds,
        descends: Some(true),
        signed: None,
        origin: origin(vec![]),
        tip: Tip { height: 5, since: Timestamp(0) },
        certified_height: 0,
    };
    (known, header)
}

const NOW: Timestamp = Timestamp(1_000);

fn given(header: &FrameHeader, facts: Facts) -> Given {
    Given { header: Arc::new(SignedHeader::sign(header.clone(), &wallet(1)).unwrap()), facts, from: None }
}

/// The verdict after a change of the scene.
fn verdict(change: impl Fn(&mut Known, &mut FrameHeader, &mut Facts)) -> Verdict {
    let (mut known, mut header) = scene();
    let mut facts = Facts::WHOLE;
    change(&mut known, &mut header, &mut facts);
    judge(NETWORK, NOW, &known, &given(&header, facts))
}

fn hold(change: impl Fn(&mut Known, &mut FrameHeader, &mut Facts)) -> Hold {
    match verdict(change) {
        Verdict::Hold(hold) => hold,
        other => panic!("held, not {other:?}"),
    }
}

fn refusal(change: impl Fn(&mut Known, &mut FrameHeader, &mut Facts)) -> Refusal {
    match verdict(change) {
        Verdict::Refuse(refusal) => refusal,
        other => panic!("refused, not {other:?}"),
    }
}

#[test]
fn a_frame_that_breaks_no_rule_is_signed_and_leads_to_the_next() {
    let (known, header) = scene();
    let Verdict::Sign(tip) = judge(NETWORK, NOW, &known, &given(&header, Facts::WHOLE)) else { panic!("signed") };
    assert_eq!((tip.next_sequence, tip.parent, tip.carried), (3, header.id(), Some(0)));
}

#[test]
fn what_this_node_cannot_tell_yet_is_held_and_never_refused() {
    assert!(matches!(hold(|known, _, _| known.missing = true), Hold::Ancestor { sequence: 1, .. }));
    assert_eq!(hold(|known, _, _| known.origin = Origin::default()), Hold::Control { needed: 0, applied: None });
    assert_eq!(hold(|_, header, _| header.control_height = 3), Hold::Control { needed: 3, applied: Some(0) });
    assert_eq!(hold(|known, _, _| known.carried = Carried::Unknown), Hold::Committee { epoch: Epoch(0) });
    assert_eq!(hold(|_, _, facts| facts.contents = Contents::Unknown), Hold::Contents);
    assert_eq!(hold(|_, _, facts| facts.durable = false), Hold::Body);
    let early = hold(|_, header, _| header.timestamp = NOW.plus_ms(DRIFT_MS_MAX + 1));
    assert_eq!(early, Hold::Future { from: NOW.plus_ms(1), found: NOW.plus_ms(DRIFT_MS_MAX + 1) });
    assert!(matches!(verdict(|_, header, _| header.timestamp = NOW.plus_ms(DRIFT_MS_MAX)), Verdict::Sign(_)));
    let high = hold(|_, header, _| header.block_height = 8);
    assert_eq!(high, Hold::Height { allowed: 7, found: 8, stale_from: Timestamp(TIP_STALE_MS) });
    assert!(matches!(verdict(|_, header, _| header.block_height = 7), Verdict::Sign(_)));
}

#[test]
fn frames_of_before_an_outage_stay_signable() {
    let (known, header) = scene();
    let years_later = NOW.plus_ms(10 * 365 * 86_400_000);
    assert!(matches!(judge(NETWORK, years_later, &known, &given(&header, Facts::WHOLE)), Verdict::Sign(_)));
}

#[test]
fn a_tip_that_does_not_move_is_replaced_by_what_was_certified() {
    let (mut known, mut header) = scene();
    (header.block_height, known.certified_height) = (40, 38);
    let at = |known: &Known, now| judge(NETWORK, now, known, &given(&header, Facts::WHOLE));
    assert!(matches!(at(&known, Timestamp(TIP_STALE_MS - 1)), Verdict::Hold(Hold::Height { allowed: 7, .. })));
    assert!(matches!(at(&known, Timestamp(TIP_STALE_MS)), Verdict::Sign(_)));
    known.certified_height = 37;
    assert!(matches!(at(&known, Timestamp(TIP_STALE_MS)), Verdict::Hold(Hold::Height { allowed: 39, .. })));
}

#[test]
fn a_broken_rule_is_refused_whatever_else_is_unknown() {
    let blind = |known: &mut Known, facts: &mut Facts| (known.tip.height, *facts) = (0, Facts::default());
    let unlawful = Refusal::Ancestor { ancestor: FrameId([1; 32]) };
    assert!(matches!(
        refusal(|known, header, facts| {
            blind(known, facts);
            header.history_root[0] ^= 1
        }),
        Refusal::History { .. }
    ));
    assert_eq!(refusal(|_, _, facts| *facts = Facts { contents: Contents::Unlawful(unlawful.clone()), durable: false }), unlawful);
    assert!(matches!(
        refusal(|known, _, facts| {
            blind(known, facts);
            known.refused = true
        }),
        Refusal::Ancestor { .. }
    ));
    assert!(matches!(
        refusal(|known, _, facts| {
            blind(known, facts);
            known.carried = Carried::Fails
        }),
        Refusal::Certificate { sequence: 2, .. }
    ));
    assert!(matches!(
        refusal(|known, header, facts| {
            blind(known, facts);
            header.epoch = Epoch(1)
        }),
        Refusal::Epoch { .. }
    ));
}

#[test]
fn the_origin_is_asked_as_of_the_frames_control_height() {
    let scheduler = chain().scheduler;
    let dismissed = || origin(vec![vec![OriginChange::Dismissed { scheduler }]]);
    assert!(matches!(verdict(|known, _, _| known.origin = dismissed()), Verdict::Sign(_)), "it was admitted at height 0");
    assert_eq!(
        refusal(|known, header, _| (known.origin, header.control_height) = (dismissed(), 1)),
        Refusal::Scheduler { scheduler, height: 1 }
    );
    let closing = || origin(vec![vec![OriginChange::Closing { chain: chain() }]]);
    assert!(matches!(verdict(|known, _, _| known.origin = closing()), Verdict::Sign(_)));
    assert_eq!(
        refusal(|known, header, _| (known.origin, header.control_height) = (closing(), 1)),
        Refusal::Tenure { chain: chain(), height: 1 }
    );
    let later = refusal(|known, header, _| {
        known.origin = Origin::default();
        known.origin.apply(&OriginUpdate { time: Timestamp(5_000), ..genesis() });
        header.timestamp = Timestamp(4_999);
    });
    assert_eq!(later, Refusal::BeforeControl { expected: Timestamp(5_000), found: Timestamp(4_999) });
}

#[test]
fn exactly_what_was_unhosted_since_the_frame_before_is_closed() {
    let process = Id([3; 32]);
    let unhosted = || origin(vec![vec![], vec![OriginChange::Unhosted { process, schedule_epoch: 4, chain: chain() }]]);
    let closed = Closed { process, schedule_epoch: 4 };
    let with = |height: u64, closed: Vec<Closed>| {
        verdict(move |known, header, _| (known.origin, header.control_height, header.closed) = (unhosted(), height, closed.clone()))
    };
    assert!(matches!(with(1, vec![]), Verdict::Sign(_)));
    assert!(matches!(with(2, vec![closed]), Verdict::Sign(_)));
    assert_eq!(with(2, vec![]), Verdict::Refuse(Refusal::Closed { expected: 1, found: 0 }));
    assert_eq!(with(1, vec![closed]), Verdict::Refuse(Refusal::Closed { expected: 0, found: 1 }));
    let named = |known: &mut Known, header: &mut FrameHeader| {
        known.origin = unhosted();
        (known.parent.control_height, header.control_height) = (2, 2);
    };
    assert!(matches!(verdict(|known, header, _| named(known, header)), Verdict::Sign(_)), "the frame before named it");
    let again = refusal(|known, header, _| {
        named(known, header);
        header.closed = vec![closed]
    });
    assert_eq!(again, Refusal::Closed { expected: 0, found: 1 });
    let (known, _) = scene();
    assert_eq!(closed_for(&unhosted(), &known.parent, 2), [closed]);
}

#[test]
fn a_crossing_needs_the_record_of_the_one_before() {
    let epoch = |epoch| OriginChange::Epoch { epoch: Epoch(epoch), committee: [0; 32], frame_rate_max: 1 };
    let (first, second) = (epoch(1), epoch(2));
    let crossed = OriginChange::Crossed { chain: chain(), epoch: Epoch(1), frame: (1, FrameId([1; 32])) };
    let into_1 = verdict(|known, header, _| {
        known.origin = origin(vec![vec![first.clone()]]);
        (header.epoch, header.control_height) = (Epoch(1), 1);
    });
    assert!(matches!(into_1, Verdict::Sign(_)), "a chain that began in epoch 0 has nothing to record");
    let into_2 = |record: bool| {
        verdict(|known, header, _| {
            let records = if record { vec![crossed.clone()] } else { vec![] };
            known.origin = origin(vec![vec![first.clone()], records, vec![second.clone()]]);
            (known.parent.epoch, known.parent.control_height) = (Some(Epoch(1)), 1);
            (header.epoch, header.control_height) = (Epoch(2), 3);
        })
    };
    assert!(matches!(into_2(true), Verdict::Sign(_)));
    assert_eq!(into_2(false), Verdict::Refuse(Refusal::Crossing { epoch: Epoch(2) }));
}

#[test]
fn a_key_stays_on_its_branch_and_a_sealed_one_is_silent() {
    let last = Some((1, FrameId([9; 32])));
    let signed = |last, sealed, descends| {
        move |known: &mut Known, _: &mut FrameHeader, _: &mut Facts| {
            (known.signed, known.descends) = (Some(Signed { last, sealed }), descends)
        }
    };
    assert!(matches!(verdict(signed(last, false, Some(true))), Verdict::Sign(_)));
    assert_eq!(hold(signed(last, false, Some(false))), Hold::Bound { bound: last });
    assert!(matches!(hold(signed(last, false, None)), Hold::Ancestor { .. }), "what lies between is fetched");
    assert_eq!(hold(signed(Some((2, FrameId([9; 32]))), false, Some(true))), Hold::Bound { bound: Some((2, FrameId([9; 32]))) });
    assert_eq!(hold(signed(last, true, Some(true))), Hold::Bound { bound: last });
    assert_eq!(hold(signed(None, true, Some(true))), Hold::Bound { bound: None });
}

#[test]
fn every_verdict_can_be_read_by_a_person() {
    let built: Built = frames(1, |_| false).remove(0);
    let refusal = Refusal::Tenure { chain: chain(), height: built.frame.header.sequence };
    assert!(refusal.to_string().contains("is not open as of height 0"));
    assert!(Hold::Body.to_string().contains("not stored"));
}
