//! Ends of all kinds: protected calls, long jumps, exits, aborts (`vm-abi.md`, sections 4.1 and 5).

use wasmtime::{Caller, FuncType, Ref, Val, ValType};

use super::{Call, Import, Return, Routes};
use crate::guest::{Halt, Host, Returned, call_int, reenter, uint};

pub(super) fn find(name: &str) -> Option<Import> {
    Some(match name {
        "_emscripten_throw_longjmp" => |_| Err(wasmtime::Error::new(Halt::Unwind)),
        "exit" | "proc_exit" => |call| Err(wasmtime::Error::new(Halt::Exit(call.c_int(0)?))),
        "_abort_js" | "abort" => |_| Err(Halt::fault("aborted")),
        "__assert_fail" => assert_fail,
        "__cxa_throw" => |_| Err(Halt::fault("uncaught C++ exception")),
        "_dlopen_js" | "_dlsym_js" | "_dlinit" => |_| Err(Halt::fault("dynamic linking is not supported")),
        "setTempRet0" => |call| {
            call.caller.data_mut().temp_ret0 = call.uint(0)? as u32;
            Ok(Return::Nothing)
        },
        "getTempRet0" => |call| Ok(Return::Int(i64::from(call.caller.data().temp_ret0))),
        "emscripten_err" => |call| {
            let at = call.uint(0)?;
            let text = call.text(at)?;
            call.caller.data_mut().log(&text);
            Ok(Return::Nothing)
        },
        "_emscripten_system" | "system" => |call| Ok(Return::Int(if call.uint(0)? == 0 { 0 } else { -52 })),
        // Only reached where a module passes the function as a value: direct calls are counted in the module itself.
        "usegas" => |_| Err(Halt::fault("metering.usegas can only be called directly")),
        _ => return None,
    })
}

fn assert_fail(call: &mut Call<'_, '_>) -> wasmtime::Result<Return> {
    let at = [call.uint(0)?, call.uint(1)?, call.uint(3)?];
    let line = call.c_int(2)?;
    let mut texts = Vec::new();
    for at in at {
        texts.push(if at == 0 { "?".into() } else { String::from_utf8_lossy(&call.text(at)?).into_owned() });
    }
    Err(Halt::fault(format!("assertion failed: {}, at {}:{line} in {}", texts[0], texts[1], texts[2])))
}

/// `invoke_SIG(index, arguments…)`: calls a table function so that a long jump out of it ends here.
pub(super) fn invoke(mut caller: Caller<'_, Host>, ty: &FuncType, arguments: &[Val], results: &mut [Val]) -> wasmtime::Result<()> {
    let Some(routes) = caller.data().format::<Routes>() else { return Err(Halt::fault("a protected call before start")) };
    let (table, stack, set_threw) = (routes.table, routes.stack, routes.set_threw);
    let Some(index) = arguments.first() else { return Err(Halt::fault("a protected call without a function")) };
    let index = uint(index)?;
    let function = match table.and_then(|table| table.get(&mut caller, index)) {
        Some(Ref::Func(Some(function))) => function,
        _ => return Err(Halt::fault(format!("table index {index} is not a function"))),
    };
    let own = function.ty(&caller);
    if !same(own.params(), ty.params().skip(1)) || !same(own.results(), ty.results()) {
        return Err(Halt::fault("indirect call type mismatch"));
    }
    for (result, ty) in results.iter_mut().zip(ty.results()) {
        *result = zero(&ty);
    }
    let (Some((save, restore)), Some(set_threw)) = (stack, set_threw) else {
        // A build without long jumps: a plain call, and a long jump is an error.
        return match reenter(&mut caller, &function, &arguments[1..], results)? {
            Returned::Normally => Ok(()),
            Returned::ByUnwinding => Err(Halt::fault("a long jump that the module cannot catch")),
        };
    };
    let rest = call_int(&mut caller, &save, &[])?;
    match reenter(&mut caller, &function, &arguments[1..], results)? {
        Returned::Normally => Ok(()),
        Returned::ByUnwinding => {
            call_int(&mut caller, &restore, &[rest])?;
            call_int(&mut caller, &set_threw, &[1, 0])?;
            Ok(())
        }
    }
}

fn same(mut left: impl Iterator<Item = ValType>, mut right: impl Iterator<Item = ValType>) -> bool {
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(left), Some(right)) if ValType::eq(&left, &right) => {}
            _ => return false,
        }
    }
}

fn zero(ty: &ValType) -> Val {
    match ty {
        ValType::I64 => Val::I64(0),
        ValType::F32 => Val::F32(0),
        ValType::F64 => Val::F64(0),
        _ => Val::I32(0),
    }
}
