//! Compiling a module that may be a bomb (`faults.md` F29).
//!
//! Three rings: admission bounds what there is to compile; a compilation runs on one thread of its own, at low priority, and is waited for
//! until it has used so much CPU time (not wall clock: a busy host must not refuse what an idle one takes); and of those that were given
//! up, few may go on in the background before further ones are put off.

use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
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
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 5) };
        // Nobody may be waiting any more.
        let _ = sender.send(engine.precompile_module(&wasm).map_err(|error| format!("{error:#}")));
    };
    let thread = std::thread::Builder::new().name("ao-vm-compile".into()).stack_size(16 << 20).spawn(work).map_err(|error| {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        Error::NotEvaluated(error.to_string())
    })?;
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(Ok(code)) => return Ok(code),
            Ok(Err(reason)) => return Err(Refusal::Module { id: *id, reason }.into()),
            Err(RecvTimeoutError::Timeout) if cpu_time(&thread) <= budget => {}
            Err(RecvTimeoutError::Timeout) => {
                return Err(Error::NotEvaluated(format!("compiling module {id} takes more than {} ms of CPU", budget.as_millis())));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(Error::NotEvaluated(format!("compiling module {id} failed"))),
        }
    }
}

/// CPU time that a live thread has used; nothing where it has just ended.
fn cpu_time(thread: &std::thread::JoinHandle<()>) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut clock = 0;
    // SAFETY: the handle is neither joined nor detached while it is borrowed, so its thread id is valid.
    let found =
        unsafe { libc::pthread_getcpuclockid(thread.as_pthread_t(), &mut clock) == 0 && libc::clock_gettime(clock, &mut time) == 0 };
    if found { Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32) } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compilation_over_its_budget_is_given_up_and_the_caller_goes_on() {
        let engine = Engine::new(&crate::engine::config()).unwrap();
        // Enough work for some hundred milliseconds in any build.
        let body = "(local.set 0 (i64.mul (local.get 0) (i64.xor (local.get 1) (local.get 0))))".repeat(4_000);
        let functions = format!("(func (param i64 i64) {body})").repeat(8);
        let wasm = wat::parse_str(format!("(module {functions})")).unwrap();
        let found = within(Duration::ZERO, &engine, wasm.clone(), &Id::default());
        assert!(matches!(found, Err(Error::NotEvaluated(_))), "given up");
        assert!(within(Duration::from_secs(3600), &engine, wasm, &Id::default()).is_ok());
    }
}
