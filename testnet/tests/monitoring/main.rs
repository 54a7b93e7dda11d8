//! What ships in `monitoring/` is right: names, alerts, dashboard and scrape configuration, checked against a real node and by
//! Prometheus itself.
//!
//! `promtool` and `prometheus` come from Debian (`.ci/prometheus`). Where they could not be had, what needs them says so and is skipped;
//! names, labels and the completeness of the alerts' stories are checked all the same.

mod golden;
mod network;
mod promql;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::node::{Node, Setup};
use ao_testnet::prometheus::{Prometheus, monitoring, program, promtool};
use ao_testnet::{say, wait};
use golden::{Metric, Seen, exported, golden, ours};
use serde_json::Value;

/// The alerts that the operations page promises.
const ALERTS: [&str; 14] = [
    "AnchorLag",
    "AnyEquivocation",
    "CertStale",
    "ClockSkew",
    "DiskFullIn24h",
    "EclipseSuspected",
    "FsyncSlow",
    "MissedDuties",
    "NoQuorum",
    "NotReady",
    "OutboxStuck",
    "PeersLow",
    "SigningRefusal",
    "StateDivergence",
];
/// Rows of the dashboard.
const ROWS: [&str; 5] = ["Overview", "Messages", "Consensus", "Peer to peer", "Compute and storage"];
/// What Prometheus itself puts on every series.
const OF_PROMETHEUS: [&str; 2] = ["instance", "job"];
/// Prometheus looks twice a second; on a machine that is busy building, much less often.
const SEEN_WITHIN: Duration = Duration::from_secs(90);

fn read(name: &str) -> String {
    std::fs::read_to_string(monitoring().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs `promtool`, or says that it is not there.
fn tool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let Some(output) = promtool(arguments, input).unwrap() else {
        say(format_args!("skipped: promtool {arguments:?}: it is not installed, and .ci/prometheus did not get it from Debian"));
        return None;
    };
    let text = [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned()).concat();
    Some((output.status.success(), text))
}

/// A node that has done a little of everything.
struct World {
    node: Node,
    client: Client,
    owner: Person,
    process: ao_types::Id,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Setup::new(folder.path().join("data")).start().await.unwrap();
        let client = Client::new(node.base()).unwrap();
        let owner = Person::named("owner");
        let process = client.spawn(&owner, None, &[], " ").await.unwrap();
        client.eval(&owner, process, "return 1").await.unwrap();
        let mut forged = owner.message(process, &[], "forged");
        let mut bytes = forged.bytes.to_vec();
        bytes[10] ^= 1;
        forged.bytes = bytes.into();
        client.post("/", &forged).await.unwrap().refusal().unwrap();
        Self { node, client, owner, process, _folder: folder }
    }

    async fn metrics(&self) -> String {
        Client::new(self.node.metrics().unwrap()).unwrap().text("/metrics").await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_exports_what_the_list_says() {
    let world = World::new().await;
    exports(&world.metrics().await, &[Seen::Node]);
    let _ = world.node.stop().await.unwrap();
}

/// What is on the page of a node only once something was wrong; with it, its row in the list must hold.
const ONCE_WRONG: [&str; 3] = ["aonode_p2p_bans_total", "aonode_p2p_offences_total", "aonode_p2p_shed_total"];

/// Fails unless a page of metrics has what the list promises of nodes like its own, all of it as the list says, and `promtool` is content.
fn exports(text: &str, promised: &[Seen]) {
    let (list, found) = (golden(), exported(text));
    let mut wrong = Vec::new();
    for (name, (kind, labels)) in &found {
        match list.get(name) {
            None => wrong.push(format!("{name} ({kind}, {labels:?}) is not in the list")),
            Some(row) if row.seen == Seen::Planned => wrong.push(format!("{name} is exported now: its row says planned")),
            Some(row) if row.kind != *kind => wrong.push(format!("{name} is a {kind}, its row says {}", row.kind)),
            // a family without samples yet has no labels either
            Some(row) if !labels.is_empty() && row.labels != *labels => {
                wrong.push(format!("{name} has {labels:?}, its row {:?}", row.labels))
            }
            Some(_) => {}
        }
    }
    let missing = list
        .iter()
        .filter(|(name, row)| promised.contains(&row.seen) && !found.contains_key(*name) && !ONCE_WRONG.contains(&name.as_str()));
    wrong.extend(missing.map(|(name, _)| format!("{name} is not exported")));
    assert!(wrong.is_empty(), "monitoring/metrics.md and the node differ:\n{}\n\n{text}", wrong.join("\n"));
    if let Some((success, said)) = tool(&["check", "metrics"], &ours(text)) {
        assert!(success && said.trim().is_empty(), "promtool check metrics: {said}");
    }
}

#[test]
fn the_shipped_files_pass_promtool() {
    for arguments in [&["check", "rules", "alerts.yml"][..], &["check", "config", "prometheus.yml"], &["test", "rules", "alerts.test.yml"]]
    {
        if let Some((success, said)) = tool(arguments, "") {
            assert!(success, "promtool {arguments:?}: {said}");
        }
    }
}

/// `promtool test rules` is content with a file that tests nothing.
#[test]
fn each_alert_is_tested_firing_and_not_firing() {
    let rules = read("alerts.yml");
    let alerts: BTreeSet<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(alerts, BTreeSet::from(ALERTS));
    let stories = read("alerts.test.yml");
    let mut lines = stories.lines().map(str::trim);
    let mut told: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
    while let Some(line) = lines.next() {
        let Some(alert) = line.strip_prefix("alertname: ") else { continue };
        let fires = match lines.next() {
            Some("exp_alerts: []") => false,
            Some("exp_alerts:") => true,
            other => panic!("{alert} is followed by {other:?}"),
        };
        told.entry(alert).or_default().insert(fires);
    }
    assert_eq!(told, ALERTS.map(|alert| (alert, BTreeSet::from([false, true]))).into(), "each alert: does not fire, fires");
}

/// Also in texts: an operator is told to look at metrics that exist.
#[test]
fn every_name_in_alerts_and_stories_is_in_the_list() {
    let list = golden();
    for file in ["alerts.yml", "alerts.test.yml"] {
        let text = read(file);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| word.starts_with("aonode_"));
        let names: BTreeSet<_> = words.collect();
        assert!(names.len() >= ALERTS.len() - 2, "{file}: {names:?}");
        for name in names {
            assert!(row(&list, name).is_some(), "{file}: {name} is not in the list");
        }
    }
}

/// The row of a series: its own, or that of the histogram it is a part of.
fn row<'a>(list: &'a BTreeMap<String, Metric>, name: &str) -> Option<&'a Metric> {
    let part = || ["_bucket", "_sum", "_count"].iter().find_map(|end| list.get(name.strip_suffix(end)?));
    list.get(name).filter(|row| row.kind != "histogram").or_else(|| part().filter(|row| row.kind == "histogram"))
}

