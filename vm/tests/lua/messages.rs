//! What arrives, whom a process trusts, what it answers, and Eval.

use ao_types::Invocation;
use serde_json::json;

use crate::support::*;

const ECHO: &str = r#"
Handlers.add("echo", "Echo", function(msg) msg.reply { Action = "Echoed", Data = msg.Data } end)
Handlers.add("fail", "Fail", function() Seen = (Seen or 0) + 1 print("before") Send { Target = "X" } error("on purpose") end)
Handlers.add("say", "Say", function(msg) print("said", 1, true, nil) end)
"#;

#[test]
fn a_reply_goes_to_the_sender() {
    let mut process = Process::of(ECHO);
    let evaluation = process.send("ALICE", &[("Action", "Echo"), ("Reference", "42")], "hello");
    let [reply] = evaluation.messages.as_slice() else { panic!("one message is expected: {evaluation:?}") };
    assert_eq!(reply.fields["Target"], "ALICE");
    assert_eq!(reply.fields["Data"], "hello");
    assert_eq!(reply.fields["Anchor"], "00000000000000000000000000000001");
    assert_eq!((tag(reply, "X-Reference"), tag(reply, "Action"), tag(reply, "Type")), ("42", "Echoed", "Message"));
    assert_eq!(
        evaluation.output["prompt"],
        "\u{1b}[32maos\u{1b}[90m@\u{1b}[34maos-2.0.6\u{1b}[90m[Inbox:\u{1b}[31m0\u{1b}[90m]\u{1b}[0m> "
    );
    assert_eq!(evaluation.output.get("print"), None);
}

#[test]
fn data_survives_byte_for_byte() {
    let mut process = Process::of(ECHO);
    let all: Vec<u8> = (0..=255).collect();
    let evaluation = process.deliver(message("ALICE", &[("Action", "Echo")], all.clone())).evaluation;
    assert_eq!(evaluation.messages[0].data.as_deref(), Some(&all[..]));
    let text = "\u{0}ünï\u{1f600}";
    let evaluation = process.send("ALICE", &[("Action", "Echo")], text);
    assert_eq!((&evaluation.messages[0].data, evaluation.messages[0].fields["Data"].as_str()), (&None, Some(text)));
}

#[test]
fn large_messages_pass_in_both_directions() {
    let mut process = Process::of(ECHO);
    for size in [8_000, 9_000, 100_000, 3 << 20] {
        let data = "x".repeat(size);
        assert_eq!(process.send("ALICE", &[("Action", "Echo")], &data).messages[0].fields["Data"].as_str().map(str::len), Some(size));
    }
}

#[test]
fn an_error_in_a_handler_is_the_evaluations_error_and_leaves_nothing() {
    let mut process = Process::of(ECHO);
    let evaluation = process.act("Fail");
    assert!(error(&evaluation).ends_with("error:\n\u{1b}[0mmodule:3: on purpose"), "{evaluation:?}");
    assert!(error(&evaluation).starts_with("before\n\n"), "{evaluation:?}");
    assert!(evaluation.messages.is_empty());
    assert_eq!(process.value("tostring(Seen) .. ' ' .. ao.reference"), "nil 0");
}

#[test]
fn prints_are_shown_to_those_who_watch() {
    let mut process = Process::of(ECHO);
    let evaluation = process.act("Say");
    assert_eq!((text(&evaluation).as_str(), &evaluation.output["print"]), ("said 1 true nil", &json!(true)));
}

#[test]
fn eval_is_for_the_owner() {
    let mut process = Process::of(ECHO);
    for (source, shown) in [
        ("1 + 1", "2"),
        ("x = 5", ""),
        ("y", ""),
        ("print('x')", "x"),
        ("print('x', 1)", "x 1"),
        ("print(nil)", "nil"),
        ("x == 6", "false"),
        ("return x", "5"),
        ("print('a') print('b') return 'c'", "a\nb\nc"),
        ("\"text\"", "text"),
        ("return #Inbox, 'second'", "0"),
        ("require('.process')._version", "2.0.6"),
        ("Send { Target = 'X' }", "Message added to outbox"),
    ] {
        assert_eq!(process.value(source), shown, "{source}");
    }
    assert!(process.value("{ a = 1 }").contains("a\u{1b}[0m = "));
    let evaluation = process.eval("local = 1");
    assert!(error(&evaluation).contains("[string \"aos\"]:1: <name> expected near '='"), "{evaluation:?}");
    assert!(error(&process.eval("error('boom')")).ends_with("[string \"aos\"]:1: boom"));
    assert!(error(&process.eval("error({ code = 7 })")).contains("table: "));

    let evaluation = process.send("EVE", &[("Action", "Eval")], "Owner = 'EVE'");
    assert_eq!(evaluation.error, None);
    assert!(text(&evaluation).contains("New Message From"));
    assert_eq!(process.value("Owner .. ' ' .. #Inbox .. ' ' .. Inbox[1].From"), format!("{OWNER} 1 EVE"));
}

