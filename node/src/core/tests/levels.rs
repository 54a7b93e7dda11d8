//! What the engine says of a frame reaches readers when they can read it, and faults are told once.

use ao_consensus::{Certified, Evidence};
use ao_types::{Attestation, BlsKey, BlsSignature, FrameId, Statement};

use super::*;
use crate::handle::Event;
use crate::limits::{EVIDENCE_OF_ONE_MAX, EVIDENCE_REMEMBERED_MAX};

/// Certifies every frame that it hears of, and confirms none.
struct Certifier;

impl Consensus for Certifier {
    fn name(&self) -> &'static str {
        "certifier"
    }
    fn handle(&mut self, _: Timestamp, input: ao_consensus::Input, out: &mut Vec<ao_consensus::Effect>) {
        if let ao_consensus::Input::Frame(given) = input {
            let (chain, sequence, frame) = (given.header.chain, given.header.sequence, given.header.id());
            out.push(ao_consensus::Effect::Certified(Certified { chain, sequence, frame, certificates: Vec::new() }));
        }
    }
    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }
}

fn certifying(certified: Option<u64>) -> Core {
    let mut core = core();
    let recovered = empty(0);
    let chain = RecoveredChain { certified, ..recovered.chain.clone() };
    assert!(step(&mut core, Input::Recovered(Box::new(Recovered { engine: Box::new(Certifier), chain, ..recovered }))).is_empty());
    core
}

/// Effects after the batch with the slot is written.
fn assigned(core: &mut Core) -> Vec<Effect> {
    let effects = submit(core, message(1, 1));
    let effects = sign(core, &effects);
    written(core, &effects)
}

/// Rows of this table in the batch that is written.
fn rows_of(effects: &[Effect], table: ao_storage::Table) -> usize {
    let Some(Effect::Write { rows, .. }) = effects.iter().find(|effect| matches!(effect, Effect::Write { .. })) else { return 0 };
    rows.writes.iter().filter(|(of, ..)| *of == table).count()
}

/// Slots that are told to be certified.
fn told(effects: &[Effect]) -> Vec<Slot> {
    let slot = |effect: &Effect| match effect {
        Effect::Tell(Event::Certified { process: PROCESS, slot }) => Some(*slot),
        _ => None,
    };
    effects.iter().filter_map(slot).collect()
}

#[test]
fn a_certificate_is_a_row_and_then_an_event() {
    let mut core = certifying(None);
    let effects = assigned(&mut core);
    assert_eq!((rows_of(&effects, ao_storage::Table::Certified), told(&effects)), (1, Vec::new()), "not before it can be read");
    assert_eq!(told(&written(&mut core, &effects)), [Slot(1)]);
}

#[test]
fn what_was_certified_before_the_start_is_not_said_again_and_never_lowered() {
    let mut core = certifying(Some(5));
    let effects = assigned(&mut core);
    assert_eq!((rows_of(&effects, ao_storage::Table::Certified), told(&effects)), (0, Vec::new()));
}

fn fault(n: u32) -> Input {
    let attestation = |n: u32| {
        let mut frame = [0; 32];
        frame[..4].copy_from_slice(&n.to_be_bytes());
        let statement = Statement::Frame { chain: chain(), sequence: 1, frame: FrameId(frame) };
        Attestation { statement, key: BlsKey([9; 48]), signature: BlsSignature([8; 96]) }
    };
    let evidence = Evidence::TwoBranches { lower: attestation(u32::MAX), higher: attestation(n), headers: Vec::new() };
    Input::Evidence(Arc::new(evidence))
}

#[test]
fn a_fault_that_several_show_is_told_once() {
    let mut core = running();
    let faults = |effects: &[Effect]| effects.iter().filter(|effect| matches!(effect, Effect::Fault { .. })).count();
    assert_eq!(faults(&step(&mut core, fault(1))), 1);
    assert_eq!(faults(&step(&mut core, fault(1))), 0, "it is on its way to the disk");
    assert_eq!(faults(&step(&mut core, fault(2))), 1);
    (3..EVIDENCE_REMEMBERED_MAX as u32 + 10).for_each(|n| drop(step(&mut core, fault(n))));
    assert_eq!(core.faults.shown.len(), EVIDENCE_REMEMBERED_MAX, "no more are remembered");
}

#[test]
fn of_one_offender_so_many_faults_are_kept_and_no_more() {
    let kept = |effects: &[Effect]| effects.iter().filter(|effect| matches!(effect, Effect::Fault { .. })).count();
    let mut core = running();
    let all: usize = (0..100).map(|n| kept(&step(&mut core, fault(n)))).sum();
    assert_eq!(all, EVIDENCE_OF_ONE_MAX);
    // The next life knows what the store has.
    let Input::Evidence(one) = fault(0) else { unreachable!() };
    let mut core = super::core();
    let charges = vec![charge(&one); EVIDENCE_OF_ONE_MAX - 1];
    step(&mut core, Input::Recovered(Box::new(Recovered { charges, ..empty(0) })));
    assert_eq!([200, 201].map(|n| kept(&step(&mut core, fault(n)))), [1, 0]);
}
