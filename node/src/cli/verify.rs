//! `verify`: checks what was signed, believing nobody.
//!
//! A file is a data item, a bundle, or a log as `GET /v1/processes/{process}/bundle` exports it (a bundle of assignments and items). It
//! is checked offline: nothing but its bytes is used. An id is first fetched from the node, then checked the same way; the node's word
//! counts for nothing.
//!
//! For a log: signatures and ids of everything; slots without a gap; the hash chain from the first slot; one scheduler, and the one the
//! process names; times that never run backwards; and that the items assigned are those in the file.
//!
//! A slot's proof (`proof`) shows more: that a quorum of a network's stake confirmed it. A transaction (`anchored`) shows most: that all of
//! it is on Arweave.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

use ao_types::bundle::Bundle;
use ao_types::{Assignment, DataItem, HashChain, Id, Profile, Slot, Verified};
use bytes::Bytes;
use serde_json::{Value, json};

use super::args::Verify;
use super::context::Context;
use super::exit::{Exit, Failure};
use anchored::Claim;

pub mod anchored;
pub mod proof;

/// Largest file read.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub what: String,
    /// `None`: it holds. Else what does not.
    pub broken: Option<String>,
}

impl Finding {
    fn holds(what: impl Into<String>) -> Self {
        Self { what: what.into(), broken: None }
    }
    fn broken(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), broken: Some(why.into()) }
    }
}

/// `verify`.
pub async fn verify(context: &mut Context<'_>, arguments: &Verify) -> Result<Exit, Failure> {
    let path = Path::new(&arguments.subject);
    let findings = if !arguments.arweave.is_empty() {
        let id = Id::parse(&arguments.subject)
            .map_err(|_| Failure::usage(format!("{}: with --arweave the id of a transaction is expected", arguments.subject)))?;
        on_arweave(context, arguments.genesis.as_deref(), &arguments.arweave, Claim { transaction: id, carrier: id }).await?
    } else if path.exists() {
        let bytes = read(path)?;
        if is_slot_proof(&bytes) { proof::check(context, arguments, &bytes, None)? } else { check(bytes) }
    } else if let Ok(id) = Id::parse(&arguments.subject) {
        match arguments.slot {
            Some(slot) => {
                let bytes = proof::fetch(context, &id, slot).await?;
                proof::check(context, arguments, &bytes, Some((id, slot)))?
            }
            None => fetched(context, id).await?,
        }
    } else {
        return Err(Failure::new(Exit::NotFound, format!("{} is neither a file nor an id", arguments.subject))
            .fix("name a file with a data item or a bundle, or an id of 43 characters"));
    };
    report(context, &arguments.subject, &findings)
}

/// Everything under a transaction, as gateways show it. Certificates are those of the network of `genesis`, or of the data directory.
///
/// # Errors
/// No gateway is known, or the genesis is none.
pub async fn on_arweave(context: &Context<'_>, genesis: Option<&Path>, gateways: &[String], claim: Claim) -> Result<Vec<Finding>, Failure> {
    let client = super::gateways::client(context, gateways)?;
    let genesis = match genesis {
        Some(file) => Some(super::genesis::read(file)?),
        None => {
            let layout = context.layout().ok().filter(|layout| layout.genesis().exists());
            layout.map(|layout| layout.pinned_genesis()).transpose()?.flatten()
        }
    };
    let rosters = genesis.map(|(genesis, network)| proof::rosters(&genesis, network)).transpose()?;
    Ok(anchored::check(&client, claim, rosters.as_ref()).await)
}

/// Says what was found, and whether all of it holds.
///
/// # Errors
/// Standard output is closed.
pub fn report(context: &mut Context<'_>, subject: &str, findings: &[Finding]) -> Result<Exit, Failure> {
    let broken = findings.iter().filter(|finding| finding.broken.is_some()).count();
    let record = json!({
        "subject": subject, "ok": broken == 0,
        "findings": findings.iter().map(|f| json!({ "what": f.what, "ok": f.broken.is_none(), "reason": f.broken })).collect::<Vec<Value>>(),
    });
    let (good, bad) = (context.printer.paint("32", "ok    "), context.printer.paint("31;1", "BROKEN"));
    context.printer.record("verify/v1", record, || {
        findings.iter().fold(String::new(), |text, finding| match &finding.broken {
            None => format!("{text}{good}  {}\n", finding.what),
            Some(why) => format!("{text}{bad}  {}: {why}\n", finding.what),
        })
    })?;
    Ok(if broken == 0 { Exit::Ok } else { Exit::Verification })
}

