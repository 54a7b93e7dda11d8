//! What is chosen outside the shell: bounds with their defaults, keys, the clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ao_consensus::Timestamp;
use ao_types::Signer;

use crate::limits;
use crate::metrics::Metrics;

/// When the hash of a state is worked out and stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateHashes {
    /// After the last message of a turn: always where a process comes to rest.
    #[default]
    Rest,
    /// After every message: for comparing nodes slot by slot. Costs the hashing of changed pages each time.
    Every,
}

/// Everything that is chosen outside: bounds with their defaults, keys, the clock.
#[derive(Clone)]
pub struct Options {
    /// Name of the network.
    pub network: String,
    /// Signs assignments.
    pub scheduler: Arc<dyn Signer>,
    /// Signs pushed messages.
    pub messenger: Arc<dyn Signer>,
    /// Threads that check signatures.
    pub verifiers: usize,
    /// Threads that sign assignments.
    pub signers: usize,
    /// Processes evaluated at once, not counting those that take long.
    pub evaluators: usize,
    /// Dry runs and state reads at once, not counting those that take long.
    pub readers: usize,
    /// Bytes of idle instances.
    pub instance_bytes_max: u64,
    /// How long an instance stays in memory that nobody uses.
    pub instance_idle_max: Duration,
    /// Slots between checkpoints of a process.
    pub checkpoint_slots: u64,
    /// Slots of a process between two states that the network certifies; 0: none are.
    pub certify_slots: u64,
    /// How long results from before one checkpoint are worked out while those of other processes wait.
    pub backfill_turn: Duration,
    /// When state hashes are worked out.
    pub state_hashes: StateHashes,
    /// Whose file system is watched; nobody's if not given.
    pub data_dir: Option<PathBuf>,
    /// Room kept free there.
    pub disk_reserve_bytes: u64,
    /// Counted here.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Now,
}

impl Options {
    /// Defaults for this machine.
    pub fn new(network: impl Into<String>, scheduler: Arc<dyn Signer>, messenger: Arc<dyn Signer>, metrics: Metrics) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            network: network.into(),
            scheduler,
            messenger,
            verifiers: cores,
            signers: 1,
            evaluators: cores,
            readers: (cores / 2).max(1),
            instance_bytes_max: limits::INSTANCE_BYTES_DEFAULT,
            instance_idle_max: Duration::from_millis(limits::INSTANCE_IDLE_MS_DEFAULT),
            checkpoint_slots: limits::CHECKPOINT_SLOTS,
            certify_slots: limits::CERTIFY_SLOTS,
            backfill_turn: Duration::from_millis(limits::BACKFILL_TURN_MS),
            state_hashes: StateHashes::Rest,
            data_dir: None,
            disk_reserve_bytes: limits::DISK_RESERVE_BYTES,
            metrics,
            clock: Arc::new(wall_clock),
        }
    }
}

/// Says what time it is.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The machine's clock.
pub fn wall_clock() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}

/// The machine's clock, wrong by so many milliseconds: what tells how a node does whose clock is wrong.
pub fn skewed_clock(skew_ms: Arc<AtomicI64>) -> Now {
    Arc::new(move || Timestamp(wall_clock().0.saturating_add_signed(skew_ms.load(Ordering::Relaxed))))
}
