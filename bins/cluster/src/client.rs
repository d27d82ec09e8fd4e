//! A job or a query in a cluster. The client plans it, pins the model, watches that somebody works, and writes or publishes the output; so
//! nothing is under the output's name before all of it is there.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista::extension::SessionContextExt;
use ballista_core::execution_plans::DistributedQueryExec;
use ballista_core::serde::protobuf::CancelJobParams;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion_proto::protobuf::LogicalPlanNode;
use futures_util::StreamExt;
use serve_app::Exit;
use serve_registry::Registry;
use serve_score::job::RunOptions;
use serve_score::part::FinishedPart;
use serve_score::spread::Spread;
use serve_score::sql::{self, QueryOptions, QuerySummary};
use serve_score::{Fault, Job, Models, Output, Progress, ScoreError, Source, Summary, register};
use serve_score_bin::Engine;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::args::{Address, ScoreArgs};
use crate::{session, watch};

/// How often it is looked whether the job is to end.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// How long the scheduler may take to take a cancellation.
const CANCEL: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &ScoreArgs) -> Result<(), Exit> {
    let patience = Duration::from_secs(args.patience);
    serve_score_bin::run(&args.score, &Cluster { scheduler: args.cluster.clone(), patience })
}

/// A cluster, by its scheduler.
struct Cluster {
    scheduler: Address,
    patience: Duration,
}

impl Cluster {
    async fn session(&self) -> Result<SessionContext, ScoreError> {
        watch::ready(&self.scheduler, self.patience).await?;
        // Functions are registered behind this: those of before are thrown away.
        let models = Models::new(None);
        let state = SessionStateBuilder::new().with_default_features().with_config(session::config(&models));
        let runtime = session::runtime(RuntimeEnvBuilder::new()).map_err(sql::failure)?;
        let state = state.with_runtime_env(runtime).build();
        let url = format!("df://{}", self.scheduler);
        SessionContext::remote_with_state(&url, state).await.map_err(sql::failure)
    }

    /// Does what is to be done with a planned job, which is cancelled when that fails or nobody works any more.
    async fn watched<T>(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        work: impl Future<Output = Result<T, ScoreError>>,
    ) -> Result<T, ScoreError> {
        let done = tokio::select! {
            done = work => done,
            lost = watch::lost(&self.scheduler, self.patience) => Err(lost),
        };
        if done.is_err() {
            // Whoever cannot be reached runs nothing, or ends it when it looks for its client's scheduler.
            let _cancelled = timeout(CANCEL, self.cancel(plan)).await;
        }
        done.map_err(told)
    }

    /// Has the shares of a plain job scored.
    async fn shares(
        &self,
        spread: Spread,
        output: &SchemaRef,
        progress: &Progress,
    ) -> Result<Vec<FinishedPart>, ScoreError> {
        if spread.shares() == 0 {
            return Ok(Vec::new());
        }
        let session = self.session().await?;
        let table = sql::shares_table(spread, output, &Models::new(None));
        let frame = session.read_table(table).map_err(sql::failure)?;
        let context = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.map_err(sql::failure)?;
        let rows = execute_stream(Arc::clone(&plan), context).map_err(sql::failure)?;
        let scored = async {
            tokio::select! {
                parts = parts(rows) => parts,
                () = stopped(progress) => Err(ScoreError::Interrupted { rows: 0 }),
            }
        };
        self.watched(&plan, scored).await
    }

    async fn cancel(&self, plan: &Arc<dyn ExecutionPlan>) -> Option<()> {
        let job = plan.downcast_ref::<DistributedQueryExec<LogicalPlanNode>>()?.job_id()?;
        let mut scheduler = SchedulerGrpcClient::connect(format!("http://{}", self.scheduler)).await.ok()?;
        scheduler.cancel_job(CancelJobParams { job_id: job.into() }).await.ok().map(drop)
    }
}

/// What the cluster failed with, in our own words where it has some.
fn told(error: ScoreError) -> ScoreError {
    match error {
        ScoreError::Query { problem } => sql::remote(&problem),
        other => other,
    }
}

/// The parts that came back.
async fn parts(mut rows: SendableRecordBatchStream) -> Result<Vec<FinishedPart>, ScoreError> {
    let strange = |problem: String| ScoreError::Remote { problem, fault: Fault::Software };
    let mut parts = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(sql::failure)?;
        let texts = batch.column(0).as_string_opt::<i32>();
        let texts = texts.ok_or_else(|| strange("what came back are no parts".to_owned()))?;
        for text in texts.iter().flatten() {
            let part = serde_json::from_str(text);
            parts.push(part.map_err(|error| strange(format!("what came back is no part: {error}")))?);
        }
    }
    Ok(parts)
}

async fn stopped(progress: &Progress) {
    while !progress.is_stopped() {
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

fn runtime() -> Result<Runtime, ScoreError> {
    let failed = |error: std::io::Error| ScoreError::Software { problem: error.to_string() };
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)
}

impl Engine for Cluster {
    fn score(&self, job: Job, options: &RunOptions, progress: &Progress) -> Result<Summary, ScoreError> {
        let runtime = runtime()?;
        let output = Arc::clone(job.planned().schema());
        let done = job.run_elsewhere(options, progress, |spread| {
            runtime.block_on(self.shares(spread, &output, progress))
        });
        runtime.shutdown_background();
        done
    }

    fn query(
        &self,
        registry: &Arc<Registry>,
        source: Source,
        text: &str,
        _: QueryOptions,
        output: &Output,
        progress: &Progress,
    ) -> Result<QuerySummary, ScoreError> {
        let began = Instant::now();
        let runtime = runtime()?;
        let rows = runtime.block_on(async {
            let session = self.session().await?;
            register(&session, registry).map_err(sql::failure)?;
            sql::register_input(&session, sql::TABLE, source).await.map_err(sql::failure)?;
            let (plan, context) = sql::planned(&session, text).await?;
            let rows = execute_stream(Arc::clone(&plan), context).map_err(sql::failure)?;
            self.watched(&plan, sql::write(rows, output, progress)).await
        });
        runtime.shutdown_background();
        Ok(QuerySummary { rows: rows?, unanswered: None, reasons: Vec::new(), elapsed: began.elapsed() })
    }
}
