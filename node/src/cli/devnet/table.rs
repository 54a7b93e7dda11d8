//! What the nodes of a devnet are doing, read from their metrics once a second: a table on a terminal, a line elsewhere.
//!
//! Counters are of a node's present life, except frames, which are those it has. Latency is of what was confirmed within the last thirty looks,
//! from assigned to confirmed, estimated from the buckets of a histogram as Prometheus does it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::local::{ANSWER_WITHIN, Local};
use crate::cli::client::Client;
use crate::cli::exit::Failure;
use crate::cli::output;

/// Between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks over which a latency is taken.
const WINDOW: usize = 30;
/// Largest page of metrics that is read.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// One page of metrics.
#[derive(Clone, Debug, Default, PartialEq)]
struct Look {
    peers: usize,
    frames: u64,
    target: u64,
    /// Certificates seen; `None`: this engine makes none of its own.
    certified: Option<u64>,
    confirmed: u64,
    /// Upper bound of each bucket and how many observations are at or below it, from assigned to confirmed.
    latency: Vec<(f64, u64)>,
}

impl Look {
    fn read(page: &str) -> Self {
        let mut look = Self::default();
        let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
        for line in page.lines().filter(|line| line.starts_with("aonode_")) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let count = value.max(0.0) as u64;
            match name {
                "aonode_sync_frames" => look.frames = count,
                "aonode_sync_target_frames" => look.target = count,
                "aonode_certificate_seconds_count" => look.certified = Some(count),
                "aonode_messages_total" if labels.contains("state=\"confirmed\"") => look.confirmed = count,
                "aonode_message_stage_seconds_bucket" if labels.contains("stage=\"confirm\"") => {
                    let bound = labels.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
                    if let Some(bound) = bound.and_then(|text| text.parse::<f64>().ok()) {
                        // Bounds are positive, so their bits are in their order.
                        *buckets.entry(bound.to_bits()).or_default() += count;
                    }
                }
                _ => {}
            }
        }
        look.latency = buckets.into_iter().map(|(bits, count)| (f64::from_bits(bits), count)).collect();
        look
    }
}

/// The value below which the share `q` of what came between two looks is, in seconds; `None`: nothing came.
fn quantile(before: &[(f64, u64)], now: &[(f64, u64)], q: f64) -> Option<f64> {
    let earlier: BTreeMap<u64, u64> = before.iter().map(|(bound, count)| (bound.to_bits(), *count)).collect();
    let counts: Vec<_> =
        now.iter().map(|(bound, count)| (*bound, count.saturating_sub(earlier.get(&bound.to_bits()).copied().unwrap_or(0)))).collect();
    let total = counts.last().map(|(_, count)| *count).filter(|count| *count > 0)?;
    let rank = q * total as f64;
    let (mut low, mut below) = (0.0, 0);
    for (bound, count) in &counts {
        if *count as f64 >= rank {
            // Beyond the last bound nothing more is known.
            let within = (rank - below as f64) / (count - below).max(1) as f64;
            return Some(if bound.is_finite() { low + (bound - low) * within } else { low });
        }
        (low, below) = (*bound, *count);
    }
    Some(low)
}

fn shown(count: Option<u64>) -> String {
    count.map_or_else(|| "-".into(), |count| count.to_string())
}

struct Watched {
    name: String,
    metrics: Client,
    api: Client,
    /// Newest last; empty while it does not answer.
    looks: VecDeque<Look>,
}

/// Watches every node of a devnet.
pub struct Table {
    nodes: Vec<Watched>,
    began: Instant,
}

impl Table {
    /// Of these nodes.
    ///
    /// # Errors
    /// An address is none.
    pub fn new(local: &Local) -> Result<Self, Failure> {
        let watched = |node: &crate::cli::testnet::NodeEntry| {
            let client = |address: &str| Client::new(address, ANSWER_WITHIN.min(LOOK_EVERY));
            Ok(Watched { name: node.name.clone(), metrics: client(&node.metrics)?, api: client(&node.api)?, looks: VecDeque::new() })
        };
        Ok(Self { nodes: local.manifest.nodes.iter().map(watched).collect::<Result<_, Failure>>()?, began: Instant::now() })
    }

    /// Looks at every node, all at once.
    pub async fn look(&mut self) {
        let pages = self.nodes.iter().map(async |node| {
            let page = node.metrics.get_at_most("metrics", PAGE_BYTES_MAX).await?;
            let peers = node.api.get("v1/peers").await?;
            Ok::<_, Failure>(Look { peers: peers["peers"].as_array().map_or(0, Vec::len), ..Look::read(&String::from_utf8_lossy(&page)) })
        });
        let pages = futures::future::join_all(pages).await;
        for (node, page) in self.nodes.iter_mut().zip(pages) {
            match page {
                Ok(look) => {
                    // A node that was started anew counts anew.
                    if node.looks.back().is_some_and(|last| last.confirmed > look.confirmed) {
                        node.looks.clear();
                    }
                    node.looks.push_back(look);
                    if node.looks.len() > WINDOW {
                        node.looks.pop_front();
                    }
                }
                Err(_) => node.looks.clear(),
            }
        }
    }

