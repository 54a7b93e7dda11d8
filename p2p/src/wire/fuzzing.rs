//! What the fuzz targets of `p2p/fuzz` run; the same bodies run in the ordinary tests, over damaged samples. Not part of any node.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is test code: what fails is a finding")]

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::executor::block_on;

use super::*;
use crate::limits::GOSSIP_BYTES_MAX;

/// A stream that hands out its bytes in pieces of at most `step`, as a network does, and then ends.
struct Pieces<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let found = self.bytes.len().min(into.len()).min(self.step);
        let (now, later) = self.bytes.split_at(found);
        into[..found].copy_from_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(found))
    }
}

/// Any bytes as a request: no panic, nothing above a cap, no room kept that was not given back, and what is read is written the same.
pub fn request(input: &[u8]) {
    let Some((step, bytes)) = input.split_first() else { return };
    let budget = Budget::new(256 << 10);
    let mut stream = Pieces { bytes, step: usize::from(*step) + 1 };
    if let Ok((kind, payload)) = block_on(read_request(&mut stream, &budget)) {
        assert!(payload.len() <= kind.request_bytes_max());
        assert_eq!(budget.used(), payload.len());
        let mut written = futures::io::Cursor::new(Vec::new());
        block_on(write_request(&mut written, kind, &payload)).unwrap();
        assert_eq!(written.into_inner(), bytes);
    }
    assert_eq!(budget.used(), 0);
}

/// Any bytes as the answer to a request of any kind: no panic, nothing above the kind's cap, no room kept that was not given back.
pub fn answer(input: &[u8]) {
    let [kind, step, bytes @ ..] = input else { return };
    let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
    let budget = Budget::new(2 << 20);
    let mut stream = Pieces { bytes, step: usize::from(*step) + 1 };
    if let Ok((status, payload)) = block_on(read_answer(&mut stream, kind, &budget)) {
        assert!(payload.len() <= kind.answer_bytes_max());
        assert!(status == Status::Ok || payload.is_empty());
        assert_eq!(budget.used(), payload.len());
        let mut written = futures::io::Cursor::new(Vec::new());
        block_on(write_answer(&mut written, status, &payload)).unwrap();
        assert_eq!(written.into_inner(), bytes);
    }
    assert_eq!(budget.used(), 0);
}

/// Any bytes as a gossiped message: no panic, nothing above the cap, and what is opened is sealed the same.
pub fn gossip(input: &[u8]) {
    if let Ok(payload) = open_gossip(input) {
        assert!(!payload.is_empty() && payload.len() <= GOSSIP_BYTES_MAX);
        assert_eq!(seal_gossip(payload).unwrap(), input);
    }
}

#[cfg(test)]
#[path = "../../../consensus/core/src/fuzzing/tests/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut bytes = futures::io::Cursor::new(Vec::new());
        block_on(write_request(&mut bytes, kind, payload)).unwrap();
        bytes.into_inner()
    }

    fn answered(status: Status, payload: &[u8]) -> Vec<u8> {
        let mut bytes = futures::io::Cursor::new(Vec::new());
        block_on(write_answer(&mut bytes, status, payload)).unwrap();
        bytes.into_inner()
    }

    type Target = fn(&[u8]);

    /// Whole inputs of each target; they are the seeds in `fuzz/seeds`.
    fn samples() -> [(&'static str, Target, Vec<Vec<u8>>); 3] {
        let requests = Kind::ALL.map(|kind| [&[7][..], &written(kind, b"a question")].concat()).to_vec();
        let mut answers = Kind::ALL.map(|kind| [&[kind as u8 - 1, 3][..], &answered(Status::Ok, b"an answer")].concat()).to_vec();
        // A direct message wants none.
        answers[3] = [&[3, 3][..], &answered(Status::Ok, b"")].concat();
        answers.push([&[0, 200][..], &answered(Status::NotFound, b"")].concat());
        let gossiped = vec![seal_gossip(b"x").unwrap(), seal_gossip(&[9; 300]).unwrap()];
        [("request", request, requests), ("answer", answer, answers), ("gossip", gossip, gossiped)]
    }

    #[test]
    fn seeds_are_what_is_written_today() {
        for (name, target, samples) in samples() {
            seeds::seeds(env!("CARGO_MANIFEST_DIR"), name, &samples);
            samples.iter().for_each(|sample| target(sample));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]
        #[test]
        fn damaged_frames_are_read_or_refused(
            which in 0..3_usize,
            sample: prop::sample::Index,
            damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..5),
        ) {
            let (_, target, samples) = &samples()[which];
            let mut bytes = sample.get(samples).clone();
            for (at, how, with) in damage {
                if bytes.is_empty() {
                    bytes.push(with);
                }
                let at = at.index(bytes.len());
                match how {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, with),
                    2 => bytes[at] = 0xff,
                    _ => bytes[at] ^= with,
                }
            }
            target(&bytes);
        }
    }
}
