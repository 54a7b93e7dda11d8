//! Memory of a guest after its runtime library has loaded, the same for every process: made once, copied into each new one.
//!
//! Loading the library takes the guest some milliseconds, all of it compiling Lua. Its outcome depends on nothing outside the guest, so a
//! process that starts from a copy is byte for byte the process that loads for itself.
//!
//! That includes the dead C stack, which is zero in a copy: Lua copies whole values, padding and all, so what an earlier call left on the
//! stack ends up in the heap. [`keep`] therefore clears it in the process that loads as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::guest::{Guest, Halt};
use crate::limits::{PAGE, WASM_PAGE};

/// Pages that are not zero, in runs, and the size of the memory they belong to.
pub(crate) struct Image {
    pages: u64,
    runs: Vec<(u64, Vec<u8>)>,
}

/// The image of each runtime, once a process has made it. There are as many as an operator keeps runtimes: few.
static IMAGES: Mutex<BTreeMap<String, Arc<Image>>> = Mutex::new(BTreeMap::new());

/// The image of a runtime, if there is one yet.
pub(crate) fn found(runtime: &str) -> Option<Arc<Image>> {
    IMAGES.lock().get(runtime).cloned()
}

/// Keeps the memory of `guest` as the image of its runtime. The first `dead` bytes, the C stack, count as zero, and become so in `guest`.
pub(crate) fn keep(runtime: &str, guest: &mut Guest, dead: usize) {
    for page in guest.memory.data_mut(&mut guest.store)[..dead].chunks_mut(PAGE) {
        if page.iter().any(|byte| *byte != 0) {
            page.fill(0);
        }
    }
    let mut images = IMAGES.lock();
    if !images.contains_key(runtime) {
        images.insert(runtime.to_owned(), Arc::new(Image::of(guest.bytes(), dead)));
    }
}

impl Image {
    fn of(memory: &[u8], dead: usize) -> Self {
        let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
        for (index, page) in memory.chunks(PAGE).enumerate().skip(dead.div_ceil(PAGE)) {
            if page.iter().all(|byte| *byte == 0) {
                continue;
            }
            let at = (index * PAGE) as u64;
            match runs.last_mut() {
                Some((start, run)) if *start + run.len() as u64 == at => run.extend_from_slice(page),
                _ => runs.push((at, page.to_vec())),
            }
        }
        Self { pages: (memory.len() / WASM_PAGE) as u64, runs }
    }

    /// Makes the memory of a fresh instance that of the image. What instantiation wrote lies in pages the image has as well.
    pub(crate) fn copy(&self, guest: &mut Guest) -> wasmtime::Result<()> {
        let missing = self.pages.saturating_sub(guest.memory.size(&guest.store));
        guest.memory.grow(&mut guest.store, missing).map_err(|error| wasmtime::Error::new(Halt::Local(error.to_string())))?;
        for (at, run) in &self.runs {
            guest.write(*at, run)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_the_pages_that_are_not_zero_behind_the_stack() {
        let mut memory = vec![0; WASM_PAGE];
        for at in [0, PAGE, 3 * PAGE + 7, 4 * PAGE, 9 * PAGE + 1] {
            memory[at] = 1;
        }
        let image = Image::of(&memory, 2 * PAGE);
        let runs: Vec<_> = image.runs.iter().map(|(at, run)| (*at as usize / PAGE, run.len() / PAGE)).collect();
        assert_eq!((image.pages, runs), (1, vec![(3, 2), (9, 1)]));
    }
}
