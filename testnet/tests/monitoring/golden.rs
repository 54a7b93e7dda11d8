//! The golden list (`monitoring/metrics.md`), and what a node exports, read into the same shape.

use std::collections::{BTreeMap, BTreeSet};

use ao_testnet::prometheus::monitoring;

/// Where a metric can be seen; the words are explained at the head of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Node,
    Network,
    Anchor,
    Planned,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    pub kind: String,
    pub labels: BTreeSet<String>,
    pub seen: Seen,
}

/// The list, by name.
pub fn golden() -> BTreeMap<String, Metric> {
    let text = std::fs::read_to_string(monitoring().join("metrics.md")).unwrap();
    let mut list = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, seen] = cells[..] else { panic!("a row has four cells: {line}") };
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        let seen = match seen {
            "node" => Seen::Node,
            "network" => Seen::Network,
            "anchor" => Seen::Anchor,
            "planned" => Seen::Planned,
            _ => panic!("{line}"),
        };
        let labels = labels.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()).collect();
        let row = Metric { kind: kind.to_owned(), labels, seen };
        assert!(list.insert(name.to_owned(), row).is_none(), "{name} is in the list twice");
    }
    list
}

/// Type and labels of everything on a `/metrics`, without the libraries' own.
pub fn exported(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut found: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for line in ours(text).lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            assert!(found.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new())).is_none(), "{name} is exported twice");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let metric =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).filter(|base| found.contains_key(*base));
            let (_, labels) = found.get_mut(metric.unwrap_or(name)).unwrap_or_else(|| panic!("no type before {line}"));
            let of_line = super::promql::uses(line.rsplit_once(' ').unwrap().0).remove(0).labels;
            labels.extend(of_line.into_iter().filter(|label| label != "le"));
        }
    }
    found
}

/// The lines of `/metrics` that are promised: all but those of libp2p.
pub fn ours(text: &str) -> String {
    let foreign = |line: &str| {
        let name = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line);
        name.starts_with("libp2p_")
    };
    text.lines().filter(|line| !line.is_empty() && !foreign(line)).fold(String::new(), |text, line| text + line + "\n")
}
