//! Whether this node may sign with its key now, and what it does about signatures of that key that it did not make (`operations.md` §5
//! rules 5 and 6).
//!
//! ```text
//!              clean stop here, a moment ago
//!        ┌──────────────────────────────────────────┐
//!   start┴▶ silent ──nothing heard for the wait──▶ signing ──conflict, or an unexplained signature of now──▶ over (exit 11)
//!            │  ▲                                     │                                                        ▲
//!            │  └──unexplained signature of before────┘                                                        │
//!            └──unexplained signature of now───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! *Unexplained*: the signature holds and this node's rows do not say that it made it. *Of before*: on something older than the start
//! less the wait; then the rows are an older copy, they are raised to what was seen, and the node is silent for another wait. *Of now*:
//! somebody else signs with this key. The page counts the wait in epochs; a network whose first epoch is its only one counts it in time
//! (`signer.doppelganger`).
//!
//! A node that begins with a clock far off is *held* before it is silent or signs, until its clock is right.
//!
//! While it is silent a node follows like any other; when that changes its engine is made anew. Decides nothing about which signatures
//! are lawful: that is the rows'. Owns no thread and no clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ao_consensus::{FrameHeader, Proof, Rosters, Timestamp};
use ao_types::{Attestation, BlsKey, Certificate};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

use super::Heard;
use crate::datadir;
use crate::limits::{CLOCK_AHEAD_START_MS_MAX, FOREIGN_CHECKS_MAX};
use crate::shell::membership::Keeper;

/// What the node does with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It listens. How long it still has to, if nothing is heard.
    Silent {
        /// Milliseconds.
        left_ms: u64,
    },
    /// It waits for a clock that is right: it began with one that most validators find wrong.
    Held {
        /// How much it is ahead, milliseconds.
        ahead_ms: i64,
    },
    /// It signs.
    Signing,
    /// It will not sign again in this life: why.
    Over(String),
}

#[derive(Debug)]
struct State {
    phase: Phase,
    looked_at: Timestamp,
    /// Silence spent without anybody to hear.
    alone_ms: u64,
    /// Its clock was found right in this life: what happens to it later holds single frames, as for everybody.
    timed: bool,
}

/// What a watch is made from.
pub struct Setup {
    /// This node's key.
    pub key: BlsKey,
    /// The committees, with the network that they are of.
    pub rosters: Arc<Rosters>,
    /// What the key is bound by.
    pub rows: Arc<dyn Keeper>,
    /// How long to listen before the first signature.
    pub wait_ms: u64,
    /// It stopped in order on this machine a moment ago.
    pub excused: bool,
    /// When this process started.
    pub started: Timestamp,
    /// Where evidence is kept.
    pub folder: PathBuf,
}

