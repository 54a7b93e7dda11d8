//! Clocks and calendars: one counter, UTC, the C locale (`vm-abi.md`, sections 4.2 and 8).

use wasmtime::ValType;

use super::strftime::{self, Tm};
use super::{Call, Import, Return};
use crate::guest::Halt;

pub(super) fn find(name: &str) -> Option<Import> {
    Some(match name {
        "emscripten_date_now" | "emscripten_get_now" => |call| Ok(Return::Float(call.caller.data_mut().read_clock() as f64)),
        "_emscripten_date_now" => |_| Ok(Return::Float(0.0)),
        "_emscripten_get_now_is_monotonic" => |_| Ok(Return::Int(1)),
        "clock_time_get" => |call| {
            let at = call.uint(2)?;
            let now = call.caller.data_mut().read_clock() * 1_000_000;
            call.write(at, &now.to_le_bytes())?;
            Ok(Return::Int(0))
        },
        "_gmtime_js" | "_localtime_js" => to_calendar,
        "_mktime_js" => from_calendar,
        "_tzset_js" => time_zone,
        "strftime" | "strftime_l" => format,
        _ => return None,
    })
}

/// Seconds and the address of the `struct tm`. Builds differ: a 64-bit value, two halves, or a pointer to the seconds.
fn seconds(call: &mut Call<'_, '_>) -> wasmtime::Result<(i64, u64)> {
    let wide = matches!(call.ty.param(0), Some(ValType::I64));
    match call.ty.params().len() {
        2 if wide => Ok((call.uint(0)? as i64, call.uint(1)?)),
        2 => {
            let at = call.uint(0)?;
            let mut bytes = [0; 4];
            bytes.copy_from_slice(call.slice(at, 4)?);
            Ok((i64::from(i32::from_le_bytes(bytes)), call.uint(1)?))
        }
        3 => Ok(((call.uint(0)? | call.uint(1)? << 32) as i64, call.uint(2)?)),
        _ => Err(Halt::fault("a calendar function has an unexpected type")),
    }
}

fn to_calendar(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    let (seconds, at) = seconds(call)?;
    write_tm(call, at, &Tm::from_seconds(seconds))?;
    let offset = if call.pointer == 8 { 40 } else { 36 };
    call.write_pointer(at + offset, 0)?;
    Ok(Return::Nothing)
}

fn write_tm(call: &mut Call<'_, '_>, at: u64, tm: &Tm) -> wasmtime::Result<()> {
    let mut bytes = [0; 36];
    for (slot, field) in bytes.chunks_exact_mut(4).zip(tm.fields()) {
        slot.copy_from_slice(&field.to_le_bytes());
    }
    call.write(at, &bytes)
}

fn read_tm(call: &mut Call<'_, '_>, at: u64) -> wasmtime::Result<Tm> {
    let mut fields = [0; 9];
    for (field, slot) in fields.iter_mut().zip(call.slice(at, 36)?.chunks_exact(4)) {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(slot);
        *field = i32::from_le_bytes(bytes);
    }
    Ok(Tm::from_fields(fields))
}

fn from_calendar(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    let at = call.uint(0)?;
    let tm = read_tm(call, at)?;
    let seconds = tm.to_seconds();
    write_tm(call, at, &Tm::from_seconds(seconds))?;
    call.caller.data_mut().temp_ret0 = (seconds >> 32) as u32;
    Ok(Return::Int(seconds))
}

fn time_zone(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    let (zone, daylight) = (call.uint(0)?, call.uint(1)?);
    call.write_pointer(zone, 0)?;
    call.write(daylight, &0i32.to_le_bytes())?;
    if call.ty.params().len() == 4 {
        for index in [2, 3] {
            let at = call.uint(index)?;
            call.write(at, b"UTC\0")?;
        }
    } else {
        // The old form takes `char *names[2]` and the runtime allocates both names.
        let names = call.uint(2)?;
        let malloc = call.caller.data().format::<super::Routes>().and_then(|routes| routes.malloc);
        let Some(malloc) = malloc else { return Err(Halt::fault("no allocator for the names of time zones")) };
        for slot in 0..2 {
            let at = crate::guest::call_int(&mut call.caller, &malloc, &[4])?;
            call.write(at, b"UTC\0")?;
            call.write_pointer(names + slot * call.pointer as u64, at)?;
        }
    }
    Ok(Return::Nothing)
}

fn format(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    let (to, max, pattern, tm) = (call.uint(0)?, call.uint(1)?, call.uint(2)?, call.uint(3)?);
    let pattern = call.text(pattern)?;
    let tm = read_tm(call, tm)?;
    let text = strftime::format(&pattern, &tm);
    if text.len() as u64 >= max {
        return Ok(Return::Int(0));
    }
    call.write(to, &text)?;
    call.write(to + text.len() as u64, &[0])?;
    Ok(Return::Int(text.len() as i64))
}
