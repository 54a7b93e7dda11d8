//! The routes on a real node: a Lua process, from its spawn to its results, as a client walks.

use std::sync::Arc;
use std::time::Duration;

use ao_types::{Id, ItemBuilder, Signer as _, Tag};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::support::{get, post, wallet};
use crate::handle::Node;
use crate::http::{App, Edge, Limits};
use crate::metrics::labels::{Outcome, Stage};
use crate::metrics::{Build, Metrics};
use crate::shell::{Options, Running};
use crate::wiring::Setup;

struct Real {
    edge: Arc<Edge>,
    running: Running,
    identity: Value,
}

async fn start() -> Real {
    let metrics = Metrics::new(&Build::new("solo", "test")).unwrap();
    let options = Options::new("test", Arc::new(wallet(1)), Arc::new(wallet(2)), metrics.clone());
    let setup = Setup::standard(ao_vm::Settings::default(), 2_000).unwrap();
    let (node, running) = Node::start(options, setup, None, &ao_storage::rocks::Settings::default()).unwrap();
    let edge = App::new(Arc::new(node), Limits::default(), metrics, CancellationToken::new()).public();
    let identity = get(&edge, "/v1/identity").await.json();
    Real { edge, running, identity }
}

fn item(target: Option<Id>, kind: &str, tags: &[(&str, &str)], data: &str) -> Vec<u8> {
    let own = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", kind)];
    let tags = own.iter().chain(tags).map(|(name, value)| Tag::new(*name, *value));
    let builder = ItemBuilder::new().tags(tags).data(data.to_owned());
    let builder = if let Some(target) = target { builder.target(target) } else { builder };
    builder.sign(&wallet(9)).unwrap().as_bytes().to_vec()
}

impl Real {
    async fn spawn(&self, tags: &[(&str, &str)]) -> Id {
        let own = [("Module", self.identity["module"].as_str().unwrap()), ("Scheduler", self.identity["scheduler"].as_str().unwrap())];
        let tags: Vec<_> = own.iter().chain(tags).copied().collect();
        let answer = post(&self.edge, "/", item(None, "Process", &tags, "")).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        Id::parse(answer.json()["id"].as_str().unwrap()).unwrap()
    }

