//! Evaluation that begins at a state from elsewhere: what must hold of the state, and which rows say so.
//!
//! Owns the door through which a full checkpoint of another node comes into a store: [`prove`] is the only way to a [`Begin`], and it
//! compares the checkpoint with the log at its slot, restores it in the machine and computes its root. Refuses to judge whose word the root
//! is (certificates are the caller's to check, first), to execute anything of it, and to take back what was evaluated here: a process that
//! is evaluated further goes on as it is.
//!
//! From then on the evaluator goes on behind the slot, and what lies before is worked out beside it ([`super::backfill`]) and compared.
//! Until it is, those results are not here: [`gap`] says so to whoever asks.

use ao_storage::schema::{self, BackfillRow, BackfillStage, CheckpointRow};
use ao_storage::{Error, Store, WriteBatch};
use ao_types::checkpoint::CheckpointRecord;
use ao_types::{Assignment, DataItem, HashChain, Id, Slot, StateHash, Verified};
use ao_vm::{Checkpoint, HOST_ABI, Vm};
use bytes::Bytes;

use super::fold::{self, Stop};
use super::modules::{Modules, store_failed};
pub use crate::core::begin::Begin;
use crate::error::{Code, Rejection};

/// Why evaluation does not begin at a checkpoint. All but the last two are its bringer's fault.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The log does not reach it, or is not confirmed so far.
    #[error("the log of {process} is confirmed up to {confirmed:?}, the checkpoint is of slot {slot}")]
    BeyondLog {
        /// The process.
        process: Id,
        /// Of the checkpoint.
        slot: Slot,
        /// Of the log here.
        confirmed: Option<Slot>,
    },
    /// What it says of its slot is not what the log says.
    #[error("its {what} is {found}, that of slot {slot} in the log is {expected}")]
    OtherLog {
        /// Of the checkpoint.
        slot: Slot,
        /// Which part.
        what: &'static str,
        /// As the checkpoint says.
        found: String,
        /// As the log says.
        expected: String,
    },
    /// Another version of the machine wrote it.
    #[error("it is of machine version {found}, this one is {HOST_ABI}")]
    OtherMachine {
        /// Its `host_abi`.
        found: u32,
    },
    /// It is a delta: nothing begins there.
    #[error("it is a delta to another checkpoint")]
    Delta,
    /// What was worked out here before contradicts this very state.
    #[error("this state was refused before: {0}")]
    KnownBad(String),
    /// Its bytes are no state of the process, or of another root.
    #[error("{0}")]
    Untrue(String),
    /// Nothing is to be gained: the process is evaluated further, or began at a checkpoint whose past is being worked out. (reject)
    #[error("{process} is evaluated up to slot {evaluated} here, the checkpoint is of slot {slot}")]
    Further {
        /// The process.
        process: Id,
        /// Of the checkpoint.
        slot: Slot,
        /// Of the head here.
        evaluated: Slot,
    },
    /// Evaluation of the process stopped for good.
    #[error("evaluation of {0} stopped: {1}")]
    Halted(Id, String),
    /// This host cannot look now.
    #[error("{0}")]
    NotNow(String),
}

impl From<Error> for BeginError {
    fn from(error: Error) -> Self {
        Self::NotNow(error.to_string())
    }
}

impl From<BeginError> for Rejection {
    fn from(error: BeginError) -> Self {
        let code = match &error {
            BeginError::NotNow(_) => return Self::retry(Code::NotEvaluated, error.to_string(), 1),
            BeginError::Halted(..) => Code::NotEvaluated,
            _ => Code::RequestInvalid,
        };
        Self::new(code, error.to_string())
    }
}

/// Checks a checkpoint of the state after the message at `slot` (and before any cron message behind it) against the log, and restores it.
/// Blocks for as long as that takes: up to seconds where the module must be compiled first.
///
/// # Errors
/// What does not hold, or why that cannot be told now.
pub fn prove(
    store: &dyn Store,
    vm: &dyn Vm,
    modules: &Modules,
    process: Id,
    slot: Slot,
    row: CheckpointRow,
    body: Bytes,
) -> Result<Begin, BeginError> {
    if row.parent.is_some() {
        return Err(BeginError::Delta);
    }
    if row.host_abi != HOST_ABI {
        return Err(BeginError::OtherMachine { found: row.host_abi });
    }
    is_of_log(store, process, slot, &row)?;
    is_ahead(store, process, slot, &row.root)?;
    let subject = fold::Subject::read(store, modules, process).map_err(stopped)?;
    let environment = subject.environment();
    let checkpoint = Checkpoint { root: row.root, bytes: body.clone(), parent: None };
    let mut instance = vm.start(&subject.module.source, environment, &[checkpoint]).map_err(|error| match error {
        ao_vm::Error::BadCheckpoint(reason) => BeginError::Untrue(reason),
        error => stopped(error.into()),
    })?;
    let found = instance.state_hash().map_err(|error| stopped(error.into()))?;
    if found != row.root {
        return Err(BeginError::Untrue(format!("its pages hash to {found}, not to {}", row.root)));
    }
    let row = CheckpointRow { bytes: body.len() as u64, ..row };
    Ok(Begin::proven(process, slot, row, body))
}

