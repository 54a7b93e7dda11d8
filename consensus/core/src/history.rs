//! All earlier frames of a chain under one root: a Merkle mountain range (`consensus.md` §3, `history_root`).
//!
//! A chain that lives for years is proven by a path of a few dozen hashes. Peaks alone (32 bytes for each bit of the count) are enough to
//! go on; a proof needs nodes of before, which [`prove`] finds in the peaks that were kept after each frame.

use ao_types::FrameId;
use ao_types::codec::{Canonical, CodecError, Reader};
use ao_types::hash::sha256;

use crate::limits::PATH_NODES_MAX;
use crate::merkle::{self, Path};

/// The peaks over the frames of a chain so far, highest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    count: u64,
    peaks: Vec<[u8; 32]>,
}

impl History {
    /// How many frames there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds the next frame.
    pub fn push(&mut self, frame: &FrameId) {
        let mut hash = merkle::leaf(&frame.0);
        for _ in 0..self.count.trailing_ones() {
            // There is a peak for each trailing one of the count.
            let Some(left) = self.peaks.pop() else { break };
            hash = merkle::node(&left, &hash);
        }
        self.peaks.push(hash);
        self.count += 1;
    }

    /// What a header says: the count and all peaks under one hash.
    pub fn root(&self) -> [u8; 32] {
        bag(self.count, &self.peaks)
    }

    /// The hash over frames `[index << height, (index + 1) << height)`, if it is a peak.
    fn peak(&self, height: u32, index: u64) -> Option<[u8; 32]> {
        let bit = self.count & (1u64.checked_shl(height)?);
        let above = self.count.checked_shr(height + 1).unwrap_or(0);
        if bit == 0 || above << 1 != index {
            return None;
        }
        self.peaks.get(above.count_ones() as usize).copied()
    }
}

fn bag(count: u64, peaks: &[[u8; 32]]) -> [u8; 32] {
    let bagged = peaks.iter().rev().copied().reduce(|right, left| merkle::node(&left, &right)).unwrap_or_default();
    sha256(&[&[2], &count.to_be_bytes(), &bagged])
}

impl Canonical for History {
    fn write(&self, out: &mut Vec<u8>) {
        self.count.write(out);
        self.peaks.iter().for_each(|peak| out.extend_from_slice(peak));
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let count = reader.u64()?;
        let peaks = (0..count.count_ones()).map(|_| reader.array()).collect::<Result<_, _>>()?;
        Ok(Self { count, peaks })
    }
}

/// That a frame is one of the earlier frames of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPath {
    /// From the frame to its peak.
    pub path: Path,
    /// All peaks but its own, highest first.
    pub others: Vec<[u8; 32]>,
}

impl HistoryPath {
    /// The history root of the frame with sequence `count`, if its ancestor at `sequence` is `frame`.
    pub fn root_from(&self, count: u64, sequence: u64, frame: &FrameId) -> Option<[u8; 32]> {
        let (height, place) = mountain(count, sequence)?;
        let width = 1u64 << height;
        let peak = self.path.root_from(width, sequence % width, merkle::leaf(&frame.0))?;
        if self.others.len() + 1 != count.count_ones() as usize {
            return None;
        }
        let mut peaks = self.others.clone();
        peaks.insert(place, peak);
        Some(bag(count, &peaks))
    }
}

impl Canonical for HistoryPath {
    fn write(&self, out: &mut Vec<u8>) {
        self.path.write(out);
        Path(self.others.clone()).write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let path = Path::read(reader)?;
        Ok(Self { path, others: reader.list("peaks", PATH_NODES_MAX)? })
    }
}

/// Height and place among the peaks of the mountain over leaf `sequence` of `count`.
fn mountain(count: u64, sequence: u64) -> Option<(u32, usize)> {
    let (mut start, mut place) = (0u64, 0);
    for height in (0..u64::BITS).rev().filter(|height| count & (1 << height) != 0) {
        if sequence < start.checked_add(1 << height)? && sequence >= start {
            return Some((height, place));
        }
        (start, place) = (start + (1 << height), place + 1);
    }
    None
}

