//! Programs of the form compute(base, request, options), as `lua@5.3a` drives them.

use crate::support::*;

const COUNTER: &str = r#"
function compute(base, req, opts)
  local msg = req.body
  base.count = (base.count or 0) + 1
  if msg.action == "Fail" then error("failed on purpose") end
  if msg.action == "Refuse" then return "error", "refused" end
  if msg.action == "Nothing" then return nil end
  if msg.action == "Error" then base.results = { status = "error", error = "in results" } return base end
  local outbox = {}
  for i = 1, tonumber(msg.send or 0) do
    outbox[tostring(i)] = { target = "T" .. i, data = "d" .. i, action = "Notice", ["x-n"] = i }
  end
  if msg.action == "Spawn" then outbox["1"] = { type = "Process", module = "M", data = "s" } end
  print("slot", req.slot)
  base.results = { output = { data = "count " .. base.count .. " from " .. msg.commitments[msg.id].committer }, outbox = outbox }
  return base
end
"#;

#[test]
fn state_goes_in_and_comes_out() {
    for format in ["lua@5.3a", "lua-5.3-handle"] {
        let mut process = Process::start(format, COUNTER, &[], &[]);
        assert_eq!(text(&process.act("Go")), "count 1 from OWNER-WALLET");
        let evaluation = process.send("ALICE", &[("Action", "Go"), ("Send", "11")], "");
        assert_eq!(text(&evaluation), "count 2 from ALICE");
        let targets: Vec<_> = evaluation.messages.iter().map(|message| message.fields["Target"].as_str().unwrap_or_default()).collect();
        assert_eq!(targets, ["T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9", "T10", "T11"]);
        assert_eq!((tag(&evaluation.messages[1], "x-n"), tag(&evaluation.messages[1], "action")), ("2", "Notice"));
        assert_eq!(evaluation.messages[1].fields["Data"], "d2");
        assert_eq!(tag(&process.act("Spawn").spawns[0], "module"), "M");
    }
}

#[test]
fn errors_of_every_form_keep_the_state() {
    let mut process = Process::start("lua@5.3a", COUNTER, &[], &[]);
    for (action, expected) in
        [("Fail", "failed on purpose"), ("Refuse", "refused"), ("Nothing", "returned no state"), ("Error", "in results")]
    {
        let evaluation = process.act(action);
        assert!(error(&evaluation).contains(expected), "{evaluation:?}");
    }
    assert_eq!(text(&process.act("Go")), "count 1 from OWNER-WALLET");
}

#[test]
fn handlers_win_over_a_function_named_compute() {
    let mut process = Process::of("function compute(b) return b end Handlers.add('x', 'X', function(m) m.reply { Data = 'handled' } end)");
    assert_eq!(process.act("X").messages[0].fields["Data"], "handled");
}

#[test]
fn a_module_may_return_its_compute_and_plain_outputs_are_shown() {
    let source = "local m = {} function m.compute(base, req) base.results = { output = 'seen ' .. tostring(req.body.data) } return 'ok', base end return m";
    let mut process = Process::start("lua@5.3a", source, &[], &[]);
    assert_eq!(text(&process.send("A", &[], "it")), "seen it");
    let source =
        "function compute(base) base.results = { outbox = { { target = 'L' } } } ao.event('seen') print('printed') return base end";
    let evaluation = Process::start("lua@5.3a", source, &[], &[]).act("x");
    assert_eq!((evaluation.messages[0].fields["Target"].as_str(), text(&evaluation).as_str()), (Some("L"), "printed"));
}
