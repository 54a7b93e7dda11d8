//! Sending an item and waiting until it is far enough: `--wait`.
//!
//! The node does the waiting, for as long as it lets one request; this goes on asking until the command's own time is over. A message that
//! is durable and not far enough in time is neither lost nor refused, and the failure says so: its level, and how to look later.

use std::time::{Duration, Instant};

use ao_types::{DataItem, Id, Verified};
use serde_json::Value;

use super::client::Client;
use super::exit::{Exit, Failure};
use super::output::printable;
use crate::levels::Goal;

/// Time kept for the way of an answer, so that the node's answer comes before the request is given up.
const MARGIN: Duration = Duration::from_millis(500);

/// `--wait` with a name.
///
/// # Errors
/// No goal has this name.
pub fn goal(name: &str) -> Result<Goal, String> {
    Goal::named(name).ok_or_else(|| format!("one of {} is expected", Goal::ALL.map(Goal::text).join(", ")))
}

/// Posts an item; with a goal, resolves when it is reached.
///
/// # Errors
/// As [`Client::submit`]; or the goal was not reached in time ([`Exit::TimedOut`]).
pub async fn send(client: &Client, path: &str, item: &Verified<DataItem>, goal: Option<Goal>) -> Result<Value, Failure> {
    let Some(goal) = goal else { return client.submit(path, item).await };
    let end = Instant::now() + client.timeout();
    let mut answer = client.submit(&format!("{path}?{}", wish(goal, end)), item).await?;
    let accepted = answer.clone();
    loop {
        if answer["wait"]["reached"] == true {
            return Ok(Value::Object([accepted, answer].into_iter().filter_map(|one| one.as_object().cloned()).flatten().collect()));
        }
        let place = accepted["process"].as_str().zip(accepted["slot"].as_u64());
        let (Some((process, slot)), true, true) = (place, answer["wait"]["reason"].is_null(), Instant::now() + MARGIN < end) else {
            return Err(late(&item.id(), goal, &answer));
        };
        let process = Id::parse(process).map_err(|error| Failure::new(Exit::Unreachable, error.to_string()))?;
        answer = match client.get(&format!("v1/processes/{process}/slots/{slot}?{}", wish(goal, end))).await {
            Ok(answer) => answer,
            // Time ran out between two answers: what is known is in the last one.
            Err(failure) if failure.exit == Exit::TimedOut => return Err(late(&item.id(), goal, &answer)),
            Err(failure) => return Err(failure),
        };
    }
}

fn wish(goal: Goal, end: Instant) -> String {
    let left = end.saturating_duration_since(Instant::now()).saturating_sub(MARGIN).as_millis().max(1);
    format!("wait={}&timeout_ms={left}", goal.text())
}

fn late(id: &Id, goal: Goal, answer: &Value) -> Failure {
    let state = answer["state"].as_str().map_or_else(|| "received".into(), printable);
    let why = answer["wait"]["reason"].as_str().map(|reason| format!(": {}", printable(reason))).unwrap_or_default();
    Failure::new(Exit::TimedOut, format!("message {id} is durable and {state}; it is not {} yet{why}", goal.text()))
        .fix(format!("look later with `aonode message trace {id}`, or allow more with --timeout"))
}
