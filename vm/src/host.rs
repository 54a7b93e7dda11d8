//! The imports of the emscripten family (`vm-abi.md`, section 4).
//!
//! Every import is one function of the caller and its integer arguments, whatever width the module declares: the same code serves 32-bit
//! and 64-bit builds. A module that declares other types than these functions expect gets a fault, never a panic. No file system, no
//! environment, no entropy, and time is a counter.

mod control;
mod files;
mod memory;
pub(crate) mod strftime;
mod time;

use wasmtime::{Caller, ExternType, FuncType, Linker, Module, Val, ValType};

use crate::guest::{Halt, Host, int, uint};
use crate::wasm::{Dialect, WasmFormat};

/// Exports of the guest that host functions call.
pub(crate) struct Routes {
    pub(crate) table: Option<wasmtime::Table>,
    /// Save and restore.
    pub(crate) stack: Option<(wasmtime::Func, wasmtime::Func)>,
    pub(crate) set_threw: Option<wasmtime::Func>,
    pub(crate) malloc: Option<wasmtime::Func>,
    pub(crate) free: Option<wasmtime::Func>,
}

/// One call of an import.
pub(crate) struct Call<'a, 'c> {
    pub(crate) caller: Caller<'c, Host>,
    pub(crate) arguments: &'a [Val],
    /// The declared type: widths are taken from it.
    pub(crate) ty: &'a FuncType,
    pub(crate) format: &'static WasmFormat,
    /// Size of a pointer, bytes.
    pub(crate) pointer: usize,
}

/// What an import returns: an integer for whatever integer type is declared, or a float.
pub(crate) enum Return {
    Nothing,
    Int(i64),
    Float(f64),
}

pub(crate) type Import = fn(&mut Call<'_, '_>) -> wasmtime::Result<Return>;

impl Call<'_, '_> {
    /// Argument `index` without sign.
    pub(crate) fn uint(&self, index: usize) -> wasmtime::Result<u64> {
        uint(self.arguments.get(index).ok_or_else(|| Halt::fault("an import has too few arguments"))?)
    }

    /// Argument `index` as a C `int`.
    pub(crate) fn c_int(&self, index: usize) -> wasmtime::Result<i32> {
        self.uint(index).map(|value| value as i32)
    }

    /// The guest's memory and the host state.
    pub(crate) fn memory(&mut self) -> wasmtime::Result<(&mut [u8], &mut Host)> {
        let memory = self.caller.data().memory.ok_or_else(|| wasmtime::Error::new(Halt::Local("no memory".into())))?;
        Ok(memory.data_and_store_mut(&mut self.caller))
    }

    /// Bytes `[at, at + len)` of the guest's memory.
    pub(crate) fn slice(&mut self, at: u64, len: u64) -> wasmtime::Result<&mut [u8]> {
        let (data, _) = self.memory()?;
        let range = crate::guest::range(data.len(), at, len)?;
        Ok(&mut data[range])
    }