/// The path of the frame at `sequence` to the history root of the frame with sequence `count`.
///
/// `after(n)` gives the history over the first `n` frames (kept beside frame `n - 1`), `id(n)` the id of frame `n`. Asks for at most
/// (log₂ count)² of them. `None` if one is missing or `sequence` is not earlier.
pub fn prove(
    count: u64,
    sequence: u64,
    after: &mut dyn FnMut(u64) -> Option<History>,
    id: &mut dyn FnMut(u64) -> Option<FrameId>,
) -> Option<HistoryPath> {
    let (height, place) = mountain(count, sequence)?;
    let path = (0..height).map(|level| subtree(level, (sequence >> level) ^ 1, after, id)).collect::<Option<_>>()?;
    let mut others = after(count)?.peaks;
    if place >= others.len() {
        return None;
    }
    others.remove(place);
    Some(HistoryPath { path: Path(path), others })
}

/// The hash over frames `[index << height, (index + 1) << height)`. A left subtree was the last peak when it was complete; a right one
/// never was, but its left half was.
fn subtree(
    height: u32,
    index: u64,
    after: &mut dyn FnMut(u64) -> Option<History>,
    id: &mut dyn FnMut(u64) -> Option<FrameId>,
) -> Option<[u8; 32]> {
    if height == 0 {
        return id(index).map(|id| merkle::leaf(&id.0));
    }
    if index.is_multiple_of(2) {
        return after((index + 1) << height)?.peak(height, index);
    }
    let left = subtree(height - 1, index * 2, after, id)?;
    let right = subtree(height - 1, index * 2 + 1, after, id)?;
    Some(merkle::node(&left, &right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(sequence: u64) -> FrameId {
        FrameId(sha256(&[&sequence.to_be_bytes()]))
    }

    fn histories(count: u64) -> Vec<History> {
        let mut all = vec![History::default()];
        for sequence in 0..count {
            let mut next = all[sequence as usize].clone();
            next.push(&id(sequence));
            all.push(next);
        }
        all
    }

    #[test]
    fn every_earlier_frame_of_every_chain_can_be_proven_and_no_other() {
        let all = histories(70);
        for count in 0..=70u64 {
            let root = all[count as usize].root();
            for sequence in 0..count {
                let mut asked = 0;
                let path = prove(
                    count,
                    sequence,
                    &mut |n| {
                        asked += 1;
                        all.get(n as usize).cloned()
                    },
                    &mut |n| Some(id(n)),
                )
                .unwrap();
                assert!(asked <= 64, "{asked} histories asked for");
                assert_eq!(path.root_from(count, sequence, &id(sequence)), Some(root), "{sequence} of {count}");
                assert_ne!(path.root_from(count, sequence, &id(99)), Some(root));
                assert_ne!(path.root_from(count, sequence ^ 1, &id(sequence)), Some(root));
                assert_ne!(path.root_from(count + 1, sequence, &id(sequence)), Some(root));
                assert_eq!(HistoryPath::decode(&path.encode()), Ok(path));
            }
            assert_eq!(prove(count, count, &mut |n| all.get(n as usize).cloned(), &mut |n| Some(id(n))), None);
        }
    }

    #[test]
    fn the_count_is_part_of_the_root() {
        let all = histories(9);
        let roots: std::collections::BTreeSet<_> = all.iter().map(History::root).collect();
        assert_eq!(roots.len(), all.len());
    }

    proptest! {
        #[test]
        fn no_claim_about_a_history_makes_it_panic(count: u64, sequence: u64, path in prop::collection::vec(any::<[u8; 32]>(), 0..66), others in prop::collection::vec(any::<[u8; 32]>(), 0..66)) {
            let claim = HistoryPath { path: Path(path), others };
            let _ = claim.root_from(count, sequence, &id(1));
        }

        #[test]
        fn kept_peaks_are_read_back(count in 0u64..200) {
            let history = histories(count).pop().unwrap();
            prop_assert_eq!(History::decode(&history.encode()), Ok(history));
        }
    }
}
