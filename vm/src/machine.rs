//! The machine: modules in, instances out.
//!
//! ```text
//!   admit    tags only: format, encodings, extensions, limits of the process
//!   prepare  survey ► rewrite ► compile, or the cache; each module once at a time, refusals remembered
//!   start    instance on a memory of its own, booted or restored
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ao_types::{Environment, Id, Tag};
use lru::LruCache;
use parking_lot::Mutex;

use crate::cache::{Cache, Key};
use crate::engine::Clocked;
use crate::formats::{self, Format};
use crate::hosted::{Hosted, Tanks};
use crate::limits::*;
use crate::program::{Identity, Program};
use crate::tags::{self, Limits};
use crate::{Checkpoint, Error, Instance, ModuleLookups, ModuleSource, Refusal, Vm, admission, rewrite};

/// What an operator decides about the machine. Only [`Self::fuel`] and the two ceilings show in results: nodes of one network agree on them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where compiled modules are kept; `None` compiles each time.
    pub cache: Option<PathBuf>,
    /// Greatest `Memory-Limit` of a process, bytes.
    pub memory_limit_max: u64,
    /// Greatest `Compute-Limit` of a process, gas.
    pub compute_limit_max: u64,
    /// Fuel of one message; an evaluation that needs more is an error. The reference has no such limit: keep it generous.
    pub fuel: u64,
    /// Wall clock of one evaluation; beyond it the message is reported as not evaluated.
    pub wall_clock: Duration,
    /// Messages between two commits at most, 1 to [`BATCH_MESSAGES_MAX`]. Seen in speed only.
    pub batch: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache: None,
            memory_limit_max: 1 << 30,
            compute_limit_max: 9_000_000_000_000,
            fuel: FUEL_MAX,
            wall_clock: Duration::from_secs(60),
            batch: BATCH_MESSAGES_MAX,
        }
    }
}

/// The one machine of a node.
pub struct Machine {
    settings: Settings,
    clock: Arc<Clocked>,
    cache: Cache,
    programs: Mutex<LruCache<Id, Slot>>,
    compiled: Mutex<LruCache<Key, Shared>>,
    lookups: Mutex<ModuleLookups>,
}

/// Compiled code. Modules may share it: every Lua source runs on one guest, which is compiled and held once.
type Shared = Arc<Mutex<Option<wasmtime::Module>>>;

/// One module: empty until prepared. Whoever prepares it holds the inner lock; others wait for that module only.
type Slot = Arc<Mutex<Option<Result<Arc<Program>, Refusal>>>>;

