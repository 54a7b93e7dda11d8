//! Compiled modules on disk, and those that did not compile.
//!
//! A file is named by everything that decides what compiled code does: the bytes of the module, the rewrites and their limits, the engine
//! and its settings. Loading compiled code means running it, so only files that this code wrote are loaded: each starts with a magic, the
//! key again and a checksum of the rest. Whatever does not match, or belongs to another engine, is deleted (`faults.md` F31). The folder
//! must be writable by the node's user alone; the checksum finds damage, not malice.
//!
//! A module that is refused has a file as well, under the same key: a bomb is compiled once, not at every start (F29). One that went over
//! its budget is filed with that budget and tried again under a larger one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wasmtime::{Engine, Module};

use crate::compiler::{Budget, CompileError};
use crate::engine::fingerprint;
use crate::limits::{CACHE_BYTES_MAX, STACK_WORDS_MAX};
use crate::rewrite::{self, Options};

const MAGIC: &[u8; 8] = b"aocode2\n";
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
        hasher.update(&fingerprint(engine).to_le_bytes());
        hasher.update(&rewrite::VERSION.to_le_bytes());
        hasher.update(&STACK_WORDS_MAX.to_le_bytes());
        hasher.update(format!("{options:?}\0").as_bytes());
        hasher.update(blake3::hash(wasm).as_bytes());
        Self(*hasher.finalize().as_bytes())
    }
}

/// What a file says.
pub(crate) enum Found {
    /// Compiled.
    Code(Module),
    /// Not to be compiled: a refusal, or a budget that was too small.
    Not(CompileError),
}

const CODE: u8 = 0;
const REFUSED: u8 = 1;
const OVER_BUDGET: u8 = 2;

impl Cache {
    /// Opens `folder`, creating it, and deletes what other engines left.
    pub(crate) fn open(folder: Option<&Path>, engine: &Engine) -> Self {
        let prefix = format!("{:016x}-{}-", fingerprint(engine), rewrite::VERSION);
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

    /// What is known of a module, if its file is sound.
    pub(crate) fn load(&self, engine: &Engine, key: Key) -> Option<Found> {
        let path = self.path(key)?;
        let file = fs::read(&path).ok()?;
        let found = check(&file, key).and_then(|(kind, body)| match kind {
            // SAFETY: the bytes are those that `store` wrote: magic, key and checksum agree.
            CODE => match unsafe { Module::deserialize(engine, body) } {
                Ok(module) => Ok(Found::Code(module)),
                Err(error) => Err(format!("the engine does not take it: {error}")),
            },
            _ => read_verdict(kind, body).map(Found::Not).ok_or_else(|| "its verdict is malformed".into()),
        });
        match found {
            Ok(found) => {
                // What is used stays; where the time cannot be set, age decides.
                let _ = fs::File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                Some(found)
            }
            Err(reason) => {
                remove(&path, &reason);
                None
            }
        }
    }

    /// Files a compiled module. A failure is logged: the module runs all the same.
    pub(crate) fn store(&self, key: Key, code: &[u8]) {
        self.write(key, CODE, code);
    }

    /// Files that a module is not to be compiled. What says nothing about the module is not filed.
    pub(crate) fn store_verdict(&self, key: Key, verdict: &CompileError) {
        match verdict {
            CompileError::Refused(reason) => self.write(key, REFUSED, reason.as_bytes()),
            CompileError::OverBudget { what, budget } => {
                let mut body = Vec::new();
                body.extend_from_slice(&u64::try_from(budget.cpu.as_millis()).unwrap_or(u64::MAX).to_le_bytes());
                body.extend_from_slice(&budget.memory.to_le_bytes());
                body.extend_from_slice(what.as_bytes());
                self.write(key, OVER_BUDGET, &body);
            }
            CompileError::Unavailable(_) => {}
        }
    }

    fn write(&self, key: Key, kind: u8, body: &[u8]) {
        let Some(path) = self.path(key) else { return };
        let write = || {
            let partial = path.with_extension(format!("{}.partial", std::process::id()));
            let mut file = fs::File::create(&partial)?;
            file.write_all(MAGIC)?;
            file.write_all(&key.0)?;
            file.write_all(&checksum(kind, body))?;
            file.write_all(&[kind])?;
            file.write_all(body)?;
            // No fsync: a torn file fails its checksum and is compiled again.
            fs::rename(&partial, &path)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, path = %path.display(), "a compiled module was not kept");
        }
        self.evict(CACHE_BYTES_MAX);
    }

