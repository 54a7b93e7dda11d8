//! `snapshot`: states of processes as files. Only `create` talks to the node, and `import` changes the store of one that is stopped; the others
//! look at files.
//!
//! Exit codes: 4 where there is nothing to make one of, 8 where a file does not hold, 9 where it is of another network or the log does not reach
//! it yet.

use std::path::Path;

use ao_consensus::Rosters;
use ao_storage::schema::CertifiedStateRow;
use ao_storage::{Durability, Store as _, WriteBatch, schema};
use ao_types::NetworkId;
use ao_types::hash::sha256;
use bytes::Bytes;
use serde_json::{Value, json};

use super::args::{Believed, Snapshot};
use super::context::{self, Context};
use super::exit::{Exit, Failure};
use super::output::pairs;
use super::{local, peers, run, service, verify};
use crate::datadir::DataDir;
use crate::shell::begin::{self, BeginError};
use crate::shell::modules::Modules;
use crate::shell::options::wall_clock;
use crate::snapshot::file::SnapshotFile;
use crate::snapshot::shelf::Shelf;
use crate::snapshot::{Manifest, Refused, Trust, shown};
use crate::states::Untrue;
use crate::wiring;

/// `snapshot`.
pub async fn snapshot(context: &mut Context<'_>, verb: &Snapshot) -> Result<Exit, Failure> {
    match verb {
        Snapshot::Create { process, slot } => {
            let process = context::id(process)?;
            let made = peers::admin(context)?.post("admin/snapshots", &json!({ "process": process, "slot": slot })).await?;
            let text = describe(&made);
            context.printer.record("snapshot/v1", made, || text)?;
        }
        Snapshot::List { process } => {
            let process = process.as_deref().map(context::id).transpose()?;
            let entries = Shelf::new(context.layout()?.snapshots()).list().map_err(failed)?;
            let wanted = entries.iter().filter(|entry| process.is_none_or(|process| entry.manifest.process == process));
            let rows = wanted.map(|entry| shown(&entry.path, &entry.manifest)).collect();
            let columns = [("process", "process"), ("slot", "slot"), ("state", "state_hash"), ("bytes", "bytes"), ("path", "path")];
            context.printer.list("snapshot/v1", rows, &columns, None)?;
        }
        Snapshot::Verify { file, believed } => {
            let Checked { manifest, .. } = check(context, file, believed)?;
            told(context, "snapshot-verify/v1", file, &manifest)?;
        }
        Snapshot::Import { file, believed } => import(context, file, believed)?,
        Snapshot::Serve { file, believed } => {
            let Checked { manifest, body, .. } = check(context, file, believed)?;
            let layout = context.layout()?;
            let reserve = service::reserve(&context.config(&layout)?.config, layout.root());
            let path = Shelf::new(layout.snapshots()).put(&manifest, &body, reserve).map_err(failed)?;
            told(context, "snapshot-serve/v1", &path, &manifest)?;
        }
    }
    Ok(Exit::Ok)
}

fn told(context: &mut Context<'_>, schema: &'static str, path: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let record = shown(path, manifest);
    let text = describe(&record);
    context.printer.record(schema, record, || text)
}

/// A file that holds.
struct Checked {
    /// Without a certificate where that one does not hold and only the operator vouches.
    manifest: Manifest,
    body: Vec<u8>,
    /// What a node keeps of it as certified, if it is.
    row: Option<CertifiedStateRow>,
}

/// Everything that can be said of a file without the log that it is a state of.
fn check(context: &Context<'_>, path: &Path, believed: &Believed) -> Result<Checked, Failure> {
    let file = SnapshotFile::open(path).map_err(failed)?;
    let network = Network::of(context, believed)?;
    let trust = network.trust(believed);
    let mut manifest = file.manifest.clone();
    manifest.check(&trust).map_err(failed)?;
    // Its own word: the log of whoever takes it over has the last one.
    manifest.check_age(&trust, manifest.timestamp_ms, wall_clock()).map_err(failed)?;
    let body = file.body().map_err(failed)?;
    let row = manifest.imported(&trust);
    if row.is_none() {
        manifest.state.certificate = Some(Bytes::new());
    }
    Ok(Checked { manifest, body, row })
}

