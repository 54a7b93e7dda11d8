//! From a module to its program: found in memory, on disk, or compiled.
//!
//! Owns what is remembered, of modules that run and of those that do not. Each module is made once at a time: whoever makes it holds its
//! slot, others who want it wait for that module only.
//!
//! ```text
//!   module id ──► program, refusal          linked with the imports of its format
//!   key       ──► compiled code, verdict    bytes, rewrites and engine: every Lua source shares one
//! ```

use std::num::NonZeroUsize;
use std::sync::Arc;

use ao_types::Id;
use lru::LruCache;
use parking_lot::Mutex;

use crate::cache::{Cache, Found, Key};
use crate::compiler::{CompileError, Compiler, Job};
use crate::engine::Clocked;
use crate::formats::{self, Format};
use crate::limits::{PROGRAMS_MAX, REFUSALS_MAX};
use crate::lua::runtimes::Runtimes;
use crate::program::{Identity, Program};
use crate::{Error, ModuleLookups, ModuleSource, Refusal, admission, rewrite, tags};

/// See the module documentation.
pub(crate) struct Programs {
    clock: Arc<Clocked>,
    cache: Cache,
    runtimes: Runtimes,
    compiler: Arc<dyn Compiler>,
    lookups: Mutex<ModuleLookups>,
    programs: Mutex<LruCache<Id, Slot<Arc<Program>>>>,
    refusals: Mutex<LruCache<Id, Refusal>>,
    compiled: Mutex<LruCache<Key, Slot<wasmtime::Module>>>,
    verdicts: Mutex<LruCache<Key, CompileError>>,
}

/// How a request for a program ended; a field of [`ModuleLookups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookUp {
    Memory,
    Disk,
    Compiled,
    Refused,
    Failed,
}

/// Empty until made.
type Slot<T> = Arc<Mutex<Option<T>>>;

fn at_most<K: std::hash::Hash + Eq, V>(count: usize) -> Mutex<LruCache<K, V>> {
    Mutex::new(LruCache::new(NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)))
}

/// The format that a module names.
pub(crate) fn format(module: &ModuleSource) -> Result<&'static dyn Format, Refusal> {
    formats::find(tags::value(&module.tags, "Module-Format").unwrap_or_default())
}

/// What states of a module's processes are states of.
pub(crate) fn identity(module: &ModuleSource, format: &dyn Format) -> Identity {
    let name = format.names().iter().find(|name| Some(**name) == tags::value(&module.tags, "Module-Format"));
    let name = name.or(format.names().first()).copied().unwrap_or_default();
    Identity { module: module.id, format: format.identity(name, module) }
}

impl Programs {
    pub(crate) fn new(clock: Arc<Clocked>, cache: Cache, runtimes: Runtimes, compiler: Arc<dyn Compiler>) -> Self {
        let (programs, refusals) = (at_most(PROGRAMS_MAX), at_most(REFUSALS_MAX));
        let (compiled, verdicts) = (at_most(PROGRAMS_MAX), at_most(REFUSALS_MAX));
        Self { clock, cache, runtimes, compiler, lookups: Mutex::default(), programs, refusals, compiled, verdicts }
    }

    /// The program of a module.
    pub(crate) fn of(&self, module: &ModuleSource) -> Result<Arc<Program>, Error> {
        let (made, ending) = self.find(module);
        let lookups = &mut *self.lookups.lock();
        *match ending {
            LookUp::Memory => &mut lookups.memory,
            LookUp::Disk => &mut lookups.disk,
            LookUp::Compiled => &mut lookups.compiled,
            LookUp::Refused => &mut lookups.refused,
            LookUp::Failed => &mut lookups.failed,
        } += 1;
        made
    }

    /// How requests ended so far.
    pub(crate) fn lookups(&self) -> ModuleLookups {
        *self.lookups.lock()
    }

