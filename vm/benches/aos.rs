//! What an aos process costs: `cargo bench -p ao-vm`. CPU time of the whole process, so that a busy machine does not show.
//!
//! Setting: npm's default 64-bit aos module, all safety on (fuel, depth counter, canonical NaNs, wall-clock guard), state committed.
//! `benches/ao-loader.mjs` does the same with the reference loader.
#![allow(missing_docs, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use ao_vm::{Instance, Machine, Settings, Vm};
use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput};

/// CPU time of this process.
struct Cpu;

struct Nanoseconds;

impl ValueFormatter for Nanoseconds {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (factor, unit) = if typical >= 1e6 { (1e-6, "ms CPU") } else { (1e-3, "us CPU") };
        values.iter_mut().for_each(|value| *value *= factor);
        unit
    }

    fn scale_throughputs(&self, _: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        if let Throughput::Elements(elements) = throughput {
            values.iter_mut().for_each(|value| *value = *elements as f64 / (*value * 1e-9));
        }
        "messages/s of CPU"
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}

impl Measurement for Cpu {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu()
    }

    fn end(&self, start: Duration) -> Duration {
        cpu() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Nanoseconds
    }
}

fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is ours and of the right type.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn process(machine: &Machine) -> Box<dyn Instance> {
    let mut process = machine.start(&common::aos(common::WASM64), common::environment(), &[]).unwrap();
    for (nonce, message) in common::messages().iter().take(1).enumerate() {
        let evaluated = process.evaluate(message).unwrap();
        assert!(evaluated.evaluation.error.is_none(), "message {nonce}");
    }
    process.evaluate(&common::eval(1, "Counter = 0")).unwrap();
    process
}

fn count(process: &mut dyn Instance) -> u64 {
    let evaluated = process.evaluate(&common::eval(2, "Counter = Counter + 1; return Counter")).unwrap();
    assert!(evaluated.evaluation.error.is_none());
    evaluated.fuel
}

fn evaluation(c: &mut Criterion<Cpu>) {
    for (name, batch) in [("commits batched", ao_vm::limits::BATCH_MESSAGES_MAX), ("a commit each", 1)] {
        let machine = common::machine_with(Settings { cache: Some(common::folder("compiled")), batch, ..Settings::default() });
        let mut process = process(&machine);
        let mut group = c.benchmark_group("aos");
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("eval of a counter, {name}"), |b| b.iter(|| count(&mut *process)));
        if batch == 1 {
            group.bench_function("dry run of the same", |b| {
                let message = common::eval(2, "Counter = Counter + 1; return Counter");
                b.iter(|| process.dry_run(&message).unwrap());
            });
            group.bench_function("eval of a counter, then its state hash", |b| {
                b.iter(|| {
                    count(&mut *process);
                    process.state_hash().unwrap()
                });
            });
        }
        group.finish();
        println!("fuel of one message: {}", count(&mut *process));
    }
}

fn checkpoints(c: &mut Criterion<Cpu>) {
    let machine = common::machine();
    let mut process = process(machine);
    process
        .evaluate(&common::eval(
            3,
            "Big = {} for i = 1, 2000 do Big[i] = string.rep('x', 4000) .. i end collectgarbage = function() return 0 end",
        ))
        .unwrap();
    process.checkpoint(false).unwrap();
    let mut group = c.benchmark_group("checkpoint");
    for pages in [1, 100, 1000] {
        let code = format!("for i = 1, {pages} do Big[i] = string.rep(tostring(Counter % 10), 4000) .. i end Counter = Counter + 1");
        let mut sizes = (0, 0);
        group.bench_function(format!("delta after about {pages} changed pages"), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    process.evaluate(&common::eval(4, &code)).unwrap();
                    process.state_hash().unwrap();
                    let start = cpu();
                    let made = black_box(process.checkpoint(true).unwrap());
                    spent += cpu() - start;
                    sizes = (made.bytes.len(), sizes.1 + 1);
                }
                spent
            });
        });
        println!("  {} bytes", sizes.0);
    }
    group.bench_function("full, 8 MB of live state", |b| b.iter(|| process.checkpoint(false).unwrap()));
    group.finish();
}

