//! `keys`: make, list and show. Never a secret.

use ao_consensus::scheme::prove_possession;
use ao_types::BlsKey;
use serde_json::{Value, json};

use super::args::{KeyType, Keys as Verb};
use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::pairs;
use crate::datadir;
use crate::keys::{BlsEntry, Entry, Keys, node};
use crate::protection::DurableProtection;

/// `keys`.
pub fn keys(context: &mut Context<'_>, verb: Verb) -> Result<Exit, Failure> {
    let layout = context.layout()?;
    if !layout.exists() {
        return Err(datadir::Error::NotInitialised { root: layout.root().to_owned(), missing: "VERSION" }.into());
    }
    layout.check_permissions()?;
    let keys = Keys::new(layout.clone());
    match verb {
        Verb::New { key_type: KeyType::Wallet, kind, role, .. } => {
            let mut entry = keys.create(kind)?;
            if let Some(role) = role {
                keys.assign(role, &entry.address)?;
                entry.roles = vec![role];
            }
            show(context, wallet_row(&entry))?;
        }
        Verb::New { key_type: KeyType::Bls, password_file, .. } => {
            let password = context.password(password_file.as_deref())?;
            // Taken first: a key that is there and may not sign is worth less than no key.
            let mut protection = DurableProtection::open(&layout.slashing(), None)?;
            let entry = keys.create_bls(password.as_ref())?;
            // It was made this moment, so nothing was ever signed with it.
            protection.initialise(&entry.pubkey)?;
            show(context, bls_row(&entry))?;
        }
        Verb::New { key_type: KeyType::Node, .. } => show(context, node_row(&keys)?)?,
        Verb::Show { address, chain_id, password_file } => {
            let rows = rows(&keys)?;
            let row = rows.into_iter().find(|row| row["address"] == address.as_str());
            let mut row = row.ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("there is no key {address}")).fix("`aonode keys list` shows those that are there")
            })?;
            if let Some(chain_id) = chain_id {
                let key: BlsKey =
                    address.parse().map_err(|_| Failure::usage("--chain-id: only attestors' keys are proved to be possessed"))?;
                let secret = keys.load_bls(&key, context.password(password_file.as_deref())?.as_ref())?;
                row["pop"] = json!(prove_possession(&secret, &chain_id));
            }
            show(context, row)?;
        }
        Verb::List => {
            let columns = [("type", "type"), ("address", "address"), ("kind", "kind"), ("roles", "roles"), ("file", "path")];
            context.printer.list("key/v1", rows(&keys)?, &columns, None)?;
        }
    }
    Ok(Exit::Ok)
}

fn rows(keys: &Keys) -> Result<Vec<Value>, Failure> {
    let mut rows: Vec<Value> = keys.list()?.iter().map(wallet_row).collect();
    rows.extend(keys.list_bls()?.iter().map(bls_row));
    if keys.layout().node_key().exists() {
        rows.push(node_row(keys)?);
    }
    Ok(rows)
}

fn wallet_row(entry: &Entry) -> Value {
    let mut row = json!(entry);
    row["type"] = "wallet".into();
    row
}

fn bls_row(entry: &BlsEntry) -> Value {
    json!({
        "address": entry.pubkey, "kind": "bls12-381", "roles": ["attestor"], "path": entry.path, "type": "bls",
        "unattended": entry.unattended,
    })
}

fn node_row(keys: &Keys) -> Result<Value, Failure> {
    let peer = node::peer_id(&*keys.node_seed()?);
    Ok(json!({ "address": peer, "kind": "ed25519", "roles": ["node"], "path": keys.layout().node_key(), "type": "node" }))
}

fn show(context: &mut Context<'_>, row: Value) -> Result<(), Failure> {
    let text = |field: &str| row[field].as_str().unwrap_or("-").to_owned();
    let roles: Vec<_> = row["roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut rows = vec![
        ("Address", text("address")),
        ("Type", text("type")),
        ("Kind", text("kind")),
        ("Roles", if roles.is_empty() { "-".into() } else { roles.join(", ") }),
        ("File", Context::shown(text("path").as_ref()).display().to_string()),
    ];
    rows.extend(row["pop"].as_str().map(|pop| ("Proof", pop.to_owned())));
    context.printer.record("key/v1", row.clone(), || pairs(&rows))
}
