//! `process load`: a process of the older network into a data directory, evaluated.
//!
//! Owns the directory (made if it is not there), the bar, and which exit code says what: 4 where something is shown by nobody, 5 where nobody
//! answers, 8 where something does not hold, 9 where the directory is not one to load into. What is evaluated is evaluated by a node, without
//! listeners, on the very store that `start` serves afterwards.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use ao_storage::schema::{self, BackfillRow, BackfillStage, EvaluationKey, EvaluationRow};
use ao_storage::{Direction, RocksStore, rocks};
use ao_types::{Address, Id, Signer as _, Slot};
use serde_json::{Value, json};

use super::args::Load;
use super::bar::Bar;
use super::context::{self, Context};
use super::exit::{Exit, Failure};
use super::{local, output, run, service};
use crate::config::Config;
use crate::datadir::{DataDir, Layout};
use crate::error::Rejection;
use crate::handle::Node;
use crate::keys::{Keys, Kind, Role};
use crate::levels::Goal;
use crate::limits::LOAD_OWNERS_MAX;
use crate::loading::states::{self, Beginning, Begins};
use crate::loading::{self, Error, Outcome, Part, Setup};
use crate::shell::begin::{Gap, gap};
use crate::{Metrics, anchor, metrics, shell};

/// Between two looks at how far the evaluation is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a node may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// `process load`.
pub async fn load(context: &mut Context<'_>, arguments: &Load) -> Result<Exit, Failure> {
    let process = context::id(&arguments.process)?;
    let owners = owners(&arguments.checkpoint_owner)?;
    let layout = prepare(context)?;
    let loaded = context.config(&layout)?;
    let _log = run::log(context, &loaded)?;
    let data = DataDir::open(layout.root(), &loaded.config.network.name)?;
    let own = Keys::new(layout.clone()).with_role(Role::Scheduler)?.address();
    let client = anchor::loader(&arguments.gateway, &arguments.su, Arc::new(shell::wall_clock))
        .map_err(|error| Failure::new(Exit::Exhausted, error.to_string()))?;
    let began = Instant::now();
    let mut bar = Bar::new(context, "load-progress/v1");
    let read = {
        let store = RocksStore::open(&data.db(), &rocks::Settings::default()).map_err(|error| failed(error.into()))?;
        let to = arguments.to.map(Slot);
        let setup = Setup { client: client.clone(), store: &store, process, to, url: arguments.su.first().cloned(), own };
        match loading::load(setup, &mut |part, done, of| bar.show(name(part), done, of.unwrap_or_default())).await {
            Ok(outcome) if owners.is_empty() => Ok((outcome, Begins::default())),
            Ok(outcome) => {
                let vm = &*service::restorer(&loaded.config, &data)?;
                let beginning = Beginning { client, store: &store, vm, process, owners: &owners, last: outcome.last };
                states::begin(beginning).await.map(|begins| (outcome, begins))
            }
            Err(error) => Err(error),
        }
    };
    let read_s = began.elapsed().as_secs_f64();
    let (outcome, begins) = match read {
        Ok(read) => read,
        Err(error) => {
            bar.end();
            return Err(failed(error));
        }
    };
    let evaluated = evaluate(&loaded.config, &data, process, outcome.last, &mut bar).await;
    bar.end();
    let read = Read { process, outcome, begins, took_s: [read_s, began.elapsed().as_secs_f64()] };
    report(context, &layout, &read, &evaluated?)
}

fn name(part: Part) -> &'static str {
    match part {
        Part::Slots => "read",
        Part::Blocks => "blocks",
    }
}

/// Who is believed about states.
fn owners(said: &[String]) -> Result<Vec<Address>, Failure> {
    if said.len() > LOAD_OWNERS_MAX {
        return Err(Failure::new(Exit::Usage, format!("{} owners of checkpoints, {LOAD_OWNERS_MAX} may be named", said.len())));
    }
    let parsed = said.iter().map(|text| text.parse().map_err(|_| Failure::new(Exit::Usage, format!("`{text}` is no address"))));
    parsed.collect()
}

