//! Decided blocks: committed, remembered, given to those who missed them, taken from those who did not.

use std::sync::Arc;

use ao_consensus::block::Block;
use ao_consensus::effect::ARCHIVE;
use ao_consensus::evidence::{SignedVote as EvidenceVote, VoteSignature};
use ao_consensus::{Decided as DecidedOps, Effect, Evidence, Offence, Proof, Recall, Record, Timestamp, To, VerifyError};
use ao_types::codec::Canonical;
use ao_types::{Certificate, Epoch, PeerId};
use arc_malachitebft_core_types::SignedVote;
use bytes::Bytes;

use super::bodies::Deciding;
use super::rounds::WAL_KEY;
use super::{Engine, penalise, remember, send};
use crate::context::{Bft, Height};
use crate::driver::Driver;
use crate::judge::Head;
use crate::limits::{OWED_MAX, RECALLS_MAX, SYNC_BLOCKS_MAX, SYNC_BYTES_MAX};
use crate::message::{Decided, Message};
use crate::signing::vote_statement;
use crate::sync::Step;
use crate::values::{block_id, check_shape};

const BLOCK_KEY: &str = "bft/block/";

/// A block takes the place of the one so many heights before it.
fn key_of(height: u64, recent: usize) -> String {
    format!("{BLOCK_KEY}{:04x}", height % recent as u64)
}

/// Where a block is that left its place: kept for whoever was away for long.
fn archive_key(height: u64) -> String {
    format!("bft/{ARCHIVE}{height:016x}")
}

impl Engine {
    /// A block is decided. The certificate holds, and the block follows the head.
    pub(super) fn commit(&mut self, now: Timestamp, block: Block, certificate: Certificate, out: &mut Vec<Effect>) {
        self.report(certificate.epoch, out);
        let (height, id) = (Height(block.header.height), block_id(&block));
        let bytes: Bytes = Decided { block: block.clone(), certificate: certificate.clone() }.encode().into();
        self.recent.insert(height.0, bytes.clone());
        // Before its place is taken: what a crash leaves is a front part of what is remembered.
        while self.recent.len() > self.settings.recent_blocks {
            if let Some((oldest, bytes)) = self.recent.pop_first() {
                remember(archive_key(oldest), bytes.to_vec(), Vec::new(), out);
            }
        }
        remember(key_of(height.0, self.settings.recent_blocks), bytes.to_vec(), Vec::new(), out);
        self.note_frames(&block, &certificate);
        self.head = Head { height, id, time: block.header.time };
        self.head_since = now;
        self.deciding = Deciding::default();
        self.old_log.clear();
        self.bound.retain(|row| row.position.height > height.0);
        self.driver.iter_mut().for_each(Driver::stop);
        self.ops.decided(&block.ops);
        self.announce = Some((now.plus_ms(self.settings.announce_ms), 0));
        out.push(Effect::Decided(DecidedOps { height: height.0, time: block.header.time, ops: block.ops }));
        self.judge_frames(now);
        self.confirm(now, out);
    }

    /// Whether nothing more may be decided here: what is decided has to be written first, and a block whose frames are still lacking must
    /// not be replaced by a new one, for after a crash nothing else tells of it.
    pub(super) fn is_full(&self) -> bool {
        let oldest = self.frames.oldest_owed().unwrap_or(u64::MAX);
        self.outbox.is_busy() || oldest.saturating_add(self.settings.recent_blocks as u64) <= self.next_height().0
    }

    /// Notes what a block decides of each chain. Frames that were noted or confirmed before are passed over.
    fn note_frames(&mut self, block: &Block, certificate: &Certificate) {
        for (index, frame) in block.frames.iter().enumerate() {
            let next = self.frames.head(&frame.chain).0 == frame.sequence;
            let Some(path) = next.then(|| block.frame_path(index)).flatten() else { continue };
            let header = Box::new(block.header.clone());
            let proof = Proof::Block { block: header, index: index as u32, path, certificate: certificate.clone() };
            self.frames.decide(frame, block.header.height, Arc::new(proof));
        }
    }

    /// Two votes of one member in one step of one round.
    fn report(&mut self, epoch: Epoch, out: &mut Vec<Effect>) {
        let Some(driver) = self.driver.as_mut().filter(|driver| driver.is_running()) else { return };
        let shown = |vote: &SignedVote<Bft>| EvidenceVote {
            statement: vote_statement(&vote.message),
            key: vote.message.voter.0,
            epoch,
            signature: VoteSignature::Bls(vote.signature.0),
        };
        for (_, pairs) in driver.take_evidence().votes.iter() {
            for (one, two) in pairs {
                out.push(Effect::Evidence(Box::new(Evidence::TwoVotes(Box::new((shown(one), shown(two)))))));
            }
        }
    }

    pub(super) fn on_want_blocks(&mut self, now: Timestamp, from: PeerId, height: Height, out: &mut Vec<Effect>) {
        if let Some((oldest, _)) = self.recent.first_key_value().filter(|(oldest, _)| height.0 < **oldest) {
            return self.recall(now, from, height, *oldest, out);
        }
        let (mut blocks, mut bytes) = (Vec::new(), 0);
        for (expected, (found, encoded)) in (height.0..=u64::MAX).zip(self.recent.range(height.0..)) {
            bytes += encoded.len();
            let room = blocks.len() < SYNC_BLOCKS_MAX && (bytes <= SYNC_BYTES_MAX || blocks.is_empty());
            let Some(decided) = Decided::decode(encoded).ok().filter(|_| *found == expected && room) else { break };
            blocks.push(decided);
        }
        send(To::Peer(from), &Message::Blocks(blocks), out);
    }

