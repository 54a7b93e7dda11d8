//! AO's own objects: acceptance rules, assignments, what a machine is given and what is pushed.

mod common;

use ao_types::lawful::{Rules, SINGLE_TAGS};
use ao_types::message::{Kind, OnBoot, ViewError};
use ao_types::outbox::{self, OutboxEntry, OutboxMessage, OutboxSpawn, PushContext, Skip};
use ao_types::scheduler_location::SchedulerLocation;
use ao_types::*;
use serde_json::{Value, json};

fn wallet() -> Wallet {
    Wallet::ed25519_from_seed(&[1; 32])
}

fn id(byte: u8) -> Id {
    Id([byte; 32])
}

fn message() -> ItemBuilder {
    ItemBuilder::new().target(id(9)).tag("Data-Protocol", "ao").tag("Variant", "ao.TN.1").tag("Type", "Message")
}

fn process() -> ItemBuilder {
    let tags = ItemBuilder::new().tag("Data-Protocol", "ao").tag("Variant", "ao.TN.1").tag("Type", "Process");
    tags.tag("Module", id(3).to_string()).tag("Scheduler", wallet().address().to_string())
}

fn sign(builder: ItemBuilder) -> Verified<DataItem> {
    builder.sign(&wallet()).unwrap()
}

fn refusal(builder: ItemBuilder) -> Unlawful {
    lawful(&sign(builder)).unwrap_err()
}

#[test]
fn a_process_and_a_message_are_lawful() {
    let item = sign(process().tag("Authority", "a, b").tag("Authority", "c").tag("On-Boot", "Data").tag("Cron-Interval", "10-seconds"));
    let Lawful::Process(read) = lawful(&item).unwrap() else { panic!("{item:?}") };
    assert_eq!((read.id, read.module, read.owner), (item.id(), id(3), wallet().address()));
    assert_eq!(read.authorities, ["a", "b", "c"]);
    assert_eq!(read.on_boot, Some(OnBoot::Data));
    assert_eq!(read.cron[0].interval, Interval::Seconds(10));

    let item = sign(message().tag("From-Process", "P").tag("Cast", "True").tag("Pushed-For", id(5).to_string()));
    let Lawful::Message(read) = lawful(&item).unwrap() else { panic!("{item:?}") };
    assert_eq!((read.target, read.from(), read.is_pushed(), read.cast), (id(9), "P".to_owned(), true, true));
    assert_eq!(read.pushed_for, Some(id(5)));
    // An empty tag is no sender.
    let Lawful::Message(read) = lawful(&sign(message().tag("From-Process", ""))).unwrap() else { panic!("{item:?}") };
    assert_eq!((read.from(), read.is_pushed()), (wallet().address().to_string(), false));
}

#[test]
fn lower_case_protocol_tags_are_read() {
    let item = sign(ItemBuilder::new().target(id(9)).tag("data-protocol", "ao").tag("variant", "ao.N.1").tag("type", "Message"));
    let Lawful::Message(read) = lawful(&item).unwrap() else { panic!("{item:?}") };
    assert_eq!(read.variant, "ao.N.1");
    assert_eq!(Kind::of(&item), Some(Kind::Message));
}