impl Machine {
    /// Starts the engine.
    ///
    /// # Errors
    /// [`Error::NotEvaluated`] where this host cannot run the engine at all.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let clock = Arc::new(Clocked::new(settings.wall_clock).map_err(Error::NotEvaluated)?);
        let cache = Cache::open(settings.cache.as_deref(), &clock.engine);
        let capacity = std::num::NonZeroUsize::new(PROGRAMS_MAX + REFUSALS_MAX).unwrap_or(std::num::NonZeroUsize::MIN);
        let shared = std::num::NonZeroUsize::new(PROGRAMS_MAX).unwrap_or(std::num::NonZeroUsize::MIN);
        let (programs, compiled) = (Mutex::new(LruCache::new(capacity)), Mutex::new(LruCache::new(shared)));
        Ok(Self { settings, clock, cache, programs, compiled, lookups: Mutex::default() })
    }

    /// Names of the module formats this machine runs.
    pub fn formats(&self) -> Vec<&'static str> {
        formats::known()
    }

    fn format(&self, module: &ModuleSource) -> Result<&'static dyn Format, Refusal> {
        formats::find(tags::value(&module.tags, "Module-Format").unwrap_or_default())
    }

    fn program(&self, module: &ModuleSource) -> Result<Arc<Program>, Error> {
        let slot = self.programs.lock().get_or_insert(module.id, Slot::default).clone();
        let mut slot = slot.lock();
        match &*slot {
            Some(Ok(program)) => {
                self.lookups.lock().memory += 1;
                return Ok(program.clone());
            }
            Some(Err(refusal)) => {
                self.lookups.lock().failed += 1;
                return Err(refusal.clone().into());
            }
            None => {}
        }
        let made = self.load(module);
        match &made {
            Ok(program) => *slot = Some(Ok(program.clone())),
            Err(error) => {
                self.lookups.lock().failed += 1;
                // Anything but a refusal is this host's trouble: tried again next time.
                if let Error::Refused(refusal) = error {
                    *slot = Some(Err(refusal.clone()));
                }
            }
        }
        made
    }

    fn load(&self, module: &ModuleSource) -> Result<Arc<Program>, Error> {
        let format = self.format(module)?;
        let wasm = format.wasm(module)?;
        let options = format.rewrites();
        let engine = &self.clock.engine;
        let key = Key::new(engine, &wasm, options);
        let compiled = self.compiled(key, || {
            if let Some(compiled) = self.cache.load(engine, key) {
                self.lookups.lock().disk += 1;
                return Ok(compiled);
            }
            let refused = |reason| Refusal::Module { id: module.id, reason };
            let survey = admission::survey(&module.id, &wasm)?;
            let rewritten = rewrite::rewrite(&wasm, &survey, options).map_err(refused)?;
            let code = crate::compile::compile(engine, rewritten, &module.id)?;
            self.cache.store(key, &code);
            self.lookups.lock().compiled += 1;
            // SAFETY: the bytes were just produced by this engine's compiler.
            unsafe { wasmtime::Module::deserialize(engine, &code) }.map_err(|error| Error::NotEvaluated(error.to_string()))
        })?;
        let name = format.names().iter().find(|name| Some(**name) == tags::value(&module.tags, "Module-Format"));
        let name = name.or(format.names().first()).copied().unwrap_or_default();
        let identity = Identity { module: module.id, format: format.identity(name) };
        Ok(Arc::new(Program::link(identity, self.clock.clone(), format, &compiled)?))
    }

    /// The compiled code of that key: held already, or made now while others who want it wait.
    fn compiled(&self, key: Key, make: impl FnOnce() -> Result<wasmtime::Module, Error>) -> Result<wasmtime::Module, Error> {
        let slot = self.compiled.lock().get_or_insert(key, Shared::default).clone();
        let mut slot = slot.lock();
        if let Some(compiled) = &*slot {
            self.lookups.lock().memory += 1;
            return Ok(compiled.clone());
        }
        let compiled = make()?;
        *slot = Some(compiled.clone());
        Ok(compiled)
    }

    fn ceilings(&self) -> Limits {
        Limits { memory: self.settings.memory_limit_max, compute: self.settings.compute_limit_max }
    }
}

impl Vm for Machine {
    fn admit(&self, module: &ModuleSource, process_id: &Id, process_tags: &[Tag]) -> Result<(), Refusal> {
        let format = self.format(module)?;
        tags::encodings(module, format.encodings())?;
        tags::extensions(module, process_tags)?;
        if format.needs_limits() { tags::limits(module, process_id, process_tags, &self.ceilings()) } else { Ok(()) }
    }

    fn prepare(&self, module: &ModuleSource) -> Result<(), Error> {
        self.program(module).map(drop)
    }

    fn module_lookups(&self) -> ModuleLookups {
        *self.lookups.lock()
    }

    fn start(&self, module: &ModuleSource, environment: Arc<Environment>, chain: &[Checkpoint]) -> Result<Box<dyn Instance>, Error> {
        let format = self.format(module)?;
        let program = self.program(module)?;
        let abi = format.abi(module, &environment)?;
        let fuel = format.fuel(&environment).min(self.settings.fuel);
        let tanks = Tanks { fuel, gas: tags::compute_limit(&environment.process.tags, &environment.module.tags) };
        Ok(Box::new(Hosted::start(program, abi, tanks, self.settings.batch, chain)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_are_counted_by_where_the_module_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let machine = || Machine::new(Settings { cache: Some(folder.path().to_owned()), ..Settings::default() }).unwrap();
        let module = |wat: &str| {
            let tags = [("Module-Format", "wasm32-ao-json-1"), ("Input-Encoding", "JSON-1"), ("Output-Encoding", "JSON-1")];
            let code = wat::parse_str(wat).unwrap();
            ModuleSource { id: Id([code.len() as u8; 32]), tags: tags.map(|(name, value)| Tag::new(name, value)).into(), code: code.into() }
        };
        let (sound, broken) = (module("(module (memory (export \"memory\") 1))"), module("(module (memory (export \"memory\") 60000))"));
        let first = machine();
        first.prepare(&sound).unwrap();
        first.prepare(&sound).unwrap();
        first.prepare(&broken).unwrap_err();
        first.prepare(&broken).unwrap_err();
        assert_eq!(first.module_lookups(), ModuleLookups { memory: 1, disk: 0, compiled: 1, failed: 2 });
        let second = machine();
        second.prepare(&sound).unwrap();
        assert_eq!(second.module_lookups(), ModuleLookups { disk: 1, ..ModuleLookups::default() });
    }
}
