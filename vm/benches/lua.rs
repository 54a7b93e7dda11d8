//! What a Lua process costs: a token transfer with commits, a boot from the cached module, the floor of a message.
//!
//! `cargo bench -p ao-vm --bench lua`. Times are CPU time of the evaluating thread, user and system, so that a busy machine does not change
//! them. Targets: transfer ≥ 10 000/s and core (≤ 100 µs), boot ≤ 5 ms.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ao_types::invocation::Subject;
use ao_types::{Environment, Id, Invocation, Tag};
use ao_vm::{Instance, Machine, ModuleSource, Settings, Vm, lua};
use criterion::{Criterion, Throughput};

const TOKEN: &str = include_str!("../lua/examples/token.lua");
const OWNER: &str = "yIg9pqJbXJkBF2yXyKxkYb8AjVJQQ2tFR0GZgZ0m5hQ";
const PROCESS: &str = "k7S0mVJrR2pIUnAMlVKzlzTPDHfCm5zXUaP8q1YjD7E";

/// CPU time of this thread.
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Linux, and `time` is valid for a write.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// CPU time of `count` runs of `body`.
fn timed<T>(count: u64, mut body: impl FnMut(u64) -> T) -> Duration {
    let start = cpu();
    for i in 0..count {
        black_box(body(i));
    }
    cpu() - start
}

fn machine() -> Machine {
    let cache = Some(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules"));
    Machine::new(Settings { cache, ..Settings::default() }).unwrap()
}

fn module(source: &str) -> ModuleSource {
    let item = lua::module("bench", source.to_owned());
    ModuleSource { id: Id(*blake3::hash(source.as_bytes()).as_bytes()), tags: item.tags, code: item.data }
}

fn environment(module: &ModuleSource) -> Arc<Environment> {
    let process = Subject { id: PROCESS.into(), owner: OWNER.into(), tags: vec![Tag::new("Type", "Process")] };
    Arc::new(Environment { process, module: Subject { id: module.id.to_string(), owner: OWNER.into(), tags: module.tags.clone() } })
}

fn message(nonce: u64, tags: &[(&str, &str)]) -> Arc<Invocation> {
    let protocol = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message"), ("SDK", "aoconnect")];
    Arc::new(Invocation {
        id: Some(format!("{nonce:043}")),
        signature: Some("s".repeat(683)),
        data: Some("1984".into()),
        owner: OWNER.into(),
        from: OWNER.into(),
        target: PROCESS.into(),
        tags: tags.iter().chain(&protocol).map(|(name, value)| Tag::new(*name, *value)).collect(),
        nonce: Some(nonce),
        timestamp: 1_709_210_096_000 + nonce,
        block_height: 1_600_000,
        ..Invocation::default()
    })
}

fn token(machine: &Machine) -> Box<dyn Instance> {
    let module = module(TOKEN);
    let mut instance = machine.start(&module, environment(&module), &[]).unwrap();
    let minted = instance.evaluate(&message(1, &[("Action", "Mint"), ("Quantity", "1000000000000000000000000")])).unwrap();
    assert_eq!((minted.evaluation.error, minted.evaluation.messages.len()), (None, 1));
    instance
}

fn transfer(nonce: u64) -> Arc<Invocation> {
    let recipient = format!("{:043}", nonce % 1000);
    message(nonce, &[("Action", "Transfer"), ("Recipient", &recipient), ("Quantity", "1000000000000")])
}

fn costs(c: &mut Criterion) {
    let machine = machine();
    let mut group = c.benchmark_group("lua");
    group.throughput(Throughput::Elements(1));

    let mut instance = token(&machine);
    let mut nonce = 1;
    group.bench_function("token transfer, with commits", |bench| {
        bench.iter_custom(|count| {
            let log: Vec<_> = (0..count).map(|i| transfer(nonce + i)).collect();
            nonce += count;
            let evaluated = timed(count, |i| {
                let evaluated = instance.evaluate(&log[i as usize]).unwrap();
                assert_eq!(evaluated.evaluation.messages.len(), 2);
            });
            evaluated + timed(1, |_| instance.idle().unwrap())
        });
    });
    let fuel = instance.evaluate(&transfer(nonce)).unwrap().fuel;
    println!("fuel of a transfer: {fuel}");
    group.bench_function("token transfer, dry run", |bench| {
        let message = transfer(7);
        bench.iter_custom(|count| timed(count, |_| instance.dry_run(&message).unwrap()));
    });

    let idle = module("");
    let mut instance = machine.start(&idle, environment(&idle), &[]).unwrap();
    group.bench_function("eval 1 + 1", |bench| {
        let mut eval = Invocation::clone(&message(1, &[("Action", "Eval")]));
        eval.data = Some("1 + 1".into());
        let eval = Arc::new(eval);
        bench.iter_custom(|count| timed(count, |_| instance.evaluate(&eval).unwrap()));
    });
    instance.idle().unwrap();
    println!("resident bytes of an idle process: {}", instance.resident_bytes());

    let item = module("Handlers.add('x', 'X', function() end)");
    machine.prepare(&item).unwrap();
    group.bench_function("boot from the prepared module", |bench| {
        bench.iter_custom(|count| timed(count, |_| machine.start(&item, environment(&item), &[]).unwrap()));
    });
    group.bench_function("boot in a new machine, module in the cache on disk", |bench| {
        bench.iter_custom(|count| {
            let machines: Vec<_> = (0..count).map(|_| self::machine()).collect();
            timed(count, |i| machines[i as usize].start(&item, environment(&item), &[]).unwrap())
        });
    });
    group.finish();
}

/// On a thread whose stack is large enough for an evaluation: elsewhere each one hops to a thread of its own.
fn main() {
    let bench = std::thread::Builder::new().stack_size(ao_vm::limits::THREAD_STACK_BYTES);
    bench.spawn(|| costs(&mut Criterion::default().configure_from_args())).unwrap().join().unwrap();
}
