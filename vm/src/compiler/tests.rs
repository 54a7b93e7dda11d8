use super::*;
use std::io::{Seek, Write};
use std::os::fd::FromRawFd;

/// Not a test: what [`real`] runs in a child process. Run by hand it finds no request and does nothing.
#[test]
#[ignore = "the worker of the other tests"]
fn worker_process() {
    // SAFETY: the descriptor stays open; the file is forgotten before it could close it.
    let mut output = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(1) });
    // The test runner has announced itself there.
    if output.set_len(0).is_ok() && output.rewind().is_ok() && serve(std::io::stdin(), &*output).is_ok() {
        std::process::exit(0);
    }
}

fn real(budget: Budget) -> Child {
    let arguments = ["--exact", "compiler::tests::worker_process", "--ignored", "--nocapture", "--test-threads=1"];
    Child::new("/proc/self/exe", &arguments, budget)
}

/// A worker that is something else altogether; `marker` is found in its command line.
fn shell(script: &str, marker: &str, budget: Budget) -> Child {
    Child::new("/bin/sh", &["-c", script, marker], budget)
}

fn engine() -> Engine {
    Engine::new(&crate::engine::config()).unwrap()
}

/// Enough work for some hundred milliseconds in any build.
fn heavy() -> Vec<u8> {
    let body = "(local.set 0 (i64.mul (local.get 0) (i64.xor (local.get 1) (local.get 0))))".repeat(4_000);
    wat::parse_str(format!("(module {})", format!("(func (param i64 i64) {body})").repeat(8))).unwrap()
}

fn compile(compiler: &dyn Compiler, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
    compiler.compile(&Job { wasm, ours: false, engine: &engine() })
}

fn cpu(cpu: Duration) -> Budget {
    Budget { cpu, ..Budget::default() }
}

/// Workers alive with this word in their command line. A worker leads its group; what it starts does not.
fn alive(word: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let is_worker = |folder: std::path::PathBuf| -> Option<bool> {
        let line = std::fs::read(folder.join("cmdline")).ok()?;
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        let group = stat.rsplit_once(") ")?.1.split(' ').nth(2)?.to_owned();
        let ours = line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes());
        Some(ours && folder.file_name()?.to_str()? == group)
    };
    processes.filter(|entry| is_worker(entry.path()) == Some(true)).count()
}

#[test]
fn a_child_compiles_what_a_thread_compiles() {
    let wasm = wat::parse_str("(module (func (export \"f\") (result i32) (i32.const 7)))").unwrap();
    let (child, thread) = (compile(&real(Budget::default()), &wasm).unwrap(), compile(&InProcess::default(), &wasm).unwrap());
    for code in [child, thread] {
        // SAFETY: the bytes were just produced by this engine's compiler.
        let module = unsafe { wasmtime::Module::deserialize(&engine(), code) }.unwrap();
        assert!(module.get_export("f").is_some());
    }
}

#[test]
fn what_the_compiler_refuses_is_refused_in_its_words() {
    for compiler in [&real(Budget::default()) as &dyn Compiler, &InProcess::default()] {
        let found = compile(compiler, b"\0asm\x01\0\0\0\x63\x01\0");
        assert!(matches!(&found, Err(CompileError::Refused(reason)) if reason.contains("section")), "{found:?}");
    }
}

#[test]
fn a_compilation_over_its_cpu_time_is_given_up_and_the_caller_goes_on() {
    let wasm = heavy();
    // Nothing is done in no time: this is over however fast the host, though it has mostly ended before the first look at it.
    let budget = cpu(Duration::ZERO);
    for compiler in [&real(budget) as &dyn Compiler, &InProcess::new(budget)] {
        assert!(matches!(compile(compiler, &wasm), Err(CompileError::OverBudget { budget: found, .. }) if found == budget));
    }
    for compiler in [&real(Budget::default()) as &dyn Compiler, &InProcess::default()] {
        assert!(compile(compiler, &wasm).is_ok());
    }
}

#[test]
fn an_endless_compilation_is_killed_by_its_cpu_time_however_long_it_waits_for_a_cpu() {
    let marker = "aonode-test-endless";
    // The clock alone says nothing: a worker that sleeps uses no CPU time and is left in peace.
    let patient = shell("sleep 1; kill -TERM $$", "aonode-test-sleeper", cpu(Duration::from_millis(500)));
    assert!(matches!(compile(&patient, b""), Err(CompileError::Unavailable(_))));
    let budget = cpu(Duration::from_millis(100));
    let found = compile(&shell("while :; do :; done", marker, budget), b"");
    assert!(matches!(found, Err(CompileError::OverBudget { .. })), "{found:?}");
    assert_eq!(alive(marker), 0, "it is gone when the caller is told");
}

#[test]
fn one_that_does_not_get_on_is_ended_without_a_verdict() {
    let marker = "aonode-test-stuck";
    let budget = Budget { wall: Duration::from_millis(60), ..Budget::default() };
    let found = compile(&shell("while :; do sleep 1000; done", marker, budget), b"");
    assert!(matches!(&found, Err(CompileError::Unavailable(text)) if text.contains("60ms")), "{found:?}");
    assert_eq!(alive(marker), 0);
}

