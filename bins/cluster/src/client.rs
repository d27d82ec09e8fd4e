//! A job or a query in a cluster. The client plans it, pins the model, watches that somebody works, and writes or publishes the output; so
//! nothing is under the output's name before all of it is there.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista::extension::SessionContextExt;
use ballista_core::execution_plans::DistributedQueryExec;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{CancelJobParams, GetJobMetricsParams};
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
use serve_score::spread::{Paces, Spread};
use serve_score::sql::{self, QueryOptions, QuerySummary};
use serve_score::{Fault, Job, MaxRejects, Models, Output, Progress, ScoreError, Source, Summary, register};
use serve_score_bin::Engine;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::args::{Address, ScoreArgs};
use crate::{session, stage, watch};

/// How often it is looked whether the job is to end.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// How often it is looked how far executors are.
const BETWEEN_PACES: Duration = Duration::from_millis(500);
/// How long the scheduler may take to tell what a query's parts measured.
const MEASURES: Duration = Duration::from_secs(5);
const MEASURES_BYTES: usize = 64 << 20;
/// How long the scheduler may take to take a cancellation.
const CANCEL: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &ScoreArgs) -> Result<(), Exit> {
    args.score.fit_for_others()?;
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
        match done.map_err(told) {
            // What the connection said when it broke is less than what is to be seen now.
            Err(error) if error.fault() == Fault::Unavailable => {
                Err(watch::trouble(&self.scheduler).await.unwrap_or(error))
            }
            done => done,
        }
    }

    /// Has the shares of a plain job scored.
    async fn shares(
        &self,
        spread: Spread,
        output: &SchemaRef,
        progress: &Progress,
        max_rejects: Option<MaxRejects>,
    ) -> Result<Vec<FinishedPart>, ScoreError> {
        if spread.shares() == 0 {
            return Ok(Vec::new());
        }
        let session = self.session().await?;
        let paces = Paces::new(&spread);
        let table = sql::shares_table(spread, output, &Models::new(None)).map_err(sql::failure)?;
        let frame = session.read_table(table).map_err(sql::failure)?;
        let context = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.map_err(sql::failure)?;
        let rows = execute_stream(Arc::clone(&plan), context).map_err(sql::failure)?;
        let scored = async {
            tokio::select! {
                parts = parts(rows) => parts,
                ended = followed(paces, progress, max_rejects) => Err(ended),
            }
        };
        self.watched(&plan, scored).await
    }

    async fn cancel(&self, plan: &Arc<dyn ExecutionPlan>) -> Option<()> {
        let job_id = job_of(plan)?;
        let mut scheduler = SchedulerGrpcClient::connect(format!("http://{}", self.scheduler)).await.ok()?;
        scheduler.cancel_job(CancelJobParams { job_id }).await.ok().map(drop)
    }

    /// How many rows a query that is done left without an answer, and the first reasons.
    async fn unanswered(&self, plan: &Arc<dyn ExecutionPlan>) -> Option<(u64, Vec<String>)> {
        let job_id = job_of(plan)?;
        let scheduler = SchedulerGrpcClient::connect(format!("http://{}", self.scheduler)).await.ok()?;
        let mut scheduler = scheduler.max_decoding_message_size(MEASURES_BYTES);
        let measures = scheduler.get_job_metrics(GetJobMetricsParams { job_id }).await.ok()?;
        Some(stage::unanswered(measures.into_inner().stages))
    }
}

/// The scheduler's name of what was begun.
fn job_of(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let job = plan.downcast_ref::<DistributedQueryExec<LogicalPlanNode>>()?.job_id()?;
    Some(job.into())
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

/// Shows how far a job is; ends when it is to end before its end.
async fn followed(mut paces: Paces, progress: &Progress, max_rejects: Option<MaxRejects>) -> ScoreError {
    let mut looks = tokio::time::interval(BETWEEN_LOOKS);
    let mut seen = Instant::now();
    loop {
        looks.tick().await;
        let stopped = progress.is_stopped();
        if !stopped && seen.elapsed() < BETWEEN_PACES {
            continue;
        }
        seen = Instant::now();
        // A shared disk may take its time.
        let looked = tokio::task::spawn_blocking(move || {
            let pace = paces.look();
            (paces, pace)
        });
        let pace = match looked.await {
            Ok((back, pace)) => {
                paces = back;
                pace
            }
            Err(error) => return ScoreError::Software { problem: error.to_string() },
        };
        progress.follow(pace);
        if stopped {
            return ScoreError::Interrupted { rows: progress.rows() };
        }
        if let Err(enough) = progress.check(max_rejects, false) {
            return enough;
        }
    }
}

fn runtime() -> Result<Runtime, ScoreError> {
    let failed = |error: std::io::Error| ScoreError::Software { problem: error.to_string() };
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)
}

impl Engine for Cluster {
    fn program(&self) -> &'static str {
        "serve-cluster"
    }

    fn threads(&self, _: &RunOptions) -> Option<usize> {
        None
    }

    fn score(&self, job: Job, options: &RunOptions, progress: &Progress) -> Result<Summary, ScoreError> {
        let runtime = runtime()?;
        let output = Arc::clone(job.planned().schema());
        let done = job.run_elsewhere(options, progress, |spread| {
            runtime.block_on(self.shares(spread, &output, progress, options.max_rejects))
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
        let done = runtime.block_on(async {
            let session = self.session().await?;
            register(&session, registry).map_err(sql::failure)?;
            sql::register_input(&session, sql::TABLE, source).await.map_err(sql::failure)?;
            let (plan, context) = sql::planned(&session, text).await?;
            let rows = execute_stream(Arc::clone(&plan), context).map_err(sql::failure)?;
            let rows = self.watched(&plan, sql::write(rows, output, progress)).await?;
            Ok::<_, ScoreError>((rows, timeout(MEASURES, self.unanswered(&plan)).await.ok().flatten()))
        });
        runtime.shutdown_background();
        let (rows, unanswered) = done?;
        let (unanswered, reasons) = unanswered.unzip();
        let reasons = reasons.unwrap_or_default();
        Ok(QuerySummary { rows, unanswered, reasons, elapsed: began.elapsed() })
    }
}
