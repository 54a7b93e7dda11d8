//! The `aonode` binary under test.
//!
//! `AONODE_BIN` names one; otherwise it is the one beside this test in cargo's target folder, built first when a source is newer.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

/// Folders whose files decide whether the binary is stale.
const SOURCES: [&str; 7] = ["Cargo.toml", "Cargo.lock", "consensus", "p2p", "storage", "vm", "node"];

/// The path of the binary.
///
/// # Errors
/// It is not there and cannot be built.
pub fn aonode() -> Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(|| find().map_err(|error| format!("{error:#}"))).clone().map_err(anyhow::Error::msg)
}

fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("AONODE_BIN") {
        let path = PathBuf::from(path);
        anyhow::ensure!(path.is_file(), "AONODE_BIN={} is no file", path.display());
        return Ok(path);
    }
    // target/debug/deps/crash-0123 → target/debug
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).context("a test lives in target/PROFILE/deps")?;
    let path = profile.join("aonode");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate is in a workspace")?;
    let built = path.metadata().and_then(|file| file.modified()).ok();
    let newest = SOURCES.iter().filter_map(|source| newest(&root.join(source))).max();
    if built.is_none() || built < newest {
        build(root, profile)?;
    }
    Ok(path)
}

/// When the newest source below `path` was written.
fn newest(path: &Path) -> Option<SystemTime> {
    let metadata = path.metadata().ok()?;
    if !metadata.is_dir() {
        let source =
            path.extension().is_some_and(|extension| ["rs", "toml", "lock", "lua", "c", "h"].iter().any(|known| extension == *known));
        return source.then(|| metadata.modified().ok())?;
    }
    let name = path.file_name()?;
    if name == "target" || name == "tests" || name == "benches" || name == "fuzz" {
        return None;
    }
    std::fs::read_dir(path).ok()?.flatten().filter_map(|entry| newest(&entry.path())).max()
}

fn build(root: &Path, profile: &Path) -> Result<()> {
    let release = profile.file_name().is_some_and(|name| name == "release");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "--locked", "--quiet", "-p", "aonode", "--bin", "aonode"]);
    if release {
        cargo.arg("--release");
    }
    cargo.arg("--target-dir").arg(profile.parent().context("a profile has a target folder")?);
    crate::say("building aonode (set AONODE_BIN to use another one)");
    let output = cargo.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cannot build aonode: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
