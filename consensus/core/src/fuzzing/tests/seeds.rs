//! Where the fuzzers begin: the samples of the tests, in files. Taken in by path, for this crate itself says no disk.

use std::path::Path;

/// The samples of a target as they stand in `fuzz/seeds/TARGET` of a crate, where the fuzzer begins. With `AONODE_SEEDS=write` in the
/// environment they are written there; otherwise this fails unless they are the same, so that seeds never lag behind the format.
pub fn seeds(manifest_dir: &str, target: &str, samples: &[Vec<u8>]) {
    let folder = Path::new(manifest_dir).join("fuzz/seeds").join(target);
    let write = std::env::var("AONODE_SEEDS").is_ok_and(|how| how == "write");
    if write {
        std::fs::create_dir_all(&folder).expect("a folder for seeds");
    }
    for (n, sample) in samples.iter().enumerate() {
        let file = folder.join(format!("{n:02}"));
        if write {
            std::fs::write(&file, sample).expect("a seed is written");
        }
        let found = std::fs::read(&file).unwrap_or_default();
        assert!(found == *sample, "{} is not what this test makes: run it with AONODE_SEEDS=write", file.display());
    }
}
