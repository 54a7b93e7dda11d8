//! Handlers that wait for other messages, across evaluations.

use ao_types::Invocation;

use crate::support::*;

const ASKER: &str = r#"
Handlers.add("ask", "Ask", function(msg)
  local first = Send { Target = msg.Oracle, Action = "Q" }.receive()
  local second = Receive { Action = "More", From = msg.From }
  msg.reply { Data = first.Data .. "+" .. second.Data }
end)
Handlers.add("wait-fail", "Wait-Fail", function() Receive("Go") error("after waiting") end)
Handlers.add("callback", "Callback", function(msg)
  Send { Target = "ORACLE", Action = "Q" }.onReply(function(answer) Answer = answer.Data end)
end)
Handlers.add("own", "Own", function()
  local co = coroutine.create(function() Got = Receive("Go").Data end)
  coroutine.resume(co)
  After = true
end)
"#;

fn answer(from: &str, reference: &str, data: &str) -> Invocation {
    message(from, &[("X-Reference", reference)], data)
}

#[test]
fn a_handler_goes_on_when_its_answers_come() {
    let mut process = Process::of(ASKER);
    let asked = process.send("ALICE", &[("Action", "Ask"), ("Oracle", "ORACLE"), ("Reference", "5")], "");
    let reference = tag(&asked.messages[0], "Reference").to_owned();
    assert_eq!(asked.messages[0].fields["Target"], "ORACLE");
    // Not the answer: another sender, another reference.
    assert!(process.deliver(answer("MALLORY", &reference, "lie")).evaluation.messages.is_empty());
    assert!(process.deliver(answer("ORACLE", "999", "lie")).evaluation.messages.is_empty());
    assert!(process.deliver(answer("ORACLE", &reference, "one")).evaluation.messages.is_empty());
    let done = process.send("ALICE", &[("Action", "More")], "two");
    assert_eq!(done.messages[0].fields["Data"], "one+two");
    assert_eq!((done.messages[0].fields["Target"].as_str(), tag(&done.messages[0], "X-Reference")), (Some("ALICE"), "5"));
    assert_eq!(process.value("#Handlers.list"), "4");
}

#[test]
fn an_error_after_waiting_is_that_messages_error_and_the_wait_goes_on() {
    let mut process = Process::of(ASKER);
    process.act("Wait-Fail");
    for _ in 0..2 {
        // Rolled back, hence the handler still waits.
        assert!(error(&process.act("Go")).contains("after waiting"));
    }
}

#[test]
fn on_reply_runs_once() {
    let mut process = Process::of(ASKER);
    let sent = process.act("Callback");
    let reference = tag(&sent.messages[0], "Reference").to_owned();
    process.deliver(answer("ORACLE", &reference, "first"));
    process.deliver(answer("ORACLE", &reference, "second"));
    assert_eq!(process.value("Answer .. #Inbox"), "first1");
}

#[test]
fn a_programs_own_coroutine_may_wait() {
    let mut process = Process::of(ASKER);
    process.act("Own");
    assert_eq!(process.value("tostring(After) .. tostring(Got)"), "truenil");
    process.send("ALICE", &[("Action", "Go")], "now");
    assert_eq!(process.value("Got"), "now");
}

#[test]
fn a_wait_survives_a_checkpoint() {
    let mut process = Process::of(ASKER);
    let asked = process.send("ALICE", &[("Action", "Ask"), ("Oracle", "ORACLE")], "");
    let reference = tag(&asked.messages[0], "Reference").to_owned();
    let checkpoint = process.instance.checkpoint(false).unwrap();
    let mut restored = Process::start("lua-5.3-handle", ASKER, &[], &[checkpoint]);
    restored.deliver(answer("ORACLE", &reference, "one"));
    assert_eq!(restored.send("ALICE", &[("Action", "More")], "two").messages[0].fields["Data"], "one+two");
}

#[test]
fn nobody_waits_outside_a_handler() {
    let mut process = Process::of("");
    assert_eq!(process.eval("Receive('X')").error, None, "an Eval is a handler: it waits");
    let module = module("lua-5.3-handle", "Receive('X')");
    use ao_vm::Vm as _;
    let refused = machine().start(&module, environment(&module, &[]), &[]).err().map(|error| error.to_string());
    assert!(refused.unwrap_or_default().contains("only a handler can wait"));
}
