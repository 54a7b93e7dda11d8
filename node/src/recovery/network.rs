//! A whole network: its schedulers' chains of frames, and with them every slot of every process, in the order in which they were confirmed.
//!
//! A frame is taken if its scheduler signed it, it follows on the one before, its entries follow on the logs, everything in it is here, and
//! a certificate of the genesis's committee confirms it, or a later one that descends from it. Frames behind the last confirmed one are
//! taken as well, unconfirmed, as far as they are here: attestors have signed them, and whoever goes on must go on from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ao_arweave::client::said::quorum;
use ao_arweave::limits::{INDEX_HITS_MAX, RECOVER_ROUNDS_MAX};
use ao_arweave::records::{FrameRecord, FramesRecord, Record};
use ao_arweave::recover::seek;
use ao_consensus::checks::contents::{self, Log};
use ao_consensus::frame::FrameSignature;
use ao_consensus::schedule::Head;
use ao_consensus::{Chain, ChainTip, Confirmation, Entry, Frame, Proof, RawHeader, SignedHeader};
use ao_storage::schema::{self, AnchorChainRow, FrameKey, FrameRow};
use ao_storage::{Direction, Store};
use ao_types::{Address, Canonical as _, Id, Slot};

use super::gather::Gather;
use super::process::{anchored, modules, needs};
use super::rows::{Ready, Writer, confirmed};
use super::{Error, Hole, Network, Outcome, Progress, Stage, Told, accept, item};
use crate::limits::RECOVER_RECORDS_KEPT;

/// Finds, checks and writes it.
pub async fn recover(
    gather: &mut Gather,
    store: &dyn Store,
    network: &Network,
    own: &Address,
    up_to_hole: bool,
    told: Told<'_>,
) -> Result<Outcome, Error> {
    let schedulers = network.schedulers();
    seek(gather, network, &schedulers, told).await?;
    let mut outcome = Outcome::default();
    for scheduler in &schedulers {
        let chain = Chain { scheduler: *scheduler, tenure: 0 };
        let mut walk = Walk::new(gather, store, (network, &schedulers), chain, *own)?;
        walk.run(told)?;
        outcome.frames += walk.tip.next_sequence;
        outcome.holes.extend(walk.hole.take());
        let last = walk.confirmed_slots()?;
        for (process, slot) in last {
            let needed = needs(&gather.archive, &gather.depot, &process, &gather.known_modules)?;
            let hole = |id: Id| Hole {
                of: format!("process {process}"),
                what: format!("item {id}, without which it cannot be evaluated, is missing"),
            };
            outcome.holes.extend(needed.into_iter().map(hole));
            outcome.processes.push((process, slot.0 + 1));
        }
    }
    // A network that nobody ever wrote of, or whose gateways hide all of it: in neither case is an empty store what was asked for.
    if outcome.frames == 0 && outcome.holes.is_empty() {
        return Err(Error::Nothing);
    }
    let missing = gather.missing.iter();
    outcome.holes.extend(missing.map(|id| Hole { of: "the network".into(), what: format!("nobody has the data of transaction {id}") }));
    accept(&outcome.holes, up_to_hole)?;
    Ok(outcome)
}

/// Indexes first, blocks where they have nothing, where something is missing, and where the operator wants it.
async fn seek(gather: &mut Gather, network: &Network, schedulers: &BTreeSet<Address>, told: Told<'_>) -> Result<(), Error> {
    if !gather.every_block() {
        told(Progress { stage: Stage::Seek, done: 0, of: 0 });
        let sought = seek::network(&gather.client, &network.id, gather.heights, INDEX_HITS_MAX).await;
        // As many as must agree on anything: one that answers nothing hides everything.
        let silent = sought.answered < quorum(gather.client.gateways().len());
        gather.take(sought, told).await?;
        if silent {
            gather.blocks(told).await?;
        }
    } else {
        gather.blocks(told).await?;
    }
    let mut asked = BTreeSet::new();
    for round in 0..RECOVER_ROUNDS_MAX {
        let wanted = wanted(gather, schedulers)?;
        let unasked: Vec<Id> = wanted.iter().filter(|id| asked.insert(**id)).copied().collect();
        told(Progress { stage: Stage::Seek, done: round as u64, of: 0 });
        let mut any = false;
        if !unasked.is_empty() {
            let sought = seek::items(&gather.client, &unasked).await;
            any = gather.take(sought, told).await?;
        }
        if !any && (wanted.is_empty() && gather.missing.is_empty() || !gather.blocks(told).await?) {
            return Ok(());
        }
    }
    Ok(())
}

