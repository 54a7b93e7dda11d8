//! Checkpoints of a process as they lie in the store: chains of one full state and the deltas after it.
//!
//! A delta costs what changed since the last one; a full state costs everything. So a chain goes on until it is long
//! ([`CHECKPOINT_DELTAS_MAX`]) or until its deltas together are as large as the state they started from: then the next link is a full one,
//! and the chain before the last is deleted in the same batch. A chain is therefore never more than twice the state, and a restart never
//! reads more than that.
//!
//! It refuses to trust what it finds: a link whose parent, body or root is not there makes the chain unusable, and an older one, or the
//! log from its beginning, is taken instead.

use ao_storage::schema::{self, BackfillStage, CheckpointParent, CheckpointRow, EvaluationKey};
use ao_storage::{Direction, Error, Store};
use ao_types::{Id, Slot};
use ao_vm::{Checkpoint, HOST_ABI};

use super::fold::At;
use crate::limits::{CHECKPOINT_CHAINS_KEPT, CHECKPOINT_DELTAS_MAX, CHECKPOINT_ROWS_MAX};

/// A row with its place.
pub type Placed = (EvaluationKey, CheckpointRow);

/// Where a chain stands, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its newest link.
    pub tip: CheckpointParent,
    deltas: usize,
    full_bytes: u64,
    delta_bytes: u64,
}

impl Chain {
    /// A chain of one full state.
    pub fn full(tip: CheckpointParent, bytes: u64) -> Self {
        Self { tip, deltas: 0, full_bytes: bytes, delta_bytes: 0 }
    }

    /// Whether another delta may follow.
    pub fn goes_on(&self) -> bool {
        self.deltas < CHECKPOINT_DELTAS_MAX && self.delta_bytes < self.full_bytes
    }

    /// The chain with one more delta; `None` where that makes the deltas larger than the full state.
    pub fn with(self, tip: CheckpointParent, bytes: u64) -> Option<Self> {
        let delta_bytes = self.delta_bytes.saturating_add(bytes);
        (delta_bytes <= self.full_bytes).then_some(Self { tip, deltas: self.deltas + 1, delta_bytes, ..self })
    }

    /// Whether its newest link is in the store: a batch that failed, or is still under way, has left nothing to build on.
    pub fn is_stored(&self, store: &dyn Store, process: Id) -> Result<bool, Error> {
        let CheckpointParent { slot, cron, root } = self.tip;
        let row = schema::CHECKPOINTS.get(store, &EvaluationKey { process, slot, cron })?;
        Ok(row.is_some_and(|row| row.root == root))
    }
}

/// Every checkpoint of a process at or before a point, newest first, that this machine can restore.
pub fn until(store: &dyn Store, process: Id, target: At) -> Result<Vec<Placed>, Error> {
    let Some((slot, cron)) = target else { return Ok(Vec::new()) };
    let from = EvaluationKey { process, slot: Slot(0), cron: 0 };
    let to = EvaluationKey { process, slot, cron: cron.saturating_add(1) };
    let mut rows = schema::CHECKPOINTS.range(store, &from, &to, Direction::Backward, CHECKPOINT_ROWS_MAX)?;
    rows.retain(|(_, row)| row.host_abi == HOST_ABI);
    Ok(rows)
}

/// The chain that ends in `rows[at]`, oldest link first; `None` where a link is missing.
pub fn chain(store: &dyn Store, rows: &[Placed], at: usize) -> Result<Option<(Vec<Checkpoint>, Chain)>, Error> {
    let mut links: Vec<&Placed> = Vec::new();
    let mut next = rows.get(at);
    while let Some(link @ (_, row)) = next {
        links.push(link);
        let Some(parent) = row.parent else { break };
        let older = rows.iter().skip(at + links.len());
        next = older.into_iter().find(|(key, row)| (key.slot, key.cron, row.root) == (parent.slot, parent.cron, parent.root));
    }
    let Some((first, deltas)) = links.split_last().filter(|((_, row), _)| row.parent.is_none()) else { return Ok(None) };
    let (key, row) = links[0];
    let tip = CheckpointParent { slot: key.slot, cron: key.cron, root: row.root };
    let cost = Chain {
        tip,
        deltas: deltas.len(),
        full_bytes: first.1.bytes,
        delta_bytes: deltas.iter().map(|(_, row)| row.bytes).fold(0, u64::saturating_add),
    };
    let mut chain = Vec::with_capacity(links.len());
    for (key, row) in links.into_iter().rev() {
        let Some(bytes) = schema::CHECKPOINT_BODIES.get(store, key)? else { return Ok(None) };
        chain.push(Checkpoint { root: row.root, bytes, parent: row.parent.map(|parent| parent.root) });
    }
    Ok(Some((chain, cost)))
}

/// Checkpoints before a slot at which evaluation began: those of the backfill, newest first.
pub fn before(store: &dyn Store, process: Id, slot: Slot) -> Result<Vec<Placed>, Error> {
    let key = |slot| EvaluationKey { process, slot, cron: 0 };
    schema::CHECKPOINTS.range(store, &key(Slot(0)), &key(slot), Direction::Backward, CHECKPOINT_ROWS_MAX)
}

