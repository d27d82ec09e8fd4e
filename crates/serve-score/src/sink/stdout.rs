//! Standard output, and whether whoever read it has gone: encoders tell errors as texts only.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
pub(super) struct Stdout {
    inner: io::Stdout,
    unread: Arc<AtomicBool>,
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes);
        self.noted(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.inner.flush();
        self.noted(flushed)
    }
}

impl Stdout {
    /// Standard output; `unread` is set when nobody reads it any more.
    pub(super) fn new(unread: Arc<AtomicBool>) -> Self {
        Self { inner: io::stdout(), unread }
    }

    fn noted<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            self.unread.store(true, Ordering::Relaxed);
        }
        done
    }
}