/// What frames and records name, and is not here.
fn wanted(gather: &Gather, schedulers: &BTreeSet<Address>) -> Result<BTreeSet<Id>, Error> {
    let (archive, depot) = (&gather.archive, &gather.depot);
    let mut wanted = BTreeSet::new();
    for scheduler in schedulers {
        for claim in archive.frames(scheduler, 0, schedulers) {
            wanted.extend(claim.previous.filter(|id| !archive.has(id)));
            let Some(record) = record(gather, &claim.id)? else { continue };
            for entry in record.frames.iter().filter_map(|frame| Frame::decode(&frame.frame).ok()).flat_map(|frame| frame.entries) {
                wanted.extend([entry.item, entry.assignment].into_iter().filter(|id| !archive.has(id)));
            }
        }
    }
    for (process, _) in archive.processes().filter(|(_, scheduler)| schedulers.contains(scheduler)) {
        wanted.extend(needs(archive, depot, process, &gather.known_modules)?);
        wanted.extend(archive.ranges(process, schedulers).into_iter().filter_map(|claim| claim.previous));
    }
    wanted.retain(|id| !archive.has(id));
    Ok(wanted)
}

fn record(gather: &Gather, id: &Id) -> Result<Option<FramesRecord>, Error> {
    let found = item(&gather.archive, &gather.depot, id)?;
    Ok(found.and_then(|item| match Record::read(&item) {
        Some(Ok(Record::Frames(record))) => Some(record),
        _ => None,
    }))
}

/// One chain, frame by frame.
struct Walk<'a> {
    gather: &'a Gather,
    store: &'a dyn Store,
    network: &'a Network,
    schedulers: &'a BTreeSet<Address>,
    chain: Chain,
    tip: ChainTip,
    writer: Writer<'a>,
    /// Records by the sequences that they say something of, those with a proof first.
    candidates: BTreeMap<u64, Vec<(bool, Id, usize)>>,
    /// The records that were read last.
    records: Vec<(Id, FramesRecord)>,
    /// The last frame that is confirmed.
    confirmed: Option<u64>,
    /// The highest sequence that a certificate covers.
    certified: Option<u64>,
    /// The record with the last confirmed frame.
    record: Option<Id>,
    /// Slots of confirmed frames that are in the batch.
    slots: BTreeMap<Id, Slot>,
    hole: Option<Hole>,
}

/// A frame that may be taken.
struct Taken {
    header: SignedHeader,
    entries: Vec<Entry>,
    ready: Vec<Ready>,
    tip: ChainTip,
    /// Up to where what confirms it reaches.
    reach: Option<u64>,
}

impl<'a> Walk<'a> {
    /// Goes on where the store ends.
    fn new(
        gather: &'a Gather,
        store: &'a dyn Store,
        (network, schedulers): (&'a Network, &'a BTreeSet<Address>),
        chain: Chain,
        own: Address,
    ) -> Result<Self, Error> {
        let writer = Writer::new(store, &gather.archive, &gather.depot, own)?;
        let mut candidates: BTreeMap<u64, Vec<(bool, Id, usize)>> = BTreeMap::new();
        for claim in gather.archive.frames(&chain.scheduler, chain.tenure, schedulers) {
            let Some(record) = record(gather, &claim.id)? else { continue };
            for (index, frame) in record.frames.iter().enumerate() {
                let sequence = record.from.saturating_add(index as u64);
                candidates.entry(sequence).or_default().push((frame.proof.is_empty(), claim.id, index));
            }
        }
        candidates.values_mut().for_each(|found| found.sort_unstable());
        let key = |sequence| FrameKey { scheduler: chain.scheduler, tenure: chain.tenure, sequence };
        let last = schema::FRAMES.range(store, &key(0), &key(u64::MAX), Direction::Backward, 1)?.pop();
        let tip = match &last {
            None => ChainTip::opened(chain),
            Some((at, row)) => ChainTip::decode(&row.tip).map_err(|error| ao_storage::Error::Corrupt {
                what: "frame".into(),
                place: format!("table frames, sequence {}", at.sequence),
                reason: error.to_string(),
            })?,
        };
        let confirmed = last.filter(|(_, row)| row.proof.is_some()).map(|(at, _)| at.sequence);
        let (records, slots) = (Vec::new(), BTreeMap::new());
        Ok(Self {
            gather,
            store,
            network,
            schedulers,
            chain,
            tip,
            writer,
            candidates,
            records,
            confirmed,
            certified: None,
            record: None,
            slots,
            hole: None,
        })
    }

