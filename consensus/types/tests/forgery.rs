//! Whatever a module returns: nothing panics, and what is pushed says truly where it comes from.

use ao_types::message::protocol_tag;
use ao_types::outbox::{OutboxEntry, PushContext, entries};
use ao_types::*;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Names that mean something, in the spellings that readers accept, and some that do not.
fn name() -> impl Strategy<Value = String> {
    let known = [
        "Type",
        "type",
        "Data-Protocol",
        "data-protocol",
        "Variant",
        "variant",
        "From-Process",
        "From-Module",
        "Pushed-For",
        "Module",
        "Scheduler",
        "Assignments",
        "Action",
        "From",
        "Owner",
    ];
    prop_oneof![8 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn tag() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        6 => prop::sample::select(["ao", "ar", "Message", "Process", "ao.N.1", "forged", ""].as_slice()).prop_map(Value::from),
        2 => Just(Value::from(Id([3; 32]).to_string())),
        1 => json(),
    ];
    (name(), value).prop_map(|(name, value)| json!({"name": name, "value": value}))
}

fn entry() -> impl Strategy<Value = Outgoing> {
    let tags = prop_oneof![9 => prop::collection::vec(tag(), 0..8).prop_map(Value::from), 1 => json()];
    let target = prop_oneof![6 => Just(Value::from(Id([8; 32]).to_string())), 1 => json()];
    let anchor = prop_oneof![6 => Just(Value::from("0".repeat(32))), 1 => json()];
    (tags, target, anchor, json()).prop_map(|(tags, target, anchor, data)| {
        let fields = [("Target", target), ("Anchor", anchor), ("Tags", tags), ("Data", data)];
        let fields: Map<String, Value> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Outgoing { fields, data: None }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_process_cannot_say_that_it_is_another(
        messages in prop::collection::vec(entry(), 0..4),
        spawns in prop::collection::vec(entry(), 0..4),
        assignments in prop::collection::vec(json(), 0..2),
    ) {
        let wallet = Wallet::ed25519_from_seed(&[1; 32]);
        let context = PushContext {
            process: Id([9; 32]),
            module: Some(Id([4; 32])),
            scheduler: wallet.address(),
            pushed_for: None,
            row: vec![1],
        };
        let process = context.process.to_string();
        let evaluation = Evaluation { messages, spawns, assignments, ..Evaluation::default() };
        let shown: Value = serde_json::from_slice(&evaluation.to_json()).unwrap();
        prop_assert_eq!(shown["Messages"].as_array().unwrap().len(), evaluation.messages.len());

        for entry in entries(&evaluation).filter_map(Result::ok) {
            let (kind, builders) = match &entry {
                OutboxEntry::Message(message) => ("Message", vec![message.to_item(&context)]),
                OutboxEntry::Spawn(spawn) => ("Process", vec![spawn.to_item(&context), spawn.notice(&context, Id([5; 32]))]),
                OutboxEntry::Assignment(_) => continue,
            };
            for (builder, kind) in builders.into_iter().zip([kind, "Message"]) {
                let Ok(item) = builder.sign(&wallet) else { continue };
                prop_assert_eq!(protocol_tag(&item, "Type"), Some(kind));
                let senders: Vec<_> = item.tags().filter(|tag| tag.name == b"From-Process").map(|tag| tag.value_text()).collect();
                // The notice of a spawn says who sent it only where the spawn did.
                prop_assert!(senders.iter().all(|sender| *sender == process), "{:?}", senders);
                prop_assert!(senders.len() <= 1);
                if !matches!((&entry, kind), (OutboxEntry::Spawn(_), "Message")) {
                    prop_assert_eq!(senders.len(), 1);
                }
                let modules = item.tags().filter(|tag| tag.name == b"From-Module");
                prop_assert!(modules.map(|tag| tag.value_text()).all(|module| module == Id([4; 32]).to_string()));
            }
        }
    }
}
