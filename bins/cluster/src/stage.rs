//! How an executor runs a part of a query: as Ballista does, and what its functions left without an answer goes to the scheduler among
//! the part's measures, from which the client asks for it. A part that ran twice counts once there.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::client::BallistaClient;
use ballista_core::client_pool::{BallistaClientPool, PooledClient};
use ballista_core::error::BallistaError;
use ballista_core::extension::BallistaConfigGrpcEndpoint;
use ballista_core::serde::protobuf::operator_metric::Metric as Told;
use ballista_core::serde::protobuf::{
    JobStageMetrics, NamedCount, RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats,
    WindowStateReport,
};
use ballista_core::utils::GrpcClientConfig;
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{Count, Metric, MetricValue, MetricsSet};
use datafusion::prelude::SessionConfig;
use serve_score::sql;

/// The measure of rows without an answer, and what the names of those begin with that have a reason.
const UNANSWERED: &str = "serve-score.unanswered";
const REASON: &str = "serve-score.reason ";

/// What runs parts.
pub(crate) struct Stages(DefaultExecutionEngine);

impl Stages {
    pub(crate) fn new() -> Self {
        Self(DefaultExecutionEngine::with_client_pool(Arc::new(Clients::default())))
    }
}

impl ExecutionEngine for Stages {
    fn create_query_stage_exec(
        &self,
        job: JobId,
        stage: usize,
        task: usize,
        partitions: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        let own = Arc::clone(&plan);
        let inner = self.0.create_query_stage_exec(job, stage, task, partitions, plan, work_dir, config)?;
        Ok(Arc::new(Stage { inner, plan: own }))
    }
}

/// A part.
#[derive(Debug)]
struct Stage {
    inner: Arc<dyn QueryStageExecutor>,
    plan: Arc<dyn ExecutionPlan>,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl QueryStageExecutor for Stage {
    async fn execute_query_stage(
        &self,
        task: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        self.inner.execute_query_stage(task, context).await.map_err(in_words)
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        let mut measures = self.inner.collect_plan_metrics();
        if let (Some(first), Ok((rows, reasons))) = (measures.first_mut(), sql::take_unanswered(&self.plan)) {
            let mut count = |name: String, value| {
                let count = Count::new();
                count.add(value);
                let value = MetricValue::Count { name: name.into(), count };
                first.push(Arc::new(Metric::new(value, Some(0))));
            };
            if rows > 0 {
                count(UNANSWERED.to_owned(), usize::try_from(rows).unwrap_or(usize::MAX));
            }
            reasons.into_iter().for_each(|reason| count(format!("{REASON}{reason}"), 1));
        }
        measures
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.inner.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.inner.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.inner.collect_column_stats()
    }
}

/// What an error of the engine's says, which Ballista has wrapped and would show as it looks inside.
fn in_words(error: DataFusionError) -> DataFusionError {
    let DataFusionError::External(inner) = error.find_root() else { return sql::for_others(error) };
    match inner.downcast_ref() {
        Some(BallistaError::ArrowError(cause))
            if !matches!(**cause, ArrowError::IoError(..) | ArrowError::ExternalError(_)) =>
        {
            sql::for_others(DataFusionError::Plan(format!("Arrow error: {cause}")))
        }
        _ => error,
    }
}

/// How many rows of a job had no answer, by the measures of its parts, and the first reasons.
pub(crate) fn unanswered(stages: Vec<JobStageMetrics>) -> (u64, Vec<String>) {
    let (mut rows, mut reasons) = (0, Vec::new());
    let operators = stages.into_iter().flat_map(|stage| stage.operators);
    for measure in operators.flat_map(|operator| operator.metrics) {
        let Some(Told::Count(NamedCount { name, value })) = measure.metric else { continue };
        if name == UNANSWERED {
            rows += value;
        }
        sql::add_reasons(&mut reasons, name.strip_prefix(REASON).map(str::to_owned));
    }
    (rows, reasons)
}

/// An executor and how it is spoken to.
type Peer = (String, u16, GrpcClientConfig);

/// Connections to other executors that nobody uses at the moment, as Ballista's own pool, which it makes only for its own engine. There
/// are no more of them for an executor than were in use at a time.
#[derive(Default)]
struct Clients(Arc<Mutex<HashMap<Peer, Vec<BallistaClient>>>>);

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

#[async_trait]
impl BallistaClientPool for Clients {
    async fn acquire(
        &self,
        host: &str,
        port: u16,
        config: &GrpcClientConfig,
        endpoint: Option<Arc<BallistaConfigGrpcEndpoint>>,
    ) -> ballista_core::error::Result<PooledClient> {
        let peer: Peer = (host.to_owned(), port, config.clone());
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&peer).and_then(Vec::pop);
        let client = match idle {
            Some(client) => client,
            None => {
                BallistaClient::try_new(
                    host,
                    port,
                    config.max_message_size,
                    config.use_tls,
                    endpoint,
                    config.io_retries_times,
                    config.io_retry_wait_time_ms,
                    config.initial_connection_window_size,
                    config.initial_stream_window_size,
                )
                .await?
            }
        };
        let clients = Arc::clone(&self.0);
        let back = move |client| {
            clients.lock().unwrap_or_else(PoisonError::into_inner).entry(peer).or_default().push(client);
        };
        Ok(PooledClient::new(client, Box::new(back)))
    }

    async fn evict_idle(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
