//! `anchor`: what a node writes to Arweave, as the node tells it, and as Arweave does.

use ao_types::Id;
use serde_json::{Value, json};

use super::args::Anchor;
use super::context::Context;
use super::exit::{Exit, Failure};
use super::online::encoded;
use super::output::{pairs, printable, table};
use super::verify::{self, anchored::Claim};
use crate::config::Ar;

/// `anchor`.
pub async fn anchor(context: &mut Context<'_>, verb: &Anchor) -> Result<Exit, Failure> {
    match verb {
        Anchor::Status => status(context).await,
        Anchor::List { limit, cursor } => {
            let cursor = cursor.as_ref().map(|cursor| format!("&cursor={}", encoded(cursor))).unwrap_or_default();
            let page = context.client()?.get(&format!("v1/anchors?order=desc&limit={limit}{cursor}")).await?;
            let mut rows = page["items"].as_array().cloned().unwrap_or_default();
            for row in &mut rows {
                row["cost"] = json!(amount(&row["signed_for"]));
                row["carries"] = json!(carries(row));
            }
            let columns = [
                ("number", "number"),
                ("state", "state"),
                ("height", "height"),
                ("transaction", "transaction"),
                ("carries", "carries"),
                ("items", "items"),
                ("bytes", "bytes"),
                ("AR", "cost"),
            ];
            context.printer.list("anchor/v1", rows, &columns, page["next_cursor"].as_str())?;
            Ok(Exit::Ok)
        }
        Anchor::Show { number } => {
            let shown = context.client()?.get(&format!("v1/anchors/{number}")).await?;
            context.printer.record("anchor/v1", shown.clone(), || describe(&shown))?;
            Ok(Exit::Ok)
        }
        Anchor::Verify { number, arweave, genesis } => {
            let shown = context.client()?.get(&format!("v1/anchors/{number}")).await?;
            let id = |value: &Value| value.as_str().and_then(|text| Id::parse(text).ok());
            // In a block, what carries the bundle is the newest that was signed, unless an older one was mined.
            let carriers = || list(&shown["carriers"]).iter().filter_map(|carrier| id(&carrier["id"]));
            let Some(transaction) = id(&shown["transaction"]).filter(|_| !shown["height"].is_null()) else {
                let state = text(&shown["state"]);
                return Err(Failure::new(Exit::NotFound, format!("writing {number} is {state}: it is in no block yet"))
                    .fix("ask again in a moment"));
            };
            let carrier = carriers().find(|carrier| *carrier == transaction).or_else(|| carriers().next_back()).unwrap_or(transaction);
            let claim = Claim { transaction, carrier };
            let findings = verify::on_arweave(context, genesis.as_deref(), arweave, claim).await?;
            verify::report(context, &format!("writing {number}"), &findings)
        }
    }
}

async fn status(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let status = context.client()?.get("v1/status").await?;
    let anchoring = &status["anchoring"];
    if anchoring.is_null() {
        return Err(Failure::new(Exit::Precondition, "this node writes nothing to Arweave").fix("set arweave.gateways and start it again"));
    }
    context.printer.record("anchor-status/v1", anchoring.clone(), || {
        let mut out = pairs(&[
            ("Lag", format!("{:.1} s", anchoring["lag_ms"].as_f64().unwrap_or_default() / 1e3)),
            ("Waiting", format!("{} slots, {} bytes", text(&anchoring["backlog"]["slots"]), text(&anchoring["backlog"]["bytes"]))),
            ("Height", text(&anchoring["height"])),
            ("Wallet", text(&anchoring["wallet"])),
            (
                "Balance",
                format!(
                    "{} AR, of which {} stay{}",
                    amount(&anchoring["balance"]),
                    amount(&anchoring["floor"]),
                    lasts(&anchoring["days_left"])
                ),
            ),
            ("Spent", format!("{} AR today, at most {}", amount(&anchoring["spent_today"]), amount(&anchoring["cap"]))),
        ]);
        let stages = list(&anchoring["stages"]).iter().filter(|stage| stage["shipments"] != 0);
        let rows = stages.map(|stage| ["state", "shipments", "items", "bytes"].map(|field| text(&stage[field])).to_vec());
        out.push_str(&table(["state", "shipments", "items", "bytes"].into_iter(), rows, false));
        let endpoints = list(&anchoring["gateways"]).iter().chain(list(&anchoring["bundlers"]));
        let rows = endpoints.map(|endpoint| ["url", "answered", "failed"].map(|field| text(&endpoint[field])).to_vec());
        out.push('\n');
        out.push_str(&table(["endpoint", "answered", "failed"].into_iter(), rows, false));
        if let (Some(trouble), Some(fix)) = (anchoring["trouble"].as_str(), anchoring["fix"].as_str()) {
            out.push_str(&format!("\n{}\n  fix: {fix}", printable(trouble)));
        }
        out
    })?;
    Ok(if anchoring["trouble"].is_null() { Exit::Ok } else { Exit::NotReady })
}