/// Evaluation begins at a snapshot: everything that [`check`] says, its age by the log's own word, and that it is a state of this log.
fn import(context: &mut Context<'_>, path: &Path, believed: &Believed) -> Result<(), Failure> {
    let Checked { manifest, body, row } = check(context, path, believed)?;
    let layout = context.layout()?;
    let config = context.config(&layout)?.config;
    let data = DataDir::open(layout.root(), &config.network.name)?;
    let store = ao_storage::RocksStore::open(&data.db(), &ao_storage::rocks::Settings::default())?;
    let (process, slot) = (manifest.process, manifest.slot);
    let scheduled = schema::SCHEDULE.get(&store, &(process, slot))?;
    if let Some(scheduled) = scheduled {
        let network = Network::of(context, believed)?;
        manifest.check_age(&network.trust(believed), scheduled.timestamp_ms, wall_clock()).map_err(failed)?;
    }
    let machine = service::machine(&config, &data, None, run::worker())?;
    let vm = wiring::Setup::standard(machine, 1).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?.vm;
    let mut begin = begin::prove(&store, &*vm, &Modules::default(), process, slot, manifest.row(), body.into()).map_err(unfit)?;
    // What this node worked out itself before stands.
    if let (Some(row), None) = (row, schema::CERTIFIED_STATES.get(&store, &(process, slot))?) {
        schema::CERTIFIED_STATES.put(&mut begin.also, &(process, slot), &row);
    }
    let mut batch = WriteBatch::default();
    begin::put(&mut batch, &store, begin).map_err(unfit)?;
    store.write(batch, Durability::Synced)?;
    told(context, "snapshot-import/v1", path, &manifest)
}

/// Why a state is none of this log, as an exit code.
fn unfit(error: BeginError) -> Failure {
    let exit = match &error {
        BeginError::OtherLog { .. } | BeginError::Delta | BeginError::KnownBad(_) | BeginError::Untrue(_) => Exit::Verification,
        BeginError::NotNow(_) => Exit::Bug,
        _ => Exit::Precondition,
    };
    let failure = Failure::new(exit, error.to_string());
    match error {
        BeginError::BeyondLog { .. } => failure.fix("let the node fetch the log first: start it, and stop it when it has come so far"),
        _ => failure,
    }
}

/// Whose word counts.
struct Network {
    id: NetworkId,
    rosters: Option<Rosters>,
    trust_period_ms: u64,
}

impl Network {
    fn of(context: &Context<'_>, believed: &Believed) -> Result<Self, Failure> {
        let genesis = match &believed.binding.genesis {
            Some(file) => Some(local::binding(file, believed.binding.genesis_hash)?),
            None => {
                let layout = context.layout()?;
                if layout.exists() { layout.pinned_genesis()?.map(|(genesis, _)| genesis) } else { None }
            }
        };
        let Some(genesis) = genesis else {
            let name = context.network();
            let id = NetworkId(sha256(&[b"aonode network", name.as_bytes()]));
            return Ok(Self { id, rosters: None, trust_period_ms: 0 });
        };
        let id = genesis.network_id()?;
        let rosters = verify::proof::rosters(&genesis, id)?;
        Ok(Self { id, rosters: Some(rosters), trust_period_ms: genesis.staking.trust_period_ms })
    }

    fn trust<'a>(&'a self, believed: &'a Believed) -> Trust<'a> {
        Trust { network: self.id, rosters: self.rosters.as_ref(), trust_period_ms: self.trust_period_ms, roots: &believed.trust_roots }
    }
}

/// What is wrong with a snapshot, as an exit code.
fn failed(refused: Refused) -> Failure {
    let exit = match &refused {
        Refused::Network { .. } => Exit::Precondition,
        Refused::Io(error) => super::exit::io_exit(error),
        Refused::NoRoom { .. } => Exit::Exhausted,
        _ => Exit::Verification,
    };
    let failure = Failure::new(exit, refused.to_string());
    match refused {
        Refused::Untrue(Untrue::Uncertified { .. }) | Refused::Stale { .. } => {
            failure.fix("if you know from elsewhere that its state is right, say so with --trust-root SLOT:HASH")
        }
        Refused::Network { .. } => failure.fix("name its network with --genesis, or its data directory with --datadir"),
        _ => failure,
    }
}

fn describe(shown: &Value) -> String {
    let text = |field: &str| shown[field].as_str().map_or_else(|| shown[field].to_string(), str::to_owned);
    pairs(&[
        ("File", text("path")),
        ("Process", text("process")),
        ("Slot", text("slot")),
        ("State", text("state_hash")),
        ("Network", text("network")),
        ("Certified", text("certified")),
        ("Bytes", format!("{} in {} chunks", text("bytes"), text("chunks"))),
        ("Snapshot", text("snapshot")),
    ])
}
