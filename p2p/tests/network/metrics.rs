//! What operators see: everything that is counted, in the older text format, under names that their tools take.

use std::collections::{BTreeMap, BTreeSet};

use ao_p2p::Topic;

use crate::common::{config, pair};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_libp2p_and_of_us() {
    let (mut first, second) = pair(config(1), config(2)).await;
    second.publish(Topic::Votes, "a vote");
    first.gossip().await;
    let deadline = tokio::time::Instant::now() + crate::common::DEADLINE;
    loop {
        let text = first.network.metrics_text();
        let counted = [
            "aonode_gossip_messages_total{topic=\"votes\",result=\"accept\"} 1",
            "aonode_p2p_peers{direction=\"in\",transport=\"quic\"} 1",
            "libp2p_swarm_connections_established_total",
            "libp2p_bandwidth_bytes_total",
            "libp2p_mesh_",
        ];
        if counted.iter().all(|line| text.contains(line)) {
            assert!(!text.contains("# EOF"));
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{text}");
        // gauges move with the next round of upkeep
        first.network.peers().await.unwrap();
        tokio::task::yield_now().await;
    }
}

/// Parts of names that `promtool check metrics` refuses: units that are not base units, abbreviations of units, kinds of metrics.
const REFUSED: [&str; 26] = [
    "s",
    "ms",
    "us",
    "ns",
    "sec",
    "b",
    "kb",
    "mb",
    "gb",
    "tb",
    "pb",
    "m",
    "h",
    "d",
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "minutes",
    "hours",
    "days",
    "kibibytes",
    "mebibytes",
    "bits",
    "counter",
    "gauge",
    "histogram",
];

/// The rules of `promtool check metrics`, and that nothing is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_what_promtool_takes() {
    let (mut first, second) = pair(config(1), config(2)).await;
    second.publish(Topic::Votes, "a vote");
    first.gossip().await;
    let text = first.network.metrics_text();
    let (mut helped, mut kinds, mut series) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            assert!(!help.is_empty() && helped.insert(name), "{line}");
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            assert!(kinds.insert(name, kind).is_none(), "{name} twice");
            let suffixes = ["_total", "_sum", "_count", "_bucket"];
            let suffixed = suffixes.iter().any(|suffix| name.ends_with(suffix));
            let refused = name.split('_').any(|part| REFUSED.contains(&part)) || name.chars().any(|c| c.is_ascii_uppercase());
            if refused || suffixed != (kind == "counter") || !helped.contains(name) || kind == "info" {
                wrong.push(line);
            }
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line} has no value"));
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(key), "{key} twice");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(kinds.len() > 40 && series.len() > 100, "{} kinds, {} series", kinds.len(), series.len());
    assert!(text.len() < 128 << 10, "{} bytes", text.len());
}
