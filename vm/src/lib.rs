//! One machine for every module format.
//!
//! A process is a fold of its module over its log. This crate runs one step of that fold, deterministically: the same module, the same
//! state and the same message give the same [`Evaluation`] and the same state hash on every host of one [`HOST_ABI`].
//!
//! Everything here is synchronous and blocks; threads, queues and deadlines are the caller's.

//!
//! ```text
//!   machine ── formats ── wasm, lua          what to run, its imports, how it is called
//!      │  programs: admission ► rewrite ► compiler ► cache
//!      ▼
//!   hosted ── guest ── host                  one process: call, commit, roll back
//!      └───── memory ── checkpoint           linear memory is the whole state
//! ```
//!
//! **Determinism contract.** No clock, entropy, environment or file reaches a guest; NaNs are canonical; memory grows to limits that are
//! the same everywhere; fuel, gas and call depth are counted in the module. What differs from host to host (wall clock, native stack,
//! memory of the machine) ends in [`Error::NotEvaluated`], never in a result.
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

#[cfg(test)]
extern crate self as ao_vm;

mod admission;
mod cache;
pub mod checkpoint;
pub mod compiler;
mod engine;
pub mod formats;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod guest;
mod host;
mod hosted;
pub mod limits;
pub mod lua;
mod machine;
mod memory;
mod pool;
mod program;
mod programs;
mod rewrite;
mod stack;
mod tags;
mod wasm;

use std::sync::Arc;

use ao_types::{Environment, Evaluation, Id, Invocation, StateHash, Tag};
use bytes::Bytes;

pub use checkpoint::Exported;
pub use compiler::{BySize, Compiler};
pub use machine::{Machine, Settings};
pub use pool::Pool;

/// Version of everything that may change a state hash: how strings are passed, growth policy, clock, metering.
pub const HOST_ABI: u32 = 1;

/// A module item, as far as the machine needs it.
#[derive(Clone, Debug)]
pub struct ModuleSource {
    /// Item id: the identity of the module whatever rewrites are applied at load.
    pub id: Id,
    /// Tags of the module item (`Module-Format`, `Input-Encoding`, `Memory-Limit`, ...).
    pub tags: Vec<Tag>,
    /// The module: wasm binary or Lua source.
    pub code: Bytes,
}

/// Why a module or a process is refused before anything runs. Deterministic given the node's ceilings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 422: the format is not in the registry.
    #[error("module format `{found}` is not supported; known formats: {known}")]
    UnknownFormat {
        /// What the module item says.
        found: String,
        /// The registry, comma separated.
        known: String,
    },
    /// 413 or 422, with the text that clients of the reference unit know.
    #[error("{0}")]
    Limit(String),
    /// 422: the module is malformed or over an admission limit.
    #[error("module {id} is refused: {reason}")]
    Module {
        /// Module item.
        id: Id,
        /// The broken rule.
        reason: String,
    },
}

/// What went wrong on the way to an evaluation. An error *inside* the process is none of these: it is an [`Evaluation`] with `error`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Deterministic: everybody refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This host could not evaluate (out of memory, wall-clock guard, disk). Never a result, never attested; retry is allowed.
    #[error("not evaluated: {0}")]
    NotEvaluated(String),
    /// This host could not compile the module within what its operator gives, and remembers that: trying again is of no use before there
    /// is more. Never a result, never attested.
    #[error("not evaluated: {0}")]
    OverBudget(String),
    /// A checkpoint is malformed, too large, or does not hash to its root.
    #[error("bad checkpoint: {0}")]
    BadCheckpoint(String),
}

/// One evaluated message.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The result.
    pub evaluation: Evaluation,
    /// Fuel consumed, in wasm instructions as the engine counts them.
    pub fuel: u64,
}

/// A machine: turns a module and an environment into running instances.
pub trait Vm: Send + Sync {
    /// Checks format, encodings, extensions and limits of a process before it is accepted. Cheap: nothing is compiled.
    fn admit(&self, module: &ModuleSource, process_id: &Id, process_tags: &[Tag]) -> Result<(), Refusal>;

    /// Compiles a module, or finds it in the cache. May take seconds; later calls take milliseconds.
    fn prepare(&self, module: &ModuleSource) -> Result<(), Error>;

    /// Starts a process: a fresh instance where `chain` is empty, or one restored exactly from a full checkpoint followed by its deltas,
    /// oldest first.
    fn start(&self, module: &ModuleSource, environment: Arc<Environment>, chain: &[Checkpoint]) -> Result<Box<dyn Instance>, Error>;

    /// A full checkpoint in the form that other AO nodes read: the gzipped memory.
    fn export(&self, checkpoint: &Checkpoint) -> Result<Exported, Error>;

    /// That form read back, with the SHA-256 of the memory. Bounded by what a process may have; the root is computed here: whose word it is
    /// that it is the right one is for the caller to know.
    fn import(&self, module: &ModuleSource, gzip: &[u8]) -> Result<(Checkpoint, [u8; 32]), Error>;

    /// The memory of a process as a compute unit of the older network leaves it after a message: a full checkpoint of it, and SHA-256 of
    /// all of it. Bounded by what this process may have. What is dead between messages is zeroed, as it is here; nothing is executed of it
    /// but the module's own start, which says where that is. Whose word it is that this is the state is for the caller to know.
    fn adopt(&self, module: &ModuleSource, environment: Arc<Environment>, gzip: &[u8]) -> Result<(Checkpoint, [u8; 32]), Error>;

    /// How often a module was asked for, by where it was found. Only for looking at: nothing may depend on it.
    fn module_lookups(&self) -> ModuleLookups {
        ModuleLookups::default()
    }
}

/// Requests for a compiled module since the machine was made; see [`Vm::module_lookups`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModuleLookups {
    /// Ready in memory.
    pub memory: u64,
    /// Compiled, on disk.
    pub disk: u64,
    /// Compiled now.
    pub compiled: u64,
    /// Not to be compiled: over a limit, malformed, or over this host's budget, found out now or remembered.
    pub refused: u64,
    /// This host could not say.
    pub failed: u64,
}

/// One process in memory. One owner at a time; may move between threads.
pub trait Instance: Send {
    /// Evaluates the next message of the log. When it returns, the state is that after the message, or that before it where the
    /// evaluation has an `error`. After `Err` the instance must be dropped.
    fn evaluate(&mut self, message: &Arc<Invocation>) -> Result<Evaluated, Error>;

    /// Evaluates without leaving a trace.
    fn dry_run(&mut self, message: &Arc<Invocation>) -> Result<Evaluated, Error>;

    /// Root over the state, `vm-abi.md` section 10.
    fn state_hash(&mut self) -> Result<StateHash, Error>;

    /// The state as a checkpoint: only pages changed since the last one where `delta` is set and there was one.
    fn checkpoint(&mut self, delta: bool) -> Result<Checkpoint, Error>;

    /// The raw linear memory, as the reference unit's `GET /state` shows it.
    fn memory(&mut self) -> Result<Vec<u8>, Error>;

    /// Gives back what can be worked out again, for an instance that is not expected to be needed soon: its memory is compressed and
    /// unmapped. It stays usable; the next call takes some milliseconds longer.
    fn idle(&mut self) -> Result<(), Error>;

    /// Bytes this instance holds that no other shares; what eviction frees.
    fn resident_bytes(&self) -> u64;
}

/// A state that can be stored and restored: full, or a delta to a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Root over the state it describes.
    pub root: StateHash,
    /// The canonical bytes; self-describing, verified on restore.
    pub bytes: Bytes,
    /// Root of the checkpoint this one is a delta to.
    pub parent: Option<StateHash>,
}
