//! What the file system says about room.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::Error;

/// Room on the file system of a path, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What an ordinary user may still write.
    pub free: u64,
    /// Size of the file system.
    pub total: u64,
}

/// Room on the file system of `path`, which must exist. Costs microseconds.
pub fn space(path: &Path) -> Result<Space, Error> {
    let io = |reason: String| Error::Io(format!("room at {}: {reason}", path.display()));
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| io(error.to_string()))?;
    let mut answer = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `name` ends in a zero byte and outlives the call; `answer` has room for what the call writes.
    let answer = unsafe {
        if libc::statvfs(name.as_ptr(), answer.as_mut_ptr()) != 0 {
            return Err(io(std::io::Error::last_os_error().to_string()));
        }
        answer.assume_init()
    };
    Ok(Space { free: answer.f_bavail.saturating_mul(answer.f_frsize), total: answer.f_blocks.saturating_mul(answer.f_frsize) })
}

/// Room that an ordinary user may still write on the file system of `path`: what the disk reserve is compared with.
pub fn free_bytes(path: &Path) -> Result<u64, Error> {
    space(path).map(|space| space.free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_has_room_and_a_missing_path_has_none() {
        let space = space(Path::new("/")).unwrap();
        assert!(space.total > 0 && space.free <= space.total, "{space:?}");
        assert!(free_bytes(Path::new("/no/such/path")).unwrap_err().to_string().contains("/no/such/path"));
    }
}
