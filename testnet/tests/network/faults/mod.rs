//! Faults of real processes, each followed by a check of all nodes (`consensus.md` S1 to S8 as far as they show from outside).
//!
//! Short forms run always. The whole matrix, both engines and the long outages, runs with `AONODE_FULL=1`.
//!
//! Rows of `faults.md` that are about networks, and where each is shown on real processes (those in brackets: on real sockets, in
//! `p2p/tests/network`; what needs staking has no test yet: F16, F17, and the hand-over of F12 and F13):
//!
//! | Row | Test |
//! |---|---|
//! | F6 slow disk | `slow::a_slow_disk_…` |
//! | F7 clocks | `slow::a_clock_that_is_wrong_at_the_start_…`, `processes::clocks_…`, `processes::a_clock_that_is_an_hour_off_…`, `processes::frames_of_before_…` |
//! | F8 partition | `partition::a_cut_wire_…`; one way, with `attest`: `partition::one_way_wires_…` |
//! | F9 slow, lossy, one-way links | `partition::slow_wires_…`, `partition::one_way_wires_…` |
//! | F10 pause | `slow::a_process_that_slept_…`, `processes::two_of_four_…` |
//! | F11 two logs | `liars::a_scheduler_with_two_logs_…` |
//! | F12, F13 withheld, censored | `liars::who_withholds_…`, `liars::a_censor_…` |
//! | F14 votes | `liars::old_words_…`, `hostile` `injector` |
//! | F15 bad sums | `hostile` `injector` |
//! | F18, F19, F20 replayed, oversize, malformed | `hostile` `injector` and `floods` (`abuse`, `overload`) |
//! | F21 decompression | `abuse` `floods` |
//! | F22 subscriptions, control floods | `hostile` `floods` (`control`) |
//! | F23 connections | `hostile` `connections` (`connections`) |
//! | F24, F25 sybils, invented peers | (`crowd`) |
//! | F45, F46, F51 one key twice, old history, lost disk | `hostile` `keys` |
//! | F50 upgrade | `upgrade::…` (`connections`) |
#![expect(clippy::print_stdout, reason = "what held, figures, and why a fault was left out are the outcome of a run")]

use std::time::Duration;

use ao_testnet::network::agree::View;
use ao_testnet::wait;

mod disk;
mod liars;
mod missed;
mod partition;
mod processes;
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
