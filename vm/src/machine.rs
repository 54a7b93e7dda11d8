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

use crate::cache::Cache;
use crate::checkpoint;
use crate::compiler::{Compiler, InProcess};
use crate::engine::Clocked;
use crate::formats;
use crate::hosted::{Bounds, Hosted};
use crate::limits::*;
use crate::lua::runtimes::Runtimes;
use crate::programs::{Programs, format, identity};
use crate::tags::{self, Limits};
use crate::{Checkpoint, Error, Exported, Instance, ModuleLookups, ModuleSource, Refusal, Vm};

/// What an operator decides about the machine. Only [`Self::fuel`] and the two ceilings show in results: nodes of one network agree on them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where compiled modules are kept; `None` compiles each time.
    pub cache: Option<PathBuf>,
    /// Where Lua runtimes are kept: processes that began on an older node's go on with it. Part of the data, unlike the cache; `None`
    /// knows this node's own alone.
    pub runtimes: Option<PathBuf>,
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
    /// Who compiles. A node takes [`crate::BySize`]; without a binary that serves as a worker everything is compiled on the spot.
    pub compiler: Arc<dyn Compiler>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache: None,
            runtimes: None,
            memory_limit_max: 1 << 30,
            compute_limit_max: 9_000_000_000_000,
            fuel: FUEL_MAX,
            wall_clock: Duration::from_secs(60),
            batch: BATCH_MESSAGES_MAX,
            compiler: Arc::new(InProcess::default()),
        }
    }
}

/// The one machine of a node.
pub struct Machine {
    settings: Settings,
    programs: Programs,
}

impl Machine {
    /// Starts the engine.
    ///
    /// # Errors
    /// [`Error::NotEvaluated`] where this host cannot run the engine at all.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let clock = Clocked::new(settings.wall_clock).map_err(Error::NotEvaluated)?;
        Ok(Self::on(clock, settings))
    }

    fn on(clock: Clocked, settings: Settings) -> Self {
        let clock = Arc::new(clock);
        let cache = Cache::open(settings.cache.as_deref(), &clock.engine);
        let runtimes = Runtimes::open(settings.runtimes.as_deref());
        let programs = Programs::new(clock, cache, runtimes, settings.compiler.clone());
        Self { settings, programs }
    }

    /// Names of the module formats this machine runs.
    pub fn formats(&self) -> Vec<&'static str> {
        formats::known()
    }

    fn ceilings(&self) -> Limits {
        Limits { memory: self.settings.memory_limit_max, compute: self.settings.compute_limit_max }
    }

    fn hosted(&self, module: &ModuleSource, environment: &Arc<Environment>, chain: &[Checkpoint]) -> Result<Hosted, Error> {
        let format = format(module)?;
        let program = self.programs.of(module)?;
        let abi = format.abi(module, environment)?;
        let fuel = format.fuel(environment).min(self.settings.fuel);
        let (process_tags, module_tags) = (&environment.process.tags, &environment.module.tags);
        let memory = format.memory_bytes_max(process_tags, module_tags).map_err(Refusal::Limit)?;
        let memory = memory.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX).min(program.memory_bytes_max());
        let bounds = Bounds { fuel, gas: tags::compute_limit(process_tags, module_tags), memory };
        Hosted::start(program, abi, bounds, self.settings.batch, chain)
    }
}

impl Vm for Machine {
    fn admit(&self, module: &ModuleSource, process_id: &Id, process_tags: &[Tag]) -> Result<(), Refusal> {
        let format = format(module)?;
        tags::encodings(module, format.encodings())?;
        tags::extensions(module, process_tags)?;
        format.memory_bytes_max(process_tags, &module.tags).map_err(Refusal::Limit)?;
        if format.needs_limits() { tags::limits(module, process_id, process_tags, &self.ceilings()) } else { Ok(()) }
    }

    fn prepare(&self, module: &ModuleSource) -> Result<(), Error> {
        self.programs.of(module).map(drop)
    }

    fn export(&self, checkpoint: &Checkpoint) -> Result<Exported, Error> {
        checkpoint::export(checkpoint)
    }

    fn import(&self, module: &ModuleSource, gzip: &[u8]) -> Result<(Checkpoint, [u8; 32]), Error> {
        let identity = identity(module, format(module)?);
        let checkpoint = checkpoint::import_gzip(identity.module, &identity.format, gzip)?;
        let sha256 = checkpoint::memory_sha256(&checkpoint)?;
        Ok((checkpoint, sha256))
    }

    fn module_lookups(&self) -> ModuleLookups {
        self.programs.lookups()
    }

    fn adopt(&self, module: &ModuleSource, environment: Arc<Environment>, gzip: &[u8]) -> Result<(Checkpoint, [u8; 32]), Error> {
        self.hosted(module, &environment, &[])?.adopt(gzip)
    }

    fn start(&self, module: &ModuleSource, environment: Arc<Environment>, chain: &[Checkpoint]) -> Result<Box<dyn Instance>, Error> {
        Ok(Box::new(self.hosted(module, &environment, chain)?))
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod reference;
