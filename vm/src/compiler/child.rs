//! Compiling in a child process that can be killed.
//!
//! The child is the node's own binary under [`super::WORKER_COMMAND`]. Request and answer go through anonymous files that are its
//! standard input and output: neither side can block the other, and what a killed child wrote is gone with the file. It gets no
//! environment, no working folder and no signal that was meant for the node.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::frame::{Answer, Request};
use super::places::Places;
use super::{Budget, CompileError, Compiler, Job};
use crate::limits::{COMPILE_PATIENCE_MS, COMPILE_WORKERS_MAX};

/// How often the child's CPU time is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Exits a worker may have without an answer that say nothing about the module: it was ended by somebody, or could not begin.
const STRANGERS_SIGNALS: [i32; 4] = [libc::SIGKILL, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// Starts a worker for each module.
#[derive(Debug)]
pub struct Child {
    program: PathBuf,
    arguments: Vec<String>,
    budget: Budget,
    places: Places,
}

impl Child {
    /// Workers are `program` with `arguments`; see [`super::serve`] for what it has to do.
    pub fn new(program: impl Into<PathBuf>, arguments: &[&str], budget: Budget) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { program: program.into(), arguments, budget, places: Places::new(COMPILE_WORKERS_MAX) }
    }

    fn run(&self, job: &Job<'_>) -> io::Result<Result<Vec<u8>, CompileError>> {
        let mut input = anonymous(c"aonode-module")?;
        let cpu_ms = u64::try_from(self.budget.cpu.as_millis()).unwrap_or(u64::MAX);
        Request::write(crate::engine::fingerprint(job.engine), cpu_ms, self.budget.memory, job.wasm, &mut input)?;
        input.seek(SeekFrom::Start(0))?;
        let (mut output, mut said) = (anonymous(c"aonode-compiled")?, anonymous(c"aonode-compiler")?);
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::from(input)).stdout(Stdio::from(output.try_clone()?)).stderr(Stdio::from(said.try_clone()?));
        let mut child = Running::start(&mut command)?;
        let status = match child.wait(&self.budget)? {
            Waited::Ended(status) => status,
            Waited::OverCpu => return Ok(Err(self.over("its time on the CPU is over"))),
            Waited::OverWall => return Ok(Err(CompileError::Unavailable(format!("not compiled within {:?}", self.budget.wall)))),
        };
        output.seek(SeekFrom::Start(0))?;
        Ok(match Answer::read(&mut output) {
            Ok(Answer::Code(code)) => Ok(code),
            Ok(Answer::Refused(reason)) => Err(CompileError::Refused(reason)),
            Ok(Answer::NoMemory) => Err(self.over("its memory is not enough")),
            Ok(Answer::Stranger) => Err(CompileError::Unavailable("the compile worker is of another build".into())),
            Err(error) => Err(self.no_answer(status, &last_words(&mut said), &error)),
        })
    }

    /// What the end of a worker without an answer means.
    fn no_answer(&self, status: ExitStatus, said: &str, error: &io::Error) -> CompileError {
        match status.signal() {
            Some(libc::SIGXCPU) => self.over("its time on the CPU is over"),
            Some(libc::SIGXFSZ) => self.over("its code is too large"),
            // An allocation that fails aborts; a native stack that overflows is a fault. Both would happen again.
            Some(signal) if !STRANGERS_SIGNALS.contains(&signal) => self.over(&format!("the worker ended by signal {signal}: {said}")),
            _ => CompileError::Unavailable(format!("the compile worker gave no answer ({status}, {error}): {said}")),
        }
    }

    fn over(&self, what: &str) -> CompileError {
        CompileError::OverBudget { what: what.to_owned(), budget: self.budget }
    }
}

impl Compiler for Child {
    fn compile(&self, job: &Job<'_>) -> Result<Vec<u8>, CompileError> {
        let place = self.places.take(Duration::from_millis(COMPILE_PATIENCE_MS));
        let _place = place.ok_or_else(|| CompileError::Unavailable(format!("{COMPILE_WORKERS_MAX} modules are being compiled")))?;
        let made = self.run(job).unwrap_or_else(|error| Err(CompileError::Unavailable(format!("the compile worker: {error}"))));
        if let Err(error) = &made {
            tracing::warn!(event = "not_compiled", bytes = job.wasm.len(), %error, "a module is not compiled");
        }
        made
    }

    fn budget(&self) -> Budget {
        self.budget
    }
}

/// The last line a worker wrote to its standard error that says something, cut.
fn last_words(said: &mut File) -> String {
    let mut text = Vec::new();
    let read = said.seek(SeekFrom::Start(0)).and_then(|_| said.take(4096).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rfind(|line| !line.trim().is_empty() && !line.starts_with("note:")).unwrap_or("it said nothing");
    if read.is_ok() { last.chars().filter(|c| !c.is_control()).take(200).collect() } else { String::new() }
}

/// A file without a name; its memory is free when the last descriptor is.
fn anonymous(name: &std::ffi::CStr) -> io::Result<File> {
    // SAFETY: the name is a C string, and a descriptor that the call returns is ours alone.
    unsafe {
        match libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) {
            found if found >= 0 => Ok(File::from(OwnedFd::from_raw_fd(found))),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A child that does not outlive this value.
struct Running {
    child: std::process::Child,
    /// Readable when the child has ended.
    ended: OwnedFd,
    clock: Option<libc::clockid_t>,
}

enum Waited {
    Ended(ExitStatus),
    OverCpu,
    OverWall,
}

impl Running {
    fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let id = child.id() as libc::pid_t;
        // SAFETY: plain calls on the id of a child that is not waited for yet, hence is this child's.
        unsafe {
            let ended = libc::syscall(libc::SYS_pidfd_open, id, 0);
            if ended < 0 {
                let error = io::Error::last_os_error();
                child.kill().and_then(|()| child.wait()).ok();
                return Err(error);
            }
            let mut clock = 0;
            let found = libc::clock_getcpuclockid(id, &mut clock) == 0;
            Ok(Self { child, ended: OwnedFd::from_raw_fd(ended as i32), clock: found.then_some(clock) })
        }
    }

    /// Until it ends, or is over its budget; then it is dead when this returns.
    fn wait(&mut self, budget: &Budget) -> io::Result<Waited> {
        let began = Instant::now();
        loop {
            let mut poll = libc::pollfd { fd: self.ended.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, which outlives the call.
            let ready = unsafe { libc::poll(&mut poll, 1, LOOK.as_millis() as i32) };
            // The clock of one that has ended is there until it is waited for, so that the verdict hangs on no look at it alive.
            if self.clock.and_then(read_clock).is_some_and(|used| used > budget.cpu) {
                self.end();
                return Ok(Waited::OverCpu);
            }
            if ready > 0 {
                return self.child.wait().map(Waited::Ended);
            }
            if began.elapsed() > budget.wall {
                self.end();
                return Ok(Waited::OverWall);
            }
        }
    }

    fn end(&mut self) {
        // It may have ended by itself; waited for it must be either way.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a CPU clock shows; nothing if its owner is gone.
pub(super) fn read_clock(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call; a clock that is gone is an error, not a fault.
    let found = unsafe { libc::clock_gettime(clock, &mut time) } == 0;
    found.then(|| Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32))
}
