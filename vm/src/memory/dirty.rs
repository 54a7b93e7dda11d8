//! Which pages of a private file mapping have a private copy, that is, were written since they were last dropped.
//!
//! Three ways, best first, decided once per host: the `PAGEMAP_SCAN` call (Linux 6.7: answers in ranges and skips what was never
//! touched), reading `/proc/self/pagemap` (8 bytes a page), and, where neither is allowed, taking every page for written, which is right
//! and slow.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use super::image::host_page;

const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong = 0xC060_6610;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const _: () = assert!(size_of::<ScanArg>() == 96);

/// How written pages are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Scan,
    Pagemap,
    Everything,
}

/// 0: not probed yet; else the method's number plus one. Only ever goes down the list.
static METHOD: AtomicU8 = AtomicU8::new(0);

fn pagemap() -> Option<&'static File> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    FILE.get_or_init(|| File::open("/proc/self/pagemap").ok()).as_ref()
}

fn method() -> Method {
    match METHOD.load(Ordering::Relaxed) {
        0 if pagemap().is_some() => Method::Scan,
        1 => Method::Scan,
        2 => Method::Pagemap,
        _ => Method::Everything,
    }
}

/// Appends the written ranges of `[base + range.start, base + range.end)` to `out`, as offsets from `base`, ascending and disjoint.
pub(super) fn written(base: *const u8, range: Range<usize>, out: &mut Vec<Range<usize>>) {
    if range.is_empty() {
        return;
    }
    let before = out.len();
    let mut way = method();
    loop {
        let done = match way {
            Method::Scan => scan(base, range.clone(), out),
            Method::Pagemap => read_pagemap(base, range.clone(), out),
            Method::Everything => {
                out.push(range.clone());
                Ok(())
            }
        };
        match done {
            Ok(()) => {
                METHOD.store(way as u8 + 1, Ordering::Relaxed);
                return;
            }
            Err(error) => {
                out.truncate(before);
                way = if way == Method::Scan { Method::Pagemap } else { Method::Everything };
                tracing::warn!(%error, next = ?way, "written pages cannot be found this way");
            }
        }
    }
}

fn scan(base: *const u8, range: Range<usize>, out: &mut Vec<Range<usize>>) -> io::Result<()> {
    let file = pagemap().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
    let origin = base as u64;
    let end = origin + range.end as u64;
    let mut regions = [Region::default(); 256];
    let mut arg = ScanArg {
        size: size_of::<ScanArg>() as u64,
        start: origin + range.start as u64,
        end,
        vec: regions.as_mut_ptr() as u64,
        vec_len: regions.len() as u64,
        // A private copy is anonymous memory: present or swapped out, and not a page of the file.
        category_inverted: PAGE_IS_FILE,
        category_mask: PAGE_IS_FILE,
        category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        ..ScanArg::default()
    };
    loop {
        // SAFETY: the argument and its vector outlive the call, and the sizes given are theirs.
        let found = unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN as _, &mut arg) };
        let found = usize::try_from(found).map_err(|_| io::Error::last_os_error())?;
        for region in &regions[..found.min(regions.len())] {
            out.push((region.start - origin) as usize..(region.end - origin) as usize);
        }
        if arg.walk_end >= end {
            return Ok(());
        }
        if arg.walk_end <= arg.start {
            return Err(io::Error::other("the page map walk does not advance"));
        }
        arg.start = arg.walk_end;
    }
}

fn read_pagemap(base: *const u8, range: Range<usize>, out: &mut Vec<Range<usize>>) -> io::Result<()> {
    let file = pagemap().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
    let page = host_page();
    let mut entries = [0u8; 8 * 4096];
    let mut at = range.start;
    while at < range.end {
        let pages = ((range.end - at) / page).min(entries.len() / 8);
        let bytes = &mut entries[..pages * 8];
        file.read_exact_at(bytes, ((base as usize + at) / page * 8) as u64)?;
        for entry in bytes.chunks_exact(8) {
            let mut word = [0; 8];
            word.copy_from_slice(entry);
            let bits = u64::from_le_bytes(word);
            if bits >> 62 != 0 && bits >> 61 & 1 == 0 {
                match out.last_mut() {
                    Some(last) if last.end == at => last.end = at + page,
                    _ => out.push(at..at + page),
                }
            }
            at += page;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::image::Image;
    use super::*;

    #[test]
    fn both_ways_name_exactly_the_written_pages() {
        let image = Image::new(64 << 20).unwrap();
        image.set_len(64 << 20).unwrap();
        let page = host_page();
        let touched = [0, 1, 2, 100, 5_000, 16_383];
        for at in touched {
            // SAFETY: nobody else has the image.
            unsafe { image.private_mut(at * page, 1)[0] = 7 };
        }
        // Reading must not count as writing.
        // SAFETY: as above.
        assert_eq!(unsafe { image.private(200 * page, 1)[0] }, 0);
        for way in [scan, read_pagemap] {
            let mut out = Vec::new();
            if way(image.base(), 0..image.len(), &mut out).is_err() {
                continue; // Not offered by this kernel; the other way or the last resort is used.
            }
            let pages: Vec<_> = out.iter().flat_map(|r| r.start / page..r.end / page).collect();
            assert_eq!(pages, touched);
        }
        image.drop_private(0, image.len()).unwrap();
        let mut out = Vec::new();
        written(image.base(), 0..image.len(), &mut out);
        if method() != Method::Everything {
            assert_eq!(out, []);
        }
    }

    #[test]
    fn more_ranges_than_one_call_returns() {
        let image = Image::new(64 << 20).unwrap();
        image.set_len(64 << 20).unwrap();
        let page = host_page();
        for at in (0..2_000).map(|n| n * 2) {
            // SAFETY: nobody else has the image.
            unsafe { image.private_mut(at * page, 1)[0] = 1 };
        }
        let mut out = Vec::new();
        written(image.base(), 0..image.len(), &mut out);
        if method() != Method::Everything {
            assert_eq!(out.len(), 2_000);
        }
    }
}
