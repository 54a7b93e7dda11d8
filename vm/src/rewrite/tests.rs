use super::*;
use crate::admission;
use crate::limits::STACK_WORDS_MAX;

/// The text of a module after its rewrite, which must still be valid.
fn rewritten(wat: &str, gas: Gas) -> String {
    let wasm = wat::parse_str(wat).unwrap();
    let survey = admission::survey(&ao_types::Id::default(), &wasm).unwrap();
    let out = rewrite(&wasm, &survey, Options { gas, fold_asyncify: true, count_depth: true }).unwrap();
    wasmparser::validate(&out).unwrap();
    wasmtime::Module::new(&wasmtime::Engine::default(), &out).unwrap();
    operators(&out)
}

/// Function bodies as one line of operators each.
fn operators(wasm: &[u8]) -> String {
    let mut out = String::new();
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        if let wasmparser::Payload::CodeSectionEntry(body) = payload.unwrap() {
            for op in body.get_operators_reader().unwrap() {
                let op = format!("{:?}", op.unwrap());
                out.push_str(op.split([' ', '{']).next().unwrap());
                out.push(' ');
            }
            out.push('\n');
        }
    }
    out
}

fn guarded(wat: &str) -> Vec<bool> {
    let wasm = wat::parse_str(wat).unwrap();
    let survey = admission::survey(&ao_types::Id::default(), &wasm).unwrap();
    let depth = depth::Depth::of(&survey);
    (0..survey.bodies.len()).map(|function| depth.weight(function).is_some()).collect()
}

#[test]
fn only_functions_on_cycles_count_their_depth() {
    let wat = "(module (func $leaf) (func $self (call $leaf) (call $self)) (func $a (call $b)) (func $b (call $c)) (func $c (call $a)) (func $top (call $a) (call $self)))";
    let found = guarded(wat);
    assert_eq!((found[0], found[1], found[5]), (false, true, false));
    assert_eq!(found[2..5].iter().filter(|carrier| **carrier).count(), 1);
}

#[test]
fn a_table_of_another_type_closes_no_cycle() {
    let wat = |ty: &str| {
        format!(
            "(module (type $n (func)) (type $i (func (param i32))) (table 1 funcref) (elem (i32.const 0) $f)
            (func $f (param i32) (call $g)) (func $g (call_indirect (type ${ty}) {})))",
            if ty == "i" { "(i32.const 1) (i32.const 0)" } else { "(i32.const 0)" }
        )
    };
    assert_eq!(guarded(&wat("n")), [false, false]);
    assert!(guarded(&wat("i")).contains(&true));
}

#[test]
fn calls_of_the_host_may_come_back_through_the_table() {
    let wat = "(module (import \"env\" \"invoke_v\" (func $invoke (param i32))) (table 1 funcref) (elem (i32.const 0) $f) (func $f (call $invoke (i32.const 0))))";
    assert_eq!(guarded(wat), [true]);
}

#[test]
fn weights_cover_what_runs_between_carriers() {
    let wat = "(module (func $self (local i64 i64 i64) (call $leaf) (call $self)) (func $leaf (local i64 i64 i64 i64 i64)))";
    let survey = admission::survey(&ao_types::Id::default(), &wat::parse_str(wat).unwrap()).unwrap();
    let depth = depth::Depth::of(&survey);
    assert_eq!(depth.weight(0), Some((survey.bodies[0].words + survey.bodies[1].words) as i32));
    assert!(u64::try_from(depth.weight(0).unwrap()).unwrap() < STACK_WORDS_MAX);
}

#[test]
fn returns_of_a_counted_function_pass_the_exit() {
    for results in ["", "(result i32)", "(result i32 i64)"] {
        let value = match results {
            "" => "",
            "(result i32)" => "(i32.const 1)",
            _ => "(i32.const 1) (i64.const 2)",
        };
        let drops = "(drop)".repeat(value.matches('(').count());
        let text = rewritten(
            &format!("(module (memory 1) (func $f {results} (block (loop (return {value}))) (call $f) {drops} {value}))"),
            Gas::Calls,
        );
        assert!(!text.contains("Return"), "{text}");
        assert!(text.ends_with("End GlobalGet I32Const I32Sub GlobalSet End \n"), "{text}");
    }
}