/// A data directory of a node by itself, made if it is not there.
fn prepare(context: &mut Context<'_>) -> Result<Layout, Failure> {
    let layout = context.layout()?;
    if !layout.exists() {
        let init = super::args::Init { force: false, kind: Kind::default(), binding: super::args::Binding::default() };
        local::init_for(context, &init, None, None, false)?;
    }
    if layout.pinned_genesis()?.is_some() {
        let what = format!("{} is bound to a network", layout.root().display());
        return Err(Failure::new(Exit::Precondition, what)
            .fix("processes that are ordered elsewhere are loaded into a directory of a node by itself: name one with --datadir"));
    }
    Ok(layout)
}

/// What came of evaluating.
struct Evaluated {
    /// The newest slot with a result, and it; `None`: evaluation began at a state, and no result is here yet.
    newest: Option<(Slot, EvaluationRow)>,
    /// The slot and root of the state that it began at, of results that are still to be worked out; how many are, of how many.
    before: Option<(BackfillRow, Gap)>,
}

/// Has a node evaluate everything up to a slot; the newest result up to there.
async fn evaluate(config: &Config, data: &DataDir, process: Id, last: Slot, bar: &mut Bar<'_, '_>) -> Result<Evaluated, Failure> {
    let build = metrics::Build::new("solo", &config.network.name);
    let metrics = Metrics::new(&build).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
    let (node, running) = service::open(config, data, None, run::worker(), &metrics, (None, Arc::new(AtomicI64::new(0))))?;
    let ended = follow(&node, process, last, bar).await;
    let found = ended.and_then(|()| newest(&node, process, last).map_err(|error| failed(error.into())));
    drop(node);
    // It joins threads: not on one that others wait on.
    tokio::task::spawn_blocking(move || running.stop(PATIENCE)).await.map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
    found
}

async fn follow(node: &Node, process: Id, last: Slot, bar: &mut Bar<'_, '_>) -> Result<(), Failure> {
    let broken = |error: ao_storage::Error| failed(error.into());
    // What an earlier run found out is done with.
    let known = states::refuted(node.store(), process).map_err(failed)?;
    loop {
        let began_there = schema::BACKFILLS.get(node.store(), &process).map_err(broken)?;
        if let Some(why) = states::refuted(node.store(), process).map_err(failed)?.filter(|why| known.as_ref() != Some(why)) {
            let taken_back = "what came of it is taken back, the same command goes on from the log. Other units may leave other NaNs and \
                              padding: see whether results differ before you distrust its owner";
            return Err(Failure::new(Exit::Verification, why).fix(taken_back));
        }
        // The result of the very slot that it began at is of what lies before.
        let at_last = began_there.is_some_and(|row| row.stage == BackfillStage::Running && row.slot == last);
        let reached = node.reach(process, last, Goal::Computed, LOOK_EVERY).await.map_err(refused)?;
        if at_last || reached.standing.meets(Goal::Computed) {
            return Ok(());
        }
        let head = schema::EVALUATION_HEADS.get(node.store(), &process).map_err(broken)?;
        // A process whose state was just refuted stands still until that is undone.
        let undoing = states::refuted(node.store(), process).map_err(failed)?.is_some();
        if let Some(why) = reached.why.filter(|_| !undoing) {
            return Err(refused(why).fix("what was read stays; the same command goes on with its evaluation"));
        }
        bar.show("evaluate", head.map_or(0, |head| head.slot.0 + 1), last.0 + 1);
    }
}

/// The newest evaluation up to a slot: a message that repeats another one has none of its own.
fn newest(node: &Node, process: Id, last: Slot) -> Result<Evaluated, ao_storage::Error> {
    let store = node.store();
    let key = |slot, cron| EvaluationKey { process, slot, cron };
    let rows = schema::EVALUATIONS.range(store, &key(Slot(0), 0), &key(last, u32::MAX), Direction::Backward, 1)?;
    let newest = rows.into_iter().next().map(|(key, row)| (key.slot, row));
    let before = schema::BACKFILLS.get(store, &process)?.zip(gap(store, process)?);
    Ok(Evaluated { newest, before })
}

