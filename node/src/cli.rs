//! The command line: arguments in, one of the exit codes of [`exit`] out.
//!
//! Owns how commands read, print and fail. Refuses to decide anything about processes or messages: what a verb does beyond reading files
//! goes through HTTP to a node ([`client`]), or starts one ([`service`]) where the verb *is* the node (`dev`, `start`, `devnet`).
//!
//! Standard output carries results only, standard error logs and progress. Reading order: [`args`], [`exit`], [`output`], then a verb.

use std::ffi::OsString;
use std::io::IsTerminal;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

pub mod anchor;
mod anchoring;
pub mod args;
mod bar;
pub mod bench;
pub mod client;
pub mod consensus;
pub mod console;
pub mod context;
pub mod db;
pub mod devnet;
pub mod evidence;
pub mod exit;
mod failures;
pub mod gateways;
pub mod genesis;
pub mod items;
pub mod join;
mod joining;
pub mod keys;
pub mod limits;
pub mod load;
pub mod local;
pub mod location;
pub mod online;
pub mod output;
pub mod paste;
pub mod peers;
pub mod recover;
pub mod reload;
pub mod run;
pub mod sending;
pub mod service;
pub mod show;
pub mod signals;
#[cfg(feature = "sim")]
pub mod sim;
pub mod slashing;
pub mod snapshot;
pub mod testnet;
pub mod verify;
pub mod weave;

use args::{Cli, Command};
use context::Context;
use exit::{Exit, Failure};
use output::Io;

/// Runs the command line of this process and says how it ended.
pub fn main() -> u8 {
    let mut out = std::io::stdout();
    let mut err = std::io::stderr();
    let terminal = out.is_terminal();
    run(std::env::args_os(), Io { out: &mut out, err: &mut err, input: None, terminal }) as u8
}

/// Runs `arguments` (the first is the program's name).
pub fn run(arguments: impl IntoIterator<Item = OsString>, io: Io<'_>) -> Exit {
    let cli = match Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, io),
    };
    let mut context = Context::new(cli.globals, io);
    let ended = dispatch(cli.command, &mut context);
    match ended {
        Ok(exit) => exit,
        Err(failure) => {
            if failure.exit != Exit::Ok {
                context.report(&failure);
            }
            failure.exit
        }
    }
}

/// Help and version are results; everything else clap says is a wrong argument.
fn usage(error: &clap::Error, io: Io<'_>) -> Exit {
    let text = error.render();
    let text = if io.terminal { text.ansi().to_string() } else { text.to_string() };
    let (exit, ended) = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => (Exit::Ok, write!(io.out, "{text}")),
        _ => (Exit::Usage, write!(io.err, "{text}")),
    };
    if ended.is_ok() { exit } else { Exit::Bug }
}

fn dispatch(command: Command, context: &mut Context<'_>) -> Result<Exit, Failure> {
    match command {
        Command::Init(init) => local::init(context, &init),
        Command::Keys(verb) => keys::keys(context, verb),
        Command::Slashing(verb) => slashing::slashing(context, &verb),
        Command::Genesis(verb) => genesis::genesis(context, &verb),
        Command::Config(verb) => local::config(context, &verb),
        Command::Completions { shell } => local::completions(context, shell),
        Command::Version => local::version(context),
        Command::CompileWorker => local::compile_worker(),
        Command::Explain { code } => local::explain(context, code.as_deref()),
        Command::Status => wait(online::status(context)),
        Command::Peers(verb) => wait(peers::peers(context, verb)),
        Command::Process(verb) => wait(online::process(context, verb)),
        Command::Message(verb) => wait(online::message(context, verb)),
        Command::Eval(eval) => wait(online::eval(context, &eval)),
        Command::DryRun(dry_run) => wait(online::dry_run(context, &dry_run)),
        Command::Console(console) => wait(console::console(context, &console)),
        Command::Verify(verify) => wait(verify::verify(context, &verify)),
        Command::Consensus(verb) => consensus::consensus(context, &verb),
        Command::Evidence(verb) => wait(evidence::evidence(context, &verb)),
        Command::Join(arguments) => join::join(context, &arguments),
        Command::Testnet(args::Testnet::Generate(generate)) => testnet::generate(context, &generate),
        Command::Recover(arguments) => recover::recover(context, &arguments),
        Command::Snapshot(verb) => wait(snapshot::snapshot(context, &verb)),
        Command::Start(start) => run::start(context, &start),
        Command::Dev(dev) => run::dev(context, &dev),
        Command::Devnet(devnet) => devnet::devnet(context, &devnet),
        Command::Anchor(verb) => wait(anchor::anchor(context, &verb)),
        Command::Db(verb) => db::db(context, &verb),
        Command::Weave(arguments) => weave::weave(context, &arguments),
        #[cfg(feature = "sim")]
        Command::Sim(verb) => sim::sim(context, &verb),
        Command::Bench(bench) => bench::bench(context, &bench),
    }
}

/// Runs a verb that asks a node. One thread is enough to wait.
fn wait<T>(verb: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime(tokio::runtime::Builder::new_current_thread())?.block_on(verb)
}

fn runtime(mut builder: tokio::runtime::Builder) -> Result<tokio::runtime::Runtime, Failure> {
    builder.enable_all().build().map_err(|error| Failure::new(exit::io_exit(&error), format!("cannot start threads: {error}")))
}

#[cfg(test)]
mod tests;
