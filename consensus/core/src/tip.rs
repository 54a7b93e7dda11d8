//! Where a chain stands, and what may follow: the rules of `consensus.md` §3 that need nothing but the frames before.
//!
//! The same value is what a scheduler builds its next frame on and what an attestor checks a frame against, so the two cannot differ.

use std::collections::VecDeque;

use ao_types::codec::{Canonical, CodecError, Reader, write_option};
use ao_types::{Certificate, Chain, Epoch, FrameId, NetworkId};

use crate::checks::Refusal;
use crate::frame::{Body, Closed, Frame, FrameError, FrameHeader, chunk_count, entries_root, payload_root};
use crate::history::History;
use crate::limits::{CERTIFICATES_MAX, FRAME_ENTRIES_MAX, WINDOW};
use crate::time::Timestamp;

/// A frame of the recent past, as certificates that a later frame carries speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Its id.
    pub frame: FrameId,
    /// Its epoch.
    pub epoch: Epoch,
    /// It is the first of its epoch in a chain that began before: it needs certificates of both committees.
    pub crossing: bool,
}

/// Where a chain stands: everything that its next frame is built on, or checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainTip {
    /// The chain.
    pub chain: Chain,
    /// Sequence of the next frame.
    pub next_sequence: u64,
    /// Its parent: the last frame, or the chain's id.
    pub parent: FrameId,
    /// Epoch of the last frame; `None` before the first.
    pub epoch: Option<Epoch>,
    /// Lower bound of its time.
    pub timestamp: Timestamp,
    /// Lower bound of its Arweave height.
    pub block_height: u64,
    /// Lower bound of its control height.
    pub control_height: u64,
    /// Sequence of the newest frame whose certificate a frame up to here carries.
    pub carried: Option<u64>,
    /// Over all frames up to here.
    pub history: History,
    /// The last frames, newest last: those that the next frame may carry a certificate of.
    pub recent: VecDeque<Recent>,
}

/// What a scheduler puts into its next frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The network.
    pub network_id: NetworkId,
    /// The epoch in force at `control_height`.
    pub epoch: Epoch,
    /// Height of the Origin's log that the scheduler has applied.
    pub control_height: u64,
    /// Unhosted since the last frame's control height, in ascending order.
    pub closed: Vec<Closed>,
    /// Of the newest certified ancestor, if newer than the one carried last; two of a crossing.
    pub certificates: Vec<Certificate>,
    /// Entries, assignments, items.
    pub body: Body,
    /// The scheduler's clock. Raised to the chain's if it is below.
    pub now: Timestamp,
    /// Arweave height and block seen. The height is raised to the chain's if it is below.
    pub block: (u64, [u8; 48]),
}

impl Draft {
    /// A frame of a network of one: no committee, no Origin, no certificates.
    pub fn alone(network_id: NetworkId, body: Body, now: Timestamp, block: (u64, [u8; 48])) -> Self {
        Self { network_id, epoch: Epoch(0), control_height: 0, closed: Vec::new(), certificates: Vec::new(), body, now, block }
    }
}

impl ChainTip {
    /// A chain without frames.
    pub fn opened(chain: Chain) -> Self {
        Self {
            chain,
            next_sequence: 0,
            parent: chain.id(),
            epoch: None,
            timestamp: Timestamp(0),
            block_height: 0,
            control_height: 0,
            carried: None,
            history: History::default(),
            recent: VecDeque::new(),
        }
    }

    /// The last frame is the first of its epoch, in a chain that began before: nothing is built on it until both of its certificates
    /// are there (`consensus.md` §8).
    pub fn at_crossing(&self) -> bool {
        self.recent.back().is_some_and(|last| last.crossing)
    }

    /// Whether a frame that carries no newer certificate would be more than [`WINDOW`] behind the ancestor certified last.
    pub fn window_is_full(&self) -> bool {
        self.next_sequence >= self.window_end(self.carried)
    }

    fn window_end(&self, carried: Option<u64>) -> u64 {
        carried.map_or(0, |sequence| sequence.saturating_add(1)).saturating_add(WINDOW)
    }