#[test]
fn every_rule_of_acceptance_bites() {
    let bare = || ItemBuilder::new().target(id(9));
    assert_eq!(refusal(bare().tag("Type", "Message")), Unlawful::NoProtocol);
    assert_eq!(refusal(bare().tag("Data-Protocol", "ar").tag("Type", "Message")), Unlawful::Protocol { found: "ar".to_owned() });
    assert_eq!(refusal(bare().tag("Data-Protocol", "ao")), Unlawful::NoType);
    let module = bare().tag("Data-Protocol", "ao").tag("Type", "Module");
    assert_eq!(refusal(module).to_string(), "Unsupported Type tag value `Module`: `Process` or `Message` is expected");
    assert_eq!(refusal(message().tag("x+link", "y")), Unlawful::Link { name: "x+link".to_owned() });
    assert_eq!(refusal(message().tag("x", "y+link")), Unlawful::Link { name: "x".to_owned() });
    let untargeted = ItemBuilder::new().tag("Data-Protocol", "ao").tag("Type", "Message");
    assert_eq!(refusal(untargeted), Unlawful::Tags(ViewError::NoTarget));
    let spawn = || ItemBuilder::new().tag("Data-Protocol", "ao").tag("Type", "Process");
    assert_eq!(refusal(spawn().tag("Scheduler", "s")), Unlawful::Tags(ViewError::Missing("Module")));
    assert_eq!(refusal(spawn().tag("Module", id(3).to_string())), Unlawful::Tags(ViewError::Missing("Scheduler")));
    assert!(matches!(
        refusal(spawn().tag("Module", "x").tag("Scheduler", "s")),
        Unlawful::Tags(ViewError::Malformed { tag: "Module", .. })
    ));
    assert!(matches!(refusal(process().tag("On-Boot", "soon")), Unlawful::Tags(ViewError::Malformed { tag: "On-Boot", .. })));
    assert!(matches!(refusal(process().tag("Cron-Interval", "1-months")), Unlawful::Tags(ViewError::Cron(_))));
    for name in SINGLE_TAGS {
        let base = || process().tag("From-Process", "P");
        assert_eq!(refusal(base().tag(name, "again")), Unlawful::Repeated(name), "{name}");
    }
    assert_eq!(refusal(message().tag("type", "Message")), Unlawful::Repeated("Type"));
}

#[test]
fn type_6_is_taken_only_where_the_operator_says_so() {
    let case = common::cases("ans104-items-valid.json", "items", 1).into_iter().find(|case| {
        case["signature_type"] == 6
            && case["tags"].as_array().unwrap().iter().any(|tag| tag["name_utf8"] == "Type" && tag["value_utf8"] == "Message")
    });
    let Some(case) = case else { panic!("no message of type 6 among the vectors") };
    let item = DataItem::parse(common::bytes(&case, "binary"), Profile::Strict).unwrap().verify().unwrap();
    assert_eq!(lawful(&item), Err(Unlawful::Signature(6)));
    let open = Rules { multi_aptos: true }.check(&item);
    assert!(!matches!(open, Err(Unlawful::Signature(_))), "{open:?}");
}

fn content() -> AssignmentContent {
    AssignmentContent {
        process: id(9),
        schedule_epoch: 0,
        slot: Slot(7),
        hash_chain: HashChain::first(&id(9)),
        block_height: 1_600_002,
        timestamp_ms: 1_795_345_281_059,
        message: Some(id(5)),
        exclude: vec!["Data".to_owned(), "Anchor".to_owned()],
    }
}

#[test]
fn an_assignment_says_what_the_reference_says_in_its_order() {
    let assignment = content().sign(&wallet()).unwrap();
    let tags: Vec<String> = assignment.item().tags().map(|tag| format!("{}={}", tag.name_text(), tag.value_text())).collect();
    let chain = HashChain::first(&id(9));
    let expected = [
        format!("Process={}", id(9)),
        "Epoch=0".to_owned(),
        "Nonce=7".to_owned(),
        format!("Hash-Chain={chain}"),
        "Block-Height=000001600002".to_owned(),
        "Timestamp=1795345281059".to_owned(),
        "Data-Protocol=ao".to_owned(),
        "Type=Assignment".to_owned(),
        "Variant=ao.TN.1".to_owned(),
        format!("Message={}", id(5)),
        "Exclude=Data".to_owned(),
        "Exclude=Anchor".to_owned(),
    ];
    assert_eq!(tags, expected);
    let item = assignment.item();
    assert!(item.target().is_none() && item.anchor().is_some() && item.data().is_empty());
    let read = Assignment::read(DataItem::parse(item.as_bytes().clone(), Profile::Strict).unwrap().verify().unwrap()).unwrap();
    assert_eq!(read, assignment);
    assert_eq!(read.next_chain(), chain.next(&read.id()));
    // Decided again after a crash: the same bytes, so the same chain behind it.
    assert_eq!(content().sign(&wallet()).unwrap(), assignment);
}

