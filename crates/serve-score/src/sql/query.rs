//! A query over files, written like the answers of a job. Sorts, joins and groups spill to disk where they would take more memory than
//! they may.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures_util::StreamExt;
use serve_registry::Registry;
use tokio::runtime::Builder;

use super::{Models, failure, register, register_input};
use crate::error::ScoreError;
use crate::format::Format;
use crate::job::Progress;
use crate::sink::Output;
use crate::source::Source;

/// The name that the input has in a query.
pub const TABLE: &str = "input";
/// How often it is looked whether the query is to end.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// Below so much memory batches have fewer rows.
const SMALL_MEMORY: usize = 256 << 20;
const SMALL_BATCH: usize = 1024;
/// How long an ended query may take to let go of its files.
const LETTING_GO: Duration = Duration::from_secs(5);
/// What a message about memory names.
const BIGGEST: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");

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
    /// Rows of a function that had no answer, where it ran in this process.
    pub unanswered: Option<u64>,
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
    let (rows, models) = with_session(registry, source, options, async |session| {
        let (plan, context) = planned(session, sql).await?;
        write(execute_stream(plan, context).map_err(failure)?, output, progress).await
    })?;
    let (unanswered, reasons) = models.unanswered();
    Ok(QuerySummary { rows, unanswered: Some(unanswered), reasons, elapsed: began.elapsed() })
}

/// The first rows of what a query answers; nothing is written.
///
/// # Errors
/// As [`query`].
pub fn preview(
    registry: &Arc<Registry>,
    source: Source,
    sql: &str,
    options: QueryOptions,
    rows: usize,
) -> Result<(SchemaRef, Vec<RecordBatch>), ScoreError> {
    let previewed = with_session(registry, source, options, async |session| {
        let frame = frame(session, sql).await?.limit(0, Some(rows)).map_err(failure)?;
        let schema = Arc::clone(frame.schema().inner());
        Ok((schema, frame.collect().await.map_err(failure)?))
    });
    previewed.map(|(previewed, _)| previewed)
}

/// Does something in a session that has the input and the models.
fn with_session<T>(
    registry: &Arc<Registry>,
    source: Source,
    options: QueryOptions,
    work: impl AsyncFnOnce(&SessionContext) -> Result<T, ScoreError>,
) -> Result<(T, Arc<Models>), ScoreError> {
    let runtime = Builder::new_multi_thread().worker_threads(options.threads.max(1)).enable_all().build();
    let runtime = runtime.map_err(ScoreError::software)?;
    let session = session(options).map_err(failure)?;
    let models = register(&session, registry).map_err(failure)?;
    let done = runtime.block_on(async {
        register_input(&session, TABLE, source).await.map_err(failure)?;
        work(&session).await
    });
    drop(session);
    // What still reads from a pipe would be waited for until something comes through it.
    runtime.shutdown_timeout(LETTING_GO);
    done.map(|done| (done, models))
}

/// A query that is planned; one that would change something is refused.
///
/// # Errors
/// When it does not fit the tables or the models.
pub async fn planned(
    session: &SessionContext,
    sql: &str,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>), ScoreError> {
    let frame = frame(session, sql).await?;
    let context = Arc::new(frame.task_ctx());
    let plan = frame.create_physical_plan().await.map_err(failure)?;
    Ok((plan, context))
}

async fn frame(session: &SessionContext, sql: &str) -> Result<DataFrame, ScoreError> {
    let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    session.sql_with_options(sql, reading).await.map_err(failure)
}

/// Writes what a query answers.
///
/// # Errors
/// As [`query`].
pub async fn write(
    mut rows: SendableRecordBatchStream,
    output: &Output,
    progress: &Progress,
) -> Result<u64, ScoreError> {
    check_columns(&rows.schema(), output)?;
    let mut sink = output.open(&rows.schema())?;
    let (mut count, mut looks) = (0, tokio::time::interval(BETWEEN_LOOKS));
    loop {
        let batch = tokio::select! {
            batch = rows.next() => batch,
            _ = looks.tick() => {
                if progress.is_stopped() {
                    return Err(ScoreError::Interrupted { rows: count });
                }
                continue;
            }
        };
        let Some(batch) = batch else { break };
        let batch = batch.map_err(failure)?;
        sink.write(&batch)?;
        count += batch.num_rows() as u64;
        progress.add(batch.num_rows() as u64);
    }
    sink.finish()?;
    Ok(count)
}

/// Refuses columns that the output cannot have.
fn check_columns(schema: &Schema, output: &Output) -> Result<(), ScoreError> {
    let mut seen = HashSet::new();
    for field in schema.fields() {
        let name = field.name();
        if !seen.insert(name) {
            let problem = format!("the query answers two columns {name:?}; rename one with AS");
            return Err(ScoreError::plan(problem));
        }
        if output.format == Format::Csv && field.data_type().is_nested() {
            return Err(ScoreError::plan(format!(
                "the column {name:?} has several values, which a CSV cannot hold: pick one, as in {name}['…'], or write \
                 parquet or json"
            )));
        }
    }
    Ok(())
}

fn session(options: QueryOptions) -> Result<SessionContext, DataFusionError> {
    let threads = options.threads.max(1);
    let mut config = SessionConfig::new().with_target_partitions(threads);
    // Texts are written as the types that all readers know.
    config.options_mut().execution.parquet.schema_force_view_types = false;
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(bytes) = options.memory_bytes {
        // Each sort gets its share. A join of sorted sides can go to disk, a table of hashes cannot; it is planned for two or more.
        let pool = TrackConsumersPool::new(FairSpillPool::new(bytes), BIGGEST);
        runtime = runtime.with_memory_pool(Arc::new(pool));
        config = config.with_target_partitions(threads.max(2));
        if bytes < SMALL_MEMORY {
            // What is merged from disk is held by batches, one for each run.
            config = config.with_batch_size(SMALL_BATCH);
        }
        config.options_mut().optimizer.prefer_hash_join = false;
        let reserved = &mut config.options_mut().execution.sort_spill_reservation_bytes;
        *reserved = (*reserved).min(bytes / (8 * threads.max(2)));
    }
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime.build_arc()?)
        .with_default_features()
        .with_physical_optimizer_rules(physical_rules());
    Ok(SessionContext::new_with_state(state.build()))
}

/// The engine's physical rules but one: the one that computes what is selected below a filter where that has fewer columns. For
/// columns that is cheaper; our functions would score the rows that the filter drops, and count those of them without an answer.
/// What is read of a file is narrowed by a rule before these.
#[must_use]
pub fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let rules = PhysicalOptimizer::new().rules;
    rules.into_iter().filter(|rule| rule.name() != ProjectionPushdown::new().name()).collect()
}
