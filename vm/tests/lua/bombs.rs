//! Programs that mean harm: each ends in an error of its own, and the process is as before.

use ao_types::{Id, Tag};
use ao_vm::Vm;

use crate::support::*;

/// Runs `bomb` by Eval, checks how it ends, and that the state did not change.
fn explodes(process: &mut Process, bomb: &str, expected: &str) {
    process.eval("Kept = 'kept'");
    let before = process.instance.state_hash().unwrap();
    let evaluation = process.eval(bomb);
    assert!(error(&evaluation).contains(expected), "{bomb}: {evaluation:?}");
    assert!(evaluation.messages.is_empty());
    assert_eq!(process.instance.state_hash().unwrap(), before, "{bomb}");
    assert_eq!(process.value("Kept"), "kept");
}

#[test]
fn endless_work_runs_out_of_fuel_and_no_pcall_catches_it() {
    let mut process = Process::frugal("");
    for bomb in [
        "while true do end",
        "repeat pcall(function() while true do end end) until false",
        "local function f() return f() end return f()",
        "return (('a'):rep(50000)):find(('.-'):rep(12) .. 'b')",
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
        "setmetatable(_G, { __index = function(t, k) while true do pcall(error) end end }) return nothing",
        "local t = setmetatable({}, { __gc = function() while true do end end }) t = nil collectgarbage()",
        "string.rep('x', 1 << 27)",
        "for i = 1, 1e9 do local s = ('x'):rep(1000) .. i end",
        "table.sort((function() local t = {} for i = 1, 1000 do t[i] = i end return t end)(), function() while true do end end)",
        "return require('.crypto').digest.sha2_256(('x'):rep(1 << 25))",
        "xpcall(function() while true do end end, function() while true do end end)",
    ] {
        explodes(&mut process, bomb, "out of fuel");
    }
}

#[test]
fn memory_ends_at_its_limit_as_an_error_of_the_program() {
    let mut process = Process::start("lua-5.3-handle", "", &[("Compute-Limit", "20000000000")], &[]);
    explodes(&mut process, "local s = 'x' while true do s = s .. s end", "not enough memory");
    explodes(&mut process, "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1024):rep(1024) .. i end", "not enough memory");
    // A program may catch this one, and go on.
    let caught = "local ok, problem = pcall(string.rep, ('x'):rep(1024), 1 << 20) return tostring(ok) .. problem";
    assert_eq!(process.value(caught), "falsenot enough memory for buffer allocation");
    assert!(process.instance.memory().unwrap().len() <= 256 << 20);
}

#[test]
fn a_process_has_the_memory_that_its_tag_says() {
    let module = module("lua-5.3-handle", "");
    let with = |limit: &str| Process::start("lua-5.3-handle", "", &[("Memory-Limit", limit)], &[]);
    let make = "return #('x'):rep(9 << 20)";
    let mut small = with("8-mb");
    explodes(&mut small, make, "not enough memory");
    explodes(&mut small, "local s = 'x' while true do s = s .. s end", "not enough memory");
    assert!(small.instance.memory().unwrap().len() <= 8 << 20);
    assert_eq!(with("32-mb").value(make), (9 << 20).to_string());
    // A state goes on under the limit it was made under.
    let kept = small.instance.checkpoint(false).unwrap();
    let mut again = Process::start("lua-5.3-handle", "", &[("Memory-Limit", "8-mb")], std::slice::from_ref(&kept));
    explodes(&mut again, make, "not enough memory");
    // Too little to start is said before anything runs.
    let tags = [Tag::new("Memory-Limit", "1-mb")];
    let admitted = machine().admit(&module, &Id::default(), &tags).unwrap_err().to_string();
    let started = machine().start(&module, environment(&module, &[("Memory-Limit", "1-mb")]), &[]).err().unwrap().to_string();
    for refused in [admitted, started] {
        assert!(refused.contains("1048576 bytes is less than"), "{refused}");
    }
}

