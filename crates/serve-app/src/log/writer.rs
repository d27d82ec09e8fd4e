//! Writing beside the work: lines go into memory, and a thread of its own writes them. Memory is bounded; what finds no
//! room is dropped and counted, so that a standard error that nobody reads stalls nothing.
//!
//! Under load the thread writes many lines at once: after each write it rests a little, and is woken only when it has
//! nothing to do. Threads have memory of their own to put lines into ([`crate::striped`]); what came from several of them until
//! then is put in the order of time again, for which every line begins with it.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::striped::{self, Striped};

/// How long the thread rests between two writes.
const REST: Duration = Duration::from_millis(5);

/// Bytes that are written at once.
const PIECE: usize = 64 << 10;

/// How long an end of the program waits for a reader that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts of what was logged.
#[derive(Debug, Default)]
pub struct Written {
    lines: Striped<AtomicU64>,
    dropped: AtomicU64,
}

impl Written {
    /// Lines that were taken.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines.sum(|lines| lines)
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
    /// Whole lines; all copies are made, so that none is overlooked. A lock is held to append one or to take all of them, never
    /// while anything is written.
    pending: Striped<Mutex<Vec<u8>>>,
    /// Bytes that each thread's may have; none, where nobody writes them.
    limit: AtomicUsize,
    /// Set while the thread waits for a line, before it looks for one a last time.
    idle: AtomicBool,
    state: Mutex<State>,
    came: Condvar,
    done: Condvar,
    written: Arc<Written>,
}

#[derive(Debug, Default)]
struct State {
    ending: bool,
    ended: bool,
}

