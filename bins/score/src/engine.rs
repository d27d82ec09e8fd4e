//! Where a job runs.

use std::sync::Arc;

use serve_registry::Registry;
use serve_score::job::RunOptions;
use serve_score::sql::{self, QueryOptions, QuerySummary};
use serve_score::{Job, Output, Progress, ScoreError, Source, Summary};

/// What runs jobs and queries that are planned.
pub trait Engine {
    /// The program that it stands in, as messages begin.
    fn program(&self) -> &'static str;

    /// Threads that a job is scored on, where that is known.
    fn threads(&self, options: &RunOptions) -> Option<usize>;

    /// Runs a plain job.
    ///
    /// # Errors
    /// As [`Job::run`].
    fn score(&self, job: Job, options: &RunOptions, progress: &Progress) -> Result<Summary, ScoreError>;

    /// Runs a query over the table `input`.
    ///
    /// # Errors
    /// As [`sql::query`].
    fn query(
        &self,
        registry: &Arc<Registry>,
        source: Source,
        text: &str,
        options: QueryOptions,
        output: &Output,
        progress: &Progress,
    ) -> Result<QuerySummary, ScoreError>;
}

/// This process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

impl Engine for Local {
    fn program(&self) -> &'static str {
        "serve-score"
    }

    fn threads(&self, options: &RunOptions) -> Option<usize> {
        Some(options.threads)
    }

    fn score(&self, job: Job, options: &RunOptions, progress: &Progress) -> Result<Summary, ScoreError> {
        job.run(options, progress)
    }

    fn query(
        &self,
        registry: &Arc<Registry>,
        source: Source,
        text: &str,
        options: QueryOptions,
        output: &Output,
        progress: &Progress,
    ) -> Result<QuerySummary, ScoreError> {
        sql::query(registry, source, text, options, output, progress)
    }
}