/// A state as compute units of the older network publish it (`protocol.md`, section 3.7): of this log, packed as it says, and with the next
/// slot's hash chain following from it where the log has one. Whether its owner is to be believed that it is the state, the caller knows.
///
/// # Errors
/// As of [`prove`].
pub fn adopt(store: &dyn Store, vm: &dyn Vm, modules: &Modules, said: &CheckpointRecord, gzip: &[u8]) -> Result<Begin, BeginError> {
    let (process, slot) = (said.process, said.slot);
    let untrue = |why: String| Err(BeginError::Untrue(why));
    let row = CheckpointRow {
        root: StateHash([0; 32]),
        parent: None,
        assignment: said.assignment,
        hash_chain: *said.hash_chain.as_bytes(),
        timestamp_ms: said.timestamp_ms,
        block_height: said.block_height,
        host_abi: HOST_ABI,
        bytes: 0,
    };
    is_of_log(store, process, slot, &row)?;
    let (expected, next) = (said.hash_chain.next(&said.assignment), slot.next());
    if let Some(found) = chain_at(store, process, next)?.filter(|found| *found != expected) {
        return untrue(format!("the hash chain of slot {next} is {found} in the log, from it follows {expected}"));
    }
    if said.content_encoding != "gzip" {
        return untrue(format!("it is packed as `{}`, only gzip is read", said.content_encoding));
    }
    if let Some(cron) = &said.cron_interval {
        return untrue(format!("it is of the state after the cron message `{cron}`, not after a slot"));
    }
    let subject = fold::Subject::read(store, modules, process).map_err(stopped)?;
    if said.module != subject.row.module {
        return untrue(format!("it is of module {}, the process's is {}", said.module, subject.row.module));
    }
    let adopted = vm.adopt(&subject.module.source, subject.environment(), gzip);
    let (Checkpoint { root, bytes, .. }, sha256) = adopted.map_err(|error| match error {
        ao_vm::Error::BadCheckpoint(reason) => BeginError::Untrue(reason),
        error => stopped(error.into()),
    })?;
    if sha256 != said.sha256 {
        return untrue(format!("SHA-256 of its memory is {}, not {}", hex::encode(sha256), hex::encode(said.sha256)));
    }
    prove(store, vm, modules, process, slot, CheckpointRow { root, ..row }, bytes)
}

/// The hash chain of a slot as its scheduler signed it; `None`: the log does not have it.
fn chain_at(store: &dyn Store, process: Id, slot: Slot) -> Result<Option<HashChain>, BeginError> {
    let Some(scheduled) = schema::SCHEDULE.get(store, &(process, slot))? else { return Ok(None) };
    Ok(Some(assignment_of(process, slot, scheduled.assignment)?.content().hash_chain))
}

fn assignment_of(process: Id, slot: Slot, bytes: Bytes) -> Result<Assignment, BeginError> {
    let unreadable = |error: &dyn std::fmt::Display| BeginError::NotNow(format!("slot {slot} of {process}: {error}"));
    let assignment = Verified::<DataItem>::reload(bytes).map_err(|error| unreadable(&error))?;
    Assignment::read(assignment).map_err(|error| unreadable(&error))
}

fn stopped(stop: Stop) -> BeginError {
    match stop {
        Stop::NotEvaluated(reason) | Stop::Diverged(reason) => BeginError::NotNow(reason),
        Stop::Refused(why) => BeginError::Untrue(why.message),
    }
}

/// Slot, assignment, hash chain and time are those of the log, as far as it is confirmed.
///
/// # Errors
/// What differs, that the log does not reach so far, or that this host cannot look.
pub fn is_of_log(store: &dyn Store, process: Id, slot: Slot, row: &CheckpointRow) -> Result<(), BeginError> {
    let confirmed = schema::CONFIRMED.get(store, &process)?;
    let scheduled = schema::SCHEDULE.get(store, &(process, slot))?;
    let Some(scheduled) = scheduled.filter(|_| confirmed.is_some_and(|confirmed| slot <= confirmed)) else {
        return Err(BeginError::BeyondLog { process, slot, confirmed });
    };
    let assignment = assignment_of(process, slot, scheduled.assignment)?;
    let pairs = [
        ("assignment", row.assignment.to_string(), assignment.id().to_string()),
        ("hash chain", Id(row.hash_chain).to_string(), Id(*assignment.content().hash_chain.as_bytes()).to_string()),
        ("timestamp", row.timestamp_ms.to_string(), scheduled.timestamp_ms.to_string()),
        ("block height", row.block_height.to_string(), scheduled.block_height.to_string()),
    ];
    match pairs.into_iter().find(|(_, found, expected)| found != expected) {
        Some((what, found, expected)) => Err(BeginError::OtherLog { slot, what, found, expected }),
        None => Ok(()),
    }
}

