//! States of processes: read, written down whole, taken over from elsewhere, and vouched for.

use std::sync::Arc;
use std::time::Duration;

use ao_storage::WriteBatch;
use ao_storage::schema::CheckpointRow;
use ao_types::{Id, Slot};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Node, stopping};
use crate::core::input::{BeginAt, Input};
use crate::error::{Code, Rejection};
use crate::shell::evaluator::Read;
use crate::shell::{begin, facts};
use crate::states::vouch::Voucher;

/// Why evaluation did not begin at a state from elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// The state does not fit.
    #[error(transparent)]
    Unfit(#[from] begin::BeginError),
    /// The node does not take it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

impl From<NotBegun> for Rejection {
    fn from(error: NotBegun) -> Self {
        match error {
            NotBegun::Unfit(error) => error.into(),
            NotBegun::Rejected(rejection) => rejection,
        }
    }
}

impl Node {
    /// Raw linear memory after the newest (or `at`) slot, with that slot.
    pub async fn state(&self, process: Id, at: Option<Slot>) -> Result<(Bytes, Slot), Rejection> {
        self.caught_up(process, at).await?;
        let (reply, answer) = oneshot::channel();
        self.read(process, Read::Memory { at, reply })?;
        answer.await.map_err(|_| stopping())?
    }

    /// All of the state after the message at a slot, before its crons, as a checkpoint that needs none before it. Works it out again from the
    /// newest checkpoint before; within [`REPLAY_SLOTS_MAX`](crate::limits::REPLAY_SLOTS_MAX) slots.
    pub async fn checkpoint_at(&self, process: Id, slot: Slot) -> Result<(CheckpointRow, Bytes), Rejection> {
        if !self.evaluated(process, slot)? {
            return Err(Rejection::new(Code::NotEvaluated, format!("slot {slot} of {process} is not evaluated here")));
        }
        let (reply, answer) = oneshot::channel();
        self.read(process, Read::Checkpoint { at: slot, reply })?;
        answer.await.map_err(|_| stopping())?
    }

    /// The same in the form that other AO nodes read.
    ///
    /// # Errors
    /// As of [`Node::checkpoint_at`].
    pub async fn exported(&self, process: Id, slot: Slot) -> Result<(CheckpointRow, ao_vm::Exported), Rejection> {
        let (row, bytes) = self.checkpoint_at(process, slot).await?;
        let (shared, checkpoint) = (self.shared.clone(), ao_vm::Checkpoint { root: row.root, bytes, parent: None });
        let packing = tokio::task::spawn_blocking(move || shared.evaluator.ground().vm.export(&checkpoint));
        let packed = packing.await.map_err(|_| Rejection::new(Code::Internal, "a bug of this node ended the packing"))?;
        Ok((row, packed.map_err(|error| Rejection::retry(Code::NotEvaluated, error.to_string(), 5))?))
    }

    /// How long a process was evaluated since it was last said that a state of it [`went`](Self::state_went) to Arweave, or since this node
    /// started.
    pub fn evaluated_for(&self, process: &Id) -> Duration {
        self.shared.evaluator.spent().of(process)
    }

    /// A state of it is on its way to Arweave.
    pub fn state_went(&self, process: &Id) {
        self.shared.evaluator.spent().reset(process);
    }

    /// Has a process's evaluation begin at a state from elsewhere: a full checkpoint after the message at `slot`, of a root that the caller
    /// was vouched for. `also` goes into the same batch. What lies before is worked out in the background and compared.
    ///
    /// # Errors
    /// The state is not one of this log ([`begin::BeginError`]), the process is evaluated further, or the node cannot look now.
    pub async fn begin_at(&self, process: Id, slot: Slot, row: CheckpointRow, body: Bytes, also: WriteBatch) -> Result<(), NotBegun> {
        let shared = self.shared.clone();
        let proving = tokio::task::spawn_blocking(move || {
            let ground = shared.evaluator.ground();
            let mut begin = begin::prove(&*ground.store, &*ground.vm, &ground.modules, process, slot, row, body)?;
            begin.also = also;
            let facts = facts::around_process(&*shared.store, &shared.settled, process)?;
            // The proof may have taken long: what was written meanwhile is seen here, and what comes from now on by the core.
            begin::is_ahead(&*shared.store, process, slot, begin.root())?;
            Ok::<_, begin::BeginError>((begin, facts))
        });
        let (begin, facts) = proving.await.map_err(|_| Rejection::new(Code::Internal, "a bug of this node ended the look"))??;
        let (request, answer) = self.shared.requests.open(0)?;
        self.shared.inputs.send(Input::Begin(BeginAt { request, facts, begin: Box::new(begin) }));
        answer.await.map_err(|_| stopping())??;
        self.shared.backfill.wake();
        Ok(())
    }

    /// What answers peers about states; `None` on a network of one, which has no peers.
    pub fn voucher(&self) -> Option<Arc<Voucher>> {
        let membership = self.shared.life.membership.clone()?;
        Some(Arc::new(Voucher { store: self.shared.store.clone(), membership, metrics: self.shared.metrics.clone() }))
    }

    /// Slots of a process between two states that the network certifies; 0: none are.
    pub fn certify_slots(&self) -> u64 {
        self.shared.certify_slots
    }
}
