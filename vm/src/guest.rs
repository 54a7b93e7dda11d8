//! One live instance on a process's memory: the store, its exports, and what is put back before each call.
//!
//! Linear memory is the whole state of a process. Everything else that code can change (mutable globals, the depth and gas counters, the
//! host's own state) is reset before each call, so that nothing but memory carries over; where tables can change as well, the owner takes
//! a fresh guest for each call.

use std::any::Any;

use wasmtime::{AsContextMut, Caller, Extern, Func, Global, Instance, InstancePre, Store, StoreLimits, StoreLimitsBuilder, Val};

use crate::engine::Clocked;
use crate::limits::{LOG_BYTES_MAX, STACK_WORDS_MAX, TABLE_ENTRIES_MAX};
use crate::memory::Memory;

/// What ends a call from inside a host function, besides the engine's own traps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Halt {
    /// The private token of a guest's non-local exit; whoever routed the call catches it ([`reenter`]).
    #[error("a non-local exit that nobody waits for")]
    Unwind,
    /// The guest asked to end.
    #[error("exit({0})")]
    Exit(i32),
    /// The guest did what no host allows; the same on every host.
    #[error("{0}")]
    Fault(String),
    /// This host could not go on; never a result.
    #[error("{0}")]
    Local(String),
}

impl Halt {
    /// A fault as the engine's error type.
    pub(crate) fn fault(text: impl Into<String>) -> wasmtime::Error {
        wasmtime::Error::new(Self::Fault(text.into()))
    }
}

/// Host state of one store.
pub(crate) struct Host {
    /// The guest's memory.
    pub(crate) memory: Option<wasmtime::Memory>,
    /// Milliseconds that the next reading of any clock shows (`vm-abi.md`, section 8).
    pub(crate) clock: u64,
    /// What the guest wrote to its standard streams in this call, cut at [`LOG_BYTES_MAX`].
    pub(crate) log: Vec<u8>,
    /// What stands in for entropy in this call; a function of process and message, see [`Host::seed`].
    pub(crate) random: blake3::OutputReader,
    /// High half of legalised 64-bit results.
    pub(crate) temp_ret0: u32,
    /// State of the format: handles that its host functions need.
    pub(crate) format: Box<dyn Any + Send>,
    depth: Option<Global>,
    limits: StoreLimits,
}

impl Host {
    /// One reading of the clock, in milliseconds.
    pub(crate) fn read_clock(&mut self) -> u64 {
        let now = self.clock;
        self.clock += 1;
        now
    }

    /// Makes [`Self::random`] that of a message. A message without an id or a nonce (a cron message has neither) is its time.
    pub(crate) fn seed(&mut self, process: &str, message: &ao_types::Invocation) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"ao-vm-random");
        for text in [process, message.id.as_deref().unwrap_or_default()] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&message.nonce.unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(&message.timestamp.to_le_bytes());
        self.random = hasher.finalize_xof();
    }

    /// Appends to the evaluation log.
    pub(crate) fn log(&mut self, bytes: &[u8]) {
        let room = LOG_BYTES_MAX - self.log.len();
        self.log.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The format's state.
    pub(crate) fn format<T: 'static>(&self) -> Option<&T> {
        self.format.downcast_ref()
    }
}

/// First reading of the clock in every call.
pub(crate) const CLOCK_START: u64 = 10_000;

/// What stands in for entropy before the first message.
fn unseeded() -> blake3::OutputReader {
    blake3::Hasher::new().update(b"ao-vm-random").finalize_xof()
}

/// A live instance.
pub(crate) struct Guest {
    /// The store.
    pub(crate) store: Store<Host>,
    /// The instance in it.
    pub(crate) instance: Instance,
    /// Its memory.
    pub(crate) memory: wasmtime::Memory,
    depth: Global,
    gas: Global,
    globals: Vec<Global>,
    /// Tables can change: good for one call only.
    pub(crate) single_use: bool,
}