#[test]
fn recursion_of_every_kind_ends_as_an_error_of_the_program() {
    let mut process = Process::start("lua-5.3-handle", "", &[("Compute-Limit", "4000000000")], &[]);
    for (source, expected) in [
        ("local function f() return 1 + f() end return f()", "stack overflow"),
        ("local function f() return (('x'):gsub('x', f)) end return f()", "C stack overflow"),
        ("local function f() return pcall(f) end local t = { f() } error(#t > 0 and 'deep')", "deep"),
        ("local function f() return coroutine.wrap(f)() end return f()", "C stack overflow"),
        ("local t = {} setmetatable(t, { __index = function(t, k) return t[k + 1] end }) return t[1]", "C stack overflow"),
        ("local t = {} setmetatable(t, { __index = t }) return t.x", "loop"),
        ("return load(('('):rep(1000) .. '1' .. (')'):rep(1000))()", "attempt to call a nil value"),
        ("local ok, problem = load('return ' .. ('{'):rep(1000)) error(problem)", "too many C levels"),
        ("return ('x'):rep(300):find(('(x'):rep(300))", "too many captures"),
        ("return (('x'):rep(300000)):match(('x-'):rep(300) .. 'y')", "pattern too complex"),
        ("table.sort({ 3, 2, 1, 4, 5 }, function() return true end)", "invalid order function"),
        ("return require('json').decode(('['):rep(100000))", "nesting is deeper"),
        ("return table.unpack({}, 1, 1e7)", "too many results"),
        ("return string.rep('x', -1):rep(1 << 62)", ""),
        ("error(setmetatable({}, { __tostring = function() error('worse') end }))", "worse"),
        ("return tostring(setmetatable({}, { __tostring = function() return {} end }))", "must return a string"),
    ] {
        let evaluation = process.eval(source);
        assert!(error(&evaluation).contains(expected), "{source}: {evaluation:?}");
        assert_eq!(process.value("1 + 1"), "2", "{source}");
    }
}

#[test]
fn an_outbox_is_bounded_whichever_way_it_is_filled() {
    let mut process = Process::start("lua-5.3-handle", "", &[("Compute-Limit", "20000000000")], &[]);
    explodes(&mut process, "for i = 1, 100000 do Send { Target = 'T' } end", "the outbox is full, at most 10000 Messages");
    explodes(&mut process, "for i = 1, 100000 do ao.outbox.Messages[i] = {} end", "Messages has 100000 entries; at most 10000");
    explodes(&mut process, "for i = 1, 100000 do ao.outbox.Assignments[i] = {} end", "Assignments has 100000 entries; at most 10000");
    let most = process.eval("for i = 1, 10000 do Send { Target = 'T' } end");
    assert_eq!((most.messages.len(), most.error), (10000, None));
}

#[test]
fn a_result_is_bounded_in_size_and_depth() {
    let mut process = Process::of("");
    explodes(&mut process, "Send { Target = 'T', Data = ('x'):rep(1024):rep(17 << 10) }", "result is larger than");
    explodes(&mut process, "local t = {} ao.outbox.Output = t for i = 1, 100 do t.x = {} t = t.x end t.y = 1", "nests deeper than");
    explodes(&mut process, "local t = {} t.t = t ao.outbox.Output = t", "nests deeper than");
    let evaluation = process.eval("local line = ('x'):rep(1000) for i = 1, 3000 do print(line) end");
    assert!(text(&evaluation).ends_with("(further output is dropped)") && text(&evaluation).len() < 1_100_000);
    let evaluation = process.eval("ao.outbox.Output = { [1] = 'a', x = 'b', [2.5] = 'c', [true] = 'd', f = print, deep = { { 'e' } } }");
    assert_eq!(evaluation.output, serde_json::json!({ "1": "a", "2.5": "c", "deep": [["e"]], "x": "b" }));
}

#[test]
fn a_dry_run_of_a_bomb_leaves_no_trace() {
    let mut process = Process::frugal("");
    process.eval("Kept = 1");
    let before = process.instance.state_hash().unwrap();
    let bomb = std::sync::Arc::new(message(OWNER, &[("Action", "Eval")], "Kept = 2 while true do end"));
    assert!(error(&process.instance.dry_run(&bomb).unwrap().evaluation).contains("out of fuel"));
    assert_eq!(process.instance.state_hash().unwrap(), before);
}