    async fn eval(&self, process: Id, code: &str) -> (String, Value) {
        let answer = post(&self.edge, "/", item(Some(process), "Message", &[("Action", "Eval")], code)).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let message = answer.json()["id"].as_str().unwrap().to_owned();
        let result = get(&self.edge, &format!("/result/{message}?process-id={process}")).await.json();
        (message, result)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_from_its_spawn_to_its_results() {
    let real = start().await;
    let edge = &real.edge;
    assert_eq!(get(edge, "/healthz").await.json()["status"], "ok", "{}", get(edge, "/healthz").await.text());
    let process = real.spawn(&[("Name", "counter")]).await;
    let boot = get(edge, &format!("/result/{process}?process-id={process}")).await;
    assert!(boot.json().get("Error").is_none() && boot.json()["Messages"].is_array(), "{}", boot.text());

    let (_, result) = real.eval(process, "n = 41; return n + 1").await;
    assert_eq!(result["Output"]["data"], "42", "{result}");
    let (failed, result) = real.eval(process, "error('boom')").await;
    assert!(result["Error"].as_str().unwrap().contains("boom"), "{result}");
    let (last, _) = real.eval(process, "return n").await;

    // Results without the failed one, both ways; a cursor asks for what is newer.
    let outputs =
        |page: &Value| page["edges"].as_array().unwrap().iter().map(|edge| edge["node"]["Output"]["data"].clone()).collect::<Vec<_>>();
    let page = get(edge, &format!("/results/{process}?sort=DESC&limit=2")).await.json();
    assert_eq!(outputs(&page), ["41", "42"]);
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let cursor = page["edges"][1]["cursor"].as_str().unwrap().replace('+', "%2B").replace('=', "%3D");
    assert_eq!(outputs(&get(edge, &format!("/results/{process}?from={cursor}")).await.json()), ["41"]);

    // The log.
    let log = get(edge, &format!("/su/{process}?process-id={process}")).await.json();
    let ids: Vec<_> = log["edges"].as_array().unwrap().iter().map(|edge| edge["node"]["message"]["id"].as_str().unwrap()).collect();
    assert_eq!((ids[0], ids[2], ids[3], ids.len()), (process.to_string().as_str(), failed.as_str(), last.as_str(), 4));
    assert_eq!(get(edge, &format!("/{process}/latest")).await.json()["message"]["id"], last);

    // Found by name, as aos does; the module is found by id, as aoconnect does.
    let owner = wallet(9).address().to_string();
    let query = json!({ "query": format!("query {{ transactions(owners: [\"{owner}\", \"\"], tags: [{{name: \"Data-Protocol\", values: [\"ao\"]}}, \
        {{name: \"Type\", values: [\"Process\"]}}, {{name: \"Name\", values: [\"counter\"]}}], first: 10) {{ edges {{ node {{ id }} }} }} }}") });
    let found = post(edge, "/graphql", query.to_string()).await.json();
    assert_eq!(found["data"]["transactions"]["edges"], json!([{ "node": { "id": process } }]));
    let query = json!({
        "query": "query ($ids: [ID!]!) { transactions(ids: $ids) { edges { node { tags { name value } } } } }",
        "variables": { "ids": [real.identity["module"]] },
    });
    let module = post(edge, "/graphql", query.to_string()).await.text().to_owned();
    assert!(["Module-Format", "Input-Encoding", "Output-Encoding"].iter().all(|name| module.contains(name)), "{module}");

    // Tools that look for blocks find every item in one, also by bounds; the upload tools' question has an answer.
    let in_blocks = async |bounds: &str| {
        let query = format!("{{ transactions(ids: [\"{last}\"] {bounds}) {{ edges {{ node {{ block {{ id height timestamp }} }} }} }} }}");
        post(edge, "/graphql", json!({ "query": query }).to_string()).await.json()["data"]["transactions"]["edges"].clone()
    };
    let block = in_blocks("").await[0]["node"]["block"].clone();
    let height = block["height"].as_u64().unwrap();
    assert_eq!(block["id"], get(edge, &format!("/block/height/{height}")).await.json()["indep_hash"], "{block}");
    assert!(block["timestamp"].as_u64().is_some_and(|seconds| seconds > 1_600_000_000), "{block}");
    assert_eq!(in_blocks(&format!(", block: {{ min: {height}, max: {height} }}")).await[0]["node"]["block"], block);
    assert_eq!(in_blocks(&format!(", block: {{ min: {} }}", height + 1)).await, json!([]));
    assert_eq!(in_blocks(&format!(", block: {{ max: {} }}", height - 1)).await, json!([]));
    let status = get(edge, &format!("/tx/{last}/status")).await.json();
    assert_eq!((&status["block_height"], &status["block_indep_hash"]), (&block["height"], &block["id"]));

    // Dry runs see the state and leave none.
    let body = json!({ "Owner": owner, "Data": "n = 7; return n", "Tags": [{ "name": "Action", "value": "Eval" }] }).to_string();
    let dry = post(edge, &format!("/dry-run?process-id={process}"), body).await.json();
    assert_eq!(dry["Output"]["data"], "7", "{dry}");
    assert_eq!(real.eval(process, "return n + 0").await.1["Output"]["data"], "41");
    let state = get(edge, &format!("/state/{process}")).await;
    assert!(state.body.len() > 64 * 1024 && state.header("last-ordinate") == "4", "{:?}", state.headers);

    // The native side of the same.
    let entry = get(edge, &format!("/v1/messages/{last}")).await.json();
    assert_eq!((entry["state"].as_str(), entry["logs"][0]["slot"].as_u64()), (Some("confirmed"), Some(3)), "{entry}");
    assert_eq!(entry["logs"][0]["compute"]["failed"], false);
    let unknown = get(edge, &format!("/result/{process}?process-id={}", Id([7; 32]))).await;
    assert_eq!((unknown.status.as_u16(), unknown.json()["error"].is_string()), (404, true));
    tokio::task::spawn_blocking(move || real.running.stop(Duration::from_secs(5))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_sends_is_traced_to_where_it_came() {
    let real = start().await;
    let edge = &real.edge;
    let authority = real.identity["authority"].as_str().unwrap().to_owned();
    let pong = real.spawn(&[("Authority", &authority), ("Name", "pong")]).await;
    let ping = real.spawn(&[("Authority", &authority), ("Name", "ping")]).await;
    let mut events = edge.app().backend.events();
    let (message, result) = real.eval(ping, &format!("ao.send({{ Target = '{pong}', Action = 'Ping', Data = 'x' }}) return 1")).await;
    assert_eq!(result["Messages"].as_array().unwrap().len(), 1, "{result}");
    let child = loop {
        match tokio::time::timeout(Duration::from_secs(30), events.recv()).await.unwrap().unwrap() {
            crate::handle::Event::Pushed { process, child, .. } if process == ping => break child,
            _ => {}
        }
    };
    let trace = get(edge, &format!("/v1/messages/{message}/trace")).await.json();
    let entries = trace["entries"].as_array().unwrap();
    assert_eq!(entries[0]["pushed"][0]["id"], child.to_string(), "{trace}");
    assert_eq!(
        (entries[1]["message"].as_str(), entries[1]["process"].as_str()),
        (Some(child.to_string().as_str()), Some(pong.to_string().as_str()))
    );
    assert_eq!(entries[1]["parent"], message);
    let pushed = get(edge, &format!("/{child}?process-id={pong}")).await.json();
    assert_eq!(pushed["message"]["owner"]["address"], authority);
    // Each stage of the way was timed, and nothing waits any more. Evaluations of `pong` may still be under way.
    let metrics = &edge.app().metrics;
    let timed = [Stage::Assign, Stage::Confirm, Stage::Compute, Stage::Push];
    let timed = timed.map(|stage| metrics.message_stage_seconds.of(stage).get_sample_count());
    assert!(timed[0] == 3 && timed[1] >= 3 && timed[2] >= 2 && timed[3] == 1, "{timed:?}");
    assert_eq!((metrics.push_attempts_total.of(Outcome::Ok).get(), metrics.outbox_pending.get()), (1, 0));
    tokio::task::spawn_blocking(move || real.running.stop(Duration::from_secs(5))).await.unwrap();
}
