//! S7: with the faults over and enough of the stake honest, everything that was sent to an honest scheduler is confirmed, evaluated and
//! pushed at every honest node.

use ao_storage::{Direction, Store, schema};
use ao_types::Id;

use super::Violation;
use crate::sim::world::{confirmed_length, log_length};

/// What keeps a node from being done with a process; `None`: nothing.
pub fn unfinished(store: &dyn Store, process: &Id, length: u64) -> Result<Option<String>, Violation> {
    let (log, confirmed) = (log_length(store, process)?, confirmed_length(store, process)?);
    let evaluated = schema::EVALUATION_HEADS.get(store, process)?.map_or(0, |head| head.slot.next().0);
    if (log, confirmed, evaluated) == (length, length, length) {
        return Ok(None);
    }
    Ok(Some(format!("{process}: {length} slots were given, {log} are here, {confirmed} confirmed, {evaluated} evaluated")))
}

/// Whether a node still has something to push.
pub fn owes(store: &dyn Store) -> Result<bool, Violation> {
    Ok(!schema::OUTBOX.all(store, Direction::Forward, 1)?.is_empty())
}