/// Whether a file means to be the proof of a slot.
fn is_slot_proof(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'{')
        && bytes.len() <= crate::limits::PROOF_FILE_BYTES_MAX
        && serde_json::from_slice::<Value>(bytes).is_ok_and(|value| crate::proofs::is_proof(&value))
}

fn read(path: &Path) -> Result<Bytes, Failure> {
    let failed = |error: std::io::Error| Failure::new(super::exit::io_exit(&error), format!("cannot read {}: {error}", path.display()));
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display())).fix("split it"));
    }
    Ok(bytes.into())
}

/// Fetches an item, or the whole log of a process, and checks the bytes.
async fn fetched(context: &mut Context<'_>, id: Id) -> Result<Vec<Finding>, Failure> {
    let client = context.client()?;
    let mut log = Log::default();
    let mut from = Some(0);
    let mut pages = 0;
    while let Some(slot) = from {
        let (bytes, next) = match client.log_page(&id, slot).await {
            Err(failure) if failure.exit == Exit::NotFound && pages == 0 => {
                let bytes = client.get_bytes(&format!("v1/items/{id}")).await?;
                return Ok(vec![named(check_item(bytes.into()), &id)]);
            }
            page => page?,
        };
        log.take_bundle(bytes.into());
        if next.is_some_and(|next| next <= slot) {
            return Err(Failure::new(Exit::Verification, format!("the node sends slot {slot} again and again")));
        }
        pages += 1;
        from = next;
    }
    Ok(log.findings(Some(id)))
}

/// An item that should be `id` and is another one proves nothing about `id`.
fn named(found: Result<DataItem, Finding>, id: &Id) -> Finding {
    match found {
        Ok(item) if item.id() == *id => describe(&item),
        Ok(item) => Finding::broken(format!("item {id}"), format!("the node sent {} instead", item.id())),
        Err(finding) => finding,
    }
}

/// Checks the bytes of a file: a bundle or one item. Which it is shows in its first bytes: an item starts with a signature type, a
/// bundle with a count whose table then has to fit.
pub fn check(bytes: Bytes) -> Vec<Finding> {
    if bytes.first().is_some_and(|first| matches!(first, b'{' | b'[')) && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() {
        let why = "JSON does not carry the bytes that were signed; export the log from /v1/processes/PID/bundle, or verify by id";
        return vec![Finding::broken("file", why)];
    }
    match check_item(bytes.clone()) {
        Ok(item) if ao_types::bundle::is_bundle(&item) => {
            let mut log = Log::default();
            log.take_bundle(item.data_bytes());
            let mut findings = vec![describe(&item)];
            findings.extend(log.findings(None));
            findings
        }
        Ok(item) => vec![describe(&item)],
        Err(of_item) => match Bundle::parse(bytes.clone(), Profile::Archive) {
            Ok(bundle) if !bundle.is_empty() => {
                let mut log = Log::default();
                log.take_bundle(bytes);
                log.findings(None)
            }
            _ => vec![of_item],
        },
    }
}

fn check_item(bytes: Bytes) -> Result<DataItem, Finding> {
    let item = DataItem::parse(bytes, Profile::Archive).map_err(|error| Finding::broken("data item", error.to_string()))?;
    let id = item.id();
    item.verify().map(Verified::into_inner).map_err(|error| Finding::broken(format!("item {id}"), error.to_string()))
}

fn describe(item: &DataItem) -> Finding {
    let kind = item.tag("Type").map(|kind| format!("{} ", super::output::printable(kind))).unwrap_or_default();
    Finding::holds(format!(
        "{kind}{} signed by {} ({:?}), {} bytes of data",
        item.id(),
        item.address(),
        item.signature_type(),
        item.data().len()
    ))
}

/// Items and assignments, gathered from any number of bundles.
#[derive(Default)]
struct Log {
    items: HashMap<Id, DataItem>,
    assignments: BTreeMap<Id, Vec<Assignment>>,
    broken: Vec<Finding>,
}

