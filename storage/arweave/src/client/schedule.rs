//! Logs as the older network's schedulers show them (`interop-legacynet.md`, section 3.3): pages of messages with their assignments.
//!
//! Every scheduler that is configured is asked and none is believed: a page is a list of what somebody shows, put together and checked by
//! whoever asks ([`crate::shown`]), and missing or superfluous slots are found by the log's own numbers.

use ao_types::{Id, Slot};
use futures::future::join_all;
use serde::Deserialize;
use serde_json::Value;

use super::fetch::{Answer, FetchError};
use super::said::{Said, sort};
use super::{Client, Kind, health};
use crate::gateways::Health;
use crate::limits::{SCHEDULE_BYTES_MAX, SCHEDULE_PAGE};
use crate::shown::Shown;

/// One slot, as a scheduler shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The assignment.
    pub assignment: Shown,
    /// What has the slot, with its data; `None` where it was sent elsewhere, or its data is no text.
    pub message: Option<(Shown, Option<String>)>,
}

/// A part of a log, as one scheduler shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Slots, in the order in which they came.
    pub edges: Vec<Edge>,
    /// Whether there is more, as is claimed.
    pub more: bool,
}

#[derive(Deserialize)]
struct PageJson {
    page_info: PageInfo,
    edges: Vec<EdgeJson>,
}
#[derive(Deserialize)]
struct PageInfo {
    has_next_page: bool,
}
#[derive(Deserialize)]
struct EdgeJson {
    node: NodeJson,
}
#[derive(Deserialize)]
struct NodeJson {
    message: Option<MessageJson>,
    assignment: Shown,
}
#[derive(Deserialize)]
struct MessageJson {
    #[serde(flatten)]
    shown: Shown,
    #[serde(default)]
    data: Value,
}

impl Client {
    /// What each scheduler that answers shows behind slot `after` of a log (`None`: from its beginning), `limit` slots at most. A page that
    /// is too large is asked for again with fewer.
    pub async fn schedule(&self, process: &Id, after: Option<Slot>, limit: usize) -> Vec<Page> {
        let asked = self.available(Kind::Scheduler).into_iter().map(|place| self.schedule_of(place, process, after, limit));
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn schedule_of(&self, place: usize, process: &Id, after: Option<Slot>, limit: usize) -> Option<Page> {
        let url = self.url(Kind::Scheduler, place)?;
        let after = after.map_or_else(|| "-1".to_owned(), |slot| slot.to_string());
        let mut limit = limit.clamp(1, SCHEDULE_PAGE);
        loop {
            let path = format!("{url}/{process}?process-id={process}&from-nonce={after}&limit={limit}&show-anchor=true");
            let began = self.0.surroundings.now_ms();
            let answer = self.0.fetcher.get(&path, SCHEDULE_BYTES_MAX).await;
            if matches!(answer, Err(FetchError::TooLarge { .. })) && limit > 1 {
                // Messages are of any size; it is not to blame.
                self.heard(Kind::Scheduler, place, &url, Health::Answered, began);
                limit /= 4;
                limit = limit.max(1);
                continue;
            }
            let said = answer.as_ref().map_or(Said::Nothing, |answer| sort(answer, |answer| read(answer, limit)));
            self.heard(Kind::Scheduler, place, &url, health(&answer, matches!(said, Said::Lie)), began);
            return if let Said::Yes(page) = said { Some(page) } else { None };
        }
    }
}

/// More than was asked for at once is no page of an honest scheduler.
pub(crate) fn read(answer: &Answer, limit: usize) -> Option<Page> {
    let PageJson { page_info, edges } = serde_json::from_slice(&answer.body).ok()?;
    if edges.len() > limit {
        return None;
    }
    let edge = |EdgeJson { node }: EdgeJson| {
        let message = node.message.map(|message| (message.shown, message.data.as_str().map(str::to_owned)));
        Edge { assignment: node.assignment, message }
    };
    Some(Page { edges: edges.into_iter().map(edge).collect(), more: page_info.has_next_page })
}
