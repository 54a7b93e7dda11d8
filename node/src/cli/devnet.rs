//! `devnet` without a verb: a node, the demonstration, and then the node stays for whoever wants to try it.

use super::args::Devnet;
use super::client::Client;
use super::context::Context;
use super::exit::{Exit, Failure};
use super::run::{self, Home};
use super::service::{Service, Setup};
use super::signals::{Hangup, Signals};
use crate::demo::{Demo, Step, modules, wallets};

pub mod many;
pub mod processes;

/// `devnet`.
pub fn devnet(context: &mut Context<'_>, arguments: &Devnet) -> Result<Exit, Failure> {
    if let Some(verb) = &arguments.verb {
        return many::verb(context, verb);
    }
    let home = Home::new(arguments.persist.as_deref())?;
    let port = arguments.port.or(arguments.once.then_some(0));
    // The demonstration is what is to be seen; the log says only what goes wrong, unless somebody asks for more.
    let loaded = run::dev_config(context, &home, port, "warn")?;
    let levels = run::log(context, &loaded)?;
    let (data, shown) = home.open()?;
    run::runtime()?.block_on(async {
        let module = tokio::task::spawn_blocking(modules::load);
        let mut signals = Signals::new(Hangup::Stop)?;
        let setup = Setup { loaded, data, member: None, levels, accounts: run::funded()?, modules: home.modules(), worker: run::worker() };
        let service = Service::start(setup).await?;
        run::ready(context, &service, &shown)?;
        let module = module.await.map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
        let shown = tokio::select! {
            shown = demonstrate(context, &service, module) => shown,
            exit = signals.next_stop() => {
                service.stop().await;
                return Ok(exit);
            }
        };
        match shown {
            Ok(0) if arguments.once => {
                service.stop().await;
                Ok(Exit::Ok)
            }
            Ok(0) => {
                context.printer.note("The node stays up. Ctrl-C stops it.")?;
                service.until_told(signals).await
            }
            Ok(wrong) => {
                service.stop().await;
                Err(Failure::new(Exit::Verification, format!("{wrong} of the steps above did not give what they should")))
            }
            Err(failure) => {
                service.stop().await;
                Err(failure)
            }
        }
    })
}

async fn demonstrate(context: &mut Context<'_>, service: &Service, module: Result<bytes::Bytes, modules::Error>) -> Result<usize, Failure> {
    // Compiling the AOS module for the first time takes longer than any message, so the demonstration waits longer than a user would.
    let client = Client::new(service.api(), context.globals.timeout.0.max(std::time::Duration::from_secs(180)))?;
    let wallet = wallets::wallets(wallets::NETWORK).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?.swap_remove(0);
    let (good, bad) = (context.printer.paint("32", "✓"), context.printer.paint("31;1", "✗"));
    let printer = &mut context.printer;
    if !printer.machine() {
        printer.line("")?;
    }
    let demo = Demo::new(client, wallet, service.identity().clone(), move |step: &Step| {
        printer.event("demo-step/v1", step.record(), || {
            let mark = if step.wrong.is_none() { &good } else { &bad };
            let expected = step.wrong.as_ref().map(|expected| format!("   expected: {expected}")).unwrap_or_default();
            format!("{mark} {:<52} {:>8.1} ms   {}{expected}", step.what, step.took.as_secs_f64() * 1e3, step.shown)
        })
    });
    demo.run(module).await
}