/// Fails unless metrics and labels of an expression exist, and `shown` labels with them; gives whether every node has all it needs.
fn check_expression(list: &BTreeMap<String, Metric>, expression: &str, shown: &BTreeSet<String>) -> bool {
    let uses = promql::uses(expression);
    assert!(!uses.is_empty(), "no metric in {expression}");
    let mut everywhere = true;
    let mut known: BTreeSet<String> = OF_PROMETHEUS.map(str::to_owned).into();
    for found in &uses {
        let mut own: BTreeSet<String> = OF_PROMETHEUS.map(str::to_owned).into();
        // `up` and `ALERTS` are Prometheus's own
        match found.name.as_str() {
            "up" => {}
            "ALERTS" => own.extend(["alertname", "alertstate"].map(str::to_owned)),
            name => {
                let row = row(list, name).unwrap_or_else(|| panic!("{name} is not in the list: {expression}"));
                own.extend(row.labels.iter().cloned());
                own.extend(name.ends_with("_bucket").then(|| "le".to_owned()));
                everywhere &= row.seen == Seen::Node;
            }
        }
        assert!(found.labels.is_subset(&own), "{} has no such label: {expression}", found.name);
        known.extend(own);
    }
    let grouping = promql::grouped_by(expression);
    assert!(grouping.is_subset(&known), "grouped by what is not there: {expression}");
    assert!(shown.is_subset(&known), "shows {shown:?}: {expression}");
    everywhere
}

/// Names in `{{name}}`, or behind `$labels.`.
fn shown(text: &str) -> BTreeSet<String> {
    let inside = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(inside, _)| inside.trim());
    let label = |inside: &str| match inside.strip_prefix('$') {
        None => Some(inside.to_owned()),
        Some(variable) => variable.strip_prefix("labels.").map(|label| label.split(' ').next().unwrap_or(label).to_owned()),
    };
    inside.filter_map(label).collect()
}

