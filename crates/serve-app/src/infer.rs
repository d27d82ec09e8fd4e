//! Rows that are ready, and where they are inferred: short work where it is, what takes long on threads of its own, in parts.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ndarray::{Array2, s};
use serve_core::BatchPrediction;
use serve_registry::{Deployment, Registry};

use crate::context::{Context, Stage};
use crate::error::{Code, ServiceError};
use crate::gather::Gathered;
use crate::predict::Answered;
use crate::service::Service;
use crate::workers::{LONGEST_ON_WORKER, Wanted, alone, cut, rows_a_part};

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

    /// Infers rows, where that is short where it is, else on the threads for what takes long.
    pub(crate) async fn infer_all(
        &self,
        context: &Context,
        rows: Vec<Result<Row, ServiceError>>,
    ) -> Result<Vec<Result<Answered, ServiceError>>, ServiceError> {
        let cost = rows.iter().flatten().map(Row::cost).fold(Duration::ZERO, Duration::saturating_add);
        if cost > LONGEST_ON_WORKER {
            return self.infer_apart(context, rows).await;
        }
        let registry = &self.parts.registry;
        let answer = |row: Result<Row, ServiceError>| row.and_then(|row| row.answer_alone(registry));
        self.workers.here(context, rows.len(), || rows.into_iter().map(answer).collect())
    }

    /// Infers on the threads for work that takes long.
    pub(crate) async fn infer_apart(
        &self,
        context: &Context,
        rows: Vec<Result<Row, ServiceError>>,
    ) -> Result<Vec<Result<Answered, ServiceError>>, ServiceError> {
        let registry = Arc::clone(&self.parts.registry);
        let parts = cut(rows, |row| row.as_ref().map_or(Duration::ZERO, Row::cost));
        let work = move |part: Vec<Result<Row, ServiceError>>, wanted: &Wanted| {
            let answer = |row: Result<Row, ServiceError>| {
                wanted.still().then(|| {
                    wanted.count(1);
                    row.and_then(|row| row.answer_alone(&registry))
                })
            };
            part.into_iter().map(answer).collect::<Option<Vec<_>>>()
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
        deployment: Arc<Deployment>,
        matrix: Array2<f64>,
    ) -> Result<BatchPrediction, ServiceError> {
        let rows = matrix.nrows();
        self.check_rows(rows)?;
        context.add_rows(rows);
        let _held = self.admission.admit(context, &[&deployment.manifest().name]).await?;
        let statistics = self.statistics_of(&deployment);
        let batch = self.infer_matrix(context, deployment, matrix).await?;
        statistics.executed(self.now(), rows, context.spent(Stage::Infer));
        Ok(batch)
    }

    async fn infer_matrix(
        &self,
        context: &Context,
        deployment: Arc<Deployment>,
        matrix: Array2<f64>,
    ) -> Result<BatchPrediction, ServiceError> {
        let rows = matrix.nrows();
        let cost = deployment.row_cost();
        if cost.saturating_mul(u32::try_from(rows).unwrap_or(u32::MAX)) <= LONGEST_ON_WORKER {
            let mut batch = BatchPrediction::new();
            let work = || deployment.pipeline().predict_batch(matrix.view(), &mut batch);
            self.workers.here(context, rows, work)??;
            return Ok(batch);
        }
        let step = rows_a_part(cost);
        let parts = (0..rows).step_by(step).map(|start| start..rows.min(start + step)).collect();
        let work = move |part: Range<usize>, wanted: &Wanted| {
            let mut batch = BatchPrediction::new();
            wanted.count(part.len());
            let predicted = deployment.pipeline().predict_batch(matrix.slice(s![part, ..]), &mut batch);
            Some(predicted.map(|()| batch))
        };
        let mut whole = BatchPrediction::new();
        for part in self.workers.run(context, parts, work).await? {
            whole.append(part?);
        }
        Ok(whole)
    }
}

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

    /// The answer; a panic is this row's alone.
    fn answer_alone(self, registry: &Registry) -> Result<Answered, ServiceError> {
        alone(|| self.answer(registry))?
    }

    pub(crate) fn answer(self, registry: &Registry) -> Result<Answered, ServiceError> {
        let Self { deployment, gathered, explain } = self;
        let prediction = deployment.pipeline().predict_checked(&gathered.row)?;
        let explanation = if explain {
            let explainer = registry.explanations(&deployment)?.explainer()?;
            Some(explainer.explain_checked(&gathered.row)?)
        } else {
            None
        };
        Ok(Answered { deployment, prediction, gathered, explanation, fallback: None })
    }
}