fn refused(why: Rejection) -> Failure {
    let mut failure = Failure::new(Exit::of(why.code), why.message);
    failure.code = Some(why.code);
    failure
}

/// What went wrong, as an exit code.
fn failed(error: Error) -> Failure {
    use ao_storage::Error as S;
    let exit = match &error {
        Error::Missing { .. } => Exit::NotFound,
        Error::Nobody { .. } => Exit::Unreachable,
        Error::Untrue { .. } | Error::Log(_) | Error::NotAProcess { .. } => Exit::Verification,
        Error::Own(_) | Error::Recovering(_) => Exit::Precondition,
        Error::Blocks { .. } => Exit::Refused,
        Error::Store(S::Corrupt { .. }) => Exit::Corruption,
        Error::Store(S::TooNew { .. } | S::Locked(_)) => Exit::Precondition,
        Error::Store(S::DiskFull(_)) => Exit::Exhausted,
        _ => Exit::Bug,
    };
    let fix = match &error {
        Error::Missing { .. } => "name other gateways with --gateway, or its scheduler with --su, and run the same again: it goes on",
        Error::Nobody { .. } => "are the addresses right? Name others with --gateway and --su, and run the same again: it goes on",
        Error::Untrue { .. } => "name other gateways with --gateway: what was read before stays and holds",
        Error::Blocks { .. } => "--to SLOT takes what lies before",
        Error::Log(_) => "--to SLOT takes what lies before; keep what is named here: it is evidence against the scheduler",
        Error::Own(_) => "it is served by the node that runs on this directory; after a loss, `aonode recover` makes it anew",
        Error::Store(S::Locked(_)) => "stop the node that runs on this directory first",
        _ => return Failure::new(exit, error.to_string()),
    };
    Failure::new(exit, error.to_string()).fix(fix)
}

/// What was read, and where evaluation of it began.
struct Read {
    process: Id,
    outcome: Outcome,
    begins: Begins,
    /// Until everything was read, and until the end, seconds.
    took_s: [f64; 2],
}

fn report(context: &mut Context<'_>, layout: &Layout, read: &Read, evaluated: &Evaluated) -> Result<Exit, Failure> {
    let Read { process, outcome, begins, took_s: [read_s, took_s] } = read;
    let newest = evaluated.newest.as_ref().map(|(slot, row)| {
        let result: Value = serde_json::from_slice(&row.json).unwrap_or_default();
        let state = row.state_hash.map(|hash| hash.to_string());
        json!({ "slot": slot, "failed": row.failed, "result_hash": row.result_hash.to_string(), "state_hash": state, "result": result })
    });
    let taken = begins.taken.as_ref().map(|taken| json!({ "item": taken.id, "owner": taken.owner.to_string(), "slot": taken.slot }));
    let before = evaluated
        .before
        .as_ref()
        .map(|(row, gap)| json!({ "slot": row.slot, "state_hash": row.root.to_string(), "done": gap.done, "of": gap.of }));
    let record = json!({
        "datadir": Context::shown(layout.root()), "process": process, "module": outcome.module,
        "scheduler": outcome.scheduler.to_string(), "su": outcome.url, "from": outcome.from, "slot": outcome.last, "added": outcome.added,
        "blocks": outcome.blocks,
        "verified": {
            "signatures": outcome.signatures, "linked": outcome.linked, "unlinked": outcome.unlinked, "backwards": outcome.backwards,
            "contradictions": outcome.contradictions.iter().map(|(one, two)| json!([one, two])).collect::<Vec<_>>(),
        },
        "checkpoint": taken, "before_checkpoint": before,
        "passed": begins.passed.iter().map(|(item, why)| json!({ "item": item, "why": why })).collect::<Vec<_>>(),
        "evaluated": newest,
        "read_s": read_s, "took_s": took_s,
    });
    context.printer.record("load/v1", record, || text(layout.root(), read, evaluated))?;
    Ok(Exit::Ok)
}

