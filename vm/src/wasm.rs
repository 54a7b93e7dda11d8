//! Modules that are WebAssembly themselves: the emscripten family that aos is published in, and small modules of our own.
//!
//! One convention serves all: `handle(message, environment)` on C strings of JSON. The formats differ in names, in how strings are passed
//! and in who counts gas: the table [`FORMATS`] is all there is to it (`vm-abi.md`, sections 1 to 7).

mod convention;
pub(crate) mod json;

use std::sync::Arc;

use ao_types::Environment;
use bytes::Bytes;
use wasmtime::{Linker, Module};

use crate::formats::{Abi, Format};
use crate::guest::Host;
use crate::lua::runtimes::Runtimes;
use crate::rewrite::{Gas, Options};
use crate::{ModuleSource, Refusal};

/// How a family of builds names its exports and passes strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `wasm32-unknown-emscripten`: every name minified to one or two letters.
    Minified,
    /// `…emscripten2` and `3`: plain names, `stackSave` and the like.
    Old,
    /// `…emscripten4` and the 64-bit builds: plain names, `emscripten_stack_*`.
    New,
    /// Modules of our own: `malloc` and `handle`, nothing else (section 12).
    Small,
}

/// One value of `Module-Format`.
#[derive(Debug)]
pub(crate) struct WasmFormat {
    names: [&'static str; 1],
    pub(crate) dialect: Dialect,
    /// The reference calls `main(0, 0)` at start.
    pub(crate) calls_main: bool,
    /// Strings are given four bytes for each UTF-16 unit.
    pub(crate) wide_strings: bool,
    /// What `emscripten_get_heap_max` answers.
    pub(crate) heap_max: u64,
    gas: Gas,
    needs_limits: bool,
}

const HEAP_2: u64 = 524_288_000;
const HEAP_32: u64 = 4_294_901_760;
const HEAP_64: u64 = 17_179_869_184;

const fn format(name: &'static str, dialect: Dialect, calls_main: bool, wide_strings: bool, heap_max: u64, gas: Gas) -> WasmFormat {
    let needs_limits = !matches!(dialect, Dialect::Small);
    WasmFormat { names: [name], dialect, calls_main, wide_strings, heap_max, gas, needs_limits }
}

/// The family.
pub(crate) static FORMATS: [WasmFormat; 9] = [
    format("wasm32-unknown-emscripten", Dialect::Minified, true, true, HEAP_2, Gas::Calls),
    format("wasm32-unknown-emscripten2", Dialect::Old, true, true, HEAP_2, Gas::Calls),
    format("wasm32-unknown-emscripten3", Dialect::Old, true, false, HEAP_32, Gas::Calls),
    format("wasm32-unknown-emscripten4", Dialect::New, false, false, HEAP_32, Gas::Calls),
    format("wasm64-unknown-emscripten-draft_2024_02_15", Dialect::New, false, false, HEAP_64, Gas::Calls),
    format("wasm32-unknown-emscripten-metering", Dialect::New, false, false, HEAP_32, Gas::Inserted),
    format("wasm64-unknown-emscripten-draft_2024_10_16-metering", Dialect::New, false, false, HEAP_64, Gas::Inserted),
    format("wasm32-ao-json-1", Dialect::Small, false, false, HEAP_32, Gas::Calls),
    format("wasm64-ao-json-1", Dialect::Small, false, false, HEAP_64, Gas::Calls),
];

impl Format for WasmFormat {
    fn names(&self) -> &'static [&'static str] {
        // The table is static, and so is what it holds.
        FORMATS.iter().find(|format| std::ptr::eq(*format, self)).map_or(&[], |format| &format.names)
    }

    fn wasm(&self, source: &ModuleSource, _: &Runtimes) -> Result<Bytes, Refusal> {
        Ok(source.code.clone())
    }

    fn rewrites(&self) -> Options {
        Options { gas: self.gas, fold_asyncify: true, count_depth: true }
    }

    fn encodings(&self) -> &'static [&'static str] {
        &["JSON-1", "JSON-V1"]
    }

    fn needs_limits(&self) -> bool {
        self.needs_limits
    }

    fn link(&self, linker: &mut Linker<Host>, module: &Module) -> wasmtime::Result<()> {
        crate::host::link(self, linker, module)
    }

    fn abi(&self, source: &ModuleSource, environment: &Arc<Environment>) -> Result<Box<dyn Abi>, Refusal> {
        let Some(format) = FORMATS.iter().find(|format| std::ptr::eq(*format, self)) else {
            return Err(Refusal::Module { id: source.id, reason: "its format is not in the table".into() });
        };
        Ok(Box::new(convention::Convention::new(format, environment)))
    }
}