    /// Blocks from before those in memory: read from the disk, one answer for each peer at a time and for a few at once.
    fn recall(&mut self, now: Timestamp, whom: PeerId, from: Height, oldest: u64, out: &mut Vec<Effect>) {
        self.recalling.retain(|_, (_, until)| *until > now);
        if self.recalling.len() >= RECALLS_MAX || self.recalling.contains_key(&whom) {
            return;
        }
        self.recalling.insert(whom.clone(), (from, now.plus_ms(self.settings.sync_ms)));
        let (from, to) = (archive_key(from.0), archive_key(oldest));
        out.push(Effect::Recall(Recall { whom, from, to, count: SYNC_BLOCKS_MAX, bytes: SYNC_BYTES_MAX }));
    }

    /// They are here, as far as this node ever had them.
    pub(super) fn on_recalled(&mut self, whom: PeerId, records: &[Record], out: &mut Vec<Effect>) {
        let Some((from, _)) = self.recalling.remove(&whom) else { return };
        let decoded = records.iter().map_while(|record| Decided::decode(&record.value).ok());
        let unbroken = (from.0..=u64::MAX).zip(decoded).take_while(|(height, decided)| decided.block.header.height == *height);
        let blocks = unbroken.map(|(_, decided)| decided).collect();
        send(To::Peer(whom), &Message::Blocks(blocks), out);
    }

    pub(super) fn on_blocks(&mut self, now: Timestamp, from: &PeerId, blocks: Vec<Decided>, out: &mut Vec<Effect>) {
        let Some(first) = blocks.first().map(|decided| Height(decided.block.header.height)) else {
            return self.sync.forget(from);
        };
        if !self.sync.answered(from, first) {
            return;
        }
        // Some may have been decided here meanwhile.
        let fresh: Vec<Decided> = blocks.into_iter().filter(|decided| decided.block.header.height > self.head.height.0).collect();
        let certificates: Vec<&Certificate> = fresh.iter().map(|decided| &decided.certificate).collect();
        let verdicts = self.rosters.verify_certificates(&certificates);
        for (Decided { block, certificate }, verdict) in fresh.into_iter().zip(verdicts) {
            let follows = block.header.height == self.next_height().0 && block.header.parent == self.head.id.into();
            let round = if let ao_types::Statement::Block { round, .. } = certificate.statement { Some(round) } else { None };
            let own = round.is_some_and(|round| block.header.statement(round) == certificate.statement);
            if matches!(verdict, Err(VerifyError::UnknownEpoch { .. })) {
                // The Origin is not applied so far here. Asked for again later.
                return;
            }
            let committee = self.seats().is_some_and(|seats| seats.epoch() == certificate.epoch);
            #[cfg(any(test, feature = "mutations"))]
            let committee = committee || crate::mutation::is(crate::mutation::Mutation::ForeignEpoch);
            if !follows || !own || !committee || verdict.is_err() || check_shape(&block).is_err() {
                self.sync.forget(from);
                return penalise(from, Offence::BadSignature, out);
            }
            if self.is_full() {
                return;
            }
            self.commit(now, block, certificate, out);
        }
    }

    pub(super) fn catch_up(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        // More decisions are of no use before the frames of those that are here have come, or before the disk follows.
        if self.frames.owed() > OWED_MAX || self.is_full() {
            return;
        }
        for step in self.sync.step(now, self.head.height, self.settings.sync_ms) {
            match step {
                Step::Ask(peer, height) => send(To::Peer(peer), &Message::WantBlocks(height), out),
                Step::Silent(peer) => penalise(&peer, Offence::Withheld, out),
            }
        }
    }

    /// Reads back what was remembered. What was decided above `told` is told once more.
    pub(super) fn restore(&mut self, records: Vec<Record>, told: u64) {
        let mut blocks = Vec::new();
        for Record { key, value, .. } in records {
            if let Some(number) = key.strip_prefix(WAL_KEY).and_then(|number| u32::from_str_radix(number, 16).ok()) {
                self.old_log.insert(number, value);
            } else if key.starts_with(BLOCK_KEY)
                && let Ok(decided) = Decided::decode(&value)
            {
                blocks.push((decided, value));
            }
        }
        blocks.sort_by_key(|(decided, _)| decided.block.header.height);
        for (Decided { block, certificate }, value) in blocks {
            let (height, id) = (Height(block.header.height), block_id(&block));
            self.head = Head { height, id, time: block.header.time };
            self.recent.insert(height.0, value);
            // Frames that the node has confirmed are behind their chain's tip, and not noted again.
            self.note_frames(&block, &certificate);
            if height.0 > told {
                self.untold.push(DecidedOps { height: height.0, time: block.header.time, ops: block.ops });
            }
        }
        // What is left of an earlier height says nothing about the next one.
        let next = self.next_height();
        let (log, keep) = (&self.old_log, |bytes: &Bytes| crate::wal::read_record(bytes).is_ok_and(|(height, _, _)| height == next));
        if !log.values().any(keep) {
            self.old_log.clear();
        }
    }
}
