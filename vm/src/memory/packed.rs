//! The memory of a process that rests: nothing mapped, its pages compressed.
//!
//! A process at rest is most of all pages that nobody looks at. Packed they take a fifth, and neither mappings nor page tables are left of
//! two views of some hundred megabytes. What it costs is some milliseconds at the next message, so the caller says when.

use std::io;

use super::{Book, Memory};
use crate::limits::{CHECKPOINT_FRAME_MAX, PAGE};
use crate::memory::image::Image;

const PAGES_PER_FRAME: usize = CHECKPOINT_FRAME_MAX / PAGE;

/// A memory, mapped or packed.
pub(crate) enum Held {
    Mapped(Memory),
    Packed(Packed),
}

/// See the module documentation.
pub(crate) struct Packed {
    book: Book,
    capacity: usize,
    /// Pages of the committed state that are not zero, ascending, so many in each frame.
    frames: Vec<Box<[u8]>>,
}

impl Held {
    /// The memory, mapped. Where this fails it is as before, and may succeed another time.
    pub(crate) fn mapped(&mut self) -> io::Result<&mut Memory> {
        if let Self::Packed(packed) = self {
            *self = Self::Mapped(packed.unpack()?);
        }
        match self {
            Self::Mapped(memory) => Ok(memory),
            Self::Packed(_) => Err(io::Error::other("a memory that was just mapped is packed")),
        }
    }

    /// Packs the committed state. What is pending is lost, and whatever runs on the memory has to be gone.
    pub(crate) fn pack(&mut self) -> io::Result<()> {
        if let Self::Mapped(memory) = self {
            *self = Self::Packed(Packed::of(memory)?);
        }
        Ok(())
    }

    /// Bytes this memory keeps from others.
    pub(crate) fn resident_bytes(&self) -> u64 {
        match self {
            Self::Mapped(memory) => memory.resident_bytes(),
            Self::Packed(packed) => packed.resident_bytes(),
        }
    }
}

impl Packed {
    fn of(memory: &mut Memory) -> io::Result<Self> {
        let pages = memory.present_pages();
        let mut frames = Vec::with_capacity(pages.len().div_ceil(PAGES_PER_FRAME));
        let mut raw = Vec::with_capacity(pages.len().min(PAGES_PER_FRAME) * PAGE);
        for frame in pages.chunks(PAGES_PER_FRAME) {
            raw.clear();
            for page in frame {
                raw.extend_from_slice(memory.committed(*page as usize * PAGE, PAGE));
            }
            frames.push(zstd::bulk::compress(&raw, 1)?.into_boxed_slice());
        }
        Ok(Self { book: std::mem::take(&mut memory.book), capacity: memory.capacity(), frames })
    }

    fn unpack(&mut self) -> io::Result<Memory> {
        let image = Image::new(self.capacity)?;
        image.set_len(self.book.committed_len)?;
        let mut raw = Vec::with_capacity(CHECKPOINT_FRAME_MAX);
        let pages: Vec<usize> = self.book.present.iter().collect();
        for (frame, pages) in self.frames.iter().zip(pages.chunks(PAGES_PER_FRAME)) {
            raw.clear();
            zstd::bulk::Decompressor::new()?.decompress_to_buffer(frame, &mut raw)?;
            if raw.len() != pages.len() * PAGE {
                return Err(io::Error::other("a packed frame of another length than its pages have"));
            }
            for (bytes, page) in raw.chunks_exact(PAGE).zip(pages) {
                // SAFETY: nobody else has the image; a page that is present lies in the committed length.
                unsafe { image.committed_mut(page * PAGE, PAGE) }.copy_from_slice(bytes);
            }
        }
        Ok(Memory { image, book: std::mem::take(&mut self.book), private_pages: 0, ranges: Vec::new() })
    }

    fn resident_bytes(&self) -> u64 {
        /// A page's hash in its map, with the map's own.
        const HASH_BYTES: usize = 56;
        (self.frames.iter().map(|frame| frame.len()).sum::<usize>() + self.book.hashes.len() * HASH_BYTES) as u64
    }
}

#[cfg(test)]
impl Packed {
    /// Damages the first frame and returns what it was.
    pub(super) fn break_frame(&mut self) -> Box<[u8]> {
        std::mem::take(&mut self.frames[0])
    }

    pub(super) fn mend_frame(&mut self, frame: Box<[u8]>) {
        self.frames[0] = frame;
    }
}
