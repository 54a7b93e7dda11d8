//! `peers`: who the node is connected to, and who may not be. Banning goes through the operator's listener.

use serde_json::{Value, json};

use super::args::Peers;
use super::client::Client;
use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{pairs, printable};

const COLUMNS: [(&str, &str); 6] = [
    ("Peer", "peer"),
    ("Direction", "direction"),
    ("Address", "address"),
    ("Score", "score"),
    ("Round trip ms", "round_trip_ms"),
    ("Agent", "agent"),
];

/// `peers`.
pub async fn peers(context: &mut Context<'_>, verb: Peers) -> Result<Exit, Failure> {
    match verb {
        Peers::List => {
            let found = context.client()?.get("v1/peers").await?;
            context.printer.list("peers/v1", rows(&found), &COLUMNS, None)?;
        }
        Peers::Show { peer } => {
            let found = context.client()?.get("v1/peers").await?;
            let Some(row) = rows(&found).into_iter().find(|row| row["peer"] == peer.as_str()) else {
                return Err(Failure::new(Exit::NotFound, format!("{peer} is not connected")).fix("`aonode peers list` shows who is"));
            };
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), printable);
            let names = row.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            let shown: Vec<_> = names.iter().map(|name| (name.as_str(), text(&row[name.as_str()]))).collect();
            let shown = pairs(&shown);
            context.printer.record("peer/v1", row, || shown)?;
        }
        Peers::Ban { peer, length } => {
            let answer = admin(context)?.post("admin/peers/ban", &json!({ "peer": peer, "for_s": length.0.as_secs() })).await?;
            context.printer.record("peer-ban/v1", answer, || format!("{peer} is banned for {length}"))?;
        }
        Peers::Unban { peer } => {
            let answer = admin(context)?.post("admin/peers/unban", &json!({ "peer": peer })).await?;
            context.printer.record("peer-unban/v1", answer, || format!("{peer} may come back"))?;
        }
        Peers::Bans => {
            let found = admin(context)?.get("admin/peers/bans").await?;
            let columns = [("Peer", "peer"), ("Reason", "reason"), ("Until", "until"), ("Earlier bans", "earlier")];
            context.printer.list("bans/v1", found["bans"].as_array().cloned().unwrap_or_default(), &columns, None)?;
        }
    }
    Ok(Exit::Ok)
}

fn rows(found: &Value) -> Vec<Value> {
    found["peers"].as_array().cloned().unwrap_or_default()
}

/// The operator's listener of the node on this data directory, with its token.
pub(super) fn admin(context: &Context<'_>) -> Result<Client, Failure> {
    let layout = context.layout()?;
    let config = context.config(&layout)?.config;
    let token = std::fs::read_to_string(layout.token()).map_err(|error| {
        Failure::new(Exit::Config, format!("cannot read {}: {error}", layout.token().display()))
            .fix("run this on the node's machine, as its user, with its --datadir")
    })?;
    Ok(Client::new(&format!("http://{}", config.admin.listen), context.globals.timeout.0)?.with_token(token.trim()))
}