/// What a new checkpoint at `new` makes superfluous: everything before the oldest chain that is kept. Where evaluation began at a state
/// from elsewhere and what lies before is being worked out, each side of that slot keeps its own chains.
pub fn superseded(store: &dyn Store, process: Id, new: (Slot, u32), full: bool) -> Result<Vec<(Slot, u32)>, Error> {
    let backfill = schema::BACKFILLS.get(store, &process)?.filter(|row| row.stage == BackfillStage::Running);
    let rows = match backfill {
        Some(row) if new < (row.slot, 0) => before(store, process, row.slot)?,
        backfill => {
            let mut rows = schema::CHECKPOINTS.prefix(store, &process, Direction::Backward, CHECKPOINT_ROWS_MAX)?;
            rows.retain(|(key, _)| backfill.as_ref().is_none_or(|row| key.slot >= row.slot));
            rows
        }
    };
    let mut kept = usize::from(full);
    let mut drop = Vec::new();
    for (key, row) in rows {
        let at = (key.slot, key.cron);
        if kept >= CHECKPOINT_CHAINS_KEPT && at != new {
            drop.push(at);
        }
        kept += usize::from(row.parent.is_none());
    }
    Ok(drop)
}

#[cfg(test)]
mod tests {
    use ao_storage::{Durability, MemoryStore, WriteBatch};
    use ao_types::StateHash;

    use super::*;

    const PROCESS: Id = Id([1; 32]);

    fn parent(slot: u64) -> CheckpointParent {
        CheckpointParent { slot: Slot(slot), cron: 0, root: StateHash([slot as u8; 32]) }
    }

    /// Slots with what each is a delta to.
    fn store(links: &[(u64, Option<u64>)]) -> MemoryStore {
        let (store, mut batch) = (MemoryStore::new(), WriteBatch::default());
        for (slot, of) in links {
            let key = EvaluationKey { process: PROCESS, slot: Slot(*slot), cron: 0 };
            let row = CheckpointRow {
                root: parent(*slot).root,
                parent: of.map(parent),
                assignment: Id([2; 32]),
                hash_chain: [0; 32],
                timestamp_ms: 0,
                block_height: 0,
                host_abi: HOST_ABI,
                bytes: 10,
            };
            schema::CHECKPOINTS.put(&mut batch, &key, &row);
            schema::CHECKPOINT_BODIES.put(&mut batch, &key, &bytes::Bytes::from(vec![*slot as u8]));
        }
        store.write(batch, Durability::Synced).unwrap();
        store
    }

    #[test]
    fn a_chain_ends_when_it_is_long_or_as_large_as_the_state() {
        let mut chain = Chain::full(parent(0), 1_000_000);
        for slot in 1..=CHECKPOINT_DELTAS_MAX as u64 {
            assert!(chain.goes_on());
            chain = chain.with(parent(slot), 1).unwrap();
        }
        assert!(!chain.goes_on(), "it is long");
        let chain = Chain::full(parent(0), 100);
        assert_eq!(chain.with(parent(1), 101), None, "larger than the state");
        assert!(!chain.with(parent(1), 100).unwrap().goes_on(), "as large as the state");
    }

    #[test]
    fn chains_follow_their_parents_and_one_with_a_gap_is_none() {
        let store = store(&[(1, None), (2, Some(1)), (3, Some(2)), (5, Some(2)), (6, Some(4))]);
        let rows = until(&store, PROCESS, Some((Slot(9), 0))).unwrap();
        let found = |at| chain(&store, &rows, at).unwrap().map(|(chain, _)| chain.iter().map(|link| link.bytes[0]).collect::<Vec<_>>());
        assert_eq!(found(0), None, "the parent of 6 is not there");
        assert_eq!(found(1), Some(vec![1, 2, 5]), "3 is beside it, not before it");
        assert_eq!(found(2), Some(vec![1, 2, 3]));
        let (_, cost) = chain(&store, &rows, 1).unwrap().unwrap();
        assert_eq!(cost, Chain { tip: parent(5), deltas: 2, full_bytes: 10, delta_bytes: 20 });
        assert!(until(&store, PROCESS, Some((Slot(4), 0))).unwrap().len() == 3 && until(&store, PROCESS, None).unwrap().is_empty());
        let mut batch = WriteBatch::default();
        schema::CHECKPOINT_BODIES.delete(&mut batch, &rows[3].0);
        store.write(batch, Durability::Synced).unwrap();
        assert_eq!(chain(&store, &rows, 1).unwrap(), None, "a body is gone");
    }

    #[test]
    fn what_is_kept_is_the_new_chain_and_the_one_before_it() {
        let store = store(&[(1, None), (2, Some(1)), (3, None), (4, Some(3)), (5, None), (6, Some(5))]);
        let dropped = |new, full| superseded(&store, PROCESS, (Slot(new), 0), full).unwrap().into_iter().map(|(slot, _)| slot.0);
        assert_eq!(dropped(7, true).collect::<Vec<_>>(), [4, 3, 2, 1]);
        assert_eq!(dropped(7, false).collect::<Vec<_>>(), [2, 1]);
    }
}
