//! A file's bytes from its beginning, counted as they lie and decompressed where their beginning says that they are compressed.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::error::ScoreError;
use crate::location::InputFile;

/// The decompressed bytes of a pipe, of which a part was read to know its columns.
pub(crate) struct Begun {
    pub(crate) head: Vec<u8>,
    pub(crate) rest: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("head", &self.head.len()).finish_non_exhaustive()
    }
}

struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Opens a file.
pub(super) fn open(file: &InputFile, count: &Arc<AtomicU64>) -> Result<Box<dyn Read + Send>, ScoreError> {
    let unread = |error: io::Error| ScoreError::NoInput { location: file.name(), source: error.into() };
    let mut raw = Counted { inner: file.reader()?, count: Arc::clone(count) };
    let mut magic = Vec::with_capacity(4);
    (&mut raw).take(4).read_to_end(&mut magic).map_err(unread)?;
    let gzip = magic.starts_with(&[0x1f, 0x8b]);
    let zstd = magic == [0x28, 0xb5, 0x2f, 0xfd];
    let whole = io::Cursor::new(magic).chain(raw);
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, whole)))
    } else if zstd {
        Box::new(zstd::stream::read::Decoder::new(whole).map_err(unread)?)
    } else {
        Box::new(whole)
    })
}
