//! A stream that hands out its bytes in pieces, as a network does, and then ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::AsyncRead;

/// At most `step` bytes per read.
pub struct Pieces<'a> {
    pub bytes: &'a [u8],
    pub step: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let found = self.bytes.len().min(into.len()).min(self.step);
        let (now, later) = self.bytes.split_at(found);
        into[..found].copy_from_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(found))
    }
}
