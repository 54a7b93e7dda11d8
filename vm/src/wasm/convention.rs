//! Calling `handle`: strings in, string out (`vm-abi.md`, sections 2, 3 and 7).

use std::ops::Range;

use ao_types::{Environment, Invocation};
use wasmtime::Func;

use super::{Dialect, WasmFormat, json};
use crate::formats::{Abi, Answer};
use crate::guest::{Guest, Halt};
use crate::host::Routes;
use crate::limits::RESULT_BYTES_MAX;

/// What the JS runtime writes at the end of the C stack, and at address 0.
const COOKIES: [u32; 2] = [0x0213_5467, 0x89BA_CDFE];
const COOKIE_ZERO: u32 = 0x6373_6D65;

/// Exports by purpose, for each dialect.
struct Names {
    ctors: &'static str,
    handle: &'static str,
    main: &'static str,
    stack_save: &'static str,
    stack_restore: &'static str,
    stack_alloc: &'static str,
    malloc: &'static str,
    free: &'static str,
    set_threw: &'static str,
    table: &'static str,
}

const MINIFIED: Names = Names {
    ctors: "F",
    handle: "G",
    main: "H",
    stack_save: "M",
    stack_restore: "N",
    stack_alloc: "O",
    malloc: "J",
    free: "",
    set_threw: "L",
    table: "I",
};

const OLD: Names = Names {
    ctors: "__wasm_call_ctors",
    handle: "handle",
    main: "main",
    stack_save: "stackSave",
    stack_restore: "stackRestore",
    stack_alloc: "stackAlloc",
    malloc: "malloc",
    free: "free",
    set_threw: "setThrew",
    table: "__indirect_function_table",
};

const NEW: Names = Names {
    stack_save: "emscripten_stack_get_current",
    stack_restore: "_emscripten_stack_restore",
    stack_alloc: "_emscripten_stack_alloc",
    ..OLD
};

/// The convention of one process.
pub(super) struct Convention {
    format: &'static WasmFormat,
    names: &'static Names,
    process_id: String,
    /// The second argument: the same text for every message.
    environment: Vec<u8>,
    message: Vec<u8>,
    dead: Range<usize>,
    found: Option<Found>,
}

/// Functions of the attached instance.
struct Found {
    handle: Func,
    /// Save, restore, allocate.
    stack: Option<[Func; 3]>,
    malloc: Option<Func>,
    free: Option<Func>,
}

impl Convention {
    pub(super) fn new(format: &'static WasmFormat, environment: &Environment) -> Self {
        let names = match format.dialect {
            Dialect::Minified => &MINIFIED,
            Dialect::Old => &OLD,
            Dialect::New | Dialect::Small => &NEW,
        };
        // A struct of strings always serialises.
        let text = serde_json::to_vec(environment).unwrap_or_default();
        let process_id = environment.process.id.clone();
        Self { format, names, process_id, environment: text, message: Vec::new(), dead: 0..0, found: None }
    }

    fn found(&self) -> wasmtime::Result<&Found> {
        self.found.as_ref().ok_or_else(|| wasmtime::Error::new(Halt::Local("the instance is not attached".into())))
    }

    /// Bytes set aside for a string, its final NUL included.
    fn room(&self, text: &[u8]) -> u64 {
        if self.format.wide_strings {
            // What was serialised from strings is UTF-8; the lossy form only spares an error path.
            4 * String::from_utf8_lossy(text).encode_utf16().count() as u64 + 1
        } else {
            text.len() as u64 + 1
        }
    }

    fn place(&self, guest: &mut Guest, text: &[u8]) -> wasmtime::Result<u64> {
        let found = self.found()?;
        let room = self.room(text).max(text.len() as u64 + 1);
        let at = match (&found.stack, &found.malloc) {
            (Some([_, _, alloc]), _) => guest.call(alloc, &[room])?,
            (None, Some(malloc)) => guest.call(malloc, &[room])?,
            (None, None) => return Err(Halt::fault("the module offers no way to pass strings: neither stack functions nor malloc")),
        };
        if at == 0 {
            return Err(Halt::fault(format!("the module has no room for {room} bytes of input")));
        }
        guest.write(at, text)?;
        guest.write(at + text.len() as u64, &[0])?;
        Ok(at)
    }

