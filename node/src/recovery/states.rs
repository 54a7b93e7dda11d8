//! From a log that was recovered to a state to begin at: the newest one on Arweave that holds.
//!
//! Records count that schedulers of the network signed (on a network of one, the process's own): others could bury the true one. A state is
//! believed for its certificate alone (on a network of one, for that scheduler's word), and only where it is one of the very log that was
//! recovered: assignment, hash chain and time at its slot, the memory's digest, the root that was certified. What does not hold is passed over
//! for the next older, and said; where none holds the log is evaluated from its beginning, which needs no state.

use std::collections::BTreeSet;

use ao_arweave::records::{Record, StateRecord};
use ao_consensus::Rosters;
use ao_storage::schema::{self, AnchoredStateRow, CertifiedStateRow, CheckpointRow};
use ao_storage::{Durability, Store, WriteBatch};
use ao_types::checkpoint::CheckpointRecord;
use ao_types::{Address, Id, Slot};
use ao_vm::{HOST_ABI, Vm};

use super::gather::Gather;
use super::{Error, Progress, Stage, Told, item};
use crate::limits::{ANCHOR_STATE_BYTES_MAX, RECOVER_STATES_MAX};
use crate::shell::begin::{self, BeginError};
use crate::shell::modules::Modules;
use crate::states;

/// At which state a process begins, and why not at another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begins {
    /// Which process.
    pub process: Id,
    /// After which slot; `None`: from its beginning.
    pub slot: Option<Slot>,
    /// Records that were passed over, and why.
    pub passed: Vec<(Id, String)>,
}

/// Begins every process of the store at the newest state that holds.
pub fn begin_all(
    gather: &Gather,
    store: &dyn Store,
    vm: &dyn Vm,
    network: Option<(&Rosters, &BTreeSet<Address>)>,
    processes: &[(Id, u64)],
    told: Told<'_>,
) -> Result<Vec<Begins>, Error> {
    let (modules, of) = (Modules::default(), processes.len() as u64);
    let mut all = Vec::with_capacity(processes.len());
    for (done, (process, _)) in (0..).zip(processes) {
        told(Progress { stage: Stage::States, done, of });
        all.push(begin(gather, store, vm, &modules, network, *process)?);
    }
    told(Progress { stage: Stage::States, done: of, of });
    Ok(all)
}

fn begin(
    gather: &Gather,
    store: &dyn Store,
    vm: &dyn Vm,
    modules: &Modules,
    network: Option<(&Rosters, &BTreeSet<Address>)>,
    process: Id,
) -> Result<Begins, Error> {
    let own = gather.archive.scheduler(&process).copied().into_iter().collect();
    let (rosters, signers) = network.map_or((None, &own), |(rosters, schedulers)| (Some(rosters), schedulers));
    // A run before this one may have come so far.
    let slot = schema::BACKFILLS.get(store, &process)?.map(|row| row.slot);
    let mut begins = Begins { process, slot, passed: Vec::new() };
    if slot.is_some() {
        return Ok(begins);
    }
    for claim in gather.archive.states(&process, signers) {
        if begins.passed.len() >= RECOVER_STATES_MAX {
            begins.passed.push((claim.id, format!("{RECOVER_STATES_MAX} do not hold: no more are looked at")));
            break;
        }
        let taken = read(gather, store, &process, &claim.id, rosters);
        let taken = taken.and_then(|read| take(store, vm, modules, &claim.id, read));
        match taken {
            Ok(slot) => {
                begins.slot = Some(slot);
                break;
            }
            Err(Untaken::Store(error)) => return Err(error.into()),
            Err(Untaken::Passed(why)) => begins.passed.push((claim.id, why)),
        }
    }
    Ok(begins)
}

/// Why a state is not begun at.
enum Untaken {
    Passed(String),
    Store(ao_storage::Error),
}

impl From<ao_storage::Error> for Untaken {
    fn from(error: ao_storage::Error) -> Self {
        Self::Store(error)
    }
}

fn passed(why: impl std::fmt::Display) -> Untaken {
    Untaken::Passed(why.to_string())
}

