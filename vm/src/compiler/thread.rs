//! Compiling on a thread of this process.
//!
//! A thread cannot be ended from outside: one that goes over its budget is given up, and goes on at low priority in one of few places.
//! Hence only for what cannot take long: modules of our own, and small ones.

use std::os::unix::thread::JoinHandleExt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::places::Places;
use super::{Budget, CompileError, Compiler, Job};
use crate::limits::{COMPILATIONS_MAX, COMPILE_NICE, COMPILE_PATIENCE_MS, COMPILE_STACK_BYTES};

/// See the module documentation.
#[derive(Debug)]
pub struct InProcess {
    budget: Budget,
    places: Places,
}

impl InProcess {
    /// Gives each compilation `budget`, of which memory is not watched here.
    pub fn new(budget: Budget) -> Self {
        Self { budget, places: Places::new(COMPILATIONS_MAX) }
    }
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new(Budget::default())
    }
}

impl Compiler for InProcess {
    fn compile(&self, job: &Job<'_>) -> Result<Vec<u8>, CompileError> {
        let place = self.places.take(Duration::from_millis(COMPILE_PATIENCE_MS));
        let place = place.ok_or_else(|| CompileError::Unavailable(format!("{COMPILATIONS_MAX} modules are being compiled")))?;
        let (sender, receiver) = mpsc::channel();
        let (engine, wasm, began) = (job.engine.clone(), job.wasm.to_vec(), Instant::now());
        let work = move || {
            let _place = place;
            // SAFETY: lowers the priority of this thread only (on Linux `who` 0 is the calling thread).
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, COMPILE_NICE) };
            let made = engine.precompile_module(&wasm).map_err(|error| CompileError::Refused(format!("{error:#}")));
            // Nobody may be waiting any more.
            let _ = sender.send((made, super::child::read_clock(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or_default()));
        };
        let thread = std::thread::Builder::new().name("ao-vm-compile".into()).stack_size(COMPILE_STACK_BYTES);
        let thread = thread.spawn(work).map_err(|error| CompileError::Unavailable(error.to_string()))?;
        let over = || CompileError::OverBudget { what: "its time on the CPU is over".into(), budget: self.budget };
        loop {
            match receiver.recv_timeout(Duration::from_millis(100)) {
                // What was over its budget was over, whether it was seen alive or not: the verdict hangs on no look.
                Ok((_, used)) if used > self.budget.cpu => return Err(over()),
                Ok((made, _)) => return made,
                Err(RecvTimeoutError::Timeout) if cpu_time(&thread) > self.budget.cpu => return Err(over()),
                Err(RecvTimeoutError::Timeout) if began.elapsed() > self.budget.wall => {
                    return Err(CompileError::Unavailable(format!("not compiled within {:?}", self.budget.wall)));
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The compiler panicked, which it would do again.
                Err(RecvTimeoutError::Disconnected) => return Err(CompileError::Refused("the compiler failed on it".into())),
            }
        }
    }

    fn budget(&self) -> Budget {
        self.budget
    }
}

/// CPU time that a live thread has used; nothing where it has just ended.
fn cpu_time(thread: &std::thread::JoinHandle<()>) -> Duration {
    let mut clock = 0;
    // SAFETY: the handle is neither joined nor detached while it is borrowed, so its thread id is valid.
    let found = unsafe { libc::pthread_getcpuclockid(thread.as_pthread_t(), &mut clock) } == 0;
    if found { super::child::read_clock(clock).unwrap_or_default() } else { Duration::ZERO }
}
