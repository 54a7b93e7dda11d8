//! What clients send, and that they try until they are answered.

use ao_types::{DataItem, Id, ItemBuilder, SignError, Signer as _, Slot, Tag, Verified, Wallet};
use bytes::Bytes;

use super::members::wallet;
use crate::sim::check::Violation;
use crate::sim::dice::Dice;
use crate::sim::plan::Plan;
use crate::sim::world::module;

/// How long a client waits for an answer before it asks another node, milliseconds.
pub const PATIENCE_MS: u64 = 3_000;

/// How long it waits after a refusal.
pub const AGAIN_MS: u64 = 400;

/// One item of one client.
pub struct Wish {
    /// What.
    pub item: Verified<DataItem>,
    /// For which process of the plan.
    pub process: usize,
    /// The process's id.
    pub target: Id,
    /// When it is sent first, milliseconds from the beginning.
    pub at_ms: u64,
    /// It was answered for good.
    pub done: bool,
    /// And this is the slot that the client heard of.
    pub slot: Option<Slot>,
    /// The attempt that counts: answers to those before do not.
    pub attempt: u64,
}

fn tags(kind: &str, more: &[(&str, &str)]) -> Vec<Tag> {
    let fixed = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", kind)];
    fixed.iter().chain(more).map(|(name, value)| Tag::new(*name, *value)).collect()
}

fn anchor(n: usize) -> [u8; 32] {
    let mut anchor = [0; 32];
    anchor[..8].copy_from_slice(&(n as u64).to_be_bytes());
    anchor
}

/// Everything that clients of a plan send: processes, then messages.
pub fn wishes(plan: &Plan) -> Result<Vec<Wish>, Violation> {
    draw(plan).map_err(|error| Violation::new("simulator", error.to_string()))
}

fn draw(plan: &Plan) -> Result<Vec<Wish>, SignError> {
    let user = Wallet::ed25519_from_seed(&[3; 32]);
    let module = module()?.id().to_string();
    let mut dice = Dice::of(plan.seed, "load");
    let mut wishes = Vec::with_capacity(plan.processes + plan.messages);
    for n in 0..plan.processes {
        let scheduler = wallet(plan.host_of(n)).address().to_string();
        let tags = tags("Process", &[("Module", &module), ("Scheduler", &scheduler)]);
        let item = ItemBuilder::new().anchor(anchor(n)).tags(tags).sign(&user)?;
        wishes.push(wish(item.id(), item, n, 0));
    }
    let processes: Vec<(usize, Id)> = wishes.iter().map(|wish| wish.target).enumerate().collect();
    let reliable: Vec<(usize, Id)> = processes.iter().copied().filter(|(n, _)| plan.serves(*n)).collect();
    for n in 0..plan.messages {
        let Some((to, target)) = processes.get(dice.below(processes.len())).copied() else { break };
        let (other, action) = (dice.below(reliable.len()), ["Count", "Send", "Bounce", "Fail"][dice.below(4)]);
        // What a process sends on goes where it will be confirmed.
        let (action, other) = match reliable.get(other) {
            Some((_, other)) if plan.serves(to) => (action, other.to_string()),
            _ => ("Count", String::new()),
        };
        let tags = tags("Message", &[("Action", action), ("To", &other), ("Times", "2"), ("Left", "3")]);
        let item = ItemBuilder::new().target(target).anchor(anchor(1_000 + n)).tags(tags).data(Bytes::new()).sign(&user)?;
        let at_ms = 100 + plan.load_ms * n as u64 / plan.messages.max(1) as u64;
        wishes.push(wish(target, item, to, at_ms));
    }
    Ok(wishes)
}

fn wish(target: Id, item: Verified<DataItem>, process: usize, at_ms: u64) -> Wish {
    Wish { item, process, target, at_ms, done: false, slot: None, attempt: 0 }
}
