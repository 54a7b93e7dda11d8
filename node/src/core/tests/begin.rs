//! Evaluation begins at a state from elsewhere: in which order what says so leaves, and what a state that was taken back leaves behind.

use ao_storage::schema::{BackfillRow, BackfillStage, CheckpointRow};
use ao_storage::{Table, WriteBatch};
use ao_types::StateHash;
use bytes::Bytes;

use super::*;
use crate::core::begin::Begin;
use crate::core::input::{Backfilled, BeginAt, Checkpointed, Step, Then};

/// What the store knows of a process whose log is confirmed up to slot 200.
fn facts(evaluated: Option<u64>) -> Facts {
    let evaluated = evaluated.map(|slot| (Slot(slot), 0));
    let process = ProcessFacts { head: Head { slot: Slot(200), ..head() }, evaluated, ..known(Some(Slot(200))) };
    Facts { as_of: 0, process: Some(process), assigned: None, content: None, stored: false }
}

fn row() -> CheckpointRow {
    CheckpointRow {
        root: StateHash([3; 32]),
        parent: None,
        assignment: Id([5; 32]),
        hash_chain: [6; 32],
        timestamp_ms: 5_000,
        block_height: 7,
        host_abi: ao_vm::HOST_ABI,
        bytes: 1,
    }
}

/// Somebody brings the state of a slot.
fn bring(request: u64, slot: u64, facts: Facts) -> Input {
    let begin = Begin::proven(PROCESS, Slot(slot), row(), Bytes::from_static(&[1]));
    Input::Begin(BeginAt { request: RequestId(request), facts, begin: Box::new(begin) })
}

fn rows(effects: &[Effect]) -> &WriteBatch {
    let found = effects.iter().find_map(|effect| if let Effect::Write { rows, .. } = effect { Some(rows) } else { None });
    found.unwrap_or_else(|| panic!("nothing to write in {effects:?}"))
}

fn of_table(effects: &[Effect], table: Table) -> usize {
    rows(effects).writes.iter().filter(|(of, ..)| *of == table).count()
}

fn jobs(effects: &[Effect]) -> Vec<Option<(Slot, u32)>> {
    effects.iter().filter_map(|effect| if let Effect::Evaluate(job) = effect { Some(job.from) } else { None }).collect()
}

fn evaluated(steps: Vec<Step>, checkpoint: Option<Checkpointed>, end: Option<End>) -> Input {
    Input::Evaluated(Box::new(Evaluated { term: 0, process: PROCESS, steps, checkpoint, end }))
}

#[test]
fn nobody_evaluates_from_a_state_before_it_is_in_the_store() {
    for evaluating in [false, true] {
        let mut core = running();
        let effects = if evaluating {
            let first = step(&mut core, Input::RunCron { request: None, process: PROCESS, facts: facts(None) });
            assert_eq!(jobs(&first), [None]);
            assert!(step(&mut core, bring(1, 100, facts(None))).is_empty(), "it waits until the turn is over");
            step(&mut core, evaluated(Vec::new(), None, Some(End::Turn { ticked: None })))
        } else {
            step(&mut core, bring(1, 100, facts(None)))
        };
        assert_eq!(names(&effects), ["Write"], "no evaluation beside the write, evaluating: {evaluating}");
        assert_eq!(of_table(&effects, Table::Backfills), 1);
        let again = step(&mut core, Input::RunCron { request: None, process: PROCESS, facts: facts(None) });
        assert_eq!(jobs(&again), [], "whatever else wants it evaluated");
        let late = step(&mut core, bring(2, 150, facts(None)));
        assert_eq!(refusal(&late), Code::Busy, "one that was proven before cannot know of what is to be worked out behind the first");
        let effects = written(&mut core, &effects);
        assert_eq!(jobs(&effects), [Some((Slot(100), 0))], "{effects:?}");
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Reply(RequestId(1), Ok(Reply::Done)))), "{effects:?}");
        assert_eq!(refusal(&step(&mut core, bring(3, 150, facts(None)))), Code::Busy, "nor one from before it was written");
    }
}

#[test]
fn a_state_whose_write_failed_was_never_begun_at() {
    let mut core = running();
    let effects = step(&mut core, bring(1, 100, facts(None)));
    let Some(Effect::Write { term, batch, .. }) = effects.first() else { panic!("{effects:?}") };
    let (term, batch) = (*term, *batch);
    let effects = step(&mut core, Input::WriteFailed { term, batch, reason: "torn".into(), disk_full: false });
    assert_eq!(names(&effects), ["Reply", "Recover"]);
    assert_eq!(refusal(&effects[..1]), Code::Unavailable);
    let owing = vec![(PROCESS, facts(None).process.unwrap())];
    let effects = step(&mut core, Input::Recovered(Box::new(Recovered { owing, ..empty(1) })));
    assert_eq!(jobs(&effects), [None], "from the log");
}

/// An evaluation that is taken back to a point, or to its beginning.
fn restart(from: Option<u64>) -> Input {
    let (from, root) = (from.map(|slot| (Slot(slot), 0)), StateHash([9; 32]));
    let row = BackfillRow { slot: Slot(120), root, done: from, stage: BackfillStage::Refused("it differs".into()) };
    let then = Then::Restart { from, facts: facts(None) };
    let (request, steps, drop) = (RequestId(1), Vec::new(), Vec::new());
    Input::Backfilled(Box::new(Backfilled { request, process: PROCESS, steps, checkpoint: None, drop, row: Some(row), then }))
}

fn state_at(slot: u64) -> Option<Checkpointed> {
    Some(Checkpointed { slot: Slot(slot), cron: 0, row: row(), body: Bytes::from_static(&[1]), drop: vec![(Slot(5), 0)] })
}

#[test]
fn nothing_is_written_down_of_a_state_that_was_taken_back() {
    for from in [None, Some(30)] {
        let mut core = running();
        let effects = step(&mut core, restart(from));
        assert_eq!(jobs(&effects), [from.map(|slot| (Slot(slot), 0))]);
        assert!(step(&mut core, evaluated(Vec::new(), state_at(150), None)).is_empty(), "an instance that went late, from {from:?}");
        let effects = written(&mut core, &effects);
        assert!(effects.iter().all(|effect| !matches!(effect, Effect::Write { .. })), "{effects:?}");
        // What was worked out from the log is written down as ever.
        let step_to = |slot| Step { slot: Slot(slot), cron: 0, row: None, outbox: Vec::new(), pushed_for: None, state: None };
        let effects = step(&mut core, evaluated(vec![step_to(31)], state_at(31), None));
        assert_eq!((of_table(&effects, Table::Checkpoints), of_table(&effects, Table::CheckpointBodies)), (2, 2), "one comes, one goes");
    }
}
