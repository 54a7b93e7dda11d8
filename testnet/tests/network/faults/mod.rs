//! Faults of real processes, each followed by a check of all nodes (`consensus.md` S1 to S8 as far as they show from outside).
//!
//! Short forms run always. The whole matrix, both engines and the long outages, runs with `AONODE_FULL=1`.
//!
//! Which row of the fault matrix is shown by which test: `testnet/faults.md`.
#![expect(clippy::print_stdout, reason = "what held, figures, and why a fault was left out are the outcome of a run")]

use std::time::Duration;

use ao_testnet::network::agree::View;
use ao_testnet::wait;

mod disk;
mod golden;
mod liars;
mod links;
mod missed;
mod partition;
mod processes;
mod rows;
mod slow;
mod upgrade;
mod world;

use world::{WITHIN, World};

/// Whether the long forms run.
fn full() -> bool {
    std::env::var_os("AONODE_FULL").is_some()
}

/// The engines of a run: both in a long one.
fn engines() -> &'static [&'static str] {
    if full() { &["attest", "bft"] } else { &["attest"] }
}

impl World {
    /// What node `at` has of the process of node `of`.
    async fn view(&self, at: usize, of: usize) -> View {
        View::of(&self.clients[at], self.processes[of]).await.unwrap().expect("the process is known")
    }

    /// Waits until node `at` has the log of the process of node `of` confirmed up to a slot.
    async fn confirmed(&self, at: usize, of: usize, slot: u64) {
        let found = wait::until("a slot is confirmed", WITHIN, || async {
            let view = View::of(&self.clients[at], self.processes[of]).await?;
            Ok(view.filter(|view| view.confirmed >= Some(slot)).map(drop))
        });
        found.await.unwrap_or_else(|error| panic!("n{} of the process of n{}: {error:#}\n{}", at + 1, of + 1, self.network.tails(10)));
    }

    /// Whether a message for the process of node `of` is confirmed within a time.
    async fn confirms_within(&self, of: usize, through: usize, within: Duration) -> bool {
        let item = self.another(of);
        let path = format!("/v1/messages?wait=confirmed&timeout_ms={}", within.as_millis());
        let answer = self.clients[through].post(&path, &item).await.unwrap();
        answer.json["wait"]["reached"] == true
    }
}
