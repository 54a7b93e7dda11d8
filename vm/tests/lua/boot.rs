//! The first message, the module's source, and what a process cannot be started with.

use std::sync::Arc;

use ao_types::{Invocation, Tag};
use ao_vm::{Error, ModuleSource, Refusal, Vm, lua};

use crate::support::*;

fn own_item(tags: &[(&str, &str)], data: &str) -> Invocation {
    let mut all = vec![("Type", "Process"), ("Authority", AUTHORITY)];
    all.extend(tags);
    Invocation { id: Some(PROCESS.into()), nonce: Some(0), ..message(OWNER, &all, data) }
}

fn boot(process: &mut Process, item: Invocation) -> ao_types::Evaluation {
    process.instance.evaluate(&Arc::new(item)).unwrap().evaluation
}

#[test]
fn the_process_item_boots_and_runs_its_data_only_if_it_says_so() {
    let mut process = Process::of("");
    let evaluation = boot(&mut process, own_item(&[], "print('no') Booted = 1"));
    assert_eq!((evaluation.error, process.value("tostring(Booted)").as_str()), (None, "nil"));

    let mut process = Process::start("lua-5.3-handle", "", &[("On-Boot", "Data"), ("Name", "kid")], &[]);
    let evaluation = boot(&mut process, own_item(&[("On-Boot", "Data")], "print('hi') Booted = 1 Send { Target = 'X' }"));
    assert_eq!((text(&evaluation).as_str(), evaluation.messages.len()), ("hi", 1));
    assert!(evaluation.output["prompt"].as_str().unwrap_or_default().contains("kid"));
    assert_eq!(process.value("Booted"), "1");

    let mut process = Process::of("");
    assert!(error(&boot(&mut process, own_item(&[("On-Boot", "Data")], "x = = 1"))).contains("unexpected symbol"));
    assert_eq!(process.value("1"), "1");
}

#[test]
fn a_spawned_process_belongs_to_its_parent() {
    let mut process = Process::start("lua-5.3-handle", "", &[("From-Process", "PARENT")], &[]);
    let item = Invocation {
        from: "PARENT".into(),
        forwarded_by: Some(OWNER.into()),
        ..own_item(&[("From-Process", "PARENT"), ("On-Boot", "Data")], "Booted = 1")
    };
    assert_eq!(boot(&mut process, item).error, None);
    let by_parent = Invocation { owner: AUTHORITY.into(), ..message("PARENT", &[("Action", "Eval")], "Owner .. Booted") };
    assert_eq!(text(&process.deliver(by_parent).evaluation), "PARENT1");
}

#[test]
fn the_source_runs_once_before_any_message_and_knows_where_it_is() {
    let mut process =
        Process::start("lua-5.3-handle", "Count = (Count or 0) + 1 Where = ao.id .. ao.env.Process.Owner .. Owner", &[("Name", "n")], &[]);
    assert_eq!(process.value("Count .. Where .. Name"), format!("1{PROCESS}{OWNER}{OWNER}n"));
    assert_eq!(process.value("Count"), "1");
}

#[test]
fn what_cannot_start_is_refused_with_the_reason() {
    for (source, reason) in
        [("x = = 1", "module:1: unexpected symbol near '='"), ("error('no')", "module:1: no"), ("while true do end", "out of fuel")]
    {
        let module = module("lua-5.3-handle", source);
        match machine().start(&module, environment(&module, &[]), &[]) {
            Err(Error::Refused(Refusal::Module { reason: found, .. })) => assert!(found.contains(reason), "{found}"),
            other => panic!("{source}: {:?}", other.err()),
        }
    }
    let mut module = module("lua-5.3-handle", "-- for another runtime");
    module.tags.push(Tag::new(lua::RUNTIME_TAG, "another"));
    let refused = machine().start(&module, environment(&module, &[]), &[]).err().map(|error| error.to_string());
    assert!(refused.unwrap_or_default().contains("asks for Lua runtime another"));
}

#[test]
fn the_default_module_is_the_same_each_time_and_starts() {
    let item = lua::default_module();
    assert_eq!(item, lua::default_module());
    let source = ModuleSource { id: module("", "").id, tags: item.tags.clone(), code: item.data };
    for name in ["Data-Protocol", "Type", "Module-Format", "Input-Encoding", "Output-Encoding", "Memory-Limit", "Compute-Limit"] {
        assert!(item.tags.iter().any(|tag| tag.name == name), "{name}");
    }
    machine().admit(&source, &source.id, &[]).unwrap();
    machine().prepare(&source).unwrap();
    let mut instance = machine().start(&source, environment(&source, &[]), &[]).unwrap();
    let evaluation = instance.evaluate(&Arc::new(message(OWNER, &[("Action", "Eval")], "6 * 7"))).unwrap().evaluation;
    assert_eq!(text(&evaluation), "42");
    assert_eq!(lua::runtime_id().len(), 64);
}
