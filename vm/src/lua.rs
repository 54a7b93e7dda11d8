//! Lua processes: Lua 5.3 compiled to wasm, on the same machine as everything else (`vm-abi.md`, section 13).
//!
//! Owns the guest (built by `build.rs` from the Lua sources, `lua/c` and `lua/runtime`), its imports and its calling convention. Refuses
//! to know about memory, commits, fuel or checkpoints: those are `hosted.rs`'s.
//!
//! ```text
//!   boot      ao_init: the runtime library loads         ao_boot: environment kept, the module's source runs
//!   message   Invocation ─ wire ─► ao_handle ─► Lua tables ─► handlers ─► Lua tables ─ wire ─► Evaluation
//!   errors    guest: throw() ─► host: Halt::Unwind ─► host: try() returns      (LUAI_TRY, LUAI_THROW; nothing else unwinds)
//! ```
//!
//! A Lua error is the guest's own affair and can be caught there. Running out of fuel, exhausting the call stack and every other trap
//! pass through `try` untouched: no `pcall` sees them.

use std::sync::{Arc, OnceLock};

use ao_types::{Environment, Tag};
use bytes::Bytes;
use wasmtime::{Linker, Module};

use crate::formats::{Abi, Format};
use crate::guest::Host;
use crate::rewrite::{Gas, Options};
use crate::tags::memory_bytes;
use crate::{ModuleSource, Refusal};
use runtimes::Runtimes;

mod convention;
mod digest;
mod host;
mod image;
mod limits;
pub(crate) mod runtimes;
mod wire;

/// The guest: Lua, our glue, our runtime library.
static GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lua.wasm"));

/// What the embedded default module runs besides the runtime library.
static DEFAULT_SOURCE: &str = "-- The runtime library alone: handlers come by Eval or by the process's own On-Boot data.\n";

/// Tag of a Lua module that names the guest its author meant, as [`runtime_id`] shows it.
pub const RUNTIME_TAG: &str = "Lua-Runtime";

/// Identity of the guest this node was built with: BLAKE3 of its bytes, in hex. State hashes of Lua processes are comparable between
/// nodes of one runtime; another compiler makes another runtime. Processes go on with the runtime they began with
/// ([`Settings::runtimes`](crate::Settings::runtimes)).
pub fn runtime_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| blake3::hash(GUEST).to_hex().to_string())
}

/// The guest that a module runs on: the one it names, else this node's own.
fn runtime_of(source: &ModuleSource) -> &str {
    crate::tags::value(&source.tags, RUNTIME_TAG).unwrap_or_else(|| runtime_id())
}

/// A module item before it is signed: tags and data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleItem {
    /// Tags, in order.
    pub tags: Vec<Tag>,
    /// Lua source.
    pub data: Bytes,
}

/// The module of that source, with everything clients ask of a module item: they refuse to spawn from one without encodings.
pub fn module(name: &str, source: impl Into<Bytes>) -> ModuleItem {
    let fuel = limits::FUEL_DEFAULT.to_string();
    let tags = [
        ("Data-Protocol", "ao"),
        ("Variant", "ao.TN.1"),
        ("Type", "Module"),
        ("Module-Format", FORMATS[0].name[0]),
        ("Input-Encoding", "JSON-1"),
        ("Output-Encoding", "JSON-1"),
        ("Memory-Limit", "256-mb"),
        ("Compute-Limit", fuel.as_str()),
        (RUNTIME_TAG, runtime_id()),
        ("Name", name),
        ("Content-Type", "text/x-lua"),
    ];
    ModuleItem { tags: tags.iter().map(|(name, value)| Tag::new(*name, *value)).collect(), data: source.into() }
}

/// The embedded default module: the aos-like runtime library and nothing else. The same bytes on every node of one runtime.
pub fn default_module() -> ModuleItem {
    module("aonode-lua", Bytes::from_static(DEFAULT_SOURCE.as_bytes()))
}

/// Lua sources by `Module-Format`.
#[derive(Debug)]
pub(crate) struct LuaFormat {
    name: [&'static str; 1],
}

/// The family: one machine under two names. Which style a source is written in is seen when it has run.
pub(crate) static FORMATS: [LuaFormat; 2] = [LuaFormat { name: ["lua-5.3-handle"] }, LuaFormat { name: ["lua@5.3a"] }];

impl Format for LuaFormat {
    fn names(&self) -> &'static [&'static str] {
        FORMATS.iter().find(|format| std::ptr::eq(*format, self)).map_or(&[], |format| &format.name)
    }

    fn wasm(&self, source: &ModuleSource, runtimes: &Runtimes) -> Result<Bytes, Refusal> {
        let refused = |reason: String| Err(Refusal::Module { id: source.id, reason });
        if source.code.len() > limits::SOURCE_BYTES_MAX {
            return refused(format!("its source has {} bytes, at most {} are allowed", source.code.len(), limits::SOURCE_BYTES_MAX));
        }
        runtimes.get(runtime_of(source)).or_else(refused)
    }

    fn ours(&self) -> bool {
        true
    }

    fn rewrites(&self) -> Options {
        // Lua counts its nested C calls itself and stops at 200 (LUAI_MAXCCALLS), which a program sees as an error it can catch.
        Options { gas: Gas::Calls, fold_asyncify: false, count_depth: false }
    }

