//! The runtime library's own tests, written in Lua (`lua/tests`), each run by the owner in a fresh process.

use crate::support::*;

const PRELUDE: &str = r#"
NOW = 1709210096000
function expect(found, wanted, where)
  if found ~= wanted then error(("%sexpected %s, found %s"):format(where and where .. ": " or "", tostring(wanted), tostring(found)), 2) end
end
function fails(f, pattern)
  local ok, problem = pcall(f)
  if ok then error("expected a failure with " .. pattern, 2) end
  if not tostring(problem):find(pattern) then error(("expected a failure with %s, found %s"):format(pattern, tostring(problem)), 2) end
end
"#;

fn run(source: &str) {
    let mut process = Process::of(PRELUDE);
    let evaluation = process.eval(&format!("{source}\nreturn 'passed'"));
    assert_eq!(evaluation.error, None);
    assert!(text(&evaluation).ends_with("passed"), "{evaluation:?}");
}

#[test]
fn json() {
    run(include_str!("../../lua/tests/json.lua"));
}

#[test]
fn bint() {
    run(include_str!("../../lua/tests/bint.lua"));
}

#[test]
fn small_libraries() {
    run(include_str!("../../lua/tests/library.lua"));
}

#[test]
fn handlers() {
    run(include_str!("../../lua/tests/handlers.lua"));
}

#[test]
fn messages() {
    run(include_str!("../../lua/tests/messages.lua"));
}

#[test]
fn a_failing_check_is_seen() {
    let mut process = Process::of(PRELUDE);
    assert!(error(&process.eval("expect(1, 2)")).contains("expected 2, found 1"));
    assert!(error(&process.eval("fails(function() end, 'x')")).contains("expected a failure"));
}
