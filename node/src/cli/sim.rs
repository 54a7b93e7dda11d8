//! `sim`: seeds and plans from the command line. What a run is and what must hold in it is the module `sim`'s.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use serde_json::json;

use super::args::{Sim, SimKind, SimLatency, SimOne, SimRun};
use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::pairs;
use super::testnet;
use crate::scenario::Expect;
use crate::sim::check::Violation;
use crate::sim::cluster::WAN5_MEAN_MS;
use crate::sim::plan::{BadPlan, Latency, Plan, Taste};
use crate::sim::run::{Outcome, run};
use crate::sim::shrink::shrink;
use crate::sim::timing::percentile;
use crate::{datadir, logging};

/// Bytes of a plan's file.
const PLAN_BYTES_MAX: u64 = 1 << 20;

/// `sim`.
pub fn sim(context: &mut Context<'_>, verb: &Sim) -> Result<Exit, Failure> {
    match verb {
        Sim::Run(run) => seeds(context, run),
        Sim::Replay(one) => replay(context, one),
        Sim::Shrink(one) => smaller(context, one),
    }
}

fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, error.to_string())
}

/// The plan of a seed.
fn draw(kind: &SimKind, seed: u64) -> Result<Plan, Failure> {
    let known = crate::wiring::engines::named(&kind.engine);
    known.ok_or_else(|| wrong(BadPlan::Engine(kind.engine.clone())))?;
    let taste = Taste::parse(&kind.faults).map_err(wrong)?;
    let mut plan = match kind.nodes {
        0 => Plan::of_seed(&kind.engine, seed, taste),
        nodes => Plan::draw(&kind.engine, nodes, seed, taste),
    };
    match kind.latency {
        Some(SimLatency::Lan) => plan.latency = Latency::Lan,
        Some(SimLatency::Wan5) => plan.latency = Latency::Wan5,
        None => {}
    }
    if let Some(messages) = kind.messages {
        plan.messages = messages;
    }
    if let Some(load_ms) = kind.load_ms {
        plan.load_ms = load_ms;
        plan.storm_ms = plan.storm_ms.max(load_ms);
    }
    plan.check().map_err(wrong)?;
    Ok(plan)
}

/// The network of a `testnet.toml`, with what is expected of it.
fn scenario(path: &Path) -> Result<(Plan, Expect), Failure> {
    let scenario = testnet::scenario(path)?;
    let plan = Plan::of_scenario(&scenario).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
    Ok((plan, scenario.expect))
}

