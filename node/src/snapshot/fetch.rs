//! One snapshot from several peers: which part of which chunk is asked of whom, and what answers are worth. Without clock or socket.
//!
//! A chunk comes whole from one source, so that a bad one tells whose it is; several chunks come at once, each from another source where
//! there are several. A source of a bad chunk is asked nothing more; one that fails rests, longer each time, and is given up in the end.
//! What is asked for and held is bounded: [`CHUNKS_AT_ONCE`] chunks.

use std::collections::BTreeMap;

use ao_consensus::Timestamp;
use ao_p2p::{Failure, PeerId};
use bytes::Bytes;

use super::Manifest;
use super::limits::{
    CHUNKS_AT_ONCE, JOIN_STUCK_MS, PART_BYTES, PARTS_PER_PEER, SOURCE_FAILURES_MAX, SOURCE_REST_MS_MAX, SOURCE_REST_MS_MIN, SOURCES_MAX,
    STUCK_BYTES_MIN,
};

/// A question for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whom.
    pub peer: PeerId,
    /// Which chunk.
    pub chunk: u16,
    /// Which part of it.
    pub part: u8,
}

/// What an answer led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// Nothing yet.
    Going,
    /// A chunk is complete, and the right one: to be kept.
    Chunk(u16, Bytes),
    /// This source gave bytes that are not what the manifest names.
    Bad(PeerId),
    /// A chunk did not come from this source.
    Failed,
}

#[derive(Debug)]
struct Source {
    peer: PeerId,
    failures: u32,
    rests_until: Timestamp,
}

#[derive(Debug)]
struct Pull {
    peer: PeerId,
    parts: Vec<Option<Bytes>>,
    asked: Vec<bool>,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Fetch {
    manifest: Manifest,
    /// Chunks that lack, in order.
    lacking: Vec<u16>,
    sources: Vec<Source>,
    pulls: BTreeMap<u16, Pull>,
}

impl Fetch {
    /// Fetches the chunks that `have` does not have.
    pub fn new(manifest: Manifest, have: impl Fn(u16) -> bool, sources: &[PeerId]) -> Self {
        let lacking = (0..manifest.chunks.len() as u16).filter(|index| !have(*index)).collect();
        let mut fetch = Self { manifest, lacking, sources: Vec::new(), pulls: BTreeMap::new() };
        sources.iter().for_each(|peer| fetch.add(*peer));
        fetch
    }

    /// Another peer has it. One that was given up stays so.
    pub fn add(&mut self, peer: PeerId) {
        if self.sources.len() < SOURCES_MAX && !self.sources.iter().any(|source| source.peer == peer) {
            self.sources.push(Source { peer, failures: 0, rests_until: Timestamp(0) });
        }
    }

    /// Every chunk is here.
    pub fn is_done(&self) -> bool {
        self.lacking.is_empty()
    }

    /// Chunks that lack.
    pub fn lacking(&self) -> usize {
        self.lacking.len()
    }

    /// There is nobody left to ask.
    pub fn is_lost(&self) -> bool {
        !self.is_done() && self.sources.iter().all(|source| source.failures >= SOURCE_FAILURES_MAX)
    }

    /// What to ask now; [`Fetch::answered`] must follow for each.
    pub fn poll(&mut self, now: Timestamp) -> Vec<Ask> {
        while self.pulls.len() < CHUNKS_AT_ONCE {
            let Some(index) = self.lacking.iter().copied().find(|index| !self.pulls.contains_key(index)) else { break };
            let Some(peer) = self.idlest(now) else { break };
            let parts = self.manifest.chunk_bytes(index.into()).div_ceil(PART_BYTES);
            self.pulls.insert(index, Pull { peer, parts: vec![None; parts], asked: vec![false; parts] });
        }
        let mut open: BTreeMap<PeerId, usize> = BTreeMap::new();
        for pull in self.pulls.values() {
            *open.entry(pull.peer).or_default() += pull.open();
        }
        let mut asks = Vec::new();
        for (chunk, pull) in &mut self.pulls {
            let open = open.entry(pull.peer).or_default();
            for part in 0..pull.parts.len() {
                if *open < PARTS_PER_PEER && !pull.asked[part] {
                    pull.asked[part] = true;
                    *open += 1;
                    asks.push(Ask { peer: pull.peer, chunk: *chunk, part: part as u8 });
                }
            }
        }
        asks
    }

