//! Whether a snapshot has room: the disk reserve (`storage.reserve`) is for what the node must write, and no stranger has it filled.

use std::path::Path;

use super::Refused;

/// Whether so many bytes can be written in a folder, once `goes` bytes there are gone, without reaching into the reserve.
///
/// # Errors
/// [`Refused::NoRoom`]; the system does not say how much is free.
pub fn fits(folder: &Path, bytes: u64, goes: u64, reserve: u64) -> Result<(), Refused> {
    let free = ao_storage::free_bytes(folder).map_err(|error| Refused::Io(std::io::Error::other(error.to_string())))?;
    holds(free.saturating_add(goes), bytes, reserve)
}

fn holds(free: u64, bytes: u64, reserve: u64) -> Result<(), Refused> {
    let fits = free.checked_sub(bytes).is_some_and(|stays| stays >= reserve);
    if fits { Ok(()) } else { Err(Refused::NoRoom { bytes, free, reserve }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_leaves_the_reserve_alone() {
        for (free, bytes, reserve, fits) in [
            (100, 40, 60, true),
            (100, 41, 60, false),
            (100, 0, 100, true),
            (100, 0, 101, false),
            (100, 101, 0, false),
            (100, u64::MAX, 1, false),
            (u64::MAX, 1, u64::MAX, false),
        ] {
            assert_eq!(holds(free, bytes, reserve).is_ok(), fits, "{bytes} of {free}, {reserve} kept");
        }
        let folder = tempfile::tempdir().unwrap();
        fits(folder.path(), 1, 0, 0).unwrap();
        assert!(matches!(fits(folder.path(), 1, 0, u64::MAX), Err(Refused::NoRoom { bytes: 1, .. })));
        assert!(matches!(fits(&folder.path().join("none"), 1, 0, 0), Err(Refused::Io(_))));
    }
}
