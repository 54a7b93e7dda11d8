//! A real node that does not keep the rules, for tests of networks of processes (`faults.md` F12 to F14): `AONODE_MISBEHAVE=KIND`, where
//! `KIND` is one of the simulator's that stand between one node and the net (`mute`, `stale`, `withholder`), or `censor=ADDRESS`, which
//! loses what that wallet's clients sent to other nodes, or `spoiler`, which gives other bytes of snapshots than it offered. Only in builds with debug assertions; a released binary ignores the variable.
//!
//! Twins (`equivocator`, `double-voter`) need no help of a node: they are two with one key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ao_types::{Address, DataItem, Profile};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::message::StateQuestion;
use super::seam::{Arrival, Doorway, Load, ORDERS_MAX, Order, States};
use crate::sim::byzantine::{Kind, Leaving, Manner};

/// Name of the environment variable.
pub const VARIABLE: &str = "AONODE_MISBEHAVE";

/// What a node does that it should not.
enum Habit {
    /// See [`Manner`].
    Manner(Box<dyn Manner>),
    /// Loses submissions of this wallet.
    Censor(Address),
    /// Gives wrong parts of snapshots.
    Spoiler,
}

/// As the environment wants it.
fn from_env() -> Option<Habit> {
    let wanted = std::env::var(VARIABLE).ok().filter(|_| cfg!(debug_assertions))?;
    let habit = habit(&wanted);
    match &habit {
        Some(_) => tracing::warn!(event = "misbehaving", wanted, "{VARIABLE} is set: this node does not keep the rules"),
        None => tracing::error!(event = "not_misbehaving", wanted, "{VARIABLE} names nothing that a node could do; it keeps the rules"),
    }
    habit
}

fn habit(wanted: &str) -> Option<Habit> {
    if wanted == "spoiler" {
        return Some(Habit::Spoiler);
    }
    if let Some(address) = wanted.strip_prefix("censor=") {
        return address.parse().ok().map(Habit::Censor);
    }
    let kind = Kind::ALL.into_iter().filter(|kind| kind.keys().len() == 1);
    let named = |kind: &Kind| serde_json::to_value(kind).is_ok_and(|name| name == wanted);
    // Who needs an engine beside its node is nobody here.
    kind.filter(named).find_map(|kind| kind.manner(|| Err("no engine".to_owned())).ok()).map(Habit::Manner)
}

/// A node's two ends as its habits leave them, and whether it gives frames and items to who asks.
pub fn ends(orders: mpsc::Receiver<Order>, door: Arc<dyn Doorway>) -> (mpsc::Receiver<Order>, Arc<dyn Doorway>, bool) {
    match from_env() {
        None | Some(Habit::Spoiler) => (orders, door, true),
        Some(Habit::Censor(whom)) => (orders, Arc::new(Censoring { whom, door }), true),
        Some(Habit::Manner(manner)) => {
            let serves = manner.serves();
            (between(manner, orders), door, serves)
        }
    }
}

/// What a node says of states, as its habits leave it.
pub fn states(states: &Arc<dyn States>) -> Arc<dyn States> {
    match from_env() {
        Some(Habit::Spoiler) => Arc::new(Spoiling(states.clone())),
        _ => states.clone(),
    }
}

/// Every part of a snapshot has one bit changed.
struct Spoiling(Arc<dyn States>);

impl States for Spoiling {
    fn answer(&self, from: &ao_p2p::PeerId, question: &StateQuestion) -> ao_p2p::Answer {
        match (self.0.answer(from, question), question) {
            (ao_p2p::Answer::Found(bytes), StateQuestion::Part { .. }) => {
                let mut bytes = bytes.to_vec();
                bytes.iter_mut().take(1).for_each(|byte| *byte ^= 1);
                ao_p2p::Answer::Found(bytes.into())
            }
            (answer, _) => answer,
        }
    }
}

