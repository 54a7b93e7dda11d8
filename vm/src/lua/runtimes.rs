//! Guests of this node and of nodes before it: a process goes on with the runtime that its module names, whatever a newer node brings.
//!
//! A change of the runtime library, or another compiler, makes another guest, hence other states. A log is evaluated by the guest it began
//! with, or not at all. So a node keeps its own guest in a folder under the guest's id, and finds those of older nodes there. The id is the
//! hash of the bytes: a file is what its name says, or it is not used. A guest from the folder is surveyed, rewritten and metered like any
//! module; it can do nothing that a module could not.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::limits::GUEST_BYTES_MAX;
use super::{GUEST, runtime_id};

/// Where guests are found.
#[derive(Debug, Default)]
pub(crate) struct Runtimes {
    folder: Option<PathBuf>,
}

impl Runtimes {
    /// Opens `folder`, creating it, and keeps this node's own guest there. Without a folder there is only that one.
    pub(crate) fn open(folder: Option<&Path>) -> Self {
        let runtimes = Self { folder: folder.map(Path::to_owned) };
        if let Some(path) = runtimes.path(runtime_id())
            && let Err(error) = keep(&path)
        {
            tracing::warn!(event = "runtime_not_kept", %error, path = %path.display(), "a later node could not go on with this node's Lua processes");
        }
        runtimes
    }

    fn path(&self, id: &str) -> Option<PathBuf> {
        // Ids come from tags of strangers: nothing but a hash names a file.
        let is_hash = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        Some(self.folder.as_ref().filter(|_| is_hash)?.join(format!("{id}.wasm")))
    }

    /// The guest of that id.
    ///
    /// # Errors
    /// It is not here; the text says what to do.
    pub(crate) fn get(&self, id: &str) -> Result<Bytes, String> {
        if id == runtime_id() {
            return Ok(Bytes::from_static(GUEST));
        }
        let id: String = id.chars().take(64).collect();
        let Some(path) = self.path(&id) else {
            return Err(format!("it asks for Lua runtime {id}; this node has {}", runtime_id()));
        };
        match read(&path) {
            Ok(bytes) if blake3::hash(&bytes).to_hex().as_str() == id => Ok(bytes.into()),
            Ok(_) => Err(format!("it asks for Lua runtime {id}, and {} is damaged: copy it from a node that has it", path.display())),
            Err(error) => Err(format!(
                "it asks for Lua runtime {id}; this node has {} and none in {} ({error}): copy it there from the node that ran it",
                runtime_id(),
                path.display()
            )),
        }
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(GUEST_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes this node's guest, once; durable, because processes depend on it as they do on their log.
fn keep(path: &Path) -> std::io::Result<()> {
    if read(path).is_ok_and(|found| found == GUEST) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let mut file = fs::File::create(&partial)?;
    file.write_all(GUEST)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    fs::File::open(folder)?.sync_all()
}

const _: () = assert!(GUEST.len() <= GUEST_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest of an older node: the same code, other bytes.
    fn older() -> (String, Vec<u8>) {
        let mut guest = GUEST.to_vec();
        // A custom section of four bytes: its name `old`.
        guest.extend_from_slice(&[0, 4, 3, b'o', b'l', b'd']);
        (blake3::hash(&guest).to_hex().to_string(), guest)
    }

    #[test]
    fn a_node_keeps_its_guest_and_finds_older_ones() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("runtimes");
        let own = kept.join(format!("{}.wasm", runtime_id()));
        let runtimes = Runtimes::open(Some(&kept));
        assert_eq!(fs::read(&own).unwrap(), GUEST);
        fs::write(&own, "torn").unwrap();
        Runtimes::open(Some(&kept));
        assert_eq!(fs::read(&own).unwrap(), GUEST, "written again");

        let (id, guest) = older();
        assert!(runtimes.get(&id).unwrap_err().contains("copy it there"));
        fs::write(kept.join(format!("{id}.wasm")), &guest).unwrap();
        assert_eq!(runtimes.get(&id).unwrap(), guest);
        fs::write(kept.join(format!("{id}.wasm")), &guest[1..]).unwrap();
        assert!(runtimes.get(&id).unwrap_err().contains("damaged"));
        assert_eq!(runtimes.get(runtime_id()).unwrap(), GUEST);
    }

    #[test]
    fn no_tag_names_a_file_outside() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("runtimes");
        let runtimes = Runtimes::open(Some(&inside));
        fs::write(folder.path().join("x.wasm"), "x").unwrap();
        for id in ["../x", "", "/etc/passwd", &"A".repeat(64), &"../".repeat(21)] {
            let reason = runtimes.get(id).unwrap_err();
            assert!(!reason.contains("copy") && !reason.contains("damaged"), "{id}: {reason}");
        }
        assert!(Runtimes::default().get(&older().0).unwrap_err().contains("this node has"));
    }
}