#[test]
fn asyncify_is_folded_only_in_the_known_shape() {
    let module = |init: &str, getter: &str| {
        format!(
            "(module (memory 1) (global $s (mut i32) (i32.const {init})) (func (export \"asyncify_get_state\") (result i32) {getter})
            (func (global.set $s (i32.const 1)) (drop (global.get $s))))"
        )
    };
    let folded = rewritten(&module("0", "(global.get $s)"), Gas::Calls);
    assert_eq!(folded, "I32Const End \nI32Const Drop I32Const Drop End \n");
    for other in [module("1", "(global.get $s)"), module("0", "(i32.add (global.get $s) (i32.const 0))")] {
        assert!(rewritten(&other, Gas::Calls).contains("GlobalSet"));
    }
}

#[test]
fn modules_without_globals_or_exports_get_the_sections() {
    let wasm = wat::parse_str("(module (memory 1) (func) (data (i32.const 0) \"x\"))").unwrap();
    let survey = admission::survey(&ao_types::Id::default(), &wasm).unwrap();
    let out = rewrite(&wasm, &survey, Options { gas: Gas::Calls, fold_asyncify: false, count_depth: true }).unwrap();
    let module = wasmtime::Module::new(&wasmtime::Engine::default(), &out).unwrap();
    assert_eq!(module.exports().map(|export| export.name().to_owned()).collect::<Vec<_>>(), ["ao:memory", "ao:depth", "ao:gas"]);
}

/// Runs `run` with `gas` and says what is left, or `None` where it ran out.
fn gas_left(wat: &str, mode: Gas, gas: i64) -> Option<i64> {
    let wasm = wat::parse_str(wat).unwrap();
    let survey = admission::survey(&ao_types::Id::default(), &wasm).unwrap();
    let out = rewrite(&wasm, &survey, Options { gas: mode, fold_asyncify: false, count_depth: true }).unwrap();
    let engine = wasmtime::Engine::default();
    let module = wasmtime::Module::new(&engine, &out).unwrap();
    let mut store = wasmtime::Store::new(&engine, ());
    let mut linker = wasmtime::Linker::new(&engine);
    linker.func_wrap("metering", "usegas", |_: i32| -> () { panic!("never called") }).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let tank = instance.get_global(&mut store, "ao:gas").unwrap();
    tank.set(&mut store, gas.into()).unwrap();
    let ran = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ());
    let left = tank.get(&mut store).i64().unwrap();
    assert_eq!(ran.is_ok(), left >= 0);
    (left >= 0).then_some(left)
}

#[test]
fn inserted_gas_is_that_of_the_published_schedule() {
    // (const 1 + const 1 + add 45 + drop 120 + end 0) + 91 for the segment.
    let straight = "(module (memory 1) (func (export \"run\") (drop (i32.add (i32.const 1) (i32.const 2)))))";
    assert_eq!(gas_left(straight, Gas::Inserted, 1000), Some(1000 - 258));
    assert_eq!(gas_left(straight, Gas::Inserted, 258), Some(0));
    assert_eq!(gas_left(straight, Gas::Inserted, 257), None);
    // const 1 + if 1 + 91; then const 1 + div.. not taken; else branch: nop 1 + end 0 + 91; the last end is free and charges nothing.
    let branch = "(module (memory 1) (func (export \"run\") (if (i32.const 0) (then (drop (i32.const 1))) (else (nop)))))";
    assert_eq!(gas_left(branch, Gas::Inserted, 1000), Some(1000 - (1 + 1 + 91) - (1 + 91)));
    assert_eq!(gas_left(straight, Gas::Calls, 0), Some(0));
}

#[test]
fn gas_calls_in_the_binary_are_counted_in_place() {
    let wat = |amount: &str| {
        format!(
            "(module (import \"metering\" \"usegas\" (func $use (param i32))) (memory 1) (func (export \"run\") (call $use (i32.const {amount})) (call $use (i32.const 1))))"
        )
    };
    assert_eq!(gas_left(&wat("10"), Gas::Calls, 11), Some(0));
    assert_eq!(gas_left(&wat("10"), Gas::Calls, 10), None);
    assert_eq!(gas_left(&wat("-1"), Gas::Calls, 1_000_000), None);
    let wasm = wat::parse_str(wat("1")).unwrap();
    let survey = admission::survey(&ao_types::Id::default(), &wasm).unwrap();
    assert!(rewrite(&wasm, &survey, Options { gas: Gas::Inserted, fold_asyncify: false, count_depth: true }).is_err());
}
