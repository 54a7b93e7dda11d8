//! Verbs that need no node: `init`, `config`, `completions`, `version`, `explain`.

use ao_types::{Genesis, NetworkId};
use clap::CommandFactory;
use serde_json::{Value, json};

use super::args::{Cli, ConfigVerb, Init};
use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{pairs, table};
use crate::config;
use crate::datadir::{self, DataDir};
use crate::error::Code;
use crate::keys::{Keys, Role, node};

/// `init`: a data directory ready to start.
pub fn init(context: &mut Context<'_>, arguments: &Init) -> Result<Exit, Failure> {
    let genesis = match &arguments.binding.genesis {
        Some(file) => Some(binding(file, arguments.binding.genesis_hash)?),
        None if arguments.binding.genesis_hash.is_some() => return Err(Failure::usage("--genesis-hash says nothing without --genesis")),
        None => None,
    };
    init_for(context, arguments, genesis.as_ref(), None, true)
}

/// The same for a genesis that was checked, with other ports than the usual ones. `told`: whether the result is printed.
pub fn init_for(
    context: &mut Context<'_>,
    arguments: &Init,
    genesis: Option<&Genesis>,
    port: Option<u16>,
    told: bool,
) -> Result<Exit, Failure> {
    if let Some(genesis) = genesis {
        context.of_network(&genesis.name)?;
    }
    let layout = context.layout()?;
    let network = match (&context.globals.network, arguments.force && layout.exists()) {
        (None, true) => layout.network_name()?,
        _ => context.network(),
    };
    let mut written = config::Config::default();
    written.network.name.clone_from(&network);
    if let Some(port) = port {
        move_ports(&mut written, port)?;
    }
    let data = DataDir::create(layout.root(), &network, &config::annotated(&written), arguments.force)?;
    let bound = genesis.map(|genesis| data.pin_genesis(genesis)).transpose()?;
    data.admin_token()?;
    let keys = Keys::new(layout.clone());
    keys.fill_roles(arguments.kind)?;
    let peer = node::peer_id(&*keys.node_seed()?);
    if !told {
        return Ok(Exit::Ok);
    }
    let wallets = keys.list()?;
    let address = |role: Role| wallets.iter().find(|entry| entry.roles.contains(&role)).map(|entry| entry.address.to_string());
    let [scheduler, messenger, client] = [Role::Scheduler, Role::Messenger, Role::Client].map(|role| address(role).unwrap_or_default());
    let root = Context::shown(layout.root());
    let record = json!({
        "datadir": root, "network": network, "config": Context::shown(&layout.config()),
        "scheduler": scheduler, "messenger": messenger, "client": client, "peer": peer, "genesis_hash": bound,
    });
    let next = match (&context.globals.datadir, &context.globals.network) {
        (Some(datadir), _) => format!("aonode start --datadir {}", datadir.display()),
        (None, Some(network)) => format!("aonode start --network {network}"),
        (None, None) => "aonode start".to_owned(),
    };
    context.printer.record("init/v1", record, || {
        let rows = [
            ("Data directory", root.display().to_string()),
            ("Network", network.clone()),
            ("Genesis", bound.map_or_else(|| "none: a node by itself".to_owned(), |hash| hash.to_string())),
            ("Peer", peer.to_string()),
            ("Scheduler", scheduler.clone()),
            ("Messenger", messenger.clone()),
            ("Client", client.clone()),
        ];
        format!("{}\nNext: {next}", pairs(&rows))
    })?;
    Ok(Exit::Ok)
}

/// Every listener of a new node beside another's: HTTP at `first`, the others as far from it as usual; 0: any free ports.
fn move_ports(config: &mut config::Config, first: u16) -> Result<(), Failure> {
    let at = |offset: u16| match first {
        0 => Ok(0),
        first => first
            .checked_add(offset)
            .ok_or_else(|| Failure::usage(format!("--port {first}: the {offset} ports after it are needed as well"))),
    };
    let (api, admin, metrics) = (&mut config.api.listen, &mut config.admin.listen, &mut config.metrics.listen);
    for (listen, offset) in [(api, 0), (admin, 1), (metrics, 2)] {
        listen.set_port(at(offset)?);
    }
    let usual = super::testnet::P2P_OFFSET + 7700;
    let p2p = at(super::testnet::P2P_OFFSET)?;
    for address in &mut config.p2p.listen {
        *address = address.replace(&format!("/{usual}"), &format!("/{p2p}"));
    }
    Ok(())
}

/// A genesis that a data directory is to be bound to, with the hash it must have.
pub fn binding(file: &std::path::Path, expected: Option<NetworkId>) -> Result<Genesis, Failure> {
    let (genesis, found) = super::genesis::read(file)?;
    super::join::hashes_to(&file.display().to_string(), found, expected.unwrap_or(found))?;
    Ok(genesis)
}