/// Stands between the node's orders and the network. Ends when the node gives no more.
fn between(mut manner: Box<dyn Manner>, mut orders: mpsc::Receiver<Order>) -> mpsc::Receiver<Order> {
    let (out, taken) = mpsc::channel(ORDERS_MAX);
    tokio::spawn(async move {
        // What leaves later, by when; as much as anybody may keep waiting.
        let mut later: BTreeMap<(Instant, u64), Order> = BTreeMap::new();
        let mut number = 0_u64;
        loop {
            let due = later.first_key_value().map_or_else(|| Instant::now() + Duration::from_secs(3600), |((at, _), _)| *at);
            tokio::select! {
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    for Leaving { order, after_ms } in manner.leaves(order) {
                        if after_ms == 0 {
                            drop(out.send(order).await);
                        } else if later.len() < ORDERS_MAX {
                            number += 1;
                            later.insert((Instant::now() + Duration::from_millis(after_ms), number), order);
                        }
                    }
                }
                () = tokio::time::sleep_until(due) => {
                    if let Some((_, order)) = later.pop_first() {
                        drop(out.send(order).await);
                    }
                }
            }
        }
    });
    taken
}

/// A doorway that loses what one wallet's clients sent through other nodes.
struct Censoring {
    /// The wallet.
    whom: Address,
    /// The node behind it.
    door: Arc<dyn Doorway>,
}

impl Doorway for Censoring {
    fn offer(&self, arrival: Arrival) -> Result<(), Box<Arrival>> {
        if let Arrival::Submission { load: Load::Item(item), .. } = &arrival
            && DataItem::parse(item.clone(), Profile::Strict).is_ok_and(|item| item.address() == self.whom)
        {
            return Ok(());
        }
        self.door.offer(arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_one_node_can_be_have_their_names_and_others_are_none() {
        for kind in ["mute", "stale", "withholder"] {
            assert!(matches!(habit(kind), Some(Habit::Manner(_))), "{kind}");
        }
        assert!(matches!(habit("spoiler"), Some(Habit::Spoiler)));
        let whom = Address::Arweave(ao_types::Id([7; 32]));
        assert!(matches!(habit(&format!("censor={whom}")), Some(Habit::Censor(found)) if found == whom));
        for none in ["", "equivocator", "double-voter", "liar", "honest", "censor=nobody at all"] {
            assert!(habit(none).is_none(), "{none}");
        }
    }

    /// Keeps what it is given.
    #[derive(Default)]
    struct Kept(parking_lot::Mutex<Vec<Arrival>>);

    impl Doorway for Kept {
        fn offer(&self, arrival: Arrival) -> Result<(), Box<Arrival>> {
            self.0.lock().push(arrival);
            Ok(())
        }
    }

    /// F13: what it loses is never answered, so nobody is told that it was taken; and it loses nothing else.
    #[test]
    fn a_censor_loses_what_one_wallet_sends_and_answers_nothing() {
        use ao_types::{ItemBuilder, Signer as _, Wallet};
        let (hated, liked) = (Wallet::ed25519_from_seed(&[1; 32]), Wallet::ed25519_from_seed(&[2; 32]));
        let kept = Arc::new(Kept::default());
        let censor = Censoring { whom: hated.address(), door: kept.clone() };
        let answers = Arc::new(parking_lot::Mutex::new(0));
        let submit = |wallet: &Wallet| {
            let item = ItemBuilder::new().data(bytes::Bytes::from_static(b"hear me")).sign(wallet).unwrap();
            let told = answers.clone();
            let reply = crate::network::seam::Replier::new(move |_| *told.lock() += 1);
            let from = ao_types::PeerId(bytes::Bytes::from_static(b"somebody"));
            censor.offer(Arrival::Submission { from, load: Load::Item(item.as_bytes().clone()), reply }).unwrap();
        };
        submit(&hated);
        assert!(kept.0.lock().is_empty());
        submit(&liked);
        assert!(matches!(&kept.0.lock()[..], [Arrival::Submission { .. }]));
        assert_eq!(*answers.lock(), 0, "the node behind it answers for the other one, and nobody for the first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_node_says_everything_late_and_a_mute_one_nothing() {
        let items = || Order::Items { ids: Vec::new(), holders: Vec::new() };
        for (kind, says) in [("mute", false), ("stale", true)] {
            let Some(Habit::Manner(manner)) = habit(kind) else { panic!("{kind}") };
            let (orders, taken) = mpsc::channel(4);
            let mut taken = between(manner, taken);
            orders.send(items()).await.unwrap();
            assert!(tokio::time::timeout(Duration::from_secs(1), taken.recv()).await.is_err(), "{kind}: not at once");
            let late = tokio::time::timeout(Duration::from_secs(60), taken.recv()).await;
            assert_eq!(late.is_ok(), says, "{kind}");
        }
    }
}
