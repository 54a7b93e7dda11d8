//! The npm packages of the suites: exact versions from the lock file, in the user's cache under the hash of that file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::cache;

/// Folder of the suites: tests in JavaScript, package and lock file.
pub fn suites() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suites")
}

/// The folder that holds `node_modules` of the suites; fetched on first use.
///
/// # Errors
/// node or npm is missing, or the registry cannot be reached and the cache is empty.
pub fn packages() -> Result<PathBuf> {
    installed("npm", &suites(), |_| Ok(()))
}

/// arlocal with what it needs; fetched on first use, its database built from source then, which takes a C++ compiler and minutes.
///
/// # Errors
/// As [`packages`]; or there is no compiler, or node has no headers.
pub fn arlocal() -> Result<PathBuf> {
    installed("arlocal", &suites().join("arlocal"), |folder| {
        crate::say("building arlocal's sqlite3 from source (once per lock file)");
        let mut build = Command::new("npm");
        build.args(["rebuild", "sqlite3", "--loglevel=error"]).env("npm_config_build_from_source", "true");
        if let Some(headers) = headers() {
            build.env("npm_config_nodedir", headers);
        }
        run(build, folder)
    })
}

/// The folder under which node's own headers are in `include/node`: else node-gyp fetches them.
fn headers() -> Option<PathBuf> {
    let node = Command::new("node").args(["-p", "process.execPath"]).output().ok()?;
    let node = PathBuf::from(String::from_utf8(node.stdout).ok()?.trim());
    let prefix = node.parent()?.parent()?;
    prefix.join("include/node/node_api.h").exists().then(|| prefix.to_owned())
}

/// What a folder's lock file names, in a folder of the cache under the hash of that file.
fn installed(name: &str, from: &Path, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let lock = std::fs::read(from.join("package-lock.json")).context("the suites have no lock file")?;
    let hash = hex::encode(Sha256::digest(&lock));
    cache::filled(&format!("{name}-{}", &hash[..16]), |folder| {
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(from.join(file), folder.join(file))?;
        }
        crate::say(format_args!("fetching npm packages: {name} (once per lock file)"));
        let mut fetch = Command::new("npm");
        fetch.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        run(fetch, folder)?;
        build(folder)
    })
}

fn run(mut npm: Command, folder: &Path) -> Result<()> {
    let output = npm.current_dir(folder).stdin(Stdio::null()).output().context("cannot run npm: install node.js 20 or newer and npm")?;
    if !output.status.success() {
        bail!("npm failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
