//! The linear memory of one process: what is committed, what is pending, and the way back.
//!
//! Owns the committed image and the page hashes over it. Refuses to know why something is committed or rolled back: that is
//! [`crate::hosted`].
//!
//! The guest runs on a private copy-on-write view of the image ([`image`]). Nothing is ever copied whole:
//! * *commit* finds the pages with a private copy ([`dirty`]), compares each with the image and copies those that differ;
//! * *roll-back* writes the image back over those that differ, or drops the copies where they are many;
//! * the state hash hashes the pages changed since the last hash, then folds the list of page hashes.
//!
//! A memory that nobody wants for a while is packed ([`Held`]): its pages compressed, its mappings gone.
//!
//! A private copy may outlive its commit (the next write to the page is then free of a fault): the comparison keeps the account right.

mod bits;
mod dirty;
mod image;
mod packed;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::limits::{PAGE, PRIVATE_BYTES_KEPT, STACK_BYTES_KEPT, WASM_PAGE};
use bits::Bits;
use image::Image;
pub(crate) use packed::Held;

/// BLAKE3 of one page.
pub(crate) type PageHash = [u8; 32];

const ZERO: [u8; PAGE] = [0; PAGE];

/// Committed image, private view and page hashes of one process.
pub(crate) struct Memory {
    image: Arc<Image>,
    book: Book,
    /// Private pages at the last look, for the resident figure.
    private_pages: usize,
    ranges: Vec<Range<usize>>,
}

/// What is known about the committed state besides its bytes.
#[derive(Default)]
struct Book {
    /// Length of the committed state; the private view may have grown beyond it.
    committed_len: usize,
    /// Pages of the image with a non-zero byte.
    present: Bits,
    /// Pages changed since they were hashed.
    unhashed: Bits,
    /// Pages changed since the last checkpoint.
    undelivered: Bits,
    hashes: BTreeMap<u32, PageHash>,
}

