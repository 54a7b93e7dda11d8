//! The user's cache folder, and filling a part of it once although several tests want it at the same moment.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// `$XDG_CACHE_HOME/aonode`, else `~/.cache/aonode`.
///
/// # Errors
/// Neither variable is set.
pub fn folder() -> Result<PathBuf> {
    let base = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => bail!("neither XDG_CACHE_HOME nor HOME is set"),
    };
    Ok(base.join("aonode"))
}

/// Gives `folder()/name`, filled by `fill` in a folder beside it that takes its name when all went well. One process fills, others wait.
///
/// # Errors
/// The disk, or `fill`.
pub fn filled(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let parent = folder()?;
    let target = parent.join(name);
    if target.exists() {
        return Ok(target);
    }
    fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let _held = lock(&parent.join(format!("{name}.lock")))?;
    if target.exists() {
        return Ok(target);
    }
    let unfinished = parent.join(format!("{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir_all(&unfinished)?;
    fill(&unfinished)?;
    fs::rename(&unfinished, &target)?;
    Ok(target)
}

/// Holds a lock file until dropped.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    // SAFETY: flock on a descriptor that `file` keeps open; no memory is involved.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
        bail!("cannot lock {}: {}", path.display(), std::io::Error::last_os_error());
    }
    Ok(file)
}
