//! One process, whoever schedules it: its own item says whose word its order is.

use std::collections::BTreeSet;

use ao_arweave::limits::RECOVER_ROUNDS_MAX;
use ao_arweave::records::{RangeRecord, Record};
use ao_arweave::recover::depot::Depot;
use ao_arweave::recover::{Archive, Log, RecoverError, seek};
use ao_storage::schema::{self, AnchorHead};
use ao_storage::{Store, WriteBatch};
use ao_types::message::OnBoot;
use ao_types::{Address, Id, Process, Slot};

use super::gather::Gather;
use super::rows::{Writer, confirmed};
use super::{Error, Hole, Outcome, Progress, Stage, Told, accept, item};
use crate::chain::DevGenesis;

/// Finds, checks and writes it.
pub async fn recover(
    gather: &mut Gather,
    store: &dyn Store,
    process: &Id,
    own: &Address,
    up_to_hole: bool,
    told: Told<'_>,
) -> Result<Outcome, Error> {
    seek(gather, process, told).await?;
    let log = gather.archive.log(process, &gather.depot)?;
    let holes = holes(gather, process, &log)?;
    accept(&holes, up_to_hole)?;
    write(gather, store, process, own, &log, told)?;
    let processes = vec![(*process, log.entries.len() as u64)];
    Ok(Outcome { processes, holes, contradictions: log.contradictions, ..Outcome::default() })
}

