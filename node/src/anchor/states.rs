//! Certified states on their way to Arweave: when one goes, and what goes (`arweave.md`, section 8).
//!
//! A state goes in a parcel of its own, so that a large one holds up no slots: the item that other AO nodes read (`Type: Checkpoint`, the
//! gzipped memory), and the record that says what state it is and who vouches for that. A certified state is a short cut and nothing more:
//! one that cannot be had now, or is too large, is passed over for the next.
//!
//! Owns the policy and the items. What is remembered of them is the keeper's, as of everything that goes.

use std::sync::Arc;
use std::time::Duration;

use ao_arweave::driver::Parcel;
use ao_arweave::pipeline::Shipment;
use ao_arweave::records::{Record, StateRecord};
use ao_storage::schema::{self, CertifiedStateRow, CheckpointRow};
use ao_storage::{Direction, Error, Store};
use ao_types::checkpoint::CheckpointRecord;
use ao_types::{DataItem, HashChain, Id, ItemBuilder, NetworkId, Profile, SignError, Signer, Slot};
use ao_vm::Exported;

use crate::handle::Node;
use crate::limits::{ANCHOR_STATE_BYTES_MAX, RECOVER_PAGE};
use crate::shell::begin;
use crate::states;

/// When a certified state goes: enough time, slots or work after the one before, or after the process began; and only if it is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// So much time.
    pub every: Duration,
    /// So many slots.
    pub slots: u64,
    /// So much evaluation.
    pub evaluation: Duration,
}

/// Looks for states of one scheduler's processes. Cheap to clone.
#[derive(Clone)]
pub struct States {
    node: Node,
    store: Arc<dyn Store>,
    signer: Arc<dyn Signer>,
    network: NetworkId,
    policy: Policy,
}

/// A state that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose.
    pub process: Id,
    /// After which slot.
    pub slot: Slot,
    /// What is known of it.
    pub row: CertifiedStateRow,
}

/// Why a state does not go now.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store's.
    #[error(transparent)]
    Store(#[from] Error),
    /// The node has no such state now.
    #[error("{0}")]
    NotNow(String),
    /// What the node has is not what was certified.
    #[error("the state after slot {slot} of {process} is not the one that was certified")]
    Another {
        /// Whose.
        process: Id,
        /// After which slot.
        slot: Slot,
    },
    /// Larger than what goes.
    #[error("the state after slot {slot} of {process} has {bytes} bytes, at most {ANCHOR_STATE_BYTES_MAX} go")]
    TooLarge {
        /// Whose.
        process: Id,
        /// After which slot.
        slot: Slot,
        /// Packed.
        bytes: usize,
    },
    /// An item is not signed.
    #[error("not signed: {0}")]
    Sign(#[from] SignError),
}

impl StateError {
    /// Whether the same state may go later: where not, making it again costs what it cost and comes to the same.
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::TooLarge { .. } | Self::Another { .. })
    }
}

impl States {
    /// Of the processes that `signer` schedules.
    pub fn new(node: Node, store: Arc<dyn Store>, signer: Arc<dyn Signer>, network: NetworkId, policy: Policy) -> Self {
        Self { node, store, signer, network, policy }
    }

    /// States that are due at `now_ms`, one of a process at most. Looks at every process: for a thread that may wait for the disk.
    ///
    /// # Errors
    /// The store's.
    pub fn due(&self, now_ms: u64) -> Result<Vec<Due>, Error> {
        let (mut due, mut from, scheduler) = (Vec::new(), Vec::new(), self.signer.address().to_string());
        loop {
            let page = schema::ANCHOR_HEADS.scan(&*self.store, &from, &[], Direction::Forward, RECOVER_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(due) };
            from = [&last.0[..], &[0]].concat();
            for (process, head) in page {
                // What came of a checkpoint from elsewhere is this node's word only when the log bore it out.
                if begin::gap(&*self.store, process)?.is_some() {
                    continue;
                }
                // What is of use to nobody without its log goes after its log.
                let Some(shipped) = head.next.0.checked_sub(1) else { continue };
                let Some((slot, row)) = states::newest(&*self.store, process, Slot(shipped))?.filter(|(_, row)| row.computed) else {
                    continue;
                };
                let Some(begun) = schema::PROCESSES.get(&*self.store, &process)?.filter(|row| row.scheduler == scheduler) else { continue };
                let before = schema::ANCHORED_STATES.get(&*self.store, &process)?;
                let (since_ms, next) = before.as_ref().map_or((begun.timestamp_ms, 0), |before| (before.at_ms, before.slot.next().0));
                let slots = (slot.0 + 1).saturating_sub(next);
                let changed = before.is_none_or(|before| before.state != row.state);
                let enough = slots >= self.policy.slots
                    || now_ms.saturating_sub(since_ms) >= self.policy.every.as_millis() as u64
                    || self.node.evaluated_for(&process) >= self.policy.evaluation;
                if slots > 0 && changed && enough {
                    due.push(Due { process, slot, row });
                }
            }
        }
    }