/// A record that holds, with the item that it names.
struct Read {
    record: StateRecord,
    row: CertifiedStateRow,
    checkpoint: CheckpointRecord,
    gzip: bytes::Bytes,
    received_ms: u64,
}

/// A record whose certificate holds, where there is a committee, and its item as far as tags say.
fn read(gather: &Gather, store: &dyn Store, process: &Id, id: &Id, rosters: Option<&Rosters>) -> Result<Read, Untaken> {
    let found = |id: &Id| item(&gather.archive, &gather.depot, id).map_err(passed)?.ok_or_else(|| passed(format!("item {id} is not here")));
    let said = found(id)?;
    let Some(Ok(Record::State(record))) = Record::read(&said) else { return Err(passed("it cannot be read")) };
    if record.host_abi != HOST_ABI {
        return Err(passed(format!("it is of machine version {}, this one is {HOST_ABI}", record.host_abi)));
    }
    let row = CertifiedStateRow {
        schedule_epoch: record.schedule_epoch,
        result: record.result,
        state: record.state,
        host_abi: record.host_abi,
        computed: false,
        certificate: Some(record.certificate.clone()),
    };
    states::verify(rosters, *process, record.slot, &row).map_err(passed)?;
    let scheduled = schema::SCHEDULE.get(store, &(*process, record.slot))?;
    let Some(scheduled) = scheduled else { return Err(passed(format!("slot {} is behind the end of the log", record.slot))) };
    let carrier = found(&record.item)?;
    let checkpoint = CheckpointRecord::read(&carrier).map_err(passed)?;
    let module = schema::PROCESSES.get(store, process)?.map(|row| row.module);
    if (checkpoint.process, checkpoint.slot, Some(checkpoint.module)) != (*process, record.slot, module) {
        return Err(passed(format!("item {} is a state of something else", record.item)));
    }
    if checkpoint.content_encoding != "gzip" || checkpoint.cron_interval.is_some() || carrier.data().len() > ANCHOR_STATE_BYTES_MAX {
        return Err(passed(format!("item {} is of another form, or too large", record.item)));
    }
    let gzip = carrier.data_bytes();
    Ok(Read { record, row, checkpoint, gzip, received_ms: scheduled.timestamp_ms })
}

/// Unpacks it, restores it, and writes down that evaluation begins there.
fn take(store: &dyn Store, vm: &dyn Vm, modules: &Modules, id: &Id, read: Read) -> Result<Slot, Untaken> {
    let Read { record, row, checkpoint, gzip, received_ms } = read;
    let (process, slot) = (record.process, record.slot);
    let module = modules.load(store, checkpoint.module).map_err(|why| passed(why.message))?;
    let (unpacked, sha256) = vm.import(&module.source, &gzip).map_err(passed)?;
    if sha256 != checkpoint.sha256 {
        return Err(passed(format!("the memory of item {} has another digest than its tag says", record.item)));
    }
    if unpacked.root != record.state {
        return Err(passed(format!("the memory of item {} hashes to {}, certified is {}", record.item, unpacked.root, record.state)));
    }
    let placed = CheckpointRow {
        root: unpacked.root,
        parent: None,
        assignment: checkpoint.assignment,
        hash_chain: *checkpoint.hash_chain.as_bytes(),
        timestamp_ms: checkpoint.timestamp_ms,
        block_height: checkpoint.block_height,
        host_abi: record.host_abi,
        bytes: unpacked.bytes.len() as u64,
    };
    let mut begin = match begin::prove(store, vm, modules, process, slot, placed, unpacked.bytes) {
        Ok(begin) => begin,
        // Taken by an earlier run of this recovery.
        Err(BeginError::Further { evaluated, .. }) if evaluated == slot => return Ok(slot),
        Err(why) => return Err(passed(why)),
    };
    schema::CERTIFIED_STATES.put(&mut begin.also, &(process, slot), &row);
    let anchored = AnchoredStateRow { slot, state: record.state, at_ms: received_ms, record: *id };
    schema::ANCHORED_STATES.put(&mut begin.also, &process, &anchored);
    let mut batch = WriteBatch::default();
    begin::put(&mut batch, store, begin).map_err(passed)?;
    store.write(batch, Durability::Synced)?;
    Ok(slot)
}
