//! Writes certified states down as snapshots: when the operator says so, or when a peer asked for one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ao_consensus::Timestamp;
use ao_storage::schema::{self, CertifiedStateRow};
use ao_types::{Id, Slot};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::file::SnapshotFile;
use super::limits::{MADE_AGAIN_MS, WANTED_MAX};
use super::shelf::Shelf;
use super::{Manifest, Refused};
use crate::error::{Code, Rejection};
use crate::handle::Node;
use crate::shell::modules::store_failed;
use crate::states;

/// When to ask again for a snapshot that had no room.
const NO_ROOM_RETRY_S: u32 = 30;

/// Writes down the newest certified state of a process at or before `through`; what is there already is not made again.
///
/// # Errors
/// The process is not known, no state of it is certified, this node cannot work the state out any more, or the disk has no room or fails.
pub async fn make(node: &Node, shelf: &Shelf, process: Id, through: Option<Slot>) -> Result<(PathBuf, Manifest), Rejection> {
    let failed = |error: ao_storage::Error| store_failed(&error);
    let record = schema::PROCESSES.get(node.store(), &process).map_err(failed)?;
    let record = record.ok_or_else(|| Rejection::new(Code::ProcessUnknown, format!("process {process} is not known here")))?;
    let found = states::newest(node.store(), process, through.unwrap_or(Slot(u64::MAX - 1))).map_err(failed)?;
    let Some((slot, state)) = found else {
        let every = node.certify_slots();
        let text = format!("no state of process {process} is certified yet: one is every {every} slots");
        return Err(Rejection::new(Code::StateUncertified, text));
    };
    let refused = |error: Refused| {
        let text = format!("the snapshot is not written: {error}");
        if let Refused::NoRoom { .. } = error {
            Rejection::retry(Code::ReadOnly, text, NO_ROOM_RETRY_S)
        } else {
            Rejection::new(Code::Internal, text)
        }
    };
    if let Some(manifest) = kept(node, shelf, process, slot, &state) {
        return Ok((shelf.path(&process, slot), manifest));
    }
    shelf.has_room(node.disk_reserve()).map_err(refused)?;
    let (row, body) = node.checkpoint_at(process, slot).await?;
    if row.root != state.state {
        let text = format!("slot {slot} of process {process} comes out as {}, and {} is certified", row.root, state.state);
        return Err(Rejection::new(Code::NotEvaluated, text));
    }
    let manifest = Manifest::of(node.network_id(), (process, record.module, slot), state, &row, &body);
    let (shelf, kept, reserve) = (shelf.clone(), manifest.clone(), node.disk_reserve());
    let written = tokio::task::spawn_blocking(move || shelf.put(&kept, &body, reserve)).await;
    let path = written.map_err(|_| Rejection::new(Code::Internal, "the snapshot is not written"))?.map_err(refused)?;
    tracing::info!(event = "snapshot_made", %process, slot = slot.0, bytes = manifest.total, path = %path.display());
    Ok((path, manifest))
}

/// What lies there already, if it is this very state and those who vouch for it hold: files come there from elsewhere as well.
fn kept(node: &Node, shelf: &Shelf, process: Id, slot: Slot, state: &CertifiedStateRow) -> Option<Manifest> {
    let manifest = SnapshotFile::open(&shelf.path(&process, slot)).ok()?.manifest;
    let voucher = node.voucher();
    let rosters = voucher.as_ref().map(|voucher| &*voucher.membership.rosters);
    let said = |row: &CertifiedStateRow| states::statement(process, slot, row);
    let same =
        (manifest.network, manifest.process, manifest.slot) == (node.network_id(), process, slot) && said(&manifest.state) == said(state);
    (same && states::verify(rosters, process, slot, &manifest.state).is_ok()).then_some(manifest)
}

/// Makes what peers asked for, one after the other, until it is told to stop.
pub async fn run(node: Node, shelf: Shelf, mut wanted: mpsc::Receiver<Id>, stop: CancellationToken) {
    let mut made: BTreeMap<Id, Timestamp> = BTreeMap::new();
    loop {
        let process = tokio::select! {
            () = stop.cancelled() => return,
            process = wanted.recv() => match process {
                Some(process) => process,
                None => return,
            },
        };
        let now = (node.clock())();
        made.retain(|_, at| now.since_ms(*at) < MADE_AGAIN_MS);
        if made.contains_key(&process) || made.len() >= WANTED_MAX {
            continue;
        }
        made.insert(process, now);
        tokio::select! {
            () = stop.cancelled() => return,
            done = make(&node, &shelf, process, None) => if let Err(why) = done {
                tracing::info!(event = "snapshot_not_made", %process, code = why.code.as_str(), why = %why.message);
            },
        }
    }
}
