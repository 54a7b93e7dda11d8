//! The registry: module format → how such modules are loaded and called.
//!
//! A format is one file that implements `Format` and `Abi`, and one line in `formats`. It brings the wasm to run, its imports and
//! its calling convention; commit, roll-back, dry runs, limits, hashes and checkpoints are the same for all (`hosted.rs`).
//!
//! ```text
//!   ModuleSource ── Format::wasm ──► admission ► rewrite ► compile ► Format::link ► InstancePre     (once per module)
//!   InstancePre ── instantiate on the process's memory ──► Abi::attach ► Abi::boot                 (once per instance)
//!   Invocation ── Abi::call ──► Answer                                                             (once per message)
//! ```

use std::ops::Range;
use std::sync::Arc;

use ao_types::limits::DELIVERIES_MAX;
use ao_types::outbox::deliveries;
use ao_types::{Environment, Evaluation, Invocation, Tag};
use bytes::Bytes;
use wasmtime::{Linker, Module};

use crate::guest::{Guest, Host};
use crate::limits::FUEL_MAX;
use crate::lua::runtimes::Runtimes;
use crate::rewrite::Options;
use crate::{ModuleSource, Refusal};

/// One kind of module.
pub(crate) trait Format: Send + Sync {
    /// Values of the tag `Module-Format` that name it.
    fn names(&self) -> &'static [&'static str];

    /// The wasm that runs such a module. Several modules may share one (Lua sources run on one interpreter).
    /// `runtimes` has the interpreters of older nodes.
    fn wasm(&self, source: &ModuleSource, runtimes: &Runtimes) -> Result<Bytes, Refusal>;

    /// That wasm is part of this binary: no stranger chose it.
    fn ours(&self) -> bool {
        false
    }

    /// What to do to that wasm before it is compiled.
    fn rewrites(&self) -> Options;

    /// Values of `Input-Encoding` and `Output-Encoding` that are understood; empty where any is.
    fn encodings(&self) -> &'static [&'static str];

    /// `Memory-Limit` and `Compute-Limit` have to be given, as the reference demands for its own formats.
    fn needs_limits(&self) -> bool;

    /// Fuel of one message. The reference meters none of its formats this way, hence the node's generous limit; a format of our own
    /// may be stricter, or follow the process's `Compute-Limit`.
    fn fuel(&self, _environment: &Environment) -> u64 {
        FUEL_MAX
    }

    /// Bytes that the memory of a process may grow to by its tags; `None` where tags have no say, as in the reference's formats, where
    /// `Memory-Limit` is asked for at admission and never looked at again.
    fn memory_bytes_max(&self, _process_tags: &[Tag], _module_tags: &[Tag]) -> Result<Option<u64>, String> {
        Ok(None)
    }

    /// What states of this format belong to, besides the module: its name, and whatever else decides how memory is laid out.
    fn identity(&self, name: &str, _source: &ModuleSource) -> String {
        name.to_owned()
    }

    /// Defines the imports of `module`. What it leaves out becomes a function that traps when called.
    fn link(&self, linker: &mut Linker<Host>, module: &Module) -> wasmtime::Result<()>;

    /// The calling convention for one process.
    fn abi(&self, source: &ModuleSource, environment: &Arc<Environment>) -> Result<Box<dyn Abi>, Refusal>;
}

/// The calling convention of one process's instance.
///
/// Errors are those of the engine: a trap, or a [`crate::guest::Halt`]. Whatever they are, memory goes back to before the call and the
/// instance is built anew.
pub(crate) trait Abi: Send {
    /// Looks up what is needed of a new instance and puts the format's state into [`Host::format`]. Runs after every instantiation, before
    /// anything else; must not change memory.
    fn attach(&mut self, guest: &mut Guest) -> wasmtime::Result<()>;

    /// Brings a fresh instance to rest, ready for its first call. Runs once in the life of a process's memory, and before a checkpoint is
    /// loaded over it. Mutable globals as they are afterwards are put back before each call.
    fn boot(&mut self, guest: &mut Guest) -> wasmtime::Result<()>;

    /// The part of memory that is dead between calls, asked after [`Self::boot`]: it is zeroed after each call.
    fn dead(&self) -> Range<usize> {
        0..0
    }

    /// One message.
    fn call(&mut self, guest: &mut Guest, message: &Invocation) -> wasmtime::Result<Answer>;
}

/// What a call returned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// The result. Its `gas_used` is filled in by the caller.
    pub(crate) evaluation: Evaluation,
    /// Memory is kept. Never with an `error`; an old format rolls back without one, too.
    pub(crate) keep: bool,
}

impl Answer {
    /// The result of a call that failed in a way every host sees alike.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        let error = Some(serde_json::Value::String(text.into()));
        Self { evaluation: Evaluation { error, ..Evaluation::default() }, keep: false }
    }

    /// The answer, or an error where it asks for more deliveries than one result may, whatever list they stand in. The same for every
    /// format, and the state is as before.
    pub(crate) fn within_bounds(self) -> Self {
        match deliveries(&self.evaluation) {
            ..=DELIVERIES_MAX => self,
            found => {
                Self::failed(format!("the result asks for {found} deliveries; at most {DELIVERIES_MAX} are allowed in one evaluation"))
            }
        }
    }
}

/// Every known format.
pub(crate) fn formats() -> impl Iterator<Item = &'static dyn Format> {
    let wasm = crate::wasm::FORMATS.iter().map(|format| format as &dyn Format);
    wasm.chain(crate::lua::FORMATS.iter().map(|format| format as &dyn Format))
}

/// The format of that name; the empty name is the oldest format, which needed no tag.
pub(crate) fn find(name: &str) -> Result<&'static dyn Format, Refusal> {
    let name = if name.is_empty() { "wasm32-unknown-emscripten" } else { name };
    formats()
        .find(|format| format.names().contains(&name))
        .ok_or_else(|| Refusal::UnknownFormat { found: name.chars().take(128).collect(), known: known().join(", ") })
}

/// The names of all known formats.
pub fn known() -> Vec<&'static str> {
    formats().flat_map(|format| format.names().iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use ao_types::Outgoing;
    use serde_json::{Value, json};

    use super::*;

    fn outgoing(entry: Value) -> Outgoing {
        let Value::Object(fields) = entry else { unreachable!() };
        Outgoing { fields, data: None }
    }

    #[test]
    fn deliveries_are_bounded_together_whatever_list_they_stand_in() {
        let ids = |count: usize| vec!["x"; count];
        let message = |named: usize| outgoing(json!({ "Tags": [{ "name": "Assignments", "value": ids(named) }] }));
        let spawn = outgoing(json!({}));
        let fill = |more: usize| Evaluation {
            // One message that names 99 processes, 900 spawns, two assignments, one of which cannot be read.
            messages: vec![message(99)],
            spawns: vec![spawn.clone(); 900],
            assignments: vec![json!({ "Processes": ids(DELIVERIES_MAX - 1001 + more) }), json!("?")],
            ..Evaluation::default()
        };
        let answer = |more| Answer { evaluation: fill(more), keep: true };
        assert_eq!(answer(0).within_bounds(), answer(0));
        let over = answer(1).within_bounds();
        assert!(!over.keep && over.evaluation.spawns.is_empty());
        assert_eq!(over.evaluation.error.unwrap(), "the result asks for 10001 deliveries; at most 10000 are allowed in one evaluation");
    }
}
