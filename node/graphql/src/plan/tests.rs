use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::limits::REQUEST_BYTES_MAX;

fn planned(query: &str, variables: Value) -> Result<Vec<Shown>, Wrong> {
    plan(&Request { query: query.into(), variables: variables.as_object().cloned(), operation_name: None })
}

fn searched(query: &str, variables: Value) -> Search {
    let roots = planned(query, variables).unwrap();
    Search::parse(&roots[0].arguments).unwrap()
}

fn names(fields: &[Shown]) -> Vec<&str> {
    fields.iter().map(|field| field.alias.as_str()).collect()
}

const ID: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

#[test]
fn queries_that_clients_send() {
    // aoconnect, the module of a spawn.
    let query = "query GetTransactions ($transactionIds: [ID!]!, $skipTags: Boolean!, $skipSignature: Boolean!, $skipAnchor: Boolean!) {
        transactions(ids: $transactionIds) { edges { node { owner { address key @skip(if: $skipSignature) } tags @skip(if: $skipTags) { name value }
        recipient anchor @skip(if: $skipAnchor) signature @skip(if: $skipSignature) } } } }";
    let roots = planned(query, json!({ "transactionIds": [ID], "skipTags": false, "skipSignature": true, "skipAnchor": true })).unwrap();
    let node = &roots[0].fields[0].fields[0];
    assert_eq!(names(&node.fields), ["owner", "tags", "recipient"]);
    assert_eq!(names(&node.fields[0].fields), ["address"]);
    assert_eq!(Search::parse(&roots[0].arguments).unwrap().ids.unwrap(), [Id::parse(ID).unwrap()]);

    // scheduler-utils, the newest location of a scheduler.
    let query = "query ($owner: String!) { transactions (owners: [$owner] tags: [{ name: \"Data-Protocol\", values: [\"ao\"] },
        { name: \"Type\", values: [\"Scheduler-Location\"] }] sort: HEIGHT_DESC first: 1) { edges { node { tags { name value } } } } }";
    let search = searched(query, json!({ "owner": ID }));
    assert_eq!((search.owners.unwrap().len(), search.first, search.sort), (1, 1, Sort::Descending));
    assert_eq!(search.tags[1], TagFilter { name: "Type".into(), values: vec!["Scheduler-Location".into()], not: false });

    // aos, with an owner that is no address, and with literals.
    let query = format!(
        "query {{ transactions(owners: [\"{ID}\", \"\"], tags: [{{name: \"Data-Protocol\", values: [\"ao\"]}}, {{name: \"Type\", values: [\"Process\"]}},
         {{name: \"Name\", values: [\"default\"]}}], first: 10) {{ edges {{ node {{ id }} }} }} }}"
    );
    let search = searched(&query, Value::Null);
    assert_eq!((search.owners.unwrap().len(), search.tags.len(), search.first), (1, 3, 10));
}

#[test]
fn arguments_of_every_form() {
    let search = searched(
        "query ($t: [TagFilter!], $after: String, $n: Int = 7) { transactions(tags: $t, after: $after, first: $n, block: {min: 5, max: 9}, sort: HEIGHT_ASC, recipients: \"x\") { count } }",
        json!({ "t": [{ "name": "A", "values": ["1", "2"], "op": "NEQ" }, { "name": "B", "values": [] }], "after": "" }),
    );
    assert_eq!((search.min, search.max, search.first, search.sort, search.after), (Some(5), Some(9), 7, Sort::Ascending, None));
    assert_eq!(search.recipients.unwrap(), [], "a text that is no id matches nothing");
    assert_eq!(search.tags[0], TagFilter { name: "A".into(), values: vec!["1".into(), "2".into()], not: true });
    assert_eq!(searched("{ transactions(after: \"xy\", bundledIn: [\"\"]) { count } }", Value::Null).after.as_deref(), Some("xy"));
    assert_eq!(searched("{ transactions(first: 5000) { count } }", Value::Null).first, PAGE.1);
    assert_eq!(searched("query ($ids: [ID!]) { transactions(ids: $ids) { count } }", json!({})).ids, None, "not given is not empty");
    assert_eq!(searched("query ($ids: [ID!]) { transactions(ids: $ids) { count } }", json!({ "ids": [] })).ids, Some(vec![]));
    for bad in [
        "{ transactions(first: -1) { count } }",
        "{ transactions(sort: UP) { count } }",
        "{ transactions(after: 1) { count } }",
        "{ transactions(nowhere: 1) { count } }",
        "{ transactions(tags: [{values: []}]) { count } }",
        "{ transactions(tags: [{name: \"a\", op: \"LIKE\"}]) { count } }",
        "{ transactions(ids: [1]) { count } }",
        "{ transactions(block: {min: \"a\"}) { count } }",
    ] {
        let roots = planned(bad, Value::Null).unwrap();
        assert!(Search::parse(&roots[0].arguments).is_err(), "{bad}");
    }
}

#[test]
fn fragments_aliases_and_directives() {
    let query = "query ($yes: Boolean = true) { a: transactions(first: 1) { ...Page } b: transactions(first: 2) { ... on TransactionConnection { count } ...Page @skip(if: $yes) } }
        fragment Page on TransactionConnection { pageInfo { hasNextPage } edges @include(if: $yes) { cursor } }";
    let roots = planned(query, Value::Null).unwrap();
    assert_eq!(names(&roots), ["a", "b"]);
    assert_eq!((names(&roots[0].fields), names(&roots[1].fields)), (vec!["pageInfo", "edges"], vec!["count"]));
    let twice = planned("{ transactions { edges { cursor } edges { node { id } } } }", Value::Null).unwrap();
    assert_eq!(names(&twice[0].fields[0].fields), ["cursor", "node"]);
    assert!(planned("{ x: transactions { count } x: transaction { id } }", Value::Null).is_err(), "two fields of one name");
}

#[test]
fn operations_are_chosen_by_name() {
    let query = "query A { transactions { count } } query B { transaction { id } }";
    let plan_of = |name: Option<&str>| plan(&Request { query: query.into(), variables: None, operation_name: name.map(str::to_owned) });
    assert!(plan_of(None).is_err());
    assert_eq!(plan_of(Some("B")).unwrap()[0].name, "transaction");
    assert!(plan_of(Some("C")).is_err());
    assert!(planned("mutation { x }", Value::Null).is_err());
    assert!(planned("subscription { x }", Value::Null).is_err());
    assert!(planned("query ($a: ID!) { transaction(id: $a) { id } }", Value::Null).unwrap_err().contains("$a"));
}

#[test]
fn bombs_are_refused_in_no_time() {
    let began = std::time::Instant::now();
    let deep = format!("{}{}", "{a".repeat(1000), "}".repeat(1000));
    assert!(planned(&deep, Value::Null).unwrap_err().contains("nests"));
    let deep = format!("{{ transactions(ids: {}{}) {{ count }} }}", "[".repeat(1000), "]".repeat(1000));
    assert!(planned(&deep, Value::Null).unwrap_err().contains("nests"));
    // Behind texts that could be taken to end elsewhere: as the grammar reads them, each of these ends before the brackets.
    for text in [r#"""" " """"#, r#"""" \""" """"#, r#""\"""#, r#""\\""#, "\"\r\"", "\"\" # \" \r", "\"\"\"\"\"\"", "\"a#b\""] {
        let deep = format!("{{ transactions(after: {text}, ids: {}{}) {{ count }} }}", "[".repeat(1000), "]".repeat(1000));
        assert!(planned(&deep, Value::Null).unwrap_err().contains("nests"), "{text}");
    }
    // And brackets within are letters.
    let brackets = "[".repeat(1000);
    for text in [format!(r#"""" \""" " {brackets} """"#), format!(r#""\" {brackets} # ""#)] {
        assert!(planned(&format!("{{ transactions(after: {text}) {{ count }} }}"), Value::Null).is_ok(), "{text}");
    }
    // Each fragment spreads the next one twice: 2^30 fields.
    let mut doubling = String::from("{ ...F0 } ");
    for n in 0..30 {
        doubling.push_str(&format!("fragment F{n} on Query {{ ...F{} ...F{} }} ", n + 1, n + 1));
    }
    assert!(planned(&doubling, Value::Null).is_err());
    assert!(
        planned("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", Value::Null).unwrap_err().contains("fragments nest")
    );
    let wide = format!("{{ {} }}", (0..600).map(|n| format!("a{n}: transactions {{ count }} ")).collect::<String>());
    assert!(planned(&wide, Value::Null).unwrap_err().contains("fields"));
    let roots = format!("{{ {} }}", (0..9).map(|n| format!("a{n}: transactions {{ count }} ")).collect::<String>());
    assert!(planned(&roots, Value::Null).unwrap_err().contains("searches"));
    let values = json!({ "ids": vec![ID; VALUES_MAX + 1] });
    let many = planned("query ($ids: [ID!]) { transactions(ids: $ids) { count } }", values).unwrap();
    assert!(Search::parse(&many[0].arguments).unwrap_err().contains("at most"));
    // As long as a body may be: whatever the grammar does with it, it does once.
    let long = REQUEST_BYTES_MAX - 100;
    for text in [
        format!("{{ {} }}", "a ".repeat(long / 2)),
        format!("{{ {} }}", "a:".repeat(long / 2)),
        format!("{{ a(b: [{}]) {{ c }} }}", "1 ".repeat(long / 2)),
        format!("{{ a(b: \"{}\") {{ c }} }}", "x".repeat(long)),
        format!("#{}", "{".repeat(long)),
        "fragment a on b { c } ".repeat(long / 22),
        "query($a:[[[[[[[[Int]]]]]]]]){b} ".repeat(long / 33),
        "{a}".repeat(long / 3),
        "@".repeat(long),
    ] {
        let _ = planned(&text, Value::Null);
    }
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_planned_or_refused(query in ".{0,200}") {
        let _ = planned(&query, Value::Null);
    }

    #[test]
    fn any_tokens_are_planned_or_refused(tokens in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "(", ")", "[", "]", ":", "$", "@", "!", "=", "...", "query", "fragment", "on", "transactions", "tags", "ids", "\"x\"", "1", "-1.5",
        "true", "null", "skip", "if", "a", ",", "#\n", "\"\"\"", "\\",
    ]), 0..60)) {
        let query = tokens.join(" ");
        if let Ok(roots) = planned(&query, json!({ "a": 1 })) {
            for root in roots {
                let _ = Search::parse(&root.arguments);
            }
        }
    }
}
