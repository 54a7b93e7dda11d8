//! Bundles as they were fetched, kept in files: what a recovery that is interrupted does not fetch again.
//!
//! A file has the name of its transaction and exists only whole, with the transaction's header beside it. Nothing in the folder is believed:
//! what does not have the root that its signed header says is removed when the folder is opened, and fetched again; whoever reads a bundle
//! checks every signature in it once more. So a folder that somebody, or a disk, has changed is as harmless as a gateway that lies.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ao_types::merkle::Tree;
use ao_types::transaction::Transaction;
use ao_types::{DataItem, Id, ItemError, Verified};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::client::signed_data;

/// Why the depot cannot give or take bytes.
#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    /// The file system's. (retry)
    #[error("{}: {source}", path.display())]
    Files {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Bytes that were an item when they were checked.
    #[error("an item at byte {at} of bundle {root}: {error}")]
    Item {
        /// Which bundle.
        root: Id,
        /// Where in it.
        at: u64,
        /// Why it is none.
        error: ItemError,
    },
    /// A place that this depot never gave.
    #[error("there is no bundle number {0}")]
    NoRoot(u32),
}

/// Where an item lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the bundle in the depot.
    pub root: u32,
    /// Its first byte.
    pub at: u64,
    /// How many bytes.
    pub bytes: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Depot {
    /// `None`: bundles are kept in memory, as tests do.
    folder: Option<PathBuf>,
    roots: Vec<Root>,
    /// The file that was read last: items of one log lie beside each other.
    open: Mutex<Option<(u32, File)>>,
}

#[derive(Debug)]
struct Root {
    id: Id,
    /// The bytes, where they are not in a file.
    bytes: Option<Bytes>,
}

const PARTIAL: &str = "part";
/// Of a header's file.
const HEADER: &str = "tx";

impl Depot {
    /// In memory.
    pub fn in_memory() -> Self {
        Self { folder: None, roots: Vec::new(), open: Mutex::default() }
    }

    /// In a folder, which is made if it is not there. What it holds already is known; what was being written when the last one stopped, and
    /// what is not what its header says, is removed.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(folder: &Path) -> Result<Self, DepotError> {
        let failed = |source| DepotError::Files { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let mut ids = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match path.file_name().and_then(|name| Id::parse(name.to_str()?).ok()) {
                Some(id) if is_whole(&path, &id) => ids.push(id),
                Some(_) => fs::remove_file(&path).map_err(failed)?,
                None if path.extension().is_some_and(|extension| extension == PARTIAL) => fs::remove_file(&path).map_err(failed)?,
                None => {}
            }
        }
        // By id: what number a bundle has does not depend on the file system.
        ids.sort_unstable();
        let roots = ids.into_iter().map(|id| Root { id, bytes: None }).collect();
        Ok(Self { folder: Some(folder.to_owned()), roots, open: Mutex::default() })
    }

    /// Bundles, by number.
    pub fn roots(&self) -> impl Iterator<Item = (u32, Id)> {
        (0..).zip(self.roots.iter().map(|root| root.id))
    }

    /// How many bundles there are.
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Keeps what a transaction carries, and gives its number. Header and bytes were checked.
    ///
    /// # Errors
    /// The file system's.
    pub fn put(&mut self, header: &Transaction, bytes: Bytes) -> Result<u32, DepotError> {
        let id = header.id;
        let Some(folder) = &self.folder else { return Ok(self.hold(id, bytes)) };
        if let Some(number) = self.number(&id) {
            return Ok(number);
        }
        // The header first: bytes without it prove nothing. Both on the disk before they have their names, since whoever goes on takes what has
        // one for whole.
        let json = serde_json::to_vec(header).map_err(io::Error::from);
        let header_path = folder.join(format!("{id}.{HEADER}"));
        let json = json.map_err(|source| DepotError::Files { path: header_path.clone(), source })?;
        for (path, content) in [(header_path, &json[..]), (folder.join(id.to_string()), &bytes[..])] {
            let failed = |source| DepotError::Files { path: path.clone(), source };
            let partial = path.with_extension(PARTIAL);
            let written = File::create(&partial).and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
            written.and_then(|()| fs::rename(&partial, &path)).map_err(failed)?;
        }
        File::open(folder).and_then(|opened| opened.sync_all()).map_err(|source| DepotError::Files { path: folder.clone(), source })?;
        self.roots.push(Root { id, bytes: None });
        Ok(self.roots.len() as u32 - 1)
    }

    /// Keeps bytes in memory, and gives their number.
    pub fn hold(&mut self, id: Id, bytes: Bytes) -> u32 {
        self.number(&id).unwrap_or_else(|| {
            self.roots.push(Root { id, bytes: Some(bytes) });
            self.roots.len() as u32 - 1
        })
    }

    fn number(&self, id: &Id) -> Option<u32> {
        self.roots().find(|(_, known)| known == id).map(|(number, _)| number)
    }

    /// A whole bundle.
    ///
    /// # Errors
    /// The file system's.
    pub fn root(&self, number: u32) -> Result<Bytes, DepotError> {
        let root = self.roots.get(number as usize).ok_or(DepotError::NoRoot(number))?;
        if let Some(bytes) = &root.bytes {
            return Ok(bytes.clone());
        }
        let path = self.path(&root.id);
        fs::read(&path).map(Bytes::from).map_err(|source| DepotError::Files { path, source })
    }

    /// An item whose signature was checked when its bundle was read.
    ///
    /// # Errors
    /// The file system's, and bytes that changed since.
    pub fn item(&self, place: &Place) -> Result<Verified<DataItem>, DepotError> {
        let root = self.roots.get(place.root as usize).ok_or(DepotError::NoRoot(place.root))?;
        let id = root.id;
        Verified::reload(self.bytes(root, place)?).map_err(|error| DepotError::Item { root: id, at: place.at, error })
    }

    fn bytes(&self, root: &Root, place: &Place) -> Result<Bytes, DepotError> {
        let end = place.at.saturating_add(u64::from(place.bytes));
        if let Some(bytes) = &root.bytes {
            let range = usize::try_from(place.at).ok().zip(usize::try_from(end).ok()).filter(|(_, end)| *end <= bytes.len());
            return range.map(|(from, to)| bytes.slice(from..to)).ok_or(DepotError::NoRoot(place.root));
        }
        let path = self.path(&root.id);
        let failed = |source| DepotError::Files { path: path.clone(), source };
        let mut open = self.open.lock();
        if open.as_ref().is_none_or(|(number, _)| *number != place.root) {
            *open = Some((place.root, File::open(&path).map_err(failed)?));
        }
        let mut bytes = vec![0; place.bytes as usize];
        if let Some((_, file)) = open.as_ref() {
            file.read_exact_at(&mut bytes, place.at).map_err(failed)?;
        }
        Ok(bytes.into())
    }

    fn path(&self, id: &Id) -> PathBuf {
        self.folder.clone().unwrap_or_default().join(id.to_string())
    }
}

