//! How the guest is called: `lua/c/glue.c` is the other half.

use std::ops::Range;
use std::sync::Arc;

use ao_types::{Environment, Invocation};
use wasmtime::Func;

use super::host::Routes;
use super::image;
use super::limits::{INPUT_BYTES_MAX, RESULT_BYTES_MAX};
use super::wire::{Reader, Writer};
use crate::ModuleSource;
use crate::formats::{Abi, Answer};
use crate::guest::{Guest, Halt, range, uint};

/// The calling convention of one process.
pub(crate) struct Convention {
    process_id: String,
    /// Id of the guest.
    runtime: String,
    /// Input of `ao_boot`.
    boot: Vec<u8>,
    exports: Option<Exports>,
    /// End of the C stack; it starts at address 0, so that an overflow traps.
    stack_end: usize,
}

struct Exports {
    init: Func,
    input: Func,
    boot: Func,
    handle: Func,
}

/// What the guest returned: a value, or the text of a Lua error.
enum Record {
    Value(Range<usize>),
    Error(String),
}

impl Convention {
    /// For a process of that environment and source.
    pub(crate) fn new(source: &ModuleSource, environment: &Arc<Environment>, format: &str, runtime: &str) -> Self {
        let mut boot = Writer::default();
        boot.boot(environment, &source.code, "module", format);
        Self { process_id: environment.process.id.clone(), runtime: runtime.to_owned(), boot: boot.finish(), exports: None, stack_end: 0 }
    }

    fn exports(&self) -> wasmtime::Result<&Exports> {
        self.exports.as_ref().ok_or_else(|| wasmtime::Error::new(Halt::Local("the instance is not attached".into())))
    }

    /// Hands `input` over and calls `function` with its length; `None` where the guest has no memory for it.
    fn pass(guest: &mut Guest, exports: &Exports, function: &Func, input: &[u8]) -> wasmtime::Result<Option<Record>> {
        let length = input.len() as u64;
        let at = guest.call(&exports.input, &[length])?;
        if at == 0 {
            return Ok(None);
        }
        guest.write(at, input)?;
        let record = guest.call(function, &[length])?;
        read(guest, record).map(Some)
    }

    /// Loads the runtime library, and keeps what comes of it for other processes.
    fn load(&self, guest: &mut Guest, exports: &Exports) -> wasmtime::Result<()> {
        if let Some(constructors) = guest.function("__wasm_call_ctors") {
            guest.call(&constructors, &[])?;
        }
        let record = guest.call(&exports.init, &[])?;
        if let Record::Error(text) = read(guest, record)? {
            return Err(Halt::fault(format!("the runtime library does not load: {text}")));
        }
        image::keep(&self.runtime, guest, self.stack_end);
        Ok(())
    }

    /// What `math.random` starts from: the process and the message, hence different for each message and the same on every node.
    fn seed(&self, message: &Invocation) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"ao-lua-random");
        for part in [self.process_id.as_bytes(), message.id.as_deref().unwrap_or_default().as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        for number in [message.nonce.unwrap_or(u64::MAX), message.timestamp, message.block_height] {
            hasher.update(&number.to_le_bytes());
        }
        let mut seed = [0; 8];
        seed.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_le_bytes(seed)
    }
}

/// Reads a record header: u32 length of the whole, u8 status; the value's range lies in memory.
fn read(guest: &Guest, at: u64) -> wasmtime::Result<Record> {
    let bytes = guest.bytes();
    let header = &bytes[range(bytes.len(), at, 5)?];
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if !(5..=RESULT_BYTES_MAX).contains(&length) {
        return Err(Halt::fault(format!("the guest returned a record of {length} bytes")));
    }
    let status = header[4];
    let whole = range(bytes.len(), at, length as u64)?;
    let value = whole.start + 5..whole.end;
    if status == 0 {
        return Ok(Record::Value(value));
    }
    let text = Reader::new(&bytes[value]).json(0).ok();
    Ok(Record::Error(text.and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_else(|| "unknown error".into())))
}

impl Abi for Convention {
    fn attach(&mut self, guest: &mut Guest) -> wasmtime::Result<()> {
        let mut function = |name: &str| guest.function(name).ok_or_else(|| Halt::fault(format!("the guest does not export {name}")));
        let exports = Exports {
            init: function("ao_init")?,
            input: function("ao_input")?,
            boot: function("ao_boot")?,
            handle: function("ao_handle")?,
        };
        let call = function("ao_call")?;
        let stack = guest.instance.get_global(&mut guest.store, "__stack_pointer");
        let stack = stack.ok_or_else(|| Halt::fault("the guest does not export __stack_pointer"))?;
        self.stack_end = uint(&stack.get(&mut guest.store))? as usize;
        guest.store.data_mut().format = Box::new(Routes { call, stack });
        self.exports = Some(exports);
        Ok(())
    }

    fn boot(&mut self, guest: &mut Guest) -> wasmtime::Result<()> {
        let exports = self.exports()?;
        match image::found(&self.runtime) {
            Some(image) => image.copy(guest)?,
            None => self.load(guest, exports)?,
        }
        match Self::pass(guest, exports, &exports.boot, &self.boot)? {
            Some(Record::Value(_)) => Ok(()),
            Some(Record::Error(text)) => Err(Halt::fault(text)),
            None => Err(Halt::fault("not enough memory for the module's source")),
        }
    }

    fn dead(&self) -> Range<usize> {
        0..self.stack_end
    }

    fn call(&mut self, guest: &mut Guest, message: &Invocation) -> wasmtime::Result<Answer> {
        let exports = self.exports()?;
        let mut input = Writer::after(&self.seed(message).to_le_bytes());
        input.message(message);
        let input = input.finish();
        if input.len() > INPUT_BYTES_MAX {
            return Ok(Answer::failed(format!("the message has {} bytes, at most {INPUT_BYTES_MAX} are allowed", input.len())));
        }
        let value = match Self::pass(guest, exports, &exports.handle, &input)? {
            Some(Record::Value(value)) => value,
            Some(Record::Error(text)) => return Ok(Answer::failed(text)),
            None => return Ok(Answer::failed("not enough memory for the message")),
        };
        match Reader::new(&guest.bytes()[value]).evaluation() {
            Ok(evaluation) => Ok(Answer { keep: evaluation.error.is_none(), evaluation }),
            Err(problem) => Ok(Answer::failed(problem.to_string())),
        }
    }
}
