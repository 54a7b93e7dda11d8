//! Recent events of the node under numbers, so that a stream that broke can go on where it was.
//!
//! Numbers live as long as the process; a cursor of another run, or one that is too old, is answered with a `gap` event: the client
//! then reads the lists again. Events are hints about durable rows, so nothing is lost by that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ao_types::Id;
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::limits::EVENTS_KEPT;
use crate::handle::Event;

/// One event as streams show it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its number.
    pub number: u64,
    /// The process it is about.
    pub process: Id,
    /// SSE `event:`.
    pub name: &'static str,
    /// SSE `data:`.
    pub data: Arc<str>,
}

/// Where a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    run: u32,
    next: u64,
}

/// What a stream gets when it asks for more.
#[derive(Debug, Default)]
pub struct More {
    /// Some events between the cursor and the first of `events` are gone.
    pub gap: bool,
    /// In order.
    pub events: Vec<Shown>,
}

/// Keeps the last [`EVENTS_KEPT`] events.
#[derive(Clone)]
pub struct Hub {
    run: u32,
    kept: Arc<RwLock<VecDeque<Shown>>>,
    next: watch::Receiver<u64>,
}

impl Hub {
    /// Follows a node until `stop` or until the node is gone.
    pub fn follow(mut events: broadcast::Receiver<Event>, stop: CancellationToken) -> Self {
        let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as u32;
        let (announce, next) = watch::channel(0);
        let kept: Arc<RwLock<VecDeque<Shown>>> = Arc::default();
        let hub = Self { run, kept: kept.clone(), next };
        tokio::spawn(async move {
            let mut number = 0;
            loop {
                let event = tokio::select! { () = stop.cancelled() => return, event = events.recv() => event };
                match event {
                    Ok(event) => {
                        let shown = show(number, &event);
                        let mut kept = kept.write();
                        if kept.len() == EVENTS_KEPT {
                            kept.pop_front();
                        }
                        kept.push_back(shown);
                        number += 1;
                    }
                    // Their numbers are used up all the same: whoever stands before them sees the gap.
                    Err(broadcast::error::RecvError::Lagged(lost)) => {
                        kept.write().clear();
                        number += lost;
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                }
                announce.send_replace(number);
            }
        });
        hub
    }

    /// The place after everything so far.
    pub fn now(&self) -> Place {
        Place { run: self.run, next: *self.next.borrow() }
    }

    /// The place that a cursor names. A cursor of another run is before everything.
    pub fn place(&self, cursor: &str) -> Option<Place> {
        let (run, number) = cursor.split_once('-')?;
        Some(Place { run: u32::from_str_radix(run, 16).ok()?, next: number.parse::<u64>().ok()?.checked_add(1)? })
    }

    /// The cursor of an event.
    pub fn cursor(&self, number: u64) -> String {
        format!("{:08x}-{number}", self.run)
    }

    /// Everything from a place on; the place moves behind it.
    pub fn more(&self, place: &mut Place) -> More {
        let kept = self.kept.read();
        let end = kept.back().map_or_else(|| *self.next.borrow(), |last| last.number + 1);
        let other_run = place.run != self.run || place.next > end;
        let from = if other_run { 0 } else { place.next };
        let start = kept.partition_point(|event| event.number < from);
        let events: Vec<Shown> = kept.range(start..).cloned().collect();
        let first = events.first().map_or(end, |event| event.number);
        *place = Place { run: self.run, next: end };
        More { gap: other_run || first > from, events }
    }

    /// Returns when there may be more than at `place`.
    pub async fn changed(&self, place: Place) {
        let mut next = self.next.clone();
        if next.wait_for(|next| *next > place.next).await.is_err() {
            // The node is gone; so will be the listener in a moment.
            std::future::pending::<()>().await;
        }
    }
}

fn show(number: u64, event: &Event) -> Shown {
    let (name, process, data): (_, _, Value) = match event {
        Event::Assigned { process, slot, message } => ("assigned", process, json!({ "slot": slot, "message": message })),
        Event::Certified { process, slot } => ("certified", process, json!({ "slot": slot })),
        Event::Confirmed { process, slot } => ("confirmed", process, json!({ "slot": slot })),
        Event::Anchored { process, slot } => ("anchored", process, json!({ "slot": slot })),
        Event::Evaluated { process, slot, message, cron, failed } => {
            ("computed", process, json!({ "slot": slot, "message": message, "cron": cron, "failed": failed }))
        }
        Event::Pushed { process, slot, child } => ("pushed", process, json!({ "slot": slot, "child": child })),
    };
    let mut data = data;
    if let Some(fields) = data.as_object_mut() {
        fields.insert("process".into(), json!(process));
    }
    Shown { number, process: *process, name, data: data.to_string().into() }
}

#[cfg(test)]
mod tests {
    use ao_types::Slot;

    use super::*;

    fn event(slot: u64) -> Event {
        Event::Confirmed { process: Id([1; 32]), slot: Slot(slot) }
    }

    #[tokio::test]
    async fn a_stream_goes_on_where_it_was() {
        let (node, events) = broadcast::channel(16);
        let hub = Hub::follow(events, CancellationToken::new());
        let mut place = hub.now();
        for slot in 0..3 {
            node.send(event(slot)).unwrap();
        }
        while hub.now().next < 3 {
            hub.changed(hub.now()).await;
        }
        let more = hub.more(&mut place);
        assert!(!more.gap);
        assert_eq!(more.events.iter().map(|event| event.number).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(&*more.events[0].data, r#"{"slot":0,"process":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}"#);
        assert!(hub.more(&mut place).events.is_empty());

        let mut back = hub.place(&hub.cursor(0)).unwrap();
        let more = hub.more(&mut back);
        assert_eq!((more.gap, more.events.len()), (false, 2));

        let mut other_run = hub.place("00000001-1").unwrap();
        let more = hub.more(&mut other_run);
        assert_eq!((more.gap, more.events.len()), (true, 3));
        assert!(hub.place("x").is_none() && hub.place("1-18446744073709551615").is_none());
    }

    #[tokio::test]
    async fn old_events_are_forgotten_and_it_shows() {
        let (node, events) = broadcast::channel(EVENTS_KEPT * 2);
        let hub = Hub::follow(events, CancellationToken::new());
        let mut place = hub.now();
        let all = EVENTS_KEPT as u64 + 10;
        for slot in 0..all {
            node.send(event(slot)).unwrap();
        }
        while hub.now().next < all {
            hub.changed(hub.now()).await;
        }
        let more = hub.more(&mut place);
        assert!(more.gap);
        assert_eq!((more.events.len(), more.events[0].number), (EVENTS_KEPT, 10));
    }
}