    /// A state is on its way.
    pub fn went(&self, process: &Id) {
        self.node.state_went(process);
    }

    /// The parcel of a state.
    ///
    /// # Errors
    /// Why it does not go now.
    pub async fn parcel(&self, due: Due, now_ms: u64) -> Result<Parcel, StateError> {
        let Due { process, slot, row } = due;
        let made = self.node.exported(process, slot).await.map_err(|why| StateError::NotNow(why.to_string()))?;
        let module = schema::PROCESSES.get(&*self.store, &process)?.map(|row| row.module);
        let module = module.ok_or_else(|| StateError::NotNow(format!("process {process} is not here")))?;
        let (signer, network) = (self.signer.clone(), self.network);
        // Hashing and signing megabytes is no work for a runtime's thread.
        let signing = tokio::task::spawn_blocking(move || items((process, slot, module), &row, made, &*signer, &network));
        let items = signing.await.map_err(|_| StateError::NotNow("a thread ended".to_owned()))??;
        let records = items.iter().map(|item| item.id()).collect();
        Ok(Parcel { items: items.into(), records, covered: Vec::new(), since_ms: now_ms })
    }
}

/// The two items of a state.
fn items(
    (process, slot, module): (Id, Slot, Id),
    certified: &CertifiedStateRow,
    (row, exported): (CheckpointRow, Exported),
    signer: &dyn Signer,
    network: &NetworkId,
) -> Result<[ao_types::Verified<DataItem>; 2], StateError> {
    if (row.root, row.host_abi) != (certified.state, certified.host_abi) {
        return Err(StateError::Another { process, slot });
    }
    let Exported { gzip, sha256 } = exported;
    if gzip.len() > ANCHOR_STATE_BYTES_MAX {
        return Err(StateError::TooLarge { process, slot, bytes: gzip.len() });
    }
    let checkpoint = CheckpointRecord {
        module,
        process,
        schedule_epoch: Some(certified.schedule_epoch),
        slot,
        timestamp_ms: row.timestamp_ms,
        block_height: row.block_height,
        cron_interval: None,
        assignment: row.assignment,
        hash_chain: HashChain::from_bytes(row.hash_chain),
        sha256,
        content_encoding: "gzip".to_owned(),
        unit: Some(concat!("aonode ", env!("CARGO_PKG_VERSION")).to_owned()),
    };
    let item = ItemBuilder::new().tags(checkpoint.tags()).data(gzip).sign(signer)?;
    let record = StateRecord {
        process,
        slot,
        schedule_epoch: certified.schedule_epoch,
        result: certified.result,
        host_abi: certified.host_abi,
        state: certified.state,
        item: item.id(),
        certificate: certified.certificate.clone().unwrap_or_default(),
    };
    let record = Record::State(record).item(network).map(|item| item.sign(signer)).transpose()?;
    let record = record.ok_or_else(|| StateError::NotNow("a record of a state is none".to_owned()))?;
    Ok([item, record])
}

/// The state of a process that a shipment brings to Arweave, if it does: its record is the last item. One with slots brings none.
///
/// # Errors
/// The store's.
pub fn carried_state(store: &dyn Store, shipment: &Shipment) -> Result<Option<StateRecord>, Error> {
    if !shipment.bundle.covered.is_empty() {
        return Ok(None);
    }
    let items = schema::SHIPMENT_ITEMS.get(store, &shipment.number)?;
    let Some(record) = items.and_then(|row| row.items.last().copied()) else { return Ok(None) };
    let bytes = schema::ANCHOR_ITEMS.get(store, &record)?.filter(|bytes| !bytes.is_empty());
    let record = bytes.and_then(|bytes| DataItem::parse(bytes, Profile::Archive).ok()).and_then(|item| Record::read(&item));
    Ok(if let Some(Ok(Record::State(state))) = record { Some(state) } else { None })
}
