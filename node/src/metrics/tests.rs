use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use super::labels::{AnchorOutcome, Asking, Check, Chunk, Fault, Found, HttpRejection, Label, Signing, Stage, State, Vote, Waiting};
use super::{Build, Metrics};
use crate::error::Code;

fn busy() -> Metrics {
    let metrics = Metrics::new(&Build::new("solo", "dev")).unwrap();
    metrics.messages_total.of(State::Assigned).inc_by(3);
    metrics.message_stage_seconds.of(Stage::Compute).observe(0.004);
    metrics.http("/result/{message}", "GET", 404, 0.000_2);
    metrics.http("weird \"route\"\n\\", "GET", 200, 0.1);
    metrics.gateway("http://127.0.0.1:1984", Asking::Lied, 0.3);
    metrics.error(Code::Duplicate);
    metrics.db_bytes("items", u64::MAX);
    metrics.health_check_ok.of(Check::Disk).set(1);
    metrics.ask("aonode_test_asked", "Asked.", || 2.5).unwrap();
    metrics
}

/// A strict reader of the text format: every sample belongs to a family announced by exactly one HELP and one TYPE line before it.
fn families(text: &str) -> BTreeMap<String, (String, usize)> {
    let mut families: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("help text");
            assert!(helped.insert(name.to_owned()), "{name} is described twice");
            assert!(help.ends_with('.'), "the help of {name} is not a sentence: {help}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("type");
            assert!(families.insert(name.to_owned(), (kind.to_owned(), 0)).is_none(), "{name} appears twice");
        } else {
            let end = line.find(['{', ' ']).expect("a sample has a value");
            let name = &line[..end];
            let family = ["", "_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .find(|base| families.contains_key(*base))
                .unwrap_or_else(|| panic!("{name} has no family"));
            let value = line.rsplit_once(' ').unwrap().1;
            assert!(value.parse::<f64>().is_ok(), "{line}");
            families.get_mut(family).unwrap().1 += 1;
        }
    }
    families
}

#[test]
fn the_text_is_well_formed_and_names_follow_the_rules() {
    let text = busy().render();
    for (name, (kind, samples)) in families(&text) {
        assert!(name.starts_with("aonode_") || name.starts_with("process_"), "{name}");
        assert!(samples > 0, "{name} has no sample");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        if kind == "histogram" {
            let units = ["_seconds", "_ratio", "_size"];
            assert!(units.iter().any(|unit| name.ends_with(unit)), "{name}: base units");
        }
    }
    assert!(text.contains("aonode_messages_total{state=\"assigned\"} 3\n"), "{text}");
    assert!(text.contains("aonode_http_requests_total{code=\"404\",method=\"GET\",route=\"/result/{message}\"} 1\n"), "{text}");
    assert!(text.contains("aonode_errors_total{code=\"AON-1004\"} 1\n"), "{text}");
    assert!(text.contains("aonode_test_asked 2.5\n"), "{text}");
    assert!(text.contains("plugin=\"solo\""), "{text}");
}

/// Names are a contract with dashboards and alerts: this list changes on purpose only.
#[test]
fn golden_names() {
    let expected = "aonode_anchor_posts_total aonode_backfill_slots aonode_bls_aggregate_size aonode_bls_verify_seconds aonode_build_info aonode_certificate_seconds \
         aonode_certificate_weight_ratio aonode_checkpoints_refuted_total aonode_compute_failures_total aonode_compute_fuel_total aonode_compute_seconds \
         aonode_consensus_height aonode_consensus_round aonode_consensus_view_changes_total aonode_db_bytes aonode_disk_free_bytes \
         aonode_doppelganger_wait_seconds aonode_equivocations_total aonode_errors_total aonode_event_loop_lag_seconds aonode_evidence_items aonode_gateway_requests_total \
         aonode_gateway_seconds aonode_health_check_ok \
         aonode_http_rejected_total aonode_http_request_seconds aonode_http_requests_total aonode_message_stage_seconds \
         aonode_messages_total aonode_module_cache_requests_total aonode_oldest_pending_seconds aonode_outbox_pending \
         aonode_push_attempts_total aonode_ready aonode_replay_behind_slots aonode_signing_refusals_total aonode_snapshot_chunks_total aonode_stake_units \
         aonode_state_divergence_total aonode_test_asked aonode_votes_total aonode_wal_fsync_seconds aonode_wal_truncations_total \
         aonode_wasm_instances";
    let text = busy().render();
    let found: Vec<_> = families(&text).into_keys().filter(|name| name.starts_with("aonode_")).collect();
    assert_eq!(found.join(" "), expected.split_whitespace().collect::<Vec<_>>().join(" "));
}

#[test]
fn every_value_of_a_label_is_distinct_and_indexed() {
    fn check<L: Label + std::fmt::Debug>() {
        let texts: BTreeSet<_> = L::ALL.iter().map(|value| value.text()).collect();
        assert_eq!(texts.len(), L::ALL.len());
        for (at, value) in L::ALL.iter().enumerate() {
            assert_eq!(value.index(), at, "{value:?}");
        }
    }
    check::<State>();
    check::<Stage>();
    check::<Waiting>();
    check::<Found>();
    check::<HttpRejection>();
    check::<Fault>();
    check::<Vote>();
    check::<Signing>();
    check::<AnchorOutcome>();
    check::<Asking>();
    check::<Chunk>();
}

/// Debian's `prometheus` package brings `promtool`; where it is installed, it has the last word.
#[test]
fn promtool_agrees() {
    let Ok(mut child) =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    else {
        return;
    };
    child.stdin.take().unwrap().write_all(busy().render().as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}
