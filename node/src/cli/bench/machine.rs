//! What a measurement costs the machine: processor time of this process, and of others by what their threads are called.

use std::collections::BTreeMap;

/// Processor time of this process so far, all threads.
pub fn cpu_seconds() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a zeroed rusage, which the call fills; a zeroed one is valid as well.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// What the processor calls itself.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")).and_then(|rest| rest.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Processor time of a process so far, in seconds, by what its threads are called, without their numbers. Empty where it is gone.
pub fn threads(pid: i32) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return found };
    // SAFETY: no memory is handed over.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    for task in tasks.flatten() {
        let Ok(text) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        // The name stands in parentheses and may hold anything.
        let Some((name, rest)) = text.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else { continue };
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let time = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
        *found.entry(stage(name)).or_default() += (time(11) + time(12)) / ticks;
    }
    found
}

/// `verify-1` is `verify`; RocksDB's threads are one.
fn stage(name: &str) -> String {
    let name = name.trim_end_matches(|end: char| end.is_ascii_digit() || end == '-' || end == ':');
    if name.starts_with("rocksdb") { "rocksdb".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_of_this_process() {
        let before = cpu_seconds();
        let mut hash = [0_u8; 32];
        for _ in 0..20_000 {
            hash = ao_types::hash::sha256(&[&hash]);
        }
        let spent = cpu_seconds() - before;
        assert!(spent > 0.0 && spent < 600.0 && hash != [0; 32], "{spent}");
    }

    #[test]
    fn threads_are_told_apart_by_name() {
        assert_eq!(["verify-11", "rocksdb:low1", "core"].map(stage), ["verify", "rocksdb", "core"]);
        assert!(!threads(i32::try_from(std::process::id()).unwrap()).is_empty());
        assert!(threads(-1).is_empty());
    }
}
