//! The pass that runs beside a node: slow, in small turns, on a thread that may wait.

use std::sync::Arc;
use std::time::Duration;

use ao_arweave::client::fetch::FetchError;
use ao_storage::Store;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::Pass;
use super::elsewhere::Elsewhere;
use super::limits::{KEEP_MIN, PASS_EVERY, TURN_EVERY, TURN_SHIPMENTS};
use crate::shell::Now;

/// Lets readers fetch what was pruned from these gateways. Must be called within a runtime.
///
/// # Errors
/// The system gives no HTTP client.
pub fn fetch_from(archive: &Elsewhere, gateways: &[String], clock: Now) -> Result<(), FetchError> {
    archive.ask(crate::anchor::reader(gateways, clock)?, Handle::current());
    Ok(())
}

/// Prunes what is older than `keep` until it is told to stop. What goes wrong is said, and tried again with the next pass.
pub async fn run(store: Arc<dyn Store>, keep: Duration, clock: Now, stop: CancellationToken) {
    let keep_ms = u64::try_from(keep.max(KEEP_MIN).as_millis()).unwrap_or(u64::MAX);
    let mut from = 0;
    loop {
        let mut pass = Pass::new(from, clock().0.saturating_sub(keep_ms), false);
        loop {
            let of = store.clone();
            let turn = tokio::task::spawn_blocking(move || {
                let more = pass.turn(&of, TURN_SHIPMENTS);
                (pass, more)
            });
            let Ok((after, more)) = turn.await else { return };
            pass = after;
            match more {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(event = "not_pruned", %error, "messages that are on Arweave stay here for now");
                    break;
                }
            }
            if paused(&stop, TURN_EVERY).await {
                return;
            }
        }
        from = pass.next_from();
        if pass.done.items > 0 {
            let super::Pruned { items, bytes, waiting, .. } = pass.done;
            tracing::info!(event = "pruned", items, bytes, waiting, "messages that are on Arweave for good went from this disk");
        }
        if paused(&stop, PASS_EVERY).await {
            return;
        }
    }
}

/// Waits; whether it was told to stop.
async fn paused(stop: &CancellationToken, time: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(time) => false,
    }
}