impl Writer {
    /// A thread that writes to `out`, and what takes its lines.
    pub(crate) fn start(out: impl Write + Send + 'static, limit: usize) -> (Self, Arc<Written>, Flushed) {
        let written = Arc::new(Written::default());
        let shared = Arc::new(Shared {
            pending: Striped::default().filled(),
            limit: AtomicUsize::new(limit / striped::copies()),
            idle: AtomicBool::new(false),
            state: Mutex::default(),
            came: Condvar::new(),
            done: Condvar::new(),
            written: Arc::clone(&written),
        });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || theirs.write(out));
        if thread.is_err() {
            // Without a thread nothing is written, and nothing waits for it.
            shared.end();
        }
        (Self(Arc::clone(&shared)), written, Flushed(shared))
    }

    pub(super) fn line(&self, line: &[u8]) {
        let shared = &*self.0;
        let mine = shared.pending.mine();
        let mut pending = hold(&mine);
        if pending.len() + line.len() > shared.limit.load(Ordering::Relaxed) {
            drop(pending);
            shared.written.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        pending.extend_from_slice(line);
        drop(pending);
        shared.written.lines.mine().add(|lines| lines, 1);
        // Whoever looks for lines says before that it will wait: it has seen this one, or is seen to wait here.
        if shared.idle.load(Ordering::SeqCst) && shared.idle.swap(false, Ordering::SeqCst) {
            drop(shared.lock());
            shared.came.notify_one();
        }
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        hold(&self.state)
    }

    fn end(&self) {
        self.limit.store(0, Ordering::Relaxed);
        self.lock().ended = true;
        self.done.notify_all();
    }

    fn write(&self, out: impl Write) {
        let mut out = BufWriter::with_capacity(PIECE, out);
        let mut taken: Vec<Vec<u8>> = Vec::new();
        let mut told = 0;
        while self.wait(&mut taken) {
            // A standard error that is closed is no reason to stop serving.
            drop(in_order(&taken, &mut out).and_then(|()| out.flush()));
            taken.iter_mut().for_each(Vec::clear);
            let dropped = self.written.dropped();
            if dropped > told {
                drop(writeln!(
                    out,
                    "{} lines of the log were dropped: they came faster than they were read",
                    dropped - told
                ));
                drop(out.flush());
                told = dropped;
            }
            thread::sleep(REST);
        }
        self.end();
    }

    /// Waits for lines and takes all of them; false once there are none and none will come.
    fn wait(&self, taken: &mut Vec<Vec<u8>>) -> bool {
        loop {
            if self.take(taken) {
                return true;
            }
            let mut state = self.lock();
            self.idle.store(true, Ordering::SeqCst);
            if self.take(taken) {
                self.idle.store(false, Ordering::SeqCst);
                return true;
            }
            if state.ending {
                return false;
            }
            while self.idle.load(Ordering::SeqCst) && !state.ending {
                state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Takes what there is, and says whether that is anything. What is taken is empty before.
    fn take(&self, taken: &mut Vec<Vec<u8>>) -> bool {
        taken.resize_with(striped::copies(), Vec::new);
        for (pending, taken) in self.pending.all().zip(&mut *taken) {
            std::mem::swap(&mut *hold(pending), taken);
        }
        taken.iter().any(|taken| !taken.is_empty())
    }
}

/// Writes the lines of several threads, each of which are in order, in the order of their times.
fn in_order(taken: &[Vec<u8>], out: &mut impl Write) -> io::Result<()> {
    let mut rest: Vec<&[u8]> = taken.iter().map(Vec::as_slice).filter(|one| !one.is_empty()).collect();
    while rest.len() > 1 {
        let Some(at) = (0..rest.len()).min_by_key(|at| time(rest[*at])) else { break };
        let (lines, others) = rest[at].split_at(of_one_time(rest[at]));
        out.write_all(lines)?;
        rest[at] = others;
        if others.is_empty() {
            rest.remove(at);
        }
    }
    rest.first().map_or(Ok(()), |rest| out.write_all(rest))
}

/// Bytes of the lines that begin with the time of the first.
fn of_one_time(lines: &[u8]) -> usize {
    let mut end = 0;
    while end < lines.len() && time(&lines[end..]) == time(lines) {
        end = memchr::memchr(b'\n', &lines[end..]).map_or(lines.len(), |more| end + more + 1);
    }
    end
}

/// The time that a line begins with, in JSON behind its name.
fn time(line: &[u8]) -> &[u8] {
    let end =
        "2025-10-04T13:50:00.000Z".len() + if line.starts_with(b"{") { "{\"timestamp\":\"".len() } else { 0 };
    line.get(..end).unwrap_or(line)
}

impl Drop for Flushed {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ending = true;
        self.0.came.notify_one();
        let ended = self.0.done.wait_timeout_while(state, PATIENCE, |state| !state.ended);
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
        let (writer, written, flushed) = Writer::start(Gate { open, out }, 10 * striped::copies());
        writer.line(b"first\n");
        // The first is being written once the memory is empty; the next two fill it.
        while !hold(&writer.0.pending.mine()).is_empty() {
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

    #[test]
    fn lines_of_several_threads_come_in_the_order_of_time() {
        let at = |second: u8, rest: &str| format!("2025-10-04T13:50:0{second}.000Z {rest}\n");
        let one = [at(1, "b"), at(2, "a"), at(5, "e")].concat();
        let other = [at(1, "a"), at(3, "c"), at(4, "d")].concat();
        let mut lines = Vec::new();
        in_order(&[one.clone().into_bytes(), Vec::new(), other.clone().into_bytes()], &mut lines)
            .expect("memory takes it");
        let expected = [at(1, "b"), at(1, "a"), at(2, "a"), at(3, "c"), at(4, "d"), at(5, "e")].concat();
        assert_eq!(String::from_utf8_lossy(&lines), expected);
        let json = |text: &str| {
            let line =
                |line: &str| format!("{{\"timestamp\":\"{}\"}}\n", line.replace(' ', "\",\"level\":\""));
            text.lines().map(line).collect::<Vec<_>>().concat()
        };
        lines.clear();
        in_order(&[json(&one).into_bytes(), json(&other).into_bytes()], &mut lines).expect("memory takes it");
        assert_eq!(String::from_utf8_lossy(&lines), json(&expected));
        // What is no line of ours is written all the same.
        lines.clear();
        in_order(&[b"x\n".to_vec(), b"a".to_vec()], &mut lines).expect("memory takes it");
        assert_eq!(lines, b"ax\n");
    }

    #[test]
    fn lines_of_several_threads_are_written_as_they_come() {
        let ((go, open), (out, read)) = (mpsc::channel(), mpsc::channel());
        drop(go);
        let (writer, written, flushed) = Writer::start(Gate { open, out }, 16 << 20);
        // Each line but the first finds a thread that writes, rests or waits; all are written without an end that asks for them.
        let mut lines = 0;
        for number in 0..50 {
            striped::by_two_threads(|| writer.line(format!("{number}\n").as_bytes()));
            while lines < 2 * (number + 1) {
                let some = read.recv_timeout(Duration::from_secs(10)).expect("is written");
                lines += some.lines().count();
            }
        }
        assert_eq!((lines, written.lines(), written.dropped()), (100, 100, 0));
        drop(flushed);
        writer.line(b"too late\n");
        assert_eq!((written.lines(), written.dropped()), (100, 1));
    }
}
