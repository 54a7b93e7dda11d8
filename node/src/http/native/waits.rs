//! `?wait=LEVEL`: an answer that comes when a message is far enough, or when the time is over, and says which it was.

use std::time::Duration;

use ao_types::{Id, Slot};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Code, Rejection};
use crate::handle::Reached;
use crate::http::limits::WAIT_MS;
use crate::http::query::{Query, invalid, short};
use crate::http::{App, place, reply};
use crate::levels::{Goal, Level};

/// What the parameters mean, for the document.
pub const PARAMETERS: [(&str, &str); 2] = [
    ("wait", "Answer when it is `assigned`, `certified`, `confirmed` or `computed` at this node, or when the time is over."),
    ("timeout_ms", "Milliseconds to wait at most, up to 60000; default 20000."),
];

/// A wish to wait, with a place to do it.
pub struct Wait {
    goal: Goal,
    patience: Duration,
    _place: OwnedSemaphorePermit,
}

/// How waiting ended.
pub struct Waited {
    goal: Goal,
    level: Level,
    reached: bool,
    why: Option<Rejection>,
}

impl Wait {
    /// Reads the parameters and takes a place: before anything is done, so that a refusal means that nothing was.
    ///
    /// # Errors
    /// They are not of their form, or too many wait.
    pub fn parse(app: &App, query: &Query<'_>) -> Result<Option<Self>, Rejection> {
        let patience = query.limit("timeout_ms", WAIT_MS)?;
        let Some(name) = query.text("wait") else { return Ok(None) };
        let goal = Goal::named(name)
            .ok_or_else(|| invalid(format!("'wait': {} is expected, found `{}`", Goal::ALL.map(Goal::text).join(", "), short(name))))?;
        if goal == Goal::Level(Level::Anchored) && app.anchors().is_none() {
            return Err(invalid("'wait': this node writes nothing to Arweave: `anchored` is never reached here"));
        }
        let place = place(&app.waiters, "requests that wait for a level")?;
        Ok(Some(Self { goal, patience: Duration::from_millis(patience as u64), _place: place }))
    }

    /// Waits for a slot that its scheduler has given.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn assigned(self, app: &App, process: Id, slot: Slot) -> Result<Waited, Rejection> {
        if self.goal == Goal::Level(Level::Assigned) {
            return Ok(Waited { goal: self.goal, level: Level::Assigned, reached: true, why: None });
        }
        let waited = self.seen(app, process, slot).await?;
        // The scheduler's word, where its frame is not here yet.
        Ok(Waited { level: waited.level.max(Level::Assigned), ..waited })
    }

    /// Waits for a slot that may not even be given.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn seen(self, app: &App, process: Id, slot: Slot) -> Result<Waited, Rejection> {
        let Self { goal, patience, _place } = self;
        let Reached { standing, why } = tokio::select! {
            reached = app.backend.reach(process, slot, goal, patience) => reached?,
            () = app.stop.cancelled() => return Err(Rejection::retry(Code::Unavailable, "this node is about to stop", 5)),
        };
        Ok(Waited { goal, level: standing.level, reached: standing.meets(goal), why })
    }

    /// An item that is in no log: nothing will order it.
    pub fn in_no_log(self) -> Waited {
        let why = Rejection::new(Code::MessageUnknown, "it is stored and in no process's log: nothing orders or evaluates it");
        Waited { goal: self.goal, level: Level::Received, reached: false, why: Some(why) }
    }
}

impl Waited {
    /// The level it reached.
    pub fn level(&self) -> Level {
        self.level
    }

    /// As answers show it.
    pub fn shown(&self) -> Value {
        json!({ "for": self.goal.text(), "reached": self.reached, "reason": self.why.as_ref().map(|why| why.message.clone()) })
    }

    /// 200 where it was reached; else 202 and when to ask again.
    pub fn mark(&self, response: Response) -> Response {
        if self.reached {
            return reply::with_status(StatusCode::OK, response);
        }
        let mut response = reply::with_status(StatusCode::ACCEPTED, response);
        let seconds = self.why.as_ref().and_then(|why| why.retry_after_s).unwrap_or(1);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        response
    }
}
