//! All that can come out of an engine. Effects of one call are carried out in order.

use std::sync::Arc;

use ao_types::{Certificate, Chain, FrameId, PeerId};
use bytes::Bytes;

use crate::control::ControlOp;
use crate::evidence::Evidence;
use crate::proof::Proof;
use crate::protection::Guard;

/// What an engine can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Must be durable before any later effect of the same call is visible to anybody.
    Remember(Record),
    /// Bytes for this engine on other nodes. May be lost, repeated, reordered.
    Send(To, Bytes),
    /// Archived records ([`Record::is_archived`]) that a peer asked for. Answered with [`crate::Input::Recalled`], late or never: whoever
    /// wants them asks again.
    Recall(Recall),
    /// Frames that the engine lacks. The node answers with [`crate::Input::Frame`], from its own store first.
    Fetch(Fetch),
    /// A quorum attested a frame: what the scheduler's next frame carries. May come for a frame more than once, never for two of one
    /// sequence. Engines whose frames carry no certificates never say it.
    Certified(Certified),
    /// No other content for these slots can ever be confirmed.
    Confirmed(Confirmed),
    /// Of the frames for one place this one is on the only branch that can ever be confirmed: a certificate or a decided block covers it. A
    /// node that stored another one there drops it with all that it stored behind it, and takes this one. Said once in a life of the
    /// engine, for the lowest such place of a chain, and never of a frame that is confirmed.
    Forked {
        /// Which chain.
        chain: Chain,
        /// The place.
        sequence: u64,
        /// The frame that belongs there.
        frame: FrameId,
    },
    /// The chain is closed and everything from this sequence on is void at every level. Never below a confirmed frame.
    Voided {
        /// Which chain.
        chain: Chain,
        /// The first void sequence.
        from: u64,
    },
    /// Operations in their one order. Engines that do not decide the control plane never say it.
    Decided(Decided),
    /// An operation for the control plane: a seal, a crossing, evidence.
    Propose(Box<ControlOp>),
    /// A fault that can be shown: to be stored, gossiped and handed in.
    Evidence(Box<Evidence>),
    /// A peer did what honest ones do not.
    Penalise(PeerId, Offence),
}

impl Effect {
    /// Whether it may be carried out while records of *earlier* calls are not durable yet: messages may, since the network reorders them
    /// anyway. What the node builds on (certified, confirmed, voided, decided) waits its turn.
    pub fn may_overtake(&self) -> bool {
        match self {
            Self::Send(..) | Self::Recall(_) | Self::Fetch(_) | Self::Propose(_) | Self::Evidence(_) | Self::Penalise(..) => true,
            Self::Remember(_) | Self::Certified(_) | Self::Confirmed(_) | Self::Forked { .. } | Self::Voided { .. } | Self::Decided(_) => {
                false
            }
        }
    }
}

/// Something an engine must not forget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Names the record; a later record of the same key replaces it. Begins with the engine's name and `/`.
    pub key: String,
    /// Opaque to everybody but the engine. Empty: the record may be deleted.
    pub value: Bytes,
    /// What signatures that leave after this record are bound by: rows for the slashing protection, which refuses those that contradict
    /// its own. They come back in [`crate::Setup::guards`]: those of every record that is durable, and no others of this life.
    pub guards: Vec<Guard>,
}

/// Begins, behind the engine's name and `/`, the key of a record that is kept and read again only on request.
pub const ARCHIVE: &str = "archive/";

impl Record {
    /// Whether the record is kept for others and not for the engine's own next life: what grows for ever does not have to fit into memory
    /// at every start. It is in no [`crate::Setup`].
    pub fn is_archived(&self) -> bool {
        self.key.split_once('/').is_some_and(|(_, name)| name.starts_with(ARCHIVE))
    }
}

/// See [`Effect::Recall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    /// Who asked; comes back with the answer.
    pub whom: PeerId,
    /// Key of the first that is wanted. The answer begins with the first one that is there from here on.
    pub from: String,
    /// Key behind the last.
    pub to: String,
    /// At most so many records,
    pub count: usize,
    /// with so many bytes of values together; the first one counts not.
    pub bytes: usize,
}

impl Recall {
    /// The part of what was found, in order of keys, that the answer has room for.
    pub fn answer(&self, found: impl IntoIterator<Item = (String, Bytes)>) -> Vec<Record> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        for (key, value) in found.into_iter().take(self.count) {
            bytes += value.len();
            if bytes > self.bytes && !records.is_empty() {
                break;
            }
            records.push(Record { key, value, guards: Vec::new() });
        }
        records
    }
}

/// Whom bytes are for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum To {
    /// One node, on a direct stream.
    Peer(PeerId),
    /// Every node, by gossip.
    All,
}

/// Frames of one branch: those up to and with `to`, from sequence `from` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Whose.
    pub chain: Chain,
    /// The lowest sequence that is lacking.
    pub from: u64,
    /// The highest, and which frame it is.
    pub to: (u64, FrameId),
    /// Who most likely has them, best first.
    pub holders: Vec<PeerId>,
}

/// See [`Effect::Certified`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The frame's chain.
    pub chain: Chain,
    /// Its place in the chain.
    pub sequence: u64,
    /// The frame.
    pub frame: FrameId,
    /// One; of a crossing two, the older committee's first.
    pub certificates: Vec<Certificate>,
}

/// The engine's word on one frame, once for each, in sequence order per chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The frame's chain.
    pub chain: Chain,
    /// Its place in the chain.
    pub sequence: u64,
    /// The frame.
    pub frame: FrameId,
    /// What convinces somebody else: [`crate::proof::verify`] accepts it with the committees alone.
    pub proof: Arc<Proof>,
}

/// A decided control block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Its height.
    pub height: u64,
    /// Its time.
    pub time: crate::Timestamp,
    /// In order.
    pub ops: Vec<ControlOp>,
}

/// Why a peer is penalised. What each costs is the network layer's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Offence {
    /// Bytes that are no message of this engine.
    Malformed,
    /// A signature, share or certificate that does not hold.
    BadSignature,
    /// A statement of a key outside the committee, or of another epoch's.
    Foreign,
    /// A frame that breaks a rule of the log.
    Unlawful,
    /// Two statements that exclude one another.
    Conflict,
    /// More than a bound allows.
    Flood,
    /// Asked for, promised and not given.
    Withheld,
}
