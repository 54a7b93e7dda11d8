//! Compiled modules on disk.
//!
//! A file is named by everything that decides what compiled code does: the bytes of the module, the rewrites and their limits, the engine
//! and its settings. Loading compiled code means running it, so only files that this code wrote are loaded: each starts with a magic, the
//! key again and a checksum of the rest. Whatever does not match, or belongs to another engine, is deleted (`faults.md` F31). The folder
//! must be writable by the node's user alone; the checksum finds damage, not malice.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use wasmtime::{Engine, Module};

use crate::limits::STACK_WORDS_MAX;
use crate::rewrite::{self, Options};

const MAGIC: &[u8; 8] = b"aocode1\n";
const HEADER: usize = 8 + 32 + 32;

/// The folder, or none: then everything is compiled each time.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: Option<PathBuf>,
    /// Names of files of this engine start with it.
    engine: String,
}

/// What a compiled module is filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// The key of `wasm` under `options`.
    pub(crate) fn new(engine: &Engine, wasm: &[u8], options: Options) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"aonode compiled module\0");
        hasher.update(&engine_hash(engine).to_le_bytes());
        hasher.update(&rewrite::VERSION.to_le_bytes());
        hasher.update(&STACK_WORDS_MAX.to_le_bytes());
        hasher.update(format!("{options:?}\0").as_bytes());
        hasher.update(blake3::hash(wasm).as_bytes());
        Self(*hasher.finalize().as_bytes())
    }
}

fn engine_hash(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

impl Cache {
    /// Opens `folder`, creating it, and deletes what other engines left.
    pub(crate) fn open(folder: Option<&Path>, engine: &Engine) -> Self {
        let prefix = format!("{:016x}-{}-", engine_hash(engine), rewrite::VERSION);
        let cache = Self { folder: folder.map(Path::to_owned), engine: prefix };
        if let Some(folder) = &cache.folder {
            if let Err(error) = fs::create_dir_all(folder) {
                tracing::warn!(%error, folder = %folder.display(), "compiled modules cannot be kept");
            }
            cache.sweep(folder);
        }
        cache
    }

    fn sweep(&self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Only files of our own making: another program's file in the folder is none of our business.
            if name.ends_with(".aocode") && !name.starts_with(&self.engine) {
                remove(&entry.path(), "it belongs to another engine or schedule");
            }
        }
    }

    fn path(&self, key: Key) -> Option<PathBuf> {
        let name: String = key.0[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Some(self.folder.as_ref()?.join(format!("{}{name}.aocode", self.engine)))
    }

    /// The compiled module, if there is a sound one.
    pub(crate) fn load(&self, engine: &Engine, key: Key) -> Option<Module> {
        let path = self.path(key)?;
        let file = fs::read(&path).ok()?;
        match check(&file, key) {
            // SAFETY: the bytes are those that `store` wrote: magic, key and checksum agree.
            Ok(code) => match unsafe { Module::deserialize(engine, code) } {
                Ok(module) => return Some(module),
                Err(error) => remove(&path, &format!("the engine does not take it: {error}")),
            },
            Err(reason) => remove(&path, reason),
        }
        None
    }

    /// Files a compiled module. A failure is logged: the module runs all the same.
    pub(crate) fn store(&self, key: Key, code: &[u8]) {
        let Some(path) = self.path(key) else { return };
        let write = || {
            let partial = path.with_extension(format!("{}.partial", std::process::id()));
            let mut file = fs::File::create(&partial)?;
            file.write_all(MAGIC)?;
            file.write_all(&key.0)?;
            file.write_all(blake3::hash(code).as_bytes())?;
            file.write_all(code)?;
            // No fsync: a torn file fails its checksum and is compiled again.
            fs::rename(&partial, &path)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, path = %path.display(), "a compiled module was not kept");
        }
    }
}

fn check(file: &[u8], key: Key) -> Result<&[u8], &'static str> {
    let (header, code) = file.split_at_checked(HEADER).ok_or("it is too short")?;
    if &header[..8] != MAGIC {
        return Err("it has another magic");
    }
    if header[8..40] != key.0 {
        return Err("it has another key");
    }
    if header[40..] != *blake3::hash(code).as_bytes() {
        return Err("its checksum is wrong");
    }
    Ok(code)
}

fn remove(path: &Path, reason: &str) {
    tracing::info!(path = %path.display(), reason, "a compiled module is deleted");
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, path = %path.display(), "and could not be");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::Gas;

    const OPTIONS: Options = Options { gas: Gas::Calls, fold_asyncify: true, count_depth: true };

    fn engine() -> Engine {
        Engine::new(&crate::engine::config()).unwrap()
    }

    /// A cache with one module in it, and the module's file.
    fn filled(folder: &Path, engine: &Engine) -> (Cache, Key, PathBuf) {
        let cache = Cache::open(Some(folder), engine);
        let wasm = wat::parse_str("(module (func (export \"f\") (result i32) (i32.const 7)))").unwrap();
        let key = Key::new(engine, &wasm, OPTIONS);
        assert!(cache.load(engine, key).is_none());
        cache.store(key, &engine.precompile_module(&wasm).unwrap());
        let path = cache.path(key).unwrap();
        assert!(path.exists());
        (cache, key, path)
    }

    #[test]
    fn a_stored_module_is_found_under_its_key_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine();
        let (cache, key, _) = filled(folder.path(), &engine);
        assert!(cache.load(&engine, key).unwrap().get_export("f").is_some());
        for other in [
            Key::new(&engine, b"another module", OPTIONS),
            Key::new(&engine, b"", Options { gas: Gas::Inserted, ..OPTIONS }),
            Key::new(&engine, b"", Options { fold_asyncify: false, ..OPTIONS }),
        ] {
            assert_ne!(other, key);
            assert!(cache.load(&engine, other).is_none());
        }
    }

    #[test]
    fn damage_anywhere_is_found_and_the_file_deleted() {
        let engine = engine();
        for at in [0, 9, 50, HEADER, HEADER + 1000] {
            let folder = tempfile::tempdir().unwrap();
            let (cache, key, path) = filled(folder.path(), &engine);
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(cache.load(&engine, key).is_none(), "damage at {at}");
            assert!(!path.exists());
        }
        for len in [0, HEADER - 1, HEADER, HEADER + 100] {
            let folder = tempfile::tempdir().unwrap();
            let (cache, key, path) = filled(folder.path(), &engine);
            fs::File::options().write(true).open(&path).unwrap().set_len(len as u64).unwrap();
            assert!(cache.load(&engine, key).is_none(), "cut at {len}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_another_engine_left_is_deleted_and_strangers_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let first = engine();
        let (_, _, path) = filled(folder.path(), &first);
        let stranger = folder.path().join("notes.txt");
        fs::write(&stranger, "mine").unwrap();
        Cache::open(Some(folder.path()), &first);
        assert!(path.exists());
        // Another gas schedule, hence other code.
        let other = Engine::new(crate::engine::config().consume_fuel(false)).unwrap();
        Cache::open(Some(folder.path()), &other);
        assert!(!path.exists() && stranger.exists());
    }

    #[test]
    fn a_module_of_another_engine_under_our_name_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (engine(), Engine::new(crate::engine::config().consume_fuel(false)).unwrap());
        let (cache, key, path) = filled(folder.path(), &ours);
        let wasm = wat::parse_str("(module)").unwrap();
        cache.store(key, &other.precompile_module(&wasm).unwrap());
        assert!(cache.load(&ours, key).is_none());
        assert!(!path.exists());
    }
}
