//! What the fuzz targets of `vm/fuzz` run: every place where bytes of strangers enter the machine, and what must hold there. The same
//! bodies run on damaged samples in the ordinary tests (`fuzzing/tests.rs`).

use std::borrow::Cow;

use ao_types::{Id, StateHash};
use bytes::Bytes;

use crate::host::strftime::{self, Tm};
use crate::limits::{OUTBOX_ENTRIES_MAX, WASM_PAGE};
use crate::memory::Memory;
use crate::program::Identity;
use crate::rewrite::{Gas, Options};
use crate::{Checkpoint, admission, checkpoint, lua, wasm};

/// A module binary: refused, or rewritten into a module that the engine takes for valid.
pub fn module(input: &[u8]) {
    let Ok(survey) = admission::survey(&Id::default(), input) else { return };
    let engine = engine();
    for gas in [Gas::Calls, Gas::Inserted] {
        for (fold_asyncify, count_depth) in [(true, true), (false, false)] {
            let options = Options { gas, fold_asyncify, count_depth };
            if let Ok(rewritten) = crate::rewrite::rewrite(input, &survey, options) {
                let valid = wasmtime::Module::validate(engine, &rewritten);
                assert!(valid.is_ok(), "{options:?}: {valid:?}");
            }
        }
    }
}

fn engine() -> &'static wasmtime::Engine {
    static ENGINE: std::sync::OnceLock<wasmtime::Engine> = std::sync::OnceLock::new();
    ENGINE.get_or_init(|| wasmtime::Engine::new(&crate::engine::config()).expect("the engine starts"))
}

fn identity() -> Identity {
    Identity { module: Id([7; 32]), format: "fuzz".into() }
}

fn memory() -> Memory {
    Memory::new(16 * WASM_PAGE).expect("there is address space")
}

/// A checkpoint: bytes of strangers do no harm, and what is made of states comes back, damaged by one byte or not at all.
pub fn checkpoint(input: &[u8]) {
    let root_at = 8 + 4 + 32 + 1 + identity().format.len() + 8;
    let root = input.get(root_at..root_at + 32).and_then(|root| root.try_into().ok()).map_or(StateHash::default(), StateHash);
    let hostile = Checkpoint { root, bytes: Bytes::copy_from_slice(input), parent: None };
    let mut restored = memory();
    if checkpoint::restore(&mut restored, &identity(), std::slice::from_ref(&hostile)).is_ok() {
        assert_eq!(checkpoint::root(&mut restored, &identity()), root);
    }

    // The same bytes as what a guest wrote: where to damage which checkpoint, then pages and what fills them, a checkpoint after each half.
    let (damage, changes) = input.split_at(input.len().min(4));
    let [which, high, low, with] = *damage else { return };
    let (mut state, mut chain) = (memory(), Vec::<Checkpoint>::new());
    state.patch(16 * WASM_PAGE, std::iter::empty::<(u32, Option<(_, Bytes)>)>()).expect("the memory grows");
    for part in changes.chunks(changes.len().div_ceil(2).max(1)) {
        for change in part.chunks_exact(2) {
            state.overwrite(u32::from(change[0]), change[1]);
        }
        state.commit().expect("a commit works");
        let parent = chain.last().map(|last| last.root);
        chain.push(checkpoint::make(&mut state, &identity(), parent).expect("compression works"));
    }
    let Some(root) = chain.last().map(|last| last.root) else { return };
    let mut restored = memory();
    checkpoint::restore(&mut restored, &identity(), &chain).expect("what was made is taken");
    assert_eq!(checkpoint::root(&mut restored, &identity()), root);

    let which = usize::from(which) % chain.len();
    let mut bytes = chain[which].bytes.to_vec();
    let at = usize::from(u16::from_be_bytes([high, low])) % bytes.len();
    bytes[at] ^= with;
    chain[which].bytes = bytes.into();
    let mut damaged = memory();
    if checkpoint::restore(&mut damaged, &identity(), &chain).is_ok() {
        assert_eq!(checkpoint::root(&mut damaged, &identity()), root, "a damage that is taken changes nothing");
    }
}

/// The reference's checkpoint: refused, or a state that comes back as the bytes it was.
pub fn gzip(input: &[u8]) {
    let Ok(imported) = checkpoint::import_gzip(Id([7; 32]), "fuzz", input) else { return };
    let mut memory = Memory::new(crate::limits::MEMORY_BYTES_MAX).expect("there is address space");
    checkpoint::restore(&mut memory, &identity(), std::slice::from_ref(&imported)).expect("what was imported is taken");
    let bytes = memory.committed(0, memory.committed_len());
    let packed = checkpoint::export_gzip(bytes).expect("compression works");
    let again = checkpoint::import_gzip(Id([7; 32]), "fuzz", &packed).expect("what was exported is taken");
    assert_eq!(again.root, imported.root);
}

/// What a guest returns, in either form: bounded lists, and no state is kept after an error.
pub fn result(input: &[u8]) {
    let json = wasm::json::read_result(input);
    assert!(!json.keep || json.evaluation.error.is_none());
    let mut evaluations = vec![Cow::Borrowed(&json.evaluation)];
    if let Ok(evaluation) = lua::fuzzing_evaluation(input) {
        evaluations.push(Cow::Owned(evaluation));
    }
    for evaluation in evaluations {
        let lists = [evaluation.messages.len(), evaluation.spawns.len(), evaluation.assignments.len()];
        assert!(lists.into_iter().all(|length| length <= OUTBOX_ENTRIES_MAX), "{lists:?}");
    }
}

/// A time and a pattern: bounded text; calendar time and seconds agree.
pub fn strftime(input: &[u8]) {
    let Some((head, pattern)) = input.split_at_checked(44) else { return };
    let mut fields = [0; 9];
    for (field, bytes) in fields.iter_mut().zip(head.chunks_exact(4)) {
        *field = i32::from_le_bytes(bytes.try_into().expect("four bytes"));
    }
    let text = strftime::format(pattern, &Tm::from_fields(fields));
    assert!(text.len() <= 64 * pattern.len(), "{} bytes of {}", text.len(), pattern.len());
    Tm::from_fields(fields).to_seconds();
    let seconds = i64::from_le_bytes(head[36..].try_into().expect("eight bytes"));
    let tm = Tm::from_seconds(seconds);
    // Years beyond 32 bits saturate.
    if seconds.unsigned_abs() < 1 << 55 {
        assert_eq!(tm.to_seconds(), seconds);
    }
}

#[cfg(test)]
mod tests;