/// `config`.
pub fn config(context: &mut Context<'_>, verb: &ConfigVerb) -> Result<Exit, Failure> {
    let layout = context.layout()?;
    let path = context.globals.config.clone().unwrap_or_else(|| layout.config());
    if matches!(verb, ConfigVerb::Path) {
        let (shown, exists) = (Context::shown(&path), path.exists());
        context.printer.record("config-path/v1", json!({ "path": shown, "exists": exists }), || shown.display().to_string())?;
        return Ok(Exit::Ok);
    }
    let loaded = context.config(&layout)?;
    match verb {
        ConfigVerb::Check => {
            let shown = Context::shown(&path);
            let text = if path.exists() { format!("{} is fine", shown.display()) } else { "the defaults are fine".to_owned() };
            context.printer.record("config-check/v1", json!({ "path": shown, "ok": true }), || text)?;
        }
        ConfigVerb::Show { origin } => {
            let row = |(key, value, from): (String, String, config::Origin)| {
                let typed = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("v"));
                let typed = typed.map_or(Value::Null, |value| json!(value));
                json!({ "key": key, "value": typed, "origin": from.to_string() })
            };
            let rows = loaded.rows().into_iter().map(row).collect();
            let columns: &[_] = &[("key", "key"), ("value", "value"), ("origin", "origin")];
            context.printer.list("config/v1", rows, if *origin { columns } else { &columns[..2] }, None)?;
        }
        ConfigVerb::Path => {}
    }
    Ok(Exit::Ok)
}

/// `completions`.
pub fn completions(context: &mut Context<'_>, shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "aonode", &mut script);
    context.printer.line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Ok)
}

/// `compile-worker`: one module in, its code out. Of no use to people, hence in no help.
pub fn compile_worker() -> Result<Exit, Failure> {
    match ao_vm::compiler::serve(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(Failure::new(Exit::Bug, format!("nothing was compiled: {error}"))),
    }
}

/// `version`.
pub fn version(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let record = json!({
        "version": crate::VERSION, "commit": crate::COMMIT, "datadir_schema": datadir::SCHEMA,
        "disk_format": ao_storage::schema::FORMAT, "host_abi": ao_vm::HOST_ABI,
    });
    context.printer.record("version/v1", record.clone(), || {
        pairs(&[
            ("aonode", crate::VERSION.to_owned()),
            ("commit", crate::COMMIT.to_owned()),
            ("data directory schema", record["datadir_schema"].to_string()),
            ("disk format", record["disk_format"].to_string()),
            ("host ABI", record["host_abi"].to_string()),
        ])
    })?;
    Ok(Exit::Ok)
}

/// `explain`.
pub fn explain(context: &mut Context<'_>, asked: Option<&str>) -> Result<Exit, Failure> {
    let Some(asked) = asked else { return explain_all(context) };
    let digits = asked.trim_start_matches(|c: char| !c.is_ascii_digit());
    if let Some(code) = Code::ALL.into_iter().find(|code| code.as_str().trim_start_matches("AON-") == digits) {
        let exit = Exit::of(code);
        let record = json!({ "code": code.as_str(), "meaning": code.meaning(), "http_status": code.status(), "exit": exit as u8 });
        context.printer.record("explain/v1", record, || {
            format!("{}  {}\n          HTTP status {}, exit code {}", code.as_str(), code.meaning(), code.status(), exit as u8)
        })?;
        return Ok(Exit::Ok);
    }
    if let Some(exit) = digits.parse::<u8>().ok().and_then(|number| Exit::ALL.into_iter().find(|exit| *exit as u8 == number)) {
        let record = json!({ "code": exit as u8, "meaning": exit.meaning() });
        context.printer.record("explain/v1", record, || format!("exit code {}  {}", exit as u8, exit.meaning()))?;
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::NotFound, format!("there is no code {asked}")).fix("`aonode explain` lists all of them"))
}

fn explain_all(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let codes = Code::ALL.into_iter().map(|code| (code.as_str().to_owned(), code.meaning()));
    let exits = Exit::ALL.into_iter().map(|exit| ((exit as u8).to_string(), exit.meaning()));
    let rows: Vec<_> = codes.chain(exits).collect();
    if context.printer.machine() {
        let rows = rows.into_iter().map(|(code, meaning)| json!({ "code": code, "meaning": meaning })).collect();
        context.printer.list("explain/v1", rows, &[], None)?;
    } else {
        let cells = rows.into_iter().map(|(code, meaning)| vec![code, meaning.to_owned()]);
        let text = table(["code", "meaning"].into_iter(), cells, context.printer.io.terminal);
        context.printer.line(&text)?;
    }
    Ok(Exit::Ok)
}
