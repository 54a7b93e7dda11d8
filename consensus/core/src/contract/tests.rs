use super::*;
use crate::effect::Confirmed;
use crate::proof::Proof;
use crate::{ChainTip, Effect, Given, Input, Solo, Timestamp};
use std::sync::Arc;

/// What an engine can do wrong, each shown to be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    ConfirmsTwice,
    LeavesOneOut,
    TrustsEverything,
    ForgetsWhatWasConfirmed,
    NamesAnotherFrame,
    NeverConfirms,
    AsksForEver,
    AccusesAnybody,
}

struct Faulty {
    solo: Solo,
    wrong: Wrong,
    count: u64,
}

impl Consensus for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }
    fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Effect>) {
        let given = match &input {
            Input::Frame(given) => Some(given.clone()),
            _ => None,
        };
        let before = out.len();
        let input = match (self.wrong, input) {
            (Wrong::TrustsEverything, Input::Frame(given)) => Input::Frame(Box::new(Given { facts: crate::Facts::WHOLE, ..*given })),
            (_, input) => input,
        };
        self.solo.handle(now, input, out);
        let confirmed: Vec<Confirmed> =
            out[before..].iter().filter_map(|effect| if let Effect::Confirmed(one) = effect { Some(one.clone()) } else { None }).collect();
        self.count += confirmed.len() as u64;
        let odd = self.count == 4 && !confirmed.is_empty();
        match self.wrong {
            Wrong::ConfirmsTwice if odd => out.push(Effect::Confirmed(confirmed[0].clone())),
            Wrong::LeavesOneOut if odd => {
                out.remove(before);
            }
            Wrong::NamesAnotherFrame if odd => {
                out[before] =
                    Effect::Confirmed(Confirmed { frame: crate::FrameId([9; 32]), proof: Arc::new(Proof::Alone), ..confirmed[0].clone() });
            }
            Wrong::NeverConfirms => out.truncate(before),
            Wrong::AccusesAnybody => {
                if let Some(raw) = given.and_then(|given| given.header.to_raw()) {
                    out.push(Effect::Evidence(Box::new(crate::Evidence::TwoHeaders(Box::new((raw.clone(), raw))))));
                }
            }
            _ => {}
        }
    }
    fn next_deadline(&self) -> Option<Timestamp> {
        (self.wrong == Wrong::AsksForEver).then_some(Timestamp(0))
    }
}

fn solo() -> impl Fn(Setup) -> Box<dyn Consensus> {
    |setup| Box::new(Solo::new(&setup))
}

#[test]
fn the_engine_of_a_network_of_one_keeps_the_contract() {
    let make = solo();
    let suite = Suite { alone: true, ..Suite::new(&make) };
    let reports = conformance(&suite, 1, 20).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(reports.iter().all(|(_, report)| report.frames >= 5 && report.confirmed >= report.frames));
    assert!(reports.iter().any(|(name, report)| *name == "crashes" && report.crashes > 0));
}

#[test]
fn a_network_of_several_is_not_for_it() {
    // Its word is no proof, and of two frames for one place it confirms the one that came first.
    let make = solo();
    let violation = run(&Suite::new(&make), &Scenario::calm(1), 0).expect_err("no proof");
    assert_eq!(violation.rule, "contract 3", "{violation}");
    let suite = Suite { alone: true, ..Suite::new(&make) };
    let twins = Scenario { twins: true, schedulers: 2, ..Scenario::calm(4) };
    let rules: Vec<_> = (0..5).filter_map(|seed| run(&suite, &twins, seed).err()).map(|violation| violation.rule).collect();
    assert!(rules.contains(&"S1"), "{rules:?}");
}

#[test]
fn whatever_an_engine_does_wrong_is_noticed() {
    for (wrong, rule) in [
        (Wrong::ConfirmsTwice, "contract 2"),
        (Wrong::LeavesOneOut, "contract 2"),
        (Wrong::TrustsEverything, "contract 3"),
        (Wrong::ForgetsWhatWasConfirmed, "contract 2"),
        (Wrong::NamesAnotherFrame, "contract 3"),
        (Wrong::NeverConfirms, "contract 7"),
        (Wrong::AsksForEver, "contract 1"),
        (Wrong::AccusesAnybody, "evidence"),
    ] {
        let make = move |setup: Setup| -> Box<dyn Consensus> {
            let confirmed: Vec<ChainTip> = if wrong == Wrong::ForgetsWhatWasConfirmed { Vec::new() } else { setup.confirmed.clone() };
            Box::new(Faulty { solo: Solo::new(&Setup { confirmed, ..setup }), wrong, count: 0 })
        };
        let suite = Suite { alone: true, ..Suite::new(&make) };
        // Solo's frames are given as rotten ones only in a network of several.
        let scenario = match wrong {
            Wrong::TrustsEverything => Scenario { rotten: true, schedulers: 4, latency_ms: (1, 1), ..Scenario::calm(4) },
            _ => Scenario { crashes: 6, storm_ms: 4_000, patience_ms: 20_000, ..Scenario::calm(1) },
        };
        let found: Vec<_> = (0..8).filter_map(|seed| run(&suite, &scenario, seed).err()).collect();
        assert!(found.iter().any(|violation| violation.rule == rule), "{wrong:?}: {found:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_run_and_another_seed_another() {
    let make = solo();
    let suite = Suite { alone: true, ..Suite::new(&make) };
    let scenario = Scenario { crashes: 5, ..Scenario::calm(1) };
    let traces: std::collections::BTreeSet<_> =
        (0..5).map(|seed| run(&suite, &scenario, seed).map(|report| report.trace)).collect::<Result<_, _>>().unwrap();
    assert_eq!(traces.len(), 5);
    assert_eq!(run(&suite, &scenario, 3), run(&suite, &scenario, 3));
}
