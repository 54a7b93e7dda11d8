use std::sync::Arc;

use ao_graphql::Request;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::find::Budget;
use super::run;
use crate::http::Backend as _;
use crate::http::tests::support::{HEIGHT, Script, message_item, process_item, wallet};

fn ask(script: &Arc<Script>, query: &str) -> Value {
    ask_within(script, query, Budget::default())
}

fn ask_within(script: &Arc<Script>, query: &str, budget: Budget) -> Value {
    let request = Request { query: query.into(), variables: None, operation_name: None };
    run(script.as_ref(), script.store(), &request, budget).unwrap()
}

fn data_of(answer: &Value) -> Vec<String> {
    let edges = answer["data"]["transactions"]["edges"].as_array().unwrap_or_else(|| panic!("{answer}"));
    edges.iter().map(|edge| edge["node"]["tags"].as_array().unwrap().last().unwrap()["value"].as_str().unwrap().to_owned()).collect()
}

/// A process `p` of wallet 5, and messages `0`, `1`, … of wallet 9 to it, with tag `Even` where they are.
fn world(messages: usize) -> (Arc<Script>, ao_types::Id) {
    let script = Script::new();
    let process = script.spawn(&process_item(5, &[("N", "p")], "boot"));
    for n in 0..messages {
        let n = n.to_string();
        let tags = [("Even", if n.parse::<usize>().unwrap() % 2 == 0 { "yes" } else { "no" }), ("N", n.as_str())];
        script.schedule(process, &message_item(process, &tags, "data"), &[]);
    }
    (script, process)
}

#[test]
fn filters_alone_and_together() {
    use ao_types::Signer as _;
    let (script, process) = world(5);
    let (spawner, sender) = (wallet(5).address(), wallet(9).address());
    let heights = |min: u64, max: u64| format!("block: {{min: {}, max: {}}}", HEIGHT + min, HEIGHT + max);
    for (arguments, expected) in [
        ("sort: HEIGHT_ASC".to_owned(), "p 0 1 2 3 4"),
        ("sort: HEIGHT_DESC".into(), "4 3 2 1 0 p"),
        ("first: 2".into(), "4 3"),
        (format!("owners: [\"{spawner}\"]"), "p"),
        (format!("owners: [\"{sender}\", \"{spawner}\"], sort: HEIGHT_ASC"), "p 0 1 2 3 4"),
        (format!("owners: [\"{spawner}\", \"\"]"), "p"),
        ("owners: [\"\"]".into(), ""),
        (format!("recipients: [\"{process}\"]"), "4 3 2 1 0"),
        ("tags: [{name: \"Even\", values: [\"yes\"]}]".into(), "4 2 0"),
        ("tags: [{name: \"Even\", values: [\"yes\", \"no\"]}], sort: HEIGHT_ASC".into(), "0 1 2 3 4"),
        ("tags: [{name: \"Even\", values: [\"yes\"], op: NEQ}]".into(), "3 1 p"),
        ("tags: [{name: \"Even\"}, {name: \"N\", values: [\"3\", \"p\"]}]".into(), "3"),
        ("tags: [{name: \"Type\", values: [\"Process\"]}, {name: \"N\", values: [\"p\"]}]".into(), "p"),
        ("tags: [{name: \"even\", values: [\"yes\"]}]".into(), ""),
        ("tags: [{name: \"Even\", values: [\"yes\"]}, {name: \"Even\", values: [\"no\"]}]".into(), ""),
        (heights(1, 2), "1 0"),
        (format!("owners: [\"{sender}\"], {}, tags: [{{name: \"Even\", values: [\"no\"]}}]", heights(0, 3)), "1"),
        (format!("ids: [\"{process}\", \"x\", \"{process}\"]"), "p"),
        (format!("ids: [\"{process}\"], owners: [\"{sender}\"]"), ""),
        ("ids: []".into(), ""),
        ("bundledIn: []".into(), ""),
    ] {
        let answer = ask(&script, &format!("{{ transactions({arguments}) {{ edges {{ node {{ tags {{ value }} }} }} }} }}"));
        assert_eq!(data_of(&answer).join(" "), expected, "{arguments}");
    }
}

#[test]
fn a_node_shows_all_that_is_known() {
    use ao_types::Signer as _;
    let (script, process) = world(0);
    let fields = "id anchor signature recipient owner { address key } fee { winston ar } quantity { winston } data { size type } tags { name value } block { id height timestamp previous } bundledIn { id } parent { id } __typename";
    let answer = ask(&script, &format!("{{ it: transaction(id: \"{process}\") {{ {fields} }} nothing: transaction(id: \"x\") {{ id }} }}"));
    let node = &answer["data"]["it"];
    assert_eq!(node["owner"]["address"], wallet(5).address().to_string());
    assert_eq!((&node["recipient"], &node["data"]), (&json!(""), &json!({ "size": "4", "type": null })));
    assert_eq!((&node["block"]["height"], &node["block"]["timestamp"]), (&json!(HEIGHT), &json!(1_795_345_080)));
    assert_eq!((&node["bundledIn"], &node["fee"]["winston"]), (&Value::Null, &json!("0")));
    assert_eq!(node["anchor"].as_str().unwrap().len(), 43);
    assert_eq!(answer["data"]["nothing"], Value::Null);
    for bad in [
        "{ transactions }",
        "{ transactions { edges } }",
        "{ nowhere { id } }",
        "{ transaction { id } }",
        "{ transactions { edges { node { owner } } } }",
    ] {
        assert!(ask(&script, bad)["errors"][0]["message"].is_string(), "{bad}");
    }
}

