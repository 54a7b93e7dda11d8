//! Real AOS modules, where the set-up step `.ci/modules` puts them. Never part of the repository.

use std::path::PathBuf;

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use crate::cache;

/// A build of AOS that the suites use.
#[derive(Clone, Copy, Debug)]
pub struct Aos {
    /// Its file in the cache.
    pub file: &'static str,
    /// Its `Module-Format`.
    pub format: &'static str,
    sha256: &'static str,
}

/// AOS 2 with 64-bit memory.
pub const AOS_64: Aos = Aos {
    file: "aos2_0_6.wasm",
    format: "wasm64-unknown-emscripten-draft_2024_02_15",
    sha256: "0fbcfb85f6354a067ec909102430bd8a7ce0301c9686595f474eabffff7ba58e",
};

/// AOS 2 with 32-bit memory.
pub const AOS_32: Aos = Aos {
    file: "aos2_0_4_32.wasm",
    format: "wasm32-unknown-emscripten4",
    sha256: "3acf0325d20fa04aacb6684d0906fa25e4c46f26be391781536a82c40b8545e3",
};

/// The folder of the modules, with both builds in it and each what it claims to be.
///
/// # Errors
/// A file is missing (run `.ci/modules`) or is another one.
pub fn folder() -> Result<PathBuf> {
    let folder = cache::folder()?.join("modules");
    for module in [AOS_64, AOS_32] {
        module.read_from(&folder)?;
    }
    Ok(folder)
}

impl Aos {
    /// Its bytes.
    ///
    /// # Errors
    /// The file is missing (run `.ci/modules`) or is another one.
    pub fn read(&self) -> Result<Vec<u8>> {
        self.read_from(&cache::folder()?.join("modules"))
    }

    fn read_from(&self, folder: &std::path::Path) -> Result<Vec<u8>> {
        let path = folder.join(self.file);
        let Ok(bytes) = std::fs::read(&path) else {
            bail!("{} is missing: run .ci/modules (make does it first)", path.display());
        };
        let found = hex::encode(Sha256::digest(&bytes));
        if found != self.sha256 {
            bail!("{} is another file: expected SHA-256 {}, found {found}; delete it and run .ci/modules", path.display(), self.sha256);
        }
        Ok(bytes)
    }
}