/// See the module documentation.
pub struct Watch {
    setup: Setup,
    state: Mutex<State>,
    /// Checks of signatures in messages of peers that may still be made until the next look at the clock.
    checks: AtomicU32,
    changed: watch::Sender<Phase>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("key", &self.setup.key).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Watch {
    /// Silent for the wait, unless there is none or the node is excused.
    pub fn new(setup: Setup) -> Self {
        let phase = if setup.excused || setup.wait_ms == 0 { Phase::Signing } else { Phase::Silent { left_ms: setup.wait_ms } };
        let state = State { phase: phase.clone(), looked_at: setup.started, alone_ms: 0, timed: false };
        Self { setup, state: Mutex::new(state), checks: AtomicU32::new(FOREIGN_CHECKS_MAX), changed: watch::Sender::new(phase) }
    }

    /// What the node does now, and every change of it but the countdown.
    pub fn changes(&self) -> watch::Receiver<Phase> {
        self.changed.subscribe()
    }

    /// What the node does now.
    pub fn phase(&self) -> Phase {
        self.state.lock().phase.clone()
    }

    /// Whether it may sign.
    pub fn may_sign(&self) -> bool {
        self.state.lock().phase == Phase::Signing
    }

    /// The key.
    pub fn key(&self) -> BlsKey {
        self.setup.key
    }

    /// Time passed; `hears`: somebody is connected. Silence counts while there is somebody to hear, and for three waits at most: whom
    /// nobody hears, nobody can contradict. `ahead_ms`: how wrong the node's clock is, if others have said what time it is.
    pub fn tick(&self, now: Timestamp, hears: bool, ahead_ms: Option<i64>) {
        self.checks.store(FOREIGN_CHECKS_MAX, Ordering::Relaxed);
        let mut state = self.state.lock();
        let passed = now.since_ms(state.looked_at);
        state.looked_at = now;
        self.time(&mut state, ahead_ms);
        let Phase::Silent { left_ms } = state.phase else { return };
        let left_ms = if hears { left_ms.saturating_sub(passed) } else { left_ms };
        state.alone_ms = if hears { state.alone_ms } else { state.alone_ms.saturating_add(passed) };
        if left_ms == 0 || state.alone_ms >= 3 * self.setup.wait_ms {
            tracing::info!(event = "attesting", key = %self.setup.key, "nobody else was heard signing with this key; this node attests now");
            self.enter(&mut state, Phase::Signing);
        } else {
            state.phase = Phase::Silent { left_ms };
        }
    }

    /// A node that begins with a clock far off signs nothing before it is right (`faults.md` F7): blocks and frames of its own would wait
    /// at everybody else, and its attestations would be on what it takes for the future.
    fn time(&self, state: &mut State, ahead_ms: Option<i64>) {
        let Some(ahead_ms) = ahead_ms.filter(|_| !state.timed) else { return };
        match (&state.phase, ahead_ms.unsigned_abs() > CLOCK_AHEAD_START_MS_MAX) {
            (Phase::Held { .. }, true) => state.phase = Phase::Held { ahead_ms },
            (Phase::Silent { .. } | Phase::Signing, true) => {
                tracing::error!(
                    event = "clock_wrong",
                    ahead_ms,
                    "most validators see another time than this machine: nothing is signed before its clock is right; set it"
                );
                self.enter(state, Phase::Held { ahead_ms });
            }
            (Phase::Held { .. }, false) => {
                tracing::info!(event = "clock_right", ahead_ms, "this node's clock is right now; it listens, and then signs");
                (state.timed, state.alone_ms) = (true, 0);
                let left_ms = self.setup.wait_ms;
                self.enter(state, if left_ms == 0 { Phase::Signing } else { Phase::Silent { left_ms } });
            }
            (Phase::Silent { .. } | Phase::Signing, false) => state.timed = true,
            (Phase::Over(_), _) => {}
        }
    }

    /// The key must not sign any more: the process ends with exit code 11.
    pub fn give_up(&self, why: String) {
        self.over(&mut self.state.lock(), why);
    }

    fn over(&self, state: &mut State, why: String) {
        if !matches!(state.phase, Phase::Over(_)) {
            tracing::error!(event = "signing_safety", key = %self.setup.key, why, "this node stops; do not start it before you know why");
            self.enter(state, Phase::Over(why));
        }
    }

    fn enter(&self, state: &mut State, phase: Phase) {
        state.phase = phase.clone();
        self.changed.send_replace(phase);
    }

    /// A peer's message holds one key's signature. Whether it holds is found out here, a bounded number of times.
    pub fn overhear(&self, attestation: &Attestation) {
        let Some(epoch) = self.setup.rosters.epochs().next_back().filter(|_| attestation.key == self.setup.key) else { return };
        let heard = Heard { key: attestation.key, statement: attestation.statement, epoch };
        if self.setup.rows.is_own(&heard, &self.setup.rosters.network()).unwrap_or(true) {
            return;
        }
        let left = self.checks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() && self.setup.rosters.verify_key(&attestation.key, &attestation.statement, &attestation.signature) {
            let signed = json!({ "signature": attestation.signature });
            // It was sent just now, by somebody who has it: if it is a repetition, it is one of what only another copy can know.
            self.unexplained(&heard, None, &signed);
        }
    }

    /// A frame is confirmed: whoever certified it signed at about that time. The engine has checked the proof.
    pub fn confirmed(&self, header: &FrameHeader, proof: &Proof) {
        let (certificates, at): (&[Certificate], Timestamp) = match proof {
            Proof::Alone => return,
            Proof::Chain { descendants, certificates } => {
                (certificates, descendants.last().map_or(header.timestamp, |last| last.timestamp))
            }
            Proof::Block { block, certificate, .. } => (std::slice::from_ref(certificate), block.time),
        };
        for certificate in certificates {
            let roster = self.setup.rosters.get(certificate.epoch);
            let member = roster.and_then(|roster| roster.committee().index_of(&self.setup.key));
            let heard = Heard { key: self.setup.key, statement: certificate.statement, epoch: certificate.epoch };
            if member.is_some_and(|member| certificate.signers.contains(member))
                && !self.setup.rows.is_own(&heard, &self.setup.rosters.network()).unwrap_or(true)
            {
                let signers: Vec<u16> = certificate.signers.iter().collect();
                self.unexplained(&heard, Some(at), &json!({ "certificate": { "signers": signers, "signature": certificate.signature } }));
            }
        }
    }

    fn unexplained(&self, heard: &Heard, at: Option<Timestamp>, signed: &serde_json::Value) {
        let mut state = self.state.lock();
        let since = self.setup.started.0.saturating_sub(self.setup.wait_ms);
        let of_now = at.is_none_or(|at| at.0 >= since);
        let bound = self.setup.rows.bind(heard);
        let saved = if of_now { self.save(heard, at, signed) } else { None };
        match bound {
            Ok(()) if of_now => {
                let evidence = saved.map_or_else(String::new, |path| format!("; the evidence is in {}", path.display()));
                self.over(&mut state, format!("somebody else signs with {}: {:?}{evidence}", heard.key, heard.statement));
            }
            Ok(()) => {
                tracing::warn!(
                    event = "watermark_raised", key = %heard.key, statement = ?heard.statement,
                    "this key signed what the slashing protection here does not know: it is an older copy. It was raised; this node listens again"
                );
                if !matches!(state.phase, Phase::Over(_)) {
                    state.alone_ms = 0;
                    self.enter(&mut state, Phase::Silent { left_ms: self.setup.wait_ms });
                }
            }
            Err(unkept) => self.over(&mut state, format!("this key signed {:?} elsewhere, and: {unkept}", heard.statement)),
        }
    }

    /// Keeps what convinces the operator. Without room for it the log has it all the same.
    fn save(&self, heard: &Heard, at: Option<Timestamp>, signed: &serde_json::Value) -> Option<PathBuf> {
        let record = json!({
            "format": "aonode-doppelganger/v1", "key": heard.key, "network": self.setup.rosters.network(), "epoch": heard.epoch,
            "statement": hex::encode(heard.statement.message(&self.setup.rosters.network())), "reads": format!("{:?}", heard.statement),
            "signed": signed, "made_at_ms": at.map(|at| at.0), "started_ms": self.setup.started.0,
        });
        let path = self.setup.folder.join(format!("{}.json", self.setup.started.0));
        let written = datadir::make_private_folder(&self.setup.folder).and_then(|()| datadir::write_json(&path, &record));
        written.inspect_err(|error| tracing::error!(event = "evidence_not_saved", %error, %record)).ok().map(|()| path)
    }
}

#[cfg(test)]
mod tests;
