use super::*;
use crate::example::{certify, chain, next, statement};

struct Chain {
    pace: Pace,
    tip: ChainTip,
}

impl Chain {
    fn new() -> Self {
        Self { pace: Pace::new(20), tip: ChainTip::opened(chain()) }
    }

    fn build(&mut self, now: u64, entries: u8) -> crate::tip::Built {
        let built = next(&self.tip, entries, self.pace.certificates());
        self.tip = built.tip.clone();
        self.pace.on_built(Timestamp(now), &self.tip, entries.into());
        built
    }

    fn due(&self, now: u64, entries: usize) -> Due {
        self.pace.due(Timestamp(now), &self.tip, Pending { entries, ..Pending::default() })
    }

    fn certified(&mut self, built: &crate::tip::Built) {
        let certificates = certify(statement(built), 0, 3).into_iter().collect();
        self.pace.on_certified(&self.tip, built.frame.header.sequence, certificates);
    }
}

#[test]
fn the_last_entries_are_acknowledged_by_one_empty_frame_and_then_there_is_silence() {
    let mut chain = Chain::new();
    assert_eq!(chain.due(0, 0), Due::Nothing);
    assert_eq!(chain.due(0, 1), Due::Now);
    let first = chain.build(0, 1);
    assert_eq!((chain.due(5, 0), chain.due(5, 1)), (Due::Nothing, Due::At(Timestamp(20))));
    chain.certified(&first);
    assert_eq!(chain.due(20, 0), Due::Now, "the certificate acknowledges entries");
    let empty = chain.build(20, 0);
    assert_eq!(empty.tip.carried, Some(0));
    chain.certified(&empty);
    assert_eq!(chain.due(1_000, 0), Due::Nothing, "a certificate of an empty frame is no news");
    assert_eq!(chain.due(1_000, 1), Due::Now);
    assert_eq!(chain.build(1_000, 1).tip.carried, Some(1), "but it is carried when there is some");
}

#[test]
fn full_frames_do_not_wait_and_a_full_window_does() {
    let mut chain = Chain::new();
    let first = chain.build(0, 1);
    assert_eq!(chain.due(1, FRAME_ENTRIES_MAX), Due::Now);
    let bytes = Pending { entries: 1, payload_bytes: PAYLOAD_BYTES_MAX, news: false };
    assert_eq!(chain.pace.due(Timestamp(1), &chain.tip, bytes), Due::Now);
    assert_eq!(chain.pace.due(Timestamp(30), &chain.tip, Pending { news: true, ..Pending::default() }), Due::Now);
    (1..crate::limits::WINDOW).for_each(|n| drop(chain.build(n, 1)));
    assert_eq!(chain.due(1_000, FRAME_ENTRIES_MAX), Due::Certificate);
    chain.certified(&first);
    assert_eq!(chain.due(1_000, 1), Due::Now);
    assert_eq!(chain.build(1_000, 1).tip.carried, Some(0));
    assert_eq!(chain.due(2_000, 1), Due::Certificate, "one more is certified, one more may follow");
}

#[test]
fn what_an_engine_without_certificates_confirms_opens_the_window_too() {
    let mut chain = Chain::new();
    (0..crate::limits::WINDOW).for_each(|n| drop(chain.build(n, 1)));
    assert_eq!(chain.due(1_000, 1), Due::Certificate);
    chain.pace.on_confirmed(3);
    assert_eq!(chain.due(1_000, 1), Due::Now);
    chain.pace.on_confirmed(crate::limits::WINDOW - 1);
    assert_eq!(chain.due(1_000, 0), Due::Nothing);
}

#[test]
fn certificates_of_other_branches_and_old_ones_are_not_carried() {
    let mut chain = Chain::new();
    let frames: Vec<_> = (0..3).map(|n| chain.build(n, 1)).collect();
    chain.certified(&frames[1]);
    chain.certified(&frames[0]);
    assert_eq!(chain.pace.certificates()[0].frame().map(|(_, sequence, _)| sequence), Some(1));
    chain.pace.on_certified(&chain.tip.clone(), 99, Vec::new());
    assert_eq!(chain.pace.certificates().len(), 1);
}

#[test]
fn the_interval_follows_the_page() {
    // 0.2 of a core: one chain of four attestors 20 ms, ten about 75 ms (§13).
    assert_eq!(interval_ms(1, 1_400, 2_000), 20);
    assert_eq!(interval_ms(10, 1_300, 2_000), 75);
    assert_eq!(interval_ms(u64::MAX, u64::MAX, 0), 1_000);
}
