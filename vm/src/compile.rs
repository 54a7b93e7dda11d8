//! Compiling a module that may be a bomb (`faults.md` F29).
//!
//! Three rings: admission bounds what there is to compile; a compilation runs on a thread of its own at low priority and is waited for only
//! so long; and of those that were given up, few may go on in the background before further ones are refused for the time being.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use ao_types::Id;
use wasmtime::Engine;

use crate::limits::{COMPILATIONS_MAX, COMPILE_MS_MAX};
use crate::{Error, Refusal};

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Compiles an admitted and rewritten module to the bytes that the cache keeps.
pub(crate) fn compile(engine: &Engine, wasm: Vec<u8>, id: &Id) -> Result<Vec<u8>, Error> {
    within(Duration::from_millis(COMPILE_MS_MAX), engine, wasm, id)
}

fn within(budget: Duration, engine: &Engine, wasm: Vec<u8>, id: &Id) -> Result<Vec<u8>, Error> {
    if RUNNING.fetch_add(1, Ordering::Relaxed) >= COMPILATIONS_MAX {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        return Err(Error::NotEvaluated(format!("{COMPILATIONS_MAX} modules are being compiled")));
    }
    let (sender, receiver) = mpsc::channel();
    let engine = engine.clone();
    let work = move || {
        struct Done;
        impl Drop for Done {
            fn drop(&mut self) {
                RUNNING.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let _done = Done;
        // SAFETY: lowers the priority of this thread only (on Linux `who` 0 is the calling thread).
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
        // Nobody may be waiting any more.
        let _ = sender.send(engine.precompile_module(&wasm).map_err(|error| format!("{error:#}")));
    };
    std::thread::Builder::new().name("ao-vm-compile".into()).stack_size(16 << 20).spawn(work).map_err(|error| {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        Error::NotEvaluated(error.to_string())
    })?;
    match receiver.recv_timeout(budget) {
        Ok(Ok(code)) => Ok(code),
        Ok(Err(reason)) => Err(Refusal::Module { id: *id, reason }.into()),
        Err(_) => Err(Error::NotEvaluated(format!("compiling module {id} takes more than {} ms", budget.as_millis()))),
    }
}
