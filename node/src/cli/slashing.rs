//! `slashing`: what attestors' keys are bound by, between machines and over time (`operations.md` §5).
//!
//! The protection is locked while a node signs, so every verb here refuses then.

use std::path::Path;

use ao_consensus::protection::{Guard, Protection as _, Watermark, interchange};
use ao_types::{BlsKey, NetworkId};
use serde_json::{Value, json};

use super::args::Slashing;
use super::context::Context;
use super::exit::{Exit, Failure};
use crate::datadir::{self, Layout};
use crate::keys::Keys;
use crate::protection::DurableProtection;

/// `slashing`.
pub fn slashing(context: &mut Context<'_>, verb: &Slashing) -> Result<Exit, Failure> {
    let layout = context.layout()?;
    if !layout.exists() {
        return Err(datadir::Error::NotInitialised { root: layout.root().to_owned(), missing: "VERSION" }.into());
    }
    layout.check_permissions()?;
    let network = layout.pinned_genesis()?.map(|(_, network)| network);
    match verb {
        Slashing::Init { .. } => init(context, &layout, network),
        Slashing::Export { file, key } => export(context, &open(&layout, network)?, bound(network)?, file, key.as_ref()),
        Slashing::Import { file } => import(context, &mut DurableProtection::open(&layout.slashing(), network)?, bound(network)?, file),
        Slashing::Show { key } => show(context, &open(&layout, network)?, key.as_ref()),
        Slashing::Prune { keep_terms } => {
            let gone = open(&layout, network)?.prune(*keep_terms)?;
            let record = json!({ "pruned": gone, "keep_terms": keep_terms });
            context.printer.record("slashing-prune/v1", record, || format!("{gone} rows became watermarks"))?;
            Ok(Exit::Ok)
        }
    }
}

/// A protection that must be there already.
fn open(layout: &Layout, network: Option<NetworkId>) -> Result<DurableProtection, Failure> {
    if !ao_storage::ProtectionStore::exists(&layout.slashing()) {
        return Err(Failure::new(Exit::NotFound, format!("there is no slashing protection in {}", layout.slashing().display()))
            .fix("`aonode keys new --type bls` begins one, `aonode slashing import` brings one here"));
    }
    Ok(DurableProtection::open(&layout.slashing(), network)?)
}

/// Histories are of a network.
fn bound(network: Option<NetworkId>) -> Result<NetworkId, Failure> {
    network.ok_or_else(|| {
        Failure::new(Exit::Precondition, "this data directory is not bound to a network, and histories are of one")
            .fix("bind it with `aonode init --force --genesis FILE`")
    })
}

fn init(context: &mut Context<'_>, layout: &Layout, network: Option<NetworkId>) -> Result<Exit, Failure> {
    let keys = Keys::new(layout.clone()).list_bls()?;
    if keys.is_empty() {
        return Err(Failure::new(Exit::NotFound, "there is no attestor's key here").fix("make one with `aonode keys new --type bls`"));
    }
    let mut protection = DurableProtection::open(&layout.slashing(), network)?;
    let known = protection.keys()?;
    let new: Vec<BlsKey> = keys.iter().map(|entry| entry.pubkey).filter(|key| !known.contains(key)).collect();
    new.iter().try_for_each(|key| protection.initialise(key))?;
    context.printer.record("slashing-init/v1", json!({ "initialised": new }), || match new.len() {
        0 => "every key has a history already; nothing was changed".to_owned(),
        count => format!("{count} keys may sign from now on"),
    })?;
    Ok(Exit::Ok)
}

fn export(
    context: &mut Context<'_>,
    protection: &DurableProtection,
    network: NetworkId,
    file: &Path,
    key: Option<&BlsKey>,
) -> Result<Exit, Failure> {
    if let Some(key) = key {
        protection.require(key)?;
    }
    let text = interchange::export(network, &protection.history(key)?)?;
    if file == Path::new("-") {
        context.printer.line(&text)?;
        return Ok(Exit::Ok);
    }
    datadir::write_atomic(file, format!("{text}\n").as_bytes(), 0o600)?;
    let shown = Context::shown(file);
    context.printer.record("slashing-export/v1", json!({ "path": shown }), || {
        format!("{}\nA key must sign on one machine only: do not start this node with it again.", shown.display())
    })?;
    Ok(Exit::Ok)
}

fn import(context: &mut Context<'_>, protection: &mut DurableProtection, network: NetworkId, file: &Path) -> Result<Exit, Failure> {
    let bytes = datadir::read_at_most(file, ao_consensus::limits::INTERCHANGE_BYTES_MAX as u64)?;
    let history = interchange::import(network, &bytes)?;
    let (rows, watermarks) = (history.0.len(), history.1.len());
    protection.import(history)?;
    context.printer.record("slashing-import/v1", json!({ "rows": rows, "watermarks": watermarks }), || {
        format!("{rows} rows and {watermarks} watermarks; the stricter of these and what was here holds")
    })?;
    Ok(Exit::Ok)
}

fn show(context: &mut Context<'_>, protection: &DurableProtection, key: Option<&BlsKey>) -> Result<Exit, Failure> {
    if let Some(key) = key {
        protection.require(key)?;
    }
    let keys = match key {
        Some(key) => vec![*key],
        None => protection.keys()?,
    };
    let mut rows = Vec::new();
    for key in keys {
        let (guards, watermarks) = protection.rows(&key)?;
        if guards.is_empty() && watermarks.is_empty() {
            rows.push(json!({ "key": key, "what": "nothing signed" }));
        }
        rows.extend(guards.iter().map(guard_row));
        rows.extend(watermarks.iter().map(|Watermark(position)| {
            json!({
                "key": position.key, "what": "watermark", "kind": format!("{:?}", position.kind).to_lowercase(), "scope": position.scope,
                "term": position.term, "height": position.height, "round": position.round,
            })
        }));
    }
    let columns = [
        ("key", "key"),
        ("what", "what"),
        ("kind", "kind"),
        ("scope", "scope"),
        ("term", "term"),
        ("height", "height"),
        ("round", "round"),
        ("root", "root"),
    ];
    context.printer.list("slashing/v1", rows, &columns, None)?;
    Ok(Exit::Ok)
}

fn guard_row(guard: &Guard) -> Value {
    match guard {
        Guard::Chain(row) => json!({
            "key": row.key, "what": if row.sealed { "sealed chain" } else { "chain" }, "kind": "frame", "scope": row.chain.to_string(),
            "term": row.chain.tenure, "height": row.last.map(|(sequence, _)| sequence), "round": 0,
            "root": row.last.map(|(_, frame)| frame.to_string()),
        }),
        Guard::Signed(row) => json!({
            "key": row.position.key, "what": "signed", "kind": format!("{:?}", row.position.kind).to_lowercase(),
            "scope": row.position.scope, "term": row.position.term, "height": row.position.height, "round": row.position.round,
            "root": row.root.map(hex::encode),
        }),
    }
}