impl Memory {
    /// An empty memory that can grow to `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self { image: Image::new(capacity)?, book: Book::default(), private_pages: 0, ranges: Vec::new() })
    }

    /// Runs `instantiate` so that the one memory it creates is this one.
    pub(crate) fn lend<T>(&self, instantiate: impl FnOnce() -> T) -> T {
        LENT.with_borrow_mut(|slot| *slot = Some(self.image.clone()));
        let made = instantiate();
        LENT.with_borrow_mut(|slot| *slot = None);
        made
    }

    /// Accessible bytes now, committed or not.
    pub(crate) fn len(&self) -> usize {
        self.image.len()
    }

    /// Bytes of the committed state.
    pub(crate) fn committed_len(&self) -> usize {
        self.book.committed_len
    }

    /// Bytes the memory can grow to.
    pub(crate) fn capacity(&self) -> usize {
        self.image.capacity()
    }

    /// Zeroes a region that is dead between messages (the C stack below its resting pointer), so that neither a guest that reads what it
    /// never wrote nor a state hash can tell a hot instance from a restored one.
    pub(crate) fn wipe(&mut self, dead: &Range<usize>) -> io::Result<()> {
        let dead = dead.start.min(self.len())..dead.end.min(self.len());
        // Deep recursion left more than is worth keeping: the image is zero there, so dropping the copies zeroes as well.
        let outer = dead.start / PAGE * PAGE..dead.end.next_multiple_of(PAGE).min(self.len());
        let mut ranges = std::mem::take(&mut self.ranges);
        ranges.clear();
        dirty::written(self.image.base(), page_aligned(&outer, self.len()), &mut ranges);
        let written: usize = ranges.iter().map(|r| r.len()).sum();
        let host = image::host_page();
        let low = dead.start.next_multiple_of(host);
        let high = dead.end.saturating_sub(STACK_BYTES_KEPT) / host * host;
        let drop_to = if written > 2 * STACK_BYTES_KEPT && low < high {
            self.image.drop_private(low, high)?;
            Some(low..high)
        } else {
            None
        };
        for range in &ranges {
            let from = range.start.max(dead.start);
            let to = range.end.min(dead.end);
            if from >= to || drop_to.as_ref().is_some_and(|d| d.start <= from && to <= d.end) {
                continue;
            }
            // SAFETY: the guest does not run while its owner calls this; the range was clipped to the accessible bytes.
            unsafe { self.image.private_mut(from, to - from) }.fill(0);
        }
        self.ranges = ranges;
        Ok(())
    }

    /// Takes the private view as the committed state.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        let mut ranges = std::mem::take(&mut self.ranges);
        ranges.clear();
        dirty::written(self.image.base(), 0..self.len(), &mut ranges);
        let mut pages = 0;
        for range in &ranges {
            pages += range.len() / PAGE;
            for at in range.clone().step_by(PAGE) {
                self.commit_page(at);
            }
        }
        self.ranges = ranges;
        self.book.committed_len = self.len();
        self.private_pages = pages;
        if pages * PAGE > PRIVATE_BYTES_KEPT {
            self.drop_private()?;
        }
        Ok(())
    }

    fn commit_page(&mut self, at: usize) {
        let page = at / PAGE;
        // SAFETY: the guest does not run while its owner commits; the page is accessible because it was written.
        let new = unsafe { self.image.private(at, PAGE) };
        if self.book.present.get(page) {
            // SAFETY: only `self` writes the image.
            if unsafe { self.image.committed(at, PAGE) } == new {
                return;
            }
            if new == ZERO {
                self.book.present.clear(page);
            }
        } else {
            if new == ZERO {
                return;
            }
            self.book.present.set(page);
        }
        // SAFETY: only `self` writes the image, and no slice of it is alive.
        unsafe { self.image.committed_mut(at, PAGE) }.copy_from_slice(new);
        self.book.unhashed.set(page);
        self.book.undelivered.set(page);
    }

    /// Goes back to the committed state. True where the memory had grown: the instance that ran on it believes in the longer one and
    /// has to be built anew.
    pub(crate) fn roll_back(&mut self) -> io::Result<bool> {
        let len = self.len();
        let grown = len != self.book.committed_len;
        if grown {
            self.image.set_len(self.book.committed_len)?;
            self.image.punch(self.book.committed_len, len)?;
        }
        let mut ranges = std::mem::take(&mut self.ranges);
        ranges.clear();
        dirty::written(self.image.base(), 0..self.book.committed_len, &mut ranges);
        if ranges.iter().map(|range| range.len()).sum::<usize>() > PRIVATE_BYTES_KEPT {
            self.drop_private()?;
        } else {
            // Writing a few pages back is cheaper than the faults that dropping them would bring.
            for at in ranges.iter().flat_map(|range| range.clone().step_by(PAGE)) {
                self.restore_page(at);
            }
        }
        self.ranges = ranges;
        Ok(grown)
    }

    fn restore_page(&self, at: usize) {
        // SAFETY: only `self` writes the image; a page that is not present is never read there, which would make it resident.
        let old = if self.book.present.get(at / PAGE) { unsafe { self.image.committed(at, PAGE) } } else { &ZERO };
        // SAFETY: the guest does not run while its owner rolls back; the page is accessible because it was written.
        let now = unsafe { self.image.private_mut(at, PAGE) };
        if now != old {
            now.copy_from_slice(old);
        }
    }

    fn drop_private(&mut self) -> io::Result<()> {
        self.private_pages = 0;
        self.image.drop_private(0, self.len())
    }

    /// Replaces the whole committed state: length, then every page that is not zero. The instance has to be built anew.
    pub(crate) fn load(&mut self, len: usize, pages: impl Iterator<Item = (u32, PageHash, impl AsRef<[u8]>)>) -> io::Result<()> {
        self.image.set_len(0)?;
        self.image.punch(0, self.image.capacity())?;
        self.image.set_len(len)?;
        self.book = Book { committed_len: len, ..Book::default() };
        self.private_pages = 0;
        for (index, hash, bytes) in pages {
            self.store(index, hash, bytes.as_ref());
        }
        Ok(())
    }

    /// Changes single pages of the committed state, as a delta checkpoint does. `None` makes a page zero.
    pub(crate) fn patch(&mut self, len: usize, pages: impl Iterator<Item = (u32, Option<(PageHash, impl AsRef<[u8]>)>)>) -> io::Result<()> {
        self.image.set_len(len)?;
        self.book.committed_len = len;
        for (index, page) in pages {
            match page {
                Some((hash, bytes)) => self.store(index, hash, bytes.as_ref()),
                None => {
                    let at = index as usize * PAGE;
                    // SAFETY: only `self` writes the image; the caller checked the index against the length.
                    unsafe { self.image.committed_mut(at, PAGE) }.fill(0);
                    self.book.present.clear(index as usize);
                    self.book.hashes.remove(&index);
                }
            }
        }
        Ok(())
    }

    fn store(&mut self, index: u32, hash: PageHash, bytes: &[u8]) {
        // SAFETY: only `self` writes the image; the caller checked the index against the length.
        unsafe { self.image.committed_mut(index as usize * PAGE, PAGE) }.copy_from_slice(bytes);
        self.book.present.set(index as usize);
        self.book.hashes.insert(index, hash);
    }

    /// Brings the page hashes up to date and returns them, ascending by page.
    pub(crate) fn page_hashes(&mut self) -> &BTreeMap<u32, PageHash> {
        for page in self.book.unhashed.drain() {
            let index = page as u32;
            if self.book.present.get(page) {
                // SAFETY: only `self` writes the image.
                let bytes = unsafe { self.image.committed(page * PAGE, PAGE) };
                self.book.hashes.insert(index, *blake3::hash(bytes).as_bytes());
            } else {
                self.book.hashes.remove(&index);
            }
        }
        &self.book.hashes
    }

    /// Pages of the committed state that are not zero, ascending.
    pub(crate) fn present_pages(&self) -> Vec<u32> {
        self.book.present.iter().map(|page| page as u32).collect()
    }

    /// Pages changed since this was last asked, ascending; and whether each still has a non-zero byte.
    pub(crate) fn take_changed(&mut self) -> Vec<(u32, bool)> {
        self.book.undelivered.drain().into_iter().map(|page| (page as u32, self.book.present.get(page))).collect()
    }

    /// Bytes of the committed state.
    pub(crate) fn committed(&self, from: usize, len: usize) -> &[u8] {
        assert!(from + len <= self.book.committed_len, "committed bytes {from}+{len} of {}", self.book.committed_len);
        // SAFETY: in range; `&self` excludes a writer of the image, since only `&mut self` methods write it.
        unsafe { self.image.committed(from, len) }
    }

    /// Bytes this memory keeps from others: pages of the image, and private copies of them.
    pub(crate) fn resident_bytes(&self) -> u64 {
        ((self.book.present.count() + self.private_pages) * PAGE) as u64
    }
}

