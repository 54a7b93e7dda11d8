//! One linear memory as two mappings of one anonymous file.
//!
//! ```text
//!   private view  |-- accessible --|-- not yet grown --|------ guard ------|   MAP_PRIVATE: what the guest reads and writes
//!                        copy on write ^
//!   memory file   |-- committed image, sparse -------------|
//!                        | MAP_SHARED
//!   shared view   |----------------------------------------|                   what commit writes and hashing reads
//! ```
//!
//! Owns the address space and nothing of its meaning: which bytes are committed when is decided in `memory.rs`. The file descriptor is
//! closed as soon as both views exist, so a process costs no descriptor.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::{MEMORY_GUARD, MEMORY_RESERVATION, WASM_PAGE};

/// The two views. Shared between the owner ([`super::Memory`]) and the store of the instance that runs on it.
pub(super) struct Image {
    private: NonNull<u8>,
    shared: NonNull<u8>,
    capacity: usize,
    len: AtomicUsize,
}

// SAFETY: the pointers name mappings that live as long as the value. Who may touch the bytes is the contract of the methods: one owner at
// a time, either the running instance or `Memory`, never both.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    /// Maps an empty memory that can grow to `capacity` bytes. Nothing is resident until written.
    pub(super) fn new(capacity: usize) -> io::Result<Arc<Self>> {
        let capacity = capacity.clamp(WASM_PAGE, MEMORY_RESERVATION).next_multiple_of(WASM_PAGE);
        // SAFETY: plain system calls; every result is checked, and what was made is undone on the way out of an error.
        unsafe {
            let file = libc::memfd_create(c"aonode-memory".as_ptr(), libc::MFD_CLOEXEC);
            if file < 0 {
                return Err(io::Error::last_os_error());
            }
            let made = Self::map(file, capacity);
            libc::close(file);
            made.map(Arc::new)
        }
    }

    unsafe fn map(file: i32, capacity: usize) -> io::Result<Self> {
        // SAFETY: addresses are chosen by the kernel, except the file mapping, which replaces the start of a reservation made just before.
        unsafe {
            if libc::ftruncate(file, capacity as i64) != 0 {
                return Err(io::Error::last_os_error());
            }
            let whole = MEMORY_RESERVATION + MEMORY_GUARD;
            let reserve = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let private = libc::mmap(ptr::null_mut(), whole, libc::PROT_NONE, reserve, -1, 0);
            if private == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let over = libc::MAP_PRIVATE | libc::MAP_NORESERVE | libc::MAP_FIXED;
            if libc::mmap(private, capacity, libc::PROT_NONE, over, file, 0) == libc::MAP_FAILED {
                let error = io::Error::last_os_error();
                libc::munmap(private, whole);
                return Err(error);
            }
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let shared = libc::mmap(ptr::null_mut(), capacity, access, libc::MAP_SHARED | libc::MAP_NORESERVE, file, 0);
            if shared == libc::MAP_FAILED {
                let error = io::Error::last_os_error();
                libc::munmap(private, whole);
                return Err(error);
            }
            // A core dump of the node must not hold gigabytes of guests; huge pages would copy 2 MiB for one changed byte.
            libc::madvise(private, capacity, libc::MADV_DONTDUMP);
            libc::madvise(private, capacity, libc::MADV_NOHUGEPAGE);
            libc::madvise(shared, capacity, libc::MADV_DONTDUMP);
            Ok(Self {
                private: NonNull::new_unchecked(private.cast()),
                shared: NonNull::new_unchecked(shared.cast()),
                capacity,
                len: AtomicUsize::new(0),
            })
        }
    }

    /// Base of the private view.
    pub(super) fn base(&self) -> *mut u8 {
        self.private.as_ptr()
    }

    /// Bytes the memory can grow to.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Accessible bytes.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Makes exactly `[0, len)` accessible. Bytes beyond become inaccessible and lose their private content.
    pub(super) fn set_len(&self, len: usize) -> io::Result<()> {
        let old = self.len();
        if len > self.capacity {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "linear memory is at its limit"));
        }
        let (from, to, access) = if len > old { (old, len, libc::PROT_READ | libc::PROT_WRITE) } else { (len, old, libc::PROT_NONE) };
        if from < to {
            // SAFETY: the range lies in the file part of the private view.
            unsafe {
                let start = self.base().add(from).cast();
                if len < old {
                    libc::madvise(start, to - from, libc::MADV_DONTNEED);
                }
                if libc::mprotect(start, to - from, access) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    /// Drops private copies in `[from, to)`: the guest sees the committed image there again.
    pub(super) fn drop_private(&self, from: usize, to: usize) -> io::Result<()> {
        debug_assert!(from <= to && to <= self.len());
        if from == to {
            return Ok(());
        }
        // SAFETY: the range is accessible and page aligned by the callers; private copies are ours to drop.
        match unsafe { libc::madvise(self.base().add(from).cast(), to - from, libc::MADV_DONTNEED) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Gives back the committed bytes `[from, to)`: they read as zero and occupy nothing.
    pub(super) fn punch(&self, from: usize, to: usize) -> io::Result<()> {
        if from == to {
            return Ok(());
        }
        // SAFETY: the range lies in the shared view.
        match unsafe { libc::madvise(self.shared.as_ptr().add(from).cast(), to - from, libc::MADV_REMOVE) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Bytes of the private view.
    ///
    /// # Safety
    /// The guest must not run and nobody may write the range while the slice lives; the range must be accessible.
    pub(super) unsafe fn private(&self, from: usize, len: usize) -> &[u8] {
        debug_assert!(from + len <= self.len());
        // SAFETY: by contract.
        unsafe { std::slice::from_raw_parts(self.base().add(from), len) }
    }

    /// Bytes of the private view, to write.
    ///
    /// # Safety
    /// As [`Self::private`], and no other reference to the range may live.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn private_mut(&self, from: usize, len: usize) -> &mut [u8] {
        debug_assert!(from + len <= self.len());
        // SAFETY: by contract.
        unsafe { std::slice::from_raw_parts_mut(self.base().add(from), len) }
    }

    /// Bytes of the committed image.
    ///
    /// # Safety
    /// Nobody may write the range while the slice lives; it must lie within the capacity.
    pub(super) unsafe fn committed(&self, from: usize, len: usize) -> &[u8] {
        debug_assert!(from + len <= self.capacity);
        // SAFETY: by contract.
        unsafe { std::slice::from_raw_parts(self.shared.as_ptr().add(from), len) }
    }

    /// Bytes of the committed image, to write.
    ///
    /// # Safety
    /// As [`Self::committed`], and no other reference to the range may live.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn committed_mut(&self, from: usize, len: usize) -> &mut [u8] {
        debug_assert!(from + len <= self.capacity);
        // SAFETY: by contract.
        unsafe { std::slice::from_raw_parts_mut(self.shared.as_ptr().add(from), len) }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: both mappings were made by `map` and nobody else holds the value.
        unsafe {
            libc::munmap(self.private.as_ptr().cast(), MEMORY_RESERVATION + MEMORY_GUARD);
            libc::munmap(self.shared.as_ptr().cast(), self.capacity);
        }
    }
}

/// Page size of the host, bytes: at least [`crate::limits::PAGE`] on every platform we know, and a multiple of it.
pub(super) fn host_page() -> usize {
    static SIZE: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *SIZE.get_or_init(|| {
        // SAFETY: no preconditions.
        usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(crate::limits::PAGE)
    })
}
