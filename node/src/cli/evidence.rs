//! `evidence`: which faults were shown to a node, what a piece says, and whether it convicts. Checking is offline: the bytes and the genesis
//! are enough, and a node that handed the bytes over is not believed.

use std::path::Path;

use ao_consensus::Evidence;
use ao_consensus::evidence::Offender;
use ao_consensus::limits::EVIDENCE_BYTES_MAX;
use ao_types::Canonical as _;
use serde_json::{Value, json};

use super::args::EvidenceVerb;
use super::context::Context;
use super::exit::{Exit, Failure};
use super::online::encoded;
use super::output::pairs;
use super::verify::proof::rosters;
use crate::datadir;

/// `evidence`.
pub async fn evidence(context: &mut Context<'_>, verb: &EvidenceVerb) -> Result<Exit, Failure> {
    match verb {
        EvidenceVerb::List { limit, cursor } => {
            let cursor = cursor.as_ref().map(|cursor| format!("&cursor={}", encoded(cursor))).unwrap_or_default();
            let page = context.client()?.get(&format!("v1/evidence?limit={limit}{cursor}")).await?;
            let mut rows = page["items"].as_array().cloned().unwrap_or_default();
            for row in &mut rows {
                let accused = row["accused"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
                row["who"] = accused.into();
            }
            let columns = [("evidence", "id"), ("kind", "kind"), ("role", "role"), ("accused", "who")];
            context.printer.list("evidence/v1", rows, &columns, page["next_cursor"].as_str())?;
        }
        EvidenceVerb::Show { evidence, out } => {
            let (bytes, evidence) = read(context, evidence).await?;
            let mut record = head(&evidence);
            if let Some(out) = out {
                datadir::write_atomic(out, &bytes, 0o644)?;
                record["path"] = json!(Context::shown(out));
            }
            // What its parts say, in the words of the code: for people who look into a fault, with no promise of form.
            record["detail"] = format!("{evidence:#?}").into();
            context.printer.record("evidence/v1", record.clone(), || format!("{}\n{evidence:#?}", lines(&record)))?;
        }
        EvidenceVerb::Verify { evidence: subject, genesis } => {
            let (_, evidence) = read(context, subject).await?;
            let (genesis, network) = match genesis {
                Some(file) => super::genesis::read(file)?,
                None => context.layout()?.pinned_genesis()?.ok_or_else(|| {
                    Failure::new(Exit::NotFound, "this data directory is not bound to a network")
                        .fix("name its genesis with --genesis FILE")
                })?,
            };
            let mut record = head(&evidence);
            let offender = evidence
                .verify(&rosters(&genesis, network)?)
                .map_err(|error| Failure::new(Exit::Verification, format!("{subject} convicts nobody: {error}")))?;
            let (what, who) = match &offender {
                Offender::Scheduler(address, _) => ("scheduler", vec![address.to_string()]),
                Offender::Attestors(keys) => ("attestor", keys.iter().map(ToString::to_string).collect()),
            };
            record["role"] = what.into();
            record["convicts"] = json!(who);
            context
                .printer
                .record("evidence-verify/v1", record.clone(), || format!("{}Convicts   {what} {}", lines(&record), who.join(", ")))?;
        }
    }
    Ok(Exit::Ok)
}

/// A piece by file, or by id from the node.
async fn read(context: &mut Context<'_>, subject: &str) -> Result<(Vec<u8>, Evidence), Failure> {
    let id = || hex::decode(subject).ok().filter(|id| id.len() == 32);
    let path = Path::new(subject);
    let (bytes, wanted) = match id() {
        Some(id) if !path.exists() => {
            let path = format!("v1/evidence/{}", hex::encode(&id));
            (context.client()?.get_at_most(&path, EVIDENCE_BYTES_MAX).await?, Some(id))
        }
        _ => (datadir::read_at_most(path, EVIDENCE_BYTES_MAX as u64)?, None),
    };
    let wrong = |what: String| Failure::new(Exit::Verification, format!("{subject} is not evidence: {what}"));
    let evidence = Evidence::decode(&bytes).map_err(|error| wrong(error.to_string()))?;
    match wanted {
        Some(id) if evidence.id()[..] != id[..] => Err(wrong(format!("the node sent {} instead", hex::encode(evidence.id())))),
        _ => Ok((bytes, evidence)),
    }
}

fn head(evidence: &Evidence) -> Value {
    json!({ "id": hex::encode(evidence.id()), "kind": evidence.kind() })
}

fn lines(record: &Value) -> String {
    let text = |field: &str| record[field].as_str().unwrap_or("-").to_owned();
    pairs(&[("Evidence", text("id")), ("Kind", text("kind"))])
}
