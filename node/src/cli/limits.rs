//! What the operating system allows this process, looked at once before anything is opened (`faults.md`, F53).

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::exit::{Exit, Failure};

/// Descriptors the node needs besides connections: store, modules, memory images of processes, listeners, logs.
pub const FILES_BESIDE_CONNECTIONS: u64 = 320;
/// Below this nothing sensible can be run.
pub const FILES_MIN: u64 = 128;
/// Connections that are always worth having.
const CONNECTIONS_MIN: u64 = 32;

/// Raises the soft limit of open files to the hard one, and says how many connections fit.
///
/// # Errors
/// The hard limit is below [`FILES_MIN`]. Exit code 12.
pub fn connections(wanted: u32) -> Result<u32, Failure> {
    fit(wanted, raise_open_files())
}

/// `wanted` connections, or as many as `files` descriptors leave room for.
fn fit(wanted: u32, files: u64) -> Result<u32, Failure> {
    if files < FILES_MIN {
        return Err(Failure::new(Exit::Exhausted, format!("nofile: this process may open {files} files, at least {FILES_MIN} are needed"))
            .fix(format!("ulimit -n {}", FILES_BESIDE_CONNECTIONS + u64::from(wanted))));
    }
    // With few descriptors the reserve shrinks, but half of them are always kept from connections.
    let room = files.saturating_sub(FILES_BESIDE_CONNECTIONS).max((files / 2).min(CONNECTIONS_MIN));
    let allowed = u32::try_from(room).unwrap_or(u32::MAX).min(wanted);
    if allowed < wanted {
        tracing::warn!(
            event = "nofile_low",
            files,
            connections = allowed,
            wanted,
            "the limit of open files (nofile) leaves room for fewer connections than configured; raise it with `ulimit -n` or LimitNOFILE="
        );
    }
    Ok(allowed)
}

/// The soft limit after raising it to the hard one.
fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a valid rlimit that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return FILES_MIN;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: as above; a refusal leaves the limit as it was.
    if limit.rlim_cur < limit.rlim_max && unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
        return raised.rlim_cur;
    }
    limit.rlim_cur
}

/// Room kept free on a disk of `disk` bytes where nobody said how much: the larger of 2 GiB and 2 %.
pub fn default_reserve(disk: u64) -> u64 {
    (2 << 30).max(disk / 50)
}

/// Size of the file system `path` is on, bytes; 0 where the system does not say.
pub fn disk_bytes(path: &Path) -> u64 {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return 0 };
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path is a C string and the pointer is to a zeroed statvfs, which the call fills; a zeroed one is valid as well.
    let (answer, found) = unsafe { (libc::statvfs(path.as_ptr(), found.as_mut_ptr()), found.assume_init()) };
    if answer == 0 { found.f_frsize.saturating_mul(found.f_blocks) } else { 0 }
}

/// Bytes this process has in memory; 0 where the system does not say.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_follows_the_disk() {
        assert_eq!((default_reserve(0), default_reserve(10 << 40)), (2 << 30, (10 << 40) / 50));
        assert!(disk_bytes(&std::env::temp_dir()) > 1 << 20);
        assert_eq!(disk_bytes(Path::new("/nonexistent/path")), 0);
    }

    #[test]
    fn connections_follow_descriptors() {
        for (wanted, files, expected) in
            [(1024, 1 << 20, 1024), (1024, 1024, 704), (1024, 256, 32), (16, 256, 16), (1024, 128, 32), (1024, 352, 32), (1024, 400, 80)]
        {
            assert_eq!(fit(wanted, files), Ok(expected), "{wanted} of {files}");
        }
        let failure = fit(1024, FILES_MIN - 1).unwrap_err();
        assert_eq!(failure.exit, Exit::Exhausted);
        assert!(failure.to_string().contains("nofile") && failure.to_string().contains("ulimit -n 1344"), "{failure}");
    }
}