fn text(root: &Path, read: &Read, evaluated: &Evaluated) -> String {
    let Read { process, outcome, begins, took_s: [_, took_s] } = read;
    let checked = format!("{} signatures, {} of {} new slots by the hash chain", outcome.signatures, outcome.linked, outcome.added);
    let mut rows = vec![
        ("Process", process.to_string()),
        ("Module", outcome.module.to_string()),
        ("Scheduler", format!("{}{}", outcome.scheduler, outcome.url.as_ref().map_or(String::new(), |url| format!(", {url}")))),
        ("Log", format!("slots 0 to {}, {} of them new", outcome.last, outcome.added)),
        ("Checked", checked),
    ];
    let old = "of a process older than the rule: only the scheduler's signature orders them";
    rows.extend((outcome.unlinked > 0).then(|| ("Not checked", format!("the hash chain of {} slots, {old}", outcome.unlinked))));
    rows.extend(
        (outcome.backwards > 0).then(|| ("Odd", format!("{} slots lie below the one before in time or height", outcome.backwards))),
    );
    rows.extend((outcome.blocks > 0).then(|| ("Blocks", format!("{} of Arweave's read, for cron messages", outcome.blocks))));
    rows.extend(outcome.contradictions.iter().map(|(one, two)| ("Contradiction", format!("assignments {one} and {two}"))));
    let taken = begins.taken.as_ref().map(|taken| format!("checkpoint {} by {}, after slot {}", taken.id, taken.owner, taken.slot));
    rows.extend(taken.map(|taken| ("Began at", taken)));
    rows.extend(begins.passed.iter().map(|(id, why)| ("Passed over", output::printable(&format!("{id}: {why}")))));
    rows.extend(evaluated.before.as_ref().map(|(row, gap)| {
        let what =
            format!("{} of the {} slots up to {} are worked out; a node that runs goes on, and compares", gap.done, gap.of, row.slot);
        ("Before it", what)
    }));
    match &evaluated.newest {
        Some((slot, row)) => {
            let result: Value = serde_json::from_slice(&row.json).unwrap_or_default();
            rows.push(("Evaluated", format!("slot {slot}{}", if row.failed { ", which ended in an error" } else { "" })));
            rows.push(("Result", output::printable(&shown(&result))));
            rows.push(("Result hash", row.result_hash.to_string()));
            rows.extend(row.state_hash.map(|state| ("State hash", state.to_string())));
        }
        None => rows.extend(evaluated.before.as_ref().map(|(row, _)| ("State hash", row.root.to_string()))),
    }
    rows.push(("Took", format!("{took_s:.1} s")));
    format!("{}\nNext: aonode start --datadir {}", output::pairs(&rows), root.display())
}

/// The part of a result that people look at, of a length that they can.
fn shown(result: &Value) -> String {
    const SHOWN: usize = 400;
    let output = result.get("Error").or_else(|| result.pointer("/Output/data")).or_else(|| result.get("Output")).unwrap_or(&Value::Null);
    let text = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
    if text.chars().count() > SHOWN { text.chars().take(SHOWN).chain(['…']).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use ao_types::Wallet;

    use super::*;

    #[test]
    fn owners_are_addresses_and_not_too_many() {
        let address = Wallet::ed25519_from_seed(&[1; 32]).address();
        let of = |count| owners(&vec![address.to_string(); count]).map_err(|failure| failure.exit);
        assert_eq!(of(LOAD_OWNERS_MAX), Ok(vec![address; LOAD_OWNERS_MAX]));
        assert_eq!(of(LOAD_OWNERS_MAX + 1), Err(Exit::Usage));
        assert_eq!(owners(&["somebody".to_owned()]).map_err(|failure| failure.exit), Err(Exit::Usage));
    }
}