    fn find(&self, module: &ModuleSource) -> (Result<Arc<Program>, Error>, LookUp) {
        if let Some(refusal) = self.refusals.lock().get(&module.id) {
            return (Err(refusal.clone().into()), LookUp::Refused);
        }
        let slot = self.programs.lock().get_or_insert(module.id, Slot::default).clone();
        let mut slot = slot.lock();
        if let Some(program) = &*slot {
            return (Ok(program.clone()), LookUp::Memory);
        }
        let mut ending = LookUp::Failed;
        let made = self.make(module, &mut ending);
        match &made {
            Ok(program) => *slot = Some(program.clone()),
            Err(Error::Refused(refusal)) => {
                self.refusals.lock().put(module.id, refusal.clone());
                ending = LookUp::Refused;
            }
            Err(_) => {} // This host's trouble: asked again next time.
        }
        (made, ending)
    }

    fn make(&self, module: &ModuleSource, ending: &mut LookUp) -> Result<Arc<Program>, Error> {
        let format = format(module)?;
        let wasm = format.wasm(module, &self.runtimes)?;
        let compiled = self.compiled(module, format, &wasm, ending)?;
        Ok(Arc::new(Program::link(identity(module, format), self.clock.clone(), format, &compiled)?))
    }

    fn compiled(&self, module: &ModuleSource, format: &dyn Format, wasm: &[u8], ending: &mut LookUp) -> Result<wasmtime::Module, Error> {
        let engine = &self.clock.engine;
        let key = Key::new(engine, wasm, format.rewrites());
        let slot = self.compiled.lock().get_or_insert(key, Slot::default).clone();
        let mut slot = slot.lock();
        if let Some(compiled) = &*slot {
            *ending = LookUp::Memory;
            return Ok(compiled.clone());
        }
        let found = match self.known(key) {
            Some(Found::Code(compiled)) => {
                *ending = LookUp::Disk;
                Ok(compiled)
            }
            Some(Found::Not(verdict)) => Err(verdict),
            None => match self.compile(module, format, wasm)? {
                Ok(code) => {
                    *ending = LookUp::Compiled;
                    self.cache.store(key, &code);
                    // SAFETY: the bytes were just produced by this engine's compiler.
                    let made = unsafe { wasmtime::Module::deserialize(engine, &code) };
                    made.map_err(|error| CompileError::Unavailable(error.to_string()))
                }
                Err(verdict) => {
                    self.cache.store_verdict(key, &verdict);
                    Err(verdict)
                }
            },
        };
        match found {
            Ok(compiled) => {
                *slot = Some(compiled.clone());
                Ok(compiled)
            }
            Err(CompileError::Unavailable(reason)) => Err(Error::NotEvaluated(format!("module {}: {reason}", module.id))),
            Err(verdict) => {
                *ending = LookUp::Refused;
                self.verdicts.lock().put(key, verdict.clone());
                Err(match verdict {
                    CompileError::Refused(reason) => Refusal::Module { id: module.id, reason }.into(),
                    over => Error::OverBudget(format!("module {}: {over}", module.id)),
                })
            }
        }
    }

    /// What is remembered of a module, unless there is a larger budget now than the one it went over.
    fn known(&self, key: Key) -> Option<Found> {
        let verdict = self.verdicts.lock().get(&key).cloned();
        let known = verdict.map(Found::Not).or_else(|| self.cache.load(&self.clock.engine, key));
        known
            .filter(|known| !matches!(known, Found::Not(CompileError::OverBudget { budget, .. }) if self.compiler.budget().exceeds(budget)))
    }

    /// Admits, rewrites and compiles.
    fn compile(&self, module: &ModuleSource, format: &dyn Format, wasm: &[u8]) -> Result<Result<Vec<u8>, CompileError>, Refusal> {
        let survey = admission::survey(&module.id, wasm)?;
        let rewritten = rewrite::rewrite(wasm, &survey, format.rewrites());
        let rewritten = rewritten.map_err(|reason| Refusal::Module { id: module.id, reason })?;
        Ok(self.compiler.compile(&Job { wasm: &rewritten, ours: format.ours(), engine: &self.clock.engine }))
    }
}

#[cfg(test)]
mod tests;