#[test]
fn an_assignment_is_read_leniently_and_negatives_are_refused() {
    let with = |name: &str, value: &str| {
        let tags = content().tags().into_iter().map(|tag| if tag.name == name { Tag::new(name, value) } else { tag });
        Assignment::read(sign(ItemBuilder::new().tags(tags)))
    };
    assert_eq!(with("Nonce", "0007").unwrap().content().slot, Slot(7));
    for bad in ["-1", "+1", "", "1.0", "0x1", "18446744073709551616"] {
        assert!(matches!(with("Nonce", bad), Err(ViewError::Malformed { tag: "Nonce", .. })), "{bad}");
    }
    assert!(matches!(Assignment::read(sign(message())), Err(ViewError::Kind { expected: "Assignment", .. })));
}

#[test]
fn contents_conflict_and_signatures_do_not() {
    let other_key = Wallet::ed25519_from_seed(&[2; 32]);
    let one = content().sign(&wallet()).unwrap();
    let resigned = {
        let item = ItemBuilder::new().anchor([1; 32]).tags(content().tags()).sign(&wallet()).unwrap();
        Assignment::read(item).unwrap()
    };
    assert_ne!(resigned.id(), one.id());
    assert!(!one.conflicts_with(&resigned), "the same content with another id is no fault");
    let changes: [fn(&mut AssignmentContent); 6] = [
        |c| c.message = Some(id(6)),
        |c| c.message = None,
        |c| c.hash_chain = HashChain::first(&id(1)),
        |c| c.timestamp_ms += 1,
        |c| c.block_height += 1,
        |c| c.exclude.clear(),
    ];
    for change in changes {
        let mut changed = content();
        change(&mut changed);
        assert!(one.conflicts_with(&changed.sign(&wallet()).unwrap()), "{changed:?}");
        assert!(!one.conflicts_with(&changed.sign(&other_key).unwrap()), "another key's word is not this key's");
        assert_ne!(content().content_hash(), changed.content_hash());
    }
    let elsewhere: [fn(&mut AssignmentContent); 3] = [|c| c.slot = Slot(8), |c| c.schedule_epoch = 1, |c| c.process = id(8)];
    for change in elsewhere {
        let mut changed = content();
        change(&mut changed);
        assert!(!one.conflicts_with(&changed.sign(&wallet()).unwrap()), "{changed:?}");
    }
}

#[test]
fn the_content_key_is_that_of_protocol_md_and_of_whoever_signs() {
    let process = Id(std::array::from_fn(|i| i as u8));
    let tags = || ItemBuilder::new().target(process).tag("Data-Protocol", "ao").tag("Variant", "ao.TN.1").tag("Type", "Message");
    let key = ContentKey::of(&sign(tags().data("hello")));
    assert_eq!(common::b64(&key.0), "Y1HLhuXd3DNvD4kP-gqiJ-h4699oCmdyy5P5WFW396ufxpROQKADX5B38PKtDuwK");
    let pushed = |chain: u8, wallet: &Wallet| tags().tag("Pushed-For", id(chain).to_string()).data("hello").sign(wallet).unwrap();
    let other = Wallet::ed25519_from_seed(&[2; 32]);
    assert_eq!(ContentKey::of(&pushed(1, &wallet())), key);
    assert_eq!(ContentKey::of(&pushed(2, &other)), key);
    assert_ne!(ContentKey::of(&sign(tags().data("hallo"))), key);
    assert_ne!(ContentKey::of(&sign(tags().anchor([0; 32]).data("hello"))), key);
    assert_ne!(ContentKey::unsorted(&sign(tags().data("hello"))), key);
}

