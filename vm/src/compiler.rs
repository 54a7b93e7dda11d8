//! Compiling modules that may be bombs (`faults.md` F29).
//!
//! Owns how much of this host one module may cost before it runs. Refuses to judge what a module does: that is admission's.
//!
//! Three rings. Admission bounds what there is to compile. A compilation has a budget of CPU time (not of wall clock: a busy host must
//! not refuse what an idle one takes), of memory, and, far above, of patience. And what went over its budget is remembered with that
//! budget, so that it is not tried again until there is a larger one.
//!
//! ```text
//!   our own guest, small modules ──► thread   on the spot: a process would cost more than the work
//!   everything else              ──► child    a process of its own (worker.rs) that can be killed, and its memory with it
//! ```

mod child;
mod frame;
mod places;
mod thread;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;

use crate::limits::*;
pub use child::Child;
pub use thread::InProcess;
pub use worker::{WORKER_COMMAND, serve};

/// What one compilation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Time on a CPU. Whole seconds where the kernel counts as well.
    pub cpu: Duration,
    /// Address space, bytes; counts where the compilation has a process of its own.
    pub memory: u64,
    /// Time by the clock. Ends a compilation that does not get on; says nothing about the module.
    pub wall: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { cpu: Duration::from_millis(COMPILE_MS_MAX), memory: COMPILE_MEMORY_MAX, wall: Duration::from_millis(COMPILE_WALL_MS_MAX) }
    }
}

impl Budget {
    /// What went over `other` may be within this one.
    pub(crate) fn exceeds(&self, other: &Self) -> bool {
        self.cpu > other.cpu || self.memory > other.memory
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms of CPU and {} MiB", self.cpu.as_millis(), self.memory >> 20)
    }
}

/// One module to compile: admitted and rewritten.
pub struct Job<'a> {
    /// The module. Its size is what was declared: nothing in it unpacks to more.
    pub wasm: &'a [u8],
    /// It is part of this binary, hence no bomb.
    pub ours: bool,
    pub(crate) engine: &'a Engine,
}

/// Why there is no compiled module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The compiler does not take it, on any host of this engine.
    #[error("{0}")]
    Refused(String),
    /// It needs more than this host gives. Another host, or this one with a larger budget, may take it.
    #[error("compiling it needs more than {budget}: {what}")]
    OverBudget {
        /// What ran out.
        what: String,
        /// The budget it had.
        budget: Budget,
    },
    /// This host could not compile just now.
    #[error("{0}")]
    Unavailable(String),
}

/// Turns modules into code. Called from many threads; each call blocks until its module is compiled or given up.
pub trait Compiler: Send + Sync + fmt::Debug {
    /// Compiles one module to the bytes that the cache keeps.
    ///
    /// # Errors
    /// See [`CompileError`]: the first two are remembered, the last is not.
    fn compile(&self, job: &Job<'_>) -> Result<Vec<u8>, CompileError>;

    /// The budget of each compilation.
    fn budget(&self) -> Budget;
}

/// What a node compiles with: small and trusted modules on a thread, the rest in a child process.
#[derive(Debug)]
pub struct BySize {
    here: InProcess,
    child: Arc<dyn Compiler>,
    small: usize,
}

impl BySize {
    /// Sends to `child` what is larger than [`COMPILE_HERE_BYTES_MAX`].
    pub fn new(child: Arc<dyn Compiler>) -> Self {
        Self { here: InProcess::new(child.budget()), child, small: COMPILE_HERE_BYTES_MAX }
    }
}

impl Compiler for BySize {
    fn compile(&self, job: &Job<'_>) -> Result<Vec<u8>, CompileError> {
        if job.ours || job.wasm.len() <= self.small { self.here.compile(job) } else { self.child.compile(job) }
    }

    fn budget(&self) -> Budget {
        self.child.budget()
    }
}

#[cfg(test)]
mod tests;
