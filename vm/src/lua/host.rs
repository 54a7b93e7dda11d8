//! The three imports of the guest: `try`, `throw` and `digest`.

use wasmtime::{Caller, Func, Global, Linker, Trap, Val};

use super::digest::digest;
use super::limits::{DIGEST_FUEL, DIGEST_FUEL_BYTE};
use crate::guest::{Halt, Host, Returned, range, reenter};

/// What the imports need of an instance.
#[derive(Clone)]
pub(crate) struct Routes {
    /// `ao_call(f, L, ud)`: calls the table slot f.
    pub(crate) call: Func,
    /// The C stack pointer.
    pub(crate) stack: Global,
}

/// Defines the imports.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap("ao", "throw", || -> wasmtime::Result<()> { Err(wasmtime::Error::new(Halt::Unwind)) })?;
    linker.func_wrap("ao", "try", protected)?;
    linker.func_wrap("ao", "digest", hash)?;
    Ok(())
}

/// Runs `f(L, ud)`; comes back when it returns and when `throw` is called inside it. Anything else passes through.
fn protected(mut caller: Caller<'_, Host>, f: i32, state: i32, ud: i32) -> wasmtime::Result<()> {
    let routes = caller.data().format::<Routes>().cloned().ok_or_else(|| wasmtime::Error::new(Halt::Local("no routes".into())))?;
    let stack = routes.stack.get(&mut caller);
    let arguments = [Val::I32(f), Val::I32(state), Val::I32(ud)];
    match reenter(&mut caller, &routes.call, &arguments, &mut [])? {
        Returned::Normally => Ok(()),
        Returned::ByUnwinding => routes.stack.set(&mut caller, stack),
    }
}

/// Writes the digest of `[data, data + length)` to `out` and returns its length; 0 for an unknown kind.
fn hash(mut caller: Caller<'_, Host>, kind: u32, data: u32, length: u32, out: u32) -> wasmtime::Result<u32> {
    let price = DIGEST_FUEL + DIGEST_FUEL_BYTE * u64::from(length);
    let left = caller.get_fuel()?;
    let Some(left) = left.checked_sub(price) else {
        caller.set_fuel(0)?;
        return Err(Trap::OutOfFuel.into());
    };
    caller.set_fuel(left)?;
    let memory = caller.data().memory.ok_or_else(|| wasmtime::Error::new(Halt::Local("no memory".into())))?;
    let bytes = memory.data_mut(&mut caller);
    let from = range(bytes.len(), data.into(), length.into())?;
    let Some(answer) = digest(kind, &bytes[from]) else { return Ok(0) };
    let to = range(bytes.len(), out.into(), answer.len() as u64)?;
    bytes[to].copy_from_slice(&answer);
    Ok(answer.len() as u32)
}