fn starts(c: &mut Criterion<Cpu>) {
    let settings = || Settings { cache: Some(common::folder("compiled")), ..Settings::default() };
    let machine = common::machine_with(settings());
    let module = common::aos(common::WASM64);
    machine.prepare(&module).unwrap();
    let boot = common::messages()[0].clone();
    let mut live = process(&machine);
    let stored = live.checkpoint(false).unwrap();
    let mut group = c.benchmark_group("start");
    group.bench_function("machine and module from the disk cache", |b| {
        b.iter(|| common::machine_with(settings()).prepare(&module).unwrap());
    });
    group.bench_function("instance of a loaded module", |b| b.iter(|| machine.start(&module, common::environment(), &[]).unwrap()));
    group.bench_function("instance and first message, which boots Lua", |b| {
        b.iter(|| machine.start(&module, common::environment(), &[]).unwrap().evaluate(&boot).unwrap());
    });
    group.bench_function("instance restored from a checkpoint", |b| {
        b.iter(|| machine.start(&module, common::environment(), std::slice::from_ref(&stored)).unwrap());
    });
    group.finish();
    println!("full checkpoint of a fresh aos process: {} bytes", stored.bytes.len());
}

/// Memory that the kernel charges this process with: anonymous, and pages of memory files.
fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    field("RssAnon:") + field("RssShmem:")
}

fn shmem_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with("Shmem:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn residents() {
    const COUNT: u64 = 50;
    let machine = common::machine();
    drop(process(machine));
    let (anon, shmem) = (resident_kib(), shmem_kib());
    let mut live: Vec<_> = (0..COUNT).map(|_| process(machine)).collect();
    let busy = (resident_kib() - anon, shmem_kib() - shmem);
    live.iter_mut().for_each(|process| process.idle().unwrap());
    let idle = (resident_kib().saturating_sub(anon), shmem_kib() - shmem);
    let claimed: u64 = live.iter().map(|process| process.resident_bytes()).sum::<u64>() / 1024;
    println!("{COUNT} hot aos processes after two messages, KiB each:");
    println!("  busy: {} charged (RssAnon + RssShmem), {} in memory files (system-wide Shmem)", busy.0 / COUNT, busy.1 / COUNT);
    println!("  idle: {} charged, {} in memory files, {} by our own account", idle.0 / COUNT, idle.1 / COUNT, claimed / COUNT);
    let start = cpu();
    for process in &mut live {
        count(&mut **process);
    }
    let first = cpu() - start;
    let start = cpu();
    for process in &mut live {
        count(&mut **process);
    }
    println!("  the first message after idling takes {:.1} ms CPU more", (first - (cpu() - start)).as_secs_f64() * 1e3 / COUNT as f64);
}

fn against_the_reference() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/ao-loader.mjs");
    let reference = std::process::Command::new("node").args(["--experimental-wasm-memory64", script]).output();
    let Ok(reference) = reference.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()) else {
        println!("node is not installed: no comparison with ao-loader");
        return;
    };
    let Some(theirs) = reference.lines().find_map(|line| line.strip_prefix("cpu_ms ")?.trim().parse::<f64>().ok()) else {
        println!("ao-loader did not run:\n{reference}");
        return;
    };
    let mut process = process(common::machine());
    for _ in 0..100 {
        count(&mut *process);
    }
    let (start, wall) = (cpu(), Instant::now());
    const ROUNDS: u32 = 500;
    for _ in 0..ROUNDS {
        count(&mut *process);
    }
    let ours = (cpu() - start).as_secs_f64() * 1e3 / f64::from(ROUNDS);
    let wall = wall.elapsed().as_secs_f64() * 1e3 / f64::from(ROUNDS);
    println!("eval of a counter: ao-loader {theirs:.1} ms CPU, aonode {ours:.3} ms CPU ({wall:.3} ms wall): {:.0} times", theirs / ours);
}

fn all() {
    let mut c = Criterion::default().with_measurement(Cpu).sample_size(20).measurement_time(Duration::from_secs(4)).configure_from_args();
    evaluation(&mut c);
    checkpoints(&mut c);
    starts(&mut c);
    residents();
    against_the_reference();
    c.final_summary();
}

fn main() {
    // On a stack as large as the node's workers have.
    std::thread::Builder::new().stack_size(2 * ao_vm::limits::THREAD_STACK_BYTES).spawn(all).unwrap().join().unwrap();
}
