//! The folder of a snapshot that is being fetched: chunks that came, kept over a crash until there are all.
//!
//! Owns that at most one body lies there. Which chunks make a body is a stranger's word (only the root is signed), so whatever is not being
//! fetched now goes, and so does a body whose chunks are all here and that is no state. Names are ours, never a stranger's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{CHUNK_BYTES, Manifest, Refused, room};
use crate::datadir;

/// See the module documentation.
#[derive(Clone, Debug)]
pub struct Partial {
    folder: PathBuf,
}

impl Partial {
    /// Nothing is looked at or made.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn at(&self, manifest: &Manifest) -> PathBuf {
        self.folder.join(format!("{}-{}", manifest.process, hex::encode(&manifest.id()[..8])))
    }

    /// Makes room for one snapshot: everything else that was begun goes. Which of its chunks are here, each checked.
    ///
    /// # Errors
    /// The rest would reach into the disk's reserve; the disk.
    pub fn begin(&self, manifest: &Manifest, reserve: u64) -> Result<BTreeSet<u16>, Refused> {
        let at = self.at(manifest);
        self.clear(Some(&at));
        datadir::make_private_folder(&at).map_err(failed)?;
        let kept: BTreeSet<u16> = (0..manifest.chunks.len() as u16).filter(|index| chunk(&at, manifest, *index).is_some()).collect();
        let here = kept.iter().map(|index| manifest.chunk_bytes((*index).into()) as u64).sum();
        room::fits(&at, manifest.total.saturating_sub(here), 0, reserve)?;
        Ok(kept)
    }

    /// Keeps a chunk that was checked.
    ///
    /// # Errors
    /// It would reach into the disk's reserve, which others may have come close to meanwhile; the disk.
    pub fn put(&self, manifest: &Manifest, index: u16, bytes: &[u8], reserve: u64) -> Result<(), Refused> {
        let at = self.at(manifest);
        room::fits(&at, bytes.len() as u64, 0, reserve)?;
        datadir::write_atomic(&at.join(index.to_string()), bytes, 0o600).map_err(failed)
    }

    /// The whole body, every chunk and the root checked. One that is no state goes away.
    ///
    /// # Errors
    /// A chunk is not here, or together they are not the certified state.
    pub fn body(&self, manifest: &Manifest) -> Result<Bytes, Refused> {
        let at = self.at(manifest);
        let mut body = Vec::with_capacity(manifest.total as usize);
        for index in 0..manifest.chunks.len() as u16 {
            let bytes = chunk(&at, manifest, index).ok_or(Refused::Chunk { index: index.into() })?;
            body.extend_from_slice(&bytes);
        }
        manifest.check_body(&body).inspect_err(|_| self.remove(manifest))?;
        Ok(body.into())
    }

    /// Nothing of a snapshot is wanted any more.
    pub fn remove(&self, manifest: &Manifest) {
        drop(std::fs::remove_dir_all(self.at(manifest)));
    }

    /// What an earlier life left: of all that was begun only what came last may be gone on with.
    pub fn keep_newest(&self) {
        let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
        let newest = self.entries().into_iter().filter(|path| path.is_dir()).max_by_key(|path| changed(path));
        self.clear(newest.as_deref());
    }

    fn clear(&self, stays: Option<&Path>) {
        for path in self.entries().into_iter().filter(|path| stays != Some(path.as_path())) {
            let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            if let Err(error) = gone {
                tracing::warn!(event = "partial_not_removed", path = %path.display(), %error, "remove it");
            }
        }
    }

    /// However many: the folder is this node's own, and one that is full of what was left behind must become empty.
    fn entries(&self) -> Vec<PathBuf> {
        std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }
}

fn failed(error: datadir::Error) -> Refused {
    Refused::Io(std::io::Error::other(error.to_string()))
}