    fn run(&mut self, told: Told<'_>) -> Result<(), Error> {
        let of = self.candidates.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
        loop {
            let sequence = self.tip.next_sequence;
            let Some(found) = self.candidates.remove(&sequence) else { break };
            let mut why = None;
            let mut taken = None;
            for (_, id, index) in found {
                let Some(frame) = self.frame(&id, index)? else { continue };
                match self.check(&frame)? {
                    Ok(good) => {
                        taken = Some((id, frame, good));
                        break;
                    }
                    Err(reason) => why = why.or(Some(reason)),
                }
            }
            let Some((id, frame, good)) = taken else {
                self.end(sequence, why.unwrap_or_else(|| "no record of it can be read".into()));
                break;
            };
            self.put(id, frame, good)?;
            if self.writer.is_full() {
                self.flush()?;
                told(Progress { stage: Stage::Write, done: sequence + 1, of });
            }
        }
        if self.hole.is_none() && !self.candidates.is_empty() {
            self.end(self.tip.next_sequence, "no record of it is here, and later ones are".into());
        }
        self.anchors()?;
        self.flush()?;
        told(Progress { stage: Stage::Write, done: self.tip.next_sequence, of });
        Ok(())
    }

    fn end(&mut self, sequence: u64, what: String) {
        self.hole = Some(Hole { of: format!("frame {sequence} of scheduler {}", self.chain.scheduler), what });
    }

    /// A frame of a record.
    fn frame(&mut self, id: &Id, index: usize) -> Result<Option<FrameRecord>, Error> {
        if let Some((_, record)) = self.records.iter().find(|(known, _)| known == id) {
            return Ok(record.frames.get(index).cloned());
        }
        let Some(record) = record(self.gather, id)? else { return Ok(None) };
        let found = record.frames.get(index).cloned();
        if self.records.len() >= RECOVER_RECORDS_KEPT {
            self.records.remove(0);
        }
        self.records.push((*id, record));
        Ok(found)
    }

    /// Everything that a node asks of a frame before it stores it, and what confirms it; the inner error says what does not hold.
    fn check(&self, record: &FrameRecord) -> Result<Result<Taken, String>, Error> {
        let said = |error: &dyn std::fmt::Display| Ok(Err(error.to_string()));
        let frame = match Frame::decode(&record.frame) {
            Ok(frame) => frame,
            Err(error) => return said(&error),
        };
        let signature = match FrameSignature::decode(&record.signature) {
            Ok(signature) => signature,
            Err(error) => return said(&error),
        };
        let header = match (RawHeader { header: frame.header, signature }).verify() {
            Ok(header) => header,
            Err(error) => return said(&error),
        };
        let tip = match self.tip.follow_knowing(self.confirmed, self.network.id, &header, header.id()) {
            Ok(tip) => tip,
            Err(refusal) => return said(&refusal),
        };
        let mut ready = Vec::with_capacity(frame.entries.len());
        for entry in &frame.entries {
            match self.writer.read(entry.process, entry.slot, &entry.assignment, &entry.item)? {
                Ok(one) => ready.push(one),
                Err(id) => return Ok(Err(format!("item {id} is missing"))),
            }
        }
        let reads: Vec<_> = ready.iter().map(|one| one.read.clone()).collect();
        let lawful = ready.iter().map(|one| ((one.process, one.item.id()), &one.lawful)).collect();
        let log = Before { walk: self, lawful };
        if let Err(refusal) = contents::check(&header, &frame.entries, &reads, &log) {
            return said(&refusal);
        }
        let reach = match self.reach(&header, record) {
            Ok(reach) => reach,
            Err(why) => return Ok(Err(why)),
        };
        Ok(Ok(Taken { header, entries: frame.entries, ready, tip, reach }))
    }

    /// How far the certificate reaches that confirms a frame; nothing for a frame that goes without.
    fn reach(&self, header: &SignedHeader, record: &FrameRecord) -> Result<Option<u64>, String> {
        if record.proof.is_empty() {
            return Ok(None);
        }
        let proof = Proof::decode(&record.proof).map_err(|error| error.to_string())?;
        let reach = match &proof {
            Proof::Chain { descendants, .. } => header.sequence.saturating_add(descendants.len() as u64),
            Proof::Alone | Proof::Block { .. } => header.sequence,
        };
        let confirmation = Confirmation { header: header.shared(), proof: Arc::new(proof) };
        ao_consensus::proof::verify(&confirmation, &self.network.rosters).map_err(|error| error.to_string())?;
        Ok(Some(reach))
    }