/// The process is evaluated less far, nothing of it is being worked out, and this state was not refused before.
///
/// # Errors
/// One of these does not hold, or the store cannot say.
pub(crate) fn is_ahead(store: &dyn Store, process: Id, slot: Slot, root: &StateHash) -> Result<(), BeginError> {
    let head = schema::EVALUATION_HEADS.get(store, &process)?;
    if let Some(reason) = head.as_ref().and_then(|head| head.halted.clone()) {
        return Err(BeginError::Halted(process, reason));
    }
    let further = |evaluated| Err(BeginError::Further { process, slot, evaluated });
    match schema::BACKFILLS.get(store, &process)? {
        Some(BackfillRow { stage: BackfillStage::Refused(why), root: bad, slot: of, .. }) if (bad, of) == (*root, slot) => {
            return Err(BeginError::KnownBad(why));
        }
        Some(BackfillRow { stage: BackfillStage::Running | BackfillStage::Undoing(_), slot: of, .. }) => return further(of),
        _ => {}
    }
    match head {
        Some(head) if head.slot >= slot => further(head.slot),
        _ => Ok(()),
    }
}

/// The rows in a store on which no node runs: the next start goes on from there. The caller writes the batch, synced.
///
/// # Errors
/// The store's; the process is evaluated further by now.
pub fn put(batch: &mut WriteBatch, store: &dyn Store, begin: Begin) -> Result<(), BeginError> {
    let (process, slot) = (begin.process(), begin.slot());
    is_ahead(store, process, slot, begin.root())?;
    let head = schema::EVALUATION_HEADS.get(store, &process)?;
    let ticked = head.as_ref().map_or((0, 0), |head| (head.ticked_ms, head.ticked_height));
    begin.rows(batch, head.map(|head| (head.slot, head.cron)), ticked);
    match schema::CONFIRMED.get(store, &process)? {
        Some(confirmed) if confirmed > slot => schema::OWING.put(batch, &process, &confirmed),
        _ => schema::OWING.delete(batch, &process),
    }
    Ok(())
}

/// Results that are not here although the process is evaluated further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// So many of them are worked out,
    pub done: u64,
    /// of so many.
    pub of: u64,
    /// The first point that is not.
    pub first: (Slot, u32),
    /// The last slot that is not.
    pub last: Slot,
}

impl Gap {
    fn of(row: &BackfillRow) -> Option<Self> {
        let (done, first) = match row.done {
            None => (0, (Slot(0), 0)),
            Some((slot, cron)) => (slot.0 + 1, (slot, cron + 1)),
        };
        let open = match row.stage {
            BackfillStage::Running => row.done.is_none_or(|(slot, _)| slot < row.slot),
            // What came of a state that was refuted is still here, wherever that was found out.
            BackfillStage::Undoing(_) => true,
            BackfillStage::Refused(_) => false,
        };
        open.then_some(Self { done, of: row.slot.0 + 1, first, last: row.slot })
    }

    /// What whoever asks for one of them is told.
    pub fn refusal(&self, process: Id, slot: Slot) -> Rejection {
        let Self { done, of, .. } = self;
        let text = format!(
            "slot {slot} of {process} is not computed here yet: this node began at a checkpoint of slot {}, and what lies before is being \
             worked out, {done} of {of}; ask again later, or another node",
            self.last
        );
        Rejection::retry(Code::NotEvaluated, text, GAP_RETRY_S)
    }
}

/// When to ask again for a result that is being worked out.
const GAP_RETRY_S: u32 = 5;

/// The results of a process that are not here although its head is further.
///
/// # Errors
/// The store's.
pub fn gap(store: &dyn Store, process: Id) -> Result<Option<Gap>, Error> {
    Ok(schema::BACKFILLS.get(store, &process)?.as_ref().and_then(Gap::of))
}

/// The same, if this slot is one of them.
///
/// # Errors
/// The store's.
pub fn gap_at(store: &dyn Store, process: Id, slot: Slot) -> Result<Option<Gap>, Error> {
    Ok(gap(store, process)?.filter(|gap| gap.first <= (slot, 0) && slot <= gap.last))
}

/// Refuses a result that is being worked out; nothing where it is not.
///
/// # Errors
/// It is, or the store cannot answer.
pub fn not_in_gap(store: &dyn Store, process: Id, slot: Slot) -> Result<(), Rejection> {
    match gap_at(store, process, slot).map_err(|error| store_failed(&error))? {
        Some(gap) => Err(gap.refusal(process, slot)),
        None => Ok(()),
    }
}