/// Asks indexes until they have nothing more, then reads blocks if something is missing still.
async fn seek(gather: &mut Gather, process: &Id, told: Told<'_>) -> Result<(), Error> {
    let mut asked: BTreeSet<Id> = BTreeSet::new();
    if gather.every_block() {
        gather.blocks(told).await?;
    }
    for round in 0..RECOVER_ROUNDS_MAX {
        told(Progress { stage: Stage::Seek, done: round as u64, of: 0 });
        let wanted = wanted(gather, process)?;
        let unasked: Vec<Id> = wanted.iter().filter(|id| asked.insert(**id)).copied().collect();
        let mut any = false;
        if !unasked.is_empty() {
            let sought = seek::items(&gather.client, &unasked).await;
            any |= gather.take(sought, told).await?;
        }
        if round == 0 && !gather.every_block() {
            let heights = gather.heights;
            let mut sought = seek::ranges(&gather.client, process, heights).await;
            if gather.states {
                sought = sought.and(seek::states(&gather.client, process, heights).await);
            }
            if let Some(scheduler) = gather.archive.scheduler(process).copied() {
                sought = sought.and(seek::assignments(&gather.client, process, &scheduler, heights).await);
            }
            any |= gather.take(sought, told).await?;
        }
        if !any {
            let whole = wanted.is_empty() && gather.archive.log(process, &gather.depot).is_ok_and(|log| !log.end.is_hole());
            // Nobody's index knows more: blocks do.
            if whole || !gather.blocks(told).await? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Items that are named and not here.
fn wanted(gather: &Gather, process: &Id) -> Result<BTreeSet<Id>, Error> {
    let mut wanted = needs(&gather.archive, &gather.depot, process, &gather.known_modules)?;
    if let Some(scheduler) = gather.archive.scheduler(process) {
        wanted.extend(gather.archive.unseen(process, scheduler));
    }
    Ok(wanted)
}

/// The process, its module and what it boots from, as far as they are not here.
pub fn needs(archive: &Archive, depot: &Depot, process: &Id, known: &[Id]) -> Result<BTreeSet<Id>, Error> {
    let mut wanted = BTreeSet::from([*process]);
    if let Some(own) = item(archive, depot, process)? {
        // One that is no process has no module either; that is said when its log is asked for.
        if let Ok(view) = Process::read(&own) {
            wanted.insert(view.module);
            wanted.extend(view.on_boot.and_then(|boot| if let OnBoot::Item(boot) = boot { Some(boot) } else { None }));
        }
    }
    wanted.retain(|id| !archive.has(id) && !known.contains(id));
    Ok(wanted)
}

fn holes(gather: &Gather, process: &Id, log: &Log) -> Result<Vec<Hole>, Error> {
    if log.entries.is_empty() {
        return Err(RecoverError::NoProcess(*process).into());
    }
    let hole = |what: String| Hole { of: format!("process {process}"), what };
    let mut holes: Vec<Hole> = log.end.is_hole().then(|| hole(log.end.to_string())).into_iter().collect();
    let needed = needs(&gather.archive, &gather.depot, process, &gather.known_modules)?;
    holes.extend(needed.into_iter().map(|id| hole(format!("item {id}, without which it cannot be evaluated, is missing"))));
    holes.extend(gather.missing.iter().map(|id| hole(format!("nobody has the data of transaction {id}"))));
    Ok(holes)
}

/// Everything of a log that is not in the store yet.
fn write(gather: &Gather, store: &dyn Store, process: &Id, own: &Address, log: &Log, told: Told<'_>) -> Result<(), Error> {
    let mut writer = Writer::new(store, &gather.archive, &gather.depot, *own)?;
    let of = log.entries.len() as u64;
    let from = match schema::HEADS.get(store, process)? {
        None => 0,
        Some(head) => {
            let same = log.entries.get(head.slot.0 as usize).is_some_and(|entry| entry.assignment == head.assignment);
            if !same {
                return Err(Error::Another { process: *process, slot: head.slot });
            }
            head.slot.0 as usize + 1
        }
    };
    for entry in log.entries.get(from..).unwrap_or_default() {
        let missing = |id: Id| Error::Slot { process: *process, slot: entry.slot, why: format!("item {id} is not here any more") };
        let ready = writer.read(*process, entry.slot, &entry.assignment, &entry.item)?.map_err(missing)?;
        if entry.slot == Slot(0) {
            modules(gather, &mut writer, process, &ready.read)?;
        }
        writer.put(ready)?;
        if writer.is_full() {
            writer.flush()?;
            told(Progress { stage: Stage::Write, done: entry.slot.0 + 1, of });
        }
    }
    if let Some(last) = log.entries.last() {
        confirmed(&mut writer.batch, process, last.slot);
    }
    anchored(gather, &mut writer.batch, process, (&log.scheduler, &[log.scheduler].into()), |slot| {
        log.entries.get(slot.0 as usize).map(|entry| (entry.item, entry.assignment))
    })?;
    embedded_chain(gather, &mut writer, process, &log.scheduler)?;
    writer.flush()?;
    told(Progress { stage: Stage::Write, done: of, of });
    Ok(())
}

/// The chain whose blocks the log's scheduler went by, as its records of the log say: block crons come at those blocks, and heights go on
/// from there. The first record counts; one that cannot have given the log's heights does not. Without any, whoever starts begins a chain.
fn embedded_chain(gather: &Gather, writer: &mut Writer<'_>, process: &Id, scheduler: &Address) -> Result<(), Error> {
    let Some(head) = writer.head(process)? else { return Ok(()) };
    let mut first: Option<(Slot, DevGenesis)> = None;
    for claim in gather.archive.ranges(process, &[*scheduler].into()) {
        let Some(found) = item(&gather.archive, &gather.depot, &claim.id)? else { continue };
        let Some(Ok(Record::Range(record))) = Record::read(&found) else { continue };
        let said = found.tag(DevGenesis::TAG).and_then(DevGenesis::parse);
        let Some(chain) = said.filter(|chain| chain.can_give(head.timestamp_ms, head.block_height)) else { continue };
        if first.is_none_or(|(from, _)| record.from < from) {
            first = Some((record.from, chain));
        }
    }
    if let Some((_, chain)) = first {
        schema::DEV_GENESIS.put(&mut writer.batch, &chain.into());
    }
    Ok(())
}

/// What a process is evaluated with.
pub fn modules(gather: &Gather, writer: &mut Writer<'_>, process: &Id, first: &ao_consensus::checks::contents::Read) -> Result<(), Error> {
    let Some(own) = item(&gather.archive, &gather.depot, process)? else { return Ok(()) };
    let Ok(view) = Process::read(&own) else { return Ok(()) };
    let boot = view.on_boot.and_then(|boot| if let OnBoot::Item(boot) = boot { Some(boot) } else { None });
    let content = first.assignment().content();
    for id in std::iter::once(view.module).chain(boot) {
        if let Some(found) = item(&gather.archive, &gather.depot, &id)? {
            if id == view.module {
                // It is on Arweave: nobody need anchor it again.
                schema::ANCHOR_ITEMS.put(&mut writer.batch, &id, &bytes::Bytes::new());
            }
            writer.put_item(&found, content.timestamp_ms, content.block_height)?;
        }
    }
    Ok(())
}

/// How far a process is anchored, by the records of its scheduler and of those who may stand in for it, and what its results should be: nothing is anchored twice, and whoever
/// evaluates compares. `slot` tells item and assignment of a recovered slot: a record that says otherwise is not followed.
pub fn anchored(
    gather: &Gather,
    batch: &mut WriteBatch,
    process: &Id,
    (scheduler, signers): (&Address, &BTreeSet<Address>),
    slot: impl Fn(Slot) -> Option<(Id, Id)>,
) -> Result<(), Error> {
    let mut last: Option<(Id, RangeRecord)> = None;
    let mut ranges: BTreeSet<Slot> = BTreeSet::new();
    for claim in gather.archive.ranges(process, signers) {
        let Some(found) = item(&gather.archive, &gather.depot, &claim.id)? else { continue };
        let Some(Ok(Record::Range(record))) = Record::read(&found) else { continue };
        let at = |first: Slot, place: usize| Slot(first.0.saturating_add(place as u64));
        let holds = record.slots.iter().enumerate().all(|(place, known)| slot(at(record.from, place)).as_ref() == Some(known));
        if !holds {
            continue;
        }
        // What results should be is the word of who computed them first.
        let hashes = record.results.1.iter().enumerate().filter(|_| claim.signer == *scheduler);
        for (place, hash) in hashes {
            schema::ANCHORED_RESULTS.put(batch, &(*process, at(record.results.0, place)), &Id(hash.0));
        }
        ranges.insert(record.from);
        if last.as_ref().is_none_or(|(_, before)| before.to() < record.to()) {
            last = Some((claim.id, record));
        }
    }
    let Some((id, record)) = last else { return Ok(()) };
    let results = Slot(record.results.0.0.saturating_add(record.results.1.len() as u64));
    let head = AnchorHead { next: record.to().next(), range: Some(id), ranges: ranges.len() as u64, results };
    schema::ANCHOR_HEADS.put(batch, process, &head);
    schema::ANCHORED.put(batch, process, &record.to());
    Ok(())
}