    /// Deletes what was unused for longest until the files take at most `bytes_max`.
    fn evict(&self, bytes_max: u64) {
        let Some(folder) = &self.folder else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(".aocode"))
            .filter_map(|entry| {
                let about = entry.metadata().ok()?;
                Some((about.modified().ok()?, about.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in files {
            if bytes <= bytes_max {
                return;
            }
            remove(&path, "the folder is full and it was unused for longest");
            bytes -= len;
        }
    }
}

fn read_verdict(kind: u8, body: &[u8]) -> Option<CompileError> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    match kind {
        REFUSED => Some(CompileError::Refused(text(body)?)),
        OVER_BUDGET => {
            let (cpu, rest) = body.split_first_chunk::<8>()?;
            let (memory, what) = rest.split_first_chunk::<8>()?;
            let cpu = Duration::from_millis(u64::from_le_bytes(*cpu));
            let budget = Budget { cpu, memory: u64::from_le_bytes(*memory), ..Budget::default() };
            Some(CompileError::OverBudget { what: text(what)?, budget })
        }
        _ => None,
    }
}

fn checksum(kind: u8, body: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(&[kind]).update(body).finalize().as_bytes()
}

fn check(file: &[u8], key: Key) -> Result<(u8, &[u8]), String> {
    let (header, rest) = file.split_at_checked(HEADER).ok_or("it is too short")?;
    let (kind, body) = rest.split_first().ok_or("it is too short")?;
    if &header[..8] != MAGIC {
        return Err("it has another magic".into());
    }
    if header[8..40] != key.0 {
        return Err("it has another key".into());
    }
    if header[40..] != checksum(*kind, body) {
        return Err("its checksum is wrong".into());
    }
    Ok((*kind, body))
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
        assert!(matches!(cache.load(&engine, key), Some(Found::Code(module)) if module.get_export("f").is_some()));
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
    fn verdicts_are_found_as_they_were_filed_and_passing_trouble_is_not_filed() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine();
        let cache = Cache::open(Some(folder.path()), &engine);
        let budget = Budget { cpu: Duration::from_millis(1500), memory: 77, ..Budget::default() };
        let verdicts = [
            CompileError::Refused("no".into()),
            CompileError::OverBudget { what: "time".into(), budget },
            CompileError::Refused("".into()),
        ];
        for (n, verdict) in verdicts.into_iter().enumerate() {
            let key = Key::new(&engine, &[n as u8], OPTIONS);
            cache.store_verdict(key, &verdict);
            let Some(Found::Not(found)) = cache.load(&engine, key) else { panic!("{verdict} is filed") };
            assert_eq!(found, verdict);
        }
        let key = Key::new(&engine, b"trouble", OPTIONS);
        cache.store_verdict(key, &CompileError::Unavailable("just now".into()));
        assert!(cache.load(&engine, key).is_none());
    }

    #[test]
    fn the_longest_unused_go_when_the_folder_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine();
        let (cache, first, path) = filled(folder.path(), &engine);
        let size = fs::metadata(&path).unwrap().len();
        let keys: Vec<Key> = (0..3).map(|n| Key::new(&engine, &[n], OPTIONS)).collect();
        let old = |key: Key, seconds| {
            let file = fs::File::options().append(true).open(cache.path(key).unwrap()).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        for (n, key) in keys.iter().enumerate() {
            fs::copy(&path, cache.path(*key).unwrap()).unwrap();
            old(*key, 20 + n as u64);
        }
        old(first, 10);
        assert!(cache.load(&engine, first).is_some(), "used now");
        cache.evict(2 * size + 1);
        let left: Vec<bool> = [first, keys[0], keys[1], keys[2]].iter().map(|key| cache.path(*key).unwrap().exists()).collect();
        assert_eq!(left, [true, false, false, true]);
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