fn describe(shipment: &Value) -> String {
    let mut out = pairs(&[
        ("Number", text(&shipment["number"])),
        ("State", text(&shipment["state"])),
        ("Height", text(&shipment["height"])),
        ("Block", text(&shipment["block"])),
        ("Transaction", text(&shipment["transaction"])),
        ("Data root", text(&shipment["data_root"])),
        ("Items", text(&shipment["items"])),
        ("Bytes", text(&shipment["bytes"])),
        ("Signed for", format!("{} AR", amount(&shipment["signed_for"]))),
    ]);
    let state = &shipment["carried_state"];
    if !state.is_null() {
        let [process, slot, hash] = ["process", "slot", "state_hash"].map(|field| text(&state[field]));
        out.push_str(&format!("State of process {process} after slot {slot}: {hash}\n"));
    }
    let ranges = list(&shipment["ranges"]).iter().map(|range| ["process", "from", "to"].map(|field| text(&range[field])).to_vec());
    out.push_str(&table(["process", "from", "to"].into_iter(), ranges, false));
    let carriers = list(&shipment["carriers"]).iter();
    let rows = carriers.map(|carrier| vec![text(&carrier["id"]), amount(&carrier["reward"]), text(&carrier["anchor_height"])]);
    out.push('\n');
    out.push_str(&table(["signed", "AR", "anchored to"].into_iter(), rows, false));
    let copies = list(&shipment["copies"]).iter().map(|copy| {
        let promise = if copy["promise"].is_null() { "-".to_owned() } else { format!("by height {}", text(&copy["promise"]["deadline"])) };
        vec![text(&copy["endpoint"]), text(&copy["chunks"]), promise]
    });
    out.push('\n');
    out.push_str(&table(["taken by", "chunks", "promise"].into_iter(), copies, false));
    out
}

/// What a writing is for, in a few words.
fn carries(shipment: &Value) -> String {
    if shipment["state"].is_null() {
        return "-".to_owned();
    }
    let state = &shipment["carried_state"];
    match list(&shipment["ranges"]) {
        [] if !state.is_null() => format!("state after slot {} of {}", text(&state["slot"]), text(&state["process"])),
        [] => "records".to_owned(),
        [range] => format!("slots {} to {} of {}", text(&range["from"]), text(&range["to"]), text(&range["process"])),
        ranges => {
            let processes: std::collections::BTreeSet<String> = ranges.iter().map(|range| text(&range["process"])).collect();
            format!("slots of {} processes", processes.len())
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    }
}

/// How long the wallet lasts, where that is soon enough to matter.
fn lasts(days: &Value) -> String {
    days.as_u64().filter(|days| *days < 3650).map_or_else(String::new, |days| format!("; lasts {days} days"))
}

/// Winston in digits, as AR.
fn amount(winston: &Value) -> String {
    let parsed = winston.as_str().and_then(|digits| digits.parse().ok());
    parsed.map_or_else(|| "-".to_owned(), |winston| Ar(winston).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writing_says_what_it_is_for() {
        let range = |process: &str, from: u64, to: u64| json!({ "process": process, "from": from, "to": to });
        let cases = [
            (json!({ "state": "seen", "ranges": [range("P", 3, 7)], "carried_state": null }), "slots 3 to 7 of P"),
            (
                json!({ "state": "seen", "ranges": [range("P", 3, 7), range("Q", 0, 0), range("P", 8, 9)], "carried_state": null }),
                "slots of 2 processes",
            ),
            (
                json!({ "state": "seen", "ranges": [], "carried_state": { "process": "P", "slot": 9_999, "state_hash": "H", "item": "I" } }),
                "state after slot 9999 of P",
            ),
            (json!({ "state": "seen", "ranges": [], "carried_state": null }), "records"),
            (json!({ "number": 1, "state": null }), "-"),
        ];
        for (shipment, expected) in cases {
            assert_eq!(carries(&shipment), expected);
        }
    }
}