    fn write_cookies(&mut self, guest: &mut Guest, end: u64) -> wasmtime::Result<u64> {
        let at = if end == 0 { 4 } else { end };
        guest.write(at, &COOKIES[0].to_le_bytes())?;
        guest.write(at + 4, &COOKIES[1].to_le_bytes())?;
        guest.write(0, &COOKIE_ZERO.to_le_bytes())?;
        Ok(at + 8)
    }
}

impl Abi for Convention {
    fn attach(&mut self, guest: &mut Guest) -> wasmtime::Result<()> {
        let names = self.names;
        let Some(handle) = guest.function(names.handle) else {
            return Err(Halt::fault(format!("the module does not export `{}`", names.handle)));
        };
        let stack = [names.stack_save, names.stack_restore, names.stack_alloc].map(|name| guest.function(name));
        let stack = match stack {
            [Some(save), Some(restore), Some(alloc)] => Some([save, restore, alloc]),
            _ => None,
        };
        let (malloc, free) = (guest.function(names.malloc), guest.function(names.free));
        let routes = Routes {
            table: guest.instance.get_table(&mut guest.store, names.table),
            stack: stack.map(|[save, restore, _]| (save, restore)),
            set_threw: guest.function(names.set_threw),
            malloc,
            free,
        };
        guest.store.data_mut().format = Box::new(routes);
        self.found = Some(Found { handle, stack, malloc, free });
        Ok(())
    }

    fn boot(&mut self, guest: &mut Guest) -> wasmtime::Result<()> {
        if let (Some(init), Some(end)) = (guest.function("emscripten_stack_init"), guest.function("emscripten_stack_get_end")) {
            guest.call(&init, &[])?;
            let end = guest.call(&end, &[])?;
            let dead_from = self.write_cookies(guest, end)?;
            if let Some([save, ..]) = self.found()?.stack {
                let rest = guest.call(&save, &[])?;
                let size = guest.bytes().len() as u64;
                // Only what the module itself declares as its stack, and only where that makes sense.
                if dead_from < rest && rest <= size {
                    self.dead = dead_from as usize..rest as usize;
                }
            }
        }
        if let Some(start) = guest.function(self.names.ctors).or_else(|| guest.function("_initialize")) {
            guest.call(&start, &[])?;
        }
        if self.format.calls_main
            && let Some(main) = guest.function(self.names.main)
        {
            match guest.call(&main, &[0, 0]) {
                Err(error) if matches!(error.downcast_ref::<Halt>(), Some(Halt::Exit(_))) => {}
                other => {
                    other?;
                }
            }
        }
        Ok(())
    }

    fn dead(&self) -> Range<usize> {
        self.dead.clone()
    }

    fn call(&mut self, guest: &mut Guest, message: &Invocation) -> wasmtime::Result<Answer> {
        let mut text = std::mem::take(&mut self.message);
        text.clear();
        json::write_message(message, &self.process_id, &mut text);
        guest.store.data_mut().seed(&self.process_id, message);
        let found = self.found()?;
        let (handle, stack, free) = (found.handle, found.stack, found.free);
        let rest = match &stack {
            Some([save, ..]) => Some(guest.call(save, &[])?),
            None => None,
        };
        let at = self.place(guest, &text)?;
        let environment = self.place(guest, &self.environment)?;
        self.message = text;
        let result = guest.call(&handle, &[at, environment])?;
        // Copied out before anything else runs: the string is the guest's.
        let result = string_at(guest.bytes(), result)?.to_vec();
        match (&stack, rest, free) {
            (Some([_, restore, _]), Some(rest), _) => {
                guest.call(restore, &[rest])?;
            }
            (None, _, Some(free)) => {
                for given in [at, environment] {
                    guest.call(&free, &[given])?;
                }
            }
            _ => {}
        }
        Ok(json::read_result(&result))
    }
}

/// The C string at `at`.
fn string_at(memory: &[u8], at: u64) -> wasmtime::Result<&[u8]> {
    let tail = usize::try_from(at).ok().filter(|at| *at != 0).and_then(|at| memory.get(at..));
    let tail = tail.ok_or_else(|| Halt::fault(format!("the result lies at {at}, outside of memory")))?;
    let end = memchr(tail).ok_or_else(|| Halt::fault(format!("the result has no end within {RESULT_BYTES_MAX} bytes")))?;
    Ok(&tail[..end])
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    let bytes = &bytes[..bytes.len().min(RESULT_BYTES_MAX + 1)];
    std::ffi::CStr::from_bytes_until_nul(bytes).ok().map(|text| text.count_bytes())
}
