//! `join`: from a genesis file, or the address of any node of a network, to a node that is part of it.
//!
//! Whoever answers at an address may lie, so an address needs the hash that the network's operators tell.

use ao_types::limits::GENESIS_BYTES_MAX;
use ao_types::{Genesis, NetworkId};

use super::args::{Binding, Init, Join};
use super::client::Client;
use super::context::Context;
use super::exit::{Exit, Failure};
use super::{local, run};
use crate::datadir;
use crate::keys::Kind;

/// `join`.
pub fn join(context: &mut Context<'_>, join: &Join) -> Result<Exit, Failure> {
    let genesis = genesis(context, join)?;
    context.of_network(&genesis.name)?;
    let layout = context.layout()?;
    match layout.exists().then(|| layout.pinned_genesis()).transpose()?.flatten() {
        Some((_, pinned)) if pinned == genesis.network_id()? => {}
        Some((_, pinned)) => {
            return Err(datadir::Error::WrongGenesis { root: layout.root().to_owned(), pinned, found: genesis.network_id()? }.into());
        }
        None => {
            let init = Init { force: layout.exists(), kind: Kind::default(), binding: Binding::default() };
            local::init_for(context, &init, Some(&genesis), join.port, join.no_start)?;
        }
    }
    if join.no_start { Ok(Exit::Ok) } else { run::start(context, &join.start) }
}

fn genesis(context: &Context<'_>, join: &Join) -> Result<Genesis, Failure> {
    if !join.source.starts_with("http://") && !join.source.starts_with("https://") {
        return local::binding(join.source.as_ref(), join.genesis_hash);
    }
    let expected = join.genesis_hash.ok_or_else(|| {
        Failure::usage("an address needs --genesis-hash: whoever answers there could tell of another network")
            .fix("ask the network's operators for the 64 digits that `aonode genesis hash` shows them")
    })?;
    let client = Client::new(&join.source, context.globals.timeout.0)?;
    let bytes = super::wait(client.get_at_most("v1/genesis", GENESIS_BYTES_MAX))?;
    let (genesis, found) = super::genesis::checked(&bytes)?;
    hashes_to(&join.source, found, expected)?;
    Ok(genesis)
}

/// Refuses a genesis that is not the one that was told of.
pub fn hashes_to(source: &str, found: NetworkId, expected: NetworkId) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::new(Exit::Precondition, format!("the genesis of {source} hashes to {found}, not {expected}"))
        .fix("this is not the network you were told of: ask its operators again"))
}