impl Guest {
    /// Instantiates on `memory`, writing the module's data into its private view.
    pub(crate) fn new(clock: &Clocked, module: &InstancePre<Host>, memory: &Memory, fuel: u64) -> Result<Self, String> {
        let limits = StoreLimitsBuilder::new()
            .memories(1)
            .tables(16)
            .table_elements(usize::try_from(TABLE_ENTRIES_MAX).unwrap_or(usize::MAX))
            .memory_size(memory.capacity())
            .build();
        let random = unseeded();
        let host =
            Host { memory: None, clock: CLOCK_START, log: Vec::new(), random, temp_ret0: 0, format: Box::new(()), depth: None, limits };
        let mut store = Store::new(&clock.engine, host);
        store.limiter(|host| &mut host.limits);
        store.set_epoch_deadline(clock.ticks());
        store.set_fuel(fuel).map_err(|error| error.to_string())?;
        let instance = memory.lend(|| module.instantiate(&mut store)).map_err(|error| format!("{error:#}"))?;
        let mut found = Vec::new();
        let (mut view, mut depth, mut gas, mut single_use) = (None, None, None, false);
        for export in instance.exports(&mut store) {
            let name = export.name().to_owned();
            match (name.as_str(), export.into_extern()) {
                ("ao:memory", Extern::Memory(memory)) => view = Some(memory),
                ("ao:depth", Extern::Global(global)) => depth = Some(global),
                ("ao:gas", Extern::Global(global)) => gas = Some(global),
                ("ao:fresh", _) => single_use = true,
                (name, Extern::Global(global)) if name.starts_with("ao:g") => found.push(global),
                _ => {}
            }
        }
        let (Some(view), Some(depth), Some(gas)) = (view, depth, gas) else {
            return Err("the compiled module lacks the exports of the host".into());
        };
        store.data_mut().memory = Some(view);
        store.data_mut().depth = Some(depth);
        Ok(Self { store, instance, memory: view, depth, gas, globals: found, single_use })
    }

    /// The mutable globals as they are now, to be put back by [`Self::reset`].
    pub(crate) fn globals(&mut self) -> Vec<Val> {
        let store = &mut self.store;
        self.globals.iter().map(|global| global.get(&mut *store)).collect()
    }

    /// Makes the instance as it was at rest, except for its memory, and fills its tanks.
    pub(crate) fn reset(&mut self, clock: &Clocked, globals: &[Val], fuel: u64, gas: u64) -> Result<(), String> {
        let text = |error: wasmtime::Error| error.to_string();
        for (global, value) in self.globals.iter().zip(globals) {
            global.set(&mut self.store, *value).map_err(text)?;
        }
        self.depth.set(&mut self.store, Val::I32(0)).map_err(text)?;
        self.gas.set(&mut self.store, Val::I64(gas as i64)).map_err(text)?;
        self.store.set_fuel(fuel).map_err(text)?;
        self.store.set_epoch_deadline(clock.ticks());
        let host = self.store.data_mut();
        host.clock = CLOCK_START;
        host.log.clear();
        host.temp_ret0 = 0;
        host.random = unseeded();
        Ok(())
    }

    /// Fuel left.
    pub(crate) fn fuel(&self) -> u64 {
        self.store.get_fuel().unwrap_or(0)
    }

    /// Gas left; `None` after it ran out.
    pub(crate) fn gas(&mut self) -> Option<u64> {
        u64::try_from(self.gas.get(&mut self.store).i64()?).ok()
    }

    /// The call-depth counter tripped.
    pub(crate) fn too_deep(&mut self) -> bool {
        self.depth.get(&mut self.store).i32() == Some(-1)
    }

    /// An exported function.
    pub(crate) fn function(&mut self, name: &str) -> Option<Func> {
        self.instance.get_func(&mut self.store, name)
    }

    /// Calls a function whose arguments and result are pointers, counts or flags: each is passed in the width the function declares.
    pub(crate) fn call(&mut self, function: &Func, arguments: &[u64]) -> wasmtime::Result<u64> {
        call_int(&mut self.store, function, arguments)
    }

