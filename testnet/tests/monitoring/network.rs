//! Four nodes of one network under one Prometheus: what each exports, the throughput of all, the latency to a certificate.

use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::network::{Network, Plan, agree};
use ao_testnet::prometheus::{Prometheus, program};
use ao_testnet::say;

use crate::golden::Seen;
use crate::{SEEN_WITHIN, exports};

const NODES: usize = 4;
const MESSAGES: u64 = 8;

fn metrics(network: &Network) -> Vec<String> {
    (0..network.len()).map(|at| network.node(at).unwrap().metrics().unwrap().to_owned()).collect()
}

/// Debian's Prometheus against four nodes: confirmed throughput and certificate latency are queried from it.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_watches_a_network() {
    let mut network = Plan::new("attest", NODES).start().await.unwrap();
    let clients = network.clients().unwrap();
    let owner = Person::named("owner");
    let process = clients[0].spawn(&owner, None, &[], " ").await.unwrap();
    agree::settled(&clients, process, 0, SEEN_WITHIN).await.unwrap();
    // a refusal is in the list too
    let mut forged = owner.message(process, &[], "forged");
    let mut bytes = forged.bytes.to_vec();
    bytes[10] ^= 1;
    forged.bytes = bytes.into();
    for client in &clients {
        client.post("/", &forged).await.unwrap().refusal().unwrap();
    }
    let targets = metrics(&network);
    for target in &targets {
        exports(&Client::new(target).unwrap().text("/metrics").await.unwrap(), &[Seen::Node, Seen::Network]);
    }

    let Some(server) = program("prometheus") else {
        say("skipped: prometheus is not installed, and .ci/prometheus did not get it from Debian");
        return network.stop_all().await.unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let prometheus = Prometheus::start(&server, folder.path(), &targets).await.unwrap();
    prometheus.wait_for(&format!("count(up{{job=\"aonode\"}} == 1) == {NODES}"), SEEN_WITHIN).await.unwrap();
    let confirmed = "aonode_messages_total{job=\"aonode\", state=\"confirmed\"}";
    prometheus.wait_for(&format!("count({confirmed} == 1) == {NODES}"), SEEN_WITHIN).await.unwrap();

    // through each node in turn, while somebody watches
    for number in 0..MESSAGES {
        clients[number as usize % NODES].eval(&owner, process, &format!("return {number}")).await.unwrap();
    }
    agree::settled(&clients, process, MESSAGES, SEEN_WITHIN).await.unwrap();
    prometheus.wait_for(&format!("count({confirmed} == {}) == {NODES}", MESSAGES + 1), SEEN_WITHIN).await.unwrap();
    let throughput = prometheus.wait_for(&format!("sum by (instance) (rate({confirmed}[5m])) > 0"), SEEN_WITHIN).await.unwrap();
    assert_eq!(throughput.len(), NODES, "{throughput:?}");
    let confirm = "histogram_quantile(0.5, sum by (le) (rate(aonode_message_stage_seconds_bucket{stage=\"confirm\"}[5m]))) > 0";
    let confirm = prometheus.wait_for(confirm, SEEN_WITHIN).await.unwrap();
    // Each scheduler knows how long its own frames took.
    let certificate = "histogram_quantile(0.5, sum by (le) (rate(aonode_certificate_seconds_bucket[5m]))) > 0";
    let certificate = prometheus.wait_for(certificate, SEEN_WITHIN).await.unwrap();
    say(format_args!(
        "prometheus: {:.3} confirmed/s at each of {NODES} nodes, half of them certified within {:.3} s and confirmed {:.3} s after they were assigned",
        throughput[0].value, certificate[0].value, confirm[0].value
    ));
    prometheus.stop().await.unwrap();
    network.stop_all().await.unwrap();
}
