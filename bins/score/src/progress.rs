//! How far the job is, on standard error: a bar where that is a terminal, else a line now and then.

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serve_score::{Progress, Source};

/// Between two lines, where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
const BETWEEN_TICKS: Duration = Duration::from_millis(200);

/// By what the share is measured that is done.
#[derive(Debug, Clone, Copy)]
enum Whole {
    Rows(u64),
    Bytes(u64),
    Unknown,
}

/// What shows the progress of a job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Display {
    whole: Whole,
    quiet: bool,
    /// What messages begin with.
    program: &'static str,
}

/// Ends the display when it is dropped.
pub(crate) struct Shown<'scope> {
    end: Option<Sender<()>>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
}

impl Display {
    pub(crate) fn new(source: &Source, quiet: bool, program: &'static str) -> Self {
        let whole = match (source.rows(), source.bytes()) {
            (Some(rows), _) => Whole::Rows(rows),
            (None, Some(bytes)) => Whole::Bytes(bytes),
            (None, None) => Whole::Unknown,
        };
        Self { whole, quiet, program }
    }

    /// Where nobody knows how much there is.
    pub(crate) fn unknown(quiet: bool, program: &'static str) -> Self {
        Self { whole: Whole::Unknown, quiet, program }
    }

    pub(crate) fn show<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        progress: &'scope Progress,
    ) -> Shown<'scope> {
        if self.quiet {
            return Shown { end: None, thread: None };
        }
        let (end, ended) = channel();
        let thread = scope.spawn(move || {
            if std::io::stderr().is_terminal() {
                self.bar(progress, &ended);
            } else {
                self.lines(progress, &ended);
            }
        });
        Shown { end: Some(end), thread: Some(thread) }
    }

    fn bar(self, progress: &Progress, ended: &Receiver<()>) {
        let template = match self.whole {
            Whole::Unknown => "{spinner} {msg} {elapsed}",
            _ => "{wide_bar} {percent}% {msg}",
        };
        let bar = ProgressBar::new(1000);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let (began, program) = (Instant::now(), self.program);
        while ended.recv_timeout(BETWEEN_TICKS) == Err(RecvTimeoutError::Timeout) {
            progress.notices().iter().for_each(|notice| bar.println(format!("{program}: {notice}")));
            let left = self.share(progress).filter(|share| *share > 0.0);
            let left = left.map(|share| format!(", {:.0} s left", Self::left(progress, began, share)));
            bar.set_message(self.counts(progress, began) + &left.unwrap_or_default());
            // Last, since it draws.
            bar.set_position((self.share(progress).unwrap_or(0.0) * 1000.0) as u64);
            bar.tick();
        }
        bar.finish_and_clear();
    }

    fn lines(self, progress: &Progress, ended: &Receiver<()>) {
        let (began, mut told, program) = (Instant::now(), Instant::now(), self.program);
        while ended.recv_timeout(BETWEEN_TICKS) == Err(RecvTimeoutError::Timeout) {
            progress.notices().iter().for_each(|notice| eprintln!("{program}: {notice}"));
            if told.elapsed() < BETWEEN_LINES {
                continue;
            }
            told = Instant::now();
            let share = self.share(progress);
            let left = share.filter(|share| *share > 0.0).map(|share| {
                let seconds = Self::left(progress, began, share);
                format!(", {:.1} %, {seconds:.0} s left", share * 100.0)
            });
            eprintln!("{program}: {}{}", self.counts(progress, began), left.unwrap_or_default());
        }
    }

    /// Seconds that are left, by what was done since this run began.
    fn left(progress: &Progress, began: Instant, share: f64) -> f64 {
        let rows = progress.rows();
        let own = rows.saturating_sub(progress.earlier_rows()) as f64 / rows.max(1) as f64;
        began.elapsed().as_secs_f64() * (1.0 - share) / (share * own).max(1e-9)
    }

    /// The share that is done, 0 to 1.
    fn share(self, progress: &Progress) -> Option<f64> {
        let (done, whole) = match self.whole {
            Whole::Rows(rows) => (progress.rows(), rows),
            Whole::Bytes(bytes) => (progress.bytes(), bytes),
            Whole::Unknown => return None,
        };
        Some(if whole == 0 { 1.0 } else { (done as f64 / whole as f64).min(1.0) })
    }

    fn counts(self, progress: &Progress, began: Instant) -> String {
        let (rows, seconds) = (progress.rows(), began.elapsed().as_secs_f64());
        if rows == 0 && matches!(self.whole, Whole::Unknown) {
            // A query that sorts or groups answers at its end.
            return format!("no rows yet, {seconds:.0} s");
        }
        let rate = (rows - progress.earlier_rows().min(rows)) as f64 / seconds.max(1e-9);
        let rejected = match progress.rejected() {
            0 => String::new(),
            rejected => format!(", {rejected} rejected"),
        };
        format!("{rows} rows, {rate:.0} rows/s{rejected}")
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // What shows progress cannot fail the job.
            let _ended = thread.join();
        }
    }
}
