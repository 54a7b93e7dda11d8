//! What HTTP needs from a node. [`Node`] is one; the tests of the routes have another, scripted, on a memory store.

use std::time::Duration;

use ao_storage::Store;
use ao_types::{Evaluation, Id, Invocation, Slot};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use tokio::sync::broadcast;

use crate::chain::Block;
use crate::error::Rejection;
use crate::handle::{Accepted, AssignRequest, Event, HealthCheck, Identity, Node, Reached, StoredEvaluation, Via};
use crate::levels::Goal;
use crate::shell::hosts::Host;

/// An answer that comes later.
pub type Later<'a, T> = BoxFuture<'a, Result<T, Rejection>>;

/// A node as HTTP sees it; the contract of each method is that of [`Node`]'s.
#[allow(missing_docs, reason = "documented at `Node`")]
pub trait Backend: Send + Sync + 'static {
    fn submit(&self, item: Bytes, via: Via) -> Later<'_, Accepted>;
    fn store_item(&self, item: Bytes) -> Later<'_, Accepted>;
    fn assign(&self, request: AssignRequest) -> Later<'_, Accepted>;
    fn result(&self, process: Id, message: Id) -> Later<'_, StoredEvaluation>;
    fn reach(&self, process: Id, slot: Slot, goal: Goal, patience: Duration) -> Later<'_, Reached>;
    fn dry_run(&self, process: Id, message: Invocation, at: Option<Slot>) -> Later<'_, Evaluation>;
    fn run_cron(&self, process: Id) -> Later<'_, ()>;
    fn monitor(&self, process: Id, item: Bytes) -> Later<'_, ()>;
    fn unmonitor(&self, process: Id, item: Bytes) -> Later<'_, ()>;
    fn push(&self, process: Id, message: Id, index: usize) -> Later<'_, Id>;
    fn state(&self, process: Id, at: Option<Slot>) -> Later<'_, (Bytes, Slot)>;
    fn store(&self) -> &dyn Store;
    fn identity(&self) -> &Identity;
    fn hosts(&self) -> Vec<Host>;
    fn tip(&self) -> (u64, u64);
    fn block(&self, height: u64) -> Option<Block>;
    fn health(&self) -> Vec<HealthCheck>;
    fn events(&self) -> broadcast::Receiver<Event>;
}

impl Backend for Node {
    fn submit(&self, item: Bytes, via: Via) -> Later<'_, Accepted> {
        Self::submit(self, item, via).boxed()
    }
    fn store_item(&self, item: Bytes) -> Later<'_, Accepted> {
        Self::store_item(self, item).boxed()
    }
    fn assign(&self, request: AssignRequest) -> Later<'_, Accepted> {
        Self::assign(self, request).boxed()
    }
    fn result(&self, process: Id, message: Id) -> Later<'_, StoredEvaluation> {
        Self::result(self, process, message).boxed()
    }
    fn reach(&self, process: Id, slot: Slot, goal: Goal, patience: Duration) -> Later<'_, Reached> {
        Self::reach(self, process, slot, goal, patience).boxed()
    }
    fn dry_run(&self, process: Id, message: Invocation, at: Option<Slot>) -> Later<'_, Evaluation> {
        Self::dry_run(self, process, message, at).boxed()
    }
    fn run_cron(&self, process: Id) -> Later<'_, ()> {
        Self::run_cron(self, process).boxed()
    }
    fn monitor(&self, process: Id, item: Bytes) -> Later<'_, ()> {
        Self::monitor(self, process, item).boxed()
    }
    fn unmonitor(&self, process: Id, item: Bytes) -> Later<'_, ()> {
        Self::unmonitor(self, process, item).boxed()
    }
    fn push(&self, process: Id, message: Id, index: usize) -> Later<'_, Id> {
        Self::push(self, process, message, index).boxed()
    }
    fn state(&self, process: Id, at: Option<Slot>) -> Later<'_, (Bytes, Slot)> {
        Self::state(self, process, at).boxed()
    }
    fn store(&self) -> &dyn Store {
        Self::store(self)
    }
    fn identity(&self) -> &Identity {
        Self::identity(self)
    }
    fn hosts(&self) -> Vec<Host> {
        Self::hosts(self)
    }
    fn tip(&self) -> (u64, u64) {
        Self::tip(self)
    }
    fn block(&self, height: u64) -> Option<Block> {
        Self::block(self, height)
    }
    fn health(&self) -> Vec<HealthCheck> {
        Self::health(self)
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        Self::events(self)
    }
}
