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

/// The folder that holds `node_modules`; fetched on first use.
///
/// # Errors
/// node or npm is missing, or the registry cannot be reached and the cache is empty.
pub fn packages() -> Result<PathBuf> {
    let lock = std::fs::read(suites().join("package-lock.json")).context("the suites have no lock file")?;
    let hash = hex::encode(Sha256::digest(&lock));
    cache::filled(&format!("npm-{}", &hash[..16]), |folder| {
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(suites().join(file), folder.join(file))?;
        }
        crate::say("fetching the npm packages of the suites (once per lock file)");
        let output = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .context("cannot run npm: install node.js 20 or newer and npm")?;
        if !output.status.success() {
            bail!("npm ci failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    })
}