    /// The frame of the last [`WINDOW`] frames with this sequence.
    pub fn recent(&self, sequence: u64) -> Option<&Recent> {
        let back = self.next_sequence.checked_sub(sequence)?.checked_sub(1)?;
        self.recent.iter().rev().nth(usize::try_from(back).ok()?)
    }

    /// Builds the frame after this tip, and the tip after that frame. Time and height are raised to the chain's if they are below.
    ///
    /// Whether there is something to say, and whether the window or a crossing makes the scheduler wait, is [`crate::pace`]'s question.
    pub fn build(&self, draft: Draft) -> Result<Built, FrameError> {
        let Draft { network_id, epoch, control_height, closed, certificates, body, now, block } = draft;
        let payload = body.encode();
        crate::frame::check_counts(body.entries.len(), payload.len())?;
        let header = FrameHeader {
            network_id,
            epoch,
            chain: self.chain,
            sequence: self.next_sequence,
            parent: self.parent,
            certificates,
            control_height,
            closed,
            entries_root: entries_root(&body.entries),
            entry_count: body.entries.len() as u32,
            payload_bytes: payload.len() as u32,
            payload_root: payload_root(&payload),
            history_root: self.history.root(),
            block_height: block.0.max(self.block_height),
            block_id: block.1,
            timestamp: now.max(self.timestamp),
        };
        let id = header.id();
        let tip = self.extended(&header, id);
        Ok(Built { frame: Frame { header, entries: body.entries }, id, payload: payload.into(), tip })
    }

    /// The tip after a frame that was found to follow this one.
    fn extended(&self, header: &FrameHeader, id: FrameId) -> Self {
        let mut next = self.clone();
        next.next_sequence = header.sequence.saturating_add(1);
        next.parent = id;
        next.epoch = Some(header.epoch);
        next.timestamp = header.timestamp;
        next.block_height = header.block_height;
        next.control_height = header.control_height;
        next.carried = header.certificates.first().and_then(Certificate::frame).map(|(_, sequence, _)| sequence).or(self.carried);
        next.history.push(&id);
        let crossing = self.epoch.is_some_and(|epoch| epoch != header.epoch);
        next.recent.push_back(Recent { frame: id, epoch: header.epoch, crossing });
        while next.recent.len() as u64 > WINDOW {
            next.recent.pop_front();
        }
        next
    }

    /// Whether the header of id `id` may follow, by the rules that need nothing but the frames before; the tip after it.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn follow(&self, network_id: NetworkId, header: &FrameHeader, id: FrameId) -> Result<Self, Refusal> {
        self.follow_knowing(None, network_id, header, id)
    }

    /// The same for whoever knows up to where frames are confirmed. An engine whose frames carry no certificates opens the window by that.
    /// What a frame may carry, and the tip after it, depend on the frames before alone: a node that learnt early that the last one is
    /// confirmed must take the next one, which carries the certificate of that very frame.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn follow_knowing(
        &self,
        confirmed: Option<u64>,
        network_id: NetworkId,
        header: &FrameHeader,
        id: FrameId,
    ) -> Result<Self, Refusal> {
        let refuse = |refusal| Err(refusal);
        if header.network_id != network_id {
            return refuse(Refusal::Network { expected: network_id, found: header.network_id });
        }
        if header.chain != self.chain || header.sequence != self.next_sequence || header.parent != self.parent {
            return refuse(Refusal::Parent { sequence: header.sequence, expected: self.parent, found: header.parent });
        }
        for (what, before, found) in [
            ("timestamp", self.timestamp.0, header.timestamp.0),
            ("block height", self.block_height, header.block_height),
            ("control height", self.control_height, header.control_height),
        ] {
            if found < before {
                return refuse(Refusal::Falls { what, before, found });
            }
        }
        if let Some(before) = self.epoch.filter(|before| header.epoch != *before && header.epoch != before.next()) {
            return refuse(Refusal::EpochStep { before, found: header.epoch });
        }
        if header.history_root != self.history.root() {
            return refuse(Refusal::History { expected: FrameId(self.history.root()), found: FrameId(header.history_root) });
        }
        self.check_carried(header, confirmed)?;
        if chunk_count(header.payload_bytes) == 0 || header.entry_count as usize > FRAME_ENTRIES_MAX {
            return refuse(Refusal::Payload { entries: header.entry_count, bytes: header.payload_bytes });
        }
        Ok(self.extended(header, id))
    }

    /// Certificates carried: of one ancestor, newer than the one carried before, one for each committee that certifies it; within the
    /// window; and both of a crossing before anything is built on it. Signatures are not looked at here.
    fn check_carried(&self, header: &FrameHeader, confirmed: Option<u64>) -> Result<(), Refusal> {
        let carried = match header.certificates.first() {
            None => self.carried,
            Some(first) => {
                let bad = || Refusal::Carried { sequence: header.sequence };
                let (chain, sequence, frame) = first.frame().ok_or_else(bad)?;
                let ancestor = self.recent(sequence).filter(|recent| recent.frame == frame && chain == self.chain).ok_or_else(bad)?;
                if self.carried.is_some_and(|before| sequence <= before) {
                    return Err(bad());
                }
                let found: Vec<Epoch> = header.certificates.iter().map(|certificate| certificate.epoch).collect();
                let same = header.certificates.iter().all(|certificate| certificate.statement == first.statement);
                if !same || found != certifying_epochs(ancestor) {
                    return Err(bad());
                }
                Some(sequence)
            }
        };
        let carried = carried.max(confirmed);
        if self.at_crossing() && carried.is_none_or(|sequence| sequence.saturating_add(1) != self.next_sequence) {
            return Err(Refusal::OverCrossing { sequence: header.sequence });
        }
        let end = self.window_end(carried);
        if header.sequence >= end { Err(Refusal::Window { sequence: header.sequence, carried, window: WINDOW }) } else { Ok(()) }
    }
}

