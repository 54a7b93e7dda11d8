//! Where evaluation of a loaded log begins: at the newest state that somebody published whom the operator named (`protocol.md`, section 3.7;
//! `arweave.md`, section 10.2, step 5).
//!
//! Owns which published states are looked at and in which order; what must hold of one is [`begin::adopt`]'s. The owner's word is believed in
//! one thing, that this memory is the state after its slot, and only until the node has worked out what lies before (`shell::backfill`). The
//! log itself is read and checked from its first slot on all the same. What does not hold is passed over for the next older one, and said;
//! where none holds the log is evaluated from its beginning.

use std::cmp::Reverse;

use ao_arweave::client::Client;
use ao_arweave::client::nodes::{Node, Nodes};
use ao_storage::schema::{self, BackfillRow, BackfillStage};
use ao_storage::{Durability, Store, WriteBatch};
use ao_types::checkpoint::CheckpointRecord;
use ao_types::{Address, DataItem, Id, Slot, Verified};
use ao_vm::Vm;

use super::Error;
use super::source::Source;
use crate::limits::LOAD_STATES_MAX;
use crate::shell::begin::{self, BeginError};
use crate::shell::modules::Modules;

/// Whose states are taken, and what restores them.
pub struct Beginning<'a> {
    /// Whom to ask.
    pub client: Client,
    /// With the log in it.
    pub store: &'a dyn Store,
    /// The machine that the node will have.
    pub vm: &'a dyn Vm,
    /// The process.
    pub process: Id,
    /// Who is believed.
    pub owners: &'a [Address],
    /// Of no later slot.
    pub last: Slot,
}

/// A state that evaluation begins at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The item.
    pub id: Id,
    /// Whose word it is.
    pub owner: Address,
    /// After this slot.
    pub slot: Slot,
}

/// At which state evaluation begins, and why not at another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begins {
    /// `None`: it goes on as it would have without.
    pub taken: Option<Taken>,
    /// States that were passed over, and why.
    pub passed: Vec<(Id, String)>,
}

/// Takes the newest state that holds, where evaluation is not as far. Blocks for as long as a memory takes to be unpacked and restored.
///
/// # Errors
/// The store's. What gateways do not show is not missed.
pub async fn begin(beginning: Beginning<'_>) -> Result<Begins, Error> {
    let Beginning { client, store, vm, process, owners, last } = beginning;
    let mut begins = Begins::default();
    let head = schema::EVALUATION_HEADS.get(store, &process)?.map(|head| head.slot);
    let open = schema::BACKFILLS.get(store, &process)?.filter(|row| !matches!(row.stage, BackfillStage::Refused(_)));
    if owners.is_empty() || open.is_some() || head.is_some_and(|head| head >= last) {
        return Ok(begins);
    }
    let (source, modules) = (Source::new(client), Modules::default());
    let nodes = source.states(&process, owners).await;
    let mut fetched = 0;
    for (slot, id) in candidates(&nodes, head, last) {
        if let Some(why) = astray(store, process, slot, nodes.found.get(&id).map_or(&[][..], Vec::as_slice))? {
            if begins.passed.len() < LOAD_STATES_MAX {
                begins.passed.push((id, why));
            }
            continue;
        }
        if fetched >= LOAD_STATES_MAX {
            begins.passed.push((id, format!("{LOAD_STATES_MAX} that were fetched do not hold: no more are looked at")));
            break;
        }
        fetched += 1;
        let taken = match source.state(id, &nodes).await {
            Ok(item) => take(store, vm, &modules, &item, (process, owners, last)),
            Err(Error::Store(error)) => return Err(error.into()),
            Err(error) => Err(BeginError::Untrue(error.to_string())),
        };
        match taken {
            Ok(taken) => {
                begins.taken = Some(taken);
                break;
            }
            Err(why) => begins.passed.push((id, why.to_string())),
        }
    }
    Ok(begins)
}

/// The first tag of a name, as is shown.
fn tag<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    node.shown.tags.iter().find(|tag| tag.name == name).map(|tag| tag.value.as_str())
}

/// States behind `head` and not behind `last`, the newest first; in one order whoever answered first.
fn candidates(nodes: &Nodes, head: Option<Slot>, last: Slot) -> Vec<(Slot, Id)> {
    let shown = nodes.found.iter().flat_map(|(id, nodes)| nodes.iter().map(move |node| (id, node)));
    let slots = shown.filter_map(|(id, node)| Some((Slot(tag(node, "Nonce")?.parse().ok()?), *id)));
    let mut all: Vec<_> = slots.filter(|(slot, _)| *slot <= last && head.is_none_or(|head| *slot > head)).collect();
    all.sort_unstable_by_key(|(slot, id)| (Reverse(*slot), *id));
    all.dedup();
    all
}

/// Why a state cannot be one of this log, by what is shown of it: that much need not be fetched.
fn astray(store: &dyn Store, process: Id, slot: Slot, nodes: &[Node]) -> Result<Option<String>, Error> {
    let Some(scheduled) = schema::SCHEDULE.get(store, &(process, slot))? else {
        return Ok(Some(format!("slot {slot} is not in the log")));
    };
    let Ok(assignment) = Verified::<DataItem>::reload(scheduled.assignment) else { return Ok(None) };
    let expected = assignment.id().to_string();
    let fits = nodes.iter().any(|node| tag(node, "Assignment") == Some(expected.as_str()));
    Ok((!fits).then(|| format!("it names another assignment than {expected}, which is that of slot {slot} in the log")))
}

/// Whose it is comes first: nothing of anybody else's is unpacked.
fn take(
    store: &dyn Store,
    vm: &dyn Vm,
    modules: &Modules,
    item: &Verified<DataItem>,
    (process, owners, last): (Id, &[Address], Slot),
) -> Result<Taken, BeginError> {
    let (id, owner) = (item.id(), item.address());
    let untrue = |why: String| Err(BeginError::Untrue(why));
    if !owners.contains(&owner) {
        return untrue(format!("it is signed by {owner}, who is not among those who are believed"));
    }
    let said = CheckpointRecord::read(item).map_err(|error| BeginError::Untrue(error.to_string()))?;
    if said.process != process || said.slot > last {
        return untrue(format!("it is of slot {} of {}", said.slot, said.process));
    }
    let begin = begin::adopt(store, vm, modules, &said, &item.data_bytes())?;
    let mut batch = WriteBatch::default();
    begin::put(&mut batch, store, begin)?;
    store.write(batch, Durability::Synced)?;
    Ok(Taken { id, owner, slot: said.slot })
}

/// What became of the state that evaluation began at: how much of what lies before is worked out, or that it was refuted, and why.
///
/// # Errors
/// The store's.
pub fn refuted(store: &dyn Store, process: Id) -> Result<Option<String>, Error> {
    Ok(match schema::BACKFILLS.get(store, &process)? {
        Some(BackfillRow { slot, stage: BackfillStage::Undoing(why) | BackfillStage::Refused(why), .. }) => {
            Some(format!("the checkpoint of slot {slot}: {why}"))
        }
        _ => None,
    })
}
