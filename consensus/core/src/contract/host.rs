//! One node around an engine: its disk, its life, what it schedules.
//!
//! The caller's half of the contract. A write takes time, writes become durable in order, and a crash in the middle of a batch leaves some
//! front part of it on the disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ao_types::{BlockValue, BlsKey, Chain, FrameId, PeerId, Wallet};
use bytes::Bytes;

use super::signatures::{Recorder, Seen};
use crate::pace::Pace;
use crate::protection::memory::MemoryProtection;
use crate::protection::{Conflict, Protection};
use crate::scheme::SecretKey;
use crate::{ChainTip, Consensus, Effect, OriginUpdate, Record, SignedHeader, Timestamp};

/// A frame of the run, whoever knows of it.
#[derive(Clone, Debug)]
pub struct Made {
    /// Header and scheduler's signature.
    pub header: Arc<SignedHeader>,
    /// Where the chain stands after it.
    pub tip: ChainTip,
    /// How many entries.
    pub entries: usize,
    /// Which node made it.
    pub maker: usize,
    /// Its entries break a rule of the log.
    pub unlawful: bool,
    /// Its body is given to nobody.
    pub withheld: bool,
    /// It breaks a rule, or stands on one that does: nobody honest vouches for it.
    pub refusable: bool,
}

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// The engine's records.
    pub records: BTreeMap<String, Bytes>,
    /// Slashing protection.
    pub rows: MemoryProtection,
    /// Frames whose bodies are here, with their sequence.
    pub frames: BTreeMap<Chain, BTreeSet<(u64, FrameId)>>,
    /// The same ones: how many were here before each.
    pub order: BTreeMap<FrameId, usize>,
    /// The node's own frames, in order.
    pub own: Vec<FrameId>,
    /// Where chains stood after the last frame whose confirmation is stored.
    pub confirmed: BTreeMap<Chain, ChainTip>,
    /// Control blocks, from the genesis on.
    pub origin: Vec<OriginUpdate>,
}

/// Something that becomes durable, and what happens then.
#[derive(Debug)]
pub enum Write {
    /// A record with its rows.
    Record(Record),
    /// Nothing on the disk: what the engine said after a record, to be carried out when that is durable.
    Then(Box<Effect>),
    /// A body that came.
    Body(FrameId),
    /// An own frame: only then anybody hears of it.
    Own(FrameId),
    /// A confirmation. Nobody waits for it.
    Confirmed(FrameId),
    /// A decided block. Nobody waits for it.
    Decided(OriginUpdate),
}

/// A chain that a node schedules.
#[derive(Clone, Debug)]
pub struct Own {
    /// Whose wallet.
    pub wallet: Wallet,
    /// Where the chain stands: every frame built, durable or not.
    pub tip: ChainTip,
    /// When to close the next frame.
    pub pace: Pace,
    /// Entries that wait.
    pub pending: usize,
}

/// One node.
pub struct Host {
    /// Its name in the network. Twins share it.
    pub peer: PeerId,
    /// Its key. Twins share it.
    pub recorder: Recorder,
    /// Not a twin.
    pub honest: bool,
    /// Of twins: 0 and 1.
    pub side: usize,
    /// How wrong its clock is.
    pub skew_ms: i64,
    /// What survives.
    pub disk: Disk,
    /// Counts crashes and starts: what was under way in another life is gone.
    pub life: u64,
    /// `None` while it is down.
    pub engine: Option<Box<dyn Consensus>>,
    /// In order.
    pub writes: VecDeque<Write>,
    /// Written, and waiting for their turn.
    pub ready: VecDeque<Write>,
    /// How many of `writes` are being written.
    pub writing: usize,
    /// When the engine is called next.
    pub tick_at: Option<u64>,
    /// Ticks within one millisecond.
    pub ticks: (u64, u32),
    /// Frames given whole to this engine.
    pub given: BTreeSet<FrameId>,
    /// Headers given to this engine.
    pub heard: BTreeSet<FrameId>,
    /// Per chain, the sequence confirmed next.
    pub next: BTreeMap<Chain, u64>,
    /// Height of the last block decided in this life, or stored before.
    pub decided: u64,
    /// What its key said, in all lives.
    pub seen: Seen,
    /// Blocks that its key voted for: how many bodies were here when it did first.
    pub vouched: BTreeMap<BlockValue, usize>,
    /// Fork headers: schedulers that this node convicted.
    pub convicted: BTreeSet<Chain>,
    /// What it schedules.
    pub own: Option<Own>,
    /// Times the load came.
    pub batches_left: u64,
}

