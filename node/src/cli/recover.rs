//! `recover`: from gateways to a data directory on which `start` goes on.
//!
//! Owns the directory (made if it is not there), the bar, and which exit code says what: 4 where something is missing, 5 where nobody
//! answers, 8 where something does not hold, 9 where the directory is not empty. Keys are not on Arweave: whoever wants the scheduler or an
//! attestor to go on brings them into the directory himself (`aonode keys`, `aonode slashing`).

use std::sync::Arc;
use std::time::Instant;

use ao_types::{Genesis, Id, Signer as _};
use serde_json::{Value, json};

use super::args::{Init, Recover};
use super::bar::Bar;
use super::context::Context;
use super::exit::{Exit, Failure};
use super::{local, run, service};
use crate::anchor;
use crate::datadir::{DataDir, Layout};
use crate::keys::{Keys, Kind, Role};
use crate::limits::RECOVER_WAITS_MAX;
use crate::recovery::{self, Begins, Error, Look, Network, Outcome, Progress, Setup, Subject};
use crate::{datadir, shell, wiring};

/// Folder of a data directory in which bundles are kept until a recovery is done.
const BUNDLES: &str = "recover";

/// `recover`.
pub fn recover(context: &mut Context<'_>, arguments: &Recover) -> Result<Exit, Failure> {
    let genesis = arguments.binding.genesis.as_deref().map(|file| local::binding(file, arguments.binding.genesis_hash)).transpose()?;
    let network = genesis.clone();
    let subject = subject(arguments, genesis)?;
    let layout = prepare(context, network.as_ref())?;
    let loaded = context.config(&layout)?;
    let _log = run::log(context, &loaded)?;
    let data = DataDir::open(layout.root(), &loaded.config.network.name)?;
    let own = Keys::new(layout.clone()).with_role(Role::Scheduler)?.address();
    let store = ao_storage::RocksStore::open(&data.db(), &ao_storage::rocks::Settings::default()).map_err(|error| failed(error.into()))?;
    let folder = layout.root().join(BUNDLES);
    let client =
        anchor::reader(&arguments.from_arweave, Arc::new(shell::wall_clock)).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
    let vm = arguments.from_checkpoint.then(|| service::restorer(&loaded.config, &data)).transpose()?;
    let setup = Setup {
        client,
        vm,
        now_ms: shell::wall_clock().0,
        store: &store,
        folder: Some(&folder),
        subject,
        own,
        look: Look { every_block: arguments.every_block, from: arguments.from_height, waits_max: RECOVER_WAITS_MAX },
        up_to_hole: arguments.up_to_hole,
        known_modules: vec![wiring::embedded_module().map_err(|error| Failure::new(Exit::Bug, error.to_string()))?],
    };
    let began = Instant::now();
    let mut bar = Bar::new(context, "recover-progress/v1");
    let outcome = run::runtime()?.block_on(recovery::recover(setup, &mut |Progress { stage, done, of }| bar.show(stage.text(), done, of)));
    bar.end();
    let outcome = outcome.map_err(failed)?;
    // Everything is in the store: what was fetched is not needed any more.
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(event = "bundles_stay", folder = %folder.display(), %error, "remove this folder by hand");
    }
    report(context, &layout, &outcome, began.elapsed().as_secs_f64())
}

/// A data directory of the right network, made if it is not there.
fn prepare(context: &mut Context<'_>, genesis: Option<&Genesis>) -> Result<Layout, Failure> {
    if let Some(genesis) = genesis {
        context.of_network(&genesis.name)?;
    }
    let layout = context.layout()?;
    if layout.exists() {
        match (layout.pinned_genesis()?, genesis) {
            (None, None) => {}
            (Some((_, pinned)), Some(genesis)) if pinned == genesis.network_id()? => {}
            (Some((_, pinned)), Some(genesis)) => {
                return Err(datadir::Error::WrongGenesis { root: layout.root().to_owned(), pinned, found: genesis.network_id()? }.into());
            }
            (pinned, _) => {
                let bound = if pinned.is_some() { "bound to a network" } else { "of a node by itself" };
                return Err(Failure::new(Exit::Precondition, format!("{} is {bound}", layout.root().display()))
                    .fix("recover a process into a directory of a node by itself, and a network into one that is bound to it"));
            }
        }
        return Ok(layout);
    }
    let init = Init { force: false, kind: Kind::default(), binding: super::args::Binding::default() };
    local::init_for(context, &init, genesis, None, false)?;
    Ok(layout)
}

