//! `verify` of a slot's proof: the network is the one that the user names, never the one that the file names.

use std::sync::Arc;

use ao_consensus::Rosters;
use ao_consensus::bls::Bls;
use ao_types::{Genesis, Id, NetworkId};

use super::Finding;
use crate::cli::args::Verify;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::datadir;
use crate::limits::PROOF_FILE_BYTES_MAX;
use crate::proofs::ProofFile;

/// Fetches the proof of one slot; the node's word counts for nothing.
pub async fn fetch(context: &mut Context<'_>, process: &Id, slot: u64) -> Result<Vec<u8>, Failure> {
    let path = format!("v1/processes/{process}/slots/{slot}/proof");
    let bytes = context.client()?.get_at_most(&path, PROOF_FILE_BYTES_MAX).await?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if crate::proofs::is_proof(&value) {
        return Ok(bytes);
    }
    let state = value["state"].as_str().map_or_else(|| "not confirmed".into(), crate::cli::output::printable);
    Err(Failure::new(Exit::NotFound, format!("slot {slot} of {process} is {state}: there is a proof when it is confirmed"))
        .fix("ask again in a moment"))
}

/// Checks a file's bytes against the network that the user means. `wanted`: the slot that it must be about.
pub fn check(context: &Context<'_>, arguments: &Verify, bytes: &[u8], wanted: Option<(Id, u64)>) -> Result<Vec<Finding>, Failure> {
    let file = match ProofFile::read(bytes) {
        Ok(file) => file,
        Err(error) => return Ok(vec![Finding::broken("proof", error.to_string())]),
    };
    let (genesis, network) = match trusted(context, arguments, &file)? {
        Ok(trusted) => trusted,
        Err(broken) => return Ok(vec![broken]),
    };
    findings(&file, &genesis, network, wanted)
}

fn findings(file: &ProofFile, genesis: &Genesis, network: NetworkId, wanted: Option<(Id, u64)>) -> Result<Vec<Finding>, Failure> {
    let rosters = rosters(genesis, network)?;
    let stake: u128 = genesis.validators.iter().map(|one| one.stake.0).sum();
    let mut findings = vec![Finding::holds(format!(
        "network {} with genesis {network}: {} validators, {stake} stake",
        genesis.name,
        genesis.validators.len()
    ))];
    let entry = &file.proof.entry.entry;
    if let Some((process, slot)) = wanted.filter(|(process, slot)| entry.process != *process || entry.slot.0 != *slot) {
        let what = format!("slot {slot} of {process}");
        findings.push(Finding::broken(what, format!("the proof is about slot {} of {}", entry.slot, entry.process)));
    }
    match file.verify(&rosters) {
        Ok(()) => {
            findings.extend(file.claims(&rosters).into_iter().map(Finding::holds));
            findings.push(Finding::holds("it says nothing of later slots, of what the item contains, or of its result"));
        }
        Err(error) => findings.push(Finding::broken(format!("slot {} of {}", entry.slot, entry.process), error.to_string())),
    }
    Ok(findings)
}

/// The genesis that the user means: by file, by hash, or that of the data directory.
fn trusted(context: &Context<'_>, arguments: &Verify, file: &ProofFile) -> Result<Result<(Genesis, NetworkId), Finding>, Failure> {
    let name_one = || Failure::usage("which network is meant?").fix("name it with --genesis FILE or --genesis-hash DIGITS");
    let hash = match (&arguments.genesis, &arguments.genesis_hash) {
        (Some(path), _) => return crate::cli::genesis::read(path).map(Ok),
        (None, Some(hash)) => *hash,
        (None, None) => {
            // Without a data directory there is nothing that could be meant.
            let layout = context.layout().ok().filter(|layout| layout.genesis().exists());
            let pinned = layout.map(|layout| layout.pinned_genesis()).transpose()?.flatten();
            return pinned.map(Ok).ok_or_else(name_one);
        }
    };
    let Some((inside, _)) = &file.genesis else {
        return Err(Failure::usage("the file brings no genesis along").fix("name its file with --genesis FILE"));
    };
    // Proofs of possession included: a hash says which file is meant, not that it is good.
    let checked = inside.canonical().map_err(Failure::from).and_then(|bytes| crate::cli::genesis::checked(&bytes));
    Ok(match checked {
        Ok((genesis, found)) if found == hash => Ok((genesis, found)),
        Ok((_, found)) => Err(Finding::broken(format!("genesis {hash}"), format!("the file is of the network {found}"))),
        Err(failure) => Err(Finding::broken(format!("genesis {hash}"), failure.what)),
    })
}

/// The committees that a genesis tells of.
///
/// # Errors
/// A key that is none.
pub fn rosters(genesis: &Genesis, network: NetworkId) -> Result<Rosters, Failure> {
    let mut secret = [0; 32];
    datadir::entropy(&mut secret).map_err(|error| Failure::new(Exit::Bug, format!("no entropy: {error}")))?;
    let made = Rosters::new(network, Arc::new(Bls), secret).with([genesis.committee()?]);
    made.map_err(|error| Failure::new(Exit::Verification, error.to_string()))
}
