//! The native interface, `/v1`: what this network has and the older one has no words for. Described by `/openapi.json`.
//!
//! A route exists by being in [`api`]: path, method, words for the document and handler in one line, so that the document cannot lag.

use axum::Router;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};

use super::App;
use super::reply;

mod anchors;
mod docs;
mod events;
mod evidence;
mod export;
mod list;
mod messages;
mod openapi;
pub(in crate::http) mod peers;
mod processes;
mod proof;
mod status;
mod waits;

/// One documented route.
pub struct Route {
    /// `get` or `post`.
    pub method: &'static str,
    /// Template, `/v1/processes/{process}`.
    pub path: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Query parameters: name and meaning.
    pub query: &'static [(&'static str, &'static str)],
    /// Kind of body it takes.
    pub takes: Takes,
    /// Statuses it answers with when all is well, and the schema of the body.
    pub gives: (&'static [u16], &'static str),
    /// Codes it refuses with, besides those any route may.
    pub refuses: &'static [crate::Code],
}

/// What a route takes as body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A signed data item.
    Item,
    /// JSON of a schema.
    Json(&'static str),
}

const PAGE: [(&str, &str); 2] = [("limit", "Entries, 1 to 100; default 30."), ("cursor", "`next_cursor` of the page before.")];

/// Every native route with its handler.
pub fn api() -> Vec<(Route, MethodRouter<App>)> {
    use crate::Code::{
        Busy, Duplicate, ItemMalformed, ItemUnknown, MessageUnknown, ProcessUnknown, SignatureInvalid, TagInvalid, TooLarge,
    };
    let read = |path, summary, query, schema, refuses| Route {
        method: "get",
        path,
        summary,
        query,
        takes: Takes::Nothing,
        gives: (&[200], schema),
        refuses,
    };
    let write = |path, summary, takes, gives, refuses| Route { method: "post", path, summary, query: &[], takes, gives, refuses };
    vec![
        (read("/v1/status", "How the node is: mode, height, counts.", &[], "Status", &[]), get(status::status)),
        (
            read("/v1/identity", "Who the node is: addresses to name as scheduler and authority.", &[], "Identity", &[]),
            get(status::identity),
        ),
        (read("/v1/peers", "Peers that are connected, ordered by id.", &[], "Peers", &[Busy]), get(peers::list)),
        (
            read(
                "/v1/genesis",
                "The network's genesis, canonical: its SHA-256 is the network's id.",
                &[],
                "Genesis",
                &[crate::Code::NetworkNone],
            ),
            get(status::genesis),
        ),
        (read("/v1/processes", "Processes this node orders, by id.", &PAGE, "ProcessList", &[]), get(processes::list)),
        (
            Route {
                query: &waits::PARAMETERS,
                ..write(
                    "/v1/processes",
                    "Spawns a process from a signed item. A second time is no error. 200 where `wait` was given and is reached.",
                    Takes::Item,
                    (&[200, 202], "Accepted"),
                    &[ItemMalformed, SignatureInvalid, TagInvalid, TooLarge],
                )
            },
            post(messages::post_process),
        ),
        (read("/v1/processes/{process}", "One process.", &[], "Process", &[ProcessUnknown]), get(processes::one)),
        (
            read(
                "/v1/processes/{process}/slots",
                "The process's log.",
                &[PAGE[0], PAGE[1], ("order", "`asc` (default) or `desc`.")],
                "SlotList",
                &[ProcessUnknown],
            ),
            get(processes::slots),
        ),
        (
            Route {
                gives: (&[200, 202], "Slot"),
                ..read(
                    "/v1/processes/{process}/slots/{slot}",
                    "One slot of the log. With `wait`: when it is that far, or with 202 when the time is over.",
                    &waits::PARAMETERS,
                    "Slot",
                    &[ProcessUnknown, MessageUnknown, Busy],
                )
            },
            get(processes::slot),
        ),
        (
            Route {
                gives: (&[200, 202], "Proof"),
                ..read(
                    "/v1/processes/{process}/slots/{slot}/proof",
                    "Proves to anybody who has the genesis that a slot is confirmed; `aonode verify` checks it offline. 202 until it is.",
                    &[waits::PARAMETERS[0], waits::PARAMETERS[1], ("genesis", "`false` leaves the genesis out.")],
                    "Proof",
                    &[ProcessUnknown, MessageUnknown, crate::Code::NetworkNone],
                )
            },
            get(proof::proof),
        ),
        (
            read(
                "/v1/processes/{process}/results",
                "Results, cron results and failures included.",
                &[PAGE[0], PAGE[1], ("order", "`asc` (default) or `desc`.")],
                "ResultList",
                &[ProcessUnknown],
            ),
            get(processes::results),
        ),
        (
            Route {
                gives: (&[200, 202], "Result"),
                ..read(
                    "/v1/processes/{process}/results/{slot}",
                    "The result of one slot. 202 with `Retry-After` while it is being computed.",
                    &[],
                    "Result",
                    &[ProcessUnknown, MessageUnknown],
                )
            },
            get(processes::result),
        ),
        (
            read(
                "/v1/processes/{process}/bundle",
                "The log as an ANS-104 bundle: each slot's assignment, then its item. `x-next-slot` names the next page.",
                &[("from", "First slot; default 0."), ("limit", "Slots, 1 to 500; default 100.")],
                "Bytes",
                &[ProcessUnknown],
            ),
            get(export::log),
        ),
        (read("/v1/items/{id}", "The signed bytes of an item.", &[], "Bytes", &[ItemUnknown]), get(export::item)),
        (
            read("/v1/processes/{process}/outbox", "Entries still to be delivered.", &PAGE, "OutboxList", &[ProcessUnknown]),
            get(processes::outbox),
        ),
        (
            write(
                "/v1/processes/{process}/dry-run",
                "Evaluates a message without a trace.",
                Takes::Json("DryRun"),
                (&[200], "Evaluation"),
                &[ProcessUnknown, Busy],
            ),
            post(processes::dry_run),
        ),
        (
            Route {
                query: &waits::PARAMETERS,
                ..write(
                    "/v1/messages",
                    "Takes a signed item, whichever node schedules its process. Answers when it is durable in the process's log: 202; 200 \
                     where `wait` was given and is reached. A second time is no error.",
                    Takes::Item,
                    (&[200, 202], "Accepted"),
                    &[ItemMalformed, SignatureInvalid, TagInvalid, Duplicate, ProcessUnknown, TooLarge],
                )
            },
            post(messages::post_message),
        ),
        (read("/v1/messages/{id}", "How far a message is, in every log it is in.", &[], "Message", &[ItemUnknown]), get(messages::one)),
        (read("/v1/messages/{id}/trace", "A message and everything that came of it.", &[], "Trace", &[ItemUnknown]), get(messages::trace)),
        (
            read("/v1/evidence", "Faults of schedulers and attestors that were shown to this node.", &PAGE, "EvidenceList", &[]),
            get(evidence::list),
        ),
        (
            read(
                "/v1/evidence/{evidence}",
                "Canonical bytes of one: `aonode evidence verify` checks them offline.",
                &[],
                "Bytes",
                &[ItemUnknown],
            ),
            get(evidence::one),
        ),
        (
            read(
                "/v1/anchors",
                "What this node wrote to Arweave, by number.",
                &[PAGE[0], PAGE[1], ("order", "`asc` (default) or `desc`.")],
                "AnchorList",
                &[],
            ),
            get(anchors::list),
        ),
        (
            read("/v1/anchors/{number}", "One writing: its transactions, receipts and items.", &[], "Anchor", &[ItemUnknown]),
            get(anchors::one),
        ),
        (
            read(
                "/v1/events",
                "What happens, as server-sent events. `Last-Event-ID` works like `after`.",
                &[("after", "The `id` of the last event seen."), ("process", "Only events of this process.")],
                "Event",
                &[Busy],
            ),
            get(events::stream),
        ),
    ]
}

/// The native routes, their document and its page.
pub fn routes() -> Router<App> {
    let router = api().into_iter().fold(Router::new(), |router, (route, handler)| router.route(route.path, handler));
    router.route("/openapi.json", get(document)).route("/docs", get(docs::page)).route("/docs/errors", get(docs::errors))
}

async fn document() -> Response {
    // Small and asked for rarely: made when asked for.
    reply::json(&openapi::document(api().iter().map(|(route, _)| route)))
}