#[cfg(any(fuzzing, test))]
impl Memory {
    /// Fills a page of the private view, as a guest would.
    pub(crate) fn overwrite(&mut self, page: u32, byte: u8) {
        // SAFETY: no guest runs in the tests that call this.
        unsafe { self.image.private_mut(page as usize * PAGE, PAGE) }.fill(byte);
    }
}

fn page_aligned(range: &Range<usize>, len: usize) -> Range<usize> {
    let host = image::host_page();
    range.start / host * host..range.end.next_multiple_of(host).min(len)
}

thread_local! {
    static LENT: RefCell<Option<Arc<Image>>> = const { RefCell::new(None) };
}

/// Gives wasmtime the memory that [`Memory::lend`] put aside on this thread. A second memory, or one nobody lent, is refused.
pub(crate) struct Creator;

struct View(Arc<Image>);

// SAFETY: reservation and guard are as the engine's settings promise (`limits.rs` holds both), new bytes read as zero, the base never
// moves, and bytes beyond `byte_size` are inaccessible.
unsafe impl wasmtime::MemoryCreator for Creator {
    fn new_memory(
        &self,
        _: wasmtime::MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn wasmtime::LinearMemory>, String> {
        let image = LENT.with_borrow_mut(Option::take).ok_or("no memory was set aside for this instance")?;
        if reserved.is_some_and(|bytes| bytes > crate::limits::MEMORY_RESERVATION) || guard > crate::limits::MEMORY_GUARD {
            return Err("the engine asks for more address space than is set aside".into());
        }
        if image.len() < minimum {
            image.set_len(minimum.next_multiple_of(WASM_PAGE)).map_err(|error| error.to_string())?;
        }
        Ok(Box::new(View(image)))
    }
}

// SAFETY: see `Creator`.
unsafe impl wasmtime::LinearMemory for View {
    fn byte_size(&self) -> usize {
        self.0.len()
    }

    fn byte_capacity(&self) -> usize {
        self.0.capacity()
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        self.0.set_len(new_size).map_err(Into::into)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.base()
    }
}

#[cfg(test)]
mod tests;