impl Log {
    fn take_bundle(&mut self, bytes: Bytes) {
        let bundle = match Bundle::parse(bytes, Profile::Archive) {
            Ok(bundle) => bundle,
            Err(error) => return self.broken.push(Finding::broken("bundle", error.to_string())),
        };
        for entry in bundle.entries() {
            let place = format!("item {} of the bundle, {}", entry.index, entry.id);
            match bundle
                .item(&entry, Profile::Archive)
                .map_err(|error| error.to_string())
                .and_then(|item| item.verify().map_err(|error| error.to_string()))
            {
                Err(error) => self.broken.push(Finding::broken(place, error)),
                Ok(item) if item.tag("Type") == Some("Assignment") => match Assignment::read(item) {
                    Ok(assignment) => self.assignments.entry(assignment.content().process).or_default().push(assignment),
                    Err(error) => self.broken.push(Finding::broken(place, error.to_string())),
                },
                Ok(item) => drop(self.items.insert(item.id(), item.into_inner())),
            }
        }
    }

    /// What holds, of everything taken. `wanted`: the process whose log this must be.
    fn findings(mut self, wanted: Option<Id>) -> Vec<Finding> {
        let mut findings = std::mem::take(&mut self.broken);
        let assigned: usize = self.assignments.values().map(Vec::len).sum();
        findings.insert(0, Finding::holds(format!("{} signatures and ids", self.items.len() + assigned)));
        if let Some(process) = wanted.filter(|process| !self.assignments.contains_key(process)) {
            findings.push(Finding::broken(format!("log of {process}"), "there is no assignment of it"));
        }
        for (process, assignments) in &mut self.assignments {
            assignments.sort_by_key(|assignment| assignment.content().slot);
            findings.extend(log_of(*process, assignments, &self.items));
        }
        findings
    }
}

/// Everything that must hold for the assignments of one process, in order of slots.
fn log_of(process: Id, assignments: &[Assignment], items: &HashMap<Id, DataItem>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut rule = |what: String, broken: Option<String>| findings.push(Finding { what, broken });
    let (Some(first), Some(last)) = (assignments.first(), assignments.last()) else { return findings };
    let (from, to) = (first.content().slot, last.content().slot);
    let pairs = || assignments.iter().zip(&assignments[1..]);
    let at = |assignment: &Assignment| assignment.content().slot;

    let gap = pairs().find(|(a, b)| Some(at(b).0) != at(a).0.checked_add(1));
    rule(format!("slots {from} to {to} of {process}"), gap.map(|(a, b)| format!("slot {} is followed by slot {}", at(a), at(b))));

    let expected = HashChain::first(&process);
    let start = (from == Slot(0) && first.content().hash_chain != expected)
        .then(|| format!("slot 0 has {}, expected {expected}", first.content().hash_chain));
    let link = || {
        let (a, b) = pairs().find(|(a, b)| b.content().hash_chain != a.next_chain())?;
        Some(format!("slot {} has {}, expected {}", at(b), b.content().hash_chain, a.next_chain()))
    };
    rule(format!("hash chain to {}", last.content().hash_chain), start.or_else(link));

    let scheduler = first.signer();
    let other = assignments.iter().find(|assignment| assignment.signer() != scheduler);
    let named = items.get(&process).and_then(|item| item.tag("Scheduler").map(str::to_owned));
    let stranger = named.filter(|named| *named != scheduler.to_string()).map(|named| format!("the process names {named}"));
    rule(format!("scheduler {scheduler}"), other.map(|a| format!("slot {} is signed by {}", at(a), a.signer())).or(stranger));

    let back =
        pairs().find(|(a, b)| b.content().timestamp_ms <= a.content().timestamp_ms || b.content().block_height < a.content().block_height);
    rule("times".into(), back.map(|(_, b)| format!("slot {} is not after the one before it", at(b))));

    let misplaced = assignments.iter().find_map(|assignment| {
        let item = items.get(&assignment.message())?;
        let belongs = item.id() == process
            || item.tag("Type") != Some("Message")
            || item.target() == Some(process)
            || assignment.content().message.is_some() && !assignment.content().exclude.is_empty();
        (!belongs).then(|| format!("slot {} has {}, which is addressed to another", at(assignment), item.id()))
    });
    let absent = assignments.iter().filter(|assignment| !items.contains_key(&assignment.message())).count();
    let note = if absent == 0 { String::new() } else { format!(", {absent} of them not in the file") };
    rule(format!("{} items assigned{note}", assignments.len()), misplaced);
    findings
}

#[cfg(test)]
mod tests;