    /// The rows that a node writes when it follows, and when the engine confirms.
    fn put(&mut self, id: Id, record: FrameRecord, taken: Taken) -> Result<(), Error> {
        let Taken { header, entries, ready, tip, reach } = taken;
        let sequence = header.sequence;
        // Nothing behind a frame that is not confirmed is: records are read with proofs first.
        let proven =
            reach.is_some() && self.confirmed.is_none_or(|last| last + 1 == sequence) && (sequence == 0 || self.confirmed.is_some());
        for one in ready {
            let process = one.process;
            if one.read.assignment().content().slot == Slot(0) {
                modules(self.gather, &mut self.writer, &process, &one.read)?;
            }
            self.writer.put(one)?;
        }
        for entry in &entries {
            schema::FRAME_OF.put(&mut self.writer.batch, &(entry.process, entry.slot), &sequence);
            if proven {
                self.slots.insert(entry.process, entry.slot);
            }
        }
        let row = FrameRow {
            frame: record.frame,
            signature: record.signature,
            held: record.held,
            tip: tip.encode().into(),
            proof: proven.then_some(record.proof),
        };
        let key = FrameKey { scheduler: self.chain.scheduler, tenure: self.chain.tenure, sequence };
        schema::FRAMES.put(&mut self.writer.batch, &key, &row);
        if proven {
            (self.confirmed, self.record) = (Some(sequence), Some(id));
            self.certified = self.certified.max(reach);
        }
        self.tip = tip;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        for (process, slot) in std::mem::take(&mut self.slots) {
            confirmed(&mut self.writer.batch, &process, slot);
        }
        let chain = (self.chain.scheduler, self.chain.tenure);
        if let Some(certified) = self.certified.map(|reach| reach.min(self.tip.next_sequence.saturating_sub(1))) {
            schema::CERTIFIED.put(&mut self.writer.batch, &chain, &certified);
        }
        if let (Some(last), Some(record)) = (self.confirmed, self.record) {
            let row = AnchorChainRow { next: last + 1, record: Some(record) };
            schema::ANCHOR_CHAINS.put(&mut self.writer.batch, &chain, &row);
        }
        self.writer.flush()
    }

    /// How far each process of the chain is anchored.
    fn anchors(&mut self) -> Result<(), Error> {
        self.flush()?;
        for (process, _) in self.confirmed_slots()? {
            let slot = |slot: Slot| {
                let row = schema::SCHEDULE.get(self.store, &(process, slot)).ok().flatten()?;
                Some((row.item, row.assignment_id))
            };
            anchored(self.gather, &mut self.writer.batch, &process, (&self.chain.scheduler, self.schedulers), slot)?;
        }
        Ok(())
    }

    /// The chain's processes, and how far each is confirmed.
    fn confirmed_slots(&self) -> Result<Vec<(Id, Slot)>, Error> {
        let own = |process: &Id| self.gather.archive.scheduler(process) == Some(&self.chain.scheduler);
        let all = schema::CONFIRMED.all(self.store, Direction::Forward, usize::MAX)?;
        Ok(all.into_iter().filter(|(process, _)| own(process)).collect())
    }
}

/// The log before a frame.
struct Before<'a, 'w> {
    walk: &'a Walk<'w>,
    /// Whether each item may be where the frame puts it.
    lawful: BTreeMap<(Id, Id), &'a Result<(), String>>,
}

impl Log for Before<'_, '_> {
    fn hosts(&self, chain: &Chain, process: &Id, schedule_epoch: u64, _control_height: u64) -> bool {
        let gather = self.walk.gather;
        let named = item(&gather.archive, &gather.depot, process).ok().flatten();
        let scheduler = named.and_then(|item| Address::parse(item.tag("Scheduler")?).ok());
        schedule_epoch == 0 && scheduler == Some(chain.scheduler)
    }

    fn head(&self, process: &Id) -> Option<Head> {
        let head = self.walk.writer.head(process).ok().flatten()?;
        Some(crate::core::ingest::before(&head))
    }

    fn lawful(&self, process: &Id, item: &Id) -> Result<(), String> {
        self.lawful.get(&(*process, *item)).map_or_else(|| Err("nothing is known of it".to_owned()), |known| (*known).clone())
    }

    /// A quorum looked whether an item had a slot before. What is not confirmed yet, attestors look at when it is given to them again.
    fn has(&self, _process: &Id, _item: &Id) -> bool {
        false
    }
}