#[test]
fn only_authorities_speak_for_others() {
    let from = |from: &str, owner: &str| Invocation { owner: owner.into(), ..message(from, &[("Action", "Echo")], "x") };
    let mut process = Process::of(ECHO);
    for (who, owner, heard) in [("P", AUTHORITY, true), (AUTHORITY, "ANY", true), ("P", "STRANGER", false), ("W", "W", true)] {
        let evaluation = process.deliver(from(who, owner)).evaluation;
        assert_eq!((evaluation.messages.len() == 1, &evaluation.error), (heard, &None), "{who} by {owner}");
        assert_eq!(text(&evaluation).contains("not trusted"), !heard);
    }
    // An Eval in the owner's name by a stranger is no Eval.
    let forged = Invocation { owner: "EVE".into(), ..message(OWNER, &[("Action", "Eval")], "Owner = 'EVE'") };
    process.deliver(forged);
    assert_eq!(process.value("Owner"), OWNER);
}

#[test]
fn assigned_items_need_an_assignable() {
    let assigned = |action: &str| Invocation { target: "ELSEWHERE".into(), ..message("ALICE", &[("Action", action)], "x") };
    let mut process = Process::of(&format!("{ECHO}\nao.addAssignable('echo', {{ Action = 'Echo' }})"));
    assert_eq!(process.deliver(assigned("Echo")).evaluation.messages.len(), 1);
    assert!(text(&process.deliver(assigned("Say")).evaluation).contains("Assignment is not trusted"));
    process.eval("ao.removeAssignable('echo')");
    assert_eq!(process.deliver(assigned("Echo")).evaluation.messages.len(), 0);
}

#[test]
fn the_inbox_takes_what_no_handler_does_up_to_its_bound() {
    let mut process = Process::of("MAXINBOX = 3");
    for i in 0..5 {
        let evaluation = process.send("ALICE", &[("Action", "Unknown")], &i.to_string());
        assert_eq!(evaluation.output["print"], true);
    }
    assert_eq!(process.value("#Inbox .. Inbox[1].Data .. Inbox[3].Data"), "324");
    assert!(process.eval("1").output["prompt"].as_str().unwrap_or_default().contains("[Inbox:\u{1b}[31m3"));
}

#[test]
fn fields_of_a_message_are_those_of_the_assignment() {
    let mut process =
        Process::of("Handlers.add('all', '_', function() end) Handlers.add('x', function() return true end, function(m) Last = m end)");
    let full = Invocation {
        signature: Some("SIG".into()),
        anchor: Some("ANCHOR".into()),
        forwarded_by: Some(AUTHORITY.into()),
        owner: AUTHORITY.into(),
        epoch: Some(0),
        hash_chain: Some("CHAIN".into()),
        ..message("P", &[("Dup", "1"), ("Dup", "2"), ("Owner", "EVE"), ("Id", "EVE")], "d")
    };
    process.deliver(full);
    let fields = "local m = Last return table.concat({ m.Id, m.Signature, m.Data, m.Owner, m.Target, m.Anchor, m.From, m['Forwarded-By'], m.Epoch, m.Nonce, m.Timestamp, \
                  m['Block-Height'], m['Hash-Chain'], tostring(m.Cron), tostring(m['Read-Only']), m.Dup, m.Tags.Dup, #m.TagArray, math.type(m.Nonce) }, ' ')";
    assert_eq!(
        process.value(fields),
        "MESSAGE-1 SIG d MU PROCESS-ID ANCHOR P MU 0 1 1709210096000 1600000 CHAIN false false 2 2 4 integer"
    );
    process.deliver(Invocation { id: None, data: None, cron: true, ..message(OWNER, &[("Action", "Tick")], "") });
    assert_eq!(process.value("tostring(Last.Id) .. tostring(Last.Data) .. tostring(Last.Cron) .. Last.Action"), "nilniltrueTick");
}

#[test]
fn spawns_and_assignments_reach_the_result() {
    let mut process = Process::of("");
    let evaluation = process.eval("Spawn('MODULE', { Data = 'd', Name = 'kid' }) Assign { Processes = { 'P' }, Message = 'M' }");
    assert_eq!((tag(&evaluation.spawns[0], "Module"), tag(&evaluation.spawns[0], "Name")), ("MODULE", "kid"));
    assert_eq!(evaluation.assignments, [json!({ "Message": "M", "Processes": ["P"] })]);
}

#[test]
fn a_program_may_replace_what_it_likes_without_breaking_the_machine() {
    let mut process = Process::of("");
    process.eval("Prompt = function() error('no prompt') end");
    assert_eq!(process.eval("1").output["prompt"], "> ");
    process.eval("Inbox = nil");
    let evaluation = process.send("ALICE", &[], "x");
    assert!(error(&evaluation).contains("attempt to"), "{evaluation:?}");
    process.eval("Inbox, Prompt = {}, 7 ao.outbox = nil");
    assert_eq!(process.eval("2").error, None);
    assert_eq!(process.eval("Handlers.list = {}").error, None);
    assert_eq!(process.value("3"), "3");
}