    /// Who does least for this, of those who may be asked.
    fn idlest(&self, now: Timestamp) -> Option<PeerId> {
        let busy = |peer: &PeerId| self.pulls.values().filter(|pull| pull.peer == *peer).count();
        let usable = self.sources.iter().filter(|source| source.failures < SOURCE_FAILURES_MAX && source.rests_until <= now);
        usable.min_by_key(|source| (busy(&source.peer), source.failures)).map(|source| source.peer)
    }

    /// What became of a question. A complete chunk is hashed here: about 10 ms.
    pub fn answered(&mut self, now: Timestamp, ask: Ask, result: Result<Bytes, Failure>) -> Came {
        let Some(pull) = self.pulls.get_mut(&ask.chunk).filter(|pull| pull.peer == ask.peer) else { return Came::Going };
        let at = usize::from(ask.part);
        match result {
            Ok(bytes) => {
                let start = at * PART_BYTES;
                if bytes.len() != PART_BYTES.min(self.manifest.chunk_bytes(ask.chunk.into()).saturating_sub(start)) {
                    return self.bad(ask);
                }
                let Some(place) = pull.parts.get_mut(at) else { return Came::Going };
                *place = Some(bytes);
                if pull.parts.iter().any(Option::is_none) {
                    return Came::Going;
                }
                let whole: Vec<u8> = pull.parts.iter().flatten().flat_map(|part| part.iter().copied()).collect();
                if self.manifest.check_chunk(ask.chunk.into(), &whole).is_err() {
                    return self.bad(ask);
                }
                self.pulls.remove(&ask.chunk);
                self.lacking.retain(|index| *index != ask.chunk);
                if let Some(source) = self.sources.iter_mut().find(|source| source.peer == ask.peer) {
                    source.failures = 0;
                }
                Came::Chunk(ask.chunk, whole.into())
            }
            Err(why) => {
                self.pulls.remove(&ask.chunk);
                let Some(source) = self.sources.iter_mut().find(|source| source.peer == ask.peer) else { return Came::Failed };
                source.failures = match why {
                    // It does not have it, whatever it said before.
                    Failure::NotFound | Failure::Refused | Failure::Unsupported | Failure::Malformed => SOURCE_FAILURES_MAX,
                    // This node asks too much, or for the same twice, because what it asked of another source is still open.
                    Failure::Duplicate | Failure::TooMany => source.failures,
                    _ => source.failures + 1,
                };
                let pause_ms = SOURCE_REST_MS_MIN.saturating_mul(1 << source.failures.min(16)).min(SOURCE_REST_MS_MAX);
                source.rests_until = now.plus_ms(pause_ms);
                Came::Failed
            }
        }
    }

    /// Nothing more is asked of a source that lies, and what is under way from it is asked of others.
    fn bad(&mut self, ask: Ask) -> Came {
        self.pulls.retain(|_, pull| pull.peer != ask.peer);
        if let Some(source) = self.sources.iter_mut().find(|source| source.peer == ask.peer) {
            source.failures = SOURCE_FAILURES_MAX;
        }
        Came::Bad(ask.peer)
    }
}

/// Whether bytes come fast enough: peers that give a little now and then do not hold up what others wait for.
#[derive(Debug)]
pub struct Pace {
    since: Timestamp,
    bytes: usize,
}

impl Pace {
    /// Nothing came yet.
    pub fn new(now: Timestamp) -> Self {
        Self { since: now, bytes: 0 }
    }

    /// So many bytes came.
    pub fn came(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether fewer than [`STUCK_BYTES_MIN`] came in the last [`JOIN_STUCK_MS`].
    pub fn is_stuck(&mut self, now: Timestamp) -> bool {
        if now.since_ms(self.since) <= JOIN_STUCK_MS {
            return false;
        }
        let stuck = self.bytes < STUCK_BYTES_MIN;
        *self = Self::new(now);
        stuck
    }
}

impl Pull {
    fn open(&self) -> usize {
        self.asked.iter().zip(&self.parts).filter(|(asked, part)| **asked && part.is_none()).count()
    }
}
