//! `/v1/events`: server-sent events with a cursor.

use std::convert::Infallible;
use std::fmt::Write as _;

use ao_types::Id;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;

use crate::http::events::{More, Place};
use crate::http::limits::EVENT_PING;
use crate::http::query::{Query, invalid};
use crate::http::reply::{self, Native};
use crate::http::{App, place};

struct Stream {
    app: App,
    at: Place,
    process: Option<Id>,
    greeted: bool,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

/// The stream: `id:` is the cursor, `event:` the kind, `data:` JSON. An event `gap` says that some are gone; a comment says the node lives.
pub async fn stream(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Result<Response, Native> {
    let query = Query::of(&uri)?;
    let process = query.id("process")?;
    let after = query
        .text("after")
        .map(str::to_owned)
        .or_else(|| headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned));
    let at = match after {
        Some(cursor) => app.events.place(&cursor).ok_or_else(|| invalid("'after': not the id of an event"))?,
        None => app.events.now(),
    };
    let permit = place(&app.streams, "event streams")?;
    let stream = Stream { app, at, process, greeted: false, _permit: permit };
    let body = Body::from_stream(stream::unfold(stream, next));
    let mut response = reply::typed(HeaderValue::from_static("text/event-stream"), body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn next(mut stream: Stream) -> Option<(Result<Bytes, Infallible>, Stream)> {
    if !std::mem::replace(&mut stream.greeted, true) {
        // Headers reach the client with the first bytes; without events those would not come for a while.
        return Some((Ok(Bytes::from_static(b": ready\n\n")), stream));
    }
    loop {
        let More { gap, events } = stream.app.events.more(&mut stream.at);
        let mut text = String::new();
        if gap {
            text.push_str("event: gap\ndata: {}\n\n");
        }
        for event in events.iter().filter(|event| stream.process.is_none_or(|process| process == event.process)) {
            let _ = write!(text, "id: {}\nevent: {}\ndata: {}\n\n", stream.app.events.cursor(event.number), event.name, event.data);
        }
        if !text.is_empty() {
            return Some((Ok(text.into()), stream));
        }
        tokio::select! {
            () = stream.app.stop.cancelled() => return None,
            () = stream.app.events.changed(stream.at) => {}
            () = tokio::time::sleep(EVENT_PING) => return Some((Ok(Bytes::from_static(b": alive\n\n")), stream)),
        }
    }
}