#[test]
fn an_invocation_is_the_json_of_the_reference_in_its_order() {
    let builder = message().anchor(*b"00000000000000000000000000000042").tag("From-Process", "P").tag("From", "liar").tag("Owner", "liar");
    let item = sign(builder.tag("A", "1").tag("A", "2").data("hi \"there\""));
    let json = String::from_utf8(Invocation::of_assignment(&item, &AssignmentContent { exclude: vec![], ..content() }).to_json()).unwrap();
    let owner = wallet().address();
    let expected = format!(
        concat!(
            r#"{{"Id":"{}","Signature":"{}","Data":"hi \"there\"","Owner":"{owner}","Target":"{}","#,
            r#""Anchor":"00000000000000000000000000000042","From":"P","Forwarded-By":"{owner}","Tags":["#,
            r#"{{"name":"Data-Protocol","value":"ao"}},{{"name":"Variant","value":"ao.TN.1"}},{{"name":"Type","value":"Message"}},"#,
            r#"{{"name":"From-Process","value":"P"}},{{"name":"A","value":"1"}},{{"name":"A","value":"2"}}],"#,
            r#""Epoch":0,"Nonce":7,"Timestamp":1795345281059,"Block-Height":1600002,"Hash-Chain":"{}","Cron":false,"Read-Only":false}}"#
        ),
        item.id(),
        common::b64(item.signature()),
        id(9),
        HashChain::first(&id(9)),
        owner = owner,
    );
    assert_eq!(json, expected);
}

#[test]
fn fields_without_a_value_are_absent_and_binary_data_is_null() {
    let keys = |invocation: &Invocation| -> Vec<String> {
        let json: Value = serde_json::from_slice(&invocation.to_json()).unwrap();
        json.as_object().unwrap().keys().cloned().collect()
    };
    let cron = Invocation::of_cron(id(9), &wallet().address(), &[Tag::new("Action", "Tick")], 5, 6);
    assert_eq!(keys(&cron), ["Owner", "Target", "From", "Tags", "Timestamp", "Block-Height", "Cron", "Read-Only"]);
    assert!(cron.cron && !cron.read_only);

    let binary = sign(message().data(vec![0xff, 0xfe]));
    let plain = AssignmentContent { exclude: vec![], ..content() };
    let json: Value = serde_json::from_slice(&Invocation::of_assignment(&binary, &plain).to_json()).unwrap();
    assert_eq!(json["Data"], Value::Null);
    assert!(json.as_object().unwrap().contains_key("Data"));
    let json: Value = serde_json::from_slice(&Invocation::of_assignment(&binary, &content()).to_json()).unwrap();
    assert!(!json.as_object().unwrap().contains_key("Data"), "excluded");

    let spawn = sign(process().data(vec![b'a', 0xff]));
    let boot = Invocation::of_unassigned_process(&spawn, 1, 2);
    assert_eq!((boot.data.as_deref(), boot.nonce, boot.target), (Some("a\u{fffd}".as_bytes()), None, spawn.id().to_string()));
    let first = AssignmentContent { process: spawn.id(), message: None, exclude: vec![], ..content() };
    assert_eq!(Invocation::of_assignment(&spawn, &first).target, spawn.id().to_string());
}

#[test]
fn a_dry_run_is_whoever_it_says_it_is() {
    let request = DryRun { owner: "me".to_owned(), target: "P".to_owned(), tags: vec![Tag::new("Owner", "x")], ..DryRun::default() };
    let run = Invocation::of_dry_run(request.clone());
    assert_eq!((run.from.as_str(), run.forwarded_by.as_deref(), run.read_only, run.tags.len()), ("me", None, true, 0));
    let run = Invocation::of_dry_run(DryRun { tags: vec![Tag::new("From-Process", "Q")], ..request });
    assert_eq!((run.from.as_str(), run.forwarded_by.as_deref()), ("Q", Some("me")));
}

