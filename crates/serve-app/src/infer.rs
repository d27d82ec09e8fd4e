//! Rows that are ready, and where they are inferred: short work where it is, what takes long on threads of its own, in parts.
//! Futures that are seldom needed are boxed here and elsewhere: each request allocates and moves the future that holds them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ndarray::{Array2, s};
use serve_core::BatchPrediction;
use serve_registry::{Deployment, Registry};

use crate::context::{Context, Stage};
use crate::error::{Code, ServiceError};
use crate::gather::Gathered;
use crate::parts::{cut, rows_a_part};
use crate::predict::Answered;
use crate::prediction_cache::{Key, Outcome};
use crate::service::Service;
use crate::wall;
use crate::workers::{LONGEST_ON_WORKER, Wanted, alone};

impl Service {
    /// Refuses a batch of more rows than the configuration allows.
    ///
    /// # Errors
    /// [`Code::TooManyRows`].
    pub fn check_rows(&self, rows: usize) -> Result<(), ServiceError> {
        let allowed = self.admission.batch_rows();
        if rows <= allowed {
            return Ok(());
        }
        let message = format!("the batch has {rows} rows, limits.batch_rows allows {allowed}");
        Err(ServiceError::new(Code::TooManyRows, message))
    }

    /// Infers one row, where that is short where it is, else on the threads for what takes long.
    pub(crate) async fn infer_one(&self, context: &Context, row: Row) -> Result<Inferred, ServiceError> {
        if row.cost() <= LONGEST_ON_WORKER {
            let outcome = self.workers.here(context, 1, || row.outcome(&self.parts.registry))?;
            return Ok((row, outcome));
        }
        let inferred = Box::pin(self.infer_apart(context, vec![row])).await?;
        let lost = || ServiceError::new(Code::Internal, "a row was computed and not answered");
        inferred.into_iter().next().ok_or_else(lost)
    }

    /// Infers rows, all where it is if that is short.
    pub(crate) async fn infer_all(
        &self,
        context: &Context,
        rows: Vec<Row>,
    ) -> Result<Vec<Inferred>, ServiceError> {
        let cost = rows.iter().map(Row::cost).fold(Duration::ZERO, Duration::saturating_add);
        if cost > LONGEST_ON_WORKER {
            return Box::pin(self.infer_apart(context, rows)).await;
        }
        let registry = &self.parts.registry;
        let infer = |row: Row| row.infer_alone(registry);
        self.workers.here(context, rows.len(), || rows.into_iter().map(infer).collect())
    }

    /// Infers on the threads for work that takes long.
    async fn infer_apart(&self, context: &Context, rows: Vec<Row>) -> Result<Vec<Inferred>, ServiceError> {
        let registry = Arc::clone(&self.parts.registry);
        let parts = cut(rows, Row::cost);
        let work = move |part: Vec<Row>, wanted: &Wanted| {
            let infer = |row: Row| {
                wanted.still().then(|| {
                    wanted.count(1);
                    row.infer_alone(&registry)
                })
            };
            part.into_iter().map(infer).collect::<Option<Vec<_>>>()
        };
        Ok(self.workers.run(context, parts, work).await?.into_iter().flatten().collect())
    }

    /// Rows that one request may have.
    #[must_use]
    pub fn batch_rows(&self) -> usize {
        self.admission.batch_rows()
    }

    /// Predicts a matrix of numbers, row-major `[rows, inputs]`, with one model. Whether that answers a request, and when, the
    /// caller [counts](crate::statistics::VersionStatistics::answered).
    ///
    /// # Errors
    /// When there are more rows than allowed, or the width is not the signature's.
    pub async fn predict_matrix(
        &self,
        context: &Context,
        deployment: &Arc<Deployment>,
        matrix: Array2<f64>,
    ) -> Result<BatchPrediction, ServiceError> {
        let rows = matrix.nrows();
        self.check_rows(rows)?;
        context.add_rows(rows);
        self.admission.admit(context, &[&deployment.manifest().name]).await?;
        let statistics = self.statistics_of(context, deployment);
        let batch = self.infer_matrix(context, deployment, matrix).await?;
        statistics.executed(wall::at(context.lately()), rows, context.spent(Stage::Infer));
        Ok(batch)
    }

    async fn infer_matrix(
        &self,
        context: &Context,
        deployment: &Arc<Deployment>,
        matrix: Array2<f64>,
    ) -> Result<BatchPrediction, ServiceError> {
        let rows = matrix.nrows();
        let cost = deployment.row_cost();
        if cost.saturating_mul(u32::try_from(rows).unwrap_or(u32::MAX)) <= LONGEST_ON_WORKER {
            let mut batch = BatchPrediction::new();
            let work = || deployment.pipeline().predict_batch(matrix.view(), &mut batch);
            // Admission took no time but that in the queue, which is read.
            self.workers.here_since(context.lately(), context, rows, work)??;
            return Ok(batch);
        }
        let step = rows_a_part(cost);
        let parts = (0..rows).step_by(step).map(|start| start..rows.min(start + step)).collect();
        let deployment = Arc::clone(deployment);
        let work = move |part: Range<usize>, wanted: &Wanted| {
            let mut batch = BatchPrediction::new();
            wanted.count(part.len());
            let predicted = deployment.pipeline().predict_batch(matrix.slice(s![part, ..]), &mut batch);
            Some(predicted.map(|()| batch))
        };
        let mut whole = BatchPrediction::new();
        for part in Box::pin(self.workers.run(context, parts, work)).await? {
            whole.append(part?);
        }
        Ok(whole)
    }
}

/// A row and what its model says of it.
pub(crate) type Inferred = (Row, Result<Outcome, ServiceError>);

/// A row that is ready to be answered.
pub(crate) struct Row {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) gathered: Gathered,
    pub(crate) explain: bool,
}

impl Row {
    /// How long the answer is expected to take. What explains a deployment is made at its first use, which reads files.
    pub(crate) fn cost(&self) -> Duration {
        let explaining = match (self.explain, self.deployment.explanations()) {
            (false, _) => Duration::ZERO,
            (true, Some(made)) => made.row_cost(),
            (true, None) => Duration::MAX,
        };
        self.deployment.row_cost().saturating_add(explaining)
    }

    /// What the answer is known by.
    pub(crate) fn key(&self) -> Key {
        Key::new(self.deployment.digest(), self.explain, &self.gathered.row)
    }

    /// What the model says of it; a panic is this row's alone.
    fn infer_alone(self, registry: &Registry) -> Inferred {
        let outcome = alone(|| self.outcome(registry)).and_then(|outcome| outcome);
        (self, outcome)
    }

    fn outcome(&self, registry: &Registry) -> Result<Outcome, ServiceError> {
        let row = &self.gathered.row;
        let prediction = self.deployment.pipeline().predict_checked(row)?;
        let explanation = if self.explain {
            Some(registry.explanations(&self.deployment)?.explainer()?.explain_checked(row)?)
        } else {
            None
        };
        Ok(Outcome { prediction, explanation })
    }

    /// The answer, with what this request's own features were.
    pub(crate) fn answered(self, outcome: Outcome, cached: bool) -> Answered {
        let Self { deployment, gathered, .. } = self;
        let Outcome { prediction, explanation } = outcome;
        Answered { deployment, prediction, gathered, explanation, cached, fallback: None }
    }
}