#[test]
fn results_do_not_hold_the_data_of_items() {
    let (script, process) = world(0);
    let item = message_item(process, &[("N", "big")], vec![b'x'; 1_000_000]);
    script.schedule(process, &item, &[]);
    let found = super::super::find::one(script.store(), &item.id()).unwrap().unwrap();
    assert_eq!((found.data_bytes, found.item.id()), (1_000_000, item.id()));
    assert!(found.item.as_bytes().len() < 1_000);
    let answer = ask(&script, &format!("{{ transaction(id: \"{}\") {{ data {{ size }} }} }}", item.id()));
    assert_eq!(answer["data"]["transaction"]["data"]["size"], "1000000");
}

#[test]
fn blocks_for_crons() {
    let (script, _) = world(0);
    let ask = |arguments: &str| {
        let answer = ask(
            &script,
            &format!("{{ blocks({arguments}) {{ pageInfo {{ hasNextPage }} edges {{ cursor node {{ height timestamp }} }} }} }}"),
        );
        let blocks = answer["data"]["blocks"].clone();
        let heights: Vec<_> =
            blocks["edges"].as_array().unwrap().iter().map(|edge| edge["node"]["height"].as_u64().unwrap() - HEIGHT).collect();
        (
            heights,
            blocks["pageInfo"]["hasNextPage"].as_bool().unwrap(),
            blocks["edges"].as_array().unwrap().last().map(|edge| edge["cursor"].clone()),
        )
    };
    let height = |min: u64, max: u64| format!("height: {{min: {}, max: {}}}", HEIGHT + min, HEIGHT + max);
    let (heights, more, cursor) = ask(&format!("{}, first: 2, sort: HEIGHT_ASC", height(3, 6)));
    assert_eq!((heights, more), (vec![3, 4], true));
    let (heights, more, _) = ask(&format!("{}, first: 2, sort: HEIGHT_ASC, after: {}", height(3, 6), cursor.unwrap()));
    assert_eq!((heights, more), (vec![5, 6], false));
    assert_eq!(ask("first: 1").0, [100], "the tip");
    assert_eq!(ask("height: {min: 0}, first: 1, sort: HEIGHT_ASC").0, [0], "the chain's first block");
    assert_eq!(ask("height: {max: 5}").0, [0; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Pages of any length, in either order, join to the whole.
    #[test]
    fn pages_join_to_the_whole(messages in 0_usize..12, first in 1_usize..5, ascending: bool, filtered: bool) {
        let (script, _) = world(messages);
        let sort = if ascending { "HEIGHT_ASC" } else { "HEIGHT_DESC" };
        let tags = if filtered { ", tags: [{name: \"Even\", values: [\"yes\", \"no\"]}]" } else { "" };
        let whole = data_of(&ask(&script, &format!("{{ transactions(first: 1000, sort: {sort}{tags}) {{ edges {{ node {{ tags {{ value }} }} }} }} }}")));
        let (mut joined, mut after) = (Vec::new(), String::new());
        loop {
            let answer = ask(&script, &format!("{{ transactions(first: {first}, sort: {sort}, after: \"{after}\"{tags}) {{ pageInfo {{ hasNextPage }} edges {{ cursor node {{ tags {{ value }} }} }} }} }}"));
            joined.extend(data_of(&answer));
            let connection = &answer["data"]["transactions"];
            if connection["pageInfo"]["hasNextPage"] == false {
                break;
            }
            after = connection["edges"].as_array().unwrap().last().unwrap()["cursor"].as_str().unwrap().to_owned();
        }
        prop_assert_eq!(joined, whole);
    }

    /// However little a query may look at, its pages join to the whole by `endCursor`, and none looks at more.
    #[test]
    fn pages_cut_short_join_to_the_whole(messages in 0_usize..12, rows in 1_usize..5, few_bytes: bool, ascending: bool) {
        let (script, _) = world(messages);
        let sort = if ascending { "HEIGHT_ASC" } else { "HEIGHT_DESC" };
        let budget = Budget { rows, bytes: if few_bytes { 1 } else { usize::MAX } };
        let query = |after: &str| format!(
            "{{ transactions(first: 1000, sort: {sort}, after: \"{after}\", tags: [{{name: \"Even\", values: [\"yes\"], op: NEQ}}]) {{
                pageInfo {{ hasNextPage endCursor }} edges {{ node {{ tags {{ value }} }} }} }} }}"
        );
        let whole = data_of(&ask(&script, &query("")));
        let (mut joined, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let answer = ask_within(&script, &query(&after), budget);
            joined.extend(data_of(&answer));
            pages += 1;
            let info = &answer["data"]["transactions"]["pageInfo"];
            if info["hasNextPage"] == false {
                break;
            }
            after = info["endCursor"].as_str().unwrap().to_owned();
        }
        prop_assert_eq!(joined, whole);
        let at_once = if few_bytes { 1 } else { rows };
        prop_assert!(pages >= (messages + 1).div_ceil(at_once), "{} pages", pages);
    }
}
