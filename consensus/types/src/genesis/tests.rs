use super::*;
use crate::id::Id;
use bytes::Bytes;
use serde_json::{Value, json};

fn validator(n: u8) -> Value {
    let peer = PeerId(Bytes::from(vec![n; 38])).to_string();
    json!({
        "pubkey": BlsKey([n; 48]), "pop": BlsSignature([n; 96]), "stake": (1000 + u128::from(n)).to_string(),
        "operator": Id([n; 32]).to_string(), "peer_id": peer, "addr": format!("/ip4/10.0.0.{n}/udp/4001/quic-v1"),
    })
}

fn file() -> Value {
    json!({
        "version": 1, "name": "test-1", "chain_id": "test-1.ao", "time": 1_700_000_000_000u64,
        "consensus": {"plugin": "attest", "params": {"interval_ms": 20, "sliced": false, "mode": "fast"}, "epoch_len": 1000},
        "staking": {}, "limits": {"fuel": 1_000_000_000u64, "memory": 1u64 << 30, "message_max": 262_144},
        "gas_schedule": 1, "validators": [validator(1), validator(2), validator(3), validator(4)],
        "accounts": {Id([9; 32]).to_string(): "5000000000000000000000"},
        "anchor": {"tag": "test-1", "interval_ms": 60_000, "confirmations": 20},
        "bootnodes": ["/ip4/10.0.0.1/udp/4001/quic-v1"],
    })
}

fn parse(file: &Value) -> Result<Genesis, GenesisError> {
    Genesis::parse(file.to_string().as_bytes())
}

fn at<'a>(file: &'a mut Value, path: &str) -> &'a mut Value {
    file.pointer_mut(path).unwrap()
}

/// The id of every network rests on these bytes.
#[test]
fn canonical_bytes_and_network_id() {
    let genesis = parse(&file()).unwrap();
    let canonical = String::from_utf8(genesis.canonical().unwrap()).unwrap();
    insta::assert_snapshot!(format!("{canonical}\n{}", genesis.network_id().unwrap()));
    assert!(!canonical.contains(": ") && !canonical.contains('\n'));
    assert_eq!(Genesis::parse(canonical.as_bytes()).unwrap(), genesis);
}

#[test]
fn layout_does_not_matter_and_everything_else_does() {
    let genesis = parse(&file()).unwrap();
    let pretty = serde_json::to_string_pretty(&genesis).unwrap();
    assert_eq!(Genesis::parse(pretty.as_bytes()).unwrap().network_id(), genesis.network_id());
    let changes: [(&str, Value); 9] = [
        ("/name", json!("test-2")),
        ("/chain_id", json!("test-2.ao")),
        ("/time", json!(1)),
        ("/consensus/plugin", json!("bft")),
        ("/consensus/params/interval_ms", json!(21)),
        ("/limits/fuel", json!(7)),
        ("/validators/2/stake", json!("7")),
        ("/validators/2/pop", json!(BlsSignature([77; 96]))),
        ("/bootnodes", json!([])),
    ];
    for (path, value) in changes {
        let mut other = file();
        *at(&mut other, path) = value;
        assert_ne!(parse(&other).unwrap().network_id(), genesis.network_id(), "{path}");
    }
}

#[test]
fn what_is_wrong_is_said_by_name() {
    let error = |path: &str, value: Value| {
        let mut other = file();
        *at(&mut other, path) = value;
        parse(&other).unwrap_err()
    };
    assert!(matches!(error("/version", json!(2)), GenesisError::Version { expected: 1, found: 2 }));
    for (path, value) in [("/name", json!("Ab")), ("/name", json!("")), ("/chain_id", json!("a b")), ("/consensus/plugin", json!("../x"))] {
        assert!(matches!(error(path, value), GenesisError::Text { .. }), "{path}");
    }
    for path in ["/limits/fuel", "/limits/memory", "/limits/message_max", "/consensus/epoch_len", "/anchor/interval_ms"] {
        assert!(matches!(error(path, json!(0)), GenesisError::Number { found: 0, .. }), "{path}");
    }
    assert!(matches!(error("/limits/message_max", json!(11 << 20)), GenesisError::Number { .. }));
    assert!(matches!(error("/staking", json!({"slash_millionths": 1_000_001})), GenesisError::Number { .. }));
    assert!(matches!(error("/staking", json!({"liveness_max_ms": 1})), GenesisError::Number { .. }));
    assert!(matches!(error("/staking", json!({"unbonding_period_ms": 1000})), GenesisError::Windows { unbonding: 1000, .. }));
    assert!(matches!(error("/validators", json!([])), GenesisError::Committee(CommitteeError::Members { .. })));
    assert!(matches!(error("/validators/1/pubkey", json!(BlsKey([1; 48]))), GenesisError::Committee(CommitteeError::DuplicateKey { .. })));
    assert!(matches!(error("/validators/1/stake", json!("0")), GenesisError::Committee(CommitteeError::NoStake { .. })));
    assert!(matches!(error("/validators/1/operator", json!(Id([1; 32]).to_string())), GenesisError::DuplicateOperator { .. }));
    let peer = file().pointer("/validators/0/peer_id").cloned().unwrap();
    assert!(matches!(error("/validators/1/peer_id", peer), GenesisError::DuplicatePeer { .. }));
    assert!(matches!(error("/accounts", json!({"nobody": "1"})), GenesisError::Account { .. }));
    assert!(matches!(error("/consensus/params/interval_ms", json!(1.5)), GenesisError::Form { .. }));
    assert!(matches!(error("/limits", json!({"fuel": 1, "memory": 1, "message_max": 1, "fule": 2})), GenesisError::Form { .. }));
    let doubled = file().to_string().replacen("\"version\":1", "\"version\":1,\"version\":1", 1);
    assert!(matches!(Genesis::parse(doubled.as_bytes()), Err(GenesisError::Form { .. })));
    assert!(matches!(Genesis::parse(&vec![b' '; GENESIS_BYTES_MAX + 1]), Err(GenesisError::Size { .. })));
}

#[test]
fn the_windows_must_leave_time_to_slash() {
    let with = |unbonding: u64| {
        let mut other = file();
        let windows = json!({"handover_window_ms": 10, "evidence_window_ms": 20, "trust_period_ms": 30, "unbonding_period_ms": unbonding});
        *at(&mut other, "/staking") = windows;
        parse(&other).map(|_| ())
    };
    assert_eq!(with(60), Err(GenesisError::Windows { windows: 60, unbonding: 60 }), "strictly less");
    assert_eq!(with(61), Ok(()));
}

#[test]
fn operators_schedule_and_the_committee_is_that_of_epoch_0() {
    let genesis = parse(&file()).unwrap();
    let committee = genesis.committee().unwrap();
    assert_eq!((committee.epoch(), committee.len(), committee.total()), (Epoch(0), 4, Stake(4010)));
    assert_eq!(committee.members()[0].key, BlsKey([4; 48]), "by stake");
    let mut more = file();
    let peer = PeerId(Bytes::from(vec![8; 38])).to_string();
    more["schedulers"] = json!([{"address": Id([8; 32]).to_string(), "peer_id": peer}]);
    assert_eq!(parse(&more).unwrap().all_schedulers().count(), 5);
}