impl Host {
    /// A node that never ran.
    pub fn new(peer: PeerId, number: u64, genesis: OriginUpdate) -> Self {
        let disk = Disk { origin: vec![genesis], ..Disk::default() };
        Self {
            peer,
            recorder: Recorder::new(number),
            honest: true,
            side: 0,
            skew_ms: 0,
            disk,
            life: 0,
            engine: None,
            writes: VecDeque::new(),
            ready: VecDeque::new(),
            writing: 0,
            tick_at: None,
            ticks: (0, 0),
            given: BTreeSet::new(),
            heard: BTreeSet::new(),
            next: BTreeMap::new(),
            decided: 0,
            seen: Seen::default(),
            vouched: BTreeMap::new(),
            convicted: BTreeSet::new(),
            own: None,
            batches_left: 0,
        }
    }

    /// Its attestor's key.
    pub fn key(&self) -> BlsKey {
        self.recorder.public()
    }

    /// Its clock, when the world's says `now_ms`.
    pub fn clock(&self, now_ms: u64) -> Timestamp {
        Timestamp(now_ms.saturating_add_signed(self.skew_ms))
    }

    /// When the world's clock says so much, this node's says `at`.
    pub fn world_time(&self, at: Timestamp) -> u64 {
        at.0.saturating_add_signed(-self.skew_ms)
    }

    /// Its chain, if it schedules one.
    pub fn chain(&self) -> Option<Chain> {
        self.own.as_ref().map(|own| own.tip.chain)
    }

    /// Puts one write on the disk.
    pub fn store(&mut self, write: &Write, frames: &BTreeMap<FrameId, Made>) -> Result<(), Conflict> {
        match write {
            Write::Record(record) => {
                self.disk.rows.record(&record.guards)?;
                if record.value.is_empty() {
                    self.disk.records.remove(&record.key);
                } else {
                    self.disk.records.insert(record.key.clone(), record.value.clone());
                }
            }
            Write::Body(id) | Write::Own(id) => {
                if let Some(made) = frames.get(id) {
                    self.disk.frames.entry(made.header.chain).or_default().insert((made.header.sequence, *id));
                    let before = self.disk.order.len();
                    self.disk.order.entry(*id).or_insert(before);
                }
                if matches!(write, Write::Own(_)) {
                    self.disk.own.push(*id);
                }
            }
            Write::Confirmed(id) => {
                if let Some(made) = frames.get(id) {
                    self.disk.confirmed.insert(made.header.chain, made.tip.clone());
                }
            }
            Write::Decided(update) => self.disk.origin.push(update.clone()),
            Write::Then(_) => {}
        }
        Ok(())
    }

    /// Ends this life. Of the batch that is being written a front part may be on the disk.
    pub fn crash(&mut self, survives: usize, frames: &BTreeMap<FrameId, Made>) -> Result<(), Conflict> {
        let writes: Vec<Write> = self.writes.drain(..).take(survives.min(self.writing)).collect();
        for write in &writes {
            self.store(write, frames)?;
        }
        (self.engine, self.writing, self.tick_at) = (None, 0, None);
        self.ready.clear();
        self.life += 1;
        Ok(())
    }

    /// Whether the body of a frame is stored here.
    pub fn holds(&self, chain: &Chain, sequence: u64, id: &FrameId) -> bool {
        self.disk.frames.get(chain).is_some_and(|frames| frames.contains(&(sequence, *id)))
    }
}