/// Which committees certify a frame: that of its epoch, and at a crossing also the one before, which comes first.
pub fn certifying_epochs(frame: &Recent) -> Vec<Epoch> {
    let before = frame.crossing.then(|| Epoch(frame.epoch.0.saturating_sub(1)));
    before.into_iter().chain([frame.epoch]).collect()
}

/// A frame that was just built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The frame.
    pub frame: Frame,
    /// Its id.
    pub id: FrameId,
    /// Its body's canonical bytes.
    pub payload: bytes::Bytes,
    /// Where the chain stands after it.
    pub tip: ChainTip,
}

const _: () = assert!(CERTIFICATES_MAX == 2, "a frame is certified by one committee, a crossing by two");

impl Canonical for Recent {
    fn write(&self, out: &mut Vec<u8>) {
        self.frame.write(out);
        self.epoch.write(out);
        out.push(u8::from(self.crossing));
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { frame: FrameId::read(reader)?, epoch: Epoch::read(reader)?, crossing: reader.flag("crossing")? })
    }
}

/// Version byte of a stored tip.
const TIP_VERSION: u8 = 1;

/// Kept beside each frame: about 0.3 to 1.4 KiB.
impl Canonical for ChainTip {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(TIP_VERSION);
        self.chain.write(out);
        self.next_sequence.write(out);
        self.parent.write(out);
        write_option(out, self.epoch.as_ref());
        self.timestamp.0.write(out);
        self.block_height.write(out);
        self.control_height.write(out);
        write_option(out, self.carried.as_ref());
        self.history.write(out);
        out.extend_from_slice(&(self.recent.len() as u32).to_be_bytes());
        self.recent.iter().for_each(|recent| recent.write(out));
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.version("a chain's tip", TIP_VERSION)?;
        Ok(Self {
            chain: Chain::read(reader)?,
            next_sequence: reader.u64()?,
            parent: FrameId::read(reader)?,
            epoch: reader.option("epoch of a tip")?,
            timestamp: Timestamp(reader.u64()?),
            block_height: reader.u64()?,
            control_height: reader.u64()?,
            carried: reader.option("carried certificate of a tip")?,
            history: History::read(reader)?,
            recent: reader.list("recent frames of a tip", WINDOW as usize)?.into(),
        })
    }
}

#[cfg(test)]
mod tests;
