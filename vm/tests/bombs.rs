//! Hostile modules end in a typed refusal or in an evaluation error, at the same point on every host, with the state as before
//! (`faults.md` F26 to F29, F32, F33).

mod common;

use std::time::{Duration, Instant};

use ao_vm::limits::{MEMORY_BYTES_INITIAL_MAX, MEMORY_BYTES_MAX, WASM_PAGE};
use ao_vm::{Error, Instance, Machine, ModuleSource, Settings, Vm};
use common::{handler, outcome, plain, small};

/// Little fuel and no cache: modules of these tests compile in a moment.
fn machine() -> Machine {
    common::machine_with(Settings { fuel: 3_000_000, ..Settings::default() })
}

fn start(module: &ModuleSource) -> Box<dyn Instance> {
    machine().start(module, common::environment(), &[]).unwrap()
}

fn refused(wat: &str) -> String {
    match machine().prepare(&small(wat)) {
        Err(Error::Refused(refusal)) => refusal.to_string(),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

/// Counts calls in memory, then does `body` where the message is marked with a `!`.
fn counting(memory: &str, extra: &str, body: &str) -> ModuleSource {
    let scan = r#"
      (local $at i32)
      (i32.store (i32.const 1024) (i32.add (i32.load (i32.const 1024)) (i32.const 1)))
      (call $show (i32.load (i32.const 1024)))
      (local.set $at (local.get $message))
      (block $unmarked (loop $next
        (br_if $unmarked (i32.eqz (i32.load8_u (local.get $at))))
        (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 33)) (then BODY (br $unmarked)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))"#;
    handler(memory, extra, &scan.replace("BODY", body))
}

/// The bomb fails with `error`, the state is that of before, and the process goes on.
fn fails_and_goes_on(module: &ModuleSource, error: &str) {
    let mut process = start(module);
    assert_eq!(outcome(&process.evaluate(&plain(1, "a")).unwrap()), Ok("0001".into()));
    let before = process.state_hash().unwrap();
    for nonce in 2..5 {
        let found = outcome(&process.evaluate(&plain(nonce, "bomb!")).unwrap()).unwrap_err();
        assert!(found.contains(error), "expected `{error}`, found `{found}`");
        assert_eq!(process.state_hash().unwrap(), before);
    }
    // Behind uncommitted messages, too.
    assert_eq!(outcome(&process.evaluate(&plain(5, "b")).unwrap()), Ok("0002".into()));
    assert_eq!(outcome(&process.evaluate(&plain(6, "c")).unwrap()), Ok("0003".into()));
    assert!(outcome(&process.evaluate(&plain(7, "bomb!")).unwrap()).is_err());
    assert!(outcome(&process.dry_run(&plain(8, "bomb!")).unwrap()).is_err());
    assert_eq!(outcome(&process.evaluate(&plain(9, "d")).unwrap()), Ok("0004".into()));
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let module = counting("1", "", "(loop $again (br $again))");
    fails_and_goes_on(&module, "out of fuel");
    assert_eq!(start(&module).evaluate(&plain(1, "!")).unwrap().fuel, 3_000_000);
}

#[test]
fn traps_of_all_kinds_are_errors() {
    for (body, error) in [
        ("(unreachable)", "unreachable"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "divide by zero"),
        ("(drop (i32.load (i32.const 0x7fffffff)))", "out of bounds memory access"),
        ("(call_indirect (i32.const 7))", "undefined element"),
        ("(return (i32.const 0x7fffffff))", "outside of memory"),
        ("(return (i32.const 65535))", "not JSON"),
    ] {
        fails_and_goes_on(&counting("1", "(table 1 funcref)", body), error);
    }
}

#[test]
fn memory_grows_to_its_limit_and_not_further() {
    // Pages of a memory with a maximum, and of one without.
    for (memory, limit) in [("1 64", 64), ("1", MEMORY_BYTES_MAX / WASM_PAGE)] {
        let grow = |delta: usize| format!("(call $show (i32.eq (memory.grow (i32.const {delta})) (i32.const -1)))");
        for (delta, failed) in [(limit - 2, "0000"), (limit - 1, "0000"), (limit, "0001")] {
            let mut process = start(&handler(memory, "", &grow(delta)));
            assert_eq!(outcome(&process.evaluate(&plain(1, "")).unwrap()), Ok(failed.into()), "{memory} by {delta}");
        }
    }
}

#[test]
fn a_message_that_grows_and_fails_leaves_the_memory_short() {
    let module = counting("1 64", "", "(drop (memory.grow (i32.const 20))) (i32.store (i32.const 1000000) (i32.const 7)) (unreachable)");
    fails_and_goes_on(&module, "unreachable");
    let mut process = start(&module);
    process.evaluate(&plain(1, "!")).unwrap();
    assert_eq!(process.memory().unwrap().len(), WASM_PAGE);
}

#[test]
fn recursion_ends_at_the_counter_whatever_the_thread() {
    let direct = counting("1", "(func $deep (call $deep))", "(call $deep)");
    let mutual = counting("1", "(func $a (call $b)) (func $b (call $a))", "(call $a)");
    let through_table = counting(
        "1",
        "(table 1 funcref) (elem (i32.const 0) $deep) (type $none (func)) (func $deep (call_indirect (type $none) (i32.const 0)))",
        "(call $deep)",
    );
    for module in [direct, mutual, through_table] {
        fails_and_goes_on(&module, "call stack exhausted");
        let fuel = |stack: usize| {
            let module = module.clone();
            let run = move || start(&module).evaluate(&plain(1, "!")).unwrap().fuel;
            std::thread::Builder::new().stack_size(stack).spawn(run).unwrap().join().unwrap()
        };
        assert_eq!(fuel(256 << 10), fuel(64 << 20));
    }
}

#[test]
fn recursion_with_large_frames_trips_the_counter_before_the_native_stack() {
    // Values that live across the call have to be kept in the frame.
    let locals = "(local i64)".repeat(300);
    let load: String = (1..300).map(|n| format!("(local.set {n} (i64.load (i32.const {})))", n * 8)).collect();
    let sum: String = (1..300).map(|n| format!("(i64.store (i32.const {}) (local.get {n}))", n * 8)).collect();
    let deep = format!("(func $deep (param i64) {locals} {load} (call $deep (local.get 7)) {sum})");
    fails_and_goes_on(&counting("1", &deep, "(call $deep (i64.const 1))"), "call stack exhausted");
}

#[test]
fn state_outside_memory_does_not_survive_a_call() {
    let global = "(global $calls (mut i32) (i32.const 0))";
    let module = handler("1", global, "(global.set $calls (i32.add (global.get $calls) (i32.const 1))) (call $show (global.get $calls))");
    let mut process = start(&module);
    for nonce in 1..4 {
        assert_eq!(outcome(&process.evaluate(&plain(nonce, "")).unwrap()), Ok("0001".into()));
    }
    // A table that counts: empty slots before the call.
    let table = "(table $t 1 100000 funcref)";
    let module = handler("1", table, "(drop (table.grow $t (ref.null func) (i32.const 1))) (call $show (table.size $t))");
    let mut process = start(&module);
    for nonce in 1..4 {
        assert_eq!(outcome(&process.evaluate(&plain(nonce, "")).unwrap()), Ok("0002".into()));
    }
}

#[test]
fn tables_are_bounded_as_declared_and_as_grown() {
    let table = |entries: u32| format!("(module (memory (export \"memory\") 1) (table {entries} funcref))");
    assert!(refused(&table(100_001)).contains("table entries 100001 exceeds the limit of 100000"));
    assert!(machine().prepare(&small(&table(100_000))).is_ok());
    let grow = |delta: u32| format!("(call $show (i32.eq (table.grow $t (ref.null func) (i32.const {delta})) (i32.const -1)))");
    for (delta, failed) in [(99_999, "0000"), (100_000, "0001")] {
        let mut process = start(&handler("1", "(table $t 1 funcref)", &grow(delta)));
        assert_eq!(outcome(&process.evaluate(&plain(1, "")).unwrap()), Ok(failed.into()));
    }
}

#[test]
fn a_gigabyte_declared_is_refused_before_anything_is_compiled() {
    let declared = |pages: usize| format!("(module (memory (export \"memory\") {pages}))");
    let limit = MEMORY_BYTES_INITIAL_MAX / WASM_PAGE;
    assert!(refused(&declared((1 << 30) / WASM_PAGE)).contains("initial memory of 1073741824 bytes exceeds the limit"));
    assert!(refused(&declared(limit + 1)).contains("exceeds the limit"));
    assert!(machine().prepare(&small(&declared(limit))).is_ok());
    // Declared is not resident.
    let mut process = start(&handler(&limit.to_string(), "", ""));
    process.evaluate(&plain(1, "")).unwrap();
    assert!(process.resident_bytes() < 1 << 20);
}

#[test]
fn compile_bombs_are_refused_by_shape() {
    let body = |body: &str| format!("(module (memory (export \"memory\") 1) (func {body}))");
    let locals = |count: usize| body(&"(local i64)".repeat(count));
    let targets = |count: usize| body(&format!("(br_table {}(i32.const 0))", "0 ".repeat(count + 1)));
    let blocks = |depth: usize| body(&format!("{}{}", "(block ".repeat(depth), ")".repeat(depth)));
    let types = |count: usize| {
        // Thirteen parameters spell the number in binary, so no two are equal.
        let ty = |n: usize| (0..13).map(|bit| if n >> bit & 1 == 1 { "i64 " } else { "i32 " }).collect::<String>();
        let types: String = (0..count).map(|n| format!("(type (func (param {})))", ty(n))).collect();
        format!("(module (memory (export \"memory\") 1) {types})")
    };
    let code = |bytes: usize| body(&"(nop)".repeat(bytes));
    type Make<'a> = &'a dyn Fn(usize) -> String;
    let shapes: [(Make<'_>, usize, &str); 5] = [
        (&locals, 5_000, "locals of a function"),
        (&targets, 10_000, "targets of a br_table"),
        (&blocks, 999, "nesting of blocks"),
        (&types, 5_000, "types"),
        (&code, (512 << 10) - 2, "function body"),
    ];
    for (make, limit, what) in shapes {
        let found = refused(&make(limit + 1));
        assert!(found.contains(what) && found.contains("exceeds the limit"), "{what}: {found}");
        // What is let in compiles, and soon.
        machine().prepare(&small(&make(limit))).unwrap_or_else(|error| panic!("{what} at {limit}: {error}"));
    }
}

#[test]
fn what_no_host_offers_is_refused_or_traps_when_called() {
    let with = |extra: &str| format!("(module {extra} (memory (export \"memory\") 1))");
    for (extra, reason) in [
        ("(import \"a\" \"b\" (global i32))", "is not a function"),
        ("(import \"a\" \"b\" (table 1 funcref))", "is not a function"),
        ("(func $f) (start $f)", "start function"),
        ("(tag)", "exception"),
        ("(func (export \"ao:depth\"))", "name space"),
        ("(memory 1)", "memories"),
        ("(global (mut funcref) (ref.null func))", "reference"),
        ("(func (return_call 0))", "tail call"),
    ] {
        let found = refused(&with(extra));
        assert!(found.contains(reason), "{extra}: {found}");
    }
    assert!(refused("(module)").contains("no memory"));
    let import = "(import \"env\" \"mystery\" (func $mystery))";
    assert_eq!(outcome(&start(&handler("1", import, "")).evaluate(&plain(1, "")).unwrap()), Ok("....".into()));
    let found = outcome(&start(&handler("1", import, "(call $mystery)")).evaluate(&plain(1, "")).unwrap());
    assert_eq!(found, Err("import env.mystery is not implemented".into()));
}

#[test]
fn the_wall_clock_makes_no_result_and_leaves_others_alone() {
    let settings = Settings { wall_clock: Duration::from_millis(200), fuel: u64::MAX / 2, ..Settings::default() };
    let machine = common::machine_with(settings);
    let slow = counting("1", "", "(loop $again (br $again))");
    let mut process = machine.start(&slow, common::environment(), &[]).unwrap();
    process.evaluate(&plain(1, "a")).unwrap();
    let stored = process.checkpoint(false).unwrap();
    let before = Instant::now();
    let found = process.evaluate(&plain(2, "!"));
    assert!(matches!(found, Err(Error::NotEvaluated(_))), "{found:?}");
    assert!(before.elapsed() < Duration::from_secs(20));
    drop(process);
    // Retried from the checkpoint, the rest of the log is as if nothing had happened.
    let mut process = machine.start(&slow, common::environment(), &[stored]).unwrap();
    assert_eq!(outcome(&process.evaluate(&plain(2, "b")).unwrap()), Ok("0002".into()));
}

#[test]
fn a_refused_module_is_refused_again_without_work() {
    let machine = machine();
    let bomb = small("(module (memory (export \"memory\") 16384))");
    let first = machine.prepare(&bomb).unwrap_err().to_string();
    assert_eq!(machine.prepare(&bomb).unwrap_err().to_string(), first);
    assert!(matches!(machine.start(&bomb, common::environment(), &[]), Err(Error::Refused(_))));
}

#[test]
fn what_a_guest_prints_is_bounded() {
    // A megabyte in one call, 300 times.
    let import = "(import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))";
    let body = "(local $n i32)
      (i32.store (i32.const 512) (i32.const 0)) (i32.store (i32.const 516) (i32.const 1000000))
      (loop $again
        (if (call $write (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 520)) (then unreachable))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $n) (i32.const 300))))";
    assert_eq!(outcome(&start(&handler("20", import, body)).evaluate(&plain(1, "")).unwrap()), Ok("....".into()));
    let lying = "(i32.store (i32.const 512) (i32.const 0)) (i32.store (i32.const 516) (i32.const -1))
      (drop (call $write (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 520)))";
    let found = outcome(&start(&handler("1", import, lying)).evaluate(&plain(1, "")).unwrap()).unwrap_err();
    assert!(found.contains("out of bounds"), "{found}");
}
