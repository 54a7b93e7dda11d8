//! Runs a folder of JavaScript tests (`node --test`) against a node.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::{modules, npm};

/// Test files that run beside each other; each is a process of its own that first loads aoconnect.
const FILES_AT_ONCE: &str = "3";

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases that were left out.
    pub skipped: usize,
}

/// node, ready to run something of the suites: packages found by name, wallets kept in the cache, the node under test named.
///
/// # Errors
/// Packages or modules are missing.
pub async fn javascript(base: &str) -> Result<Command> {
    let packages = npm::packages()?;
    let wallets = packages.join("wallets");
    let mut command = Command::new("node");
    command
        .arg("--import")
        .arg(npm::suites().join("lib/resolve.mjs"))
        .env("AO_NODE", base)
        .env("AO_NPM", &packages)
        .env("AO_WALLETS", &wallets)
        .env("AO_MODULES", modules::folder()?)
        .env("NODE_NO_WARNINGS", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    Ok(command)
}

/// Makes the wallets of the suites, once for all runs.
///
/// # Errors
/// node is missing or failed.
pub async fn wallets(base: &str) -> Result<PathBuf> {
    let folder = npm::packages()?.join("wallets");
    let status = javascript(base)
        .await?
        .arg(npm::suites().join("lib/wallets.mjs"))
        .args(["alice", "bob"])
        .status()
        .await
        .context("cannot run node")?;
    if !status.success() {
        bail!("the wallets of the suites could not be made: {status}");
    }
    Ok(folder)
}

/// Runs every `*.test.mjs` of `suites/NAME`; prints what node prints.
///
/// # Errors
/// node cannot be run, or its report cannot be read. A failed case is no error here: see [`Outcome`].
pub async fn run(name: &str, base: &str) -> Result<Outcome> {
    run_only(name, base, &[]).await
}

/// The same for some of the files; for all if none is named. `AO_ONLY` says it better.
///
/// # Errors
/// As [`run`].
pub async fn run_only(name: &str, base: &str, only: &[&str]) -> Result<Outcome> {
    wallets(base).await?;
    cases(name, base, only, &[]).await
}

/// The same with files that the cases are told of, each by the name of a variable.
///
/// # Errors
/// As [`run`].
pub async fn run_with(name: &str, base: &str, files: &[(&str, &Path)]) -> Result<Outcome> {
    cases(name, base, &[], files).await
}

async fn cases(name: &str, base: &str, only: &[&str], told: &[(&str, &Path)]) -> Result<Outcome> {
    let folder = npm::suites().join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).filter(|path| is_test(path)).collect();
    files.sort();
    let asked = std::env::var("AO_ONLY").unwrap_or_else(|_| only.join(","));
    if !asked.is_empty() {
        files.retain(|path| asked.split(',').any(|topic| path.ends_with(format!("{topic}.test.mjs"))));
    }
    let report = tempfile::NamedTempFile::new()?;
    let mut command = javascript(base).await?;
    command.envs(told.iter().copied());
    command.args(["--test", "--test-concurrency", FILES_AT_ONCE]);
    command.args(["--test-reporter=spec", "--test-reporter-destination=stderr", "--test-reporter=tap", "--test-reporter-destination"]);
    command.arg(report.path()).args(&files).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let status = command.status().await.context("cannot run node")?;
    let outcome = read_tap(&std::fs::read_to_string(report.path())?).context("node --test left no report")?;
    if status.success() != (outcome.failed == 0) {
        bail!("node --test ended with {status}, its report says {outcome:?}");
    }
    Ok(outcome)
}

fn is_test(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(".test.mjs"))
}

/// The totals at the end of a TAP report.
fn read_tap(report: &str) -> Option<Outcome> {
    let total = |name: &str| {
        let start = format!("# {name} ");
        report.lines().rev().find_map(|line| line.strip_prefix(&start)?.parse::<usize>().ok())
    };
    Some(Outcome { passed: total("pass")?, failed: total("fail")? + total("cancelled")?, skipped: total("skipped")? })
}

#[cfg(test)]
mod tests {
    use super::{Outcome, read_tap};

    #[test]
    fn totals_are_those_at_the_end() {
        let report = "TAP version 13\nok 1 - a\n# pass 9\nnot ok 2 - b\n1..2\n# tests 4\n# suites 0\n# pass 2\n# fail 1\n# cancelled 0\n# skipped 1\n# todo 0\n";
        assert_eq!(read_tap(report), Some(Outcome { passed: 2, failed: 1, skipped: 1 }));
        assert_eq!(read_tap("TAP version 13\n"), None);
    }
}