#[test]
fn the_environment_is_two_subjects() {
    let (spawn, module) = (sign(process()), sign(ItemBuilder::new().tag("Type", "Module").tag("Module-Format", "lua")));
    let json = String::from_utf8(Environment::of(&spawn, &module).to_json()).unwrap();
    let head =
        format!(r#"{{"Process":{{"Id":"{}","Owner":"{}","Tags":[{{"name":"Data-Protocol","value":"ao"}},"#, spawn.id(), wallet().address());
    assert!(json.starts_with(&head), "{json}");
    let tail = format!(
        r#""Module":{{"Id":"{}","Owner":"{}","Tags":[{{"name":"Type","value":"Module"}},{{"name":"Module-Format","value":"lua"}}]}}}}"#,
        module.id(),
        wallet().address()
    );
    assert!(json.ends_with(&tail), "{json}");
    assert_eq!(Module::read(&module).unwrap().format, "lua");
}

fn outgoing(entry: Value) -> Outgoing {
    let Value::Object(fields) = entry else { panic!("an object") };
    Outgoing { fields, data: None }
}

#[test]
fn a_result_has_the_keys_clients_know_in_their_order() {
    let evaluation = Evaluation { output: json!({"data": "42", "prompt": "> "}), ..Evaluation::default() };
    let expected = r#"{"Messages":[],"Assignments":[],"Spawns":[],"Output":{"data":"42","prompt":"> "},"GasUsed":0}"#;
    assert_eq!(evaluation.to_json(), expected.as_bytes());
    let failed = Evaluation::failure("boom");
    let expected = r#"{"Messages":[],"Assignments":[],"Spawns":[],"Output":"","GasUsed":0,"Error":"boom"}"#;
    assert_eq!((failed.to_json(), failed.failed()), (expected.as_bytes().to_vec(), true));
    assert_ne!(failed.result_hash(), evaluation.result_hash());
}

#[test]
fn bytes_that_json_cannot_show_count_for_the_hash() {
    let with = |data: &'static [u8], forged: bool| {
        let mut entry = outgoing(json!({"Target": "t", "Data": "\u{fffd}"}));
        entry.data = Some(bytes::Bytes::from_static(data));
        if forged {
            entry.fields.insert("Data-Bytes".to_owned(), json!("_w"));
        }
        Evaluation { messages: vec![entry], ..Evaluation::default() }
    };
    let (one, two) = (with(&[0xff], false), with(&[0xfe], false));
    assert_eq!(one.to_json(), two.to_json());
    assert_ne!(one.result_hash(), two.result_hash());
    assert_eq!(with(&[0xfe], true).result_hash(), two.result_hash(), "a module does not write what we write for it");
}

fn context() -> PushContext {
    PushContext { process: id(9), module: Some(id(3)), scheduler: wallet().address(), pushed_for: Some(id(5)), row: vec![1] }
}

fn names(item: &DataItem) -> Vec<String> {
    item.tags().map(|tag| format!("{}={}", tag.name_text(), tag.value_text())).collect()
}

#[test]
fn a_pushed_message_is_that_of_the_recording() {
    let entry = outgoing(json!({"Target": id(8).to_string(), "Data": "ping", "Anchor": "00000000000000000000000000000001", "Tags": [
        {"name": "Data-Protocol", "value": "ao"}, {"name": "Variant", "value": "ao.TN.1"}, {"name": "Type", "value": "Message"},
        {"name": "Reference", "value": "1"}, {"name": "Action", "value": "Ping"}, {"name": "From-Process", "value": "forged"},
        {"name": "From-Module", "value": "forged"}, {"name": "type", "value": "Process"},
        {"name": "Assignments", "value": [id(7).to_string()]},
    ]}));
    let read = OutboxMessage::read(&entry).unwrap();
    assert_eq!(read.assign_to, [id(7)]);
    let item = sign(read.to_item(&context()));
    let expected = [
        "Variant=ao.TN.1".to_owned(),
        "Reference=1".to_owned(),
        "Action=Ping".to_owned(),
        "Data-Protocol=ao".to_owned(),
        "Type=Message".to_owned(),
        format!("From-Process={}", id(9)),
        format!("From-Module={}", id(3)),
        format!("Pushed-For={}", id(5)),
    ];
    assert_eq!(names(&item), expected);
    assert_eq!((item.target(), item.anchor(), item.data()), (Some(id(8)), Some(b"00000000000000000000000000000001"), &b"ping"[..]));
    assert!(matches!(lawful(&item), Ok(Lawful::Message(message)) if message.is_pushed()));
    // By cron, from a process whose module is not known.
    let cron = PushContext { module: None, pushed_for: None, ..context() };
    let item = sign(read.to_item(&cron));
    assert_eq!(names(&item).last().unwrap(), "From-Module=");
}