#[test]
fn memory_is_bounded_and_going_over_it_is_a_verdict() {
    // One function as large as admission lets through. The worker itself is at home in half of the smaller budget.
    let body = "(i64.store (local.get 0) (i64.mul (i64.load (local.get 0)) (i64.load offset=8 (local.get 0))))".repeat(30_000);
    let wasm = wat::parse_str(format!("(module (memory i64 1) (func (param i64) {body}))")).unwrap();
    assert!(wasm.len() <= FUNCTION_BYTES_MAX);
    let with = |mib: u64| compile(&real(Budget { memory: mib << 20, ..Budget::default() }), &wasm);
    let found = with(192);
    assert!(matches!(&found, Err(CompileError::OverBudget { what, .. }) if what.contains("memory allocation")), "{found:?}");
    assert!(with(1024).is_ok());
}

#[test]
fn an_end_without_an_answer_says_what_it_can() {
    let end = |script: &str| compile(&shell(script, "aonode-test-end", Budget::default()), b"module");
    // Of the module's making, and it would happen again.
    for signal in ["SEGV", "ABRT", "XCPU", "XFSZ"] {
        let found = end(&format!("echo last words >&2; kill -{signal} $$"));
        assert!(matches!(found, Err(CompileError::OverBudget { .. })), "{signal}: {found:?}");
    }
    // Of somebody else's: an operator, the kernel short of memory, a worker that is none.
    for script in ["kill -KILL $$", "kill -TERM $$", "exit 0", "exit 3", "cat", "printf 'aocomp1\\n\\0\\5'", "echo reason >&2; exit 1"] {
        let found = end(script);
        assert!(matches!(found, Err(CompileError::Unavailable(_))), "{script}: {found:?}");
    }
    assert!(end("echo one >&2; echo two >&2; exit 1").unwrap_err().to_string().ends_with(": two"));
    let nowhere = Child::new("/nowhere/at/all", &[], Budget::default());
    assert!(matches!(compile(&nowhere, b""), Err(CompileError::Unavailable(_))));
    // Another build answers that it is one.
    let stranger = end("printf 'aocomp1\\n\\2\\0\\0\\0\\0\\0\\0\\0\\0'");
    assert!(stranger.unwrap_err().to_string().contains("another build"));
}

/// Each worker waits for a line of its own; the test writes one when as many wait as there may be.
#[test]
fn no_more_children_than_places() {
    let marker = "aonode-test-places";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Open for both, so that neither this nor a worker waits for the other to open it.
    let mut lines = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let compiler = shell(&format!("read -r line < '{}'", path.display()), marker, Budget::default());
    let mut most = 0;
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..3 * COMPILE_WORKERS_MAX).map(|_| scope.spawn(|| compile(&compiler, b""))).collect();
        for left in (1..=all.len()).rev() {
            while all.len() - all.iter().filter(|one| one.is_finished()).count() > left || alive(marker) < left.min(COMPILE_WORKERS_MAX) {
                std::thread::yield_now();
            }
            most = most.max(alive(marker));
            lines.write_all(b"\n").unwrap();
        }
    });
    assert_eq!(most, COMPILE_WORKERS_MAX, "at once");
}

#[test]
fn size_and_origin_decide_where_a_module_is_compiled() {
    #[derive(Debug)]
    struct Far;
    impl Compiler for Far {
        fn compile(&self, _: &Job<'_>) -> Result<Vec<u8>, CompileError> {
            Err(CompileError::Unavailable("far away".into()))
        }
        fn budget(&self) -> Budget {
            Budget::default()
        }
    }
    let compiler = BySize::new(Arc::new(Far));
    let engine = engine();
    let near = |bytes: usize, ours: bool| {
        // A custom section makes a module of any size; lengths are two or three bytes of LEB128.
        let mut wasm = b"\0asm\x01\0\0\0\0".to_vec();
        let size = bytes - 12;
        wasm.extend_from_slice(&[size as u8 | 0x80, (size >> 7) as u8 | 0x80, (size >> 14) as u8]);
        wasm.resize(bytes, 0);
        compiler.compile(&Job { wasm: &wasm, ours, engine: &engine }).is_ok()
    };
    assert_eq!([near(COMPILE_HERE_BYTES_MAX, false), near(COMPILE_HERE_BYTES_MAX + 1, false)], [true, false]);
    assert!(near(COMPILE_HERE_BYTES_MAX + 1, true), "our own guest is no bomb");
}

/// The worst shapes found for their size; half a second each where nothing else runs.
#[test]
fn a_bomb_that_is_small_enough_for_a_thread_is_soon_over() {
    let loops = "(loop (br_if 0 (local.get 0)) (local.set 1 (i32.add (local.get 1) (local.get 2)))".repeat(900);
    let loops = format!("(module (func (param i32 i32 i32) {loops} {}))", ")".repeat(900));
    let functions = format!("(module {})", "(func)".repeat(COMPILE_HERE_BYTES_MAX / 4 - 100));
    let compiler = InProcess::new(cpu(Duration::from_secs(20)));
    for text in [loops, functions] {
        let wasm = wat::parse_str(text).unwrap();
        assert!(wasm.len() <= COMPILE_HERE_BYTES_MAX, "{}", wasm.len());
        assert!(compile(&compiler, &wasm).is_ok());
    }
}
