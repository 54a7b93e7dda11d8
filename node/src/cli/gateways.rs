//! Asking Arweave from the command line: whose gateways, and a client for them.

use std::sync::Arc;

use ao_arweave::client::Client;

use super::context::Context;
use super::exit::{Exit, Failure};
use crate::{anchor, shell};

/// Those that were named, or else those that the data directory's configuration has.
///
/// # Errors
/// There are none, or the system gives no HTTP client.
pub fn client(context: &Context<'_>, named: &[String]) -> Result<Client, Failure> {
    let urls = if named.is_empty() { context.config(&context.layout()?)?.config.arweave.gateways } else { named.to_vec() };
    if urls.is_empty() {
        return Err(Failure::usage("no gateway of Arweave is known").fix("name one or more: --arweave URL"));
    }
    anchor::reader(&urls, Arc::new(shell::wall_clock)).map_err(|error| Failure::new(Exit::Exhausted, error.to_string()))
}
