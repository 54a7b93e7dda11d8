//! Memory on behalf of the C library: growth in the reference's steps, block copies (`vm-abi.md`, section 7).

use super::{Call, Import, Return, Routes};
use crate::guest::{Halt, call_int, range};
use crate::limits::WASM_PAGE;

pub(super) fn find(name: &str) -> Option<Import> {
    Some(match name {
        "emscripten_resize_heap" => resize_heap,
        "emscripten_get_heap_max" => |call| Ok(Return::Int(call.format.heap_max as i64)),
        "_emscripten_memcpy_js" | "emscripten_memcpy_big" => copy,
        "__asyncjs__weavedrive_open" => drive_open,
        "__asyncjs__weavedrive_read" | "__asyncjs__weavedrive_close" => |_| Err(Halt::fault("no drive is configured")),
        "_munmap_js" | "_mmap_js" => |_| Ok(Return::Int(-52)),
        _ => return None,
    })
}

/// Sizes that are tried, largest first: the reference's, since every later size depends on them.
fn sizes(old: u64, want: u64, limit: u64) -> [u64; 3] {
    [1, 2, 4].map(|divisor| {
        // old * (1 + 0.2 / divisor), as doubles have it.
        let over = (old as f64 * (1.0 + 0.2 / f64::from(divisor))).min(want as f64 + 100_663_296.0);
        let new = (want as f64).max(over).min(limit as f64);
        (new / WASM_PAGE as f64).ceil() as u64 * WASM_PAGE as u64
    })
}

fn resize_heap(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    let want = call.uint(0)?;
    let limit = call.format.heap_max;
    let memory = call.caller.data().memory.ok_or_else(|| wasmtime::Error::new(Halt::Local("no memory".into())))?;
    let old = memory.data_size(&call.caller) as u64;
    if want > limit || want <= old {
        return Ok(Return::Int(0));
    }
    for new in sizes(old, want, limit) {
        if new > old && memory.grow(&mut call.caller, (new - old) / WASM_PAGE as u64).is_ok() {
            return Ok(Return::Int(1));
        }
    }
    Ok(Return::Int(0))
}

fn copy(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    let (to, from, len) = (call.uint(0)?, call.uint(1)?, call.uint(2)?);
    let (data, _) = call.memory()?;
    let source = range(data.len(), from, len)?;
    let target = range(data.len(), to, len)?;
    data.copy_within(source, target.start);
    Ok(Return::Int(to as i64))
}

/// No drive: the guest sees a NULL file. The reference suspends the guest here and allocates room for its stack to do so; that
/// allocation decides how much memory an aos process has, so it is made, and freed, here too (section 6.2).
fn drive_open(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    let Some(routes) = call.caller.data().format::<Routes>() else { return Err(Halt::fault("a drive before start")) };
    let (malloc, free) = (routes.malloc, routes.free);
    if let (Some(malloc), Some(free)) = (malloc, free) {
        let header = if call.pointer == 8 { 24 } else { 12 };
        let at = call_int(&mut call.caller, &malloc, &[header + 41_943_040])?;
        call_int(&mut call.caller, &free, &[at])?;
    }
    Ok(Return::Int(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_takes_the_sizes_of_the_reference() {
        // An aos process: 68 MiB at start, 40 MiB asked for at the first file it does not find.
        assert_eq!(sizes(71_303_168, 110_000_000, 17_179_869_184)[0], 110_034_944);
        assert_eq!(sizes(110_034_944, 110_034_945, 17_179_869_184)[0], 132_055_040);
        assert_eq!(sizes(110_034_944, 110_034_945, 110_034_944), [110_034_944; 3]);
        assert!(sizes(65536, 65537, 4_294_901_760).iter().all(|size| size % WASM_PAGE as u64 == 0));
    }
}
