//! `verify` of what is on Arweave: from the block to the slot, with nothing but what gateways show. No gateway is believed: the header holds
//! by its signature, the data by the root in it, the block where enough of them show the same one, the order by the scheduler's signatures
//! and hash chain, and what was confirmed by a quorum's certificate.

use ao_arweave::client::Client;
use ao_arweave::pipeline::Known;
use ao_arweave::records::{RangeRecord, Record};
use ao_consensus::proof::verify_slot;
use ao_consensus::{Rosters, SlotProof};
use ao_types::bundle::{Bundle, is_bundle};
use ao_types::{Canonical as _, DataItem, Id, Profile};
use bytes::Bytes;

use super::{Finding, Log};

/// What is claimed to be on Arweave.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The transaction.
    pub transaction: Id,
    /// What carries the bundle: the transaction itself, or an item inside that a bundling service was given.
    pub carrier: Id,
}

/// Checks everything under a transaction. Without `rosters` certificates are counted and not checked.
pub async fn check(client: &Client, claim: Claim, rosters: Option<&Rosters>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match bundle(client, claim, &mut findings).await {
        Ok(bytes) => findings.extend(contents(bytes, rosters)),
        Err(broken) => findings.push(broken),
    }
    findings
}

/// The bundle's bytes, from the block down.
async fn bundle(client: &Client, Claim { transaction, carrier }: Claim, findings: &mut Vec<Finding>) -> Result<Bytes, Finding> {
    let what = format!("transaction {transaction}");
    let header =
        client.transaction(&transaction).await.ok_or_else(|| Finding::broken(&what, "no gateway has its header, or has it right"))?;
    findings.push(Finding::holds(format!("{what} and its signature")));
    let tip = client.tip().await.ok_or_else(|| Finding::broken("height of the chain", "gateways do not say, or do not agree"))?;
    match client.known(&transaction, tip).await {
        Some(Known::Mined(place)) => {
            let depth = tip.saturating_sub(place.height) + 1;
            let gateways = client.gateways().len();
            findings.push(Finding::holds(format!("block at height {}, {depth} confirmations, as {gateways} gateways tell", place.height)));
        }
        Some(_) => return Err(Finding::broken("block", "it is in no block that enough gateways show")),
        None => return Err(Finding::broken("block", "gateways do not say, or do not agree")),
    }
    let root = <[u8; 32]>::try_from(header.data_root.0.as_slice()).ok().zip(header.data_size.parse().ok());
    let (root, size) = root.ok_or_else(|| Finding::broken("data", "the header names no data"))?;
    let data = client.data(&transaction, &root, size, &[]).await;
    let data = data.ok_or_else(|| Finding::broken("data", format!("no gateway has the {size} bytes under root {}", Id(root))))?;
    findings.push(Finding::holds(format!("{size} bytes of data under root {}", Id(root))));
    if carrier == transaction { Ok(data) } else { nested(data, carrier, findings) }
}

/// The bundle in an item that a service put into its own.
fn nested(data: Bytes, carrier: Id, findings: &mut Vec<Finding>) -> Result<Bytes, Finding> {
    let what = format!("item {carrier}");
    let broken = |why: String| Finding::broken(&what, why);
    let outer = Bundle::parse(data, Profile::Archive).map_err(|error| broken(error.to_string()))?;
    let entry = outer.entries().find(|entry| entry.id == carrier);
    let entry = entry.ok_or_else(|| broken("it is not in the transaction's bundle".to_owned()))?;
    let item = outer.item(&entry, Profile::Archive).map_err(|error| broken(error.to_string()))?;
    let item = item.verify().map_err(|error| broken(error.to_string()))?;
    if !is_bundle(&item) {
        return Err(broken("it is no bundle".to_owned()));
    }
    findings.push(Finding::holds(format!("{what}, which {} signed", item.address())));
    Ok(item.data_bytes())
}

/// Everything in the bundle: signatures, order, records, certificates.
fn contents(bytes: Bytes, rosters: Option<&Rosters>) -> Vec<Finding> {
    let mut log = Log::default();
    log.take_bundle(bytes);
    let mut ranges: Vec<Finding> = Vec::new();
    for item in log.items.values() {
        match Record::read(item) {
            Some(Ok(Record::Range(range))) => ranges.extend(of_range(&log, item, &range, rosters)),
            Some(Err(error)) => ranges.push(Finding::broken(format!("record {}", item.id()), error.to_string())),
            _ => {}
        }
    }
    ranges.sort_by(|one, other| one.what.cmp(&other.what));
    let mut findings = log.findings(None);
    findings.append(&mut ranges);
    findings
}

/// A record names what is there, in order, and its certificate is about its last slot.
fn of_range(log: &Log, item: &DataItem, range: &RangeRecord, rosters: Option<&Rosters>) -> Vec<Finding> {
    let what = format!("slots {} to {} of {} as record {} tells", range.from, range.to(), range.process, item.id());
    let known = log.assignments.get(&range.process).map(Vec::as_slice).unwrap_or_default();
    let mut chain = None;
    for (place, (message, assignment)) in range.slots.iter().enumerate() {
        let slot = range.from.0.saturating_add(place as u64);
        let Some(found) = known.iter().find(|known| known.id() == *assignment) else {
            return vec![Finding::broken(what, format!("assignment {assignment} of slot {slot} is not in the bundle"))];
        };
        if found.content().slot.0 != slot || found.message() != *message {
            return vec![Finding::broken(
                what,
                format!("assignment {assignment} puts {} into slot {}", found.message(), found.content().slot),
            )];
        }
        chain = Some(found.content().hash_chain);
    }
    if chain.is_none_or(|chain| *chain.as_bytes() != range.hash_chain) {
        return vec![Finding::broken(what, "its hash chain is not that of its last assignment")];
    }
    let mut findings = vec![Finding::holds(what)];
    findings.extend(range.certificates.iter().map(|certificate| of_certificate(range, certificate, rosters)));
    findings
}

fn of_certificate(range: &RangeRecord, certificate: &Bytes, rosters: Option<&Rosters>) -> Finding {
    let what = format!("slots up to {} of {} confirmed by a quorum", range.to(), range.process);
    let proof = match SlotProof::decode(certificate) {
        Ok(proof) => proof,
        Err(error) => return Finding::broken(what, error.to_string()),
    };
    let entry = &proof.entry.entry;
    let last = range.slots.last().copied();
    if entry.process != range.process || entry.slot != range.to() || last != Some((entry.item, entry.assignment)) {
        return Finding::broken(what, format!("the certificate is about slot {} of {}", entry.slot, entry.process));
    }
    let Some(rosters) = rosters else {
        return Finding::broken(what, "which network is meant? Name its genesis with --genesis FILE");
    };
    match verify_slot(&proof, rosters) {
        Ok(_) => Finding::holds(what),
        Err(error) => Finding::broken(what, error.to_string()),
    }
}