/// Whether a file holds what the header beside it says, which its transaction's key signed.
fn is_whole(path: &Path, id: &Id) -> bool {
    let header = fs::read(path.with_extension(HEADER)).ok().and_then(|json| serde_json::from_slice::<Transaction>(&json).ok());
    let Some(header) = header.filter(|header| header.id == *id && header.verify().is_ok()) else { return false };
    let (Some((root, size)), Ok(bytes)) = (signed_data(&header), fs::read(path)) else { return false };
    bytes.len() as u64 == size && Tree::of(&bytes).root() == root
}

#[cfg(test)]
mod tests {
    use ao_types::{ItemBuilder, NetworkId, Wallet};

    use super::super::glean::glean;
    use super::*;
    use crate::compose::compose;

    #[test]
    fn a_folder_knows_what_it_held_and_forgets_what_was_half_written() {
        let folder = std::env::temp_dir().join(format!("ao-depot-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        let wallet = Wallet::ed25519_from_seed(&[1; 32]);
        let items: Vec<_> = (0..3u8).map(|n| ItemBuilder::new().data(vec![n; 100]).sign(&wallet).unwrap()).collect();
        let composed = compose(&items).unwrap();
        let bytes = composed.bytes.clone();
        let payer = ao_weave::keys::funded().unwrap();
        let signed = |last: u8| composed.header(&NetworkId([1; 32]), [last; 48], 1).sign(&payer).unwrap();
        let header = signed(1);
        let mut depot = Depot::open(&folder).unwrap();
        let number = depot.put(&header, bytes.clone()).unwrap();
        assert_eq!(depot.put(&header, Bytes::new()).unwrap(), number, "what is here is not written again");
        fs::write(folder.join("half.part"), b"x").unwrap();
        let depot = Depot::open(&folder).unwrap();
        assert_eq!(depot.roots().collect::<Vec<_>>(), [(0, header.id)]);
        assert!(!folder.join("half.part").exists());
        assert_eq!(depot.root(0).unwrap(), bytes);
        for ((id, place, _), item) in glean(0, bytes.clone()).unwrap().items.iter().zip(&items) {
            assert_eq!((*id, depot.item(place).unwrap()), (item.id(), item.clone()));
        }
        assert!(matches!(depot.item(&Place { root: 3, at: 0, bytes: 1 }), Err(DepotError::NoRoot(3))));
        assert!(depot.item(&Place { root: 0, at: u64::MAX, bytes: 1 }).is_err());
        // What was changed since, cut, has the header of another, or none, is not there any more.
        let file = folder.join(header.id.to_string());
        let mut other = bytes.to_vec();
        other[200] ^= 1;
        let headers = [serde_json::to_vec(&header).unwrap(), serde_json::to_vec(&signed(2)).unwrap(), b"{}".to_vec()];
        for (content, beside) in [(&other[..], 0), (&bytes[..bytes.len() - 1], 0), (&bytes[..], 1), (&bytes[..], 2)] {
            fs::write(&file, content).unwrap();
            fs::write(file.with_extension(HEADER), &headers[beside]).unwrap();
            assert!(Depot::open(&folder).unwrap().is_empty() && !file.exists());
        }
        fs::write(&file, &bytes).unwrap();
        fs::remove_file(file.with_extension(HEADER)).unwrap();
        assert!(Depot::open(&folder).unwrap().is_empty());
        fs::remove_dir_all(&folder).unwrap();
    }
}
