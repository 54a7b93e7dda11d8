//! The programs in `lua/examples`, as a user would drive them.

use ao_types::Invocation;

use crate::support::*;

fn from_process(from: &str, tags: &[(&str, &str)], data: &str) -> Invocation {
    Invocation { owner: AUTHORITY.into(), forwarded_by: Some(AUTHORITY.into()), ..message(from, tags, data) }
}

#[test]
fn a_token_moves_and_its_sum_stays() {
    let mut token = Process::of(include_str!("../../lua/examples/token.lua"));
    let huge = "123456789012345678901234567890";
    assert_eq!(tag(&token.send(OWNER, &[("Action", "Mint"), ("Quantity", huge)], "").messages[0], "Action"), "Mint-Notice");
    assert_eq!(tag(&token.send("EVE", &[("Action", "Mint"), ("Quantity", "1")], "").messages[0], "Action"), "Mint-Error");

    let moved = token.send(
        OWNER,
        &[("Action", "Transfer"), ("Recipient", "ALICE"), ("Quantity", "23456789012345678901234567890"), ("X-Memo", "m")],
        "",
    );
    let notices: Vec<_> = moved
        .messages
        .iter()
        .map(|message| (message.fields["Target"].as_str().unwrap_or_default(), tag(message, "Action"), tag(message, "X-Memo")))
        .collect();
    assert_eq!(notices, [(OWNER, "Debit-Notice", "m"), ("ALICE", "Credit-Notice", "m")]);

    for (from, quantity, problem) in [
        ("ALICE", "23456789012345678901234567891", "Insufficient balance"),
        ("BOB", "1", "Insufficient balance"),
        (OWNER, "0", "greater than 0"),
        (OWNER, "-5", "whole number"),
        (OWNER, "1.5", "whole number"),
        (OWNER, "1e9", "whole number"),
        (OWNER, "", "whole number"),
    ] {
        let refused = token.send(from, &[("Action", "Transfer"), ("Recipient", "CAROL"), ("Quantity", quantity)], "");
        assert_eq!((refused.messages.len(), tag(&refused.messages[0], "Action")), (1, "Transfer-Error"), "{from} {quantity}");
        assert!(tag(&refused.messages[0], "Error").contains(problem), "{refused:?}");
    }
    for (account, balance) in [(OWNER, "100000000000000000000000000000"), ("ALICE", "23456789012345678901234567890"), ("NOBODY", "0")] {
        let told = token.send("ANY", &[("Action", "Balance"), ("Recipient", account)], "");
        assert_eq!(told.messages[0].fields["Data"], balance);
    }
    assert_eq!(token.act("Total-Supply").messages[0].fields["Data"], "123456789012355678901234567890");
    let balances: serde_json::Value = serde_json::from_str(token.act("Balances").messages[0].fields["Data"].as_str().unwrap()).unwrap();
    assert_eq!(balances["ALICE"], "23456789012345678901234567890");
    assert_eq!(tag(&token.act("Info").messages[0], "Denomination"), "12");
}

#[test]
fn ping_and_pong_alternate_until_the_rounds_are_over() {
    let source = include_str!("../../lua/examples/ping_pong.lua");
    let (mut left, mut right) = (Process::of(source), Process::of(source));
    let mut pending = left.send(OWNER, &[("Action", "Start"), ("Partner", "RIGHT"), ("Rounds", "2")], "").messages;
    let mut walk = Vec::new();
    while let Some(next) = pending.pop() {
        let (action, round) = (tag(&next, "Action").to_owned(), tag(&next, "Round").to_owned());
        walk.push(format!("{action}{round}"));
        let (to, from) = if action == "Ping" { (&mut right, "LEFT") } else { (&mut left, "RIGHT") };
        pending.extend(to.deliver(from_process(from, &[("Action", &action), ("Round", &round)], "")).evaluation.messages);
    }
    assert_eq!(walk, ["Ping1", "Pong1", "Ping2", "Pong2"]);
    assert_eq!(left.act("Score").messages[0].fields["Data"], "pings 0, pongs 2");
}

#[test]
fn a_parent_spawns_waits_and_greets() {
    let mut parent = Process::of(include_str!("../../lua/examples/spawner.lua"));
    let asked = parent.send(OWNER, &[("Action", "Spawn-Child"), ("Child-Module", "MODULE"), ("Reference", "3")], "");
    let spawn = &asked.spawns[0];
    assert_eq!((tag(spawn, "Module"), tag(spawn, "Name"), tag(spawn, "Authority")), ("MODULE", "child", AUTHORITY));
    let reference = tag(spawn, "Reference").to_owned();
    // As a pusher reports it: the spawn's tags, the new id, from the parent itself.
    let spawned = from_process(PROCESS, &[("Reference", &reference), ("Process", "CHILD"), ("Action", "Spawned")], "");
    let done = parent.deliver(spawned).evaluation;
    let sent: Vec<_> =
        done.messages.iter().map(|message| (message.fields["Target"].as_str().unwrap_or_default(), tag(message, "Action"))).collect();
    assert_eq!(sent, [("CHILD", "Hello"), (OWNER, "Child")]);
    assert_eq!(parent.act("Children").messages[0].fields["Data"], "[\"CHILD\"]");
}
