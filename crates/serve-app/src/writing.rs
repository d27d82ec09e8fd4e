//! Long answers are written where what takes long is done, so that no thread that serves connections is held up by one, and
//! nothing more is written once its deadline has passed or its client has gone.

use std::time::Duration;

use crate::context::{Context, Stage};
use crate::error::{Code, ServiceError};
use crate::service::Service;
use crate::workers::{LONGEST_ON_WORKER, Wanted};

impl Service {
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

    /// [`write`](Self::write), for an answer of one part.
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
            return Ok(context.timed(Stage::Write, || write(part)));
        }
        let written = Box::pin(self.write(context, cost, vec![part], write)).await?;
        let lost = || ServiceError::new(Code::Internal, "an answer was written and lost");
        written.into_iter().next().ok_or_else(lost)
    }
}