#[test]
fn a_variant_is_added_where_the_process_set_none() {
    let entry = outgoing(json!({"Target": id(8).to_string(), "Anchor": "", "Tags": []}));
    let item = sign(OutboxMessage::read(&entry).unwrap().to_item(&context()));
    assert_eq!((item.tag("Variant"), item.anchor(), item.data().len()), (Some("ao.TN.1"), None, 0));
}

#[test]
fn entries_that_cannot_be_delivered_are_skipped_one_by_one() {
    let good = json!({"Target": id(8).to_string(), "Anchor": "0".repeat(32), "Tags": []});
    let with = |member: &str, value: Value| {
        let mut entry = outgoing(good.clone());
        if value.is_null() {
            entry.fields.remove(member);
        } else {
            entry.fields.insert(member.to_owned(), value);
        }
        entry
    };
    let missing = |member: &str| Skip::Missing(member.to_owned());
    let kind = |member: &str| Skip::Kind(member.to_owned());
    let cases = [
        (with("Target", Value::Null), missing("Target")),
        (with("Target", json!("")), missing("Target")),
        (with("Target", json!(5)), kind("Target")),
        (with("Target", json!("0x1234")), Skip::NotAnId("0x1234".to_owned())),
        (with("Anchor", Value::Null), missing("Anchor")),
        (with("Anchor", json!("short")), Skip::Anchor(5)),
        (with("Tags", Value::Null), missing("Tags")),
        (with("Tags", json!({})), kind("Tags")),
        (with("Tags", json!([{"name": "n", "value": 1}])), Skip::TagValue("n".to_owned())),
        (with("Tags", json!([{"name": "n"}])), Skip::TagValue("n".to_owned())),
        (with("Tags", json!([{"value": "v"}])), kind("Tags")),
        (with("Tags", json!([{"name": "Assignments", "value": ["x"]}])), Skip::NotAnId("x".to_owned())),
        (with("Data", json!({})), kind("Data")),
    ];
    let skips: Vec<Skip> = cases.iter().map(|case| case.1.clone()).collect();
    let mut messages: Vec<Outgoing> = cases.into_iter().map(|case| case.0).collect();
    messages.push(outgoing(good.clone()));
    let evaluation = Evaluation {
        messages,
        spawns: vec![outgoing(json!({"Tags": []}))],
        assignments: vec![json!({"Processes": [id(1).to_string()], "Message": id(2).to_string()}), json!("x")],
        ..Evaluation::default()
    };
    let mut entries: Vec<Result<OutboxEntry, Skip>> = outbox::entries(&evaluation).collect();
    assert_eq!(entries.pop(), Some(Err(kind("entry"))));
    assert!(matches!(entries.pop(), Some(Ok(OutboxEntry::Assignment(one))) if one.processes == [id(1)] && one.message == id(2)));
    assert_eq!(entries.pop(), Some(Err(Skip::NoModule)));
    assert!(matches!(entries.pop(), Some(Ok(OutboxEntry::Message(one))) if one.target == id(8)));
    assert_eq!(entries.into_iter().map(Result::unwrap_err).collect::<Vec<_>>(), skips);
}

