//! Where a job runs.

use std::sync::Arc;

use serve_registry::Registry;
use serve_score::job::RunOptions;
use serve_score::sql::{self, QueryOptions, QuerySummary};
use serve_score::{Job, Output, Progress, ScoreError, Source, Summary};

/// What runs jobs and queries that are planned.
pub trait Engine {
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