    /// Writes at `at`.
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) -> wasmtime::Result<()> {
        self.slice(at, bytes.len() as u64)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes a value of pointer size.
    pub(crate) fn write_pointer(&mut self, at: u64, value: u64) -> wasmtime::Result<()> {
        let size = self.pointer;
        self.write(at, &value.to_le_bytes()[..size])
    }

    /// Reads a value of pointer size.
    pub(crate) fn read_pointer(&mut self, at: u64) -> wasmtime::Result<u64> {
        let size = self.pointer;
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(self.slice(at, size as u64)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// The C string at `at`, at most [`crate::limits::HOST_TEXT_MAX`] bytes of it.
    pub(crate) fn text(&mut self, at: u64) -> wasmtime::Result<Vec<u8>> {
        let (data, _) = self.memory()?;
        let from = crate::guest::range(data.len(), at, 0)?.start;
        let tail = &data[from..];
        let tail = &tail[..tail.len().min(crate::limits::HOST_TEXT_MAX)];
        Ok(tail.split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
    }
}

/// Defines what we know among the imports of `module`.
pub(crate) fn link(format: &WasmFormat, linker: &mut Linker<Host>, module: &Module) -> wasmtime::Result<()> {
    let Some(format) = crate::wasm::FORMATS.iter().find(|known| std::ptr::eq(*known, format)) else { return Ok(()) };
    let wide = module.exports().any(|export| matches!(export.ty(), ExternType::Memory(memory) if memory.is_64()));
    let pointer = if wide { 8 } else { 4 };
    for import in module.imports() {
        let ExternType::Func(ty) = import.ty() else { continue };
        let Some(name) = plain_name(format.dialect, import.module(), import.name()) else { continue };
        if ty.params().any(|ty| !plain(&ty)) || ty.results().any(|ty| !plain(&ty)) || ty.results().len() > 1 {
            continue; // No import we know has such a type: it traps when called.
        }
        if let Some(function) = find(format.dialect, name) {
            let declared = ty.clone();
            linker.func_new(import.module(), import.name(), ty, move |caller, arguments, results| {
                let mut call = Call { caller, arguments, ty: &declared, format, pointer };
                give(function(&mut call)?, &declared, results)
            })?;
        } else if name.starts_with("invoke_") {
            let declared = ty.clone();
            linker.func_new(import.module(), import.name(), ty, move |caller, arguments, results| {
                control::invoke(caller, &declared, arguments, results)
            })?;
        }
    }
    Ok(())
}

fn plain(ty: &ValType) -> bool {
    matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64)
}

fn give(value: Return, ty: &FuncType, results: &mut [Val]) -> wasmtime::Result<()> {
    let (Some(result), Some(ty)) = (results.first_mut(), ty.result(0)) else { return Ok(()) };
    *result = match (value, &ty) {
        (Return::Float(value), ValType::F64) => Val::F64(value.to_bits()),
        (Return::Float(value), ValType::F32) => Val::F32((value as f32).to_bits()),
        (Return::Int(value), ty) => int(ty, value as u64)?,
        (Return::Nothing, ty) => int(ty, 0)?,
        _ => return Err(Halt::fault("an import has an unexpected result type")),
    };
    Ok(())
}

/// The name that an import means. Modules of the oldest format use letters.
fn plain_name<'a>(dialect: Dialect, module: &str, name: &'a str) -> Option<&'a str> {
    match (dialect, module) {
        (Dialect::Minified, "a") => MINIFIED.iter().find(|(letter, _)| *letter == name).map(|(_, plain)| *plain),
        (_, "env" | "wasi_snapshot_preview1" | "metering") => Some(name),
        _ => None,
    }
}

/// Section 4.5.
const MINIFIED: [(&str, &str); 30] = [
    ("a", "_emscripten_date_now"),
    ("b", "setTempRet0"),
    ("c", "fd_close"),
    ("d", "__syscall_fcntl64"),
    ("e", "__syscall_unlinkat"),
    ("f", "fd_write"),
    ("g", "__syscall_openat"),
    ("h", "getTempRet0"),
    ("i", "_mktime_js"),
    ("j", "_tzset_js"),
    ("k", "emscripten_memcpy_big"),
    ("l", "exit"),
    ("m", "system"),
    ("n", "strftime"),
    ("o", "fd_seek"),
    ("p", "_emscripten_throw_longjmp"),
    ("q", "emscripten_resize_heap"),
    ("r", "__syscall_lstat64"),
    ("s", "__syscall_renameat"),
    ("t", "__syscall_rmdir"),
    ("u", "environ_get"),
    ("v", "environ_sizes_get"),
    ("w", "__syscall_dup3"),
    ("x", "invoke_vii"),
    ("y", "fd_read"),
    ("z", "__syscall_ioctl"),
    ("A", "_emscripten_get_now_is_monotonic"),
    ("B", "_gmtime_js"),
    ("C", "_localtime_js"),
    ("D", "abort"),
];

fn find(dialect: Dialect, name: &str) -> Option<Import> {
    const SMALL: [&str; 6] = ["fd_write", "clock_time_get", "environ_get", "environ_sizes_get", "proc_exit", "random_get"];
    if dialect == Dialect::Small && !SMALL.contains(&name) {
        return None; // Section 12: nothing else is offered to these.
    }
    control::find(name).or_else(|| memory::find(name)).or_else(|| time::find(name)).or_else(|| files::find(name))
}
