//! Long bodies are read, and long answers written, where what takes long is done, so that no thread that serves connections is
//! held up by one, and nothing more is done once the deadline has passed or the client has gone.

use std::time::Duration;

use crate::context::{Context, Stage};
use crate::error::{Code, ServiceError};
use crate::service::Service;
use crate::workers::{LONGEST_ON_WORKER, Wanted};

/// Bodies of so many bytes are read where they arrive; it takes about a millisecond.
const LONGEST_READ_HERE: usize = 256 << 10;

impl Service {
    /// Whether a body of so many bytes is read on the threads for what takes long.
    #[must_use]
    pub fn reads_apart(&self, bytes: usize) -> bool {
        bytes > LONGEST_READ_HERE
    }

    /// Makes sense of a body of so many bytes: where it is, or, if it is long, on the threads for what takes long. `read` is
    /// handed what it reads, and hands it back.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn read<C: Send + 'static, T: Send + 'static>(
        &self,
        context: &Context,
        bytes: usize,
        call: C,
        read: impl Fn(&C) -> T + Send + Sync + 'static,
    ) -> Result<(C, T), ServiceError> {
        if !self.reads_apart(bytes) {
            let done = context.timed(Stage::Parse, || read(&call));
            return Ok((call, done));
        }
        let work = move |call: C, _: &Wanted| {
            let done = read(&call);
            Some((call, done))
        };
        let done = self.workers.run_as(Stage::Parse, context, vec![call], work).await?;
        let lost = || ServiceError::new(Code::Internal, "a body was read and not handed back");
        done.into_iter().next().ok_or_else(lost)
    }

    /// Writes the parts of an answer, in order: where it is, if all together is expected to take as short as `cost` says it
    /// does, else on the threads for what takes long.
    ///
    /// # Errors
    /// [`DeadlineExceeded`](crate::Code::DeadlineExceeded), and [`Internal`](crate::Code::Internal) where `write` panics.
    pub async fn write<T: Send + 'static, U: Send + 'static>(
        &self,
        context: &Context,
        cost: Duration,
        parts: Vec<T>,
        write: impl Fn(T) -> U + Send + Sync + 'static,
    ) -> Result<Vec<U>, ServiceError> {
        if cost <= LONGEST_ON_WORKER {
            return Ok(context.timed(Stage::Write, || parts.into_iter().map(write).collect()));
        }
        let write = move |part: T, _: &Wanted| Some(write(part));
        Box::pin(self.workers.run_as(Stage::Write, context, parts, write)).await
    }

    /// [`write`](Self::write), for an answer of one part, as soon as the stage before has ended.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_whole<T: Send + 'static, U: Send + 'static>(
        &self,
        context: &Context,
        cost: Duration,
        part: T,
        write: impl Fn(T) -> U + Send + Sync + 'static,
    ) -> Result<U, ServiceError> {
        if cost <= LONGEST_ON_WORKER {
            return Ok(context.timed_since(context.lately(), Stage::Write, || write(part)));
        }
        let written = Box::pin(self.write(context, cost, vec![part], write)).await?;
        let lost = || ServiceError::new(Code::Internal, "an answer was written and lost");
        written.into_iter().next().ok_or_else(lost)
    }
}