/// A seed, or a plan in a file.
fn chosen(one: &SimOne) -> Result<Plan, Failure> {
    if let Some(seed) = one.what.to_str().and_then(|text| text.parse().ok()) {
        return draw(&one.kind, seed);
    }
    let bytes = datadir::read_at_most(Path::new(&one.what), PLAN_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(wrong)?;
    Plan::parse(&text).map_err(wrong)
}

fn seeds(context: &mut Context<'_>, arguments: &SimRun) -> Result<Exit, Failure> {
    let of_file = arguments.manifest.as_deref().map(scenario).transpose()?;
    let seeds = of_file.as_ref().map_or((0, 100), |(plan, _)| (plan.seed, plan.seed.saturating_add(1)));
    let (from, to) = arguments.seeds.unwrap_or(seeds);
    let plans = |seed| match &of_file {
        Some((plan, _)) => Ok(Plan { seed, ..plan.clone() }),
        None => draw(&arguments.kind, seed),
    };
    plans(from)?;
    let expect = of_file.as_ref().map(|(_, expect)| *expect).unwrap_or_default();
    let (next, (send, ended)) = (AtomicU64::new(from), mpsc::channel::<(u64, Result<Plan, Failure>, Option<Outcome>)>());
    let mut totals = Totals::default();
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            let (next, send) = (&next, send.clone());
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    let plan = plans(seed);
                    let outcome = plan.as_ref().ok().map(run);
                    if send.send((seed, plan, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        ended.iter().try_for_each(|(seed, plan, outcome)| totals.add(context, (seed, &plan?), outcome, &expect))
    })?;
    let plan = plans(from)?;
    totals.show(context, arguments, (&plan.engine, plan.latency == Latency::Wan5))
}

/// Over all seeds.
#[derive(Default)]
struct Totals {
    runs: u64,
    broken: Vec<u64>,
    slots: usize,
    frames: usize,
    virtual_ms: u64,
    certified: Vec<u64>,
    confirmed: Vec<u64>,
}

impl Totals {
    fn add(
        &mut self,
        context: &mut Context<'_>,
        (seed, plan): (u64, &Plan),
        outcome: Option<Outcome>,
        expect: &Expect,
    ) -> Result<(), Failure> {
        let Some(outcome) = outcome else { return Ok(()) };
        self.runs += 1;
        self.slots += outcome.counts.0;
        self.frames += outcome.counts.1;
        self.virtual_ms += outcome.elapsed_ms;
        self.certified.extend(&outcome.timing.certified);
        self.confirmed.extend(&outcome.timing.confirmed);
        if outcome.violation.is_none()
            && let Some(short) = short_of(expect, &outcome)
        {
            self.broken.push(seed);
            let fields = json!({ "seed": seed, "rule": "expect", "what": short, "plan": plan });
            return context.printer.event("sim-violation/v1", fields, || format!("seed {seed}: {short}\n{}", plan.to_text()));
        }
        let Some(violation) = outcome.violation else { return Ok(()) };
        self.broken.push(seed);
        let fields = json!({ "seed": seed, "rule": violation.rule, "what": violation.what, "plan": plan });
        context.printer.event("sim-violation/v1", fields, || format!("seed {seed}: {violation}\n{}", plan.to_text()))
    }

    fn show(mut self, context: &mut Context<'_>, arguments: &SimRun, (engine, far): (&str, bool)) -> Result<Exit, Failure> {
        self.broken.sort_unstable();
        let mut record = json!({
            "engine": engine, "seeds": self.runs, "violations": self.broken, "confirmed_slots": self.slots,
            "confirmed_frames": self.frames, "simulated_ms": self.virtual_ms,
        });
        let mut lines = vec![
            ("Engine", engine.to_owned()),
            ("Seeds", self.runs.to_string()),
            ("Violations", if self.broken.is_empty() { "none".to_owned() } else { format!("{:?}", self.broken) }),
            ("Confirmed", format!("{} slots in {} frames", self.slots, self.frames)),
            ("Simulated", format!("{} s", self.virtual_ms / 1_000)),
        ];
        if arguments.report {
            let trip = (2 * WAN5_MEAN_MS) as f64;
            for (name, heading, times) in [("certified", "Certified", &self.certified), ("confirmed", "Frames", &self.confirmed)] {
                let [p50, p95, p99] = [50, 95, 99].map(|percent| percentile(times, percent));
                record[name] = json!({ "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "frames": times.len() });
                let trips = p50.map_or(0.0, |ms| ms as f64 / trip);
                let text = |ms: Option<u64>| ms.map_or("-".to_owned(), |ms| ms.to_string());
                let trips = if far { format!("; p50 is {trips:.2} round trips") } else { String::new() };
                let text =
                    format!("{name} after {} ms p50, {} p95, {} p99, {} of them{trips}", text(p50), text(p95), text(p99), times.len());
                lines.push((heading, text));
            }
        }
        context.printer.record("sim-run/v1", record, || pairs(&lines))?;
        Ok(if self.broken.is_empty() { Exit::Ok } else { Exit::Verification })
    }
}

/// What a run falls short of, beyond what must hold in every run.
fn short_of(expect: &Expect, outcome: &Outcome) -> Option<String> {
    let confirmed = outcome.counts.0 as u64;
    if confirmed < expect.finalized_min {
        return Some(format!("{confirmed} slots are confirmed, {} are expected", expect.finalized_min));
    }
    let p99 = percentile(&outcome.timing.confirmed, 99);
    let bound = expect.p99_ms?;
    p99.filter(|p99| *p99 > bound).map(|p99| format!("99 of 100 frames are confirmed within {p99} ms, {bound} are expected"))
}

fn replay(context: &mut Context<'_>, one: &SimOne) -> Result<Exit, Failure> {
    let plan = chosen(one)?;
    if let Some(levels) = &context.globals.log_level {
        // What the nodes say, each line with its node and the run's clock.
        logging::install(levels, Default::default(), context.printer.colour).map_err(wrong)?;
    }
    let outcome = run(&plan);
    let trace = hex::encode(outcome.trace);
    let text = |violation: Option<&Violation>| violation.map_or("none".to_owned(), ToString::to_string);
    let (broken, split) = (text(outcome.violation.as_ref()), text(outcome.split.as_ref()));
    let record = json!({
        "plan": plan, "trace": trace, "simulated_ms": outcome.elapsed_ms, "confirmed_slots": outcome.counts.0,
        "violation": outcome.violation.as_ref().map(ToString::to_string), "split": outcome.split.as_ref().map(ToString::to_string),
        "evidence_ms": outcome.evidence_ms,
    });
    let lines = [
        ("Trace", trace),
        ("Simulated", format!("{} ms", outcome.elapsed_ms)),
        ("Confirmed", format!("{} slots in {} frames", outcome.counts.0, outcome.counts.1)),
        // What more than a third of the stake may do.
        ("Split", split),
        ("Violation", broken),
    ];
    context.printer.record("sim-replay/v1", record, || format!("{}{}", plan.to_text(), pairs(&lines)))?;
    Ok(if outcome.violation.is_none() { Exit::Ok } else { Exit::Verification })
}

fn smaller(context: &mut Context<'_>, one: &SimOne) -> Result<Exit, Failure> {
    let plan = chosen(one)?;
    let found = shrink(&plan, |_| {});
    let Some(smallest) = found else {
        context.printer.record("sim-shrink/v1", json!({ "violation": null }), || "no rule is broken".to_owned())?;
        return Ok(Exit::Ok);
    };
    let violation = run(&smallest).violation.map(|violation| violation.to_string());
    let record = json!({ "plan": smallest, "violation": violation });
    context.printer.record("sim-shrink/v1", record, || format!("# {}\n{}", violation.unwrap_or_default(), smallest.to_text()))?;
    Ok(Exit::Verification)
}
