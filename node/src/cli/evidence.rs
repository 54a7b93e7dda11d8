//! `evidence`: what a piece of evidence says, and whether it convicts. Offline: a file and the genesis are enough.

use std::path::Path;
use std::sync::Arc;

use ao_consensus::Evidence;
use ao_consensus::bls::Bls;
use ao_consensus::evidence::Offender;
use ao_consensus::limits::EVIDENCE_BYTES_MAX;
use ao_consensus::roster::Rosters;
use ao_types::{Canonical as _, Genesis, NetworkId};
use serde_json::{Value, json};

use super::args::EvidenceVerb;
use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::pairs;
use crate::datadir;

/// `evidence`.
pub fn evidence(context: &mut Context<'_>, verb: &EvidenceVerb) -> Result<Exit, Failure> {
    match verb {
        EvidenceVerb::Show { file } => {
            let evidence = read(file)?;
            let mut record = head(&evidence);
            // What its parts say, in the words of the code: for people who look into a fault, with no promise of form.
            record["detail"] = format!("{evidence:#?}").into();
            context.printer.record("evidence/v1", record.clone(), || format!("{}\n{evidence:#?}", lines(&record)))?;
        }
        EvidenceVerb::Verify { file, genesis } => {
            let evidence = read(file)?;
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
                .map_err(|error| Failure::new(Exit::Verification, format!("{} convicts nobody: {error}", file.display())))?;
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

fn read(file: &Path) -> Result<Evidence, Failure> {
    let bytes = datadir::read_at_most(file, EVIDENCE_BYTES_MAX as u64)?;
    Evidence::decode(&bytes).map_err(|error| Failure::new(Exit::Verification, format!("{} is not evidence: {error}", file.display())))
}

/// The committees that a genesis tells of.
fn rosters(genesis: &Genesis, network: NetworkId) -> Result<Rosters, Failure> {
    let mut secret = [0; 32];
    datadir::entropy(&mut secret).map_err(|error| Failure::new(Exit::Bug, format!("no entropy: {error}")))?;
    let made = Rosters::new(network, Arc::new(Bls), secret).with([genesis.committee()?]);
    made.map_err(|error| Failure::new(Exit::Verification, error.to_string()))
}

fn head(evidence: &Evidence) -> Value {
    json!({ "id": hex::encode(evidence.id()), "kind": evidence.kind() })
}

fn lines(record: &Value) -> String {
    let text = |field: &str| record[field].as_str().unwrap_or("-").to_owned();
    pairs(&[("Evidence", text("id")), ("Kind", text("kind"))])
}