fn subject(arguments: &Recover, genesis: Option<Genesis>) -> Result<Subject, Failure> {
    match (&arguments.process, genesis) {
        (Some(process), _) => {
            let id = Id::parse(process).map_err(|error| Failure::usage(format!("--process {process}: {error}")))?;
            Ok(Subject::Process(id))
        }
        (None, Some(genesis)) => {
            let id = genesis.network_id()?;
            let rosters = super::verify::proof::rosters(&genesis, id)?;
            Ok(Subject::Network(Box::new(Network { genesis, id, rosters })))
        }
        (None, None) => Err(Failure::usage("nothing says what is to be recovered").fix("name --process ID or --genesis FILE")),
    }
}

/// What went wrong, as an exit code.
fn failed(error: Error) -> Failure {
    use ao_arweave::recover::RecoverError as R;
    use ao_storage::Error as S;
    let exit = match &error {
        Error::NotEmpty(_) | Error::Another { .. } => Exit::Precondition,
        Error::NoTip | Error::Scan(_) => Exit::Unreachable,
        Error::Nothing | Error::Holes(_) | Error::Recover(R::NoProcess(_)) => Exit::NotFound,
        Error::Recover(R::NotAProcess { .. }) | Error::Slot { .. } => Exit::Verification,
        Error::Store(S::Corrupt { .. }) => Exit::Corruption,
        Error::Store(S::TooNew { .. } | S::Locked(_)) => Exit::Precondition,
        Error::Store(S::DiskFull(_)) | Error::Recover(R::Full) => Exit::Exhausted,
        _ => Exit::Bug,
    };
    let fix = match &error {
        Error::NotEmpty(_) | Error::Another { .. } => Some("recover into an empty data directory: name one with --datadir".to_owned()),
        Error::NoTip | Error::Scan(_) => Some("name other gateways with --from-arweave, and run the same again: it goes on".to_owned()),
        Error::Holes(holes) => Some(format!(
            "{}\nname more gateways, or try again later: what was fetched is kept. --up-to-hole takes what lies before",
            holes.iter().take(20).map(|hole| format!("{}: {}", hole.of, hole.what)).collect::<Vec<_>>().join("\n")
        )),
        Error::Nothing | Error::Recover(R::NoProcess(_)) => {
            Some("name gateways that have it, or --every-block to read all blocks".to_owned())
        }
        _ => None,
    };
    let failure = Failure::new(exit, error.to_string());
    match fix {
        Some(fix) => failure.fix(fix),
        None => failure,
    }
}

fn report(context: &mut Context<'_>, layout: &Layout, outcome: &Outcome, took_s: f64) -> Result<Exit, Failure> {
    let holes: Vec<Value> = outcome.holes.iter().map(|hole| json!({ "of": hole.of, "what": hole.what })).collect();
    let record = json!({
        "datadir": Context::shown(layout.root()), "processes": outcome.processes.len(), "slots": outcome.slots(), "frames": outcome.frames,
        "items": outcome.items, "refused": outcome.refused, "bundles": outcome.bundles, "bytes": outcome.bytes, "took_s": took_s,
        "slots_per_s": outcome.slots() as f64 / took_s.max(0.001), "holes": holes,
        "begins": outcome.begins.iter().map(begins).collect::<Vec<_>>(),
        "contradictions": outcome.contradictions.iter().map(|(one, two)| json!([one, two])).collect::<Vec<_>>(),
    });
    context.printer.record("recover/v1", record, || {
        let mut rows = vec![
            ("Processes", outcome.processes.len().to_string()),
            ("Slots", outcome.slots().to_string()),
            ("Frames", outcome.frames.to_string()),
            ("Read", format!("{} items in {} bundles, {} bytes", outcome.items, outcome.bundles, outcome.bytes)),
            ("Took", format!("{took_s:.1} s")),
        ];
        rows.extend((outcome.refused > 0).then(|| ("Refused", format!("{} items whose signature does not hold", outcome.refused))));
        let begun = outcome.begins.iter().filter(|begins| begins.slot.is_some()).count();
        rows.extend(
            (!outcome.begins.is_empty()).then(|| ("Checkpoints", format!("{begun} of {} processes begin at one", outcome.begins.len()))),
        );
        let passed = outcome.begins.iter().flat_map(|begins| begins.passed.iter().map(move |passed| (begins, passed)));
        rows.extend(passed.map(|(begins, (record, why))| ("Passed over", format!("{record} of {}: {why}", begins.process))));
        rows.extend(outcome.holes.iter().map(|hole| ("Missing", format!("{}: {}", hole.of, hole.what))));
        let next = format!("aonode start --datadir {}", layout.root().display());
        format!("{}\nNext: {next}", super::output::pairs(&rows))
    })?;
    Ok(Exit::Ok)
}

fn begins(begins: &Begins) -> Value {
    let passed: Vec<Value> = begins.passed.iter().map(|(record, why)| json!({ "record": record, "why": why })).collect();
    json!({ "process": begins.process, "slot": begins.slot, "passed": passed })
}
