//! A query over files, written like the answers of a job. Sorts, joins and groups spill to disk where they would take more memory than
//! they may.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures_util::StreamExt;
use serve_registry::Registry;
use tokio::runtime::Builder;

use super::{register, register_input};
use crate::error::ScoreError;
use crate::job::Progress;
use crate::sink::Output;
use crate::source::Source;

/// The name that the input has in a query.
const TABLE: &str = "input";

/// What a query may use.
#[derive(Debug, Clone, Copy)]
pub struct QueryOptions {
    /// Threads.
    pub threads: usize,
    /// Bytes of what sorts, joins and groups hold.
    pub memory_bytes: Option<usize>,
}

/// What a query came to.
#[derive(Debug, Clone, PartialEq)]
pub struct QuerySummary {
    /// Rows that it answered with.
    pub rows: u64,
    /// Rows of a function that had no answer.
    pub unanswered: u64,
    /// The first reasons.
    pub reasons: Vec<String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Runs a query over a source, which is the table `input`, and writes what it answers.
///
/// # Errors
/// When the query does not fit, an input is broken, or the output cannot be written; nothing has appeared then.
pub fn query(
    registry: &Arc<Registry>,
    source: Source,
    sql: &str,
    options: QueryOptions,
    output: &Output,
    progress: &Progress,
) -> Result<QuerySummary, ScoreError> {
    let began = Instant::now();
    let runtime = Builder::new_multi_thread().worker_threads(options.threads.max(1)).enable_all().build();
    let runtime = runtime.map_err(ScoreError::software)?;
    let session = session(options).map_err(failed)?;
    let models = register(&session, registry).map_err(failed)?;
    let rows = runtime.block_on(async {
        register_input(&session, TABLE, source).await.map_err(failed)?;
        let frame = session.sql(sql).await.map_err(failed)?;
        let mut rows = frame.execute_stream().await.map_err(failed)?;
        let mut sink = output.open(&rows.schema())?;
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(failed)?;
            if progress.is_stopped() {
                return Err(ScoreError::Interrupted { rows: count });
            }
            sink.write(&batch)?;
            count += batch.num_rows() as u64;
            progress.add(batch.num_rows() as u64);
        }
        sink.finish()?;
        Ok(count)
    })?;
    let (unanswered, reasons) = models.unanswered();
    Ok(QuerySummary { rows, unanswered, reasons, elapsed: began.elapsed() })
}

fn session(options: QueryOptions) -> Result<SessionContext, DataFusionError> {
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(bytes) = options.memory_bytes {
        runtime = runtime.with_memory_limit(bytes, 1.0);
    }
    let config = SessionConfig::new().with_target_partitions(options.threads.max(1));
    Ok(SessionContext::new_with_config_rt(config, runtime.build_arc()?))
}

/// An error of ours that came through the query, or the query's own.
fn failed(error: DataFusionError) -> ScoreError {
    match error {
        DataFusionError::External(cause) => match cause.downcast::<ScoreError>() {
            Ok(ours) => *ours,
            Err(cause) => ScoreError::Query { problem: cause.to_string() },
        },
        other => ScoreError::Query { problem: other.strip_backtrace() },
    }
}