    /// Copies `bytes` to `at` in the guest's memory.
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) -> wasmtime::Result<()> {
        let data = self.memory.data_mut(&mut self.store);
        let range = range(data.len(), at, bytes.len() as u64)?;
        data[range].copy_from_slice(bytes);
        Ok(())
    }

    /// The guest's memory.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.data(&self.store)
    }
}

/// The range `[at, at + len)` if it lies in a memory of `size` bytes; otherwise a fault.
pub(crate) fn range(size: usize, at: u64, len: u64) -> wasmtime::Result<std::ops::Range<usize>> {
    match at.checked_add(len) {
        Some(end) if end <= size as u64 => Ok(at as usize..end as usize),
        _ => Err(Halt::fault(format!("out of bounds memory access: {len} bytes at {at} of {size}"))),
    }
}

/// Calls a function of integers, whatever their widths. A function of another shape is a fault.
pub(crate) fn call_int(mut store: impl AsContextMut, function: &Func, arguments: &[u64]) -> wasmtime::Result<u64> {
    let ty = function.ty(&store);
    if ty.params().len() != arguments.len() || ty.results().len() > 1 {
        return Err(Halt::fault("an exported function has an unexpected type"));
    }
    let mut values = [Val::I32(0); 8];
    let values = values.get_mut(..arguments.len()).ok_or_else(|| Halt::fault("too many arguments"))?;
    for ((value, argument), ty) in values.iter_mut().zip(arguments).zip(ty.params()) {
        *value = int(&ty, *argument)?;
    }
    let mut results = [Val::I32(0)];
    let results = &mut results[..ty.results().len()];
    function.call(store.as_context_mut(), values, results)?;
    match results.first() {
        None => Ok(0),
        Some(value) => uint(value),
    }
}

/// An integer in the width that `ty` asks for.
pub(crate) fn int(ty: &wasmtime::ValType, value: u64) -> wasmtime::Result<Val> {
    match ty {
        wasmtime::ValType::I32 => Ok(Val::I32(value as u32 as i32)),
        wasmtime::ValType::I64 => Ok(Val::I64(value as i64)),
        _ => Err(Halt::fault("an integer is expected")),
    }
}

/// An integer value without its sign.
pub(crate) fn uint(value: &Val) -> wasmtime::Result<u64> {
    match value {
        Val::I32(value) => Ok(u64::from(*value as u32)),
        Val::I64(value) => Ok(*value as u64),
        _ => Err(Halt::fault("an integer is expected")),
    }
}

/// What a protected call came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    /// It returned.
    Normally,
    /// It was left by [`Halt::Unwind`]; the depth counter is as before the call.
    ByUnwinding,
}

/// Words that a call from the host back into the guest adds to the depth counter: the host's frames are far larger than a guest's.
const CROSSING_WORDS: i32 = 512;

/// Calls back into the guest from a host function, so that a non-local exit of the guest ends here. Counts the crossing as depth.
pub(crate) fn reenter(
    caller: &mut Caller<'_, Host>,
    function: &Func,
    arguments: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<Returned> {
    let global = caller.data().depth.ok_or_else(|| wasmtime::Error::new(Halt::Local("no depth counter".into())))?;
    let before = global.get(&mut *caller).i32().unwrap_or(0);
    let inside = before.saturating_add(CROSSING_WORDS);
    if inside as u64 > STACK_WORDS_MAX {
        global.set(&mut *caller, Val::I32(-1))?;
        return Err(Halt::fault("call stack exhausted"));
    }
    global.set(&mut *caller, Val::I32(inside))?;
    match function.call(&mut *caller, arguments, results) {
        Ok(()) => {
            global.set(&mut *caller, Val::I32(before))?;
            Ok(Returned::Normally)
        }
        Err(error) if matches!(error.downcast_ref::<Halt>(), Some(Halt::Unwind)) => {
            global.set(&mut *caller, Val::I32(before))?;
            Ok(Returned::ByUnwinding)
        }
        Err(error) => Err(error),
    }
}
