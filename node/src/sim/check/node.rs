//! One node by itself: its logs, results, outboxes and checkpoints agree with one another.

use std::collections::BTreeSet;
use std::sync::Arc;

use ao_storage::schema::{self, EvaluationKey, EvaluationRow, ScheduleRow};
use ao_storage::{Direction, Store};
use ao_types::{Assignment, DataItem, Environment, Id, Slot, StateHash, Subject, Verified};
use ao_vm::{ModuleSource, Vm as _};
use bytes::Bytes;

use super::Violation;
use crate::limits;
use crate::shell::fold::{Fold, Ground};
use crate::shell::modules::Modules;
use crate::shell::{checkpoints, facts};
use crate::sim::script::Script;
use crate::sim::world::blocks;

/// More than any run has.
const ROWS_MAX: usize = 100_000;

fn broken(what: impl Into<String>) -> Violation {
    Violation::new("S3", what)
}

/// Every process that a node knows.
pub fn processes(store: &dyn Store) -> Result<Vec<Id>, Violation> {
    Ok(schema::PROCESSES.all(store, Direction::Forward, ROWS_MAX)?.into_iter().map(|(id, _)| id).collect())
}

/// A process's log.
pub fn log(store: &dyn Store, process: &Id) -> Result<Vec<ScheduleRow>, Violation> {
    let rows = schema::SCHEDULE.prefix(store, process, Direction::Forward, ROWS_MAX)?;
    let gap = (0..).zip(&rows).find(|(at, ((_, slot), _))| slot.0 != *at);
    Violation::unless(gap.is_none(), "S3", || format!("slot {} of {process} is missing", gap.map_or(0, |(at, _)| at)))?;
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// The result of a slot.
pub fn evaluation(store: &dyn Store, process: Id, slot: u64) -> Result<EvaluationRow, Violation> {
    let key = EvaluationKey { process, slot: Slot(slot), cron: 0 };
    schema::EVALUATIONS.get(store, &key)?.ok_or_else(|| broken(format!("slot {slot} of {process} has no result")))
}

/// Slots follow one another, the chain of hashes holds, no item stands twice, indexes agree with the log.
pub fn check_log(store: &dyn Store, process: Id) -> Result<(), Violation> {
    let row = schema::PROCESSES.get(store, &process)?.ok_or_else(|| broken("a process without a row"))?;
    let scheduler = ao_types::Address::parse(&row.scheduler).map_err(|error| broken(format!("scheduler of {process}: {error}")))?;
    let (mut head, mut seen) = (None, BTreeSet::new());
    for (slot, row) in log(store, &process)?.into_iter().enumerate() {
        let unreadable = |what: String| broken(format!("slot {slot} of {process}: {what}"));
        let item = Verified::<DataItem>::reload(row.assignment).map_err(|error| unreadable(error.to_string()))?;
        let assignment = Assignment::read(item).map_err(|error| unreadable(error.to_string()))?;
        let next = ao_consensus::schedule::check_next(process, scheduler, head.as_ref(), &assignment);
        head = Some(next.map_err(|error| unreadable(error.to_string()))?);
        Violation::unless(seen.insert(row.item), "S3", || format!("item {} stands twice in {process}", row.item))?;
        let index = facts::assigned(store, process, row.item)?.map(|slot| slot.0);
        Violation::unless(index == Some(slot as u64), "S3", || format!("slot {slot} of {process}: the index says {index:?}"))?;
        Violation::unless(schema::ITEMS.contains(store, &row.item)?, "S6", || format!("slot {slot} of {process}: no item"))?;
    }
    let stored = schema::HEADS.get(store, &process)?.map(|head| head.slot);
    Violation::unless(stored == head.map(|head| head.slot), "S3", || format!("{process}: the head says {stored:?}"))
}

/// What is stored is what an undisturbed evaluation of the same log gives.
pub fn check_results(store: &Arc<dyn Store>, process: Id) -> Result<(), Violation> {
    let ground = Ground { store: store.clone(), vm: Arc::new(Script), modules: Arc::new(Modules::default()), blocks: Arc::new(blocks()) };
    let head = schema::EVALUATION_HEADS.get(&**store, &process)?.ok_or_else(|| broken(format!("{process} is not evaluated")))?;
    let stopped = |stop| Violation::new("S4", format!("{process} cannot be evaluated again: {stop:?}"));
    let mut fold = Fold::open(&ground, process, None).map_err(stopped)?;
    for slot in 0..=head.slot.0 {
        let again = fold.message(&ground, Slot(slot)).map_err(stopped)?.row.map(|row| row.result_hash);
        let stored = evaluation(&**store, process, slot)?.result_hash;
        Violation::unless(again == Some(stored), "S4", || format!("slot {slot} of {process} evaluates to something else"))?;
    }
    Ok(())
}

/// Every checkpoint has its body, restores to what it says, and there are not too many. One whose parent went while it was made is passed over
/// at a start.
pub fn check_checkpoints(store: &dyn Store, process: Id) -> Result<(), Violation> {
    let head = schema::EVALUATION_HEADS.get(store, &process)?.ok_or_else(|| broken(format!("{process} is not evaluated")))?;
    let rows = checkpoints::until(store, process, Some((head.slot, head.cron)))?;
    let stored = schema::CHECKPOINTS.prefix(store, &process, Direction::Forward, ROWS_MAX)?.len();
    let bodies = schema::CHECKPOINT_BODIES.prefix(store, &process, Direction::Forward, ROWS_MAX)?.len();
    Violation::unless(rows.len() == stored && stored == bodies, "S3", || {
        format!("{process}: {} checkpoints up to the head, {stored} in all, {bodies} bodies", rows.len())
    })?;
    let chains = rows.iter().filter(|(_, row)| row.parent.is_none()).count();
    // One or two more while the batch that drops the oldest is on its way.
    Violation::unless(chains <= limits::CHECKPOINT_CHAINS_KEPT + 2, "S5", || format!("{chains} chains of checkpoints are kept"))?;
    let module = ModuleSource { id: process, tags: Vec::new(), code: Bytes::new() };
    let nobody = || Subject { id: String::new(), owner: String::new(), tags: Vec::new() };
    let environment = Arc::new(Environment { process: nobody(), module: nobody() });
    for (at, (key, row)) in rows.iter().enumerate() {
        let Some((chain, _)) = checkpoints::chain(store, &rows, at)? else { continue };
        let restored = |error| Violation::new("S4", format!("the checkpoint of slot {} does not restore: {error:?}", key.slot));
        let mut instance = Script.start(&module, environment.clone(), &chain).map_err(restored)?;
        let root: StateHash = instance.state_hash().map_err(restored)?;
        let result = evaluation(store, process, key.slot.0)?.state_hash.unwrap_or(row.root);
        Violation::unless(root == row.root && result == root, "S4", || {
            format!("slot {}: three states: {root} {} {result}", key.slot, row.root)
        })?;
    }
    Ok(())
}
