//! Makes sure that an evaluation has the native stack it may use, whoever calls.

use crate::limits::{THREAD_STACK_BYTES, WASM_STACK_BYTES};

/// Stack for the host's own frames above and below the guest's.
const HOST_BYTES: usize = 1 << 20;

/// Runs `evaluation` on this thread if it has enough stack left, else on a short-lived one that has.
pub(crate) fn with_enough<T: Send>(evaluation: impl FnOnce() -> T + Send) -> Result<T, String> {
    if left().is_some_and(|bytes| bytes >= WASM_STACK_BYTES + HOST_BYTES) {
        return Ok(evaluation());
    }
    std::thread::scope(|scope| {
        let hop = std::thread::Builder::new().name("ao-vm-evaluate".into()).stack_size(THREAD_STACK_BYTES);
        match hop.spawn_scoped(scope, evaluation).map_err(|error| error.to_string())?.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Bytes between here and the end of this thread's stack.
fn left() -> Option<usize> {
    thread_local! {
        static LOWEST: Option<usize> = lowest();
    }
    let here = 0u8;
    let here = std::ptr::from_ref(&here) as usize;
    LOWEST.with(|lowest| lowest.map(|lowest| here.saturating_sub(lowest)))
}

fn lowest() -> Option<usize> {
    // SAFETY: the attribute is initialised by the first call, read, and destroyed.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return None;
        }
        let (mut lowest, mut size) = (std::ptr::null_mut(), 0);
        let found = libc::pthread_attr_getstack(&attributes, &mut lowest, &mut size);
        libc::pthread_attr_destroy(&mut attributes);
        (found == 0).then_some(lowest as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_thread_hops_and_a_large_one_does_not() {
        let here = |size| {
            let thread = std::thread::Builder::new().stack_size(size);
            let body = || (std::thread::current().id(), with_enough(|| std::thread::current().id()).unwrap());
            thread.spawn(body).unwrap().join().unwrap()
        };
        let (caller, callee) = here(THREAD_STACK_BYTES);
        assert_eq!(caller, callee);
        let (caller, callee) = here(512 << 10);
        assert_ne!(caller, callee);
    }
}