/// Chunk `index` as it lies in the folder, if it is the right one.
fn chunk(folder: &Path, manifest: &Manifest, index: u16) -> Option<Vec<u8>> {
    let bytes = datadir::read_at_most(&folder.join(index.to_string()), CHUNK_BYTES as u64).ok()?;
    manifest.check_chunk(index.into(), &bytes).is_ok().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use ao_types::Id;
    use ao_types::hash::sha256;

    use super::*;
    use crate::snapshot::tests::manifest;

    /// What a liar offers: the certificate of a process with chunks of its own.
    fn lie(process: u8, fill: u8) -> (Manifest, [Vec<u8>; 2]) {
        let bodies = [vec![fill; CHUNK_BYTES], vec![fill; 5]];
        let chunks = bodies.iter().map(|bytes| sha256(&[bytes])).collect();
        (Manifest { process: Id([process; 32]), chunks, ..manifest() }, bodies)
    }

    /// After a crash: right chunks are not asked for again, wrong and half ones are.
    #[test]
    fn chunks_that_came_before_a_crash_are_kept_if_they_are_right() {
        let folder = tempfile::tempdir().unwrap();
        let partial = Partial::new(folder.path().to_owned());
        let (manifest, [whole, short]) = lie(1, 7);
        assert!(partial.begin(&manifest, 0).unwrap().is_empty());
        for (bytes, expected) in [(&whole[..100], vec![]), (&[9; 5][..], vec![]), (&whole[..], vec![0])] {
            partial.put(&manifest, 0, bytes, 0).unwrap();
            partial.keep_newest();
            assert_eq!(partial.begin(&manifest, 0).unwrap().into_iter().collect::<Vec<_>>(), expected);
        }
        partial.put(&manifest, 1, &short, 0).unwrap();
        assert_eq!(partial.begin(&manifest, 0).unwrap().len(), 2);
        partial.put(&manifest, 1, &[&short[..], b"x"].concat(), 0).unwrap();
        assert_eq!(partial.begin(&manifest, 0).unwrap().into_iter().collect::<Vec<_>>(), [0], "an endless file is not read");
    }

    /// A liar names other chunks for each process and each time: never more than one body lies here, and none that is known to be none.
    #[test]
    fn whatever_is_offered_at_most_one_body_lies_here() {
        let folder = tempfile::tempdir().unwrap();
        let partial = Partial::new(folder.path().to_owned());
        let lying = || std::fs::read_dir(folder.path()).unwrap().count();
        for (process, fill) in [(1, 1), (2, 2), (1, 3), (2, 4)] {
            let (manifest, [whole, short]) = lie(process, fill);
            partial.begin(&manifest, 0).unwrap();
            assert_eq!(lying(), 1, "what was begun before is gone, of whichever process");
            partial.put(&manifest, 0, &whole, 0).unwrap();
            if fill > 2 {
                partial.put(&manifest, 1, &short, 0).unwrap();
                assert!(matches!(partial.body(&manifest), Err(Refused::Body(_))));
                assert_eq!(lying(), 0, "it is no state: nothing of it stays");
            }
        }
        // Left by lives before, and by others.
        for stale in ["a-1", "b-2", "c-3"] {
            std::fs::create_dir(folder.path().join(stale)).unwrap();
            std::fs::write(folder.path().join(stale).join("0"), b"chunk").unwrap();
        }
        std::fs::write(folder.path().join(".0.1.1.new"), b"half").unwrap();
        partial.keep_newest();
        assert_eq!(lying(), 1);
    }

    #[test]
    fn nothing_is_fetched_into_the_reserve_of_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let partial = Partial::new(folder.path().to_owned());
        let (manifest, [whole, _]) = lie(1, 7);
        assert!(matches!(partial.begin(&manifest, u64::MAX), Err(Refused::NoRoom { bytes, .. }) if bytes == manifest.total));
        partial.begin(&manifest, 0).unwrap();
        assert!(matches!(partial.put(&manifest, 0, &whole, u64::MAX), Err(Refused::NoRoom { .. })), "there was room when it began");
        assert!(partial.begin(&manifest, 0).unwrap().is_empty(), "no file of it");
        partial.put(&manifest, 0, &whole, 0).unwrap();
        let lacks = |found| matches!(found, Err(Refused::NoRoom { bytes: 5, .. }));
        assert!(lacks(partial.begin(&manifest, u64::MAX)), "what is here needs no room");
    }
}