#[test]
fn scalars_are_texts_and_exact_bytes_win() {
    let read = |data: Value, exact: Option<&'static [u8]>| {
        let mut entry = outgoing(json!({"Target": id(8).to_string(), "Anchor": "", "Tags": [], "Data": data}));
        entry.data = exact.map(bytes::Bytes::from_static);
        OutboxMessage::read(&entry).unwrap().data
    };
    assert_eq!(read(json!(42), None), "42");
    assert_eq!(read(json!(true), None), "true");
    assert_eq!(read(Value::Null, None), "");
    assert_eq!(read(json!("\u{fffd}"), Some(&[0xff])), [0xff][..]);
}

#[test]
fn a_spawn_and_its_notice_are_what_the_reference_sends() {
    let entry = outgoing(json!({"Data": "boot", "Tags": [
        {"name": "Data-Protocol", "value": "ao"}, {"name": "Variant", "value": "ao.TN.1"}, {"name": "Type", "value": "Process"},
        {"name": "From-Process", "value": "forged"}, {"name": "From-Module", "value": "forged"},
        {"name": "Module", "value": id(4).to_string()}, {"name": "Reference", "value": "2"},
    ]}));
    let spawn = OutboxSpawn::read(&entry).unwrap();
    let item = sign(spawn.to_item(&context()));
    let expected = [
        format!("From-Module={}", id(3)),
        format!("Module={}", id(4)),
        "Reference=2".to_owned(),
        "Data-Protocol=ao".to_owned(),
        "Type=Process".to_owned(),
        "Variant=ao.TN.1".to_owned(),
        format!("From-Process={}", id(9)),
        format!("Pushed-For={}", id(5)),
        format!("Scheduler={}", wallet().address()),
    ];
    assert_eq!(names(&item), expected);
    assert!(matches!(lawful(&item), Ok(Lawful::Process(process)) if process.module == id(4)));
    // Equal spawns of two outbox rows are two processes, the same row again is the same one.
    assert_eq!(sign(spawn.to_item(&context())).id(), item.id());
    assert_ne!(sign(spawn.to_item(&PushContext { row: vec![2], ..context() })).id(), item.id());

    let notice = sign(spawn.notice(&context(), item.id()));
    let expected = [
        format!("From-Process={}", id(9)),
        format!("From-Module={}", id(3)),
        format!("Module={}", id(4)),
        "Reference=2".to_owned(),
        "Data-Protocol=ao".to_owned(),
        "Type=Message".to_owned(),
        format!("Process={}", item.id()),
        "Action=Spawned".to_owned(),
        "Variant=ao.TN.1".to_owned(),
    ];
    assert_eq!((names(&notice), notice.target()), (expected.to_vec(), Some(id(9))));
    assert!(matches!(lawful(&notice), Ok(Lawful::Message(_))));
}

#[test]
fn checkpoints_and_locations_round_trip() {
    let record = CheckpointRecord {
        module: id(3),
        process: id(9),
        schedule_epoch: Some(0),
        slot: Slot(12),
        timestamp_ms: 5,
        block_height: 6,
        cron_interval: Some("0-10-seconds".to_owned()),
        assignment: id(4),
        hash_chain: HashChain::first(&id(9)),
        sha256: [7; 32],
        content_encoding: "gzip".to_owned(),
        unit: Some("cu".to_owned()),
    };
    assert_eq!(CheckpointRecord::read(&sign(ItemBuilder::new().tags(record.tags()))), Ok(record));
    let location = sign(ItemBuilder::new().tags(SchedulerLocation::tags("http://127.0.0.1:7700", 60_000, &wallet().address())));
    let url = "http://127.0.0.1:7700".to_owned();
    let (scheduler, authority) = (wallet().address(), Some(wallet().address()));
    let expected = SchedulerLocation { scheduler, url, time_to_live_ms: 60_000, authority };
    assert_eq!(SchedulerLocation::read(&location), Ok(expected));
    let other = sign(ItemBuilder::new().tags(SchedulerLocation::tags("ftp://x", 1, &wallet().address())));
    assert!(SchedulerLocation::read(&other).is_err());
}
