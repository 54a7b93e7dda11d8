//! All units on one origin (`interop-legacynet.md`, section 1). Two paths collide; what tells the callers apart is here.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use super::query::{self, Query};
use super::reply::{self, Legacy};
use super::schedule::PageRequest;
use super::{App, cu, mu, su, trace};
use crate::error::{Code, Rejection};
use crate::gateway;

/// Routes at the root.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", get(information).post(|app, request| mu::post_item(app, request, mu::Form::Union)))
        .route("/{id}", get(read))
        .merge(su::shared())
        .merge(mu::shared())
        .merge(cu::shared())
        .merge(gateway::shared())
}

/// `GET /`: one object in which every unit's clients find what they read; the messenger's trace page if that is asked for.
async fn information(State(app): State<App>, uri: Uri) -> Result<Response, Legacy> {
    let query = Query::of(&uri)?;
    if query.has("debug") {
        return Ok(reply::json(&trace::page(&app, &query).await?));
    }
    let identity = app.backend.identity();
    // Clients read here what the processes they spawn are to name.
    let host = app.backend.hosts().into_iter().next();
    let (scheduler, authority) = host.map_or((identity.scheduler, None), |host| (host.scheduler, host.authority));
    let mut info = gateway::info(&app)?;
    for (name, value) in [
        ("timestamp", json!(su::now_ms().to_string())),
        ("address", json!(scheduler.to_string())),
        ("authority", json!(authority.unwrap_or(identity.messenger).to_string())),
        ("module", json!(identity.default_module)),
        ("engine", json!(identity.engine)),
    ] {
        info.insert(name.into(), value);
    }
    Ok(reply::json(&info))
}

/// `GET /{id}`: the scheduler's if the request speaks of a process or has the parameters of a page, else the gateway's.
async fn read(State(app): State<App>, Path(id): Path<String>, request: Request) -> Result<Response, Legacy> {
    let uri = request.uri().clone();
    let query = Query::of(&uri)?;
    if ao_types::Id::parse(&id).is_err() {
        // One segment that is no id is a route that somebody expects here, such as `/favicon.ico`.
        return Err(Rejection::new(Code::RouteUnknown, format!("no such route: /{}", query::short(&id))).into());
    }
    if query.has("process-id") || PageRequest::is_asked(&query) {
        let id = query::id("id", &id)?;
        let process = query.id("process-id")?;
        return Ok(su::page_or_node(&app, id, process, &query).await?);
    }
    Ok(gateway::data(&app, &id, request.headers()).await?)
}
