//! What each thread does: take the next thing, do it, say what came of it.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ao_consensus::Timestamp;
use ao_consensus::protection::Guard;
use ao_consensus::schedule::assign_run;
use ao_storage::schema::FrameRow;
use ao_storage::typed::Row as _;
use ao_storage::{Durability, WriteBatch};
use bytes::Bytes;

use super::backlog::Backlog;
use super::membership::{self, Unwritten};
use super::panics::{contained, here};
use super::pusher::Pusher;
use super::slow::SlowDisk;
use super::stages::Stages;
use super::steady::Steady;
use super::verify::{Failed, Task};
use super::{Note, Run, Shared, Write, recover, rewind};
use crate::core::Core;
use crate::core::effect::Effect;
use crate::core::input::{Input, Origin};
use crate::error::{Code, Rejection};
use crate::limits::SYNC_SLOW_MS;
use crate::metrics::labels::{EvidenceStatus, Signing, State, Vote};

pub(super) fn core_loop(shared: &Shared, mut core: Core, inbox: &Receiver<Note>) {
    let mut effects = Vec::new();
    let mut stages = Stages::new(shared.metrics.clone());
    let (mut tip, mut looked_at, mut ending) = (shared.chain.tip((shared.clock)()), Timestamp(0), false);
    let mut clock = Clock { steady: Steady::at((shared.clock)()), read: Instant::now() };
    while !(ending && core.at_rest()) {
        let now = clock.now(shared);
        let wait = core.next_deadline(now).map_or(1_000, |deadline| deadline.since_ms(now)).min(1_000);
        let note = match inbox.recv_timeout(Duration::from_millis(wait)) {
            Ok(note) => note,
            Err(RecvTimeoutError::Timeout) if ending => return,
            Err(RecvTimeoutError::Timeout) => Note::Input(Input::Tick, Instant::now(), None),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let now = clock.now(shared);
        shared.beat.store(now.0, Ordering::Relaxed);
        if now.since_ms(looked_at) >= 100 {
            looked_at = now;
            let newest = shared.chain.tip(now);
            if newest != tip {
                tip = newest;
                core.handle(now, Input::Tip(tip), &mut effects);
            }
        }
        if core.next_deadline(now).is_some_and(|deadline| deadline <= now) {
            core.handle(now, Input::Tick, &mut effects);
        }
        match note {
            Note::Input(input, sent, place) => {
                shared.metrics.event_loop_lag_seconds.observe(sent.elapsed().as_secs_f64());
                here("core");
                core.handle(now, input, &mut effects);
                drop(place);
            }
            Note::Stop => ending = true,
        }
        let at = Instant::now();
        for effect in effects.drain(..) {
            stages.see(at, &effect);
            carry_out(shared, effect);
        }
    }
}

/// The machine's clock and its true time, together.
struct Clock {
    steady: Steady,
    read: Instant,
}

impl Clock {
    fn now(&mut self, shared: &Shared) -> Timestamp {
        let passed = self.read.elapsed().as_millis() as u64;
        // What is less than a millisecond counts next time.
        self.read += Duration::from_millis(passed);
        self.steady.now((shared.clock)(), passed)
    }
}

/// Does one effect; what takes time goes to a worker.
fn carry_out(shared: &Shared, effect: Effect) {
    match effect {
        Effect::Sign { term, process, head, clock, items } => {
            let full = shared.runs.push(Run { term, process, head, clock, items });
            if let Err(Run { term, process, .. }) = full {
                shared.inputs.send(Input::Signed { term, process, run: Err("too many runs wait for the signer".to_owned()) });
            }
        }
        Effect::Write { term, batch, rows, seals, guards, durability } => {
            write(shared, Write::Batch { term, batch, rows, seals, guards, durability });
        }
        Effect::Recover { term, failed, rewind } => write(shared, Write::Recover { term, failed, rewind }),
        Effect::LookUp(submission) => drop(shared.tasks.push(Task::LookUp(submission))),
        Effect::Place(submission) => drop(shared.tasks.push(Task::Place(submission))),
        // Without room it is asked for again.
        Effect::LookUpFrame(received) => drop(shared.tasks.push(Task::LookUpFrame(received))),
        Effect::Order(order) => super::doorway::order(shared, *order),
        Effect::Verdict(judge, verdict) => judge.say(verdict),
        Effect::Fault { kind, id } => {
            tracing::warn!(
                event = "fault_shown",
                kind,
                evidence = hex::encode(id),
                "somebody signed what excludes one another; see `aonode evidence`"
            );
        }
        Effect::RefusedFrame { frame, why } => tracing::info!(event = "frame_refused", %frame, why),
        Effect::LookUpProcess(again) => drop(shared.tasks.push(Task::Process(again))),
        // Without room whoever asked asks again.
        Effect::Recall(recall) => drop(shared.tasks.push(Task::Recall(recall))),
        Effect::Reply(request, reply) => {
            if reply.is_err() {
                shared.metrics.messages_total.of(State::Rejected).inc();
            }
            shared.requests.answer(request, reply);
        }
        Effect::Evaluate(job) => shared.evaluator.lanes.push_log(job.process, job),
        Effect::Push { term, process, .. } => {
            if let Err((term, process)) = shared.turns.push((term, process)) {
                let entries = Err("too many turns wait for the pusher".to_owned());
                shared.inputs.send(Input::Deliveries { term, process, entries, more: true });
            }
        }
        Effect::Tell(event) => {
            shared.levels.see(&event);
            // Nobody listening is no error.
            drop(shared.events.send(event));
        }
        // Seen by `Stages`.
        Effect::Owed { .. } | Effect::Attempt(_) | Effect::Proven(_) => {}
        Effect::Results { process, slot } => shared.results.ready(&process, slot),
        Effect::NoResults { process, why, lasting } => {
            tracing::warn!(event = "not_evaluated", %process, code = why.code.as_str(), reason = %why.message, lasting);
            shared.metrics.messages_total.of(State::NotEvaluated).inc();
            shared.results.refuse(&process, &why, lasting);
        }
        Effect::Alarm { process, what } => {
            shared.metrics.state_divergence_total.inc();
            tracing::error!(event = "state_divergence", %process, what, "evaluation of this process stopped; keep the data directory and report this");
        }
    }
}

fn write(shared: &Shared, job: Write) {
    if let Some(writes) = &*shared.writes.lock() {
        drop(writes.send(job));
    }
}

pub(super) fn write_loop(shared: &Shared, jobs: &Receiver<Write>) {
    let mut disk = SlowDisk::default();
    while let Ok(job) = jobs.recv() {
        match job {
            Write::Batch { term, batch, rows, seals, guards, durability } => {
                here("write");
                if is_short_of_room(shared) {
                    // What is under way is still written, out of the reserve; nothing new begins.
                    set_room(shared, true);
                    shared.inputs.send(Input::Reserve { low: true });
                }
                let began = Instant::now();
                let (owed, shown) = (owed(&rows), rows.writes.iter().filter(|(table, ..)| *table == ao_storage::Table::Evidence).count());
                let (confirmed, slots) = (watched(shared, &rows), shared.digests.of(&rows));
                let (rows, membership) = ((rows, durability), shared.life.membership.as_deref());
                let written = membership::write(&*shared.store, rows, seals, &guards, &*shared.scheduler, membership);
                if durability == Durability::Synced {
                    let took = began.elapsed();
                    shared.metrics.wal_fsync_seconds.observe(took.as_secs_f64());
                    if let Some(p99) = disk.took(took, Instant::now()) {
                        tracing::warn!(
                            event = "disk_slow",
                            p99_ms = p99.as_millis() as u64,
                            "one synced write in a hundred takes longer than {SYNC_SLOW_MS} ms, and every message waits for one: look at this disk"
                        );
                    }
                }
                match written {
                    Ok(signatures) => {
                        shared.settled.through(batch);
                        confirmed.into_iter().for_each(|row| look_at_signers(shared, &row));
                        shared.metrics.outbox_pending.add(owed);
                        shared.metrics.evidence_items.of(EvidenceStatus::Verified).add(shown as i64);
                        count_votes(shared, &guards, Signing::Signed);
                        shared.inputs.send(Input::Written { term, batch, signatures });
                        shared.digests.see(&slots);
                    }
                    Err(error) => {
                        if let Unwritten::Protection(unkept) = &error {
                            count_votes(shared, &guards, Signing::Refused);
                            shared.metrics.signing_refusals_total.of(unkept.label()).inc();
                        }
                        let disk_full = matches!(&error, Unwritten::Store(ao_storage::Error::DiskFull(_)));
                        if disk_full {
                            // The watch on the reserve says when there is room again.
                            set_room(shared, true);
                        }
                        tracing::error!(event = "write_failed", batch, %error, "nothing of this batch counts; the core begins again from the store");
                        shared.inputs.send(Input::WriteFailed { term, batch, reason: error.to_string(), disk_full });
                    }
                }
            }
            Write::Recover { term, failed, rewind } => {
                shared.settled.through(failed);
                if let Some((chain, from)) = rewind {
                    shared.digests.forget();
                    // What could not be dropped now is dropped when the engine finds the fork again.
                    match rewind::rewind(&*shared.store, chain, from) {
                        Ok(frames) => {
                            tracing::warn!(event = "turned_back", %chain, from, frames, "its scheduler signed two logs; this node follows the confirmed one")
                        }
                        Err(error) => tracing::error!(event = "not_turned_back", %chain, from, %error),
                    }
                }
                let low = shared.low_disk.load(Ordering::Relaxed);
                loop {
                    match recover::read(&*shared.store, &shared.life, term, low) {
                        Ok(recovered) => break shared.inputs.send(Input::Recovered(Box::new(recovered))),
                        Err(error) if shared.stopping.load(Ordering::Relaxed) => break tracing::warn!(event = "not_recovered", %error),
                        Err(error) => tracing::error!(event = "store_unreadable", %error, "trying again in a second"),
                    }
                    std::thread::park_timeout(Duration::from_secs(1));
                }
            }
        }
    }
}

/// Frames that a batch confirms, where the node has a key to look after.
fn watched(shared: &Shared, rows: &WriteBatch) -> Vec<Bytes> {
    if shared.life.membership.as_ref().is_none_or(|membership| membership.watch.is_none()) {
        return Vec::new();
    }
    let frames = rows.writes.iter().filter(|(table, ..)| *table == ao_storage::Table::Frames);
    frames.filter_map(|(_, _, row)| row.clone()).collect()
}

/// Who signed what confirms a frame: this node's own key only if this node did.
fn look_at_signers(shared: &Shared, row: &Bytes) {
    let watch = shared.life.membership.as_ref().and_then(|membership| membership.watch.as_ref());
    if let (Some(watch), Ok(row)) = (watch, FrameRow::decode(row)) {
        recover::show_signers(watch, &row);
    }
}

/// What this node's key signs from now on, or does not.
fn count_votes(shared: &Shared, guards: &[Guard], result: Signing) {
    for guard in guards {
        let kind = match guard {
            Guard::Chain(_) => Vote::Attestation,
            Guard::Signed(_) => Vote::Position,
        };
        shared.metrics.vote(kind, result).inc();
    }
}

/// By how many rows a batch lengthens the outboxes.
fn owed(rows: &WriteBatch) -> i64 {
    let outbox = rows.writes.iter().filter(|(table, ..)| *table == ao_storage::Table::Outbox);
    outbox.map(|(_, _, row)| if row.is_some() { 1 } else { -1 }).sum()
}

pub(super) fn verify_loop(shared: &Shared) {
    while let Some(task) = shared.tasks.pop() {
        let asker = task.asker();
        let done = contained("verify", || {
            here("verify");
            super::doorway::take(shared, task).map(|task| shared.verifier.work(task))
        });
        let bug = || Some(Err(Failed { asker, refusal: Rejection::new(Code::Internal, "a bug of this node ended the look-up") }));
        let Some(done) = done.unwrap_or_else(bug) else { continue };
        match done {
            Ok(input) => {
                if matches!(&input, Input::Submit(submission) if submission.item.is_some()) {
                    shared.metrics.messages_total.of(State::Received).inc();
                }
                shared.inputs.send(input);
            }
            Err(Failed { asker: Some(Origin::Request(request)), refusal }) => {
                shared.metrics.messages_total.of(State::Rejected).inc();
                shared.requests.answer(request, Err(refusal));
            }
            Err(Failed { asker: Some(Origin::Outbox { term, key, .. }), refusal }) => {
                tracing::warn!(event = "look_up_failed", process = %key.process, %refusal, "this outbox entry is tried again");
                shared.inputs.send(Input::Undelivered { term, process: key.process });
            }
            Err(Failed { asker: None | Some(Origin::Frame), refusal }) => tracing::debug!(event = "look_up_failed", %refusal),
        }
    }
}

pub(super) fn sign_loop(shared: &Shared) {
    while let Some(Run { term, process, head, clock, items }) = shared.runs.pop() {
        let run = contained("sign", || {
            here("sign");
            assign_run(process, head, clock, items, &*shared.scheduler).map_err(|error| error.to_string())
        });
        let run = run.unwrap_or_else(|| Err("a bug of this node ended the signing".to_owned()));
        shared.inputs.send(Input::Signed { term, process, run });
    }
}

pub(super) fn push_loop(shared: &Shared) {
    let mut pusher = Pusher::new(shared.verifier.clone(), shared.messenger.clone());
    while let Some((term, process)) = shared.turns.pop() {
        let turn = contained("push", || {
            here("push");
            pusher.turn(term, process)
        });
        let failed = || Input::Deliveries { term, process, entries: Err("a bug of this node ended the turn".to_owned()), more: true };
        shared.inputs.send(turn.unwrap_or_else(failed));
    }
}

/// Below the reserve; once there, until a little more than the reserve is free again.
pub(super) fn is_low(path: &std::path::Path, reserve: u64, was_low: bool) -> bool {
    let margin = if was_low { reserve / 20 } else { 0 };
    ao_storage::free_bytes(path).is_ok_and(|free| free < reserve.saturating_add(margin))
}

/// Room has just fallen below the reserve.
fn is_short_of_room(shared: &Shared) -> bool {
    let newly = |path: &std::path::Path| is_low(path, shared.disk_reserve_bytes.load(Ordering::Relaxed), false);
    !shared.low_disk.load(Ordering::Relaxed) && shared.data_dir.as_deref().is_some_and(newly)
}

/// Says to health and to readers whether there is room. Without it nothing is evaluated, for results would have no place: who waits for
/// one is told.
pub(super) fn set_room(shared: &Shared, low: bool) {
    let was = shared.low_disk.swap(low, Ordering::Relaxed);
    if low == was {
        return;
    }
    let reserve = shared.disk_reserve_bytes.load(Ordering::Relaxed);
    tracing::warn!(event = "disk_reserve", low, reserve, "writes are refused while room is below the reserve");
    if low {
        let why = "room on disk is below the reserve: nothing is evaluated until there is more; what was evaluated before can be read";
        shared.results.pause(&Rejection::retry(Code::ReadOnly, why, 30));
    } else {
        shared.results.resume();
    }
}

pub(super) fn reserve_loop(shared: &Shared) {
    let path = shared.data_dir.clone();
    let (mut round, mut waited) = (0_u32, Waited::default());
    while !shared.stopping.load(Ordering::Relaxed) {
        let was = shared.low_disk.load(Ordering::Relaxed);
        let low = path.as_deref().is_some_and(|path| is_low(path, shared.disk_reserve_bytes.load(Ordering::Relaxed), was));
        if let Some(Ok(free)) = path.as_deref().map(ao_storage::free_bytes) {
            shared.metrics.disk_free_bytes.set(free.min(i64::MAX as u64) as i64);
        }
        set_room(shared, low);
        shared.evaluator.tidy();
        shared.evaluator.count_modules();
        if round.is_multiple_of(BACKLOG_ROUNDS) {
            waited.look(shared);
        }
        round = round.wrapping_add(1);
        if let Ok(sizes) = shared.store.sizes() {
            sizes.into_iter().for_each(|(table, bytes)| shared.metrics.db_bytes(table.name(), bytes));
        }
        // Sent every time: a write that found no room makes the core refuse writes too, until it hears that there is some.
        shared.inputs.send(Input::Reserve { low });
        std::thread::park_timeout(Duration::from_secs(2));
    }
}

/// The backlog is read in every so many rounds of [`reserve_loop`].
const BACKLOG_ROUNDS: u32 = 5;

/// What waited when it was last looked.
#[derive(Default)]
struct Waited {
    backlog: Backlog,
    /// Slots given and outbox entries then.
    moved: Option<(u64, i64)>,
}

impl Waited {
    /// Reads the backlog, unless nothing waited and nothing came since: an idle node reads nothing.
    fn look(&mut self, shared: &Shared) {
        let metrics = &shared.metrics;
        let moved = (metrics.messages_total.of(State::Assigned).get(), metrics.outbox_pending.get());
        if self.moved == Some(moved) && self.backlog.is_empty() {
            return;
        }
        match Backlog::read(&*shared.store) {
            Ok(backlog) => (self.backlog, self.moved) = (backlog, Some(moved)),
            Err(error) => return tracing::debug!(event = "backlog_unread", %error),
        }
        self.backlog.show((shared.clock)(), metrics);
    }
}