    fn encodings(&self) -> &'static [&'static str] {
        &[]
    }

    fn needs_limits(&self) -> bool {
        false
    }

    fn fuel(&self, environment: &Environment) -> u64 {
        let tags = environment.process.tags.iter().chain(&environment.module.tags);
        let asked = tags.filter(|tag| tag.name == "Compute-Limit").find_map(|tag| leading_integer(&tag.value));
        asked.unwrap_or(limits::FUEL_DEFAULT).min(crate::limits::FUEL_MAX)
    }

    fn memory_bytes_max(&self, process_tags: &[Tag], module_tags: &[Tag]) -> Result<Option<u64>, String> {
        let tags = process_tags.iter().chain(module_tags).filter(|tag| tag.name == "Memory-Limit");
        match tags.into_iter().find_map(|tag| memory_bytes(&tag.value)) {
            Some(asked) if asked < limits::MEMORY_BYTES_LEAST => {
                Err(format!("a Memory-Limit of {asked} bytes is less than a Lua process needs, {}", limits::MEMORY_BYTES_LEAST))
            }
            asked => Ok(asked),
        }
    }

    fn identity(&self, name: &str, source: &ModuleSource) -> String {
        format!("{name}/{}", runtime_of(source))
    }

    fn link(&self, linker: &mut Linker<Host>, _: &Module) -> wasmtime::Result<()> {
        host::link(linker)
    }

    fn abi(&self, source: &ModuleSource, environment: &Arc<Environment>) -> Result<Box<dyn Abi>, Refusal> {
        Ok(Box::new(convention::Convention::new(source, environment, self.name[0], runtime_of(source))))
    }
}

fn leading_integer(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

/// Reads what a guest returned, for [`crate::fuzzing`].
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzzing_evaluation(bytes: &[u8]) -> Result<ao_types::Evaluation, String> {
    // A value of any kind first: the reader's other entrance.
    let _ = wire::Reader::new(bytes).json(0);
    wire::Reader::new(bytes).evaluation().map_err(|problem| problem.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use wasmparser::{Parser, Payload};

    use super::*;

    #[test]
    fn the_guest_asks_for_three_imports_and_shows_no_more_than_the_host_calls() {
        let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
        for payload in Parser::new(0).parse_all(GUEST) {
            match payload.unwrap() {
                Payload::ImportSection(section) => {
                    imports.extend(
                        section.into_imports().map(|import| import.unwrap()).map(|import| format!("{}.{}", import.module, import.name)),
                    );
                }
                Payload::ExportSection(section) => exports.extend(section.into_iter().map(|export| export.unwrap().name)),
                Payload::CustomSection(section) => panic!("the section {} says how the guest was built", section.name()),
                _ => {}
            }
        }
        assert_eq!(imports.iter().map(String::as_str).collect::<Vec<_>>(), ["ao.digest", "ao.throw", "ao.try"]);
        let called = ["memory", "__stack_pointer", "__wasm_call_ctors", "ao_boot", "ao_call", "ao_handle", "ao_init", "ao_input"];
        assert_eq!(exports, BTreeSet::from(called));
    }

    #[test]
    fn nothing_of_the_building_machine_is_in_the_guest() {
        for trace in [env!("CARGO_MANIFEST_DIR"), env!("OUT_DIR"), "lua-guest", "lua-src", "registry/src", ".c\0"] {
            let found = GUEST.windows(trace.len()).any(|bytes| bytes == trace.as_bytes());
            assert!(!found, "{trace}");
        }
    }

    #[test]
    fn memory_follows_the_process_then_the_module_and_has_a_least() {
        let tags = |limits: &[&str]| limits.iter().map(|limit| Tag::new("Memory-Limit", *limit)).collect::<Vec<_>>();
        let bytes = |process: &[&str], module: &[&str]| FORMATS[0].memory_bytes_max(&tags(process), &tags(module));
        assert_eq!(bytes(&[], &[]), Ok(None));
        assert_eq!(bytes(&["much"], &["256-mb"]), Ok(Some(256 << 20)));
        assert_eq!(bytes(&["8-mb"], &["256-mb"]), Ok(Some(8 << 20)));
        assert_eq!(bytes(&["4-mb"], &[]), Ok(Some(limits::MEMORY_BYTES_LEAST)));
        assert!(bytes(&["4194303"], &["256-mb"]).unwrap_err().contains("4194303 bytes"));
    }

    #[test]
    fn fuel_follows_the_process_then_the_module_then_the_default() {
        let environment = |process: &[&str], module: &[&str]| {
            let subject = |limits: &[&str]| ao_types::invocation::Subject {
                id: String::new(),
                owner: String::new(),
                tags: limits.iter().map(|limit| Tag::new("Compute-Limit", *limit)).collect(),
            };
            Environment { process: subject(process), module: subject(module) }
        };
        let fuel = |process: &[&str], module: &[&str]| FORMATS[0].fuel(&environment(process, module));
        assert_eq!(fuel(&[], &[]), limits::FUEL_DEFAULT);
        assert_eq!(fuel(&[], &["7"]), 7);
        assert_eq!(fuel(&["5-gas"], &["7"]), 5);
        assert_eq!(fuel(&["none"], &["7"]), 7);
        assert_eq!(fuel(&["99999999999999999"], &[]), crate::limits::FUEL_MAX);
        assert_eq!(fuel(&["99999999999999999999999"], &[]), limits::FUEL_DEFAULT);
    }
}
