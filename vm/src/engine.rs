//! The engine: one configuration, the same on every host.
//!
//! Everything set here that changes what compiled code does is part of the engine's compatibility hash, hence of the key of cached
//! modules. Floats are canonical, fuel is counted, the native stack is bounded; features that are not deterministic or not needed are
//! off. The wall clock never decides a result: when it runs out the evaluation is reported as *not evaluated* (`faults.md` F32).

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use wasmtime::{Config, Engine};

use crate::limits::*;
use crate::memory::Creator;

/// One tick of the wall-clock guard.
const TICK: Duration = Duration::from_millis(100);

/// The settings. The compile worker uses the very same.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(true)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_threads(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .gc_support(false)
        // One thread each: its CPU time is what the budget of a compilation counts.
        .parallel_compilation(false)
        // Each Lua error crosses the host; a backtrace each time would cost more than the error.
        .wasm_backtrace_max_frames(None)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(2 * WASM_STACK_BYTES)
        // The base never moves and the reservation is the bound that 64-bit code compares with.
        .memory_may_move(false)
        .memory_reservation(MEMORY_RESERVATION as u64)
        .memory_guard_size(MEMORY_GUARD as u64)
        .guard_before_linear_memory(false)
        .memory_init_cow(false)
        .with_host_memory(Arc::new(Creator));
    config
}

/// What compiled code has to agree with to be loaded: version, target, settings.
pub(crate) fn fingerprint(engine: &Engine) -> u64 {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// An engine with its wall-clock guard.
pub(crate) struct Clocked {
    pub(crate) engine: Engine,
    guard: Arc<Guard>,
    /// Ticks one evaluation may take.
    ticks: u64,
}

#[derive(Default)]
struct Guard {
    running: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Clocked {
    /// An engine whose evaluations may take `limit` of wall clock, rounded up to the tick.
    pub(crate) fn new(limit: Duration) -> Result<Self, String> {
        Self::of(&config(), limit)
    }

    /// As [`Self::new`], with other settings.
    pub(crate) fn of(config: &Config, limit: Duration) -> Result<Self, String> {
        let engine = Engine::new(config).map_err(|error| error.to_string())?;
        let guard = Arc::new(Guard::default());
        let (watched, weak) = (engine.weak(), Arc::downgrade(&guard));
        std::thread::Builder::new()
            .name("ao-vm-guard".into())
            .spawn(move || tick(&watched, &weak))
            .map_err(|error| format!("the wall-clock guard did not start: {error}"))?;
        let ticks = u64::try_from(limit.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX).max(1);
        Ok(Self { engine, guard, ticks })
    }

    /// Runs `evaluation` with the guard awake. The store's deadline is [`Self::ticks`] from its start.
    pub(crate) fn guarded<T>(&self, evaluation: impl FnOnce() -> T) -> T {
        struct Leave<'a>(&'a Guard);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.running.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if self.guard.running.fetch_add(1, Ordering::Relaxed) == 0 {
            self.guard.wake.notify_one();
        }
        let _leave = Leave(&self.guard);
        evaluation()
    }

    /// Epoch deadline of one evaluation. One more than the limit: the first tick may come at once.
    pub(crate) fn ticks(&self) -> u64 {
        self.ticks + 1
    }
}

impl Drop for Clocked {
    fn drop(&mut self) {
        self.guard.wake.notify_one();
    }
}

/// Advances the epoch while anything runs; sleeps otherwise; ends with the engine.
fn tick(engine: &wasmtime::EngineWeak, guard: &Weak<Guard>) {
    loop {
        let (Some(guard), Some(engine)) = (guard.upgrade(), engine.upgrade()) else { return };
        if guard.running.load(Ordering::Relaxed) > 0 {
            engine.increment_epoch();
        }
        drop(engine);
        let mut lock = guard.lock.lock();
        if guard.running.load(Ordering::Relaxed) > 0 {
            drop(lock);
            std::thread::sleep(TICK);
        } else {
            // A wake-up that slips between the look and the wait costs one second of guard, never a result.
            guard.wake.wait_for(&mut lock, Duration::from_secs(1));
        }
    }
}
