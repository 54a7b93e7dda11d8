//! The compile worker: what runs in the child process.
//!
//! It puts itself under its limits before it reads the first byte of a module, compiles, answers, and is gone. It is the very binary its
//! parent runs, so its engine is the same; if it should not be (a binary replaced under a running node), it says so and compiles nothing.

use std::io::{self, Read, Write};

use wasmtime::Engine;

use super::frame::{Answer, Request};
use crate::limits::{COMPILE_NICE, COMPILE_STACK_BYTES, COMPILED_BYTES_MAX};

/// The argument by which a binary that hosts this crate becomes a worker: it calls [`serve`] on its standard streams and ends.
pub const WORKER_COMMAND: &str = "compile-worker";

/// Serves one compilation: a request from `input`, an answer to `output`. For a process that does nothing else: limits are its own.
///
/// # Errors
/// The request is malformed, the limits cannot be set, or the answer cannot be written. The parent sees that there is no answer.
pub fn serve(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    // SAFETY: no preconditions: the kernel ends this process with the thread that started it.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let request = Request::read(&mut input, limit)?;
    let work = std::thread::Builder::new().name("compile".into()).stack_size(COMPILE_STACK_BYTES).spawn(move || answer(&request))?;
    work.join().unwrap_or_else(|_| Answer::Refused("the compiler failed on it".into())).write(&mut output)
}

fn answer(request: &Request) -> Answer {
    let Ok(engine) = Engine::new(&crate::engine::config()) else { return Answer::Stranger };
    if crate::engine::fingerprint(&engine) != request.engine {
        return Answer::Stranger;
    }
    match engine.precompile_module(&request.wasm) {
        Ok(code) => Answer::Code(code),
        Err(error) if error.is::<wasmtime::OutOfMemory>() => Answer::NoMemory,
        Err(error) => Answer::Refused(format!("{error:#}")),
    }
}

/// Memory, CPU time, size of the answer, priority; no core dumps of what strangers sent.
fn limit(cpu_ms: u64, memory: u64) -> io::Result<()> {
    let set = |what, bound: u64, hard: u64| {
        let bounds = libc::rlimit { rlim_cur: bound, rlim_max: hard };
        // SAFETY: the structure outlives the call.
        if unsafe { libc::setrlimit(what, &bounds) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // The kernel counts whole seconds, and is the second to notice: the parent looks more often.
    let seconds = cpu_ms.div_ceil(1000).saturating_add(1);
    set(libc::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
    set(libc::RLIMIT_AS, memory, memory)?;
    let answer = COMPILED_BYTES_MAX as u64 + 4096;
    set(libc::RLIMIT_FSIZE, answer, answer)?;
    set(libc::RLIMIT_CORE, 0, 0)?;
    // SAFETY: no preconditions; a priority that cannot be lowered is no reason to stop.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, COMPILE_NICE) };
    Ok(())
}
