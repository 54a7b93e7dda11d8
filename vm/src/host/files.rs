//! Standard streams, bytes that stand in for entropy, and the absence of everything else (`vm-abi.md`, sections 4.3, 4.4 and 8.3).

use wasmtime::Trap;

use super::{Call, Import, Return};
use crate::guest::range;
use crate::limits::RANDOM_BYTES_MAX;
use crate::wasm::Dialect;

const BADF: i64 = 8;
const INVAL: i64 = 28;
const NOENT: i64 = 44;
const NOSYS: i64 = 52;
const NOTTY: i64 = 59;
const SPIPE: i64 = 70;

pub(super) fn find(name: &str) -> Option<Import> {
    Some(match name {
        "fd_write" => write,
        "fd_read" => read,
        "fd_seek" => |call| Ok(Return::Int(if stdio(call)? { SPIPE } else { BADF })),
        "fd_close" => |call| {
            let old = call.format.dialect == Dialect::Minified;
            Ok(Return::Int(if old {
                NOSYS
            } else if stdio(call)? {
                0
            } else {
                BADF
            }))
        },
        "fd_sync" => |call| Ok(Return::Int(if stdio(call)? { 0 } else { BADF })),
        "fd_fdstat_get" => fdstat,
        "environ_sizes_get" => |call| {
            let (count, size) = (call.uint(0)?, call.uint(1)?);
            call.write_pointer(count, 0)?;
            call.write_pointer(size, 0)?;
            Ok(Return::Int(0))
        },
        "environ_get" => |_| Ok(Return::Int(0)),
        "random_get" => random,
        "__syscall_openat" | "__syscall_readlinkat" | "__syscall_unlinkat" | "__syscall_rmdir" | "__syscall_renameat" => missing,
        "__syscall_mkdirat" | "__syscall_stat64" | "__syscall_lstat64" | "__syscall_newfstatat" => missing,
        "__syscall_faccessat" | "__syscall_chmod" | "__syscall_utimensat" | "__syscall_getcwd" => missing,
        "__syscall_fcntl64" | "__syscall_dup3" | "__syscall_fstat64" | "__syscall_fchmod" => |_| Ok(Return::Int(-BADF)),
        "__syscall_fchown32" | "__syscall_ftruncate64" => |_| Ok(Return::Int(-BADF)),
        "__syscall_ioctl" => |_| Ok(Return::Int(-NOTTY)),
        _ => return None,
    })
}

fn missing(_: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    Ok(Return::Int(-NOENT))
}

fn stdio(call: &Call<'_, '_>) -> wasmtime::Result<bool> {
    Ok((0..=2).contains(&call.c_int(0)?))
}

fn write(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    let fd = call.c_int(0)?;
    if !matches!(fd, 1 | 2) && call.format.dialect != Dialect::Minified {
        return Ok(Return::Int(BADF));
    }
    let (vectors, count, out) = (call.uint(1)?, call.uint(2)?, call.uint(3)?);
    let size = call.pointer as u64;
    // The table must lie in memory as a whole: its length then bounds the loop.
    call.slice(vectors, count.saturating_mul(2 * size))?;
    let mut total = 0u64;
    for entry in 0..count {
        let at = call.read_pointer(vectors + entry * 2 * size)?;
        let len = call.read_pointer(vectors + entry * 2 * size + size)?;
        let (data, host) = call.memory()?;
        host.log(&data[range(data.len(), at, len)?]);
        total = total.saturating_add(len);
    }
    call.write_pointer(out, total)?;
    Ok(Return::Int(0))
}

fn read(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    if call.format.dialect == Dialect::Minified {
        return Ok(Return::Int(NOSYS));
    }
    if call.c_int(0)? != 0 {
        return Ok(Return::Int(BADF));
    }
    let out = call.uint(3)?;
    call.write_pointer(out, 0)?;
    Ok(Return::Int(0))
}

/// Not random at all: the same bytes for the same message on every node (section 8.3). Each costs one fuel, about what making it takes.
fn random(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    let (at, len) = (call.uint(0)?, call.uint(1)?);
    if len > RANDOM_BYTES_MAX {
        return Ok(Return::Int(INVAL));
    }
    let Some(left) = call.caller.get_fuel()?.checked_sub(len) else {
        call.caller.set_fuel(0)?;
        return Err(Trap::OutOfFuel.into());
    };
    call.caller.set_fuel(left)?;
    let (data, host) = call.memory()?;
    let to = range(data.len(), at, len)?;
    host.random.fill(&mut data[to]);
    Ok(Return::Int(0))
}

fn fdstat(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    if !stdio(call)? {
        return Ok(Return::Int(BADF));
    }
    let at = call.uint(1)?;
    let mut stat = [0; 24];
    stat[0] = 2;
    call.write(at, &stat)?;
    Ok(Return::Int(0))
}