    fn latency(node: &Watched, q: f64) -> String {
        let (Some(first), Some(last)) = (node.looks.front(), node.looks.back()) else { return "-".into() };
        // The first look of a window is what is compared with; a node's first look at all is compared with nothing.
        let before = if node.looks.len() < WINDOW { &[][..] } else { &first.latency[..] };
        quantile(before, &last.latency, q).map_or_else(|| "-".into(), |seconds| format!("{:.0} ms", seconds * 1e3))
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let headings = ["node", "peers", "frames", "certified", "confirmed", "p50", "p99"];
        let rows = self.nodes.iter().map(|node| {
            let Some(look) = node.looks.back() else {
                return [node.name.as_str(), "away", "", "", "", "", ""].map(str::to_owned).to_vec();
            };
            let frames = if look.frames < look.target { format!("{} of {}", look.frames, look.target) } else { look.frames.to_string() };
            let numbers = [look.peers.to_string(), frames, shown(look.certified), look.confirmed.to_string()];
            [node.name.clone()].into_iter().chain(numbers).chain([Self::latency(node, 0.5), Self::latency(node, 0.99)]).collect()
        });
        output::table(headings.into_iter(), rows, false)
    }

    /// For a log.
    pub fn line(&self) -> String {
        let all = |what: fn(&Look) -> Option<u64>| {
            self.nodes.iter().map(|node| shown(node.looks.back().and_then(what))).collect::<Vec<_>>().join("/")
        };
        let slow = self.nodes.iter().map(|node| Self::latency(node, 0.99)).collect::<Vec<_>>().join("/");
        format!(
            "{:>4} s  peers {}  frames {}  certified {}  confirmed {}  p99 {slow}",
            self.began.elapsed().as_secs(),
            all(|look| Some(look.peers as u64)),
            all(|look| Some(look.frames)),
            all(|look| look.certified),
            all(|look| Some(look.confirmed))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# TYPE aonode_certificate_seconds histogram\naonode_certificate_seconds_count 2\n\
        aonode_sync_frames 7\naonode_sync_target_frames 9\naonode_messages_total{state=\"confirmed\"} 4\naonode_messages_total{state=\"computed\"} 3\n\
        aonode_message_stage_seconds_bucket{stage=\"confirm\",le=\"0.01\"} 1\naonode_message_stage_seconds_bucket{stage=\"confirm\",le=\"0.1\"} 3\n\
        aonode_message_stage_seconds_bucket{stage=\"confirm\",le=\"+Inf\"} 4\naonode_message_stage_seconds_bucket{stage=\"push\",le=\"0.01\"} 9\nother 3\n";

    #[test]
    fn a_page_is_read() {
        let look = Look::read(PAGE);
        assert_eq!((look.frames, look.target, look.certified, look.confirmed), (7, 9, Some(2), 4));
        assert_eq!(look.latency, [(0.01, 1), (0.1, 3), (f64::INFINITY, 4)]);
        assert_eq!(Look::read("aonode_sync_frames many\naonode_sync_frames\n\u{0}"), Look::default());
    }

    #[test]
    fn quantiles_are_those_of_what_came_in_between() {
        let now = [(0.01, 1), (0.1, 3), (f64::INFINITY, 4)];
        // Microseconds are as exact as anybody reads them.
        let us = |before: &[(f64, u64)], now: &[(f64, u64)], q| quantile(before, now, q).map(|seconds| (seconds * 1e6).round() as u64);
        assert_eq!(us(&[], &now, 0.5), Some(55_000));
        assert_eq!(us(&[], &now, 0.99), Some(100_000), "beyond the last bound");
        assert_eq!(us(&now, &now, 0.5), None);
        let later = [(0.01, 1), (0.1, 3), (f64::INFINITY, 3)];
        assert_eq!(us(&[(0.01, 1), (0.1, 1), (f64::INFINITY, 1)], &later, 1.0), Some(100_000));
        assert_eq!(quantile(&[], &[], 0.5), None);
    }

    #[test]
    fn who_does_not_answer_is_away() {
        let node = |name: &str, looks: &[Look]| Watched {
            name: name.into(),
            metrics: Client::new("http://127.0.0.1:1", Duration::from_secs(1)).unwrap(),
            api: Client::new("http://127.0.0.1:1", Duration::from_secs(1)).unwrap(),
            looks: looks.iter().cloned().collect(),
        };
        let table = Table { nodes: vec![node("n1", &[Look { peers: 3, ..Look::read(PAGE) }]), node("n2", &[])], began: Instant::now() };
        let text = table.text();
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
        assert_eq!(rows[1], ["n1", "3", "7 of 9", "2", "4", "55 ms", "100 ms"]);
        assert_eq!(rows[2], ["n2", "away"]);
        assert!(table.line().contains("peers 3/-  frames 7/-"), "{}", table.line());
    }
}