/// Expressions of the dashboard as Grafana would send them, with the legend.
fn panels() -> Vec<(String, String, String)> {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("a text: {value}")).to_owned();
    let (rows, panels): (Vec<_>, Vec<_>) = panels.iter().partition(|panel| panel["type"] == "row");
    let rows: Vec<_> = rows.iter().map(|row| text(&row["title"])).collect();
    assert_eq!(rows, ROWS);
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "panels share an id");
    let titles: BTreeSet<_> = panels.iter().map(|panel| text(&panel["title"])).collect();
    assert_eq!(titles.len(), panels.len(), "panels share a title");
    let mut all = Vec::new();
    for panel in panels {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            let filled = text(&target["expr"]).replace("$instance", ".*").replace("$__rate_interval", "1m");
            assert!(!filled.contains('$'), "a variable nobody fills: {filled}");
            all.push((text(&panel["title"]), filled, text(&target["legendFormat"])));
        }
    }
    all
}

#[test]
fn the_dashboard_uses_what_is_in_the_list() {
    let list = golden();
    let panels = panels();
    let mut used = BTreeSet::new();
    for (_, expression, legend) in &panels {
        check_expression(&list, expression, &shown(legend));
        used.extend(promql::uses(expression).into_iter().map(|found| found.name));
    }
    // what every node exports about messages, evaluation and disk is on it
    for (name, _) in list.iter().filter(|(name, row)| row.seen == Seen::Node && name.starts_with("aonode_")) {
        assert!(used.iter().any(|used| used == name || used.strip_suffix("_bucket") == Some(name)), "no panel shows {name}");
    }
}

/// Debian's Prometheus with the shipped configuration against one node: it finds the node, every panel gets an answer, and the alerts
/// load, are evaluated and are quiet.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_watches_a_node() {
    let Some(server) = program("prometheus") else {
        say("skipped: prometheus is not installed, and .ci/prometheus did not get it from Debian");
        return;
    };
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(&server, folder.path(), &[world.node.metrics().unwrap()]).await.unwrap();
    prometheus.wait_for("up{job=\"aonode\"} == 1", SEEN_WITHIN).await.unwrap();
    let confirmed = "aonode_messages_total{job=\"aonode\", state=\"confirmed\"}";
    let before = prometheus.wait_for(confirmed, SEEN_WITHIN).await.unwrap();
    assert_eq!(before.len(), 1, "{before:?}");
    assert_eq!(before[0].value, 2.0, "a process and a message: {before:?}");

    // what happens while somebody watches is a rate above nothing, and a latency
    world.client.eval(&world.owner, world.process, "return 2").await.unwrap();
    prometheus.wait_for(&format!("{confirmed} == 3"), SEEN_WITHIN).await.unwrap();
    let throughput = prometheus.wait_for(&format!("sum(rate({confirmed}[5m])) > 0"), SEEN_WITHIN).await.unwrap();
    let latency = "histogram_quantile(0.5, sum by (le) (rate(aonode_message_stage_seconds_bucket{stage=\"confirm\"}[5m]))) >= 0";
    let latency = prometheus.wait_for(latency, SEEN_WITHIN).await.unwrap();
    say(format_args!("prometheus: {:.3} confirmed/s, half of them within {:.4} s", throughput[0].value, latency[0].value));

    let list = golden();
    for (panel, expression, legend) in panels() {
        let everywhere = check_expression(&list, &expression, &shown(&legend));
        // a comparison with 0 shows what is wrong, and here nothing is
        if everywhere && !expression.contains(" == 0") {
            prometheus.wait_for(&expression, SEEN_WITHIN).await.unwrap_or_else(|error| panic!("{panel}: {error:#}"));
        } else {
            prometheus.query(&expression).await.unwrap_or_else(|error| panic!("{panel}: {error:#}"));
        }
    }

    let evaluated = || async {
        let rules = prometheus.rules().await?;
        Ok(rules.iter().all(|rule| rule.health == "ok").then_some(rules))
    };
    let rules = wait::until("every alert is evaluated", SEEN_WITHIN, evaluated).await.unwrap();
    let names: BTreeSet<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(ALERTS));
    for rule in &rules {
        assert_ne!(rule.state, "firing", "on a node that is well: {rule:?}");
        assert!(["page", "ticket"].contains(&rule.labels["severity"].as_str()), "{rule:?}");
        let texts = ["summary", "action"].map(|name| rule.annotations.get(name).unwrap_or_else(|| panic!("no {name}: {rule:?}")).as_str());
        assert!(texts.iter().all(|text| text.len() > 20), "{rule:?}");
        check_expression(&list, &rule.query, &shown(&texts.concat()));
        // label values too: each series an alert looks at is there
        for found in promql::uses(&rule.query) {
            if row(&list, &found.name).is_some_and(|row| row.seen == Seen::Node) {
                let there = prometheus.query(&found.selector).await.unwrap();
                assert!(!there.is_empty(), "{}: no series {}", rule.name, found.selector);
            }
        }
    }
    prometheus.stop().await.unwrap();
    let _ = world.node.stop().await.unwrap();
}
