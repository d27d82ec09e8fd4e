//! The line of jobs that the threads take parts from, one of each job in turn.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::striped::Striped;

pub(super) type Part = Box<dyn FnOnce() + Send>;

pub(super) struct Job {
    pub(super) number: u64,
    pub(super) parts: VecDeque<Part>,
}

#[derive(Default)]
pub(super) struct Line {
    pub(super) jobs: VecDeque<Job>,
    next: u64,
    pub(super) closed: bool,
}

#[derive(Default)]
pub(super) struct Shared {
    line: Mutex<Line>,
    pub(super) more: Condvar,
    pub(super) rows: Striped<AtomicU64>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Line> {
        // Parts run without the lock, and nothing else panics.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job for so many threads goes to the end of the line; its number.
    pub(super) fn line_up(&self, parts: VecDeque<Part>, threads: usize) -> u64 {
        let idle = parts.len().min(threads);
        let mut line = self.lock();
        let number = line.next;
        line.next += 1;
        // What nobody will do is dropped, so that who waits for it learns of it.
        if !line.closed && !parts.is_empty() {
            line.jobs.push_back(Job { number, parts });
        }
        drop(line);
        (0..idle).for_each(|_| self.more.notify_one());
        number
    }

    pub(super) fn work(&self) {
        while let Some(part) = self.next() {
            // The panic hook has told of it, and whoever waits sees that the part has no result.
            drop(catch_unwind(AssertUnwindSafe(part)));
        }
    }

    /// The next part, one of each job in turn.
    fn next(&self) -> Option<Part> {
        let mut line = self.lock();
        loop {
            if line.closed {
                return None;
            }
            let Some(mut job) = line.jobs.pop_front() else {
                line = self.more.wait(line).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let part = job.parts.pop_front();
            if !job.parts.is_empty() {
                line.jobs.push_back(job);
            }
            if part.is_some() {
                return part;
            }
        }
    }
}
