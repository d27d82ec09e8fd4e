//! Writing beside the work: lines go into memory, and a thread of its own writes them. Memory is bounded; what finds no
//! room is dropped and counted, so that a standard error that nobody reads stalls nothing.
//!
//! Under load the thread writes many lines at once: after each write it rests a little, and is woken only when it has
//! nothing to do.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How long the thread rests between two writes.
const REST: Duration = Duration::from_millis(5);

/// How long an end of the program waits for a reader that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts of what was logged.
#[derive(Debug, Default)]
pub struct Written {
    lines: AtomicU64,
    dropped: AtomicU64,
}

impl Written {
    /// Lines that were taken.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Lines for which there was no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Takes lines.
#[derive(Debug, Clone)]
pub(crate) struct Writer(Arc<Shared>);

/// Writes what is left when it is dropped.
#[derive(Debug)]
pub struct Flushed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The lock is held to append a line or to take all of them, never while anything is written.
    pending: Mutex<Pending>,
    came: Condvar,
    done: Condvar,
    limit: usize,
    written: Arc<Written>,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// The thread waits for a line.
    idle: bool,
    ending: bool,
    ended: bool,
}

impl Writer {
    /// A thread that writes to `out`, and what takes its lines.
    pub(crate) fn start(out: impl Write + Send + 'static, limit: usize) -> (Self, Arc<Written>, Flushed) {
        let written = Arc::new(Written::default());
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            came: Condvar::new(),
            done: Condvar::new(),
            limit,
            written: Arc::clone(&written),
        });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || theirs.write(out));
        if thread.is_err() {
            // Without a thread nothing is written, and nothing waits for it.
            shared.lock().ended = true;
        }
        (Self(Arc::clone(&shared)), written, Flushed(shared))
    }

    pub(super) fn line(&self, line: &[u8]) {
        let shared = &*self.0;
        let mut pending = shared.lock();
        if pending.bytes.len() + line.len() > shared.limit || pending.ended {
            drop(pending);
            shared.written.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        pending.bytes.extend_from_slice(line);
        let wake = std::mem::take(&mut pending.idle);
        drop(pending);
        shared.written.lines.fetch_add(1, Ordering::Relaxed);
        if wake {
            shared.came.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut out: impl Write) {
        let mut taken = Vec::new();
        let mut told = 0;
        while self.take(&mut taken) {
            // A standard error that is closed is no reason to stop serving.
            drop(out.write_all(&taken).and_then(|()| out.flush()));
            taken.clear();
            let dropped = self.written.dropped();
            if dropped > told {
                drop(writeln!(
                    out,
                    "{} lines of the log were dropped: they came faster than they were read",
                    dropped - told
                ));
                told = dropped;
            }
            thread::sleep(REST);
        }
        self.lock().ended = true;
        self.done.notify_all();
    }

    /// Waits for lines and takes all of them; false once there are none and none will come.
    fn take(&self, taken: &mut Vec<u8>) -> bool {
        let mut pending = self.lock();
        while pending.bytes.is_empty() {
            if pending.ending {
                return false;
            }
            pending.idle = true;
            pending = self.came.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        pending.idle = false;
        std::mem::swap(&mut pending.bytes, taken);
        true
    }
}

impl Drop for Flushed {
    fn drop(&mut self) {
        let mut pending = self.0.lock();
        pending.ending = true;
        self.0.came.notify_one();
        let ended = self.0.done.wait_timeout_while(pending, PATIENCE, |pending| !pending.ended);
        drop(ended);
    }
}

/// One event's line, which the formatter hands over as a whole.
pub(crate) struct Line<'a>(&'a Writer);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Writes to a test, which says when.
    struct Gate {
        open: mpsc::Receiver<()>,
        out: mpsc::Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Closed is open too.
            let _ = self.open.recv();
            drop(self.out.send(String::from_utf8_lossy(bytes).into_owned()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_for_which_there_is_no_room_are_dropped_and_counted() {
        let ((go, open), (out, read)) = (mpsc::channel(), mpsc::channel());
        let (writer, written, flushed) = Writer::start(Gate { open, out }, 10);
        writer.line(b"first\n");
        // The first is being written once the memory is empty; the next two fill it.
        while !writer.0.lock().bytes.is_empty() {
            thread::yield_now();
        }
        for line in ["aaaa\n", "bbbb\n", "cccc\n"] {
            writer.line(line.as_bytes());
        }
        assert_eq!((written.lines(), written.dropped()), (3, 1));
        drop(go);
        drop(flushed);
        let all: String = read.try_iter().collect();
        assert!(all.starts_with("first\n") && all.contains("aaaa\nbbbb\n"), "{all}");
        assert!(all.contains("1 lines of the log were dropped") && !all.contains("cccc"), "{all}");
    }
}
