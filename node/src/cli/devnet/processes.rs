//! Processes of a devnet: started so that they outlive the command, found again by id *and* start time, ended by their own ids.
//!
//! A process id alone is not enough: ids are used again, and nobody wants to kill whoever has one now.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cli::exit::{Exit, Failure, io_exit};
use crate::datadir;

/// A node that was asked to end has ended by then, or is killed; its own promise is 5 s.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
/// How often a process is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// When it began, in the kernel's ticks since the machine did: with the id it names one process for ever.
    pub began: u64,
}

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Runs,
    /// It was stopped by a signal and can go on.
    Paused,
    /// It ended, or another process has its id.
    Gone,
}

/// How long a process may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// Until it is stopped, whatever becomes of the command that starts it.
    None,
    /// No longer than the thread that starts it: were that killed, the kernel kills this one too.
    Parent,
}

/// The child is killed when the thread that spawns it ends, even while it is paused.
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only prctl and getppid are called, which are async-signal-safe, on values that were copied in.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // It may have ended before it was asked for.
            if u32::try_from(libc::getppid()) == Ok(parent) { Ok(()) } else { Err(std::io::ErrorKind::BrokenPipe.into()) }
        });
    }
}

impl Process {
    /// Starts `aonode` with these arguments in a process group of its own, its log appended to `log`.
    ///
    /// # Errors
    /// The system refuses.
    pub fn start(arguments: &[&str], log: &Path, ties: Ties) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::new(io_exit(&error), format!("cannot start `aonode {}`: {error}", arguments.join(" ")));
        let file = || OpenOptions::new().create(true).append(true).mode(0o600).open(log);
        let mut command = Command::new("/proc/self/exe");
        command.args(arguments).stdin(Stdio::null());
        command.stdout(file().map_err(failed)?).stderr(file().map_err(failed)?).process_group(0);
        if ties == Ties::Parent {
            die_with_parent(&mut command);
        }
        let child = command.spawn().map_err(failed)?;
        let pid = i32::try_from(child.id()).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
        let began = stat(pid).map(|(_, began)| began);
        let began = began.ok_or_else(|| Failure::new(Exit::Bug, format!("`aonode {}` ended at once", arguments.join(" "))))?;
        Ok(Self { pid, began })
    }

    /// What became of it.
    pub fn life(&self) -> Life {
        match stat(self.pid) {
            Some((state, began)) if began == self.began => match state {
                // A zombie is a process that ended and whose parent did not look.
                'Z' | 'X' => Life::Gone,
                'T' | 't' => Life::Paused,
                _ => Life::Runs,
            },
            _ => Life::Gone,
        }
    }

    /// Sends a signal, if it is still that process. Whether it was.
    pub fn signal(&self, signal: libc::c_int) -> bool {
        if self.life() == Life::Gone {
            return false;
        }
        // SAFETY: a signal to a process that was looked at just now. Were its id given to another in between (which takes a full round
        // of all ids), that one would be of this user too, or the call fails.
        unsafe { libc::kill(self.pid, signal) == 0 }
    }

    /// Asks it to end, and ends it if it does not.
    pub fn stop(&self) {
        self.ask_to_end();
        self.await_end();
    }

    /// Asks it to end. Once: a second signal would have it end at once.
    pub fn ask_to_end(&self) {
        self.signal(libc::SIGCONT);
        self.signal(libc::SIGTERM);
    }

    /// Waits until it has ended, and ends it if it does not.
    pub fn await_end(&self) {
        if !self.gone_within(STOPPED_WITHIN) {
            self.kill();
        }
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
        self.gone_within(STOPPED_WITHIN);
    }

    fn gone_within(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        while self.life() != Life::Gone {
            if Instant::now() > until {
                return false;
            }
            // A child of ours stays a zombie until somebody looks.
            // SAFETY: no memory is handed over, and a process that is no child of ours is left alone.
            unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), libc::WNOHANG) };
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }
}

/// State and start time of a process, from `/proc`. `None`: there is none.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name comes in parentheses and may hold anything; the state follows the last one.
    let mut fields = text.get(text.rfind(')')? + 2..)?.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// The processes of a devnet, in its folder. Locked while a command changes them.
#[derive(Debug)]
pub struct Registry {
    path: PathBuf,
    _lock: File,
}

impl Registry {
    /// That of a folder, which must be there. Waits for another command that has it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(io_exit(&error), format!("cannot lock {}: {error}", folder.display()));
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join("LOCK")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self { path: folder.join("processes.json"), _lock: lock })
    }

    /// The process of a node, if one was ever started and not forgotten.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn get(&self, node: &str) -> Result<Option<Process>, Failure> {
        Ok(self.all()?.get(node).copied())
    }

    /// Remembers, or forgets, the process of a node.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set(&self, node: &str, process: Option<Process>) -> Result<(), Failure> {
        let mut all = self.all()?;
        match process {
            Some(process) => drop(all.insert(node.to_owned(), process)),
            None => drop(all.remove(node)),
        }
        Ok(datadir::write_json(&self.path, &all)?)
    }

    fn all(&self) -> Result<std::collections::BTreeMap<String, Process>, Failure> {
        if self.path.exists() { Ok(datadir::read_json(&self.path)?) } else { Ok(Default::default()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> (std::process::Child, Process) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id() as i32;
        (child, Process { pid, began: stat(pid).unwrap().1 })
    }

    #[test]
    fn a_process_is_paused_resumed_and_ended() {
        let (_child, process) = sleeper();
        let until = |life: Life| {
            while process.life() != life {
                std::thread::yield_now();
            }
        };
        assert!(process.signal(libc::SIGSTOP));
        until(Life::Paused);
        assert!(process.signal(libc::SIGCONT));
        until(Life::Runs);
        assert!(process.signal(libc::SIGSTOP));
        until(Life::Paused);
        process.stop();
        assert_eq!(process.life(), Life::Gone, "a paused one ends too");
        assert!(!process.signal(libc::SIGTERM));
    }

    #[test]
    fn another_process_with_the_same_id_is_left_alone() {
        let (mut child, process) = sleeper();
        let other = Process { began: process.began + 1, ..process };
        assert_eq!(other.life(), Life::Gone);
        other.kill();
        assert_eq!(process.life(), Life::Runs);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn what_was_started_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process { pid: 5, began: 7 };
        Registry::open(folder.path()).unwrap().set("n1", Some(process)).unwrap();
        let registry = Registry::open(folder.path()).unwrap();
        assert_eq!((registry.get("n1").unwrap(), registry.get("n2").unwrap()), (Some(process), None));
        registry.set("n1", None).unwrap();
        assert_eq!(registry.get("n1").unwrap(), None);
    }
}
